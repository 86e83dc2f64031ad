/* SPDX-License-Identifier: Apache-2.0 */
/* EC keys by templates: one EC_KEY per curve whose private number is set for one
 * signature and cleared after it (fastkey.h, limits.md 2c). One thread. */
#define OPENSSL_API_COMPAT 10101
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include "hsm-sim/fastkey.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/objects.h>
#include <stdlib.h>

enum curve { P256, P384, P521, CURVES };

static const struct curve_row {
    unsigned number; /* enum seal_curve */
    int nid;
    size_t size;
} curves[CURVES] = {
    [P256] = { SEAL_CURVE_P256, NID_X9_62_prime256v1, 32 },
    [P384] = { SEAL_CURVE_P384, NID_secp384r1, 48 },
    [P521] = { SEAL_CURVE_P521, NID_secp521r1, 66 },
};

struct template
{
    EC_GROUP *group;
    EC_KEY *sign, *verify;
    EC_POINT *point;
};
struct fastkey_ec {
    struct template template[CURVES];
    BN_CTX *ctx;
};

static void free_bn(BIGNUM **bn)
{
    BN_clear_free(*bn);
    *bn = NULL;
}
#define BN_SCOPED __attribute__((cleanup(free_bn))) BIGNUM
static void free_signature(ECDSA_SIG **s)
{
    ECDSA_SIG_free(*s);
    *s = NULL;
}
#define SIGNATURE_SCOPED __attribute__((cleanup(free_signature))) ECDSA_SIG
static void free_key(EC_KEY **k)
{
    EC_KEY_free(*k);
    *k = NULL;
}
#define KEY_SCOPED __attribute__((cleanup(free_key))) EC_KEY

static bool template_open(struct template *t, int nid)
{
    t->group = EC_GROUP_new_by_curve_name(nid);
    t->sign = EC_KEY_new();
    t->verify = EC_KEY_new();
    if (t->group == NULL || t->sign == NULL || t->verify == NULL) {
        return false;
    }
    t->point = EC_POINT_new(t->group);
    return t->point != NULL && EC_KEY_set_group(t->sign, t->group) == 1 &&
           EC_KEY_set_group(t->verify, t->group) == 1;
}

enum err fastkey_ec_open(struct fastkey_ec **out)
{
    struct fastkey_ec *f = calloc(1, sizeof *f);
    bool good;
    if (f == NULL) {
        return ERR_NOMEM;
    }
    f->ctx = BN_CTX_new();
    good = f->ctx != NULL;
    for (unsigned i = 0; i < CURVES && good; i++) {
        good = template_open(&f->template[i], curves[i].nid);
    }
    if (!good) {
        fastkey_ec_close(f);
        return ERR_CRYPTO;
    }
    *out = f;
    return ERR_OK;
}

void fastkey_ec_close(struct fastkey_ec *f)
{
    if (f == NULL) {
        return;
    }
    for (unsigned i = 0; i < CURVES; i++) {
        EC_POINT_free(f->template[i].point);
        EC_KEY_free(f->template[i].sign);
        EC_KEY_free(f->template[i].verify);
        EC_GROUP_free(f->template[i].group);
    }
    BN_CTX_free(f->ctx);
    free(f);
}

/* CURVES: not supported. */
static enum curve find(unsigned number)
{
    unsigned i = 0;
    while (i < CURVES && curves[i].number != number) {
        i++;
    }
    return (enum curve)i;
}

enum err fastkey_ec_sign(
    struct fastkey_ec *f, unsigned curve, struct bytes scalar, struct bytes digest, uint8_t *out)
{
    enum curve c = find(curve);
    BN_SCOPED *d = NULL;
    SIGNATURE_SCOPED *sig = NULL;
    size_t n;
    if (c == CURVES) {
        return ERR_CURVE;
    }
    n = curves[c].size;
    assert(scalar.size == n);
    d = BN_bin2bn(scalar.data, (int)n, NULL);
    if (d == NULL || EC_KEY_set_private_key(f->template[c].sign, d) != 1) {
        return ERR_CRYPTO;
    }
    sig = ECDSA_do_sign(digest.data, (int)digest.size, f->template[c].sign);
    (void)EC_KEY_set_private_key(f->template[c].sign, NULL);
    if (sig == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)n) != (int)n ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + n, (int)n) != (int)n) {
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

static bool set_signature(ECDSA_SIG *sig, struct bytes b)
{
    int n = (int)(b.size / 2);
    BN_SCOPED *r = BN_bin2bn(b.data, n, NULL);
    BN_SCOPED *s = BN_bin2bn(b.data + n, n, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        return false;
    }
    r = s = NULL;
    return true;
}

enum err fastkey_ec_verify(struct fastkey_ec *f,
                           unsigned curve,
                           struct bytes point,
                           struct bytes digest,
                           struct bytes signature)
{
    SIGNATURE_SCOPED *sig = ECDSA_SIG_new();
    enum curve c = find(curve);
    struct template *t;
    if (c == CURVES) {
        return ERR_CURVE;
    }
    t = &f->template[c];
    assert(signature.size == 2 * curves[c].size);
    if (!set_signature(sig, signature) ||
        EC_POINT_oct2point(t->group, t->point, point.data, point.size, f->ctx) != 1 ||
        EC_KEY_set_public_key(t->verify, t->point) != 1) {
        return ERR_CRYPTO;
    }
    if (ECDSA_do_verify(digest.data, (int)digest.size, sig, t->verify) != 1) {
        return ERR_SIGNATURE_INVALID;
    }
    return ERR_OK;
}

enum err fastkey_ec_generate(struct fastkey_ec *f, unsigned curve, uint8_t *out)
{
    enum curve c = find(curve);
    KEY_SCOPED *key = EC_KEY_new();
    size_t n;
    if (c == CURVES) {
        return ERR_CURVE;
    }
    n = curves[c].size;
    if (key == NULL || EC_KEY_set_group(key, f->template[c].group) != 1 ||
        EC_KEY_generate_key(key) != 1 ||
        BN_bn2binpad(EC_KEY_get0_private_key(key), out, (int)n) != (int)n ||
        EC_POINT_point2oct(f->template[c].group, EC_KEY_get0_public_key(key),
                           POINT_CONVERSION_UNCOMPRESSED, out + n, 2 * n + 1,
                           f->ctx) != 2 * n + 1) {
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

enum err fastkey_ec_public(struct fastkey_ec *f,
                           unsigned curve,
                           struct bytes scalar,
                           uint8_t *point)
{
    enum curve c = find(curve);
    BN_SCOPED *d = NULL;
    struct template *t;
    size_t n;
    if (c == CURVES) {
        return ERR_CURVE;
    }
    t = &f->template[c];
    n = curves[c].size;
    assert(scalar.size == n);
    d = BN_bin2bn(scalar.data, (int)n, NULL);
    if (d == NULL) {
        return ERR_NOMEM;
    }
    BN_set_flags(d, BN_FLG_CONSTTIME);
    if (BN_is_zero(d) || BN_cmp(d, EC_GROUP_get0_order(t->group)) >= 0) {
        return ERR_ATTRIBUTE;
    }
    if (EC_POINT_mul(t->group, t->point, d, NULL, NULL, f->ctx) != 1 ||
        EC_POINT_point2oct(t->group, t->point, POINT_CONVERSION_UNCOMPRESSED, point, 2 * n + 1,
                           f->ctx) != 2 * n + 1) {
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

enum err fastkey_ec_check_point(struct fastkey_ec *f, unsigned curve, struct bytes point)
{
    enum curve c = find(curve);
    struct template *t;
    if (c == CURVES) {
        return ERR_CURVE;
    }
    t = &f->template[c];
    if (point.size != 2 * curves[c].size + 1 || point.data[0] != 4 ||
        EC_POINT_oct2point(t->group, t->point, point.data, point.size, f->ctx) != 1) {
        return ERR_ATTRIBUTE;
    }
    return ERR_OK;
}
