/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas against real raft_uv and LMDB: proposals, restarts, loss of leaders. */
#include <criterion/criterion.h>

#include "tests/lib/raft_net.h"
#include "tests/lib/raft_sample.h"

TestSuite(raft_replica, .timeout = 60);

static void expect_all_have(struct raft_net *n, uint32_t first, uint32_t count)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].up) {
            continue;
        }
        cr_assert_eq(raft_sample_objects(n->nodes[i].store), count, "member %u", i);
        for (uint32_t k = first; k < first + count; k++) {
            cr_assert(raft_sample_has(n->nodes[i].store, k), "member %u object %u", i, k);
        }
    }
}

Test(raft_replica, one_member_gives_an_outcome_with_index_and_handle)
{
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 1, false);
    raft_net_propose(&n, 0, 1, 100, &a);
    raft_net_wait(&n, &a);
    cr_assert_eq(a.error, ERR_OK);
    cr_assert_eq(a.outcome.error, ERR_OK);
    cr_assert_eq(a.outcome.number, 1);
    cr_assert_gt(a.outcome.index, 0);
    raft_net_settle(&n);
    expect_all_have(&n, 1, 1);
    raft_net_close(&n);
}

Test(raft_replica, a_refusal_is_an_outcome_not_an_error)
{
    struct raft_net n;
    struct raft_net_answer a;
    BUF_SCOPED c = { 0 };
    raft_net_open(&n, 1, false);
    raft_sample_cluster(&c);
    a = (struct raft_net_answer){ 0 };
    cr_assert_eq(replica_propose(n.nodes[0].replica, buf_bytes(&c), raft_net_outcome, &a), ERR_OK);
    raft_net_wait(&n, &a);
    cr_assert_eq(a.error, ERR_OK);
    cr_assert_eq(a.outcome.error, ERR_EXISTS);
    raft_net_close(&n);
}

Test(raft_replica, three_members_apply_the_same)
{
    enum { COUNT = 200 };
    static struct raft_net_answer a[COUNT];
    struct raft_net n;
    raft_net_open(&n, 3, false);
    const unsigned leader = raft_net_leader(&n);
    const uint64_t before = raft_net_status(&n, leader).last_index;
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_propose(&n, leader, k, k * 3, &a[k]);
    }
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_wait(&n, &a[k]);
        cr_assert_eq(a[k].error, ERR_OK);
        cr_assert_eq(a[k].outcome.error, ERR_OK);
        cr_assert_eq(a[k].index, before + 1 + k);
    }
    raft_net_settle(&n);
    expect_all_have(&n, 0, COUNT);
    raft_net_close(&n);
}

Test(raft_replica, the_applier_may_be_a_thread)
{
    enum { COUNT = 300 };
    static struct raft_net_answer a[COUNT];
    struct raft_net n;
    raft_net_open(&n, 3, true);
    const unsigned leader = raft_net_leader(&n);
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_propose(&n, leader, k, 500, &a[k]);
        raft_net_run(&n, 1);
    }
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_wait(&n, &a[k]);
        cr_assert_eq(a[k].outcome.error, ERR_OK);
    }
    raft_net_settle(&n);
    expect_all_have(&n, 0, COUNT);
    raft_net_close(&n);
}

Test(raft_replica, a_follower_refuses_proposals_and_barriers)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    BUF_SCOPED c = { 0 };
    raft_net_open(&n, 3, false);
    const unsigned follower = (raft_net_leader(&n) + 1) % 3;
    struct replica *r = n.nodes[follower].replica;
    raft_sample_object(&c, 1, 0);
    cr_assert_eq(replica_propose(r, buf_bytes(&c), raft_net_outcome, &a), ERR_NOT_LEADER);
    cr_assert_eq(replica_barrier(r, raft_net_index, &a), ERR_NOT_LEADER);
    cr_assert_eq(replica_remove(r, 1, raft_net_index, &a), ERR_NOT_LEADER);
    raft_net_run(&n, 100);
    cr_assert_eq(a.calls, 0);
    raft_net_close(&n);
}

Test(raft_replica, a_kill_of_all_loses_nothing_and_applies_nothing_twice)
{
    enum { COUNT = 60, ROUNDS = 4 };
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 3, false);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint32_t k = 0; k < COUNT; k++) {
            raft_net_create(&n, round * COUNT + k, k, &a);
            cr_assert_eq(a.outcome.error, ERR_OK);
        }
        for (unsigned i = 0; i < 3; i++) {
            raft_net_kill(&n, i);
        }
        for (unsigned i = 0; i < 3; i++) {
            raft_net_start(&n, i, false);
        }
        raft_net_settle(&n);
        expect_all_have(&n, 0, (round + 1) * COUNT);
    }
    raft_net_close(&n);
}

Test(raft_replica, odd_sizes_survive_a_restart)
{
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 1, false);
    for (uint32_t k = 0; k < 40; k++) {
        raft_net_create(&n, k, k, &a);
        cr_assert_eq(a.outcome.error, ERR_OK);
    }
    raft_net_create(&n, 40, 65000, &a);
    cr_assert_eq(a.outcome.error, ERR_OK);
    raft_net_kill(&n, 0);
    raft_net_start(&n, 0, false);
    raft_net_settle(&n);
    expect_all_have(&n, 0, 41);
    raft_net_close(&n);
}

Test(raft_replica, an_orderly_stop_commits_what_is_applied)
{
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 1, false);
    raft_net_create(&n, 1, 5, &a);
    raft_net_create(&n, 2, 6, &a);
    const uint64_t index = a.index;
    raft_net_stop(&n, 0);
    char dir[160];
    struct store *s = NULL;
    (void)snprintf(dir, sizeof(dir), "%s/store", n.nodes[0].dir);
    cr_assert_eq(store_open(dir, &s), ERR_OK);
    struct store_view *v = NULL;
    cr_assert_eq(store_view_open(s, &v), ERR_OK);
    cr_assert_eq(store_view_index(v), index);
    store_view_close(v);
    store_close(s);
    raft_net_start(&n, 0, false);
    raft_net_settle(&n);
    expect_all_have(&n, 1, 2);
    raft_net_close(&n);
}

Test(raft_replica, a_killed_leader_is_replaced_and_acknowledged_commands_stay)
{
    enum { ROUNDS = 5, COUNT = 40 };
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 3, false);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t k = 0; k < COUNT; k++) {
            raft_net_create(&n, round * COUNT + k, 300, &a);
            cr_assert_eq(a.outcome.error, ERR_OK);
        }
        const unsigned leader = raft_net_leader(&n);
        raft_net_kill(&n, leader);
        cr_assert_neq(raft_net_leader(&n), leader);
        raft_net_start(&n, leader, false);
    }
    raft_net_settle(&n);
    expect_all_have(&n, 0, ROUNDS * COUNT);
    raft_net_close(&n);
}

static bool lost_leadership(struct raft_net *n, void *arg)
{
    return raft_net_status(n, *(unsigned *)arg).role != REPLICA_LEADER;
}

Test(raft_replica, a_cut_off_leader_leaves_its_proposals_with_an_unknown_outcome)
{
    struct raft_net n;
    struct raft_net_answer lost[50], a;
    raft_net_open(&n, 3, false);
    unsigned old = raft_net_leader(&n);
    raft_net_isolate(&n, old, true);
    for (uint32_t k = 0; k < 50; k++) {
        raft_net_propose(&n, old, 1000 + k, 10, &lost[k]);
    }
    cr_assert(raft_net_until(&n, 10000, lost_leadership, &old));
    for (uint32_t k = 0; k < 50; k++) {
        cr_assert_eq(lost[k].calls, 1);
        cr_assert_eq(lost[k].error, ERR_UNKNOWN_OUTCOME);
    }
    cr_assert_eq(raft_net_status(&n, old).proposals, 0);
    for (uint32_t k = 0; k < 20; k++) {
        raft_net_create(&n, k, 10, &a); /* by the others, over the stale tail */
    }
    raft_net_isolate(&n, old, false);
    raft_net_settle(&n);
    expect_all_have(&n, 0, 20);
    raft_net_close(&n);
}

Test(raft_replica, a_repeat_through_another_leader_makes_one_object)
{
    struct raft_net n;
    struct raft_net_answer first, again;
    raft_net_open(&n, 3, false);
    const unsigned old = raft_net_leader(&n);
    raft_net_create(&n, 7, 33, &first);
    raft_net_kill(&n, old);
    raft_net_create(&n, 7, 33, &again);
    cr_assert_eq(again.outcome.error, ERR_OK);
    cr_assert_eq(again.outcome.index, first.outcome.index);
    cr_assert_eq(again.outcome.number, first.outcome.number);
    raft_net_start(&n, old, false);
    raft_net_settle(&n);
    expect_all_have(&n, 7, 1);
    raft_net_close(&n);
}

Test(raft_replica, stamps_never_go_back_when_the_clock_does)
{
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 1, false);
    raft_net_create(&n, 1, 0, &a);
    n.wall_s -= 3600;
    raft_net_create(&n, 2, 0, &a);
    cr_assert_eq(a.outcome.error, ERR_OK);
    raft_net_settle(&n);
    struct store_txn *t = NULL;
    cr_assert_eq(store_begin(n.nodes[0].store, &t), ERR_OK);
    cr_assert_eq(store_txn_stamp(t), n.wall_s + 3600);
    store_abort(&t);
    raft_net_close(&n);
}

Test(raft_replica, proposals_are_bounded)
{
    struct raft_net n;
    struct raft_net_answer *a = calloc(LIMIT_PROPOSALS + 1, sizeof(*a));
    BUF_SCOPED c = { 0 };
    raft_net_open(&n, 1, false);
    enum err e = ERR_OK;
    unsigned taken = 0;
    while (e == ERR_OK && taken <= LIMIT_PROPOSALS) {
        buf_clear(&c);
        raft_sample_object(&c, taken, 0);
        e = replica_propose(n.nodes[0].replica, buf_bytes(&c), raft_net_outcome, &a[taken]);
        taken += e == ERR_OK ? 1u : 0u;
    }
    cr_assert_eq(e, ERR_BUSY);
    cr_assert_eq(taken, LIMIT_PROPOSALS);
    for (unsigned k = 0; k < taken; k++) {
        raft_net_wait(&n, &a[k]);
        cr_assert_eq(a[k].outcome.error, ERR_OK);
    }
    raft_net_settle(&n);
    expect_all_have(&n, 0, taken);
    raft_net_close(&n);
    free(a);
}
