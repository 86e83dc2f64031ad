/* SPDX-License-Identifier: Apache-2.0 */
/* What a test sees of members from outside; see cluster_kit.h. */
#include <string.h>

#include "keyring/query.h"
#include "tests/lib/cluster_kit.h"

bool cluster_kit_has_client(struct cluster_kit *k, unsigned i, unsigned number)
{
    STORE_VIEW_SCOPED *view = NULL;
    void *row = NULL;
    uint8_t hash[32];
    cluster_kit_client_hash(number, hash);
    if (store_view_open(k->member[i].store, &view) != ERR_OK ||
        query_client(view, hash, &row) != ERR_OK) {
        return false;
    }
    query_drop(row);
    return true;
}

unsigned cluster_kit_leader(struct cluster_kit *k)
{
    for (unsigned i = 0; i < CLUSTER_KIT_MEMBERS; i++) {
        struct replica_status s = { 0 };
        if (k->member[i].up && !k->member[i].frozen) {
            cluster_replica_status(k->member[i].cluster, &s);
        }
        if (s.leader_ready) {
            return i;
        }
    }
    return CLUSTER_KIT_MEMBERS;
}

unsigned cluster_kit_votes(struct cluster_kit *k, unsigned i, enum replica_vote vote)
{
    struct cluster_member member[LIMIT_MEMBERS];
    const unsigned count = cluster_members(k->member[i].cluster, member, LIMIT_MEMBERS);
    unsigned n = 0;
    for (unsigned at = 0; at < count; at++) {
        n += member[at].vote == vote ? 1 : 0;
    }
    return n;
}

bool cluster_kit_digests_equal(struct cluster_kit *k)
{
    uint8_t digest[CLUSTER_KIT_MEMBERS][DIGEST_SIZE];
    unsigned n = 0;
    for (unsigned i = 0; i < CLUSTER_KIT_MEMBERS; i++) {
        STORE_VIEW_SCOPED *view = NULL;
        if (k->member[i].up && store_view_open(k->member[i].store, &view) == ERR_OK) {
            store_view_digest(view, digest[n]);
            n++;
        }
    }
    for (unsigned i = 1; i < n; i++) {
        if (memcmp(digest[0], digest[i], DIGEST_SIZE) != 0) {
            return false;
        }
    }
    return n > 0;
}
