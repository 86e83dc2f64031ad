/* SPDX-License-Identifier: Apache-2.0 */
/* Clear headers of the sealed formats: layout and validation, no keys. Pure
 * functions, any thread. */
#include "sks/blob.h"

#include <string.h>

#define WHOLE(array) bytes_of((array), sizeof(array))
#define ROSTER_TAIL (24u + BLOB_TAG) /* nonce, tag */

/* Offsets of the object blob's header (crypto-spec section 2). */
enum {
    AT_SMK_ID = 8,
    AT_KEYRING_ID = 24,
    AT_KK_ID = 40,
    AT_OBJECT_ID = 56,
    AT_BIND = 72,
    AT_GENERATION = 88,
    AT_LEN_A = 96,
    AT_LEN_K = 100,
    AT_NONCE = 104
};

static bool zero(const uint8_t *at, size_t size)
{
    return bytes_all_zero(bytes_of(at, size));
}

int blob_id_order(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE])
{
    for (size_t i = 0; i < ID_SIZE; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

void blob_prefix_write(unsigned kind, uint8_t out[BLOB_PREFIX])
{
    memset(out, 0, BLOB_PREFIX);
    out[0] = 'R';
    out[1] = 'K';
    out[2] = BLOB_FORMAT;
    out[3] = BLOB_SUITE;
    out[4] = (uint8_t)kind;
}

/* The steps before the kind is judged. */
static enum err check_magic(struct bytes input, size_t min, size_t max)
{
    if (input.size < min || input.size > max || input.size < BLOB_PREFIX) {
        return ERR_MALFORMED;
    }
    if (input.data[0] != 'R' || input.data[1] != 'K') {
        return ERR_MALFORMED;
    }
    if (input.data[2] != BLOB_FORMAT || input.data[3] != BLOB_SUITE) {
        return ERR_UNSUPPORTED;
    }
    return ERR_OK;
}

enum err blob_prefix_check(struct bytes input, size_t min, size_t max, unsigned kind)
{
    TRY(check_magic(input, min, max));
    if (input.data[4] != kind) {
        return ERR_UNSUPPORTED;
    }
    return zero(input.data + 5, 3) ? ERR_OK : ERR_MALFORMED;
}

/* ---- Object blob ---- */

enum err blob_header_check(const struct blob_header *h)
{
    const bool keyed = h->kind == BLOB_TOKEN || h->kind == BLOB_SESSION || h->kind == BLOB_OFFBOARD;
    const bool k_fits = h->kind == BLOB_PUBLIC ? h->len_k == 0 : h->len_k >= BLOB_K_MIN;
    const uint64_t total = (uint64_t)BLOB_OVERHEAD + h->len_a + h->len_k;
    if (h->kind < BLOB_TOKEN || h->kind > BLOB_SYSTEM) {
        return ERR_UNSUPPORTED;
    }
    if (!k_fits || total > LIMIT_BLOB || h->generation == 0) {
        return ERR_MALFORMED;
    }
    if (bytes_all_zero(WHOLE(h->kk_id)) == keyed) {
        return ERR_MALFORMED;
    }
    if (bytes_all_zero(WHOLE(h->bind)) == (h->kind == BLOB_SESSION)) {
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

enum err blob_parse(struct bytes blob, struct blob_header *out)
{
    struct blob_header h;
    const uint8_t *at = blob.data;
    TRY(check_magic(blob, BLOB_OVERHEAD, LIMIT_BLOB));
    if (at[4] < BLOB_TOKEN || at[4] > BLOB_SYSTEM) {
        return ERR_UNSUPPORTED;
    }
    if (!zero(at + 5, 3) || at[BLOB_HEADER - 1] != 0) {
        return ERR_MALFORMED;
    }
    h.kind = at[4];
    memcpy(h.smk_id, at + AT_SMK_ID, ID_SIZE);
    memcpy(h.keyring_id, at + AT_KEYRING_ID, ID_SIZE);
    memcpy(h.kk_id, at + AT_KK_ID, ID_SIZE);
    memcpy(h.object_id, at + AT_OBJECT_ID, ID_SIZE);
    memcpy(h.bind, at + AT_BIND, ID_SIZE);
    h.generation = get_u64(at + AT_GENERATION);
    h.len_a = get_u32(at + AT_LEN_A);
    h.len_k = get_u32(at + AT_LEN_K);
    memcpy(h.nonce, at + AT_NONCE, BLOB_NONCE);
    if ((uint64_t)BLOB_OVERHEAD + h.len_a + h.len_k != blob.size) {
        return ERR_MALFORMED;
    }
    TRY(blob_header_check(&h));
    *out = h;
    return ERR_OK;
}

void blob_header_write(const struct blob_header *h, uint8_t out[BLOB_HEADER])
{
    memset(out, 0, BLOB_HEADER);
    blob_prefix_write(h->kind, out);
    memcpy(out + AT_SMK_ID, h->smk_id, ID_SIZE);
    memcpy(out + AT_KEYRING_ID, h->keyring_id, ID_SIZE);
    memcpy(out + AT_KK_ID, h->kk_id, ID_SIZE);
    memcpy(out + AT_OBJECT_ID, h->object_id, ID_SIZE);
    memcpy(out + AT_BIND, h->bind, ID_SIZE);
    put_u64(out + AT_GENERATION, h->generation);
    put_u32(out + AT_LEN_A, h->len_a);
    put_u32(out + AT_LEN_K, h->len_k);
    memcpy(out + AT_NONCE, h->nonce, BLOB_NONCE);
}

/* ---- Records ---- */

enum err blob_record_parse(struct bytes record, unsigned kind, struct blob_record_header *out)
{
    struct blob_record_header h;
    const uint8_t *at = record.data;
    TRY(blob_prefix_check(record, BLOB_RECORD_HEADER + BLOB_TAG, LIMIT_RECORD, kind));
    h.kind = (uint8_t)kind;
    memcpy(h.smk_id, at + 8, ID_SIZE);
    memcpy(h.owner_id, at + 24, ID_SIZE);
    h.version = get_u64(at + 40);
    h.epoch = get_u64(at + 48);
    h.len = get_u32(at + 56);
    memcpy(h.nonce, at + 64, sizeof(h.nonce));
    if (!zero(at + 60, 4) || !zero(at + 88, 8) || h.version == 0) {
        return ERR_MALFORMED;
    }
    if ((uint64_t)BLOB_RECORD_HEADER + h.len + BLOB_TAG != record.size) {
        return ERR_MALFORMED;
    }
    *out = h;
    return ERR_OK;
}

void blob_record_header_write(const struct blob_record_header *h, uint8_t out[BLOB_RECORD_HEADER])
{
    memset(out, 0, BLOB_RECORD_HEADER);
    blob_prefix_write(h->kind, out);
    memcpy(out + 8, h->smk_id, ID_SIZE);
    memcpy(out + 24, h->owner_id, ID_SIZE);
    put_u64(out + 40, h->version);
    put_u64(out + 48, h->epoch);
    put_u32(out + 56, h->len);
    memcpy(out + 64, h->nonce, sizeof(h->nonce));
}

bool blob_record_accepts(uint64_t stored_version,
                         uint64_t stored_epoch,
                         uint64_t version,
                         uint64_t epoch)
{
    return version != 0 && version - 1 == stored_version && epoch >= stored_epoch;
}

/* ---- Ticket ---- */

enum err blob_ticket_parse(struct bytes ticket, struct blob_ticket_header *out)
{
    TRY(blob_prefix_check(ticket, BLOB_TICKET_SIZE, BLOB_TICKET_SIZE, BLOB_TICKET));
    memcpy(out->tk_id, ticket.data + 8, ID_SIZE);
    memcpy(out->keyring_id, ticket.data + 24, ID_SIZE);
    memcpy(out->nonce, ticket.data + 40, sizeof(out->nonce));
    return ERR_OK;
}

/* ---- Roster ---- */

static enum err check_row(struct bytes roster, unsigned i)
{
    const uint8_t *at = roster.data + BLOB_ROSTER_HEADER + (size_t)i * BLOB_ROSTER_ROW;
    const uint8_t state = at[112];
    if (state != BLOB_ROSTER_ACTIVE && state != BLOB_ROSTER_REMOVED) {
        return ERR_MALFORMED;
    }
    if (!zero(at + 114, 6)) {
        return ERR_MALFORMED;
    }
    if (i > 0 && blob_id_order(at - BLOB_ROSTER_ROW, at) >= 0) {
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

enum err blob_roster_parse(struct bytes roster, struct blob_roster_header *out)
{
    struct blob_roster_header h;
    const uint8_t *at = roster.data;
    TRY(blob_prefix_check(roster, BLOB_ROSTER_HEADER + ROSTER_TAIL, LIMIT_ROSTER, BLOB_ROSTER));
    memcpy(h.smk_id, at + 8, ID_SIZE);
    memcpy(h.cluster_id, at + 24, ID_SIZE);
    h.version = get_u64(at + 40);
    h.inherit_window_s = get_u32(at + 48);
    h.count = at[52];
    if (!zero(at + 53, 3) || h.version == 0 || h.count == 0 || h.count > LIMIT_ROSTER_ROWS) {
        return ERR_MALFORMED;
    }
    if (roster.size != BLOB_ROSTER_HEADER + (size_t)h.count * BLOB_ROSTER_ROW + ROSTER_TAIL) {
        return ERR_MALFORMED;
    }
    for (unsigned i = 0; i < h.count; i++) {
        TRY(check_row(roster, i));
    }
    *out = h;
    return ERR_OK;
}

void blob_roster_row(struct bytes roster, unsigned i, struct blob_roster_row *out)
{
    const uint8_t *at = roster.data + BLOB_ROSTER_HEADER + (size_t)i * BLOB_ROSTER_ROW;
    memcpy(out->member_id, at, ID_SIZE);
    memcpy(out->id_pub, at + 16, 32);
    memcpy(out->ak_pub, at + 48, 32);
    memcpy(out->spki_hash, at + 80, 32);
    out->state = at[112];
    out->suite = at[113];
}

void blob_roster_row_write(const struct blob_roster_row *row, uint8_t out[BLOB_ROSTER_ROW])
{
    memset(out, 0, BLOB_ROSTER_ROW);
    memcpy(out, row->member_id, ID_SIZE);
    memcpy(out + 16, row->id_pub, 32);
    memcpy(out + 48, row->ak_pub, 32);
    memcpy(out + 80, row->spki_hash, 32);
    out[112] = row->state;
    out[113] = row->suite;
}

/* ---- Invite ---- */

enum err blob_invite_parse(struct bytes invite, struct blob_invite_header *out)
{
    TRY(blob_prefix_check(invite, BLOB_INVITE_SIZE, BLOB_INVITE_SIZE, BLOB_INVITE));
    memcpy(out->smk_id, invite.data + 8, ID_SIZE);
    memcpy(out->cluster_id, invite.data + 24, ID_SIZE);
    memcpy(out->invite_id, invite.data + 40, ID_SIZE);
    memcpy(out->nonce, invite.data + 56, sizeof(out->nonce));
    return ERR_OK;
}
