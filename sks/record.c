/* SPDX-License-Identifier: Apache-2.0 */
/* Keyring and cluster records: body encoder and decoder, sealing, editing
 * (sks/record.h; role rows and passwords are in record_row.c). Any thread. */
#include "sks/record.h"

#include <assert.h>
#include <string.h>

#define BODY_FIXED 20u
#define BODY_MAX (LIMIT_RECORD - BLOB_RECORD_HEADER - BLOB_TAG)

_Static_assert(BLOB_RECORD_HEADER + BODY_FIXED + 1 + 5 * RECORD_POLICIES +
                       SMK_SHARES * RECORD_SHARE + 1 + 16 * RECORD_TRUSTED +
                       RECORD_ROLES * RECORD_ROW + BLOB_TAG <=
                   LIMIT_RECORD,
               "the fullest record fits");

void record_wipe(struct record *r)
{
    bytes_wipe(r, sizeof(*r));
}

/* What is left of a body that is being read. */
struct reader {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct reader *in, size_t size)
{
    const uint8_t *at = in->at;
    if (in->left < size) {
        return NULL;
    }
    in->at += size;
    in->left -= size;
    return at;
}

/* ---- Decoding, in the order of the body ---- */

static enum err decode_policies(struct reader *in, struct record *r)
{
    const uint8_t *count = take(in, 1);
    if (count == NULL || *count > RECORD_POLICIES) {
        return ERR_BAD_CONTENT;
    }
    r->policy_count = *count;
    for (unsigned i = 0; i < r->policy_count; i++) {
        const uint8_t *at = take(in, 5);
        if (at == NULL || (i > 0 && at[0] <= r->policy[i - 1].number)) {
            return ERR_BAD_CONTENT;
        }
        r->policy[i].number = at[0];
        r->policy[i].value = get_u32(at + 1);
    }
    return ERR_OK;
}

static bool share_allowed(const struct record *r, unsigned i)
{
    const struct record_share *s = &r->share[i];
    if (blob_id_order(s->smk_id, r->smk_id) == 0) {
        return false;
    }
    for (unsigned j = 0; j < i; j++) {
        if (blob_id_order(s->smk_id, r->share[j].smk_id) == 0) {
            return false;
        }
    }
    return i == 0 || s->retired <= r->share[i - 1].retired;
}

static enum err decode_shares(struct reader *in, struct record *r)
{
    for (unsigned i = 0; i < r->share_count; i++) {
        struct record_share *s = &r->share[i];
        const uint8_t *at = take(in, RECORD_SHARE);
        if (at == NULL) {
            return ERR_BAD_CONTENT;
        }
        memcpy(s->smk_id, at, ID_SIZE);
        memcpy(s->ks, at + 16, CRYPT_KEY);
        memcpy(s->pub, at + 48, CRYPT_KEY);
        s->retired = get_u64(at + 80);
        if (!share_allowed(r, i)) {
            return ERR_BAD_CONTENT;
        }
    }
    return ERR_OK;
}

static enum err decode_trusted(struct reader *in, struct record *r)
{
    const uint8_t *count = take(in, 1);
    const unsigned most = r->kind == BLOB_CLUSTER_RECORD ? 0 : RECORD_TRUSTED;
    if (count == NULL || *count > most) {
        return ERR_BAD_CONTENT;
    }
    r->trusted_count = *count;
    for (unsigned i = 0; i < r->trusted_count; i++) {
        const uint8_t *at = take(in, ID_SIZE);
        if (at == NULL || (i > 0 && blob_id_order(at, r->trusted[i - 1]) <= 0)) {
            return ERR_BAD_CONTENT;
        }
        memcpy(r->trusted[i], at, ID_SIZE);
    }
    return ERR_OK;
}

/* Rows: of this record's roles, ascending; no wrap before the first KK. */
static enum err decode_rows(struct reader *in, struct record *r)
{
    const bool cluster = r->kind == BLOB_CLUSTER_RECORD;
    const unsigned first = cluster ? RECORD_PO : RECORD_KRSO;
    const unsigned last = cluster ? RECORD_CO : RECORD_CU;
    const bool no_kk = bytes_all_zero(bytes_of(r->kk_id, ID_SIZE));
    for (unsigned i = 0; i < r->row_count; i++) {
        struct record_row *row = &r->row[i];
        const uint8_t *at = take(in, RECORD_ROW);
        if (at == NULL) {
            return ERR_BAD_CONTENT;
        }
        TRY(record_row_decode(at, row));
        if (row->role < first || row->role > last || (i > 0 && row->role <= r->row[i - 1].role)) {
            return ERR_BAD_CONTENT;
        }
        if (no_kk && (row->flags & RECORD_NO_WRAP) == 0) {
            return ERR_BAD_CONTENT;
        }
    }
    return ERR_OK;
}

/* r has kind and the header's fields. */
static enum err decode_body(struct bytes body, struct record *r)
{
    struct reader in = { body.data, body.size };
    const uint8_t *at = take(&in, BODY_FIXED);
    if (at == NULL) {
        return ERR_BAD_CONTENT;
    }
    r->state = at[0];
    r->identity_mode = at[1];
    r->row_count = at[2];
    r->share_count = at[3];
    memcpy(r->kk_id, at + 4, ID_SIZE);
    if (r->state < RECORD_CREATED || r->state > RECORD_SUSPENDED) {
        return ERR_BAD_CONTENT;
    }
    if (r->row_count > RECORD_ROLES || r->share_count > SMK_SHARES) {
        return ERR_BAD_CONTENT;
    }
    if (r->kind == BLOB_CLUSTER_RECORD && r->share_count != 0) {
        return ERR_BAD_CONTENT;
    }
    TRY(decode_policies(&in, r));
    TRY(decode_shares(&in, r));
    TRY(decode_trusted(&in, r));
    TRY(decode_rows(&in, r));
    return in.left == 0 ? ERR_OK : ERR_BAD_CONTENT;
}

/* ---- Encoding ---- */

static size_t encode_body(const struct record *r, uint8_t out[BODY_MAX])
{
    uint8_t *at = out;
    at[0] = r->state;
    at[1] = r->identity_mode;
    at[2] = r->row_count;
    at[3] = r->share_count;
    memcpy(at + 4, r->kk_id, ID_SIZE);
    at += BODY_FIXED;
    *at++ = r->policy_count;
    for (unsigned i = 0; i < r->policy_count; i++, at += 5) {
        at[0] = r->policy[i].number;
        put_u32(at + 1, r->policy[i].value);
    }
    for (unsigned i = 0; i < r->share_count; i++, at += RECORD_SHARE) {
        memcpy(at, r->share[i].smk_id, ID_SIZE);
        memcpy(at + 16, r->share[i].ks, CRYPT_KEY);
        memcpy(at + 48, r->share[i].pub, CRYPT_KEY);
        put_u64(at + 80, r->share[i].retired);
    }
    *at++ = r->trusted_count;
    for (unsigned i = 0; i < r->trusted_count; i++, at += ID_SIZE) {
        memcpy(at, r->trusted[i], ID_SIZE);
    }
    for (unsigned i = 0; i < r->row_count; i++, at += RECORD_ROW) {
        record_row_encode(&r->row[i], at);
    }
    return (size_t)(at - out);
}

/* What is written must be what a decoder takes: encode, decode, compare sizes. */
static enum err check_own(const struct record *r, struct bytes body)
{
    __attribute__((cleanup(record_wipe))) struct record back = { .kind = r->kind };
    memcpy(back.smk_id, r->smk_id, ID_SIZE);
    return r->version == 0 ? ERR_BAD_CONTENT : decode_body(body, &back);
}

static bool counts_fit(const struct record *r)
{
    return r->policy_count <= RECORD_POLICIES && r->share_count <= SMK_SHARES &&
           r->trusted_count <= RECORD_TRUSTED && r->row_count <= RECORD_ROLES;
}

enum err record_seal_with(struct record *r,
                          const struct smk_opener *opener,
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[LIMIT_RECORD],
                          size_t *size)
{
    struct blob_record_header h = { .kind = r->kind, .version = r->version, .epoch = r->epoch };
    uint8_t body[BODY_MAX];
    assert(r->kind == BLOB_RECORD || r->kind == BLOB_CLUSTER_RECORD);
    if (opener->count == 0) {
        return ERR_WRONG_KEY;
    }
    if (!counts_fit(r)) {
        return ERR_BAD_CONTENT;
    }
    memcpy(r->smk_id, opener->key[0].smk_id, ID_SIZE);
    memcpy(h.smk_id, r->smk_id, ID_SIZE);
    memcpy(h.owner_id, r->owner_id, ID_SIZE);
    memcpy(h.nonce, nonce, CRYPT_NONCE);
    h.len = (uint32_t)encode_body(r, body);
    enum err e = check_own(r, bytes_of(body, h.len));
    if (e == ERR_OK) {
        blob_record_header_write(&h, out);
        uint8_t *sealed = out + BLOB_RECORD_HEADER;
        e = xaes_seal_once(opener->key[0].key, nonce, bytes_of(out, BLOB_RECORD_HEADER),
                           bytes_of(body, h.len), sealed, sealed + h.len);
    }
    if (e == ERR_OK) {
        *size = BLOB_RECORD_HEADER + (size_t)h.len + BLOB_TAG;
    }
    bytes_wipe(body, sizeof(body));
    return e;
}

enum err record_seal(struct record *r,
                     const struct smk_opener *opener,
                     uint8_t out[LIMIT_RECORD],
                     size_t *size)
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return record_seal_with(r, opener, nonce, out, size);
}

/* ---- Opening ---- */

static enum err open_body(const uint8_t *copy,
                          const struct blob_record_header *h,
                          const uint8_t *key,
                          struct record *out)
{
    __attribute__((cleanup(record_wipe))) struct record r = { .kind = h->kind };
    uint8_t body[BODY_MAX];
    const uint8_t *sealed = copy + BLOB_RECORD_HEADER;
    memcpy(r.smk_id, h->smk_id, ID_SIZE);
    memcpy(r.owner_id, h->owner_id, ID_SIZE);
    r.version = h->version;
    r.epoch = h->epoch;
    TRY(xaes_unseal_once(key, h->nonce, bytes_of(copy, BLOB_RECORD_HEADER),
                         bytes_of(sealed, h->len), sealed + h->len, body));
    const enum err e = decode_body(bytes_of(body, h->len), &r);
    bytes_wipe(body, sizeof(body));
    if (e == ERR_OK) {
        *out = r;
    }
    return e;
}

enum err record_open(struct bytes sealed,
                     unsigned kind,
                     const uint8_t owner_id[ID_SIZE],
                     const struct smk_opener *opener,
                     struct record *out)
{
    uint8_t copy[LIMIT_RECORD];
    struct blob_record_header h;
    const uint8_t *key = NULL;
    assert(kind == BLOB_RECORD || kind == BLOB_CLUSTER_RECORD);
    if (sealed.size > sizeof(copy) || sealed.size == 0) {
        return ERR_MALFORMED;
    }
    memcpy(copy, sealed.data, sealed.size);
    TRY(blob_record_parse(bytes_of(copy, sealed.size), kind, &h));
    if (blob_id_order(h.owner_id, owner_id) != 0) {
        return ERR_WRONG_KEY;
    }
    TRY(smk_opener_find(opener, h.smk_id, &key));
    return open_body(copy, &h, key, out);
}

enum err record_floor_check(const struct record *r, uint64_t floor_version, uint64_t floor_epoch)
{
    return r->version >= floor_version && r->epoch >= floor_epoch ? ERR_OK : ERR_REFUSED;
}

/* ---- Editing ---- */

struct record_row *record_row_find(struct record *r, unsigned role)
{
    for (unsigned i = 0; i < r->row_count; i++) {
        if (r->row[i].role == role) {
            return &r->row[i];
        }
    }
    return NULL;
}

const struct record_row *record_row_of(const struct record *r, unsigned role)
{
    for (unsigned i = 0; i < r->row_count; i++) {
        if (r->row[i].role == role) {
            return &r->row[i];
        }
    }
    return NULL;
}

enum err record_row_put(struct record *r, const struct record_row *row)
{
    struct record_row *there = record_row_find(r, row->role);
    unsigned at = 0;
    if (there != NULL) {
        *there = *row;
        return ERR_OK;
    }
    if (r->row_count >= RECORD_ROLES) {
        return ERR_FULL;
    }
    while (at < r->row_count && r->row[at].role < row->role) {
        at++;
    }
    memmove(&r->row[at + 1], &r->row[at], (r->row_count - at) * sizeof(r->row[0]));
    r->row[at] = *row;
    r->row_count++;
    return ERR_OK;
}

void record_row_remove(struct record *r, unsigned role)
{
    struct record_row *row = record_row_find(r, role);
    if (row == NULL) {
        return;
    }
    const size_t at = (size_t)(row - r->row);
    r->row_count--;
    memmove(row, row + 1, (r->row_count - at) * sizeof(*row));
    bytes_wipe(&r->row[r->row_count], sizeof(*row));
}

bool record_policy_get(const struct record *r, unsigned number, uint32_t *value)
{
    for (unsigned i = 0; i < r->policy_count; i++) {
        if (r->policy[i].number == number) {
            *value = r->policy[i].value;
            return true;
        }
    }
    return false;
}

enum err record_policy_put(struct record *r, unsigned number, uint32_t value)
{
    unsigned at = 0;
    assert(number <= UINT8_MAX);
    while (at < r->policy_count && r->policy[at].number < number) {
        at++;
    }
    if (at == r->policy_count || r->policy[at].number != number) {
        if (r->policy_count >= RECORD_POLICIES) {
            return ERR_FULL;
        }
        memmove(&r->policy[at + 1], &r->policy[at], (r->policy_count - at) * sizeof(r->policy[0]));
        r->policy_count++;
    }
    r->policy[at].number = (uint8_t)number;
    r->policy[at].value = value;
    return ERR_OK;
}

/* Index of the first trusted id that is not below the given one. */
static unsigned trusted_place(const struct record *r, const uint8_t object_id[ID_SIZE])
{
    unsigned at = 0;
    while (at < r->trusted_count && blob_id_order(r->trusted[at], object_id) < 0) {
        at++;
    }
    return at;
}

bool record_trusted_has(const struct record *r, const uint8_t object_id[ID_SIZE])
{
    const unsigned at = trusted_place(r, object_id);
    return at < r->trusted_count && blob_id_order(r->trusted[at], object_id) == 0;
}

enum err record_trusted_put(struct record *r, const uint8_t object_id[ID_SIZE])
{
    const unsigned at = trusted_place(r, object_id);
    if (record_trusted_has(r, object_id)) {
        return ERR_OK;
    }
    if (r->trusted_count >= RECORD_TRUSTED) {
        return ERR_FULL;
    }
    memmove(r->trusted[at + 1], r->trusted[at], (size_t)(r->trusted_count - at) * ID_SIZE);
    memcpy(r->trusted[at], object_id, ID_SIZE);
    r->trusted_count++;
    return ERR_OK;
}

void record_trusted_remove(struct record *r, const uint8_t object_id[ID_SIZE])
{
    const unsigned at = trusted_place(r, object_id);
    if (!record_trusted_has(r, object_id)) {
        return;
    }
    r->trusted_count--;
    memmove(r->trusted[at], r->trusted[at + 1], (size_t)(r->trusted_count - at) * ID_SIZE);
}

enum err record_share_push(struct record *r, const uint8_t old_smk[CRYPT_KEY], uint64_t retired)
{
    struct record_share s = { .retired = retired };
    TRY(smk_id(old_smk, s.smk_id));
    TRY(smk_share(old_smk, r->owner_id, s.ks));
    TRY(smk_public(old_smk, r->owner_id, s.pub));
    if (r->share_count > 0 && r->share[0].retired > retired) {
        s.retired = r->share[0].retired; /* a clock that went back keeps the order */
    }
    if (r->share_count == SMK_SHARES) {
        r->share_count--;
    }
    memmove(&r->share[1], &r->share[0], r->share_count * sizeof(s));
    r->share[0] = s;
    r->share_count++;
    bytes_wipe(&s, sizeof(s));
    return ERR_OK;
}

void record_share_remove(struct record *r, unsigned i)
{
    assert(i < r->share_count);
    r->share_count--;
    memmove(&r->share[i], &r->share[i + 1], (r->share_count - i) * sizeof(r->share[0]));
    bytes_wipe(&r->share[r->share_count], sizeof(r->share[0]));
}
