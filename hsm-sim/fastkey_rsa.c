/* SPDX-License-Identifier: Apache-2.0 */
/* RSA from raw numbers by RSA_set0_* (fastkey.h). Stock blinding; the primes and
 * d are needed both: OpenSSL 3.0 ignores the primes where d is absent. */
#define OPENSSL_API_COMPAT 10101
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include "hsm-sim/fastkey.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/rsa.h>
#include <string.h>

#define E_SIZE 8u

static void free_bn(BIGNUM **bn)
{
    BN_clear_free(*bn);
    *bn = NULL;
}
#define BN_SCOPED __attribute__((cleanup(free_bn))) BIGNUM
static void wipe_em(uint8_t (*em)[FASTKEY_RSA_BYTES])
{
    bytes_wipe(*em, sizeof *em);
}
#define EM_SCOPED __attribute__((cleanup(wipe_em))) uint8_t

void fastkey_rsa_close(struct rsa_st **rsa)
{
    RSA_free(*rsa);
    *rsa = NULL;
}

size_t fastkey_rsa_size(const struct rsa_st *rsa)
{
    return (size_t)RSA_size(rsa);
}

/* Takes the next `size` bytes as a number. */
static BIGNUM *take(const uint8_t **at, size_t size)
{
    BIGNUM *bn = BN_bin2bn(*at, (int)size, NULL);
    *at += size;
    return bn;
}

/* set0 takes over both on success alone. */
static bool set_public(RSA *rsa, BIGNUM **n, BIGNUM **e, BIGNUM **d)
{
    if (*n == NULL || *e == NULL || RSA_set0_key(rsa, *n, *e, *d) != 1) {
        return false;
    }
    *n = *e = *d = NULL;
    return true;
}

static bool set_private(RSA *rsa, const uint8_t *at, size_t k, size_t h)
{
    BN_SCOPED *n = take(&at, k);
    BN_SCOPED *e = take(&at, E_SIZE);
    BN_SCOPED *d = take(&at, k);
    BN_SCOPED *p = take(&at, h);
    BN_SCOPED *q = take(&at, h);
    BN_SCOPED *dp = take(&at, h);
    BN_SCOPED *dq = take(&at, h);
    BN_SCOPED *qi = take(&at, h);
    if (d == NULL || !set_public(rsa, &n, &e, &d) || p == NULL || q == NULL ||
        RSA_set0_factors(rsa, p, q) != 1) {
        return false;
    }
    p = q = NULL;
    if (dp == NULL || dq == NULL || qi == NULL || RSA_set0_crt_params(rsa, dp, dq, qi) != 1) {
        return false;
    }
    dp = dq = qi = NULL;
    return true;
}

enum err fastkey_rsa_open(const struct key_info *key, struct rsa_st **out)
{
    size_t k = (key->bits + 7u) / 8u, h = (key->bits + 15u) / 16u;
    const uint8_t *at = key->material.data;
    FASTKEY_RSA_SCOPED *rsa = RSA_new();
    bool good = rsa != NULL && key->type == SEAL_KEY_RSA && key->bits <= FASTKEY_RSA_MAX;
    if (good && key->class == SEAL_CLASS_PRIVATE) {
        assert(key->material.size == 2 * k + E_SIZE + 5 * h);
        good = set_private(rsa, at, k, h);
    } else if (good) {
        BN_SCOPED *n = take(&at, k);
        BN_SCOPED *e = take(&at, E_SIZE);
        BN_SCOPED *d = NULL;
        assert(key->material.size == k + E_SIZE);
        good = set_public(rsa, &n, &e, &d);
    }
    if (!good || (size_t)RSA_size(rsa) != k) {
        return ERR_CRYPTO;
    }
    *out = rsa;
    rsa = NULL;
    return ERR_OK;
}

enum err fastkey_rsa_public(struct rsa_st *rsa, const uint8_t *in, uint8_t *out)
{
    int k = RSA_size(rsa);
    return RSA_public_decrypt(k, in, out, rsa, RSA_NO_PADDING) == k ? ERR_OK : ERR_DATA_INVALID;
}

enum err fastkey_rsa_private(struct rsa_st *rsa, const uint8_t *in, uint8_t *out)
{
    EM_SCOPED back[FASTKEY_RSA_BYTES] = { 0 };
    int k = RSA_size(rsa);
    enum err e;
    if (RSA_private_encrypt(k, in, out, rsa, RSA_NO_PADDING) != k) {
        bytes_wipe(out, (size_t)k);
        return ERR_DATA_INVALID;
    }
    e = fastkey_rsa_public(rsa, out, back);
    if (e != ERR_OK || !secret_equal(bytes_of(in, (size_t)k), bytes_of(back, (size_t)k))) {
        bytes_wipe(out, (size_t)k);
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

/* -- paddings ------------------------------------------------------------------- */

enum err fastkey_rsa_pad_type1(struct rsa_st *rsa, struct bytes in, uint8_t *em)
{
    int k = RSA_size(rsa);
    return RSA_padding_add_PKCS1_type_1(em, k, in.data, (int)in.size) == 1 ? ERR_OK
                                                                           : ERR_DATA_LENGTH;
}

enum err fastkey_rsa_pad_type2(struct rsa_st *rsa, struct bytes in, uint8_t *em)
{
    int k = RSA_size(rsa);
    return RSA_padding_add_PKCS1_type_2(em, k, in.data, (int)in.size) == 1 ? ERR_OK
                                                                           : ERR_DATA_LENGTH;
}

enum err fastkey_rsa_pad_pss(struct rsa_st *rsa,
                             const struct fastkey_rsa_padding *p,
                             const uint8_t *digest,
                             uint8_t *em)
{
    int good = RSA_padding_add_PKCS1_PSS_mgf1(rsa, em, digest, p->hash, p->mgf, (int)p->salt_size);
    return good == 1 ? ERR_OK : ERR_MECHANISM_PARAM;
}

enum err fastkey_rsa_check_pss(struct rsa_st *rsa,
                               const struct fastkey_rsa_padding *p,
                               const uint8_t *digest,
                               const uint8_t *em)
{
    int good = RSA_verify_PKCS1_PSS_mgf1(rsa, digest, p->hash, p->mgf, em, (int)p->salt_size);
    return good == 1 ? ERR_OK : ERR_SIGNATURE_INVALID;
}

enum err fastkey_rsa_pad_oaep(struct rsa_st *rsa,
                              const struct fastkey_rsa_padding *p,
                              struct bytes in,
                              uint8_t *em)
{
    int good = RSA_padding_add_PKCS1_OAEP_mgf1(em, RSA_size(rsa), in.data, (int)in.size,
                                               p->label.data, (int)p->label.size, p->hash, p->mgf);
    return good == 1 ? ERR_OK : ERR_DATA_LENGTH;
}

/* OpenSSL's check runs in constant time over em; its one bit of outcome is what
 * whoever may decrypt is told anyway. */
enum err fastkey_rsa_unpad_oaep(struct rsa_st *rsa,
                                const struct fastkey_rsa_padding *p,
                                const uint8_t *em,
                                uint8_t *out,
                                size_t *size)
{
    int k = RSA_size(rsa);
    int n = RSA_padding_check_PKCS1_OAEP_mgf1(out, k, em, k, k, p->label.data, (int)p->label.size,
                                              p->hash, p->mgf);
    if (n < 0) {
        bytes_wipe(out, (size_t)k);
        return ERR_DATA_INVALID;
    }
    *size = (size_t)n;
    return ERR_OK;
}

/* -- making and checking ------------------------------------------------------------ */

static bool put(const BIGNUM *bn, size_t size, uint8_t **at)
{
    bool good = bn != NULL && BN_bn2binpad(bn, *at, (int)size) == (int)size;
    *at += size;
    return good;
}

static bool put_material(const RSA *rsa, size_t k, uint8_t *at)
{
    size_t h = k / 2;
    return put(RSA_get0_n(rsa), k, &at) && put(RSA_get0_e(rsa), E_SIZE, &at) &&
           put(RSA_get0_d(rsa), k, &at) && put(RSA_get0_p(rsa), h, &at) &&
           put(RSA_get0_q(rsa), h, &at) && put(RSA_get0_dmp1(rsa), h, &at) &&
           put(RSA_get0_dmq1(rsa), h, &at) && put(RSA_get0_iqmp(rsa), h, &at);
}

enum err fastkey_rsa_generate(unsigned bits, uint64_t e, uint8_t *out)
{
    FASTKEY_RSA_SCOPED *rsa = RSA_new();
    BN_SCOPED *exponent = BN_new();
    assert(bits >= FASTKEY_RSA_MIN && bits <= FASTKEY_RSA_MAX && bits % 16u == 0);
    if (rsa == NULL || exponent == NULL || BN_set_word(exponent, e) != 1 ||
        RSA_generate_key_ex(rsa, (int)bits, exponent, NULL) != 1 ||
        !put_material(rsa, bits / 8u, out)) {
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

enum err fastkey_rsa_check(const struct key_info *key)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    if (fastkey_rsa_open(key, &rsa) != ERR_OK || RSA_bits(rsa) != (int)key->bits ||
        RSA_check_key_ex(rsa, NULL) != 1) {
        return ERR_ATTRIBUTE;
    }
    return ERR_OK;
}
