/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed invites (sks/invite.h). Pure functions over base/crypt; any thread. */
#include "sks/invite.h"

#include <string.h>

void invite_wipe(struct invite *i)
{
    bytes_wipe(i, sizeof(*i));
}

enum err invite_draw(uint64_t expiry, struct invite *out)
{
    TRY(crypt_random(out->invite_id, sizeof(out->invite_id)));
    TRY(crypt_random(out->secret, sizeof(out->secret)));
    out->expiry = expiry;
    return ERR_OK;
}

enum err invite_seal_with(const struct invite *i,
                          const uint8_t cluster_id[ID_SIZE],
                          const struct smk_opener *opener,
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[BLOB_INVITE_SIZE])
{
    uint8_t plain[BLOB_INVITE_SEALED];
    uint8_t *sealed = out + BLOB_INVITE_HEADER;
    if (opener->count == 0) {
        return ERR_WRONG_KEY;
    }
    blob_prefix_write(BLOB_INVITE, out);
    memcpy(out + 8, opener->key[0].smk_id, ID_SIZE);
    memcpy(out + 24, cluster_id, ID_SIZE);
    memcpy(out + 40, i->invite_id, ID_SIZE);
    memcpy(out + 56, nonce, CRYPT_NONCE);
    memcpy(plain, i->secret, 32);
    put_u64(plain + 32, i->expiry);
    const enum err e =
        xaes_seal_once(opener->key[0].key, nonce, bytes_of(out, BLOB_INVITE_HEADER),
                       bytes_of(plain, sizeof(plain)), sealed, sealed + BLOB_INVITE_SEALED);
    bytes_wipe(plain, sizeof(plain));
    return e;
}

enum err invite_seal(const struct invite *i,
                     const uint8_t cluster_id[ID_SIZE],
                     const struct smk_opener *opener,
                     uint8_t out[BLOB_INVITE_SIZE])
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return invite_seal_with(i, cluster_id, opener, nonce, out);
}

/* now < expiry <= now + 24 h */
static bool times_fit(uint64_t expiry, uint64_t now)
{
    return now < expiry && expiry - now <= (uint64_t)LIMIT_INVITE_S;
}

enum err invite_open(struct bytes sealed,
                     const uint8_t cluster_id[ID_SIZE],
                     const struct smk_opener *opener,
                     uint64_t now,
                     struct invite *out)
{
    uint8_t copy[BLOB_INVITE_SIZE];
    uint8_t plain[BLOB_INVITE_SEALED];
    struct blob_invite_header h;
    const uint8_t *key = NULL;
    if (sealed.size != sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, sealed.data, sizeof(copy));
    TRY(blob_invite_parse(bytes_of(copy, sizeof(copy)), &h));
    if (blob_id_order(h.cluster_id, cluster_id) != 0) {
        return ERR_WRONG_KEY;
    }
    TRY(smk_opener_find(opener, h.smk_id, &key));
    TRY(xaes_unseal_once(key, h.nonce, bytes_of(copy, BLOB_INVITE_HEADER),
                         bytes_of(copy + BLOB_INVITE_HEADER, BLOB_INVITE_SEALED),
                         copy + BLOB_INVITE_HEADER + BLOB_INVITE_SEALED, plain));
    const uint64_t expiry = get_u64(plain + 32);
    const bool good = times_fit(expiry, now);
    if (good) {
        memcpy(out->invite_id, h.invite_id, ID_SIZE);
        memcpy(out->secret, plain, 32);
        out->expiry = expiry;
    }
    bytes_wipe(plain, sizeof(plain));
    return good ? ERR_OK : ERR_REFUSED;
}

enum err invite_spend_check(bool in_own_list, bool row_spent, bool command_committed)
{
    return !in_own_list && !row_spent && command_committed ? ERR_OK : ERR_REFUSED;
}
