/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of the client and objects of a keyring. A Find asks once "changed since?"
 * and reads the pages only if so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_session.h"
#include "client/client_text.h"

/* -- slots ------------------------------------------------------------------------ */

struct slots {
    struct ringkeep_slot *out;
    size_t capacity, count;
};

static bool slot_ok(const Ringkeep__SlotRow *row)
{
    return row->keyring_id.len == ID_SIZE && strlen(row->label) <= LIMIT_LABEL;
}

static void fill_slot(const Ringkeep__SlotRow *row, struct ringkeep_slot *out)
{
    memset(out, 0, sizeof(*out));
    out->slot = row->slot;
    memcpy(out->keyring_id, row->keyring_id.data, ID_SIZE);
    (void)snprintf(out->label, sizeof(out->label), "%s", row->label);
    out->active = row->active;
    out->strict = row->strict;
}

static enum err attempt_slots(struct client_call *call, void *arg)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Slots m = RINGKEEP__SLOTS__INIT;
    struct slots *s = arg;
    m.min_index = client_call_index(call->client);
    m.has_min_index = m.min_index != 0;
    TRY(client_call_exchange(call, FRAME_SLOTS, &m, &arena, &reply));
    for (size_t i = 0; i < reply->n_slots; i++) {
        if (!slot_ok(reply->slots[i])) {
            call->conn->broken = true;
            return ERR_PROTOCOL;
        }
    }
    s->count = reply->n_slots;
    for (size_t i = 0; i < reply->n_slots && i < s->capacity; i++) {
        fill_slot(reply->slots[i], &s->out[i]);
    }
    return ERR_OK;
}

int ringkeep_slots(struct ringkeep_client *c, struct ringkeep_slot *out, size_t capacity, size_t *count)
{
    struct slots s = { out, capacity, 0 };
    const enum err e = client_call_run(c, LIMIT_REQUEST_MS, false, attempt_slots, &s);
    if (e == ERR_OK) {
        *count = s.count;
    }
    return (int)e;
}

/* -- find --------------------------------------------------------------------------- */

struct finding {
    const uint8_t *keyring_id;
    struct client_catalogue *have; /* a reference, or NULL */
    struct client_catalogue *fresh;
    bool unchanged;
};

static enum err take_page(const struct Ringkeep__Reply *reply, struct client_catalogue *k)
{
    for (size_t i = 0; i < reply->n_objects; i++) {
        const Ringkeep__ObjectInfo *o = reply->objects[i];
        if (o->object_id.len != ID_SIZE || o->attributes.len > LIMIT_TEMPLATE) {
            return ERR_PROTOCOL;
        }
        TRY(client_catalogue_add(k, o->object_id.data, o->handle, o->is_private, client_pb_bytes(o->attributes)));
    }
    const bool more = reply->has_more && reply->more;
    return more && reply->n_objects == 0 ? ERR_PROTOCOL : ERR_OK;
}

static uint64_t last_handle(const struct client_catalogue *k)
{
    return k->count == 0 ? 0 : k->rows[k->count - 1].handle;
}

/* The first page decides whether what we have is still true: `known` belongs to
 * the login it was seen with. */
static void aim_first(const struct finding *f, uint64_t serial, Ringkeep__Find *m)
{
    m->has_after_handle = false;
    m->has_known_index = f->have != NULL && f->have->serial == serial;
    m->known_index = m->has_known_index ? f->have->index : 0;
}

static enum err read_page(struct client_call *call,
                          struct client_request *r,
                          Ringkeep__Find *m,
                          struct finding *f,
                          bool *more)
{
    TRY(client_session_exchange(call, r));
    enum err e = ERR_OK;
    if (r->reply->has_unchanged && r->reply->unchanged) {
        f->unchanged = m->has_known_index;
        e = f->unchanged ? ERR_OK : ERR_PROTOCOL;
        *more = false;
    } else {
        e = take_page(r->reply, f->fresh);
        *more = r->reply->has_more && r->reply->more;
    }
    if (e == ERR_PROTOCOL) {
        client_text_set("a member's list of objects breaks the protocol");
        call->conn->broken = true;
    }
    return e;
}

static enum err read_pages(struct client_call *call, struct client_request *r, Ringkeep__Find *m, struct finding *f)
{
    bool more = false, first = true;
    do {
        TRY(read_page(call, r, m, f, &more));
        if (first) {
            f->fresh->serial = r->serial;
            f->fresh->index = r->reply->has_index ? r->reply->index : 0;
        } else if (r->serial != f->fresh->serial) {
            return ERR_BUSY; /* login changed between pages: begin again */
        }
        first = false;
        m->has_known_index = false;
        m->has_after_handle = true;
        m->after_handle = last_handle(f->fresh);
    } while (more && client_now_ms() < call->deadline_ms);
    return more ? ERR_TIMEOUT : ERR_OK;
}

static void drop_catalogue(struct ringkeep_client *c, struct client_catalogue **k)
{
    client_lock(c);
    client_catalogue_drop(*k);
    client_unlock(c);
    *k = NULL;
}

static enum err attempt_find(struct client_call *call, void *arg)
{
    struct finding *f = arg;
    Ringkeep__Find m = RINGKEEP__FIND__INIT;
    struct client_request r = { 0 };
    drop_catalogue(call->client, &f->fresh); /* of an attempt before */
    f->fresh = client_catalogue_make();
    if (f->fresh == NULL) {
        return ERR_NOMEM;
    }
    r.keyring_id = f->keyring_id;
    r.type = FRAME_FIND;
    r.message = &m;
    r.session = &m.session;
    r.has_min_index = &m.has_min_index;
    r.min_index = &m.min_index;
    aim_first(f, client_session_serial(call->client, f->keyring_id), &m);
    const enum err e = read_pages(call, &r, &m, f);
    message_drop(&r.arena);
    return e;
}

static struct client_catalogue *reference(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE])
{
    client_lock(c);
    const struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    struct client_catalogue *have = k == NULL ? NULL : k->catalogue;
    if (have != NULL) {
        have->references++;
    }
    client_unlock(c);
    return have;
}

/* Puts the new catalogue in the keyring's place; one without index or of a login
 * that is gone is used once and not kept. */
static void keep_catalogue(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE], struct client_catalogue *fresh)
{
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, keyring_id, true);
    if (k != NULL && fresh->index != 0 && fresh->serial == k->login.serial) {
        client_catalogue_drop(k->catalogue);
        k->catalogue = fresh;
        fresh->references++;
    }
    client_unlock(c);
}

static void show_objects(const struct client_catalogue *k, ringkeep_object_cb cb, void *arg)
{
    bool going = true;
    for (size_t i = 0; i < k->count && going; i++) {
        const struct ringkeep_object o = client_catalogue_object(k, i);
        going = cb(arg, &o);
    }
}

int ringkeep_find(struct ringkeep_client *c, const uint8_t keyring_id[16], ringkeep_object_cb cb, void *arg)
{
    struct finding f = { 0 };
    f.keyring_id = keyring_id;
    f.have = reference(c, keyring_id);
    const enum err e = client_call_run(c, 0, false, attempt_find, &f);
    if (e == ERR_OK && f.unchanged) {
        show_objects(f.have, cb, arg);
    } else if (e == ERR_OK) {
        keep_catalogue(c, keyring_id, f.fresh);
        show_objects(f.fresh, cb, arg);
    }
    drop_catalogue(c, &f.have);
    drop_catalogue(c, &f.fresh);
    return (int)e;
}
