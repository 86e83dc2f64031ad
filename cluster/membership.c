/* SPDX-License-Identifier: Apache-2.0 */
/* The leader makes raft's servers follow the MEMBERS rows, one change at a time:
 * adds what raft lacks, removes what has no row, and keeps as many voters as rule
 * 24 says (the largest odd number of members, at most 9); the rest are standbys
 * that are promoted once they have caught up. Loop thread. */
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"

#define STEP_MS 200u
#define RETRY_MS 1000u
#define CAUGHT_UP 1000u /* entries behind the leader */

struct plan {
    struct replica_server server[LIMIT_MEMBERS];
    unsigned count, voters, wanted;
    uint64_t last_index;
};

static void on_changed(void *arg, enum err e, uint64_t index)
{
    struct cluster *c = arg;
    struct membership *m = &c->membership;
    (void)index;
    m->busy = false;
    m->next_ms = e == ERR_OK ? 0 : cluster_now_ms(c) + RETRY_MS;
    if (e != ERR_OK && !c->stopped) {
        log_info("membership: a change did not complete: %s", err_text(e));
    }
    status_check_map(c);
    cluster_release(c);
}

/* -- what there is to do ------------------------------------------------------------- */

static const struct replica_server *server_of(const struct plan *p, uint64_t raft_id)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (p->server[i].raft_id == raft_id) {
            return &p->server[i];
        }
    }
    return NULL;
}

static bool is_alive(struct cluster *c, uint64_t raft_id)
{
    const struct peer *p = peer_find(c, raft_id);
    return p != NULL && p->heard && cluster_now_ms(c) - p->heard_ms < CLUSTER_ALIVE_MS;
}

static void read_plan(struct cluster *c, const struct replica_status *s, struct plan *p)
{
    memset(p, 0, sizeof *p);
    p->count = replica_servers(c->replica, p->server, LIMIT_MEMBERS);
    p->last_index = s->last_index;
    const unsigned odd = c->directory.count - (c->directory.count % 2 == 0 ? 1u : 0u);
    p->wanted = odd > LIMIT_VOTERS ? LIMIT_VOTERS : odd;
    for (unsigned i = 0; i < p->count; i++) {
        p->voters += p->server[i].vote == REPLICA_VOTER ? 1 : 0;
    }
}

static bool has_caught_up(struct cluster *c, const struct plan *p, const struct replica_server *s)
{
    return s->vote == REPLICA_STANDBY && s->match_index + CAUGHT_UP >= p->last_index &&
           s->match_index > 0 && is_alive(c, s->raft_id);
}

static const struct replica_server *standby_of(struct cluster *c, const struct plan *p)
{
    const struct replica_server *first = NULL;
    unsigned ready = 0;
    for (unsigned i = 0; i < p->count; i++) {
        if (has_caught_up(c, p, &p->server[i])) {
            first = first != NULL ? first : &p->server[i];
            ready++;
        }
    }
    /* From one voter to three leads over two, which stop when either dies: not
     * begun before both are there. */
    return p->voters + ready >= p->wanted ? first : NULL;
}

/* Whom to make a standby: one that is away before one that answers; never us. */
static const struct replica_server *surplus_of(struct cluster *c, const struct plan *p)
{
    const struct replica_server *best = NULL;
    for (unsigned i = 0; i < p->count; i++) {
        const struct replica_server *s = &p->server[i];
        if (s->vote != REPLICA_VOTER || s->raft_id == c->self.raft_id) {
            continue;
        }
        if (best == NULL || !is_alive(c, s->raft_id)) {
            best = s;
        }
    }
    return best;
}

/* -- one change ------------------------------------------------------------------------ */

static enum err add_missing(struct cluster *c, const struct plan *p)
{
    for (unsigned i = 0; i < c->directory.count; i++) {
        const struct directory_row *row = &c->directory.row[i];
        const struct replica_server *s = server_of(p, row->raft_id);
        if (s == NULL) {
            log_info("membership: %s is added to raft", row->name);
            return replica_add(c->replica, row->raft_id, row->peer_address, on_changed, c);
        }
        if (s->vote == REPLICA_SPARE) {
            return replica_assign(c->replica, row->raft_id, REPLICA_STANDBY, on_changed, c);
        }
    }
    return ERR_NOTFOUND;
}

static enum err remove_extra(struct cluster *c, const struct plan *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        const uint64_t raft_id = p->server[i].raft_id;
        if (raft_id != c->self.raft_id && directory_by_raft_id(&c->directory, raft_id) == NULL) {
            log_info("membership: a server without a member's row is removed from raft");
            return replica_remove(c->replica, raft_id, on_changed, c);
        }
    }
    return ERR_NOTFOUND;
}

static enum err balance(struct cluster *c, const struct plan *p)
{
    const struct replica_server *s = NULL;
    if (p->voters < p->wanted && (s = standby_of(c, p)) != NULL) {
        return replica_assign(c->replica, s->raft_id, REPLICA_VOTER, on_changed, c);
    }
    if (p->voters > p->wanted && (s = surplus_of(c, p)) != NULL) {
        return replica_assign(c->replica, s->raft_id, REPLICA_STANDBY, on_changed, c);
    }
    return ERR_NOTFOUND;
}

static enum err change_one(struct cluster *c, const struct plan *p)
{
    enum err e = add_missing(c, p);
    if (e == ERR_NOTFOUND) {
        e = remove_extra(c, p);
    }
    return e == ERR_NOTFOUND ? balance(c, p) : e;
}

/* Rows older than our own term's beginning could miss a member: wait for them. */
static bool rows_are_current(struct membership *m, const struct replica_status *s)
{
    if (m->term != s->term) {
        m->term = s->term;
        m->ready_index = s->commit_index;
    }
    return s->visible_index >= m->ready_index;
}

void membership_tick(struct cluster *c, uint64_t now_ms)
{
    struct membership *m = &c->membership;
    struct replica_status s;
    struct plan p;
    cluster_replica_status(c, &s);
    if (m->busy || now_ms < m->next_ms || !s.leader_ready || !rows_are_current(m, &s)) {
        return;
    }
    m->next_ms = now_ms + STEP_MS;
    cluster_refresh(c);
    if (!c->directory.complete) {
        return; /* before ClusterInit, or we are being removed */
    }
    read_plan(c, &s, &p);
    m->busy = true;
    cluster_hold(c);
    const enum err e = change_one(c, &p);
    if (e != ERR_OK) {
        m->busy = false;
        cluster_release(c);
    }
}
