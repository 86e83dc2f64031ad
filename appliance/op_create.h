/* SPDX-License-Identifier: Apache-2.0 */
/* What ends every request that makes or changes stored objects: propose, wait until
 * this member sees the outcome, answer with the objects as they are stored. Loop
 * thread. */
#ifndef RINGKEEP_APPLIANCE_OP_CREATE_H
#define RINGKEEP_APPLIANCE_OP_CREATE_H

#include "appliance/ops.h"

struct create_object {
    uint8_t object_id[ID_SIZE];
    struct buf blob;       /* made by the core for this request; empty: none */
    struct buf attributes;
    uint64_t handle, generation;
    bool is_private;
};
struct create_op { /* the request's state */
    unsigned count;
    struct create_object object[LIMIT_OBJECTS_PER_COMMAND];
    unsigned section; /* of the core's reply: first attributes */
    struct command_origin origin;
    unsigned next; /* object whose attributes are asked for */
};
void op_create_drop(void *state);

/* Origin of a write: the client, its request id and the hash of what it asked for.
 * pieces: the stable parts, the same in every retry at every member. write is a
 * Ringkeep__Write *. */
enum err op_create_origin(struct request *r,
                          const void *write,
                          const struct bytes *pieces,
                          unsigned count,
                          struct command_origin *out) MUST_USE;
/* A request that this member's store remembers is answered from there: true. */
bool op_create_remembered(struct request *r);
/* Takes blobs and attributes out of a core reply: count blobs, then attributes. */
enum err op_create_take(struct create_op *op, const struct core_reply *core) MUST_USE;
/* ObjectsCreate of op->object[]. */
void op_create_propose(struct request *r);
/* Outcome of a proposal of these objects. */
void op_create_outcome(struct request *r, enum err e, const struct outcome *outcome);
/* Session objects: nothing is stored, the blobs go to the client. */
void op_create_carried(struct request *r);

#endif
