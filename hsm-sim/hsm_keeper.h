/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper as a process: its files, its loop over the workers' sockets. Only
 * hsm_main.c uses it. */
#ifndef RINGKEEP_HSM_SIM_HSM_KEEPER_H
#define RINGKEEP_HSM_SIM_HSM_KEEPER_H

#include <stdbool.h>

/* Exit codes of conventions.md. */
enum { HSM_STOP = 0, HSM_CONFIG = 2, HSM_RESTART = 75, HSM_NO_RESTART = 78 };

/* Sockets to the workers are descriptors 3 .. 3 + workers - 1; the working
 * directory is the member's. `isolated`: under an uid of its own. */
int hsm_keeper_run(unsigned workers, bool isolated);

#endif
