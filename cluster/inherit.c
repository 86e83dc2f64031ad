/* SPDX-License-Identifier: Apache-2.0 */
/* A member whose core lost the SMK asks the active members for it, in turn, every
 * few seconds. What keeps that possible (beacons, rosters shown to the core) is
 * appliance/duties.c. Loop thread. */
#include <string.h>

#include "base/log.h"
#include "cluster/core_verbs.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

#define PAUSE_MS 2000u
#define NOBODY_MS 500u
#define FIRST_MS 1000u
#define AGAIN_MS 5000u
#define REPLY_MS 10000u

static bool is_authorized(const struct cluster *c)
{
    return c->o.core->authorized(c->o.core->impl);
}

static uint64_t jittered(const struct cluster *c, unsigned ms)
{
    return cluster_now_ms(c) + ms + random_u64(c->o.random) % ms;
}

/* -- asking for the SMK ----------------------------------------------------------------- */

static void end(struct cluster *c, unsigned pause_ms)
{
    taker_close(c->inherit.taker);
    c->inherit.taker = NULL;
    c->inherit.busy = false;
    c->inherit.next_ms = jittered(c, pause_ms);
}

static void on_failed(void *arg, enum err e, const char *text, bool spent)
{
    struct cluster *c = arg;
    char hex[CLUSTER_HEX];
    (void)spent;
    if (!c->inherit.refused) {
        log_security("inherit", cluster_hex(c->self.member_id, hex), text, err_name(e));
        log_info("this member stays sealed for now; it asks again, or authorize it: ringkeep "
                 "cluster authorize");
    }
    c->inherit.refused = true; /* said once */
    end(c, PAUSE_MS);
}

static void on_given(void *arg)
{
    struct cluster *c = arg;
    char hex[CLUSTER_HEX];
    log_security("inherit", cluster_hex(c->self.member_id, hex),
                 "this member's core inherited the SMK", err_name(ERR_OK));
    c->inherit.refused = false;
    end(c, AGAIN_MS);
    if (c->o.on_authorized != NULL) {
        c->o.on_authorized(c->o.arg);
    }
}

/* M4 has no taker any more when its answer comes. */
static void on_reply(void *arg, enum err e, const void *reply)
{
    struct cluster *c = arg;
    if (c->inherit.taker != NULL && !c->stopped) {
        taker_reply(c->inherit.taker, e, reply);
    }
}

static enum err send_clone(void *arg, unsigned type, const void *message)
{
    struct cluster *c = arg;
    return peer_call(c, c->inherit.donor_raft_id, type, message, REPLY_MS, on_reply, c);
}

static enum err begin(struct cluster *c, struct bytes request)
{
    Ringkeep__CloneBegin b = RINGKEEP__CLONE_BEGIN__INIT;
    const struct taker_options o = {
        .c = c, .send = send_clone, .given = on_given, .failed = on_failed, .arg = c
    };
    b.purpose = CORE_VERBS_PURPOSE_INHERIT;
    b.request.data = (uint8_t *)(uintptr_t)request.data;
    b.request.len = request.size;
    TRY(taker_open(&o, &c->inherit.taker));
    return taker_begin(c->inherit.taker, &b);
}

static void on_request(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct cluster *c = arg;
    (void)number;
    if (c->stopped) {
        c->inherit.busy = false;
    } else if (e != ERR_OK || begin(c, sections[0]) != ERR_OK) {
        end(c, PAUSE_MS); /* a core without a cluster of its own, or the donor just went */
    }
    cluster_release(c);
}

static bool choose_donor(struct cluster *c)
{
    struct inherit *in = &c->inherit;
    for (unsigned i = 0; i < c->peer_count; i++) {
        const struct peer *p = c->peers[(in->turn + i) % c->peer_count];
        if (p->heard && p->authorized && peer_is_up(c, p->row.raft_id)) {
            in->donor_raft_id = p->row.raft_id;
            in->turn = (in->turn + i + 1) % c->peer_count;
            return true;
        }
    }
    return false;
}

static void try_inherit(struct cluster *c, uint64_t now_ms)
{
    struct inherit *in = &c->inherit;
    if (in->busy || now_ms < in->next_ms) {
        return;
    }
    if (!choose_donor(c)) {
        in->next_ms = now_ms + NOBODY_MS;
        return;
    }
    in->busy = true;
    cluster_hold(c);
    const enum err e =
        c->o.core->ask(c->o.core->impl, CORE_VERBS_INHERIT_BEGIN, 0, 0, NULL, 0, on_request, c);
    if (e != ERR_OK) {
        end(c, PAUSE_MS);
        cluster_release(c);
    }
}

/* What the core's state is must be known first. */
void inherit_later(struct cluster *c)
{
    c->inherit.next_ms = jittered(c, FIRST_MS);
}

void cluster_inherit(struct cluster *c)
{
    c->inherit.next_ms = 0;
}

void inherit_tick(struct cluster *c, uint64_t now_ms)
{
    if (c->phase != CLUSTER_MEMBER) {
        return;
    }
    if (!is_authorized(c)) {
        try_inherit(c, now_ms);
    }
}

void inherit_stop(struct cluster *c)
{
    taker_close(c->inherit.taker);
    c->inherit.taker = NULL;
}
