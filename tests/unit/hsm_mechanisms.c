/* SPDX-License-Identifier: Apache-2.0 */
/* Mechanisms of the worker against OpenSSL's EVP: what one makes the other accepts,
 * both ways; and what is refused. */
#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "hsm-sim/mech.h"
#include "proto/mechanism.h"
#include "tests/lib/worker_kit.h"

static struct worker_kit kit;
static struct buf blob[2], a[2]; /* public, private */
static const struct bytes none;

static void begin(void)
{
    worker_kit_open(&kit);
}
static void end(void)
{
    worker_kit_drop(blob, 2);
    worker_kit_drop(a, 2);
    worker_kit_close(&kit);
}
TestSuite(hsm_mechanisms, .init = begin, .fini = end, .timeout = 60);

static struct bytes get(const struct buf *list, uint32_t type)
{
    struct bytes v = { 0 };
    cr_assert_eq(template_get(buf_bytes(list), type, &v), ERR_OK, "attribute %x", type);
    return v;
}

static EVP_PKEY *from_params(const char *name, OSSL_PARAM_BLD *build, int selection)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
    cr_assert_eq(EVP_PKEY_fromdata_init(ctx), 1);
    cr_assert_eq(EVP_PKEY_fromdata(ctx, &key, selection, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *rsa_key(const struct buf *list)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    struct bytes n = get(list, CKA_MODULUS), e = get(list, CKA_PUBLIC_EXPONENT);
    BIGNUM *bn = BN_bin2bn(n.data, (int)n.size, NULL), *be = BN_bin2bn(e.data, (int)e.size, NULL);
    cr_assert(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn));
    cr_assert(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be));
    EVP_PKEY *key = from_params("RSA", build, EVP_PKEY_PUBLIC_KEY);
    BN_free(bn);
    BN_free(be);
    return key;
}

static const char *group_name(unsigned curve)
{
    return curve == SEAL_CURVE_P256 ? "P-256" : curve == SEAL_CURVE_P384 ? "P-384" : "P-521";
}

static EVP_PKEY *ec_key(const struct buf *list, unsigned curve)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    struct bytes der = get(list, CKA_EC_POINT);
    size_t head = der.data[1] == 0x81 ? 3 : 2;
    cr_assert_eq(der.data[0], 4);
    cr_assert(
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group_name(curve), 0));
    cr_assert(OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, der.data + head,
                                               der.size - head));
    return from_params("EC", build, EVP_PKEY_PUBLIC_KEY);
}

static const char message[] = "what is to be signed";
static struct bytes text(void)
{
    return bytes_of(message, sizeof message - 1);
}

static bool evp_verify(EVP_PKEY *key, const char *md, bool pss, int salt, struct bytes sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    cr_assert_eq(EVP_DigestVerifyInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL), 1);
    if (pss) {
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
    }
    int good = EVP_DigestVerify(ctx, sig.data, sig.size, text().data, text().size);
    EVP_MD_CTX_free(ctx);
    return good == 1;
}

static struct buf pss(uint64_t hash, uint64_t mgf, uint64_t salt)
{
    struct buf b = { 0 };
    const struct mechanism_pss p = { hash, mgf, salt };
    cr_assert_eq(mechanism_pss_append(&b, &p), ERR_OK);
    return b;
}

static const struct {
    const char *md;
    uint64_t hash, mgf, pkcs, pss, ecdsa;
    int size;
} hash_rows[] = {
    { "SHA224", CKM_SHA224, CKG_MGF1_SHA224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS,
      CKM_ECDSA_SHA224, 28 },
    { "SHA256", CKM_SHA256, CKG_MGF1_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS,
      CKM_ECDSA_SHA256, 32 },
    { "SHA384", CKM_SHA384, CKG_MGF1_SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS,
      CKM_ECDSA_SHA384, 48 },
    { "SHA512", CKM_SHA512, CKG_MGF1_SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS,
      CKM_ECDSA_SHA512, 64 },
};
#define HASH_ROWS (sizeof hash_rows / sizeof hash_rows[0])

/* Both blobs verify it, EVP too; one bit less and nobody does. */
static void check_signature(uint64_t mechanism,
                            struct bytes parameter,
                            EVP_PKEY *key,
                            const char *md,
                            bool is_pss,
                            int salt)
{
    cr_assert_eq(worker_kit_operate(&kit, CORE_SIGN, mechanism, &blob[1], parameter, text(), none),
                 ERR_OK);
    BUF_SCOPED sig = worker_kit_take(&kit, 0);
    if (key != NULL) {
        cr_expect(evp_verify(key, md, is_pss, salt, buf_bytes(&sig)), "%s", md);
    }
    for (unsigned i = 0; i < 2; i++) {
        enum err e = worker_kit_operate(&kit, CORE_VERIFY, mechanism, &blob[i], parameter, text(),
                                        buf_bytes(&sig));
        cr_expect_eq(e, ERR_OK, "blob %u: %s", i, err_name(e));
        cr_expect_eq(kit.reply.section[0].size, 0);
        sig.data[sig.size - 1] ^= 1;
        e = worker_kit_operate(&kit, CORE_VERIFY, mechanism, &blob[i], parameter, text(),
                               buf_bytes(&sig));
        cr_expect_eq(e, ERR_SIGNATURE_INVALID, "%s", err_name(e));
        sig.data[sig.size - 1] ^= 1;
    }
    sig.size--;
    enum err e = worker_kit_operate(&kit, CORE_VERIFY, mechanism, &blob[0], parameter, text(),
                                    buf_bytes(&sig));
    cr_expect_eq(e, ERR_SIGNATURE_LENGTH);
}

Test(hsm_mechanisms, rsa_signatures_are_evps)
{
    worker_kit_rsa_pair(&kit, blob, a);
    EVP_PKEY *key = rsa_key(&a[0]);
    for (unsigned i = 0; i < HASH_ROWS; i++) {
        check_signature(hash_rows[i].pkcs, none, key, hash_rows[i].md, false, 0);
        BUF_SCOPED p = pss(hash_rows[i].hash, hash_rows[i].mgf, (uint64_t)hash_rows[i].size);
        check_signature(hash_rows[i].pss, buf_bytes(&p), key, hash_rows[i].md, true,
                        hash_rows[i].size);
        BUF_SCOPED unsalted = pss(hash_rows[i].hash, hash_rows[i].mgf, 0);
        check_signature(hash_rows[i].pss, buf_bytes(&unsalted), key, hash_rows[i].md, true, 0);
    }
    EVP_PKEY_free(key);
}

Test(hsm_mechanisms, rsa_raw_takes_a_digest_info)
{
    static const uint8_t prefix[] = { 0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1,
                                      0x65, 3,    4,    2,    1, 5, 0,    4,    0x20 };
    uint8_t info[sizeof prefix + 32];
    unsigned size = 32;
    worker_kit_rsa_pair(&kit, blob, a);
    EVP_PKEY *key = rsa_key(&a[0]);
    memcpy(info, prefix, sizeof prefix);
    cr_assert(
        EVP_Digest(text().data, text().size, info + sizeof prefix, &size, EVP_sha256(), NULL));
    struct bytes in = bytes_of(info, sizeof info);
    cr_assert_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_RSA_PKCS, &blob[1], none, in, none),
                 ERR_OK);
    cr_expect(evp_verify(key, "SHA256", false, 0, kit.reply.section[0]));
    BUF_SCOPED sig = worker_kit_take(&kit, 0);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_VERIFY, CKM_RSA_PKCS, &blob[0], none, in, buf_bytes(&sig)),
        ERR_OK);
    static const uint8_t long_one[246];
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_RSA_PKCS, &blob[1], none,
                                    bytes_of(long_one, 245), none),
                 ERR_OK);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_RSA_PKCS, &blob[1], none,
                                    bytes_of(long_one, 246), none),
                 ERR_DATA_LENGTH);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_RSA_PKCS, &blob[1], none, none, none),
                 ERR_DATA_LENGTH);
    EVP_PKEY_free(key);
}

Test(hsm_mechanisms, pss_parameters_are_checked)
{
    uint8_t digest[32] = { 1 };
    worker_kit_rsa_pair(&kit, blob, a);
    const struct {
        uint64_t hash, mgf, salt;
        enum err want;
    } rows[] = {
        { CKM_SHA256, CKG_MGF1_SHA256, 32, ERR_OK },
        { CKM_SHA256, CKG_MGF1_SHA1, 20, ERR_OK },
        { CKM_SHA256, CKG_MGF1_SHA256, 222, ERR_OK },
        { CKM_SHA256, CKG_MGF1_SHA256, 223, ERR_MECHANISM_PARAM },
        { CKM_SHA256, CKG_MGF1_SHA256, UINT64_MAX, ERR_MECHANISM_PARAM },
        { CKM_SHA256, 77, 32, ERR_MECHANISM_PARAM },
        { 77, CKG_MGF1_SHA256, 32, ERR_MECHANISM_PARAM },
        { CKM_SHA384, CKG_MGF1_SHA384, 32, ERR_DATA_LENGTH },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        BUF_SCOPED p = pss(rows[i].hash, rows[i].mgf, rows[i].salt);
        enum err e = worker_kit_operate(&kit, CORE_SIGN, CKM_RSA_PKCS_PSS, &blob[1], buf_bytes(&p),
                                        bytes_of(digest, 32), none);
        cr_expect_eq(e, rows[i].want, "row %u: %s", i, err_name(e));
    }
    BUF_SCOPED other = pss(CKM_SHA384, CKG_MGF1_SHA384, 48);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS_PSS, &blob[1],
                                    buf_bytes(&other), text(), none),
                 ERR_MECHANISM_PARAM);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS_PSS, &blob[1], none, text(), none),
        ERR_MECHANISM_PARAM);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS, &blob[1],
                                    buf_bytes(&other), text(), none),
                 ERR_MECHANISM_PARAM);
}

Test(hsm_mechanisms, sha1_is_verified_and_never_signed)
{
    worker_kit_rsa_pair(&kit, blob, a);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_SIGN, CKM_SHA1_RSA_PKCS, &blob[1], none, text(), none),
        ERR_MECHANISM);
    uint8_t digest[20] = { 1 };
    BUF_SCOPED p = pss(CKM_SHA_1, CKG_MGF1_SHA1, 20);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_RSA_PKCS_PSS, &blob[1], buf_bytes(&p),
                                    bytes_of(digest, 20), none),
                 ERR_MECHANISM_PARAM);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_ECDSA_SHA1, &blob[1], none, text(), none),
                 ERR_MECHANISM);
}

Test(hsm_mechanisms, rsa_encryption_both_ways)
{
    worker_kit_rsa_pair(&kit, blob, a);
    EVP_PKEY *key = rsa_key(&a[0]);
    const struct {
        uint64_t hash, mgf;
        const char *md, *mgf_md;
    } rows[] = { { CKM_SHA_1, CKG_MGF1_SHA1, "SHA1", "SHA1" },
                 { CKM_SHA256, CKG_MGF1_SHA256, "SHA256", "SHA256" },
                 { CKM_SHA512, CKG_MGF1_SHA1, "SHA512", "SHA1" } };
    for (unsigned i = 0; i < 3; i++) {
        BUF_SCOPED p = { 0 };
        const struct mechanism_oaep o = { rows[i].hash, rows[i].mgf,
                                          bytes_of_text(i == 1 ? "label" : "") };
        uint8_t out[256];
        size_t size = sizeof out;
        cr_assert_eq(mechanism_oaep_append(&p, &o), ERR_OK);
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
        cr_assert_eq(EVP_PKEY_encrypt_init(ctx), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_oaep_md_name(ctx, rows[i].md, NULL), 1);
        cr_assert_eq(EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, rows[i].mgf_md, NULL), 1);
        if (i == 1) {
            cr_assert_eq(EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, OPENSSL_strdup("label"), 5), 1);
        }
        cr_assert_eq(EVP_PKEY_encrypt(ctx, out, &size, text().data, text().size), 1);
        EVP_PKEY_CTX_free(ctx);
        enum err e = worker_kit_operate(&kit, CORE_DECRYPT, CKM_RSA_PKCS_OAEP, &blob[1],
                                        buf_bytes(&p), bytes_of(out, size), none);
        cr_assert_eq(e, ERR_OK, "row %u: %s", i, err_name(e));
        cr_expect(bytes_equal(kit.reply.section[0], text()));
        cr_assert_eq(worker_kit_operate(&kit, CORE_ENCRYPT, CKM_RSA_PKCS_OAEP, &blob[0],
                                        buf_bytes(&p), text(), none),
                     ERR_OK);
        BUF_SCOPED cipher = worker_kit_take(&kit, 0);
        cr_assert_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_RSA_PKCS_OAEP, &blob[1],
                                        buf_bytes(&p), buf_bytes(&cipher), none),
                     ERR_OK);
        cr_expect(bytes_equal(kit.reply.section[0], text()));
        cipher.data[100] ^= 1;
        cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_RSA_PKCS_OAEP, &blob[1],
                                        buf_bytes(&p), buf_bytes(&cipher), none),
                     ERR_DATA_INVALID);
        memset(cipher.data, 0xff, cipher.size);
        cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_RSA_PKCS_OAEP, &blob[1],
                                        buf_bytes(&p), buf_bytes(&cipher), none),
                     ERR_DATA_INVALID);
        cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_RSA_PKCS_OAEP, &blob[1],
                                        buf_bytes(&p), bytes_of(out, 255), none),
                     ERR_DATA_LENGTH);
    }
    cr_expect_eq(worker_kit_operate(&kit, CORE_ENCRYPT, CKM_RSA_PKCS, &blob[0], none, text(), none),
                 ERR_OK);
    cr_expect_eq(kit.reply.section[0].size, 256);
    BUF_SCOPED cipher = worker_kit_take(&kit, 0);
    cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_RSA_PKCS, &blob[1], none,
                                    buf_bytes(&cipher), none),
                 ERR_MECHANISM, "waits for implicit rejection");
    cr_expect_eq(worker_kit_operate(&kit, CORE_ENCRYPT, CKM_RSA_PKCS, &blob[1], none, text(), none),
                 ERR_KEY_TYPE);
    EVP_PKEY_free(key);
}

static struct buf to_der(struct bytes raw)
{
    struct buf out = { 0 };
    ECDSA_SIG *s = ECDSA_SIG_new();
    uint8_t *der = NULL;
    int n = (int)(raw.size / 2);
    cr_assert_eq(ECDSA_SIG_set0(s, BN_bin2bn(raw.data, n, NULL), BN_bin2bn(raw.data + n, n, NULL)),
                 1);
    int size = i2d_ECDSA_SIG(s, &der);
    cr_assert_gt(size, 0);
    cr_assert_eq(buf_append(&out, bytes_of(der, (size_t)size), 4096), ERR_OK);
    OPENSSL_free(der);
    ECDSA_SIG_free(s);
    return out;
}

Test(hsm_mechanisms, ecdsa_signatures_are_evps)
{
    static const unsigned curves[] = { SEAL_CURVE_P256, SEAL_CURVE_P384, SEAL_CURVE_P521 };
    for (unsigned c = 0; c < 3; c++) {
        worker_kit_ec_pair(&kit, curves[c], blob, a);
        EVP_PKEY *key = ec_key(&a[0], curves[c]);
        for (unsigned i = 0; i < HASH_ROWS; i++) {
            cr_assert_eq(worker_kit_operate(&kit, CORE_SIGN, hash_rows[i].ecdsa, &blob[1], none,
                                            text(), none),
                         ERR_OK);
            cr_expect_eq(kit.reply.section[0].size, 2 * seal_curve_private_size(curves[c]));
            BUF_SCOPED der = to_der(kit.reply.section[0]);
            cr_expect(evp_verify(key, hash_rows[i].md, false, 0, buf_bytes(&der)));
            check_signature(hash_rows[i].ecdsa, none, NULL, NULL, false, 0);
        }
        check_signature(CKM_ECDSA, none, NULL, NULL, false, 0);
        EVP_PKEY_free(key);
        worker_kit_drop(blob, 2);
        worker_kit_drop(a, 2);
    }
}

/* A zero r or s, or one past the order, is not a signature. */
Test(hsm_mechanisms, ecdsa_absurd_signatures_do_not_match)
{
    uint8_t sig[64];
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    for (unsigned fill = 0; fill < 256; fill += 255) {
        memset(sig, (int)fill, sizeof sig);
        cr_expect_eq(worker_kit_operate(&kit, CORE_VERIFY, CKM_ECDSA_SHA256, &blob[0], none, text(),
                                        bytes_of(sig, 64)),
                     ERR_SIGNATURE_INVALID);
    }
}

/* -- AES ------------------------------------------------------------------------------- */

static struct buf aes_blob(const uint8_t *key, size_t size)
{
    struct key_info info = { .class = SEAL_CLASS_SECRET,
                             .type = SEAL_KEY_AES,
                             .bits = (uint16_t)(8 * size) };
    info.usage = SEAL_ENCRYPT | SEAL_DECRYPT;
    info.material = bytes_of(key, size);
    return worker_kit_seal(&kit, &info);
}

static struct buf gcm(uint32_t bits, struct bytes iv, struct bytes aad)
{
    struct buf b = { 0 };
    const struct mechanism_gcm p = { bits, iv, aad };
    cr_assert_eq(mechanism_gcm_append(&b, &p), ERR_OK);
    return b;
}

static size_t evp_gcm(const uint8_t *key,
                      size_t key_size,
                      struct bytes iv,
                      struct bytes aad,
                      struct bytes in,
                      int tag,
                      uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    cr_assert_eq(EVP_EncryptInit_ex(ctx, key_size == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm(),
                                    NULL, NULL, NULL),
                 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.size, NULL), 1);
    cr_assert_eq(EVP_EncryptInit_ex(ctx, NULL, NULL, key, iv.data), 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, NULL, &n, aad.data, (int)aad.size), 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, out, &n, in.data, (int)in.size), 1);
    cr_assert_eq(EVP_EncryptFinal_ex(ctx, out + in.size, &n), 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag, out + in.size), 1);
    EVP_CIPHER_CTX_free(ctx);
    return in.size + (size_t)tag;
}

Test(hsm_mechanisms, gcm_is_evps_in_both_directions)
{
    uint8_t key[32], iv[64], aad[40], data[3000], out[3100];
    memset(key, 1, sizeof key);
    memset(iv, 2, sizeof iv);
    memset(aad, 3, sizeof aad);
    memset(data, 4, sizeof data);
    static const struct {
        size_t key, iv, aad, data;
        uint32_t tag;
    } rows[] = { { 16, 12, 0, 1, 128 },  { 32, 12, 40, 3000, 128 }, { 32, 12, 1, 0, 96 },
                 { 16, 64, 7, 33, 104 }, { 32, 12, 40, 16, 120 },   { 32, 8, 0, 17, 112 } };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes in = bytes_of(data, rows[i].data);
        BUF_SCOPED key_blob = aes_blob(key, rows[i].key);
        BUF_SCOPED p = gcm(rows[i].tag, bytes_of(iv, rows[i].iv), bytes_of(aad, rows[i].aad));
        size_t size = evp_gcm(key, rows[i].key, bytes_of(iv, rows[i].iv),
                              bytes_of(aad, rows[i].aad), in, (int)rows[i].tag / 8, out);
        enum err e =
            worker_kit_operate(&kit, CORE_ENCRYPT, CKM_AES_GCM, &key_blob, buf_bytes(&p), in, none);
        cr_assert_eq(e, ERR_OK, "row %u: %s", i, err_name(e));
        cr_expect(bytes_equal(kit.reply.section[0], bytes_of(out, size)), "row %u", i);
        cr_assert_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_AES_GCM, &key_blob, buf_bytes(&p),
                                        bytes_of(out, size), none),
                     ERR_OK);
        cr_expect(bytes_equal(kit.reply.section[0], in), "row %u", i);
        for (size_t at = 0; at < size; at += 1 + size / 40) {
            out[at] ^= 1;
            cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_AES_GCM, &key_blob,
                                            buf_bytes(&p), bytes_of(out, size), none),
                         ERR_DATA_INVALID);
            cr_expect_eq(kit.reply.section[0].size, 0);
            cr_expect(bytes_all_zero(bytes_of(kit.out, rows[i].data)), "no plaintext stays");
            out[at] ^= 1;
        }
        cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_AES_GCM, &key_blob, buf_bytes(&p),
                                        bytes_of(out, 11), none),
                     ERR_DATA_LENGTH);
    }
}

Test(hsm_mechanisms, gcm_parameters_are_checked)
{
    uint8_t key[32] = { 1 }, iv[256] = { 2 };
    BUF_SCOPED key_blob = aes_blob(key, 32);
    static const struct {
        uint32_t tag;
        size_t iv;
        enum err want;
    } rows[] = { { 128, 12, ERR_OK },
                 { 88, 12, ERR_MECHANISM_PARAM },
                 { 127, 12, ERR_MECHANISM_PARAM },
                 { 136, 12, ERR_MECHANISM_PARAM },
                 { 0, 12, ERR_MECHANISM_PARAM },
                 { 128, 0, ERR_MECHANISM_PARAM },
                 { 128, 256, ERR_MECHANISM_PARAM },
                 { 128, 12, ERR_OK } };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        BUF_SCOPED p = gcm(rows[i].tag, bytes_of(iv, rows[i].iv), none);
        enum err e = worker_kit_operate(&kit, CORE_ENCRYPT, CKM_AES_GCM, &key_blob, buf_bytes(&p),
                                        text(), none);
        cr_expect_eq(e, rows[i].want, "row %u: %s", i, err_name(e));
    }
    cr_expect_eq(worker_kit_operate(&kit, CORE_ENCRYPT, CKM_AES_GCM, &key_blob, none, text(), none),
                 ERR_MECHANISM_PARAM);
}

static int evp_cbc(
    const uint8_t *key, size_t key_size, const uint8_t *iv, bool pad, struct bytes in, uint8_t *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, more = 0;
    cr_assert_eq(EVP_EncryptInit_ex(ctx, key_size == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc(),
                                    NULL, key, iv),
                 1);
    cr_assert_eq(EVP_CIPHER_CTX_set_padding(ctx, pad), 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, out, &n, in.data, (int)in.size), 1);
    cr_assert_eq(EVP_EncryptFinal_ex(ctx, out + n, &more), 1);
    EVP_CIPHER_CTX_free(ctx);
    return n + more;
}

Test(hsm_mechanisms, cbc_is_evps_in_both_directions)
{
    uint8_t key[32] = { 1 }, iv[16] = { 2 }, data[512] = { 3 }, out[600];
    for (size_t size = 0; size <= 64; size++) {
        for (unsigned pad = 0; pad < 2; pad++) {
            uint64_t mechanism = pad ? CKM_AES_CBC_PAD : CKM_AES_CBC;
            size_t key_size = size % 2 ? 16 : 32;
            BUF_SCOPED key_blob = aes_blob(key, key_size);
            struct bytes in = bytes_of(data, size);
            enum err e = worker_kit_operate(&kit, CORE_ENCRYPT, mechanism, &key_blob,
                                            bytes_of(iv, 16), in, none);
            if (!pad && size % 16 != 0) {
                cr_expect_eq(e, ERR_DATA_LENGTH);
                continue;
            }
            int n = evp_cbc(key, key_size, iv, pad, in, out);
            cr_assert_eq(e, ERR_OK);
            cr_expect(bytes_equal(kit.reply.section[0], bytes_of(out, (size_t)n)));
            e = worker_kit_operate(&kit, CORE_DECRYPT, mechanism, &key_blob, bytes_of(iv, 16),
                                   bytes_of(out, (size_t)n), none);
            cr_assert_eq(e, ERR_OK);
            cr_expect(bytes_equal(kit.reply.section[0], in));
        }
    }
    BUF_SCOPED key_blob = aes_blob(key, 32);
    cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_AES_CBC_PAD, &key_blob,
                                    bytes_of(iv, 16), bytes_of(data, 32), none),
                 ERR_DATA_INVALID);
    cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_AES_CBC_PAD, &key_blob,
                                    bytes_of(iv, 16), none, none),
                 ERR_DATA_LENGTH);
    cr_expect_eq(worker_kit_operate(&kit, CORE_DECRYPT, CKM_AES_CBC, &key_blob, bytes_of(iv, 15),
                                    bytes_of(data, 32), none),
                 ERR_MECHANISM_PARAM);
}

/* -- the tables ---------------------------------------------------------------------------- */

Test(hsm_mechanisms, what_is_announced_is_done_and_nothing_else)
{
    static const uint32_t flag[MECH_OPS] = { CKF_SIGN, CKF_VERIFY, CKF_ENCRYPT, CKF_DECRYPT };
    size_t count = 0;
    const struct mechanism_row *rows = mechanism_rows(&count);
    for (size_t i = 0; i < count; i++) {
        const struct mech_row *row = mech_find(rows[i].number);
        for (unsigned op = 0; op < MECH_OPS; op++) {
            bool done = row != NULL && row->op[op] != NULL;
            cr_expect_eq(done, (rows[i].flags & flag[op]) != 0, "%s %u", rows[i].name, op);
        }
    }
}

Test(hsm_mechanisms, key_of_another_type_is_refused)
{
    uint8_t key[32] = { 1 };
    BUF_SCOPED key_blob = aes_blob(key, 32);
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS, &blob[1], none, text(), none),
        ERR_KEY_TYPE);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_SIGN, CKM_ECDSA_SHA256, &blob[0], none, text(), none),
        ERR_KEY_TYPE);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_SIGN, CKM_ECDSA_SHA256, &key_blob, none, text(), none),
        ERR_KEY_TYPE);
    cr_expect_eq(
        worker_kit_operate(&kit, CORE_ENCRYPT, CKM_ECDSA_SHA256, &blob[1], none, text(), none),
        ERR_MECHANISM);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, 0x80000001, &blob[1], none, text(), none),
                 ERR_MECHANISM);
}

/* Keys of RSA whose second prime is the larger one, and other exponents. */
Test(hsm_mechanisms, rsa_with_swapped_primes_signs_right)
{
    worker_kit_rsa_pair(&kit, blob, a);
    struct key_info info = { 0 };
    struct seal_opened opened;
    static uint8_t plain[LIMIT_BLOB], swapped[1160];
    struct seal_source source = { .now = kit.wall_s };
    cr_assert_eq(
        seal_open(buf_bytes(&blob[1]), &kit.ring, &source, SEAL_K, plain, sizeof plain, &opened),
        ERR_OK);
    memcpy(swapped, opened.info.material.data, sizeof swapped);
    uint8_t *p = swapped + 520;
    for (unsigned i = 0; i < 128; i++) {
        uint8_t t = p[i];
        p[i] = p[128 + i];
        p[128 + i] = t;
        t = p[256 + i];
        p[256 + i] = p[384 + i];
        p[384 + i] = t;
    }
    BIGNUM *bp = BN_bin2bn(p, 128, NULL), *bq = BN_bin2bn(p + 128, 128, NULL);
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *qi = BN_mod_inverse(NULL, bq, bp, ctx);
    cr_assert_eq(BN_bn2binpad(qi, p + 512, 128), 128);
    info = opened.info;
    info.material = bytes_of(swapped, sizeof swapped);
    cr_expect_eq(fastkey_rsa_check(&info), ERR_OK);
    BUF_SCOPED other = worker_kit_seal(&kit, &info);
    cr_assert_eq(
        worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS, &other, none, text(), none),
        ERR_OK);
    BUF_SCOPED sig = worker_kit_take(&kit, 0);
    cr_expect_eq(worker_kit_operate(&kit, CORE_VERIFY, CKM_SHA256_RSA_PKCS, &blob[0], none, text(),
                                    buf_bytes(&sig)),
                 ERR_OK);
    BN_free(bp);
    BN_free(bq);
    BN_free(qi);
    BN_CTX_free(ctx);
}

/* A key whose CRT half is wrong: no faulty signature leaves the core. */
Test(hsm_mechanisms, faulty_crt_half_gives_no_wrong_signature)
{
    worker_kit_rsa_pair(&kit, blob, a);
    struct seal_opened opened;
    static uint8_t plain[LIMIT_BLOB], broken[1160];
    struct seal_source source = { .now = kit.wall_s };
    cr_assert_eq(
        seal_open(buf_bytes(&blob[1]), &kit.ring, &source, SEAL_K, plain, sizeof plain, &opened),
        ERR_OK);
    for (unsigned part = 0; part < 6; part++) {
        struct key_info info = opened.info;
        static const unsigned at[] = { 300, 600, 700, 850, 950, 1100 }; /* d p q dp dq qi */
        memcpy(broken, opened.info.material.data, sizeof broken);
        broken[at[part]] ^= 0x10;
        info.material = bytes_of(broken, sizeof broken);
        cr_expect_eq(fastkey_rsa_check(&info), ERR_ATTRIBUTE);
        BUF_SCOPED bad = worker_kit_seal(&kit, &info);
        enum err e =
            worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS, &bad, none, text(), none);
        if (e == ERR_OK) { /* OpenSSL repaired it without CRT: then it is right */
            BUF_SCOPED sig = worker_kit_take(&kit, 0);
            e = worker_kit_operate(&kit, CORE_VERIFY, CKM_SHA256_RSA_PKCS, &blob[0], none, text(),
                                   buf_bytes(&sig));
            cr_expect_eq(e, ERR_OK);
        } else {
            cr_expect(e == ERR_CRYPTO || e == ERR_DATA_INVALID, "%s", err_name(e));
            cr_expect(bytes_all_zero(bytes_of(kit.out, 256)));
        }
    }
}
