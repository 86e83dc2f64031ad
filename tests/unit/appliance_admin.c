/* SPDX-License-Identifier: Apache-2.0 */
/* Administrative verbs through the local door, duties of the member. */
#include "tests/unit/appliance_kit.h"

#include "appliance/duties.h"

#define KIT                         \
    KIT_SCOPED kit;                 \
    struct appliance_kit *k = &kit; \
    kit_start(k);                   \
    kit_pair(k, admin_door_server(k->a.admins))

#define ARGUMENTS 4u

struct ask {
    Ringkeep__AdminRequest m;
    Ringkeep__AdminArgument argument[ARGUMENTS], *arguments[ARGUMENTS];
    Ringkeep__AdminEnvelope envelope[ARGUMENTS], *envelopes[ARGUMENTS];
};
static const uint8_t filler[ENVELOPE_PIN];

static char *text(const char *t)
{
    return (char *)(uintptr_t)t;
}

static void begin(struct ask *a, const char *verb)
{
    ringkeep__admin_request__init(&a->m);
    a->m.verb = text(verb);
    a->m.arguments = a->arguments;
    a->m.envelopes = a->envelopes;
}

static void argue(struct ask *a, const char *name, const char *value, struct bytes data)
{
    Ringkeep__AdminArgument *g = &a->argument[a->m.n_arguments];
    ringkeep__admin_argument__init(g);
    g->name = text(name);
    g->text = text(value);
    g->has_data = data.size > 0;
    g->data = kit_data(data.data, data.size);
    a->arguments[a->m.n_arguments++] = g;
}

static void seal(struct ask *a, const char *purpose, size_t size)
{
    Ringkeep__AdminEnvelope *e = &a->envelope[a->m.n_envelopes];
    ringkeep__admin_envelope__init(e);
    e->purpose = text(purpose);
    e->challenge = kit_data(filler, 16);
    e->envelope = kit_data(filler, size);
    a->envelopes[a->m.n_envelopes++] = e;
}

static const Ringkeep__AdminReply *run(struct appliance_kit *k, const struct ask *a)
{
    kit_send(k, FRAME_ADMIN, &a->m);
    const Ringkeep__AdminReply *reply = kit_receive(k, &ringkeep__admin_reply__descriptor, 60);
    cr_assert_not_null(reply, "no answer to %s", a->m.verb);
    return reply;
}

static const Ringkeep__AdminField *field(const Ringkeep__AdminReply *reply, const char *name)
{
    for (size_t i = 0; i < reply->n_fields; i++) {
        if (strcmp(reply->fields[i]->name, name) == 0) {
            return reply->fields[i];
        }
    }
    return NULL;
}

static const char *field_text(const Ringkeep__AdminReply *reply, const char *name)
{
    const Ringkeep__AdminField *f = field(reply, name);
    return f == NULL || f->text == NULL ? "" : f->text;
}

static uint64_t field_number(const Ringkeep__AdminReply *reply, const char *name)
{
    const Ringkeep__AdminField *f = field(reply, name);
    return f == NULL ? UINT64_MAX : f->number;
}

static struct bytes none(void)
{
    return bytes_of(NULL, 0);
}

Test(admin, status_says_what_this_member_is_and_that_no_keyring_is_strict, .timeout = 60)
{
    KIT;
    struct ask a;
    begin(&a, "status");
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_assert_eq(reply->error, ERR_OK);
    cr_expect_str_eq(field_text(reply, "state"), "authorized");
    cr_expect_str_eq(field_text(reply, "strict"), "none");
    cr_expect_str_eq(field_text(reply, "role"), "leader");
    cr_expect_eq(field_number(reply, "applied"), k->f.index);
    cr_expect_str_eq(field_text(reply, "client_door"), "not open");
    cr_expect_eq(reply->n_rows, 1);
}

Test(admin, a_sealed_member_says_how_to_authorize_it, .timeout = 60)
{
    KIT;
    struct ask a;
    bool said = false;
    k->state = CORE_MEMBER;
    begin(&a, "status");
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_expect_str_eq(field_text(reply, "state"), "sealed");
    for (size_t i = 0; i < reply->n_fields; i++) {
        said = said || (strcmp(reply->fields[i]->name, "next") == 0 &&
                        strstr(reply->fields[i]->text, "ringkeep cluster authorize") != NULL);
    }
    cr_expect(said);
    begin(&a, "keyring create");
    argue(&a, "label", "x", none());
    reply = run(k, &a);
    cr_expect_eq(reply->error, ERR_SEALED);
    cr_expect_not_null(strstr(reply->text, "authorize"));
}

Test(admin, unknown_verbs_and_missing_parts_get_a_sentence, .timeout = 60)
{
    KIT;
    struct ask a;
    begin(&a, "destroy everything");
    cr_expect_eq(run(k, &a)->error, ERR_UNSUPPORTED);
    begin(&a, "keyring create");
    argue(&a, "label", "x", none());
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_expect_eq(reply->error, ERR_USAGE);
    cr_expect_not_null(strstr(reply->text, "id"));
    begin(&a, "member invite");
    reply = run(k, &a);
    cr_expect_eq(reply->error, ERR_USAGE);
    cr_expect_not_null(strstr(reply->text, "envelope"));
    begin(&a, "member invite");
    seal(&a, "po", ENVELOPE_PIN - 1);
    cr_expect_eq(run(k, &a)->error, ERR_USAGE);
    begin(&a, "member join");
    k->state = CORE_INITIALISED;
    argue(&a, "token", "rk1-nonsense", none());
    cr_expect_eq(run(k, &a)->error, ERR_TOKEN);
    cr_expect_eq(k->calls[CORE_LOGIN_CORE], 0, "nothing reached the core");
}

static void make_keyring(struct ask *a, const char *label, const uint8_t id[ID_SIZE])
{
    begin(a, "keyring create");
    argue(a, "label", label, none());
    argue(a, "keyring_id", NULL, bytes_of(id, ID_SIZE));
    seal(a, "co", ENVELOPE_PIN);
    seal(a, "password", ENVELOPE_PIN);
}

Test(admin, a_keyring_is_made_assigned_listed_and_taken_away, .timeout = 60)
{
    KIT;
    struct ask a;
    uint8_t id[ID_SIZE];
    sample_id(id, 'K', 2);
    make_keyring(&a, "two", id);
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_assert_eq(reply->error, ERR_OK, "%s", reply->text);
    cr_expect_eq(k->calls[CORE_CLOSE], 1, "the login ends with the request");
    make_keyring(&a, "two", id);
    cr_expect_eq(run(k, &a)->error, ERR_REFUSED, "the id is taken");
    begin(&a, "keyring assign");
    argue(&a, "keyring", "two", none());
    argue(&a, "client", "web", none());
    seal(&a, "po", ENVELOPE_PIN);
    cr_expect_eq(run(k, &a)->error, ERR_OK);
    begin(&a, "keyring list");
    reply = run(k, &a);
    cr_expect_eq(reply->n_rows, 2);
    begin(&a, "keyring unassign");
    argue(&a, "keyring", "two", none());
    argue(&a, "client", "web", none());
    seal(&a, "po", ENVELOPE_PIN);
    cr_expect_eq(run(k, &a)->error, ERR_OK);
    a.argument[1].text = text("nobody");
    cr_expect_eq(run(k, &a)->error, ERR_NOTFOUND);
}

Test(admin, a_wrong_password_does_nothing, .timeout = 60)
{
    KIT;
    struct ask a;
    const uint64_t index = k->f.index;
    k->answer[CORE_LOGIN_CORE] = ERR_PIN_INCORRECT;
    begin(&a, "keyring unassign");
    argue(&a, "keyring", "one", none());
    argue(&a, "client", "web", none());
    seal(&a, "po", ENVELOPE_PIN);
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_expect_eq(reply->error, ERR_PIN_INCORRECT);
    cr_expect_gt(strlen(reply->text), 10);
    cr_expect_eq(k->f.index, index);
    cr_expect_eq(k->calls[CORE_CLOSE], 0);
}

Test(admin, a_failure_after_the_login_closes_its_handle, .timeout = 60)
{
    KIT;
    struct ask a;
    k->propose_error = ERR_NO_QUORUM;
    k->refusals = 100;
    begin(&a, "keyring assign");
    argue(&a, "keyring", "one", none());
    argue(&a, "client", "web", none());
    seal(&a, "po", ENVELOPE_PIN);
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_expect_eq(reply->error, ERR_NO_QUORUM);
    cr_expect_not_null(strstr(reply->text, "majority"));
    cr_expect_eq(k->calls[CORE_CLOSE], 1);
}

Test(admin, objects_are_listed_a_page_at_a_time, .timeout = 60)
{
    KIT;
    struct ask a;
    char after[32];
    sample_no_request(&k->f.sample);
    for (unsigned i = 0; i < 800; i++) {
        sample_objects_create(&k->f.command, &k->f.sample, 1, 2 * i + 1, 2);
        kit_apply(k);
    }
    begin(&a, "objects");
    argue(&a, "keyring", "one", none());
    const Ringkeep__AdminReply *reply = run(k, &a);
    cr_assert_eq(reply->error, ERR_OK, "%s", reply->text);
    cr_assert_eq(reply->n_rows, 1500);
    (void)snprintf(after, sizeof after, "%llu", (unsigned long long)field_number(reply, "more"));
    argue(&a, "after", after, none());
    reply = run(k, &a);
    cr_expect_eq(reply->n_rows, 100);
    cr_expect_null(field(reply, "more"));
}

Test(admin, a_frame_of_another_door_ends_the_connection, .timeout = 60)
{
    KIT;
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = PROTOCOL_MAJOR;
    kit_send(k, FRAME_HELLO, &hello);
    cr_expect_null(kit_receive(k, &ringkeep__admin_reply__descriptor, 20));
}

/* -- duties -------------------------------------------------------------------------- */

static void rounds(struct appliance_kit *k, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        duties_run(k->a.duties);
        kit_spin(k);
        kit_spin(k);
    }
}

Test(duties, tell_the_core_the_roster_and_sign_once_a_beacon_and_a_login_key, .timeout = 60)
{
    KIT;
    cr_assert_eq(duties_open(&k->a, &k->a.duties), ERR_OK);
    rounds(k, 1);
    cr_expect_eq(k->calls[CORE_ROSTER_SEEN], 1);
    cr_expect_eq(k->calls[CORE_BEACON], 1);
    cr_expect_eq(k->calls[CORE_LOGIN_KEY], 1);
    rounds(k, 5);
    cr_expect_eq(k->calls[CORE_BEACON], 1);
    k->now_ms += (LIMIT_BEACON_S + 1) * 1000u;
    rounds(k, 3);
    cr_expect_eq(k->calls[CORE_BEACON], 2);
    cr_expect_eq(k->calls[CORE_LOGIN_KEY], 1);
    duties_close(k->a.duties);
}

Test(duties, the_leader_expires_reservations_that_nobody_resolved, .timeout = 60)
{
    KIT;
    STORE_VIEW_SCOPED *view = NULL;
    MESSAGE_SCOPED *arena = NULL;
    struct bytes value;
    void *row = NULL;
    uint8_t key[ID_SIZE + 1];
    cr_assert_eq(duties_open(&k->a, &k->a.duties), ERR_OK);
    sample_no_request(&k->f.sample);
    sample_login_reserve(&k->f.command, &k->f.sample, 1, 6, 1, 1);
    kit_apply(k);
    rounds(k, 6);
    k->f.sample.stamp_s += LIMIT_RESERVATION_S + 1;
    rounds(k, 6);
    sample_id(key, 'K', 1);
    key[ID_SIZE] = 6;
    cr_assert_eq(store_view_open(k->f.store, &view), ERR_OK);
    cr_assert_eq(store_get(view, STORE_LOGINS, bytes_of(key, sizeof key), &value), ERR_OK);
    cr_assert_eq(message_unpack(&ringkeep__login_row__descriptor, value, &arena, &row), ERR_OK);
    cr_expect_eq(((Ringkeep__LoginRow *)row)->failed, 1);
    cr_expect_eq(((Ringkeep__LoginRow *)row)->n_pending, 0);
    duties_close(k->a.duties);
}

Test(duties, a_core_that_stops_answering_is_no_longer_authorized, .timeout = 60)
{
    KIT;
    const struct cluster_core *core = core_port_cluster(k->a.port);
    cr_expect(core->authorized(core->impl));
    k->answer[CORE_STATUS] = ERR_TIMEOUT;
    for (unsigned i = 0; i < CORE_PORT_MISSES; i++) {
        core_port_refresh(k->a.port, NULL, NULL);
        kit_spin(k);
    }
    cr_expect_not(core->authorized(core->impl));
    cr_expect_eq(appliance_state_check(&k->a, CORE_AUTHORIZED), ERR_SEALED);
    k->answer[CORE_STATUS] = ERR_OK;
    core_port_refresh(k->a.port, NULL, NULL);
    kit_spin(k);
    cr_expect(core->authorized(core->impl));
}
