/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that wait for an index to be in the committed store, and readers that
 * wait for a shared barrier. Loop thread. */
#ifndef RINGKEEP_RAFT_GLUE_WAITERS_H
#define RINGKEEP_RAFT_GLUE_WAITERS_H

#include "raft-glue/replica.h"

struct waiter {
    struct waiter *next;
    uint64_t index;
    uint64_t deadline_ms;
    replica_index_cb cb;
    void *arg;
};

struct waiters {
    struct waiter *first, **end;
    unsigned count;
};

void waiters_init(struct waiters *w);
/* ERR_BUSY past LIMIT_INDEX_WAITERS. */
enum err waiters_add(struct waiters *w,
                     uint64_t index,
                     uint64_t deadline_ms,
                     replica_index_cb cb,
                     void *arg) MUST_USE;
uint64_t waiters_lowest(const struct waiters *w);        /* 0: none */
uint64_t waiters_next_deadline(const struct waiters *w); /* UINT64_MAX: none */
/* Calls those whose index is reached. */
void waiters_wake(struct waiters *w, uint64_t visible);
/* Calls those whose time is up, with ERR_TIMEOUT. */
void waiters_expire(struct waiters *w, uint64_t now_ms);
/* Calls all, in order. */
void waiters_finish(struct waiters *w, enum err e, uint64_t index);

#endif
