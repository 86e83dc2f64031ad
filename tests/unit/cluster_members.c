/* SPDX-License-Identifier: Apache-2.0 */
/* Whole members: create, join, forwarded writes, a stopped leader, restart and
 * inheritance, rule 24 (consistency.md 7, 13, 24; decision 0004). */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/lib/cluster_kit.h"

TestSuite(cluster_members, .timeout = 90);

struct on_member {
    struct cluster_kit *k;
    unsigned i, number, wanted;
    enum replica_vote vote;
};

static bool answered(void *arg)
{
    return ((struct cluster_kit_answer *)arg)->calls > 0;
}

static bool has_client(void *arg)
{
    const struct on_member *o = arg;
    return cluster_kit_has_client(o->k, o->i, o->number);
}

static bool has_votes(void *arg)
{
    const struct on_member *o = arg;
    return cluster_kit_votes(o->k, o->i, o->vote) == o->wanted;
}

static bool has_leader(void *arg)
{
    return cluster_kit_leader(arg) < CLUSTER_KIT_MEMBERS;
}

static bool digests_equal(void *arg)
{
    return cluster_kit_digests_equal(arg);
}

static bool is_authorized(void *arg)
{
    const struct cluster_kit_member *m = arg;
    return m->fake.authorized(m->fake.impl);
}

static void three(struct cluster_kit *k)
{
    cluster_kit_open(k);
    cluster_kit_up(k, 0);
    cluster_kit_must_create(k, 0);
    cluster_kit_up(k, 1);
    cluster_kit_must_join(k, 1, 0);
    cluster_kit_up(k, 2);
    cluster_kit_must_join(k, 2, 0);
    struct on_member voters = { .k = k, .vote = REPLICA_VOTER, .wanted = 3 };
    cr_assert(cluster_kit_until(k, has_votes, &voters, 15000), "three voters");
}

static uint64_t must_write(struct cluster_kit *k, unsigned i, unsigned number)
{
    struct cluster_kit_answer a;
    cluster_kit_write(k, i, number, true, 15000, &a);
    cr_assert(cluster_kit_until(k, answered, &a, 16000));
    cr_assert_eq(a.error, ERR_OK, "%s", err_name(a.error));
    return a.index;
}

Test(cluster_members, one_creates_two_join_and_writes_are_forwarded)
{
    static struct cluster_kit k;
    struct cluster_member member[LIMIT_MEMBERS];
    three(&k);
    cr_expect(k.member[0].spent_at_m3, "the invite was spent before M3 was asked for");
    cr_expect_eq(k.member[1].authorized, 1u);
    cr_expect(is_authorized(&k.member[1]) && is_authorized(&k.member[2]));
    const unsigned leader = cluster_kit_leader(&k);
    const unsigned follower = (leader + 1) % 3, other = (leader + 2) % 3;
    const uint64_t index = must_write(&k, follower, 1);
    cr_expect_gt(index, 0u);
    struct on_member there = { .k = &k, .i = other, .number = 1 };
    cr_expect(cluster_kit_until(&k, has_client, &there, 3000), "visible elsewhere");
    cr_expect(cluster_kit_until(&k, digests_equal, &k, 3000));
    cluster_kit_run(&k, 1500);
    cr_assert_eq(cluster_members(k.member[follower].cluster, member, LIMIT_MEMBERS), 3u);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect(member[i].alive && member[i].authorized, "%s", member[i].name);
    }
    cluster_kit_close(&k);
}

static void on_index(void *arg, enum err e, uint64_t index)
{
    struct cluster_kit_answer *a = arg;
    a->calls++;
    a->error = e;
    a->index = index;
}

Test(cluster_members, barriers_and_waits_work_at_every_member)
{
    static struct cluster_kit k;
    three(&k);
    const uint64_t index = must_write(&k, 0, 7);
    for (unsigned i = 0; i < 3; i++) {
        struct cluster_kit_answer barrier = { 0 }, visible = { 0 };
        cr_assert_eq(cluster_barrier(k.member[i].cluster, 5000, on_index, &barrier), ERR_OK);
        cr_assert_eq(barrier.calls, 0u);
        cr_assert(cluster_kit_until(&k, answered, &barrier, 6000));
        cr_expect_eq(barrier.error, ERR_OK);
        cr_expect_geq(barrier.index, index);
        cr_assert_eq(
            cluster_wait_visible(k.member[i].cluster, barrier.index, 5000, on_index, &visible),
            ERR_OK);
        cr_assert_eq(visible.calls, 0u, "never from inside the call");
        cr_assert(cluster_kit_until(&k, answered, &visible, 6000));
        cr_expect_eq(visible.error, ERR_OK);
        cr_expect(cluster_kit_has_client(&k, i, 7));
    }
    cluster_kit_close(&k);
}

Test(cluster_members, a_stopped_leader_costs_nothing_acknowledged)
{
    static struct cluster_kit k;
    three(&k);
    (void)must_write(&k, 1, 1);
    const unsigned leader = cluster_kit_leader(&k);
    const unsigned a = (leader + 1) % 3, b = (leader + 2) % 3;
    cluster_kit_down(&k, leader);
    (void)must_write(&k, a, 2);
    (void)must_write(&k, b, 3);
    cr_expect(cluster_kit_until(&k, digests_equal, &k, 5000));
    for (unsigned n = 1; n <= 3; n++) {
        struct on_member there = { .k = &k, .i = b, .number = n };
        cr_expect(cluster_kit_until(&k, has_client, &there, 3000));
    }
    cluster_kit_close(&k);
}

Test(cluster_members, a_frozen_leader_is_left_behind)
{
    static struct cluster_kit k;
    struct cluster_kit_answer plain;
    three(&k);
    const unsigned leader = cluster_kit_leader(&k);
    const unsigned a = (leader + 1) % 3;
    k.member[leader].frozen = true;
    cluster_kit_write(&k, a, 1, false, 8000, &plain);
    (void)must_write(&k, a, 2);
    cr_assert(cluster_kit_until(&k, answered, &plain, 9000));
    cr_expect(plain.error == ERR_UNKNOWN_OUTCOME || plain.error == ERR_OK, "%s",
              err_name(plain.error));
    cr_expect_eq(plain.calls, 1u);
    k.member[leader].frozen = false;
    struct on_member there = { .k = &k, .i = leader, .number = 2 };
    cr_expect(cluster_kit_until(&k, has_client, &there, 10000), "it comes back");
    cr_expect(cluster_kit_until(&k, digests_equal, &k, 5000));
    cluster_kit_close(&k);
}

Test(cluster_members, without_a_majority_writes_end_in_time_and_say_so)
{
    static struct cluster_kit k;
    struct cluster_kit_answer write, barrier = { 0 };
    three(&k);
    const unsigned leader = cluster_kit_leader(&k);
    const unsigned alone = (leader + 1) % 3;
    cluster_kit_down(&k, leader);
    cluster_kit_down(&k, (leader + 2) % 3);
    cluster_kit_run(&k, 1500);
    cluster_kit_write(&k, alone, 1, true, 2000, &write);
    cr_assert_eq(cluster_barrier(k.member[alone].cluster, 2000, on_index, &barrier), ERR_OK);
    cr_assert(cluster_kit_until(&k, answered, &write, 3000));
    cr_assert(cluster_kit_until(&k, answered, &barrier, 3000));
    cr_expect_eq(write.error, ERR_NO_QUORUM, "%s", err_name(write.error));
    cr_expect_eq(barrier.error, ERR_NO_QUORUM, "%s", err_name(barrier.error));
    cluster_kit_close(&k);
}

static void restart_all(struct cluster_kit *k)
{
    for (unsigned i = 0; i < 3; i++) {
        cluster_kit_down(k, i);
    }
    for (unsigned i = 0; i < 3; i++) {
        cluster_kit_up(k, i);
        cr_assert(cluster_is_member(k->member[i].cluster));
    }
    cr_assert(cluster_kit_until(k, has_leader, k, 10000));
}

Test(cluster_members, all_restart_sealed_and_one_officer_is_enough)
{
    static struct cluster_kit k;
    three(&k);
    (void)must_write(&k, 0, 1);
    cluster_kit_duties(&k);
    cluster_kit_run(&k, 500);
    restart_all(&k);
    cluster_kit_run(&k, 1000);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_not(is_authorized(&k.member[i]), "the SMK is in no memory");
    }
    (void)must_write(&k, 2, 2); /* consensus needs no core */
    cr_assert_eq(cluster_kit_authorize(&k, 1), ERR_OK);
    cr_expect(cluster_kit_until(&k, is_authorized, &k.member[0], 15000), "inherits");
    cr_expect(cluster_kit_until(&k, is_authorized, &k.member[2], 15000), "inherits");
    cr_expect_eq(k.member[0].authorized, 1u);
    cr_expect_eq(k.member[1].authorized, 0u);
    cr_expect(cluster_kit_until(&k, digests_equal, &k, 5000));
    cluster_kit_close(&k);
}

/* consistency.md 13: what gives power needs a quorum. */
Test(cluster_members, nobody_inherits_from_a_minority)
{
    static struct cluster_kit k;
    cluster_kit_open(&k);
    cluster_kit_up(&k, 0);
    cluster_kit_must_create(&k, 0);
    for (unsigned i = 1; i < 5; i++) {
        cluster_kit_up(&k, i);
        cluster_kit_must_join(&k, i, 0);
    }
    struct on_member voters = { .k = &k, .vote = REPLICA_VOTER, .wanted = 5 };
    cr_assert(cluster_kit_until(&k, has_votes, &voters, 15000));
    cluster_kit_duties(&k);
    cluster_kit_run(&k, 1500);
    cluster_kit_down(&k, 1);
    for (unsigned i = 2; i < 5; i++) {
        k.member[i].frozen = true;
    }
    cluster_kit_up(&k, 1);
    cr_expect_not(cluster_kit_until(&k, is_authorized, &k.member[1], 8000), "two of five");
    cr_expect_gt(k.member[1].asked[CORE_INHERIT_BEGIN], 0u, "it has asked");
    cr_expect_eq(k.member[0].asked[CORE_CLONE_M3], 4u, "the joins' only");
    k.member[2].frozen = false;
    k.member[3].frozen = false;
    cr_expect(cluster_kit_until(&k, is_authorized, &k.member[1], 20000), "a majority is back");
    cluster_kit_close(&k);
}

Test(cluster_members, a_pair_has_one_voter_and_four_have_three)
{
    static struct cluster_kit k;
    cluster_kit_open(&k);
    cluster_kit_up(&k, 0);
    cluster_kit_must_create(&k, 0);
    cluster_kit_up(&k, 1);
    cluster_kit_must_join(&k, 1, 0);
    cluster_kit_run(&k, 3000);
    cr_expect_eq(cluster_kit_votes(&k, 0, REPLICA_VOTER), 1u);
    cr_expect_eq(cluster_kit_votes(&k, 0, REPLICA_STANDBY), 1u);
    (void)must_write(&k, 1, 1);
    for (unsigned i = 2; i < 4; i++) {
        cluster_kit_up(&k, i);
        cluster_kit_must_join(&k, i, 0);
    }
    struct on_member voters = { .k = &k, .vote = REPLICA_VOTER, .wanted = 3 };
    cr_expect(cluster_kit_until(&k, has_votes, &voters, 10000));
    cluster_kit_run(&k, 2000);
    cr_expect_eq(cluster_kit_votes(&k, 0, REPLICA_VOTER), 3u);
    cr_expect_eq(cluster_kit_votes(&k, 0, REPLICA_STANDBY), 1u);
    cluster_kit_close(&k);
}

Test(cluster_members, many_writes_at_once_are_all_answered_once)
{
    static struct cluster_kit k;
    static struct cluster_kit_answer a[600];
    three(&k);
    for (unsigned i = 0; i < 600; i++) {
        cluster_kit_write(&k, i % 3, 100 + i, i % 2 == 0, 15000, &a[i]);
    }
    for (unsigned i = 0; i < 600; i++) {
        cr_assert(cluster_kit_until(&k, answered, &a[i], 16000));
        cr_expect_eq(a[i].error, ERR_OK, "%s", err_name(a[i].error));
    }
    cluster_kit_run(&k, 300);
    for (unsigned i = 0; i < 600; i++) {
        cr_expect_eq(a[i].calls, 1u);
    }
    cr_expect(cluster_kit_until(&k, digests_equal, &k, 5000));
    cluster_kit_close(&k);
}

static bool has_asked_roster(void *arg)
{
    return ((struct cluster_kit_member *)arg)->asked[CORE_ROSTER_SEEN] > 0;
}

static bool has_two_rows(void *arg)
{
    struct cluster_kit *k = arg;
    struct cluster_member member[LIMIT_MEMBERS];
    return cluster_members(k->member[0].cluster, member, LIMIT_MEMBERS) == 2;
}

/* From M4 on the joiner's core has the SMK: the roster must say so. */
Test(cluster_members, a_joiner_that_dies_after_m4_is_in_the_roster)
{
    static struct cluster_kit k;
    cluster_kit_open(&k);
    cluster_kit_up(&k, 0);
    cluster_kit_must_create(&k, 0);
    cluster_kit_up(&k, 1);
    struct cluster_kit_join_under_way *j = cluster_kit_join_begin(&k, 1, 0);
    cr_assert(cluster_kit_until(&k, has_asked_roster, &k.member[0], 10000));
    k.member[0].hold_core = true;
    cluster_kit_down(&k, 1);
    cr_expect_eq(cluster_kit_join_end(j), ERR_CANCELLED);
    cluster_kit_run(&k, 500); /* the donor sees the link end */
    k.member[0].hold_core = false;
    cr_expect(cluster_kit_until(&k, has_two_rows, &k, 5000));
    cluster_kit_close(&k);
}
