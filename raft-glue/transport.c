/* SPDX-License-Identifier: Apache-2.0 */
/* raft_uv's transport over replica_transport; see transport.h. The identity of an
 * accepted stream is what the owner of the streams has verified, never what the
 * peer claims. */
#include "raft-glue/transport.h"

#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct dial {
    struct transport *transport;
    struct raft_uv_connect *req;
    raft_uv_connect_cb cb;
};

static void on_pipe_closed(uv_handle_t *handle)
{
    raft_free(handle);
}

/* Takes fd. NULL: it is closed. */
static struct uv_stream_s *make_stream(struct uv_loop_s *loop, int fd)
{
    uv_pipe_t *pipe = raft_malloc(sizeof(*pipe));
    if (pipe == NULL || uv_pipe_init(loop, pipe, 0) != 0) {
        raft_free(pipe);
        (void)close(fd);
        return NULL;
    }
    if (uv_pipe_open(pipe, fd) != 0) {
        (void)close(fd);
        uv_close((uv_handle_t *)pipe, on_pipe_closed);
        return NULL;
    }
    return (struct uv_stream_s *)pipe;
}

static int init(struct raft_uv_transport *raft, raft_id id, const char *address)
{
    (void)raft;
    (void)id;
    (void)address;
    return 0;
}

static void on_accepted(void *arg, uint64_t id, const char *address, int fd)
{
    struct transport *t = arg;
    struct uv_stream_s *stream = make_stream(t->loop, fd);
    if (stream != NULL) {
        t->accept(&t->raft, id, address, stream);
    }
}

static int listen_for_peers(struct raft_uv_transport *raft, raft_uv_accept_cb cb)
{
    struct transport *t = raft->impl;
    t->accept = cb;
    return t->streams->listen(t->streams->impl, on_accepted, t) == ERR_OK ? 0 : RAFT_IOERR;
}

static void on_connected(void *arg, enum err e, int fd)
{
    const struct dial d = *(struct dial *)arg;
    free(arg);
    struct uv_stream_s *stream = e == ERR_OK ? make_stream(d.transport->loop, fd) : NULL;
    d.cb(d.req, stream, stream != NULL ? 0 : RAFT_NOCONNECTION);
}

static int connect_to_peer(struct raft_uv_transport *raft,
                           struct raft_uv_connect *req,
                           raft_id id,
                           const char *address,
                           raft_uv_connect_cb cb)
{
    struct transport *t = raft->impl;
    struct dial *d = malloc(sizeof(*d));
    if (d == NULL) {
        return RAFT_NOMEM;
    }
    *d = (struct dial){ t, req, cb };
    req->cb = cb;
    if (t->streams->connect(t->streams->impl, id, address, on_connected, d) != ERR_OK) {
        free(d);
        return RAFT_NOCONNECTION; /* raft_uv tries again later */
    }
    /* cppcheck-suppress memleak ; on_connected frees it */
    return 0;
}

/* Not reached: libraft is not closed (engine.md B16). */
static void close_all(struct raft_uv_transport *raft, raft_uv_transport_close_cb cb)
{
    cb(raft);
}

void transport_init(struct transport *t,
                    struct uv_loop_s *loop,
                    const struct replica_transport *streams)
{
    *t = (struct transport){ .loop = loop, .streams = streams };
    t->raft.impl = t;
    t->raft.init = init;
    t->raft.listen = listen_for_peers;
    t->raft.connect = connect_to_peer;
    t->raft.close = close_all;
}
