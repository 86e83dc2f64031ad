/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's side of the core, as a seam: over rings in the product, in the
 * same process in cluster tests (core_local.h). The only header of hsm-sim that
 * appliance/ may include (besides core_wire.h, which it includes). */
#ifndef RINGKEEP_HSM_SIM_CORE_CLIENT_H
#define RINGKEEP_HSM_SIM_CORE_CLIENT_H

#include "hsm-sim/core_wire.h"

/* `reply` is borrowed for the call and is NULL when error came from the way
 * there (ERR_WORKER_DIED, ERR_TIMEOUT, ERR_BUSY); a reply's own error is also in
 * `error`. Always called exactly once, on the loop thread, never from inside
 * core_call. */
typedef void (*core_reply_cb)(void *arg, enum err error, const struct core_reply *reply);

struct core {
    enum err (*call)(void *impl, const struct core_request *request, unsigned timeout_ms, core_reply_cb cb, void *arg);
    void *impl;
};

/* Copies the request. ERR_BUSY, ERR_TOO_LARGE, ERR_QUARANTINED at once (cb is
 * then not called). The least loaded worker gets it. A request whose hash ended
 * a worker is refused for a minute. */
static inline enum err core_call(const struct core *c,
                                 const struct core_request *request,
                                 unsigned timeout_ms,
                                 core_reply_cb cb,
                                 void *arg)
{
    return c->call(c->impl, request, timeout_ms, cb, arg);
}

/* The ring implementation. */
struct uv_loop_s;
struct core_rings;
/* fds: 3 per worker as ring_create gives them; taken over. */
enum err core_rings_open(struct uv_loop_s *loop, const int *fds, unsigned workers, struct core_rings **out) MUST_USE;
const struct core *core_rings_core(struct core_rings *c);
void core_rings_close(struct core_rings *c);
struct core_rings_stats {
    uint64_t calls, worker_deaths, quarantined, lost_wakeups;
    unsigned in_flight, workers;
};
struct core_rings_stats core_rings_stats(const struct core_rings *c);
/* Called on the loop after a worker was replaced: cached handles may be gone if
 * the keeper went too (ask STATUS). May be NULL. */
void core_rings_on_restart(struct core_rings *c, void (*cb)(void *arg), void *arg);

#endif
