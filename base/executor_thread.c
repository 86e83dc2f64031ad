/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's executor: jobs go to one thread through a bounded queue,
 * completions come back to the loop thread through a list and a uv_async_t.
 *
 * post is called on the loop thread or inside a job, complete inside a job
 * only. A job's own node carries its completion, so that a finished job never
 * needs memory. The lock is held for list work alone, never around a callback. */
#include "base/executor_thread.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct item {
    struct item *next;
    executor_work_cb work;
    executor_done_cb done;
    void *arg;
};

struct list {
    struct item *first;
    struct item **end;
};

struct executor_thread {
    struct executor executor;
    uv_async_t async;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list jobs;     /* owned, under lock */
    struct list finished; /* owned, under lock */
    unsigned waiting;     /* jobs in the list */
    unsigned limit;
    bool stopping;
};

static void list_init(struct list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void push(struct list *l, struct item *i)
{
    i->next = NULL;
    *l->end = i;
    l->end = &i->next;
}

static struct item *pop(struct list *l)
{
    struct item *i = l->first;
    if (i != NULL) {
        l->first = i->next;
        if (l->first == NULL) {
            l->end = &l->first;
        }
    }
    return i;
}

static struct item *new_item(executor_work_cb work, executor_done_cb done, void *arg)
{
    struct item *i = malloc(sizeof(*i));
    if (i != NULL) {
        *i = (struct item){ NULL, work, done, arg };
    }
    return i;
}

static enum err post_job(void *impl, executor_work_cb work, executor_done_cb done, void *arg)
{
    struct executor_thread *x = impl;
    assert(work != NULL);
    struct item *i = new_item(work, done, arg);
    if (i == NULL) {
        return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    pthread_mutex_lock(&x->lock);
    if (x->stopping) {
        e = ERR_CANCELLED;
    } else if (x->waiting >= x->limit) {
        e = ERR_BUSY;
    } else {
        push(&x->jobs, i);
        x->waiting++;
        pthread_cond_signal(&x->wake);
    }
    pthread_mutex_unlock(&x->lock);
    if (e != ERR_OK) {
        free(i);
    }
    return e;
}

static void finish(struct executor_thread *x, struct item *i)
{
    pthread_mutex_lock(&x->lock);
    push(&x->finished, i);
    pthread_mutex_unlock(&x->lock);
    (void)uv_async_send(&x->async);
}

static void complete_now(void *impl, executor_done_cb done, void *arg)
{
    struct executor_thread *x = impl;
    assert(done != NULL);
    struct item *i = new_item(NULL, done, arg);
    if (i == NULL) {
        abort(); /* the owner waits for this completion for ever */
    }
    finish(x, i);
}

static void *run_jobs(void *arg)
{
    struct executor_thread *x = arg;
    for (;;) {
        pthread_mutex_lock(&x->lock);
        while (x->jobs.first == NULL && !x->stopping) {
            pthread_cond_wait(&x->wake, &x->lock);
        }
        struct item *i = pop(&x->jobs);
        if (i != NULL) {
            x->waiting--;
        }
        pthread_mutex_unlock(&x->lock);
        if (i == NULL) {
            return NULL; /* stopping, and nothing is left */
        }
        i->work(i->arg);
        if (i->done != NULL) {
            finish(x, i);
        } else {
            free(i);
        }
    }
}

/* On the loop thread. One at a time: a callback may post or close. */
static void deliver(struct executor_thread *x)
{
    for (;;) {
        pthread_mutex_lock(&x->lock);
        struct item *i = pop(&x->finished);
        pthread_mutex_unlock(&x->lock);
        if (i == NULL) {
            return;
        }
        executor_done_cb done = i->done;
        void *done_arg = i->arg;
        free(i);
        done(done_arg);
    }
}

static void on_async(uv_async_t *async)
{
    deliver(async->data);
}

static void on_closed(uv_handle_t *handle)
{
    struct executor_thread *x = handle->data;
    pthread_cond_destroy(&x->wake);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

/* The thread takes no signals: they belong to the loop. */
static int start_thread(struct executor_thread *x)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int rc = pthread_create(&x->thread, NULL, run_jobs, x);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

enum err executor_thread_open(uv_loop_t *loop, unsigned limit, struct executor_thread **out)
{
    assert(limit > 0);
    struct executor_thread *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        return ERR_NOMEM;
    }
    x->executor = (struct executor){ post_job, complete_now, x };
    x->limit = limit;
    list_init(&x->jobs);
    list_init(&x->finished);
    if (uv_async_init(loop, &x->async, on_async) != 0) {
        free(x);
        return ERR_IO;
    }
    x->async.data = x;
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->wake, NULL);
    if (start_thread(x) != 0) {
        uv_close((uv_handle_t *)&x->async, on_closed);
        return ERR_NOMEM;
    }
    *out = x;
    return ERR_OK;
}

const struct executor *executor_thread_executor(struct executor_thread *x)
{
    return &x->executor;
}

void executor_thread_close(struct executor_thread *x)
{
    if (x == NULL) {
        return;
    }
    pthread_mutex_lock(&x->lock);
    assert(!x->stopping);
    x->stopping = true;
    pthread_cond_signal(&x->wake);
    pthread_mutex_unlock(&x->lock);
    pthread_join(x->thread, NULL);
    deliver(x);
    uv_close((uv_handle_t *)&x->async, on_closed);
}
