/* SPDX-License-Identifier: Apache-2.0 */
/* Keeper and worker in the caller's process, for tests (core_local.h). Calls are
 * encoded when they are made and decoded when they run, so the wire is used too.
 * One thread. */
#include "hsm-sim/core_local.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hsm-sim/keeper_test.h"
#include "hsm-sim/worker.h"
#include "sks/record.h"

#define TEST_LOG_N 4u

struct local_call {
    struct local_call *next;
    struct core_local *owner;
    core_reply_cb cb;
    void *arg;
    size_t size;
    uint8_t request[];
};

struct core_local {
    struct core seam;
    struct keeper *keeper;
    struct worker *worker;
    int state_fd[2];
    struct local_call *first, **last;
    unsigned ended, keeper_calls;
    struct secret out; /* LIMIT_RING_LARGE */
};

static void finish(struct local_call *c, enum err e, const struct core_reply *reply)
{
    c->owner->ended++;
    c->cb(c->arg, e, reply);
    bytes_wipe(c->request, c->size);
    free(c);
}

/* -- the worker's way to the keeper -------------------------------------------------- */

struct asked {
    uint8_t *scratch;
    size_t scratch_size;
    struct core_reply *reply;
    bool done;
    enum err error;
};

static void on_asked(void *arg, const struct core_reply *reply)
{
    struct asked *a = arg;
    size_t size = core_reply_size(reply);
    a->done = true;
    a->error = ERR_TOO_LARGE;
    if (size <= a->scratch_size) {
        core_reply_encode(reply, a->scratch);
        a->error = core_reply_decode(bytes_of(a->scratch, size), a->reply);
    }
}

static enum err local_ask(void *impl,
                          const struct core_request *request,
                          bool internal,
                          uint8_t *scratch,
                          size_t scratch_size,
                          struct core_reply *reply)
{
    struct core_local *l = impl;
    struct asked asked = { .scratch = scratch, .scratch_size = scratch_size, .reply = reply };
    keeper_answer(l->keeper, request, internal, on_asked, &asked);
    assert(asked.done); /* no verb for workers waits for scrypt */
    return asked.error;
}

/* -- calls ---------------------------------------------------------------------------- */

static enum err local_call(void *impl,
                           const struct core_request *request,
                           unsigned timeout_ms,
                           core_reply_cb cb,
                           void *arg)
{
    struct core_local *l = impl;
    const struct core_verb_row *row = NULL;
    size_t size = core_request_size(request);
    struct local_call *c;
    (void)timeout_ms;
    TRY(core_request_check(request, &row));
    c = calloc(1, sizeof *c + size);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->owner = l;
    c->cb = cb;
    c->arg = arg;
    c->size = size;
    core_request_encode(request, c->request);
    *l->last = c;
    l->last = &c->next;
    return ERR_OK;
}

static void on_keeper(void *arg, const struct core_reply *reply)
{
    struct local_call *c = arg;
    c->owner->keeper_calls--;
    finish(c, reply->error, reply);
}

static void run(struct core_local *l, struct local_call *c)
{
    struct core_request request;
    struct core_reply reply;
    enum err e = core_request_decode(bytes_of(c->request, c->size), &request);
    if (e != ERR_OK) {
        finish(c, e, NULL);
        return;
    }
    if (core_verb_find(request.verb)->runs == CORE_RUNS_KEEPER) {
        l->keeper_calls++;
        keeper_answer(l->keeper, &request, false, on_keeper, c);
        return;
    }
    worker_answer(l->worker, &request, l->out.data, l->out.size, &reply);
    finish(c, reply.error, &reply);
}

static struct local_call *take_all(struct core_local *l)
{
    struct local_call *c = l->first;
    l->first = NULL;
    l->last = &l->first;
    return c;
}

unsigned core_local_run(struct core_local *c)
{
    unsigned before = c->ended;
    while (c->first != NULL) {
        struct local_call *next, *at = take_all(c);
        for (; at != NULL; at = next) {
            next = at->next;
            run(c, at);
        }
    }
    return c->ended - before;
}

/* -- life ------------------------------------------------------------------------------ */

static int open_in(const char *dir, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        return -1;
    }
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* The test's MTK: 32 bytes beside the state, made at the first opening. */
static enum err read_mtk(const char *dir, struct secret *mtk)
{
    int fd = open_in(dir, "mtk");
    enum err e = ERR_IO;
    if (fd < 0) {
        return ERR_IO;
    }
    e = secret_alloc(mtk, CRYPT_KEY);
    if (e == ERR_OK && read(fd, mtk->data, CRYPT_KEY) != (ssize_t)CRYPT_KEY) {
        e = crypt_random(mtk->data, CRYPT_KEY);
        if (e == ERR_OK && write(fd, mtk->data, CRYPT_KEY) != (ssize_t)CRYPT_KEY) {
            e = ERR_IO;
        }
    }
    close(fd);
    return e;
}

static enum err open_parts(struct core_local *l, const char *dir)
{
    const struct keeper_link link = { .ask = local_ask, .impl = l };
    struct keeper_options options = { .mtk_in_state = true,
                                      .clock = clock_system(),
                                      .scrypt = executor_inline() };
    enum err e;
    TRY(crypt_init());
    TRY(secret_alloc(&l->out, LIMIT_RING_LARGE));
    l->state_fd[0] = open_in(dir, "state.0");
    l->state_fd[1] = open_in(dir, "state.1");
    if (l->state_fd[0] < 0 || l->state_fd[1] < 0) {
        return ERR_IO;
    }
    memcpy(options.state_fd, l->state_fd, sizeof options.state_fd);
    e = read_mtk(dir, &options.mtk);
    if (e == ERR_OK) {
        record_allow_test_scrypt(true);
        e = keeper_open(&options, &l->keeper);
    }
    secret_drop(&options.mtk);
    TRY(e);
    keeper_test_log_n(l->keeper, TEST_LOG_N);
    return worker_open(clock_system(), &link, &l->worker);
}

enum err core_local_open(const char *state_dir, struct core_local **out)
{
    struct core_local *l = calloc(1, sizeof *l);
    enum err e;
    if (l == NULL) {
        return ERR_NOMEM;
    }
    l->seam.call = local_call;
    l->seam.impl = l;
    l->last = &l->first;
    l->state_fd[0] = l->state_fd[1] = -1;
    e = open_parts(l, state_dir);
    if (e != ERR_OK) {
        core_local_close(l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

const struct core *core_local_core(struct core_local *c)
{
    return &c->seam;
}

struct keeper *core_local_keeper(struct core_local *c)
{
    return c->keeper;
}

void core_local_close(struct core_local *c)
{
    struct local_call *next, *at;
    if (c == NULL) {
        return;
    }
    assert(c->keeper_calls == 0);
    for (at = take_all(c); at != NULL; at = next) {
        next = at->next;
        finish(at, ERR_CANCELLED, NULL);
    }
    worker_close(c->worker);
    keeper_close(c->keeper);
    for (unsigned i = 0; i < 2; i++) {
        if (c->state_fd[i] >= 0) {
            close(c->state_fd[i]);
        }
    }
    secret_drop(&c->out);
    free(c);
}
