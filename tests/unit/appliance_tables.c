/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's tables and small parts: every frame has a row, the configuration,
 * the catalogue's bounds, sessions, turns of logins, poisonous clients. */
#include "tests/unit/appliance_kit.h"

#include "appliance/dispatch.h"
#include "appliance/poison.h"
#include "appliance/settings.h"

Test(dispatch, every_client_frame_has_a_row_and_no_other_number_has_one, .timeout = 60)
{
    bool named[DISPATCH_TYPES] = { false };
#define FRAME(number, name, message) \
    if ((number) < DISPATCH_TYPES) { \
        named[(number) % DISPATCH_TYPES] = true; \
    }
#include "proto/frame.def"
#undef FRAME
    for (unsigned i = 0; i < DISPATCH_TYPES; i++) {
        const struct op_row *row = dispatch_find(i);
        cr_expect_eq(row != NULL, named[i], "frame %u", i);
        if (row != NULL) {
            cr_expect(row->deadline_ms > 0 && row->deadline_ms <= LIMIT_CALL_MS);
            cr_expect(row->largest <= LIMIT_FRAME_CLIENT);
        }
    }
    cr_expect_null(dispatch_find(FRAME_ADMIN));
    cr_expect_null(dispatch_find(FRAME_HELLO | FRAME_REPLY));
}

Test(dispatch, what_uses_a_private_key_needs_a_ticket, .timeout = 60)
{
    const unsigned types[] = { FRAME_SIGN,     FRAME_DECRYPT,        FRAME_GENERATE, FRAME_IMPORT,
                               FRAME_DESTROY,  FRAME_SET_ATTRIBUTES, FRAME_CREATE_PUBLIC };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        cr_expect_eq(dispatch_find(types[i])->right, OP_LOGIN);
        cr_expect_eq(dispatch_find(types[i])->state, CORE_AUTHORIZED);
    }
}

Test(admin_table, each_verb_once_with_help_unless_internal, .timeout = 60)
{
    size_t count = 0;
    const struct admin_row *rows = admin_door_rows(&count);
    cr_expect_gt(count, 10);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(admin_door_find(rows[i].verb), &rows[i], "%s", rows[i].verb);
        cr_expect(rows[i].help[0] != '\0' || strcmp(rows[i].verb, "challenge") == 0);
    }
    cr_expect_null(admin_door_find("cluster"));
    cr_expect_null(admin_door_find(""));
}

static enum err read_text(const char *text, struct settings *s, char *error, size_t size)
{
    char path[] = "/tmp/ringkeep-conf-XXXXXX";
    const int fd = mkstemp(path);
    assert(fd >= 0);
    const ssize_t n = write(fd, text, strlen(text));
    assert(n == (ssize_t)strlen(text));
    (void)close(fd);
    const enum err e = settings_read(path, s, error, size);
    (void)unlink(path);
    return e;
}

#define MEMBER "[member]\nname = m1\nclient = 127.0.0.1:1792\npeer = 127.0.0.1:1793\nadmin = 127.0.0.1:1795\n"

Test(settings, defaults_fill_what_the_file_leaves_out, .timeout = 60)
{
    struct settings s;
    char error[256] = "";
    cr_assert_eq(read_text(MEMBER "[bind]\nclient = 0.0.0.0:1792\n", &s, error, sizeof error), ERR_OK, "%s", error);
    cr_expect_str_eq(s.bind_client, "0.0.0.0:1792");
    cr_expect_str_eq(s.bind_peer, "127.0.0.1:1793");
    cr_expect_str_eq(s.socket, "admin.sock");
    cr_expect_eq(s.election_ms, LIMIT_ELECTION_MS);
}

Test(settings, bad_files_are_refused_with_a_sentence, .timeout = 60)
{
    static const char *const bad[] = {
        "[member]\nname = m1\n",
        MEMBER "[paths]\nstoer = x\n",
        MEMBER "[raft]\nelection_ms = 100\nheartbeat_ms = 90\n",
        MEMBER "[log]\nlevel = loud\n",
        "[member]\nname = m1\nclient = nowhere\npeer = 127.0.0.1:1\nadmin = 127.0.0.1:2\n",
        "[member]\nname = m1\nclient = 127.0.0.1:0\npeer = 127.0.0.1:1\nadmin = 127.0.0.1:2\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct settings s;
        char error[256] = "";
        cr_expect_eq(read_text(bad[i], &s, error, sizeof error), ERR_CONFIG, "file %zu", i);
        cr_expect_gt(strlen(error), 10, "file %zu", i);
    }
}

Test(settings, addresses_are_split_at_the_last_colon, .timeout = 60)
{
    char host[LIMIT_ADDRESS];
    unsigned port = 0;
    cr_assert_eq(settings_address("[::1]:1792", host, sizeof host, &port), ERR_OK);
    cr_expect_str_eq(host, "::1");
    cr_expect_eq(port, 1792);
    cr_expect_eq(settings_address("x:65536", host, sizeof host, &port), ERR_CONFIG);
    cr_expect_eq(settings_address(":1", host, sizeof host, &port), ERR_CONFIG);
    cr_expect_eq(settings_address("x:1y", host, sizeof host, &port), ERR_CONFIG);
}

/* -- catalogue ------------------------------------------------------------------------- */

static void name(uint8_t id[ID_SIZE], unsigned n)
{
    sample_id(id, 'O', n);
    id[1] = (uint8_t)n; /* spreads over the buckets */
}

Test(catalogue, stays_below_its_bound_and_drops_the_least_recently_used, .timeout = 60)
{
    struct catalogue *c = NULL;
    uint8_t keyring[ID_SIZE], id[ID_SIZE], data[1000] = { 1 };
    struct bytes out;
    sample_id(keyring, 'K', 1);
    cr_assert_eq(catalogue_open(20000, &c), ERR_OK);
    for (unsigned i = 0; i < 100; i++) {
        name(id, i);
        cr_assert_eq(catalogue_put(c, keyring, id, 1, bytes_of(data, sizeof data), 5), ERR_OK);
        cr_expect_leq(catalogue_size(c), 20000);
        name(id, 0);
        cr_expect_eq(catalogue_get(c, keyring, id, 1, 5, &out), ERR_OK, "used all the time, at %u", i);
    }
    name(id, 50);
    cr_expect_eq(catalogue_get(c, keyring, id, 1, 5, &out), ERR_NOTFOUND);
    name(id, 99);
    cr_expect_eq(catalogue_get(c, keyring, id, 1, 5, &out), ERR_OK);
    cr_expect_eq(out.size, sizeof data);
    cr_expect_eq(catalogue_put(c, keyring, id, 1, bytes_of(data, 30000), 5), ERR_TOO_LARGE);
    catalogue_close(c);
}

Test(catalogue, a_row_is_for_one_generation_and_goes_with_its_keyring, .timeout = 60)
{
    struct catalogue *c = NULL;
    uint8_t one[ID_SIZE], two[ID_SIZE], id[ID_SIZE];
    struct bytes out;
    sample_id(one, 'K', 1);
    sample_id(two, 'K', 2);
    name(id, 1);
    cr_assert_eq(catalogue_open(20000, &c), ERR_OK);
    cr_assert_eq(catalogue_put(c, one, id, 1, bytes_of_text("a"), 5), ERR_OK);
    cr_assert_eq(catalogue_put(c, two, id, 1, bytes_of_text("b"), 5), ERR_OK);
    cr_assert_eq(catalogue_put(c, one, id, 2, bytes_of_text("aa"), 5), ERR_OK);
    cr_expect_eq(catalogue_count(c), 2);
    cr_expect_eq(catalogue_get(c, one, id, 1, 5, &out), ERR_NOTFOUND);
    cr_expect_eq(catalogue_get(c, one, id, 2, 5, &out), ERR_OK);
    catalogue_drop_keyring(c, one);
    cr_expect_eq(catalogue_get(c, one, id, 2, 5, &out), ERR_NOTFOUND);
    cr_expect_eq(catalogue_get(c, two, id, 1, 5, &out), ERR_OK);
    catalogue_sweep(c, 5 + LIMIT_CATALOGUE_IDLE_S * 1000u);
    cr_expect_eq(catalogue_count(c), 1);
    catalogue_sweep(c, 6 + LIMIT_CATALOGUE_IDLE_S * 1000u);
    cr_expect_eq(catalogue_count(c), 0);
    cr_expect_eq(catalogue_size(c), 0);
    catalogue_close(c);
}

/* -- sessions ------------------------------------------------------------------------------ */

static unsigned closes;
static enum err count_close(void *impl, const struct core_request *q, unsigned ms, core_reply_cb cb, void *arg)
{
    (void)impl, (void)ms, (void)cb, (void)arg;
    closes += q->verb == CORE_CLOSE ? 1 : 0;
    return ERR_BUSY;
}

Test(sessions, are_bounded_and_close_their_handles, .timeout = 60)
{
    const struct core core = { count_close, NULL };
    struct catalogue *c = NULL;
    struct sessions *s = NULL;
    struct session_table table = { 0 };
    struct bytes out;
    uint8_t keyring[ID_SIZE], object[ID_SIZE];
    uint64_t id = 0, first = 0;
    sample_id(keyring, 'K', 1);
    name(object, 1);
    cr_assert_eq(catalogue_open(20000, &c), ERR_OK);
    cr_assert_eq(sessions_open(&core, random_system(), c, &s), ERR_OK);
    for (unsigned i = 0; i < LIMIT_SESSIONS_PER_CONNECTION; i++) {
        cr_assert_eq(sessions_add(s, &table, keyring, i + 1, i == 0, i == 0 ? &first : &id), ERR_OK);
    }
    cr_expect_eq(sessions_add(s, &table, keyring, 9999, true, &id), ERR_FULL);
    cr_expect_eq(closes, 1, "the handle that found no room");
    cr_assert_eq(catalogue_put(c, keyring, object, 1, bytes_of_text("a"), 5), ERR_OK);
    cr_expect_eq(sessions_find(&table, first)->handle, 1);
    sessions_end(s, &table, first);
    cr_expect_null(sessions_find(&table, first));
    cr_expect_eq(catalogue_get(c, keyring, object, 1, 5, &out), ERR_NOTFOUND, "last login gone");
    sessions_end_all(s, &table);
    cr_expect_eq(closes, 1 + LIMIT_SESSIONS_PER_CONNECTION);
    cr_expect_eq(sessions_count(s), 0);
    sessions_close(s);
    catalogue_close(c);
}

/* -- turns of logins --------------------------------------------------------------------------- */

struct turn {
    struct logins_turn t;
    unsigned calls;
    enum err last;
};
static void on_turn(void *arg, enum err e)
{
    struct turn *t = arg;
    t->calls++;
    t->last = e;
}
static void set_turn(struct turn *t, unsigned keyring, unsigned role)
{
    memset(t, 0, sizeof *t);
    sample_id(t->t.keyring_id, 'K', keyring);
    t->t.role = role;
    t->t.deadline_ms = 100;
    t->t.cb = on_turn;
    t->t.arg = t;
}

Test(logins, one_at_a_time_per_role_in_order, .timeout = 60)
{
    struct logins *l = NULL;
    struct turn a, b, c, other;
    set_turn(&a, 1, 6);
    set_turn(&b, 1, 6);
    set_turn(&c, 1, 6);
    set_turn(&other, 1, 5);
    cr_assert_eq(logins_open(&l), ERR_OK);
    cr_assert_eq(logins_enter(l, &a.t), ERR_OK);
    cr_assert_eq(logins_enter(l, &b.t), ERR_OK);
    cr_assert_eq(logins_enter(l, &c.t), ERR_OK);
    cr_assert_eq(logins_enter(l, &other.t), ERR_OK);
    cr_expect_eq(a.calls, 1);
    cr_expect_eq(b.calls, 0);
    cr_expect_eq(other.calls, 1, "another role does not wait");
    logins_leave(l, &a.t);
    cr_expect_eq(b.calls, 1);
    cr_expect_eq(c.calls, 0);
    logins_sweep(l, 100);
    cr_expect_eq(c.last, ERR_TIMEOUT);
    logins_leave(l, &b.t);
    cr_expect_eq(c.calls, 1);
    logins_leave(l, &other.t);
    cr_expect_eq(logins_waiting(l), 0);
    logins_close(l);
}

Test(logins, the_queue_is_bounded, .timeout = 60)
{
    static struct turn turns[LIMIT_LOGIN_WAITING + 2];
    struct logins *l = NULL;
    cr_assert_eq(logins_open(&l), ERR_OK);
    for (unsigned i = 0; i < LIMIT_LOGIN_WAITING + 2; i++) {
        set_turn(&turns[i], 1, 6);
        cr_expect_eq(logins_enter(l, &turns[i].t), i <= LIMIT_LOGIN_WAITING ? ERR_OK : ERR_BUSY);
    }
    for (unsigned i = 0; i <= LIMIT_LOGIN_WAITING; i++) {
        cr_expect_eq(turns[i].calls, 1);
        logins_leave(l, &turns[i].t);
    }
    logins_close(l);
}

Test(poison, three_deaths_pause_one_client_for_a_minute, .timeout = 60)
{
    static struct poison p;
    uint8_t bad[32] = { 1 }, good[32] = { 2 };
    poison_note(&p, bad, 1000);
    poison_note(&p, bad, 2000);
    cr_expect_not(poison_paused(&p, bad, 2000));
    poison_note(&p, bad, 3000);
    cr_expect(poison_paused(&p, bad, 3000));
    cr_expect_not(poison_paused(&p, good, 3000));
    cr_expect_not(poison_paused(&p, bad, 1001 + LIMIT_QUARANTINE_MS));
}
