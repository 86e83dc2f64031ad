/* SPDX-License-Identifier: Apache-2.0 */
/* Login and change of password: reserve (raft), compare (core), resolve (raft),
 * and only then the answer (crypto-spec 3 and 8, consistency.md 3). Without a
 * quorum no reservation commits, so nothing is compared and the right password is
 * answered like a wrong one.
 *
 * What is unsure is counted as a failure: once a reservation stands, every way out
 * resolves it as bad, but the core's "right" and the core's own word that it refused
 * before it compared. Once a login has begun it goes
 * on to its end, whether or not the client is still there. Loop thread. */
#include <assert.h>
#include <string.h>

#include "appliance/logins.h"
#include "appliance/ops.h"
#include "base/digest.h"
#include "base/log.h"
#include "keyring/query.h"
#include "proto/envelope.h"
#include "sks/blob.h"
#include "sks/ticket.h"

#include <client.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

#define RETRY_MS 150u     /* a role whose tries are all under way is asked again */
#define RESOLVE_MS 10000u /* beyond the client's deadline: a resolve should not be lost */
#define ROLE_KRSO 5u
#define ROLE_KRCO 6u

struct login_op {
    struct logins_turn turn;
    bool change; /* of the password, not a login */
    uint8_t attempt_id[ID_SIZE];
    uint64_t start_ms; /* boot clock, when the reservation was asked for */
    uint64_t reserved_index;
    enum err result;   /* of the comparison, what the client will hear */
    bool right;        /* the core said that the password is right */
    bool both;         /* the other role\'s row changed with it (single identity) */
    bool not_compared; /* the core refused before it looked at the password */
    struct command_origin resolve;
    struct command_origin put;
    struct buf ticket, login_reply, record;
};

static void drop_login(void *state)
{
    struct login_op *op = state;
    buf_drop(&op->ticket);
    buf_drop(&op->login_reply);
    buf_drop(&op->record);
}

static void make_origin(const struct request *r, struct command_origin *out)
{
    const struct login_op *op = r->state;
    const struct bytes piece = bytes_of(op->attempt_id, ID_SIZE);
    out->present = true;
    random_fill(r->a->random, out->request_id, ID_SIZE);
    digest_sha256(&piece, 1, out->request_hash);
    out->base_index = op->reserved_index;
}

/* -- the end ------------------------------------------------------------------------- */

static void finish(struct request *r, enum err e)
{
    struct login_op *op = r->state;
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    logins_leave(r->a->logins, &op->turn);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reply.has_login_reply = 1;
    reply.login_reply = wire_data(buf_bytes(&op->login_reply));
    if (!op->change) {
        reply.has_ticket = 1;
        reply.ticket = wire_data(buf_bytes(&op->ticket));
    }
    request_reply(r, &reply);
}

/* -- resolve --------------------------------------------------------------------------- */

static void resolve(struct request *r);

static bool may_try_again(enum err e)
{
    return e == ERR_UNKNOWN_OUTCOME || e == ERR_NOT_LEADER || e == ERR_NO_QUORUM || e == ERR_BUSY ||
           e == ERR_TIMEOUT || e == ERR_UNREACHABLE;
}

static void on_resolved(struct request *r, enum err e, const struct outcome *outcome)
{
    const struct login_op *op = r->state;
    if (outcome != NULL) {
        r->index = outcome->index;
    } else if (may_try_again(e) && !request_expired(r)) {
        request_later(r, RETRY_MS, resolve); /* the same request id: counted once */
        return;
    }
    if (e == ERR_OK) {
        finish(r, op->result);
        return;
    }
    /* Not committed, or the reservation had expired: no ticket leaves. */
    finish(r, op->result != ERR_OK ? op->result : outcome != NULL ? ERR_TIMEOUT : ERR_NO_QUORUM);
}

static void resolve(struct request *r)
{
    const struct login_op *op = r->state;
    Ringkeep__LoginResolve m = RINGKEEP__LOGIN_RESOLVE__INIT;
    m.keyring_id = wire_array(op->turn.keyring_id, ID_SIZE);
    m.role = op->turn.role;
    m.attempt_id = wire_array(op->attempt_id, ID_SIZE);
    m.ok = op->right;
    m.has_not_compared = op->not_compared;
    m.not_compared = op->not_compared;
    request_propose(r, &op->resolve, RINGKEEP__COMMAND__VERB_LOGIN_RESOLVE, &m, on_resolved);
}

static void begin_resolve(struct request *r, enum err result)
{
    struct login_op *op = r->state;
    op->result = result;
    make_origin(r, &op->resolve);
    const uint64_t until = clock_mono_ms(r->a->clock) + RESOLVE_MS;
    if (r->deadline_ms < until) {
        r->deadline_ms = until;
    }
    resolve(r);
}

/* -- a changed record -------------------------------------------------------------------- */

static void put_record(struct request *r);

static void on_put(struct request *r, enum err e, const struct outcome *outcome)
{
    if (outcome == NULL && may_try_again(e) && !request_expired(r)) {
        request_later(r, RETRY_MS, put_record);
        return;
    }
    /* ERR_REFUSED: somebody changed the record meanwhile; the client asks again. */
    begin_resolve(r, e == ERR_REFUSED ? ERR_BUSY : e);
}

static void put_record(struct request *r)
{
    const struct login_op *op = r->state;
    Ringkeep__KeyringPut m = RINGKEEP__KEYRING_PUT__INIT;
    struct blob_record_header h;
    const enum err e = blob_record_parse(buf_bytes(&op->record), BLOB_RECORD, &h);
    if (e != ERR_OK) {
        begin_resolve(r, ERR_PROTOCOL);
        return;
    }
    m.keyring_id = wire_array(op->turn.keyring_id, ID_SIZE);
    m.record = wire_data(buf_bytes(&op->record));
    m.version = h.version;
    m.epoch = h.epoch;
    m.has_active = op->turn.role == ROLE_KRCO || op->both;
    m.active = 1;
    request_propose(r, &op->put, RINGKEEP__COMMAND__VERB_KEYRING_PUT, &m, on_put);
}

/* -- the comparison ------------------------------------------------------------------------ */

static enum err keep_answer(struct login_op *op, const struct core_reply *core)
{
    struct buf *first = op->change ? &op->record : &op->ticket;
    TRY(buf_append(first, core->section[0], LIMIT_RECORD));
    return buf_append(&op->login_reply, core->section[1], ENVELOPE_LOGIN_REPLY);
}

static void on_compared(struct request *r, enum err e, const struct core_reply *core)
{
    struct login_op *op = r->state;
    assert(e != ERR_OK || core != NULL);
    op->right = e == ERR_OK;
    op->not_compared = core != NULL && e != ERR_OK && e != ERR_PIN_INCORRECT;
    if (e == ERR_OK) {
        e = keep_answer(op, core);
    }
    if (e == ERR_OK && op->change) {
        op->both = core->number == 1;
        make_origin(r, &op->put);
        put_record(r);
        return;
    }
    begin_resolve(r, e);
}

/* The record is read behind the reservation: no older password is compared. */
static enum err compare(struct request *r, const struct store_view *view)
{
    const Ringkeep__Login *m = r->message;
    const struct login_op *op = r->state;
    void *found = NULL;
    uint8_t start[8];
    struct core_request q = { .verb = op->change ? CORE_PASSWORD : CORE_LOGIN,
                              .number = op->turn.role };
    TRY(query_keyring(view, op->turn.keyring_id, &found));
    const Ringkeep__KeyringRow *keyring = found;
    put_u64(start, op->start_ms);
    memcpy(q.request_id, m->request_id.data, ID_SIZE);
    q.section[0] = wire_bytes(m->challenge);
    q.section[1] = wire_bytes(m->envelope);
    q.section[2] = wire_bytes(keyring->record);
    q.section[3] = bytes_of(r->client->spki_hash, X509_SPKI_HASH);
    q.section[4] = wire_bytes(m->request_id);
    q.section[5] = bytes_of(start, sizeof start);
    request_core(r, &q, on_compared);
    query_drop(found);
    return ERR_OK;
}

static void on_reserved_visible(struct request *r, enum err e, uint64_t index)
{
    const struct login_op *op = r->state;
    STORE_VIEW_SCOPED *view = NULL;
    (void)index;
    if (e == ERR_OK) {
        e = op_view(r, op->turn.keyring_id, &view);
    }
    if (e == ERR_OK) {
        e = compare(r, view);
    }
    if (e != ERR_OK) {
        begin_resolve(r, e);
    }
}

/* -- reserve ------------------------------------------------------------------------------------
 */

static void reserve(struct request *r);

static void reserve_anew(struct request *r)
{
    struct login_op *op = r->state;
    random_fill(r->a->random, op->attempt_id, ID_SIZE);
    op->start_ms = clock_boot_ms(r->a->clock);
    reserve(r);
}

static void on_reserved(struct request *r, enum err e, const struct outcome *outcome)
{
    struct login_op *op = r->state;
    const bool again = outcome == NULL ? may_try_again(e) : e == ERR_BUSY;
    if (outcome != NULL && (e == ERR_OK || e == ERR_EXISTS)) {
        op->reserved_index = outcome->index;
        request_visible(r, outcome->index, on_reserved_visible);
        return;
    }
    if (again && !request_expired(r)) {
        /* Unknown: the same attempt, ERR_EXISTS then says that it stands. Busy: it
         * does not stand, and the clock of the next one starts anew. */
        request_later(r, RETRY_MS, outcome == NULL ? reserve : reserve_anew);
        return;
    }
    finish(r, e == ERR_UNKNOWN_OUTCOME || e == ERR_NOT_LEADER ? ERR_NO_QUORUM : e);
}

static void reserve(struct request *r)
{
    const struct login_op *op = r->state;
    Ringkeep__LoginReserve m = RINGKEEP__LOGIN_RESERVE__INIT;
    uint8_t member[ID_SIZE];
    cluster_member_id(r->a->cluster, member);
    m.keyring_id = wire_array(op->turn.keyring_id, ID_SIZE);
    m.role = op->turn.role;
    m.attempt_id = wire_array(op->attempt_id, ID_SIZE);
    m.member_id = wire_array(member, ID_SIZE);
    request_propose(r, NULL, RINGKEEP__COMMAND__VERB_LOGIN_RESERVE, &m, on_reserved);
}

static void on_turn(void *arg, enum err e)
{
    struct request *r = arg;
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reserve_anew(r);
}

/* A first password opens nothing: refused before any reservation. */
static enum err check_role(const struct request *r, const struct login_op *op)
{
    void *found = NULL;
    if (op->turn.role < ROLE_KRSO || op->turn.role > 8) {
        return ERR_NOTFOUND;
    }
    TRY(query_keyring(r->view, op->turn.keyring_id, &found));
    const bool active = ((const Ringkeep__KeyringRow *)found)->active;
    query_drop(found);
    return active || op->change || op->turn.role != ROLE_KRCO ? ERR_OK : ERR_PIN_MUST_CHANGE;
}

static enum err begin(struct request *r, struct login_op *op)
{
    const Ringkeep__Login *m = r->message;
    TRY(wire_copy(m->keyring_id, op->turn.keyring_id, ID_SIZE));
    if (m->challenge.len != ID_SIZE || m->envelope.len != ENVELOPE_PIN ||
        m->request_id.len != ID_SIZE) {
        return ERR_MALFORMED;
    }
    op->turn.role = m->role;
    op->turn.deadline_ms = r->deadline_ms;
    op->turn.cb = on_turn;
    op->turn.arg = r;
    TRY(check_role(r, op));
    return logins_enter(r->a->logins, &op->turn);
}

static void start(struct request *r, bool change)
{
    struct login_op *op = request_state(r, sizeof *op, drop_login);
    if (op == NULL) {
        return;
    }
    op->change = change;
    const enum err e = begin(r, op);
    if (e != ERR_OK) {
        request_fail(r, e);
    }
}

void op_login(struct request *r)
{
    start(r, false);
}

void op_password(struct request *r)
{
    start(r, true);
}
