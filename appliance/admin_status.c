/* SPDX-License-Identifier: Apache-2.0 */
/* status: this member, its cluster, and what to do next. Works in every state and
 * asks nobody but the core. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "appliance/admin_handlers.h"
#include "appliance/admin_request.h"
#include "appliance/catalogue.h"
#include "appliance/client_door.h"
#include "appliance/core_port.h"
#include "appliance/logins.h"
#include "appliance/sessions.h"
#include "keyring/query.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define DIGEST_SHOWN 8u
#define LOG_WARN_ENTRIES ((uint64_t)LIMIT_RAFT_LOG_ENTRIES / 10 * 8)

/* -- words ------------------------------------------------------------------------- */

static const char *state_text(const struct admin_request *r)
{
    const enum core_state state = appliance_state(r->a);
    if (!core_port_answering(r->a->port)) {
        return "core does not answer";
    }
    if (state == CORE_UNINITIALISED) {
        return "uninitialised";
    }
    if (!cluster_is_member(r->a->cluster)) {
        return "initialised";
    }
    return state == CORE_AUTHORIZED ? "authorized" : "sealed";
}

static const char *role_text(const struct cluster_member *m)
{
    static const char *const votes[] = {
        [REPLICA_VOTER] = "follower", [REPLICA_STANDBY] = "standby", [REPLICA_SPARE] = "joining"
    };
    return m->leader ? "leader" : votes[m->vote];
}

/* -- members ------------------------------------------------------------------------- */

/* Of a silent member nothing is claimed. */
static const char *member_state_text(const struct cluster_member *m, bool authorized)
{
    if (!m->self && !m->alive) {
        return "unknown";
    }
    return authorized ? "authorized" : "sealed";
}

static void put_contact(struct admin_request *r, uint64_t ms)
{
    if (ms == UINT64_MAX) {
        admin_text(r, "contact_ms", "never");
    } else {
        admin_number(r, "contact_ms", ms);
    }
}

static void put_member(struct admin_request *r, const struct cluster_member *m, bool authorized)
{
    admin_row_begin(r);
    admin_text(r, "name", m->name);
    admin_hex(r, "id", bytes_of(m->member_id, ID_SIZE));
    admin_text(r, "role", role_text(m));
    admin_text(r, "state", member_state_text(m, authorized));
    admin_text(r, "alive", m->self || m->alive ? "yes" : "no");
    admin_number(r, "applied", m->applied_index);
    admin_number(r, "last", m->last_index);
    admin_hex(r, "digest", bytes_of(m->digest, DIGEST_SHOWN));
    put_contact(r, m->self ? 0 : m->heard_ms_ago);
    admin_text(r, "address", m->client_address);
    admin_row_end(r);
}

/* Returns how many members answer. */
static unsigned put_members(struct admin_request *r, unsigned *voters)
{
    struct cluster_member members[LIMIT_MEMBERS];
    struct replica_status raft = { 0 };
    const struct cluster_core *core = core_port_cluster(r->a->port);
    const unsigned count = cluster_members(r->a->cluster, members, LIMIT_MEMBERS);
    unsigned alive = 0;
    *voters = 0;
    cluster_replica_status(r->a->cluster, &raft);
    for (unsigned i = 0; i < count; i++) {
        struct cluster_member *m = &members[i];
        const bool voter = m->vote == REPLICA_VOTER;
        *voters += voter ? 1 : 0;
        alive += voter && (m->self || m->alive) ? 1 : 0;
        if (m->self) {
            m->applied_index = raft.visible_index;
            m->last_index = raft.last_index;
            admin_text(r, "role", role_text(m));
        }
        put_member(r, m, m->self ? core->authorized(core->impl) : m->authorized);
    }
    return alive;
}

/* -- what to do next ------------------------------------------------------------------- */

static void put_next(struct admin_request *r, unsigned alive, unsigned voters)
{
    const struct core_status *s = core_port_status(r->a->port);
    const enum core_state state = appliance_state(r->a);
    const bool member = cluster_is_member(r->a->cluster);
    if (!core_port_answering(r->a->port)) {
        admin_text(r, "next", "the core does not answer: look at ringkeep-hsm and its log");
        return;
    }
    if (state == CORE_UNINITIALISED) {
        admin_text(r, "next", "run: ringkeep init");
        return;
    }
    if (!member && state >= CORE_MEMBER) {
        admin_text(r, "next", "the core belongs to a cluster but this member's log does not: join again with an empty core");
        return;
    }
    if (!member) {
        admin_text(r, "next", "run: ringkeep cluster create, or ringkeep member join with an invite");
        return;
    }
    if (state != CORE_AUTHORIZED) {
        admin_text(r, "next", "run: ringkeep cluster authorize (an active member may also give the SMK by itself)");
    }
    if (alive * 2 <= voters) {
        admin_text(r, "next", "no majority of the voters answers: start members; signing goes on, writes and logins wait");
    }
    if (voters == 2) {
        admin_text(r, "next", "a pair stops writing when either member is down: join a third");
    }
    if (r->a->clients != NULL && !client_door_listening(r->a->clients)) {
        admin_text(r, "next", "the client door opens once this member is authorized and has a server certificate");
    }
    if (s->mtk_in_state != 0) {
        admin_text(r, "next", "the MTK lies beside the core's state: give the core RINGKEEP_MTK on another medium");
    }
}

/* -- this member ------------------------------------------------------------------------- */

static void put_core(struct admin_request *r)
{
    const struct core_status *s = core_port_status(r->a->port);
    if (!core_port_answering(r->a->port)) {
        return;
    }
    admin_text(r, "isolated", s->isolated != 0 ? "yes" : "core not isolated");
    admin_text(r, "memory", s->locked != 0 ? "locked" : "not locked");
    admin_text(r, "mtk", s->mtk_in_state != 0 ? "in the core's own directory" : "elsewhere");
    admin_hex(r, "core", bytes_of(s->core_id, ID_SIZE));
    admin_number(r, "roster_version", s->roster_version);
    admin_number(r, "login_key_version", s->lk_version);
    admin_number(r, "handles", s->handles);
    admin_number(r, "password_checks_waiting", s->scrypt_waiting);
}

static void put_counters(struct admin_request *r)
{
    struct core_rings_stats stats = { 0 };
    if (r->a->rings != NULL) {
        stats = core_rings_stats(r->a->rings);
    }
    admin_number(r, "workers", stats.workers);
    admin_number(r, "worker_deaths", stats.worker_deaths);
    admin_number(r, "quarantined", stats.quarantined);
    admin_number(r, "lost_wakeups", stats.lost_wakeups);
    admin_number(r, "core_calls", stats.calls);
    admin_number(r, "sessions", sessions_count(r->a->sessions));
    admin_number(r, "logins_waiting", logins_waiting(r->a->logins));
    admin_number(r, "catalogue_bytes", catalogue_size(r->a->catalogue));
    admin_number(r, "connections", r->a->clients == NULL ? 0 : client_door_connections(r->a->clients));
    admin_text(r,
               "client_door",
               r->a->clients != NULL && client_door_listening(r->a->clients) ? "open" : "not open");
}

static void put_log(struct admin_request *r)
{
    struct replica_status raft = { 0 };
    cluster_replica_status(r->a->cluster, &raft);
    admin_number(r, "term", raft.term);
    admin_number(r, "log_entries", raft.last_index);
    admin_number(r, "log_limit", LIMIT_RAFT_LOG_ENTRIES);
    admin_number(r, "committed", raft.commit_index);
    admin_number(r, "visible", raft.visible_index);
    put_contact(r, raft.contact_ms);
    if (raft.last_index > LOG_WARN_ENTRIES) {
        admin_text(r, "next", "the replicated log nears its bound of this release: plan a new cluster");
    }
}

static void put_store(struct admin_request *r)
{
    STORE_VIEW_SCOPED *view = NULL;
    uint8_t digest[DIGEST_SIZE], id[ID_SIZE];
    void *found = NULL;
    if (store_view_open(r->a->store, &view) != ERR_OK) {
        return;
    }
    store_view_digest(view, digest);
    admin_number(r, "applied", store_view_index(view));
    admin_hex(r, "digest", bytes_of(digest, sizeof digest));
    cluster_id(r->a->cluster, id);
    admin_hex(r, "cluster_id", bytes_of(id, ID_SIZE));
    cluster_incarnation(r->a->cluster, id);
    admin_hex(r, "incarnation", bytes_of(id, ID_SIZE));
    if (query_cluster(view, &found) == ERR_OK) {
        admin_text(r, "label", ((Ringkeep__ClusterRow *)found)->label);
    }
    query_drop(found);
}

static void put_all(struct admin_request *r)
{
    unsigned alive = 1, voters = 1;
    admin_text(r, "name", r->a->settings->name);
    admin_text(r, "version", RINGKEEP_VERSION);
    admin_text(r, "state", state_text(r));
    put_core(r);
    admin_text(r, "strict", "none");
    admin_text(r, "strict_text", "all keyrings are non-strict in this release");
    if (cluster_is_member(r->a->cluster)) {
        put_store(r);
        put_log(r);
        alive = put_members(r, &voters);
    }
    put_counters(r);
    put_next(r, alive, voters);
    admin_done(r);
}

void admin_status(struct admin_request *r)
{
    admin_refresh(r, put_all);
}
