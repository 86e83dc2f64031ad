/* SPDX-License-Identifier: Apache-2.0 */
/* One call of the library: once through all members, and again while the
 * deadline lasts for errors that may pass. The attempt makes the exchanges; it
 * may run many times, so what must stay the same (request id, base index, object
 * id) is chosen before. */
#ifndef RINGKEEP_CLIENT_CALL_H
#define RINGKEEP_CLIENT_CALL_H

#include "client/client_state.h"

struct client_call {
    struct ringkeep_client *client;
    uint64_t deadline_ms;
    uint64_t request_ms;      /* longest wait for one reply */
    unsigned member;          /* of the present attempt */
    struct client_conn *conn; /* its connection */
    bool write;               /* changes state: a lost reply leaves it in doubt */
    bool in_doubt;
    bool history_cut;         /* went on once after another incarnation */
};

typedef enum err (*client_attempt_cb)(struct client_call *call, void *arg);

/* request_ms 0: up to the deadline of the call. */
enum err client_call_run(struct ringkeep_client *c,
                         uint64_t request_ms,
                         bool write,
                         client_attempt_cb attempt,
                         void *arg) MUST_USE;
/* One request on the attempt's connection. Notes index, incarnation and map
 * epoch. The result is the reply's error; *out is set where a reply came. */
enum err client_call_exchange(struct client_call *call,
                              unsigned type,
                              const void *message,
                              struct message_arena **arena,
                              struct Ringkeep__Reply **out) MUST_USE;
/* A connection to another member than the call's, for one more exchange; give it
 * back with client_pool_give and client_pool_release. ERR_NOTFOUND: no other. */
enum err client_call_other(struct client_call *call, uint64_t *tried, struct client_call *out) MUST_USE;
/* The highest index seen. */
uint64_t client_call_index(struct ringkeep_client *c);

#endif
