/* SPDX-License-Identifier: Apache-2.0 */
/* Keyring logins in a core: counted before compared, envelopes bound, first
 * passwords changed, tickets opened, floors kept, clocks guarded. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/lib/keeper_kit.h"

TestSuite(keeper_login, .timeout = 120);

#define FIRST "first-password"
#define OWN "password-of-owner"

struct world {
    struct kit c;
    struct kit_keyring kr;
    uint8_t ticket[264];
};

static void open_world(struct world *w, unsigned mode)
{
    kit_init(&w->c);
    kit_must_initialise(&w->c);
    kit_must_create(&w->c);
    kit_must_keyring(&w->c, mode, FIRST, &w->kr);
    cr_assert_eq(kit_password(&w->c, &w->kr, 6, FIRST, OWN, 0), ERR_OK);
    cr_assert_eq(kit_login(&w->c, &w->kr, 6, OWN, w->ticket), ERR_OK);
}

static void restart(struct world *w)
{
    uint64_t handle = 0;
    cr_assert_eq(kit_restart(&w->c), ERR_OK);
    cr_assert_eq(kit_login_core(&w->c, 4, KIT_CO, &handle), ERR_OK);
}

Test(keeper_login, a_first_password_opens_nothing_but_its_change)
{
    struct world w;
    kit_init(&w.c);
    kit_must_initialise(&w.c);
    kit_must_create(&w.c);
    kit_must_keyring(&w.c, KEEPER_IDENTITY_SINGLE, FIRST, &w.kr);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, FIRST, w.ticket), ERR_PIN_MUST_CHANGE);
    cr_expect_eq(kit_login(&w.c, &w.kr, 5, FIRST, w.ticket), ERR_PIN_MUST_CHANGE);
    cr_expect_eq(kit_password(&w.c, &w.kr, 6, FIRST, "short", 0), ERR_PIN_LENGTH);
    cr_expect_eq(kit_password(&w.c, &w.kr, 6, FIRST, FIRST, 0), ERR_REFUSED);
    cr_expect_eq(kit_password(&w.c, &w.kr, 6, FIRST, OWN, 0), ERR_OK);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_OK);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, FIRST, w.ticket), ERR_PIN_INCORRECT);
    kit_drop(&w.c);
}

Test(keeper_login, single_identity_changes_both_rows)
{
    struct world w;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_expect_eq(kit_login(&w.c, &w.kr, 5, OWN, w.ticket), ERR_OK);
    cr_expect_eq(kit_password(&w.c, &w.kr, 5, OWN, "by-the-krso-now", 0), ERR_OK);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, "by-the-krso-now", w.ticket), ERR_OK);
    kit_drop(&w.c);
}

Test(keeper_login, dual_identity_changes_its_own_row)
{
    struct world w;
    open_world(&w, KEEPER_IDENTITY_DUAL);
    cr_expect_eq(kit_login(&w.c, &w.kr, 5, FIRST, w.ticket), ERR_PIN_MUST_CHANGE);
    cr_expect_eq(kit_password(&w.c, &w.kr, 5, FIRST, "krso-password", 0), ERR_OK);
    cr_expect_eq(kit_login(&w.c, &w.kr, 5, "krso-password", w.ticket), ERR_OK);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_OK);
    kit_drop(&w.c);
}

Test(keeper_login, the_krso_gets_no_blob_key)
{
    struct world w;
    struct keeper_keys keys;
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    cr_assert_eq(kit_keys(&w.c, handle, &keys), ERR_OK);
    cr_expect_eq(keys.has_bk, 1u);
    cr_assert_eq(kit_login(&w.c, &w.kr, 5, OWN, w.ticket), ERR_OK);
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    cr_assert_eq(kit_keys(&w.c, handle, &keys), ERR_OK);
    cr_expect_eq(keys.has_bk, 0u);
    kit_drop(&w.c);
}

Test(keeper_login, the_key_stays_over_a_later_change)
{
    struct world w;
    struct keeper_keys before, after;
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    cr_assert_eq(kit_keys(&w.c, handle, &before), ERR_OK);
    cr_assert_eq(kit_password(&w.c, &w.kr, 6, OWN, "another-password", 0), ERR_OK);
    cr_assert_eq(kit_login(&w.c, &w.kr, 6, "another-password", w.ticket), ERR_OK);
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    cr_assert_eq(kit_keys(&w.c, handle, &after), ERR_OK);
    cr_expect_arr_eq(before.bk, after.bk, 32);
    cr_expect_arr_eq(before.kk_id, after.kk_id, 16);
    kit_drop(&w.c);
}

Test(keeper_login, the_first_record_and_password_open_no_key_later)
{
    struct world w;
    struct kit_keyring first;
    kit_init(&w.c);
    kit_must_initialise(&w.c);
    kit_must_create(&w.c);
    kit_must_keyring(&w.c, KEEPER_IDENTITY_SINGLE, FIRST, &w.kr);
    first = w.kr;
    cr_assert_eq(kit_password(&w.c, &w.kr, 6, FIRST, OWN, 0), ERR_OK);
    cr_assert_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_OK);
    cr_expect_eq(kit_password(&w.c, &first, 6, FIRST, "of-the-creator", 0), ERR_REFUSED);
    restart(&w);
    cr_expect_eq(kit_password(&w.c, &first, 6, FIRST, "of-the-creator", 0), ERR_REFUSED);
    kit_drop(&w.c);
}

Test(keeper_login, wrong_passwords_count_on_disk_and_lock)
{
    struct world w;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    for (unsigned i = 0; i < LIMIT_MAX_FAIL; i++) {
        cr_expect_eq(kit_login(&w.c, &w.kr, 6, "wrong-password", w.ticket), ERR_PIN_INCORRECT);
        restart(&w);
    }
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_PIN_LOCKED);
    /* Another role of the same keyring has a count of its own. */
    cr_expect_eq(kit_login(&w.c, &w.kr, 5, OWN, w.ticket), ERR_OK);
    kit_drop(&w.c);
}

Test(keeper_login, a_higher_record_version_gives_new_tries)
{
    struct world w;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    for (unsigned i = 0; i < LIMIT_MAX_FAIL; i++) {
        cr_expect_eq(kit_login(&w.c, &w.kr, 6, "wrong-password", w.ticket), ERR_PIN_INCORRECT);
    }
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_PIN_LOCKED);
    cr_assert_eq(kit_password(&w.c, &w.kr, 5, OWN, "another-password", 0), ERR_OK);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, "another-password", w.ticket), ERR_OK);
    kit_drop(&w.c);
}

/* A scrypt thread that stands still: what a crash between count and comparison
 * leaves is what the next keeper finds. */
struct held {
    executor_work_cb work;
    executor_done_cb done;
    void *arg;
    unsigned posted;
};

static enum err hold(void *impl, executor_work_cb work, executor_done_cb done, void *arg)
{
    struct held *h = impl;
    *h = (struct held){ work, done, arg, h->posted + 1 };
    return ERR_OK;
}

static void note_error(void *arg, const struct core_reply *reply)
{
    *(enum err *)arg = reply->error;
}

Test(keeper_login, the_count_is_on_disk_before_the_comparison)
{
    struct kit c;
    struct held held = { 0 };
    const struct executor executor = { hold, NULL, &held };
    enum err answered = ERR_COUNT;
    struct keeper *slow = NULL;
    uint64_t handle = 0;
    struct kit_envelope e;
    kit_init(&c);
    kit_must_initialise(&c);
    struct keeper_options o = { .state_fd = { c.fd[0], c.fd[1] },
                                .clock = &c.clock,
                                .scrypt = &executor };
    cr_assert_eq(secret_copy(&o.mtk, bytes_of(c.mtk, 32)), ERR_OK);
    cr_assert_eq(keeper_open(&o, &slow), ERR_OK);
    struct keeper *usual = c.keeper;
    for (unsigned i = 0; i < 2; i++) {
        c.keeper = slow;
        const struct kit_pin p = {
            .verb = 1, .role = 1, .kr_id = c.status.core_id, .pin = "wrong-password"
        };
        kit_seal(&c, &p, &e);
        const struct core_request q = {
            .verb = CORE_LOGIN_CORE,
            .number = 1,
            .section = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593) },
        };
        keeper_answer(slow, &q, false, note_error, &answered);
        cr_expect_eq(answered, ERR_COUNT, "not compared yet");
        struct held first = held;
        c.keeper = usual;
        cr_assert_eq(kit_restart(&c), ERR_OK);
        usual = c.keeper;
        first.work(first.arg);
        first.done(first.arg);
        cr_expect_eq(answered, ERR_PIN_INCORRECT);
        answered = ERR_COUNT;
    }
    /* Two counts were on disk: one more ends the core. */
    cr_expect_eq(kit_login_core(&c, 1, "wrong-password", &handle), ERR_PIN_INCORRECT);
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_UNINITIALISED);
    keeper_close(slow);
    kit_drop(&c);
}

/* Many scrypt threads that stand still until the test lets them go. */
struct queue {
    struct held job[8];
    unsigned count;
};

static enum err enqueue(void *impl, executor_work_cb work, executor_done_cb done, void *arg)
{
    struct queue *q = impl;
    q->job[q->count++] = (struct held){ work, done, arg, 0 };
    return ERR_OK;
}

static void let_go(const struct held *h)
{
    h->work(h->arg);
    h->done(h->arg);
}

static void ask_so(struct kit *c, const char *pin, enum err *answer)
{
    struct kit_envelope e;
    const struct kit_pin p = { .verb = 1, .role = 1, .kr_id = c->status.core_id, .pin = pin };
    kit_seal(c, &p, &e);
    const struct core_request q = {
        .verb = CORE_LOGIN_CORE,
        .number = 1,
        .section = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593) },
    };
    *answer = ERR_COUNT;
    keeper_answer(c->keeper, &q, false, note_error, answer);
}

Test(keeper_login, a_full_count_with_comparisons_under_way_waits)
{
    struct kit c;
    struct queue queue = { 0 };
    const struct executor executor = { enqueue, NULL, &queue };
    struct keeper *slow = NULL;
    enum err answer[5];
    uint64_t handle = 0;
    kit_init(&c);
    kit_must_initialise(&c);
    struct keeper_options o = { .state_fd = { c.fd[0], c.fd[1] },
                                .clock = &c.clock,
                                .scrypt = &executor };
    cr_assert_eq(secret_copy(&o.mtk, bytes_of(c.mtk, 32)), ERR_OK);
    cr_assert_eq(keeper_open(&o, &slow), ERR_OK);
    keeper_close(c.keeper);
    c.keeper = slow;
    ask_so(&c, "wrong-password", &answer[0]);
    ask_so(&c, KIT_SO, &answer[1]);
    ask_so(&c, "wrong-password", &answer[2]);
    ask_so(&c, KIT_SO, &answer[3]);
    cr_expect_eq(answer[3], ERR_BUSY, "three are under way");
    let_go(&queue.job[0]);
    cr_expect_eq(answer[0], ERR_PIN_INCORRECT);
    let_go(&queue.job[1]);
    cr_expect_eq(answer[1], ERR_OK, "leaves the count of the one under way");
    let_go(&queue.job[2]);
    cr_expect_eq(answer[2], ERR_PIN_INCORRECT);
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_INITIALISED);
    cr_assert_eq(kit_restart(&c), ERR_OK);
    cr_expect_eq(kit_login_core(&c, 1, "wrong-password", &handle), ERR_PIN_INCORRECT);
    cr_expect_eq(kit_login_core(&c, 1, KIT_SO, &handle), ERR_OK);
    kit_drop(&c);
}

/* -- envelopes --------------------------------------------------------------- */

struct twist {
    const char *name;
    bool challenge, keyring, role, client, verb, flip;
};

Test(keeper_login, a_twisted_envelope_is_refused_without_counting)
{
    static const struct twist twists[] = {
        { .name = "challenge", .challenge = true }, { .name = "keyring", .keyring = true },
        { .name = "role", .role = true },           { .name = "client", .client = true },
        { .name = "verb", .verb = true },           { .name = "flipped", .flip = true },
    };
    struct world w;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < sizeof twists / sizeof twists[0]; i++) {
            const struct twist *t = &twists[i];
            struct kit_envelope e;
            struct kit_reply r;
            uint8_t start[8];
            const uint8_t other[32] = { 7 };
            const struct kit_pin p = { .by_lk = true,
                                       .verb = t->verb ? 2 : 1,
                                       .role = t->role ? 5 : 6,
                                       .kr_id = t->keyring ? other : w.kr.id,
                                       .client_spki = t->client ? other : kit_spki,
                                       .pin = "wrong-password",
                                       .new_pin = t->verb ? "new-password" : NULL };
            kit_seal(&w.c, &p, &e);
            if (t->challenge) {
                kit_challenge(&w.c, e.challenge);
            }
            e.envelope[round * 200 + 40] ^= t->flip ? 4 : 0;
            put_u64(start, w.c.boot_ms);
            const struct bytes s[] = { bytes_of(e.challenge, 16),
                                       bytes_of(e.envelope, 593),
                                       bytes_of(w.kr.record, w.kr.size),
                                       bytes_of(kit_spki, 32),
                                       bytes_of(w.kr.id, 16),
                                       bytes_of(start, 8) };
            kit_ask(&w.c, CORE_LOGIN, 0, 6, s, 6, &r);
            cr_expect_eq(r.error, ERR_REFUSED, "%s", t->name);
        }
    }
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_OK);
    kit_drop(&w.c);
}

Test(keeper_login, an_old_reservation_is_not_compared)
{
    struct world w;
    struct kit_reply r;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    static const uint64_t ages[] = { 30001, 60000, UINT64_MAX };
    for (unsigned i = 0; i < 3; i++) {
        struct kit_envelope e;
        uint8_t start[8];
        const struct kit_pin p = { .by_lk = true,
                                   .verb = 1,
                                   .role = 6,
                                   .kr_id = w.kr.id,
                                   .client_spki = kit_spki,
                                   .pin = OWN };
        kit_seal(&w.c, &p, &e);
        put_u64(start, w.c.boot_ms - ages[i]);
        const struct bytes s[] = {
            bytes_of(e.challenge, 16), bytes_of(e.envelope, 593), bytes_of(w.kr.record, w.kr.size),
            bytes_of(kit_spki, 32),    bytes_of(w.kr.id, 16),     bytes_of(start, 8)
        };
        kit_ask(&w.c, CORE_LOGIN, 0, 6, s, 6, &r);
        cr_expect_eq(r.error, ERR_TIMEOUT);
    }
    kit_drop(&w.c);
}

Test(keeper_login, the_login_reply_pins_what_the_challenge_showed)
{
    struct world w;
    struct kit_reply r;
    struct envelope_identities ids;
    struct envelope_login_key l;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    kit_ask(&w.c, CORE_CHALLENGE, 0, 0, NULL, 0, &r);
    cr_assert_eq(r.error, ERR_OK);
    cr_expect_eq(envelope_login_key_verify(r.section[1], w.c.status.cluster_id, w.c.status.id_pub),
                 ERR_OK);
    cr_assert_eq(envelope_login_key_parse(r.section[1], &l), ERR_OK);
    cr_expect_eq(l.lk_version, w.c.status.lk_version);
    cr_assert_eq(envelope_identities_decode(r.section[2], &ids), ERR_OK);
    cr_expect_neq(envelope_identities_find(&ids, w.c.status.core_id), NULL);
    kit_drop(&w.c);
}

/* -- tickets ----------------------------------------------------------------- */

Test(keeper_login, a_ticket_opens_for_its_client_until_it_expires)
{
    struct world w;
    struct keeper_keys keys;
    const uint8_t thief[32] = { 9 };
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, thief, &handle), ERR_REFUSED);
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    w.c.wall_s += LIMIT_TICKET_S - 1;
    cr_expect_eq(kit_keys(&w.c, handle, &keys), ERR_OK);
    w.c.wall_s += 1;
    cr_expect_eq(kit_keys(&w.c, handle, &keys), ERR_TICKET_EXPIRED);
    cr_expect_eq(kit_keys(&w.c, handle, &keys), ERR_LOGIN_REQUIRED);
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_TICKET_EXPIRED);
    /* Putting the clock back does not bring it back. */
    w.c.wall_s -= 86400;
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_TICKET_EXPIRED);
    cr_expect_eq(kit_login(&w.c, &w.kr, 6, OWN, w.ticket), ERR_CLOCK);
    kit_drop(&w.c);
}

Test(keeper_login, a_ticket_renews_without_a_password)
{
    struct world w;
    struct kit_reply r;
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    w.c.wall_s += LIMIT_TICKET_S / 2;
    kit_ask(&w.c, CORE_REFRESH, handle, 0, NULL, 0, &r);
    cr_assert_eq(r.error, ERR_OK);
    w.c.wall_s += LIMIT_TICKET_S - 1;
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_TICKET_EXPIRED);
    memcpy(w.ticket, r.section[0].data, 264);
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    w.c.wall_s -= 400;
    kit_ask(&w.c, CORE_REFRESH, handle, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_CLOCK);
    kit_drop(&w.c);
}

Test(keeper_login, a_raised_epoch_ends_tickets_and_handles)
{
    struct world w;
    struct kit_keyring old;
    struct kit_reply r;
    struct keeper_keys keys;
    uint8_t fresh[264];
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    old = w.kr;
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    cr_assert_eq(kit_password(&w.c, &w.kr, 6, OWN, "another-password", KEEPER_END_SESSIONS),
                 ERR_OK);
    cr_expect_eq(kit_keys(&w.c, handle, &keys), ERR_OK, "not yet committed");
    const struct bytes s[] = { bytes_of(w.kr.record, w.kr.size) };
    kit_ask(&w.c, CORE_RECORD_SEEN, 0, 0, s, 1, &r);
    cr_expect_eq(r.error, ERR_OK);
    cr_expect_eq(kit_keys(&w.c, handle, &keys), ERR_LOGIN_REQUIRED);
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_TICKET_EXPIRED);
    cr_expect_eq(kit_open(&w.c, &old, w.ticket, kit_spki, &handle), ERR_REFUSED, "below the floor");
    restart(&w);
    cr_expect_eq(kit_open(&w.c, &old, w.ticket, kit_spki, &handle), ERR_REFUSED,
                 "also after a restart");
    cr_assert_eq(kit_login(&w.c, &w.kr, 6, "another-password", fresh), ERR_OK);
    cr_expect_eq(kit_open(&w.c, &w.kr, fresh, kit_spki, &handle), ERR_OK);
    kit_drop(&w.c);
}

Test(keeper_login, a_change_without_end_of_sessions_leaves_tickets)
{
    struct world w;
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_assert_eq(kit_password(&w.c, &w.kr, 6, OWN, "another-password", 0), ERR_OK);
    cr_expect_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    kit_drop(&w.c);
}

Test(keeper_login, a_late_member_says_late)
{
    struct kit other;
    struct world w;
    struct kit_keyring old;
    uint8_t fresh[264];
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    kit_init(&other);
    kit_must_initialise(&other);
    kit_must_join(&w.c, &other);
    old = w.kr;
    cr_expect_eq(kit_open(&other, &old, w.ticket, kit_spki, &handle), ERR_OK, "any member's core");
    cr_assert_eq(kit_password(&w.c, &w.kr, 6, OWN, "another-password", KEEPER_END_SESSIONS),
                 ERR_OK);
    cr_assert_eq(kit_login(&w.c, &w.kr, 6, "another-password", fresh), ERR_OK);
    cr_expect_eq(kit_open(&other, &old, fresh, kit_spki, &handle), ERR_TICKET_LATE);
    cr_expect_eq(kit_open(&other, &w.kr, fresh, kit_spki, &handle), ERR_OK);
    kit_drop(&other);
    kit_drop(&w.c);
}

Test(keeper_login, every_flip_of_a_ticket_is_refused)
{
    struct world w;
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    for (unsigned at = 0; at < 264; at++) {
        w.ticket[at] ^= (uint8_t)(1u << (at % 8));
        const enum err e = kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle);
        cr_expect(e == ERR_REFUSED || e == ERR_TICKET_EXPIRED, "byte %u: %d", at, (int)e);
        w.ticket[at] ^= (uint8_t)(1u << (at % 8));
    }
    kit_drop(&w.c);
}

Test(keeper_login, a_public_session_has_the_public_key_alone)
{
    struct world w;
    struct kit_reply r;
    struct keeper_keys keys;
    static const uint8_t zero[32];
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    const struct bytes s[] = { bytes_of(w.kr.record, w.kr.size), bytes_of(kit_spki, 32) };
    kit_ask(&w.c, CORE_OPEN_PUBLIC, 0, 0, s, 2, &r);
    cr_assert_eq(r.error, ERR_OK);
    cr_assert_eq(kit_keys(&w.c, r.number, &keys), ERR_OK);
    cr_expect_eq(keys.role, 0u);
    cr_expect_eq(keys.has_bk, 0u);
    cr_expect_arr_eq(keys.bk, zero, 32);
    cr_expect_arr_neq(keys.pub, zero, 32);
    const uint64_t handle = r.number;
    kit_ask(&w.c, CORE_REFRESH, handle, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_LOGIN_REQUIRED);
    kit_ask(&w.c, CORE_CLOSE, handle, 0, NULL, 0, &r);
    cr_expect_eq(kit_keys(&w.c, handle, &keys), ERR_LOGIN_REQUIRED);
    kit_drop(&w.c);
}

Test(keeper_login, an_import_key_is_the_envelopes_and_serves_once)
{
    struct world w;
    struct kit_reply r;
    struct envelope_login_key l;
    struct envelope_context context = { 0 };
    const uint8_t list[] = { 0 };
    uint8_t bound[ENVELOPE_IMPORT_CONTEXT], envelope[ENVELOPE_IMPORT_OVERHEAD + 16], out[64];
    size_t size = 0;
    uint64_t handle = 0;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    cr_assert_eq(kit_open(&w.c, &w.kr, w.ticket, kit_spki, &handle), ERR_OK);
    kit_ask(&w.c, CORE_LOGIN_KEY, 0, 0, NULL, 0, &r);
    cr_assert_eq(envelope_login_key_parse(r.section[0], &l), ERR_OK);
    kit_challenge(&w.c, context.challenge);
    memcpy(context.cluster_id, w.c.status.cluster_id, 16);
    memcpy(context.kr_id, w.kr.id, 16);
    memcpy(context.client_spki, kit_spki, 32);
    envelope_import_context(&context, bytes_of(list, 1), bound);
    cr_assert_eq(envelope_import_seal(l.lk_pub, bound, bytes_of("0123456789abcdef", 16), envelope),
                 ERR_OK);
    const struct bytes s[] = { bytes_of(envelope, 32), bytes_of(context.challenge, 16),
                               bytes_of(bound + 80, 32) };
    kit_ask(&w.c, CORE_IMPORT_KEY, handle, 0, s, 3, &r);
    cr_assert_eq(r.error, ERR_OK);
    cr_expect_arr_eq(r.section[1].data, bound, sizeof bound);
    cr_assert_eq(envelope_import_open(bytes_of(envelope, sizeof envelope), r.section[0].data, bound,
                                      out, &size),
                 ERR_OK);
    cr_expect_eq(size, 16u);
    cr_expect_arr_eq(out, "0123456789abcdef", 16);
    kit_ask(&w.c, CORE_IMPORT_KEY, handle, 0, s, 3, &r);
    cr_expect_eq(r.error, ERR_REFUSED);
    kit_drop(&w.c);
}

Test(keeper_login, the_smk_without_the_password_opens_nothing)
{
    struct world w;
    struct kit_reply r;
    struct keeper_keys keys;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    const struct bytes s[] = { bytes_of(w.kr.record, w.kr.size), bytes_of(kit_spki, 32) };
    kit_ask(&w.c, CORE_OPEN_PUBLIC, 0, 0, s, 2, &r);
    cr_assert_eq(kit_keys(&w.c, r.number, &keys), ERR_OK);
    cr_expect_eq(keys.has_bk, 0u);
    /* Nor does a ticket go together with another keyring's record. */
    struct kit_keyring other;
    uint64_t handle = 0;
    kit_must_keyring(&w.c, KEEPER_IDENTITY_SINGLE, FIRST, &other);
    cr_expect_eq(kit_open(&w.c, &other, w.ticket, kit_spki, &handle), ERR_REFUSED);
    kit_drop(&w.c);
}

Test(keeper_login, records_are_taken_whole_or_not)
{
    struct world w;
    struct kit_reply r;
    open_world(&w, KEEPER_IDENTITY_SINGLE);
    for (size_t at = 0; at < w.kr.size; at++) {
        w.kr.record[at] ^= (uint8_t)(1u << (at % 8));
        const struct bytes s[] = { bytes_of(w.kr.record, w.kr.size) };
        kit_ask(&w.c, CORE_RECORD_SEEN, 0, 0, s, 1, &r);
        cr_expect_eq(r.error, ERR_REFUSED, "byte %zu", at);
        w.kr.record[at] ^= (uint8_t)(1u << (at % 8));
    }
    kit_drop(&w.c);
}
