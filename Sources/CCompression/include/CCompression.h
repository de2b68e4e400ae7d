#pragma once

#include <bzlib.h>
#include <lz4frame.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "igzip.h"

// Macros that Swift does not import, as functions.

/// gzip wrapper, or zlib's when `raw`; window 32 KiB, memLevel 9, as pgBackRest.
static inline int permafrost_deflate_init(z_stream *stream, int level, int raw) {
    return deflateInit2(stream, level, Z_DEFLATED, raw ? 15 : 15 + 16, 9, Z_DEFAULT_STRATEGY);
}
