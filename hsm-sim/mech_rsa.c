/* SPDX-License-Identifier: Apache-2.0 */
/* RSA: PKCS#1 v1.5 signatures and encryption, PSS, OAEP. The message is padded
 * here and the raw operation done by fastkey_rsa.c, which checks its result. */
#include "hsm-sim/mech.h"

#include <assert.h>
#include <string.h>

#include "proto/mechanism.h"

#define TYPE1_OVERHEAD 11u /* 00 01, eight FF, 00 */

struct em {
    uint8_t b[FASTKEY_RSA_BYTES];
};
static void wipe_em(struct em *em)
{
    bytes_wipe(em->b, sizeof em->b);
}
#define EM_SCOPED __attribute__((cleanup(wipe_em))) struct em

/* DigestInfo for a row with a hash, else the data as it is. */
static enum err digest_info(
    struct mech *m, const struct mech_call *c, size_t k, uint8_t *room, struct bytes *out)
{
    const struct mech_hash_row *h = mech_hash_row(c->row->hash);
    struct bytes digest;
    if (c->parameter.size != 0) {
        return ERR_MECHANISM_PARAM;
    }
    TRY(mech_digest(m, c, k - TYPE1_OVERHEAD, room + h->prefix_size, &digest));
    *out = digest;
    if (c->row->hash != MECH_NO_HASH) {
        memcpy(room, h->prefix, h->prefix_size);
        *out = bytes_of(room, h->prefix_size + h->size);
    }
    return ERR_OK;
}

static enum err sign_em(struct rsa_st *rsa, struct mech_call *c, const struct em *em)
{
    size_t k = fastkey_rsa_size(rsa);
    if (c->capacity < k) {
        return ERR_TOO_LARGE;
    }
    TRY(fastkey_rsa_private(rsa, em->b, c->out));
    c->size = k;
    return ERR_OK;
}

/* The message representative that a signature stands for. */
static enum err open_signature(struct rsa_st *rsa, const struct mech_call *c, struct em *em)
{
    if (c->signature.size != fastkey_rsa_size(rsa)) {
        return ERR_SIGNATURE_LENGTH;
    }
    if (fastkey_rsa_public(rsa, c->signature.data, em->b) != ERR_OK) {
        return ERR_SIGNATURE_INVALID;
    }
    return ERR_OK;
}

enum err mech_rsa_sign_pkcs(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    EM_SCOPED em = { { 0 } };
    uint8_t room[20 + MECH_DIGEST_MAX];
    struct bytes info;
    TRY(fastkey_rsa_open(c->key, &rsa));
    TRY(digest_info(m, c, fastkey_rsa_size(rsa), room, &info));
    TRY(fastkey_rsa_pad_type1(rsa, info, em.b));
    return sign_em(rsa, c, &em);
}

/* Compares whole representatives: nothing of a signature is parsed. */
enum err mech_rsa_verify_pkcs(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    EM_SCOPED em = { { 0 } };
    EM_SCOPED wanted = { { 0 } };
    uint8_t room[20 + MECH_DIGEST_MAX];
    struct bytes info;
    size_t k;
    TRY(fastkey_rsa_open(c->key, &rsa));
    k = fastkey_rsa_size(rsa);
    TRY(digest_info(m, c, k, room, &info));
    TRY(fastkey_rsa_pad_type1(rsa, info, wanted.b));
    TRY(open_signature(rsa, c, &em));
    if (!secret_equal(bytes_of(em.b, k), bytes_of(wanted.b, k))) {
        return ERR_SIGNATURE_INVALID;
    }
    return ERR_OK;
}

/* -- PSS -------------------------------------------------------------------------- */

static enum err pss_padding(struct mech *m,
                            const struct mech_call *c,
                            size_t k,
                            struct fastkey_rsa_padding *out)
{
    struct mechanism_pss p;
    unsigned hash, mgf;
    TRY(mechanism_pss_parse(c->parameter, &p));
    hash = mech_hash_find(p.hash);
    mgf = mech_mgf_find(p.mgf);
    if (hash == MECH_NO_HASH || mgf == MECH_NO_HASH ||
        (c->row->hash != MECH_NO_HASH && c->row->hash != hash) ||
        p.salt_size > k - 2u - mech_hash_row(hash)->size) {
        return ERR_MECHANISM_PARAM;
    }
    if (c->row->hash == MECH_NO_HASH && c->data.size != mech_hash_row(hash)->size) {
        return ERR_DATA_LENGTH;
    }
    memset(out, 0, sizeof *out);
    out->hash = m->md[hash];
    out->mgf = m->md[mgf];
    out->salt_size = (size_t)p.salt_size;
    return ERR_OK;
}

enum err mech_rsa_sign_pss(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    struct fastkey_rsa_padding padding;
    EM_SCOPED em = { { 0 } };
    uint8_t room[MECH_DIGEST_MAX];
    struct bytes digest;
    TRY(fastkey_rsa_open(c->key, &rsa));
    TRY(pss_padding(m, c, fastkey_rsa_size(rsa), &padding));
    if (padding.hash == m->md[MECH_SHA1]) {
        return ERR_MECHANISM_PARAM; /* verified only */
    }
    TRY(mech_digest(m, c, MECH_DIGEST_MAX, room, &digest));
    TRY(fastkey_rsa_pad_pss(rsa, &padding, digest.data, em.b));
    return sign_em(rsa, c, &em);
}

enum err mech_rsa_verify_pss(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    struct fastkey_rsa_padding padding;
    EM_SCOPED em = { { 0 } };
    uint8_t room[MECH_DIGEST_MAX];
    struct bytes digest;
    TRY(fastkey_rsa_open(c->key, &rsa));
    TRY(pss_padding(m, c, fastkey_rsa_size(rsa), &padding));
    TRY(mech_digest(m, c, MECH_DIGEST_MAX, room, &digest));
    TRY(open_signature(rsa, c, &em));
    return fastkey_rsa_check_pss(rsa, &padding, digest.data, em.b);
}

/* -- encryption ------------------------------------------------------------------- */

enum err mech_rsa_encrypt_pkcs(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    EM_SCOPED em = { { 0 } };
    (void)m;
    if (c->parameter.size != 0) {
        return ERR_MECHANISM_PARAM;
    }
    TRY(fastkey_rsa_open(c->key, &rsa));
    if (c->capacity < fastkey_rsa_size(rsa) || c->data.size > FASTKEY_RSA_BYTES) {
        return ERR_DATA_LENGTH;
    }
    TRY(fastkey_rsa_pad_type2(rsa, c->data, em.b));
    TRY(fastkey_rsa_public(rsa, em.b, c->out));
    c->size = fastkey_rsa_size(rsa);
    return ERR_OK;
}

static enum err oaep_padding(struct mech *m,
                             const struct mech_call *c,
                             struct fastkey_rsa_padding *out)
{
    struct mechanism_oaep p;
    unsigned hash, mgf;
    TRY(mechanism_oaep_parse(c->parameter, &p));
    hash = mech_hash_find(p.hash);
    mgf = mech_mgf_find(p.mgf);
    if (hash == MECH_NO_HASH || mgf == MECH_NO_HASH) {
        return ERR_MECHANISM_PARAM;
    }
    memset(out, 0, sizeof *out);
    out->hash = m->md[hash];
    out->mgf = m->md[mgf];
    out->label = p.label;
    return ERR_OK;
}

enum err mech_rsa_encrypt_oaep(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    struct fastkey_rsa_padding padding;
    EM_SCOPED em = { { 0 } };
    TRY(oaep_padding(m, c, &padding));
    TRY(fastkey_rsa_open(c->key, &rsa));
    if (c->capacity < fastkey_rsa_size(rsa) || c->data.size > FASTKEY_RSA_BYTES) {
        return ERR_DATA_LENGTH;
    }
    TRY(fastkey_rsa_pad_oaep(rsa, &padding, c->data, em.b));
    TRY(fastkey_rsa_public(rsa, em.b, c->out));
    c->size = fastkey_rsa_size(rsa);
    return ERR_OK;
}

enum err mech_rsa_decrypt_oaep(struct mech *m, struct mech_call *c)
{
    FASTKEY_RSA_SCOPED *rsa = NULL;
    struct fastkey_rsa_padding padding;
    EM_SCOPED em = { { 0 } };
    TRY(oaep_padding(m, c, &padding));
    TRY(fastkey_rsa_open(c->key, &rsa));
    if (c->data.size != fastkey_rsa_size(rsa)) {
        return ERR_DATA_LENGTH;
    }
    if (c->capacity < fastkey_rsa_size(rsa)) {
        return ERR_TOO_LARGE;
    }
    TRY(fastkey_rsa_private(rsa, c->data.data, em.b));
    return fastkey_rsa_unpad_oaep(rsa, &padding, em.b, c->out, &c->size);
}
