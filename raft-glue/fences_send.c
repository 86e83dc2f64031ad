/* SPDX-License-Identifier: Apache-2.0 */
/* The fences of a leader's AppendEntries: bounded messages, a bounded amount on
 * the way to each server (B15). One AppendEntries of libraft is a flight of one or
 * more parts; libraft's callback comes once all parts are sent, so the entries
 * stay referenced until then. Loop thread. */
#include <stdlib.h>

#include "raft-glue/fences.h"

enum { PROGRESS_PROBE = 0 }; /* libraft's progress.h, not installed */

struct flight {
    struct fences *fences;
    struct fences_peer *peer;
    struct raft_io_send *original;
    raft_io_send_cb cb;
    unsigned left;
    size_t bytes;
    int status;
};

struct part {
    struct raft_io_send req;
    struct flight *flight;
};

static struct fences_peer *peer_of(struct fences *f, raft_id id)
{
    struct fences_peer *unused = NULL;
    for (unsigned i = 0; i < LIMIT_MEMBERS; i++) {
        struct fences_peer *p = &f->peers[i];
        if (p->flights > 0 && p->id == id) {
            return p;
        }
        if (p->flights == 0 && unused == NULL) {
            unused = p;
        }
    }
    if (unused != NULL) {
        *unused = (struct fences_peer){ .id = id };
    }
    return unused;
}

static bool is_probed(const struct raft *r, raft_id id)
{
    for (unsigned i = 0; r->state == RAFT_LEADER && i < r->configuration.n; i++) {
        if (r->configuration.servers[i].id == id) {
            return r->leader_state.progress[i].state == PROGRESS_PROBE;
        }
    }
    return false;
}

static int land(struct flight *fl)
{
    const int status = fl->status;
    fl->peer->flights--;
    fl->peer->bytes -= fl->bytes;
    free(fl);
    return status;
}

static void on_part_sent(struct raft_io_send *req, int status)
{
    struct part *p = req->data;
    struct flight *fl = p->flight;
    free(p);
    if (status != 0) {
        fl->status = status;
    }
    if (--fl->left == 0) {
        struct raft_io_send *original = fl->original;
        raft_io_send_cb cb = fl->cb;
        const int outcome = land(fl);
        if (cb != NULL) {
            cb(original, outcome);
        }
    }
}

/* How many entries go into one message: bounded in number and in bytes, since the
 * receiver appends a message in one write, and a write has to fit a segment. */
static unsigned part_count(const struct raft_entry *entries, unsigned left, size_t *bytes)
{
    unsigned n = 0;
    *bytes = 0;
    while (n < left && n < LIMIT_RAFT_MESSAGE_ENTRIES &&
           (n == 0 || *bytes + entries[n].buf.len <= LIMIT_PROPOSAL_BATCH_SIZE)) {
        *bytes += entries[n].buf.len;
        n++;
    }
    return n;
}

static int send_part(struct flight *fl, const struct raft_message *m, size_t bytes)
{
    struct part *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return RAFT_NOMEM;
    }
    p->req.data = p;
    p->flight = fl;
    fl->left++;
    fl->bytes += bytes;
    fl->peer->bytes += bytes;
    const int rc = fl->fences->inner.send(&fl->fences->io, &p->req, m, on_part_sent);
    if (rc != 0) {
        fl->left--;
        free(p);
    }
    return rc;
}

/* B15: libraft sends its whole tail in one message. The parts carry their own
 * leader_commit: a follower takes min(leader_commit, its end) and would apply a
 * stale tail otherwise. A server that is probed gets the first part only. */
static void send_parts(struct flight *fl, const struct raft_message *m)
{
    struct raft_message c = *m;
    struct raft_append_entries *a = &c.append_entries;
    const raft_index commit = m->append_entries.leader_commit;
    unsigned left = m->append_entries.n_entries;
    const bool once = is_probed(fl->fences->raft, m->server_id);
    do {
        size_t bytes;
        a->n_entries = part_count(a->entries, left, &bytes);
        const raft_index end = a->prev_log_index + a->n_entries;
        a->leader_commit = commit < end ? commit : end;
        fl->status = send_part(fl, &c, bytes);
        if (fl->status != 0 || a->n_entries == 0) {
            return;
        }
        left -= a->n_entries;
        a->prev_log_index = end;
        a->prev_log_term = a->entries[a->n_entries - 1].term;
        a->entries += a->n_entries;
    } while (left > 0 && !once);
}

/* B15: what waits for one server is bounded. libraft takes NOCONNECTION as "not
 * sent": its progress stays, and the server is caught up later. */
int fences_send_entries(struct fences *f,
                        struct raft_io_send *req,
                        const struct raft_message *m,
                        raft_io_send_cb cb)
{
    struct fences_peer *peer = peer_of(f, m->server_id);
    if (peer == NULL || peer->bytes > LIMIT_PEER_SEND_QUEUE || peer->flights >= LIMIT_PROPOSALS) {
        return RAFT_NOCONNECTION;
    }
    struct flight *fl = malloc(sizeof(*fl));
    if (fl == NULL) {
        return RAFT_NOMEM;
    }
    /* One more than the parts, so that none of them ends the flight in here. */
    *fl = (struct flight){ f, peer, req, cb, 1, 0, 0 };
    peer->flights++;
    send_parts(fl, m);
    return --fl->left == 0 ? land(fl) : 0;
}
