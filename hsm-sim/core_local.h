/* SPDX-License-Identifier: Apache-2.0 */
/* Keeper and worker code in the caller's process, without ring or sandbox: for
 * cluster tests of many members in one process. Never linked into a program. */
#ifndef RINGKEEP_HSM_SIM_CORE_LOCAL_H
#define RINGKEEP_HSM_SIM_CORE_LOCAL_H

#include "hsm-sim/core_client.h"

struct core_local;
/* state_dir: an existing directory for the core's state. Replies come when
 * core_local_run is called (so never from inside core_call). */
enum err core_local_open(const char *state_dir, struct core_local **out) MUST_USE;
const struct core *core_local_core(struct core_local *c);
/* Runs everything queued; returns how many calls ended. */
unsigned core_local_run(struct core_local *c);
/* Pending calls end with ERR_CANCELLED. */
void core_local_close(struct core_local *c);
/* Its keeper takes cheap scrypt (keeper_test.h); here for tests that want more. */
struct keeper *core_local_keeper(struct core_local *c);

#endif
