/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection over TCP: whole frames, or raw bytes once it has become a
 * stream. Buffers are bounded both ways, every wait has a deadline. Loop thread.
 *
 * Callbacks come from the loop only, never from inside a call of this header
 * but link_resume (on_data). on_closed is the last one, exactly once for every
 * link that was given out; the link is freed after it. */
#ifndef RINGKEEP_CLUSTER_LINK_H
#define RINGKEEP_CLUSTER_LINK_H

#include <uv.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/tls.h"
#include "proto/frame.h"

#define LINK_WHY 160u

struct link;
struct link_handlers {
    void (*on_ready)(void *arg, struct link *l); /* TLS is up, nothing was read */
    void (*on_frame)(void *arg, struct link *l, const struct frame *f);
    void (*on_data)(void *arg, struct link *l, struct bytes data); /* raw only */
    void (*on_drain)(void *arg, struct link *l);                   /* raw only: all was sent */
    void (*on_closed)(void *arg, struct link *l, enum err e, const char *why);
};

struct link_options {
    uv_loop_t *loop;
    struct tls_context *tls; /* borrowed for the call */
    const struct link_handlers *handlers;
    void *arg;
    size_t frame_limit; /* of frames that come in; see link_set_limit */
    size_t send_limit;  /* bytes waiting to leave */
};

/* From a listener's connection callback. */
enum err link_accept(const struct link_options *o,
                     uv_stream_t *listener,
                     struct link **out) MUST_USE;
/* host:port, numeric. Connection and handshake within LIMIT_CONNECT_MS. */
enum err link_connect(const struct link_options *o,
                      const char *address,
                      struct link **out) MUST_USE;
/* "a.b.c.d:port" or "[v6]:port". ERR_CONFIG. */
enum err link_parse_address(const char *address, struct sockaddr_storage *out) MUST_USE;

/* Another owner from now on. */
void link_hand_over(struct link *l, const struct link_handlers *handlers, void *arg);
void link_set_limit(struct link *l, size_t frame_limit);
/* Closes with ERR_TIMEOUT after ms; 0: no deadline. */
void link_set_deadline(struct link *l, unsigned ms);
/* Bytes from now on; what follows the present frame is given to on_data. */
void link_set_raw(struct link *l);

/* ERR_BUSY when send_limit is reached (nothing was taken), ERR_UNREACHABLE when
 * the link is closing. */
enum err link_send(struct link *l, unsigned type, uint64_t request, const void *message) MUST_USE;
enum err link_write(struct link *l, struct bytes data) MUST_USE;
size_t link_queued(const struct link *l);
/* Stops and goes on reading from the network. */
void link_pause(struct link *l);
void link_resume(struct link *l);

/* Closes after what is queued has left (or a second). */
void link_end(struct link *l, enum err e, const char *why);
void link_close(struct link *l, enum err e, const char *why); /* at once; NULL is fine */
bool link_is_open(const struct link *l);
enum err link_peer_hash(struct link *l, uint8_t out[X509_SPKI_HASH]) MUST_USE;
const char *link_address(const struct link *l); /* of the other side, for logs */

#endif
