/* SPDX-License-Identifier: Apache-2.0 */
/* Invites: put by a core with the cluster SO logged in, spent once, gone after
 * their expiry by the replicated stamp. Runs inside apply. */
#include "keyring/apply_internal.h"

#include "command.pb-c.h"
#include "sks/blob.h"

#define EXPIRY_SLACK_S 300u /* the core's clock may be ahead of the leader's */

static bool expired(const struct apply *a, uint64_t expiry)
{
    return a->stamp >= expiry;
}

/* One row of the walk: counted while it lives, deleted after that where `drop`. */
static enum err visit(
    struct apply *a, struct bytes key, struct bytes value, bool drop, unsigned *live)
{
    ROW_SCOPED Ringkeep__InviteRow *row = NULL;
    TRY(rows_unpack(STORE_INVITES, value, &row));
    if (!expired(a, row->expiry)) {
        (*live)++;
        return ERR_OK;
    }
    return drop ? store_txn_delete(a->t, STORE_INVITES, key) : ERR_OK;
}

static enum err walk(struct apply *a, bool drop, unsigned *live)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes key, value;
    enum err e = ERR_OK;
    *live = 0;
    TRY(store_cursor_open(a->v, STORE_INVITES, bytes_of(NULL, 0), bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &key, &value)) == ERR_OK) {
        TRY(visit(a, key, value, drop, live));
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

static enum err check_put(struct apply *a, const Ringkeep__InvitePut *put)
{
    struct blob_invite_header h;
    if (!apply_sized(put->invite_id, ID_SIZE)) {
        return ERR_MALFORMED;
    }
    TRY(blob_invite_parse(apply_bytes(put->sealed), &h));
    if (!apply_is_id(put->invite_id, h.invite_id) ||
        !apply_is_id(a->cluster->cluster_id, h.cluster_id)) {
        return ERR_REFUSED;
    }
    if (expired(a, put->expiry) || put->expiry - a->stamp > LIMIT_INVITE_S + EXPIRY_SLACK_S) {
        return ERR_REFUSED;
    }
    const enum err e = rows_exist(a->v, STORE_INVITES, apply_bytes(put->invite_id));
    return e == ERR_OK ? ERR_EXISTS : e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err apply_invites_put(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__InvitePut *put = c->invite_put;
    Ringkeep__InviteRow row = RINGKEEP__INVITE_ROW__INIT;
    unsigned live = 0;
    TRY(check_put(a, put));
    TRY(walk(a, false, &live));
    if (live >= LIMIT_INVITES) {
        return ERR_FULL;
    }
    TRY(walk(a, true, &live));
    row.sealed = put->sealed;
    row.expiry = put->expiry;
    row.spent = 0;
    return rows_put(a->t, STORE_INVITES, apply_bytes(put->invite_id), &row);
}

enum err apply_invites_spend(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__InviteSpend *spend = c->invite_spend;
    ROW_SCOPED Ringkeep__InviteRow *old = NULL;
    if (!apply_sized(spend->invite_id, ID_SIZE)) {
        return ERR_MALFORMED;
    }
    const enum err e = rows_get(a->v, STORE_INVITES, apply_bytes(spend->invite_id), &old);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_TOKEN : e;
    }
    if (old->spent || expired(a, old->expiry)) {
        return ERR_TOKEN;
    }
    Ringkeep__InviteRow row = *old;
    row.spent = 1; /* only ever raised */
    return rows_put(a->t, STORE_INVITES, apply_bytes(spend->invite_id), &row);
}
