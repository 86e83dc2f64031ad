/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of a client through the whole daemon, with a scripted core and commands
 * applied at once. */
#include "tests/unit/appliance_kit.h"

#define KIT                         \
    KIT_SCOPED kit;                 \
    struct appliance_kit *k = &kit; \
    kit_start(k);                   \
    kit_connect(k, true)

static const uint8_t filler[ENVELOPE_PIN];

static void keyring(uint8_t out[ID_SIZE], unsigned n)
{
    sample_id(out, 'K', n);
}

/* -- sessions --------------------------------------------------------------------- */

static uint64_t open_session(struct appliance_kit *k, bool login, enum err expected)
{
    uint8_t id[ID_SIZE], ticket[BLOB_TICKET_SIZE] = { 0 };
    Ringkeep__Open m = RINGKEEP__OPEN__INIT;
    keyring(id, 1);
    m.keyring_id = kit_data(id, sizeof id);
    m.has_ticket = login;
    m.ticket = kit_data(ticket, sizeof ticket);
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_OPEN, &m);
    cr_assert_eq(reply->error, expected, "open: %s", err_name((enum err)reply->error));
    return reply->session;
}

Test(op, hello_gives_the_map_and_every_reply_its_place_in_history, .timeout = 60)
{
    KIT;
    uint8_t incarnation[ID_SIZE];
    Ringkeep__Hello m = RINGKEEP__HELLO__INIT;
    m.major = PROTOCOL_MAJOR;
    sample_id(incarnation, 'I', 1);
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_HELLO, &m);
    cr_assert_eq(reply->error, ERR_OK);
    cr_assert_not_null(reply->map);
    cr_expect_eq(reply->map->n_members, 1);
    cr_expect(reply->map->members[0]->authorized);
    cr_expect_eq(reply->map_epoch, 7);
    cr_expect_eq(reply->index, k->f.index);
    cr_expect_eq(memcmp(reply->incarnation.data, incarnation, ID_SIZE), 0);
    m.major = PROTOCOL_MAJOR + 1;
    cr_expect_eq(kit_ask(k, FRAME_HELLO, &m)->error, ERR_UNSUPPORTED);
}

Test(op, slots_are_the_assigned_keyrings, .timeout = 60)
{
    KIT;
    Ringkeep__Slots m = RINGKEEP__SLOTS__INIT;
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_SLOTS, &m);
    cr_assert_eq(reply->error, ERR_OK);
    cr_assert_eq(reply->n_slots, 1);
    cr_expect_str_eq(reply->slots[0]->label, "one");
    cr_expect(reply->slots[0]->active);
    cr_expect_not(reply->slots[0]->strict);
}

Test(op, a_client_ahead_of_this_member_is_told_so, .timeout = 60)
{
    KIT;
    Ringkeep__Slots m = RINGKEEP__SLOTS__INIT;
    m.has_min_index = 1;
    m.min_index = k->f.index + 1;
    cr_expect_eq(kit_ask(k, FRAME_SLOTS, &m)->error, ERR_LAGGING);
    m.min_index = k->f.index;
    cr_expect_eq(kit_ask(k, FRAME_SLOTS, &m)->error, ERR_OK);
}

Test(op, absent_and_not_yours_are_one_answer, .timeout = 60)
{
    KIT;
    uint8_t id[ID_SIZE];
    Ringkeep__Open m = RINGKEEP__OPEN__INIT;
    sample_no_request(&k->f.sample);
    sample_keyring_put(&k->f.command, &k->f.sample, 2, "two", 1, 1);
    kit_apply(k);
    for (unsigned n = 2; n <= 3; n++) { /* there, not ours; not there */
        keyring(id, n);
        m.keyring_id = kit_data(id, sizeof id);
        const Ringkeep__Reply *reply = kit_ask(k, FRAME_OPEN, &m);
        cr_expect_eq(reply->error, ERR_NOTFOUND);
        cr_expect_null(reply->text);
    }
    cr_expect_eq(k->calls[CORE_OPEN_PUBLIC], 0);
}

Test(op, an_assignment_that_ends_ends_open_sessions_too, .timeout = 60)
{
    KIT;
    const uint64_t session = open_session(k, true, ERR_OK);
    Ringkeep__Find m = RINGKEEP__FIND__INIT;
    m.session = session;
    cr_expect_eq(kit_ask(k, FRAME_FIND, &m)->error, ERR_OK);
    k->f.sample.edit = kit_edit_assign; /* the same fields as Unassign */
    sample_no_request(&k->f.sample);
    sample_unassign(&k->f.command, &k->f.sample, 1, 9);
    kit_apply(k);
    cr_expect_eq(kit_ask(k, FRAME_FIND, &m)->error, ERR_NOTFOUND);
}

static void edit_revoke(void *message)
{
    Ringkeep__ClientRevoke *m = message;
    m->spki_hash.data = kit_new_spki;
}

Test(op, a_revoked_client_is_let_go_at_its_next_request, .timeout = 60)
{
    KIT;
    Ringkeep__Slots m = RINGKEEP__SLOTS__INIT;
    cr_expect_eq(kit_ask(k, FRAME_SLOTS, &m)->error, ERR_OK);
    sample_no_request(&k->f.sample);
    k->f.sample.edit = edit_revoke;
    sample_client_revoke(&k->f.command, &k->f.sample, 9);
    kit_apply(k);
    cr_expect_eq(kit_ask(k, FRAME_SLOTS, &m)->error, ERR_IDENTITY);
    cr_expect_null(kit_receive(k, &ringkeep__reply__descriptor, 20));
}

Test(op, a_sealed_member_says_sealed, .timeout = 60)
{
    KIT;
    k->state = CORE_MEMBER;
    core_port_refresh(k->a.port, NULL, NULL);
    kit_spin(k);
    (void)open_session(k, true, ERR_SEALED);
}

Test(op, a_session_belongs_to_its_connection_and_ends_with_it, .timeout = 60)
{
    KIT;
    const uint64_t session = open_session(k, true, ERR_OK);
    Ringkeep__Refresh m = RINGKEEP__REFRESH__INIT;
    m.session = session;
    cr_expect_eq(kit_ask(k, FRAME_REFRESH, &m)->ticket.len, BLOB_TICKET_SIZE);
    kit_disconnect(k);
    kit_spin(k);
    cr_expect_eq(k->calls[CORE_CLOSE], 1);
    cr_expect_eq(sessions_count(k->a.sessions), 0);
    kit_connect(k, false); /* the same key, registered before */
    cr_expect_eq(kit_ask(k, FRAME_REFRESH, &m)->error, ERR_LOGIN_REQUIRED);
}

Test(op, a_handle_that_the_core_lost_ends_its_session, .timeout = 60)
{
    KIT;
    Ringkeep__Refresh m = RINGKEEP__REFRESH__INIT;
    m.session = open_session(k, true, ERR_OK);
    k->answer[CORE_REFRESH] = ERR_LOGIN_REQUIRED; /* as after a restart of the core */
    cr_expect_eq(kit_ask(k, FRAME_REFRESH, &m)->error, ERR_LOGIN_REQUIRED);
    cr_expect_eq(sessions_count(k->a.sessions), 0);
    k->answer[CORE_REFRESH] = ERR_OK;
    cr_expect_eq(kit_ask(k, FRAME_REFRESH, &m)->error, ERR_LOGIN_REQUIRED);
    m.session = open_session(k, true, ERR_OK);
    cr_expect_eq(kit_ask(k, FRAME_REFRESH, &m)->error, ERR_OK);
}

Test(op, a_late_member_asks_the_cluster_once_before_it_says_late, .timeout = 60)
{
    KIT;
    k->answer[CORE_OPEN] = ERR_TICKET_LATE;
    (void)open_session(k, true, ERR_TICKET_LATE);
    cr_expect_eq(k->calls[CORE_OPEN], 2);
}

/* -- login -------------------------------------------------------------------------- */

static enum err login(struct appliance_kit *k, unsigned type)
{
    uint8_t id[ID_SIZE];
    Ringkeep__Login m = RINGKEEP__LOGIN__INIT;
    keyring(id, 1);
    m.keyring_id = kit_data(id, sizeof id);
    m.role = 6;
    m.challenge = kit_data(filler, 16);
    m.envelope = kit_data(filler, ENVELOPE_PIN);
    m.request_id = kit_data(filler, 16);
    return (enum err)kit_ask(k, type, &m)->error;
}

static uint32_t failed(struct appliance_kit *k, size_t *pending)
{
    STORE_VIEW_SCOPED *view = NULL;
    MESSAGE_SCOPED *arena = NULL;
    struct bytes value;
    void *row = NULL;
    uint8_t key[ID_SIZE + 1];
    keyring(key, 1);
    key[ID_SIZE] = 6;
    *pending = 0;
    cr_assert_eq(store_view_open(k->f.store, &view), ERR_OK);
    if (store_get(view, STORE_LOGINS, bytes_of(key, sizeof key), &value) != ERR_OK) {
        return 0;
    }
    cr_assert_eq(message_unpack(&ringkeep__login_row__descriptor, value, &arena, &row), ERR_OK);
    *pending = ((Ringkeep__LoginRow *)row)->n_pending;
    return ((Ringkeep__LoginRow *)row)->failed;
}

Test(op_login, reserves_compares_resolves_and_only_then_answers, .timeout = 60)
{
    KIT;
    size_t pending = 0;
    const unsigned before = k->proposals;
    cr_expect_eq(login(k, FRAME_LOGIN), ERR_OK);
    cr_expect_eq(k->proposals - before, 2);
    cr_expect_eq(k->calls[CORE_LOGIN], 1);
    cr_expect_eq(failed(k, &pending), 0);
    cr_expect_eq(pending, 0);
}

Test(op_login, a_wrong_password_is_counted_before_it_is_answered, .timeout = 60)
{
    KIT;
    size_t pending = 0;
    k->answer[CORE_LOGIN] = ERR_PIN_INCORRECT;
    for (unsigned i = 1; i <= 3; i++) {
        cr_expect_eq(login(k, FRAME_LOGIN), ERR_PIN_INCORRECT);
        cr_expect_eq(failed(k, &pending), i);
        cr_expect_eq(pending, 0);
    }
    k->answer[CORE_LOGIN] = ERR_OK;
    cr_expect_eq(login(k, FRAME_LOGIN), ERR_OK);
    cr_expect_eq(failed(k, &pending), 0);
}

Test(op_login, a_locked_role_is_not_compared, .timeout = 60)
{
    KIT;
    k->answer[CORE_LOGIN] = ERR_PIN_INCORRECT;
    for (unsigned i = 0; i < 64 && login(k, FRAME_LOGIN) != ERR_PIN_LOCKED; i++) {
    }
    const unsigned compared = k->calls[CORE_LOGIN];
    k->answer[CORE_LOGIN] = ERR_OK;
    cr_expect_eq(login(k, FRAME_LOGIN), ERR_PIN_LOCKED);
    cr_expect_eq(k->calls[CORE_LOGIN], compared);
}

Test(op_login, any_other_failure_of_the_core_counts_too, .timeout = 60)
{
    KIT;
    size_t pending = 0;
    k->answer[CORE_LOGIN] = ERR_WORKER_DIED;
    cr_expect_eq(login(k, FRAME_LOGIN), ERR_WORKER_DIED);
    cr_expect_eq(failed(k, &pending), 1);
    cr_expect_eq(pending, 0);
}

/* Time passes: pauses between tries are on libuv's own clock. */
static enum err slow_login(struct appliance_kit *k)
{
    uint8_t id[ID_SIZE];
    Ringkeep__Login m = RINGKEEP__LOGIN__INIT;
    keyring(id, 1);
    m.keyring_id = kit_data(id, sizeof id);
    m.role = 6;
    m.challenge = kit_data(filler, 16);
    m.envelope = kit_data(filler, ENVELOPE_PIN);
    m.request_id = kit_data(filler, 16);
    kit_send(k, FRAME_LOGIN, &m);
    for (unsigned i = 0; i < 200; i++) {
        const Ringkeep__Reply *reply = kit_receive(k, &ringkeep__reply__descriptor, 1);
        if (reply != NULL) {
            return (enum err)reply->error;
        }
        (void)usleep(20000);
        k->now_ms += 400;
    }
    return ERR_COUNT;
}

Test(op_login, without_a_quorum_nothing_is_compared, .timeout = 60)
{
    KIT;
    k->propose_error = ERR_NO_QUORUM;
    k->refusals = 100000;
    cr_expect_eq(slow_login(k), ERR_NO_QUORUM);
    cr_expect_eq(k->calls[CORE_LOGIN], 0);
}

Test(op_login, an_answer_lost_on_the_way_is_counted_once, .timeout = 60)
{
    KIT;
    size_t pending = 0;
    k->propose_error = ERR_UNKNOWN_OUTCOME;
    k->lose_answer = true;
    k->refusals = 1; /* of the reservation */
    k->answer[CORE_LOGIN] = ERR_PIN_INCORRECT;
    cr_expect_eq(slow_login(k), ERR_PIN_INCORRECT);
    cr_expect_eq(failed(k, &pending), 1);
    cr_expect_eq(pending, 0);
    cr_expect_eq(k->calls[CORE_LOGIN], 1);
}

Test(op_login, a_change_of_password_stores_the_new_record, .timeout = 60)
{
    KIT;
    STORE_VIEW_SCOPED *view = NULL;
    uint8_t id[ID_SIZE];
    void *row = NULL;
    keyring(id, 1);
    cr_expect_eq(login(k, FRAME_PASSWORD), ERR_OK);
    cr_assert_eq(store_view_open(k->f.store, &view), ERR_OK);
    cr_assert_eq(query_keyring(view, id, &row), ERR_OK);
    cr_expect_eq(((Ringkeep__KeyringRow *)row)->version, 3);
    query_drop(row);
}

/* -- keys ------------------------------------------------------------------------------- */

struct made {
    uint8_t object[ID_SIZE], public_object[ID_SIZE], request[ID_SIZE];
    Ringkeep__Generate m;
    Ringkeep__Write write;
};

static void fill_generate(struct appliance_kit *k, struct made *g, unsigned n, bool pair, uint64_t session)
{
    ringkeep__generate__init(&g->m);
    ringkeep__write__init(&g->write);
    sample_id(g->object, 'O', 2 * n);
    sample_id(g->public_object, 'O', 2 * n + 1);
    sample_id(g->request, 'R', n);
    g->m.session = session;
    g->m.mechanism = pair ? 0x1040 : 0x1080;
    g->m.object_id = kit_data(g->object, ID_SIZE);
    g->m.has_public_object_id = pair;
    g->m.public_object_id = kit_data(g->public_object, ID_SIZE);
    g->m.token = 1;
    g->write.request_id = kit_data(g->request, ID_SIZE);
    g->write.base_index = k->f.index;
    g->m.write = &g->write;
}

Test(op_key, a_pair_is_stored_and_found_private_first, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    fill_generate(k, &g, 1, true, session);
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_GENERATE, &g.m);
    cr_assert_eq(reply->error, ERR_OK);
    cr_assert_eq(reply->n_objects, 2);
    cr_expect_eq(memcmp(reply->objects[0]->object_id.data, g.object, ID_SIZE), 0);
    cr_expect(reply->objects[0]->is_private);
    cr_expect_not(reply->objects[1]->is_private);
    cr_expect_gt(reply->objects[0]->attributes.len, 10);
    cr_expect_eq(reply->index, k->f.index);
    cr_expect_neq(reply->objects[0]->handle, reply->objects[1]->handle);
    Ringkeep__Find find = RINGKEEP__FIND__INIT;
    find.session = session;
    reply = kit_ask(k, FRAME_FIND, &find);
    cr_assert_eq(reply->n_objects, 2);
    cr_expect_not(reply->more);
    const unsigned asked = k->calls[CORE_ATTRIBUTES];
    (void)kit_ask(k, FRAME_FIND, &find);
    cr_expect_eq(k->calls[CORE_ATTRIBUTES], asked, "from the catalogue");
    find.has_known_index = 1;
    find.known_index = k->f.index;
    cr_expect(kit_ask(k, FRAME_FIND, &find)->unchanged);
}

Test(op_key, who_has_no_ticket_sees_public_objects_only, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    const uint64_t outside = open_session(k, false, ERR_OK);
    fill_generate(k, &g, 1, true, session);
    cr_assert_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_OK);
    Ringkeep__Find find = RINGKEEP__FIND__INIT;
    find.session = outside;
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_FIND, &find);
    cr_assert_eq(reply->n_objects, 1);
    cr_expect_not(reply->objects[0]->is_private);
    g.m.session = outside;
    cr_expect_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_LOGIN_REQUIRED);
}

Test(op_key, a_retry_gets_the_first_key_whatever_this_core_made, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    fill_generate(k, &g, 1, false, session);
    k->propose_error = ERR_UNKNOWN_OUTCOME;
    k->lose_answer = true;
    k->refusals = 1;
    cr_expect_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_UNKNOWN_OUTCOME);
    const uint64_t index = k->f.index;
    /* At this member the store knows: the core is not asked for another key. */
    const unsigned made = k->calls[CORE_GENERATE_KEY];
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_GENERATE, &g.m);
    cr_assert_eq(reply->error, ERR_OK);
    cr_assert_eq(reply->n_objects, 1);
    cr_expect_gt(reply->objects[0]->attributes.len, 10);
    cr_expect_eq(reply->objects[0]->generation, 1);
    cr_expect_eq(k->calls[CORE_GENERATE_KEY], made);
    cr_expect_eq(k->f.index, index);
    /* The same id for another request is refused. */
    g.m.mechanism++;
    cr_expect_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_REFUSED);
}

Test(op_key, session_objects_come_back_and_nothing_is_stored, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    const uint64_t index = k->f.index;
    fill_generate(k, &g, 1, false, session);
    g.m.token = 0;
    cr_expect_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_MALFORMED, "a write that is none");
    g.m.write = NULL;
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_GENERATE, &g.m);
    cr_assert_eq(reply->error, ERR_OK);
    cr_assert_eq(reply->n_blobs, 1);
    cr_expect_eq(reply->blobs[0].data[4], BLOB_SESSION);
    cr_expect_eq(k->f.index, index);
    /* It is used by its blob; a stored kind is taken from nobody. */
    uint8_t blob[512];
    const size_t size = reply->blobs[0].len;
    memcpy(blob, reply->blobs[0].data, size);
    Ringkeep__Operate m = RINGKEEP__OPERATE__INIT;
    Ringkeep__KeyRef key = RINGKEEP__KEY_REF__INIT;
    key.has_blob = 1;
    key.blob = kit_data(blob, size);
    m.session = session;
    m.key = &key;
    m.data = kit_data(filler, 32);
    cr_expect_eq(kit_ask(k, FRAME_SIGN, &m)->error, ERR_OK);
    blob[4] = BLOB_TOKEN;
    memset(blob + 72, 0, 16);
    cr_expect_eq(kit_ask(k, FRAME_SIGN, &m)->error, ERR_REFUSED);
}

Test(op_operate, signs_with_a_stored_key_and_writes_nothing, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    fill_generate(k, &g, 1, true, session);
    cr_assert_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_OK);
    const uint64_t index = k->f.index;
    Ringkeep__Operate m = RINGKEEP__OPERATE__INIT;
    Ringkeep__KeyRef key = RINGKEEP__KEY_REF__INIT;
    key.has_object_id = 1;
    key.object_id = kit_data(g.object, ID_SIZE);
    m.session = session;
    m.key = &key;
    m.mechanism = 0x1044;
    m.data = kit_data(filler, 32);
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_SIGN, &m);
    cr_expect_eq(reply->error, ERR_OK);
    cr_expect_eq(reply->data.len, 64);
    cr_expect_eq(k->f.index, index);
    m.has_signature = 1;
    m.signature = kit_data(filler, 64);
    cr_expect_eq(kit_ask(k, FRAME_SIGN, &m)->error, ERR_MALFORMED);
    cr_expect_eq(kit_ask(k, FRAME_VERIFY, &m)->error, ERR_OK);
    key.has_blob = 1;
    key.blob = kit_data(filler, 200);
    cr_expect_eq(kit_ask(k, FRAME_VERIFY, &m)->error, ERR_MALFORMED);
    m.session = open_session(k, false, ERR_OK);
    key.has_blob = 0;
    cr_expect_eq(kit_ask(k, FRAME_VERIFY, &m)->error, ERR_NOTFOUND, "private, no ticket");
    key.object_id = kit_data(g.public_object, ID_SIZE);
    cr_expect_eq(kit_ask(k, FRAME_VERIFY, &m)->error, ERR_OK);
}

Test(op_operate, three_dead_workers_pause_the_client_and_no_one_retries, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    fill_generate(k, &g, 1, false, session);
    cr_assert_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_OK);
    Ringkeep__Operate m = RINGKEEP__OPERATE__INIT;
    Ringkeep__KeyRef key = RINGKEEP__KEY_REF__INIT;
    key.has_object_id = 1;
    key.object_id = kit_data(g.object, ID_SIZE);
    m.session = session;
    m.key = &key;
    m.data = kit_data(filler, 32);
    k->answer[CORE_SIGN] = ERR_WORKER_DIED;
    for (unsigned i = 1; i <= 3; i++) {
        cr_expect_eq(kit_ask(k, FRAME_SIGN, &m)->error, ERR_WORKER_DIED);
        cr_expect_eq(k->calls[CORE_SIGN], i);
    }
    cr_expect_eq(kit_ask(k, FRAME_SIGN, &m)->error, ERR_QUARANTINED);
    k->now_ms += LIMIT_QUARANTINE_MS + 1;
    k->answer[CORE_SIGN] = ERR_OK;
    cr_expect_eq(kit_ask(k, FRAME_SIGN, &m)->error, ERR_OK);
}

Test(op_change, attributes_make_a_new_generation_and_a_destroyed_key_is_gone, .timeout = 60)
{
    KIT;
    struct made g;
    BUF_SCOPED list = { 0 };
    uint8_t request[ID_SIZE];
    const uint64_t session = open_session(k, true, ERR_OK);
    fill_generate(k, &g, 1, false, session);
    cr_assert_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_OK);
    kit_list(4, "renamed", &list);
    Ringkeep__SetAttributes set = RINGKEEP__SET_ATTRIBUTES__INIT;
    sample_id(request, 'R', 50);
    g.write.request_id = kit_data(request, ID_SIZE);
    set.session = session;
    set.object_id = kit_data(g.object, ID_SIZE);
    set.template_ = kit_data(list.data, list.size);
    set.write = &g.write;
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_SET_ATTRIBUTES, &set);
    cr_assert_eq(reply->error, ERR_OK);
    cr_expect_eq(reply->objects[0]->generation, 2);
    cr_expect_eq(kit_ask(k, FRAME_SET_ATTRIBUTES, &set)->objects[0]->generation, 2, "the same request");
    Ringkeep__Destroy destroy = RINGKEEP__DESTROY__INIT;
    sample_id(request, 'R', 51);
    destroy.session = session;
    destroy.object_id = kit_data(g.object, ID_SIZE);
    destroy.write = &g.write;
    cr_expect_eq(kit_ask(k, FRAME_DESTROY, &destroy)->error, ERR_OK);
    cr_expect_eq(kit_ask(k, FRAME_DESTROY, &destroy)->error, ERR_OK, "once, however often asked");
    sample_id(request, 'R', 52);
    cr_expect_eq(kit_ask(k, FRAME_DESTROY, &destroy)->error, ERR_NOTFOUND);
}

Test(op_find, pages_go_by_handle_and_ask_the_core_for_each_row_once, .timeout = 60)
{
    KIT;
    struct made g;
    const uint64_t session = open_session(k, true, ERR_OK);
    for (unsigned i = 0; i < 100; i++) {
        fill_generate(k, &g, i, false, session);
        cr_assert_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_OK);
    }
    Ringkeep__Find find = RINGKEEP__FIND__INIT;
    find.session = session;
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_FIND, &find);
    cr_assert_eq(reply->n_objects, LIMIT_FIND_ROWS);
    cr_expect(reply->more);
    find.has_after_handle = 1;
    find.after_handle = reply->objects[LIMIT_FIND_ROWS - 1]->handle;
    reply = kit_ask(k, FRAME_FIND, &find);
    cr_expect_eq(reply->n_objects, 100 - LIMIT_FIND_ROWS);
    cr_expect_not(reply->more);
    cr_expect_eq(k->calls[CORE_ATTRIBUTES], 100);
}

/* The core has one word for all that may be wrong with a blob. */
Test(op_find, an_object_that_does_not_open_hides_no_other_and_can_be_destroyed, .timeout = 60)
{
    KIT;
    struct made g;
    uint8_t request[ID_SIZE];
    const uint64_t session = open_session(k, true, ERR_OK);
    fill_generate(k, &g, 1, false, session);
    cr_assert_eq(kit_ask(k, FRAME_GENERATE, &g.m)->error, ERR_OK);
    k->answer[CORE_ATTRIBUTES] = ERR_REFUSED;
    Ringkeep__Find find = RINGKEEP__FIND__INIT;
    find.session = session;
    const Ringkeep__Reply *reply = kit_ask(k, FRAME_FIND, &find);
    cr_expect_eq(reply->error, ERR_OK);
    cr_expect_eq(reply->n_objects, 0);
    Ringkeep__Destroy destroy = RINGKEEP__DESTROY__INIT;
    sample_id(request, 'R', 51);
    g.write.request_id = kit_data(request, ID_SIZE);
    destroy.session = session;
    destroy.object_id = kit_data(g.object, ID_SIZE);
    destroy.write = &g.write;
    cr_expect_eq(kit_ask(k, FRAME_DESTROY, &destroy)->error, ERR_OK);
}
