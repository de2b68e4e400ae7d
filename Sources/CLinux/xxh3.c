#include "include/xxh3.h"

// The whole algorithm is in the header, so that no library is needed for it.
#define XXH_INLINE_ALL
#include <xxhash.h>

permafrost_xxh3_sum permafrost_xxh3_128(const void *bytes, size_t count) {
    XXH128_hash_t sum = XXH3_128bits(bytes, count);
    return (permafrost_xxh3_sum){.high = sum.high64, .low = sum.low64};
}
