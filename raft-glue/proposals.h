/* SPDX-License-Identifier: Apache-2.0 */
/* Proposals from replica_propose until their outcome: a ring in the order of the
 * log. First those handed to the applier, then those in the log, then those that
 * wait to be appended. An entry is recognised by (index, term), which names one
 * entry in the whole history of a cluster. Loop thread. */
#ifndef RINGKEEP_RAFT_GLUE_PROPOSALS_H
#define RINGKEEP_RAFT_GLUE_PROPOSALS_H

#include <raft.h>

#include "raft-glue/replica.h"

struct proposal {
    uint64_t index, term;
    replica_outcome_cb cb;
    void *arg;
    uint8_t *payload; /* raft's heap, until it is appended */
    size_t size;
};

struct proposals {
    struct proposal *ring; /* LIMIT_PROPOSALS */
    unsigned first, handed, logged, waiting;
    unsigned batches; /* appended, not yet committed */
    size_t bytes;
};

enum err proposals_open(struct proposals *p) MUST_USE;
void proposals_close(struct proposals *p);
/* ERR_BUSY when full in number or bytes. */
enum err proposals_add(struct proposals *p,
                       struct bytes command,
                       replica_outcome_cb cb,
                       void *arg) MUST_USE;
/* True: proposals_submit would append something. */
bool proposals_ready(const struct proposals *p);
/* One raft_apply for what waits, or few where it exceeds a batch. ERR_IO: libraft
 * failed in a way that is fatal. */
enum err proposals_submit(struct proposals *p, struct raft *raft) MUST_USE;
/* The entry (index, term) is committed. True: it is one of these. */
bool proposals_hand(struct proposals *p, uint64_t index, uint64_t term);
void proposals_outcome(struct proposals *p, uint64_t index, const struct outcome *outcome);
/* Leadership is lost: what is in the log has an unknown outcome, what waits was
 * never proposed. */
void proposals_fail(struct proposals *p);

#endif
