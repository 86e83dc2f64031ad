/* SPDX-License-Identifier: Apache-2.0 */
/* Our links to the other members: one each, opened again with growing pauses,
 * pinned by the key of the member's row. Requests on a link are answered in any
 * order by request number; a link that is lost ends its requests with an unknown
 * outcome. Loop thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

#define BACKOFF_FIRST_MS 100u
#define BACKOFF_LAST_MS 2000u
#define JOINER_MS 300u

struct call {
    struct call *next;
    uint64_t request, deadline_ms;
    peer_reply_cb cb;
    void *arg;
};

/* -- calls ------------------------------------------------------------------------- */

static void calls_clear(struct peer *p)
{
    p->first = NULL;
    p->end = &p->first;
    p->calls = 0;
}

/* The list is taken off first: a callback may call again. */
static void fail_calls(struct peer *p, enum err e)
{
    struct call *at = p->first;
    calls_clear(p);
    while (at != NULL) {
        struct call *next = at->next;
        at->cb(at->arg, e, NULL);
        free(at);
        at = next;
    }
}

static struct call *take_call(struct peer *p, struct call **at)
{
    struct call *call = *at;
    *at = call->next;
    if (p->end == &call->next) {
        p->end = at;
    }
    p->calls--;
    return call;
}

/* Replies mostly come in the order of the requests: the first one fits. */
static struct call *find_call(struct peer *p, uint64_t request)
{
    for (struct call **at = &p->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->request == request) {
            return take_call(p, at);
        }
    }
    return NULL;
}

static void expire_calls(struct peer *p, uint64_t now_ms)
{
    struct call *late = NULL;
    struct call **at = &p->first;
    while (*at != NULL) {
        if ((*at)->deadline_ms > now_ms) {
            at = &(*at)->next;
            continue;
        }
        struct call *call = take_call(p, at);
        call->next = late;
        late = call;
    }
    while (late != NULL) {
        struct call *next = late->next;
        late->cb(late->arg, ERR_UNKNOWN_OUTCOME, NULL);
        free(late);
        late = next;
    }
}

static void on_reply(struct peer *p, const struct frame *f)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    struct call *call = find_call(p, f->request);
    if (call == NULL) {
        return; /* answered after its time */
    }
    const enum err e =
        message_unpack(&ringkeep__peer_reply__descriptor, f->payload, &arena, &message);
    call->cb(call->arg, e == ERR_OK ? ERR_OK : ERR_UNKNOWN_OUTCOME, e == ERR_OK ? message : NULL);
    free(call);
    if (e != ERR_OK) {
        link_close(p->link, e, "a reply that cannot be parsed");
    }
}

struct peer *peer_find(struct cluster *c, uint64_t raft_id)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        if (c->peers[i]->row.raft_id == raft_id) {
            return c->peers[i];
        }
    }
    return NULL;
}

static bool is_up(const struct peer *p)
{
    return p != NULL && p->up && link_is_open(p->link);
}

bool peer_is_up(struct cluster *c, uint64_t raft_id)
{
    return is_up(peer_find(c, raft_id));
}

enum err peer_call(struct cluster *c,
                   uint64_t raft_id,
                   unsigned type,
                   const void *message,
                   unsigned timeout_ms,
                   peer_reply_cb cb,
                   void *arg)
{
    struct peer *p = peer_find(c, raft_id);
    if (!is_up(p)) {
        return ERR_UNREACHABLE;
    }
    if (p->calls >= LIMIT_PROPOSALS) {
        return ERR_BUSY;
    }
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return ERR_NOMEM;
    }
    call->request = ++p->next_request;
    const enum err e = link_send(p->link, type, call->request, message);
    if (e != ERR_OK) {
        free(call);
        return e;
    }
    call->deadline_ms = cluster_now_ms(c) + timeout_ms;
    call->cb = cb;
    call->arg = arg;
    *p->end = call;
    p->end = &call->next;
    p->calls++;
    return ERR_OK;
}

void peer_send_all(struct cluster *c, unsigned type, const void *message)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        struct peer *p = c->peers[i];
        if (is_up(p) && link_send(p->link, type, 0, message) == ERR_BUSY) {
            link_close(p->link, ERR_BUSY, "does not read what is sent");
        }
    }
}

/* -- the link ------------------------------------------------------------------------ */

static void on_ready(void *arg, struct link *l)
{
    struct peer *p = arg;
    char why[LINK_WHY] = "";
    const enum err e = greet_begin(&p->greeting, l, why);
    if (e != ERR_OK) {
        link_close(l, e, why);
    }
}

static void came_up(struct peer *p)
{
    p->up = true;
    p->backoff_ms = BACKOFF_FIRST_MS;
    link_set_limit(p->link, LIMIT_FRAME_PEER);
    log_info("member %s: linked", p->row.name);
    p->c->status.next_ms = 0; /* tell it at once */
    forward_kick(p->c);
}

static void on_frame(void *arg, struct link *l, const struct frame *f)
{
    struct peer *p = arg;
    char why[LINK_WHY] = "";
    bool done = false;
    if (p->up) {
        if ((f->type & FRAME_REPLY) == 0) {
            link_close(l, ERR_PROTOCOL, "a request on a link of ours");
            return;
        }
        on_reply(p, f);
        return;
    }
    const enum err e = greet_frame(&p->greeting, l, f, &done, why);
    if (e != ERR_OK) {
        link_close(l, e, why);
        return;
    }
    if (done) {
        came_up(p);
    }
}

static void drop_peer(struct peer *p)
{
    struct cluster *c = p->c;
    assert(p->link == NULL && p->first == NULL);
    free(p);
    cluster_release(c);
}

/* Refusals are for the security log; a member that is away is not. */
static void tell_closed(struct peer *p, enum err e, const char *why)
{
    char hex[CLUSTER_HEX];
    if (e == ERR_IDENTITY || e == ERR_INCARNATION || e == ERR_PROTOCOL || e == ERR_MALFORMED) {
        log_security("peer", cluster_hex(p->row.member_id, hex), why, err_name(e));
    } else if (p->up) {
        log_info("member %s: link lost: %s", p->row.name, why);
    }
}

static void on_closed(void *arg, struct link *l, enum err e, const char *why)
{
    struct peer *p = arg;
    const uint64_t jitter = random_u64(p->c->o.random) % (p->backoff_ms / 2 + 1);
    (void)l;
    if (!p->c->stopped && !p->gone) {
        tell_closed(p, e, why);
    }
    p->link = NULL;
    p->up = false;
    p->retry_at_ms = cluster_now_ms(p->c) + p->backoff_ms + jitter;
    p->backoff_ms = p->backoff_ms * 2 > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : p->backoff_ms * 2;
    fail_calls(p, ERR_UNKNOWN_OUTCOME);
    if (p->gone) {
        drop_peer(p);
    }
}

static const struct link_handlers handlers = { .on_ready = on_ready,
                                               .on_frame = on_frame,
                                               .on_closed = on_closed };

static void dial(struct peer *p)
{
    struct link_options o;
    cluster_link_options(p->c, p->c->tls_peer_client, &handlers, p, &o);
    p->greeting = (struct greeting){ .c = p->c, .expected = p->row };
    const enum err e = link_connect(&o, p->row.peer_address, &p->link);
    if (e != ERR_OK) {
        p->retry_at_ms = cluster_now_ms(p->c) + BACKOFF_LAST_MS;
        log_debug("member %s: %s: %s", p->row.name, p->row.peer_address, err_text(e));
    }
}

void peer_tick(struct cluster *c, uint64_t now_ms)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        struct peer *p = c->peers[i];
        expire_calls(p, now_ms);
        if (p->up && p->calls > 0 && p->heard && now_ms - p->heard_ms > CLUSTER_ALIVE_MS) {
            link_close(p->link, ERR_TIMEOUT, "silent: what waits for it is tried elsewhere");
        }
        if (p->link == NULL && now_ms >= p->retry_at_ms) {
            dial(p);
        }
    }
}

/* -- the set of peers ------------------------------------------------------------------ */

static void let_go(struct cluster *c, unsigned at)
{
    struct peer *p = c->peers[at];
    c->peers[at] = c->peers[--c->peer_count];
    p->gone = true;
    if (p->link != NULL) {
        link_close(p->link, ERR_CANCELLED, "no longer a member");
    } else {
        drop_peer(p);
    }
}

static void add(struct cluster *c, const struct directory_row *row)
{
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return; /* the next refresh tries again */
    }
    assert(c->peer_count < LIMIT_MEMBERS);
    p->c = c;
    p->row = *row;
    p->backoff_ms = BACKOFF_FIRST_MS;
    /* A joiner's row may not have arrived at the others yet: not knock too soon. */
    p->retry_at_ms = c->phase == CLUSTER_JOINING ? cluster_now_ms(c) + JOINER_MS : 0;
    calls_clear(p);
    c->peers[c->peer_count++] = p;
    cluster_hold(c);
}

static void update(struct peer *p, const struct directory_row *row)
{
    const bool moved = strcmp(p->row.peer_address, row->peer_address) != 0 ||
                       memcmp(p->row.spki_hash, row->spki_hash, sizeof row->spki_hash) != 0;
    p->row = *row;
    if (moved) {
        p->retry_at_ms = 0;
        link_close(p->link, ERR_CANCELLED, "its address or key changed");
    }
}

void peer_sync(struct cluster *c)
{
    unsigned i = 0;
    while (i < c->peer_count) {
        const struct directory_row *row =
            directory_by_member(&c->directory, c->peers[i]->row.member_id);
        if (row == NULL || row->raft_id != c->peers[i]->row.raft_id) {
            let_go(c, i);
            continue;
        }
        update(c->peers[i], row);
        i++;
    }
    for (i = 0; i < c->directory.count; i++) {
        const struct directory_row *row = &c->directory.row[i];
        if (row->raft_id != c->self.raft_id && peer_find(c, row->raft_id) == NULL) {
            add(c, row);
        }
    }
}

void peer_stop(struct cluster *c)
{
    while (c->peer_count > 0) {
        let_go(c, c->peer_count - 1);
    }
}
