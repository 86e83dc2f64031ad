/* SPDX-License-Identifier: Apache-2.0 */
/* Sign, verify, encrypt, decrypt: one read of the blob, one call of the core; no
 * raft, no disk write. A key is a stored object by id, or the client's own session
 * object as a blob of kind 2; no other blob is taken from a client (crypto-spec
 * section 2). Loop thread. */
#include <assert.h>
#include <string.h>

#include "appliance/ops.h"
#include "keyring/query.h"
#include "sks/blob.h"

#include <client.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

struct operation {
    unsigned verb;
    bool verify;
};
static const struct operation operations[] = {
    [FRAME_SIGN] = { CORE_SIGN, false },
    [FRAME_VERIFY] = { CORE_VERIFY, true },
    [FRAME_ENCRYPT] = { CORE_ENCRYPT, false },
    [FRAME_DECRYPT] = { CORE_DECRYPT, false },
};

static void on_result(struct request *r, enum err e, const struct core_reply *core)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    if (!operations[r->type].verify) {
        reply.has_data = 1;
        reply.data = wire_data(core->section[0]);
    }
    request_reply(r, &reply);
}

static void ask_core(struct request *r, struct bytes blob)
{
    const Ringkeep__Operate *m = r->message;
    struct core_request q = { .verb = operations[r->type].verb,
                              .handle = r->session.handle,
                              .mechanism = m->mechanism,
                              .section = { blob, { 0 }, wire_bytes(m->data) } };
    if (m->has_parameter) {
        q.section[1] = wire_bytes(m->parameter);
    }
    if (m->has_signature) {
        q.section[3] = wire_bytes(m->signature);
    }
    request_core(r, &q, on_result);
}

/* A session object: its holder sends it. */
static enum err check_carried(const struct request *r, struct bytes blob)
{
    struct blob_header h;
    TRY(blob_parse(blob, &h));
    if (!r->session.login) {
        return ERR_LOGIN_REQUIRED;
    }
    if (h.kind != BLOB_SESSION || memcmp(h.keyring_id, r->session.keyring_id, ID_SIZE) != 0) {
        return ERR_REFUSED;
    }
    return ERR_OK;
}

/* A stored one: who has no ticket sees the public ones only. */
static enum err check_stored(const struct request *r, struct bytes blob)
{
    struct blob_header h;
    if (blob_parse(blob, &h) != ERR_OK) {
        return ERR_CORRUPT;
    }
    return h.kind == BLOB_PUBLIC || r->session.login ? ERR_OK : ERR_NOTFOUND;
}

static void operate_stored(struct request *r, ProtobufCBinaryData id)
{
    uint8_t object_id[ID_SIZE];
    void *found = NULL;
    enum err e = wire_copy(id, object_id, sizeof object_id);
    if (e == ERR_OK) {
        e = query_object(r->view, r->session.keyring_id, object_id, &found);
    }
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const Ringkeep__ObjectRow *object = found;
    e = check_stored(r, wire_bytes(object->blob));
    if (e == ERR_OK) {
        ask_core(r, wire_bytes(object->blob));
    } else {
        request_fail(r, e);
    }
    query_drop(found);
}

void op_operate(struct request *r)
{
    const Ringkeep__Operate *m = r->message;
    assert(r->type < sizeof operations / sizeof operations[0]);
    const bool carried = m->key->has_blob && !m->key->has_object_id;
    const bool stored = m->key->has_object_id && !m->key->has_blob;
    if (!carried && !stored) {
        request_fail(r, ERR_MALFORMED);
        return;
    }
    if (m->has_signature != operations[r->type].verify || m->data.len > LIMIT_DATA) {
        request_fail(r, m->data.len > LIMIT_DATA ? ERR_TOO_LARGE : ERR_MALFORMED);
        return;
    }
    if (stored) {
        operate_stored(r, m->key->object_id);
        return;
    }
    const enum err e = check_carried(r, wire_bytes(m->key->blob));
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    ask_core(r, wire_bytes(m->key->blob));
}
