/* SPDX-License-Identifier: Apache-2.0 */
/* The executor that is none: a job runs in the caller, at once. For tests. */
#include "base/executor.h"

#include <assert.h>
#include <stddef.h>

static enum err post_inline(void *impl, executor_work_cb work, executor_done_cb done, void *arg)
{
    (void)impl;
    assert(work != NULL);
    work(arg);
    if (done != NULL) {
        done(arg);
    }
    return ERR_OK;
}

static void complete_inline(void *impl, executor_done_cb done, void *arg)
{
    (void)impl;
    assert(done != NULL);
    done(arg);
}

const struct executor *executor_inline(void)
{
    static const struct executor executor = { post_inline, complete_inline, NULL };
    return &executor;
}
