/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings: creation, new records, deletion. A deleted keyring is dead at once;
 * its objects (up to a million) are taken away a few at each later command, under
 * a row in STORE_DOOMED. Runs inside apply. */
#include "keyring/apply_internal.h"

#include <assert.h>
#include <string.h>

#include "command.pb-c.h"
#include "sks/blob.h"

#define SWEEP_ROWS 32u
#define ROLE_FIRST 5u /* crypto-spec 3: KRSO .. CU */
#define ROLE_LAST 8u
#define MAX_FAIL_BOUND 255u
#define HANDLE_FIRST 1u

/* -- put ----------------------------------------------------------------------------------- */

static enum err check_record(const Ringkeep__KeyringPut *put)
{
    struct blob_record_header h;
    if (!apply_sized(put->keyring_id, ID_SIZE) ||
        (put->has_max_fail && (put->max_fail == 0 || put->max_fail > MAX_FAIL_BOUND))) {
        return ERR_MALFORMED;
    }
    TRY(blob_record_parse(apply_bytes(put->record), BLOB_RECORD, &h));
    const bool same = apply_is_id(put->keyring_id, h.owner_id) && h.version == put->version &&
                      h.epoch == put->epoch;
    return same ? ERR_OK : ERR_REFUSED;
}

/* ERR_EXISTS where the key is taken. */
static enum err check_absent(struct apply *a, enum store_table table, struct bytes key)
{
    const enum err e = rows_exist(a->v, table, key);
    return e == ERR_OK ? ERR_EXISTS : e == ERR_NOTFOUND ? ERR_OK : e;
}

static enum err check_create(struct apply *a, const Ringkeep__KeyringPut *put)
{
    if (put->version != 1) {
        return ERR_NOTFOUND; /* a change of a keyring that is gone */
    }
    if (!apply_text(put->label, LIMIT_LABEL)) {
        return ERR_MALFORMED;
    }
    TRY(check_absent(a, STORE_DOOMED, apply_bytes(put->keyring_id)));
    TRY(check_absent(a, STORE_LABELS, bytes_of_text(put->label)));
    return store_count(a->v, STORE_KEYRINGS) < LIMIT_KEYRINGS ? ERR_OK : ERR_FULL;
}

static enum err create(struct apply *a, const Ringkeep__KeyringPut *put)
{
    Ringkeep__KeyringRow row = RINGKEEP__KEYRING_ROW__INIT;
    TRY(check_create(a, put));
    Ringkeep__ClusterRow cluster = *a->cluster;
    row.keyring_id = put->keyring_id;
    row.label = put->label;
    row.record = put->record;
    row.version = put->version;
    row.epoch = put->epoch;
    row.next_handle = HANDLE_FIRST;
    row.object_count = 0;
    row.changed_index = a->index;
    row.max_fail = put->has_max_fail ? put->max_fail : LIMIT_MAX_FAIL;
    row.active = put->has_active && put->active;
    row.order = cluster.next_order++;
    a->out->number = put->version;
    TRY(rows_put(a->t, STORE_KEYRINGS, apply_bytes(put->keyring_id), &row));
    TRY(store_txn_put(a->t, STORE_LABELS, bytes_of_text(put->label), apply_bytes(put->keyring_id)));
    return rows_put(a->t, STORE_CLUSTER, bytes_of(NULL, 0), &cluster);
}

static enum err change(struct apply *a,
                       const Ringkeep__KeyringPut *put,
                       const Ringkeep__KeyringRow *old)
{
    if (!blob_record_accepts(old->version, old->epoch, put->version, put->epoch) ||
        (put->label != NULL && strcmp(put->label, old->label) != 0)) {
        return ERR_REFUSED;
    }
    Ringkeep__KeyringRow row = *old;
    row.record = put->record;
    row.version = put->version;
    row.epoch = put->epoch;
    row.max_fail = put->has_max_fail ? put->max_fail : old->max_fail;
    row.active = put->has_active ? put->active : old->active;
    a->out->number = put->version;
    return rows_put(a->t, STORE_KEYRINGS, apply_bytes(put->keyring_id), &row);
}

enum err apply_keyrings_put(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__KeyringPut *put = c->keyring_put;
    ROW_SCOPED Ringkeep__KeyringRow *old = NULL;
    TRY(check_record(put));
    const enum err e = rows_get(a->v, STORE_KEYRINGS, apply_bytes(put->keyring_id), &old);
    if (e == ERR_NOTFOUND) {
        return create(a, put);
    }
    return e == ERR_OK ? change(a, put, old) : e;
}

/* -- delete -------------------------------------------------------------------------------- */

/* One row that may be absent. */
static enum err forget(struct apply *a, enum store_table table, struct bytes key)
{
    const enum err e = store_txn_delete(a->t, table, key);
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

/* Assignments lie under the client: at most LIMIT_CLIENTS look-ups. */
static enum err forget_assignments(struct apply *a, struct bytes keyring_id)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes client, value;
    enum err e = ERR_OK;
    TRY(store_cursor_open(a->v, STORE_CLIENTS, bytes_of(NULL, 0), bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &client, &value)) == ERR_OK) {
        const struct rows_key key = rows_key_pair(client, keyring_id);
        TRY(forget(a, STORE_ASSIGNMENTS, rows_key_bytes(&key)));
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err apply_keyrings_delete(struct apply *a, const struct Ringkeep__Command *c)
{
    const struct bytes id = apply_bytes(c->keyring_delete->keyring_id);
    ROW_SCOPED Ringkeep__KeyringRow *old = NULL;
    if (id.size != ID_SIZE) {
        return ERR_MALFORMED;
    }
    TRY(rows_get(a->v, STORE_KEYRINGS, id, &old));
    a->out->number = old->object_count;
    TRY(store_txn_delete(a->t, STORE_KEYRINGS, id));
    TRY(store_txn_delete(a->t, STORE_LABELS, bytes_of_text(old->label)));
    TRY(forget_assignments(a, id));
    for (unsigned role = ROLE_FIRST; role <= ROLE_LAST; role++) {
        const struct rows_key key = rows_key_login(id, role);
        TRY(forget(a, STORE_LOGINS, rows_key_bytes(&key)));
    }
    return store_txn_put(a->t, STORE_DOOMED, id, bytes_of(NULL, 0));
}

/* -- the sweep ------------------------------------------------------------------------------- */

/* Deletes up to *budget rows under the prefix; ERR_OK while some may be left. */
static enum err sweep_table(struct apply *a,
                            enum store_table table,
                            struct bytes prefix,
                            unsigned *budget)
{
    struct bytes key, value;
    while (*budget > 0) {
        TRY(store_seek(a->v, table, prefix, bytes_of(NULL, 0), &key, &value));
        TRY(store_txn_delete(a->t, table, key));
        (*budget)--;
    }
    return ERR_OK;
}

enum err apply_keyrings_sweep(struct apply *a)
{
    static const enum store_table tables[] = { STORE_OBJECTS, STORE_HANDLES };
    struct bytes key, value;
    unsigned budget = SWEEP_ROWS;
    const struct bytes none = bytes_of(NULL, 0);
    enum err e = store_seek(a->v, STORE_DOOMED, none, none, &key, &value);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_OK : e;
    }
    const struct rows_key id = rows_key_pair(key, none); /* key is LMDB's: it moves */
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        e = sweep_table(a, tables[i], rows_key_bytes(&id), &budget);
        if (e != ERR_NOTFOUND) {
            return e; /* out of budget, or a local failure */
        }
    }
    return store_txn_delete(a->t, STORE_DOOMED, rows_key_bytes(&id));
}
