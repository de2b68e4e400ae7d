#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t high;
    uint64_t low;
} permafrost_xxh3_sum;

/// XXH3-128 with seed 0 and the default secret; its canonical form is `high`, then `low`, both big-endian.
permafrost_xxh3_sum permafrost_xxh3_128(const void *bytes, size_t count);
