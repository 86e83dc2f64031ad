/* SPDX-License-Identifier: Apache-2.0 */
/* The mechanism table of the worker, its hashes and its kept contexts (mech.h). */
#include "hsm-sim/mech.h"

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

/* Numbers that p11-kit's header does not have. */
#define CKM_ECDSA_SHA224_ 0x1043u

static const struct mech_hash_row hashes[MECH_HASHES] = {
    [MECH_SHA1] = { "SHA1",
                    CKM_SHA_1,
                    CKG_MGF1_SHA1,
                    20,
                    { 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00,
                      0x04, 0x14 },
                    15 },
#define SHA2(text, mechanism, mgf, bytes, total, inner)                                            \
    {                                                                                              \
        text, mechanism, mgf, bytes,                                                               \
            { 0x30, total, 0x30, 0x0d, 0x06,  0x09, 0x60, 0x86, 0x48, 0x01,                        \
              0x65, 0x03,  0x04, 0x02, inner, 0x05, 0x00, 0x04, bytes },                           \
            19                                                                                     \
    }
    [MECH_SHA224] = SHA2("SHA2-224", CKM_SHA224, CKG_MGF1_SHA224, 28, 0x2d, 0x04),
    [MECH_SHA256] = SHA2("SHA2-256", CKM_SHA256, CKG_MGF1_SHA256, 32, 0x31, 0x01),
    [MECH_SHA384] = SHA2("SHA2-384", CKM_SHA384, CKG_MGF1_SHA384, 48, 0x41, 0x02),
    [MECH_SHA512] = SHA2("SHA2-512", CKM_SHA512, CKG_MGF1_SHA512, 64, 0x51, 0x03),
#undef SHA2
};

#define SIGNS(sign, verify)                                                                        \
    {                                                                                              \
        [MECH_SIGN] = (sign), [MECH_VERIFY] = (verify)                                             \
    }
#define CIPHERS(encrypt, decrypt)                                                                  \
    {                                                                                              \
        [MECH_ENCRYPT] = (encrypt), [MECH_DECRYPT] = (decrypt)                                     \
    }
/* SHA-1 signatures are verified only. RSA_PKCS decryption waits for implicit
 * rejection (conventions.md). */
static const struct mech_row rows[] = {
    { CKM_RSA_PKCS,
      SEAL_KEY_RSA,
      MECH_NO_HASH,
      { mech_rsa_sign_pkcs, mech_rsa_verify_pkcs, mech_rsa_encrypt_pkcs, NULL } },
    { CKM_RSA_PKCS_OAEP, SEAL_KEY_RSA, MECH_NO_HASH,
      CIPHERS(mech_rsa_encrypt_oaep, mech_rsa_decrypt_oaep) },
    { CKM_SHA1_RSA_PKCS, SEAL_KEY_RSA, MECH_SHA1, SIGNS(NULL, mech_rsa_verify_pkcs) },
    { CKM_SHA224_RSA_PKCS, SEAL_KEY_RSA, MECH_SHA224,
      SIGNS(mech_rsa_sign_pkcs, mech_rsa_verify_pkcs) },
    { CKM_SHA256_RSA_PKCS, SEAL_KEY_RSA, MECH_SHA256,
      SIGNS(mech_rsa_sign_pkcs, mech_rsa_verify_pkcs) },
    { CKM_SHA384_RSA_PKCS, SEAL_KEY_RSA, MECH_SHA384,
      SIGNS(mech_rsa_sign_pkcs, mech_rsa_verify_pkcs) },
    { CKM_SHA512_RSA_PKCS, SEAL_KEY_RSA, MECH_SHA512,
      SIGNS(mech_rsa_sign_pkcs, mech_rsa_verify_pkcs) },
    { CKM_RSA_PKCS_PSS, SEAL_KEY_RSA, MECH_NO_HASH, SIGNS(mech_rsa_sign_pss, mech_rsa_verify_pss) },
    { CKM_SHA1_RSA_PKCS_PSS, SEAL_KEY_RSA, MECH_SHA1, SIGNS(NULL, mech_rsa_verify_pss) },
    { CKM_SHA224_RSA_PKCS_PSS, SEAL_KEY_RSA, MECH_SHA224,
      SIGNS(mech_rsa_sign_pss, mech_rsa_verify_pss) },
    { CKM_SHA256_RSA_PKCS_PSS, SEAL_KEY_RSA, MECH_SHA256,
      SIGNS(mech_rsa_sign_pss, mech_rsa_verify_pss) },
    { CKM_SHA384_RSA_PKCS_PSS, SEAL_KEY_RSA, MECH_SHA384,
      SIGNS(mech_rsa_sign_pss, mech_rsa_verify_pss) },
    { CKM_SHA512_RSA_PKCS_PSS, SEAL_KEY_RSA, MECH_SHA512,
      SIGNS(mech_rsa_sign_pss, mech_rsa_verify_pss) },
    { CKM_ECDSA, SEAL_KEY_EC, MECH_NO_HASH, SIGNS(mech_ec_sign, mech_ec_verify) },
    { CKM_ECDSA_SHA1, SEAL_KEY_EC, MECH_SHA1, SIGNS(NULL, mech_ec_verify) },
    { CKM_ECDSA_SHA224_, SEAL_KEY_EC, MECH_SHA224, SIGNS(mech_ec_sign, mech_ec_verify) },
    { CKM_ECDSA_SHA256, SEAL_KEY_EC, MECH_SHA256, SIGNS(mech_ec_sign, mech_ec_verify) },
    { CKM_ECDSA_SHA384, SEAL_KEY_EC, MECH_SHA384, SIGNS(mech_ec_sign, mech_ec_verify) },
    { CKM_ECDSA_SHA512, SEAL_KEY_EC, MECH_SHA512, SIGNS(mech_ec_sign, mech_ec_verify) },
    { CKM_AES_GCM, SEAL_KEY_AES, MECH_NO_HASH, CIPHERS(mech_gcm_encrypt, mech_gcm_decrypt) },
    { CKM_AES_CBC, SEAL_KEY_AES, MECH_NO_HASH, CIPHERS(mech_cbc_encrypt, mech_cbc_decrypt) },
    { CKM_AES_CBC_PAD, SEAL_KEY_AES, MECH_NO_HASH,
      CIPHERS(mech_cbc_pad_encrypt, mech_cbc_pad_decrypt) },
};
#define ROWS (sizeof rows / sizeof rows[0])

static const char *const ciphers[MECH_AES_SIZES][MECH_AES_MODES] = {
    [MECH_AES128] = { [MECH_GCM] = "AES-128-GCM", [MECH_CBC] = "AES-128-CBC" },
    [MECH_AES256] = { [MECH_GCM] = "AES-256-GCM", [MECH_CBC] = "AES-256-CBC" },
};

const struct mech_row *mech_find(uint64_t number)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].number == number) {
            return &rows[i];
        }
    }
    return NULL;
}

const struct mech_row *mech_rows(size_t *count)
{
    *count = ROWS;
    return rows;
}

const struct mech_hash_row *mech_hash_row(unsigned hash)
{
    return &hashes[hash];
}

unsigned mech_hash_find(uint64_t mechanism)
{
    for (unsigned i = MECH_SHA1; i < MECH_HASHES; i++) {
        if (hashes[i].mechanism == mechanism) {
            return i;
        }
    }
    return MECH_NO_HASH;
}

unsigned mech_mgf_find(uint64_t mgf)
{
    for (unsigned i = MECH_SHA1; i < MECH_HASHES; i++) {
        if (hashes[i].mgf == mgf) {
            return i;
        }
    }
    return MECH_NO_HASH;
}

static enum err open_ciphers(struct mech *m)
{
    for (unsigned s = 0; s < MECH_AES_SIZES; s++) {
        for (unsigned mode = 0; mode < MECH_AES_MODES; mode++) {
            EVP_CIPHER_CTX **pair = m->cipher_ctx[s][mode];
            m->cipher[s][mode] = EVP_CIPHER_fetch(NULL, ciphers[s][mode], NULL);
            pair[0] = EVP_CIPHER_CTX_new();
            pair[1] = EVP_CIPHER_CTX_new();
            if (m->cipher[s][mode] == NULL || pair[0] == NULL || pair[1] == NULL ||
                EVP_CipherInit_ex2(pair[0], m->cipher[s][mode], NULL, NULL, 0, NULL) != 1 ||
                EVP_CipherInit_ex2(pair[1], m->cipher[s][mode], NULL, NULL, 1, NULL) != 1) {
                return ERR_CRYPTO;
            }
        }
    }
    return ERR_OK;
}

enum err mech_open(struct mech *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = MECH_SHA1; i < MECH_HASHES; i++) {
        m->md[i] = EVP_MD_fetch(NULL, hashes[i].name, NULL);
        if (m->md[i] == NULL) {
            return ERR_CRYPTO;
        }
    }
    m->md_ctx = EVP_MD_CTX_new();
    if (m->md_ctx == NULL) {
        return ERR_NOMEM;
    }
    TRY(open_ciphers(m));
    return fastkey_ec_open(&m->ec);
}

void mech_close(struct mech *m)
{
    for (unsigned i = 0; i < MECH_HASHES; i++) {
        EVP_MD_free(m->md[i]);
    }
    EVP_MD_CTX_free(m->md_ctx);
    for (unsigned s = 0; s < MECH_AES_SIZES; s++) {
        for (unsigned mode = 0; mode < MECH_AES_MODES; mode++) {
            EVP_CIPHER_CTX_free(m->cipher_ctx[s][mode][0]);
            EVP_CIPHER_CTX_free(m->cipher_ctx[s][mode][1]);
            EVP_CIPHER_free(m->cipher[s][mode]);
        }
    }
    fastkey_ec_close(m->ec);
    memset(m, 0, sizeof *m);
}

enum err mech_digest(
    struct mech *m, const struct mech_call *c, size_t limit, uint8_t *room, struct bytes *out)
{
    unsigned hash = c->row->hash;
    if (hash == MECH_NO_HASH) {
        if (c->data.size == 0 || c->data.size > limit) {
            return ERR_DATA_LENGTH;
        }
        *out = c->data;
        return ERR_OK;
    }
    if (EVP_DigestInit_ex2(m->md_ctx, m->md[hash], NULL) != 1 ||
        EVP_DigestUpdate(m->md_ctx, c->data.data, c->data.size) != 1 ||
        EVP_DigestFinal_ex(m->md_ctx, room, NULL) != 1) {
        return ERR_CRYPTO;
    }
    *out = bytes_of(room, hashes[hash].size);
    return ERR_OK;
}
