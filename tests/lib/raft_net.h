/* SPDX-License-Identifier: Apache-2.0 */
/* Several members' replicas in one process: real raft_uv and LMDB in a temporary
 * folder, streams over socketpairs that can be cut.
 *
 * Each member has a loop of its own and all are stepped in turn by one thread, so
 * that a killed member is simply never stepped again: libraft cannot be closed
 * safely, and its timers would go on in a shared loop. The applier runs jobs at
 * its member's turn, or, with `threads`, on an executor's thread. */
#ifndef RINGKEEP_TESTS_RAFT_NET_H
#define RINGKEEP_TESTS_RAFT_NET_H

#include <uv.h>

#include "base/executor_thread.h"
#include "raft-glue/replica.h"

enum { RAFT_NET_NODES = 5, RAFT_NET_STREAMS = 256 };

struct raft_net;
struct raft_net_job;

struct raft_net_node {
    struct raft_net *net;
    unsigned number; /* raft id is number + 1 + 100 * life of the id */
    uint64_t raft_id;
    char dir[128], address[LIMIT_ADDRESS];
    bool up;
    uv_loop_t *loop;
    struct store *store;
    struct replica *replica;
    struct executor executor;
    struct executor_thread *thread;
    struct raft_net_job *jobs, **jobs_end;
    bool hold; /* run no jobs of the applier: it falls behind */
    replica_accepted_cb accept;
    void *accept_arg;
    struct replica_transport transport;
    unsigned roles;   /* calls of on_role */
    uint64_t visible; /* last on_applied */
};

struct raft_net {
    char dir[64];
    unsigned count;
    bool threads;
    enum err bootstrap; /* what the next bootstrap must answer */
    struct raft_net_node nodes[RAFT_NET_NODES];
    bool cut[RAFT_NET_NODES][RAFT_NET_NODES];
    struct raft_net_stream {
        int fd; /* our copy of one end; -1 unused */
        unsigned from, to;
    } streams[RAFT_NET_STREAMS];
    struct raft_net_dial *dials;
    struct clock clock;
    uint64_t wall_s; /* what all members take for the time of day */
};

/* How a call came back. */
struct raft_net_answer {
    unsigned calls;
    enum err error;
    uint64_t index;
    struct outcome outcome;
};

typedef bool (*raft_net_check_cb)(struct raft_net *n, void *arg);

/* `count` members; the first is bootstrapped, the others join as voters; a cluster
 * and a keyring exist. */
void raft_net_open(struct raft_net *n, unsigned count, bool threads);
/* Members without a cluster yet. */
void raft_net_prepare(struct raft_net *n, unsigned count, bool threads);
void raft_net_start(struct raft_net *n, unsigned i, bool bootstrap);
/* As by a power switch: nothing is committed, nothing is sent. */
void raft_net_kill(struct raft_net *n, unsigned i);
/* Orderly: what is applied is committed. */
void raft_net_stop(struct raft_net *n, unsigned i);
void raft_net_cut(struct raft_net *n, unsigned a, unsigned b, bool cut);
void raft_net_isolate(struct raft_net *n, unsigned i, bool cut);
/* Kills all, removes the folder. */
void raft_net_close(struct raft_net *n);

/* Steps all until check holds; false after ms. */
bool raft_net_until(struct raft_net *n, unsigned ms, raft_net_check_cb check, void *arg);
void raft_net_run(struct raft_net *n, unsigned ms);
/* The ready leader of the highest term; waits for one. Asserts. */
unsigned raft_net_leader(struct raft_net *n);
/* Waits until all that are up have the same visible index and role, then compares
 * digests. Asserts. */
void raft_net_settle(struct raft_net *n);
struct replica_status raft_net_status(struct raft_net *n, unsigned i);

/* Begins a proposal of `object` with filler; asserts that it is taken. */
void raft_net_propose(
    struct raft_net *n, unsigned i, uint32_t object, size_t filler, struct raft_net_answer *a);
/* Proposes wherever the leader is, with the same request, until it has an outcome. */
void raft_net_create(struct raft_net *n, uint32_t object, size_t filler, struct raft_net_answer *a);
void raft_net_wait(struct raft_net *n, struct raft_net_answer *a);
/* Callbacks that fill a raft_net_answer. */
void raft_net_outcome(void *arg, enum err error, const struct outcome *outcome);
void raft_net_index(void *arg, enum err error, uint64_t index);

#endif
