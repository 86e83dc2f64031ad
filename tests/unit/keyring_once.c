/* SPDX-License-Identifier: Apache-2.0 */
/* At most once (consistency.md 7), with W = 64. */
#include <criterion/criterion.h>

#include <string.h>

#include "command.pb-c.h"
#include "proto/frame.h"
#include "tests/lib/keyring_fixture.h"

#define F FIXTURE_SCOPED f
#define SAY(e)                                                                                     \
    cr_expect_eq(fixture_apply(&f), (e), "outcome %s, not %s", err_name(f.last.error), #e)
#define DO(verb, ...) sample_##verb(&f.command, &f.sample, ##__VA_ARGS__)
#define WINDOW 64u

static uint64_t objects(struct keyring_fixture *f)
{
    return store_count(store_txn_view(f->txn), STORE_OBJECTS);
}

static void pass_time(struct keyring_fixture *f, unsigned commands)
{
    sample_no_request(&f->sample);
    for (unsigned i = 0; i < commands; i++) {
        sample_beacon_put(&f->command, &f->sample, 1);
        cr_assert_eq(fixture_apply(f), ERR_OK);
    }
}

Test(once, a_repeat_gets_the_first_outcome_with_its_index_and_object, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    sample_request(&f.sample, 1, 1, f.index);
    DO(objects_create, 1, 1, 2);
    SAY(ERR_OK);
    const struct outcome first = f.last;
    pass_time(&f, 5);
    sample_request(&f.sample, 1, 1, first.index - 1);
    DO(objects_create, 1, 7, 1); /* another member's core made another key */
    SAY(ERR_OK);
    cr_expect_eq(f.last.index, first.index);
    cr_expect_eq(f.last.number, first.number);
    cr_expect_eq(f.last.object_count, 2);
    cr_expect_eq(memcmp(f.last.object_ids, first.object_ids, sizeof(first.object_ids)), 0);
    cr_expect_eq(objects(&f), 2);
}

Test(once, a_refusal_is_remembered_too, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    sample_request(&f.sample, 1, 1, f.index);
    DO(object_destroy, 1, 1);
    SAY(ERR_NOTFOUND);
    const uint64_t index = f.last.index;
    sample_no_request(&f.sample);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    sample_request(&f.sample, 1, 1, index - 1);
    DO(object_destroy, 1, 1); /* the late copy must not destroy it */
    SAY(ERR_NOTFOUND);
    cr_expect_eq(f.last.index, index);
    cr_expect_eq(objects(&f), 1);
}

Test(once, another_client_or_request_under_the_same_id_is_refused, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    sample_request(&f.sample, 1, 1, f.index);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    const struct outcome first = f.last;
    sample_request(&f.sample, 1, 2, f.index);
    DO(objects_create, 1, 2, 1);
    SAY(ERR_REFUSED);
    sample_request(&f.sample, 1, 1, f.index);
    f.sample.origin.request_hash[9] ^= 1;
    DO(objects_create, 1, 2, 1);
    SAY(ERR_REFUSED);
    sample_request(&f.sample, 1, 1, first.index - 1);
    DO(objects_create, 1, 1, 1); /* the true one is still remembered */
    SAY(ERR_OK);
    cr_expect_eq(f.last.index, first.index);
    cr_expect_eq(objects(&f), 1);
}

Test(once, what_is_forgotten_is_too_old_for_ever, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    const uint64_t base = f.index;
    sample_request(&f.sample, 1, 1, base);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    const uint64_t first = f.last.index;
    /* At every age it happens at most once: remembered, or refused as too old. */
    for (unsigned age = 1; age < WINDOW + 20; age++) {
        sample_request(&f.sample, 1, 1, base);
        DO(objects_create, 1, 2, 1);
        const enum err e = fixture_apply(&f);
        const bool remembered = e == ERR_OK && f.last.index == first;
        cr_expect(remembered || e == ERR_TOO_OLD, "age %u: %s", age, err_name(e));
        cr_expect(age > WINDOW || remembered);
        cr_expect_eq(objects(&f), 1);
    }
    cr_expect_eq(f.last.error, ERR_TOO_OLD);
}

Test(once, a_base_at_the_edge_of_the_window_still_goes, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    pass_time(&f, WINDOW);
    sample_request(&f.sample, 1, 1, f.index + 1 - WINDOW);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_OK);
    sample_request(&f.sample, 2, 1, f.index - WINDOW);
    DO(objects_create, 1, 2, 1);
    SAY(ERR_TOO_OLD);
}

Test(once, a_base_from_the_future_is_refused_and_stays_refused, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    const uint64_t future = f.index + 5;
    sample_request(&f.sample, 1, 1, future);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_TOO_OLD);
    pass_time(&f, 10);
    sample_request(&f.sample, 1, 1, future);
    DO(objects_create, 1, 1, 1);
    SAY(ERR_TOO_OLD);
    cr_expect_eq(objects(&f), 0);
}

Test(once, another_incarnation_is_refused, .timeout = 60)
{
    F;
    fixture_keyring(&f, WINDOW);
    sample_request(&f.sample, 1, 1, f.index);
    f.sample.origin.incarnation[0] ^= 1;
    DO(objects_create, 1, 1, 1);
    SAY(ERR_INCARNATION);
    cr_expect_eq(objects(&f), 0);
}

static void edit_command(struct keyring_fixture *f, void (*edit)(Ringkeep__Command *c))
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    cr_assert_eq(
        message_unpack(&ringkeep__command__descriptor, buf_bytes(&f->command), &arena, &message),
        ERR_OK);
    edit(message);
    BUF_SCOPED fresh = { 0 };
    cr_assert_eq(message_pack(&fresh, message, LIMIT_COMMAND), ERR_OK);
    buf_clear(&f->command);
    cr_assert_eq(buf_append(&f->command, buf_bytes(&fresh), LIMIT_COMMAND), ERR_OK);
}
static void no_client(Ringkeep__Command *c)
{
    c->has_client = 0;
}
static void no_hash(Ringkeep__Command *c)
{
    c->has_request_hash = 0;
}
static void no_base(Ringkeep__Command *c)
{
    c->has_base_index = 0;
}
static void short_request(Ringkeep__Command *c)
{
    c->request_id.len = 4;
}

Test(once, half_an_origin_is_malformed, .timeout = 60)
{
    static void (*const edits[])(Ringkeep__Command * c) = { no_client, no_hash, no_base,
                                                            short_request };
    F;
    fixture_keyring(&f, WINDOW);
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        sample_request(&f.sample, 1, 1, f.index);
        DO(objects_create, 1, 1, 1);
        edit_command(&f, edits[i]);
        SAY(ERR_MALFORMED);
        cr_expect_eq(objects(&f), 0);
    }
    cr_expect_eq(store_count(store_txn_view(f.txn), STORE_OUTCOMES), 0);
}

Test(once, the_table_is_bounded_by_the_window, .timeout = 60)
{
    F;
    char text[200];
    fixture_keyring(&f, WINDOW);
    for (unsigned i = 0; i < 4 * WINDOW; i++) {
        sample_request(&f.sample, 100 + i, 1, f.index);
        DO(object_destroy, 1, 1);
        SAY(ERR_NOTFOUND);
        cr_expect_leq(store_count(store_txn_view(f.txn), STORE_OUTCOMES), WINDOW + 1);
    }
    cr_expect_eq(fixture_check(&f, text, sizeof(text)), ERR_OK, "%s", text);
    /* Raft's own entries moved the index far: two a command catch up. */
    cr_assert_eq(store_begin(f.store, &f.txn), ERR_OK);
    store_txn_note_index(f.txn, f.index + 10 * WINDOW, 0);
    f.index += 10 * WINDOW;
    const uint64_t before = store_count(store_txn_view(f.txn), STORE_OUTCOMES);
    sample_request(&f.sample, 1, 1, f.index);
    DO(object_destroy, 1, 1);
    SAY(ERR_NOTFOUND);
    cr_expect_eq(store_count(store_txn_view(f.txn), STORE_OUTCOMES), before + 1 - 2);
    pass_time(&f, WINDOW / 2 + 1);
    cr_expect_eq(store_count(store_txn_view(f.txn), STORE_OUTCOMES), 1);
}
