/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a cluster, from the joiner's side: tries the addresses of the invite in
 * turn, carries the handshake, saves what it was told of itself, starts raft
 * without a configuration and waits until its own row has arrived. Loop thread.
 *
 * Until the donor may have spent the invite, any trouble leads to the next
 * address; afterwards it is final. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/core_verbs.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

#define JOIN_ADDRESSES 16u
#define CATCH_UP_MS 60000u

enum join_step { JOIN_DIAL, JOIN_HANDSHAKE, JOIN_WELCOME, JOIN_CATCH_UP };

struct join {
    struct cluster *c;
    cluster_done_cb cb;
    void *arg;
    enum join_step step;
    bool ended;
    uint8_t request[CORE_VERBS_REQUEST];
    uint8_t member_id[ID_SIZE];
    char addresses[JOIN_ADDRESSES][LIMIT_ADDRESS];
    unsigned count, at;
    struct link *link;
    struct taker *taker;
    uint64_t deadline_ms, next_frame;
    enum err error; /* of the last address */
    char text[CLUSTER_TEXT];
};

/* -- end --------------------------------------------------------------------------- */

static void drop(struct join *j)
{
    struct cluster *c = j->c;
    free(j);
    cluster_release(c);
}

static void finish(struct join *j, enum err e, const char *text)
{
    struct cluster *c = j->c;
    char hex[CLUSTER_HEX];
    char copy[CLUSTER_TEXT];
    cluster_done_cb cb = j->cb;
    void *arg = j->arg;
    const bool has_smk = j->step == JOIN_CATCH_UP;
    (void)snprintf(copy, sizeof copy, "%s", text);
    log_security("join", cluster_hex(j->member_id, hex), copy, err_name(e));
    j->ended = true;
    c->join = NULL;
    c->phase = c->has_facts ? CLUSTER_MEMBER : CLUSTER_IDLE;
    taker_close(j->taker);
    j->taker = NULL;
    if (j->link != NULL) {
        link_close(j->link, ERR_CANCELLED, "the join has ended");
    } else {
        drop(j);
    }
    inherit_later(c);
    if (has_smk && !c->stopped && c->o.on_authorized != NULL) {
        c->o.on_authorized(c->o.arg);
    }
    cb(arg, e, copy);
}

static bool is_worth_another(enum err e)
{
    return err_class_of(e) == ERR_CLASS_RETRY || e == ERR_WRONG_STATE || e == ERR_PROTOCOL;
}

static void next_address(struct join *j, enum err e, const char *text)
{
    j->error = e;
    (void)snprintf(j->text, sizeof j->text, "%s: %s", j->addresses[j->at], text);
    log_info("join: %s", j->text);
    taker_close(j->taker);
    j->taker = NULL;
    j->step = JOIN_DIAL;
    j->at++;
    link_close(j->link, ERR_CANCELLED, "another address is tried");
}

static void on_failed(void *arg, enum err e, const char *text, bool spent)
{
    struct join *j = arg;
    char all[CLUSTER_TEXT];
    if (!spent && is_worth_another(e)) {
        next_address(j, e, text);
        return;
    }
    (void)snprintf(all, sizeof all, "%s%s", text,
                   spent ? "; the invite may be spent: make a new one" : "");
    finish(j, e, all);
}

/* -- the welcome --------------------------------------------------------------------- */

static enum err read_welcome(struct join *j, const Ringkeep__JoinWelcome *w, struct facts *f)
{
    if (!w->has_cluster_id || w->cluster_id.len != ID_SIZE || !w->has_incarnation ||
        w->incarnation.len != ID_SIZE ||
        memcmp(w->cluster_id.data, j->request + CORE_VERBS_REQUEST_CLUSTER, ID_SIZE) != 0 ||
        w->n_members == 0) {
        return ERR_PROTOCOL;
    }
    memcpy(f->cluster_id, w->cluster_id.data, ID_SIZE);
    memcpy(f->incarnation, w->incarnation.data, ID_SIZE);
    memcpy(f->member_id, j->member_id, ID_SIZE);
    return ERR_OK;
}

/* Only whole welcomes are saved: what directory_load reads later must be good. */
static void on_welcome(struct join *j, const struct frame *f)
{
    MESSAGE_SCOPED *arena = NULL;
    struct cluster *c = j->c;
    void *message = NULL;
    char text[CLUSTER_TEXT] = "the donor's welcome cannot be parsed";
    enum err e = message_unpack(&ringkeep__join_welcome__descriptor, f->payload, &arena, &message);
    const Ringkeep__JoinWelcome *w = message;
    if (e == ERR_OK && w->error != ERR_OK) {
        finish(j, err_from_wire(w->error),
               w->text != NULL ? w->text : "the donor refused at the end");
        return;
    }
    if (e == ERR_OK) {
        e = read_welcome(j, w, &c->self);
    }
    if (e == ERR_OK) {
        e = cluster_run_replica(c, false, true, f->payload, text, sizeof text);
    }
    if (e != ERR_OK) {
        finish(j, e, text);
        return;
    }
    j->step = JOIN_CATCH_UP;
    j->deadline_ms = cluster_now_ms(c) + CATCH_UP_MS;
    link_close(j->link, ERR_CANCELLED, "welcomed");
}

/* -- the link ---------------------------------------------------------------------------- */

static enum err send_clone(void *arg, unsigned type, const void *message)
{
    struct join *j = arg;
    return link_send(j->link, type, ++j->next_frame, message);
}

static void on_given(void *arg)
{
    struct join *j = arg;
    taker_close(j->taker);
    j->taker = NULL;
    j->step = JOIN_WELCOME;
    link_set_deadline(j->link, LIMIT_CLONE_S * 1000u);
}

static void describe_self(struct join *j, Ringkeep__MemberRowJoin *m)
{
    struct cluster *c = j->c;
    m->member_id.data = j->member_id;
    m->member_id.len = ID_SIZE;
    m->raft_id = c->self.raft_id;
    m->name = c->name;
    m->client_address = c->client_address;
    m->peer_address = c->peer_address;
    m->join_address = c->join_address;
    m->spki_hash.data = c->spki_hash;
    m->spki_hash.len = X509_SPKI_HASH;
    m->data_uuid.data = c->self.data_uuid;
    m->data_uuid.len = ID_SIZE;
    m->wall_s = clock_wall_s(c->o.clock);
}

static void on_ready(void *arg, struct link *l)
{
    struct join *j = arg;
    Ringkeep__CloneBegin b = RINGKEEP__CLONE_BEGIN__INIT;
    Ringkeep__MemberRowJoin m = RINGKEEP__MEMBER_ROW_JOIN__INIT;
    const struct taker_options o = {
        .c = j->c, .send = send_clone, .given = on_given, .failed = on_failed, .arg = j
    };
    describe_self(j, &m);
    b.purpose = CORE_VERBS_PURPOSE_JOIN;
    b.request.data = j->request;
    b.request.len = sizeof j->request;
    b.member = &m;
    link_set_deadline(l, LIMIT_CLONE_S * 1000u);
    enum err e = taker_open(&o, &j->taker);
    if (e == ERR_OK) {
        e = taker_begin(j->taker, &b);
    }
    if (e != ERR_OK) {
        link_close(l, e, err_text(e));
    }
}

static void on_frame(void *arg, struct link *l, const struct frame *f)
{
    struct join *j = arg;
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    if (j->step == JOIN_WELCOME && f->type == (FRAME_CLONE_M4 | FRAME_REPLY)) {
        on_welcome(j, f);
        return;
    }
    if (j->taker == NULL || (f->type & FRAME_REPLY) == 0 || f->request != j->next_frame) {
        link_close(l, ERR_PROTOCOL, "the donor answered out of turn");
        return;
    }
    const enum err e =
        message_unpack(&ringkeep__peer_reply__descriptor, f->payload, &arena, &message);
    taker_reply(j->taker, e, message);
}

static void on_closed(void *arg, struct link *l, enum err e, const char *why)
{
    struct join *j = arg;
    (void)l;
    j->link = NULL;
    e = e == ERR_OK ? ERR_UNREACHABLE : e;
    if (j->ended) {
        drop(j);
    } else if (j->taker != NULL) {
        taker_reply(j->taker, e, NULL);
    } else if (j->step == JOIN_HANDSHAKE) {
        next_address(j, e, why);
    } else if (j->step == JOIN_WELCOME) {
        finish(j, ERR_UNKNOWN_OUTCOME,
               "the donor went away before its welcome: see `ringkeep member list` there; if this "
               "member is "
               "not in it, initialise it again and use a new invite");
    }
}

static const struct link_handlers handlers = { .on_ready = on_ready,
                                               .on_frame = on_frame,
                                               .on_closed = on_closed };

static void dial(struct join *j)
{
    struct link_options o;
    cluster_link_options(j->c, j->c->tls_join_client, &handlers, j, &o);
    o.frame_limit = LIMIT_FRAME_CLIENT; /* M3 and the welcome */
    j->step = JOIN_HANDSHAKE;
    j->next_frame = 0;
    const enum err e = link_connect(&o, j->addresses[j->at], &j->link);
    if (e != ERR_OK) {
        next_address(j, e, err_text(e));
    }
}

/* -- steps by the clock --------------------------------------------------------------------- */

void join_tick(struct cluster *c, uint64_t now_ms)
{
    struct join *j = c->join;
    if (j == NULL) {
        return;
    }
    if (j->step == JOIN_DIAL && j->link == NULL) {
        if (j->at < j->count) {
            dial(j);
        } else {
            finish(j, j->error, j->text);
        }
        return;
    }
    if (j->step != JOIN_CATCH_UP) {
        return;
    }
    if (c->directory.complete) {
        finish(j, ERR_OK, "joined");
    } else if (now_ms >= j->deadline_ms) {
        finish(j, ERR_TIMEOUT,
               "joined, but the replicated state has not arrived yet: see `ringkeep status`");
    }
}

enum err cluster_join(struct cluster *c,
                      struct bytes request,
                      const uint8_t member_id[ID_SIZE],
                      const char (*addresses)[LIMIT_ADDRESS],
                      unsigned count,
                      cluster_done_cb cb,
                      void *arg)
{
    if (!c->started || c->stopped || c->phase != CLUSTER_IDLE || c->replica != NULL) {
        return ERR_WRONG_STATE;
    }
    if (request.size != CORE_VERBS_REQUEST || count == 0 || count > JOIN_ADDRESSES) {
        return ERR_USAGE;
    }
    TRY(cluster_check_fresh(c));
    struct join *j = calloc(1, sizeof *j);
    if (j == NULL) {
        return ERR_NOMEM;
    }
    j->c = c;
    j->cb = cb;
    j->arg = arg;
    j->count = count;
    memcpy(j->request, request.data, request.size);
    memcpy(j->member_id, member_id, ID_SIZE);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(j->addresses[i], sizeof j->addresses[i], "%s", addresses[i]);
    }
    c->join = j;
    c->phase = CLUSTER_JOINING;
    cluster_hold(c);
    return ERR_OK;
}

void join_stop(struct cluster *c)
{
    if (c->join != NULL) {
        finish(c->join, ERR_CANCELLED, "this member stops");
    }
}
