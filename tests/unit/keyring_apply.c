/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs of the cluster itself: beginning, members, roster, invites, records; and
 * what every command has in common but at-most-once. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "command.pb-c.h"
#include "proto/frame.h"
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

static bool member_known(struct keyring_fixture *f, unsigned member)
{
    STORE_VIEW_SCOPED *v = fixture_view(f);
    uint8_t id[ID_SIZE];
    void *row = NULL;
    sample_id(id, 'M', member);
    const enum err e = query_member(v, id, &row);
    query_drop(row);
    return e == ERR_OK;
}

Test(apply, cluster_begins_once, .timeout = 60)
{
    F;
    fixture_open(&f, 0);
    DO(init, 1);
    SAY(ERR_OK);
    cr_expect_eq(f.last.index, 1);
    DO(init, 1);
    SAY(ERR_EXISTS);
    cr_expect_eq(f.last.index, 2);
    cr_expect(member_known(&f, 1));
    WHOLE();
}

static void other_owner(void *verb)
{
    Ringkeep__ClusterInit *init = verb;
    init->cluster_id.data[3] ^= 1;
}
static void no_label(void *verb)
{
    static char empty[] = "";
    ((Ringkeep__ClusterInit *)verb)->label = empty;
}
static void short_id(void *verb)
{
    ((Ringkeep__ClusterInit *)verb)->domain_id.len = 15;
}
static void wrong_member_key(void *verb)
{
    ((Ringkeep__ClusterInit *)verb)->member->spki_hash.data[0] ^= 1;
}
static void cut_roster(void *verb)
{
    ((Ringkeep__ClusterInit *)verb)->roster.len--;
}
static void no_raft_id(void *verb)
{
    ((Ringkeep__ClusterInit *)verb)->member->raft_id = 0;
}

Test(apply, cluster_does_not_begin_from_parts_that_do_not_fit, .timeout = 60)
{
    static const struct {
        void (*edit)(void *verb);
        enum err error;
    } rows[] = {
        { other_owner, ERR_REFUSED },  { no_label, ERR_MALFORMED },
        { short_id, ERR_MALFORMED },   { wrong_member_key, ERR_REFUSED },
        { cut_roster, ERR_MALFORMED }, { no_raft_id, ERR_MALFORMED },
    };
    F;
    fixture_open(&f, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f.sample.edit = rows[i].edit;
        DO(init, 1);
        cr_expect_eq(fixture_apply(&f), rows[i].error, "row %zu: %s", i, err_name(f.last.error));
    }
    DO(init, 1);
    SAY(ERR_OK);
    WHOLE();
}

Test(apply, nothing_but_the_beginning_goes_without_the_incarnation, .timeout = 60)
{
    F;
    fixture_open(&f, 0);
    DO(keyring_put, 1, "one", 1, 1);
    SAY(ERR_INCARNATION);
    DO(init, 1);
    SAY(ERR_OK);
    f.sample.origin.incarnation[5] ^= 1;
    DO(keyring_put, 1, "one", 1, 1);
    SAY(ERR_INCARNATION);
    memset(f.sample.origin.incarnation, 0, ID_SIZE);
    DO(keyring_put, 1, "one", 1, 1);
    SAY(ERR_INCARNATION);
    sample_begin(&f.sample);
    DO(keyring_put, 1, "one", 1, 1);
    SAY(ERR_OK);
}

Test(apply, unknown_version_verb_or_field_is_a_local_failure, .timeout = 60)
{
    F;
    Ringkeep__Command c = RINGKEEP__COMMAND__INIT;
    fixture_cluster(&f, 0);
    c.version = COMMAND_VERSION;
    cr_assert_eq(message_pack(&f.command, &c, LIMIT_COMMAND), ERR_OK); /* no verb */
    cr_expect_eq(fixture_try(&f, f.index + 1), ERR_VERSION);
    DO(keyring_delete, 1);
    cr_assert_eq(f.command.data[0], 0x08); /* field 1, version */
    f.command.data[1] = 2;
    cr_expect_eq(fixture_try(&f, f.index + 1), ERR_VERSION);
    cr_expect_eq(command_stamp(&f.command, 1), ERR_VERSION);
    DO(keyring_delete, 1);
    cr_assert_eq(buf_append(&f.command, bytes_of("\xf8\x07\x01", 3), LIMIT_COMMAND), ERR_OK);
    cr_expect_eq(fixture_try(&f, f.index + 1), ERR_VERSION); /* field 127 */
    cr_expect_eq(command_stamp(&f.command, 1), ERR_MALFORMED);
    cr_expect_str_eq(apply_verb_name(buf_bytes(&f.command)), "unknown");
    cr_expect_eq(store_txn_index(f.txn), f.index);
    DO(keyring_delete, 1);
    cr_expect_str_eq(apply_verb_name(buf_bytes(&f.command)), "keyring_delete");
}

Test(apply, stamps_never_go_back, .timeout = 60)
{
    F;
    fixture_cluster(&f, 0);
    f.sample.stamp_s += 100;
    DO(beacon_put, 1);
    SAY(ERR_OK);
    const uint64_t high = store_txn_stamp(f.txn);
    cr_expect_eq(high, f.sample.stamp_s);
    f.sample.stamp_s -= 50;
    DO(beacon_put, 1);
    SAY(ERR_OK);
    cr_expect_eq(store_txn_stamp(f.txn), high);
}

Test(apply, builders_refuse_a_verb_under_another_field, .timeout = 60)
{
    Ringkeep__KeyringDelete verb = RINGKEEP__KEYRING_DELETE__INIT;
    BUF_SCOPED out = { 0 };
    cr_expect_eq(command_build(&out, NULL, RINGKEEP__COMMAND__VERB_KEYRING_PUT, &verb), ERR_USAGE);
    cr_expect_eq(command_build(&out, NULL, 1, &verb), ERR_USAGE);
    cr_expect_eq(command_build(&out, NULL, 4000, &verb), ERR_USAGE);
    cr_expect_eq(command_build(&out, NULL, RINGKEEP__COMMAND__VERB_KEYRING_DELETE, &verb), ERR_OK);
}

/* -- members and roster ---------------------------------------------------------------- */

static void steal_name(void *verb)
{
    static char name[] = "m1";
    ((Ringkeep__MemberPut *)verb)->member->name = name;
}
static void steal_raft_id(void *verb)
{
    ((Ringkeep__MemberPut *)verb)->member->raft_id = 1001;
}
static void control_name(void *verb)
{
    static char name[] = "m\n2";
    ((Ringkeep__MemberPut *)verb)->member->name = name;
}
static void long_address(void *verb)
{
    static char address[LIMIT_ADDRESS + 1];
    memset(address, 'a', LIMIT_ADDRESS);
    ((Ringkeep__MemberPut *)verb)->member->peer_address = address;
}
static void other_key(void *verb)
{
    ((Ringkeep__MemberPut *)verb)->member->spki_hash.data[9] ^= 1;
}

Test(apply, member_rows_say_what_the_roster_says, .timeout = 60)
{
    static const struct {
        void (*edit)(void *verb);
        enum err error;
    } rows[] = {
        { steal_name, ERR_EXISTS },      { steal_raft_id, ERR_EXISTS },
        { control_name, ERR_MALFORMED }, { long_address, ERR_MALFORMED },
        { other_key, ERR_REFUSED },
    };
    F;
    fixture_cluster(&f, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        f.sample.edit = rows[i].edit;
        DO(member_put, 2);
        cr_expect_eq(fixture_apply(&f), rows[i].error, "row %zu: %s", i, err_name(f.last.error));
    }
    DO(member_put, 4); /* not in the roster */
    SAY(ERR_REFUSED);
    DO(member_put, 2);
    SAY(ERR_OK);
    WHOLE();
}

Test(apply, member_put_keeps_beacon_and_login_key, .timeout = 60)
{
    F;
    uint8_t id[ID_SIZE];
    Ringkeep__MemberRow *row = NULL;
    fixture_cluster(&f, 0);
    DO(beacon_put, 2);
    SAY(ERR_OK);
    DO(login_key_put, 2);
    SAY(ERR_OK);
    DO(member_put, 2);
    SAY(ERR_OK);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    sample_id(id, 'M', 2);
    cr_assert_eq(query_member(v, id, (void **)&row), ERR_OK);
    cr_expect(row->has_beacon && row->beacon.len == 128 && row->has_login_key);
    query_drop(row);
}

static void foreign_beacon(void *verb)
{
    ((Ringkeep__BeaconPut *)verb)->beacon.data[0] ^= 1;
}
static void foreign_login_key(void *verb)
{
    ((Ringkeep__LoginKeyPut *)verb)->login_key.data[48] ^= 1;
}

Test(apply, beacons_and_login_keys_are_of_members_only, .timeout = 60)
{
    F;
    fixture_cluster(&f, 0);
    DO(beacon_put, 4);
    SAY(ERR_NOTFOUND);
    DO(login_key_put, 4);
    SAY(ERR_NOTFOUND);
    f.sample.edit = foreign_beacon;
    DO(beacon_put, 1);
    SAY(ERR_MALFORMED);
    f.sample.edit = foreign_login_key;
    DO(login_key_put, 1);
    SAY(ERR_MALFORMED);
    DO(login_key_put, 1);
    SAY(ERR_OK);
}

Test(apply, roster_goes_up_by_one_and_takes_removed_members_away, .timeout = 60)
{
    F;
    fixture_cluster(&f, 0);
    DO(roster_put, 1, 7, 0, 0);
    SAY(ERR_REFUSED);
    DO(roster_put, 3, 7, 0, 0);
    SAY(ERR_REFUSED);
    DO(roster_put, 2, 15, 0, 4); /* a join */
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 2);
    cr_expect(member_known(&f, 4));
    DO(roster_put, 3, 15, 0, 5); /* its row is not in the roster */
    SAY(ERR_REFUSED);
    DO(roster_put, 3, 13, 2, 0); /* removed: 2 */
    SAY(ERR_OK);
    cr_expect(!member_known(&f, 2));
    cr_expect(member_known(&f, 1) && member_known(&f, 3) && member_known(&f, 4));
    DO(member_put, 2);
    SAY(ERR_REFUSED);
    WHOLE();
}

static void another_cluster(void *verb)
{
    ((Ringkeep__RosterPut *)verb)->roster.data[24 + 5] ^= 1;
}
static void another_tls_key(void *verb)
{
    ((Ringkeep__RosterPut *)verb)->roster.data[56 + 80] ^= 1; /* of row 0 */
}

Test(apply, roster_of_another_cluster_is_refused_and_a_new_tls_key_is_followed, .timeout = 60)
{
    F;
    uint8_t id[ID_SIZE], expected[32];
    Ringkeep__MemberRow *row = NULL;
    fixture_cluster(&f, 0);
    f.sample.edit = another_cluster;
    DO(roster_put, 2, 7, 0, 0);
    SAY(ERR_REFUSED);
    f.sample.edit = another_tls_key;
    DO(roster_put, 2, 7, 0, 0);
    SAY(ERR_OK);
    STORE_VIEW_SCOPED *v = fixture_view(&f);
    sample_id(id, 'M', 1);
    sample_member_spki(expected, 1);
    expected[0] ^= 1;
    cr_assert_eq(query_member(v, id, (void **)&row), ERR_OK);
    cr_expect_eq(memcmp(row->spki_hash.data, expected, 32), 0);
    query_drop(row);
    WHOLE();
}

Test(apply, cluster_record_goes_up_by_one, .timeout = 60)
{
    F;
    fixture_cluster(&f, 0);
    DO(cluster_record_put, 3, 0);
    SAY(ERR_REFUSED);
    DO(cluster_record_put, 2, 5);
    SAY(ERR_OK);
    DO(cluster_record_put, 3, 4); /* the epoch went back */
    SAY(ERR_REFUSED);
    DO(cluster_record_put, 3, 5);
    SAY(ERR_OK);
    cr_expect_eq(f.last.number, 3);
    WHOLE();
}

/* -- invites ---------------------------------------------------------------------------- */

static void other_invite(void *verb)
{
    ((Ringkeep__InvitePut *)verb)->sealed.data[40 + 3] ^= 1;
}

Test(apply, invite_is_spent_once_and_not_after_its_expiry, .timeout = 60)
{
    F;
    fixture_cluster(&f, 0);
    const uint64_t now = f.sample.stamp_s;
    DO(invite_put, 1, now + 100);
    SAY(ERR_OK);
    DO(invite_put, 1, now + 100);
    SAY(ERR_EXISTS);
    DO(invite_put, 2, now + 10);
    SAY(ERR_OK);
    DO(invite_put, 3, now); /* expired already */
    SAY(ERR_REFUSED);
    DO(invite_put, 3, now + LIMIT_INVITE_S + 301); /* longer than invites live */
    SAY(ERR_REFUSED);
    f.sample.edit = other_invite;
    DO(invite_put, 3, now + 100);
    SAY(ERR_REFUSED);
    DO(invite_spend, 3);
    SAY(ERR_TOKEN);
    DO(invite_spend, 1);
    SAY(ERR_OK);
    DO(invite_spend, 1);
    SAY(ERR_TOKEN);
    f.sample.stamp_s = now + 10;
    DO(invite_spend, 2);
    SAY(ERR_TOKEN);
}

Test(apply, invites_are_bounded_and_expired_ones_make_room, .timeout = 60)
{
    F;
    fixture_cluster(&f, 0);
    const uint64_t now = f.sample.stamp_s;
    for (unsigned i = 0; i < LIMIT_INVITES; i++) {
        DO(invite_put, i, i == 7 ? now + 5 : now + 500);
        SAY(ERR_OK);
    }
    DO(invite_put, 900, now + 500);
    SAY(ERR_FULL);
    f.sample.stamp_s = now + 5;
    DO(invite_put, 900, now + 500);
    SAY(ERR_OK);
    cr_expect_eq(store_count(store_txn_view(f.txn), STORE_INVITES), LIMIT_INVITES);
    DO(invite_put, 901, now + 500);
    SAY(ERR_FULL);
}
