/* SPDX-License-Identifier: Apache-2.0 */
/* The worker: one operation at a time: unseal, check, use once, wipe. It asks the
 * keeper for a handle's keys, keeps them for LIMIT_KEY_CHECK_MS, and relays KEEPER
 * verbs untouched. Single thread, contexts and algorithms made at the start. */
#ifndef RINGKEEP_HSM_SIM_WORKER_H
#define RINGKEEP_HSM_SIM_WORKER_H

#include "base/clock.h"
#include "hsm-sim/core_wire.h"

struct worker;

/* Asks the keeper and waits for its answer; sections of *reply point into
 * `scratch`, which the callee fills and the worker wipes. */
struct keeper_link {
    enum err (*ask)(void *impl, const struct core_request *request, bool internal, uint8_t *scratch, size_t scratch_size, struct core_reply *reply);
    void *impl;
};
enum err worker_open(const struct clock *clock, const struct keeper_link *link, struct worker **out) MUST_USE;
void worker_close(struct worker *w);
/* Answers a WORKER verb; sections of *reply point into `out`. Everything a
 * client can influence is an error in the reply. */
void worker_answer(struct worker *w, const struct core_request *request, uint8_t *out, size_t out_size, struct core_reply *reply);

#endif
