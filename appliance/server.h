/* SPDX-License-Identifier: Apache-2.0 */
/* A server of framed messages on a stream: the client door (TCP with TLS) and the
 * admin door (a local socket). Length before content, bound before allocation: a
 * connection that is not yet known may send LIMIT_FRAME_UNAUTHENTICATED at a time
 * and has LIMIT_HANDSHAKE_MS to become known. What is answered within one turn of
 * the loop leaves in one write. Loop thread.
 *
 * A connection lives until it is closed *and* nobody holds it: each request under
 * way holds its connection; what it answers afterwards is dropped. */
#ifndef RINGKEEP_APPLIANCE_SERVER_H
#define RINGKEEP_APPLIANCE_SERVER_H

#include <uv.h>

#include "base/clock.h"
#include "base/tls.h"
#include "proto/frame.h"

struct server;
struct server_conn;

struct server_handlers {
    /* Handshake done (TLS) or peer credentials right (local). Call server_know
     * here or later. An error closes the connection. */
    enum err (*on_ready)(void *arg, struct server_conn *c);
    void (*on_frame)(void *arg, struct server_conn *c, const struct frame *frame);
    void (*on_close)(void *arg, struct server_conn *c); /* only after on_ready */
    void (*on_free)(void *arg, struct server_conn *c);  /* the last holder is gone */
    void (*on_end)(void *arg);                          /* after server_close: nothing calls back */
    void *arg;
};
struct server_options {
    uv_loop_t *loop;
    const struct clock *clock;
    const char *name; /* for logs */
    unsigned connections;
    size_t frame_limit; /* of a known connection */
    struct server_handlers handlers;
};

enum err server_open(const struct server_options *options, struct server **out) MUST_USE;
/* New connections use this context from now on. Taken over; NULL: no TLS. */
void server_set_tls(struct server *s, struct tls_context *context);
/* ERR_IO: the address cannot be had, e.g. another program has the port; may be tried
 * again once the loop has run (until then, and where it listens, ERR_BUSY). */
enum err server_listen_tcp(struct server *s, const char *address) MUST_USE;
/* Mode 0600; an old socket of that name is removed. Only root and our own uid are
 * served. */
enum err server_listen_local(struct server *s, const char *path) MUST_USE;
/* Serves a connected descriptor (tests). Taken over, also on failure. */
enum err server_adopt(struct server *s, int fd) MUST_USE;
/* Stops listening, drops all connections and frees itself when the loop has run
 * their close callbacks and nobody holds one. NULL is fine. */
void server_close(struct server *s);
unsigned server_connections(const struct server *s);

void server_know(struct server_conn *c); /* larger frames, no deadline */
/* Appends a framed message; the connection ends when LIMIT_SEND_QUEUE is passed.
 * ERR_TOO_LARGE: the message passes the frame limit (nothing appended). */
enum err server_send(struct server_conn *c, unsigned type, uint64_t request, const void *message) MUST_USE;
void server_end(struct server_conn *c);  /* after what is queued */
void server_drop(struct server_conn *c); /* at once */
void server_hold(struct server_conn *c);
void server_release(struct server_conn *c);
unsigned server_held(const struct server_conn *c);
bool server_live(const struct server_conn *c); /* answers still reach the other side */
enum err server_peer_spki(struct server_conn *c, uint8_t out[X509_SPKI_HASH]) MUST_USE;
void server_set_user(struct server_conn *c, void *user);
void *server_user(const struct server_conn *c);

#endif
