/* SPDX-License-Identifier: Apache-2.0 */
/* Facts in the store's local table; see facts.h. Layout, 73 bytes: u8 version 1,
 * cluster id, incarnation, member id, data uuid, u64 raft id. */
#include "cluster/facts.h"

#include <string.h>

#define FACTS_NAME "cluster.self"
#define SEEDS_NAME "cluster.seeds"
#define FACTS_VERSION 1u
#define FACTS_SIZE (1u + 4u * ID_SIZE + 8u)
#define AT(n) (1u + (size_t)(n)*ID_SIZE)

static void encode(const struct facts *f, uint8_t out[FACTS_SIZE])
{
    out[0] = FACTS_VERSION;
    memcpy(out + AT(0), f->cluster_id, ID_SIZE);
    memcpy(out + AT(1), f->incarnation, ID_SIZE);
    memcpy(out + AT(2), f->member_id, ID_SIZE);
    memcpy(out + AT(3), f->data_uuid, ID_SIZE);
    put_u64(out + AT(4), f->raft_id);
}

static enum err decode(struct bytes b, struct facts *f)
{
    if (b.size != FACTS_SIZE) {
        return ERR_CORRUPT;
    }
    if (b.data[0] != FACTS_VERSION) {
        return ERR_VERSION;
    }
    memcpy(f->cluster_id, b.data + AT(0), ID_SIZE);
    memcpy(f->incarnation, b.data + AT(1), ID_SIZE);
    memcpy(f->member_id, b.data + AT(2), ID_SIZE);
    memcpy(f->data_uuid, b.data + AT(3), ID_SIZE);
    f->raft_id = get_u64(b.data + AT(4));
    return f->raft_id != 0 ? ERR_OK : ERR_CORRUPT;
}

enum err facts_load(struct store *store, struct facts *out)
{
    STORE_VIEW_SCOPED *view = NULL;
    struct bytes value;
    TRY(store_view_open(store, &view));
    TRY(store_local_get(view, FACTS_NAME, &value));
    return decode(value, out);
}

static enum err put_both(struct store_txn *t, const struct facts *facts, struct bytes seeds)
{
    uint8_t value[FACTS_SIZE];
    encode(facts, value);
    TRY(store_txn_local_put(t, FACTS_NAME, bytes_of(value, sizeof value)));
    return seeds.size == 0 ? ERR_OK : store_txn_local_put(t, SEEDS_NAME, seeds);
}

enum err facts_save(struct store *store, const struct facts *facts, struct bytes seeds)
{
    struct store_txn *t = NULL;
    TRY(store_begin(store, &t));
    const enum err e = put_both(t, facts, seeds);
    if (e != ERR_OK) {
        store_abort(&t);
        return e;
    }
    return store_commit(&t);
}

enum err facts_seeds(const struct store_view *view, struct bytes *out)
{
    return store_local_get(view, SEEDS_NAME, out);
}
