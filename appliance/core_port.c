/* SPDX-License-Identifier: Apache-2.0 */
/* struct cluster_core over struct core, and the status poll. Loop thread. */
#include "appliance/core_port.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    core_port_cb cb;
    void *arg;
};

struct core_port {
    const struct core *core; /* borrowed */
    struct cluster_core cluster;
    struct core_status status;
    bool known, asking;
    unsigned misses;
    struct waiter waiting[CORE_PORT_WAITERS];
    unsigned waiters;
    core_port_cb changed;
    void *changed_arg;
};

struct question {
    struct core_port *port;
    unsigned verb;
    cluster_core_cb cb;
    void *arg;
};

static void on_answer(void *arg, enum err e, const struct core_reply *reply)
{
    static const struct bytes nothing[CORE_SECTIONS];
    struct question q = *(struct question *)arg;
    free(arg);
    const bool ok = e == ERR_OK && reply != NULL;
    q.cb(q.arg, e, ok ? reply->number : 0, ok ? reply->section : nothing);
    if (ok && q.verb == CORE_CLONE_M4) {
        core_port_refresh(q.port, NULL, NULL);
    }
}

static enum err ask(void *impl,
                    unsigned verb,
                    uint64_t handle,
                    uint64_t number,
                    const struct bytes *sections,
                    unsigned count,
                    cluster_core_cb cb,
                    void *arg)
{
    struct core_port *p = impl;
    struct core_request request = { .verb = verb, .handle = handle, .number = number };
    assert(count <= CORE_SECTIONS && cb != NULL);
    for (unsigned i = 0; i < count; i++) {
        request.section[i] = sections[i];
    }
    struct question *q = malloc(sizeof *q);
    if (q == NULL) {
        return ERR_NOMEM;
    }
    *q = (struct question){ p, verb, cb, arg };
    const enum err e = core_call(p->core, &request, LIMIT_CALL_MS, on_answer, q);
    if (e != ERR_OK) {
        free(q);
    }
    return e;
}

static bool is_authorized(void *impl)
{
    const struct core_port *p = impl;
    return core_port_answering(p) && p->status.state == CORE_AUTHORIZED;
}

enum err core_port_open(const struct core *core, struct core_port **out)
{
    struct core_port *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return ERR_NOMEM;
    }
    p->core = core;
    p->cluster = (struct cluster_core){ ask, is_authorized, p };
    *out = p;
    return ERR_OK;
}

void core_port_close(struct core_port *p)
{
    free(p);
}

const struct cluster_core *core_port_cluster(struct core_port *p)
{
    return &p->cluster;
}

const struct core_status *core_port_status(const struct core_port *p)
{
    return &p->status;
}

bool core_port_answering(const struct core_port *p)
{
    return p->known && p->misses < CORE_PORT_MISSES;
}

void core_port_on_change(struct core_port *p, core_port_cb cb, void *arg)
{
    p->changed = cb;
    p->changed_arg = arg;
}

static void call_waiters(struct core_port *p)
{
    struct waiter now[CORE_PORT_WAITERS];
    const unsigned count = p->waiters;
    memcpy(now, p->waiting, count * sizeof now[0]);
    p->waiters = 0;
    for (unsigned i = 0; i < count; i++) {
        now[i].cb(now[i].arg);
    }
}

static void on_status(void *arg, enum err e, const struct core_reply *reply)
{
    struct core_port *p = arg;
    struct core_status status = { 0 };
    const bool was = core_port_answering(p);
    const uint32_t before = p->status.state;
    p->asking = false;
    if (e == ERR_OK && reply != NULL) {
        e = core_status_decode(reply->section[0], &status);
    }
    if (e == ERR_OK) {
        p->status = status;
        p->known = true;
        p->misses = 0;
    } else if (p->misses < CORE_PORT_MISSES) {
        p->misses++;
    }
    if (p->changed != NULL && (was != core_port_answering(p) || before != p->status.state)) {
        p->changed(p->changed_arg);
    }
    call_waiters(p);
}

void core_port_refresh(struct core_port *p, core_port_cb done, void *arg)
{
    if (done != NULL && p->waiters == CORE_PORT_WAITERS) {
        done(arg);
        return;
    }
    if (done != NULL) {
        p->waiting[p->waiters++] = (struct waiter){ done, arg };
    }
    if (p->asking) {
        return;
    }
    const struct core_request request = { .verb = CORE_STATUS };
    p->asking = true;
    if (core_call(p->core, &request, LIMIT_REQUEST_MS, on_status, p) != ERR_OK) {
        on_status(p, ERR_BUSY, NULL);
    }
}
