/* SPDX-License-Identifier: Apache-2.0 */
/* Typed rows for query.c and the apply files: a table's message, unpacked from
 * and packed into the store. A row that cannot be unpacked is ERR_CORRUPT, one
 * with unknown fields ERR_VERSION: local failures both. */
#ifndef RINGKEEP_KEYRING_ROWS_H
#define RINGKEEP_KEYRING_ROWS_H

#include "keyring/store.h"

/* For pointers to row messages: ROW_SCOPED Ringkeep__KeyringRow *row = NULL; */
#define ROW_SCOPED __attribute__((cleanup(rows_scope)))
void rows_scope(void *pointer);
void rows_drop(void *message);

/* Has this table rows that are messages? */
bool rows_typed(enum store_table table);
/* `out` is the address of a pointer to the table's message (void *, so that no
 * caller casts); set on success to a heap message. */
enum err rows_unpack(enum store_table table, struct bytes value, void *out) MUST_USE;
enum err rows_get(const struct store_view *v,
                  enum store_table table,
                  struct bytes key,
                  void *out) MUST_USE;
enum err rows_put(struct store_txn *t,
                  enum store_table table,
                  struct bytes key,
                  const void *message) MUST_USE;
/* ERR_OK or ERR_NOTFOUND, without unpacking. */
enum err rows_exist(const struct store_view *v, enum store_table table, struct bytes key) MUST_USE;

/* Keys of two parts, built on the stack. */
struct rows_key {
    uint8_t data[STORE_KEY_MAX];
    size_t size;
};
struct rows_key rows_key_pair(struct bytes first, struct bytes second);
struct rows_key rows_key_number(struct bytes first, uint64_t big_endian);
struct rows_key rows_key_order(uint64_t big_endian, struct bytes second);
struct rows_key rows_key_login(struct bytes keyring_id, unsigned role);
static inline struct bytes rows_key_bytes(const struct rows_key *key)
{
    return bytes_of(key->data, key->size);
}
void rows_put_be64(uint8_t at[8], uint64_t v);
uint64_t rows_get_be64(const uint8_t at[8]);

#endif
