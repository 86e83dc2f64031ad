/* SPDX-License-Identifier: Apache-2.0 */
/* Key hierarchy: derivations, ids, the SMK set, rollover rules (sks/smk.h; state
 * slots are in smk_slot.c). Pure functions over base/crypt; any thread. */
#include "sks/smk.h"

#include <assert.h>
#include <string.h>

#include "sks/wipe.h"

#define NOTHING bytes_of(NULL, 0)
#define SET_LABEL "ringkeep/1/smk-set"
#define SET_AAD (sizeof(SET_LABEL) - 1 + ID_SIZE)

/* Labels of the keys of one cluster, by use. */
static const char *const use_label[SMK_USES] = {
    [SMK_RECORD] = "record",
    [SMK_ROSTER] = "roster",
    [SMK_INVITE] = "invite",
    [SMK_SYSTEM] = "system",
    [SMK_CLUSTER_RECORD] = "cluster-record",
};

/* HK without salt, context one id (NULL: none). */
static enum err derive(
    const uint8_t key[CRYPT_KEY], const char *label, const uint8_t *id, uint8_t *out, size_t n)
{
    const struct bytes context = id == NULL ? NOTHING : bytes_of(id, ID_SIZE);
    return crypt_hk(bytes_of(key, CRYPT_KEY), NOTHING, label, context, out, n);
}

enum err smk_id(const uint8_t smk[CRYPT_KEY], uint8_t out[ID_SIZE])
{
    return derive(smk, "id", NULL, out, ID_SIZE);
}

enum err smk_tk_id(const uint8_t tk[CRYPT_KEY], uint8_t out[ID_SIZE])
{
    return derive(tk, "id", NULL, out, ID_SIZE);
}

enum err smk_kk_id(const uint8_t kk[CRYPT_KEY],
                   const uint8_t owner_id[ID_SIZE],
                   uint8_t out[ID_SIZE])
{
    return derive(kk, "id", owner_id, out, ID_SIZE);
}

enum err smk_share(const uint8_t smk[CRYPT_KEY],
                   const uint8_t kr_id[ID_SIZE],
                   uint8_t out[CRYPT_KEY])
{
    return derive(smk, "share", kr_id, out, CRYPT_KEY);
}

enum err smk_public(const uint8_t smk[CRYPT_KEY],
                    const uint8_t kr_id[ID_SIZE],
                    uint8_t out[CRYPT_KEY])
{
    return derive(smk, "public", kr_id, out, CRYPT_KEY);
}

enum err smk_blob_key(const uint8_t kk[CRYPT_KEY],
                      const uint8_t ks[CRYPT_KEY],
                      const uint8_t smk_id_of_ks[ID_SIZE],
                      const uint8_t kr_id[ID_SIZE],
                      const uint8_t kk_id[ID_SIZE],
                      uint8_t out[CRYPT_KEY])
{
    uint8_t context[3 * ID_SIZE];
    memcpy(context, smk_id_of_ks, ID_SIZE);
    memcpy(context + ID_SIZE, kr_id, ID_SIZE);
    memcpy(context + 2 * (size_t)ID_SIZE, kk_id, ID_SIZE);
    return crypt_hk(bytes_of(kk, CRYPT_KEY), bytes_of(ks, CRYPT_KEY), "blob",
                    bytes_of(context, sizeof(context)), out, CRYPT_KEY);
}

enum err smk_cluster_key(const uint8_t smk[CRYPT_KEY],
                         enum smk_use use,
                         const uint8_t cluster_id[ID_SIZE],
                         uint8_t out[CRYPT_KEY])
{
    assert(use < SMK_USES);
    return derive(smk, use_label[use], cluster_id, out, CRYPT_KEY);
}

/* ---- The set ---- */

void smk_set_wipe(struct smk_set *s)
{
    bytes_wipe(s, sizeof(*s));
}

void smk_set_encode(const struct smk_set *s, uint8_t out[SMK_SET_SIZE])
{
    assert(s->count == 1 || s->count == 2);
    memset(out, 0, SMK_SET_SIZE);
    out[0] = s->count;
    memcpy(out + 8, s->primary, CRYPT_KEY);
    if (s->count == 2) {
        memcpy(out + 40, s->rollover, CRYPT_KEY);
    }
    memcpy(out + 72, s->tk, CRYPT_KEY);
    memcpy(out + 104, s->lk_private, CRYPT_KEY);
    put_u64(out + 136, s->lk_version);
}

enum err smk_set_decode(struct bytes plain, struct smk_set *out)
{
    const uint8_t *at = plain.data;
    if (plain.size != SMK_SET_SIZE || (at[0] != 1 && at[0] != 2)) {
        return ERR_BAD_CONTENT;
    }
    if (!bytes_all_zero(bytes_of(at + 1, 7))) {
        return ERR_BAD_CONTENT;
    }
    if (bytes_all_zero(bytes_of(at + 40, CRYPT_KEY)) != (at[0] == 1)) {
        return ERR_BAD_CONTENT;
    }
    out->count = at[0];
    memcpy(out->primary, at + 8, CRYPT_KEY);
    memcpy(out->rollover, at + 40, CRYPT_KEY);
    memcpy(out->tk, at + 72, CRYPT_KEY);
    memcpy(out->lk_private, at + 104, CRYPT_KEY);
    out->lk_version = get_u64(at + 136);
    return ERR_OK;
}

static void set_aad(const uint8_t cluster_id[ID_SIZE], uint8_t aad[SET_AAD])
{
    memcpy(aad, SET_LABEL, sizeof(SET_LABEL) - 1);
    memcpy(aad + sizeof(SET_LABEL) - 1, cluster_id, ID_SIZE);
}

enum err smk_set_seal_with(const struct smk_set *s,
                           const uint8_t cuk[CRYPT_KEY],
                           const uint8_t cluster_id[ID_SIZE],
                           const uint8_t nonce[CRYPT_NONCE],
                           uint8_t out[SMK_SET_SEALED])
{
    uint8_t plain[SMK_SET_SIZE];
    uint8_t aad[SET_AAD];
    uint8_t *sealed = out + CRYPT_NONCE;
    set_aad(cluster_id, aad);
    smk_set_encode(s, plain);
    memcpy(out, nonce, CRYPT_NONCE);
    const enum err e =
        xaes_seal_once(cuk, nonce, bytes_of(aad, sizeof(aad)), bytes_of(plain, sizeof(plain)),
                       sealed, sealed + SMK_SET_SIZE);
    bytes_wipe(plain, sizeof(plain));
    return e;
}

enum err smk_set_seal(const struct smk_set *s,
                      const uint8_t cuk[CRYPT_KEY],
                      const uint8_t cluster_id[ID_SIZE],
                      uint8_t out[SMK_SET_SEALED])
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return smk_set_seal_with(s, cuk, cluster_id, nonce, out);
}

enum err smk_set_open(struct bytes sealed,
                      const uint8_t cuk[CRYPT_KEY],
                      const uint8_t cluster_id[ID_SIZE],
                      struct smk_set *out)
{
    uint8_t copy[SMK_SET_SEALED];
    uint8_t plain[SMK_SET_SIZE];
    uint8_t aad[SET_AAD];
    if (sealed.size != sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, sealed.data, sizeof(copy));
    set_aad(cluster_id, aad);
    TRY(xaes_unseal_once(cuk, copy, bytes_of(aad, sizeof(aad)),
                         bytes_of(copy + CRYPT_NONCE, SMK_SET_SIZE),
                         copy + CRYPT_NONCE + SMK_SET_SIZE, plain));
    const enum err e = smk_set_decode(bytes_of(plain, sizeof(plain)), out);
    bytes_wipe(plain, sizeof(plain));
    return e;
}

enum err smk_set_accept(const struct smk_set *own, const struct smk_set *next)
{
    if (own == NULL || next->lk_version > own->lk_version) {
        return ERR_OK;
    }
    const bool same_lk =
        secret_equal(bytes_of(own->lk_private, CRYPT_KEY), bytes_of(next->lk_private, CRYPT_KEY));
    return next->lk_version == own->lk_version && same_lk ? ERR_OK : ERR_REFUSED;
}

uint64_t smk_lk_version_next(uint64_t old, uint64_t now)
{
    return old + 1 > now ? old + 1 : now;
}

/* ---- Openers ---- */

enum err smk_opener_make(const struct smk_set *s,
                         enum smk_use use,
                         const uint8_t cluster_id[ID_SIZE],
                         struct smk_opener *out)
{
    const uint8_t *const smk[SMK_OPENERS] = { s->primary, s->rollover };
    assert(s->count == 1 || s->count == 2);
    __attribute__((cleanup(smk_opener_wipe))) struct smk_opener o = { .count = s->count };
    for (unsigned i = 0; i < s->count && i < SMK_OPENERS; i++) {
        TRY(smk_id(smk[i], o.key[i].smk_id));
        TRY(smk_cluster_key(smk[i], use, cluster_id, o.key[i].key));
    }
    *out = o;
    return ERR_OK;
}

enum err smk_opener_find(const struct smk_opener *o, const uint8_t id[ID_SIZE], const uint8_t **out)
{
    for (unsigned i = 0; i < o->count; i++) {
        if (blob_id_order(o->key[i].smk_id, id) == 0) {
            *out = o->key[i].key;
            return ERR_OK;
        }
    }
    return ERR_WRONG_KEY;
}

void smk_opener_wipe(struct smk_opener *o)
{
    bytes_wipe(o, sizeof(*o));
}

/* ---- Rules ---- */

bool smk_share_needed(bool stored_under_it, bool offboard_allowed, uint64_t retired, uint64_t now)
{
    const bool young = now < retired || now - retired < SMK_SHARE_S;
    return stored_under_it || offboard_allowed || young;
}

bool smk_rollover_allowed(unsigned needed_shares, bool confirmed)
{
    return needed_shares < SMK_SHARES || confirmed;
}

enum err smk_domain_key(struct bytes secret_text,
                        const uint8_t domain_id[ID_SIZE],
                        uint8_t out[CRYPT_KEY])
{
    return crypt_scrypt(secret_text, bytes_of(domain_id, ID_SIZE), 17, out, CRYPT_KEY);
}
