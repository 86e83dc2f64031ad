/* SPDX-License-Identifier: Apache-2.0 */
/* Hello, slots, challenge, open, refresh, close, random. Loop thread. */
#include <assert.h>
#include <string.h>

#include "appliance/core_port.h"
#include "appliance/ops.h"
#include "keyring/query.h"
#include "sks/blob.h"

#include <client.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

#define FRESH_MS 1000u /* how long a first hello waits for the leader's word */

/* -- hello ----------------------------------------------------------------------- */

static void fill_map(const struct request *r,
                     const struct cluster_member *members,
                     unsigned count,
                     Ringkeep__MapMember *rows,
                     Ringkeep__MapMember **pointers)
{
    const struct cluster_core *core = core_port_cluster(r->a->port);
    for (unsigned i = 0; i < count; i++) {
        const struct cluster_member *m = &members[i];
        ringkeep__map_member__init(&rows[i]);
        rows[i].member_id = wire_array(m->member_id, ID_SIZE);
        rows[i].name = wire_text(m->name);
        rows[i].address = wire_text(m->client_address);
        rows[i].authorized = m->self ? core->authorized(core->impl) : m->alive && m->authorized;
        rows[i].leader = m->leader;
        pointers[i] = &rows[i];
    }
}

static void answer_hello(struct request *r)
{
    struct cluster_member members[LIMIT_MEMBERS];
    Ringkeep__MapMember rows[LIMIT_MEMBERS], *pointers[LIMIT_MEMBERS];
    Ringkeep__Map map = RINGKEEP__MAP__INIT;
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    uint8_t id[ID_SIZE], member[ID_SIZE];
    const unsigned count = cluster_members(r->a->cluster, members, LIMIT_MEMBERS);
    fill_map(r, members, count, rows, pointers);
    map.epoch = cluster_map_epoch(r->a->cluster);
    map.n_members = count;
    map.members = pointers;
    cluster_id(r->a->cluster, id);
    cluster_member_id(r->a->cluster, member);
    reply.map = &map;
    reply.has_cluster_id = 1;
    reply.cluster_id = wire_array(id, sizeof id);
    reply.has_member_id = 1;
    reply.member_id = wire_array(member, sizeof member);
    request_reply(r, &reply);
}

static void on_fresh(struct request *r, enum err e, uint64_t index)
{
    r->index = e == ERR_OK ? index : r->index; /* no quorum: what this member has */
    answer_hello(r);
}

/* A program that has seen nothing yet begins behind a barrier: a keyring assigned or
 * a password changed by another program a moment ago at another member is there. */
void op_hello(struct request *r)
{
    const Ringkeep__Hello *hello = r->message;
    if (hello->major != PROTOCOL_MAJOR) {
        request_fail(r, ERR_UNSUPPORTED);
        return;
    }
    if (hello->has_min_index || !cluster_is_member(r->a->cluster)) {
        answer_hello(r);
        return;
    }
    const uint64_t patience = clock_mono_ms(r->a->clock) + FRESH_MS;
    r->deadline_ms = patience < r->deadline_ms ? patience : r->deadline_ms;
    request_barrier(r, on_fresh);
}

/* -- slots ------------------------------------------------------------------------- */

/* As many rows as a frame holds (about 90 bytes each). */
#define SLOT_ROWS 1400u

struct slots {
    struct request *r;
    unsigned count;
    bool more;
    Ringkeep__SlotRow row[SLOT_ROWS];
    Ringkeep__SlotRow *pointer[SLOT_ROWS];
    uint8_t id[SLOT_ROWS][ID_SIZE];
    char label[SLOT_ROWS][LIMIT_LABEL + 1];
};

static enum err take_slot(void *arg, struct bytes key, const void *message)
{
    struct slots *s = arg;
    const Ringkeep__AssignmentRow *assignment = message;
    void *found = NULL;
    if (s->count == SLOT_ROWS) {
        s->more = true;
        return ERR_NOTFOUND;
    }
    assert(key.size == X509_SPKI_HASH + ID_SIZE);
    const unsigned i = s->count;
    memcpy(s->id[i], key.data + X509_SPKI_HASH, ID_SIZE);
    if (query_keyring(s->r->view, s->id[i], &found) != ERR_OK) {
        return ERR_OK;
    }
    const Ringkeep__KeyringRow *keyring = found;
    (void)strncpy(s->label[i], keyring->label, LIMIT_LABEL); /* zeroed: ends */
    ringkeep__slot_row__init(&s->row[i]);
    s->row[i].slot = assignment->slot;
    s->row[i].keyring_id = wire_array(s->id[i], ID_SIZE);
    s->row[i].label = s->label[i];
    s->row[i].active = keyring->active;
    s->row[i].strict = 0; /* all keyrings are non-strict in this release */
    s->pointer[i] = &s->row[i];
    s->count++;
    query_drop(found);
    return ERR_OK;
}

void op_slots(struct request *r)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    struct slots *s = request_state(r, sizeof *s, NULL);
    if (s == NULL) {
        return;
    }
    s->r = r;
    const struct bytes mine = bytes_of(r->client->spki_hash, X509_SPKI_HASH);
    const enum err e = query_each(r->view, STORE_ASSIGNMENTS, mine, take_slot, s);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reply.n_slots = s->count;
    reply.slots = s->pointer;
    reply.has_more = 1;
    reply.more = s->more;
    request_reply(r, &reply);
}

/* -- challenge ------------------------------------------------------------------------ */

static void on_challenge(struct request *r, enum err e, const struct core_reply *core)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reply.has_challenge = 1;
    reply.challenge = wire_data(core->section[0]);
    reply.has_login_key = 1;
    reply.login_key = wire_data(core->section[1]);
    reply.has_identities = 1;
    reply.identities = wire_data(core->section[2]);
    request_reply(r, &reply);
}

void op_challenge(struct request *r)
{
    const struct core_request q = { .verb = CORE_CHALLENGE };
    request_core(r, &q, on_challenge);
}

/* -- open -------------------------------------------------------------------------------- */

struct open_op {
    bool barrier_done;
    uint8_t keyring_id[ID_SIZE];
};

static void open_again(struct request *r);

static void on_seen(struct request *r, enum err e, uint64_t index)
{
    (void)index;
    if (e != ERR_OK) {
        request_fail(r, ERR_TICKET_LATE);
        return;
    }
    open_again(r);
}

static void on_barrier(struct request *r, enum err e, uint64_t index)
{
    if (e != ERR_OK) {
        request_fail(r, ERR_TICKET_LATE);
        return;
    }
    request_visible(r, index, on_seen);
}

static void on_opened(struct request *r, enum err e, const struct core_reply *core)
{
    const Ringkeep__Open *open = r->message;
    struct open_op *op = r->state;
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    uint64_t id = 0;
    if (e == ERR_TICKET_LATE && !op->barrier_done) {
        op->barrier_done = true;
        request_barrier(r, on_barrier);
        return;
    }
    if (e == ERR_OK && !server_live(r->client->conn)) {
        sessions_close_handle(r->a->sessions, core->number);
        e = ERR_CANCELLED;
    } else if (e == ERR_OK) {
        e = sessions_add(r->a->sessions,
                         &r->client->sessions,
                         op->keyring_id,
                         core->number,
                         open->has_ticket,
                         &id);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reply.has_session = 1;
    reply.session = id;
    request_reply(r, &reply);
}

/* In the record of this view; the request may be here for the second time. */
static void open_in(struct request *r, const struct store_view *view)
{
    const Ringkeep__Open *open = r->message;
    struct open_op *op = r->state;
    void *found = NULL;
    const enum err e = query_keyring(view, op->keyring_id, &found);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const Ringkeep__KeyringRow *keyring = found;
    const struct bytes spki = bytes_of(r->client->spki_hash, X509_SPKI_HASH);
    struct core_request q = { .verb = CORE_OPEN_PUBLIC };
    if (open->has_ticket) {
        q.verb = CORE_OPEN;
        q.section[0] = wire_bytes(open->ticket);
        q.section[1] = wire_bytes(keyring->record);
        q.section[2] = spki;
    } else {
        q.section[0] = wire_bytes(keyring->record);
        q.section[1] = spki;
    }
    request_core(r, &q, on_opened);
    query_drop(found);
}

static void open_again(struct request *r)
{
    const struct open_op *op = r->state;
    STORE_VIEW_SCOPED *view = NULL;
    const enum err e = op_view(r, op->keyring_id, &view);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    open_in(r, view);
}

void op_open(struct request *r)
{
    const Ringkeep__Open *open = r->message;
    if (open->has_ticket && open->ticket.len != BLOB_TICKET_SIZE) {
        request_fail(r, ERR_MALFORMED);
        return;
    }
    struct open_op *op = request_state(r, sizeof *op, NULL);
    if (op == NULL) {
        return;
    }
    const enum err e = wire_copy(open->keyring_id, op->keyring_id, ID_SIZE);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    open_in(r, r->view);
}

/* -- refresh, close, random ------------------------------------------------------------- */

static void on_ticket(struct request *r, enum err e, const struct core_reply *core)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reply.has_ticket = 1;
    reply.ticket = wire_data(core->section[0]);
    request_reply(r, &reply);
}

void op_refresh(struct request *r)
{
    const struct core_request q = { .verb = CORE_REFRESH, .handle = r->session.handle };
    request_core(r, &q, on_ticket);
}

void op_close(struct request *r)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    sessions_end(r->a->sessions, &r->client->sessions, r->session.id);
    request_reply(r, &reply);
}

static void on_data(struct request *r, enum err e, const struct core_reply *core)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    reply.has_data = 1;
    reply.data = wire_data(core->section[0]);
    request_reply(r, &reply);
}

void op_random(struct request *r)
{
    const Ringkeep__Random *random = r->message;
    if (random->size == 0 || random->size > LIMIT_DATA) {
        request_fail(r, ERR_DATA_LENGTH);
        return;
    }
    const struct core_request q = { .verb = CORE_RANDOM, .number = random->size };
    request_core(r, &q, on_data);
}
