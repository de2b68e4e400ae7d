#pragma once

#include <stdbool.h>
#include <stddef.h>

// ISA-L's deflate and inflate behind handles: its structures are larger than what Swift imports.

typedef struct permafrost_deflate permafrost_deflate;
typedef struct permafrost_inflate permafrost_inflate;

typedef struct {
    size_t taken;
    size_t written;
    /// The stream has ended and all of it has been written.
    bool ended;
    /// ISA-L's error code, 0 for none.
    int error;
} permafrost_igzip_step;

/// `level` 1 to 3; gzip wrapper, or zlib's when `raw`. NULL without memory.
permafrost_deflate *_Nullable permafrost_deflate_create(int level, bool raw);
void permafrost_deflate_free(permafrost_deflate *_Nonnull deflate);
void permafrost_deflate_reset(permafrost_deflate *_Nonnull deflate);
/// `end`: nothing follows `input`.
permafrost_igzip_step permafrost_deflate_step(
    permafrost_deflate *_Nonnull deflate, const void *_Nullable input, size_t inputCount,
    void *_Nonnull output, size_t outputCount, bool end);

/// gzip wrapper, or zlib's when `raw`; both are checked. NULL without memory.
permafrost_inflate *_Nullable permafrost_inflate_create(bool raw);
void permafrost_inflate_free(permafrost_inflate *_Nonnull inflate);
void permafrost_inflate_reset(permafrost_inflate *_Nonnull inflate);
permafrost_igzip_step permafrost_inflate_step(
    permafrost_inflate *_Nonnull inflate, const void *_Nullable input, size_t inputCount,
    void *_Nonnull output, size_t outputCount);
/// Why, for an error of `permafrost_inflate_step`.
const char *_Nonnull permafrost_inflate_reason(int error);
