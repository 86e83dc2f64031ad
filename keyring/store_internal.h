/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's own files share. Not for others: it includes <lmdb.h>. */
#ifndef RINGKEEP_KEYRING_STORE_INTERNAL_H
#define RINGKEEP_KEYRING_STORE_INTERNAL_H

#include <lmdb.h>

#include "keyring/store.h"

struct store {
    MDB_env *env;
    MDB_dbi tables[STORE_TABLES];
    uint64_t window;  /* W of consistency.md 7 */
    unsigned fail_in; /* test: puts until one fails */
};

/* One LMDB transaction and the state row that was read in it. */
struct store_view {
    struct store *store; /* borrowed */
    MDB_txn *txn;
    uint64_t index, stamp;
    uint8_t digest[DIGEST_SIZE];
};

struct store_txn {
    struct store_view view;
    unsigned writes; /* puts and deletes of replicated rows since store_begin */
    bool dirty;      /* the state row must be written */
    bool broken;     /* a put failed: only store_abort is left */
};

/* The one place that turns LMDB's codes into ours. */
enum err store_err(int code);
/* LMDB refuses empty keys: the one row of STORE_CLUSTER lies under one zero byte. */
MDB_val store_key_in(struct bytes key);
struct bytes store_key_out(enum store_table table, MDB_val key);
/* Tables whose rows enter the digest. */
bool store_table_replicated(enum store_table table);

#endif
