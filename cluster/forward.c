/* SPDX-License-Identifier: Apache-2.0 */
/* A write at any member: proposed here where this member leads, else sent to the
 * leader; looked for until the time is up. What was surely not logged is tried
 * again; what may have been is tried again only where a request id makes that safe
 * (consistency.md 7). Barriers are reads: always tried again. Loop thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/inside.h"
#include "command.pb-c.h"
#include "keyring/command.h"
#include "peer.pb-c.h"

#define RETRY_MS 20u

struct proposal {
    struct cluster *c;
    struct proposal *next, *previous;
    struct buf command; /* empty: a barrier */
    bool barrier, safe; /* safe: carries a request id */
    bool sent;          /* somebody has it now */
    bool doubtful;      /* somebody had it and did not say what became of it */
    bool ended;         /* the caller was told; kept for the one who has it */
    uint64_t deadline_ms;
    replica_outcome_cb outcome_cb;
    replica_index_cb index_cb;
    void *arg;
};

/* -- the end of one ------------------------------------------------------------------- */

static void unlist(struct proposal *p)
{
    struct forward *f = &p->c->forward;
    if (p->next != NULL) {
        p->next->previous = p->previous;
    }
    *(p->previous != NULL ? &p->previous->next : &f->first) = p->next;
    f->count--;
    if (f->count == 0 && !p->c->stopped) {
        (void)uv_timer_stop(&f->timer);
    }
}

static void drop(struct proposal *p)
{
    struct cluster *c = p->c;
    buf_drop(&p->command);
    free(p);
    cluster_release(c);
}

static void tell(struct proposal *p, enum err e, const struct outcome *outcome, uint64_t index)
{
    assert(!p->ended);
    p->ended = true;
    unlist(p);
    if (p->barrier) {
        p->index_cb(p->arg, e, index);
    } else {
        p->outcome_cb(p->arg, e, outcome);
    }
    if (!p->sent) {
        drop(p);
    }
}

/* -- tries ------------------------------------------------------------------------------ */

static bool was_not_logged(enum err e)
{
    return e == ERR_NOT_LEADER || e == ERR_UNREACHABLE || e == ERR_CANCELLED || e == ERR_NO_QUORUM;
}

/* Whoever had it has answered, or nobody will. */
static void came_back(struct proposal *p, enum err e, const struct outcome *outcome, uint64_t index)
{
    p->sent = false;
    if (p->ended) {
        drop(p);
        return;
    }
    if (e == ERR_OK) {
        tell(p, e, outcome, index);
        return;
    }
    if (e == ERR_UNKNOWN_OUTCOME && !p->barrier) {
        p->doubtful = true;
    }
    const bool again = was_not_logged(e) || (e == ERR_UNKNOWN_OUTCOME && (p->barrier || p->safe));
    if (!again || p->c->stopped) {
        tell(p, e, NULL, 0);
    }
}

static void on_own_outcome(void *arg, enum err e, const struct outcome *outcome)
{
    came_back(arg, e, outcome, 0);
}

static void on_own_index(void *arg, enum err e, uint64_t index)
{
    came_back(arg, e, NULL, index);
}

static void read_outcome(const Ringkeep__PeerReply *r, struct outcome *out)
{
    *out = (struct outcome){ .error = err_from_wire(r->error),
                             .index = r->index,
                             .number = r->number };
    for (size_t i = 0; i < r->n_object_ids && i < 2; i++) {
        if (r->object_ids[i].len == ID_SIZE) {
            memcpy(out->object_ids[out->object_count++], r->object_ids[i].data, ID_SIZE);
        }
    }
}

/* A reply with an index is an outcome (maybe a refusal), one without says why there
 * is none. */
static void on_far_reply(void *arg, enum err e, const void *reply)
{
    struct proposal *p = arg;
    const Ringkeep__PeerReply *r = reply;
    struct outcome outcome = { 0 };
    if (e != ERR_OK) {
        came_back(p, e, NULL, 0);
        return;
    }
    if (!r->has_index) {
        const enum err why = err_from_wire(r->error);
        came_back(p, why == ERR_OK ? ERR_PROTOCOL : why, NULL, 0);
        return;
    }
    read_outcome(r, &outcome);
    came_back(p, ERR_OK, &outcome, r->index);
}

static enum err try_here(struct proposal *p)
{
    struct replica *r = p->c->replica;
    return p->barrier ? replica_barrier(r, on_own_index, p)
                      : replica_propose(r, buf_bytes(&p->command), on_own_outcome, p);
}

static enum err try_there(struct proposal *p, uint64_t leader, uint64_t now_ms)
{
    Ringkeep__PeerPropose propose = RINGKEEP__PEER_PROPOSE__INIT;
    Ringkeep__PeerBarrier barrier = RINGKEEP__PEER_BARRIER__INIT;
    const unsigned left = p->deadline_ms > now_ms ? (unsigned)(p->deadline_ms - now_ms) : 1;
    propose.command.data = p->command.data;
    propose.command.len = p->command.size;
    return p->barrier
               ? peer_call(p->c, leader, FRAME_PEER_BARRIER, &barrier, left, on_far_reply, p)
               : peer_call(p->c, leader, FRAME_PEER_PROPOSE, &propose, left, on_far_reply, p);
}

/* ERR_OK: it is under way. Errors of was_not_logged: later. */
static enum err try_once(struct proposal *p)
{
    struct cluster *c = p->c;
    struct replica_status s;
    enum err e = ERR_NO_QUORUM;
    cluster_replica_status(c, &s);
    if (c->replica == NULL) {
        return ERR_WRONG_STATE;
    }
    if (s.role == REPLICA_LEADER) {
        e = s.leader_ready ? try_here(p) : ERR_NOT_LEADER;
    } else if (s.leader_id != 0 && s.leader_id != c->self.raft_id) {
        e = try_there(p, s.leader_id, cluster_now_ms(c));
    }
    p->sent = e == ERR_OK;
    return e;
}

/* What the caller is told when the time is up. */
static enum err verdict(const struct proposal *p)
{
    if (!p->barrier && (p->sent || p->doubtful)) {
        return ERR_UNKNOWN_OUTCOME;
    }
    return ERR_NO_QUORUM;
}

static void step(struct proposal *p, uint64_t now_ms)
{
    if (now_ms >= p->deadline_ms) {
        tell(p, verdict(p), NULL, 0);
        return;
    }
    if (p->sent) {
        return;
    }
    const enum err e = try_once(p);
    if (e != ERR_OK && !was_not_logged(e)) {
        tell(p, p->doubtful ? ERR_UNKNOWN_OUTCOME : e, NULL, 0);
    }
}

/* A callback may start others (put first) or end the cluster; `next` stays listed,
 * since a callback ends only its own. */
static void step_all(struct cluster *c)
{
    const uint64_t now_ms = cluster_now_ms(c);
    struct proposal *p = c->forward.first;
    while (p != NULL && !c->stopped) {
        struct proposal *next = p->next;
        step(p, now_ms);
        p = next;
    }
}

static void on_timer(uv_timer_t *timer)
{
    step_all(timer->data);
}

/* -- beginning -------------------------------------------------------------------------- */

static enum err begin(struct cluster *c, struct proposal *p, unsigned timeout_ms)
{
    struct forward *f = &c->forward;
    p->c = c;
    p->deadline_ms = cluster_now_ms(c) + timeout_ms;
    const enum err e = try_once(p);
    if (e != ERR_OK && !was_not_logged(e)) {
        return e;
    }
    p->next = f->first;
    if (f->first != NULL) {
        f->first->previous = p;
    }
    f->first = p;
    f->count++;
    cluster_hold(c);
    if (!uv_is_active((uv_handle_t *)&f->timer)) {
        (void)uv_timer_start(&f->timer, on_timer, RETRY_MS, RETRY_MS);
    }
    return ERR_OK;
}

static enum err make(struct cluster *c, struct bytes command, void *arg, struct proposal **out)
{
    if (c->stopped) {
        return ERR_CANCELLED;
    }
    if (c->forward.count >= LIMIT_PROPOSALS) {
        return ERR_BUSY;
    }
    struct proposal *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return ERR_NOMEM;
    }
    const enum err e = buf_append(&p->command, command, LIMIT_COMMAND);
    if (e != ERR_OK) {
        free(p);
        return e;
    }
    p->arg = arg;
    *out = p;
    return ERR_OK;
}

/* Has it a request id? The packer writes fields in the order of their numbers:
 * version (1) and stamp (2), both varints, then the request id (3). */
static bool has_request_id(struct bytes command)
{
    size_t at = 0;
    while (at < command.size && (command.data[at] == 0x08 || command.data[at] == 0x10)) {
        at++;
        while (at < command.size && (command.data[at] & 0x80) != 0) {
            at++;
        }
        at++;
    }
    return at + 1 < command.size && command.data[at] == 0x1a && command.data[at + 1] == ID_SIZE;
}

enum err cluster_propose(
    struct cluster *c, struct bytes command, unsigned timeout_ms, replica_outcome_cb cb, void *arg)
{
    struct proposal *p = NULL;
    TRY(make(c, command, arg, &p));
    p->safe = has_request_id(command);
    p->outcome_cb = cb;
    const enum err e = begin(c, p, timeout_ms);
    if (e != ERR_OK) {
        buf_drop(&p->command);
        free(p);
    }
    return e;
}

enum err cluster_barrier(struct cluster *c, unsigned timeout_ms, replica_index_cb cb, void *arg)
{
    struct proposal *p = NULL;
    TRY(make(c, bytes_of(NULL, 0), arg, &p));
    p->barrier = true;
    p->index_cb = cb;
    const enum err e = begin(c, p, timeout_ms);
    if (e != ERR_OK) {
        free(p);
    }
    return e;
}

enum err forward_command(struct cluster *c,
                         unsigned field,
                         const void *verb_message,
                         unsigned timeout_ms,
                         replica_outcome_cb cb,
                         void *arg)
{
    struct command_origin origin = { .present = true };
    BUF_SCOPED command = { 0 };
    struct replica_status s;
    cluster_replica_status(c, &s);
    random_fill(c->o.random, origin.request_id, sizeof origin.request_id);
    memcpy(origin.request_hash, origin.request_id, sizeof origin.request_id);
    memcpy(origin.incarnation, c->self.incarnation, ID_SIZE);
    origin.base_index = s.visible_index;
    TRY(command_build(&command, &origin, field, verb_message));
    return cluster_propose(c, buf_bytes(&command), timeout_ms, cb, arg);
}

/* -- what others ask of us ---------------------------------------------------------------- */

struct served {
    struct guest *guest;
    unsigned type;
    uint64_t request;
};

static void reply(struct guest *g, unsigned type, uint64_t request, const Ringkeep__PeerReply *r)
{
    if (g->link != NULL && link_send(g->link, type | FRAME_REPLY, request, r) == ERR_BUSY) {
        link_close(g->link, ERR_BUSY, "does not read its replies");
    }
}

static void finish(struct served *s, const Ringkeep__PeerReply *r)
{
    struct guest *g = s->guest;
    reply(g, s->type, s->request, r);
    free(s);
    g->served--;
    guest_release(g);
}

static void on_served_outcome(void *arg, enum err e, const struct outcome *o)
{
    Ringkeep__PeerReply r = RINGKEEP__PEER_REPLY__INIT;
    ProtobufCBinaryData ids[2];
    r.error = (uint32_t)e;
    if (e == ERR_OK) {
        r.error = (uint32_t)o->error;
        r.has_index = 1;
        r.index = o->index;
        r.has_number = 1;
        r.number = o->number;
        for (unsigned i = 0; i < o->object_count && i < 2; i++) {
            ids[i].len = ID_SIZE;
            ids[i].data = (uint8_t *)(uintptr_t)o->object_ids[i];
        }
        r.n_object_ids = o->object_count > 2 ? 2 : o->object_count;
        r.object_ids = ids;
    }
    finish(arg, &r);
}

static void on_served_index(void *arg, enum err e, uint64_t index)
{
    Ringkeep__PeerReply r = RINGKEEP__PEER_REPLY__INIT;
    r.error = (uint32_t)e;
    r.has_index = e == ERR_OK;
    r.index = index;
    finish(arg, &r);
}

static enum err serve(struct cluster *c, struct served *s, const struct frame *f)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    if (c->replica == NULL) {
        return ERR_NOT_LEADER;
    }
    if (f->type == FRAME_PEER_BARRIER) {
        return replica_barrier(c->replica, on_served_index, s);
    }
    TRY(message_unpack(&ringkeep__peer_propose__descriptor, f->payload, &arena, &message));
    const Ringkeep__PeerPropose *p = message;
    const struct bytes command = bytes_of(p->command.data, p->command.len);
    return replica_propose(c->replica, command, on_served_outcome, s);
}

void forward_serve(struct guest *g, const struct frame *f)
{
    Ringkeep__PeerReply r = RINGKEEP__PEER_REPLY__INIT;
    struct served *s = g->served < LIMIT_PROPOSALS ? malloc(sizeof *s) : NULL;
    enum err e = ERR_BUSY;
    if (s != NULL) {
        *s = (struct served){ g, f->type, f->request };
        e = serve(g->door->c, s, f);
    }
    if (e == ERR_OK) {
        g->served++;
        guest_hold(g);
        return;
    }
    free(s);
    r.error = (uint32_t)e;
    reply(g, f->type, f->request, &r);
}

/* -- reads ------------------------------------------------------------------------------------ */

/* replica_wait_visible may answer at once: the caller hears of it from the loop. */
struct later {
    struct cluster *c;
    struct later *next, *previous; /* of those that wait */
    replica_index_cb cb;           /* NULL: told already, at the stop */
    void *arg;
    enum err error;
    uint64_t index;
    bool inside;
};

static void later_end(struct later *l)
{
    struct cluster *c = l->c;
    if (l->cb != NULL) {
        l->cb(l->arg, l->error, l->index);
    }
    free(l);
    cluster_release(c);
}

static void on_later(uv_timer_t *timer)
{
    struct cluster *c = timer->data;
    struct later *at = c->forward.later_first;
    c->forward.later_first = NULL;
    c->forward.later_end = &c->forward.later_first;
    while (at != NULL) {
        struct later *next = at->next;
        later_end(at);
        at = next;
    }
}

static void wait_begins(struct later *l)
{
    struct forward *f = &l->c->forward;
    l->inside = false;
    l->next = f->waiting;
    if (f->waiting != NULL) {
        f->waiting->previous = l;
    }
    f->waiting = l;
}

static void wait_ends(struct later *l)
{
    struct forward *f = &l->c->forward;
    if (l->next != NULL) {
        l->next->previous = l->previous;
    }
    *(l->previous != NULL ? &l->previous->next : &f->waiting) = l->next;
    l->next = l->previous = NULL;
}

static void on_visible(void *arg, enum err e, uint64_t index)
{
    struct later *l = arg;
    struct forward *f = &l->c->forward;
    l->error = e;
    l->index = index;
    if (!l->inside) {
        wait_ends(l);
        later_end(l);
        return;
    }
    *f->later_end = l;
    f->later_end = &l->next;
    (void)uv_timer_start(&f->later_timer, on_later, 0, 0);
}

enum err cluster_wait_visible(
    struct cluster *c, uint64_t index, unsigned timeout_ms, replica_index_cb cb, void *arg)
{
    if (c->stopped || c->replica == NULL) {
        return c->stopped ? ERR_CANCELLED : ERR_WRONG_STATE;
    }
    struct later *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    *l = (struct later){ .c = c, .cb = cb, .arg = arg, .inside = true, .error = ERR_COUNT };
    cluster_hold(c);
    const enum err e = replica_wait_visible(c->replica, index, timeout_ms, on_visible, l);
    if (e != ERR_OK) {
        free(l);
        cluster_release(c);
        return e;
    }
    if (l->error == ERR_COUNT) {
        wait_begins(l);
    }
    return ERR_OK;
}

/* -- the file's own life ---------------------------------------------------------------------- */

void forward_init(struct cluster *c)
{
    struct forward *f = &c->forward;
    f->later_end = &f->later_first;
    (void)uv_timer_init(c->o.loop, &f->timer);
    (void)uv_timer_init(c->o.loop, &f->later_timer);
    f->timer.data = c;
    f->later_timer.data = c;
    c->holds += 2; /* until they are closed */
}

void forward_kick(struct cluster *c)
{
    if (c->forward.count > 0) {
        (void)uv_timer_start(&c->forward.timer, on_timer, 0, RETRY_MS);
    }
}

/* After c->stopped is set. */
void forward_stop(struct cluster *c)
{
    on_later(&c->forward.later_timer);
    for (struct later *l = c->forward.waiting; l != NULL; l = l->next) {
        replica_index_cb cb = l->cb;
        l->cb = NULL; /* the replica may still call: it finds nobody */
        if (cb != NULL) {
            cb(l->arg, ERR_CANCELLED, 0);
        }
    }
    /* None can be added any more, and each callback ends only its own. */
    struct proposal *p = c->forward.first;
    while (p != NULL) {
        struct proposal *next = p->next;
        tell(p, p->sent || p->doubtful ? ERR_UNKNOWN_OUTCOME : ERR_CANCELLED, NULL, 0);
        p = next;
    }
}
