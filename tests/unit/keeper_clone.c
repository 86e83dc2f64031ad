/* SPDX-License-Identifier: Apache-2.0 */
/* SMK clone between keepers: join and inherit, and everything that must not work
 * (crypto-spec section 6, threats.md H8). */
#include <criterion/criterion.h>
#include <string.h>

#include "hsm-sim/keeper_test.h"
#include "tests/lib/keeper_kit.h"

TestSuite(keeper_clone, .timeout = 120);

static const struct bytes none = { NULL, 0 };

static void open_donor(struct kit *d)
{
    kit_init(d);
    kit_must_initialise(d);
    kit_must_create(d);
}

static void open_fresh(struct kit *j)
{
    kit_init(j);
    kit_must_initialise(j);
}

static void open_pair(struct kit *d, struct kit *j)
{
    open_donor(d);
    open_fresh(j);
    kit_must_join(d, j);
}

/* A join up to the donor's M1. */
static void must_begin(struct kit *d, struct kit *j, struct kit_invite *v, struct kit_run *r)
{
    cr_assert_eq(kit_join_begin(d, j, v, KIT_DOMAIN, r), ERR_OK);
    cr_assert_eq(kit_m1(d, CLONE_JOIN, v, none, r), ERR_OK);
}

static enum err inherit(struct kit *d, struct kit *j, struct bytes beacon)
{
    struct kit_run r;
    enum err e = kit_inherit_begin(j, &r);
    e = e != ERR_OK ? e : kit_m1(d, CLONE_INHERIT, NULL, beacon, &r);
    e = e != ERR_OK ? e : kit_m2(j, &r);
    e = e != ERR_OK ? e : kit_check(d, &r);
    e = e != ERR_OK ? e : kit_m3(d, &r);
    e = e != ERR_OK ? e : kit_m4(j, &r);
    return e != ERR_OK ? e : kit_done(d, &r);
}

Test(keeper_clone, a_joined_core_has_the_smk_and_keeps_it_sealed)
{
    struct kit d, j;
    struct kit_keyring kr;
    uint8_t ticket[264];
    uint64_t handle = 0;
    open_pair(&d, &j);
    cr_expect_eq(j.status.state, (unsigned)CORE_AUTHORIZED);
    cr_expect_arr_eq(d.status.smk_id, j.status.smk_id, 16);
    cr_expect_eq(j.status.roster_version, 2u);
    kit_must_keyring(&d, 0, "first-password", &kr);
    cr_assert_eq(kit_password(&j, &kr, 6, "first-password", "second-password", 0), ERR_OK);
    cr_assert_eq(kit_login(&d, &kr, 6, "second-password", ticket), ERR_OK);
    cr_expect_eq(kit_open(&j, &kr, ticket, kit_spki, &handle), ERR_OK);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    cr_expect_eq(j.status.state, (unsigned)CORE_MEMBER);
    cr_expect_eq(kit_login_core(&j, 4, KIT_CO, &handle), ERR_OK, "the cluster's officer, here too");
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_joined_core_can_be_a_donor)
{
    struct kit d, j, third;
    open_pair(&d, &j);
    open_fresh(&third);
    kit_must_join(&j, &third);
    cr_expect_eq(third.status.roster_version, 3u);
    cr_expect_eq(kit_roster_seen(&d, &third), ERR_OK);
    kit_drop(&third);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_restarted_member_inherits_inside_the_window)
{
    struct kit d, j;
    uint8_t beacon[128];
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    d.wall_s += LIMIT_INHERIT_WINDOW_S;
    j.wall_s = d.wall_s;
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_OK);
    kit_status(&j);
    cr_expect_eq(j.status.state, (unsigned)CORE_AUTHORIZED);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    d.wall_s += 1;
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_REFUSED, "beacon too old");
    cr_expect_eq(inherit(&d, &j, none), ERR_REFUSED, "no beacon");
    kit_status(&j);
    cr_expect_eq(j.status.state, (unsigned)CORE_MEMBER);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_beacon_of_another_member_does_not_serve)
{
    struct kit d, j;
    uint8_t beacon[128];
    open_pair(&d, &j);
    kit_beacon(&d, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_REFUSED);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_beacon_that_was_changed_does_not_serve)
{
    struct kit d, j;
    uint8_t beacon[128];
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    for (unsigned at = 0; at < sizeof beacon; at++) {
        beacon[at] ^= 1;
        cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_REFUSED, "byte %u", at);
        beacon[at] ^= 1;
    }
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_OK);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_stranger_does_not_inherit)
{
    struct kit d, j, other;
    uint8_t beacon[128];
    open_pair(&d, &j);
    open_donor(&other);
    kit_beacon(&other, beacon);
    cr_assert_eq(kit_restart(&other), ERR_OK);
    cr_expect_eq(inherit(&d, &other, bytes_of(beacon, 128)), ERR_REFUSED);
    kit_drop(&other);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_core_without_a_cluster_does_not_inherit)
{
    struct kit j;
    struct kit_run r;
    open_fresh(&j);
    cr_expect_eq(kit_inherit_begin(&j, &r), ERR_WRONG_STATE);
    kit_drop(&j);
}

/* Puts a roster with j removed, made under the cluster's SMK, before both. */
static void remove_from_roster(struct kit *d, const struct kit *j)
{
    struct roster roster = { 0 };
    struct blob_roster_header h;
    struct smk_opener opener = { .count = 1 };
    cr_assert_eq(blob_roster_parse(bytes_of(d->roster, d->roster_size), &h), ERR_OK);
    roster.version = h.version + 1;
    roster.inherit_window_s = h.inherit_window_s;
    roster.count = h.count;
    memcpy(roster.cluster_id, h.cluster_id, 16);
    for (unsigned i = 0; i < h.count; i++) {
        blob_roster_row(bytes_of(d->roster, d->roster_size), i, &roster.row[i]);
        if (memcmp(roster.row[i].member_id, j->status.core_id, 16) == 0) {
            roster.row[i].state = BLOB_ROSTER_REMOVED;
        }
    }
    keeper_test_opener(d->keeper, SMK_ROSTER, &opener);
    cr_assert_eq(roster_seal(&roster, &opener, d->roster, &d->roster_size), ERR_OK);
}

Test(keeper_clone, a_removed_member_does_not_inherit)
{
    struct kit d, j;
    uint8_t beacon[128];
    uint8_t old[LIMIT_ROSTER];
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    const size_t old_size = d.roster_size;
    memcpy(old, d.roster, old_size);
    remove_from_roster(&d, &j);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_REFUSED);
    /* An older roster is not taken either: this core has seen the newer. */
    memcpy(d.roster, old, old_size);
    d.roster_size = old_size;
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_REFUSED);
    cr_expect_eq(kit_roster_seen(&d, &d), ERR_REFUSED);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_joiner_that_has_seen_more_takes_nothing_older)
{
    struct kit d, j;
    struct kit ahead = { 0 };
    struct roster roster = { 0 };
    struct smk_opener opener;
    uint8_t beacon[128];
    open_pair(&d, &j);
    keeper_test_opener(d.keeper, SMK_ROSTER, &opener);
    cr_assert_eq(
        roster_open(bytes_of(d.roster, d.roster_size), d.status.cluster_id, &opener, &roster),
        ERR_OK);
    roster.version++;
    cr_assert_eq(roster_seal(&roster, &opener, ahead.roster, &ahead.roster_size), ERR_OK);
    cr_assert_eq(kit_roster_seen(&j, &ahead), ERR_OK);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_REFUSED);
    kit_status(&j);
    cr_expect_eq(j.status.state, (unsigned)CORE_MEMBER);
    cr_assert_eq(kit_roster_seen(&d, &j), ERR_OK);
    memcpy(d.roster, j.roster, j.roster_size);
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_OK);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, rosters_are_taken_whole_or_not)
{
    struct kit d;
    open_donor(&d);
    for (size_t at = 0; at < d.roster_size; at++) {
        d.roster[at] ^= (uint8_t)(1u << (at % 8));
        cr_expect_eq(kit_roster_seen(&d, &d), ERR_REFUSED, "byte %zu", at);
        d.roster[at] ^= (uint8_t)(1u << (at % 8));
    }
    kit_drop(&d);
}

/* -- invites ----------------------------------------------------------------- */

Test(keeper_clone, an_invite_serves_once_also_after_a_restart)
{
    struct kit d, j, other;
    struct kit_invite v;
    struct kit_run r;
    uint64_t handle = 0;
    open_donor(&d);
    open_fresh(&j);
    open_fresh(&other);
    kit_must_invite(&d, 3600, &v);
    must_begin(&d, &j, &v, &r);
    cr_assert_eq(kit_m2(&j, &r), ERR_OK);
    cr_assert_eq(kit_check(&d, &r), ERR_OK);
    cr_assert_eq(kit_join_begin(&d, &other, &v, KIT_DOMAIN, &r), ERR_OK);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED, "in the donor's own list");
    cr_assert_eq(kit_restart(&d), ERR_OK);
    cr_assert_eq(kit_login_core(&d, 4, KIT_CO, &handle), ERR_OK);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED, "on its disk");
    kit_drop(&other);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, spent_expired_and_changed_invites_are_refused)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    cr_assert_eq(kit_join_begin(&d, &j, &v, KIT_DOMAIN, &r), ERR_OK);
    v.spent = 1;
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED);
    v.spent = 0;
    for (unsigned at = 0; at < sizeof v.sealed; at++) {
        v.sealed[at] ^= (uint8_t)(1u << (at % 8));
        cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED, "byte %u", at);
        v.sealed[at] ^= (uint8_t)(1u << (at % 8));
    }
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_OK);
    d.wall_s += 3600;
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, another_invites_row_does_not_serve)
{
    struct kit d, j;
    struct kit_invite v, other;
    struct kit_run r;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    kit_must_invite(&d, 3600, &other);
    cr_assert_eq(kit_join_begin(&d, &j, &v, KIT_DOMAIN, &r), ERR_OK);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &other, none, &r), ERR_REFUSED);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, five_wrong_guesses_void_an_invite)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    uint64_t handle = 0;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(kit_join_begin(&d, &j, &v, "babad-babad-lusab-babad", &r), ERR_OK);
        cr_assert_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_OK);
        cr_assert_eq(kit_m2(&j, &r), ERR_OK);
        cr_expect_eq(kit_check(&d, &r), ERR_REFUSED);
    }
    cr_assert_eq(kit_join_begin(&d, &j, &v, KIT_DOMAIN, &r), ERR_OK);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED);
    cr_assert_eq(kit_restart(&d), ERR_OK);
    cr_assert_eq(kit_login_core(&d, 4, KIT_CO, &handle), ERR_OK);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED, "also after a restart");
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, the_domain_secret_alone_does_not_join)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    v.secret[31] ^= 1;
    must_begin(&d, &j, &v, &r);
    cr_assert_eq(kit_m2(&j, &r), ERR_OK);
    cr_expect_eq(kit_check(&d, &r), ERR_REFUSED);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, another_domain_does_not_join)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    d.domain_id[3] ^= 1;
    must_begin(&d, &j, &v, &r);
    cr_expect_eq(kit_m2(&j, &r), ERR_REFUSED, "P names the donor's domain");
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_member_does_not_join_again)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    open_pair(&d, &j);
    kit_must_invite(&d, 3600, &v);
    memset(&r, 0, sizeof r);
    struct clone_request q = { .suite = 1 };
    memcpy(q.cluster_id, d.status.cluster_id, 16);
    memcpy(q.invite_id, v.id, 16);
    memcpy(q.joiner_id, j.status.core_id, 16);
    memcpy(q.id_pub, j.status.id_pub, 32);
    memcpy(q.ak_pub, j.status.ak_pub, 32);
    memset(q.spki_hash, 1, 32);
    clone_request_encode(&q, r.request);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED);
    memcpy(q.joiner_id, d.status.core_id, 16);
    memcpy(q.id_pub, d.status.id_pub, 32);
    clone_request_encode(&q, r.request);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_REFUSED, "nor does the donor itself");
    kit_drop(&j);
    kit_drop(&d);
}

/* -- messages ---------------------------------------------------------------- */

Test(keeper_clone, every_flip_of_m1_is_refused)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r, broken;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    for (unsigned at = 0; at < CLONE_M1; at += 3) {
        must_begin(&d, &j, &v, &r);
        broken = r;
        broken.m1[at] ^= (uint8_t)(1u << (at % 8));
        cr_expect_eq(kit_m2(&j, &broken), ERR_REFUSED, "byte %u", at);
        cr_expect_eq(kit_m2(&j, &r), ERR_REFUSED, "and the run is over");
    }
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, every_flip_of_m2_is_refused)
{
    struct kit d, j;
    uint8_t beacon[128];
    struct kit_run r, broken;
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    for (unsigned bit = 0; bit < 8 * CLONE_M2; bit++) {
        cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
        cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &r), ERR_OK);
        cr_assert_eq(kit_m2(&j, &r), ERR_OK);
        broken = r;
        broken.m2[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        /* The highest bit of an X25519 point is not read (RFC 7748), but th2 has it. */
        cr_expect_eq(kit_check(&d, &broken), ERR_REFUSED, "bit %u", bit);
    }
    cr_expect_eq(kit_check(&d, &r), ERR_REFUSED, "the run is over");
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_OK);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, sampled_flips_of_m3_are_refused_and_change_nothing)
{
    struct kit d, j;
    uint8_t beacon[128];
    struct kit_run r, broken;
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    for (unsigned at = 0; at < CLONE_M3; at += at < 300 ? 11 : 331) {
        cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
        cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &r), ERR_OK);
        cr_assert_eq(kit_m2(&j, &r), ERR_OK);
        cr_assert_eq(kit_check(&d, &r), ERR_OK);
        cr_assert_eq(kit_m3(&d, &r), ERR_OK);
        broken = r;
        broken.m3[at] ^= (uint8_t)(1u << (at % 8));
        cr_expect_eq(kit_m4(&j, &broken), ERR_REFUSED, "byte %u", at);
        cr_expect_eq(kit_m4(&j, &r), ERR_REFUSED, "the run is over");
    }
    kit_status(&j);
    cr_expect_eq(j.status.state, (unsigned)CORE_MEMBER);
    cr_expect_eq(inherit(&d, &j, bytes_of(beacon, 128)), ERR_OK);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, every_flip_of_m4_is_refused)
{
    struct kit d, j;
    uint8_t beacon[128];
    struct kit_run r;
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    for (unsigned bit = 0; bit < 8 * CLONE_M4; bit++) {
        cr_assert_eq(kit_restart(&j), ERR_OK);
        cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
        cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &r), ERR_OK);
        cr_assert_eq(kit_m2(&j, &r), ERR_OK);
        cr_assert_eq(kit_check(&d, &r), ERR_OK);
        cr_assert_eq(kit_m3(&d, &r), ERR_OK);
        cr_assert_eq(kit_m4(&j, &r), ERR_OK);
        r.m4[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        cr_expect_eq(kit_done(&d, &r), ERR_REFUSED, "bit %u", bit);
    }
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, messages_of_another_run_do_not_fit)
{
    struct kit d, j;
    uint8_t beacon[128];
    struct kit_run first, second;
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    cr_assert_eq(kit_inherit_begin(&j, &first), ERR_OK);
    cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &first), ERR_OK);
    cr_assert_eq(kit_m2(&j, &first), ERR_OK);
    cr_assert_eq(kit_check(&d, &first), ERR_OK);
    cr_assert_eq(kit_m3(&d, &first), ERR_OK);
    cr_assert_eq(kit_inherit_begin(&j, &second), ERR_OK);
    cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &second), ERR_OK);
    cr_assert_eq(kit_m2(&j, &second), ERR_OK);
    cr_expect_eq(kit_m3(&d, &first), ERR_REFUSED, "a new run of the peer ended the old one");
    struct kit_run mixed = second;
    memcpy(mixed.m2, first.m2, sizeof mixed.m2);
    cr_expect_eq(kit_check(&d, &mixed), ERR_REFUSED, "replayed M2");
    memcpy(mixed.m3, first.m3, sizeof mixed.m3);
    cr_expect_eq(kit_m4(&j, &mixed), ERR_REFUSED, "replayed M3");
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_reflected_message_is_refused)
{
    struct kit d, j;
    uint8_t beacon[2][128];
    struct kit_run r, other;
    uint64_t handle = 0;
    open_pair(&d, &j);
    kit_beacon(&j, beacon[0]);
    kit_beacon(&d, beacon[1]);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    /* d's M1 for j, shown to a third that asked too: not its own ids. */
    cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
    cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon[0], 128), &r), ERR_OK);
    cr_assert_eq(kit_restart(&d), ERR_OK);
    cr_assert_eq(kit_inherit_begin(&d, &other), ERR_OK);
    memcpy(other.m1, r.m1, sizeof other.m1);
    cr_expect_eq(kit_m2(&d, &other), ERR_REFUSED, "its own M1 comes back");
    cr_assert_eq(kit_login_core(&d, 4, KIT_CO, &handle), ERR_OK);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, steps_out_of_order_are_refused)
{
    struct kit d, j;
    uint8_t beacon[128];
    struct kit_run r;
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    memset(&r, 0, sizeof r);
    cr_expect_eq(kit_m2(&j, &r), ERR_REFUSED, "nothing was begun");
    cr_expect_eq(kit_check(&d, &r), ERR_REFUSED);
    cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
    cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &r), ERR_OK);
    cr_expect_eq(kit_m3(&d, &r), ERR_REFUSED, "M3 before the proof");
    cr_assert_eq(kit_m2(&j, &r), ERR_OK);
    cr_expect_eq(kit_check(&d, &r), ERR_REFUSED, "the run ended with that");
    cr_expect_eq(kit_m4(&j, &r), ERR_REFUSED, "M3 of zeros");
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_run_ends_after_thirty_seconds)
{
    struct kit d, j;
    uint8_t beacon[128];
    struct kit_run r;
    open_pair(&d, &j);
    kit_beacon(&j, beacon);
    cr_assert_eq(kit_restart(&j), ERR_OK);
    cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
    cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &r), ERR_OK);
    cr_assert_eq(kit_m2(&j, &r), ERR_OK);
    d.boot_ms += 30000;
    cr_expect_eq(kit_check(&d, &r), ERR_REFUSED);
    cr_assert_eq(kit_inherit_begin(&j, &r), ERR_OK);
    cr_assert_eq(kit_m1(&d, CLONE_INHERIT, NULL, bytes_of(beacon, 128), &r), ERR_OK);
    j.boot_ms += 30000;
    cr_expect_eq(kit_m2(&j, &r), ERR_REFUSED);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, runs_are_bounded_and_one_per_peer)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    struct clone_request q;
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    cr_assert_eq(kit_join_begin(&d, &j, &v, KIT_DOMAIN, &r), ERR_OK);
    cr_assert_eq(clone_request_decode(bytes_of(r.request, sizeof r.request), &q), ERR_OK);
    for (unsigned i = 0; i < 3 * LIMIT_CLONE_RUNS; i++) {
        cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_OK, "the same peer");
    }
    for (unsigned i = 1; i < LIMIT_CLONE_RUNS; i++) {
        memset(q.joiner_id, (int)i, 16);
        clone_request_encode(&q, r.request);
        cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_OK);
    }
    memset(q.joiner_id, 99, 16);
    clone_request_encode(&q, r.request);
    cr_expect_eq(kit_m1(&d, CLONE_JOIN, &v, none, &r), ERR_BUSY);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_joiner_does_not_take_a_cluster_over_its_own)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    open_donor(&d);
    open_donor(&j);
    kit_must_invite(&d, 3600, &v);
    cr_expect_eq(kit_join_begin(&d, &j, &v, KIT_DOMAIN, &r), ERR_WRONG_STATE);
    kit_drop(&j);
    kit_drop(&d);
}

Test(keeper_clone, a_join_begun_before_a_cluster_was_made_does_not_replace_it)
{
    struct kit d, j;
    struct kit_invite v;
    struct kit_run r;
    uint8_t own[16];
    open_donor(&d);
    open_fresh(&j);
    kit_must_invite(&d, 3600, &v);
    must_begin(&d, &j, &v, &r);
    cr_assert_eq(kit_m2(&j, &r), ERR_OK);
    cr_assert_eq(kit_check(&d, &r), ERR_OK);
    cr_assert_eq(kit_m3(&d, &r), ERR_OK);
    kit_must_create(&j);
    memcpy(own, j.status.cluster_id, 16);
    cr_expect_eq(kit_m4(&j, &r), ERR_REFUSED);
    kit_status(&j);
    cr_expect_arr_eq(j.status.cluster_id, own, 16);
    kit_drop(&j);
    kit_drop(&d);
}
