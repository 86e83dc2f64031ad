/* SPDX-License-Identifier: Apache-2.0 */
/* What the apply files share: the command under way, and checks of fields.
 *
 * A handler returns ERR_OK or a refusal, which becomes a committed outcome, or a
 * local failure (apply_is_local), which ends the member. It writes nothing unless
 * every check has passed; apply.c asserts that. */
#ifndef RINGKEEP_KEYRING_APPLY_INTERNAL_H
#define RINGKEEP_KEYRING_APPLY_INTERNAL_H

#include <protobuf-c/protobuf-c.h>

#include "base/limits.h"
#include "keyring/apply.h"
#include "keyring/rows.h"

struct Ringkeep__Command; /* command.pb-c.h is for .c files */
struct Ringkeep__ClusterRow;

struct apply {
    struct store_txn *t;
    const struct store_view *v;                 /* of t */
    uint64_t index;                             /* of this command */
    uint64_t stamp;                             /* max(its stamp, the last) */
    const struct Ringkeep__ClusterRow *cluster; /* NULL before ClusterInit */
    struct outcome *out;
};

/* Every verb: named by its file. */
enum err apply_cluster_init(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_cluster_record(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_members_put(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_members_roster(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_members_beacon(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_members_login_key(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_invites_put(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_invites_spend(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_keyrings_put(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_keyrings_delete(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_clients_put(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_clients_revoke(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_clients_assign(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_clients_unassign(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_objects_create(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_objects_update(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_objects_destroy(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_logins_reserve(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_logins_resolve(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;
enum err apply_logins_expire(struct apply *a, const struct Ringkeep__Command *c) MUST_USE;

/* Deletes a few rows of deleted keyrings; bounded work after each command. */
enum err apply_keyrings_sweep(struct apply *a) MUST_USE;
/* What a cluster begins with, and every later MemberRow: checked against a roster
 * that blob_roster_parse accepted, then put beside what the old row knew. */
struct Ringkeep__MemberRow;
enum err apply_members_check(struct apply *a,
                             const struct Ringkeep__MemberRow *m,
                             struct bytes roster) MUST_USE;
enum err apply_members_write(struct apply *a, const struct Ringkeep__MemberRow *m) MUST_USE;

/* This member's own trouble, never an outcome. */
static inline bool apply_is_local(enum err e)
{
    return e == ERR_NOMEM || err_class_of(e) == ERR_CLASS_FATAL;
}

/* -- fields --------------------------------------------------------------------------- */

#define APPLY_SPKI 32u
#define APPLY_CERT_MAX 8192u

static inline struct bytes apply_bytes(ProtobufCBinaryData b)
{
    return bytes_of(b.data, b.len);
}
static inline ProtobufCBinaryData apply_binary(struct bytes b)
{
    ProtobufCBinaryData out = { b.size, (uint8_t *)(uintptr_t)b.data };
    return out;
}
static inline bool apply_sized(ProtobufCBinaryData b, size_t size)
{
    return b.len == size;
}
static inline bool apply_same(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return bytes_equal(apply_bytes(a), apply_bytes(b));
}
static inline bool apply_is_id(ProtobufCBinaryData b, const uint8_t id[ID_SIZE])
{
    return bytes_equal(apply_bytes(b), bytes_of(id, ID_SIZE));
}
/* 1..max bytes, no control character. */
bool apply_text(const char *text, size_t max);

#endif
