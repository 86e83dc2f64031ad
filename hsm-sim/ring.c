/* SPDX-License-Identifier: Apache-2.0 */
/* The ring between one door thread of the daemon and one worker (ring.h).
 *
 * Entries of both queues are words: slot number, epoch of the daemon and epoch of
 * the worker that the writer believed in. A word of another life of either side is
 * passed over, so a slot that is used anew never gets a dead worker's reply, and a
 * dead daemon's request is never answered. What either side needs to be sure of it
 * keeps in its own memory (struct ring); the shared words are hints to be checked.
 *
 * Wake-ups: the side that wants to sleep raises its flag, passes a full fence and
 * looks once more; the side that gives work stores it, passes a full fence and takes
 * the flag down. One of the two sees the other. All waits are bounded nevertheless. */
#include "hsm-sim/ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "hsm-sim/core_wire.h"
#include "hsm-sim/ring_test.h"

#define SLOTS (LIMIT_RING_SMALL_SLOTS + LIMIT_RING_LARGE_SLOTS)
#define QUEUE 512u
#define QUEUE_MASK (QUEUE - 1u)
#define LINE 64
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define TOKEN_SHIFT 16u

_Static_assert(SLOTS <= QUEUE, "every slot can be queued");
_Static_assert((QUEUE & QUEUE_MASK) == 0, "indexes are masked");
_Static_assert(SLOTS < (1u << TOKEN_SHIFT), "a slot number fits its part of a token");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2, "shared atomics");

struct ring_queue {
    alignas(LINE) _Atomic uint32_t head; /* next to read: the consumer's */
    alignas(LINE) _Atomic uint32_t tail; /* next to write: the producer's */
    alignas(LINE) _Atomic uint64_t entry[QUEUE];
};
struct ring_small {
    uint8_t bytes[LIMIT_RING_SMALL];
};
struct ring_large {
    uint8_t bytes[LIMIT_RING_LARGE];
};
struct ring_shared {
    alignas(LINE) _Atomic uint32_t worker_epoch;
    _Atomic uint32_t daemon_epoch;
    _Atomic uint64_t worker_lost;
    alignas(LINE) _Atomic uint32_t worker_sleeps;
    alignas(LINE) _Atomic uint32_t daemon_sleeps;
    struct ring_queue submission, completion;
    alignas(LINE) _Atomic uint32_t size[SLOTS];
    alignas(4096) struct ring_small small[LIMIT_RING_SMALL_SLOTS];
    struct ring_large large[LIMIT_RING_LARGE_SLOTS];
};

struct ring {
    struct ring_shared *shared;   /* mapped */
    int wake_worker, wake_daemon; /* owned */
    bool worker;
    uint32_t head,
        tail; /* own copies: daemon: completion head, submission tail; worker: the reverse */
    uint32_t worker_epoch, daemon_epoch;
    uint64_t lost;
    bool busy[SLOTS];         /* daemon: in flight; worker: taken, not replied */
    uint16_t busy_for[SLOTS]; /* worker: the daemon's epoch of that request */
    uint16_t free_small[LIMIT_RING_SMALL_SLOTS], free_large[LIMIT_RING_LARGE_SLOTS];
    unsigned n_small, n_large;
};

/* -- slots: the only code that touches their bytes --------------------------- */

static size_t slot_capacity(unsigned slot)
{
    return slot < LIMIT_RING_SMALL_SLOTS ? LIMIT_RING_SMALL : LIMIT_RING_LARGE;
}

static uint8_t *slot_at(struct ring *r, unsigned slot)
{
    assert(slot < SLOTS);
    if (slot < LIMIT_RING_SMALL_SLOTS) {
        return r->shared->small[slot].bytes;
    }
    return r->shared->large[slot - LIMIT_RING_SMALL_SLOTS].bytes;
}

static void ring_slot_copy_in(struct ring *r, unsigned slot, struct bytes from)
{
    assert(from.size <= slot_capacity(slot));
    memcpy(slot_at(r, slot), from.data, from.size);
    atomic_store_explicit(&r->shared->size[slot], (uint32_t)from.size, memory_order_relaxed);
}

/* The fence keeps the compiler from reading the slot again in place of the copy. */
static void ring_slot_copy_out(struct ring *r, unsigned slot, uint8_t *to, size_t size)
{
    assert(size <= slot_capacity(slot));
    memcpy(to, slot_at(r, slot), size);
    __asm__ volatile("" : : "r"(to) : "memory");
}

/* The one read of a size word; 0 when it cannot be right. */
static size_t slot_size(struct ring *r, unsigned slot, size_t least)
{
    uint32_t size = atomic_load_explicit(&r->shared->size[slot], memory_order_relaxed);
    return size >= least && size <= slot_capacity(slot) ? size : 0;
}

/* -- queues ------------------------------------------------------------------- */

static uint64_t entry_make(const struct ring *r, unsigned slot, uint32_t daemon_epoch)
{
    return (uint64_t)r->worker_epoch << 32 | (uint64_t)(daemon_epoch & 0xffffu) << 16 | slot;
}

static void queue_push(struct ring_queue *q, uint32_t *tail, uint64_t entry)
{
    atomic_store_explicit(&q->entry[*tail & QUEUE_MASK], entry, memory_order_relaxed);
    *tail += 1;
    atomic_store_explicit(&q->tail, *tail, memory_order_release);
}

/* ERR_NOTFOUND: empty; ERR_PROTOCOL: the producer's index cannot be. */
static enum err queue_pop(struct ring_queue *q, uint32_t *head, uint64_t *entry)
{
    uint32_t waiting = atomic_load_explicit(&q->tail, memory_order_acquire) - *head;
    if (waiting == 0) {
        return ERR_NOTFOUND;
    }
    if (waiting > QUEUE) {
        return ERR_PROTOCOL;
    }
    *entry = atomic_load_explicit(&q->entry[*head & QUEUE_MASK], memory_order_relaxed);
    *head += 1;
    atomic_store_explicit(&q->head, *head, memory_order_relaxed);
    return ERR_OK;
}

static bool queue_empty(struct ring_queue *q, uint32_t head)
{
    return atomic_load_explicit(&q->tail, memory_order_acquire) == head;
}

static void wake(_Atomic uint32_t *flag, int fd)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(flag, memory_order_relaxed) != 0 &&
        atomic_exchange_explicit(flag, 0, memory_order_seq_cst) != 0) {
        uint64_t one = 1;
        ssize_t n = write(fd, &one, sizeof one); /* EAGAIN: it is readable already */
        (void)n;
    }
}

static void drain_event(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

/* -- both sides ----------------------------------------------------------------- */

enum err ring_create(int fds[3])
{
    int memory = memfd_create("ringkeep-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int to_worker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int to_daemon = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bool good = memory >= 0 && to_worker >= 0 && to_daemon >= 0 &&
                ftruncate(memory, sizeof(struct ring_shared)) == 0 &&
                fcntl(memory, F_ADD_SEALS, SEALS) == 0;
    if (!good) {
        int all[3] = { memory, to_worker, to_daemon };
        for (unsigned i = 0; i < 3; i++) {
            if (all[i] >= 0) {
                close(all[i]);
            }
        }
        return ERR_IO;
    }
    fds[0] = memory;
    fds[1] = to_worker;
    fds[2] = to_daemon;
    return ERR_OK;
}

static void free_all_slots(struct ring *r)
{
    memset(r->busy, 0, sizeof r->busy);
    for (unsigned i = 0; i < LIMIT_RING_SMALL_SLOTS; i++) {
        r->free_small[i] = (uint16_t)(LIMIT_RING_SMALL_SLOTS - 1u - i);
    }
    for (unsigned i = 0; i < LIMIT_RING_LARGE_SLOTS; i++) {
        r->free_large[i] = (uint16_t)(SLOTS - 1u - i);
    }
    r->n_small = LIMIT_RING_SMALL_SLOTS;
    r->n_large = LIMIT_RING_LARGE_SLOTS;
}

static bool memory_is_right(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct ring_shared) &&
           (fcntl(fd, F_GET_SEALS) & SEALS) == SEALS;
}

static struct ring_shared *map_shared(int fd)
{
    void *at;
    if (!memory_is_right(fd)) {
        return NULL;
    }
    at = mmap(NULL, sizeof(struct ring_shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(at, sizeof(struct ring_shared), MADV_DONTDUMP);
    return at;
}

/* What an earlier daemon left in flight is void: its epoch is over. */
static void daemon_start(struct ring *r)
{
    struct ring_shared *s = r->shared;
    free_all_slots(r);
    r->daemon_epoch = atomic_fetch_add(&s->daemon_epoch, 1) + 1;
    r->worker_epoch = atomic_load(&s->worker_epoch);
    r->tail = atomic_load(&s->submission.tail);
    r->head = atomic_load(&s->completion.tail);
    atomic_store(&s->completion.head, r->head);
    atomic_store(&s->daemon_sleeps, 1);
}

enum err ring_attach(const int fds[3], bool worker, struct ring **out)
{
    struct ring *r = calloc(1, sizeof *r);
    struct ring_shared *shared = map_shared(fds[0]);
    close(fds[0]);
    if (r == NULL || shared == NULL) {
        if (shared != NULL) {
            munmap(shared, sizeof *shared);
        }
        free(r);
        close(fds[1]);
        close(fds[2]);
        return r == NULL ? ERR_NOMEM : ERR_IO;
    }
    r->shared = shared;
    r->wake_worker = fds[1];
    r->wake_daemon = fds[2];
    r->worker = worker;
    if (!worker) {
        daemon_start(r);
    }
    *out = r;
    return ERR_OK;
}

void ring_detach(struct ring *r)
{
    if (r == NULL) {
        return;
    }
    munmap(r->shared, sizeof *r->shared);
    close(r->wake_worker);
    close(r->wake_daemon);
    free(r);
}

uint64_t ring_lost_wakeups(const struct ring *r)
{
    if (r->worker) {
        return r->lost;
    }
    return r->lost + atomic_load_explicit(&r->shared->worker_lost, memory_order_relaxed);
}

/* -- daemon ----------------------------------------------------------------------- */

static void slot_release(struct ring *r, unsigned slot)
{
    r->busy[slot] = false;
    if (slot < LIMIT_RING_SMALL_SLOTS) {
        r->free_small[r->n_small++] = (uint16_t)slot;
    } else {
        r->free_large[r->n_large++] = (uint16_t)slot;
    }
}

enum err ring_submit_sized(struct ring *r, struct bytes request, size_t reply_size, unsigned *slot)
{
    size_t need = request.size > reply_size ? request.size : reply_size;
    bool large = need > LIMIT_RING_SMALL;
    unsigned taken;
    assert(!r->worker && request.size > 0);
    if (need > LIMIT_RING_LARGE) {
        return ERR_TOO_LARGE;
    }
    if (r->worker_epoch == 0 || (large ? r->n_large : r->n_small) == 0) {
        return ERR_BUSY;
    }
    taken = large ? r->free_large[--r->n_large] : r->free_small[--r->n_small];
    r->busy[taken] = true;
    ring_slot_copy_in(r, taken, request);
    queue_push(&r->shared->submission, &r->tail, entry_make(r, taken, r->daemon_epoch));
    wake(&r->shared->worker_sleeps, r->wake_worker);
    *slot = taken;
    return ERR_OK;
}

enum err ring_submit(struct ring *r, struct bytes request, unsigned *slot)
{
    return ring_submit_sized(r, request, 0, slot);
}

/* Next word of this life of both sides. At the end the flag is up, and the queue
 * was looked at once more after that. */
static enum err next_completion(struct ring *r, unsigned *slot)
{
    for (unsigned i = 0; i <= QUEUE; i++) {
        struct ring_queue *q = &r->shared->completion;
        uint64_t entry = 0;
        enum err e = queue_pop(q, &r->head, &entry);
        if (e == ERR_NOTFOUND) {
            atomic_store_explicit(&r->shared->daemon_sleeps, 1, memory_order_relaxed);
            atomic_thread_fence(memory_order_seq_cst);
            e = queue_pop(q, &r->head, &entry);
        }
        TRY(e);
        *slot = (unsigned)(entry & 0xffffu);
        if (*slot >= SLOTS) {
            return ERR_PROTOCOL;
        }
        if (entry == entry_make(r, *slot, r->daemon_epoch)) {
            return r->busy[*slot] ? ERR_OK : ERR_PROTOCOL;
        }
    }
    return ERR_PROTOCOL;
}

enum err ring_complete(struct ring *r, unsigned *slot, struct buf *reply)
{
    uint8_t *to;
    unsigned done;
    size_t size;
    assert(!r->worker);
    buf_clear(reply);
    TRY(next_completion(r, &done));
    size = slot_size(r, done, CORE_REPLY_HEAD);
    if (size == 0) {
        return ERR_PROTOCOL;
    }
    TRY(buf_reserve(reply, size, LIMIT_RING_LARGE, &to));
    ring_slot_copy_out(r, done, to, size);
    reply->size = size;
    slot_release(r, done);
    *slot = done;
    return ERR_OK;
}

bool ring_worker_changed(struct ring *r)
{
    uint32_t now = atomic_load_explicit(&r->shared->worker_epoch, memory_order_acquire);
    assert(!r->worker);
    if (now == r->worker_epoch) {
        return false;
    }
    r->worker_epoch = now;
    free_all_slots(r);
    /* The new worker has nothing of ours yet: whatever it will give wakes us. */
    atomic_store(&r->shared->daemon_sleeps, 1);
    return true;
}

uint32_t ring_worker_epoch(const struct ring *r)
{
    return r->worker_epoch;
}

int ring_event_fd(const struct ring *r)
{
    return r->wake_daemon;
}

void ring_clear_event(struct ring *r)
{
    drain_event(r->wake_daemon);
}

bool ring_find_lost(struct ring *r)
{
    struct pollfd p = { .fd = r->wake_daemon, .events = POLLIN };
    bool sleeps = atomic_load(&r->shared->daemon_sleeps) != 0;
    if (!sleeps || queue_empty(&r->shared->completion, r->head) || poll(&p, 1, 0) != 0) {
        return false;
    }
    r->lost++;
    return true;
}

/* -- worker ------------------------------------------------------------------------- */

void ring_worker_start(struct ring *r)
{
    struct ring_shared *s = r->shared;
    uint64_t one = 1;
    ssize_t n;
    assert(r->worker);
    memset(r->busy, 0, sizeof r->busy);
    r->head = atomic_load(&s->submission.tail);
    atomic_store(&s->submission.head, r->head);
    r->tail = atomic_load(&s->completion.tail);
    atomic_store(&s->worker_sleeps, 0);
    r->worker_epoch = atomic_load(&s->worker_epoch) + 1;
    r->worker_epoch += r->worker_epoch == 0; /* 0 means: none yet */
    atomic_store(&s->worker_epoch, r->worker_epoch);
    n = write(r->wake_daemon, &one, sizeof one);
    (void)n;
}

enum err ring_take(struct ring *r, uint8_t *buffer, size_t *size, unsigned *slot)
{
    assert(r->worker);
    for (unsigned i = 0; i <= QUEUE; i++) {
        uint64_t entry = 0;
        unsigned taken;
        uint16_t from;
        TRY(queue_pop(&r->shared->submission, &r->head, &entry));
        taken = (unsigned)(entry & 0xffffu);
        from = (uint16_t)(entry >> 16);
        if (taken >= SLOTS) {
            return ERR_PROTOCOL;
        }
        if (entry != entry_make(r, taken, from)) {
            continue; /* meant for a predecessor */
        }
        if (r->busy[taken] && r->busy_for[taken] == from) {
            return ERR_PROTOCOL;
        }
        *size = slot_size(r, taken, CORE_REQUEST_HEAD);
        if (*size == 0) {
            return ERR_PROTOCOL;
        }
        ring_slot_copy_out(r, taken, buffer, *size);
        r->busy[taken] = true;
        r->busy_for[taken] = from;
        *slot = taken | (unsigned)from << TOKEN_SHIFT;
        return ERR_OK;
    }
    return ERR_PROTOCOL;
}

enum err ring_reply(struct ring *r, unsigned slot, struct bytes reply)
{
    unsigned taken = slot & ((1u << TOKEN_SHIFT) - 1u);
    uint16_t asked = (uint16_t)(slot >> TOKEN_SHIFT);
    uint32_t daemon_epoch = atomic_load_explicit(&r->shared->daemon_epoch, memory_order_acquire);
    assert(r->worker && taken < SLOTS && reply.size >= CORE_REPLY_HEAD);
    if (!r->busy[taken] || r->busy_for[taken] != asked || (uint16_t)daemon_epoch != asked) {
        return ERR_NOTFOUND;
    }
    if (reply.size > slot_capacity(taken)) {
        return ERR_TOO_LARGE;
    }
    r->busy[taken] = false;
    ring_slot_copy_in(r, taken, reply);
    queue_push(&r->shared->completion, &r->tail, entry_make(r, taken, asked));
    wake(&r->shared->daemon_sleeps, r->wake_daemon);
    return ERR_OK;
}

bool ring_sleep_begin(struct ring *r)
{
    atomic_store_explicit(&r->shared->worker_sleeps, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    if (!queue_empty(&r->shared->submission, r->head)) {
        atomic_store_explicit(&r->shared->worker_sleeps, 0, memory_order_relaxed);
        return false;
    }
    return true;
}

int ring_wake_fd(const struct ring *r)
{
    return r->wake_worker;
}

/* Timed out with work there although the flag is still up: nobody woke us. */
void ring_sleep_end(struct ring *r, bool timed_out)
{
    bool up = atomic_exchange(&r->shared->worker_sleeps, 0) != 0;
    if (timed_out && up && !queue_empty(&r->shared->submission, r->head)) {
        r->lost++;
        atomic_store_explicit(&r->shared->worker_lost, r->lost, memory_order_relaxed);
    }
    drain_event(r->wake_worker);
}

void ring_wait(struct ring *r)
{
    struct pollfd p = { .fd = r->wake_worker, .events = POLLIN };
    if (!ring_sleep_begin(r)) {
        return;
    }
    ring_sleep_end(r, poll(&p, 1, (int)LIMIT_RING_WAIT_MS) == 0);
}

/* -- tests only (ring_test.h) ---------------------------------------------------------- */

uint8_t *ring_test_slots(struct ring *r, size_t *size)
{
    *size = sizeof r->shared->small + sizeof r->shared->large;
    return r->shared->small[0].bytes;
}

void ring_test_break_entry(struct ring *r, uint64_t entry)
{
    struct ring_queue *q = r->worker ? &r->shared->completion : &r->shared->submission;
    atomic_store(&q->entry[(r->tail - 1u) & QUEUE_MASK], entry);
}

void ring_test_break_size(struct ring *r, unsigned slot, uint32_t size)
{
    atomic_store(&r->shared->size[slot & 0xffffu], size);
}

void ring_test_forge_completion(struct ring *r, unsigned slot)
{
    uint32_t daemon_epoch = atomic_load(&r->shared->daemon_epoch);
    queue_push(&r->shared->completion, &r->tail, entry_make(r, slot, daemon_epoch));
    wake(&r->shared->daemon_sleeps, r->wake_daemon);
}
