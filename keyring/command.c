/* SPDX-License-Identifier: Apache-2.0 */
/* Packs commands, and stamps them on the leader. No state; any thread. */
#include "keyring/command.h"

#include <assert.h>
#include <string.h>

#include "command.pb-c.h"
#include "keyring/apply.h"
#include "proto/frame.h"

static ProtobufCBinaryData binary(const uint8_t *data, size_t size)
{
    ProtobufCBinaryData b = { size, (uint8_t *)(uintptr_t)data };
    return b;
}

static void set_origin(Ringkeep__Command *c, const struct command_origin *origin)
{
    if (!bytes_all_zero(bytes_of(origin->incarnation, ID_SIZE))) {
        c->has_incarnation = 1;
        c->incarnation = binary(origin->incarnation, ID_SIZE);
    }
    if (!origin->present) {
        return;
    }
    c->has_request_id = 1;
    c->request_id = binary(origin->request_id, ID_SIZE);
    c->has_client = 1;
    c->client = binary(origin->client, sizeof(origin->client));
    c->has_request_hash = 1;
    c->request_hash = binary(origin->request_hash, sizeof(origin->request_hash));
    c->has_base_index = 1;
    c->base_index = origin->base_index;
}

/* Is `message` of the type that this field of the oneof holds? */
static bool belongs(unsigned field, const void *message)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(&ringkeep__command__descriptor, field);
    const ProtobufCMessage *m = message;
    return f != NULL && (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 && m != NULL &&
           m->descriptor == f->descriptor;
}

enum err command_build(struct buf *out,
                       const struct command_origin *origin,
                       unsigned field,
                       const void *verb_message)
{
    Ringkeep__Command c = RINGKEEP__COMMAND__INIT;
    if (!belongs(field, verb_message)) {
        return ERR_USAGE;
    }
    c.version = COMMAND_VERSION;
    c.stamp_s = 0; /* the leader's to set */
    if (origin != NULL) {
        set_origin(&c, origin);
    }
    c.verb_case = (Ringkeep__Command__VerbCase)field;
    /* Every arm of the union is a pointer to a message. */
    c.cluster_init = (Ringkeep__ClusterInit *)(uintptr_t)verb_message;
    return message_pack(out, &c, LIMIT_COMMAND);
}

enum err command_stamp(struct buf *command, uint64_t stamp_s)
{
    MESSAGE_SCOPED *arena = NULL;
    BUF_SCOPED fresh = { 0 };
    void *message = NULL;
    if (command->size > LIMIT_COMMAND) {
        return ERR_TOO_LARGE;
    }
    TRY(message_unpack(&ringkeep__command__descriptor, buf_bytes(command), &arena, &message));
    Ringkeep__Command *c = message;
    if (c->version != COMMAND_VERSION || c->verb_case == RINGKEEP__COMMAND__VERB__NOT_SET) {
        return ERR_VERSION;
    }
    c->stamp_s = stamp_s;
    TRY(message_pack(&fresh, c, LIMIT_COMMAND));
    const struct buf old = *command;
    *command = fresh;
    fresh = old;
    return ERR_OK;
}
