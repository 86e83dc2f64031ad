/* SPDX-License-Identifier: Apache-2.0 */
/* Golden bytes: the replicated log and the rows of the store, one constant per
 * message. Every field is filled by its number (bytes and strings hold it, too),
 * so a renumbered, retyped or reordered field changes the constant. A new optional
 * field adds its bytes at its place and nothing else: then, and only then, the
 * constant may be replaced. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "command.pb-c.h"
#include "keyring/command.h"
#include "proto/frame.h"

#define DEPTH_MAX 3u
#define GOLDEN_MAX 2048u

static const struct {
    const ProtobufCMessageDescriptor *type;
    const char *hex;
} golden[] = {
#define GOLDEN(message, hex) { &ringkeep__##message##__descriptor, (hex) },
#include "tests/unit/keyring_golden.def"
#undef GOLDEN
};

/* Version, stamp, request id, client, hash, base, incarnation, verb 22. */
static const char envelope[] =
    "0801109af1d9a2a302"
    "1a10726571756573742d6964000000000000"
    "2220636c69656e740000000000000000000000000000000000000000000000000000"
    "2a206861736800000000000000000000000000000000000000000000000000000000"
    "3007"
    "3a10696e6361726e6174696f6e0000000000"
    "b201040a0201ff";

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *type, unsigned depth);

static uint8_t *bytes_for(unsigned number)
{
    uint8_t *data = calloc(3, 1);
    cr_assert_not_null(data);
    data[0] = (uint8_t)number;
    data[1] = 0xff;
    return data;
}

/* One value at `at`, by the field's type. */
static void fill_value(const ProtobufCFieldDescriptor *field, void *at, unsigned depth)
{
    const uint64_t wide = 0x100000000ull + field->id;
    const uint32_t narrow = 0x1000000u + field->id;
    const protobuf_c_boolean yes = 1;
    char *text = NULL;
    ProtobufCBinaryData binary = { 2, NULL };
    ProtobufCMessage *sub = NULL;
    switch ((unsigned)field->type) {
        case PROTOBUF_C_TYPE_UINT64: memcpy(at, &wide, sizeof(wide)); break;
        case PROTOBUF_C_TYPE_UINT32: memcpy(at, &narrow, sizeof(narrow)); break;
        case PROTOBUF_C_TYPE_BOOL: memcpy(at, &yes, sizeof(yes)); break;
        case PROTOBUF_C_TYPE_STRING:
            cr_assert_gt(asprintf(&text, "s%u", field->id), 0);
            memcpy(at, &text, sizeof(text));
            break;
        case PROTOBUF_C_TYPE_BYTES:
            binary.data = bytes_for(field->id);
            memcpy(at, &binary, sizeof(binary));
            break;
        case PROTOBUF_C_TYPE_MESSAGE:
            sub = fill(field->descriptor, depth + 1);
            memcpy(at, &sub, sizeof(void *));
            break;
        default:
            cr_assert_fail("a field of a type that these messages do not have: %s", field->name);
    }
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : sizeof(void *);
}

static void fill_field(ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field,
                       unsigned depth)
{
    uint8_t *base = (uint8_t *)message;
    const protobuf_c_boolean yes = 1;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        fill_value(field, base + field->offset, depth);
        if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0) {
            memcpy(base + field->quantifier_offset, &yes, sizeof(yes));
        }
        return;
    }
    const size_t count = 2, size = size_of(field);
    uint8_t *array = calloc(count, size);
    cr_assert_not_null(array);
    for (size_t i = 0; i < count; i++) {
        fill_value(field, array + i * size, depth);
    }
    memcpy(base + field->quantifier_offset, &count, sizeof(count));
    memcpy(base + field->offset, &array, sizeof(void *));
}

static ProtobufCMessage *fill(const ProtobufCMessageDescriptor *type, unsigned depth)
{
    cr_assert_leq(depth, DEPTH_MAX);
    ProtobufCMessage *message = calloc(1, type->sizeof_message);
    cr_assert_not_null(message);
    protobuf_c_message_init(type, message);
    for (unsigned i = 0; i < type->n_fields; i++) {
        if ((type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0) {
            fill_field(message, &type->fields[i], depth);
        }
    }
    return message;
}

static void hex_of(const ProtobufCMessage *message, char *hex)
{
    BUF_SCOPED packed = { 0 };
    cr_assert_eq(message_pack(&packed, message, GOLDEN_MAX), ERR_OK);
    hex_from(buf_bytes(&packed), hex);
}

static const char *expected_of(const ProtobufCMessageDescriptor *type)
{
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        if (golden[i].type == type) {
            return golden[i].hex;
        }
    }
    return "no constant for this message";
}

/* A verb alone or a row. RINGKEEP_GOLDEN=1 prints lines for keyring_golden.def. */
static void expect_golden(const ProtobufCMessageDescriptor *type)
{
    char hex[2 * GOLDEN_MAX + 1];
    ProtobufCMessage *message = fill(type, 0);
    hex_of(message, hex);
    protobuf_c_message_free_unpacked(message, NULL);
    if (getenv("RINGKEEP_GOLDEN") != NULL) {
        fprintf(stderr, "GOLDEN %s %s\n", type->name, hex);
    }
    cr_expect_str_eq(hex, expected_of(type), "%s: %s", type->name, hex);
}

Test(golden, every_verb_of_the_log, .timeout = 60)
{
    const ProtobufCMessageDescriptor *c = &ringkeep__command__descriptor;
    unsigned verbs = 0;
    for (unsigned i = 0; i < c->n_fields; i++) {
        if ((c->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            cr_expect_eq(c->fields[i].id, 16 + verbs, "%s", c->fields[i].name);
            expect_golden(c->fields[i].descriptor);
            verbs++;
        }
    }
    cr_expect_eq(verbs, 20);
}

Test(golden, every_row_of_the_store, .timeout = 60)
{
    static const ProtobufCMessageDescriptor *const rows[] = {
        &ringkeep__member_row__descriptor,     &ringkeep__keyring_row__descriptor,
        &ringkeep__object_row__descriptor,     &ringkeep__client_row__descriptor,
        &ringkeep__assignment_row__descriptor, &ringkeep__invite_row__descriptor,
        &ringkeep__outcome_row__descriptor,    &ringkeep__login_row__descriptor,
        &ringkeep__cluster_row__descriptor,
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_golden(rows[i]);
    }
}

/* The envelope, as command_build and command_stamp make it. */
Test(golden, the_command_around_a_verb, .timeout = 60)
{
    Ringkeep__KeyringDelete verb = RINGKEEP__KEYRING_DELETE__INIT;
    struct command_origin origin = { .present = true, .base_index = 7 };
    char hex[1024];
    uint8_t id[2] = { 1, 0xff };
    BUF_SCOPED out = { 0 };
    memcpy(origin.request_id, "request-id", 10);
    memcpy(origin.client, "client", 6);
    memcpy(origin.request_hash, "hash", 4);
    memcpy(origin.incarnation, "incarnation", 11);
    verb.keyring_id.data = id;
    verb.keyring_id.len = sizeof(id);
    cr_assert_eq(command_build(&out, &origin, RINGKEEP__COMMAND__VERB_KEYRING_DELETE, &verb),
                 ERR_OK);
    cr_assert_eq(command_stamp(&out, 0x123456789aull), ERR_OK);
    cr_expect_str_eq(hex_from(buf_bytes(&out), hex), envelope);
}
