/* SPDX-License-Identifier: Apache-2.0 */
/* The ring between one door thread of the daemon and one worker of the core: a
 * memfd of fixed size, sealed against shrinking, growing and further seals, and
 * two eventfds. LIMIT_RING_SMALL_SLOTS slots of 4 KiB, LIMIT_RING_LARGE_SLOTS of
 * 128 KiB; one submission queue of slot numbers (daemon to worker) and one
 * completion queue back, each single producer, single consumer.
 *
 * Neither side trusts the other's words: indexes are read once and masked; the
 * worker copies the whole request out before it looks at a byte, and the reply in
 * after the last check, and never reads what it wrote (threats.md H3). A slot's
 * bytes are reached only through ring_slot_copy_*: no pointer into the ring
 * leaves ring.c.
 *
 * epoch: raised by each worker that starts on the ring. The daemon that sees it
 * change fails what was in flight with ERR_WORKER_DIED and starts anew. */
#ifndef RINGKEEP_HSM_SIM_RING_H
#define RINGKEEP_HSM_SIM_RING_H

#include "base/bytes.h"

struct ring;

/* Launcher: makes the memfd (sealed) and both eventfds. fds: ring, to worker, to daemon. */
enum err ring_create(int fds[3]) MUST_USE;

/* Either side maps the descriptors; takes them over. Checks size and seals. */
enum err ring_attach(const int fds[3], bool worker, struct ring **out) MUST_USE;
void ring_detach(struct ring *r);

/* -- daemon ---------------------------------------------------------------- */
/* Takes a free slot of fitting size. ERR_BUSY: none free; ERR_TOO_LARGE. */
enum err ring_submit(struct ring *r, struct bytes request, unsigned *slot) MUST_USE;
/* The same where the reply may be larger than the request: the slot holds both. */
enum err ring_submit_sized(struct ring *r, struct bytes request, size_t reply_size, unsigned *slot) MUST_USE;
/* Next finished slot; the reply is copied to out (cleared first), the slot is free
 * again. ERR_NOTFOUND: none. ERR_PROTOCOL: the worker's side is broken. */
enum err ring_complete(struct ring *r, unsigned *slot, struct buf *reply) MUST_USE;
/* True once after a new worker has come; all slots are free then. */
bool ring_worker_changed(struct ring *r);
/* Eventfd to poll for completions; clear with ring_clear_event. */
int ring_event_fd(const struct ring *r);
void ring_clear_event(struct ring *r);
/* 0: no worker has come yet (ring_submit answers ERR_BUSY). */
uint32_t ring_worker_epoch(const struct ring *r);
/* To be asked now and then: true, and counted, when a completion lies there for
 * which no wake-up was sent. */
bool ring_find_lost(struct ring *r);

/* -- worker ---------------------------------------------------------------- */
/* Announces itself (epoch + 1) and empties the queues. A slot number given by
 * ring_take is a token: it goes back to ring_reply as it is. */
void ring_worker_start(struct ring *r);
/* Copies the next request into buffer (LIMIT_RING_LARGE bytes, private memory).
 * ERR_NOTFOUND: none. ERR_PROTOCOL: frame broken, end the worker. */
enum err ring_take(struct ring *r, uint8_t *buffer, size_t *size, unsigned *slot) MUST_USE;
/* ERR_TOO_LARGE: does not fit the slot, nothing was written: reply with less.
 * ERR_NOTFOUND: the daemon that asked is gone, the reply was dropped. */
enum err ring_reply(struct ring *r, unsigned slot, struct bytes reply) MUST_USE;
/* Waits at most LIMIT_RING_WAIT_MS for requests; counts waits that timed out
 * although work was there (a lost wake-up). */
void ring_wait(struct ring *r);
/* The same in parts, for a worker that waits for other descriptors too:
 * ring_sleep_begin is false when requests are there (do not sleep); else poll
 * ring_wake_fd for at most LIMIT_RING_WAIT_MS and call ring_sleep_end. */
bool ring_sleep_begin(struct ring *r);
int ring_wake_fd(const struct ring *r);
void ring_sleep_end(struct ring *r, bool timed_out);
/* On the daemon's side both sides' counts together. */
uint64_t ring_lost_wakeups(const struct ring *r);

#endif
