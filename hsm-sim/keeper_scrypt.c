/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for scrypt. A job goes round three lists under one lock: free, waiting,
 * finished. Jobs are LIMIT_SCRYPT_QUEUE nodes made at the start, so posting takes
 * no memory. Owner's thread: open, post, run, close. */
#include "hsm-sim/keeper_scrypt.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/limits.h"

#define STACK ((size_t)1024 * 1024)

struct node {
    struct node *next;
    executor_work_cb work;
    executor_done_cb done;
    void *arg;
};

struct list {
    struct node *first, **last;
};

struct keeper_scrypt {
    struct executor executor;
    pthread_mutex_t lock;
    pthread_cond_t wake, up;
    struct list free, waiting, finished;
    bool stop;
    int event;
    unsigned threads, running;
    pthread_t thread[LIMIT_SCRYPT_THREADS];
    struct node node[LIMIT_SCRYPT_QUEUE];
};

static void list_init(struct list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_put(struct list *l, struct node *n)
{
    n->next = NULL;
    *l->last = n;
    l->last = &n->next;
}

static struct node *list_take(struct list *l)
{
    struct node *n = l->first;
    if (n != NULL) {
        l->first = n->next;
        if (l->first == NULL) {
            l->last = &l->first;
        }
    }
    return n;
}

static void signal_finished(struct keeper_scrypt *x)
{
    const uint64_t one = 1;
    ssize_t n = write(x->event, &one, sizeof one);
    assert(n == (ssize_t)sizeof one);
}

static void *run_thread(void *arg)
{
    struct keeper_scrypt *x = arg;
    pthread_mutex_lock(&x->lock);
    x->running++;
    pthread_cond_signal(&x->up);
    while (!x->stop || x->waiting.first != NULL) {
        struct node *n = list_take(&x->waiting);
        if (n == NULL) {
            pthread_cond_wait(&x->wake, &x->lock);
            continue;
        }
        pthread_mutex_unlock(&x->lock);
        n->work(n->arg);
        pthread_mutex_lock(&x->lock);
        list_put(&x->finished, n);
        signal_finished(x);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

static enum err post(void *impl, executor_work_cb work, executor_done_cb done, void *arg)
{
    struct keeper_scrypt *x = impl;
    pthread_mutex_lock(&x->lock);
    struct node *n = list_take(&x->free);
    if (n != NULL) {
        n->work = work;
        n->done = done;
        n->arg = arg;
        list_put(&x->waiting, n);
        pthread_cond_signal(&x->wake);
    }
    pthread_mutex_unlock(&x->lock);
    return n != NULL ? ERR_OK : ERR_BUSY;
}

/* The keeper's jobs complete once, at their end. */
static void complete(void *impl, executor_done_cb done, void *arg)
{
    (void)impl;
    (void)done;
    (void)arg;
    assert(!"not used by the keeper");
}

const struct executor *keeper_scrypt_executor(struct keeper_scrypt *x)
{
    return &x->executor;
}

int keeper_scrypt_fd(const struct keeper_scrypt *x)
{
    return x->event;
}

void keeper_scrypt_run(struct keeper_scrypt *x)
{
    uint64_t count = 0;
    ssize_t n = read(x->event, &count, sizeof count);
    (void)n;
    for (;;) {
        pthread_mutex_lock(&x->lock);
        struct node *finished = list_take(&x->finished);
        struct node copy = { 0 };
        if (finished != NULL) {
            copy = *finished;
            list_put(&x->free, finished);
        }
        pthread_mutex_unlock(&x->lock);
        if (finished == NULL) {
            return;
        }
        if (copy.done != NULL) {
            copy.done(copy.arg);
        }
    }
}

static bool start_threads(struct keeper_scrypt *x)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    bool ok =
        pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK) == 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (ok && x->threads < LIMIT_SCRYPT_THREADS) {
        ok = pthread_create(&x->thread[x->threads], &attributes, run_thread, x) == 0;
        x->threads += ok ? 1 : 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* A new thread registers itself with the kernel (rseq, robust list); the
     * filter, which comes next, would not let it. */
    pthread_mutex_lock(&x->lock);
    while (x->running < x->threads) {
        pthread_cond_wait(&x->up, &x->lock);
    }
    pthread_mutex_unlock(&x->lock);
    (void)pthread_attr_destroy(&attributes);
    return ok;
}

enum err keeper_scrypt_open(struct keeper_scrypt **out)
{
    struct keeper_scrypt *x = calloc(1, sizeof *x);
    if (x == NULL) {
        return ERR_NOMEM;
    }
    x->executor = (struct executor){ post, complete, x };
    list_init(&x->free);
    list_init(&x->waiting);
    list_init(&x->finished);
    for (unsigned i = 0; i < LIMIT_SCRYPT_QUEUE; i++) {
        list_put(&x->free, &x->node[i]);
    }
    (void)pthread_mutex_init(&x->lock, NULL);
    (void)pthread_cond_init(&x->wake, NULL);
    (void)pthread_cond_init(&x->up, NULL);
    x->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (x->event < 0 || !start_threads(x)) {
        keeper_scrypt_close(x);
        return ERR_NOMEM;
    }
    *out = x;
    return ERR_OK;
}

void keeper_scrypt_close(struct keeper_scrypt *x)
{
    if (x == NULL) {
        return;
    }
    pthread_mutex_lock(&x->lock);
    x->stop = true;
    pthread_cond_broadcast(&x->wake);
    pthread_mutex_unlock(&x->lock);
    for (unsigned i = 0; i < x->threads; i++) {
        (void)pthread_join(x->thread[i], NULL);
    }
    if (x->event >= 0) {
        keeper_scrypt_run(x);
        (void)close(x->event);
    }
    (void)pthread_mutex_destroy(&x->lock);
    (void)pthread_cond_destroy(&x->wake);
    (void)pthread_cond_destroy(&x->up);
    free(x);
}
