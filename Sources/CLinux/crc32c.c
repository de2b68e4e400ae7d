#include "include/crc32c.h"

#include <string.h>

// One nibble at a time: 16 entries need no start-up work, and only tests and old processors come here.
static uint32_t by_table(uint32_t crc, const void *bytes, size_t count) {
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < count; i++) {
        crc ^= byte[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return crc;
}

uint32_t permafrost_crc32c_portable(const void *bytes, size_t count) { return ~by_table(0xffffffff, bytes, count); }

#if defined(__x86_64__)

#include <cpuid.h>
#include <nmmintrin.h>

__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t start, const void *bytes, size_t count) {
    const uint8_t *byte = bytes;
    uint64_t crc = start;
    for (; count >= 8; byte += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, byte, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    for (; count > 0; byte++, count--)
        crc = _mm_crc32_u8((uint32_t)crc, *byte);
    return (uint32_t)crc;
}

uint32_t permafrost_crc32c_extend(uint32_t crc, const void *bytes, size_t count) {
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2))
        return ~by_instruction(~crc, bytes, count);
    return ~by_table(~crc, bytes, count);
}

#else

uint32_t permafrost_crc32c_extend(uint32_t crc, const void *bytes, size_t count) {
    return ~by_table(~crc, bytes, count);
}

#endif

uint32_t permafrost_crc32c(const void *bytes, size_t count) { return permafrost_crc32c_extend(0, bytes, count); }
