/* SPDX-License-Identifier: Apache-2.0 */
/* Work off the loop thread, as a seam: post a job, get its completion back on
 * the thread that posted. The daemon uses one thread (executor_thread.h) per
 * queue; the simulator runs jobs at times of its own; unit tests run inline.
 *
 * Jobs posted to one executor run one at a time, in order. */
#ifndef RINGKEEP_BASE_EXECUTOR_H
#define RINGKEEP_BASE_EXECUTOR_H

#include "base/err.h"

typedef void (*executor_work_cb)(void *arg); /* on the executor's thread */
typedef void (*executor_done_cb)(void *arg); /* on the posting (loop) thread; may be NULL */

struct executor {
    /* ERR_BUSY when the queue is full. */
    enum err (*post)(void *impl, executor_work_cb work, executor_done_cb done, void *arg);
    /* From inside a job: run `done(arg)` on the loop thread, in order. */
    void (*complete)(void *impl, executor_done_cb done, void *arg);
    void *impl;
};

static inline enum err executor_post(const struct executor *x,
                                     executor_work_cb work,
                                     executor_done_cb done,
                                     void *arg)
{
    return x->post(x->impl, work, done, arg);
}
static inline void executor_complete(const struct executor *x, executor_done_cb done, void *arg)
{
    x->complete(x->impl, done, arg);
}

/* Runs work and done at once in the caller. For tests. */
const struct executor *executor_inline(void);

#endif
