/* SPDX-License-Identifier: Apache-2.0 */
/* Making, changing and using keys. Ids and the base index of a write are chosen
 * once, before its first attempt: a retry anywhere is the same write. */
#include <assert.h>
#include <string.h>

#include "base/random.h"
#include "client.pb-c.h"
#include "client/client_login.h"
#include "client/client_pb.h"
#include "client/client_session.h"
#include "client/client_text.h"

#define RANDOM_CHUNK 65536u

/* -- writes ------------------------------------------------------------------------ */

struct write {
    uint8_t request_id[ID_SIZE];
    uint8_t object_id[ID_SIZE];
    uint8_t public_object_id[ID_SIZE];
    Ringkeep__Write message;
};

static void begin_write(struct ringkeep_client *c, struct write *w)
{
    static const Ringkeep__Write empty = RINGKEEP__WRITE__INIT;
    random_fill(random_system(), w->request_id, ID_SIZE);
    random_fill(random_system(), w->object_id, ID_SIZE);
    random_fill(random_system(), w->public_object_id, ID_SIZE);
    w->message = empty;
    w->message.request_id = client_pb_of(w->request_id, ID_SIZE);
    w->message.base_index = client_call_index(c);
}

static bool show_object(const Ringkeep__ObjectInfo *o, struct bytes blob, ringkeep_object_cb cb, void *arg)
{
    struct ringkeep_object out = { 0 };
    memcpy(out.object_id, o->object_id.data, ID_SIZE);
    out.handle = o->handle;
    out.is_private = o->is_private;
    out.attributes = o->attributes.data;
    out.attributes_size = o->attributes.len;
    out.blob = blob.data;
    out.blob_size = blob.size;
    return cb(arg, &out);
}

static bool objects_ok(const struct Ringkeep__Reply *r, size_t wanted)
{
    bool ok = r->n_objects == wanted && (r->n_blobs == 0 || r->n_blobs == wanted);
    for (size_t i = 0; i < r->n_objects && ok; i++) {
        ok = r->objects[i]->object_id.len == ID_SIZE && r->objects[i]->attributes.len <= LIMIT_TEMPLATE;
    }
    return ok;
}

/* Shows what was made: the object asked for first, the public one of a pair last. */
static enum err show_made(const struct Ringkeep__Reply *r,
                          size_t wanted,
                          const uint8_t first_id[ID_SIZE],
                          ringkeep_object_cb cb,
                          void *arg)
{
    if (!objects_ok(r, wanted)) {
        client_text_set("a member's answer about what it made breaks the protocol; look it up");
        return ERR_PROTOCOL;
    }
    const bool turned = wanted == 2 && memcmp(r->objects[1]->object_id.data, first_id, ID_SIZE) == 0;
    bool going = cb != NULL;
    for (size_t n = 0; n < wanted && going; n++) {
        const size_t i = turned ? wanted - 1 - n : n;
        const struct bytes none = { NULL, 0 };
        going = show_object(r->objects[i], r->n_blobs == 0 ? none : client_pb_bytes(r->blobs[i]), cb, arg);
    }
    return ERR_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the public API's parameters */
int ringkeep_generate(struct ringkeep_client *c,
                      const uint8_t keyring_id[16],
                      uint64_t mechanism,
                      const void *template_tlv,
                      size_t template_size,
                      const void *public_template_tlv,
                      size_t public_template_size,
                      bool token,
                      ringkeep_object_cb cb,
                      void *arg)
{
    Ringkeep__Generate m = RINGKEEP__GENERATE__INIT;
    struct client_request r = { 0 };
    struct write w;
    if (template_size > LIMIT_TEMPLATE || public_template_size > LIMIT_TEMPLATE) {
        return ERR_TOO_LARGE;
    }
    begin_write(c, &w);
    m.mechanism = mechanism;
    m.has_template_ = template_tlv != NULL;
    m.template_ = client_pb_of(template_tlv, template_size);
    m.has_public_template = public_template_tlv != NULL;
    m.public_template = client_pb_of(public_template_tlv, public_template_size);
    m.object_id = client_pb_of(w.object_id, ID_SIZE);
    m.has_public_object_id = m.has_public_template;
    m.public_object_id = client_pb_of(w.public_object_id, ID_SIZE);
    m.token = token;
    m.write = token ? &w.message : NULL;
    r.base_index = token ? &w.message.base_index : NULL;
    r.keyring_id = keyring_id;
    r.type = FRAME_GENERATE;
    r.message = &m;
    r.session = &m.session;
    enum err e = client_session_run(c, &r, 0, token);
    if (e == ERR_OK) {
        e = show_made(r.reply, m.has_public_template ? 2 : 1, w.object_id, cb, arg);
    }
    message_drop(&r.arena);
    return (int)e;
}

/* -- import -------------------------------------------------------------------------- */

struct importing {
    const uint8_t *keyring_id;
    struct bytes template_list, material;
    Ringkeep__Import *message;
    uint8_t challenge[ID_SIZE];
    struct buf envelope;
};

/* The envelope is for one challenge of one core: made anew for each attempt. */
static enum err prepare_import(struct client_call *call, void *arg)
{
    struct importing *im = arg;
    CLIENT_CHALLENGE_SCOPED ch = { 0 };
    struct envelope_context context = { 0 };
    uint8_t packed[ENVELOPE_IMPORT_CONTEXT];
    uint8_t *at = NULL;
    TRY(client_login_challenge(call, im->keyring_id, false, &ch));
    memcpy(im->challenge, ch.challenge, ID_SIZE);
    memcpy(context.cluster_id, call->client->config.cluster_id, ID_SIZE);
    memcpy(context.challenge, ch.challenge, ID_SIZE);
    memcpy(context.kr_id, im->keyring_id, ID_SIZE);
    memcpy(context.client_spki, call->client->spki_hash, X509_SPKI_HASH);
    envelope_import_context(&context, im->template_list, packed);
    const size_t size = im->material.size + ENVELOPE_IMPORT_OVERHEAD;
    buf_clear(&im->envelope);
    TRY(buf_reserve(&im->envelope, size, ENVELOPE_IMPORT_MAX, &at));
    TRY(envelope_import_seal(ch.key.lk_pub, packed, im->material, at));
    im->envelope.size = size;
    im->message->challenge = client_pb_of(im->challenge, ID_SIZE);
    im->message->envelope = client_pb_of(im->envelope.data, size);
    return ERR_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the public API's parameters */
int ringkeep_import(struct ringkeep_client *c,
                    const uint8_t keyring_id[16],
                    const void *template_tlv,
                    size_t template_size,
                    const void *material,
                    size_t material_size,
                    bool token,
                    ringkeep_object_cb cb,
                    void *arg)
{
    Ringkeep__Import m = RINGKEEP__IMPORT__INIT;
    struct client_request r = { 0 };
    struct importing im = { 0 };
    struct write w;
    if (template_size > LIMIT_TEMPLATE || material_size > LIMIT_IMPORT_MATERIAL) {
        return ERR_TOO_LARGE;
    }
    begin_write(c, &w);
    im.keyring_id = keyring_id;
    im.template_list = bytes_of(template_tlv, template_size);
    im.material = bytes_of(material, material_size);
    im.message = &m;
    m.template_ = client_pb_of(template_tlv, template_size);
    m.object_id = client_pb_of(w.object_id, ID_SIZE);
    m.token = token;
    m.write = token ? &w.message : NULL;
    r.base_index = token ? &w.message.base_index : NULL;
    r.keyring_id = keyring_id;
    r.type = FRAME_IMPORT;
    r.message = &m;
    r.session = &m.session;
    r.prepare = prepare_import;
    r.prepare_arg = &im;
    enum err e = client_session_run(c, &r, 0, token);
    if (e == ERR_OK) {
        e = show_made(r.reply, 1, w.object_id, cb, arg);
    }
    message_drop(&r.arena);
    buf_drop(&im.envelope);
    return (int)e;
}

/* -- public objects, attributes, destroy ------------------------------------------------ */

int ringkeep_create_public(struct ringkeep_client *c,
                           const uint8_t keyring_id[16],
                           const void *template_tlv,
                           size_t template_size,
                           ringkeep_object_cb cb,
                           void *arg)
{
    Ringkeep__CreatePublic m = RINGKEEP__CREATE_PUBLIC__INIT;
    struct client_request r = { 0 };
    struct write w;
    if (template_size > LIMIT_TEMPLATE) {
        return ERR_TOO_LARGE;
    }
    begin_write(c, &w);
    m.template_ = client_pb_of(template_tlv, template_size);
    m.object_id = client_pb_of(w.object_id, ID_SIZE);
    m.write = &w.message;
    r.base_index = &w.message.base_index;
    r.keyring_id = keyring_id;
    r.type = FRAME_CREATE_PUBLIC;
    r.message = &m;
    r.session = &m.session;
    enum err e = client_session_run(c, &r, 0, true);
    if (e == ERR_OK) {
        e = show_made(r.reply, 1, w.object_id, cb, arg);
    }
    message_drop(&r.arena);
    return (int)e;
}

int ringkeep_set_attributes(struct ringkeep_client *c,
                            const uint8_t keyring_id[16],
                            const uint8_t object_id[16],
                            const void *template_tlv,
                            size_t template_size,
                            ringkeep_object_cb cb,
                            void *arg)
{
    Ringkeep__SetAttributes m = RINGKEEP__SET_ATTRIBUTES__INIT;
    struct client_request r = { 0 };
    struct write w;
    if (template_size > LIMIT_TEMPLATE) {
        return ERR_TOO_LARGE;
    }
    begin_write(c, &w);
    m.object_id = client_pb_of(object_id, ID_SIZE);
    m.template_ = client_pb_of(template_tlv, template_size);
    m.write = &w.message;
    r.base_index = &w.message.base_index;
    r.keyring_id = keyring_id;
    r.type = FRAME_SET_ATTRIBUTES;
    r.message = &m;
    r.session = &m.session;
    enum err e = client_session_run(c, &r, 0, true);
    if (e == ERR_OK && r.reply->n_objects > 0) {
        e = show_made(r.reply, 1, object_id, cb, arg);
    }
    message_drop(&r.arena);
    return (int)e;
}

int ringkeep_destroy(struct ringkeep_client *c, const uint8_t keyring_id[16], const uint8_t object_id[16])
{
    Ringkeep__Destroy m = RINGKEEP__DESTROY__INIT;
    struct client_request r = { 0 };
    struct write w;
    begin_write(c, &w);
    m.object_id = client_pb_of(object_id, ID_SIZE);
    m.write = &w.message;
    r.base_index = &w.message.base_index;
    r.keyring_id = keyring_id;
    r.type = FRAME_DESTROY;
    r.message = &m;
    r.session = &m.session;
    const enum err e = client_session_run(c, &r, 0, true);
    message_drop(&r.arena);
    return (int)e;
}

/* -- use ---------------------------------------------------------------------------------- */

static unsigned operation_frame(enum ringkeep_operation operation)
{
    switch (operation) {
        case RINGKEEP_SIGN: return FRAME_SIGN;
        case RINGKEEP_VERIFY: return FRAME_VERIFY;
        case RINGKEEP_ENCRYPT: return FRAME_ENCRYPT;
        case RINGKEEP_DECRYPT: return FRAME_DECRYPT;
        default: return 0;
    }
}

static enum err give_data(const struct Ringkeep__Reply *reply, void *out, size_t *out_size)
{
    if (!reply->has_data) {
        *out_size = 0;
        return ERR_OK;
    }
    const size_t size = reply->data.len;
    const bool fits = size <= *out_size && (out != NULL || size == 0);
    *out_size = size;
    if (!fits) {
        return ERR_TOO_LARGE;
    }
    if (size > 0) {
        memcpy(out, reply->data.data, size);
    }
    return ERR_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the public API's parameters */
int ringkeep_operate(struct ringkeep_client *c,
                     const uint8_t keyring_id[16],
                     enum ringkeep_operation operation,
                     const struct ringkeep_key *key,
                     uint64_t mechanism,
                     const void *parameter,
                     size_t parameter_size,
                     const void *data,
                     size_t data_size,
                     const void *signature,
                     size_t signature_size,
                     void *out,
                     size_t *out_size)
{
    Ringkeep__Operate m = RINGKEEP__OPERATE__INIT;
    Ringkeep__KeyRef ref = RINGKEEP__KEY_REF__INIT;
    struct client_request r = { 0 };
    size_t nothing = 0;
    r.type = operation_frame(operation);
    if (r.type == 0 || (key->blob == NULL && key->object_id == NULL)) {
        return ERR_USAGE;
    }
    if (data_size > LIMIT_DATA) {
        return ERR_DATA_LENGTH;
    }
    ref.has_blob = key->blob != NULL;
    ref.blob = client_pb_of(key->blob, ref.has_blob ? key->blob_size : 0);
    ref.has_object_id = !ref.has_blob;
    ref.object_id = client_pb_of(key->object_id, ref.has_blob ? 0 : ID_SIZE);
    m.key = &ref;
    m.mechanism = mechanism;
    m.has_parameter = parameter_size > 0;
    m.parameter = client_pb_of(parameter, parameter_size);
    m.data = client_pb_of(data, data_size);
    m.has_signature = operation == RINGKEEP_VERIFY;
    m.signature = client_pb_of(signature, m.has_signature ? signature_size : 0);
    r.keyring_id = keyring_id;
    r.message = &m;
    r.session = &m.session;
    r.has_min_index = &m.has_min_index;
    r.min_index = &m.min_index;
    enum err e = client_session_run(c, &r, LIMIT_REQUEST_MS, false);
    if (e == ERR_OK) {
        e = give_data(r.reply, out, out_size == NULL ? &nothing : out_size);
    }
    message_drop(&r.arena);
    return (int)e;
}

struct randomness {
    uint8_t *out;
    size_t size;
};

static enum err attempt_random(struct client_call *call, void *arg)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Random m = RINGKEEP__RANDOM__INIT;
    const struct randomness *x = arg;
    m.size = (uint32_t)x->size;
    TRY(client_call_exchange(call, FRAME_RANDOM, &m, &arena, &reply));
    if (!reply->has_data || reply->data.len != x->size) {
        call->conn->broken = true;
        return ERR_PROTOCOL;
    }
    memcpy(x->out, reply->data.data, x->size);
    return ERR_OK;
}

int ringkeep_random(struct ringkeep_client *c, void *out, size_t size)
{
    uint8_t *at = out;
    while (size > 0) {
        struct randomness x = { at, size < RANDOM_CHUNK ? size : RANDOM_CHUNK };
        TRY(client_call_run(c, LIMIT_REQUEST_MS, false, attempt_random, &x));
        at += x.size;
        size -= x.size;
    }
    return ERR_OK;
}
