/* SPDX-License-Identifier: Apache-2.0 */
/* Framing and the only place that unpacks protobuf: into an arena that is locked
 * where the process may lock, and wiped when the request ends. */
#include "proto/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

#include "base/limits.h"

/* -- frames ----------------------------------------------------------------- */

static const struct {
    unsigned type;
    const char *name;
} frame_names[] = {
#define FRAME(number, name, message) { (number), #name },
#include "proto/frame.def"
#undef FRAME
};

const char *frame_name(unsigned type)
{
    const unsigned plain = type & ~FRAME_REPLY;
    for (size_t i = 0; i < sizeof(frame_names) / sizeof(frame_names[0]); i++) {
        if (frame_names[i].type == plain) {
            return frame_names[i].name;
        }
    }
    return "unknown";
}

enum err frame_parse(struct bytes input, size_t limit, struct frame *out, size_t *used)
{
    assert(limit > FRAME_HEAD);
    *used = 0;
    if (input.size < 4) {
        return ERR_OK;
    }
    const uint32_t length = get_u32(input.data);
    if (length < FRAME_HEAD - 4) {
        return ERR_MALFORMED;
    }
    if (length > limit - 4) {
        return ERR_TOO_LARGE;
    }
    if (input.size < FRAME_HEAD) {
        return ERR_OK;
    }
    if (get_u16(input.data + 6) != 0) {
        return ERR_MALFORMED;
    }
    if (input.size - 4 < length) {
        return ERR_OK;
    }
    out->type = get_u16(input.data + 4);
    out->request = get_u64(input.data + 8);
    out->payload = bytes_of(input.data + FRAME_HEAD, length - (FRAME_HEAD - 4));
    *used = 4 + (size_t)length;
    return ERR_OK;
}

static void write_head(uint8_t *at, unsigned type, uint64_t request, size_t payload)
{
    assert(type <= UINT16_MAX && payload <= UINT32_MAX - FRAME_HEAD);
    put_u32(at, (uint32_t)(payload + FRAME_HEAD - 4));
    put_u16(at + 4, (uint16_t)type);
    put_u16(at + 6, 0);
    put_u64(at + 8, request);
}

enum err frame_append(
    struct buf *out, unsigned type, uint64_t request, struct bytes payload, size_t limit)
{
    if (payload.size + FRAME_HEAD > limit) {
        return ERR_TOO_LARGE;
    }
    uint8_t *at = NULL;
    TRY(buf_reserve(out, FRAME_HEAD + payload.size, SIZE_MAX, &at));
    write_head(at, type, request, payload.size);
    if (payload.size > 0) {
        memcpy(at + FRAME_HEAD, payload.data, payload.size);
    }
    out->size += FRAME_HEAD + payload.size;
    return ERR_OK;
}

/* -- packing ---------------------------------------------------------------- */

enum err message_append(
    struct buf *out, unsigned type, uint64_t request, const void *message, size_t limit)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    if (size + FRAME_HEAD > limit) {
        return ERR_TOO_LARGE;
    }
    uint8_t *at = NULL;
    TRY(buf_reserve(out, FRAME_HEAD + size, SIZE_MAX, &at));
    write_head(at, type, request, size);
    const size_t written = protobuf_c_message_pack(message, at + FRAME_HEAD);
    assert(written == size);
    out->size += FRAME_HEAD + size;
    return ERR_OK;
}

enum err message_pack(struct buf *out, const void *message, size_t limit)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    if (size > limit) {
        return ERR_TOO_LARGE;
    }
    buf_clear(out);
    uint8_t *at = NULL;
    TRY(buf_reserve(out, size, SIZE_MAX, &at));
    out->size = protobuf_c_message_pack(message, at);
    assert(out->size == size);
    return ERR_OK;
}

/* -- unpacking -------------------------------------------------------------- */

/* Room for a message's structs beside a copy of its bytes. Most messages are a few
 * byte fields; one made of many tiny sub-messages needs a small multiple of its
 * payload, and gets it at the second try. */
static const size_t arena_factors[] = { 2, 24 };
#define ARENA_SPARE 4096u
#define ARENA_ALIGN 16u

struct message_arena {
    struct secret memory;
    size_t used;
    bool full; /* something did not fit */
};

static void *arena_alloc(void *data, size_t size)
{
    struct message_arena *a = data;
    const size_t start = (a->used + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (size > a->memory.size || start > a->memory.size - size) {
        a->full = true;
        return NULL;
    }
    a->used = start + size;
    return a->memory.data + start;
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer; /* all at once, in message_drop */
}

static bool sub_unknown(const ProtobufCMessage *message);

static bool field_unknown(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    const uint8_t *at = (const uint8_t *)message + field->offset;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        const ProtobufCMessage *sub = NULL;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            int chosen = 0;
            memcpy(&chosen, (const uint8_t *)message + field->quantifier_offset, sizeof(chosen));
            if (chosen != (int)field->id) {
                return false;
            }
        }
        memcpy(&sub, at, sizeof(sub));
        return sub != NULL && sub_unknown(sub);
    }
    size_t count = 0;
    memcpy(&count, (const uint8_t *)message + field->quantifier_offset, sizeof(count));
    ProtobufCMessage **array = NULL;
    memcpy(&array, at, sizeof(array));
    for (size_t i = 0; i < count; i++) {
        if (sub_unknown(array[i])) {
            return true;
        }
    }
    return false;
}

static bool sub_unknown(const ProtobufCMessage *message)
{
    if (message->n_unknown_fields > 0) {
        return true;
    }
    const ProtobufCMessageDescriptor *d = message->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        if (field_unknown(message, &d->fields[i])) {
            return true;
        }
    }
    return false;
}

static enum err unpack_into(const void *descriptor,
                            struct bytes payload,
                            size_t room,
                            struct message_arena **arena,
                            void **out)
{
    struct message_arena *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return ERR_NOMEM;
    }
    enum err e = secret_alloc(&a->memory, room);
    if (e == ERR_OK) {
        ProtobufCAllocator allocator = { arena_alloc, arena_free, a };
        ProtobufCMessage *message =
            protobuf_c_message_unpack(descriptor, &allocator, payload.size, payload.data);
        if (message != NULL && !sub_unknown(message)) {
            *arena = a;
            *out = message;
            return ERR_OK;
        }
        e = a->full ? ERR_NOMEM : ERR_MALFORMED;
    }
    message_drop(&a);
    return e;
}

enum err message_unpack(const void *descriptor,
                        struct bytes payload,
                        struct message_arena **arena,
                        void **out)
{
    enum err e = ERR_NOMEM;
    for (size_t i = 0; e == ERR_NOMEM && i < sizeof(arena_factors) / sizeof(arena_factors[0]);
         i++) {
        e = unpack_into(descriptor, payload, payload.size * arena_factors[i] + ARENA_SPARE, arena,
                        out);
    }
    /* What does not fit the larger one is no message of ours. */
    return e == ERR_NOMEM ? ERR_MALFORMED : e;
}

void message_drop(struct message_arena **arena)
{
    if (*arena != NULL) {
        secret_drop(&(*arena)->memory);
        free(*arena);
        *arena = NULL;
    }
}
