/* SPDX-License-Identifier: Apache-2.0 */
/* From committed entries to the store, off the loop thread.
 *
 * The loop hands over copies of committed commands in order (applier_add) and says
 * how far the log is applied (applier_mark, which barriers and configurations move
 * too). One job at a time takes what has gathered, applies it in the open store
 * transaction, posts the outcomes, then commits if it must: after
 * LIMIT_GROUP_COMMIT_ENTRIES, LIMIT_GROUP_COMMIT_MS, or at once when a reader
 * waits. A dropped transaction is fatal, so no copies are kept for a replay. All
 * calls on the loop thread; `fatal` may come from the executor's thread. */
#ifndef RINGKEEP_RAFT_GLUE_APPLIER_H
#define RINGKEEP_RAFT_GLUE_APPLIER_H

#include "base/executor.h"
#include "base/limits.h"
#include "keyring/apply.h"

struct uv_loop_s;
struct applier;

struct applier_options {
    struct uv_loop_s *loop;
    const struct executor *executor;
    struct store *store;
    uint64_t stored; /* index of the store as found */
    /* Outcome of an entry added as `mine`; in the order of the log. */
    void (*on_outcome)(void *arg, uint64_t index, const struct outcome *outcome);
    void (*on_visible)(void *arg, uint64_t index);
    void (*fatal)(void *arg, const char *reason);
    void *arg;
};

enum err applier_open(const struct applier_options *options, struct applier **out) MUST_USE;
/* Copies the command. ERR_NOMEM. */
enum err applier_add(struct applier *a, uint64_t index, struct bytes command, bool mine) MUST_USE;
/* Everything up to index has been added. */
void applier_mark(struct applier *a, uint64_t index);
/* The lowest index that a reader waits for; 0: nobody waits. */
void applier_want(struct applier *a, uint64_t index);
/* Posts what is due. Never inside libraft: outcomes may come before it returns. */
void applier_kick(struct applier *a);
uint64_t applier_applied(const struct applier *a);
uint64_t applier_visible(const struct applier *a); /* up to here: in the committed store */
size_t applier_bytes(const struct applier *a);     /* waiting to be applied */
/* Posts the rest and a commit; nothing is taken afterwards. The memory stays: the
 * executor still holds it. */
void applier_stop(struct applier *a);
/* For tests: drops the open transaction, as a crash would, on the executor. */
void applier_abandon(struct applier *a);

#endif
