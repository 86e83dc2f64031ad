/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA over P-256, P-384, P-521; signatures are r||s as in PKCS#11. */
#include "hsm-sim/mech.h"

#define RAW_MAX 128u /* more than any digest; only the leftmost bits count */

enum err mech_ec_sign(struct mech *m, struct mech_call *c)
{
    size_t n = seal_curve_private_size(c->key->bits);
    uint8_t room[MECH_DIGEST_MAX];
    struct bytes digest;
    if (c->parameter.size != 0) {
        return ERR_MECHANISM_PARAM;
    }
    if (c->capacity < 2 * n) {
        return ERR_TOO_LARGE;
    }
    TRY(mech_digest(m, c, RAW_MAX, room, &digest));
    TRY(fastkey_ec_sign(m->ec, c->key->bits, bytes_of(c->key->material.data, n), digest, c->out));
    c->size = 2 * n;
    return ERR_OK;
}

enum err mech_ec_verify(struct mech *m, struct mech_call *c)
{
    size_t n = seal_curve_private_size(c->key->bits);
    size_t skip = c->key->class == SEAL_CLASS_PRIVATE ? n : 0;
    struct bytes point = bytes_of(c->key->material.data + skip, c->key->material.size - skip);
    uint8_t room[MECH_DIGEST_MAX];
    struct bytes digest;
    if (c->parameter.size != 0) {
        return ERR_MECHANISM_PARAM;
    }
    if (c->signature.size != 2 * n) {
        return ERR_SIGNATURE_LENGTH;
    }
    TRY(mech_digest(m, c, RAW_MAX, room, &digest));
    return fastkey_ec_verify(m->ec, c->key->bits, point, digest, c->signature);
}
