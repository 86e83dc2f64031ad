/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM, AES-CBC and AES-CBC-PAD with contexts kept by the worker. After each
 * operation a zero key takes the place of the used one: no schedule stays. */
#include "hsm-sim/mech.h"

#include <assert.h>
#include <openssl/evp.h>

#include "proto/mechanism.h"

#define BLOCK 16u
#define TAG_BITS_MIN 96u
#define TAG_BITS_MAX 128u
#define IV_USUAL 12

static enum err context(struct mech *m,
                        const struct mech_call *c,
                        enum mech_aes_mode mode,
                        int encrypt,
                        EVP_CIPHER_CTX **out)
{
    size_t size = c->key->material.size;
    if (size != 16 && size != 32) {
        return ERR_KEY_SIZE;
    }
    *out = m->cipher_ctx[size == 32 ? MECH_AES256 : MECH_AES128][mode][encrypt];
    return ERR_OK;
}

static void forget(EVP_CIPHER_CTX **ctx)
{
    static const uint8_t zero[32];
    if (*ctx != NULL) {
        (void)EVP_CipherInit_ex2(*ctx, NULL, zero, zero, -1, NULL);
    }
}
#define USED_SCOPED __attribute__((cleanup(forget))) EVP_CIPHER_CTX

/* -- GCM ------------------------------------------------------------------------- */

static enum err gcm_begin(EVP_CIPHER_CTX *ctx,
                          const struct mech_call *c,
                          int encrypt,
                          struct mechanism_gcm *p)
{
    int n = 0;
    TRY(mechanism_gcm_parse(c->parameter, p));
    if (p->gcm_tag_bits < TAG_BITS_MIN || p->gcm_tag_bits > TAG_BITS_MAX ||
        p->gcm_tag_bits % 8u != 0) {
        return ERR_MECHANISM_PARAM;
    }
    if (EVP_CIPHER_CTX_get_iv_length(ctx) != (int)p->iv.size &&
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)p->iv.size, NULL) != 1) {
        return ERR_MECHANISM_PARAM;
    }
    if (EVP_CipherInit_ex2(ctx, NULL, c->key->material.data, p->iv.data, encrypt, NULL) != 1 ||
        (p->aad.size > 0 && EVP_CipherUpdate(ctx, NULL, &n, p->aad.data, (int)p->aad.size) != 1)) {
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

static void gcm_forget(EVP_CIPHER_CTX **ctx)
{
    if (*ctx != NULL) {
        (void)EVP_CIPHER_CTX_ctrl(*ctx, EVP_CTRL_AEAD_SET_IVLEN, IV_USUAL, NULL);
        forget(ctx);
    }
}
#define GCM_SCOPED __attribute__((cleanup(gcm_forget))) EVP_CIPHER_CTX

enum err mech_gcm_encrypt(struct mech *m, struct mech_call *c)
{
    GCM_SCOPED *ctx = NULL;
    struct mechanism_gcm p;
    size_t tag;
    int n = 0, more = 0;
    TRY(context(m, c, MECH_GCM, 1, &ctx));
    TRY(gcm_begin(ctx, c, 1, &p));
    tag = p.gcm_tag_bits / 8u;
    if (c->capacity < c->data.size + tag) {
        return ERR_TOO_LARGE;
    }
    if ((c->data.size > 0 &&
         EVP_EncryptUpdate(ctx, c->out, &n, c->data.data, (int)c->data.size) != 1) ||
        EVP_EncryptFinal_ex(ctx, c->out + n, &more) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)tag, c->out + c->data.size) != 1) {
        return ERR_CRYPTO;
    }
    assert((size_t)n + (size_t)more == c->data.size);
    c->size = c->data.size + tag;
    return ERR_OK;
}

/* Nothing is given out before the tag is right; a plaintext that it does not
 * cover is wiped. */
enum err mech_gcm_decrypt(struct mech *m, struct mech_call *c)
{
    GCM_SCOPED *ctx = NULL;
    struct mechanism_gcm p;
    uint8_t tag[BLOCK];
    size_t tag_size, size;
    int n = 0, more = 0;
    TRY(context(m, c, MECH_GCM, 0, &ctx));
    TRY(gcm_begin(ctx, c, 0, &p));
    tag_size = p.gcm_tag_bits / 8u;
    if (c->data.size < tag_size) {
        return ERR_DATA_LENGTH;
    }
    size = c->data.size - tag_size;
    if (c->capacity < size) {
        return ERR_TOO_LARGE;
    }
    for (size_t i = 0; i < tag_size; i++) {
        tag[i] = c->data.data[size + i];
    }
    if ((size > 0 && EVP_DecryptUpdate(ctx, c->out, &n, c->data.data, (int)size) != 1) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)tag_size, tag) != 1 ||
        EVP_DecryptFinal_ex(ctx, c->out + n, &more) != 1) {
        bytes_wipe(c->out, size);
        return ERR_DATA_INVALID;
    }
    c->size = size;
    return ERR_OK;
}

/* -- CBC -------------------------------------------------------------------------- */

static enum err cbc_run(struct mech *m, struct mech_call *c, int encrypt, bool pad)
{
    USED_SCOPED *ctx = NULL;
    int n = 0, more = 0;
    if (c->parameter.size != BLOCK) {
        return ERR_MECHANISM_PARAM;
    }
    if (((!pad || !encrypt) && c->data.size % BLOCK != 0) ||
        (pad && !encrypt && c->data.size == 0)) {
        return ERR_DATA_LENGTH;
    }
    if (c->capacity < c->data.size + BLOCK) {
        return ERR_TOO_LARGE;
    }
    TRY(context(m, c, MECH_CBC, encrypt, &ctx));
    if (EVP_CipherInit_ex2(ctx, NULL, c->key->material.data, c->parameter.data, encrypt, NULL) !=
            1 ||
        EVP_CIPHER_CTX_set_padding(ctx, pad) != 1 ||
        (c->data.size > 0 &&
         EVP_CipherUpdate(ctx, c->out, &n, c->data.data, (int)c->data.size) != 1)) {
        return ERR_CRYPTO;
    }
    if (EVP_CipherFinal_ex(ctx, c->out + n, &more) != 1) {
        bytes_wipe(c->out, c->data.size + BLOCK);
        return ERR_DATA_INVALID;
    }
    c->size = (size_t)n + (size_t)more;
    return ERR_OK;
}

enum err mech_cbc_encrypt(struct mech *m, struct mech_call *c)
{
    return cbc_run(m, c, 1, false);
}

enum err mech_cbc_decrypt(struct mech *m, struct mech_call *c)
{
    return cbc_run(m, c, 0, false);
}

enum err mech_cbc_pad_encrypt(struct mech *m, struct mech_call *c)
{
    return cbc_run(m, c, 1, true);
}

enum err mech_cbc_pad_decrypt(struct mech *m, struct mech_call *c)
{
    return cbc_run(m, c, 0, true);
}
