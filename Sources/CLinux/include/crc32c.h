#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// CRC-32C of `count` bytes: begins with all ones and is inverted at the end, as PostgreSQL does.
uint32_t permafrost_crc32c(const void *bytes, size_t count);

/// That of what had `crc` (0 for nothing) with `count` bytes after it.
uint32_t permafrost_crc32c_extend(uint32_t crc, const void *bytes, size_t count);

/// `permafrost_crc32c` without the instruction: for processors that lack it, and to check the other.
uint32_t permafrost_crc32c_portable(const void *bytes, size_t count);
