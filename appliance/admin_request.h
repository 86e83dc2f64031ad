/* SPDX-License-Identifier: Apache-2.0 */
/* One administrative request under way, and what handlers do with it. It ends once,
 * by admin_done or admin_fail; a core handle that it logged in for is closed then.
 *
 * The asking functions are tail calls. Their callbacks run on success only: a
 * failure ends the request with its error and a sentence that says what to do.
 * Loop thread. */
#ifndef RINGKEEP_APPLIANCE_ADMIN_REQUEST_H
#define RINGKEEP_APPLIANCE_ADMIN_REQUEST_H

#include "appliance/admin_door.h"
#include "proto/frame.h"

typedef void (*admin_core_cb)(struct admin_request *r, const struct core_reply *core);
typedef void (*admin_outcome_cb)(struct admin_request *r, const struct outcome *outcome);
typedef void (*admin_cb)(struct admin_request *r);

#define ADMIN_ROWS 512u /* in one reply; the rest with the argument `after` */

struct admin_request {
    struct appliance *a;
    struct server_conn *conn;
    const struct admin_row *row;
    uint64_t number; /* of the frame */
    uint64_t deadline_ms;
    struct message_arena *arena;
    const void *message; /* Ringkeep__AdminRequest */
    void *reply;         /* Ringkeep__AdminReply, owned */
    void *into;          /* the Ringkeep__AdminRow that fields go to; NULL: the reply */
    uint64_t handle;     /* core handle of the login; 0: none */
    bool failed_memory;  /* a field did not fit into memory: the end fails */
    void *state;
    void (*state_drop)(void *state);
    const char *doing; /* for the failure's sentence */
    admin_core_cb core_cb;
    admin_outcome_cb outcome_cb;
    admin_cb next;
};

/* The frame's payload, not yet looked at. Holds the connection. */
void admin_request_begin(struct appliance *a, struct server_conn *conn, const struct frame *frame);
void admin_done(struct admin_request *r);
/* text: what to do; NULL: appliance_advice. */
void admin_fail(struct admin_request *r, enum err e, const char *text);
void *admin_state(struct admin_request *r, size_t size, void (*drop)(void *state));
unsigned admin_remaining_ms(const struct admin_request *r);

/* Fields of the reply, or of the row begun last. Copied. */
void admin_text(struct admin_request *r, const char *name, const char *text);
void admin_number(struct admin_request *r, const char *name, uint64_t number);
void admin_data(struct admin_request *r, const char *name, struct bytes data);
void admin_hex(struct admin_request *r, const char *name, struct bytes data); /* as text */
void admin_row_begin(struct admin_request *r);
void admin_row_end(struct admin_request *r); /* fields go to the reply again */
size_t admin_row_count(const struct admin_request *r);

/* Arguments by name. NULL: absent. data: also given as text. */
const char *admin_argument(const struct admin_request *r, const char *name);
bool admin_argument_data(const struct admin_request *r, const char *name, struct bytes *out);
/* ERR_USAGE: no envelope for this purpose, or of the wrong size. */
enum err admin_envelope(const struct admin_request *r,
                        const char *purpose,
                        struct bytes *challenge,
                        struct bytes *envelope) MUST_USE;

/* LOGIN_CORE with the envelope of this purpose; then next, with r->handle set. */
void admin_login(struct admin_request *r, const char *purpose, unsigned role, admin_cb next);
void admin_core(struct admin_request *r, const struct core_request *q, const char *doing, admin_core_cb cb);
void admin_propose(struct admin_request *r,
                   unsigned field,
                   const void *verb_message,
                   const char *doing,
                   admin_outcome_cb cb);
/* What gives power stands behind a quorum: a barrier, seen here. */
void admin_quorum(struct admin_request *r, admin_cb next);
/* Waits until this member's store shows the index. */
void admin_visible(struct admin_request *r, uint64_t index, admin_cb next);
/* Asks the core for its status anew. */
void admin_refresh(struct admin_request *r, admin_cb next);

#endif
