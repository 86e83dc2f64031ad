/* SPDX-License-Identifier: Apache-2.0 */
/* raft_uv's transport over replica_transport: descriptors become uv_pipe handles,
 * which raft_uv closes and frees with raft's heap. Loop thread. */
#ifndef RINGKEEP_RAFT_GLUE_TRANSPORT_H
#define RINGKEEP_RAFT_GLUE_TRANSPORT_H

#include <raft.h>
#include <raft/uv.h>

#include "raft-glue/replica.h"

struct transport {
    struct raft_uv_transport raft; /* for raft_uv_init */
    struct uv_loop_s *loop;
    const struct replica_transport *streams;
    raft_uv_accept_cb accept;
};

void transport_init(struct transport *t,
                    struct uv_loop_s *loop,
                    const struct replica_transport *streams);

#endif
