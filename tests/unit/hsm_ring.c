/* SPDX-License-Identifier: Apache-2.0 */
/* The ring, both sides in one process, and core_client over it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "hsm-sim/core_client.h"
#include "hsm-sim/ring_test.h"

#define TIMEOUT .timeout = 60

static struct ring *door, *worker;
static int fds[3];
static uint8_t room[LIMIT_RING_LARGE];
static struct buf reply;

static struct ring *attach(bool as_worker)
{
    struct ring *r = NULL;
    int mine[3];
    for (unsigned i = 0; i < 3; i++) {
        mine[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    }
    cr_assert_eq(ring_attach(mine, as_worker, &r), ERR_OK);
    return r;
}

static void open_ring(void)
{
    cr_assert_eq(ring_create(fds), ERR_OK);
    door = attach(false);
    worker = attach(true);
    ring_worker_start(worker);
    cr_assert(ring_worker_changed(door));
}

static void close_ring(void)
{
    ring_detach(door);
    ring_detach(worker);
    for (unsigned i = 0; i < 3; i++) {
        close(fds[i]);
    }
    buf_drop(&reply);
}

static struct bytes filled(size_t size, uint8_t with)
{
    static uint8_t bytes[LIMIT_RING_LARGE + 1];
    memset(bytes, with, size);
    return bytes_of(bytes, size);
}

TestSuite(hsm_ring, .init = open_ring, .fini = close_ring, TIMEOUT);

Test(hsm_ring, request_and_reply_pass)
{
    size_t size = 0;
    unsigned slot = 0, token = 0, done = 99;
    cr_assert_eq(ring_submit(door, filled(500, 3), &slot), ERR_OK);
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    cr_expect_eq(size, 500);
    cr_expect_eq(room[499], 3);
    cr_expect_eq(ring_take(worker, room, &size, &token), ERR_NOTFOUND);
    cr_assert_eq(ring_reply(worker, token, filled(64, 9)), ERR_OK);
    cr_assert_eq(ring_complete(door, &done, &reply), ERR_OK);
    cr_expect_eq(done, slot);
    cr_expect_eq(reply.size, 64);
    cr_expect_eq(reply.data[63], 9);
    cr_expect_eq(ring_complete(door, &done, &reply), ERR_NOTFOUND);
}

Test(hsm_ring, sizes_choose_the_slot)
{
    unsigned slot = 0;
    cr_expect_eq(ring_submit(door, filled(LIMIT_RING_SMALL, 1), &slot), ERR_OK);
    cr_expect_lt(slot, LIMIT_RING_SMALL_SLOTS);
    cr_expect_eq(ring_submit(door, filled(LIMIT_RING_SMALL + 1, 1), &slot), ERR_OK);
    cr_expect_geq(slot, LIMIT_RING_SMALL_SLOTS);
    cr_expect_eq(ring_submit_sized(door, filled(100, 1), LIMIT_RING_SMALL + 1, &slot), ERR_OK);
    cr_expect_geq(slot, LIMIT_RING_SMALL_SLOTS);
    cr_expect_eq(ring_submit(door, filled(LIMIT_RING_LARGE, 1), &slot), ERR_OK);
    cr_expect_eq(ring_submit(door, filled(LIMIT_RING_LARGE + 1, 1), &slot), ERR_TOO_LARGE);
}

Test(hsm_ring, full_is_busy_and_frees_again)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    for (unsigned i = 0; i < LIMIT_RING_SMALL_SLOTS; i++) {
        cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    }
    cr_expect_eq(ring_submit(door, filled(100, 1), &slot), ERR_BUSY);
    for (unsigned i = 0; i < LIMIT_RING_LARGE_SLOTS; i++) {
        cr_assert_eq(ring_submit(door, filled(5000, 1), &slot), ERR_OK);
    }
    cr_expect_eq(ring_submit(door, filled(5000, 1), &slot), ERR_BUSY);
    for (unsigned i = 0; i < LIMIT_RING_SMALL_SLOTS + LIMIT_RING_LARGE_SLOTS; i++) {
        cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
        cr_assert_eq(ring_reply(worker, token, filled(100, 2)), ERR_OK);
        cr_assert_eq(ring_complete(door, &slot, &reply), ERR_OK);
    }
    cr_expect_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
}

Test(hsm_ring, indexes_wrap)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    for (unsigned i = 0; i < 5000; i++) {
        cr_assert_eq(ring_submit(door, filled(96 + i % 4000, (uint8_t)i), &slot), ERR_OK);
        cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
        cr_assert_eq(size, 96 + i % 4000);
        cr_assert_eq(room[size - 1], (uint8_t)i);
        cr_assert_eq(ring_reply(worker, token, bytes_of(room, size)), ERR_OK);
        cr_assert_eq(ring_complete(door, &slot, &reply), ERR_OK);
        cr_assert_eq(reply.data[size - 1], (uint8_t)i);
    }
}

Test(hsm_ring, reply_that_does_not_fit_is_told)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    cr_expect_eq(ring_reply(worker, token, filled(LIMIT_RING_SMALL + 1, 1)), ERR_TOO_LARGE);
    cr_expect_eq(ring_reply(worker, token, filled(64, 1)), ERR_OK);
    cr_expect_eq(ring_reply(worker, token, filled(64, 1)), ERR_NOTFOUND);
}

Test(hsm_ring, broken_entry_or_size_ends_the_worker)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    static const uint32_t wrong[] = { 0, 95, LIMIT_RING_SMALL + 1, UINT32_MAX };
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
        ring_test_break_size(door, slot, wrong[i]);
        cr_expect_eq(ring_take(worker, room, &size, &token), ERR_PROTOCOL);
    }
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    ring_test_break_entry(door, 0xffff);
    cr_expect_eq(ring_take(worker, room, &size, &token), ERR_PROTOCOL);
}

Test(hsm_ring, same_slot_twice_ends_the_worker)
{
    unsigned slot = 0, other = 0, token = 0;
    size_t size = 0;
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    cr_assert_eq(ring_submit(door, filled(100, 1), &other), ERR_OK);
    /* epochs of worker and daemon are 1 here */
    ring_test_break_entry(door, 1ull << 32 | 1u << 16 | slot);
    cr_expect_eq(ring_take(worker, room, &size, &token), ERR_PROTOCOL);
}

Test(hsm_ring, completion_that_nobody_asked_for_is_refused)
{
    unsigned slot = 0;
    ring_test_forge_completion(worker, 5);
    cr_expect_eq(ring_complete(door, &slot, &reply), ERR_PROTOCOL);
}

Test(hsm_ring, new_worker_is_noticed_once_and_all_slots_are_free)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    for (unsigned i = 0; i < LIMIT_RING_SMALL_SLOTS; i++) {
        cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    }
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    struct ring *second = attach(true);
    ring_worker_start(second);
    cr_expect(ring_worker_changed(door));
    cr_expect_not(ring_worker_changed(door));
    cr_expect_eq(ring_take(second, room, &size, &token), ERR_NOTFOUND);
    cr_expect_eq(ring_submit(door, filled(100, 7), &slot), ERR_OK);
    cr_assert_eq(ring_take(second, room, &size, &token), ERR_OK);
    cr_expect_eq(room[0], 7);
    ring_detach(second);
}

/* The daemon gives work before it has seen that the worker is another. */
Test(hsm_ring, request_meant_for_the_dead_worker_is_not_done)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    struct ring *second = attach(true);
    ring_worker_start(second);
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_expect_eq(ring_take(second, room, &size, &token), ERR_NOTFOUND);
    cr_expect(ring_worker_changed(door));
    ring_detach(second);
}

Test(hsm_ring, late_reply_of_the_dead_worker_meets_nobody)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    struct ring *second = attach(true);
    ring_worker_start(second);
    cr_expect(ring_worker_changed(door));
    cr_expect_eq(ring_reply(worker, token, filled(64, 1)), ERR_OK);
    cr_expect_eq(ring_complete(door, &slot, &reply), ERR_NOTFOUND);
    ring_detach(second);
}

Test(hsm_ring, new_daemon_does_not_get_the_old_ones_replies)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    ring_detach(door);
    door = attach(false);
    cr_expect_eq(ring_reply(worker, token, filled(64, 1)), ERR_NOTFOUND);
    cr_assert_eq(ring_submit(door, filled(100, 2), &slot), ERR_OK);
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    cr_expect_eq(ring_reply(worker, token, filled(64, 4)), ERR_OK);
    cr_assert_eq(ring_complete(door, &slot, &reply), ERR_OK);
    cr_expect_eq(reply.data[0], 4);
}

Test(hsm_ring, memory_cannot_change_its_size)
{
    cr_expect_eq(ftruncate(fds[0], 4096), -1);
    cr_expect_eq(ftruncate(fds[0], 1 << 24), -1);
    cr_expect_eq(fcntl(fds[0], F_ADD_SEALS, F_SEAL_WRITE), -1);
}

Test(hsm_ring, unsealed_or_small_memory_is_not_attached)
{
    struct ring *r = NULL;
    int bad[3] = { memfd_create("bad", MFD_CLOEXEC), dup(fds[1]), dup(fds[2]) };
    cr_assert_eq(ftruncate(bad[0], 1 << 22), 0);
    cr_expect_eq(ring_attach(bad, true, &r), ERR_IO);
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) == 1;
}

Test(hsm_ring, sleeper_is_woken_and_nobody_else)
{
    unsigned slot = 0, token = 0;
    size_t size = 0;
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_expect_not(readable(ring_wake_fd(worker)), "an awake worker is not woken");
    cr_expect_not(ring_sleep_begin(worker), "work is there");
    cr_assert_eq(ring_take(worker, room, &size, &token), ERR_OK);
    cr_expect(ring_sleep_begin(worker));
    cr_assert_eq(ring_submit(door, filled(100, 1), &slot), ERR_OK);
    cr_expect(readable(ring_wake_fd(worker)));
    ring_sleep_end(worker, false);
    cr_expect_not(readable(ring_wake_fd(worker)));
    ring_clear_event(door);
    cr_assert_eq(ring_complete(door, &slot, &reply), ERR_NOTFOUND);
    cr_assert_eq(ring_reply(worker, token, filled(64, 1)), ERR_OK);
    cr_expect(readable(ring_event_fd(door)));
    cr_expect_eq(ring_lost_wakeups(door), 0);
}

Test(hsm_ring, wait_is_bounded)
{
    for (unsigned i = 0; i < 3; i++) {
        ring_wait(worker);
    }
    cr_expect_eq(ring_lost_wakeups(worker), 0);
}

/* -- core_client ------------------------------------------------------------------- */

struct seen {
    unsigned count;
    enum err last;
    uint64_t number;
};

static void on_reply(void *arg, enum err e, const struct core_reply *r)
{
    struct seen *s = arg;
    s->count++;
    s->last = e;
    s->number = r != NULL ? r->number : 0;
}

struct client {
    uv_loop_t loop;
    struct core_rings *rings;
    struct ring *worker;
    int fds[3];
};

static void client_open(struct client *c, bool with_worker)
{
    int mine[3];
    cr_assert_eq(uv_loop_init(&c->loop), 0);
    cr_assert_eq(ring_create(c->fds), ERR_OK);
    for (unsigned i = 0; i < 3; i++) {
        mine[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, 3);
    }
    cr_assert_eq(core_rings_open(&c->loop, mine, 1, &c->rings), ERR_OK);
    c->worker = NULL;
    if (with_worker) {
        for (unsigned i = 0; i < 3; i++) {
            mine[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, 3);
        }
        cr_assert_eq(ring_attach(mine, true, &c->worker), ERR_OK);
        ring_worker_start(c->worker);
    }
}

static void client_close(struct client *c)
{
    core_rings_close(c->rings);
    cr_expect_eq(uv_run(&c->loop, UV_RUN_DEFAULT), 0);
    cr_expect_eq(uv_loop_close(&c->loop), 0);
    ring_detach(c->worker);
    for (unsigned i = 0; i < 3; i++) {
        close(c->fds[i]);
    }
}

static unsigned work(struct ring *r, unsigned most)
{
    unsigned done = 0, token = 0;
    size_t size = 0;
    while (done < most && ring_take(r, room, &size, &token) == ERR_OK) {
        uint8_t out[CORE_REPLY_HEAD];
        struct core_request request;
        struct core_reply answer = { 0 };
        cr_assert_eq(core_request_decode(bytes_of(room, size), &request), ERR_OK);
        answer.number = request.number + 1;
        core_reply_encode(&answer, out);
        cr_assert_eq(ring_reply(r, token, bytes_of(out, sizeof out)), ERR_OK);
        done++;
    }
    return done;
}

static void turn(struct client *c)
{
    (void)uv_run(&c->loop, UV_RUN_NOWAIT);
}

Test(hsm_client, call_waits_for_the_first_worker_and_is_answered, TIMEOUT)
{
    struct client c;
    struct seen seen = { 0 };
    struct core_request r = { .verb = CORE_VERIFY, .number = 41 };
    client_open(&c, false);
    cr_assert_eq(core_call(core_rings_core(c.rings), &r, 5000, on_reply, &seen), ERR_OK);
    cr_expect_eq(core_rings_stats(c.rings).in_flight, 1);
    int mine[3];
    for (unsigned i = 0; i < 3; i++) {
        mine[i] = fcntl(c.fds[i], F_DUPFD_CLOEXEC, 3);
    }
    cr_assert_eq(ring_attach(mine, true, &c.worker), ERR_OK);
    ring_worker_start(c.worker);
    turn(&c);
    cr_expect_eq(work(c.worker, 9), 1);
    cr_expect_eq(seen.count, 0);
    turn(&c);
    cr_expect_eq(seen.count, 1);
    cr_expect_eq(seen.last, ERR_OK);
    cr_expect_eq(seen.number, 42);
    cr_expect_eq(core_rings_stats(c.rings).worker_deaths, 0);
    client_close(&c);
}

Test(hsm_client, more_calls_than_slots_are_all_answered, TIMEOUT)
{
    struct client c;
    struct seen seen = { 0 };
    struct core_request r = { .verb = CORE_VERIFY };
    client_open(&c, true);
    turn(&c);
    for (unsigned i = 0; i < 3000; i++) {
        cr_assert_eq(core_call(core_rings_core(c.rings), &r, 50000, on_reply, &seen), ERR_OK);
    }
    while (seen.count < 3000) {
        cr_assert_gt(work(c.worker, 100), 0);
        turn(&c);
    }
    cr_expect_eq(core_rings_stats(c.rings).in_flight, 0);
    client_close(&c);
}

Test(hsm_client, queue_is_bounded, TIMEOUT)
{
    struct client c;
    struct seen seen = { 0 };
    struct core_request r = { .verb = CORE_VERIFY };
    enum err e = ERR_OK;
    unsigned taken = 0;
    client_open(&c, false);
    while (e == ERR_OK && taken < 100000) {
        e = core_call(core_rings_core(c.rings), &r, 50000, on_reply, &seen);
        taken += e == ERR_OK;
    }
    cr_expect_eq(e, ERR_BUSY);
    cr_expect_eq(taken, LIMIT_CORE_WAITING);
    client_close(&c);
    cr_expect_eq(seen.count, taken);
    cr_expect_eq(seen.last, ERR_CANCELLED);
}

Test(hsm_client, time_out_is_told_once_and_the_slot_comes_back, TIMEOUT)
{
    struct client c;
    struct seen seen = { 0 };
    struct core_request r = { .verb = CORE_VERIFY };
    client_open(&c, true);
    turn(&c);
    cr_assert_eq(core_call(core_rings_core(c.rings), &r, 10, on_reply, &seen), ERR_OK);
    while (seen.count == 0) {
        (void)uv_run(&c.loop, UV_RUN_ONCE);
    }
    cr_expect_eq(seen.last, ERR_TIMEOUT);
    cr_expect_eq(work(c.worker, 9), 1);
    turn(&c);
    cr_expect_eq(seen.count, 1);
    cr_expect_eq(core_rings_stats(c.rings).in_flight, 0);
    client_close(&c);
}

static void on_restart(void *arg)
{
    ++*(unsigned *)arg;
}

Test(hsm_client, death_blames_the_oldest_request_alone, TIMEOUT)
{
    struct client c;
    struct seen poison = { 0 }, later = { 0 }, relayed = { 0 };
    unsigned restarts = 0;
    uint8_t bytes[8] = { 6 };
    struct core_request status = { .verb = CORE_STATUS };
    struct core_request bad = { .verb = CORE_VERIFY, .handle = 1 };
    struct core_request good = { .verb = CORE_VERIFY, .handle = 1, .number = 5 };
    bad.section[2] = bytes_of(bytes, sizeof bytes);
    client_open(&c, true);
    core_rings_on_restart(c.rings, on_restart, &restarts);
    turn(&c);
    cr_assert_eq(core_call(core_rings_core(c.rings), &status, 5000, on_reply, &relayed), ERR_OK);
    cr_assert_eq(core_call(core_rings_core(c.rings), &bad, 5000, on_reply, &poison), ERR_OK);
    cr_assert_eq(core_call(core_rings_core(c.rings), &good, 5000, on_reply, &later), ERR_OK);
    ring_worker_start(c.worker); /* as its successor does */
    turn(&c);
    cr_expect_eq(poison.last, ERR_WORKER_DIED);
    cr_expect_eq(later.last, ERR_WORKER_DIED);
    cr_expect_eq(relayed.last, ERR_WORKER_DIED);
    cr_expect_eq(restarts, 1);
    cr_expect_eq(core_rings_stats(c.rings).worker_deaths, 1);
    cr_expect_eq(core_rings_stats(c.rings).quarantined, 1);
    bad.handle = 2; /* a retry differs in handle and request id */
    memset(bad.request_id, 1, sizeof bad.request_id);
    cr_expect_eq(core_call(core_rings_core(c.rings), &bad, 5000, on_reply, &poison),
                 ERR_QUARANTINED);
    cr_expect_eq(core_call(core_rings_core(c.rings), &good, 5000, on_reply, &later), ERR_OK);
    cr_expect_eq(work(c.worker, 9), 1);
    turn(&c);
    cr_expect_eq(later.last, ERR_OK);
    cr_expect_eq(poison.count, 1);
    client_close(&c);
}

Test(hsm_client, worker_that_breaks_the_protocol_is_not_asked_again, TIMEOUT)
{
    struct client c;
    struct seen seen = { 0 };
    struct core_request r = { .verb = CORE_VERIFY };
    client_open(&c, true);
    turn(&c);
    cr_assert_eq(core_call(core_rings_core(c.rings), &r, 50, on_reply, &seen), ERR_OK);
    ring_test_forge_completion(c.worker, 200);
    (void)uv_run(&c.loop, UV_RUN_ONCE);
    cr_expect_eq(seen.last, ERR_WORKER_DIED);
    cr_assert_eq(core_call(core_rings_core(c.rings), &r, 5000, on_reply, &seen), ERR_OK);
    turn(&c);
    cr_expect_eq(seen.count, 1);
    ring_worker_start(c.worker);
    turn(&c);
    cr_expect_eq(work(c.worker, 9), 1);
    turn(&c);
    cr_expect_eq(seen.count, 2);
    cr_expect_eq(seen.last, ERR_OK);
    client_close(&c);
}

Test(hsm_client, what_no_daemon_may_ask_is_refused, TIMEOUT)
{
    struct client c;
    struct seen seen = { 0 };
    static uint8_t big[LIMIT_LABEL + 1];
    struct core_request keys = { .verb = CORE_KEYS }, label = { .verb = CORE_CA_CREATE },
                        none = { .verb = 63 };
    label.section[0] = bytes_of(big, sizeof big);
    client_open(&c, true);
    cr_expect_eq(core_call(core_rings_core(c.rings), &keys, 1, on_reply, &seen), ERR_USAGE);
    cr_expect_eq(core_call(core_rings_core(c.rings), &none, 1, on_reply, &seen), ERR_USAGE);
    cr_expect_eq(core_call(core_rings_core(c.rings), &label, 1, on_reply, &seen), ERR_TOO_LARGE);
    client_close(&c);
    cr_expect_eq(seen.count, 0);
}
