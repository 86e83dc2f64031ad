/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to one member: a socket, TLS over it, frames in it. One request
 * at a time, by one thread at a time; the pool hands it out. Every wait ends at a
 * deadline in milliseconds of the monotonic clock. Never raises SIGPIPE. */
#ifndef RINGKEEP_CLIENT_CONN_H
#define RINGKEEP_CLIENT_CONN_H

#include "base/bytes.h"
#include "base/tls.h"
#include "proto/frame.h"

struct Ringkeep__Reply;

/* A session that the member holds for this connection. */
struct client_session {
    uint8_t keyring_id[ID_SIZE];
    uint64_t number;
    uint64_t serial; /* of the login it was opened with; 0 public */
};

struct client_conn {
    int fd;
    struct tls_conn *tls;
    struct buf in;         /* plaintext that is not yet a frame */
    uint64_t request;      /* number of the last one */
    bool broken;           /* close it, do not use it again */
    bool reused;           /* has answered before */
    bool sent;             /* the last exchange reached the network */
    struct client_session *sessions;
    size_t session_count, session_capacity;
    struct client_conn *next_idle; /* the pool's */
    struct client_conn *next_all;  /* the client's */
};

uint64_t client_now_ms(void);

/* Connects and shakes hands. ERR_UNREACHABLE, ERR_TIMEOUT, ERR_TLS; *reason is
 * set on failure where there is more to say (thread-local). */
enum err client_conn_open(struct tls_context *tls,
                          const char *address,
                          uint64_t deadline_ms,
                          struct client_conn **out) MUST_USE;
/* Sends a message and waits for its reply. ERR_OK: a well-formed reply of the
 * right number, whatever its error field says. On failure but ERR_TOO_LARGE and
 * ERR_NOMEM the connection is broken. */
enum err client_conn_exchange(struct client_conn *c,
                              unsigned type,
                              const void *message,
                              uint64_t deadline_ms,
                              struct message_arena **arena,
                              struct Ringkeep__Reply **out) MUST_USE;
/* True where an idle connection has ended or said something unasked. */
bool client_conn_stale(struct client_conn *c);
/* Polite: says goodbye if that needs no waiting. NULL is fine. */
void client_conn_close(struct client_conn *c, bool polite);
/* After fork: closes the socket without a byte. idle: nobody was inside it, so
 * that its memory can be freed; else it is left. */
void client_conn_abandon(struct client_conn *c, bool idle);

struct client_session *client_conn_session(struct client_conn *c, const uint8_t keyring_id[ID_SIZE]);
/* Adds or replaces. */
enum err client_conn_keep_session(struct client_conn *c, const struct client_session *s) MUST_USE;
void client_conn_forget_session(struct client_conn *c, const uint8_t keyring_id[ID_SIZE]);

#endif
