/* SPDX-License-Identifier: Apache-2.0 */
/* The hello between members: cluster, incarnation, and that who holds the TLS key
 * is the member it says it is. The accepting side sends its own hello and then the
 * reply, or only a reply with an error. No state of its own. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"
#include "peer.pb-c.h"

#define SKEW_WARN_S LIMIT_JOIN_SKEW_S

static ProtobufCBinaryData binary(const uint8_t *data, size_t size)
{
    ProtobufCBinaryData b = { size, (uint8_t *)(uintptr_t)data };
    return b;
}

static void fill(struct cluster *c, bool raft_stream, Ringkeep__PeerHello *h)
{
    struct replica_status s;
    cluster_replica_status(c, &s);
    h->major = PROTOCOL_MAJOR;
    h->minor = PROTOCOL_MINOR;
    h->cluster_id = binary(c->self.cluster_id, ID_SIZE);
    h->incarnation = binary(c->self.incarnation, ID_SIZE);
    h->member_id = binary(c->self.member_id, ID_SIZE);
    h->raft_id = c->self.raft_id;
    h->data_uuid = binary(c->self.data_uuid, ID_SIZE);
    h->term = s.term;
    h->last_term = s.last_term;
    h->last_index = s.last_index;
    h->wall_s = clock_wall_s(c->o.clock);
    h->raft_stream = raft_stream;
    h->raft_address = c->peer_address;
}

static enum err says(char *why, enum err e, const char *text)
{
    (void)snprintf(why, LINK_WHY, "%s", text);
    return e;
}

static bool same(ProtobufCBinaryData b, const uint8_t *id)
{
    return bytes_equal(bytes_of(b.data, b.len), bytes_of(id, ID_SIZE));
}

/* A leader knows what a member has acknowledged as stored: with less it went back
 * in time. This release does not quarantine its votes (consistency.md 12): said. */
static void check_past(struct cluster *c,
                       const Ringkeep__PeerHello *h,
                       const struct directory_row *row)
{
    struct replica_server servers[LIMIT_MEMBERS];
    char hex[CLUSTER_HEX];
    const unsigned n = c->replica == NULL ? 0 : replica_servers(c->replica, servers, LIMIT_MEMBERS);
    for (unsigned i = 0; i < n; i++) {
        if (servers[i].raft_id == h->raft_id && servers[i].match_index > h->last_index) {
            log_security("peer", cluster_hex(row->member_id, hex),
                         "came back with a shorter log than it had acknowledged: its disk was "
                         "restored or is faulty; replace this member",
                         err_name(ERR_CORRUPT));
        }
    }
}

static void check_skew(struct cluster *c,
                       const Ringkeep__PeerHello *h,
                       const struct directory_row *row)
{
    const uint64_t now = clock_wall_s(c->o.clock);
    const uint64_t skew = now > h->wall_s ? now - h->wall_s : h->wall_s - now;
    if (skew > SKEW_WARN_S) {
        log_warn("member %s: its clock differs by %llu s: check time synchronisation", row->name,
                 (unsigned long long)skew);
    }
}

static enum err check(struct cluster *c,
                      const Ringkeep__PeerHello *h,
                      const struct directory_row *row,
                      char *why)
{
    if (h->major != PROTOCOL_MAJOR) {
        return says(why, ERR_UNSUPPORTED, "another protocol version: update the older member");
    }
    if (!c->has_facts || !same(h->cluster_id, c->self.cluster_id)) {
        return says(why, ERR_IDENTITY, "member of another cluster");
    }
    if (!same(h->incarnation, c->self.incarnation)) {
        return says(why, ERR_INCARNATION, "member of another incarnation: it must join anew");
    }
    if (!same(h->member_id, row->member_id) || h->raft_id != row->raft_id) {
        return says(why, ERR_IDENTITY, "its hello names another member than its key");
    }
    if (row->has_uuid && !same(h->data_uuid, row->data_uuid)) {
        return says(why, ERR_IDENTITY,
                    "another data directory under the same member: it must join anew");
    }
    check_skew(c, h, row);
    check_past(c, h, row);
    return ERR_OK;
}

enum err greet_begin(struct greeting *g, struct link *l, char *why)
{
    uint8_t hash[X509_SPKI_HASH];
    Ringkeep__PeerHello h = RINGKEEP__PEER_HELLO__INIT;
    if (link_peer_hash(l, hash) != ERR_OK ||
        memcmp(hash, g->expected.spki_hash, sizeof hash) != 0) {
        return says(why, ERR_IDENTITY, "the key at this address is not that of the member");
    }
    fill(g->c, g->raft_stream, &h);
    g->heard = false;
    link_set_deadline(l, LIMIT_CONNECT_MS);
    return link_send(l, FRAME_PEER_HELLO, 1, &h);
}

static enum err take_hello(struct greeting *g, const struct frame *f, char *why)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    if (g->heard) {
        return says(why, ERR_PROTOCOL, "a second hello");
    }
    TRY(message_unpack(&ringkeep__peer_hello__descriptor, f->payload, &arena, &message));
    g->heard = true;
    return check(g->c, message, &g->expected, why);
}

static enum err take_reply(struct greeting *g, const struct frame *f, char *why)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    TRY(message_unpack(&ringkeep__peer_reply__descriptor, f->payload, &arena, &message));
    const Ringkeep__PeerReply *r = message;
    if (r->error != ERR_OK) {
        return says(why, err_from_wire(r->error), r->text != NULL ? r->text : "refused the hello");
    }
    return g->heard ? ERR_OK : says(why, ERR_PROTOCOL, "no hello before the reply");
}

enum err greet_frame(
    struct greeting *g, struct link *l, const struct frame *f, bool *done, char *why)
{
    (void)says(why, ERR_OK, "a message that cannot be parsed");
    *done = false;
    if (f->type == FRAME_PEER_HELLO) {
        return take_hello(g, f, why);
    }
    if (f->type != (FRAME_PEER_HELLO | FRAME_REPLY)) {
        return says(why, ERR_PROTOCOL, "another message than a hello");
    }
    TRY(take_reply(g, f, why));
    link_set_deadline(l, 0);
    *done = true;
    return ERR_OK;
}

enum err greet_answer(struct cluster *c,
                      struct link *l,
                      const struct frame *f,
                      const struct directory_row *expected,
                      bool *raft_stream,
                      char *why)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__PeerHello own = RINGKEEP__PEER_HELLO__INIT;
    void *message = NULL;
    (void)says(why, ERR_OK, "the hello cannot be parsed");
    if (f->type != FRAME_PEER_HELLO) {
        return says(why, ERR_PROTOCOL, "another message than a hello");
    }
    TRY(message_unpack(&ringkeep__peer_hello__descriptor, f->payload, &arena, &message));
    const Ringkeep__PeerHello *h = message;
    const enum err e = check(c, h, expected, why);
    if (e != ERR_OK) {
        cluster_answer(l, FRAME_PEER_HELLO, f->request, e, why);
        return e;
    }
    *raft_stream = h->raft_stream != 0;
    fill(c, *raft_stream, &own);
    TRY(link_send(l, FRAME_PEER_HELLO, f->request, &own));
    cluster_answer(l, FRAME_PEER_HELLO, f->request, ERR_OK, NULL);
    return ERR_OK;
}
