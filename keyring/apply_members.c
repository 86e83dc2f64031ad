/* SPDX-License-Identifier: Apache-2.0 */
/* Members: their rows, and the roster that says who may have one. What a member
 * row claims must stand in an active row of the roster's clear part; a member that
 * the roster drops loses its row. Runs inside apply. */
#include "keyring/apply_internal.h"

#include <string.h>

#include "command.pb-c.h"
#include "sks/blob.h"

#define BEACON_SIZE 128u    /* crypto-spec 5: b || signature; b begins with the member id */
#define LOGIN_KEY_SIZE 128u /* crypto-spec 3: l 48 || member id || signature */
#define LOGIN_KEY_MEMBER_OFFSET 48u

/* -- rows against the roster ------------------------------------------------------------ */

/* The active row of a roster that was parsed before. */
static bool find_active(struct bytes roster, struct bytes member_id, struct blob_roster_row *out)
{
    struct blob_roster_header h;
    if (blob_roster_parse(roster, &h) != ERR_OK) {
        return false;
    }
    for (unsigned i = 0; i < h.count; i++) {
        blob_roster_row(roster, i, out);
        if (bytes_equal(bytes_of(out->member_id, ID_SIZE), member_id)) {
            return out->state == BLOB_ROSTER_ACTIVE;
        }
    }
    return false;
}

static bool names_member(ProtobufCBinaryData sealed,
                         size_t size,
                         size_t offset,
                         ProtobufCBinaryData member_id)
{
    return apply_sized(sealed, size) &&
           bytes_equal(bytes_of(sealed.data + offset, ID_SIZE), apply_bytes(member_id));
}

static enum err check_fields(const Ringkeep__MemberRow *m)
{
    const bool good = apply_sized(m->member_id, ID_SIZE) && apply_sized(m->spki_hash, APPLY_SPKI) &&
                      m->raft_id != 0 && apply_text(m->name, LIMIT_NAME) &&
                      apply_text(m->client_address, LIMIT_ADDRESS - 1) &&
                      apply_text(m->peer_address, LIMIT_ADDRESS - 1) &&
                      apply_text(m->join_address, LIMIT_ADDRESS - 1) &&
                      (!m->has_beacon || names_member(m->beacon, BEACON_SIZE, 0, m->member_id)) &&
                      (!m->has_login_key || names_member(m->login_key, LOGIN_KEY_SIZE,
                                                         LOGIN_KEY_MEMBER_OFFSET, m->member_id)) &&
                      (!m->has_data_uuid || apply_sized(m->data_uuid, ID_SIZE));
    return good ? ERR_OK : ERR_MALFORMED;
}

/* Name and raft id belong to one member. */
static enum err check_unique(struct apply *a, const Ringkeep__MemberRow *m)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes key, value;
    enum err e = ERR_OK;
    TRY(store_cursor_open(a->v, STORE_MEMBERS, bytes_of(NULL, 0), bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &key, &value)) == ERR_OK) {
        ROW_SCOPED Ringkeep__MemberRow *other = NULL;
        TRY(rows_unpack(STORE_MEMBERS, value, &other));
        if (!apply_same(other->member_id, m->member_id) &&
            (other->raft_id == m->raft_id || strcmp(other->name, m->name) == 0)) {
            return ERR_EXISTS;
        }
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err apply_members_check(struct apply *a,
                             const struct Ringkeep__MemberRow *m,
                             struct bytes roster)
{
    struct blob_roster_row row;
    TRY(check_fields(m));
    if (!find_active(roster, apply_bytes(m->member_id), &row) ||
        !bytes_equal(apply_bytes(m->spki_hash), bytes_of(row.spki_hash, APPLY_SPKI))) {
        return ERR_REFUSED;
    }
    return check_unique(a, m);
}

/* The new row lacks what others report later: the old row's is kept. */
static void keep_optional(Ringkeep__MemberRow *row, const Ringkeep__MemberRow *old)
{
    if (!row->has_beacon) {
        row->has_beacon = old->has_beacon;
        row->beacon = old->beacon;
    }
    if (!row->has_login_key) {
        row->has_login_key = old->has_login_key;
        row->login_key = old->login_key;
    }
    if (!row->has_data_uuid) {
        row->has_data_uuid = old->has_data_uuid;
        row->data_uuid = old->data_uuid;
    }
}

enum err apply_members_write(struct apply *a, const struct Ringkeep__MemberRow *m)
{
    ROW_SCOPED Ringkeep__MemberRow *old = NULL;
    Ringkeep__MemberRow row = *m;
    const enum err e = rows_get(a->v, STORE_MEMBERS, apply_bytes(m->member_id), &old);
    if (e == ERR_OK) {
        keep_optional(&row, old);
    } else if (e != ERR_NOTFOUND) {
        return e;
    }
    return rows_put(a->t, STORE_MEMBERS, apply_bytes(m->member_id), &row);
}

enum err apply_members_put(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__MemberRow *m = c->member_put->member;
    TRY(apply_members_check(a, m, apply_bytes(a->cluster->roster)));
    return apply_members_write(a, m);
}

/* -- the roster ------------------------------------------------------------------------------ */

static enum err check_roster(struct apply *a, const Ringkeep__RosterPut *put)
{
    struct blob_roster_header h;
    TRY(blob_roster_parse(apply_bytes(put->roster), &h));
    if (!apply_is_id(a->cluster->cluster_id, h.cluster_id) || h.version != put->version ||
        h.version != a->cluster->roster_version + 1) {
        return ERR_REFUSED;
    }
    return put->member == NULL ? ERR_OK
                               : apply_members_check(a, put->member, apply_bytes(put->roster));
}

/* One member's row after a change of the roster: gone, with a new TLS key, or as is. */
static enum err follow(struct apply *a, const Ringkeep__MemberRow *m, struct bytes roster)
{
    struct blob_roster_row row;
    if (!find_active(roster, apply_bytes(m->member_id), &row)) {
        return store_txn_delete(a->t, STORE_MEMBERS, apply_bytes(m->member_id));
    }
    const struct bytes spki = bytes_of(row.spki_hash, APPLY_SPKI);
    if (bytes_equal(apply_bytes(m->spki_hash), spki)) {
        return ERR_OK;
    }
    Ringkeep__MemberRow fresh = *m;
    fresh.spki_hash = apply_binary(spki);
    return rows_put(a->t, STORE_MEMBERS, apply_bytes(m->member_id), &fresh);
}

static enum err follow_all(struct apply *a, struct bytes roster)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes key, value;
    enum err e = ERR_OK;
    TRY(store_cursor_open(a->v, STORE_MEMBERS, bytes_of(NULL, 0), bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &key, &value)) == ERR_OK) {
        ROW_SCOPED Ringkeep__MemberRow *m = NULL;
        TRY(rows_unpack(STORE_MEMBERS, value, &m));
        TRY(follow(a, m, roster));
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err apply_members_roster(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__RosterPut *put = c->roster_put;
    TRY(check_roster(a, put));
    Ringkeep__ClusterRow row = *a->cluster;
    row.roster = put->roster;
    row.roster_version = put->version;
    a->out->number = put->version;
    TRY(rows_put(a->t, STORE_CLUSTER, bytes_of(NULL, 0), &row));
    TRY(follow_all(a, apply_bytes(put->roster)));
    return put->member == NULL ? ERR_OK : apply_members_write(a, put->member);
}

/* -- what members report about themselves -------------------------------------------------- */

enum err apply_members_beacon(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__BeaconPut *put = c->beacon_put;
    ROW_SCOPED Ringkeep__MemberRow *m = NULL;
    if (!apply_sized(put->member_id, ID_SIZE) ||
        !names_member(put->beacon, BEACON_SIZE, 0, put->member_id)) {
        return ERR_MALFORMED;
    }
    TRY(rows_get(a->v, STORE_MEMBERS, apply_bytes(put->member_id), &m));
    Ringkeep__MemberRow row = *m;
    row.has_beacon = 1;
    row.beacon = put->beacon;
    return rows_put(a->t, STORE_MEMBERS, apply_bytes(put->member_id), &row);
}

enum err apply_members_login_key(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__LoginKeyPut *put = c->login_key_put;
    ROW_SCOPED Ringkeep__MemberRow *m = NULL;
    if (!apply_sized(put->member_id, ID_SIZE) ||
        !names_member(put->login_key, LOGIN_KEY_SIZE, LOGIN_KEY_MEMBER_OFFSET, put->member_id)) {
        return ERR_MALFORMED;
    }
    TRY(rows_get(a->v, STORE_MEMBERS, apply_bytes(put->member_id), &m));
    Ringkeep__MemberRow row = *m;
    row.has_login_key = 1;
    row.login_key = put->login_key;
    return rows_put(a->t, STORE_MEMBERS, apply_bytes(put->member_id), &row);
}
