#include "include/igzip.h"

#include <isa-l/igzip_lib.h>
#include <stdint.h>
#include <stdlib.h>

// ISA-L counts in 32 bits.
static uint32_t clamped(size_t count) {
    return count < (1u << 30) ? (uint32_t)count : 1u << 30;
}

struct permafrost_deflate {
    struct isal_zstream stream;
    uint16_t wrapper;
    uint8_t level_buffer[];
};

permafrost_deflate *permafrost_deflate_create(int level, bool raw) {
    static const uint32_t sizes[] = {0, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};
    if (level < 1 || level > 3)
        return NULL;
    permafrost_deflate *deflate = malloc(sizeof *deflate + sizes[level]);
    if (!deflate)
        return NULL;
    isal_deflate_init(&deflate->stream);
    deflate->stream.level = (uint32_t)level;
    deflate->stream.level_buf = deflate->level_buffer;
    deflate->stream.level_buf_size = sizes[level];
    deflate->wrapper = raw ? IGZIP_ZLIB : IGZIP_GZIP;
    permafrost_deflate_reset(deflate);
    return deflate;
}

void permafrost_deflate_free(permafrost_deflate *deflate) { free(deflate); }

void permafrost_deflate_reset(permafrost_deflate *deflate) {
    isal_deflate_reset(&deflate->stream);
    // ISA-L changes it to "no header" once the header is out.
    deflate->stream.gzip_flag = deflate->wrapper;
}

permafrost_igzip_step permafrost_deflate_step(
    permafrost_deflate *deflate, const void *input, size_t inputCount, void *output, size_t outputCount, bool end
) {
    struct isal_zstream *stream = &deflate->stream;
    const uint32_t in = clamped(inputCount), out = clamped(outputCount);
    stream->next_in = (uint8_t *)input;
    stream->avail_in = in;
    stream->next_out = output;
    stream->avail_out = out;
    stream->end_of_stream = end && in == inputCount;
    stream->flush = NO_FLUSH;
    const int error = isal_deflate(stream);
    return (permafrost_igzip_step){
        .taken = in - stream->avail_in,
        .written = out - stream->avail_out,
        .ended = stream->internal_state.state == ZSTATE_END,
        .error = error,
    };
}

struct permafrost_inflate {
    struct inflate_state state;
    uint32_t wrapper;
};

permafrost_inflate *permafrost_inflate_create(bool raw) {
    permafrost_inflate *inflate = malloc(sizeof *inflate);
    if (!inflate)
        return NULL;
    isal_inflate_init(&inflate->state);
    inflate->wrapper = raw ? ISAL_ZLIB : ISAL_GZIP;
    permafrost_inflate_reset(inflate);
    return inflate;
}

void permafrost_inflate_free(permafrost_inflate *inflate) { free(inflate); }

void permafrost_inflate_reset(permafrost_inflate *inflate) {
    isal_inflate_reset(&inflate->state);
    inflate->state.crc_flag = inflate->wrapper;
    // A zlib header may have narrowed it.
    inflate->state.hist_bits = 0;
}

// ISA-L reads up to eight bytes ahead, and 2.30 keeps those that follow the stream: gives them back. Safe only when all
// blocks are read, for before a block's header they need not be the last bytes taken.
static void give_back(struct inflate_state *state, uint32_t taken) {
    if (state->read_in_length < 8)
        return;
    uint32_t bytes = (uint32_t)state->read_in_length / 8;
    if (bytes > taken)
        bytes = taken;
    if (bytes == 0)
        return;
    state->next_in -= bytes;
    state->avail_in += bytes;
    state->read_in_length -= (int32_t)(8 * bytes);
    state->read_in &= ((uint64_t)1 << state->read_in_length) - 1;
}

permafrost_igzip_step permafrost_inflate_step(
    permafrost_inflate *inflate, const void *input, size_t inputCount, void *output, size_t outputCount
) {
    struct inflate_state *state = &inflate->state;
    const uint32_t in = clamped(inputCount), out = clamped(outputCount);
    state->next_in = (uint8_t *)input;
    state->avail_in = in;
    state->next_out = output;
    state->avail_out = out;
    const int error = isal_inflate(state);
    const bool ended = error == ISAL_DECOMP_OK && state->block_state == ISAL_BLOCK_FINISH;
    if (ended || state->block_state == ISAL_BLOCK_INPUT_DONE)
        give_back(state, in - state->avail_in);
    return (permafrost_igzip_step){
        .taken = in - state->avail_in,
        .written = out - state->avail_out,
        .ended = ended,
        .error = error,
    };
}

const char *permafrost_inflate_reason(int error) {
    switch (error) {
    case ISAL_NEED_DICT: return "it needs a dictionary";
    case ISAL_INVALID_BLOCK: return "invalid block";
    case ISAL_INVALID_SYMBOL: return "invalid symbol";
    case ISAL_INVALID_LOOKBACK: return "invalid distance";
    case ISAL_INVALID_WRAPPER: return "invalid header";
    case ISAL_UNSUPPORTED_METHOD: return "unknown compression method";
    case ISAL_INCORRECT_CHECKSUM: return "wrong checksum or length";
    default: return "unknown error";
    }
}
