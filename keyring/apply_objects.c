/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: sealed blobs under keyring || object id, with a handle that is never
 * given twice in a keyring. Only clear headers are looked at. Runs inside apply. */
#include "keyring/apply_internal.h"

#include <string.h>

#include "command.pb-c.h"
#include "sks/blob.h"

/* The keyring's row, where its objects may be written. */
static enum err writable(struct apply *a,
                         ProtobufCBinaryData keyring_id,
                         Ringkeep__KeyringRow **out)
{
    if (!apply_sized(keyring_id, ID_SIZE)) {
        return ERR_MALFORMED;
    }
    TRY(rows_get(a->v, STORE_KEYRINGS, apply_bytes(keyring_id), out));
    return (*out)->active ? ERR_OK : ERR_WRONG_STATE;
}

/* A stored object's blob: kind 1 or 4, made for this very row. */
static enum err check_blob(ProtobufCBinaryData blob,
                           ProtobufCBinaryData keyring_id,
                           ProtobufCBinaryData object_id,
                           struct blob_header *out)
{
    if (!apply_sized(object_id, ID_SIZE)) {
        return ERR_MALFORMED;
    }
    TRY(blob_parse(apply_bytes(blob), out));
    const bool stored_kind = out->kind == BLOB_TOKEN || out->kind == BLOB_PUBLIC;
    const bool ours =
        apply_is_id(keyring_id, out->keyring_id) && apply_is_id(object_id, out->object_id);
    return stored_kind && ours ? ERR_OK : ERR_REFUSED;
}

static struct rows_key object_key(ProtobufCBinaryData keyring_id, ProtobufCBinaryData object_id)
{
    return rows_key_pair(apply_bytes(keyring_id), apply_bytes(object_id));
}

static enum err write_keyring(struct apply *a,
                              const Ringkeep__KeyringRow *old,
                              uint64_t count,
                              uint64_t handles)
{
    Ringkeep__KeyringRow row = *old;
    row.object_count = count;
    row.next_handle = old->next_handle + handles;
    row.changed_index = a->index;
    return rows_put(a->t, STORE_KEYRINGS, apply_bytes(old->keyring_id), &row);
}

/* -- create -------------------------------------------------------------------------------- */

static enum err check_fresh(struct apply *a,
                            ProtobufCBinaryData keyring_id,
                            const Ringkeep__NewObject *object)
{
    struct blob_header h;
    TRY(check_blob(object->blob, keyring_id, object->object_id, &h));
    if (h.generation != 1) {
        return ERR_REFUSED;
    }
    const struct rows_key key = object_key(keyring_id, object->object_id);
    const enum err e = rows_exist(a->v, STORE_OBJECTS, rows_key_bytes(&key));
    return e == ERR_OK ? ERR_EXISTS : e == ERR_NOTFOUND ? ERR_OK : e;
}

static enum err check_create(struct apply *a,
                             const Ringkeep__ObjectsCreate *create,
                             const Ringkeep__KeyringRow *keyring)
{
    if (create->n_objects == 0 || create->n_objects > LIMIT_OBJECTS_PER_COMMAND) {
        return ERR_MALFORMED;
    }
    for (size_t i = 0; i < create->n_objects; i++) {
        TRY(check_fresh(a, create->keyring_id, create->objects[i]));
        for (size_t j = 0; j < i; j++) {
            if (apply_same(create->objects[i]->object_id, create->objects[j]->object_id)) {
                return ERR_EXISTS;
            }
        }
    }
    return keyring->object_count + create->n_objects <= LIMIT_OBJECTS_PER_KEYRING ? ERR_OK
                                                                                  : ERR_FULL;
}

static enum err write_object(struct apply *a,
                             ProtobufCBinaryData keyring_id,
                             const Ringkeep__NewObject *object,
                             uint64_t handle)
{
    Ringkeep__ObjectRow row = RINGKEEP__OBJECT_ROW__INIT;
    const struct rows_key key = object_key(keyring_id, object->object_id);
    const struct rows_key handle_key = rows_key_number(apply_bytes(keyring_id), handle);
    row.blob = object->blob;
    row.handle = handle;
    TRY(rows_put(a->t, STORE_OBJECTS, rows_key_bytes(&key), &row));
    return store_txn_put(a->t, STORE_HANDLES, rows_key_bytes(&handle_key),
                         apply_bytes(object->object_id));
}

enum err apply_objects_create(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__ObjectsCreate *create = c->objects_create;
    ROW_SCOPED Ringkeep__KeyringRow *keyring = NULL;
    TRY(writable(a, create->keyring_id, &keyring));
    TRY(check_create(a, create, keyring));
    a->out->number = keyring->next_handle;
    a->out->object_count = (unsigned)create->n_objects;
    for (size_t i = 0; i < create->n_objects; i++) {
        memcpy(a->out->object_ids[i], create->objects[i]->object_id.data, ID_SIZE);
        TRY(write_object(a, create->keyring_id, create->objects[i], keyring->next_handle + i));
    }
    return write_keyring(a, keyring, keyring->object_count + create->n_objects, create->n_objects);
}

/* -- update and destroy ---------------------------------------------------------------------- */

static enum err load_object(struct apply *a,
                            const struct rows_key *key,
                            Ringkeep__ObjectRow **out,
                            struct blob_header *h)
{
    TRY(rows_get(a->v, STORE_OBJECTS, rows_key_bytes(key), out));
    return blob_parse(apply_bytes((*out)->blob), h) == ERR_OK ? ERR_OK : ERR_CORRUPT;
}

enum err apply_objects_update(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__ObjectUpdate *update = c->object_update;
    ROW_SCOPED Ringkeep__KeyringRow *keyring = NULL;
    ROW_SCOPED Ringkeep__ObjectRow *old = NULL;
    struct blob_header fresh, stored;
    TRY(writable(a, update->keyring_id, &keyring));
    TRY(check_blob(update->blob, update->keyring_id, update->object_id, &fresh));
    const struct rows_key key = object_key(update->keyring_id, update->object_id);
    TRY(load_object(a, &key, &old, &stored));
    if (fresh.generation != update->generation || fresh.generation != stored.generation + 1 ||
        fresh.kind != stored.kind) {
        return ERR_REFUSED;
    }
    Ringkeep__ObjectRow row = *old;
    row.blob = update->blob;
    a->out->number = fresh.generation;
    TRY(rows_put(a->t, STORE_OBJECTS, rows_key_bytes(&key), &row));
    return write_keyring(a, keyring, keyring->object_count, 0);
}

enum err apply_objects_destroy(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__ObjectDestroy *destroy = c->object_destroy;
    ROW_SCOPED Ringkeep__KeyringRow *keyring = NULL;
    ROW_SCOPED Ringkeep__ObjectRow *old = NULL;
    if (!apply_sized(destroy->keyring_id, ID_SIZE) || !apply_sized(destroy->object_id, ID_SIZE)) {
        return ERR_MALFORMED;
    }
    TRY(rows_get(a->v, STORE_KEYRINGS, apply_bytes(destroy->keyring_id), &keyring));
    const struct rows_key key = object_key(destroy->keyring_id, destroy->object_id);
    TRY(rows_get(a->v, STORE_OBJECTS, rows_key_bytes(&key), &old));
    if (keyring->object_count == 0) {
        return ERR_CORRUPT;
    }
    const struct rows_key handle_key =
        rows_key_number(apply_bytes(destroy->keyring_id), old->handle);
    a->out->number = old->handle;
    TRY(store_txn_delete(a->t, STORE_OBJECTS, rows_key_bytes(&key)));
    TRY(store_txn_delete(a->t, STORE_HANDLES, rows_key_bytes(&handle_key)));
    return write_keyring(a, keyring, keyring->object_count - 1, 0);
}
