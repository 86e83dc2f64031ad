/* SPDX-License-Identifier: Apache-2.0 */
/* libringkeep against scripted members over loopback TLS: failover, retries with
 * the same request id, broken and hostile answers, steering, sessions, fork. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/client_pool.h"
#include "client/ringkeep_internal.h"
#include "proto/frame.h"
#include "tests/lib/fake_cluster.h"

static struct fake_cluster f;
static struct ringkeep_client *c;

static void open_all(unsigned members, unsigned seeds)
{
    const char *text = "";
    fake_cluster_open(&f, members, seeds);
    cr_assert_eq(ringkeep_open(fake_cluster_path(&f, "ringkeep.conf"), &c, &text), ERR_OK, "%s", text);
}

static void close_all(void)
{
    ringkeep_close(c);
    fake_cluster_close(&f);
}

static int login(void)
{
    return ringkeep_login(c, f.keyring_id, RINGKEEP_ROLE_KRCO, f.password, strlen(f.password));
}

static int sign(void)
{
    static const uint8_t id[16] = { 1 };
    const struct ringkeep_key key = { id, NULL, 0 };
    char out[16] = "";
    size_t size = sizeof(out);
    const int e = ringkeep_operate(c, f.keyring_id, RINGKEEP_SIGN, &key, 1, NULL, 0, "data", 4, NULL, 0, out, &size);
    if (e == ERR_OK) {
        cr_expect_eq(size, 5);
        cr_expect_arr_eq(out, "Sdata", 5);
    }
    return e;
}

static int generate(bool token)
{
    static const uint8_t list[] = { 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
    return ringkeep_generate(c, f.keyring_id, 0x1080, list, sizeof(list), NULL, 0, token, NULL, NULL);
}

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void script_all(unsigned type, enum fake_fault fault, enum err e, unsigned times)
{
    for (unsigned i = 0; i < f.count; i++) {
        fake_cluster_script(&f, i, type, fault, e, times);
    }
}

static unsigned seen_all(unsigned type)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < f.count; i++) {
        sum += fake_cluster_seen(&f, i, type);
    }
    return sum;
}

/* -- the usual ------------------------------------------------------------------------ */

Test(client_call, a_login_serves_every_member, .timeout = 60)
{
    struct ringkeep_slot slot;
    size_t count = 0;
    open_all(3, 1);
    cr_assert_eq(ringkeep_slots(c, &slot, 1, &count), ERR_OK);
    cr_expect_eq(count, 1);
    cr_expect_eq(slot.slot, 7);
    cr_expect_str_eq(slot.label, "signing");
    cr_expect_eq(sign(), ERR_LOGIN_REQUIRED);
    cr_assert_eq(login(), ERR_OK, "%s", ringkeep_last_text());
    cr_expect(ringkeep_logged_in(c, f.keyring_id));
    cr_expect_eq(ringkeep_login_role(c, f.keyring_id), RINGKEEP_ROLE_KRCO);
    cr_expect_eq(sign(), ERR_OK);
    for (unsigned i = 0; i < 2; i++) { /* the members it did not know before */
        fake_cluster_stop(&f, i);
        cr_expect_eq(sign(), ERR_OK);
    }
    cr_expect_eq(f.logins, 1);
    cr_expect_eq(ringkeep_logout(c, f.keyring_id), ERR_OK);
    cr_expect_eq(sign(), ERR_LOGIN_REQUIRED);
    cr_expect_eq(ringkeep_logout(c, f.keyring_id), ERR_LOGIN_REQUIRED);
    close_all();
}

Test(client_call, a_connection_serves_many_requests, .timeout = 60)
{
    struct ringkeep_counters counters;
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(sign(), ERR_OK);
    }
    ringkeep_counters(c, &counters);
    cr_expect_eq(counters.connections, 1);
    cr_expect_eq(counters.failovers, 0);
    cr_expect_eq(fake_cluster_seen(&f, 0, FRAME_OPEN), 1);
    close_all();
}

Test(client_call, random_bytes_come_in_pieces, .timeout = 60)
{
    uint8_t *out = calloc(1, 150000);
    open_all(1, 1);
    cr_assert_eq(ringkeep_random(c, out, 150000), ERR_OK);
    cr_expect_eq(out[149999], 0xa5);
    cr_expect_eq(fake_cluster_seen(&f, 0, FRAME_RANDOM), 3);
    free(out);
    close_all();
}

Test(client_call, a_small_buffer_is_told_its_size, .timeout = 60)
{
    static const uint8_t id[16] = { 1 };
    const struct ringkeep_key key = { id, NULL, 0 };
    char out[4];
    size_t size = sizeof(out);
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    cr_expect_eq(ringkeep_operate(c, f.keyring_id, RINGKEEP_SIGN, &key, 1, NULL, 0, "data", 4, NULL, 0, out, &size), ERR_TOO_LARGE);
    cr_expect_eq(size, 5);
    size = 0;
    cr_expect_eq(ringkeep_operate(c, f.keyring_id, RINGKEEP_VERIFY, &key, 1, NULL, 0, "data", 4, "Sdata", 5, NULL, &size), ERR_OK);
    cr_expect_eq(ringkeep_operate(c, f.keyring_id, RINGKEEP_VERIFY, &key, 1, NULL, 0, "data", 4, "Xdata", 5, NULL, NULL), ERR_SIGNATURE_INVALID);
    close_all();
}

/* -- failover and retry ------------------------------------------------------------------ */

Test(client_call, a_dead_member_is_passed_at_once, .timeout = 60)
{
    open_all(3, 3);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    for (unsigned i = 0; i < 2; i++) {
        fake_cluster_stop(&f, i);
        const uint64_t before = now_ms();
        cr_expect_eq(sign(), ERR_OK);
        cr_expect_lt(now_ms() - before, 1000);
    }
    fake_cluster_stop(&f, 2);
    ringkeep_set_call_ms(c, 500);
    cr_expect_eq(sign(), ERR_UNREACHABLE);
    fake_cluster_start(&f, 1);
    ringkeep_set_call_ms(c, 10000);
    cr_expect_eq(sign(), ERR_OK);
    close_all();
}

Test(client_call, a_restarted_member_costs_the_caller_nothing, .timeout = 60)
{
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    fake_cluster_stop(&f, 0);
    fake_cluster_start(&f, 0);
    const uint64_t before = now_ms();
    cr_expect_eq(sign(), ERR_OK);
    cr_expect_lt(now_ms() - before, 500);
    close_all();
}

Test(client_call, errors_that_pass_are_waited_for, .timeout = 60)
{
    open_all(2, 2);
    cr_assert_eq(login(), ERR_OK);
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_SEALED, 3);
    cr_expect_eq(sign(), ERR_OK);
    cr_expect_eq(seen_all(FRAME_SIGN), 7);
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_LAGGING, 0);
    ringkeep_set_call_ms(c, 400);
    const uint64_t before = now_ms();
    cr_expect_eq(sign(), ERR_LAGGING);
    cr_expect_geq(now_ms() - before, 200);
    cr_expect_lt(now_ms() - before, 2000);
    close_all();
}

Test(client_call, refusals_and_dead_workers_are_never_asked_twice, .timeout = 60)
{
    static const enum err final[] = { ERR_WORKER_DIED, ERR_QUARANTINED, ERR_KEY_USAGE, ERR_NOTFOUND, ERR_TOO_OLD };
    open_all(3, 3);
    cr_assert_eq(login(), ERR_OK);
    for (unsigned i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
        const unsigned before = seen_all(FRAME_SIGN);
        script_all(FRAME_SIGN, FAKE_ERROR, final[i], 0);
        cr_expect_eq(sign(), (int)final[i]);
        cr_expect_eq(seen_all(FRAME_SIGN), before + 1, "%s", err_name(final[i]));
    }
    close_all();
}

Test(client_call, an_unfit_member_is_left_for_the_others_once, .timeout = 60)
{
    open_all(2, 2);
    cr_assert_eq(login(), ERR_OK);
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_CORRUPT, 0);
    cr_expect_eq(sign(), ERR_CORRUPT);
    cr_expect_eq(seen_all(FRAME_SIGN), 2);
    close_all();
}

Test(client_call, a_write_is_retried_as_the_same_write, .timeout = 60)
{
    static const enum fake_fault lost[] = { FAKE_DO_CLOSE, FAKE_DO_ERROR };
    open_all(3, 3);
    cr_assert_eq(login(), ERR_OK);
    for (unsigned i = 0; i < 2; i++) {
        f.request_count = f.write_count = 0;
        const uint64_t index = f.index;
        script_all(FRAME_GENERATE, lost[i], ERR_UNKNOWN_OUTCOME, 1);
        cr_expect_eq(generate(true), ERR_OK, "%s", ringkeep_last_text());
        cr_expect_geq(f.request_count, 2);
        cr_expect_eq(f.write_count, 1, "one object, whatever was lost");
        for (unsigned n = 1; n < f.request_count; n++) {
            cr_expect_arr_eq(f.request_id[n], f.request_id[0], 16);
            cr_expect_eq(f.base_index[n], f.base_index[0]);
        }
        cr_expect_eq(f.base_index[0], index);
    }
    close_all();
}

Test(client_call, a_write_whose_answer_is_lost_for_good_is_unknown, .timeout = 60)
{
    open_all(2, 2);
    cr_assert_eq(login(), ERR_OK);
    script_all(FRAME_GENERATE, FAKE_DO_CLOSE, ERR_OK, 0);
    ringkeep_set_call_ms(c, 400);
    cr_expect_eq(generate(true), ERR_UNKNOWN_OUTCOME);
    cr_expect_eq(f.write_count, 1);
    close_all();
}

Test(client_call, a_silent_member_ends_at_the_deadline, .timeout = 60)
{
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    script_all(FRAME_SIGN, FAKE_SILENT, ERR_OK, 0);
    ringkeep_set_call_ms(c, 600);
    const uint64_t before = now_ms();
    cr_expect_eq(sign(), ERR_TIMEOUT);
    cr_expect_lt(now_ms() - before, 1500);
    close_all();
}

/* -- hostile answers --------------------------------------------------------------------- */

Test(client_call, hostile_answers_are_clean_errors, .timeout = 60)
{
    static const enum fake_fault hostile[] = { FAKE_GARBAGE, FAKE_NOISE, FAKE_WRONG_ID, FAKE_WRONG_TYPE, FAKE_TOO_LONG, FAKE_TWICE };
    open_all(2, 2);
    cr_assert_eq(login(), ERR_OK);
    for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        script_all(FRAME_SIGN, hostile[i], ERR_OK, 0);
        cr_expect_eq(sign(), ERR_PROTOCOL, "fault %d: %s", (int)hostile[i], ringkeep_last_text());
        script_all(FRAME_SIGN, FAKE_NONE, ERR_OK, 0);
        cr_expect_eq(sign(), ERR_OK);
        fake_cluster_script(&f, 0, FRAME_SIGN, hostile[i], ERR_OK, 0); /* one liar among two */
        cr_expect_eq(sign(), ERR_OK);
        cr_expect_eq(sign(), ERR_OK);
        script_all(FRAME_SIGN, FAKE_NONE, ERR_OK, 0);
    }
    close_all();
}

Test(client_call, hostile_greetings_are_clean_errors, .timeout = 60)
{
    static const enum fake_fault hostile[] = { FAKE_GARBAGE, FAKE_NOISE, FAKE_WRONG_ID, FAKE_TOO_LONG, FAKE_TRUNCATED, FAKE_CLOSE };
    open_all(1, 1);
    ringkeep_set_call_ms(c, 300);
    for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        uint8_t out[4];
        script_all(FRAME_HELLO, hostile[i], ERR_OK, 0);
        const int e = ringkeep_random(c, out, 4);
        cr_expect(e == ERR_PROTOCOL || e == ERR_UNREACHABLE, "fault %d: %d", (int)hostile[i], e);
    }
    close_all();
}

Test(client_call, a_member_of_another_cluster_is_refused, .timeout = 60)
{
    uint8_t out[4];
    open_all(1, 1);
    f.cluster_id[3] ^= 1;
    cr_expect_eq(ringkeep_random(c, out, 4), ERR_IDENTITY);
    cr_expect_not_null(strstr(ringkeep_last_text(), "another cluster"));
    close_all();
}

Test(client_call, a_truncated_answer_fails_over, .timeout = 60)
{
    open_all(2, 2);
    cr_assert_eq(login(), ERR_OK);
    script_all(FRAME_SIGN, FAKE_TRUNCATED, ERR_OK, 1);
    cr_expect_eq(sign(), ERR_OK);
    close_all();
}

Test(client_call, an_unknown_error_number_is_a_protocol_error, .timeout = 60)
{
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    script_all(FRAME_SIGN, FAKE_ERROR, (enum err)12345, 0);
    cr_expect_eq(sign(), ERR_PROTOCOL);
    close_all();
}

/* -- sessions and tickets ------------------------------------------------------------------ */

Test(client_call, a_forgotten_session_is_opened_again, .timeout = 60)
{
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_LOGIN_REQUIRED, 1);
    cr_expect_eq(sign(), ERR_OK);
    cr_expect_eq(fake_cluster_seen(&f, 0, FRAME_OPEN), 2);
    close_all();
}

Test(client_call, a_refused_ticket_is_dropped, .timeout = 60)
{
    open_all(2, 2);
    cr_assert_eq(login(), ERR_OK);
    f.ticket_good = false;
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_TICKET_EXPIRED, 1);
    cr_expect_eq(sign(), ERR_LOGIN_REQUIRED);
    cr_expect_not(ringkeep_logged_in(c, f.keyring_id));
    script_all(FRAME_SIGN, FAKE_NONE, ERR_OK, 0);
    cr_expect_eq(login(), ERR_OK);
    cr_expect_eq(sign(), ERR_OK);
    close_all();
}

Test(client_call, the_ticket_is_renewed_at_half_life, .timeout = 60)
{
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    cr_expect_eq(fake_cluster_seen(&f, 0, FRAME_REFRESH), 0);
    c->keyrings->login.refresh_at_ms = 0;
    cr_assert_eq(sign(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    cr_expect_eq(fake_cluster_seen(&f, 0, FRAME_REFRESH), 1);
    c->keyrings->login.got_ms = clock_boot_ms(clock_system()) - 1000ull * LIMIT_TICKET_S;
    cr_expect_not(ringkeep_logged_in(c, f.keyring_id));
    close_all();
}

/* -- the map, the index --------------------------------------------------------------------- */

Test(client_call, the_map_is_fetched_when_its_epoch_changes, .timeout = 60)
{
    fake_cluster_open(&f, 3, 1);
    f.in_map = 1;
    const char *text = "";
    cr_assert_eq(ringkeep_open(fake_cluster_path(&f, "ringkeep.conf"), &c, &text), ERR_OK);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    f.in_map = 3;
    f.map_epoch++;
    cr_assert_eq(sign(), ERR_OK); /* learns that there is a newer one */
    cr_assert_eq(sign(), ERR_OK); /* asks for it */
    fake_cluster_stop(&f, 0);
    cr_expect_eq(sign(), ERR_OK);
    close_all();
}

Test(client_call, another_history_is_taken_once, .timeout = 60)
{
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    cr_expect_eq(c->index, 100);
    f.incarnation[0] ^= 1;
    f.index = 5;
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_INCARNATION, 1);
    cr_expect_eq(sign(), ERR_OK);
    cr_expect_eq(c->index, 5);
    script_all(FRAME_SIGN, FAKE_ERROR, ERR_INCARNATION, 0);
    cr_expect_eq(sign(), ERR_INCARNATION);
    close_all();
}

/* -- steering ------------------------------------------------------------------------------- */

Test(client_call, the_member_with_the_fewest_requests_is_chosen, .timeout = 60)
{
    uint64_t tried = 0;
    open_all(3, 3);
    cr_assert_eq(login(), ERR_OK);
    const unsigned a = client_pool_choose(c, &tried);
    tried = 0;
    const unsigned b = client_pool_choose(c, &tried);
    tried = 0;
    const unsigned d = client_pool_choose(c, &tried);
    cr_expect(a != b && b != d && a != d, "%u %u %u", a, b, d);
    client_pool_release(c, b);
    tried = 0;
    cr_expect_eq(client_pool_choose(c, &tried), b);
    client_pool_failed(c, b); /* set aside: others first, itself last */
    client_pool_release(c, b);
    tried = 0;
    cr_expect_neq(client_pool_choose(c, &tried), b);
    cr_expect_neq(client_pool_choose(c, &tried), b);
    cr_expect_eq(client_pool_choose(c, &tried), b);
    cr_expect_eq(client_pool_choose(c, &tried), CLIENT_NO_MEMBER);
    close_all();
}

static void *sign_many(void *arg)
{
    int *failures = arg;
    for (int i = 0; i < 100; i++) {
        *failures += sign() == ERR_OK ? 0 : 1;
    }
    return NULL;
}

Test(client_call, threads_see_no_error_while_members_die, .timeout = 60)
{
    pthread_t thread[8];
    int failures[8] = { 0 };
    open_all(3, 3);
    cr_assert_eq(login(), ERR_OK);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, sign_many, &failures[i]), 0);
    }
    (void)usleep(10000);
    fake_cluster_stop(&f, 0);
    (void)usleep(10000);
    fake_cluster_start(&f, 0);
    fake_cluster_stop(&f, 1);
    for (unsigned i = 0; i < 8; i++) {
        (void)pthread_join(thread[i], NULL);
        cr_expect_eq(failures[i], 0);
    }
    close_all();
}

/* -- fork ------------------------------------------------------------------------------------- */

Test(client_call, a_child_drops_the_client_without_disturbing_the_parent, .timeout = 60)
{
    int status = 0;
    open_all(1, 1);
    cr_assert_eq(login(), ERR_OK);
    cr_assert_eq(sign(), ERR_OK);
    const pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        ringkeep_forked(c);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
    cr_expect_eq(sign(), ERR_OK);
    cr_expect_eq(f.member[0].connections, 1);
    close_all();
}
