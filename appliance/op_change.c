/* SPDX-License-Identifier: Apache-2.0 */
/* Change of attributes (a new generation of the blob, made by the core) and
 * destruction. Loop thread. */
#include <assert.h>
#include <string.h>

#include "appliance/op_create.h"
#include "keyring/query.h"
#include "proto/template.h"
#include "sks/blob.h"

#include <client.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

#define CKA_DESTROYABLE 0x172u

/* -- set attributes --------------------------------------------------------------------- */

static void on_resealed(struct request *r, enum err e, const struct core_reply *core)
{
    struct create_op *op = r->state;
    struct blob_header h;
    if (e == ERR_OK) {
        e = op_create_take(op, core);
    }
    if (e == ERR_OK) {
        e = blob_parse(buf_bytes(&op->object[0].blob), &h) == ERR_OK ? ERR_OK : ERR_PROTOCOL;
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    Ringkeep__ObjectUpdate m = RINGKEEP__OBJECT_UPDATE__INIT;
    m.keyring_id = wire_array(r->session.keyring_id, ID_SIZE);
    m.object_id = wire_array(op->object[0].object_id, ID_SIZE);
    m.blob = wire_data(buf_bytes(&op->object[0].blob));
    m.generation = h.generation;
    request_propose(r, &op->origin, RINGKEEP__COMMAND__VERB_OBJECT_UPDATE, &m, op_create_outcome);
}

static void reseal(struct request *r, const Ringkeep__SetAttributes *m)
{
    const struct create_op *op = r->state;
    void *found = NULL;
    const enum err e = query_object(r->view, r->session.keyring_id, op->object[0].object_id, &found);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const Ringkeep__ObjectRow *row = found;
    const struct core_request q = { .verb = CORE_SET_ATTRIBUTES,
                                    .handle = r->session.handle,
                                    .section = { wire_bytes(row->blob), wire_bytes(m->template_) } };
    request_core(r, &q, on_resealed);
    query_drop(found);
}

static enum err parse(struct request *r, struct create_op *op)
{
    const Ringkeep__SetAttributes *m = r->message;
    TRY(template_check(wire_bytes(m->template_)));
    TRY(wire_copy(m->object_id, op->object[0].object_id, ID_SIZE));
    op->count = 1;
    const struct bytes pieces[] = { wire_bytes(m->object_id), wire_bytes(m->template_) };
    return op_create_origin(r, m->write, pieces, sizeof pieces / sizeof pieces[0], &op->origin);
}

void op_set_attributes(struct request *r)
{
    struct create_op *op = request_state(r, sizeof *op, op_create_drop);
    if (op == NULL) {
        return;
    }
    const enum err e = parse(r, op);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    if (!op_create_remembered(r)) {
        reseal(r, r->message);
    }
}

/* -- destroy ------------------------------------------------------------------------------- */

struct destroy_op {
    uint8_t object_id[ID_SIZE];
    struct command_origin origin;
};

static void on_destroyed(struct request *r, enum err e, const struct outcome *outcome)
{
    const struct destroy_op *op = r->state;
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    if (outcome != NULL) {
        r->index = outcome->index;
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    catalogue_drop_object(r->a->catalogue, r->session.keyring_id, op->object_id);
    request_reply(r, &reply);
}

static void propose_destroy(struct request *r)
{
    const struct destroy_op *op = r->state;
    Ringkeep__ObjectDestroy m = RINGKEEP__OBJECT_DESTROY__INIT;
    m.keyring_id = wire_array(r->session.keyring_id, ID_SIZE);
    m.object_id = wire_array(op->object_id, ID_SIZE);
    request_propose(r, &op->origin, RINGKEEP__COMMAND__VERB_OBJECT_DESTROY, &m, on_destroyed);
}

/* CKA_DESTROYABLE false stays; an object that no core can open may go. */
static void on_attributes(struct request *r, enum err e, const struct core_reply *core)
{
    bool destroyable = true;
    if (e == ERR_OK) {
        const enum err found = template_get_bool(core->section[0], CKA_DESTROYABLE, &destroyable);
        e = found == ERR_NOTFOUND ? ERR_OK : found;
    } else if (e == ERR_REFUSED) {
        e = ERR_OK;
    }
    if (e != ERR_OK || !destroyable) {
        request_fail(r, e != ERR_OK ? e : ERR_REFUSED);
        return;
    }
    propose_destroy(r);
}

void op_destroy(struct request *r)
{
    const Ringkeep__Destroy *m = r->message;
    void *found = NULL;
    struct destroy_op *op = request_state(r, sizeof *op, NULL);
    if (op == NULL) {
        return;
    }
    const struct bytes piece = wire_bytes(m->object_id);
    enum err e = wire_copy(m->object_id, op->object_id, ID_SIZE);
    if (e == ERR_OK) {
        e = op_create_origin(r, m->write, &piece, 1, &op->origin);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    if (query_object(r->view, r->session.keyring_id, op->object_id, &found) != ERR_OK) {
        propose_destroy(r); /* absent: the first outcome of a retry, or ERR_NOTFOUND */
        return;
    }
    const struct core_request q = { .verb = CORE_ATTRIBUTES,
                                    .handle = r->session.handle,
                                    .section = { wire_bytes(((Ringkeep__ObjectRow *)found)->blob) } };
    request_core(r, &q, on_attributes);
    query_drop(found);
}
