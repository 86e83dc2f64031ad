/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the framed server: server.c (listening, lifetimes), server_stream.c
 * (bytes). Not for others. */
#ifndef RINGKEEP_APPLIANCE_SERVER_CONN_H
#define RINGKEEP_APPLIANCE_SERVER_CONN_H

#include "appliance/server.h"

#define SERVER_CHUNK 65536u
#define SERVER_SWEEP_MS 500u

struct server {
    struct server_options o;
    struct tls_context *tls; /* owned; NULL: plain */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } listener;
    bool listening, local, closing;
    char path[108]; /* of the local socket */
    uv_prepare_t flush;
    uv_timer_t sweep;
    unsigned handles; /* of the three above, not yet closed */
    struct server_conn *first;
    struct server_conn *dirty;
    unsigned count;
    uint8_t chunk[SERVER_CHUNK];
};

struct server_conn {
    struct server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    struct server_conn *next, *previous, *dirty_next;
    struct tls_conn *tls; /* NULL: plain */
    struct buf in, out;   /* clear bytes; out waits for the end of the turn */
    struct buf sending;   /* on its way to the kernel */
    uv_write_t write;
    size_t frame_limit;
    uint64_t since_ms;
    unsigned held;
    bool ready, known, ending, shut, closing, closed, writing, is_dirty;
    void *user;
};

void server_stream_start(struct server_conn *c);
void server_stream_dirty(struct server_conn *c);
void server_stream_flush(struct server_conn *c);
/* Handshake over: tells the owner. */
void server_became_ready(struct server_conn *c);

#endif
