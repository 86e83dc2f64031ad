/* SPDX-License-Identifier: Apache-2.0 */
/* libraft's state machine: hands copies to the applier. Loop thread, inside
 * libraft, so it calls nobody back.
 *
 * apply never returns non-zero: libraft would stop the whole cluster over it. The
 * index is last_applied + 1 (libraft gives none) and is checked against the one in
 * the payload. No snapshot is taken until state can be moved between members:
 * LIMIT_RAFT_LOG_ENTRIES bounds the log instead. */
#include <stdio.h>

#include "raft-glue/inside.h"
#include "raft-glue/payload.h"

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct replica *r = fsm->data;
    const uint64_t index = raft_last_applied(&r->raft) + 1;
    struct bytes command;
    *result = NULL;
    if (payload_read(bytes_of(buf->base, buf->len), index, &command) != ERR_OK) {
        char reason[96];
        (void)snprintf(reason, sizeof(reason), "raft: entry %llu carries another index",
                       (unsigned long long)index);
        replica_die(r, reason);
    }
    const struct raft_entry *e = fences_entry(&r->raft, index);
    const bool mine = e != NULL && proposals_hand(&r->proposals, index, e->term);
    if (applier_add(r->applier, index, command, mine) != ERR_OK) {
        replica_die(r, "raft: no memory for the applier's queue");
    }
    return 0;
}

static int snapshot(struct raft_fsm *fsm, struct raft_buffer **bufs, unsigned *count)
{
    (void)fsm;
    (void)bufs;
    (void)count;
    return RAFT_BUSY;
}

static int restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)buf;
    replica_die(fsm->data, "raft: a snapshot cannot be restored by this version");
}

void fsm_init(struct replica *r)
{
    r->fsm = (struct raft_fsm){
        .version = 1, .data = r, .apply = apply, .snapshot = snapshot, .restore = restore
    };
}
