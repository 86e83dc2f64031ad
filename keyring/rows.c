/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of the store's tables, and keys of two parts. No state. */
#include "keyring/rows.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "command.pb-c.h"
#include "proto/frame.h"

static const ProtobufCMessageDescriptor *const row_types[STORE_TABLES] = {
    [STORE_CLUSTER] = &ringkeep__cluster_row__descriptor,
    [STORE_MEMBERS] = &ringkeep__member_row__descriptor,
    [STORE_KEYRINGS] = &ringkeep__keyring_row__descriptor,
    [STORE_OBJECTS] = &ringkeep__object_row__descriptor,
    [STORE_CLIENTS] = &ringkeep__client_row__descriptor,
    [STORE_ASSIGNMENTS] = &ringkeep__assignment_row__descriptor,
    [STORE_INVITES] = &ringkeep__invite_row__descriptor,
    [STORE_OUTCOMES] = &ringkeep__outcome_row__descriptor,
    [STORE_LOGINS] = &ringkeep__login_row__descriptor,
};

void rows_drop(void *message)
{
    if (message != NULL) {
        protobuf_c_message_free_unpacked(message, NULL);
    }
}

void rows_scope(void *pointer)
{
    void *message = NULL;
    memcpy(&message, pointer, sizeof(message));
    rows_drop(message);
}

bool rows_typed(enum store_table table)
{
    assert(table < STORE_TABLES);
    return row_types[table] != NULL;
}

enum err rows_unpack(enum store_table table, struct bytes value, void *out)
{
    assert(rows_typed(table));
    ProtobufCMessage *message =
        protobuf_c_message_unpack(row_types[table], NULL, value.size, value.data);
    if (message == NULL) {
        return ERR_CORRUPT;
    }
    if (message->n_unknown_fields > 0) {
        rows_drop(message);
        return ERR_VERSION;
    }
    memcpy(out, &message, sizeof(void *));
    return ERR_OK;
}

enum err rows_get(const struct store_view *v, enum store_table table, struct bytes key, void *out)
{
    struct bytes value;
    TRY(store_get(v, table, key, &value));
    return rows_unpack(table, value, out);
}

enum err rows_put(struct store_txn *t,
                  enum store_table table,
                  struct bytes key,
                  const void *message)
{
    BUF_SCOPED packed = { 0 };
    assert(((const ProtobufCMessage *)message)->descriptor == row_types[table]);
    TRY(message_pack(&packed, message, LIMIT_COMMAND));
    return store_txn_put(t, table, key, buf_bytes(&packed));
}

enum err rows_exist(const struct store_view *v, enum store_table table, struct bytes key)
{
    struct bytes value;
    return store_get(v, table, key, &value);
}

/* -- keys ---------------------------------------------------------------------------- */

static void append(struct rows_key *key, struct bytes part)
{
    assert(part.size <= sizeof(key->data) - key->size);
    if (part.size > 0) {
        memcpy(key->data + key->size, part.data, part.size);
    }
    key->size += part.size;
}

struct rows_key rows_key_pair(struct bytes first, struct bytes second)
{
    struct rows_key key = { { 0 }, 0 };
    append(&key, first);
    append(&key, second);
    return key;
}

struct rows_key rows_key_number(struct bytes first, uint64_t big_endian)
{
    uint8_t number[8];
    rows_put_be64(number, big_endian);
    return rows_key_pair(first, bytes_of(number, sizeof(number)));
}

struct rows_key rows_key_order(uint64_t big_endian, struct bytes second)
{
    uint8_t number[8];
    rows_put_be64(number, big_endian);
    return rows_key_pair(bytes_of(number, sizeof(number)), second);
}

struct rows_key rows_key_login(struct bytes keyring_id, unsigned role)
{
    const uint8_t byte = (uint8_t)role;
    assert(role <= UINT8_MAX);
    return rows_key_pair(keyring_id, bytes_of(&byte, 1));
}

void rows_put_be64(uint8_t at[8], uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        at[i] = (uint8_t)(v >> (56 - 8 * i));
    }
}

uint64_t rows_get_be64(const uint8_t at[8])
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        v = v << 8 | at[i];
    }
    return v;
}
