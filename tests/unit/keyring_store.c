/* SPDX-License-Identifier: Apache-2.0 */
/* The store: its folder, snapshots, cursors, digest, replay after a crash, local
 * failures, and the full walk. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.pb-c.h"
#include "keyring/rows.h"
#include "keyring/store_internal.h"
#include "tests/lib/keyring_fixture.h"

#define F FIXTURE_SCOPED f
#define SAY(e)                                                                                     \
    cr_expect_eq(fixture_apply(&f), (e), "outcome %s, not %s", err_name(f.last.error), #e)
#define DO(verb, ...) sample_##verb(&f.command, &f.sample, ##__VA_ARGS__)

/* The state that sample_log makes under the rules of command version 1 and store
 * format 1. It changes only with a new command version (consistency.md 8). */
static const char log_digest[] = "1dec24adba0aeeac62ba307b387bb5fe482048152fb5405c80390ed6905c4f0b";

/* What the entries of sample_log come to. */
static const enum err log_errors[SAMPLE_LOG] = {
    [1] = ERR_EXISTS,  [7] = ERR_REFUSED,  [13] = ERR_EXISTS,  [16] = ERR_REFUSED,
    [27] = ERR_EXISTS, [29] = ERR_REFUSED, [36] = ERR_TIMEOUT,
};

static void apply_log(struct keyring_fixture *f,
                      unsigned from,
                      unsigned to,
                      struct outcome *outcomes)
{
    for (unsigned i = from; i < to; i++) {
        sample_log(&f->command, i);
        fixture_apply_at(f, i + 1);
        if (outcomes != NULL && !f->skipped) {
            outcomes[i] = f->last;
        }
    }
}

static void expect_digests_equal(struct keyring_fixture *a, struct keyring_fixture *b)
{
    uint8_t x[DIGEST_SIZE], y[DIGEST_SIZE];
    fixture_digest(a, x);
    fixture_digest(b, y);
    cr_expect_eq(memcmp(x, y, DIGEST_SIZE), 0);
}

static void expect_whole(struct keyring_fixture *f)
{
    char text[200];
    cr_expect_eq(fixture_check(f, text, sizeof(text)), ERR_OK, "%s", text);
}

/* -- the folder -------------------------------------------------------------------------- */

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static enum err try_open(struct keyring_fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    return store_open_test(f->dir, &f->options, &f->store);
}

Test(store, current_names_a_folder_and_only_a_whole_one, .timeout = 60)
{
    static const char *const bad[] = {
        "", "1", "0\n", "-1\n", "one\n", "1\n1\n", "99999999999999\n", "1 \n"
    };
    char path[128];
    struct stat st;
    F;
    fixture_cluster(&f, 0);
    fixture_commit(&f);
    snprintf(path, sizeof(path), "%s/1/data.mdb", f.dir);
    cr_expect_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0077, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_text(f.dir, "CURRENT", bad[i]);
        cr_expect_eq(try_open(&f), ERR_CORRUPT, "row %zu", i);
    }
    snprintf(path, sizeof(path), "%s/CURRENT", f.dir);
    cr_assert_eq(unlink(path), 0);
    cr_expect_eq(try_open(&f), ERR_CORRUPT); /* state without a name */
    write_text(f.dir, "CURRENT", "7\n");
    cr_expect_neq(try_open(&f), ERR_OK); /* a folder that is not there */
    write_text(f.dir, "CURRENT", "1\n");
    cr_assert_eq(try_open(&f), ERR_OK);
    fixture_reopen(&f);
    cr_expect_eq(f.index, 3);
}

Test(store, a_half_made_folder_is_taken_up, .timeout = 60)
{
    char path[128];
    F;
    fixture_open(&f, 0);
    snprintf(path, sizeof(path), "%s/CURRENT", f.dir);
    cr_assert_eq(unlink(path), 0); /* as after a crash before the rename */
    cr_assert_eq(try_open(&f), ERR_OK);
    cr_expect_eq(access(path, R_OK), 0);
}

Test(store, opens_with_the_full_map_in_little_space, .timeout = 60)
{
    char path[128];
    struct stat st;
    F;
    fixture_open(&f, 0);
    store_close(f.store);
    f.store = NULL;
    cr_assert_eq(store_open(f.dir, &f.store), ERR_OK);
    snprintf(path, sizeof(path), "%s/1/data.mdb", f.dir);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_lt(st.st_size, 1024 * 1024);
}

static void plant_format(struct store *s, uint32_t format)
{
    MDB_txn *txn = NULL;
    uint8_t number[4];
    put_u32(number, format);
    MDB_val key = { 6, (void *)(uintptr_t) "format" };
    MDB_val value = { sizeof(number), number };
    cr_assert_eq(mdb_txn_begin(s->env, NULL, 0, &txn), 0);
    cr_assert_eq(mdb_put(txn, s->tables[STORE_META], &key, &value, 0), 0);
    cr_assert_eq(mdb_txn_commit(txn), 0);
}

Test(store, another_format_is_not_opened, .timeout = 60)
{
    F;
    fixture_open(&f, 0);
    plant_format(f.store, STORE_FORMAT + 1);
    cr_expect_eq(try_open(&f), ERR_VERSION);
}

Test(store, garbage_is_not_opened, .timeout = 60)
{
    F;
    fixture_open(&f, 0);
    store_close(f.store);
    f.store = NULL;
    write_text(f.dir, "1/data.mdb", "this is not a data base, it is a sentence");
    cr_expect_neq(try_open(&f), ERR_OK);
}

/* -- snapshots, cursors, local rows --------------------------------------------------------- */

static void *count_in_thread(void *arg)
{
    struct keyring_fixture *f = arg;
    struct store_view *v = NULL;
    if (store_view_open(f->store, &v) == ERR_OK) {
        const uint64_t count = store_count(v, STORE_OBJECTS);
        store_view_close(v);
        return (void *)(uintptr_t)count;
    }
    return NULL;
}

Test(store, readers_keep_their_snapshot_while_the_writer_goes_on, .timeout = 60)
{
    F;
    pthread_t thread;
    void *counted = NULL;
    fixture_keyring(&f, 0);
    STORE_VIEW_SCOPED *old = fixture_view(&f);
    const uint64_t index = store_view_index(old);
    cr_expect_eq(index, f.index);
    for (unsigned i = 0; i < 20; i++) {
        DO(objects_create, 1, 1 + i, 1);
        SAY(ERR_OK);
        fixture_commit(&f);
    }
    DO(objects_create, 1, 50, 1);
    SAY(ERR_OK); /* not committed: nobody sees it */
    cr_expect_eq(store_view_index(old), index);
    cr_expect_eq(store_count(old, STORE_OBJECTS), 0);
    cr_assert_eq(pthread_create(&thread, NULL, count_in_thread, &f), 0);
    cr_assert_eq(pthread_join(thread, &counted), 0);
    cr_expect_eq((uintptr_t)counted, 20);
    STORE_VIEW_SCOPED *fresh = NULL;
    cr_assert_eq(store_view_open(f.store, &fresh), ERR_OK);
    cr_expect_eq(store_view_index(fresh), index + 20);
}

Test(store, raft_entries_without_commands_move_the_index, .timeout = 60)
{
    F;
    uint8_t before[DIGEST_SIZE], after[DIGEST_SIZE];
    fixture_cluster(&f, 0);
    fixture_digest(&f, before);
    cr_assert_eq(store_begin(f.store, &f.txn), ERR_OK);
    store_txn_note_index(f.txn, 90, 0);
    fixture_digest(&f, after);
    cr_expect_eq(memcmp(before, after, DIGEST_SIZE), 0);
    fixture_reopen(&f);
    cr_expect_eq(f.index, 90);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    cr_expect_eq(store_view_stamp(v), f.sample.stamp_s);
}

Test(store, local_rows_stay_out_of_the_digest, .timeout = 60)
{
    F;
    struct bytes value;
    uint8_t before[DIGEST_SIZE], after[DIGEST_SIZE];
    fixture_cluster(&f, 0);
    fixture_digest(&f, before);
    cr_assert_eq(store_begin(f.store, &f.txn), ERR_OK);
    cr_assert_eq(store_txn_local_put(f.txn, "state", bytes_of_text("mine")), ERR_OK);
    fixture_commit(&f);
    fixture_reopen(&f);
    fixture_digest(&f, after);
    cr_expect_eq(memcmp(before, after, DIGEST_SIZE), 0);
    cr_expect_eq(f.index, 3);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    cr_assert_eq(store_local_get(v, "state", &value), ERR_OK);
    cr_expect(bytes_equal(value, bytes_of_text("mine")));
    cr_expect_eq(store_local_get(v, "other", &value), ERR_NOTFOUND);
}

static unsigned walk(const struct store_view *v, const char *prefix, const char *from, char *seen)
{
    STORE_CURSOR_SCOPED *c = NULL;
    struct bytes key, value;
    unsigned count = 0;
    cr_assert_eq(store_cursor_open(v, STORE_LABELS, bytes_of_text(prefix), bytes_of_text(from), &c),
                 ERR_OK);
    while (store_cursor_next(c, &key, &value) == ERR_OK) {
        memcpy(seen + 2 * count, key.data, 2);
        count++;
    }
    seen[2 * count] = '\0';
    return count;
}

Test(store, cursors_keep_to_their_prefix_and_start, .timeout = 60)
{
    static const char *const keys[] = { "a1", "a3", "a5", "b1", "b3" };
    char seen[32];
    F;
    fixture_open(&f, 0);
    cr_assert_eq(store_begin(f.store, &f.txn), ERR_OK);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        cr_assert_eq(store_txn_put(f.txn, STORE_LABELS, bytes_of_text(keys[i]), bytes_of_text("v")),
                     ERR_OK);
    }
    const struct store_view *v = store_txn_view(f.txn);
    cr_expect_eq(walk(v, "", "", seen), 5);
    cr_expect_eq(walk(v, "a", "", seen), 3);
    cr_expect_str_eq(seen, "a1a3a5");
    cr_expect_eq(walk(v, "a", "a2", seen), 2);
    cr_expect_str_eq(seen, "a3a5");
    cr_expect_eq(walk(v, "b", "a2", seen), 2); /* from before the prefix */
    cr_expect_eq(walk(v, "", "b2", seen), 1);
    cr_expect_eq(walk(v, "c", "", seen), 0);
    cr_expect_eq(walk(v, "a", "b", seen), 0);
}

Test(store, a_cursor_goes_on_after_its_row_is_deleted, .timeout = 60)
{
    F;
    struct bytes key, value;
    unsigned count = 0;
    fixture_open(&f, 0);
    cr_assert_eq(store_begin(f.store, &f.txn), ERR_OK);
    for (unsigned i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%05u", i);
        cr_assert_eq(
            store_txn_put(f.txn, STORE_LABELS, bytes_of_text(name), bytes_of_text("value")),
            ERR_OK);
    }
    STORE_CURSOR_SCOPED *c = NULL;
    cr_assert_eq(store_cursor_open(store_txn_view(f.txn), STORE_LABELS, bytes_of_text("k"),
                                   bytes_of(NULL, 0), &c),
                 ERR_OK);
    while (store_cursor_next(c, &key, &value) == ERR_OK) {
        if (count % 3 != 0) {
            cr_assert_eq(store_txn_delete(f.txn, STORE_LABELS, key), ERR_OK);
        }
        count++;
    }
    cr_expect_eq(count, 500);
    cr_expect_eq(store_count(store_txn_view(f.txn), STORE_LABELS), 167);
    cr_expect_eq(store_txn_delete(f.txn, STORE_LABELS, bytes_of_text("k00001")), ERR_NOTFOUND);
}

/* -- the log, replay, digests ------------------------------------------------------------- */

Test(replay, the_sample_log_ends_in_the_recorded_digest, .timeout = 60)
{
    F;
    uint8_t digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];
    fixture_open(&f, 0);
    for (unsigned i = 0; i < SAMPLE_LOG; i++) {
        apply_log(&f, i, i + 1, NULL);
        cr_expect_eq(f.last.error, log_errors[i], "entry %u: %s", i, err_name(f.last.error));
    }
    fixture_digest(&f, digest);
    cr_expect_str_eq(hex_from(bytes_of(digest, DIGEST_SIZE), hex), log_digest);
}

Test(replay, every_prefix_of_the_log_is_consistent, .timeout = 60)
{
    F;
    fixture_open(&f, 0);
    for (unsigned i = 0; i < SAMPLE_LOG; i++) {
        apply_log(&f, i, i + 1, NULL);
        expect_whole(&f);
    }
}

Test(replay, the_same_log_twice_is_skipped, .timeout = 60)
{
    F;
    uint8_t before[DIGEST_SIZE], after[DIGEST_SIZE];
    fixture_open(&f, 0);
    apply_log(&f, 0, SAMPLE_LOG, NULL);
    fixture_digest(&f, before);
    fixture_reopen(&f);
    cr_expect_eq(f.index, SAMPLE_LOG);
    for (unsigned i = 0; i < SAMPLE_LOG; i++) {
        sample_log(&f.command, i);
        fixture_apply_at(&f, i + 1);
        cr_expect(f.skipped);
    }
    fixture_digest(&f, after);
    cr_expect_eq(memcmp(before, after, DIGEST_SIZE), 0);
    fixture_reopen(&f);
    cr_expect_eq(f.index, SAMPLE_LOG);
}

static void expect_same_outcomes(const struct outcome *a, const struct outcome *b)
{
    for (unsigned i = 0; i < SAMPLE_LOG; i++) {
        cr_expect(a[i].error == b[i].error && a[i].index == b[i].index &&
                      a[i].number == b[i].number && a[i].object_count == b[i].object_count &&
                      memcmp(a[i].object_ids, b[i].object_ids, sizeof(a[i].object_ids)) == 0,
                  "entry %u", i);
    }
}

Test(replay, after_a_crash_at_any_entry_ends_equal, .timeout = 60)
{
    F;
    struct outcome first[SAMPLE_LOG], again[SAMPLE_LOG];
    fixture_open(&f, 0);
    memset(first, 0, sizeof(first));
    memset(again, 0, sizeof(again));
    apply_log(&f, 0, SAMPLE_LOG, first);
    for (unsigned crash = 1; crash < SAMPLE_LOG; crash++) {
        FIXTURE_SCOPED other;
        fixture_open(&other, 0);
        apply_log(&other, 0, crash / 2, again);
        fixture_commit(&other);
        apply_log(&other, crash / 2, crash, again); /* answered, then lost */
        fixture_reopen(&other);
        cr_expect_eq(other.index, crash / 2);
        apply_log(&other, 0, SAMPLE_LOG, again);
        expect_digests_equal(&f, &other);
        expect_same_outcomes(first, again);
    }
}

static void flip_blob(void *verb)
{
    Ringkeep__ObjectsCreate *create = verb;
    create->objects[0]->blob.data[create->objects[0]->blob.len - 1] ^= 1;
}

Test(replay, digests_differ_after_one_changed_byte, .timeout = 60)
{
    F;
    FIXTURE_SCOPED other;
    uint8_t x[DIGEST_SIZE], y[DIGEST_SIZE];
    fixture_keyring(&f, 0);
    fixture_keyring(&other, 0);
    expect_digests_equal(&f, &other);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    other.sample.edit = flip_blob;
    sample_objects_create(&other.command, &other.sample, 1, 1, 1);
    cr_assert_eq(fixture_apply(&other), ERR_OK);
    fixture_digest(&f, x);
    fixture_digest(&other, y);
    cr_expect_neq(memcmp(x, y, DIGEST_SIZE), 0);
    DO(object_destroy, 1, 1);
    SAY(ERR_OK);
    sample_object_destroy(&other.command, &other.sample, 1, 1);
    cr_assert_eq(fixture_apply(&other), ERR_OK);
    expect_digests_equal(&f, &other);
}

/* -- local failures ---------------------------------------------------------------------- */

Test(replay, a_failed_put_is_no_outcome_and_cannot_be_committed, .timeout = 60)
{
    F;
    fixture_open(&f, 0);
    apply_log(&f, 0, SAMPLE_LOG, NULL);
    FIXTURE_SCOPED other;
    fixture_open(&other, 0);
    unsigned failures = 0;
    for (unsigned i = 0; i < SAMPLE_LOG; i++) {
        enum err e = ERR_IO;
        for (unsigned n = 1; e != ERR_OK; n++) {
            sample_log(&other.command, i);
            store_test_fail(other.store, n);
            e = fixture_try(&other, i + 1);
            if (e != ERR_OK) {
                cr_assert_eq(e, ERR_IO);
                cr_expect_eq(store_commit(&other.txn), ERR_IO);
                fixture_reopen(&other);
                cr_expect_eq(other.index, i);
                failures++;
            }
        }
        store_test_fail(other.store, 0);
        fixture_commit(&other);
    }
    cr_expect_gt(failures, SAMPLE_LOG);
    expect_digests_equal(&f, &other);
    expect_whole(&other);
}

Test(replay, a_full_map_is_a_local_failure, .timeout = 60)
{
    F;
    fixture_keyring(&f, 0);
    fixture_commit(&f);
    f.options.map_size = 400u * 1024u;
    fixture_reopen(&f);
    enum err e = ERR_OK;
    for (unsigned i = 1; i < 5000 && e == ERR_OK; i++) {
        DO(objects_create, 1, i, 1);
        e = fixture_try(&f, f.index + 1);
        f.index++;
    }
    cr_expect_eq(e, ERR_IO);
    cr_expect_eq(store_commit(&f.txn), ERR_IO);
    fixture_reopen(&f);
    expect_whole(&f);
}

/* -- the full walk --------------------------------------------------------------------------- */

struct ids {
    uint8_t keyring[ID_SIZE], object[ID_SIZE], spki[32];
};

static void ids_init(struct ids *ids)
{
    sample_id(ids->keyring, 'K', 1);
    sample_id(ids->object, 'O', 1);
    sample_spki(ids->spki, 1);
}

static void lose_label(struct store_txn *t, const struct ids *ids)
{
    (void)ids;
    cr_assert_eq(store_txn_delete(t, STORE_LABELS, bytes_of_text("one")), ERR_OK);
}
static void move_label(struct store_txn *t, const struct ids *ids)
{
    cr_assert_eq(
        store_txn_put(t, STORE_LABELS, bytes_of_text("one"), bytes_of(ids->object, ID_SIZE)),
        ERR_OK);
}
static void extra_label(struct store_txn *t, const struct ids *ids)
{
    cr_assert_eq(
        store_txn_put(t, STORE_LABELS, bytes_of_text("two"), bytes_of(ids->keyring, ID_SIZE)),
        ERR_OK);
}
static void lose_keyring(struct store_txn *t, const struct ids *ids)
{
    cr_assert_eq(store_txn_delete(t, STORE_KEYRINGS, bytes_of(ids->keyring, ID_SIZE)), ERR_OK);
    lose_label(t, ids);
}
static void lose_object(struct store_txn *t, const struct ids *ids)
{
    const struct rows_key key =
        rows_key_pair(bytes_of(ids->keyring, ID_SIZE), bytes_of(ids->object, ID_SIZE));
    cr_assert_eq(store_txn_delete(t, STORE_OBJECTS, rows_key_bytes(&key)), ERR_OK);
}
static void lose_handle(struct store_txn *t, const struct ids *ids)
{
    const struct rows_key key = rows_key_number(bytes_of(ids->keyring, ID_SIZE), 1);
    cr_assert_eq(store_txn_delete(t, STORE_HANDLES, rows_key_bytes(&key)), ERR_OK);
}
static void extra_handle(struct store_txn *t, const struct ids *ids)
{
    const struct rows_key key = rows_key_number(bytes_of(ids->keyring, ID_SIZE), 3);
    cr_assert_eq(
        store_txn_put(t, STORE_HANDLES, rows_key_bytes(&key), bytes_of(ids->object, ID_SIZE)),
        ERR_OK);
}
static void wrong_count(struct store_txn *t, const struct ids *ids)
{
    ROW_SCOPED Ringkeep__KeyringRow *row = NULL;
    cr_assert_eq(rows_get(store_txn_view(t), STORE_KEYRINGS, bytes_of(ids->keyring, ID_SIZE), &row),
                 ERR_OK);
    row->object_count++;
    cr_assert_eq(rows_put(t, STORE_KEYRINGS, bytes_of(ids->keyring, ID_SIZE), row), ERR_OK);
}
static void handle_not_given(struct store_txn *t, const struct ids *ids)
{
    ROW_SCOPED Ringkeep__KeyringRow *row = NULL;
    cr_assert_eq(rows_get(store_txn_view(t), STORE_KEYRINGS, bytes_of(ids->keyring, ID_SIZE), &row),
                 ERR_OK);
    row->next_handle = 1;
    cr_assert_eq(rows_put(t, STORE_KEYRINGS, bytes_of(ids->keyring, ID_SIZE), row), ERR_OK);
}
static void lose_client(struct store_txn *t, const struct ids *ids)
{
    cr_assert_eq(store_txn_delete(t, STORE_CLIENTS, bytes_of(ids->spki, 32)), ERR_OK);
}
static void lose_name(struct store_txn *t, const struct ids *ids)
{
    (void)ids;
    cr_assert_eq(store_txn_delete(t, STORE_NAMES, bytes_of_text("web")), ERR_OK);
}
static void lose_roster_row(struct store_txn *t, const struct ids *ids)
{
    ROW_SCOPED Ringkeep__ClusterRow *row = NULL;
    (void)ids;
    BUF_SCOPED roster = { 0 };
    cr_assert_eq(rows_get(store_txn_view(t), STORE_CLUSTER, bytes_of(NULL, 0), &row), ERR_OK);
    sample_roster(&roster, 1, 3, 0);
    Ringkeep__ClusterRow fresh = *row;
    fresh.roster.data = roster.data;
    fresh.roster.len = roster.size;
    cr_assert_eq(rows_put(t, STORE_CLUSTER, bytes_of(NULL, 0), &fresh), ERR_OK);
}
static void stray_login(struct store_txn *t, const struct ids *ids)
{
    Ringkeep__LoginRow row = RINGKEEP__LOGIN_ROW__INIT;
    const struct rows_key key = rows_key_login(bytes_of(ids->object, ID_SIZE), 6);
    cr_assert_eq(rows_put(t, STORE_LOGINS, rows_key_bytes(&key), &row), ERR_OK);
}
static void stray_order(struct store_txn *t, const struct ids *ids)
{
    const struct rows_key key = rows_key_order(1, bytes_of(ids->object, ID_SIZE));
    cr_assert_eq(store_txn_put(t, STORE_OUTCOME_ORDER, rows_key_bytes(&key), bytes_of(NULL, 0)),
                 ERR_OK);
}
static void garbage_row(struct store_txn *t, const struct ids *ids)
{
    cr_assert_eq(
        store_txn_put(t, STORE_INVITES, bytes_of(ids->object, ID_SIZE), bytes_of_text("\xff\xff")),
        ERR_OK);
    cr_assert_eq(
        store_txn_put(t, STORE_MEMBERS, bytes_of(ids->object, ID_SIZE), bytes_of_text("\xff\xff")),
        ERR_OK);
}
/* Past the digest, as bit rot does. */
static void rot(struct store_txn *t, const struct ids *ids)
{
    struct bytes value;
    uint8_t copy[4096];
    const struct rows_key key =
        rows_key_pair(bytes_of(ids->keyring, ID_SIZE), bytes_of(ids->object, ID_SIZE));
    cr_assert_eq(store_txn_get(t, STORE_OBJECTS, rows_key_bytes(&key), &value), ERR_OK);
    cr_assert_leq(value.size, sizeof(copy));
    memcpy(copy, value.data, value.size);
    copy[value.size - 20] ^= 1; /* inside the blob */
    MDB_val k = { key.size, (void *)(uintptr_t)key.data };
    MDB_val v = { value.size, copy };
    cr_assert_eq(mdb_put(t->view.txn, t->view.store->tables[STORE_OBJECTS], &k, &v, 0), 0);
}

Test(check, finds_what_is_planted, .timeout = 60)
{
    static const struct {
        void (*plant)(struct store_txn *t, const struct ids *ids);
        const char *said;
    } rows[] = {
        { lose_label, "labels" },
        { move_label, "labels" },
        { extra_label, "labels" },
        { lose_keyring, "no such keyring" },
        { lose_object, "no such object" },
        { lose_handle, "count of objects" },
        { extra_handle, "count of objects" },
        { wrong_count, "count of objects" },
        { handle_not_given, "not given yet" },
        { lose_client, "no such client" },
        { lose_name, "names" },
        { lose_roster_row, "roster" },
        { stray_login, "logins" },
        { stray_order, "outcomes" },
        { garbage_row, "cannot be read" },
        { rot, "digest" },
    };
    F;
    struct ids ids;
    char text[200];
    ids_init(&ids);
    fixture_keyring(&f, 0);
    DO(objects_create, 1, 1, 2);
    SAY(ERR_OK);
    fixture_commit(&f);
    expect_whole(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        FIXTURE_SCOPED other;
        fixture_keyring(&other, 0);
        sample_objects_create(&other.command, &other.sample, 1, 1, 2);
        cr_assert_eq(fixture_apply(&other), ERR_OK);
        rows[i].plant(other.txn, &ids);
        cr_expect_eq(fixture_check(&other, text, sizeof(text)), ERR_CORRUPT, "row %zu", i);
        cr_expect_not_null(strstr(text, rows[i].said), "row %zu says: %s", i, text);
    }
}
