/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a core: initialised, a cluster made, restarted, authorized; its
 * state slots flipped, cut and without their MTK; its own roles and their ends. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/keeper_kit.h"

TestSuite(keeper_life, .timeout = 120);

static void must_member(struct kit *c)
{
    kit_init(c);
    kit_must_initialise(c);
    kit_must_create(c);
}

static size_t size_of(int fd)
{
    struct stat st;
    cr_assert_eq(fstat(fd, &st), 0);
    return (size_t)st.st_size;
}

Test(keeper_life, first_start_makes_an_identity_that_stays)
{
    struct kit c;
    uint8_t id[32];
    kit_init(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_UNINITIALISED);
    memcpy(id, c.status.id_pub, 32);
    cr_assert_eq(kit_restart(&c), ERR_OK);
    cr_expect_arr_eq(id, c.status.id_pub, 32);
    kit_must_initialise(&c);
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_INITIALISED);
    cr_expect_arr_eq(id, c.status.id_pub, 32);
    kit_drop(&c);
}

Test(keeper_life, init_twice_is_refused)
{
    struct kit c;
    struct kit_reply r;
    struct kit_envelope e;
    kit_init(&c);
    kit_must_initialise(&c);
    const struct kit_pin p = {
        .verb = 3, .role = 1, .kr_id = c.status.core_id, .new_pin = "another-one"
    };
    kit_seal(&c, &p, &e);
    const struct bytes s[] = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593) };
    kit_ask(&c, CORE_INIT, 0, 0, s, 2, &r);
    cr_expect_eq(r.error, ERR_EXISTS);
    kit_drop(&c);
}

Test(keeper_life, verbs_above_the_state_are_refused_with_a_reason)
{
    struct kit c;
    struct kit_reply r;
    kit_init(&c);
    kit_ask(&c, CORE_BEACON, 0, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_UNINITIALISED);
    kit_must_initialise(&c);
    kit_ask(&c, CORE_BEACON, 0, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_WRONG_STATE);
    kit_must_create(&c);
    kit_ask(&c, CORE_BEACON, 0, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_OK);
    cr_assert_eq(kit_restart(&c), ERR_OK);
    kit_ask(&c, CORE_BEACON, 0, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_SEALED);
    kit_drop(&c);
}

Test(keeper_life, every_keeper_verb_has_a_handler)
{
    struct kit c;
    size_t count = 0;
    const struct core_verb_row *row = core_verb_rows(&count);
    kit_init(&c);
    for (size_t i = 0; i < count; i++) {
        struct kit_reply r;
        if (row[i].runs != CORE_RUNS_WORKER) {
            kit_ask(&c, row[i].verb, 0, 0, NULL, 0, &r);
            cr_expect_neq(r.error, ERR_UNSUPPORTED, "%s", row[i].name);
        }
    }
    kit_drop(&c);
}

static void count_error(void *arg, const struct core_reply *reply)
{
    *(enum err *)arg = reply->error;
}

Test(keeper_life, internal_verbs_are_no_business_of_a_daemon)
{
    struct kit c;
    enum err e = ERR_OK;
    must_member(&c);
    const struct core_request q = { .verb = CORE_SYS_KEY, .number = KEEPER_SYS_SERVER };
    keeper_answer(c.keeper, &q, false, count_error, &e);
    cr_expect_eq(e, ERR_UNSUPPORTED);
    keeper_answer(c.keeper, &q, true, count_error, &e);
    cr_expect_eq(e, ERR_OK);
    kit_drop(&c);
}

Test(keeper_life, a_restarted_core_is_sealed_until_its_officer_comes)
{
    struct kit c;
    uint64_t handle = 0;
    uint8_t smk[16];
    must_member(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_AUTHORIZED);
    memcpy(smk, c.status.smk_id, 16);
    cr_assert_eq(kit_restart(&c), ERR_OK);
    cr_expect_eq(c.status.state, (unsigned)CORE_MEMBER);
    cr_expect_eq(kit_login_core(&c, 4, "wrong-password", &handle), ERR_PIN_INCORRECT);
    cr_expect_eq(kit_login_core(&c, 3, KIT_PO, &handle), ERR_OK);
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_MEMBER);
    cr_expect_eq(kit_login_core(&c, 4, KIT_CO, &handle), ERR_OK);
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_AUTHORIZED);
    cr_expect_arr_eq(smk, c.status.smk_id, 16);
    kit_drop(&c);
}

Test(keeper_life, the_officers_own_failures_lock_here_and_survive_a_restart)
{
    struct kit c;
    uint64_t handle = 0;
    must_member(&c);
    for (unsigned i = 0; i < LIMIT_MAX_FAIL; i++) {
        cr_expect_eq(kit_login_core(&c, 4, "wrong-password", &handle), ERR_PIN_INCORRECT);
        cr_assert_eq(kit_restart(&c), ERR_OK);
    }
    cr_expect_eq(kit_login_core(&c, 4, KIT_CO, &handle), ERR_PIN_LOCKED);
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_MEMBER);
    kit_drop(&c);
}

Test(keeper_life, a_success_clears_the_count)
{
    struct kit c;
    uint64_t handle = 0;
    must_member(&c);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(kit_login_core(&c, 1, "wrong-password", &handle), ERR_PIN_INCORRECT);
        cr_expect_eq(kit_login_core(&c, 1, "wrong-password", &handle), ERR_PIN_INCORRECT);
        cr_expect_eq(kit_login_core(&c, 1, KIT_SO, &handle), ERR_OK);
    }
    kit_drop(&c);
}

Test(keeper_life, three_wrong_passwords_of_the_hsm_so_end_the_core)
{
    struct kit c;
    uint64_t handle = 0;
    uint8_t id[16];
    must_member(&c);
    memcpy(id, c.status.core_id, 16);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(kit_login_core(&c, 1, "wrong-password", &handle), ERR_PIN_INCORRECT);
    }
    kit_status(&c);
    cr_expect_eq(c.status.state, (unsigned)CORE_UNINITIALISED);
    cr_expect_arr_neq(id, c.status.core_id, 16);
    cr_assert_eq(kit_restart(&c), ERR_OK);
    cr_expect_eq(c.status.state, (unsigned)CORE_UNINITIALISED);
    /* Neither slot holds the old core any more. */
    cr_assert_eq(ftruncate(c.fd[0], 0), 0);
    cr_assert_eq(kit_restart(&c), ERR_OK);
    cr_expect_arr_neq(id, c.status.core_id, 16);
    kit_drop(&c);
}

Test(keeper_life, an_envelope_that_does_not_fit_is_not_counted)
{
    struct kit c;
    struct kit_envelope e;
    struct kit_reply r;
    uint64_t handle = 0;
    must_member(&c);
    for (unsigned i = 0; i < 20; i++) {
        const struct kit_pin p = {
            .verb = 1, .role = 1, .kr_id = c.status.cluster_id, .pin = "wrong-password"
        };
        kit_seal(&c, &p, &e);
        const struct bytes s[] = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593) };
        kit_ask(&c, CORE_LOGIN_CORE, 0, 1, s, 2, &r);
        cr_expect_eq(r.error, ERR_REFUSED);
    }
    cr_expect_eq(kit_login_core(&c, 1, KIT_SO, &handle), ERR_OK);
    kit_drop(&c);
}

Test(keeper_life, a_challenge_serves_once_and_for_a_minute)
{
    struct kit c;
    struct kit_envelope e;
    struct kit_reply r;
    must_member(&c);
    const struct kit_pin p = { .verb = 1, .role = 1, .kr_id = c.status.core_id, .pin = KIT_SO };
    kit_seal(&c, &p, &e);
    const struct bytes s[] = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593) };
    kit_ask(&c, CORE_LOGIN_CORE, 0, 1, s, 2, &r);
    cr_expect_eq(r.error, ERR_OK);
    kit_ask(&c, CORE_LOGIN_CORE, 0, 1, s, 2, &r);
    cr_expect_eq(r.error, ERR_REFUSED);
    kit_seal(&c, &p, &e);
    c.boot_ms += 60001;
    kit_ask(&c, CORE_LOGIN_CORE, 0, 1, s, 2, &r);
    cr_expect_eq(r.error, ERR_REFUSED);
    kit_drop(&c);
}

Test(keeper_life, a_client_that_hoards_challenges_keeps_nobody_out)
{
    struct kit c;
    struct kit_envelope first, last;
    struct kit_reply r;
    must_member(&c);
    const struct kit_pin p = { .verb = 1, .role = 1, .kr_id = c.status.core_id, .pin = KIT_SO };
    kit_seal(&c, &p, &first);
    c.boot_ms++;
    for (unsigned i = 0; i < 2 * LIMIT_CHALLENGES; i++) {
        kit_ask(&c, CORE_CHALLENGE, 0, 0, NULL, 0, &r);
        cr_assert_eq(r.error, ERR_OK);
    }
    c.boot_ms++;
    kit_seal(&c, &p, &last);
    const struct bytes s[] = { bytes_of(last.challenge, 16), bytes_of(last.envelope, 593) };
    kit_ask(&c, CORE_LOGIN_CORE, 0, 1, s, 2, &r);
    cr_expect_eq(r.error, ERR_OK);
    const struct bytes old[] = { bytes_of(first.challenge, 16), bytes_of(first.envelope, 593) };
    kit_ask(&c, CORE_LOGIN_CORE, 0, 1, old, 2, &r);
    cr_expect_eq(r.error, ERR_REFUSED, "the oldest made room");
    kit_drop(&c);
}

Test(keeper_life, a_daemon_cannot_keep_an_officers_login_alive_by_using_it)
{
    struct kit c;
    struct kit_reply r;
    uint64_t handle = 0;
    must_member(&c);
    cr_assert_eq(kit_login_core(&c, 3, KIT_PO, &handle), ERR_OK);
    c.boot_ms += 9 * 60 * 1000;
    kit_ask(&c, CORE_INVITE_CREATE, handle, 60, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_OK);
    c.boot_ms += 60 * 1000 + 1;
    kit_ask(&c, CORE_INVITE_CREATE, handle, 60, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_LOGIN_REQUIRED);
    kit_drop(&c);
}

Test(keeper_life, roles_do_not_stand_in_for_each_other)
{
    struct kit c;
    struct kit_reply r;
    uint64_t handle = 0;
    must_member(&c);
    cr_assert_eq(kit_login_core(&c, 4, KIT_CO, &handle), ERR_OK);
    kit_ask(&c, CORE_INVITE_CREATE, handle, 60, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_REFUSED);
    kit_drop(&c);
}

Test(keeper_life, the_ca_key_serves_no_client_certificate_without_the_po)
{
    struct kit c;
    struct kit_reply r;
    uint64_t po = 0, co = 0;
    must_member(&c);
    kit_ask(&c, CORE_SYS_KEY, 0, KEEPER_SYS_CLIENT, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_LOGIN_REQUIRED, "a daemon alone");
    cr_assert_eq(kit_login_core(&c, 4, KIT_CO, &co), ERR_OK);
    kit_ask(&c, CORE_SYS_KEY, co, KEEPER_SYS_CLIENT, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_REFUSED, "another role");
    cr_assert_eq(kit_login_core(&c, 3, KIT_PO, &po), ERR_OK);
    kit_ask(&c, CORE_SYS_KEY, po, KEEPER_SYS_CLIENT, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_OK);
    cr_expect_eq(r.section[0].size, 32u);
    kit_ask(&c, CORE_CLOSE, po, 0, NULL, 0, &r);
    kit_ask(&c, CORE_SYS_KEY, po, KEEPER_SYS_CLIENT, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_LOGIN_REQUIRED, "after its logout");
    kit_ask(&c, CORE_SYS_KEY, 0, KEEPER_SYS_SERVER, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_OK, "a member renews its own certificate");
    kit_ask(&c, CORE_SYS_KEY, po, KEEPER_SYS_CA + 1, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_MALFORMED);
    kit_drop(&c);
}

Test(keeper_life, a_set_by_another_login_is_refused)
{
    struct kit c;
    struct kit_envelope e;
    struct kit_reply r;
    uint64_t handle = 0;
    uint8_t id[16] = { 1 };
    must_member(&c);
    cr_assert_eq(kit_login_core(&c, 4, KIT_CO, &handle), ERR_OK);
    const struct kit_pin p = {
        .by_lk = true, .verb = 3, .role = 6, .kr_id = id, .new_pin = "first-password"
    };
    kit_seal(&c, &p, &e);
    const struct bytes s[] = { bytes_of(id, 16), bytes_of(e.challenge, 16),
                               bytes_of(e.envelope, 593) };
    kit_ask(&c, CORE_KEYRING_CREATE, handle, 0, s, 3, &r);
    cr_expect_eq(r.error, ERR_REFUSED);
    kit_drop(&c);
}

/* -- slots ------------------------------------------------------------------ */

/* Both slots as they are, so that each flip starts anew. */
struct image {
    uint8_t *data[2];
    size_t size[2];
};

static void save(const struct kit *c, struct image *out)
{
    for (unsigned i = 0; i < 2; i++) {
        out->size[i] = size_of(c->fd[i]);
        out->data[i] = malloc(out->size[i] + 1);
        cr_assert_eq(pread(c->fd[i], out->data[i], out->size[i], 0), (ssize_t)out->size[i]);
    }
}

static void put_back(const struct kit *c, const struct image *image)
{
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(ftruncate(c->fd[i], 0), 0);
        cr_assert_eq(pwrite(c->fd[i], image->data[i], image->size[i], 0), (ssize_t)image->size[i]);
    }
}

static void drop_image(struct image *image)
{
    free(image->data[0]);
    free(image->data[1]);
}

static void flip(int fd, size_t at, unsigned bit)
{
    uint8_t byte = 0;
    cr_assert_eq(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (uint8_t)(1u << bit);
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
}

Test(keeper_life, a_flip_in_both_slots_is_refused)
{
    struct kit c;
    struct image image;
    must_member(&c);
    save(&c, &image);
    const size_t least = image.size[0] < image.size[1] ? image.size[0] : image.size[1];
    for (size_t at = 0; at < least; at += at < 96 ? 1 : 37) {
        flip(c.fd[0], at, (unsigned)(at % 8));
        flip(c.fd[1], at, (unsigned)((at + 3) % 8));
        cr_expect_eq(kit_restart(&c), ERR_CORRUPT, "byte %zu", at);
        put_back(&c, &image);
    }
    cr_expect_eq(kit_restart(&c), ERR_OK);
    cr_expect_eq(c.status.state, (unsigned)CORE_MEMBER);
    drop_image(&image);
    kit_drop(&c);
}

Test(keeper_life, one_torn_slot_leaves_the_other)
{
    struct kit c;
    struct image image;
    must_member(&c);
    save(&c, &image);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(ftruncate(c.fd[i], (off_t)image.size[i] / 2), 0);
        cr_expect_eq(kit_restart(&c), ERR_OK);
        put_back(&c, &image);
    }
    drop_image(&image);
    kit_drop(&c);
}

Test(keeper_life, cut_slots_are_refused)
{
    struct kit c;
    struct image image;
    static const size_t left[] = { 1, 63, 64, 79, 80, 81 };
    must_member(&c);
    save(&c, &image);
    for (unsigned i = 0; i < sizeof left / sizeof left[0]; i++) {
        cr_assert_eq(ftruncate(c.fd[0], (off_t)left[i]), 0);
        cr_assert_eq(ftruncate(c.fd[1], 0), 0);
        cr_expect_eq(kit_restart(&c), ERR_CORRUPT, "%zu bytes", left[i]);
        put_back(&c, &image);
    }
    cr_assert_eq(ftruncate(c.fd[0], (off_t)image.size[0] - 1), 0);
    cr_assert_eq(ftruncate(c.fd[1], (off_t)image.size[1] + 1), 0);
    cr_expect_eq(kit_restart(&c), ERR_CORRUPT);
    drop_image(&image);
    kit_drop(&c);
}

Test(keeper_life, slots_that_change_places_are_refused)
{
    struct kit c;
    must_member(&c);
    const int first = c.fd[0];
    c.fd[0] = c.fd[1];
    c.fd[1] = first;
    cr_expect_eq(kit_restart(&c), ERR_CORRUPT);
    kit_drop(&c);
}

Test(keeper_life, without_its_mtk_the_state_opens_nothing)
{
    struct kit c;
    must_member(&c);
    c.mtk[31] ^= 1;
    cr_expect_eq(kit_restart(&c), ERR_CORRUPT);
    c.mtk[31] ^= 1;
    cr_expect_eq(kit_restart(&c), ERR_OK);
    kit_drop(&c);
}

Test(keeper_life, a_state_that_cannot_be_written_ends_the_keeper)
{
    struct kit c;
    uint64_t handle = 0;
    must_member(&c);
    const int good = dup(c.fd[0]);
    const int other = dup(c.fd[1]);
    close(c.fd[0]);
    close(c.fd[1]);
    cr_expect_eq(kit_login_core(&c, 1, KIT_SO, &handle), ERR_IO);
    cr_expect(keeper_broken(c.keeper));
    cr_assert_eq(dup2(good, c.fd[0]), c.fd[0]);
    cr_assert_eq(dup2(other, c.fd[1]), c.fd[1]);
    struct kit_reply r;
    kit_ask(&c, CORE_CHALLENGE, 0, 0, NULL, 0, &r);
    cr_expect_eq(r.error, ERR_IO);
    close(good);
    close(other);
    kit_drop(&c);
}
