/* SPDX-License-Identifier: Apache-2.0 */
/* From committed entries to the store. The loop thread owns the queue; a job owns
 * its list from post until its outcomes are posted back; the executor's thread
 * owns the transaction. They share nothing else, so there is no lock. */
#include "raft-glue/applier.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct item {
    struct item *next;
    uint64_t index;
    bool mine;
    struct outcome outcome;
    size_t size;
    uint8_t command[];
};

struct job {
    struct applier *applier;
    struct item *items; /* NULL once the loop has them back */
    size_t bytes;
    uint64_t marker; /* everything up to here is in the store once this is done */
    bool commit;
    unsigned dirty; /* commands in the open transaction afterwards */
};

struct applier {
    struct applier_options options;

    /* Loop thread. */
    uv_timer_t timer;
    struct item *first, **end;
    unsigned count; /* in the list */
    size_t bytes;   /* in the list and in a job */
    uint64_t added, marker, posted, applied, visible;
    uint64_t wanted;
    unsigned dirty; /* as of the last job */
    bool due;       /* the group commit's time is up */
    bool running, kicking, stopped;
    struct job job, last; /* the running one; the one of applier_stop */

    /* Executor's thread. */
    struct store_txn *txn;
    unsigned txn_count;
};

/* -- executor's thread ------------------------------------------------------------ */

static _Noreturn void die(struct applier *a, const char *what, uint64_t index, enum err e)
{
    char reason[160];
    (void)snprintf(reason, sizeof(reason), "applier: %s at index %llu: %s", what,
                   (unsigned long long)index, err_text(e));
    a->options.fatal(a->options.arg, reason);
    abort();
}

static void apply_item(struct applier *a, struct item *i)
{
    enum err e = a->txn == NULL ? store_begin(a->options.store, &a->txn) : ERR_OK;
    if (e != ERR_OK) {
        die(a, "cannot begin a transaction", i->index, e);
    }
    bool skipped = false;
    const struct bytes command = bytes_of(i->command, i->size);
    e = apply_command(a->txn, i->index, command, &i->outcome, &skipped);
    if (e != ERR_OK) {
        die(a, apply_verb_name(command), i->index, e);
    }
    if (i->mine && skipped) {
        die(a, "a new command is older than the store", i->index, ERR_CORRUPT);
    }
    a->txn_count++;
}

static void commit(struct applier *a)
{
    if (a->txn == NULL) {
        return;
    }
    const uint64_t index = store_txn_index(a->txn);
    const enum err e = store_commit(&a->txn);
    if (e != ERR_OK) {
        die(a, "commit failed", index, e);
    }
    a->txn_count = 0;
}

static void on_applied(void *arg);

static void run(void *arg)
{
    struct job *j = arg;
    struct applier *a = j->applier;
    for (struct item *i = j->items; i != NULL; i = i->next) {
        apply_item(a, i);
    }
    /* The outcomes do not wait for the commit (consistency.md 4). */
    if (j->items != NULL) {
        executor_complete(a->options.executor, on_applied, j);
    }
    if (j->commit || a->txn_count >= LIMIT_GROUP_COMMIT_ENTRIES) {
        commit(a);
    }
    j->dirty = a->txn_count;
}

static void run_abandon(void *arg)
{
    struct applier *a = arg;
    if (a->txn != NULL) {
        store_abort(&a->txn);
    }
}

/* -- loop thread -------------------------------------------------------------------- */

static void on_applied(void *arg)
{
    struct job *j = arg;
    struct applier *a = j->applier;
    struct item *i = j->items;
    j->items = NULL;
    a->bytes -= j->bytes;
    a->applied = j->marker;
    while (i != NULL) {
        struct item *next = i->next;
        if (i->mine) {
            a->options.on_outcome(a->options.arg, i->index, &i->outcome);
        }
        free(i);
        i = next;
    }
}

static void on_time(uv_timer_t *timer)
{
    struct applier *a = timer->data;
    a->due = true;
    applier_kick(a);
}

static void on_done(void *arg)
{
    struct job *j = arg;
    struct applier *a = j->applier;
    if (j == &a->job) {
        a->running = false;
    }
    a->applied = j->marker;
    a->dirty = j->dirty;
    if (a->dirty == 0) {
        a->due = false;
        (void)uv_timer_stop(&a->timer);
    } else if (!uv_is_active((uv_handle_t *)&a->timer)) {
        (void)uv_timer_start(&a->timer, on_time, LIMIT_GROUP_COMMIT_MS, 0);
    }
    if (a->dirty == 0 && j->marker > a->visible) {
        a->visible = j->marker;
        a->options.on_visible(a->options.arg, a->visible);
    }
    applier_kick(a);
}

/* Moves up to `limit` items into j. */
static void fill(struct applier *a, struct job *j, unsigned limit)
{
    *j = (struct job){ .applier = a, .items = a->first, .marker = a->marker };
    struct item **at = &a->first;
    unsigned n = 0;
    for (; *at != NULL && n < limit; at = &(*at)->next) {
        n++;
        j->bytes += sizeof(**at) + (*at)->size;
        j->marker = (*at)->index;
    }
    struct item *rest = *at;
    if (n > 0) {
        *at = NULL;
    } else {
        j->items = NULL;
    }
    if (rest == NULL) {
        j->marker = a->marker;
        a->end = &a->first;
    }
    a->first = rest;
    a->count -= n;
    j->commit = a->due || (a->wanted != 0 && a->wanted <= j->marker);
}

/* The executor's queue is full: what was taken goes back to the front. */
static void put_back(struct applier *a, struct job *j)
{
    if (j->items == NULL) {
        return;
    }
    struct item *tail = j->items;
    unsigned n = 1;
    while (tail->next != NULL) {
        tail = tail->next;
        n++;
    }
    tail->next = a->first;
    if (a->first == NULL) {
        a->end = &tail->next;
    }
    a->first = j->items;
    a->count += n;
}

static bool is_due(const struct applier *a)
{
    const bool reader = a->wanted != 0 && a->wanted <= a->marker && a->dirty > 0;
    return a->count > 0 || a->marker > a->posted || (a->due && a->dirty > 0) || reader;
}

void applier_kick(struct applier *a)
{
    if (a->kicking) {
        return; /* an executor that runs jobs in the caller */
    }
    a->kicking = true;
    while (!a->running && !a->stopped && is_due(a)) {
        fill(a, &a->job, LIMIT_GROUP_COMMIT_ENTRIES);
        const uint64_t marker = a->job.marker;
        a->running = true;
        if (executor_post(a->options.executor, run, on_done, &a->job) != ERR_OK) {
            a->running = false;
            put_back(a, &a->job);
            (void)uv_timer_start(&a->timer, on_time, LIMIT_GROUP_COMMIT_MS, 0);
            break;
        }
        a->posted = marker;
    }
    a->kicking = false;
}

enum err applier_open(const struct applier_options *options, struct applier **out)
{
    struct applier *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return ERR_NOMEM;
    }
    a->options = *options;
    a->end = &a->first;
    a->added = a->marker = a->posted = options->stored;
    a->applied = a->visible = options->stored;
    if (uv_timer_init(options->loop, &a->timer) != 0) {
        free(a);
        return ERR_IO;
    }
    a->timer.data = a;
    *out = a;
    return ERR_OK;
}

enum err applier_add(struct applier *a, uint64_t index, struct bytes command, bool mine)
{
    if (a->stopped || index <= a->options.stored) {
        return ERR_OK; /* committed once more after a restart */
    }
    assert(index > a->added);
    struct item *i = malloc(sizeof(*i) + command.size);
    if (i == NULL) {
        return ERR_NOMEM;
    }
    i->next = NULL;
    i->index = index;
    i->mine = mine;
    i->outcome = (struct outcome){ 0 };
    i->size = command.size;
    if (command.size > 0) {
        memcpy(i->command, command.data, command.size);
    }
    a->added = index;
    *a->end = i;
    a->end = &i->next;
    a->count++;
    a->bytes += sizeof(*i) + i->size;
    return ERR_OK;
}

void applier_mark(struct applier *a, uint64_t index)
{
    if (index > a->marker) {
        a->marker = index;
    }
}

void applier_want(struct applier *a, uint64_t index)
{
    a->wanted = index;
}

uint64_t applier_applied(const struct applier *a)
{
    return a->applied;
}

uint64_t applier_visible(const struct applier *a)
{
    return a->visible;
}

size_t applier_bytes(const struct applier *a)
{
    return a->bytes;
}

void applier_stop(struct applier *a)
{
    if (a->stopped) {
        return;
    }
    a->stopped = true;
    (void)uv_timer_stop(&a->timer);
    fill(a, &a->last, a->count);
    a->last.commit = true;
    const enum err e = executor_post(a->options.executor, run, on_done, &a->last);
    if (e != ERR_OK) {
        die(a, "the last commit could not be posted", a->marker, e);
    }
}

void applier_abandon(struct applier *a)
{
    a->stopped = true;
    (void)uv_timer_stop(&a->timer);
    (void)executor_post(a->options.executor, run_abandon, NULL, a);
}
