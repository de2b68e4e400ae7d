#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// CRC-32C of `count` bytes: begins with all ones and is inverted at the end, as PostgreSQL does.
uint32_t permafrost_crc32c(const void *bytes, size_t count);

/// The same without the instruction: for processors that lack it, and to check the other.
uint32_t permafrost_crc32c_portable(const void *bytes, size_t count);
