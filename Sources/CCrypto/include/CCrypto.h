#pragma once

#include <stdbool.h>
#include <stddef.h>

// AES-256-CBC and signatures of libcrypto, loaded with dlopen when it is first needed: linked, it doubles the program's start-up.

enum { PERMAFROST_AES_KEY_SIZE = 32, PERMAFROST_AES_BLOCK_SIZE = 16 };

struct permafrost_aes;

// Loads libcrypto, once for all threads; false when it cannot be had, with the reason, which stays valid.
bool permafrost_crypto_load(const char **reason);

// Only after permafrost_crypto_load has returned true. NULL without memory.
struct permafrost_aes *permafrost_aes_create(bool encrypt);
void permafrost_aes_free(struct permafrost_aes *aes);
// Begins a stream; what was left of the one before is forgotten.
bool permafrost_aes_begin(
    struct permafrost_aes *aes, const unsigned char key[PERMAFROST_AES_KEY_SIZE],
    const unsigned char vector[PERMAFROST_AES_BLOCK_SIZE]);
// Writes at most inputSize + 16 bytes; how many, or -1.
long permafrost_aes_update(
    struct permafrost_aes *aes, const unsigned char *input, size_t inputSize, unsigned char *output);
// Writes at most 16 bytes; how many, or -1: when decrypting, the padding is wrong.
long permafrost_aes_finish(struct permafrost_aes *aes, unsigned char *output);

// Only after permafrost_crypto_load has returned true. Signs the SHA-256 of a message with a private key in PEM form, as
// PKCS #1 v1.5 when it is one of RSA; how many bytes the signature has, 0 when there is none.
size_t permafrost_sign_sha256(
    const void *pem, size_t pemSize, const void *message, size_t messageSize, unsigned char *signature,
    size_t capacity);

// Bytes that nobody can guess, from the system; false when it has none.
bool permafrost_random(void *bytes, size_t count);
// Overwrites a secret, which no optimiser removes.
void permafrost_wipe(void *bytes, size_t count);
