/* SPDX-License-Identifier: Apache-2.0 */
/* Each fence alone: real libraft over a raft_io of this file that keeps what is
 * sent and completes writes when told. Names carry the fault (engine.md). */
#include <criterion/criterion.h>

#include <setjmp.h>
#include <string.h>

#include "raft-glue/fences.h"
#include "raft-glue/payload.h"
#include "tests/lib/raft_junk.h"

TestSuite(raft_fences, .timeout = 60);

enum { SENT = 4096, APPENDS = 64, ME = 1, OTHER = 2, THIRD = 3 };

struct sent {
    struct raft_message m;
    struct raft_io_send *req;
    raft_io_send_cb cb;
};

struct append {
    struct raft_io_append *req;
    raft_io_append_cb cb;
};

/* One member and the world as it sees it. */
static struct scene {
    struct fences fences;
    struct raft raft;
    struct raft_fsm fsm;
    struct clock clock;
    uint64_t now_ms;
    bool overloaded;
    unsigned steps;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    struct sent sent[SENT];
    unsigned sent_count;
    struct append appends[APPENDS];
    unsigned append_count, appended;
    uint8_t barrier[8];
    struct raft_buffer change; /* last configuration that was appended */
    unsigned votes, applied;
    raft_term term;
        struct raft_entry *entries; /* what load finds */
    size_t count;
    jmp_buf died;
    bool may_die;
    char reason[160];
} s;

#define EXPECT_FATAL(statement, text)                                                              \
    do {                                                                                           \
        s.may_die = true;                                                                          \
        if (setjmp(s.died) == 0) {                                                                 \
            statement;                                                                             \
            cr_assert_fail("it goes on");                                                          \
        }                                                                                          \
        cr_assert_not_null(strstr(s.reason, (text)));                                              \
    } while (0)

static void on_fatal(void *arg, const char *reason)
{
    (void)arg;
    (void)snprintf(s.reason, sizeof(s.reason), "%s", reason);
    cr_assert(s.may_die, "fatal: %s", reason);
    longjmp(s.died, 1);
}

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static int io_load(struct raft_io *io,
                   raft_term *term,
                   raft_id *vote,
                   struct raft_snapshot **snapshot,
                   raft_index *start,
                   struct raft_entry **entries,
                   size_t *count)
{
    (void)io;
    *term = s.term;
    *vote = 0;
    *snapshot = NULL;
    *start = 1;
    *entries = s.entries;
    *count = s.count;
    return 0;
}

static int io_start(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    (void)io;
    (void)ms;
    s.tick = tick;
    s.recv = recv;
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    (void)io;
    s.term = term;
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id id)
{
    (void)io;
    s.votes += id != 0 ? 1u : 0u;
    return 0;
}

static int io_send(struct raft_io *io,
                   struct raft_io_send *req,
                   const struct raft_message *m,
                   raft_io_send_cb cb)
{
    (void)io;
    cr_assert_lt(s.sent_count, SENT);
    s.sent[s.sent_count++] = (struct sent){ *m, req, cb };
    return 0;
}

static int io_append(struct raft_io *io,
                     struct raft_io_append *req,
                     const struct raft_entry entries[],
                     unsigned n,
                     raft_io_append_cb cb)
{
    (void)io;
    cr_assert_lt(s.append_count, APPENDS);
    s.appends[s.append_count++] = (struct append){ req, cb };
    for (unsigned i = 0; i < n; i++) {
        if (entries[i].type == RAFT_BARRIER) {
            memcpy(s.barrier, entries[i].buf.base, 8);
        }
        if (entries[i].type == RAFT_CHANGE) {
            s.change = entries[i].buf;
        }
    }
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    (void)index;
    return 0;
}

static raft_time io_time(struct raft_io *io)
{
    (void)io;
    return s.now_ms;
}

static int io_random(struct raft_io *io, int low, int high)
{
    (void)io;
    (void)high;
    return low;
}

static uint64_t mono_ns(void *impl)
{
    (void)impl;
    return s.now_ms * 1000000u;
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    (void)fsm;
    (void)buf;
    *result = NULL;
    s.applied++;
    return 0;
}

static void on_step(void *arg)
{
    (void)arg;
    s.steps++;
}

static bool is_overloaded(void *arg)
{
    (void)arg;
    return s.overloaded;
}

/* -- building ------------------------------------------------------------------------------- */

static struct raft_entry make_change(raft_term term)
{
    struct raft_configuration c;
    struct raft_entry e = { .term = term, .type = RAFT_CHANGE };
    raft_configuration_init(&c);
    cr_assert_eq(raft_configuration_add(&c, ME, "one", RAFT_VOTER), 0);
    cr_assert_eq(raft_configuration_add(&c, OTHER, "two", RAFT_VOTER), 0);
    cr_assert_eq(raft_configuration_add(&c, THIRD, "three", RAFT_VOTER), 0);
    cr_assert_eq(raft_configuration_encode(&c, &e.buf), 0);
    raft_configuration_close(&c);
    return e;
}

/* A command of `size` bytes in its own buffer. */
static struct raft_entry make_command(raft_term term, raft_index index, size_t size)
{
    static const uint8_t zeros[300000];
    struct raft_entry e = { .term = term, .type = RAFT_COMMAND };
    e.buf.len = payload_size(size);
    e.buf.base = raft_malloc(e.buf.len);
    payload_write(e.buf.base, bytes_of(zeros, size));
    payload_set_index(e.buf.base, index);
    return e;
}

/* Entry 1 is the configuration; commands of term 1 follow up to `last`. */
static void set_log(raft_index last, size_t size)
{
    s.entries = raft_calloc(last, sizeof(*s.entries));
    s.count = last;
    s.term = 1;
    s.entries[0] = make_change(1);
    for (raft_index i = 2; i <= last; i++) {
        s.entries[i - 1] = make_command(1, i, size);
    }
}

static void prepare(void)
{
    struct fences *f = &s.fences;
    s.clock = (struct clock){ mono_ns, mono_ns, mono_ns, NULL };
    s.now_ms = 1000;
    f->io = (struct raft_io){ .version = 1,
                              .init = io_init,
                              .load = io_load,
                              .start = io_start,
                              .set_term = io_set_term,
                              .set_vote = io_set_vote,
                              .send = io_send,
                              .append = io_append,
                              .truncate = io_truncate,
                              .time = io_time,
                              .random = io_random };
    f->raft = &s.raft;
    f->clock = &s.clock;
    f->step = on_step;
    f->overloaded = is_overloaded;
    f->fatal = on_fatal;
    fences_wrap(f);
    s.fsm = (struct raft_fsm){ .version = 1, .apply = fsm_apply };
    cr_assert_eq(raft_init(&s.raft, &f->io, &s.fsm, ME, "one"), 0);
    raft_set_election_timeout(&s.raft, 100);
    raft_set_heartbeat_timeout(&s.raft, 20);
    raft_set_pre_vote(&s.raft, true);
    raft_set_snapshot_threshold(&s.raft, 1000000);
}

static void start_with(raft_index last, size_t size)
{
    set_log(last, size);
    prepare();
    cr_assert_eq(raft_start(&s.raft), 0);
    fences_started(&s.fences);
}

static void start(raft_index last)
{
    start_with(last, 8);
}

/* -- driving ---------------------------------------------------------------------------------- */

static void complete_appends(void)
{
    while (s.appended < s.append_count) {
        const struct append a = s.appends[s.appended++];
        a.cb(a.req, 0);
    }
}

static void complete_sends(unsigned from)
{
    for (unsigned i = from; i < s.sent_count; i++) {
        if (s.sent[i].cb != NULL) {
            s.sent[i].cb(s.sent[i].req, 0);
            s.sent[i].cb = NULL;
        }
    }
}

static void receive(struct raft_message *m, raft_id from)
{
    m->server_id = from;
    m->server_address = from == OTHER ? "two" : "three";
    s.recv(&s.fences.io, m);
}

/* AppendEntries with `n` commands of `entry_term` after prev; one batch, as raft_uv
 * decodes them. */
static void receive_entries(raft_id from,
                            raft_term term,
                            raft_index prev,
                            raft_term prev_term,
                            unsigned n,
                            raft_term entry_term,
                            raft_index commit)
{
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES };
    struct raft_append_entries *a = &m.append_entries;
    const size_t size = payload_size(8);
    *a = (struct raft_append_entries){ .term = term,
                                       .prev_log_index = prev,
                                       .prev_log_term = prev_term,
                                       .leader_commit = commit,
                                       .n_entries = n };
    if (n > 0) {
        uint8_t *batch = raft_calloc(n, size);
        a->entries = raft_calloc(n, sizeof(*a->entries));
        for (unsigned i = 0; i < n; i++) {
            uint8_t *at = batch + i * size;
            payload_write(at, bytes_of("command!", 8));
            payload_set_index(at, prev + 1 + i);
            a->entries[i] = (struct raft_entry){ entry_term, RAFT_COMMAND, { at, size }, batch };
        }
    }
    receive(&m, from);
}

static void receive_ack(raft_id from, raft_index last)
{
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES_RESULT };
    m.append_entries_result.term = s.raft.current_term;
    m.append_entries_result.last_log_index = last;
    receive(&m, from);
}

static const struct raft_message *last_sent(unsigned short type)
{
    for (unsigned i = s.sent_count; i > 0; i--) {
        if (s.sent[i - 1].m.type == type) {
            return &s.sent[i - 1].m;
        }
    }
    cr_assert_fail("nothing of that type was sent");
    return NULL;
}

static unsigned count_sent(unsigned short type, unsigned from)
{
    unsigned n = 0;
    for (unsigned i = from; i < s.sent_count; i++) {
        n += s.sent[i].m.type == type ? 1u : 0u;
    }
    return n;
}

static void tick(uint64_t ms)
{
    s.now_ms += ms;
    s.tick(&s.fences.io);
}

static void receive_vote(raft_id from, bool pre_vote)
{
    struct raft_message m = { .type = RAFT_IO_REQUEST_VOTE_RESULT };
    m.request_vote_result.term = pre_vote ? s.raft.current_term + 1 : s.raft.current_term;
    m.request_vote_result.vote_granted = true;
    m.request_vote_result.pre_vote = pre_vote ? raft_tribool_true : raft_tribool_false;
    receive(&m, from);
}

static void become_leader(void)
{
    tick(250);
    cr_assert_eq(s.raft.state, RAFT_CANDIDATE);
    receive_vote(OTHER, true);
    receive_vote(OTHER, false);
    cr_assert_eq(s.raft.state, RAFT_LEADER);
}

Test(raft_fences, b1_no_ack_counts_before_the_own_barrier_is_stored)
{
    start(5);
    become_leader();
    cr_assert_eq(raft_last_index(&s.raft), 6, "the barrier is there at once");
    cr_assert_not(s.fences.leader_ready);
    receive_ack(OTHER, 5);
    receive_ack(THIRD, 5);
    cr_assert_eq(s.raft.commit_index, 1, "old entries must not be committed by counting");
    for (unsigned i = 0; i < 3; i++) {
        if (s.raft.configuration.servers[i].id != ME) {
            cr_assert(s.raft.leader_state.progress[i].recent_recv, "contact is not hidden");
        }
    }
    complete_appends();
    cr_assert_eq(s.raft.commit_index, 1);
    receive_ack(OTHER, 6);
    cr_assert_eq(s.raft.commit_index, 6);
    cr_assert(s.fences.leader_ready);
}

Test(raft_fences, b1_the_gate_is_shut_again_after_a_loss_of_leadership)
{
    start(5);
    become_leader();
    complete_appends();
    receive_ack(OTHER, 6);
    cr_assert(s.fences.leader_ready);
    receive_entries(OTHER, s.raft.current_term + 1, 6, s.raft.current_term, 0, 0, 6);
    cr_assert_eq(s.raft.state, RAFT_FOLLOWER);
    cr_assert_not(s.fences.leader_ready);
    become_leader();
    cr_assert_eq(raft_last_index(&s.raft), 7);
    cr_assert_not(s.fences.leader_ready);
}

Test(raft_fences, b2_a_heartbeat_is_not_answered_with_a_stale_tail)
{
    start(8); /* 6..8 may be a tail that the new leader does not have */
    receive_entries(OTHER, 2, 5, 1, 0, 0, 0);
    const struct raft_message *m = last_sent(RAFT_IO_APPEND_ENTRIES_RESULT);
    cr_assert_eq(m->append_entries_result.rejected, 0);
    cr_assert_eq(m->append_entries_result.last_log_index, 5);
}

Test(raft_fences, b2_a_write_speaks_for_itself_only)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 2, 2, 0);
    receive_entries(OTHER, 2, 7, 2, 3, 2, 0);
    cr_assert_eq(s.append_count, 2);
    complete_appends();
    unsigned seen = 0;
    for (unsigned i = 0; i < s.sent_count; i++) {
        if (s.sent[i].m.type == RAFT_IO_APPEND_ENTRIES_RESULT) {
            const raft_index expected = seen++ == 0 ? 7 : 10;
            cr_assert_eq(s.sent[i].m.append_entries_result.last_log_index, expected);
        }
    }
    cr_assert_eq(seen, 2);
}

Test(raft_fences, b2_a_rejection_keeps_its_hint)
{
    start(5);
    receive_entries(OTHER, 2, 9, 1, 0, 0, 0);
    const struct raft_message *m = last_sent(RAFT_IO_APPEND_ENTRIES_RESULT);
    cr_assert_eq(m->append_entries_result.rejected, 9);
    cr_assert_eq(m->append_entries_result.last_log_index, 5);
}

Test(raft_fences, b3_a_write_of_an_old_term_is_no_answer_to_a_new_leader)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 2, 2, 0);
    receive_entries(THIRD, 3, 5, 1, 0, 0, 0); /* a new leader, before the write ends */
    const unsigned before = s.sent_count;
    complete_appends();
    cr_assert_eq(count_sent(RAFT_IO_APPEND_ENTRIES_RESULT, before), 0);
}

/* -- B4: votes
 * ---------------------------------------------------------------------------------------- */

static void request_vote(raft_id from, raft_id candidate, raft_term term)
{
    struct raft_message m = { .type = RAFT_IO_REQUEST_VOTE };
    m.request_vote = (struct raft_request_vote){ .term = term,
                                                 .candidate_id = candidate,
                                                 .last_log_index = 100,
                                                 .last_log_term = 1,
                                                 .disrupt_leader = true };
    receive(&m, from);
}

Test(raft_fences, b4_one_vote_a_term)
{
    start(5);
    request_vote(OTHER, OTHER, 7);
    cr_assert_eq(s.raft.voted_for, OTHER);
    const unsigned before = s.sent_count;
    request_vote(THIRD, THIRD, 7);
    cr_assert_eq(s.raft.voted_for, OTHER);
    cr_assert_eq(s.sent_count, before);
    request_vote(OTHER, OTHER, 7); /* the same once more is answered */
    cr_assert_eq(s.sent_count, before + 1);
    request_vote(THIRD, THIRD, 8);
    cr_assert_eq(s.raft.voted_for, THIRD);
}

Test(raft_fences, a_candidate_is_who_its_connection_says)
{
    start(5);
    request_vote(OTHER, THIRD, 7);
    cr_assert_eq(s.votes, 0);
    cr_assert_eq(s.sent_count, 0);
}

Test(raft_fences, b4_a_second_vote_on_disk_is_fatal)
{
    start(5);
    request_vote(OTHER, OTHER, 7);
    EXPECT_FATAL((void)s.fences.io.set_vote(&s.fences.io, THIRD), "second vote");
}

/* -- B6, B5, B19: the load
 * ------------------------------------------------------------------------------- */

Test(raft_fences, b6_a_renumbered_command_is_found_at_load)
{
    set_log(6, 8);
    payload_set_index(s.entries[4].buf.base, 4);
    prepare();
    cr_assert_eq(raft_start(&s.raft), RAFT_CORRUPT);
    cr_assert_not_null(strstr(s.fences.text, "entry 5"), "%s", s.fences.text);
}

Test(raft_fences, b19_a_renumbered_barrier_is_found_at_load)
{
    set_log(6, 8);
    raft_free(s.entries[3].buf.base);
    s.entries[3].type = RAFT_BARRIER;
    s.entries[3].buf = (struct raft_buffer){ raft_calloc(1, 8), 8 };
    prepare();
    cr_assert_eq(raft_start(&s.raft), RAFT_CORRUPT);
    cr_assert_not_null(strstr(s.fences.text, "entry 4"), "%s", s.fences.text);
}

Test(raft_fences, b5_a_log_that_ends_below_the_store_is_refused)
{
    set_log(6, 8);
    prepare();
    s.fences.store_index = 7;
    cr_assert_eq(raft_start(&s.raft), RAFT_CORRUPT);
    cr_assert_not_null(strstr(s.fences.text, "lost entries"), "%s", s.fences.text);
    set_log(6, 8);
    s.fences.store_index = 6;
    cr_assert_eq(raft_start(&s.raft), 0);
}

Test(raft_fences, b19_no_heap_bytes_leave_in_barriers_and_configurations)
{
    static struct raft_change change;
    raft_junk_use();
    start(5);
    become_leader();
    cr_assert_eq(get_u64(s.barrier), 6);
    complete_appends();
    receive_ack(OTHER, 6);
    cr_assert_eq(raft_add(&s.raft, &change, 9, "nine9", NULL), 0);
    /* Encoded: u8, u64, then per server u64, text and its zero, u8. */
    const size_t used = 1 + 8 + 4 * (8 + 1 + 1) + 3 + 3 + 5 + 5;
    cr_assert_gt(s.change.len, used);
    const uint8_t *data = s.change.base;
    cr_assert_eq(data[used - 1], RAFT_SPARE);
    cr_assert(bytes_all_zero(bytes_of(data + used, s.change.len - used)));
}

/* -- B7: what is not survived
 * --------------------------------------------------------------------------- */

Test(raft_fences, b7_a_failed_write_is_fatal)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 1, 2, 0);
    EXPECT_FATAL(s.appends[0].cb(s.appends[0].req, RAFT_IOERR), "write to the log failed");
}

Test(raft_fences, a_stalled_disk_is_fatal_after_its_limit)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 1, 2, 0);
    tick(LIMIT_DISK_STALL_MS);
    EXPECT_FATAL(tick(1), "disk does not answer");
}

Test(raft_fences, an_engine_that_gave_up_is_fatal)
{
    start(5);
    s.raft.state = RAFT_UNAVAILABLE;
    EXPECT_FATAL(tick(1), "gave up");
}

/* -- B8, B11: no candidate with a tail that is not on disk
 * --------------------------------------------------- */

Test(raft_fences, b11_no_election_while_a_write_is_in_flight)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 1, 2, 0);
    tick(500);
    tick(500);
    cr_assert_eq(s.raft.state, RAFT_FOLLOWER);
    complete_appends();
    tick(500);
    cr_assert_eq(s.raft.state, RAFT_CANDIDATE);
}

Test(raft_fences, b8_no_timeout_now_while_a_write_is_in_flight)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 1, 2, 0);
    struct raft_message m = { .type = RAFT_IO_TIMEOUT_NOW };
    m.timeout_now = (struct raft_timeout_now){ 2, 6, 2 };
    receive(&m, OTHER);
    cr_assert_eq(s.raft.state, RAFT_FOLLOWER);
    complete_appends();
    receive(&m, OTHER);
    cr_assert_eq(s.raft.state, RAFT_CANDIDATE);
}

/* -- B15: messages and queues
 * ---------------------------------------------------------------------------------- */

Test(raft_fences, b15_a_probed_server_gets_one_bounded_part)
{
    start(2000);
    become_leader();
    complete_appends();
    complete_sends(0);
    s.now_ms += 50;
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES_RESULT };
    m.append_entries_result.term = s.raft.current_term;
    m.append_entries_result.rejected = 2000;
    m.append_entries_result.last_log_index = 1;
    const unsigned before = s.sent_count;
    receive(&m, OTHER);
    cr_assert_eq(s.sent_count, before + 1);
    const struct raft_append_entries *a = &s.sent[before].m.append_entries;
    cr_assert_eq(a->n_entries, LIMIT_RAFT_MESSAGE_ENTRIES);
    cr_assert_leq(a->leader_commit, a->prev_log_index + a->n_entries);
}

/* Acknowledges the first part, so that the rest follows in the pipeline. */
static unsigned pipeline(raft_index last)
{
    complete_sends(0);
    const unsigned before = s.sent_count;
    receive_ack(OTHER, last);
    return before;
}

static void make_pipeline(raft_index last)
{
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES_RESULT };
    complete_appends();
    complete_sends(0);
    s.now_ms += 50;
    m.append_entries_result.term = s.raft.current_term;
    m.append_entries_result.rejected = last;
    m.append_entries_result.last_log_index = 1;
    receive(&m, OTHER);
}

Test(raft_fences, b15_a_long_tail_is_split_with_its_own_commit_in_each_part)
{
    start(2000);
    become_leader();
    make_pipeline(2000);
    s.raft.commit_index = 2000; /* far above what a part brings */
    const unsigned from = pipeline(257);
    raft_index next = 257;
    unsigned parts = 0;
    for (unsigned i = from; i < s.sent_count; i++) {
        const struct raft_append_entries *a = &s.sent[i].m.append_entries;
        cr_assert_eq(s.sent[i].m.type, RAFT_IO_APPEND_ENTRIES);
        cr_assert_eq(a->prev_log_index, next);
        cr_assert_leq(a->n_entries, LIMIT_RAFT_MESSAGE_ENTRIES);
        cr_assert_leq(a->leader_commit, a->prev_log_index + a->n_entries);
        next += a->n_entries;
        parts++;
    }
    cr_assert_eq(next, 2001, "all of it, the barrier too");
    cr_assert_eq(parts, 7);
    complete_sends(from);
    for (unsigned i = 0; i < LIMIT_MEMBERS; i++) {
        cr_assert_eq(s.fences.peers[i].flights, 0);
        cr_assert_eq(s.fences.peers[i].bytes, 0);
    }
}

Test(raft_fences, b15_a_message_is_bounded_in_bytes_too)
{
    start_with(60, 200000);
    become_leader();
    make_pipeline(60);
    const unsigned from = pipeline(6);
    for (unsigned i = from; i < s.sent_count; i++) {
        size_t bytes = 0;
        const struct raft_append_entries *a = &s.sent[i].m.append_entries;
        for (unsigned k = 0; k < a->n_entries && i + 1 < s.sent_count; k++) {
            bytes += a->entries[k].buf.len;
        }
        cr_assert_leq(bytes, LIMIT_PROPOSAL_BATCH_SIZE);
    }
    cr_assert_gt(s.sent_count - from, 8);
}

Test(raft_fences, b15_a_server_that_takes_nothing_has_a_bound)
{
    start_with(200, 200000); /* 40 MB */
    become_leader();
    make_pipeline(200);
    (void)pipeline(6); /* from here on no send completes */
    const unsigned before = s.sent_count;
    for (unsigned i = 0; i < 20; i++) {
        tick(30);
        receive_ack(OTHER, 6);
    }
    cr_assert_gt(count_sent(RAFT_IO_APPEND_ENTRIES, before), 0, "the third still gets some");
    for (unsigned i = before; i < s.sent_count; i++) {
        cr_assert_neq(s.sent[i].m.server_id, OTHER);
    }
    cr_assert_eq(s.raft.state, RAFT_LEADER);
}

/* -- C21, C25 ii, B18
 * -------------------------------------------------------------------------------------------- */

Test(raft_fences, c21_a_follower_behind_keeps_contact_and_takes_no_entries)
{
    start(5);
    s.overloaded = true;
    receive_entries(OTHER, 2, 5, 1, 3, 2, 8);
    cr_assert_eq(s.append_count, 0);
    cr_assert_eq(raft_last_index(&s.raft), 5);
    cr_assert_eq(s.raft.commit_index, 5);
    const struct raft_message *m = last_sent(RAFT_IO_APPEND_ENTRIES_RESULT);
    cr_assert_eq(m->append_entries_result.rejected, 0);
    cr_assert_eq(m->append_entries_result.last_log_index, 5);
    s.overloaded = false;
    receive_entries(OTHER, 2, 5, 1, 3, 2, 8);
    cr_assert_eq(s.append_count, 1);
    complete_appends();
    cr_assert_eq(s.raft.commit_index, 8);
}

Test(raft_fences, c25_a_heartbeat_commits_no_stale_tail)
{
    start(8);
    receive_entries(OTHER, 2, 5, 1, 0, 0, 8); /* a sender that forgot the clamp */
    cr_assert_eq(s.raft.commit_index, 5);
    cr_assert_eq(s.applied, 4);
}

Test(raft_fences, entries_with_another_index_are_not_appended)
{
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES };
    start(5);
    struct raft_entry *e = raft_calloc(1, sizeof(*e));
    *e = make_command(2, 7, 8); /* at 6 */
    e->batch = e->buf.base;
    m.append_entries = (struct raft_append_entries){
        .term = 2, .prev_log_index = 5, .prev_log_term = 1, .entries = e, .n_entries = 1
    };
    receive(&m, OTHER);
    cr_assert_eq(s.append_count, 0);
    cr_assert_eq(raft_last_index(&s.raft), 5);
}

Test(raft_fences, b18_an_entry_still_held_by_a_write_is_not_appended_again)
{
    start(5);
    receive_entries(OTHER, 2, 5, 1, 1, 2, 0); /* 6 of term 2, being written */
    receive_entries(THIRD, 3, 5, 1, 1, 3, 0); /* 6 of term 3 takes its place */
    receive_entries(OTHER, 4, 5, 1, 1, 2, 0); /* 6 of term 2 once more */
    cr_assert_eq(s.append_count, 2);
    complete_appends();
    receive_entries(OTHER, 4, 5, 1, 1, 2, 0);
    cr_assert_eq(s.append_count, 3);
    complete_appends();
    cr_assert_eq(raft_last_index(&s.raft), 6);
    cr_assert_eq(fences_entry(&s.raft, 6)->term, 2);
}

Test(raft_fences, a_snapshot_is_dropped)
{
    start(5);
    struct raft_message m = { .type = RAFT_IO_INSTALL_SNAPSHOT };
    m.install_snapshot.term = 2;
    m.install_snapshot.last_index = 50;
    m.install_snapshot.last_term = 1;
    m.install_snapshot.data = (struct raft_buffer){ raft_malloc(64), 64 };
    raft_configuration_init(&m.install_snapshot.conf);
    receive(&m, OTHER);
    cr_assert_eq(raft_last_index(&s.raft), 5);
    cr_assert_eq(s.sent_count, 0);
}
