/* SPDX-License-Identifier: Apache-2.0 */
/* What a core process may do, in three steps: sandbox_begin before anything
 * else, sandbox_lock once its size is known, sandbox_seal when every thread
 * runs and every descriptor is open. After sandbox_seal there is no way to the
 * network, to another file or to another program. */
#ifndef RINGKEEP_HSM_SIM_SANDBOX_H
#define RINGKEEP_HSM_SIM_SANDBOX_H

#include "base/bytes.h"

/* Closes every descriptor from first_free_fd on, ends core dumps and tracing,
 * gives OpenSSL an allocator that wipes at free and no configuration file. Must
 * come before the first use of OpenSSL. */
enum err sandbox_begin(int first_free_fd) MUST_USE;
/* Locks all memory, now and later. need: what the process may come to hold.
 * ERR_CONFIG: it cannot be locked; `why` then says in one sentence what to do. */
enum err sandbox_lock(size_t need, char *why, size_t why_size) MUST_USE;
bool sandbox_locked(void);
/* The filter, for all threads. Forces what OpenSSL and libc do lazily first. */
enum err sandbox_seal(void) MUST_USE;

#endif
