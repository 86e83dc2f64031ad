/* SPDX-License-Identifier: Apache-2.0 */
/* What members know of each other: a status each second to all, the table that
 * clients and operators are shown, and the map's epoch, which rises when that table
 * changes in a way that clients care about. Hints, never rules. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

#define STATUS_MS 1000u

static bool is_authorized(const struct cluster *c)
{
    return c->o.core->authorized(c->o.core->impl);
}

/* -- ours ----------------------------------------------------------------------------- */

static enum err read_own(struct cluster *c, uint64_t *index, uint8_t digest[DIGEST_SIZE])
{
    STORE_VIEW_SCOPED *view = NULL;
    TRY(store_view_open(c->o.store, &view));
    *index = store_view_index(view);
    store_view_digest(view, digest);
    return ERR_OK;
}

static void remember(struct status *s, uint64_t index, const uint8_t digest[DIGEST_SIZE])
{
    const unsigned last = (s->recent_at + STATUS_RECENT - 1) % STATUS_RECENT;
    if (s->recent[last].index == index) {
        return;
    }
    s->recent[s->recent_at].index = index;
    memcpy(s->recent[s->recent_at].digest, digest, DIGEST_SIZE);
    s->recent_at = (s->recent_at + 1) % STATUS_RECENT;
}

static void send_status(struct cluster *c)
{
    Ringkeep__PeerStatus m = RINGKEEP__PEER_STATUS__INIT;
    struct replica_status s;
    uint8_t digest[DIGEST_SIZE];
    uint64_t index = 0;
    if (read_own(c, &index, digest) != ERR_OK) {
        return;
    }
    remember(&c->status, index, digest);
    cluster_replica_status(c, &s);
    m.member_id.data = c->self.member_id;
    m.member_id.len = ID_SIZE;
    m.authorized = is_authorized(c);
    m.applied_index = index;
    m.digest.data = digest;
    m.digest.len = DIGEST_SIZE;
    m.term = s.term;
    m.leader = s.role == REPLICA_LEADER;
    m.wall_s = clock_wall_s(c->o.clock);
    m.last_index = s.last_index;
    peer_send_all(c, FRAME_PEER_STATUS, &m);
}

/* -- theirs ----------------------------------------------------------------------------- */

/* Equal indexes must have equal digests (consistency.md 22). */
static void compare(struct cluster *c, struct peer *p)
{
    for (unsigned i = 0; i < STATUS_RECENT; i++) {
        if (c->status.recent[i].index != p->applied_index || p->applied_index == 0) {
            continue;
        }
        const bool differs = memcmp(c->status.recent[i].digest, p->digest, DIGEST_SIZE) != 0;
        if (differs && !p->differs) {
            log_error("member %s: its state at index %llu differs from ours: one of the two stores "
                      "is damaged; compare with a third member",
                      p->row.name, (unsigned long long)p->applied_index);
        }
        p->differs = differs;
        return;
    }
}

void status_heard(struct cluster *c, struct peer *p, const struct frame *f)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    if (message_unpack(&ringkeep__peer_status__descriptor, f->payload, &arena, &message) !=
        ERR_OK) {
        return;
    }
    const Ringkeep__PeerStatus *m = message;
    if (m->digest.len != DIGEST_SIZE || m->member_id.len != ID_SIZE ||
        memcmp(m->member_id.data, p->row.member_id, ID_SIZE) != 0) {
        return;
    }
    p->heard = true;
    p->heard_ms = cluster_now_ms(c);
    p->authorized = m->authorized != 0;
    p->applied_index = m->applied_index;
    p->last_index = m->last_index;
    memcpy(p->digest, m->digest.data, DIGEST_SIZE);
    compare(c, p);
    status_check_map(c);
}

/* -- the table --------------------------------------------------------------------------- */

static enum replica_vote vote_of(const struct replica_server *servers,
                                 unsigned count,
                                 uint64_t raft_id)
{
    for (unsigned i = 0; i < count; i++) {
        if (servers[i].raft_id == raft_id) {
            return servers[i].vote;
        }
    }
    return REPLICA_SPARE;
}

static void fill_self(const struct cluster *c,
                      const struct replica_status *s,
                      struct cluster_member *m)
{
    m->self = true;
    m->alive = true;
    m->authorized = is_authorized(c);
    m->last_index = s->last_index;
    STORE_VIEW_SCOPED *view = NULL;
    if (store_view_open(c->o.store, &view) == ERR_OK) {
        m->applied_index = store_view_index(view);
        store_view_digest(view, m->digest);
    }
}

static void fill_peer(struct cluster *c, struct cluster_member *m)
{
    const struct peer *p = peer_find(c, m->raft_id);
    m->heard_ms_ago = UINT64_MAX;
    if (p == NULL || !p->heard) {
        return;
    }
    m->heard_ms_ago = cluster_now_ms(c) - p->heard_ms;
    m->alive = m->heard_ms_ago < CLUSTER_ALIVE_MS;
    m->authorized = m->alive && p->authorized;
    m->applied_index = p->applied_index;
    m->last_index = p->last_index;
    memcpy(m->digest, p->digest, DIGEST_SIZE);
}

unsigned cluster_members(const struct cluster *cc, struct cluster_member *out, unsigned capacity)
{
    struct cluster *c = (struct cluster *)(uintptr_t)cc;
    struct replica_server servers[LIMIT_MEMBERS];
    struct replica_status s;
    const unsigned count =
        c->replica == NULL ? 0 : replica_servers(c->replica, servers, LIMIT_MEMBERS);
    unsigned n = 0;
    cluster_replica_status(c, &s);
    for (; n < c->directory.count && n < capacity; n++) {
        const struct directory_row *row = &c->directory.row[n];
        struct cluster_member *m = &out[n];
        memset(m, 0, sizeof *m); /* with its padding: digest_map */
        m->raft_id = row->raft_id;
        memcpy(m->member_id, row->member_id, ID_SIZE);
        (void)snprintf(m->name, sizeof m->name, "%s", row->name);
        (void)snprintf(m->client_address, sizeof m->client_address, "%s", row->client_address);
        (void)snprintf(m->peer_address, sizeof m->peer_address, "%s", row->peer_address);
        m->vote = vote_of(servers, count, row->raft_id);
        m->leader = s.leader_id == row->raft_id;
        if (row->raft_id == c->self.raft_id) {
            fill_self(c, &s, m);
        } else {
            fill_peer(c, m);
        }
    }
    return n;
}

/* -- the map --------------------------------------------------------------------------------- */

static void digest_map(struct cluster *c, uint8_t out[DIGEST_SIZE])
{
    struct cluster_member member[LIMIT_MEMBERS];
    struct bytes pieces[LIMIT_MEMBERS];
    const unsigned n = cluster_members(c, member, LIMIT_MEMBERS);
    for (unsigned i = 0; i < n; i++) {
        struct cluster_member *m = &member[i];
        m->applied_index = 0;
        m->last_index = 0;
        m->heard_ms_ago = 0;
        memset(m->digest, 0, sizeof m->digest);
        pieces[i] = bytes_of(m, sizeof *m);
    }
    digest_sha256(pieces, n, out);
}

void status_check_map(struct cluster *c)
{
    uint8_t digest[DIGEST_SIZE];
    if (c->stopped || !c->started) {
        return;
    }
    digest_map(c, digest);
    if (memcmp(digest, c->status.map_digest, sizeof digest) == 0) {
        return;
    }
    memcpy(c->status.map_digest, digest, sizeof digest);
    /* By the wall clock, so that the epochs of two members (and of one before and
     * after a restart) are about the same number for the same change. */
    const uint64_t now = clock_wall_s(c->o.clock);
    c->status.map_epoch = now > c->status.map_epoch ? now : c->status.map_epoch + 1;
    if (c->o.on_change != NULL) {
        c->o.on_change(c->o.arg);
    }
}

uint64_t cluster_map_epoch(const struct cluster *c)
{
    return c->status.map_epoch;
}

void status_tick(struct cluster *c, uint64_t now_ms)
{
    if (now_ms >= c->status.next_ms) {
        c->status.next_ms = now_ms + STATUS_MS;
        send_status(c);
    }
    status_check_map(c);
}
