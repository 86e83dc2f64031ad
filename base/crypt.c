/* SPDX-License-Identifier: Apache-2.0 */
/* Suite 1 over OpenSSL 3.0. What is fetched lies in one table that is written
 * once, under a lock, and read by every thread; contexts belong to their
 * caller. */
#include "base/crypt.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "base/crypt_ossl.h"

#define HKDF_INFO_MAX 1024u /* OpenSSL's own bound */
#define HKDF_OUT_MAX 8160u  /* RFC 5869: 255 blocks */
#define LABEL_PREFIX "ringkeep/1/"
#define SCRYPT_R 8u
#define SCRYPT_LOG_N_MAX 20u

struct fetched {
    OSSL_LIB_CTX *library;
    EVP_CIPHER *gcm;
    EVP_CIPHER *ecb;
    EVP_MD *sha256;
    EVP_MAC *hmac;
    EVP_KDF *hkdf;
    EVP_KDF *scrypt;
    EVP_MAC_CTX *hmac_sha256; /* a template, only ever duplicated */
};

struct xaes {
    EVP_CIPHER_CTX *ecb; /* owned; holds the key's schedule */
    EVP_CIPHER_CTX *gcm; /* owned; rekeyed with each Kx */
    uint8_t k1[16];
};

static struct fetched ossl;
static atomic_bool is_ready;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

/* Releasers for the cleanup attribute. */
#define RELEASE(verb, type, release)                                                               \
    static void verb(type **p)                                                                     \
    {                                                                                              \
        release(*p);                                                                               \
    }
RELEASE(free_cipher, EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
RELEASE(free_kdf, EVP_KDF_CTX, EVP_KDF_CTX_free)
RELEASE(free_mac, EVP_MAC_CTX, EVP_MAC_CTX_free)
RELEASE(free_md, EVP_MD_CTX, EVP_MD_CTX_free)
RELEASE(free_pkey, EVP_PKEY, EVP_PKEY_free)
RELEASE(free_pkey_ctx, EVP_PKEY_CTX, EVP_PKEY_CTX_free)

static void wipe_seal_key(struct xaes_seal_key *k)
{
    bytes_wipe(k, sizeof(*k));
}
#define CIPHER_SCOPED __attribute__((cleanup(free_cipher))) EVP_CIPHER_CTX
#define KDF_SCOPED __attribute__((cleanup(free_kdf))) EVP_KDF_CTX
#define MAC_SCOPED __attribute__((cleanup(free_mac))) EVP_MAC_CTX
#define MD_SCOPED __attribute__((cleanup(free_md))) EVP_MD_CTX
#define PKEY_SCOPED __attribute__((cleanup(free_pkey))) EVP_PKEY
#define PKEY_CTX_SCOPED __attribute__((cleanup(free_pkey_ctx))) EVP_PKEY_CTX
#define SEAL_KEY_SCOPED __attribute__((cleanup(wipe_seal_key))) struct xaes_seal_key

int crypt_ossl_mark(void)
{
    return ERR_set_mark();
}

void crypt_ossl_unmark(int *mark)
{
    (void)mark; /* without a mark the queue was empty, and is emptied again */
    (void)ERR_pop_to_mark();
}

static enum err from_ossl(int rc)
{
    return rc == 1 ? ERR_OK : ERR_CRYPTO;
}

/* OpenSSL takes parameters it only reads as void *, and NULL as "not given". */
static void *readable(struct bytes b)
{
    static const uint8_t nothing[1] = { 0 };
    return (void *)(uintptr_t)(b.data == NULL ? nothing : b.data);
}

static OSSL_PARAM octets(const char *name, struct bytes b)
{
    return OSSL_PARAM_construct_octet_string(name, readable(b), b.size);
}

static OSSL_PARAM word(const char *name, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)value, 0);
}

static enum err fetch_all(struct fetched *f)
{
    OSSL_PARAM params[] = { word(OSSL_MAC_PARAM_DIGEST, "SHA256"), OSSL_PARAM_construct_end() };
    f->library = OSSL_LIB_CTX_new();
    if (f->library == NULL || OSSL_PROVIDER_load(f->library, "default") == NULL) {
        return ERR_CRYPTO;
    }
    f->gcm = EVP_CIPHER_fetch(f->library, "AES-256-GCM", NULL);
    f->ecb = EVP_CIPHER_fetch(f->library, "AES-256-ECB", NULL);
    f->sha256 = EVP_MD_fetch(f->library, "SHA256", NULL);
    f->hmac = EVP_MAC_fetch(f->library, "HMAC", NULL);
    f->hkdf = EVP_KDF_fetch(f->library, "HKDF", NULL);
    f->scrypt = EVP_KDF_fetch(f->library, "SCRYPT", NULL);
    f->hmac_sha256 = f->hmac == NULL ? NULL : EVP_MAC_CTX_new(f->hmac);
    if (f->gcm == NULL || f->ecb == NULL || f->sha256 == NULL || f->hkdf == NULL ||
        f->scrypt == NULL || f->hmac_sha256 == NULL) {
        return ERR_CRYPTO;
    }
    return from_ossl(EVP_MAC_CTX_set_params(f->hmac_sha256, params));
}

/* Idempotent; what a failed try fetched stays, the process cannot go on anyway. */
static enum err init_once(bool own_process)
{
    enum err e = ERR_OK;
    if (atomic_load_explicit(&is_ready, memory_order_acquire)) {
        return ERR_OK;
    }
    pthread_mutex_lock(&init_lock);
    if (!atomic_load_explicit(&is_ready, memory_order_relaxed)) {
        if (own_process && OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1) {
            e = ERR_CRYPTO;
        } else {
            CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
            e = fetch_all(&ossl);
        }
        atomic_store_explicit(&is_ready, e == ERR_OK, memory_order_release);
    }
    pthread_mutex_unlock(&init_lock);
    return e;
}

enum err crypt_init(void)
{
    return init_once(true);
}

enum err crypt_init_guest(void)
{
    return init_once(false);
}

struct ossl_lib_ctx_st *crypt_ossl_library(void)
{
    assert(atomic_load(&is_ready));
    return ossl.library;
}

const struct evp_md_st *crypt_ossl_sha256(void)
{
    assert(atomic_load(&is_ready));
    return ossl.sha256;
}

static enum err run_hkdf(const char *mode,
                         struct bytes key,
                         struct bytes salt,
                         struct bytes info,
                         uint8_t *out,
                         size_t n)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    KDF_SCOPED *ctx = EVP_KDF_CTX_new(ossl.hkdf);
    static const uint8_t zeros[32];
    if (salt.size == 0) {
        salt = bytes_of(zeros, sizeof(zeros));
    }
    OSSL_PARAM params[] = {
        word(OSSL_KDF_PARAM_MODE, mode),   word(OSSL_KDF_PARAM_DIGEST, "SHA256"),
        octets(OSSL_KDF_PARAM_KEY, key),   octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()
    };
    if (ctx == NULL) {
        return ERR_NOMEM;
    }
    return from_ossl(EVP_KDF_derive(ctx, out, n, params));
}

enum err crypt_hk(struct bytes key,
                  struct bytes salt,
                  const char *label,
                  struct bytes ctx,
                  uint8_t *out,
                  size_t n)
{
    uint8_t info[HKDF_INFO_MAX];
    const size_t prefix = sizeof(LABEL_PREFIX) - 1;
    const size_t named = strlen(label);
    assert(n > 0 && n <= HKDF_OUT_MAX);
    if (named > 64 || ctx.size > sizeof(info) - prefix - named - 1) {
        return ERR_TOO_LARGE;
    }
    memcpy(info, LABEL_PREFIX, prefix);
    memcpy(info + prefix, label, named + 1); /* with its zero */
    if (ctx.size > 0) {
        memcpy(info + prefix + named + 1, ctx.data, ctx.size);
    }
    const struct bytes all = bytes_of(info, prefix + named + 1 + ctx.size);
    return run_hkdf("EXTRACT_AND_EXPAND", key, salt, all, out, n);
}

enum err crypt_hkdf_extract(struct bytes salt, struct bytes ikm, uint8_t prk[32])
{
    return run_hkdf("EXTRACT_ONLY", ikm, salt, bytes_of(NULL, 0), prk, 32);
}

enum err crypt_hkdf_expand(const uint8_t prk[32], struct bytes info, uint8_t *out, size_t n)
{
    assert(n > 0 && n <= HKDF_OUT_MAX);
    if (info.size > HKDF_INFO_MAX) {
        return ERR_TOO_LARGE;
    }
    return run_hkdf("EXPAND_ONLY", bytes_of(prk, 32), bytes_of(NULL, 0), info, out, n);
}

enum err crypt_hmac_sha256(struct bytes key, struct bytes data, uint8_t out[32])
{
    size_t got = 0;
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    MAC_SCOPED *ctx = EVP_MAC_CTX_dup(ossl.hmac_sha256);
    if (ctx == NULL) {
        return ERR_NOMEM;
    }
    TRY(from_ossl(EVP_MAC_init(ctx, readable(key), key.size, NULL)));
    TRY(from_ossl(EVP_MAC_update(ctx, readable(data), data.size)));
    TRY(from_ossl(EVP_MAC_final(ctx, out, &got, 32)));
    return got == 32 ? ERR_OK : ERR_CRYPTO;
}

/* One GCM pass with a context whose cipher is set. Tag is read or written. */
static enum err run_gcm(EVP_CIPHER_CTX *ctx,
                        bool seal,
                        const struct xaes_seal_key *k,
                        struct bytes aad,
                        struct bytes in,
                        uint8_t *out,
                        uint8_t tag[CRYPT_TAG])
{
    uint8_t rest[16];
    int n = 0;
    if (aad.size > INT_MAX || in.size > INT_MAX) {
        return ERR_TOO_LARGE;
    }
    TRY(from_ossl(EVP_CipherInit_ex2(ctx, NULL, k->kx, k->iv, seal ? 1 : 0, NULL)));
    if (aad.size > 0) {
        TRY(from_ossl(EVP_CipherUpdate(ctx, NULL, &n, aad.data, (int)aad.size)));
    }
    if (in.size > 0) {
        TRY(from_ossl(EVP_CipherUpdate(ctx, out, &n, in.data, (int)in.size)));
    }
    if (!seal) {
        TRY(from_ossl(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG, tag)));
        return EVP_CipherFinal_ex(ctx, rest, &n) == 1 ? ERR_OK : ERR_BAD_TAG;
    }
    TRY(from_ossl(EVP_CipherFinal_ex(ctx, rest, &n)));
    return from_ossl(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG, tag));
}

/* As run_gcm, with the tag apart; what was decrypted under a wrong tag is wiped. */
static enum err open_gcm(EVP_CIPHER_CTX *ctx,
                         const struct xaes_seal_key *k,
                         struct bytes aad,
                         struct bytes sealed,
                         const uint8_t tag[CRYPT_TAG],
                         uint8_t *out)
{
    uint8_t expected[CRYPT_TAG];
    memcpy(expected, tag, sizeof(expected));
    const enum err e = run_gcm(ctx, false, k, aad, sealed, out, expected);
    if (e != ERR_OK) {
        bytes_wipe(out, sealed.size);
    }
    return e;
}

static enum err new_gcm(EVP_CIPHER_CTX **out)
{
    *out = EVP_CIPHER_CTX_new();
    if (*out == NULL) {
        return ERR_NOMEM;
    }
    return from_ossl(EVP_CipherInit_ex2(*out, ossl.gcm, NULL, NULL, 1, NULL));
}

/* K1 of C2SP XAES-256-GCM: the CMAC subkey. */
static enum err make_k1(struct xaes *x)
{
    static const uint8_t zeros[16];
    uint8_t l[16];
    int n = 0;
    TRY(from_ossl(EVP_EncryptUpdate(x->ecb, l, &n, zeros, sizeof(zeros))));
    for (size_t i = 0; i < 16; i++) {
        const unsigned next = i < 15 ? l[i + 1] >> 7 : 0;
        x->k1[i] = (uint8_t)(l[i] << 1 | (int)next);
    }
    const uint8_t top = (uint8_t) - (l[0] >> 7); /* no branch on the secret */
    x->k1[15] ^= top & 0x87;
    bytes_wipe(l, sizeof(l));
    return n == 16 ? ERR_OK : ERR_CRYPTO;
}

static enum err set_up(struct xaes *x, const uint8_t key[CRYPT_KEY])
{
    x->ecb = EVP_CIPHER_CTX_new();
    if (x->ecb == NULL) {
        return ERR_NOMEM;
    }
    TRY(from_ossl(EVP_EncryptInit_ex2(x->ecb, ossl.ecb, key, NULL, NULL)));
    TRY(from_ossl(EVP_CIPHER_CTX_set_padding(x->ecb, 0)));
    TRY(new_gcm(&x->gcm));
    return make_k1(x);
}

static void tear_down(struct xaes *x)
{
    EVP_CIPHER_CTX_free(x->ecb);
    EVP_CIPHER_CTX_free(x->gcm);
    bytes_wipe(x, sizeof(*x));
}
#define XAES_SCOPED __attribute__((cleanup(tear_down))) struct xaes

enum err xaes_open(const uint8_t key[CRYPT_KEY], struct xaes **out)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    struct xaes *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        return ERR_NOMEM;
    }
    const enum err e = set_up(x, key);
    if (e != ERR_OK) {
        xaes_close(x);
        return e;
    }
    *out = x;
    return ERR_OK;
}

void xaes_close(struct xaes *x)
{
    if (x != NULL) {
        tear_down(x);
        free(x);
    }
}

enum err xaes_derive(struct xaes *x, const uint8_t nonce[CRYPT_NONCE], struct xaes_seal_key *out)
{
    uint8_t blocks[32] = { 0 };
    int n = 0;
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    for (size_t i = 0; i < 2; i++) {
        uint8_t *block = blocks + 16 * i;
        block[1] = (uint8_t)(i + 1);
        block[2] = 'X';
        memcpy(block + 4, nonce, 12);
        for (size_t j = 0; j < 16; j++) {
            block[j] ^= x->k1[j];
        }
    }
    const int rc = EVP_EncryptUpdate(x->ecb, out->kx, &n, blocks, sizeof(blocks));
    memcpy(out->iv, nonce + 12, 12);
    bytes_wipe(blocks, sizeof(blocks));
    return rc == 1 && n == 32 ? ERR_OK : ERR_CRYPTO;
}

enum err xaes_section_seal(struct xaes *x,
                           const struct xaes_seal_key *k,
                           struct bytes aad,
                           struct bytes plain,
                           uint8_t *out,
                           uint8_t tag[CRYPT_TAG])
{
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    return run_gcm(x->gcm, true, k, aad, plain, out, tag);
}

enum err xaes_section_unseal(struct xaes *x,
                             const struct xaes_seal_key *k,
                             struct bytes aad,
                             struct bytes sealed,
                             const uint8_t tag[CRYPT_TAG],
                             uint8_t *out)
{
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    return open_gcm(x->gcm, k, aad, sealed, tag, out);
}

enum err xaes_seal(struct xaes *x,
                   const uint8_t nonce[CRYPT_NONCE],
                   struct bytes aad,
                   struct bytes plain,
                   uint8_t *out,
                   uint8_t tag[CRYPT_TAG])
{
    SEAL_KEY_SCOPED k = { 0 };
    TRY(xaes_derive(x, nonce, &k));
    return xaes_section_seal(x, &k, aad, plain, out, tag);
}

enum err xaes_unseal(struct xaes *x,
                     const uint8_t nonce[CRYPT_NONCE],
                     struct bytes aad,
                     struct bytes sealed,
                     const uint8_t tag[CRYPT_TAG],
                     uint8_t *out)
{
    SEAL_KEY_SCOPED k = { 0 };
    TRY(xaes_derive(x, nonce, &k));
    return xaes_section_unseal(x, &k, aad, sealed, tag, out);
}

enum err xaes_seal_once(const uint8_t key[CRYPT_KEY],
                        const uint8_t nonce[CRYPT_NONCE],
                        struct bytes aad,
                        struct bytes plain,
                        uint8_t *out,
                        uint8_t tag[CRYPT_TAG])
{
    XAES_SCOPED x = { 0 };
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    TRY(set_up(&x, key));
    return xaes_seal(&x, nonce, aad, plain, out, tag);
}

enum err xaes_unseal_once(const uint8_t key[CRYPT_KEY],
                          const uint8_t nonce[CRYPT_NONCE],
                          struct bytes aad,
                          struct bytes sealed,
                          const uint8_t tag[CRYPT_TAG],
                          uint8_t *out)
{
    XAES_SCOPED x = { 0 };
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    TRY(set_up(&x, key));
    return xaes_unseal(&x, nonce, aad, sealed, tag, out);
}

/* Copies key and iv together, as run_gcm wants them. */
static void pair_up(struct xaes_seal_key *k, const uint8_t key[CRYPT_KEY], const uint8_t iv[12])
{
    memcpy(k->kx, key, CRYPT_KEY);
    memcpy(k->iv, iv, 12);
}

enum err gcm_seal(const uint8_t key[CRYPT_KEY],
                  const uint8_t iv[12],
                  struct bytes aad,
                  struct bytes plain,
                  uint8_t *out,
                  uint8_t tag[CRYPT_TAG])
{
    CIPHER_SCOPED *ctx = NULL;
    SEAL_KEY_SCOPED k = { 0 };
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    TRY(new_gcm(&ctx));
    pair_up(&k, key, iv);
    return run_gcm(ctx, true, &k, aad, plain, out, tag);
}

enum err gcm_unseal(const uint8_t key[CRYPT_KEY],
                    const uint8_t iv[12],
                    struct bytes aad,
                    struct bytes sealed,
                    const uint8_t tag[CRYPT_TAG],
                    uint8_t *out)
{
    CIPHER_SCOPED *ctx = NULL;
    SEAL_KEY_SCOPED k = { 0 };
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    TRY(new_gcm(&ctx));
    pair_up(&k, key, iv);
    return open_gcm(ctx, &k, aad, sealed, tag, out);
}

static EVP_PKEY *private_key(const char *type, const uint8_t priv[32])
{
    return EVP_PKEY_new_raw_private_key_ex(ossl.library, type, NULL, priv, 32);
}

static enum err public_of(const char *type, const uint8_t priv[32], uint8_t pub[32])
{
    size_t size = 32;
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    PKEY_SCOPED *key = private_key(type, priv);
    if (key == NULL) {
        return ERR_CRYPTO;
    }
    return from_ossl(EVP_PKEY_get_raw_public_key(key, pub, &size));
}

enum err x25519_public(const uint8_t priv[32], uint8_t pub[32])
{
    return public_of("X25519", priv, pub);
}

enum err x25519_shared(const uint8_t priv[32], const uint8_t pub[32], uint8_t out[32])
{
    size_t size = 32;
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    PKEY_SCOPED *own = private_key("X25519", priv);
    PKEY_SCOPED *peer = EVP_PKEY_new_raw_public_key_ex(ossl.library, "X25519", NULL, pub, 32);
    if (own == NULL || peer == NULL) {
        return ERR_CRYPTO;
    }
    PKEY_CTX_SCOPED *ctx = EVP_PKEY_CTX_new_from_pkey(ossl.library, own, NULL);
    TRY(from_ossl(ctx == NULL ? 0 : EVP_PKEY_derive_init(ctx)));
    TRY(from_ossl(EVP_PKEY_derive_set_peer(ctx, peer)));
    /* OpenSSL fails where the point has small order: the all-zero result. */
    if (EVP_PKEY_derive(ctx, out, &size) != 1 || bytes_all_zero(bytes_of(out, 32))) {
        bytes_wipe(out, 32);
        return ERR_REFUSED;
    }
    return size == 32 ? ERR_OK : ERR_CRYPTO;
}

enum err ed25519_public(const uint8_t priv[32], uint8_t pub[32])
{
    return public_of("ED25519", priv, pub);
}

enum err ed25519_sign(const uint8_t priv[32], struct bytes message, uint8_t sig[64])
{
    size_t size = 64;
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    PKEY_SCOPED *key = private_key("ED25519", priv);
    MD_SCOPED *ctx = EVP_MD_CTX_new();
    if (key == NULL || ctx == NULL) {
        return ERR_CRYPTO;
    }
    TRY(from_ossl(EVP_DigestSignInit_ex(ctx, NULL, NULL, ossl.library, NULL, key, NULL)));
    TRY(from_ossl(EVP_DigestSign(ctx, sig, &size, readable(message), message.size)));
    return size == 64 ? ERR_OK : ERR_CRYPTO;
}

enum err ed25519_verify(const uint8_t pub[32], struct bytes message, const uint8_t sig[64])
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    PKEY_SCOPED *key = EVP_PKEY_new_raw_public_key_ex(ossl.library, "ED25519", NULL, pub, 32);
    MD_SCOPED *ctx = EVP_MD_CTX_new();
    if (key == NULL || ctx == NULL) {
        return ERR_CRYPTO;
    }
    TRY(from_ossl(EVP_DigestVerifyInit_ex(ctx, NULL, NULL, ossl.library, NULL, key, NULL)));
    const int rc = EVP_DigestVerify(ctx, sig, 64, readable(message), message.size);
    return rc == 1 ? ERR_OK : ERR_BAD_TAG;
}

enum err crypt_scrypt(
    struct bytes password, struct bytes salt, unsigned log_n, uint8_t *out, size_t n)
{
    if (log_n < 1 || log_n > SCRYPT_LOG_N_MAX) {
        return ERR_UNSUPPORTED; /* may come from a stored record: no assert */
    }
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    KDF_SCOPED *ctx = EVP_KDF_CTX_new(ossl.scrypt);
    uint64_t cost = (uint64_t)1 << log_n;
    uint64_t memory = cost * 128u * SCRYPT_R + 1048576u;
    uint32_t r = SCRYPT_R;
    uint32_t p = 1;
    OSSL_PARAM params[] = { octets(OSSL_KDF_PARAM_PASSWORD, password),
                            octets(OSSL_KDF_PARAM_SALT, salt),
                            OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &cost),
                            OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
                            OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
                            OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
                            OSSL_PARAM_construct_end() };
    if (ctx == NULL) {
        return ERR_NOMEM;
    }
    return from_ossl(EVP_KDF_derive(ctx, out, n, params));
}

enum err crypt_random(void *out, size_t size)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    return from_ossl(size == 0 ? 1 : RAND_priv_bytes_ex(ossl.library, out, size, 0));
}

enum err crypt_nonce(uint8_t *out, size_t size)
{
    struct timespec now = { 0 };
    assert(size == CRYPT_NONCE || size == CRYPT_NONCE - 1);
    TRY(crypt_random(out, size));
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return ERR_IO;
    }
    crypt_nonce_mix(out, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    return ERR_OK;
}

void crypt_nonce_mix(uint8_t *nonce, uint64_t realtime_ns)
{
    put_u64(nonce, get_u64(nonce) ^ realtime_ns);
}
