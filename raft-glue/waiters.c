/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of readers that wait. A callback may add to the list it came from, so what
 * is due is taken off first. */
#include "raft-glue/waiters.h"

#include <stdlib.h>

void waiters_init(struct waiters *w)
{
    *w = (struct waiters){ 0 };
    w->end = &w->first;
}

static void push(struct waiters *w, struct waiter *x)
{
    x->next = NULL;
    *w->end = x;
    w->end = &x->next;
    w->count++;
}

enum err waiters_add(
    struct waiters *w, uint64_t index, uint64_t deadline_ms, replica_index_cb cb, void *arg)
{
    if (w->count >= LIMIT_INDEX_WAITERS) {
        return ERR_BUSY;
    }
    struct waiter *x = malloc(sizeof(*x));
    if (x == NULL) {
        return ERR_NOMEM;
    }
    *x = (struct waiter){ NULL, index, deadline_ms, cb, arg };
    push(w, x);
    return ERR_OK;
}

uint64_t waiters_lowest(const struct waiters *w)
{
    uint64_t lowest = 0;
    for (const struct waiter *x = w->first; x != NULL; x = x->next) {
        lowest = lowest == 0 || x->index < lowest ? x->index : lowest;
    }
    return lowest;
}

uint64_t waiters_next_deadline(const struct waiters *w)
{
    uint64_t next = UINT64_MAX;
    for (const struct waiter *x = w->first; x != NULL; x = x->next) {
        next = x->deadline_ms < next ? x->deadline_ms : next;
    }
    return next;
}

/* Splits off those whose index or deadline is reached. */
static void take(struct waiters *w, uint64_t index, uint64_t now_ms, struct waiters *out)
{
    struct waiter *x = w->first;
    waiters_init(w);
    waiters_init(out);
    while (x != NULL) {
        struct waiter *next = x->next;
        push(x->index <= index || x->deadline_ms <= now_ms ? out : w, x);
        x = next;
    }
}

void waiters_finish(struct waiters *w, enum err e, uint64_t index)
{
    struct waiter *x = w->first;
    waiters_init(w);
    while (x != NULL) {
        struct waiter *next = x->next;
        x->cb(x->arg, e, index);
        free(x);
        x = next;
    }
}

void waiters_wake(struct waiters *w, uint64_t visible)
{
    struct waiters due;
    take(w, visible, 0, &due);
    waiters_finish(&due, ERR_OK, visible);
}

void waiters_expire(struct waiters *w, uint64_t now_ms)
{
    struct waiters due;
    take(w, 0, now_ms, &due);
    waiters_finish(&due, ERR_TIMEOUT, 0);
}
