/* SPDX-License-Identifier: Apache-2.0 */
/* A member whose core lost the SMK asks the active members for it, in turn, every
 * few seconds; and what keeps that possible while it has it: the core sees each
 * new roster, and its beacon is committed now and then. Loop thread. */
#include <string.h>

#include "base/log.h"
#include "cluster/core_verbs.h"
#include "cluster/inside.h"
#include "command.pb-c.h"
#include "keyring/query.h"
#include "peer.pb-c.h"

#define PAUSE_MS 2000u
#define NOBODY_MS 500u
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

void cluster_inherit(struct cluster *c)
{
    c->inherit.next_ms = 0;
}

/* -- what an active core is shown, and says ------------------------------------------------ */

static void on_roster_seen(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct cluster *c = arg;
    (void)number;
    (void)sections;
    c->inherit.feeding = false;
    if (e != ERR_OK) {
        log_warn("the core does not take the roster: %s", err_text(e));
    }
    cluster_release(c);
}

static void feed_roster(struct cluster *c)
{
    STORE_VIEW_SCOPED *view = NULL;
    Ringkeep__ClusterRow *row = NULL;
    if (store_view_open(c->o.store, &view) != ERR_OK ||
        query_cluster(view, (void **)&row) != ERR_OK) {
        return;
    }
    const struct bytes roster = bytes_of(row->roster.data, row->roster.len);
    const struct cluster_core *core = c->o.core;
    cluster_hold(c);
    const enum err e =
        core->ask(core->impl, CORE_VERBS_ROSTER_SEEN, 0, 0, &roster, 1, on_roster_seen, c);
    c->inherit.feeding = e == ERR_OK;
    if (e == ERR_OK) {
        c->inherit.roster_fed = row->roster_version;
    } else {
        cluster_release(c);
    }
    query_drop(row);
}

static void on_beacon_put(void *arg, enum err e, const struct outcome *outcome)
{
    struct cluster *c = arg;
    const bool good = e == ERR_OK && outcome->error == ERR_OK;
    if (!good && !c->stopped) {
        c->inherit.beacon_ms = jittered(c, AGAIN_MS);
    }
    cluster_release(c);
}

static void on_beacon(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct cluster *c = arg;
    Ringkeep__BeaconPut put = RINGKEEP__BEACON_PUT__INIT;
    (void)number;
    if (e == ERR_OK && !c->stopped) {
        put.member_id.data = c->self.member_id;
        put.member_id.len = ID_SIZE;
        put.beacon.data = (uint8_t *)(uintptr_t)sections[0].data;
        put.beacon.len = sections[0].size;
        e = forward_command(c, RINGKEEP__COMMAND__VERB_BEACON_PUT, &put, LIMIT_REQUEST_MS,
                            on_beacon_put, c);
    }
    if (e != ERR_OK || c->stopped) {
        c->inherit.beacon_ms = jittered(c, AGAIN_MS);
        cluster_release(c);
    }
}

static void give_beacon(struct cluster *c, uint64_t now_ms)
{
    const struct cluster_core *core = c->o.core;
    c->inherit.beacon_ms = now_ms + LIMIT_BEACON_S * 1000u;
    cluster_hold(c);
    if (core->ask(core->impl, CORE_VERBS_BEACON, 0, 0, NULL, 0, on_beacon, c) != ERR_OK) {
        c->inherit.beacon_ms = jittered(c, AGAIN_MS);
        cluster_release(c);
    }
}

static void tend_active(struct cluster *c, uint64_t now_ms)
{
    struct inherit *in = &c->inherit;
    if (!in->was_authorized) {
        in->beacon_ms = 0;
        in->roster_fed = 0;
    }
    if (!c->directory.complete) {
        return;
    }
    if (!in->feeding && in->roster_fed != c->directory.roster_version) {
        feed_roster(c);
    }
    if (now_ms >= in->beacon_ms) {
        give_beacon(c, now_ms);
    }
}

void inherit_tick(struct cluster *c, uint64_t now_ms)
{
    if (c->phase != CLUSTER_MEMBER) {
        return;
    }
    const bool authorized = is_authorized(c);
    if (authorized) {
        tend_active(c, now_ms);
    } else {
        try_inherit(c, now_ms);
    }
    c->inherit.was_authorized = authorized;
}

void inherit_stop(struct cluster *c)
{
    taker_close(c->inherit.taker);
    c->inherit.taker = NULL;
}
