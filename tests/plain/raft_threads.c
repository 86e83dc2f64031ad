/* SPDX-License-Identifier: Apache-2.0 */
/* The applier on a thread of its own, for TSan (MODE=tsan): proposals, readers and
 * a stop while it works. */
#include <assert.h>
#include <stdio.h>

#include "tests/lib/raft_net.h"
#include "tests/lib/raft_sample.h"

enum { COUNT = 400 };

static struct raft_net_answer answers[COUNT], reads[COUNT];

static void propose_and_read(struct raft_net *n, unsigned leader)
{
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_propose(n, leader, k, 200, &answers[k]);
        raft_net_run(n, 1);
        const unsigned at = k % n->count;
        const uint64_t index = raft_net_status(n, leader).last_index;
        const enum err e =
            replica_wait_visible(n->nodes[at].replica, index, 10000, raft_net_index, &reads[k]);
        assert(e == ERR_OK);
    }
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_wait(n, &answers[k]);
        raft_net_wait(n, &reads[k]);
        assert(answers[k].outcome.error == ERR_OK && reads[k].error == ERR_OK);
    }
}

int main(void)
{
    struct raft_net n;
    raft_net_open(&n, 3, true);
    propose_and_read(&n, raft_net_leader(&n));
    raft_net_settle(&n);
    printf("ok proposals and readers beside the applier's thread\n");
    raft_net_stop(&n, raft_net_leader(&n));
    (void)raft_net_leader(&n);
    for (unsigned i = 0; i < n.count; i++) {
        if (!n.nodes[i].up) {
            raft_net_start(&n, i, false);
        }
    }
    raft_net_settle(&n);
    for (unsigned i = 0; i < n.count; i++) {
        assert(raft_sample_objects(n.nodes[i].store) == COUNT);
    }
    printf("ok a leader stops and comes back\n");
    raft_net_close(&n);
    return 0;
}
