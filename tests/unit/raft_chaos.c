/* SPDX-License-Identifier: Apache-2.0 */
/* Kills, cuts and slow appliers at random, with proposals all the while: what was
 * acknowledged is there afterwards, once, on every member. Real time, so a seed is
 * a starting point, not a replay (tests/sim is for that). */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "tests/lib/raft_net.h"
#include "tests/lib/raft_sample.h"

TestSuite(raft_chaos, .timeout = 60);

enum { MEMBERS = 3, OBJECTS = 4000, FLIGHT = 24, RUN_MS = 8000 };

struct client {
    struct raft_net *net;
    struct raft_net_answer flight[FLIGHT];
    uint32_t number[FLIGHT]; /* object of the flight; 0 none */
    unsigned owner[FLIGHT];  /* member that was asked */
    bool acknowledged[OBJECTS];
    uint32_t next;
    unsigned acks, unknown;
    uint64_t random;
};

static uint64_t draw(struct client *c, uint64_t below)
{
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return (c->random >> 33) % below;
}

static void settle_flight(struct client *c, unsigned k)
{
    const struct raft_net_answer *a = &c->flight[k];
    if (c->number[k] == 0 || a->calls == 0) {
        return;
    }
    cr_assert_eq(a->calls, 1);
    if (a->error == ERR_OK) {
        cr_assert_eq(a->outcome.error, ERR_OK, "object %u", c->number[k]);
        c->acknowledged[c->number[k]] = true;
        c->acks++;
    } else {
        c->unknown += a->error == ERR_UNKNOWN_OUTCOME ? 1u : 0u;
    }
    c->number[k] = 0;
}

/* Some proposals go to members that only believe that they lead. */
static void propose_some(struct client *c)
{
    const unsigned at = (unsigned)draw(c, MEMBERS);
    for (unsigned k = 0; k < FLIGHT; k++) {
        settle_flight(c, k);
        if (c->number[k] != 0 || c->next >= OBJECTS || !c->net->nodes[at].up) {
            continue;
        }
        BUF_SCOPED command = { 0 };
        raft_sample_object(&command, c->next, (size_t)draw(c, 900));
        c->flight[k] = (struct raft_net_answer){ 0 };
        const enum err e = replica_propose(c->net->nodes[at].replica, buf_bytes(&command),
                                           raft_net_outcome, &c->flight[k]);
        if (e == ERR_OK) {
            c->number[k] = c->next++;
            c->owner[k] = at;
        }
    }
}

/* What a killed member owed will not come. */
static void forget_flights(struct client *c, unsigned owner)
{
    for (unsigned k = 0; k < FLIGHT; k++) {
        settle_flight(c, k);
        c->number[k] = c->owner[k] == owner ? 0 : c->number[k];
    }
}

static void harm(struct client *c)
{
    struct raft_net *n = c->net;
    const unsigned i = (unsigned)draw(c, MEMBERS);
    switch (draw(c, 6)) {
        case 0:
        case 1:
            if (n->nodes[i].up) {
                raft_net_kill(n, i);
                forget_flights(c, i);
            }
            break;
        case 2: raft_net_isolate(n, i, true); break;
        case 3: raft_net_cut(n, i, (i + 1) % MEMBERS, true); break;
        case 4: n->nodes[i].hold = true; break;
        default: break;
    }
}

static void heal(struct client *c)
{
    struct raft_net *n = c->net;
    for (unsigned i = 0; i < MEMBERS; i++) {
        raft_net_isolate(n, i, false);
        n->nodes[i].hold = false;
        if (!n->nodes[i].up) {
            raft_net_start(n, i, false);
        }
    }
}

static void check(struct client *c)
{
    struct raft_net *n = c->net;
    raft_net_settle(n);
    for (unsigned k = 0; k < FLIGHT; k++) {
        settle_flight(c, k);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        cr_assert_geq(raft_sample_objects(n->nodes[i].store), c->acks);
        for (uint32_t k = 1; k < c->next; k++) {
            cr_assert(!c->acknowledged[k] || raft_sample_has(n->nodes[i].store, k),
                      "member %u lost object %u", i, k);
        }
    }
}

static void run(uint64_t seed)
{
    static struct client c;
    struct raft_net n;
    raft_net_open(&n, MEMBERS, false);
    c = (struct client){ .net = &n, .next = 1, .random = seed * 2654435761u };
    const uint64_t end = clock_mono_ms(clock_system()) + RUN_MS;
    while (clock_mono_ms(clock_system()) < end) {
        for (unsigned k = (unsigned)draw(&c, 60); k > 0; k--) {
            propose_some(&c);
            raft_net_run(&n, 5);
        }
        harm(&c);
        if (draw(&c, 3) == 0) {
            raft_net_run(&n, (unsigned)draw(&c, 500));
            heal(&c);
        }
    }
    heal(&c);
    check(&c);
    (void)fprintf(stderr, "seed %lu: %u acknowledged, %u unknown\n", seed, c.acks, c.unknown);
    cr_assert_gt(c.acks, 50);
    raft_net_close(&n);
}

Test(raft_chaos, acknowledged_commands_survive_seed_1)
{
    run(1);
}

Test(raft_chaos, acknowledged_commands_survive_seed_2)
{
    run(2);
}

Test(raft_chaos, acknowledged_commands_survive_a_seed_of_the_environment)
{
    const char *seed = getenv("RAFT_CHAOS_SEED");
    run(seed == NULL ? 3 : strtoul(seed, NULL, 10));
}
