/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a worker process: its ring, and a SEQPACKET socket to the keeper.
 *
 * One packet is one frame: u64 sequence, u32 flags (1: internal, the worker asks
 * for itself), then the request as core_wire.h encodes it, at most
 * LIMIT_KEEPER_FRAME in all. The keeper answers with the same 12 bytes and the
 * encoded reply. A worker's sequence starts at a random number, so that an answer
 * to its dead predecessor meets nobody.
 *
 * KEEPER verbs are passed on and answered when the keeper is done (scrypt takes
 * long), meanwhile the worker goes on with others. A broken ring frame, or the
 * keeper's end of the socket closed, ends the loop. One thread. */
#ifndef RINGKEEP_HSM_SIM_WORKER_LOOP_H
#define RINGKEEP_HSM_SIM_WORKER_LOOP_H

#include "base/clock.h"
#include "base/bytes.h"

#define WORKER_LOOP_FRAME_HEAD 12u
#define WORKER_LOOP_INTERNAL 1u

enum { WORKER_LOOP_STOP = 0, WORKER_LOOP_RESTART = 75 };

struct worker_loop;
/* Takes over the four descriptors (also on failure). Everything lazy in OpenSSL and
 * libc has happened when this returns: seal the sandbox after it. */
enum err worker_loop_open(const struct clock *clock,
                          const int ring_fds[3],
                          int keeper_fd,
                          struct worker_loop **out) MUST_USE;
/* Announces itself on the ring and works. Returns the exit code. */
int worker_loop_run(struct worker_loop *l);
/* Safe in a signal handler: the loop returns WORKER_LOOP_STOP within LIMIT_RING_WAIT_MS. */
void worker_loop_stop(struct worker_loop *l);
void worker_loop_close(struct worker_loop *l);

#endif
