/* SPDX-License-Identifier: Apache-2.0 */
/* Logins in three steps (consistency.md 3, crypto-spec 3 and 8): a reservation
 * counts as a failure until it is resolved. It expires by the replicated stamp,
 * whether or not a command has yet written that down; an expired attempt clears
 * nothing, and when it was bad it counts again. Runs inside apply. */
#include "keyring/apply_internal.h"

#include "command.pb-c.h"

#define ROLE_FIRST 5u /* crypto-spec 3: KRSO .. CU; the others log in to one core */
#define ROLE_LAST 8u

/* The counters of one role as of the command's stamp. */
struct counters {
    Ringkeep__LoginRow *stored;                             /* owned; NULL: no row */
    Ringkeep__Reservation *pending[LIMIT_RESERVATIONS + 1]; /* borrowed */
    size_t count;
    uint32_t failed;
    uint32_t expired; /* reservations that became failures just now */
    struct rows_key key;
};
#define COUNTERS_SCOPED __attribute__((cleanup(drop_counters))) struct counters

static void drop_counters(struct counters *l)
{
    rows_drop(l->stored);
}

static void fail_once(struct counters *l)
{
    if (l->failed < UINT32_MAX) {
        l->failed++;
    }
}

static enum err load(struct apply *a,
                     ProtobufCBinaryData keyring_id,
                     uint32_t role,
                     struct counters *l)
{
    l->key = rows_key_login(apply_bytes(keyring_id), role);
    const enum err e = rows_get(a->v, STORE_LOGINS, rows_key_bytes(&l->key), &l->stored);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_OK : e;
    }
    if (l->stored->n_pending > LIMIT_RESERVATIONS) {
        return ERR_CORRUPT;
    }
    l->failed = l->stored->failed;
    for (size_t i = 0; i < l->stored->n_pending; i++) {
        Ringkeep__Reservation *r = l->stored->pending[i];
        if (a->stamp > r->stamp_s && a->stamp - r->stamp_s > LIMIT_RESERVATION_S) {
            fail_once(l);
            l->expired++;
        } else {
            l->pending[l->count++] = r;
        }
    }
    return ERR_OK;
}

/* No failure and nothing pending: no row. */
static enum err save(struct apply *a, struct counters *l)
{
    Ringkeep__LoginRow row = RINGKEEP__LOGIN_ROW__INIT;
    a->out->number = l->failed;
    if (l->failed == 0 && l->count == 0) {
        return l->stored == NULL ? ERR_OK
                                 : store_txn_delete(a->t, STORE_LOGINS, rows_key_bytes(&l->key));
    }
    row.failed = l->failed;
    row.n_pending = l->count;
    row.pending = l->pending;
    return rows_put(a->t, STORE_LOGINS, rows_key_bytes(&l->key), &row);
}

static enum err check_role(struct apply *a,
                           ProtobufCBinaryData keyring_id,
                           uint32_t role,
                           Ringkeep__KeyringRow **out)
{
    if (!apply_sized(keyring_id, ID_SIZE) || role < ROLE_FIRST || role > ROLE_LAST) {
        return ERR_MALFORMED;
    }
    return rows_get(a->v, STORE_KEYRINGS, apply_bytes(keyring_id), out);
}

/* Position of the attempt; count where it is not pending. */
static size_t find(const struct counters *l, ProtobufCBinaryData attempt_id)
{
    size_t i = 0;
    while (i < l->count && !apply_same(l->pending[i]->attempt_id, attempt_id)) {
        i++;
    }
    return i;
}

static void remove_at(struct counters *l, size_t at)
{
    l->count--;
    for (size_t i = at; i < l->count; i++) {
        l->pending[i] = l->pending[i + 1];
    }
}

/* Waiting never locks: a role whose tries are all under way is busy. */
static enum err check_room(const struct counters *l,
                           const Ringkeep__LoginReserve *reserve,
                           uint32_t max_fail)
{
    if (l->failed >= max_fail) {
        return ERR_PIN_LOCKED;
    }
    if (find(l, reserve->attempt_id) < l->count) {
        return ERR_EXISTS;
    }
    if (l->count >= LIMIT_RESERVATIONS || l->count >= max_fail - l->failed) {
        return ERR_BUSY;
    }
    for (size_t i = 0; i < l->count; i++) {
        if (apply_same(l->pending[i]->member_id, reserve->member_id)) {
            return ERR_BUSY; /* one open reservation per member: its crash costs one count */
        }
    }
    return ERR_OK;
}

enum err apply_logins_reserve(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__LoginReserve *reserve = c->login_reserve;
    ROW_SCOPED Ringkeep__KeyringRow *keyring = NULL;
    COUNTERS_SCOPED l = { 0 };
    Ringkeep__Reservation r = RINGKEEP__RESERVATION__INIT;
    if (!apply_sized(reserve->attempt_id, ID_SIZE) || !apply_sized(reserve->member_id, ID_SIZE)) {
        return ERR_MALFORMED;
    }
    TRY(check_role(a, reserve->keyring_id, reserve->role, &keyring));
    const enum err member = rows_exist(a->v, STORE_MEMBERS, apply_bytes(reserve->member_id));
    if (member != ERR_OK) {
        return member == ERR_NOTFOUND ? ERR_REFUSED : member;
    }
    TRY(load(a, reserve->keyring_id, reserve->role, &l));
    a->out->number = l.failed;
    TRY(check_room(&l, reserve, keyring->max_fail));
    r.attempt_id = reserve->attempt_id;
    r.member_id = reserve->member_id;
    r.stamp_s = a->stamp;
    l.pending[l.count++] = &r;
    return save(a, &l);
}

enum err apply_logins_resolve(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__LoginResolve *resolve = c->login_resolve;
    ROW_SCOPED Ringkeep__KeyringRow *keyring = NULL;
    COUNTERS_SCOPED l = { 0 };
    const bool not_compared = resolve->has_not_compared && resolve->not_compared;
    if (!apply_sized(resolve->attempt_id, ID_SIZE) || (not_compared && resolve->ok)) {
        return ERR_MALFORMED;
    }
    TRY(check_role(a, resolve->keyring_id, resolve->role, &keyring));
    TRY(load(a, resolve->keyring_id, resolve->role, &l));
    const size_t at = find(&l, resolve->attempt_id);
    const bool pending = at < l.count;
    a->out->number = l.failed;
    if (resolve->ok && !pending) {
        return ERR_TIMEOUT;
    }
    if (pending) {
        remove_at(&l, at);
    }
    if (resolve->ok) {
        l.failed = 0;
    } else if (!not_compared) {
        fail_once(&l);
    }
    return save(a, &l);
}

enum err apply_logins_expire(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__LoginExpire *expire = c->login_expire;
    ROW_SCOPED Ringkeep__KeyringRow *keyring = NULL;
    COUNTERS_SCOPED l = { 0 };
    TRY(check_role(a, expire->keyring_id, expire->role, &keyring));
    TRY(load(a, expire->keyring_id, expire->role, &l));
    if (l.expired == 0) {
        a->out->number = l.failed;
        return ERR_OK;
    }
    return save(a, &l);
}
