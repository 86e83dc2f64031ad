/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker can do with an opened key: one row a mechanism, with the
 * function for each operation that it offers (mech.c). The functions get an
 * opened K, whose rules were checked, and private memory only. struct mech holds
 * the fetched algorithms and kept contexts of one worker thread. */
#ifndef RINGKEEP_HSM_SIM_MECH_H
#define RINGKEEP_HSM_SIM_MECH_H

#include <openssl/types.h>

#include "hsm-sim/fastkey.h"
#include "sks/seal.h"

enum mech_hash {
    MECH_NO_HASH,
    MECH_SHA1,
    MECH_SHA224,
    MECH_SHA256,
    MECH_SHA384,
    MECH_SHA512,
    MECH_HASHES
};
struct mech_hash_row {
    const char *name;
    uint64_t mechanism, mgf; /* CKM_SHA.., CKG_MGF1_SHA.. */
    size_t size;
    uint8_t prefix[20]; /* DigestInfo before the digest */
    size_t prefix_size;
};
#define MECH_DIGEST_MAX 64u

enum mech_aes_size { MECH_AES128, MECH_AES256, MECH_AES_SIZES };
enum mech_aes_mode { MECH_GCM, MECH_CBC, MECH_AES_MODES };

struct mech {
    struct fastkey_ec *ec;
    EVP_MD *md[MECH_HASHES];
    EVP_MD_CTX *md_ctx;
    EVP_CIPHER *cipher[MECH_AES_SIZES][MECH_AES_MODES];
    EVP_CIPHER_CTX *cipher_ctx[MECH_AES_SIZES][MECH_AES_MODES][2]; /* decrypt, encrypt */
};
enum err mech_open(struct mech *m) MUST_USE;
void mech_close(struct mech *m);

enum mech_op { MECH_SIGN, MECH_VERIFY, MECH_ENCRYPT, MECH_DECRYPT, MECH_OPS };
struct mech_row;
struct mech_call {
    const struct mech_row *row;
    const struct key_info *key;
    struct bytes parameter, data, signature;
    uint8_t *out; /* private memory of the worker */
    size_t capacity, size;
};
typedef enum err (*mech_cb)(struct mech *m, struct mech_call *c);
struct mech_row {
    uint64_t number;
    uint16_t key_type; /* enum seal_key_type */
    uint8_t hash;      /* enum mech_hash */
    mech_cb op[MECH_OPS];
};
const struct mech_row *mech_find(uint64_t number);
const struct mech_row *mech_rows(size_t *count);

const struct mech_hash_row *mech_hash_row(unsigned hash);
/* MECH_NO_HASH when there is none. */
unsigned mech_hash_find(uint64_t mechanism);
unsigned mech_mgf_find(uint64_t mgf);
/* The row's hash over data; or data itself where the row has none, which then
 * must measure 1..limit (ERR_DATA_LENGTH). `room` has MECH_DIGEST_MAX bytes. */
enum err mech_digest(struct mech *m,
                     const struct mech_call *c,
                     size_t limit,
                     uint8_t *room,
                     struct bytes *out) MUST_USE;

enum err mech_rsa_sign_pkcs(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_rsa_verify_pkcs(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_rsa_sign_pss(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_rsa_verify_pss(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_rsa_encrypt_pkcs(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_rsa_encrypt_oaep(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_rsa_decrypt_oaep(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_ec_sign(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_ec_verify(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_gcm_encrypt(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_gcm_decrypt(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_cbc_encrypt(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_cbc_decrypt(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_cbc_pad_encrypt(struct mech *m, struct mech_call *c) MUST_USE;
enum err mech_cbc_pad_decrypt(struct mech *m, struct mech_call *c) MUST_USE;

#endif
