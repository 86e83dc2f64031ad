/* SPDX-License-Identifier: Apache-2.0 */
/* The executor of the daemon: one thread, completions through a uv_async_t. */
#ifndef RINGKEEP_BASE_EXECUTOR_THREAD_H
#define RINGKEEP_BASE_EXECUTOR_THREAD_H

#include <uv.h>

#include "base/executor.h"

struct executor_thread;

/* Starts the thread. `limit` bounds the jobs waiting. */
enum err executor_thread_open(uv_loop_t *loop, unsigned limit, struct executor_thread **out)
    MUST_USE;
const struct executor *executor_thread_executor(struct executor_thread *x);
/* Finishes what is queued, joins the thread, closes the handle (the loop must
 * run once more afterwards). NULL is fine. */
void executor_thread_close(struct executor_thread *x);

#endif
