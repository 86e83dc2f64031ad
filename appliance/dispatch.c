/* SPDX-License-Identifier: Apache-2.0 */
/* From a frame to its handler. The table is ops.def; "absent" and "not yours" get
 * the same answer. Loop thread. */
#include "appliance/dispatch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/ops.h"
#include "base/log.h"
#include "keyring/query.h"

#include <admin.pb-c.h>
#include <client.pb-c.h>
#include <peer.pb-c.h>

#include "appliance/wire.h"

/* Least states by the words of ops.def. */
enum needs {
    NEEDS_ANY = CORE_UNINITIALISED,
    NEEDS_INITIALISED = CORE_INITIALISED,
    NEEDS_MEMBER = CORE_MEMBER,
    NEEDS_AUTHORIZED = CORE_AUTHORIZED
};

static const ProtobufCMessageDescriptor *const descriptors[] = {
#define FRAME(number, name, message) [number] = &ringkeep__##message##__descriptor,
#include "proto/frame.def"
#undef FRAME
};

static const struct op_row rows[DISPATCH_TYPES] = {
#define OP(frame, handler_, right_, state_, audit_, deadline_, largest_) \
    [FRAME_##frame] = { .handler = handler_,                             \
                        .right = OP_##right_,                            \
                        .state = (enum core_state)NEEDS_##state_,        \
                        .audit = audit_,                                 \
                        .deadline_ms = deadline_,                        \
                        .largest = largest_ },
#include "appliance/ops.def"
#undef OP
};

const struct op_row *dispatch_find(unsigned type)
{
    return type < DISPATCH_TYPES && rows[type].handler != NULL ? &rows[type] : NULL;
}

/* -- fields that many messages have, by name ------------------------------------------ */

static const void *field(const struct request *r, const char *name, ProtobufCType type)
{
    const ProtobufCMessage *m = r->message;
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
    if (f == NULL || f->type != type) {
        return NULL;
    }
    const uint8_t *base = (const uint8_t *)m;
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL) {
        protobuf_c_boolean present = 0;
        memcpy(&present, base + f->quantifier_offset, sizeof present);
        if (!present) {
            return NULL;
        }
    }
    return base + f->offset;
}

static bool field_u64(const struct request *r, const char *name, uint64_t *out)
{
    const void *at = field(r, name, PROTOBUF_C_TYPE_UINT64);
    if (at == NULL) {
        return false;
    }
    memcpy(out, at, sizeof *out);
    return true;
}

/* -- checks ------------------------------------------------------------------------------ */

static enum err check_session(struct request *r)
{
    uint64_t id = 0;
    const bool named = field_u64(r, "session", &id);
    if (r->row->right == OP_NONE) {
        return ERR_OK;
    }
    const struct session *s = named ? sessions_find(&r->client->sessions, id) : NULL;
    if (s == NULL || (r->row->right == OP_LOGIN && !s->login)) {
        return ERR_LOGIN_REQUIRED;
    }
    r->session = *s;
    return ERR_OK;
}

static enum err check_assignment(const struct request *r,
                                 const struct store_view *view,
                                 const uint8_t keyring_id[ID_SIZE])
{
    void *row = NULL;
    TRY(query_assignment(view, r->client->spki_hash, keyring_id, &row));
    query_drop(row);
    return ERR_OK;
}

/* The keyring that the request is about: its session's, or the one it names. */
static enum err check_keyring(const struct request *r, const struct store_view *view)
{
    uint8_t id[ID_SIZE];
    if (r->session.id != 0) {
        return check_assignment(r, view, r->session.keyring_id);
    }
    const ProtobufCBinaryData *named = field(r, "keyring_id", PROTOBUF_C_TYPE_BYTES);
    if (named == NULL) {
        return ERR_OK;
    }
    TRY(wire_copy(*named, id, sizeof id));
    return check_assignment(r, view, id);
}

enum err op_view(struct request *r, const uint8_t keyring_id[ID_SIZE], struct store_view **out)
{
    STORE_VIEW_SCOPED *view = NULL;
    TRY(store_view_open(r->a->store, &view));
    TRY(client_check(r->client, view));
    TRY(check_assignment(r, view, keyring_id));
    r->index = store_view_index(view);
    *out = view;
    view = NULL;
    return ERR_OK;
}

static void refuse_identity(struct request *r)
{
    struct server_conn *conn = r->client->conn;
    server_hold(conn);
    request_fail(r, ERR_IDENTITY);
    server_end(conn);
    server_release(conn);
}

static enum err check_view(struct request *r, const struct store_view *view)
{
    TRY(client_check(r->client, view));
    server_know(r->client->conn);
    return check_keyring(r, view);
}

/* The handler runs inside the view that the checks were made in. */
static void run_in(struct request *r, struct store_view *view)
{
    const enum err e = check_view(r, view);
    if (e == ERR_IDENTITY) {
        refuse_identity(r);
        return;
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    r->index = store_view_index(view);
    r->view = view;
    r->row->handler(r);
}

/* A view opened now is fresh enough, though its own index may be lower: an index can
 * be that of a barrier, which changes nothing in the store (consistency.md 6). */
static void on_fresh(struct request *r, enum err e, uint64_t index)
{
    STORE_VIEW_SCOPED *view = NULL;
    (void)index;
    if (e == ERR_OK) {
        e = store_view_open(r->a->store, &view);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    run_in(r, view);
}

static void run(struct request *r)
{
    uint64_t min_index = 0;
    struct replica_status before; /* the view: what is visible now is in it */
    STORE_VIEW_SCOPED *view = NULL;
    cluster_replica_status(r->a->cluster, &before);
    const enum err e = store_view_open(r->a->store, &view);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    if (field_u64(r, "min_index", &min_index) && min_index > store_view_index(view) &&
        min_index > before.visible_index) {
        store_view_close(view);
        view = NULL;
        request_visible(r, min_index, on_fresh);
        return;
    }
    run_in(r, view);
}

/* One that was unknown may have been registered meanwhile. */
static enum err check_standing(const struct appliance *a, struct client *c)
{
    STORE_VIEW_SCOPED *view = NULL;
    if (c->standing == ERR_OK) {
        return ERR_OK;
    }
    TRY(store_view_open(a->store, &view));
    return client_check(c, view);
}

static enum err check(struct request *r, const struct frame *frame)
{
    void *message = NULL;
    if (server_held(r->client->conn) > LIMIT_REQUESTS_PER_CONNECTION) {
        return ERR_BUSY;
    }
    if (frame->payload.size + FRAME_HEAD > r->row->largest) {
        return ERR_TOO_LARGE;
    }
    TRY(appliance_state_check(r->a, r->row->state));
    if (r->row->right != OP_NONE &&
        poison_paused(&r->a->poison, r->client->spki_hash, clock_mono_ms(r->a->clock))) {
        return ERR_QUARANTINED;
    }
    TRY(message_unpack(descriptors[r->type], frame->payload, &r->arena, &message));
    r->message = message;
    return check_session(r);
}

static void unknown_type(struct client *c, const struct frame *frame)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    reply.error = ERR_UNSUPPORTED;
    log_security("session", c->who, "request of unknown type", err_name(ERR_UNSUPPORTED));
    const unsigned type = (frame->type & ~FRAME_REPLY) | FRAME_REPLY;
    if (server_send(c->conn, type, frame->request, &reply) != ERR_OK) {
        server_drop(c->conn);
    }
}

void dispatch_frame(struct appliance *a, struct client *c, const struct frame *frame)
{
    const struct op_row *row = dispatch_find(frame->type);
    if (row == NULL) {
        unknown_type(c, frame);
        return;
    }
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        server_drop(c->conn);
        return;
    }
    r->a = a;
    r->client = c;
    r->row = row;
    r->number = frame->request;
    r->type = frame->type;
    r->deadline_ms = clock_mono_ms(a->clock) + row->deadline_ms;
    server_hold(c->conn);
    if (check_standing(a, c) != ERR_OK) {
        refuse_identity(r);
        return;
    }
    const enum err e = check(r, frame);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    run(r);
}
