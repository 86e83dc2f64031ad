/* SPDX-License-Identifier: Apache-2.0 */
/* Roster, beacon, statement of a new TLS key (sks/roster.h). Pure functions over
 * base/crypt; any thread. */
#include "sks/roster.h"

#include <assert.h>
#include <string.h>

#define BEACON_LABEL "ringkeep/1/beacon"
#define STATEMENT_LABEL "ringkeep/1/tls-key"
#define BEACON_BODY 64u
#define STATEMENT_BODY 56u
#define BEACON_AHEAD_S 300u

/* ---- Sealing ---- */

static size_t encode_clear(const struct roster *r, uint8_t out[LIMIT_ROSTER])
{
    memset(out, 0, BLOB_ROSTER_HEADER);
    blob_prefix_write(BLOB_ROSTER, out);
    memcpy(out + 8, r->smk_id, ID_SIZE);
    memcpy(out + 24, r->cluster_id, ID_SIZE);
    put_u64(out + 40, r->version);
    put_u32(out + 48, r->inherit_window_s);
    out[52] = r->count;
    for (unsigned i = 0; i < r->count; i++) {
        blob_roster_row_write(&r->row[i], out + BLOB_ROSTER_HEADER + (size_t)i * BLOB_ROSTER_ROW);
    }
    return BLOB_ROSTER_HEADER + (size_t)r->count * BLOB_ROSTER_ROW;
}

enum err roster_seal_with(struct roster *r,
                          const struct smk_opener *opener,
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[LIMIT_ROSTER],
                          size_t *size)
{
    struct blob_roster_header h;
    uint8_t nothing[1];
    if (opener->count == 0) {
        return ERR_WRONG_KEY;
    }
    if (r->count == 0 || r->count > LIMIT_ROSTER_ROWS) {
        return ERR_BAD_CONTENT;
    }
    memcpy(r->smk_id, opener->key[0].smk_id, ID_SIZE);
    const size_t clear = encode_clear(r, out);
    const size_t total = clear + CRYPT_NONCE + CRYPT_TAG;
    memcpy(out + clear, nonce, CRYPT_NONCE);
    TRY(xaes_seal_once(opener->key[0].key, nonce, bytes_of(out, clear), bytes_of(nothing, 0),
                       nothing, out + clear + CRYPT_NONCE));
    if (blob_roster_parse(bytes_of(out, total), &h) != ERR_OK) {
        return ERR_BAD_CONTENT;
    }
    *size = total;
    return ERR_OK;
}

enum err roster_seal(struct roster *r,
                     const struct smk_opener *opener,
                     uint8_t out[LIMIT_ROSTER],
                     size_t *size)
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return roster_seal_with(r, opener, nonce, out, size);
}

enum err roster_open(struct bytes sealed,
                     const uint8_t cluster_id[ID_SIZE],
                     const struct smk_opener *opener,
                     struct roster *out)
{
    uint8_t copy[LIMIT_ROSTER];
    uint8_t nothing[1];
    struct blob_roster_header h;
    const uint8_t *key = NULL;
    if (sealed.size > sizeof(copy) || sealed.size == 0) {
        return ERR_MALFORMED;
    }
    memcpy(copy, sealed.data, sealed.size);
    const struct bytes all = bytes_of(copy, sealed.size);
    TRY(blob_roster_parse(all, &h));
    if (blob_id_order(h.cluster_id, cluster_id) != 0) {
        return ERR_WRONG_KEY;
    }
    TRY(smk_opener_find(opener, h.smk_id, &key));
    const size_t clear = sealed.size - CRYPT_NONCE - CRYPT_TAG;
    TRY(xaes_unseal_once(key, copy + clear, bytes_of(copy, clear), bytes_of(copy + clear, 0),
                         copy + clear + CRYPT_NONCE, nothing));
    memset(out, 0, sizeof(*out));
    memcpy(out->smk_id, h.smk_id, ID_SIZE);
    memcpy(out->cluster_id, h.cluster_id, ID_SIZE);
    out->version = h.version;
    out->inherit_window_s = h.inherit_window_s;
    out->count = h.count;
    for (unsigned i = 0; i < h.count; i++) {
        blob_roster_row(all, i, &out->row[i]);
    }
    return ERR_OK;
}

/* ---- Rows ---- */

struct blob_roster_row *roster_find(struct roster *r, const uint8_t member_id[ID_SIZE])
{
    for (unsigned i = 0; i < r->count; i++) {
        if (blob_id_order(r->row[i].member_id, member_id) == 0) {
            return &r->row[i];
        }
    }
    return NULL;
}

const struct blob_roster_row *roster_find_active(const struct roster *r,
                                                 const uint8_t member_id[ID_SIZE])
{
    for (unsigned i = 0; i < r->count; i++) {
        if (blob_id_order(r->row[i].member_id, member_id) == 0) {
            return r->row[i].state == BLOB_ROSTER_ACTIVE ? &r->row[i] : NULL;
        }
    }
    return NULL;
}

enum err roster_put(struct roster *r, const struct blob_roster_row *row)
{
    struct blob_roster_row *there = roster_find(r, row->member_id);
    unsigned at = 0;
    if (there != NULL) {
        *there = *row;
        return ERR_OK;
    }
    if (r->count >= LIMIT_ROSTER_ROWS) {
        return ERR_FULL;
    }
    while (at < r->count && blob_id_order(r->row[at].member_id, row->member_id) < 0) {
        at++;
    }
    memmove(&r->row[at + 1], &r->row[at], (r->count - at) * sizeof(r->row[0]));
    r->row[at] = *row;
    r->count++;
    return ERR_OK;
}

enum err roster_identities(const struct roster *r, struct envelope_identities *out)
{
    struct envelope_identities i = { .roster_version = r->version };
    for (unsigned n = 0; n < r->count; n++) {
        if (r->row[n].state == BLOB_ROSTER_ACTIVE) {
            memcpy(i.row[i.count].member_id, r->row[n].member_id, ID_SIZE);
            memcpy(i.row[i.count].id_pub, r->row[n].id_pub, 32);
            i.count++;
        }
    }
    if (i.count == 0) {
        return ERR_NOTFOUND;
    }
    *out = i;
    return ERR_OK;
}

/* ---- Signed statements: label || cluster_id || body ---- */

#define SIGNED_MAX (sizeof(STATEMENT_LABEL) + ID_SIZE + BEACON_BODY)

static struct bytes signed_text(const char *label,
                                const uint8_t cluster_id[ID_SIZE],
                                struct bytes body,
                                uint8_t out[SIGNED_MAX])
{
    const struct bytes named = bytes_of_text(label);
    assert(named.size + ID_SIZE + body.size <= SIGNED_MAX);
    memcpy(out, named.data, named.size);
    memcpy(out + named.size, cluster_id, ID_SIZE);
    memcpy(out + named.size + ID_SIZE, body.data, body.size);
    return bytes_of(out, named.size + ID_SIZE + body.size);
}

enum err roster_beacon_sign(const struct roster_beacon *b,
                            const uint8_t cluster_id[ID_SIZE],
                            const uint8_t id_private[32],
                            uint8_t out[ROSTER_BEACON])
{
    uint8_t text[SIGNED_MAX];
    memcpy(out, b->member_id, ID_SIZE);
    put_u64(out + 16, b->time);
    put_u64(out + 24, b->roster_version);
    memcpy(out + 32, b->audit_head, 32);
    const struct bytes said =
        signed_text(BEACON_LABEL, cluster_id, bytes_of(out, BEACON_BODY), text);
    return ed25519_sign(id_private, said, out + BEACON_BODY);
}

enum err roster_beacon_parse(struct bytes beacon, struct roster_beacon *out)
{
    if (beacon.size != ROSTER_BEACON) {
        return ERR_MALFORMED;
    }
    memcpy(out->member_id, beacon.data, ID_SIZE);
    out->time = get_u64(beacon.data + 16);
    out->roster_version = get_u64(beacon.data + 24);
    memcpy(out->audit_head, beacon.data + 32, 32);
    return ERR_OK;
}

enum err roster_beacon_verify(struct bytes beacon,
                              const uint8_t cluster_id[ID_SIZE],
                              const uint8_t id_pub[32],
                              struct roster_beacon *out)
{
    uint8_t copy[ROSTER_BEACON];
    uint8_t text[SIGNED_MAX];
    if (beacon.size != sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, beacon.data, sizeof(copy));
    const struct bytes said =
        signed_text(BEACON_LABEL, cluster_id, bytes_of(copy, BEACON_BODY), text);
    TRY(ed25519_verify(id_pub, said, copy + BEACON_BODY));
    return roster_beacon_parse(bytes_of(copy, sizeof(copy)), out);
}

enum err roster_beacon_fresh(uint64_t beacon_time, uint32_t inherit_window_s, uint64_t now)
{
    if (beacon_time > now) {
        /* Not for ever by a beacon made ahead of its time. */
        return beacon_time - now <= BEACON_AHEAD_S ? ERR_OK : ERR_REFUSED;
    }
    return now - beacon_time <= inherit_window_s ? ERR_OK : ERR_REFUSED;
}

enum err roster_statement_sign(const struct roster_statement *s,
                               const uint8_t cluster_id[ID_SIZE],
                               const uint8_t id_private[32],
                               uint8_t out[ROSTER_STATEMENT])
{
    uint8_t text[SIGNED_MAX];
    memcpy(out, s->member_id, ID_SIZE);
    put_u64(out + 16, s->roster_version);
    memcpy(out + 24, s->spki_hash, 32);
    const struct bytes said =
        signed_text(STATEMENT_LABEL, cluster_id, bytes_of(out, STATEMENT_BODY), text);
    return ed25519_sign(id_private, said, out + STATEMENT_BODY);
}

enum err roster_statement_parse(struct bytes statement, struct roster_statement *out)
{
    if (statement.size != ROSTER_STATEMENT) {
        return ERR_MALFORMED;
    }
    memcpy(out->member_id, statement.data, ID_SIZE);
    out->roster_version = get_u64(statement.data + 16);
    memcpy(out->spki_hash, statement.data + 24, 32);
    return ERR_OK;
}

enum err roster_statement_verify(struct bytes statement,
                                 const uint8_t cluster_id[ID_SIZE],
                                 const uint8_t id_pub[32],
                                 struct roster_statement *out)
{
    uint8_t copy[ROSTER_STATEMENT];
    uint8_t text[SIGNED_MAX];
    if (statement.size != sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, statement.data, sizeof(copy));
    const struct bytes said =
        signed_text(STATEMENT_LABEL, cluster_id, bytes_of(copy, STATEMENT_BODY), text);
    TRY(ed25519_verify(id_pub, said, copy + STATEMENT_BODY));
    return roster_statement_parse(bytes_of(copy, sizeof(copy)), out);
}

enum err roster_statement_apply(struct roster *r, const struct roster_statement *s)
{
    struct blob_roster_row *row = roster_find(r, s->member_id);
    if (row == NULL || row->state != BLOB_ROSTER_ACTIVE || s->roster_version != r->version) {
        return ERR_REFUSED;
    }
    memcpy(row->spki_hash, s->spki_hash, 32);
    r->version++;
    return ERR_OK;
}
