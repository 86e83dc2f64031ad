/* SPDX-License-Identifier: Apache-2.0 */
/* Joiner's side of the clone handshake, the same for a join and an inheritance:
 * M1 from the donor to our core, M2 back, M3, M4. The transport is the owner's.
 * Loop thread; no callback comes from inside taker_begin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/core_verbs.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

enum taker_step { TAKER_M1, TAKER_M2, TAKER_M3, TAKER_M4, TAKER_ENDED };

struct taker {
    struct taker_options o;
    enum taker_step step; /* what is waited for */
    bool asking;          /* the core has a question of ours */
    bool closed, spent;
    uint64_t run;
};

static void drop(struct taker *t)
{
    struct cluster *c = t->o.c;
    free(t);
    cluster_release(c);
}

static void fail(struct taker *t, enum err e, const char *text)
{
    if (t->step != TAKER_ENDED) {
        t->step = TAKER_ENDED;
        t->o.failed(t->o.arg, e, text, t->spent);
    }
}

static void fail_core(struct taker *t, enum err e)
{
    char text[CLUSTER_TEXT];
    (void)snprintf(text, sizeof text, "this member's core refused: %s", err_text(e));
    fail(t, e, text);
}

/* False: the owner has let go meanwhile. */
static bool resume(struct taker *t)
{
    t->asking = false;
    if (t->closed) {
        drop(t);
        return false;
    }
    return true;
}

static enum err ask(struct taker *t, unsigned verb, struct bytes section, cluster_core_cb cb)
{
    const struct cluster_core *core = t->o.c->o.core;
    t->asking = true;
    const enum err e = core->ask(core->impl, verb, 0, 0, &section, 1, cb, t);
    t->asking = e == ERR_OK;
    return e;
}

/* CloneM2 and CloneM4 have the same fields. */
static enum err send_clone(struct taker *t, unsigned type, struct bytes message)
{
    Ringkeep__CloneM2 m2 = RINGKEEP__CLONE_M2__INIT;
    Ringkeep__CloneM4 m4 = RINGKEEP__CLONE_M4__INIT;
    m2.run = m4.run = t->run;
    m2.message.data = m4.message.data = (uint8_t *)(uintptr_t)message.data;
    m2.message.len = m4.message.len = message.size;
    return t->o.send(t->o.arg, type,
                     type == FRAME_CLONE_M2 ? (const void *)&m2 : (const void *)&m4);
}

static void on_m2(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct taker *t = arg;
    (void)number;
    if (!resume(t)) {
        return;
    }
    if (e != ERR_OK) {
        fail_core(t, e);
        return;
    }
    t->step = TAKER_M3;
    t->spent = true;
    e = send_clone(t, FRAME_CLONE_M2, sections[0]);
    if (e != ERR_OK) {
        fail(t, e, "the donor went away in the middle of the handshake");
    }
}

static void log_words(struct bytes words)
{
    char text[64];
    const size_t size = words.size < sizeof text ? words.size : sizeof text - 1;
    if (size > 0) {
        memcpy(text, words.data, size);
        text[size] = '\0';
        log_info("this member's core got the SMK: words %s", text);
    }
}

static void on_m4(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct taker *t = arg;
    (void)number;
    if (!resume(t)) {
        return;
    }
    if (e != ERR_OK) {
        fail_core(t, e);
        return;
    }
    log_words(sections[3]);
    t->step = TAKER_ENDED;
    e = send_clone(t, FRAME_CLONE_M4, sections[0]);
    if (e != ERR_OK) {
        t->o.failed(t->o.arg, e, "the donor went away before it knew that the core has the SMK",
                    true);
        return;
    }
    t->o.given(t->o.arg);
}

static enum err take_message(struct taker *t, const Ringkeep__PeerReply *r)
{
    const struct bytes message = bytes_of(r->clone_message.data, r->clone_message.len);
    if (!r->has_clone_message) {
        return ERR_PROTOCOL;
    }
    if (t->step == TAKER_M1) {
        t->run = r->clone_run;
        t->step = TAKER_M2;
        return ask(t, CORE_VERBS_CLONE_M2, message, on_m2);
    }
    t->step = TAKER_M4;
    return ask(t, CORE_VERBS_CLONE_M4, message, on_m4);
}

void taker_reply(struct taker *t, enum err e, const void *reply)
{
    const Ringkeep__PeerReply *r = reply;
    if (e != ERR_OK) {
        fail(t, e, "the donor went away in the middle of the handshake");
        return;
    }
    if (r->error != ERR_OK) {
        fail(t, err_from_wire(r->error),
             r->text != NULL ? r->text : err_text(err_from_wire(r->error)));
        return;
    }
    if (t->step != TAKER_M1 && t->step != TAKER_M3) {
        fail(t, ERR_PROTOCOL, "the donor answered out of turn");
        return;
    }
    e = take_message(t, r);
    if (e != ERR_OK) {
        fail_core(t, e);
    }
}

enum err taker_begin(struct taker *t, const void *clone_begin)
{
    return t->o.send(t->o.arg, FRAME_CLONE_BEGIN, clone_begin);
}

enum err taker_open(const struct taker_options *o, struct taker **out)
{
    struct taker *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return ERR_NOMEM;
    }
    t->o = *o;
    cluster_hold(o->c);
    *out = t;
    return ERR_OK;
}

void taker_close(struct taker *t)
{
    if (t == NULL) {
        return;
    }
    t->closed = true;
    t->step = TAKER_ENDED;
    if (!t->asking) {
        drop(t);
    }
}
