/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of the replicated state as typed rows. Unpacked messages are owned by the
 * caller; free with query_drop. Only .c files that include command.pb-c.h see the
 * fields. */
#ifndef RINGKEEP_KEYRING_QUERY_H
#define RINGKEEP_KEYRING_QUERY_H

#include "keyring/store.h"

struct ringkeep_cluster_row; /* Ringkeep__ClusterRow and so on, by pointer */

/* Each sets *out to a heap message (protobuf-c) or fails with ERR_NOTFOUND. Cast
 * in the .c file: e.g. Ringkeep__KeyringRow *row; query_keyring(v, id, (void **)&row). */
enum err query_cluster(const struct store_view *v, void **out) MUST_USE;
enum err query_member(const struct store_view *v,
                      const uint8_t member_id[ID_SIZE],
                      void **out) MUST_USE;
enum err query_keyring(const struct store_view *v,
                       const uint8_t keyring_id[ID_SIZE],
                       void **out) MUST_USE;
enum err query_keyring_by_label(const struct store_view *v,
                                const char *label,
                                uint8_t keyring_id[ID_SIZE]) MUST_USE;
enum err query_object(const struct store_view *v,
                      const uint8_t keyring_id[ID_SIZE],
                      const uint8_t object_id[ID_SIZE],
                      void **out) MUST_USE;
enum err query_client(const struct store_view *v, const uint8_t spki_hash[32], void **out) MUST_USE;
enum err query_client_by_name(const struct store_view *v,
                              const char *name,
                              uint8_t spki_hash[32]) MUST_USE;
enum err query_assignment(const struct store_view *v,
                          const uint8_t spki_hash[32],
                          const uint8_t keyring_id[ID_SIZE],
                          void **out) MUST_USE;
enum err query_invite(const struct store_view *v,
                      const uint8_t invite_id[ID_SIZE],
                      void **out) MUST_USE;
enum err query_login(const struct store_view *v,
                     const uint8_t keyring_id[ID_SIZE],
                     unsigned role,
                     void **out) MUST_USE;
void query_drop(void *message); /* any of the above; wipes nothing: sealed data */

/* Calls cb for each row of a table (message unpacked and dropped around the
 * call; for tables without a message, e.g. STORE_LABELS, it is a struct bytes * to
 * the value); with a keyring's prefix the objects of a deleted keyring are left
 * out; without one they may appear for a while. cb returns ERR_OK to go on, ERR_NOTFOUND to stop
 * early without error. */
typedef enum err (*query_row_cb)(void *arg, struct bytes key, const void *message);
enum err query_each(const struct store_view *v,
                    enum store_table table,
                    struct bytes prefix,
                    query_row_cb cb,
                    void *arg) MUST_USE;
/* Objects of a keyring by ascending handle above after_handle, at most `limit`. */
typedef enum err (*query_object_cb)(void *arg,
                                    const uint8_t object_id[ID_SIZE],
                                    uint64_t handle,
                                    struct bytes blob);
enum err query_objects_by_handle(const struct store_view *v,
                                 const uint8_t keyring_id[ID_SIZE],
                                 uint64_t after_handle,
                                 unsigned limit,
                                 query_object_cb cb,
                                 void *arg) MUST_USE;

#endif
