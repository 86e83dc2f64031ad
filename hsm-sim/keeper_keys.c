/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of struct keeper_keys between keeper and worker: fixed layout,
 * little-endian, unused bytes zero and checked. Pure. */
#include <string.h>

#include "hsm-sim/keeper.h"

enum {
    AT_KEYRING = 0,
    AT_SMK = 16,
    AT_KK = 32,
    AT_FAMILY = 48,
    AT_BK = 64,
    AT_PUB = 96,
    AT_ROLE = 128,
    AT_HAS_BK = 132,
    AT_EXPIRES = 136,
    AT_REST = 144
};

void keeper_keys_encode(const struct keeper_keys *k, uint8_t out[KEEPER_KEYS_SIZE])
{
    memset(out, 0, KEEPER_KEYS_SIZE);
    memcpy(out + AT_KEYRING, k->keyring_id, ID_SIZE);
    memcpy(out + AT_SMK, k->smk_id, ID_SIZE);
    memcpy(out + AT_KK, k->kk_id, ID_SIZE);
    memcpy(out + AT_FAMILY, k->family, ID_SIZE);
    memcpy(out + AT_BK, k->bk, sizeof k->bk);
    memcpy(out + AT_PUB, k->pub, sizeof k->pub);
    put_u32(out + AT_ROLE, k->role);
    put_u32(out + AT_HAS_BK, k->has_bk);
    put_u64(out + AT_EXPIRES, k->expires);
}

enum err keeper_keys_decode(struct bytes b, struct keeper_keys *out)
{
    struct keeper_keys k = { 0 };
    if (b.size != KEEPER_KEYS_SIZE ||
        !bytes_all_zero(bytes_of(b.data + AT_REST, KEEPER_KEYS_SIZE - AT_REST)) ||
        get_u32(b.data + AT_HAS_BK) > 1) {
        return ERR_PROTOCOL;
    }
    memcpy(k.keyring_id, b.data + AT_KEYRING, ID_SIZE);
    memcpy(k.smk_id, b.data + AT_SMK, ID_SIZE);
    memcpy(k.kk_id, b.data + AT_KK, ID_SIZE);
    memcpy(k.family, b.data + AT_FAMILY, ID_SIZE);
    memcpy(k.bk, b.data + AT_BK, sizeof k.bk);
    memcpy(k.pub, b.data + AT_PUB, sizeof k.pub);
    k.role = get_u32(b.data + AT_ROLE);
    k.has_bk = get_u32(b.data + AT_HAS_BK);
    k.expires = get_u64(b.data + AT_EXPIRES);
    *out = k;
    bytes_wipe(&k, sizeof k);
    return ERR_OK;
}
