/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker process (worker_loop.h). Requests are copied out of the ring
 * into private memory as a whole before anything looks at them, replies are made in
 * private memory and copied in when they are finished (threats.md H3). */
#include "hsm-sim/worker_loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crypt.h"
#include "hsm-sim/ring.h"
#include "hsm-sim/worker.h"

#define PENDING (LIMIT_RING_SMALL_SLOTS + LIMIT_RING_LARGE_SLOTS)
#define ASK_MS LIMIT_REQUEST_MS
#define RELAY_MS LIMIT_CALL_MS
#define HEAD WORKER_LOOP_FRAME_HEAD

/* A verb that was passed on to the keeper. */
struct pending {
    bool used;
    unsigned slot; /* the ring's token */
    uint64_t sequence, deadline_ms;
};

struct worker_loop {
    const struct clock *clock;
    struct ring *ring;
    int keeper; /* owned */
    struct worker *worker;
    uint64_t sequence;
    struct pending pending[PENDING];
    unsigned pending_count;
    bool keeper_gone;
    atomic_bool stop;
    struct secret request, reply, frame; /* LIMIT_RING_LARGE each; LIMIT_KEEPER_FRAME */
};

/* -- answers into the ring ---------------------------------------------------------- */

static void reply_error(struct worker_loop *l, unsigned slot, enum err e)
{
    uint8_t bytes[CORE_REPLY_HEAD];
    struct core_reply reply = { .error = e };
    enum err ignored;
    core_reply_encode(&reply, bytes);
    ignored = ring_reply(l->ring, slot, bytes_of(bytes, sizeof bytes));
    assert(ignored != ERR_TOO_LARGE);
}

static void reply_bytes(struct worker_loop *l, unsigned slot, struct bytes encoded)
{
    if (ring_reply(l->ring, slot, encoded) == ERR_TOO_LARGE) {
        reply_error(l, slot, ERR_TOO_LARGE);
    }
}

/* -- the keeper ------------------------------------------------------------------------ */

static enum err send_frame(struct worker_loop *l,
                           uint64_t sequence,
                           uint32_t flags,
                           const struct core_request *request)
{
    size_t size = HEAD + core_request_size(request);
    uint8_t *at = l->frame.data;
    ssize_t n;
    enum err e = ERR_OK;
    if (size > LIMIT_KEEPER_FRAME) {
        return ERR_TOO_LARGE;
    }
    put_u64(at, sequence);
    put_u32(at + 8, flags);
    core_request_encode(request, at + HEAD);
    n = send(l->keeper, at, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        bool full = errno == EAGAIN || errno == ENOBUFS || errno == EINTR;
        l->keeper_gone = l->keeper_gone || !full;
        e = full ? ERR_BUSY : ERR_UNREACHABLE;
    }
    bytes_wipe(at, size);
    return e;
}

/* Next packet into l->frame; ERR_NOTFOUND when there is none now. */
static enum err receive_frame(struct worker_loop *l, uint64_t *sequence, struct bytes *body)
{
    ssize_t n = recv(l->keeper, l->frame.data, l->frame.size, MSG_DONTWAIT);
    if (n < 0) {
        bool later = errno == EAGAIN || errno == EINTR;
        l->keeper_gone = l->keeper_gone || !later;
        return later ? ERR_NOTFOUND : ERR_UNREACHABLE;
    }
    if (n == 0) {
        l->keeper_gone = true;
        return ERR_UNREACHABLE;
    }
    if ((size_t)n < HEAD + CORE_REPLY_HEAD) {
        return ERR_PROTOCOL;
    }
    *sequence = get_u64(l->frame.data);
    *body = bytes_of(l->frame.data + HEAD, (size_t)n - HEAD);
    return ERR_OK;
}

static struct pending *find_pending(struct worker_loop *l, uint64_t sequence)
{
    for (unsigned i = 0; i < PENDING; i++) {
        if (l->pending[i].used && l->pending[i].sequence == sequence) {
            return &l->pending[i];
        }
    }
    return NULL;
}

static void pending_end(struct worker_loop *l, struct pending *p)
{
    p->used = false;
    l->pending_count--;
}

/* An answer to a verb that was passed on goes to its slot; any other meets nobody. */
static void deliver(struct worker_loop *l, uint64_t sequence, struct bytes body)
{
    struct pending *p = find_pending(l, sequence);
    struct core_reply reply;
    if (p == NULL) {
        return;
    }
    pending_end(l, p);
    if (core_reply_decode(body, &reply) == ERR_OK) {
        reply_bytes(l, p->slot, body);
    } else {
        reply_error(l, p->slot, ERR_PROTOCOL);
    }
}

/* Takes what the keeper has sent, up to the answer to `wanted` (0: everything). */
static enum err drain_keeper(struct worker_loop *l, uint64_t wanted, struct bytes *answer)
{
    for (;;) {
        uint64_t sequence = 0;
        struct bytes body;
        enum err e = receive_frame(l, &sequence, &body);
        if (e == ERR_PROTOCOL) {
            continue;
        }
        TRY(e);
        if (wanted != 0 && sequence == wanted) {
            *answer = body;
            return ERR_OK;
        }
        deliver(l, sequence, body);
        bytes_wipe(l->frame.data, HEAD + body.size);
    }
}

static uint64_t next_sequence(struct worker_loop *l)
{
    l->sequence++;
    l->sequence += l->sequence == 0;
    return l->sequence;
}

static enum err wait_keeper(struct worker_loop *l, uint64_t deadline_ms)
{
    struct pollfd p = { .fd = l->keeper, .events = POLLIN };
    uint64_t now = clock_mono_ms(l->clock);
    if (now >= deadline_ms) {
        return ERR_TIMEOUT;
    }
    (void)poll(&p, 1, (int)(deadline_ms - now));
    return ERR_OK;
}

/* keeper_link: one question of the worker, other answers go where they belong. */
static enum err loop_ask(void *impl,
                         const struct core_request *request,
                         bool internal,
                         uint8_t *scratch,
                         size_t scratch_size,
                         struct core_reply *reply)
{
    struct worker_loop *l = impl;
    uint64_t sequence = next_sequence(l);
    uint64_t deadline_ms = clock_mono_ms(l->clock) + ASK_MS;
    struct bytes body = { 0 };
    enum err e = send_frame(l, sequence, internal ? WORKER_LOOP_INTERNAL : 0, request);
    while (e == ERR_OK) {
        e = drain_keeper(l, sequence, &body);
        if (e != ERR_NOTFOUND) {
            break;
        }
        e = wait_keeper(l, deadline_ms);
    }
    TRY(e);
    if (body.size > scratch_size) {
        bytes_wipe(l->frame.data, HEAD + body.size);
        return ERR_TOO_LARGE;
    }
    memcpy(scratch, body.data, body.size);
    bytes_wipe(l->frame.data, HEAD + body.size);
    return core_reply_decode(bytes_of(scratch, body.size), reply);
}

static void relay(struct worker_loop *l, unsigned slot, const struct core_request *request)
{
    struct pending *free_one = NULL;
    enum err e;
    for (unsigned i = 0; i < PENDING && free_one == NULL; i++) {
        free_one = l->pending[i].used ? NULL : &l->pending[i];
    }
    if (free_one == NULL) {
        reply_error(l, slot, ERR_BUSY);
        return;
    }
    free_one->slot = slot;
    free_one->sequence = next_sequence(l);
    free_one->deadline_ms = clock_mono_ms(l->clock) + RELAY_MS;
    e = send_frame(l, free_one->sequence, 0, request);
    if (e != ERR_OK) {
        reply_error(l, slot, e);
        return;
    }
    free_one->used = true;
    l->pending_count++;
}

static void expire_pending(struct worker_loop *l)
{
    uint64_t now = clock_mono_ms(l->clock);
    for (unsigned i = 0; i < PENDING && l->pending_count > 0; i++) {
        if (l->pending[i].used && l->pending[i].deadline_ms <= now) {
            pending_end(l, &l->pending[i]);
            reply_error(l, l->pending[i].slot, ERR_TIMEOUT);
        }
    }
}

/* -- the ring ---------------------------------------------------------------------------- */

/* The reply is put together behind its head, in l->reply. */
static void work(struct worker_loop *l, unsigned slot, const struct core_request *request)
{
    struct core_reply reply;
    uint8_t *at = l->reply.data;
    size_t size;
    worker_answer(l->worker, request, at + CORE_REPLY_HEAD, l->reply.size - CORE_REPLY_HEAD,
                  &reply);
    size = core_reply_size(&reply);
    /* Sections lie in order behind the head already: only the head is written. */
    core_reply_encode_head(&reply, at);
    reply_bytes(l, slot, bytes_of(at, size));
    bytes_wipe(at, size);
}

/* False: the frame is broken, the daemon is at fault, the worker ends. */
static bool handle(struct worker_loop *l, unsigned slot, struct bytes frame)
{
    struct core_request request;
    const struct core_verb_row *row;
    enum err e = core_request_decode(frame, &request);
    if (e == ERR_PROTOCOL) {
        return false;
    }
    if (e != ERR_OK) {
        reply_error(l, slot, e);
        return true;
    }
    row = core_verb_find(request.verb);
    if (row->runs == CORE_RUNS_INTERNAL) {
        return false;
    }
    if (row->runs == CORE_RUNS_KEEPER) {
        relay(l, slot, &request);
    } else {
        work(l, slot, &request);
    }
    return true;
}

/* Meanwhile the keeper may have answered what was passed on. */
static enum err glance_at_keeper(struct worker_loop *l)
{
    struct bytes ignored;
    enum err e = l->pending_count > 0 ? drain_keeper(l, 0, &ignored) : ERR_OK;
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

static enum err drain_ring(struct worker_loop *l)
{
    while (!atomic_load(&l->stop)) {
        size_t size = 0;
        unsigned slot = 0;
        bool good;
        TRY(ring_take(l->ring, l->request.data, &size, &slot));
        good = handle(l, slot, bytes_of(l->request.data, size));
        bytes_wipe(l->request.data, size);
        if (!good) {
            return ERR_PROTOCOL;
        }
        TRY(glance_at_keeper(l));
    }
    return ERR_NOTFOUND;
}

static void sleep_a_while(struct worker_loop *l)
{
    struct pollfd p[2] = { { .fd = ring_wake_fd(l->ring), .events = POLLIN },
                           { .fd = l->keeper, .events = POLLIN } };
    int n;
    if (!ring_sleep_begin(l->ring)) {
        return;
    }
    n = poll(p, 2, (int)LIMIT_RING_WAIT_MS);
    ring_sleep_end(l->ring, n == 0);
}

int worker_loop_run(struct worker_loop *l)
{
    ring_worker_start(l->ring);
    while (!atomic_load(&l->stop)) {
        struct bytes ignored;
        if (drain_ring(l) != ERR_NOTFOUND) {
            return WORKER_LOOP_RESTART;
        }
        sleep_a_while(l);
        if (drain_keeper(l, 0, &ignored) != ERR_NOTFOUND || l->keeper_gone) {
            return WORKER_LOOP_RESTART;
        }
        expire_pending(l);
    }
    return WORKER_LOOP_STOP;
}

void worker_loop_stop(struct worker_loop *l)
{
    atomic_store(&l->stop, true);
}

/* -- life ----------------------------------------------------------------------------------- */

static enum err open_parts(struct worker_loop *l, const struct clock *clock, const int ring_fds[3])
{
    const struct keeper_link link = { .ask = loop_ask, .impl = l };
    TRY(ring_attach(ring_fds, true, &l->ring));
    TRY(secret_alloc(&l->request, LIMIT_RING_LARGE));
    TRY(secret_alloc(&l->reply, LIMIT_RING_LARGE));
    TRY(secret_alloc(&l->frame, LIMIT_KEEPER_FRAME));
    TRY(crypt_init());
    TRY(crypt_random(&l->sequence, sizeof l->sequence));
    return worker_open(clock, &link, &l->worker);
}

enum err worker_loop_open(const struct clock *clock,
                          const int ring_fds[3],
                          int keeper_fd,
                          struct worker_loop **out)
{
    struct worker_loop *l = calloc(1, sizeof *l);
    enum err e;
    if (l == NULL) {
        for (unsigned i = 0; i < 3; i++) {
            close(ring_fds[i]);
        }
        close(keeper_fd);
        return ERR_NOMEM;
    }
    l->clock = clock;
    l->keeper = keeper_fd;
    e = open_parts(l, clock, ring_fds);
    if (e != ERR_OK) {
        worker_loop_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

void worker_loop_close(struct worker_loop *l)
{
    if (l == NULL) {
        return;
    }
    worker_close(l->worker);
    ring_detach(l->ring);
    close(l->keeper);
    secret_drop(&l->request);
    secret_drop(&l->reply);
    secret_drop(&l->frame);
    free(l);
}
