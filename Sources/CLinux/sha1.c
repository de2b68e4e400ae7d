#include "include/sha1.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) WITH_SHA

bool permafrost_sha1_is_available(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

// `abcd` has a in its highest lane; the highest lane of `e` is what becomes e: the word itself before the first round,
// then the `a` of four rounds ago, which `sha1nexte` rotates.
typedef struct {
    __m128i abcd, e, abcd_before, e_before, w[4];
} lanes;

INLINE __m128i reversed(__m128i bytes) {
    return _mm_shuffle_epi8(bytes, _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f));
}

INLINE lanes load(const permafrost_sha1_state *state) {
    lanes s;
    s.abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state->word), 0x1b);
    s.e = _mm_set_epi32((int)state->word[4], 0, 0, 0);
    return s;
}

INLINE void store(const lanes *s, permafrost_sha1_state *state) {
    _mm_storeu_si128((__m128i *)state->word, _mm_shuffle_epi32(s->abcd, 0x1b));
    state->word[4] = (uint32_t)_mm_extract_epi32(s->e, 3);
}

INLINE void begin(lanes *s, const uint8_t *block) {
    s->abcd_before = s->abcd;
    s->e_before = s->e;
    for (int i = 0; i < 4; i++)
        s->w[i] = reversed(_mm_loadu_si128((const __m128i *)(block + 16 * i)));
}

INLINE void end(lanes *s) {
    s->e = _mm_sha1nexte_epu32(s->e, s->e_before);
    s->abcd = _mm_add_epi32(s->abcd, s->abcd_before);
}

// Rounds 4n to 4n+3; `f` selects their function and constant.
#define FOUR(s, n, f) do { \
        __m128i *w = (s)->w; \
        if ((n) >= 4) \
            w[(n) & 3] = _mm_sha1msg2_epu32( \
                _mm_xor_si128(_mm_sha1msg1_epu32(w[(n) & 3], w[((n) + 1) & 3]), w[((n) + 2) & 3]), w[((n) + 3) & 3]); \
        __m128i sum = (n) == 0 ? _mm_add_epi32((s)->e, w[0]) : _mm_sha1nexte_epu32((s)->e, w[(n) & 3]); \
        (s)->e = (s)->abcd; \
        (s)->abcd = _mm_sha1rnds4_epu32((s)->abcd, sum, f); \
    } while (0)

#define TWENTY(STEP, n, f) STEP(n, f); STEP(n + 1, f); STEP(n + 2, f); STEP(n + 3, f); STEP(n + 4, f)
#define EIGHTY(STEP) TWENTY(STEP, 0, 0); TWENTY(STEP, 5, 1); TWENTY(STEP, 10, 2); TWENTY(STEP, 15, 3)

WITH_SHA void permafrost_sha1_update(permafrost_sha1_state *state, const void *bytes, size_t blocks) {
    const uint8_t *block = bytes;
    lanes s = load(state);
    for (; blocks > 0; blocks--, block += 64) {
        begin(&s, block);
#define STEP(n, f) FOUR(&s, n, f)
        EIGHTY(STEP);
#undef STEP
        end(&s);
    }
    store(&s, state);
}

// The instructions have long latencies and one stream depends on itself all along: a second one fills the gaps.
WITH_SHA void permafrost_sha1_update_pair(
    permafrost_sha1_state *first, const void *firstBytes,
    permafrost_sha1_state *second, const void *secondBytes, size_t blocks
) {
    const uint8_t *firstBlock = firstBytes, *secondBlock = secondBytes;
    lanes s = load(first), t = load(second);
    for (; blocks > 0; blocks--, firstBlock += 64, secondBlock += 64) {
        begin(&s, firstBlock);
        begin(&t, secondBlock);
#define STEP(n, f) FOUR(&s, n, f); FOUR(&t, n, f)
        EIGHTY(STEP);
#undef STEP
        end(&s);
        end(&t);
    }
    store(&s, first);
    store(&t, second);
}

#else

bool permafrost_sha1_is_available(void) { return false; }

void permafrost_sha1_update(permafrost_sha1_state *state, const void *bytes, size_t blocks) {}

void permafrost_sha1_update_pair(
    permafrost_sha1_state *first, const void *firstBytes,
    permafrost_sha1_state *second, const void *secondBytes, size_t blocks
) {}

#endif
