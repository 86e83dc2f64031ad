/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker in a process of its own: the test plays the daemon at the
 * ring and the keeper at the socket. And core_local, the core in one process. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm-sim/core_local.h"
#include "hsm-sim/keeper.h"
#include "hsm-sim/ring_test.h"
#include "hsm-sim/worker_loop.h"

static struct ring *door;
static int keeper;
static pid_t pid;
static struct buf reply_bytes;
static struct core_reply reply;

static void begin(void)
{
    int fds[3], mine[3], pair[2];
    cr_assert_eq(ring_create(fds), ERR_OK);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    pid = fork();
    if (pid == 0) {
        struct worker_loop *loop = NULL;
        close(pair[0]);
        if (worker_loop_open(clock_system(), fds, pair[1], &loop) != ERR_OK) {
            _exit(99);
        }
        int code = worker_loop_run(loop);
        worker_loop_close(loop);
        _exit(code);
    }
    close(pair[1]);
    keeper = pair[0];
    for (unsigned i = 0; i < 3; i++) {
        mine[i] = fds[i];
    }
    cr_assert_eq(ring_attach(mine, false, &door), ERR_OK);
    for (unsigned i = 0; i < 1000 && !ring_worker_changed(door); i++) {
        (void)usleep(10000);
    }
    cr_assert_neq(ring_worker_epoch(door), 0);
}

static int exit_code(void)
{
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    pid = 0;
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void end(void)
{
    if (keeper >= 0) {
        close(keeper);
    }
    if (pid != 0) {
        cr_expect_eq(exit_code(), WORKER_LOOP_RESTART, "the keeper's end is closed");
    }
    ring_detach(door);
    buf_drop(&reply_bytes);
}
TestSuite(hsm_loop, .init = begin, .fini = end, .timeout = 60);

static unsigned submit(unsigned verb, uint64_t number)
{
    struct core_request r = { .verb = verb, .number = number };
    uint8_t bytes[CORE_REQUEST_HEAD];
    unsigned slot = 0;
    core_request_encode(&r, bytes);
    cr_assert_eq(ring_submit_sized(door, bytes_of(bytes, sizeof bytes), 2000, &slot), ERR_OK);
    return slot;
}

static unsigned complete(void)
{
    unsigned slot = 0;
    for (unsigned i = 0; i < 3000; i++) {
        enum err e = ring_complete(door, &slot, &reply_bytes);
        if (e == ERR_OK) {
            cr_assert_eq(core_reply_decode(buf_bytes(&reply_bytes), &reply), ERR_OK);
            return slot;
        }
        cr_assert_eq(e, ERR_NOTFOUND);
        (void)usleep(1000);
    }
    cr_assert_fail("no reply");
    return 0;
}

struct asked {
    uint64_t sequence;
    uint32_t flags;
    struct core_request request;
    uint8_t frame[LIMIT_KEEPER_FRAME];
};

static void keeper_receive(struct asked *a)
{
    struct pollfd p = { .fd = keeper, .events = POLLIN };
    cr_assert_eq(poll(&p, 1, 5000), 1);
    ssize_t n = recv(keeper, a->frame, sizeof a->frame, 0);
    cr_assert_geq(n, (ssize_t)(WORKER_LOOP_FRAME_HEAD + CORE_REQUEST_HEAD));
    a->sequence = get_u64(a->frame);
    a->flags = get_u32(a->frame + 8);
    struct bytes body =
        bytes_of(a->frame + WORKER_LOOP_FRAME_HEAD, (size_t)n - WORKER_LOOP_FRAME_HEAD);
    cr_assert_eq(core_request_decode(body, &a->request), ERR_OK);
}

static void keeper_send(uint64_t sequence, enum err error, uint64_t number, struct bytes section)
{
    uint8_t frame[2048] = { 0 };
    struct core_reply r = { .error = error, .number = number };
    r.section[0] = section;
    put_u64(frame, sequence);
    core_reply_encode(&r, frame + WORKER_LOOP_FRAME_HEAD);
    size_t size = WORKER_LOOP_FRAME_HEAD + core_reply_size(&r);
    cr_assert_eq(send(keeper, frame, size, 0), (ssize_t)size);
}

static const struct bytes none;

Test(hsm_loop, worker_verbs_are_answered)
{
    unsigned slot = submit(CORE_RANDOM, 100);
    cr_expect_eq(complete(), slot);
    cr_expect_eq(reply.error, ERR_OK);
    cr_expect_eq(reply.section[0].size, 100);
}

Test(hsm_loop, keeper_verbs_do_not_hold_up_others)
{
    static struct asked first, second;
    unsigned slow = submit(CORE_STATUS, 0);
    unsigned other = submit(CORE_CHALLENGE, 0);
    unsigned quick = submit(CORE_RANDOM, 10);
    cr_expect_eq(complete(), quick);
    keeper_receive(&first);
    keeper_receive(&second);
    cr_expect_eq(first.request.verb, CORE_STATUS);
    cr_expect_eq(first.flags, 0);
    cr_expect_neq(first.sequence, second.sequence);
    keeper_send(second.sequence, ERR_OK, 2, bytes_of_text("c"));
    cr_expect_eq(complete(), other);
    cr_expect(bytes_equal(reply.section[0], bytes_of_text("c")));
    keeper_send(first.sequence, ERR_WRONG_STATE, 3, none);
    cr_expect_eq(complete(), slow);
    cr_expect_eq(reply.error, ERR_WRONG_STATE);
}

Test(hsm_loop, question_of_the_worker_waits_while_other_answers_pass)
{
    static struct asked relayed, question;
    unsigned slow = submit(CORE_STATUS, 0);
    keeper_receive(&relayed);
    struct core_request r = { .verb = CORE_ATTRIBUTES, .handle = 5 };
    uint8_t bytes[CORE_REQUEST_HEAD];
    unsigned slot = 0;
    core_request_encode(&r, bytes);
    cr_assert_eq(ring_submit(door, bytes_of(bytes, sizeof bytes), &slot), ERR_OK);
    keeper_receive(&question);
    cr_expect_eq(question.request.verb, CORE_KEYS);
    cr_expect_eq(question.request.handle, 5);
    cr_expect_eq(question.flags, WORKER_LOOP_INTERNAL);
    keeper_send(relayed.sequence, ERR_OK, 9, none);
    cr_expect_eq(complete(), slow);
    keeper_send(question.sequence, ERR_LOGIN_REQUIRED, 0, none);
    cr_expect_eq(complete(), slot);
    cr_expect_eq(reply.error, ERR_LOGIN_REQUIRED);
}

Test(hsm_loop, answers_to_nobody_are_dropped)
{
    static struct asked asked;
    uint8_t junk[5] = { 1 };
    unsigned slot = submit(CORE_STATUS, 0);
    keeper_receive(&asked);
    keeper_send(asked.sequence + 1000, ERR_OK, 1, none);
    keeper_send(asked.sequence - 1, ERR_OK, 1, none);
    cr_assert_eq(send(keeper, junk, sizeof junk, 0), 5);
    keeper_send(asked.sequence, ERR_OK, 7, none);
    cr_expect_eq(complete(), slot);
    cr_expect_eq(reply.number, 7);
}

Test(hsm_loop, broken_frame_ends_the_worker)
{
    uint8_t bytes[CORE_REQUEST_HEAD] = { 0 };
    unsigned slot = 0;
    cr_assert_eq(ring_submit(door, bytes_of(bytes, sizeof bytes), &slot), ERR_OK);
    cr_expect_eq(exit_code(), WORKER_LOOP_RESTART);
}

Test(hsm_loop, internal_verb_from_the_daemon_ends_the_worker)
{
    (void)submit(CORE_KEYS, 0);
    cr_expect_eq(exit_code(), WORKER_LOOP_RESTART);
}

Test(hsm_loop, too_large_a_section_is_an_error_reply)
{
    struct core_request r = { .verb = CORE_CA_CREATE };
    uint8_t label[LIMIT_LABEL + 1] = { 0 }, bytes[CORE_REQUEST_HEAD + sizeof label];
    unsigned slot = 0;
    r.section[0] = bytes_of(label, sizeof label);
    core_request_encode(&r, bytes);
    cr_assert_eq(ring_submit(door, bytes_of(bytes, sizeof bytes), &slot), ERR_OK);
    cr_expect_eq(complete(), slot);
    cr_expect_eq(reply.error, ERR_TOO_LARGE);
}

Test(hsm_loop, reply_too_large_for_its_slot_is_an_error_reply)
{
    (void)submit(CORE_RANDOM, 60000);
    (void)complete();
    cr_expect_eq(reply.error, ERR_TOO_LARGE);
}

/* -- core_local ---------------------------------------------------------------------- */

static void on_local(void *arg, enum err e, const struct core_reply *r)
{
    unsigned *count = arg;
    cr_expect_eq(e, ERR_OK, "%s", err_name(e));
    cr_expect_not_null(r);
    ++*count;
}

Test(hsm_local, keeper_and_worker_answer_when_run, .timeout = 60)
{
    char dir[] = "/tmp/hsm_local_XXXXXX";
    struct core_local *l = NULL;
    struct core_request status = { .verb = CORE_STATUS },
                        some = { .verb = CORE_RANDOM, .number = 32 };
    unsigned count = 0;
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(core_local_open(dir, &l), ERR_OK);
    cr_assert_eq(core_call(core_local_core(l), &status, 1000, on_local, &count), ERR_OK);
    cr_assert_eq(core_call(core_local_core(l), &some, 1000, on_local, &count), ERR_OK);
    cr_expect_eq(count, 0);
    cr_expect_eq(core_local_run(l), 2);
    cr_expect_eq(count, 2);
    core_local_close(l);
    static const char *const files[] = { "mtk", "state.0", "state.1" };
    for (unsigned i = 0; i < 3; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}
