/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations (consistency.md 3, crypto-spec 3 and 8). */
#include <criterion/criterion.h>

#include <string.h>

#include "command.pb-c.h"
#include "tests/lib/keyring_fixture.h"

#define F FIXTURE_SCOPED f
#define SAY(e)                                                                                     \
    cr_expect_eq(fixture_apply(&f), (e), "outcome %s, not %s", err_name(f.last.error), #e)
#define DO(verb, ...) sample_##verb(&f.command, &f.sample, ##__VA_ARGS__)
#define KRCO 6u
#define LIMIT_HERE 3u

static void limit_three(void *verb)
{
    Ringkeep__KeyringPut *put = verb;
    put->has_max_fail = 1;
    put->max_fail = LIMIT_HERE;
}

static void open_with_limit(struct keyring_fixture *f)
{
    fixture_keyring(f, 0);
    f->sample.edit = limit_three;
    sample_keyring_activate(&f->command, &f->sample, 1, 3, 1);
    cr_assert_eq(fixture_apply(f), ERR_OK);
}

static void counters(struct keyring_fixture *f, unsigned *failed, size_t *pending)
{
    STORE_VIEW_SCOPED *v = fixture_view(f);
    Ringkeep__LoginRow *row = NULL;
    uint8_t id[ID_SIZE];
    sample_id(id, 'K', 1);
    *failed = 0;
    *pending = 0;
    if (query_login(v, id, KRCO, (void **)&row) == ERR_OK) {
        *failed = row->failed;
        *pending = row->n_pending;
        query_drop(row);
    }
}
#define COUNTS(want_failed, want_pending)                                                          \
    do {                                                                                           \
        unsigned failed = 0;                                                                       \
        size_t pending = 0;                                                                        \
        counters(&f, &failed, &pending);                                                           \
        cr_expect_eq(failed, (want_failed), "failed is %u", failed);                               \
        cr_expect_eq(pending, (want_pending), "pending is %zu", pending);                          \
    } while (0)

Test(logins, success_clears_and_the_row_goes, .timeout = 60)
{
    F;
    open_with_limit(&f);
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_OK);
    COUNTS(0, 1);
    DO(login_resolve, 1, KRCO, 1, false);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 1);
    COUNTS(1, 0);
    DO(login_reserve, 1, KRCO, 2, 1);
    SAY(ERR_OK);
    DO(login_resolve, 1, KRCO, 2, true);
    SAY(ERR_OK);
    COUNTS(0, 0);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    cr_expect_eq(store_count(v, STORE_LOGINS), 0);
}

static void refused_before(void *verb)
{
    Ringkeep__LoginResolve *resolve = verb;
    resolve->has_not_compared = 1;
    resolve->not_compared = 1;
}

Test(logins, a_refusal_before_the_comparison_counts_and_clears_nothing, .timeout = 60)
{
    F;
    open_with_limit(&f);
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_OK);
    DO(login_resolve, 1, KRCO, 1, false);
    SAY(ERR_OK);
    for (unsigned i = 2; i <= 4 * LIMIT_HERE; i++) {
        DO(login_reserve, 1, KRCO, i, 1);
        SAY(ERR_OK);
        f.sample.edit = refused_before;
        DO(login_resolve, 1, KRCO, i, false);
        SAY(ERR_OK);
        COUNTS(1, 0);
    }
    DO(login_reserve, 1, KRCO, 99, 1);
    SAY(ERR_OK);
    f.sample.edit = refused_before;
    DO(login_resolve, 1, KRCO, 99, true);
    SAY(ERR_MALFORMED);
    COUNTS(1, 1);
}

Test(logins, failures_lock_and_only_at_the_limit, .timeout = 60)
{
    F;
    open_with_limit(&f);
    for (unsigned i = 1; i <= LIMIT_HERE; i++) {
        DO(login_reserve, 1, KRCO, i, 1);
        SAY(ERR_OK);
        DO(login_resolve, 1, KRCO, i, false);
        SAY(ERR_OK);
    }
    DO(login_reserve, 1, KRCO, 9, 2);
    SAY(ERR_PIN_LOCKED);
    DO(login_reserve, 1, KRCO + 1, 9, 2); /* another role is not */
    SAY(ERR_OK);
    DO(keyring_activate, 1, 4, 2); /* a new record leaves the counter alone */
    SAY(ERR_OK);
    DO(login_reserve, 1, KRCO, 10, 2);
    SAY(ERR_PIN_LOCKED);
}

Test(logins, open_attempts_make_others_wait_and_never_lock, .timeout = 60)
{
    F;
    open_with_limit(&f);
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_OK);
    DO(login_resolve, 1, KRCO, 1, false);
    SAY(ERR_OK);
    DO(login_reserve, 1, KRCO, 2, 1);
    SAY(ERR_OK);
    DO(login_reserve, 1, KRCO, 2, 2);
    SAY(ERR_EXISTS);
    DO(login_reserve, 1, KRCO, 3, 1); /* one a member */
    SAY(ERR_BUSY);
    DO(login_reserve, 1, KRCO, 3, 2);
    SAY(ERR_OK);
    DO(login_reserve, 1, KRCO, 4, 3); /* 1 failed + 2 open = the limit */
    SAY(ERR_BUSY);
    COUNTS(1, 2);
    DO(login_resolve, 1, KRCO, 3, true);
    SAY(ERR_OK);
    COUNTS(0, 1); /* member 1's goes on */
    DO(login_reserve, 1, KRCO, 4, 3);
    SAY(ERR_OK);
}

Test(logins, an_expired_attempt_counts_and_clears_nothing, .timeout = 60)
{
    F;
    open_with_limit(&f);
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_OK);
    f.sample.stamp_s += LIMIT_RESERVATION_S;
    DO(login_expire, 1, KRCO);
    SAY(ERR_OK);
    COUNTS(0, 1); /* not older than 60 s yet */
    f.sample.stamp_s += 1;
    DO(login_resolve, 1, KRCO, 1, true); /* expired by the stamp, though nobody wrote it down */
    SAY(ERR_TIMEOUT);
    DO(login_expire, 1, KRCO);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 1);
    COUNTS(1, 0);
    DO(login_resolve, 1, KRCO, 1, true);
    SAY(ERR_TIMEOUT);
    COUNTS(1, 0);
    DO(login_resolve, 1, KRCO, 1, false); /* counts again */
    SAY(ERR_OK);
    COUNTS(2, 0);
}

Test(logins, a_stamp_that_goes_back_revives_no_attempt, .timeout = 60)
{
    F;
    open_with_limit(&f);
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_OK);
    f.sample.stamp_s += LIMIT_RESERVATION_S + 1;
    DO(beacon_put, 1);
    SAY(ERR_OK);
    f.sample.stamp_s -= LIMIT_RESERVATION_S; /* another leader, its clock behind */
    DO(login_resolve, 1, KRCO, 1, true);
    SAY(ERR_TIMEOUT);
}

Test(logins, the_next_reservation_counts_expired_ones, .timeout = 60)
{
    F;
    open_with_limit(&f);
    for (unsigned m = 1; m <= LIMIT_HERE; m++) {
        DO(login_reserve, 1, KRCO, m, m);
        SAY(ERR_OK);
    }
    f.sample.stamp_s += LIMIT_RESERVATION_S + 1;
    DO(login_reserve, 1, KRCO, 9, 1);
    SAY(ERR_PIN_LOCKED);
    DO(login_expire, 1, KRCO);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 3);
    DO(login_expire, 1, KRCO);
    SAY(ERR_OK);
    COUNTS(3, 0);
}

static void role_four(void *verb)
{
    ((Ringkeep__LoginReserve *)verb)->role = 4;
}
static void short_attempt(void *verb)
{
    ((Ringkeep__LoginReserve *)verb)->attempt_id.len = 8;
}

Test(logins, are_for_keyring_roles_of_known_keyrings_by_members, .timeout = 60)
{
    F;
    open_with_limit(&f);
    f.sample.edit = role_four;
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_MALFORMED);
    f.sample.edit = short_attempt;
    DO(login_reserve, 1, KRCO, 1, 1);
    SAY(ERR_MALFORMED);
    DO(login_reserve, 1, 9, 1, 1);
    SAY(ERR_MALFORMED);
    DO(login_reserve, 7, KRCO, 1, 1);
    SAY(ERR_NOTFOUND);
    DO(login_reserve, 1, KRCO, 1, 9);
    SAY(ERR_REFUSED);
    DO(login_resolve, 7, KRCO, 1, true);
    SAY(ERR_NOTFOUND);
    DO(login_expire, 7, KRCO);
    SAY(ERR_NOTFOUND);
    DO(login_expire, 1, KRCO);
    SAY(ERR_OK);
}
