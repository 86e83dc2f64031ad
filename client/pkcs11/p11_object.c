/* SPDX-License-Identifier: Apache-2.0 */
/* The slot's table of objects: attributes are answered from here, and the cluster
 * is asked when a search begins or a handle is not known. */
#include "client/pkcs11/p11.h"

#include <stdlib.h>
#include <string.h>

#include "proto/template.h"

#define OBJECTS_MAX LIMIT_OBJECTS_PER_KEYRING

/* First place whose handle is not below `handle`. */
static size_t lower_bound(const struct p11_slot *slot, CK_OBJECT_HANDLE handle)
{
    size_t low = 0;
    size_t high = slot->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (slot->objects[middle].handle < handle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct p11_object *p11_object_find(struct p11_slot *slot, CK_OBJECT_HANDLE handle)
{
    const size_t at = lower_bound(slot, handle);
    return at < slot->count && slot->objects[at].handle == handle ? &slot->objects[at] : NULL;
}

static void clear_object(struct p11_object *o)
{
    buf_drop(&o->attributes);
    buf_drop(&o->blob);
}

static void remove_at(struct p11_slot *slot, size_t at)
{
    clear_object(&slot->objects[at]);
    memmove(&slot->objects[at], &slot->objects[at + 1],
            (slot->count - at - 1) * sizeof(slot->objects[0]));
    slot->count--;
}

void p11_object_drop(struct p11_slot *slot, CK_OBJECT_HANDLE handle)
{
    const size_t at = lower_bound(slot, handle);
    if (at < slot->count && slot->objects[at].handle == handle) {
        remove_at(slot, at);
    }
}

typedef bool (*drop_cb)(const struct p11_object *o, CK_SESSION_HANDLE session);

static void drop_where(struct p11_slot *slot, drop_cb doomed, CK_SESSION_HANDLE session)
{
    size_t kept = 0;
    for (size_t i = 0; i < slot->count; i++) {
        if (doomed(&slot->objects[i], session)) {
            clear_object(&slot->objects[i]);
        } else {
            slot->objects[kept++] = slot->objects[i];
        }
    }
    slot->count = kept;
}

static bool is_any(const struct p11_object *o, CK_SESSION_HANDLE session)
{
    (void)session;
    return o != NULL;
}

static bool is_private(const struct p11_object *o, CK_SESSION_HANDLE session)
{
    (void)session;
    return o->is_private;
}

static bool is_of_session(const struct p11_object *o, CK_SESSION_HANDLE session)
{
    return o->session == session && session != 0;
}

static bool is_stale(const struct p11_object *o, CK_SESSION_HANDLE session)
{
    (void)session;
    return o->session == 0 && !o->seen;
}

void p11_objects_clear(struct p11_slot *slot, bool private_only)
{
    drop_where(slot, private_only ? is_private : is_any, 0);
    slot->loaded = false;
}

void p11_objects_end_session(struct p11_slot *slot, CK_SESSION_HANDLE session)
{
    drop_where(slot, is_of_session, session);
}

static CK_RV make_room(struct p11_slot *slot, size_t at)
{
    if (slot->count == OBJECTS_MAX) {
        return CKR_HOST_MEMORY;
    }
    if (slot->count == slot->capacity) {
        const size_t capacity = slot->capacity == 0 ? 16 : slot->capacity * 2;
        struct p11_object *more = realloc(slot->objects, capacity * sizeof(*more));
        if (more == NULL) {
            return CKR_HOST_MEMORY;
        }
        slot->objects = more;
        slot->capacity = capacity;
    }
    memmove(&slot->objects[at + 1], &slot->objects[at],
            (slot->count - at) * sizeof(slot->objects[0]));
    memset(&slot->objects[at], 0, sizeof(slot->objects[at]));
    slot->count++;
    return CKR_OK;
}

static CK_RV fill_object(struct p11_object *o, const struct ringkeep_object *from)
{
    buf_clear(&o->attributes);
    buf_clear(&o->blob);
    memcpy(o->object_id, from->object_id, ID_SIZE);
    o->is_private = from->is_private;
    o->seen = true;
    if (buf_append(&o->attributes, bytes_of(from->attributes, from->attributes_size), LIMIT_BLOB) !=
            ERR_OK ||
        buf_append(&o->blob, bytes_of(from->blob, from->blob_size), LIMIT_BLOB) != ERR_OK) {
        return CKR_HOST_MEMORY;
    }
    return CKR_OK;
}

CK_RV p11_object_store(struct p11_slot *slot,
                       const struct ringkeep_object *object,
                       CK_SESSION_HANDLE session,
                       CK_OBJECT_HANDLE *handle)
{
    static CK_OBJECT_HANDLE next_session_object = P11_SESSION_OBJECT;
    const CK_OBJECT_HANDLE own = session != 0 ? ++next_session_object : object->handle;
    const size_t at = lower_bound(slot, own);
    if (at == slot->count || slot->objects[at].handle != own) {
        CK_RV rv = make_room(slot, at);
        if (rv != CKR_OK) {
            return rv;
        }
        slot->objects[at].handle = own;
        slot->objects[at].session = session;
    }
    if (handle != NULL) {
        *handle = own;
    }
    return fill_object(&slot->objects[at], object);
}

/* -- refresh ------------------------------------------------------------------ */

struct refresh {
    struct p11_slot *slot;
    CK_RV rv;
};

static bool on_object(void *arg, const struct ringkeep_object *object)
{
    struct refresh *r = arg;
    p11_lock();
    r->rv = p11_object_store(r->slot, object, 0, NULL);
    p11_unlock();
    return r->rv == CKR_OK;
}

CK_RV p11_objects_refresh(struct p11_slot *slot)
{
    struct refresh r = { slot, CKR_OK };
    struct ringkeep_client *client = p11_client();
    p11_lock();
    for (size_t i = 0; i < slot->count; i++) {
        slot->objects[i].seen = false;
    }
    p11_unlock();
    const int error = ringkeep_find(client, slot->info.keyring_id, on_object, &r);
    p11_lock();
    if (error == 0 && r.rv == CKR_OK) {
        drop_where(slot, is_stale, 0);
        slot->loaded = true;
    }
    if (error == (int)ERR_LOGIN_REQUIRED) {
        slot->logged_in = false;
    }
    p11_unlock();
    return error != 0 ? rv_from_err(error) : r.rv;
}

static bool copy_object(struct p11_slot *slot, CK_OBJECT_HANDLE handle, struct p11_object *copy)
{
    p11_lock();
    const struct p11_object *o = p11_object_find(slot, handle);
    const bool visible = o != NULL && (!o->is_private || slot->logged_in);
    bool done = false;
    if (visible) {
        *copy = *o;
        memset(&copy->attributes, 0, sizeof(copy->attributes));
        memset(&copy->blob, 0, sizeof(copy->blob));
        done = buf_append(&copy->attributes, buf_bytes(&o->attributes), LIMIT_BLOB) == ERR_OK &&
               buf_append(&copy->blob, buf_bytes(&o->blob), LIMIT_BLOB) == ERR_OK;
    }
    p11_unlock();
    return done;
}

CK_RV p11_object_get(struct p11_session *s, CK_OBJECT_HANDLE handle, struct p11_object *copy)
{
    if (copy_object(s->slot, handle, copy)) {
        return CKR_OK;
    }
    p11_object_copy_drop(copy);
    if ((handle & P11_SESSION_OBJECT) != 0 || handle == 0) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    CK_RV rv = p11_objects_refresh(s->slot);
    if (rv != CKR_OK) {
        return rv;
    }
    return copy_object(s->slot, handle, copy) ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

void p11_object_copy_drop(struct p11_object *copy)
{
    clear_object(copy);
}
