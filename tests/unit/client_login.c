/* SPDX-License-Identifier: Apache-2.0 */
/* Logins against fake cores that really open the envelopes: pins, new login keys,
 * password changes with lost answers, imports; and the cache of objects. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "client/client_pins.h"
#include "client/client_state.h"
#include "client/ringkeep_internal.h"
#include "proto/frame.h"
#include "tests/lib/fake_cluster.h"

static struct fake_cluster f;
static struct ringkeep_client *c;

static void open_client(void)
{
    const char *text = "";
    cr_assert_eq(ringkeep_open(fake_cluster_path(&f, "ringkeep.conf"), &c, &text), ERR_OK, "%s", text);
}

static void open_all(unsigned members)
{
    fake_cluster_open(&f, members, members);
    open_client();
}

static void close_all(void)
{
    ringkeep_close(c);
    fake_cluster_close(&f);
}

static int login_with(const char *password)
{
    return ringkeep_login(c, f.keyring_id, RINGKEEP_ROLE_KRCO, password, strlen(password));
}

static int change(const char *from, const char *to)
{
    return ringkeep_change_password(c, f.keyring_id, RINGKEEP_ROLE_KRCO, from, strlen(from), to, strlen(to));
}

static unsigned seen_all(unsigned type)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < f.count; i++) {
        sum += fake_cluster_seen(&f, i, type);
    }
    return sum;
}

/* -- passwords ----------------------------------------------------------------------- */

Test(client_login, a_wrong_password_is_tried_once, .timeout = 60)
{
    open_all(3);
    cr_expect_eq(login_with("wrong horse"), ERR_PIN_INCORRECT);
    cr_expect_eq(seen_all(FRAME_LOGIN), 1);
    cr_expect_not(ringkeep_logged_in(c, f.keyring_id));
    cr_expect_eq(login_with(""), ERR_PIN_LENGTH);
    close_all();
}

Test(client_login, no_quorum_at_one_member_is_waited_out, .timeout = 60)
{
    open_all(2);
    fake_cluster_script(&f, 0, FRAME_LOGIN, FAKE_ERROR, ERR_NO_QUORUM, 2);
    fake_cluster_script(&f, 1, FRAME_LOGIN, FAKE_ERROR, ERR_NO_QUORUM, 2);
    cr_expect_eq(login_with(f.password), ERR_OK);
    close_all();
}

Test(client_login, a_password_can_be_changed, .timeout = 60)
{
    open_all(2);
    cr_expect_eq(change("wrong horse", "battery staple"), ERR_PIN_INCORRECT);
    cr_expect_eq(change("correct horse", "short"), ERR_PIN_LENGTH);
    cr_expect_eq(change("correct horse", "battery staple"), ERR_OK);
    cr_expect_not(ringkeep_logged_in(c, f.keyring_id));
    cr_expect_eq(login_with("battery staple"), ERR_OK);
    close_all();
}

Test(client_login, a_change_whose_answer_is_lost_is_found_out, .timeout = 60)
{
    open_all(2);
    fake_cluster_script(&f, 0, FRAME_PASSWORD, FAKE_DO_CLOSE, ERR_OK, 1);
    fake_cluster_script(&f, 1, FRAME_PASSWORD, FAKE_DO_CLOSE, ERR_OK, 1);
    cr_expect_eq(change("correct horse", "battery staple"), ERR_OK);
    cr_expect_str_eq(f.password, "battery staple");
    close_all();
}

/* -- login keys ------------------------------------------------------------------------- */

Test(client_login, a_new_login_key_needs_two_signers, .timeout = 60)
{
    open_all(3);
    fake_cluster_rotate(&f);
    cr_assert_eq(login_with(f.password), ERR_OK, "%s", ringkeep_last_text());
    cr_expect_geq(seen_all(FRAME_CHALLENGE), 2);
    struct envelope_pinned pins;
    cr_assert_eq(client_pins_load(fake_cluster_path(&f, "login.state"), &pins), ERR_OK);
    cr_expect_eq(pins.lk_version, f.lk_version);
    cr_expect_arr_eq(pins.lk_pub, f.lk_pub, 32);
    close_all();
}

Test(client_login, one_signer_alone_cannot_bring_a_new_login_key, .timeout = 60)
{
    open_all(3);
    fake_cluster_rotate(&f);
    fake_cluster_stop(&f, 1);
    fake_cluster_stop(&f, 2);
    ringkeep_set_call_ms(c, 1000);
    cr_expect_eq(login_with(f.password), ERR_IDENTITY);
    cr_expect_eq(seen_all(FRAME_LOGIN), 0, "no password leaves for a key that is not trusted");
    close_all();
}

Test(client_login, a_stranger_s_login_key_gets_no_password, .timeout = 60)
{
    open_all(1);
    fake_cluster_rotate(&f);
    random_fill(random_system(), f.member[0].id_private, 32); /* another ID signs */
    cr_expect_eq(login_with(f.password), ERR_IDENTITY);
    cr_expect_eq(seen_all(FRAME_LOGIN), 0);
    close_all();
}

Test(client_login, without_pins_there_is_no_login, .timeout = 60)
{
    open_all(1);
    (void)unlink(fake_cluster_path(&f, "login.state"));
    cr_expect_eq(login_with(f.password), ERR_CONFIG);
    cr_expect_not_null(strstr(ringkeep_last_text(), "register"));
    fake_cluster_pin(&f, 1);
    (void)chmod(fake_cluster_path(&f, "login.state"), 0666);
    cr_expect_eq(login_with(f.password), ERR_CONFIG);
    cr_expect_eq(seen_all(FRAME_LOGIN), 0);
    close_all();
}

Test(client_login, a_login_reply_that_is_not_the_core_s_is_dropped, .timeout = 60)
{
    open_all(1);
    fake_cluster_script(&f, 0, FRAME_LOGIN, FAKE_BARE, ERR_OK, 0);
    cr_expect_eq(login_with(f.password), ERR_PROTOCOL);
    fake_cluster_script(&f, 0, FRAME_LOGIN, FAKE_TAMPER, ERR_OK, 0);
    cr_expect_eq(login_with(f.password), ERR_IDENTITY);
    cr_expect_not(ringkeep_logged_in(c, f.keyring_id));
    close_all();
}

/* -- import -------------------------------------------------------------------------------- */

static int import(const char *material)
{
    static const uint8_t list[] = { 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
    return ringkeep_import(c, f.keyring_id, list, sizeof(list), material, strlen(material), true, NULL, NULL);
}

Test(client_login, imported_keys_reach_the_core_sealed_and_once, .timeout = 60)
{
    open_all(2);
    cr_assert_eq(login_with(f.password), ERR_OK);
    fake_cluster_script(&f, 0, FRAME_IMPORT, FAKE_DO_CLOSE, ERR_OK, 1);
    fake_cluster_script(&f, 1, FRAME_IMPORT, FAKE_DO_CLOSE, ERR_OK, 1);
    cr_expect_eq(import("key material"), ERR_OK, "%s", ringkeep_last_text());
    cr_expect_eq(f.write_count, 1);
    cr_expect_geq(f.request_count, 2);
    cr_expect_arr_eq(f.request_id[0], f.request_id[1], 16);
    cr_expect_eq(import("other"), ERR_DATA_INVALID);
    fake_cluster_rotate(&f);
    cr_expect_eq(import("key material"), ERR_LOGIN_REQUIRED, "only the pinned key");
    cr_expect_eq(login_with(f.password), ERR_OK);
    cr_expect_eq(import("key material"), ERR_OK);
    close_all();
}

static bool on_made(void *arg, const struct ringkeep_object *o)
{
    struct buf *kept = arg;
    cr_assert_eq(buf_append(kept, bytes_of(o->blob, o->blob_size), 1000), ERR_OK);
    return true;
}

Test(client_login, session_objects_come_as_blobs_and_are_no_write, .timeout = 60)
{
    static const uint8_t list[] = { 0, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
    BUF_SCOPED blob = { 0 };
    open_all(1);
    cr_assert_eq(login_with(f.password), ERR_OK);
    cr_expect_eq(ringkeep_generate(c, f.keyring_id, 1, list, sizeof(list), NULL, 0, false, on_made, &blob), ERR_OK);
    cr_expect_eq(blob.size, 12);
    cr_expect_eq(f.write_count, 0);
    close_all();
}

/* -- find ------------------------------------------------------------------------------------ */

static void add_objects(unsigned count, bool is_private)
{
    (void)pthread_mutex_lock(&f.mutex);
    for (unsigned i = 0; i < count; i++) {
        struct fake_object *o = &f.object[f.object_count];
        random_fill(random_system(), o->object_id, 16);
        o->handle = 10 + f.object_count;
        o->is_private = is_private;
        f.object_count++;
    }
    f.changed_index = ++f.index;
    (void)pthread_mutex_unlock(&f.mutex);
}

static bool on_object(void *arg, const struct ringkeep_object *o)
{
    unsigned *count = arg;
    cr_expect_eq(o->attributes_size, 16);
    cr_expect_gt(o->handle, 0);
    (*count)++;
    return true;
}

static unsigned find(void)
{
    unsigned count = 0;
    cr_expect_eq(ringkeep_find(c, f.keyring_id, on_object, &count), ERR_OK);
    return count;
}

Test(client_find, pages_are_read_once_and_again_when_changed, .timeout = 60)
{
    open_all(1);
    add_objects(40, false);
    add_objects(3, true);
    cr_expect_eq(find(), 40);
    cr_expect_eq(seen_all(FRAME_FIND), 3);
    cr_expect_eq(find(), 40);
    cr_expect_eq(seen_all(FRAME_FIND), 4, "one question: unchanged");
    cr_assert_eq(login_with(f.password), ERR_OK);
    cr_expect_eq(find(), 43, "the cache of the public is not that of the login");
    add_objects(1, true);
    cr_expect_eq(find(), 44);
    cr_assert_eq(ringkeep_logout(c, f.keyring_id), ERR_OK);
    cr_expect_eq(find(), 40);
    close_all();
}

Test(client_find, another_history_empties_the_cache, .timeout = 60)
{
    open_all(1);
    add_objects(5, false);
    cr_expect_eq(find(), 5);
    f.incarnation[2] ^= 1;
    f.object_count = 2;
    f.index = f.changed_index = 50;
    cr_expect_eq(find(), 5, "known index of the old history: still said unchanged");
    cr_expect_eq(find(), 2);
    close_all();
}

static bool stop_at_once(void *arg, const struct ringkeep_object *o)
{
    (void)o;
    (*(unsigned *)arg)++;
    return false;
}

/* cb may call back: no lock is held, and what it looks at stays. */
static bool calls_back(void *arg, const struct ringkeep_object *o)
{
    unsigned inner = 0;
    add_objects(1, false);
    cr_expect_eq(ringkeep_find(c, f.keyring_id, on_object, &inner), ERR_OK);
    cr_expect_eq(o->attributes_size, 16);
    cr_expect_eq(inner, f.object_count);
    (*(unsigned *)arg)++;
    return true;
}

Test(client_find, callbacks_may_stop_and_call_back, .timeout = 60)
{
    unsigned count = 0;
    open_all(1);
    add_objects(4, false);
    cr_expect_eq(ringkeep_find(c, f.keyring_id, stop_at_once, &count), ERR_OK);
    cr_expect_eq(count, 1);
    count = 0;
    cr_expect_eq(ringkeep_find(c, f.keyring_id, calls_back, &count), ERR_OK);
    cr_expect_eq(count, 4);
    close_all();
}

Test(client_find, handles_that_do_not_ascend_are_refused, .timeout = 60)
{
    unsigned count = 0;
    open_all(1);
    add_objects(3, false);
    f.object[2].handle = f.object[1].handle;
    cr_expect_eq(ringkeep_find(c, f.keyring_id, on_object, &count), ERR_PROTOCOL);
    cr_expect_eq(count, 0);
    close_all();
}
