/* SPDX-License-Identifier: Apache-2.0 */
/* Requests under a session: opens it on the connection when first needed, with
 * the keyring's ticket where there is one, and renews the ticket at half life. */
#ifndef RINGKEEP_CLIENT_SESSION_H
#define RINGKEEP_CLIENT_SESSION_H

#include <protobuf-c/protobuf-c.h>

#include "client/client_call.h"

/* One request. The pointers name the fields of `message` that an attempt fills. */
struct client_request {
    const uint8_t *keyring_id;
    unsigned type;
    const void *message;
    uint64_t *session;
    protobuf_c_boolean *has_min_index; /* NULL: the message has none */
    uint64_t *min_index;
    uint64_t *base_index; /* of a write, else NULL; kept over retries */
    bool rebased;         /* chosen anew after the history was cut */
    /* Before the exchange, on the same connection, each time; may be NULL. */
    enum err (*prepare)(struct client_call *call, void *arg);
    void *prepare_arg;
    uint64_t serial;                   /* of the login that was used */
    bool fresh;                        /* its session was opened for this attempt */
    struct message_arena *arena;       /* of the reply */
    struct Ringkeep__Reply *reply;
};

/* client_call_run with this request. The caller drops the arena. */
enum err client_session_run(struct ringkeep_client *c,
                            struct client_request *r,
                            uint64_t request_ms,
                            bool write) MUST_USE;
/* The same inside an attempt. */
enum err client_session_exchange(struct client_call *call, struct client_request *r) MUST_USE;
/* Of the present login, 0 for none. */
uint64_t client_session_serial(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE]);
/* Forgets the ticket if it still is that of this serial. */
void client_session_void(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE], uint64_t serial);

#endif
