/* SPDX-License-Identifier: Apache-2.0 */
/* Typed reads of a snapshot. Any thread, each with its own view. */
#include "keyring/query.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "command.pb-c.h"
#include "keyring/rows.h"

static struct bytes id_of(const uint8_t *id)
{
    return bytes_of(id, ID_SIZE);
}

void query_drop(void *message)
{
    rows_drop(message);
}

enum err query_cluster(const struct store_view *v, void **out)
{
    return rows_get(v, STORE_CLUSTER, bytes_of(NULL, 0), out);
}

enum err query_member(const struct store_view *v, const uint8_t member_id[ID_SIZE], void **out)
{
    return rows_get(v, STORE_MEMBERS, id_of(member_id), out);
}

enum err query_keyring(const struct store_view *v, const uint8_t keyring_id[ID_SIZE], void **out)
{
    return rows_get(v, STORE_KEYRINGS, id_of(keyring_id), out);
}

/* Fixed-size value of an index table. */
static enum err indexed(const struct store_view *v,
                        enum store_table table,
                        const char *name,
                        size_t bound,
                        uint8_t *out,
                        size_t size)
{
    struct bytes value;
    const size_t length = strnlen(name, bound + 1);
    if (length == 0 || length > bound) {
        return ERR_NOTFOUND;
    }
    TRY(store_get(v, table, bytes_of(name, length), &value));
    if (value.size != size) {
        return ERR_CORRUPT;
    }
    memcpy(out, value.data, size);
    return ERR_OK;
}

enum err query_keyring_by_label(const struct store_view *v,
                                const char *label,
                                uint8_t keyring_id[ID_SIZE])
{
    return indexed(v, STORE_LABELS, label, LIMIT_LABEL, keyring_id, ID_SIZE);
}

enum err query_object(const struct store_view *v,
                      const uint8_t keyring_id[ID_SIZE],
                      const uint8_t object_id[ID_SIZE],
                      void **out)
{
    /* The objects of a deleted keyring go a few at a time: they are dead already. */
    TRY(rows_exist(v, STORE_KEYRINGS, id_of(keyring_id)));
    const struct rows_key key = rows_key_pair(id_of(keyring_id), id_of(object_id));
    return rows_get(v, STORE_OBJECTS, rows_key_bytes(&key), out);
}

enum err query_client(const struct store_view *v, const uint8_t spki_hash[32], void **out)
{
    return rows_get(v, STORE_CLIENTS, bytes_of(spki_hash, 32), out);
}

enum err query_client_by_name(const struct store_view *v, const char *name, uint8_t spki_hash[32])
{
    return indexed(v, STORE_NAMES, name, LIMIT_NAME, spki_hash, 32);
}

enum err query_assignment(const struct store_view *v,
                          const uint8_t spki_hash[32],
                          const uint8_t keyring_id[ID_SIZE],
                          void **out)
{
    const struct rows_key key = rows_key_pair(bytes_of(spki_hash, 32), id_of(keyring_id));
    return rows_get(v, STORE_ASSIGNMENTS, rows_key_bytes(&key), out);
}

enum err query_invite(const struct store_view *v, const uint8_t invite_id[ID_SIZE], void **out)
{
    return rows_get(v, STORE_INVITES, id_of(invite_id), out);
}

enum err query_login(const struct store_view *v,
                     const uint8_t keyring_id[ID_SIZE],
                     unsigned role,
                     void **out)
{
    const struct rows_key key = rows_key_login(id_of(keyring_id), role);
    return rows_get(v, STORE_LOGINS, rows_key_bytes(&key), out);
}

/* -- walks --------------------------------------------------------------------------- */

static enum err hand_row(
    enum store_table table, struct bytes key, struct bytes value, query_row_cb cb, void *arg)
{
    if (!rows_typed(table)) {
        return cb(arg, key, &value);
    }
    void *message = NULL;
    TRY(rows_unpack(table, value, &message));
    const enum err e = cb(arg, key, message);
    rows_drop(message);
    return e;
}

/* Do the rows under this prefix belong to a keyring that was deleted? */
static enum err living(const struct store_view *v, enum store_table table, struct bytes prefix)
{
    const bool of_keyring = table == STORE_OBJECTS || table == STORE_HANDLES;
    if (!of_keyring || prefix.size < ID_SIZE) {
        return ERR_OK;
    }
    return rows_exist(v, STORE_KEYRINGS, bytes_of(prefix.data, ID_SIZE));
}

enum err query_each(const struct store_view *v,
                    enum store_table table,
                    struct bytes prefix,
                    query_row_cb cb,
                    void *arg)
{
    STORE_CURSOR_SCOPED *c = NULL;
    struct bytes key, value;
    enum err e = living(v, table, prefix);
    if (e == ERR_OK) {
        TRY(store_cursor_open(v, table, prefix, bytes_of(NULL, 0), &c));
    }
    while (e == ERR_OK) {
        e = store_cursor_next(c, &key, &value);
        if (e == ERR_OK) {
            e = hand_row(table, key, value, cb, arg);
        }
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

static enum err hand_object(const struct store_view *v,
                            const uint8_t keyring_id[ID_SIZE],
                            struct bytes handle_key,
                            struct bytes object_id,
                            query_object_cb cb,
                            void *arg)
{
    ROW_SCOPED Ringkeep__ObjectRow *row = NULL;
    if (handle_key.size != ID_SIZE + 8 || object_id.size != ID_SIZE) {
        return ERR_CORRUPT;
    }
    const struct rows_key key = rows_key_pair(id_of(keyring_id), object_id);
    const enum err e = rows_get(v, STORE_OBJECTS, rows_key_bytes(&key), &row);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
    }
    return cb(arg, object_id.data, row->handle, bytes_of(row->blob.data, row->blob.len));
}

enum err query_objects_by_handle(const struct store_view *v,
                                 const uint8_t keyring_id[ID_SIZE],
                                 uint64_t after_handle,
                                 unsigned limit,
                                 query_object_cb cb,
                                 void *arg)
{
    STORE_CURSOR_SCOPED *c = NULL;
    struct bytes key, object_id;
    enum err e = ERR_OK;
    TRY(rows_exist(v, STORE_KEYRINGS, id_of(keyring_id)));
    if (after_handle == UINT64_MAX) {
        return ERR_OK;
    }
    const struct rows_key from = rows_key_number(id_of(keyring_id), after_handle + 1);
    TRY(store_cursor_open(v, STORE_HANDLES, id_of(keyring_id), rows_key_bytes(&from), &c));
    for (unsigned i = 0; i < limit && e == ERR_OK; i++) {
        e = store_cursor_next(c, &key, &object_id);
        if (e == ERR_OK) {
            e = hand_object(v, keyring_id, key, object_id, cb, arg);
        }
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}
