/* SPDX-License-Identifier: Apache-2.0 */
/* The member's copy of the replicated state, in LMDB (store/<n>/data.mdb, named
 * by store/CURRENT).
 *
 * Holds sealed blobs and records only: nothing here can open one. Written by
 * apply.c alone, inside one open transaction at a time (struct store_txn, on the
 * applier's thread); read from any thread through struct store_view, one LMDB
 * read transaction whose index is read with the data. The map is 1 TiB of
 * address space and is never resized (consistency.md 10). Sync flags are LMDB's
 * defaults. Only keyring/ includes <lmdb.h>. */
#ifndef RINGKEEP_KEYRING_STORE_H
#define RINGKEEP_KEYRING_STORE_H

#include "base/bytes.h"
#include "base/digest.h"

struct store;
struct store_txn;  /* the writer's open transaction */
struct store_view; /* a reader's snapshot */

#define STORE_FORMAT 1u

/* Opens or makes the store under `dir` (a folder that exists). ERR_VERSION: a
 * newer format; ERR_CORRUPT: unreadable. */
enum err store_open(const char *dir, struct store **out) MUST_USE;
void store_close(struct store *s); /* no view or txn is open; NULL is fine */
/* Tests and the simulator: a small map, no sync, another W for the table of
 * outcomes (the same on every member). 0: as store_open. */
struct store_test {
    size_t map_size;
    uint64_t window;
    bool no_sync;
};
enum err store_open_test(const char *dir,
                         const struct store_test *test,
                         struct store **out) MUST_USE;
/* The n-th put or delete from now fails as a full map does (1: the next; 0: none). */
void store_test_fail(struct store *s, unsigned n);

/* -- writer: one thread -------------------------------------------------------- */
enum err store_begin(struct store *s, struct store_txn **out) MUST_USE;
enum err store_commit(struct store_txn **t) MUST_USE; /* consumes *t; durable afterwards */
void store_abort(struct store_txn **t);
/* Index of the last command applied in t (0: none). */
uint64_t store_txn_index(const struct store_txn *t);

/* -- readers --------------------------------------------------------------------- */
enum err store_view_open(struct store *s, struct store_view **out) MUST_USE;
void store_view_close(struct store_view *v);
#define STORE_VIEW_SCOPED __attribute__((cleanup(store_view_scope))) struct store_view
void store_view_scope(struct store_view **v);
uint64_t store_view_index(const struct store_view *v);
uint64_t store_view_stamp(const struct store_view *v);
void store_view_digest(const struct store_view *v, uint8_t out[DIGEST_SIZE]);

/* The tables. Keys: ids are 16 bytes; an object's key is keyring || object.
 * Values are the packed *Row messages of proto/command.proto. */
enum store_table {
    STORE_META,          /* not replicated: applied index, format, highest seen per peer */
    STORE_CLUSTER,       /* key "": ClusterRow */
    STORE_MEMBERS,       /* member id: MemberRow */
    STORE_KEYRINGS,      /* keyring id: KeyringRow */
    STORE_LABELS,        /* label: keyring id */
    STORE_OBJECTS,       /* keyring || object: ObjectRow */
    STORE_HANDLES,       /* keyring || handle u64 big-endian: object id */
    STORE_CLIENTS,       /* SPKI hash 32: ClientRow */
    STORE_ASSIGNMENTS,   /* SPKI hash || keyring: AssignmentRow */
    STORE_INVITES,       /* invite id: InviteRow */
    STORE_OUTCOMES,      /* request id: OutcomeRow */
    STORE_OUTCOME_ORDER, /* index u64 big-endian || request id: empty (dropping by index) */
    STORE_LOGINS,        /* keyring || role u8: LoginRow */
    STORE_DOOMED,        /* keyring id: empty. Deleted; its objects go a few per command */
    STORE_NAMES,         /* name of a client that is not revoked: SPKI hash */
    STORE_TABLES
};

/* Borrowed until the view (or the next write of the txn) ends. ERR_NOTFOUND. */
enum err store_get(const struct store_view *v,
                   enum store_table table,
                   struct bytes key,
                   struct bytes *out) MUST_USE;
/* First row with key >= from that begins with prefix. ERR_NOTFOUND. */
enum err store_seek(const struct store_view *v,
                    enum store_table table,
                    struct bytes prefix,
                    struct bytes from,
                    struct bytes *key,
                    struct bytes *value) MUST_USE;
/* All rows with key >= from that begin with prefix, in order; ERR_NOTFOUND at the
 * end. from may be empty: from the first. prefix and from are copied (at most
 * STORE_KEY_MAX). The cursor is closed before its view. A txn's cursor goes on
 * correctly when the row it stands on is deleted. */
#define STORE_KEY_MAX 64u
struct store_cursor;
#define STORE_CURSOR_SCOPED __attribute__((cleanup(store_cursor_scope))) struct store_cursor
void store_cursor_scope(struct store_cursor **c);
enum err store_cursor_open(const struct store_view *v,
                           enum store_table table,
                           struct bytes prefix,
                           struct bytes from,
                           struct store_cursor **out) MUST_USE;
enum err store_cursor_next(struct store_cursor *c, struct bytes *key, struct bytes *value) MUST_USE;
void store_cursor_close(struct store_cursor *c);
/* Rows in a table; O(1). */
uint64_t store_count(const struct store_view *v, enum store_table table);
const char *store_table_name(enum store_table table);

/* Writes inside apply. They keep the digest (all tables but STORE_META and the
 * two outcome tables' order index). */
enum err store_txn_get(const struct store_txn *t,
                       enum store_table table,
                       struct bytes key,
                       struct bytes *out) MUST_USE;
enum err store_txn_put(struct store_txn *t,
                       enum store_table table,
                       struct bytes key,
                       struct bytes value) MUST_USE;
enum err store_txn_delete(struct store_txn *t, enum store_table table, struct bytes key) MUST_USE;
/* A view of the writer's own open transaction, for cursors in apply. */
const struct store_view *store_txn_view(const struct store_txn *t);
/* Index never goes back; the stamp becomes max(stamp_s, last), so 0 leaves it. For
 * raft's own entries (barriers), which no command carries, too. */
void store_txn_note_index(struct store_txn *t, uint64_t index, uint64_t stamp_s);
uint64_t store_txn_stamp(const struct store_txn *t);

/* Full walk: every object's keyring exists, counts agree, labels and handles are
 * one to one, the digest recomputed equals the kept one. ERR_CORRUPT with a
 * sentence in text. */
enum err store_check(struct store *s, char *text, size_t text_size) MUST_USE;

/* Member-local facts outside the digest (STORE_META), e.g. data uuid. Names of at
 * most 58 bytes. */
enum err store_local_get(const struct store_view *v, const char *name, struct bytes *out) MUST_USE;
enum err store_txn_local_put(struct store_txn *t, const char *name, struct bytes value) MUST_USE;

#endif
