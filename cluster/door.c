/* SPDX-License-Identifier: Apache-2.0 */
/* The two doors. Peer door: only keys of members' rows, then a hello that names the
 * same member, then requests (or raft's stream). Join door: anyone, three kinds of
 * small frames and a short life; the handshake of the cores decides. What breaks a
 * rule costs its own connection only. Loop thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

#define BACKLOG 64
#define STRANGERS (LIMIT_PEER_CONNECTIONS / 4u)

static const char *door_class(const struct door *d)
{
    return d->join ? "join" : "peer";
}

/* -- guests ------------------------------------------------------------------------- */

void guest_hold(struct guest *g)
{
    g->holds++;
}

void guest_release(struct guest *g)
{
    struct door *d = g->door;
    assert(g->holds > 0);
    g->holds--;
    if (g->holds > 0) {
        return;
    }
    assert(g->link == NULL && g->donor == NULL);
    cluster_release(d->c);
    free(g);
}

static void unlist(struct guest *g)
{
    if (g->next != NULL) {
        g->next->previous = g->previous;
    }
    *(g->previous != NULL ? &g->previous->next : &g->door->first) = g->next;
    g->door->count--;
}

static void tell_closed(const struct guest *g, struct link *l, enum err e, const char *why)
{
    char hex[CLUSTER_HEX];
    const char *who = g->known ? cluster_hex(g->row.member_id, hex) : link_address(l);
    if (e != ERR_OK && e != ERR_UNREACHABLE && e != ERR_CANCELLED) {
        log_security(door_class(g->door), who, why, err_name(e));
    }
}

static void note_presence(struct guest *g, int change)
{
    struct peer *p = g->greeted && !g->door->join ? peer_find(g->door->c, g->row.raft_id) : NULL;
    if (p == NULL) {
        return;
    }
    p->incoming = change > 0 ? p->incoming + 1 : p->incoming > 0 ? p->incoming - 1 : 0;
    if (p->incoming == 0) {
        p->heard = false; /* its next status makes it live again */
        status_check_map(g->door->c);
    }
}

static void on_closed(void *arg, struct link *l, enum err e, const char *why)
{
    struct guest *g = arg;
    if (!g->door->c->stopped) {
        tell_closed(g, l, e, why);
        note_presence(g, -1);
    }
    g->link = NULL;
    donor_close(g->donor);
    g->donor = NULL;
    unlist(g);
    guest_release(g);
}

/* -- what a member says ---------------------------------------------------------------- */

static void on_status(struct guest *g, const struct frame *f)
{
    struct peer *p = peer_find(g->door->c, g->row.raft_id);
    if (p != NULL) {
        status_heard(g->door->c, p, f);
    }
}

static void on_clone(struct guest *g, const struct frame *f)
{
    const struct directory_row *member = g->door->join ? NULL : &g->row;
    if (g->donor == NULL && donor_open(g->door->c, g->link, member, &g->donor) != ERR_OK) {
        link_close(g->link, ERR_NOMEM, "out of memory");
        return;
    }
    donor_frame(g->donor, f);
}

struct rule {
    unsigned type;
    void (*handle)(struct guest *g, const struct frame *f);
};

static const struct rule peer_rules[] = {
    { FRAME_PEER_PROPOSE, forward_serve },
    { FRAME_PEER_BARRIER, forward_serve },
    { FRAME_PEER_STATUS, on_status },
    { FRAME_CLONE_BEGIN, on_clone },
    { FRAME_CLONE_M2, on_clone },
    { FRAME_CLONE_M4, on_clone },
    { 0, NULL },
};

static const struct rule join_rules[] = {
    { FRAME_CLONE_BEGIN, on_clone },
    { FRAME_CLONE_M2, on_clone },
    { FRAME_CLONE_M4, on_clone },
    { 0, NULL },
};

static void dispatch(struct guest *g, const struct frame *f)
{
    const struct rule *rule = g->door->join ? join_rules : peer_rules;
    while (rule->handle != NULL && rule->type != f->type) {
        rule++;
    }
    if (rule->handle == NULL) {
        link_end(g->link, ERR_PROTOCOL, "a kind of message that this door does not take");
        return;
    }
    rule->handle(g, f);
}

static const struct link_handlers handlers;

/* The connection lives on as a stream; the guest ends. */
static void become_stream(struct guest *g)
{
    struct cluster *c = g->door->c;
    struct link *l = g->link;
    const struct directory_row row = g->row;
    g->link = NULL;
    unlist(g);
    guest_release(g);
    stream_accept(&c->streams, l, &row);
}

static void on_hello(struct guest *g, const struct frame *f)
{
    char why[LINK_WHY] = "";
    bool raft_stream = false;
    const enum err e = greet_answer(g->door->c, g->link, f, &g->row, &raft_stream, why);
    if (e != ERR_OK) {
        link_end(g->link, e, why);
        return;
    }
    link_set_deadline(g->link, 0);
    if (raft_stream) {
        become_stream(g);
        return;
    }
    g->greeted = true;
    link_set_limit(g->link, LIMIT_FRAME_PEER);
    note_presence(g, 1);
}

static void on_frame(void *arg, struct link *l, const struct frame *f)
{
    struct guest *g = arg;
    (void)l;
    if (g->greeted) {
        dispatch(g, f);
    } else {
        on_hello(g, f);
    }
}

static void on_ready(void *arg, struct link *l)
{
    struct guest *g = arg;
    struct cluster *c = g->door->c;
    uint8_t hash[X509_SPKI_HASH];
    if (g->door->join) {
        g->greeted = true;
        link_set_deadline(l, LIMIT_CLONE_S * 1000u);
        return;
    }
    cluster_refresh(c);
    const bool shown = link_peer_hash(l, hash) == ERR_OK;
    const struct directory_row *row = shown ? directory_by_hash(&c->directory, hash) : NULL;
    if (row == NULL || row->raft_id == c->self.raft_id) {
        link_end(l, ERR_IDENTITY, "a key that is no member's");
        return;
    }
    g->row = *row;
    g->known = true;
    link_set_deadline(l, LIMIT_CONNECT_MS);
}

static const struct link_handlers handlers = { .on_ready = on_ready,
                                               .on_frame = on_frame,
                                               .on_closed = on_closed };

/* -- the listener -------------------------------------------------------------------------- */

static void list(struct door *d, struct guest *g)
{
    g->next = d->first;
    if (d->first != NULL) {
        d->first->previous = g;
    }
    d->first = g;
    d->count++;
}

/* Those who have not shown a member's key may not keep members out: there are few of
 * them at a time, and the oldest makes room (a member is known in milliseconds). */
static void make_room(struct door *d)
{
    struct guest *oldest = NULL;
    unsigned strangers = 0;
    for (struct guest *g = d->first; g != NULL; g = g->next) {
        if (!g->known && link_is_open(g->link)) {
            strangers++;
            oldest = g;
        }
    }
    if (!d->join && strangers > STRANGERS) {
        link_close(oldest->link, ERR_FULL, "too many connections that show no key");
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct door *d = listener->data;
    struct cluster *c = d->c;
    const unsigned limit = d->join ? LIMIT_JOIN_CONNECTIONS : LIMIT_PEER_CONNECTIONS;
    struct link_options o;
    if (status != 0 || c->stopped) {
        return;
    }
    struct guest *g = calloc(1, sizeof *g);
    if (g == NULL) {
        return;
    }
    g->door = d;
    g->holds = 1;
    cluster_link_options(c, d->join ? c->tls_join_server : c->tls_peer_server, &handlers, g, &o);
    if (link_accept(&o, listener, &g->link) != ERR_OK) {
        free(g);
        return;
    }
    cluster_hold(c);
    list(d, g);
    make_room(d);
    if (d->count + (d->join ? 0 : c->streams.count) > limit) {
        link_close(g->link, ERR_FULL, "too many connections");
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct door *d = handle->data;
    cluster_release(d->c);
}

enum err door_open(struct door *d, struct cluster *c, bool join, const char *address)
{
    struct sockaddr_storage at;
    assert(!d->open);
    d->c = c;
    d->join = join;
    TRY(link_parse_address(address, &at));
    if (uv_tcp_init(c->o.loop, &d->tcp) != 0) {
        return ERR_IO;
    }
    d->tcp.data = d;
    d->open = true;
    cluster_hold(c);
    if (uv_tcp_bind(&d->tcp, (const struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&d->tcp, BACKLOG, on_connection) != 0) {
        door_close(d);
        return ERR_IO;
    }
    return ERR_OK;
}

void door_close(struct door *d)
{
    if (!d->open) {
        return;
    }
    d->open = false;
    uv_close((uv_handle_t *)&d->tcp, on_listener_closed);
    for (struct guest *g = d->first; g != NULL; g = g->next) {
        link_close(g->link, ERR_CANCELLED, "this member stops");
    }
}

void door_sync(struct door *d)
{
    for (struct guest *g = d->first; g != NULL; g = g->next) {
        const struct directory_row *row =
            g->known ? directory_by_hash(&d->c->directory, g->row.spki_hash) : NULL;
        if (g->known && row == NULL) {
            link_close(g->link, ERR_CANCELLED, "no longer a member");
        }
    }
}
