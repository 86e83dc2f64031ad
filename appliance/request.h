/* SPDX-License-Identifier: Apache-2.0 */
/* One request of the client door while it is under way, and the few things that
 * handlers do with it. A request is answered exactly once, by request_reply or
 * request_fail, which end it.
 *
 * request_core, _propose, _barrier, _visible and _later are tail calls: each
 * calls its callback exactly once (possibly at once, with an error), and the
 * handler touches nothing after it. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_REQUEST_H
#define RINGKEEP_APPLIANCE_REQUEST_H

#include "appliance/appliance.h"
#include "appliance/client_door.h"
#include "keyring/command.h"
#include "proto/frame.h"

struct request;
struct op_row;

typedef void (*request_core_cb)(struct request *r, enum err e, const struct core_reply *reply);
/* e is the outcome's error where there is an outcome; NULL: unknown or none. */
typedef void (*request_outcome_cb)(struct request *r, enum err e, const struct outcome *outcome);
typedef void (*request_index_cb)(struct request *r, enum err e, uint64_t index);
typedef void (*request_cb)(struct request *r);

struct request {
    struct appliance *a;
    struct client *client;          /* lives as long as the request */
    const struct op_row *row;
    uint64_t number;                /* of the frame */
    unsigned type;
    uint64_t deadline_ms;           /* monotonic */
    struct message_arena *arena;
    const void *message;            /* unpacked, of the row's type */
    struct session session;         /* copy; id 0: the request names none */
    const struct store_view *view;  /* only while the handler runs first */
    uint64_t index;                 /* of the view the answer's data came from */
    void *state;                    /* the handler's, ends with state_drop */
    void (*state_drop)(void *state);
    request_core_cb core_cb;
    request_outcome_cb outcome_cb;
    request_index_cb index_cb;
    request_cb later_cb;
};

unsigned request_remaining_ms(const struct request *r); /* at least 1 */
bool request_expired(const struct request *r);

/* `reply` is an unpacked Ringkeep__Reply *; error, index, incarnation and map_epoch
 * are filled in here. */
void request_reply(struct request *r, void *reply);
void request_fail(struct request *r, enum err e);

void request_core(struct request *r, const struct core_request *q, request_core_cb cb);
/* Builds the command (verb message, its field in Command's oneof) and proposes it.
 * origin may be NULL; its incarnation is filled in here. */
void request_propose(struct request *r,
                     const struct command_origin *origin,
                     unsigned field,
                     const void *verb_message,
                     request_outcome_cb cb);
void request_barrier(struct request *r, request_index_cb cb);
/* ERR_LAGGING instead of a time-out. */
void request_visible(struct request *r, uint64_t index, request_index_cb cb);
void request_later(struct request *r, unsigned delay_ms, request_cb cb);

/* Zeroed state for the handler; NULL: the request has been failed. */
void *request_state(struct request *r, size_t size, void (*drop)(void *state));

#endif
