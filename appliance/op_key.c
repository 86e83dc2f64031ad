/* SPDX-License-Identifier: Apache-2.0 */
/* Generate, import, create public objects: the core makes the blobs, one command
 * stores them. Loop thread. */
#include <assert.h>
#include <string.h>

#include "appliance/op_create.h"
#include "proto/envelope.h"
#include "proto/template.h"
#include "sks/blob.h"

#include <client.pb-c.h>

#include "appliance/wire.h"

static const struct bytes nothing;

/* -- common --------------------------------------------------------------------------- */

static struct create_op *begin(struct request *r)
{
    return request_state(r, sizeof(struct create_op), op_create_drop);
}

static void on_stored_blobs(struct request *r, enum err e, const struct core_reply *core)
{
    if (e == ERR_OK) {
        e = op_create_take(r->state, core);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    op_create_propose(r);
}

static void on_carried_blobs(struct request *r, enum err e, const struct core_reply *core)
{
    if (e == ERR_OK) {
        e = op_create_take(r->state, core);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    op_create_carried(r);
}

/* Asks the core, unless the store knows the answer to this request id. */
static void make(struct request *r, const struct core_request *q, bool token)
{
    if (token && op_create_remembered(r)) {
        return;
    }
    request_core(r, q, token ? on_stored_blobs : on_carried_blobs);
}

static enum err check_write(bool token, const void *write)
{
    return token == (write != NULL) ? ERR_OK : ERR_MALFORMED;
}

/* -- generate ---------------------------------------------------------------------------- */

static enum err parse_generate(struct request *r, struct create_op *op)
{
    const Ringkeep__Generate *m = r->message;
    const struct bytes template = m->has_template_ ? wire_bytes(m->template_) : nothing;
    const struct bytes public_template =
        m->has_public_template ? wire_bytes(m->public_template) : nothing;
    uint8_t mechanism[9];
    TRY(check_write(m->token, m->write));
    TRY(template_check(template));
    TRY(template_check(public_template));
    TRY(wire_copy(m->object_id, op->object[0].object_id, ID_SIZE));
    op->count = 1;
    if (m->has_public_object_id) {
        TRY(wire_copy(m->public_object_id, op->object[1].object_id, ID_SIZE));
        op->count = 2;
    }
    if (!m->token) {
        return ERR_OK;
    }
    put_u64(mechanism, m->mechanism);
    mechanism[8] = (uint8_t)op->count;
    const struct bytes pieces[] = {
        bytes_of(mechanism, sizeof mechanism), template,
        public_template,                       wire_bytes(m->object_id),
        m->has_public_object_id ? wire_bytes(m->public_object_id) : nothing,
    };
    return op_create_origin(r, m->write, pieces, sizeof pieces / sizeof pieces[0], &op->origin);
}

void op_generate(struct request *r)
{
    const Ringkeep__Generate *m = r->message;
    struct create_op *op = begin(r);
    if (op == NULL) {
        return;
    }
    const enum err e = parse_generate(r, op);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const struct bytes template = m->has_template_ ? wire_bytes(m->template_) : nothing;
    struct core_request q = { .verb = CORE_GENERATE_KEY,
                              .handle = r->session.handle,
                              .mechanism = m->mechanism,
                              .number = m->token ? BLOB_TOKEN : BLOB_SESSION };
    if (op->count == 2) {
        q.verb = CORE_GENERATE_PAIR;
        q.section[0] = m->has_public_template ? wire_bytes(m->public_template) : nothing;
        q.section[1] = template;
        q.section[2] = wire_bytes(m->public_object_id);
        q.section[3] = wire_bytes(m->object_id);
    } else {
        q.section[0] = template;
        q.section[1] = wire_bytes(m->object_id);
    }
    make(r, &q, m->token);
}

/* -- import --------------------------------------------------------------------------------- */

/* The envelope is sealed anew for each try (challenge, core): it is not part of
 * what makes two tries the same request. */
static enum err parse_import(struct request *r, struct create_op *op)
{
    const Ringkeep__Import *m = r->message;
    TRY(check_write(m->token, m->write));
    TRY(template_check(wire_bytes(m->template_)));
    TRY(wire_copy(m->object_id, op->object[0].object_id, ID_SIZE));
    op->count = 1;
    if (m->challenge.len != ID_SIZE || m->envelope.len < ENVELOPE_IMPORT_OVERHEAD ||
        m->envelope.len > ENVELOPE_IMPORT_MAX) {
        return ERR_MALFORMED;
    }
    if (!m->token) {
        return ERR_OK;
    }
    const struct bytes pieces[] = { wire_bytes(m->template_), wire_bytes(m->object_id) };
    return op_create_origin(r, m->write, pieces, sizeof pieces / sizeof pieces[0], &op->origin);
}

void op_import(struct request *r)
{
    const Ringkeep__Import *m = r->message;
    struct create_op *op = begin(r);
    if (op == NULL) {
        return;
    }
    const enum err e = parse_import(r, op);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const struct core_request q = { .verb = CORE_IMPORT,
                                    .handle = r->session.handle,
                                    .number = m->token ? BLOB_TOKEN : BLOB_SESSION,
                                    .section = { wire_bytes(m->template_),
                                                 wire_bytes(m->challenge),
                                                 wire_bytes(m->envelope),
                                                 wire_bytes(m->object_id) } };
    make(r, &q, m->token);
}

/* -- create public --------------------------------------------------------------------------- */

static enum err parse_public(struct request *r, struct create_op *op)
{
    const Ringkeep__CreatePublic *m = r->message;
    TRY(template_check(wire_bytes(m->template_)));
    TRY(wire_copy(m->object_id, op->object[0].object_id, ID_SIZE));
    op->count = 1;
    const struct bytes pieces[] = { wire_bytes(m->template_), wire_bytes(m->object_id) };
    return op_create_origin(r, m->write, pieces, sizeof pieces / sizeof pieces[0], &op->origin);
}

void op_create_public(struct request *r)
{
    const Ringkeep__CreatePublic *m = r->message;
    struct create_op *op = begin(r);
    if (op == NULL) {
        return;
    }
    const enum err e = parse_public(r, op);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const struct core_request q = { .verb = CORE_CREATE_PUBLIC,
                                    .handle = r->session.handle,
                                    .section = { wire_bytes(m->template_), wire_bytes(m->object_id) } };
    make(r, &q, true);
}
