#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The compression function of SHA-1 (FIPS 180-4) by the SHA instructions of x86; padding and length are the caller's.

typedef struct {
    uint32_t word[5];
} permafrost_sha1_state;

/// Whether this processor has the instructions; without them the functions below must not be called.
bool permafrost_sha1_is_available(void);

/// Takes `blocks` blocks of 64 bytes into `state`.
void permafrost_sha1_update(permafrost_sha1_state *state, const void *bytes, size_t blocks);

/// The same for two streams, `blocks` of each, in less time than one after the other.
void permafrost_sha1_update_pair(
    permafrost_sha1_state *first, const void *firstBytes,
    permafrost_sha1_state *second, const void *secondBytes, size_t blocks);
