/* SPDX-License-Identifier: Apache-2.0 */
/* Several members' replicas in one process; see raft_net.h. One thread. */
#include "tests/lib/raft_net.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "raft-glue/inside.h"
#include "tests/lib/raft_sample.h"

enum { ELECTION_MS = 200, HEARTBEAT_MS = 40, PATIENCE_MS = 20000, QUIET_MS = 30 };

struct raft_net_job {
    struct raft_net_job *next;
    executor_work_cb work;
    executor_done_cb done;
    void *arg;
};

struct raft_net_dial {
    struct raft_net_dial *next;
    unsigned from;
    uint64_t to_id;
    replica_connected_cb cb;
    void *arg;
};

/* What killed members leave behind stays reachable, so that it is no leak. */
static void *graveyard[1024];
static unsigned graves;

static void bury(void *what)
{
    assert(graves < sizeof(graveyard) / sizeof(graveyard[0]));
    graveyard[graves++] = what;
}

static void nap_ms(unsigned ms)
{
    const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000L };
    (void)nanosleep(&t, NULL);
}

/* -- the applier's executor, run at the member's turn ---------------------------------- */

static enum err post_job(void *impl, executor_work_cb work, executor_done_cb done, void *arg)
{
    struct raft_net_node *node = impl;
    struct raft_net_job *j = malloc(sizeof(*j));
    assert(j != NULL);
    *j = (struct raft_net_job){ NULL, work, done, arg };
    *node->jobs_end = j;
    node->jobs_end = &j->next;
    return ERR_OK;
}

static void complete_now(void *impl, executor_done_cb done, void *arg)
{
    (void)impl;
    done(arg);
}

static void run_one_job(struct raft_net_node *node)
{
    struct raft_net_job *j = node->jobs;
    if (j == NULL) {
        return;
    }
    node->jobs = j->next;
    if (node->jobs == NULL) {
        node->jobs_end = &node->jobs;
    }
    j->work(j->arg);
    if (j->done != NULL) {
        j->done(j->arg);
    }
    free(j);
}

static void drop_jobs(struct raft_net_node *node)
{
    while (node->jobs != NULL) {
        struct raft_net_job *j = node->jobs;
        node->jobs = j->next;
        free(j);
    }
    node->jobs_end = &node->jobs;
}

/* -- streams ------------------------------------------------------------------------------ */

static enum err listen_here(void *impl, replica_accepted_cb cb, void *arg)
{
    struct raft_net_node *node = impl;
    node->accept = cb;
    node->accept_arg = arg;
    return ERR_OK;
}

static enum err connect_from(
    void *impl, uint64_t id, const char *address, replica_connected_cb cb, void *arg)
{
    struct raft_net_node *node = impl;
    (void)address;
    struct raft_net_dial *d = malloc(sizeof(*d));
    assert(d != NULL);
    *d = (struct raft_net_dial){ node->net->dials, node->number, id, cb, arg };
    node->net->dials = d;
    return ERR_OK;
}

static struct raft_net_node *node_of(struct raft_net *n, uint64_t id)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->nodes[i].up && n->nodes[i].raft_id == id) {
            return &n->nodes[i];
        }
    }
    return NULL;
}

static void keep_stream(struct raft_net *n, int fd, unsigned from, unsigned to)
{
    for (unsigned i = 0; i < RAFT_NET_STREAMS; i++) {
        if (n->streams[i].fd < 0) {
            n->streams[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
            n->streams[i].from = from;
            n->streams[i].to = to;
            return;
        }
    }
    assert(false);
}

static void answer_dial(struct raft_net *n, const struct raft_net_dial *d)
{
    int fds[2];
    struct raft_net_node *from = &n->nodes[d->from];
    struct raft_net_node *to = node_of(n, d->to_id);
    if (to == NULL || to->accept == NULL || n->cut[d->from][to->number]) {
        d->cb(d->arg, ERR_UNREACHABLE, -1);
        return;
    }
    const int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    assert(rc == 0);
    keep_stream(n, fds[0], d->from, to->number);
    to->accept(to->accept_arg, from->raft_id, from->address, fds[1]);
    d->cb(d->arg, ERR_OK, fds[0]);
}

static void answer_dials(struct raft_net *n)
{
    struct raft_net_dial *d = n->dials;
    n->dials = NULL;
    while (d != NULL) {
        struct raft_net_dial *next = d->next;
        answer_dial(n, d);
        free(d);
        d = next;
    }
}

static void drop_dials(struct raft_net *n, unsigned from)
{
    struct raft_net_dial **at = &n->dials;
    while (*at != NULL) {
        struct raft_net_dial *d = *at;
        if (d->from != from) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        free(d->arg);
        free(d);
    }
}

static void break_streams(struct raft_net *n, unsigned a, unsigned b)
{
    for (unsigned i = 0; i < RAFT_NET_STREAMS; i++) {
        struct raft_net_stream *s = &n->streams[i];
        const bool between = (s->from == a && s->to == b) || (s->from == b && s->to == a);
        if (s->fd >= 0 && between) {
            (void)shutdown(s->fd, SHUT_RDWR);
            (void)close(s->fd);
            s->fd = -1;
        }
    }
}

void raft_net_cut(struct raft_net *n, unsigned a, unsigned b, bool cut)
{
    n->cut[a][b] = n->cut[b][a] = cut;
    if (cut) {
        break_streams(n, a, b);
    }
}

void raft_net_isolate(struct raft_net *n, unsigned i, bool cut)
{
    for (unsigned j = 0; j < n->count; j++) {
        if (j != i) {
            raft_net_cut(n, i, j, cut);
        }
    }
}

/* -- members ---------------------------------------------------------------------------------- */

static void on_fatal(void *arg, const char *reason)
{
    const struct raft_net_node *node = arg;
    (void)fprintf(stderr, "member %u: fatal: %s\n", node->number, reason);
    _exit(70);
}

static void on_role(void *arg, enum replica_role role)
{
    struct raft_net_node *node = arg;
    (void)role;
    node->roles++;
}

static void on_applied(void *arg, uint64_t index)
{
    struct raft_net_node *node = arg;
    assert(index > node->visible); /* never back inside one life */
    node->visible = index;
}

static uint64_t mono_ns(void *impl)
{
    (void)impl;
    return clock_system()->mono_ns(clock_system()->impl);
}

static uint64_t wall_s(void *impl)
{
    return ((struct raft_net *)impl)->wall_s;
}

static void make_dir(char *out, size_t size, const char *base, const char *name)
{
    (void)snprintf(out, size, "%s/%s", base, name);
    const int rc = mkdir(out, 0700);
    assert(rc == 0 || errno == EEXIST);
}

static void open_executor(struct raft_net *n, struct raft_net_node *node)
{
    node->jobs_end = &node->jobs;
    node->executor = (struct executor){ post_job, complete_now, node };
    if (n->threads) {
        const enum err e = executor_thread_open(node->loop, 64, &node->thread);
        assert(e == ERR_OK);
    }
}

static void open_replica(struct raft_net *n, struct raft_net_node *node, const char *raft_dir)
{
    const struct replica_options o = {
        .loop = node->loop,
        .raft_dir = raft_dir,
        .store = node->store,
        .applier = n->threads ? executor_thread_executor(node->thread) : &node->executor,
        .clock = &n->clock,
        .transport = &node->transport,
        .raft_id = node->raft_id,
        .address = node->address,
        .election_ms = ELECTION_MS,
        .heartbeat_ms = HEARTBEAT_MS,
        .fatal = on_fatal,
        .fatal_arg = node,
        .on_role = on_role,
        .on_applied = on_applied,
        .event_arg = node,
    };
    const enum err e = replica_open(&o, &node->replica);
    assert(e == ERR_OK);
}

void raft_net_start(struct raft_net *n, unsigned i, bool bootstrap)
{
    struct raft_net_node *node = &n->nodes[i];
    char store_dir[160], raft_dir[160], text[256];
    assert(!node->up);
    make_dir(node->dir, sizeof(node->dir), n->dir, (char[]){ 'm', (char)('0' + i), '\0' });
    make_dir(store_dir, sizeof(store_dir), node->dir, "store");
    make_dir(raft_dir, sizeof(raft_dir), node->dir, "raft");
    node->loop = malloc(sizeof(*node->loop));
    assert(node->loop != NULL);
    const int rc = uv_loop_init(node->loop);
    assert(rc == 0);
    node->transport = (struct replica_transport){ listen_here, connect_from, node };
    node->visible = 0;
    node->hold = false;
    const struct store_test small = { .map_size = (size_t)1
                                                  << 32 }; /* TSan has no room for 1 TiB */
    enum err e = store_open_test(store_dir, &small, &node->store);
    assert(e == ERR_OK);
    open_executor(n, node);
    open_replica(n, node, raft_dir);
    if (bootstrap) {
        e = replica_bootstrap(node->replica);
        assert(e == n->bootstrap);
    }
    node->up = true;
    e = replica_start(node->replica, text, sizeof(text));
    if (e != ERR_OK) {
        (void)fprintf(stderr, "member %u: start: %s: %s\n", i, err_name(e), text);
        _exit(71);
    }
}

/* The rest of a killed member: its files closed, its memory left. */
static void lay_down(struct raft_net *n, struct raft_net_node *node)
{
    node->up = false;
    node->accept = NULL;
    if (n->threads) {
        executor_thread_close(node->thread);
    }
    drop_jobs(node);
    drop_dials(n, node->number);
    for (unsigned j = 0; j < n->count; j++) {
        if (j != node->number) {
            break_streams(n, node->number, j);
        }
    }
    bury(node->loop);
    bury(node->replica);
    nap_ms(QUIET_MS); /* a write that the kernel has may still land */
    store_close(node->store);
    node->store = NULL;
    node->replica = NULL;
}

void raft_net_kill(struct raft_net *n, unsigned i)
{
    struct raft_net_node *node = &n->nodes[i];
    assert(node->up);
    drop_jobs(node);
    applier_abandon(node->replica->applier);
    run_one_job(node);
    lay_down(n, node);
}

void raft_net_stop(struct raft_net *n, unsigned i)
{
    struct raft_net_node *node = &n->nodes[i];
    assert(node->up);
    replica_stop(node->replica);
    while (node->jobs != NULL) {
        run_one_job(node);
    }
    lay_down(n, node);
}

/* -- time ----------------------------------------------------------------------------------------
 */

static void turn(struct raft_net *n)
{
    answer_dials(n);
    for (unsigned i = 0; i < n->count; i++) {
        struct raft_net_node *node = &n->nodes[i];
        if (!node->up) {
            continue;
        }
        if (!node->hold) {
            run_one_job(node);
        }
        (void)uv_run(node->loop, UV_RUN_NOWAIT);
    }
}

bool raft_net_until(struct raft_net *n, unsigned ms, raft_net_check_cb check, void *arg)
{
    const uint64_t end = clock_mono_ms(&n->clock) + ms;
    while (check == NULL || !check(n, arg)) {
        if (clock_mono_ms(&n->clock) >= end) {
            return false;
        }
        turn(n);
        const struct timespec t = { 0, 50000 };
        (void)nanosleep(&t, NULL);
    }
    return true;
}

void raft_net_run(struct raft_net *n, unsigned ms)
{
    (void)raft_net_until(n, ms, NULL, NULL);
}

struct replica_status raft_net_status(struct raft_net *n, unsigned i)
{
    struct replica_status s;
    replica_status(n->nodes[i].replica, &s);
    return s;
}

static bool find_leader(struct raft_net *n, void *arg)
{
    unsigned *best = arg;
    uint64_t term = 0;
    bool ready = false;
    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].up) {
            continue;
        }
        const struct replica_status s = raft_net_status(n, i);
        if (s.term > term) {
            term = s.term;
            ready = false;
        }
        if (s.term == term && s.leader_ready) {
            *best = i;
            ready = true;
        }
    }
    return ready;
}

unsigned raft_net_leader(struct raft_net *n)
{
    unsigned leader = 0;
    const bool found = raft_net_until(n, PATIENCE_MS, find_leader, &leader);
    assert(found);
    return leader;
}

static bool is_settled(struct raft_net *n, void *arg)
{
    uint64_t index = 0;
    (void)arg;
    for (unsigned i = 0; i < n->count; i++) {
        if (!n->nodes[i].up) {
            continue;
        }
        const struct replica_status s = raft_net_status(n, i);
        index = index == 0 ? s.last_index : index;
        if (s.last_index != index || s.visible_index != index || s.leader_id == 0) {
            return false;
        }
    }
    return true;
}

static void digest_of(struct raft_net_node *node, uint8_t out[DIGEST_SIZE])
{
    STORE_VIEW_SCOPED *v = NULL;
    char text[128];
    enum err e = store_check(node->store, text, sizeof(text));
    assert(e == ERR_OK);
    e = store_view_open(node->store, &v);
    assert(e == ERR_OK);
    store_view_digest(v, out);
}

void raft_net_settle(struct raft_net *n)
{
    uint8_t first[DIGEST_SIZE], other[DIGEST_SIZE];
    bool have = false;
    (void)raft_net_leader(n);
    const bool settled = raft_net_until(n, PATIENCE_MS, is_settled, NULL);
    assert(settled);
    for (unsigned i = 0; i < n->count; i++) {
        if (n->nodes[i].up) {
            digest_of(&n->nodes[i], have ? other : first);
            assert(!have || memcmp(first, other, DIGEST_SIZE) == 0);
            have = true;
        }
    }
}

/* -- calls
 * ------------------------------------------------------------------------------------------ */

void raft_net_outcome(void *arg, enum err error, const struct outcome *outcome)
{
    struct raft_net_answer *a = arg;
    a->calls++;
    a->error = error;
    if (outcome != NULL) {
        a->outcome = *outcome;
        a->index = outcome->index;
    }
}

void raft_net_index(void *arg, enum err error, uint64_t index)
{
    struct raft_net_answer *a = arg;
    a->calls++;
    a->error = error;
    a->index = index;
}

static bool is_answered(struct raft_net *n, void *arg)
{
    (void)n;
    return ((const struct raft_net_answer *)arg)->calls > 0;
}

void raft_net_wait(struct raft_net *n, struct raft_net_answer *a)
{
    const bool answered = raft_net_until(n, PATIENCE_MS, is_answered, a);
    assert(answered && a->calls == 1);
}

void raft_net_propose(
    struct raft_net *n, unsigned i, uint32_t object, size_t filler, struct raft_net_answer *a)
{
    BUF_SCOPED c = { 0 };
    raft_sample_object(&c, object, filler);
    *a = (struct raft_net_answer){ 0 };
    const enum err e = replica_propose(n->nodes[i].replica, buf_bytes(&c), raft_net_outcome, a);
    assert(e == ERR_OK);
}

void raft_net_create(struct raft_net *n, uint32_t object, size_t filler, struct raft_net_answer *a)
{
    do {
        raft_net_propose(n, raft_net_leader(n), object, filler, a);
        raft_net_wait(n, a);
    } while (a->error != ERR_OK);
}

static void make_world(struct raft_net *n, void (*build)(struct buf *out))
{
    BUF_SCOPED c = { 0 };
    struct raft_net_answer a = { 0 };
    const unsigned leader = raft_net_leader(n);
    build(&c);
    const enum err e =
        replica_propose(n->nodes[leader].replica, buf_bytes(&c), raft_net_outcome, &a);
    assert(e == ERR_OK);
    raft_net_wait(n, &a);
    assert(a.error == ERR_OK && a.outcome.error == ERR_OK);
}

void raft_net_prepare(struct raft_net *n, unsigned count, bool threads)
{
    assert(count <= RAFT_NET_NODES);
    (void)signal(SIGPIPE, SIG_IGN);
    *n = (struct raft_net){ .count = count, .threads = threads, .wall_s = 1700000000 };
    n->clock = (struct clock){ mono_ns, mono_ns, wall_s, n };
    (void)snprintf(n->dir, sizeof(n->dir), "/tmp/ringkeep-net-XXXXXX");
    char *made = mkdtemp(n->dir);
    assert(made != NULL);
    for (unsigned i = 0; i < RAFT_NET_STREAMS; i++) {
        n->streams[i].fd = -1;
    }
    for (unsigned i = 0; i < RAFT_NET_NODES; i++) {
        struct raft_net_node *node = &n->nodes[i];
        node->net = n;
        node->number = i;
        node->raft_id = i + 1;
        (void)snprintf(node->address, sizeof(node->address), "member-%u.example:1793", i);
    }
}

static void join(struct raft_net *n, unsigned i)
{
    struct raft_net_answer a = { 0 }, b = { 0 };
    struct raft_net_node *node = &n->nodes[i];
    raft_net_start(n, i, false);
    struct replica *leader = n->nodes[raft_net_leader(n)].replica;
    enum err e = replica_add(leader, node->raft_id, node->address, raft_net_index, &a);
    assert(e == ERR_OK);
    raft_net_wait(n, &a);
    assert(a.error == ERR_OK);
    e = replica_assign(leader, node->raft_id, REPLICA_VOTER, raft_net_index, &b);
    assert(e == ERR_OK);
    raft_net_wait(n, &b);
    assert(b.error == ERR_OK);
}

void raft_net_open(struct raft_net *n, unsigned count, bool threads)
{
    raft_net_prepare(n, count, threads);
    raft_net_start(n, 0, true);
    make_world(n, raft_sample_cluster);
    make_world(n, raft_sample_keyring);
    for (unsigned i = 1; i < count; i++) {
        join(n, i);
    }
    raft_net_settle(n);
}

void raft_net_close(struct raft_net *n)
{
    char command[96];
    for (unsigned i = 0; i < n->count; i++) {
        if (n->nodes[i].up) {
            raft_net_kill(n, i);
        }
    }
    struct raft_net_dial *d = n->dials;
    while (d != NULL) {
        struct raft_net_dial *next = d->next;
        free(d->arg);
        free(d);
        d = next;
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", n->dir);
    const int rc = system(command);
    assert(rc == 0);
}
