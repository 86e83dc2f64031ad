/* SPDX-License-Identifier: Apache-2.0 */
/* What this member knows of itself, kept in its store outside the digest. Written
 * on the loop thread only before the replica is open: afterwards the applier's
 * thread owns the store's writing side. */
#ifndef RINGKEEP_CLUSTER_FACTS_H
#define RINGKEEP_CLUSTER_FACTS_H

#include "keyring/store.h"

struct facts {
    uint8_t cluster_id[ID_SIZE], incarnation[ID_SIZE], member_id[ID_SIZE];
    uint8_t data_uuid[ID_SIZE]; /* of this data directory */
    uint64_t raft_id;           /* random, never used again */
};

/* ERR_NOTFOUND: this member belongs to no cluster. */
enum err facts_load(struct store *store, struct facts *out) MUST_USE;
/* seeds: packed JoinWelcome, or empty for the first member. Durable afterwards. */
enum err facts_save(struct store *store, const struct facts *facts, struct bytes seeds) MUST_USE;
/* The saved JoinWelcome; ERR_NOTFOUND. */
enum err facts_seeds(const struct store_view *view, struct bytes *out) MUST_USE;

#endif
