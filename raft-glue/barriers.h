/* SPDX-License-Identifier: Apache-2.0 */
/* Linearizable read points: one raft barrier for all that asked in one loop turn.
 * libraft's callback only notes the result; the readers are called by
 * barriers_deliver, outside libraft. Loop thread. */
#ifndef RINGKEEP_RAFT_GLUE_BARRIERS_H
#define RINGKEEP_RAFT_GLUE_BARRIERS_H

#include <raft.h>

#include "raft-glue/waiters.h"

struct barriers_shared;

struct barriers {
    struct waiters asking;
    struct barriers_shared *done, **done_end;
    unsigned in_flight; /* readers behind a barrier in the log */
};

void barriers_init(struct barriers *b);
/* ERR_BUSY past LIMIT_INDEX_WAITERS. */
enum err barriers_ask(struct barriers *b, replica_index_cb cb, void *arg) MUST_USE;
/* ERR_IO: libraft failed in a way that is fatal. */
enum err barriers_submit(struct barriers *b, struct raft *raft) MUST_USE;
void barriers_deliver(struct barriers *b);

#endif
