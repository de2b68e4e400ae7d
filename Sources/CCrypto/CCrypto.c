#define _GNU_SOURCE
#include "CCrypto.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FUNCTIONS(X)         \
    X(BIO_free)              \
    X(BIO_new_mem_buf)       \
    X(ERR_clear_error)       \
    X(EVP_CIPHER_CTX_new)    \
    X(EVP_CIPHER_CTX_free)   \
    X(EVP_CipherInit_ex)     \
    X(EVP_CipherUpdate)      \
    X(EVP_CipherFinal_ex)    \
    X(EVP_DigestSign)        \
    X(EVP_DigestSignInit)    \
    X(EVP_MD_CTX_free)       \
    X(EVP_MD_CTX_new)        \
    X(EVP_PKEY_free)         \
    X(EVP_aes_256_cbc)       \
    X(EVP_sha256)            \
    X(PEM_read_bio_PrivateKey) \
    X(OPENSSL_init_crypto)

// The types come from the header, so that a wrong call does not compile.
static struct {
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} crypto;

static pthread_once_t loadOnce = PTHREAD_ONCE_INIT;
static char loadReason[512];

static void load(void)
{
    static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
    void *library = NULL;

    for (size_t index = 0; index < sizeof(names) / sizeof(names[0]) && library == NULL; index++)
        library = dlopen(names[index], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(loadReason, sizeof(loadReason), "%s", dlerror());
        return;
    }
#define FIND(name)                                                                     \
    if ((crypto.name = (__typeof__(&name))dlsym(library, #name)) == NULL) {            \
        snprintf(loadReason, sizeof(loadReason), "libcrypto has no function " #name); \
        return;                                                                        \
    }
    FUNCTIONS(FIND)
#undef FIND
    // The program exits while other threads still run: they must not find their library torn down.
    if (crypto.OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        snprintf(loadReason, sizeof(loadReason), "libcrypto cannot be initialised");
}

// libpq asks the thread's list of errors about calls of its own: those of ours must not be in it.
static bool succeeded(int status)
{
    if (status != 1) crypto.ERR_clear_error();
    return status == 1;
}

bool permafrost_crypto_load(const char **reason)
{
    pthread_once(&loadOnce, load);
    *reason = loadReason[0] == 0 ? NULL : loadReason;
    return loadReason[0] == 0;
}

struct permafrost_aes {
    EVP_CIPHER_CTX *context;
    bool encrypt;
    // libcrypto 3 looks the cipher up each time that it is named, which takes longer than a small stream.
    bool hasCipher;
};

struct permafrost_aes *permafrost_aes_create(bool encrypt)
{
    struct permafrost_aes *aes = malloc(sizeof(*aes));

    if (aes == NULL) return NULL;
    aes->encrypt = encrypt;
    aes->hasCipher = false;
    aes->context = crypto.EVP_CIPHER_CTX_new();
    if (aes->context == NULL) {
        free(aes);
        return NULL;
    }
    return aes;
}

void permafrost_aes_free(struct permafrost_aes *aes)
{
    crypto.EVP_CIPHER_CTX_free(aes->context);
    free(aes);
}

bool permafrost_aes_begin(
    struct permafrost_aes *aes, const unsigned char key[PERMAFROST_AES_KEY_SIZE],
    const unsigned char vector[PERMAFROST_AES_BLOCK_SIZE])
{
    const EVP_CIPHER *type = aes->hasCipher ? NULL : crypto.EVP_aes_256_cbc();

    aes->hasCipher = succeeded(crypto.EVP_CipherInit_ex(aes->context, type, NULL, key, vector, aes->encrypt));
    return aes->hasCipher;
}

long permafrost_aes_update(
    struct permafrost_aes *aes, const unsigned char *input, size_t inputSize, unsigned char *output)
{
    int written = 0;

    if (inputSize > INT_MAX - PERMAFROST_AES_BLOCK_SIZE) return -1;
    return succeeded(crypto.EVP_CipherUpdate(aes->context, output, &written, input, (int)inputSize)) ? written : -1;
}

long permafrost_aes_finish(struct permafrost_aes *aes, unsigned char *output)
{
    int written = 0;

    return succeeded(crypto.EVP_CipherFinal_ex(aes->context, output, &written)) ? written : -1;
}

// Nobody is there to be asked for the passphrase of a key.
static int noPassphrase(char *buffer, int size, int isWriting, void *context)
{
    (void)buffer, (void)size, (void)isWriting, (void)context;
    return -1;
}

static EVP_PKEY *privateKey(const void *pem, size_t pemSize)
{
    BIO *bio = crypto.BIO_new_mem_buf(pem, (int)pemSize);
    EVP_PKEY *key;

    if (bio == NULL) return NULL;
    key = crypto.PEM_read_bio_PrivateKey(bio, NULL, noPassphrase, NULL);
    crypto.BIO_free(bio);
    return key;
}

size_t permafrost_sign_sha256(
    const void *pem, size_t pemSize, const void *message, size_t messageSize, unsigned char *signature,
    size_t capacity)
{
    EVP_PKEY *key = pemSize > INT_MAX ? NULL : privateKey(pem, pemSize);
    EVP_MD_CTX *context = crypto.EVP_MD_CTX_new();
    size_t size = capacity;
    bool signs = key != NULL && context != NULL &&
        crypto.EVP_DigestSignInit(context, NULL, crypto.EVP_sha256(), NULL, key) == 1 &&
        crypto.EVP_DigestSign(context, signature, &size, message, messageSize) == 1;

    crypto.EVP_MD_CTX_free(context);
    crypto.EVP_PKEY_free(key);
    return succeeded(signs) ? size : 0;
}

bool permafrost_random(void *bytes, size_t count)
{
    unsigned char *next = bytes;

    while (count > 0) {
        ssize_t got = getrandom(next, count, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            return false;
        }
        next += got;
        count -= (size_t)got;
    }
    return true;
}

void permafrost_wipe(void *bytes, size_t count) { explicit_bzero(bytes, count); }
