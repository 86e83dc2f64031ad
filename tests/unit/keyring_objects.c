/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs of keyrings, clients, assignments and objects, and the queries of them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "command.pb-c.h"
#include "sks/blob.h"
#include "tests/lib/keyring_fixture.h"

#define F FIXTURE_SCOPED f
#define SAY(e)                                                                                     \
    cr_expect_eq(fixture_apply(&f), (e), "outcome %s, not %s", err_name(f.last.error), #e)
#define DO(verb, ...) sample_##verb(&f.command, &f.sample, ##__VA_ARGS__)
#define WHOLE()                                                                                    \
    do {                                                                                           \
        char text[200];                                                                            \
        cr_expect_eq(fixture_check(&f, text, sizeof(text)), ERR_OK, "%s", text);                   \
    } while (0)

struct edit_row {
    void (*edit)(void *verb);
    enum err error;
};

/* -- keyrings ------------------------------------------------------------------------ */

static void max_fail_zero(void *verb)
{
    ((Ringkeep__KeyringPut *)verb)->has_max_fail = 1;
}
static void record_of_another(void *verb)
{
    ((Ringkeep__KeyringPut *)verb)->record.data[24 + 15] ^= 1;
}
static void record_of_another_epoch(void *verb)
{
    ((Ringkeep__KeyringPut *)verb)->epoch++;
}
static void record_without_magic(void *verb)
{
    ((Ringkeep__KeyringPut *)verb)->record.data[0] = 'X';
}
static void tab_in_label(void *verb)
{
    static char label[] = "a\tb";
    ((Ringkeep__KeyringPut *)verb)->label = label;
}
static void label_33(void *verb)
{
    static char label[] = "012345678901234567890123456789012";
    ((Ringkeep__KeyringPut *)verb)->label = label;
}

Test(keyrings, creation_checks_the_record_and_the_label, .timeout = 60)
{
    static const struct edit_row rows[] = {
        { max_fail_zero, ERR_MALFORMED },         { record_of_another, ERR_REFUSED },
        { record_of_another_epoch, ERR_REFUSED }, { record_without_magic, ERR_MALFORMED },
        { tab_in_label, ERR_MALFORMED },          { label_33, ERR_MALFORMED },
    };
    F;
    fixture_cluster(&f, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f.sample.edit = rows[i].edit;
        DO(keyring_put, 1, "one", 1, 1);
        cr_expect_eq(fixture_apply(&f), rows[i].error, "row %zu: %s", i, err_name(f.last.error));
    }
    DO(keyring_put, 1, NULL, 1, 1);
    SAY(ERR_MALFORMED);
    DO(keyring_put, 1, "one", 2, 1);
    SAY(ERR_NOTFOUND);
    DO(keyring_put, 1, "one", 1, 1);
    SAY(ERR_OK);
    DO(keyring_put, 2, "one", 1, 1);
    SAY(ERR_EXISTS);
    DO(keyring_put, 1, "two", 1, 1); /* exists: version 1 is no change */
    SAY(ERR_REFUSED);
    WHOLE();
}

Test(keyrings, records_go_up_by_one_and_epochs_never_down, .timeout = 60)
{
    F;
    uint8_t id[ID_SIZE];
    Ringkeep__KeyringRow *row = NULL;
    fixture_cluster(&f, 0);
    DO(keyring_put, 1, "one", 1, 5);
    SAY(ERR_OK);
    DO(keyring_put, 1, NULL, 3, 5);
    SAY(ERR_REFUSED);
    DO(keyring_put, 1, NULL, 2, 4);
    SAY(ERR_REFUSED);
    DO(keyring_put, 1, "renamed", 2, 5);
    SAY(ERR_REFUSED);
    DO(keyring_put, 1, "one", 2, 5);
    SAY(ERR_OK);
    DO(keyring_activate, 1, 3, 9);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 3);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    cr_assert_eq(query_keyring_by_label(v, "one", id), ERR_OK);
    cr_assert_eq(query_keyring(v, id, (void **)&row), ERR_OK);
    cr_expect(row->active && row->version == 3 && row->epoch == 9);
    cr_expect_eq(row->max_fail, LIMIT_MAX_FAIL);
    cr_expect_eq(row->order, 1);
    query_drop(row);
    cr_expect_eq(query_keyring_by_label(v, "", id), ERR_NOTFOUND);
    cr_expect_eq(query_keyring_by_label(v, "one ", id), ERR_NOTFOUND);
    WHOLE();
}

static enum err each_count(void *arg, struct bytes key, const void *message)
{
    (void)key;
    cr_expect_not_null(message);
    ++*(unsigned *)arg;
    return ERR_OK;
}

Test(keyrings, deletion_is_at_once_for_readers_and_bounded_for_the_rows, .timeout = 60)
{
    F;
    uint8_t id[ID_SIZE], spki[32], object[ID_SIZE];
    void *row = NULL;
    unsigned seen = 0;
    fixture_keyring(&f, 0);
    for (unsigned i = 0; i < 50; i++) {
        DO(objects_create, 1, 1 + 2 * i, 2);
        SAY(ERR_OK);
    }
    DO(login_reserve, 1, 6, 1, 1);
    SAY(ERR_OK);
    DO(keyring_delete, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 100);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    sample_id(id, 'K', 1);
    sample_id(object, 'O', 100);
    sample_spki(spki, 1);
    cr_expect_eq(query_keyring(v, id, &row), ERR_NOTFOUND);
    cr_expect_eq(query_object(v, id, object, &row), ERR_NOTFOUND);
    cr_expect_eq(query_assignment(v, spki, id, &row), ERR_NOTFOUND);
    cr_expect_eq(query_login(v, id, 6, &row), ERR_NOTFOUND);
    cr_expect_eq(query_each(v, STORE_OBJECTS, bytes_of(id, ID_SIZE), each_count, &seen), ERR_OK);
    cr_expect_eq(seen, 0);
    cr_expect_eq(store_count(v, STORE_OBJECTS), 100 - 32);
    WHOLE();
    DO(keyring_put, 1, "one", 1, 1); /* its rows are not gone yet */
    SAY(ERR_EXISTS);
    DO(keyring_put, 2, "one", 1, 1); /* the label is free at once */
    SAY(ERR_OK);
    for (unsigned i = 0; i < 6; i++) {
        DO(beacon_put, 1);
        SAY(ERR_OK);
    }
    const struct store_view *now = store_txn_view(f.txn);
    cr_expect_eq(store_count(now, STORE_OBJECTS), 0);
    cr_expect_eq(store_count(now, STORE_HANDLES), 0);
    cr_expect_eq(store_count(now, STORE_DOOMED), 0);
    DO(keyring_delete, 1);
    SAY(ERR_NOTFOUND);
    WHOLE();
}

/* -- clients and slots ------------------------------------------------------------------ */

Test(clients, names_are_unique_and_a_revoked_key_never_comes_back, .timeout = 60)
{
    F;
    uint8_t spki[32], expected[32];
    fixture_keyring(&f, 0);
    DO(client_put, 2, "web");
    SAY(ERR_EXISTS);
    DO(client_put, 2, "");
    SAY(ERR_MALFORMED);
    DO(client_put, 1, "web"); /* a new certificate of the same key */
    SAY(ERR_OK);
    DO(client_put, 1, "web-1"); /* a new name */
    SAY(ERR_OK);
    DO(client_put, 2, "web");
    SAY(ERR_OK);
    DO(client_revoke, 1);
    SAY(ERR_OK);
    DO(client_revoke, 1);
    SAY(ERR_OK);
    DO(client_revoke, 9);
    SAY(ERR_NOTFOUND);
    DO(client_put, 1, "web-1");
    SAY(ERR_REFUSED);
    DO(assign, 1, 1);
    SAY(ERR_REFUSED);
    DO(client_put, 3, "web-1"); /* the name is free */
    SAY(ERR_OK);
    WHOLE();
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    sample_spki(expected, 3);
    cr_assert_eq(query_client_by_name(v, "web-1", spki), ERR_OK);
    cr_expect_eq(memcmp(spki, expected, 32), 0);
    cr_expect_eq(store_count(v, STORE_ASSIGNMENTS), 0);
}

Test(clients, slot_numbers_are_stable_and_never_used_again, .timeout = 60)
{
    F;
    fixture_keyring(&f, 0); /* keyring 1 has slot 0 */
    for (unsigned k = 2; k <= 4; k++) {
        char label[8];
        snprintf(label, sizeof(label), "k%u", k);
        DO(keyring_put, k, label, 1, 1);
        SAY(ERR_OK);
    }
    DO(assign, 1, 1);
    SAY(ERR_EXISTS);
    cr_expect_eq(f.last.number, 0);
    DO(assign, 2, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 1);
    DO(unassign, 2, 1);
    SAY(ERR_OK);
    DO(unassign, 2, 1);
    SAY(ERR_NOTFOUND);
    DO(assign, 3, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 2); /* not 1 */
    DO(assign, 2, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 3);
    DO(keyring_delete, 2);
    SAY(ERR_OK);
    DO(assign, 4, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 4);
    DO(client_put, 1, "again"); /* keeps the count */
    SAY(ERR_OK);
    DO(unassign, 4, 1);
    SAY(ERR_OK);
    DO(assign, 4, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 5);
    DO(assign, 9, 1);
    SAY(ERR_NOTFOUND);
    DO(assign, 1, 9);
    SAY(ERR_NOTFOUND);
    WHOLE();
}

/* -- objects -------------------------------------------------------------------------------- */

static void no_objects(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->n_objects = 0;
}
static void same_twice(void *verb)
{
    Ringkeep__ObjectsCreate *create = verb;
    create->objects[1] = create->objects[0];
}
static void blob_of_another_keyring(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->objects[1]->blob.data[24 + 15] ^= 1;
}
static void blob_of_another_object(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->objects[0]->blob.data[56 + 15] ^= 1;
}
static void generation_two(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->objects[0]->blob.data[88] = 2;
}
static void off_board(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->objects[0]->blob.data[4] = BLOB_OFFBOARD;
}
static void cut_blob(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->objects[0]->blob.len--;
}
static void other_suite(void *verb)
{
    ((Ringkeep__ObjectsCreate *)verb)->objects[0]->blob.data[3] = 2;
}

Test(objects, creation_checks_every_blob_before_the_first_put, .timeout = 60)
{
    static const struct edit_row rows[] = {
        { no_objects, ERR_MALFORMED },
        { same_twice, ERR_EXISTS },
        { blob_of_another_keyring, ERR_REFUSED },
        { blob_of_another_object, ERR_REFUSED },
        { generation_two, ERR_REFUSED },
        { off_board, ERR_REFUSED },
        { cut_blob, ERR_MALFORMED },
        { other_suite, ERR_UNSUPPORTED },
    };
    F;
    fixture_keyring(&f, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f.sample.edit = rows[i].edit;
        DO(objects_create, 1, 1, 2);
        cr_expect_eq(fixture_apply(&f), rows[i].error, "row %zu: %s", i, err_name(f.last.error));
        cr_expect_eq(store_count(store_txn_view(f.txn), STORE_OBJECTS), 0);
    }
    DO(objects_create, 9, 1, 1);
    SAY(ERR_NOTFOUND);
    DO(keyring_put, 2, "two", 1, 1);
    SAY(ERR_OK);
    DO(objects_create, 2, 1, 1); /* not active yet */
    SAY(ERR_WRONG_STATE);
    DO(objects_create, 1, 1, 2);
    SAY(ERR_OK);
    DO(objects_create, 1, 2, 2); /* the first of the two exists */
    SAY(ERR_EXISTS);
    cr_expect_eq(store_count(store_txn_view(f.txn), STORE_OBJECTS), 2);
    WHOLE();
}

struct found {
    unsigned count;
    uint64_t handles[8];
};
static enum err on_found(void *arg,
                         const uint8_t object_id[ID_SIZE],
                         uint64_t handle,
                         struct bytes blob)
{
    struct found *found = arg;
    struct blob_header h;
    cr_assert_lt(found->count, 8);
    found->handles[found->count++] = handle;
    cr_assert_eq(blob_parse(blob, &h), ERR_OK);
    cr_expect_eq(memcmp(h.object_id, object_id, ID_SIZE), 0);
    return handle == 6 ? ERR_NOTFOUND : ERR_OK; /* "enough" */
}

Test(objects, handles_are_stable_and_never_used_again, .timeout = 60)
{
    F;
    uint8_t keyring[ID_SIZE], expected[ID_SIZE];
    fixture_keyring(&f, 0);
    DO(objects_create, 1, 1, 2);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 1);
    cr_expect_eq(f.last.object_count, 2);
    sample_id(expected, 'O', 2);
    cr_expect_eq(memcmp(f.last.object_ids[1], expected, ID_SIZE), 0);
    DO(object_destroy, 1, 2);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 2);
    DO(objects_create, 1, 3, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 3); /* not 2 */
    DO(object_update, 1, 1, 2);
    SAY(ERR_OK);
    DO(objects_create, 1, 4, 2);
    SAY(ERR_OK);
    DO(objects_create, 1, 6, 2);
    SAY(ERR_OK);
    sample_id(keyring, 'K', 1);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    struct found found = { 0 };
    cr_expect_eq(query_objects_by_handle(v, keyring, 0, 3, on_found, &found), ERR_OK);
    cr_expect(found.count == 3 && found.handles[0] == 1 && found.handles[1] == 3 &&
              found.handles[2] == 4);
    found.count = 0;
    cr_expect_eq(query_objects_by_handle(v, keyring, 4, 8, on_found, &found), ERR_OK);
    cr_expect(found.count == 2 && found.handles[0] == 5 &&
              found.handles[1] == 6); /* stopped at 6 */
    found.count = 0;
    cr_expect_eq(query_objects_by_handle(v, keyring, UINT64_MAX, 8, on_found, &found), ERR_OK);
    cr_expect_eq(found.count, 0);
    sample_id(keyring, 'K', 2);
    cr_expect_eq(query_objects_by_handle(v, keyring, 0, 8, on_found, &found), ERR_NOTFOUND);
    WHOLE();
}

static void kind_public(void *verb)
{
    Ringkeep__ObjectUpdate *update = verb;
    BUF_SCOPED blob = { 0 };
    sample_blob(&blob, BLOB_PUBLIC, 1, 1, 2, 80);
    cr_assert_leq(blob.size, update->blob.len);
    memcpy(update->blob.data, blob.data, blob.size);
    update->blob.len = blob.size;
}
static void generation_of_the_command_only(void *verb)
{
    ((Ringkeep__ObjectUpdate *)verb)->blob.data[88] = 3;
}

Test(objects, update_goes_up_by_one_generation_of_the_same_kind, .timeout = 60)
{
    F;
    uint8_t keyring[ID_SIZE], object[ID_SIZE];
    Ringkeep__ObjectRow *row = NULL;
    Ringkeep__KeyringRow *k = NULL;
    fixture_keyring(&f, 0);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    DO(object_update, 1, 1, 1);
    SAY(ERR_REFUSED);
    DO(object_update, 1, 1, 3);
    SAY(ERR_REFUSED);
    f.sample.edit = kind_public;
    DO(object_update, 1, 1, 2);
    SAY(ERR_REFUSED);
    f.sample.edit = generation_of_the_command_only;
    DO(object_update, 1, 1, 2);
    SAY(ERR_REFUSED);
    DO(object_update, 1, 2, 2);
    SAY(ERR_NOTFOUND);
    DO(object_update, 1, 1, 2);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 2);
    const uint64_t changed = f.last.index;
    DO(object_update, 1, 1, 2); /* the same once more */
    SAY(ERR_REFUSED);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    sample_id(keyring, 'K', 1);
    sample_id(object, 'O', 1);
    cr_assert_eq(query_object(v, keyring, object, (void **)&row), ERR_OK);
    cr_expect_eq(row->handle, 1);
    cr_expect_eq(get_u64(row->blob.data + 88), 2);
    query_drop(row);
    cr_assert_eq(query_keyring(v, keyring, (void **)&k), ERR_OK);
    cr_expect_eq(k->changed_index, changed);
    query_drop(k);
    WHOLE();
}

Test(objects, destroyed_is_absent_and_so_is_what_never_was, .timeout = 60)
{
    F;
    fixture_keyring(&f, 0);
    DO(object_destroy, 1, 1);
    SAY(ERR_NOTFOUND);
    DO(object_destroy, 8, 1);
    SAY(ERR_NOTFOUND);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    DO(object_destroy, 1, 1);
    SAY(ERR_OK);
    DO(object_destroy, 1, 1);
    SAY(ERR_NOTFOUND);
    DO(object_update, 1, 1, 2);
    SAY(ERR_NOTFOUND);
    WHOLE();
}
