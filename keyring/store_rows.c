/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and cursors of the store. A put or delete of a replicated table changes
 * the digest in the same transaction (consistency.md 22). Reads on any thread
 * with a view of its own; writes on the applier's. */
#include "keyring/store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names lie in data.mdb and in the digest: never changed. */
static const char *const table_names[STORE_TABLES] = {
    [STORE_META] = "meta",
    [STORE_CLUSTER] = "cluster",
    [STORE_MEMBERS] = "members",
    [STORE_KEYRINGS] = "keyrings",
    [STORE_LABELS] = "labels",
    [STORE_OBJECTS] = "objects",
    [STORE_HANDLES] = "handles",
    [STORE_CLIENTS] = "clients",
    [STORE_ASSIGNMENTS] = "assignments",
    [STORE_INVITES] = "invites",
    [STORE_OUTCOMES] = "outcomes",
    [STORE_OUTCOME_ORDER] = "outcome_order",
    [STORE_LOGINS] = "logins",
    [STORE_DOOMED] = "doomed",
    [STORE_NAMES] = "names",
};

static uint8_t empty_key[1] = { 0 };

struct store_cursor {
    MDB_cursor *cursor;
    enum store_table table;
    bool started;
    uint8_t prefix[STORE_KEY_MAX], from[STORE_KEY_MAX];
    size_t prefix_size, from_size;
    uint8_t last[STORE_KEY_MAX]; /* key given last: a delete may move the cursor */
    size_t last_size;
};

const char *store_table_name(enum store_table table)
{
    assert(table < STORE_TABLES);
    return table_names[table];
}

bool store_table_replicated(enum store_table table)
{
    return table != STORE_META && table != STORE_OUTCOME_ORDER;
}

static MDB_val value_in(struct bytes b)
{
    MDB_val v = { b.size, (void *)(uintptr_t)b.data };
    return v;
}

static struct bytes value_out(MDB_val v)
{
    return bytes_of(v.mv_data, v.mv_size);
}

MDB_val store_key_in(struct bytes key)
{
    assert(key.size <= STORE_KEY_MAX);
    return key.size == 0 ? value_in(bytes_of(empty_key, sizeof(empty_key))) : value_in(key);
}

struct bytes store_key_out(enum store_table table, MDB_val key)
{
    return bytes_of(key.mv_data, table == STORE_CLUSTER ? 0 : key.mv_size);
}

/* -- reading ----------------------------------------------------------------------- */

enum err store_get(const struct store_view *v,
                   enum store_table table,
                   struct bytes key,
                   struct bytes *out)
{
    assert(table < STORE_TABLES && (key.size > 0 || table == STORE_CLUSTER));
    MDB_val k = store_key_in(key);
    MDB_val value;
    TRY(store_err(mdb_get(v->txn, v->store->tables[table], &k, &value)));
    *out = value_out(value);
    return ERR_OK;
}

uint64_t store_count(const struct store_view *v, enum store_table table)
{
    MDB_stat stat;
    const int code = mdb_stat(v->txn, v->store->tables[table], &stat);
    assert(code == MDB_SUCCESS); /* fails only for a bad handle */
    return stat.ms_entries;
}

enum err store_cursor_open(const struct store_view *v,
                           enum store_table table,
                           struct bytes prefix,
                           struct bytes from,
                           struct store_cursor **out)
{
    assert(prefix.size <= STORE_KEY_MAX && from.size <= STORE_KEY_MAX);
    struct store_cursor *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->table = table;
    c->prefix_size = prefix.size;
    if (prefix.size > 0) {
        memcpy(c->prefix, prefix.data, prefix.size);
    }
    c->from_size = from.size;
    if (from.size > 0) {
        memcpy(c->from, from.data, from.size);
    }
    const enum err e = store_err(mdb_cursor_open(v->txn, v->store->tables[table], &c->cursor));
    if (e != ERR_OK) {
        free(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

/* Ordinary byte order, as LMDB's. */
static int compare(struct bytes a, struct bytes b)
{
    const size_t size = a.size < b.size ? a.size : b.size;
    const int order = size == 0 ? 0 : memcmp(a.data, b.data, size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static enum err move_first(struct store_cursor *c, MDB_val *key, MDB_val *value)
{
    const struct bytes prefix = bytes_of(c->prefix, c->prefix_size);
    const struct bytes from = bytes_of(c->from, c->from_size);
    const struct bytes start = compare(from, prefix) > 0 ? from : prefix;
    c->started = true;
    if (start.size == 0) {
        return store_err(mdb_cursor_get(c->cursor, key, value, MDB_FIRST));
    }
    *key = store_key_in(start);
    return store_err(mdb_cursor_get(c->cursor, key, value, MDB_SET_RANGE));
}

/* Seeks past the last key by its bytes: right also when that row was deleted. */
static enum err move_on(struct store_cursor *c, MDB_val *key, MDB_val *value)
{
    *key = value_in(bytes_of(c->last, c->last_size));
    TRY(store_err(mdb_cursor_get(c->cursor, key, value, MDB_SET_RANGE)));
    if (bytes_equal(value_out(*key), bytes_of(c->last, c->last_size))) {
        TRY(store_err(mdb_cursor_get(c->cursor, key, value, MDB_NEXT)));
    }
    return ERR_OK;
}

enum err store_cursor_next(struct store_cursor *c, struct bytes *key, struct bytes *value)
{
    MDB_val k, v;
    TRY(c->started ? move_on(c, &k, &v) : move_first(c, &k, &v));
    if (k.mv_size > STORE_KEY_MAX) {
        return ERR_CORRUPT;
    }
    if (k.mv_size < c->prefix_size || memcmp(k.mv_data, c->prefix, c->prefix_size) != 0) {
        return ERR_NOTFOUND;
    }
    memcpy(c->last, k.mv_data, k.mv_size);
    c->last_size = k.mv_size;
    *key = store_key_out(c->table, k);
    *value = value_out(v);
    return ERR_OK;
}

void store_cursor_close(struct store_cursor *c)
{
    if (c == NULL) {
        return;
    }
    mdb_cursor_close(c->cursor);
    free(c);
}

void store_cursor_scope(struct store_cursor **c)
{
    store_cursor_close(*c);
}

enum err store_seek(const struct store_view *v,
                    enum store_table table,
                    struct bytes prefix,
                    struct bytes from,
                    struct bytes *key,
                    struct bytes *value)
{
    STORE_CURSOR_SCOPED *c = NULL;
    TRY(store_cursor_open(v, table, prefix, from, &c));
    return store_cursor_next(c, key, value);
}

/* Local names have a prefix, so that none is the state's or the format's. */
static struct bytes local_key(const char *name, char out[STORE_KEY_MAX + 1])
{
    const int n = snprintf(out, STORE_KEY_MAX + 1, "local.%s", name);
    assert(n > 0 && (size_t)n <= STORE_KEY_MAX);
    return bytes_of(out, (size_t)n);
}

enum err store_local_get(const struct store_view *v, const char *name, struct bytes *out)
{
    char key[STORE_KEY_MAX + 1];
    return store_get(v, STORE_META, local_key(name, key), out);
}

/* -- writing ----------------------------------------------------------------------- */

/* A failed write leaves the transaction and its digest unusable. */
static enum err break_txn(struct store_txn *t, enum err e)
{
    t->broken = true;
    return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
}

static bool planted_failure(struct store *s)
{
    if (s->fail_in == 0) {
        return false;
    }
    s->fail_in--;
    return s->fail_in == 0;
}

enum err store_txn_get(const struct store_txn *t,
                       enum store_table table,
                       struct bytes key,
                       struct bytes *out)
{
    return store_get(&t->view, table, key, out);
}

/* Takes the row's present value out of the digest. ERR_NOTFOUND: there is none. */
static enum err subtract(struct store_txn *t, enum store_table table, struct bytes key)
{
    struct bytes old;
    TRY(store_get(&t->view, table, key, &old));
    if (store_table_replicated(table)) {
        digest_sum_sub(t->view.digest, store_table_name(table), key, old);
    }
    return ERR_OK;
}

static enum err write_row(struct store_txn *t,
                          enum store_table table,
                          struct bytes key,
                          struct bytes value)
{
    MDB_val k = store_key_in(key);
    MDB_val v = value_in(value);
    if (planted_failure(t->view.store)) {
        return ERR_IO;
    }
    return store_err(mdb_put(t->view.txn, t->view.store->tables[table], &k, &v, 0));
}

/* key and value are the caller's own memory: LMDB may move what it lent. */
enum err store_txn_put(struct store_txn *t,
                       enum store_table table,
                       struct bytes key,
                       struct bytes value)
{
    assert(table != STORE_META && table < STORE_TABLES);
    assert((key.size > 0 || table == STORE_CLUSTER) && key.size <= STORE_KEY_MAX);
    enum err e = subtract(t, table, key);
    if (e == ERR_OK || e == ERR_NOTFOUND) {
        e = write_row(t, table, key, value);
    }
    if (e != ERR_OK) {
        return break_txn(t, e);
    }
    if (store_table_replicated(table)) {
        digest_sum_add(t->view.digest, store_table_name(table), key, value);
    }
    t->writes++;
    t->dirty = true;
    return ERR_OK;
}

static enum err delete_row(struct store_txn *t, enum store_table table, struct bytes key)
{
    MDB_val k = store_key_in(key);
    if (planted_failure(t->view.store)) {
        return ERR_IO;
    }
    return store_err(mdb_del(t->view.txn, t->view.store->tables[table], &k, NULL));
}

enum err store_txn_delete(struct store_txn *t, enum store_table table, struct bytes key)
{
    uint8_t copy[STORE_KEY_MAX]; /* key may be LMDB's, from a cursor */
    assert(table != STORE_META && table < STORE_TABLES && key.size <= STORE_KEY_MAX);
    if (key.size > 0) {
        memcpy(copy, key.data, key.size);
    }
    const struct bytes own = bytes_of(copy, key.size);
    TRY(subtract(t, table, own));
    const enum err e = delete_row(t, table, own);
    if (e != ERR_OK) {
        return break_txn(t, e);
    }
    t->writes++;
    t->dirty = true;
    return ERR_OK;
}

enum err store_txn_local_put(struct store_txn *t, const char *name, struct bytes value)
{
    char key[STORE_KEY_MAX + 1];
    const enum err e = write_row(t, STORE_META, local_key(name, key), value);
    return e == ERR_OK ? ERR_OK : break_txn(t, e);
}
