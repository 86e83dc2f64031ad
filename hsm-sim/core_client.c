/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of the core over rings. Everything here runs on the thread of
 * one uv loop; struct core_rings owns the rings and every call that is not yet
 * answered. The core's programs never link this file (libuv).
 *
 * A call is in one place: waiting for a slot (two queues, small and large, so that
 * a big request does not hold up small ones), or in the lane of one worker. A call
 * whose time ran out in a lane has lost its callback, but keeps its slot until the
 * worker is done with it. */
#include "hsm-sim/core_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/digest.h"
#include "hsm-sim/ring.h"

#define SLOTS (LIMIT_RING_SMALL_SLOTS + LIMIT_RING_LARGE_SLOTS)
#define WEIGHT_KEYGEN 256u /* an RSA key takes as long as this many signatures, and more */

struct call {
    struct call *next; /* while waiting */
    core_reply_cb cb;  /* NULL: was told of a time-out already */
    void *arg;
    uint64_t deadline_ms, order;
    size_t reply_size, size;
    unsigned weight;
    bool in_worker; /* its verb runs in the worker, not in the keeper */
    uint8_t request[];
};

struct call_queue {
    struct call *first, **last;
};

/* One worker: its ring and what is in flight there. */
struct lane {
    struct core_rings *owner;
    struct ring *ring;
    uv_poll_t poll;
    struct call *call[SLOTS];
    unsigned in_flight, load;
    bool broken; /* its worker broke the protocol: unused until another comes */
};

struct blamed {
    uint8_t hash[DIGEST_SIZE];
    uint64_t until_ms;
};

struct core_rings {
    struct core seam;
    struct lane lane[LIMIT_WORKERS];
    unsigned lanes, open_handles, waiting;
    struct call_queue small, large;
    uv_timer_t timer;
    struct blamed blamed[LIMIT_QUARANTINE];
    unsigned next_blamed;
    uint64_t blamed_until_ms; /* none is in force after this */
    uint64_t order;
    struct core_rings_stats stats;
    struct buf reply;
    void (*on_restart)(void *arg);
    void *restart_arg;
    bool closing;
};

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* -- calls -------------------------------------------------------------------------- */

static void call_finish(struct call *c, enum err e, const struct core_reply *reply)
{
    core_reply_cb cb = c->cb;
    void *arg = c->arg;
    bytes_wipe(c->request, c->size);
    free(c);
    if (cb != NULL) {
        cb(arg, e, reply);
    }
}

/* What the slot must hold for the answer, as far as it may pass the request. */
static size_t expected_reply(const struct core_verb_row *row, const struct core_request *request)
{
    static const bool may_be_large[] = {
        [CORE_LEAVES_BLOB] = true,
        [CORE_LEAVES_INVITE] = true,
        [CORE_LEAVES_HANDSHAKE] = true,
        [CORE_LEAVES_RANDOM] = false,
    };
    if (row->leaves == CORE_LEAVES_RANDOM && request->number <= LIMIT_DATA) {
        return CORE_REPLY_HEAD + (size_t)request->number;
    }
    return may_be_large[row->leaves] ? LIMIT_RING_LARGE : CORE_REPLY_HEAD;
}

static enum err call_make(const struct core_request *request, struct call **out)
{
    const struct core_verb_row *row = NULL;
    size_t size = core_request_size(request);
    struct call *c;
    TRY(core_request_check(request, &row));
    c = calloc(1, sizeof *c + size);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->size = size;
    c->reply_size = expected_reply(row, request);
    c->in_worker = row->runs == CORE_RUNS_WORKER;
    c->weight = request->verb == CORE_GENERATE_PAIR ? WEIGHT_KEYGEN : 1u;
    core_request_encode(request, c->request);
    *out = c;
    return ERR_OK;
}

static struct call_queue *queue_for(struct core_rings *r, const struct call *c)
{
    bool large = c->size > LIMIT_RING_SMALL || c->reply_size > LIMIT_RING_SMALL;
    return large ? &r->large : &r->small;
}

static void queue_append(struct call_queue *q, struct call *c)
{
    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
}

static struct call *queue_take(struct call_queue *q)
{
    struct call *c = q->first;
    if (c != NULL) {
        q->first = c->next;
        if (q->first == NULL) {
            q->last = &q->first;
        }
    }
    return c;
}

/* -- quarantine ------------------------------------------------------------------------ */

/* Of what a retry repeats: neither handle nor request id. */
static void call_hash(const struct call *c, uint8_t out[DIGEST_SIZE])
{
    uint8_t head[CORE_REQUEST_HEAD];
    struct bytes pieces[2] = { { head, sizeof head },
                               { c->request + sizeof head, c->size - sizeof head } };
    memcpy(head, c->request, sizeof head);
    memset(head + 8, 0, 8);
    memset(head + 32, 0, 16);
    digest_sha256(pieces, 2, out);
}

static void blame(struct core_rings *r, const struct call *c)
{
    struct blamed *b = &r->blamed[r->next_blamed++ % LIMIT_QUARANTINE];
    call_hash(c, b->hash);
    b->until_ms = now_ms() + LIMIT_QUARANTINE_MS;
    r->blamed_until_ms = b->until_ms;
    r->stats.quarantined++;
}

static bool is_blamed(const struct core_rings *r, const struct call *c, uint64_t now)
{
    uint8_t hash[DIGEST_SIZE];
    if (now >= r->blamed_until_ms) {
        return false;
    }
    call_hash(c, hash);
    for (unsigned i = 0; i < LIMIT_QUARANTINE; i++) {
        bool same =
            bytes_equal(bytes_of(r->blamed[i].hash, sizeof hash), bytes_of(hash, sizeof hash));
        if (same && r->blamed[i].until_ms > now) {
            return true;
        }
    }
    return false;
}

/* -- lanes ------------------------------------------------------------------------------- */

static enum err lane_submit(struct lane *l, struct call *c)
{
    unsigned slot = 0;
    TRY(ring_submit_sized(l->ring, bytes_of(c->request, c->size), c->reply_size, &slot));
    assert(slot < SLOTS && l->call[slot] == NULL);
    l->call[slot] = c;
    l->in_flight++;
    l->load += c->weight;
    return ERR_OK;
}

/* The least loaded lane that has a slot. */
static enum err submit_somewhere(struct core_rings *r, struct call *c)
{
    uint32_t tried = 0;
    for (unsigned n = 0; n < r->lanes; n++) {
        unsigned best = LIMIT_WORKERS;
        for (unsigned i = 0; i < r->lanes; i++) {
            bool usable = (tried & 1u << i) == 0 && !r->lane[i].broken;
            if (usable && (best == LIMIT_WORKERS || r->lane[i].load < r->lane[best].load)) {
                best = i;
            }
        }
        if (best == LIMIT_WORKERS) {
            return ERR_BUSY;
        }
        tried |= 1u << best;
        if (lane_submit(&r->lane[best], c) == ERR_OK) {
            return ERR_OK;
        }
    }
    return ERR_BUSY;
}

static void pump_queue(struct core_rings *r, struct call_queue *q)
{
    while (q->first != NULL && submit_somewhere(r, q->first) == ERR_OK) {
        (void)queue_take(q);
        r->waiting--;
    }
}

static void pump(struct core_rings *r)
{
    pump_queue(r, &r->small);
    pump_queue(r, &r->large);
}

static struct call *lane_release(struct lane *l, unsigned slot)
{
    struct call *c = l->call[slot];
    assert(c != NULL && l->in_flight > 0 && l->load >= c->weight);
    l->call[slot] = NULL;
    l->in_flight--;
    l->load -= c->weight;
    return c;
}

/* A worker does one operation at a time and in order: what it was at is the oldest
 * unanswered one that is not merely passed on to the keeper. */
static struct call *lane_suspect(struct lane *l)
{
    struct call *suspect = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct call *c = l->call[i];
        if (c == NULL) {
            continue;
        }
        if (suspect == NULL || (c->in_worker && !suspect->in_worker) ||
            (c->in_worker == suspect->in_worker && c->order < suspect->order)) {
            suspect = c;
        }
    }
    return suspect;
}

static void lane_fail(struct lane *l, enum err e)
{
    struct call *failed[SLOTS];
    unsigned count = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (l->call[i] != NULL) {
            failed[count++] = lane_release(l, i);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        call_finish(failed[i], e, NULL);
    }
}

static void lane_died(struct lane *l)
{
    struct call *suspect = lane_suspect(l);
    if (suspect != NULL) {
        blame(l->owner, suspect);
    }
    lane_fail(l, ERR_WORKER_DIED);
}

/* A worker that breaks the protocol is not asked again; nothing of what it may
 * still say counts. */
static void lane_break(struct lane *l)
{
    l->broken = true;
    lane_fail(l, ERR_WORKER_DIED);
}

static void lane_drain(struct lane *l)
{
    struct core_rings *r = l->owner;
    while (!l->broken && !r->closing) {
        struct core_reply reply = { 0 };
        unsigned slot = 0;
        enum err e = ring_complete(l->ring, &slot, &r->reply);
        if (e == ERR_NOTFOUND) {
            return;
        }
        if (e != ERR_OK || l->call[slot] == NULL ||
            core_reply_decode(buf_bytes(&r->reply), &reply) != ERR_OK) {
            lane_break(l);
            return;
        }
        call_finish(lane_release(l, slot), reply.error, &reply);
    }
}

static void lane_look(struct lane *l)
{
    struct core_rings *r = l->owner;
    uint32_t before = ring_worker_epoch(l->ring);
    lane_drain(l);
    if (r->closing || !ring_worker_changed(l->ring)) {
        return;
    }
    r->stats.worker_deaths += before != 0;
    l->broken = false;
    lane_died(l);
    if (before != 0 && r->on_restart != NULL && !r->closing) {
        r->on_restart(r->restart_arg);
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct lane *l = poll->data;
    (void)status;
    (void)events;
    ring_clear_event(l->ring);
    lane_look(l);
    pump(l->owner);
}

/* -- time ---------------------------------------------------------------------------------- */

/* Unlinks what has expired first: callbacks may add calls. */
static struct call *queue_expire(struct core_rings *r, struct call_queue *q, uint64_t now)
{
    struct call *expired = NULL, **end = &expired, **at = &q->first;
    while (*at != NULL) {
        struct call *c = *at;
        if (c->deadline_ms > now) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = NULL;
        *end = c;
        end = &c->next;
        r->waiting--;
    }
    q->last = at;
    return expired;
}

static void finish_list(struct call *c, enum err e)
{
    while (c != NULL) {
        struct call *next = c->next;
        call_finish(c, e, NULL);
        c = next;
    }
}

static void lane_expire(struct lane *l, uint64_t now)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct call *c = l->call[i];
        if (c != NULL && c->cb != NULL && c->deadline_ms <= now) {
            core_reply_cb cb = c->cb;
            c->cb = NULL;
            cb(c->arg, ERR_TIMEOUT, NULL);
        }
    }
}

static bool is_idle(const struct core_rings *r)
{
    unsigned busy = r->waiting;
    for (unsigned i = 0; i < r->lanes; i++) {
        busy += r->lane[i].in_flight;
    }
    return busy == 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct core_rings *r = timer->data;
    uint64_t now = now_ms();
    for (unsigned i = 0; i < r->lanes && !r->closing; i++) {
        (void)ring_find_lost(r->lane[i].ring);
        lane_look(&r->lane[i]);
        lane_expire(&r->lane[i], now);
    }
    if (r->closing) {
        return;
    }
    finish_list(queue_expire(r, &r->small, now), ERR_TIMEOUT);
    finish_list(queue_expire(r, &r->large, now), ERR_TIMEOUT);
    pump(r);
    if (!r->closing && is_idle(r)) {
        (void)uv_timer_stop(&r->timer);
    }
}

/* -- the seam -------------------------------------------------------------------------------- */

static enum err rings_call(void *impl,
                           const struct core_request *request,
                           unsigned timeout_ms,
                           core_reply_cb cb,
                           void *arg)
{
    struct core_rings *r = impl;
    struct call *c = NULL;
    uint64_t now = now_ms();
    struct call_queue *q;
    assert(cb != NULL);
    if (r->closing) {
        return ERR_CANCELLED;
    }
    TRY(call_make(request, &c));
    if (is_blamed(r, c, now)) {
        call_finish(c, ERR_QUARANTINED, NULL);
        return ERR_QUARANTINED;
    }
    q = queue_for(r, c);
    c->order = ++r->order;
    if (q->first != NULL || submit_somewhere(r, c) != ERR_OK) {
        if (r->waiting >= LIMIT_CORE_WAITING) {
            call_finish(c, ERR_BUSY, NULL);
            return ERR_BUSY;
        }
        queue_append(q, c);
        r->waiting++;
    }
    c->cb = cb;
    c->arg = arg;
    c->deadline_ms = now + timeout_ms;
    r->stats.calls++;
    if (!uv_is_active((const uv_handle_t *)&r->timer)) {
        (void)uv_timer_start(&r->timer, on_timer, LIMIT_RING_WAIT_MS, LIMIT_RING_WAIT_MS);
    }
    return ERR_OK;
}

static void rings_free(struct core_rings *r)
{
    for (unsigned i = 0; i < r->lanes; i++) {
        ring_detach(r->lane[i].ring);
    }
    buf_drop(&r->reply);
    free(r);
}

static void on_closed(uv_handle_t *handle)
{
    struct core_rings *r;
    if (handle->type == UV_TIMER) {
        r = handle->data;
    } else {
        r = ((struct lane *)handle->data)->owner;
    }
    if (--r->open_handles == 0) {
        rings_free(r);
    }
}

static enum err lane_open(struct core_rings *r,
                          struct lane *l,
                          struct uv_loop_s *loop,
                          const int fds[3])
{
    l->owner = r;
    TRY(ring_attach(fds, false, &l->ring));
    r->lanes++;
    if (uv_poll_init(loop, &l->poll, ring_event_fd(l->ring)) != 0) {
        return ERR_IO;
    }
    l->poll.data = l;
    r->open_handles++;
    return uv_poll_start(&l->poll, UV_READABLE, on_event) == 0 ? ERR_OK : ERR_IO;
}

/* Descriptors of lanes that were not opened any more are closed here. */
static enum err lanes_open(struct core_rings *r,
                           struct uv_loop_s *loop,
                           const int *fds,
                           unsigned workers)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; i < workers; i++) {
        if (e == ERR_OK) {
            e = lane_open(r, &r->lane[i], loop, fds + (size_t)3 * i);
            continue;
        }
        for (unsigned k = 0; k < 3; k++) {
            close(fds[3u * i + k]);
        }
    }
    return e;
}

enum err core_rings_open(struct uv_loop_s *loop,
                         const int *fds,
                         unsigned workers,
                         struct core_rings **out)
{
    struct core_rings *r = calloc(1, sizeof *r);
    uint8_t *room;
    enum err e;
    assert(workers > 0 && workers <= LIMIT_WORKERS);
    if (r == NULL) {
        return ERR_NOMEM;
    }
    r->seam.call = rings_call;
    r->seam.impl = r;
    r->small.last = &r->small.first;
    r->large.last = &r->large.first;
    r->stats.workers = workers;
    (void)uv_timer_init(loop, &r->timer);
    r->timer.data = r;
    r->open_handles = 1;
    e = lanes_open(r, loop, fds, workers);
    if (e == ERR_OK) {
        e = buf_reserve(&r->reply, LIMIT_RING_LARGE, LIMIT_RING_LARGE, &room);
    }
    if (e != ERR_OK) {
        core_rings_close(r);
        return e;
    }
    *out = r;
    return ERR_OK;
}

const struct core *core_rings_core(struct core_rings *c)
{
    return &c->seam;
}

/* Callbacks get ERR_CANCELLED; the memory goes when the loop has closed the handles. */
void core_rings_close(struct core_rings *c)
{
    if (c == NULL) {
        return;
    }
    assert(!c->closing);
    c->closing = true;
    for (unsigned i = 0; i < c->lanes; i++) {
        lane_fail(&c->lane[i], ERR_CANCELLED);
        if (c->lane[i].poll.data != NULL) {
            uv_close((uv_handle_t *)&c->lane[i].poll, on_closed);
        }
    }
    finish_list(queue_expire(c, &c->small, UINT64_MAX), ERR_CANCELLED);
    finish_list(queue_expire(c, &c->large, UINT64_MAX), ERR_CANCELLED);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

struct core_rings_stats core_rings_stats(const struct core_rings *c)
{
    struct core_rings_stats s = c->stats;
    s.in_flight = c->waiting;
    for (unsigned i = 0; i < c->lanes; i++) {
        s.in_flight += c->lane[i].in_flight;
        s.lost_wakeups += ring_lost_wakeups(c->lane[i].ring);
    }
    return s;
}

void core_rings_on_restart(struct core_rings *c, void (*cb)(void *arg), void *arg)
{
    c->on_restart = cb;
    c->restart_arg = arg;
}
