/* SPDX-License-Identifier: Apache-2.0 */
/* The replicated log, as the rest of the daemon sees it. No libraft type here.
 *
 * One replica is one member's raft: everything runs on the loop thread, except
 * the applier (its own executor), which owns the store's writing transaction.
 * Acknowledged = on the raft log of a majority and applied in this leader's open
 * transaction. A local failure (disk, map full, libraft I/O) ends the process
 * through replica_options.fatal.
 *
 * Payload of a log entry: u64 index, u32 size, u32 zero, packed Command, zero to a
 * multiple of 8 (libraft loses logs with other lengths; the index catches
 * re-numbered tails: docs/decisions/0005-raft-fences.md). */
#ifndef RINGKEEP_RAFT_GLUE_REPLICA_H
#define RINGKEEP_RAFT_GLUE_REPLICA_H

#include "base/clock.h"
#include "base/executor.h"
#include "base/limits.h"
#include "base/random.h"
#include "keyring/apply.h"

struct replica;

enum replica_role { REPLICA_UNAVAILABLE, REPLICA_FOLLOWER, REPLICA_CANDIDATE, REPLICA_LEADER };
enum replica_vote { REPLICA_VOTER, REPLICA_STANDBY, REPLICA_SPARE };

struct replica_server {
    uint64_t raft_id;
    char address[LIMIT_ADDRESS];
    enum replica_vote vote;
    uint64_t match_index; /* on the leader */
};

/* Streams between members. A stream carries bytes one way, connector to acceptor;
 * cluster/peer.c provides it over mutual TLS. `fd` is one end of a socketpair. The
 * callback comes later, not from inside connect. The process ignores SIGPIPE. */
typedef void (*replica_connected_cb)(void *arg, enum err e, int fd);
typedef void (*replica_accepted_cb)(void *arg, uint64_t raft_id, const char *address, int fd);
struct replica_transport {
    enum err (*listen)(void *impl, replica_accepted_cb cb, void *arg);
    enum err (*connect)(
        void *impl, uint64_t raft_id, const char *address, replica_connected_cb cb, void *arg);
    void *impl;
};

struct uv_loop_s;
struct replica_options {
    struct uv_loop_s *loop;
    const char *raft_dir;           /* exists */
    struct store *store;            /* borrowed */
    const struct executor *applier; /* the applier's thread */
    const struct clock *clock;
    const struct replica_transport *transport;
    uint64_t raft_id;
    const char *address; /* own, as others connect */
    unsigned election_ms, heartbeat_ms;
    /* Never returns. On the loop thread or the applier's. */
    void (*fatal)(void *arg, const char *reason);
    void *fatal_arg;
    /* Events, on the loop thread; may be NULL. on_role comes again with REPLICA_LEADER
     * once the leader may propose (leader_ready). */
    void (*on_role)(void *arg, enum replica_role role);
    void (*on_applied)(void *arg, uint64_t index); /* visible index moved */
    void *event_arg;
};

enum err replica_open(const struct replica_options *options, struct replica **out) MUST_USE;
/* First member of a new cluster: log begins with itself as the only voter. Only on
 * an empty raft directory: ERR_EXISTS. */
enum err replica_bootstrap(struct replica *r) MUST_USE;
/* ERR_CORRUPT, ERR_IO with a sentence in text. */
enum err replica_start(struct replica *r, char *text, size_t text_size) MUST_USE;
/* Commits the open transaction. The log is crash-safe; libraft is not closed
 * (engine.md B16): the process exits next. */
void replica_stop(struct replica *r);

/* Leader only (ERR_NOT_LEADER). Copies the command and stamps it. Proposals of one
 * loop turn form one raft entry batch. cb once: ERR_OK with the outcome (whose own
 * error may be a refusal), or ERR_UNKNOWN_OUTCOME / ERR_NOT_LEADER. */
typedef void (*replica_outcome_cb)(void *arg, enum err error, const struct outcome *outcome);
enum err replica_propose(struct replica *r,
                         struct bytes command,
                         replica_outcome_cb cb,
                         void *arg) MUST_USE;

/* Leader only: index that was committed after this call began, shared by all that
 * ask in one turn. */
typedef void (*replica_index_cb)(void *arg, enum err error, uint64_t index);
enum err replica_barrier(struct replica *r, replica_index_cb cb, void *arg) MUST_USE;
/* Calls back when everything up to index is in the committed store (at once where
 * it is); asks the applier to commit now. ERR_TIMEOUT after timeout_ms, ERR_BUSY at
 * once when LIMIT_INDEX_WAITERS wait. */
enum err replica_wait_visible(struct replica *r,
                              uint64_t index,
                              unsigned timeout_ms,
                              replica_index_cb cb,
                              void *arg) MUST_USE;

/* Membership, leader only, one at a time: ERR_BUSY. A new server is added as spare,
 * made standby, and voter when asked. */
enum err replica_add(struct replica *r,
                     uint64_t raft_id,
                     const char *address,
                     replica_index_cb cb,
                     void *arg) MUST_USE;
enum err replica_assign(struct replica *r,
                        uint64_t raft_id,
                        enum replica_vote vote,
                        replica_index_cb cb,
                        void *arg) MUST_USE;
enum err replica_remove(struct replica *r,
                        uint64_t raft_id,
                        replica_index_cb cb,
                        void *arg) MUST_USE;

struct replica_status {
    enum replica_role role;
    bool leader_ready; /* own barrier committed: may propose */
    uint64_t term, last_index, commit_index, applied_index, visible_index;
    uint64_t leader_id;  /* raft id, 0 unknown */
    uint64_t contact_ms; /* since the last message of the present leader; leader: 0 */
    unsigned proposals, servers;
    uint64_t last_term; /* term of last_index */
};
void replica_status(const struct replica *r, struct replica_status *out);
unsigned replica_servers(const struct replica *r, struct replica_server *out, unsigned capacity);

#endif
