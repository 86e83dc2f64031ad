/* SPDX-License-Identifier: Apache-2.0 */
/* Raft's streams: bytes one way, connector to acceptor, between a TLS link and one
 * end of a socketpair whose other end raft has. Both directions are bounded: above
 * HIGH the reading side stops until it is below LOW. Whatever ends one side ends
 * the other, since raft notices a death by its pipe only. Loop thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "cluster/inside.h"

#define CHUNK 65536u
#define HIGH ((size_t)1024 * 1024)
#define LOW ((size_t)256 * 1024)
#define SEND_LIMIT (HIGH + 4 * (size_t)CHUNK)

struct stream {
    struct streams *owner;
    struct stream *next, *previous;
    struct directory_row row;
    struct greeting greeting;
    struct link *link;
    uv_pipe_t pipe; /* our end */
    bool outward;   /* raft writes, the link sends */
    bool has_pipe, pipe_closing, up, reading;
    size_t queued; /* bytes on their way into the pipe */
    replica_connected_cb connected;
    void *connected_arg;
    uint8_t chunk[CHUNK];
};

struct push {
    uv_write_t write;
    struct stream *stream;
    size_t size;
    uint8_t data[];
};

/* -- end of life -------------------------------------------------------------------- */

static void drop_if_ended(struct stream *s)
{
    struct streams *owner = s->owner;
    if (s->link != NULL || s->has_pipe) {
        return;
    }
    if (s->next != NULL) {
        s->next->previous = s->previous;
    }
    *(s->previous != NULL ? &s->previous->next : &owner->first) = s->next;
    owner->count--;
    free(s);
    cluster_release(owner->c);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    s->has_pipe = false;
    drop_if_ended(s);
}

static void end_pipe(struct stream *s)
{
    if (s->has_pipe && !s->pipe_closing) {
        s->pipe_closing = true;
        uv_close((uv_handle_t *)&s->pipe, on_pipe_closed);
    }
}

static void end(struct stream *s, enum err e, const char *why)
{
    link_close(s->link, e, why);
    end_pipe(s);
}

static void on_closed(void *arg, struct link *l, enum err e, const char *why)
{
    struct stream *s = arg;
    char hex[CLUSTER_HEX];
    (void)l;
    if (!s->owner->c->stopped && e != ERR_UNREACHABLE && e != ERR_CANCELLED && e != ERR_TIMEOUT) {
        log_security("peer", cluster_hex(s->row.member_id, hex), why, err_name(e));
    }
    s->link = NULL;
    end_pipe(s);
    if (s->connected != NULL) {
        replica_connected_cb cb = s->connected;
        s->connected = NULL;
        cb(s->connected_arg, e == ERR_OK ? ERR_UNREACHABLE : e, -1);
    }
    drop_if_ended(s);
}

/* -- raft to link --------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct stream *s = handle->data;
    (void)suggested;
    *out = uv_buf_init((char *)s->chunk, CHUNK);
}

static void on_pipe_read(uv_stream_t *pipe, ssize_t got, const uv_buf_t *buf)
{
    struct stream *s = pipe->data;
    if (got < 0) {
        end(s, ERR_CANCELLED, "closed by raft");
        return;
    }
    if (got == 0) {
        return;
    }
    const enum err e =
        s->outward ? link_write(s->link, bytes_of(buf->base, (size_t)got)) : ERR_PROTOCOL;
    if (e != ERR_OK) {
        end(s, ERR_CANCELLED, "raft's bytes cannot be sent");
        return;
    }
    if (link_queued(s->link) > HIGH) {
        s->reading = false;
        (void)uv_read_stop(pipe);
    }
}

static void read_pipe(struct stream *s)
{
    s->reading = true;
    if (uv_read_start((uv_stream_t *)&s->pipe, on_alloc, on_pipe_read) != 0) {
        end(s, ERR_IO, "the pipe to raft cannot be read");
    }
}

static void on_drain(void *arg, struct link *l)
{
    struct stream *s = arg;
    if (s->has_pipe && !s->pipe_closing && !s->reading && link_queued(l) < LOW) {
        read_pipe(s);
    }
}

/* -- link to raft ---------------------------------------------------------------------- */

static void on_pushed(uv_write_t *write, int status)
{
    struct push *p = write->data;
    struct stream *s = p->stream;
    s->queued -= p->size;
    free(p);
    if (status != 0) {
        end(s, ERR_CANCELLED, "closed by raft");
        return;
    }
    if (s->queued < LOW && s->link != NULL) {
        link_resume(s->link);
    }
}

static void on_data(void *arg, struct link *l, struct bytes data)
{
    struct stream *s = arg;
    if (s->outward || !s->has_pipe || s->pipe_closing) {
        end(s, ERR_PROTOCOL, "bytes against the direction of a raft stream");
        return;
    }
    struct push *p = malloc(sizeof *p + data.size);
    if (p == NULL) {
        end(s, ERR_NOMEM, "out of memory");
        return;
    }
    p->stream = s;
    p->size = data.size;
    p->write.data = p;
    memcpy(p->data, data.data, data.size);
    uv_buf_t out = uv_buf_init((char *)p->data, (unsigned)data.size);
    if (uv_write(&p->write, (uv_stream_t *)&s->pipe, &out, 1, on_pushed) != 0) {
        free(p);
        end(s, ERR_IO, "the pipe to raft cannot be written");
        return;
    }
    s->queued += data.size;
    if (s->queued > HIGH) {
        link_pause(l);
    }
}

/* -- making one ------------------------------------------------------------------------ */

static struct stream *make(struct streams *owner, const struct directory_row *row, bool outward)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->owner = owner;
    s->row = *row;
    s->outward = outward;
    s->next = owner->first;
    if (owner->first != NULL) {
        owner->first->previous = s;
    }
    owner->first = s;
    owner->count++;
    cluster_hold(owner->c);
    return s;
}

/* Ours becomes s->pipe; raft's comes back, or -1. */
static int open_pair(struct stream *s)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0) {
        return -1;
    }
    if (uv_pipe_init(s->owner->c->o.loop, &s->pipe, 0) != 0) {
        (void)close(fd[0]);
        (void)close(fd[1]);
        return -1;
    }
    s->pipe.data = s;
    s->has_pipe = true;
    if (uv_pipe_open(&s->pipe, fd[0]) != 0) {
        (void)close(fd[0]);
        (void)close(fd[1]);
        return -1;
    }
    read_pipe(s); /* inward too: that is how raft's end is noticed */
    return fd[1];
}

static void came_up(struct stream *s)
{
    const int fd = open_pair(s);
    replica_connected_cb cb = s->connected;
    if (fd < 0) {
        end(s, ERR_IO, "no pipe to raft");
        return;
    }
    s->up = true;
    s->connected = NULL;
    link_set_raw(s->link);
    cb(s->connected_arg, ERR_OK, fd);
}

static void on_ready(void *arg, struct link *l)
{
    struct stream *s = arg;
    char why[LINK_WHY] = "";
    const enum err e = greet_begin(&s->greeting, l, why);
    if (e != ERR_OK) {
        link_close(l, e, why);
    }
}

static void on_frame(void *arg, struct link *l, const struct frame *f)
{
    struct stream *s = arg;
    char why[LINK_WHY] = "";
    bool done = false;
    const enum err e = greet_frame(&s->greeting, l, f, &done, why);
    if (e != ERR_OK) {
        link_close(l, e, why);
        return;
    }
    if (done) {
        came_up(s);
    }
}

static const struct link_handlers handlers = { .on_ready = on_ready,
                                               .on_frame = on_frame,
                                               .on_data = on_data,
                                               .on_drain = on_drain,
                                               .on_closed = on_closed };

void stream_accept(struct streams *owner, struct link *l, const struct directory_row *from)
{
    struct stream *s = make(owner, from, false);
    if (s == NULL) {
        /* Whoever had the link has let go of it: nobody hears of its end. */
        link_hand_over(l, NULL, NULL);
        link_close(l, ERR_NOMEM, "out of memory");
        return;
    }
    s->link = l;
    link_hand_over(l, &handlers, s);
    if (owner->accepted == NULL || owner->c->stopped) {
        end(s, ERR_CANCELLED, "raft does not run here yet");
        return;
    }
    const int fd = open_pair(s);
    if (fd < 0) {
        end(s, ERR_IO, "no pipe to raft");
        return;
    }
    s->up = true;
    link_set_raw(l);
    owner->accepted(owner->accepted_arg, from->raft_id, from->peer_address, fd);
}

/* -- raft's face ------------------------------------------------------------------------- */

static enum err start_listening(void *impl, replica_accepted_cb cb, void *arg)
{
    struct streams *owner = impl;
    owner->accepted = cb;
    owner->accepted_arg = arg;
    return ERR_OK;
}

static enum err start_connecting(
    void *impl, uint64_t raft_id, const char *address, replica_connected_cb cb, void *arg)
{
    struct streams *owner = impl;
    struct cluster *c = owner->c;
    struct link_options o;
    (void)address; /* the row's is the truth: keys are pinned to it */
    if (c->stopped) {
        return ERR_CANCELLED;
    }
    cluster_refresh(c);
    const struct directory_row *row = directory_by_raft_id(&c->directory, raft_id);
    if (row == NULL || owner->count >= LIMIT_PEER_CONNECTIONS) {
        return row == NULL ? ERR_NOTFOUND : ERR_FULL;
    }
    struct stream *s = make(owner, row, true);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->greeting = (struct greeting){ .c = c, .expected = *row, .raft_stream = true };
    cluster_link_options(c, c->tls_peer_client, &handlers, s, &o);
    o.send_limit = SEND_LIMIT;
    const enum err e = link_connect(&o, row->peer_address, &s->link);
    if (e != ERR_OK) {
        drop_if_ended(s);
        return e;
    }
    s->connected = cb;
    s->connected_arg = arg;
    return ERR_OK;
}

void stream_init(struct streams *s, struct cluster *c)
{
    s->c = c;
    s->transport = (struct replica_transport){ start_listening, start_connecting, s };
}

void stream_sync(struct streams *owner)
{
    for (struct stream *s = owner->first; s != NULL; s = s->next) {
        if (directory_by_hash(&owner->c->directory, s->row.spki_hash) == NULL) {
            end(s, ERR_CANCELLED, "no longer a member");
        }
    }
}

void stream_stop(struct streams *owner)
{
    for (struct stream *s = owner->first; s != NULL; s = s->next) {
        end(s, ERR_CANCELLED, "this member stops");
    }
}
