/* SPDX-License-Identifier: Apache-2.0 */
/* The common end of generate, import, create and change. A retried request may have
 * made another key at another member: the store knows the first outcome, the blob
 * made for the retry is dropped, and the answer is read from the stored one. */
#include "appliance/op_create.h"

#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "keyring/query.h"
#include "sks/blob.h"

#include <client.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

#define HASH_PIECES 8u

void op_create_drop(void *state)
{
    struct create_op *op = state;
    for (unsigned i = 0; i < LIMIT_OBJECTS_PER_COMMAND; i++) {
        buf_drop(&op->object[i].blob);
        buf_drop(&op->object[i].attributes);
    }
}

enum err op_create_origin(struct request *r,
                          const void *write,
                          const struct bytes *pieces,
                          unsigned count,
                          struct command_origin *out)
{
    const Ringkeep__Write *w = write;
    struct bytes all[2 * HASH_PIECES + 2];
    uint8_t sizes[HASH_PIECES][4], type[2];
    unsigned n = 0;
    assert(count <= HASH_PIECES);
    TRY(wire_copy(w->request_id, out->request_id, ID_SIZE));
    put_u16(type, (uint16_t)r->type);
    all[n++] = bytes_of(type, sizeof type);
    all[n++] = bytes_of(r->session.keyring_id, ID_SIZE);
    for (unsigned i = 0; i < count; i++) {
        put_u32(sizes[i], (uint32_t)pieces[i].size);
        all[n++] = bytes_of(sizes[i], sizeof sizes[i]);
        all[n++] = pieces[i];
    }
    digest_sha256(all, n, out->request_hash);
    memcpy(out->client, r->client->spki_hash, sizeof out->client);
    out->base_index = w->base_index;
    out->present = true;
    return ERR_OK;
}

enum err op_create_take(struct create_op *op, const struct core_reply *core)
{
    for (unsigned i = 0; i < op->count; i++) {
        struct create_object *o = &op->object[i];
        /* A pair comes public first; here and in the answer the private key is first. */
        const unsigned at = op->count - 1 - i;
        TRY(buf_append(&o->blob, core->section[at], LIMIT_BLOB));
        TRY(buf_append(&o->attributes, core->section[op->count + at], LIMIT_BLOB));
        o->generation = 1;
        o->is_private = o->blob.size < BLOB_HEADER || o->blob.data[4] != BLOB_PUBLIC;
    }
    return ERR_OK;
}

/* -- answers ------------------------------------------------------------------------- */

static void answer(struct request *r, bool carried)
{
    const struct create_op *op = r->state;
    Ringkeep__ObjectInfo info[LIMIT_OBJECTS_PER_COMMAND], *pointers[LIMIT_OBJECTS_PER_COMMAND];
    ProtobufCBinaryData blobs[LIMIT_OBJECTS_PER_COMMAND];
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    for (unsigned i = 0; i < op->count; i++) {
        const struct create_object *o = &op->object[i];
        ringkeep__object_info__init(&info[i]);
        info[i].object_id = wire_array(o->object_id, ID_SIZE);
        info[i].handle = o->handle;
        info[i].generation = o->generation;
        info[i].attributes = wire_data(buf_bytes(&o->attributes));
        info[i].is_private = o->is_private;
        pointers[i] = &info[i];
        blobs[i] = wire_data(buf_bytes(&o->blob));
    }
    reply.n_objects = op->count;
    reply.objects = pointers;
    reply.n_blobs = carried ? op->count : 0;
    reply.blobs = blobs;
    request_reply(r, &reply);
}

void op_create_carried(struct request *r)
{
    answer(r, true);
}

/* -- what is stored -------------------------------------------------------------------- */

static void ask_attributes(struct request *r);

static void on_attributes(struct request *r, enum err e, const struct core_reply *core)
{
    struct create_op *op = r->state;
    struct create_object *o = &op->object[op->next];
    if (e == ERR_OK) {
        e = buf_append(&o->attributes, core->section[0], LIMIT_BLOB);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    op->next++;
    ask_attributes(r);
}

/* Objects of an earlier try: their blob is not the one that this request made. */
static void ask_attributes(struct request *r)
{
    struct create_op *op = r->state;
    while (op->next < op->count &&
           (op->object[op->next].attributes.size > 0 || op->object[op->next].blob.size == 0)) {
        op->next++;
    }
    if (op->next == op->count) {
        answer(r, false);
        return;
    }
    const struct core_request q = { .verb = CORE_ATTRIBUTES,
                                    .handle = r->session.handle,
                                    .section = { buf_bytes(&op->object[op->next].blob) } };
    request_core(r, &q, on_attributes);
}

/* Compares with what the store has; an object destroyed since stays without
 * attributes. */
static enum err load(const struct request *r, const struct store_view *view, struct create_object *o)
{
    struct blob_header h;
    void *found = NULL;
    const enum err e = query_object(view, r->session.keyring_id, o->object_id, &found);
    if (e == ERR_NOTFOUND) {
        buf_drop(&o->blob);
        buf_drop(&o->attributes);
        return ERR_OK;
    }
    TRY(e);
    const Ringkeep__ObjectRow *row = found;
    const struct bytes stored = wire_bytes(row->blob);
    o->handle = row->handle;
    enum err result = blob_parse(stored, &h) == ERR_OK ? ERR_OK : ERR_CORRUPT;
    if (result == ERR_OK) {
        o->generation = h.generation;
        o->is_private = h.kind != BLOB_PUBLIC;
    }
    if (result == ERR_OK && !bytes_equal(stored, buf_bytes(&o->blob))) {
        buf_drop(&o->attributes);
        buf_clear(&o->blob);
        result = buf_append(&o->blob, stored, LIMIT_BLOB);
    }
    query_drop(found);
    return result;
}

static void on_visible(struct request *r, enum err e, uint64_t index)
{
    struct create_op *op = r->state;
    STORE_VIEW_SCOPED *view = NULL;
    (void)index;
    if (e == ERR_OK) {
        e = store_view_open(r->a->store, &view);
    }
    for (unsigned i = 0; i < op->count && e == ERR_OK; i++) {
        e = load(r, view, &op->object[i]);
    }
    if (e != ERR_OK) {
        /* It is done, but this member cannot show it yet: the same request id finds
         * the outcome. */
        request_fail(r, e == ERR_LAGGING ? ERR_UNKNOWN_OUTCOME : e);
        return;
    }
    r->index = store_view_index(view);
    op->next = 0;
    ask_attributes(r);
}

void op_create_outcome(struct request *r, enum err e, const struct outcome *outcome)
{
    const struct create_op *op = r->state;
    if (outcome != NULL) {
        r->index = outcome->index;
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    for (unsigned i = 0; i < op->count; i++) {
        catalogue_drop_object(r->a->catalogue, r->session.keyring_id, op->object[i].object_id);
    }
    request_visible(r, outcome->index, on_visible);
}

void op_create_propose(struct request *r)
{
    const struct create_op *op = r->state;
    Ringkeep__ObjectsCreate m = RINGKEEP__OBJECTS_CREATE__INIT;
    Ringkeep__NewObject rows[LIMIT_OBJECTS_PER_COMMAND], *pointers[LIMIT_OBJECTS_PER_COMMAND];
    for (unsigned i = 0; i < op->count; i++) {
        ringkeep__new_object__init(&rows[i]);
        rows[i].object_id = wire_array(op->object[i].object_id, ID_SIZE);
        rows[i].blob = wire_data(buf_bytes(&op->object[i].blob));
        pointers[i] = &rows[i];
    }
    m.keyring_id = wire_array(r->session.keyring_id, ID_SIZE);
    m.n_objects = op->count;
    m.objects = pointers;
    request_propose(
        r, &op->origin, RINGKEEP__COMMAND__VERB_OBJECTS_CREATE, &m, op_create_outcome);
}

bool op_create_remembered(struct request *r)
{
    const struct create_op *op = r->state;
    MESSAGE_SCOPED *arena = NULL;
    struct bytes value;
    void *message = NULL;
    const struct bytes key = bytes_of(op->origin.request_id, ID_SIZE);
    if (store_get(r->view, STORE_OUTCOMES, key, &value) != ERR_OK ||
        message_unpack(&ringkeep__outcome_row__descriptor, value, &arena, &message) != ERR_OK) {
        return false;
    }
    const Ringkeep__OutcomeRow *row = message;
    const struct outcome known = { .error = err_from_wire(row->error), .index = row->index };
    if (!bytes_equal(wire_bytes(row->client), bytes_of(op->origin.client, 32)) ||
        !bytes_equal(wire_bytes(row->request_hash), bytes_of(op->origin.request_hash, 32))) {
        return false; /* apply refuses it: same id, another request */
    }
    op_create_outcome(r, known.error, &known);
    return true;
}
