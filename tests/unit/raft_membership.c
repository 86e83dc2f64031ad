/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers, waiting for an index, and changes of the membership. */
#include <criterion/criterion.h>

#include <string.h>

#include "raft-glue/inside.h"
#include "tests/lib/raft_net.h"
#include "tests/lib/raft_sample.h"

TestSuite(raft_membership, .timeout = 60);

static bool all_visible(struct raft_net *n, void *arg)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->nodes[i].up && raft_net_status(n, i).visible_index < *(uint64_t *)arg) {
            return false;
        }
    }
    return true;
}

Test(raft_membership, a_barrier_on_an_idle_cluster_moves_visible_everywhere_within_a_second)
{
    struct raft_net n;
    raft_net_open(&n, 3, false);
    for (unsigned round = 0; round < 5; round++) {
        struct raft_net_answer a = { 0 };
        const unsigned leader = raft_net_leader(&n);
        const uint64_t before = raft_net_status(&n, leader).last_index;
        cr_assert_eq(replica_barrier(n.nodes[leader].replica, raft_net_index, &a), ERR_OK);
        raft_net_wait(&n, &a);
        cr_assert_eq(a.error, ERR_OK);
        cr_assert_eq(a.index, before + 1);
        cr_assert(raft_net_until(&n, 1000, all_visible, &a.index));
    }
    raft_net_close(&n);
}

Test(raft_membership, visible_reaches_the_end_right_after_an_election)
{
    struct raft_net n;
    raft_net_open(&n, 3, false);
    raft_net_kill(&n, raft_net_leader(&n));
    const unsigned leader = raft_net_leader(&n);
    uint64_t last = raft_net_status(&n, leader).last_index;
    cr_assert(raft_net_until(&n, 1000, all_visible, &last));
    raft_net_close(&n);
}

Test(raft_membership, readers_of_one_turn_share_a_barrier)
{
    enum { COUNT = 100 };
    struct raft_net n;
    struct raft_net_answer a[COUNT] = { 0 };
    raft_net_open(&n, 3, false);
    const unsigned leader = raft_net_leader(&n);
    const uint64_t before = raft_net_status(&n, leader).last_index;
    for (unsigned k = 0; k < COUNT; k++) {
        cr_assert_eq(replica_barrier(n.nodes[leader].replica, raft_net_index, &a[k]), ERR_OK);
    }
    for (unsigned k = 0; k < COUNT; k++) {
        raft_net_wait(&n, &a[k]);
        cr_assert_eq(a[k].error, ERR_OK);
        cr_assert_eq(a[k].index, before + 1);
    }
    raft_net_close(&n);
}

Test(raft_membership, an_idle_cluster_appends_nothing_and_runs_nothing)
{
    struct raft_net n;
    raft_net_open(&n, 3, false);
    const unsigned leader = raft_net_leader(&n);
    const struct replica_status before = raft_net_status(&n, leader);
    unsigned busy = 0; /* a tick may just be due */
    for (unsigned k = 0; k < 60; k++) {
        raft_net_run(&n, 7);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert_null(n.nodes[i].jobs);
            busy += uv_backend_timeout(n.nodes[i].loop) == 0 ? 1u : 0u;
        }
    }
    cr_assert_lt(busy, 60, "of 180 looks");
    const struct replica_status after = raft_net_status(&n, leader);
    cr_assert_eq(after.last_index, before.last_index);
    cr_assert_eq(after.term, before.term);
    raft_net_close(&n);
}

Test(raft_membership, a_cut_off_leader_gives_no_barrier)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 3, false);
    const unsigned leader = raft_net_leader(&n);
    raft_net_isolate(&n, leader, true);
    cr_assert_eq(replica_barrier(n.nodes[leader].replica, raft_net_index, &a), ERR_OK);
    raft_net_wait(&n, &a);
    cr_assert_eq(a.error, ERR_NOT_LEADER);
    raft_net_close(&n);
}

Test(raft_membership, waiting_ends_when_the_index_is_committed_in_the_store)
{
    struct raft_net n;
    struct raft_net_answer a, waits[3] = { 0 };
    raft_net_open(&n, 3, false);
    raft_net_create(&n, 1, 10, &a);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(
            replica_wait_visible(n.nodes[i].replica, a.index, 2000, raft_net_index, &waits[i]),
            ERR_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        raft_net_wait(&n, &waits[i]);
        cr_assert_eq(waits[i].error, ERR_OK);
        cr_assert_geq(waits[i].index, a.index);
        cr_assert(raft_sample_has(n.nodes[i].store, 1), "member %u", i);
    }
    struct raft_net_answer at_once = { 0 };
    cr_assert_eq(replica_wait_visible(n.nodes[0].replica, a.index, 1, raft_net_index, &at_once),
                 ERR_OK);
    cr_assert_eq(at_once.calls, 1);
    raft_net_close(&n);
}

Test(raft_membership, waiting_has_a_time_limit_and_a_bound)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 1, false);
    struct replica *r = n.nodes[0].replica;
    cr_assert_eq(replica_wait_visible(r, 1000000, 50, raft_net_index, &a), ERR_OK);
    raft_net_wait(&n, &a);
    cr_assert_eq(a.error, ERR_TIMEOUT);
    struct raft_net_answer many = { 0 };
    for (unsigned k = 0; k < LIMIT_INDEX_WAITERS; k++) {
        cr_assert_eq(replica_wait_visible(r, 1000000, 100, raft_net_index, &many), ERR_OK);
    }
    cr_assert_eq(replica_wait_visible(r, 1000000, 100, raft_net_index, &many), ERR_BUSY);
    raft_net_run(&n, 300);
    cr_assert_eq(many.calls, LIMIT_INDEX_WAITERS);
    raft_net_close(&n);
}

static enum replica_vote vote_of(struct raft_net *n, unsigned at, uint64_t id)
{
    struct replica_server s[LIMIT_MEMBERS];
    const unsigned count = replica_servers(n->nodes[at].replica, s, LIMIT_MEMBERS);
    for (unsigned i = 0; i < count; i++) {
        if (s[i].raft_id == id) {
            return s[i].vote;
        }
    }
    cr_assert_fail("member is not there");
    return REPLICA_SPARE;
}

static void expect_change(struct raft_net *n, enum err begun, struct raft_net_answer *a)
{
    cr_assert_eq(begun, ERR_OK);
    raft_net_wait(n, a);
    cr_assert_eq(a->error, ERR_OK, "%s", err_name(a->error));
    cr_assert_gt(a->index, 0);
    *a = (struct raft_net_answer){ 0 };
}

Test(raft_membership, a_fourth_member_is_added_as_standby_made_voter_and_removed)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 3, false);
    for (uint32_t k = 0; k < 30; k++) {
        raft_net_create(&n, k, 2000, &a);
    }
    a = (struct raft_net_answer){ 0 };
    n.count = 4;
    raft_net_start(&n, 3, false);
    const unsigned leader = raft_net_leader(&n);
    struct replica *r = n.nodes[leader].replica;
    struct raft_net_node *fourth = &n.nodes[3];
    expect_change(&n, replica_add(r, fourth->raft_id, fourth->address, raft_net_index, &a), &a);
    cr_assert_eq(vote_of(&n, leader, fourth->raft_id), REPLICA_STANDBY);
    raft_net_settle(&n);
    cr_assert_eq(raft_sample_objects(fourth->store), 30);
    expect_change(&n, replica_assign(r, fourth->raft_id, REPLICA_VOTER, raft_net_index, &a), &a);
    cr_assert_eq(vote_of(&n, leader, fourth->raft_id), REPLICA_VOTER);
    raft_net_settle(&n);
    expect_change(&n, replica_remove(r, fourth->raft_id, raft_net_index, &a), &a);
    cr_assert_eq(raft_net_status(&n, leader).servers, 3);
    raft_net_kill(&n, 3);
    raft_net_create(&n, 99, 10, &a);
    raft_net_settle(&n);
    raft_net_close(&n);
}

Test(raft_membership, changes_go_one_at_a_time_and_repeats_are_harmless)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 }, b = { 0 };
    raft_net_open(&n, 3, false);
    n.count = 4;
    raft_net_start(&n, 3, false);
    struct replica *r = n.nodes[raft_net_leader(&n)].replica;
    const struct raft_net_node *m = &n.nodes[3];
    const enum err begun = replica_add(r, m->raft_id, m->address, raft_net_index, &a);
    cr_assert_eq(replica_remove(r, 1, raft_net_index, &b), ERR_BUSY);
    cr_assert_eq(replica_add(r, 77, "elsewhere:1", raft_net_index, &b), ERR_BUSY);
    expect_change(&n, begun, &a);
    expect_change(&n, replica_add(r, m->raft_id, m->address, raft_net_index, &a), &a);
    expect_change(&n, replica_assign(r, m->raft_id, REPLICA_STANDBY, raft_net_index, &a), &a);
    cr_assert_eq(replica_add(r, m->raft_id, "elsewhere:1", raft_net_index, &b), ERR_EXISTS);
    cr_assert_eq(replica_add(r, 77, m->address, raft_net_index, &b), ERR_EXISTS);
    cr_assert_eq(replica_remove(r, 77, raft_net_index, &b), ERR_NOTFOUND);
    cr_assert_eq(replica_assign(r, 77, REPLICA_VOTER, raft_net_index, &b), ERR_NOTFOUND);
    cr_assert_eq(b.calls, 0);
    raft_net_close(&n);
}

Test(raft_membership, the_last_voter_stays)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 1, false);
    cr_assert_eq(replica_remove(n.nodes[0].replica, 1, raft_net_index, &a), ERR_REFUSED);
    cr_assert_eq(replica_assign(n.nodes[0].replica, 1, REPLICA_STANDBY, raft_net_index, &a),
                 ERR_REFUSED);
    raft_net_close(&n);
}

Test(raft_membership, a_leader_can_remove_itself)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 3, false);
    const unsigned old = raft_net_leader(&n);
    struct raft_net_node *gone = &n.nodes[old];
    expect_change(&n, replica_remove(gone->replica, gone->raft_id, raft_net_index, &a), &a);
    raft_net_run(&n, 50);
    raft_net_kill(&n, old);
    cr_assert_neq(raft_net_leader(&n), old);
    raft_net_create(&n, 5, 5, &a);
    raft_net_settle(&n);
    raft_net_close(&n);
}

Test(raft_membership, a_change_at_a_cut_off_leader_has_an_unknown_outcome)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 3, false);
    const unsigned old = raft_net_leader(&n);
    raft_net_isolate(&n, old, true);
    cr_assert_eq(replica_add(n.nodes[old].replica, 55, "far:1", raft_net_index, &a), ERR_OK);
    raft_net_wait(&n, &a);
    cr_assert_eq(a.error, ERR_UNKNOWN_OUTCOME);
    raft_net_create(&n, 1, 1, &a); /* by the others: the change is rolled back */
    raft_net_isolate(&n, old, false);
    raft_net_settle(&n);
    cr_assert_eq(raft_net_status(&n, old).servers, 3);
    raft_net_close(&n);
}

static bool has_stored_all(struct raft_net *n, void *arg)
{
    const unsigned i = *(unsigned *)arg;
    return n->nodes[i].replica->fences.appends == NULL;
}

/* B12: libraft forgets at a restart that its newest configuration may be undone. */
Test(raft_membership, b12_a_change_that_was_never_committed_is_rolled_back_after_a_restart)
{
    struct raft_net n;
    struct raft_net_answer a = { 0 };
    raft_net_open(&n, 3, false);
    unsigned old = raft_net_leader(&n);
    raft_net_isolate(&n, old, true);
    cr_assert_eq(replica_add(n.nodes[old].replica, 55, "far:1", raft_net_index, &a), ERR_OK);
    cr_assert(raft_net_until(&n, 1000, has_stored_all, &old));
    raft_net_kill(&n, old);
    raft_net_create(&n, 1, 1, &a);
    raft_net_isolate(&n, old, false);
    raft_net_start(&n, old, false);
    cr_assert_eq(raft_net_status(&n, old).servers, 4);
    raft_net_settle(&n);
    cr_assert_eq(raft_net_status(&n, old).servers, 3);
    raft_net_close(&n);
}

Test(raft_membership, bootstrap_only_once)
{
    struct raft_net n;
    raft_net_open(&n, 1, false);
    cr_assert_eq(raft_net_status(&n, 0).role, REPLICA_LEADER);
    raft_net_kill(&n, 0);
    n.bootstrap = ERR_EXISTS;
    raft_net_start(&n, 0, true);
    cr_assert_eq(replica_bootstrap(n.nodes[0].replica), ERR_EXISTS);
    raft_net_settle(&n);
    raft_net_close(&n);
}

static bool has_fallen_behind(struct raft_net *n, void *arg)
{
    const unsigned i = *(unsigned *)arg;
    const struct replica_status s = raft_net_status(n, i);
    return s.contact_ms < 200 && s.last_index > s.visible_index;
}

Test(raft_membership, a_follower_whose_applier_is_behind_keeps_its_leader_and_its_bound)
{
    enum { COUNT = 900 }; /* of 64 KB: more than LIMIT_APPLY_QUEUE */
    struct raft_net n;
    struct raft_net_answer a;
    raft_net_open(&n, 3, false);
    const unsigned leader = raft_net_leader(&n);
    unsigned slow = (leader + 1) % 3;
    n.nodes[slow].hold = true;
    for (uint32_t k = 0; k < COUNT; k++) {
        raft_net_create(&n, k, 65000, &a);
        cr_assert_eq(a.outcome.error, ERR_OK);
    }
    cr_assert(raft_net_until(&n, 5000, has_fallen_behind, &slow));
    const uint64_t stuck = raft_net_status(&n, slow).last_index;
    const uint64_t end = raft_net_status(&n, leader).last_index;
    cr_assert_lt(stuck, end - 100, "it took %lu of %lu", stuck, end);
    raft_net_run(&n, 1000);
    cr_assert_eq(raft_net_status(&n, slow).last_index, stuck);
    cr_assert_eq(raft_net_leader(&n), leader);
    n.nodes[slow].hold = false;
    raft_net_settle(&n);
    cr_assert_eq(raft_sample_objects(n.nodes[slow].store), COUNT);
    raft_net_close(&n);
}
