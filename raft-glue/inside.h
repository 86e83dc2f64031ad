/* SPDX-License-Identifier: Apache-2.0 */
/* A replica from inside: its parts, wired in replica.c, fed by fsm.c. Never freed
 * once started, since libraft, its loop handles and the executor point into it. */
#ifndef RINGKEEP_RAFT_GLUE_INSIDE_H
#define RINGKEEP_RAFT_GLUE_INSIDE_H

#include <raft.h>
#include <uv.h>

#include "raft-glue/applier.h"
#include "raft-glue/barriers.h"
#include "raft-glue/change.h"
#include "raft-glue/fences.h"
#include "raft-glue/proposals.h"
#include "raft-glue/replica.h"
#include "raft-glue/transport.h"
#include "raft-glue/waiters.h"

struct replica {
    struct replica_options options;
    char address[LIMIT_ADDRESS];
    struct transport transport;
    struct fences fences; /* holds the raft_io */
    struct raft_fsm fsm;
    struct raft raft;
    struct applier *applier; /* from replica_start on */
    struct proposals proposals;
    struct barriers barriers;
    struct waiters readers; /* of replica_wait_visible */
    struct change change;
    uv_timer_t turn;  /* zero: what gathered in this turn of the loop */
    uv_timer_t alarm; /* the readers' next deadline */
    uint64_t last_stamp;
    uint64_t role_term;
    enum replica_role role;
    bool ready;
    bool started, stopped;
};

_Noreturn void replica_die(struct replica *r, const char *reason);
/* The raft_fsm of a replica; the applier must be open before the first apply. */
void fsm_init(struct replica *r);

#endif
