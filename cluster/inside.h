/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster from inside: what its files share. Loop thread throughout.
 *
 * Lifetimes: everything that something else may still call back into (a link, a
 * question to the core, a proposal) holds the cluster; cluster_stop ends what can
 * be ended and the rest finds `stopped`. Once a replica was opened the cluster is
 * not freed at all, since libraft keeps calling its transport (engine.md B16): the
 * process exits next. */
#ifndef RINGKEEP_CLUSTER_INSIDE_H
#define RINGKEEP_CLUSTER_INSIDE_H

#include <uv.h>

#include "cluster/cluster.h"
#include "cluster/directory.h"
#include "cluster/facts.h"
#include "cluster/link.h"

#define CLUSTER_TICK_MS 100u
#define CLUSTER_PATH 512u
#define CLUSTER_TEXT 256u
#define CLUSTER_ALIVE_MS 3000u /* since the last status of a member */

enum cluster_phase { CLUSTER_IDLE, CLUSTER_CREATING, CLUSTER_JOINING, CLUSTER_MEMBER };

/* -- hello: greet.c ----------------------------------------------------------------- */

/* The connecting side's hello: sent once TLS is up, then the other side's own hello
 * and its reply. Only then is the link used. */
struct greeting {
    struct cluster *c;
    struct directory_row expected;
    bool raft_stream;
    bool heard; /* the other side's hello */
};
enum err greet_begin(struct greeting *g, struct link *l, char *why) MUST_USE;
/* *done: the link is up. ERR_*: close it, `why` says what was wrong. why has
 * LINK_WHY bytes. */
enum err greet_frame(
    struct greeting *g, struct link *l, const struct frame *f, bool *done, char *why) MUST_USE;
/* The accepting side: checks the hello of the holder of `expected`'s key and
 * answers it, in either case. */
enum err greet_answer(struct cluster *c,
                      struct link *l,
                      const struct frame *f,
                      const struct directory_row *expected,
                      bool *raft_stream,
                      char *why) MUST_USE;

/* -- links to the other members: peer.c ---------------------------------------------- */

struct call;
struct peer {
    struct cluster *c;
    struct directory_row row;
    struct greeting greeting;
    struct link *link; /* ours to it; NULL: none */
    bool up, gone;
    uint64_t retry_at_ms;
    unsigned backoff_ms;
    struct call *first, **end;
    unsigned calls;
    uint64_t next_request;
    /* status.c: what it last said of itself. */
    bool heard, authorized, differs;
    uint64_t heard_ms, applied_index, last_index;
    uint8_t digest[DIGEST_SIZE];
    unsigned incoming; /* its connections at our door */
};

/* reply: Ringkeep__PeerReply, NULL where e is not ERR_OK. ERR_UNKNOWN_OUTCOME: it
 * was sent and nothing came back. */
typedef void (*peer_reply_cb)(void *arg, enum err e, const void *reply);
/* ERR_UNREACHABLE, ERR_BUSY: was not sent, cb is not called. */
enum err peer_call(struct cluster *c,
                   uint64_t raft_id,
                   unsigned type,
                   const void *message,
                   unsigned timeout_ms,
                   peer_reply_cb cb,
                   void *arg) MUST_USE;
bool peer_is_up(struct cluster *c, uint64_t raft_id);
struct peer *peer_find(struct cluster *c, uint64_t raft_id);
void peer_send_all(struct cluster *c, unsigned type, const void *message); /* no reply wanted */
void peer_sync(struct cluster *c); /* the directory changed */
void peer_tick(struct cluster *c, uint64_t now_ms);
void peer_stop(struct cluster *c);

/* -- the doors: door.c --------------------------------------------------------------- */

struct door {
    struct cluster *c;
    uv_tcp_t tcp;
    bool open, join;
    unsigned count;
    struct guest *first;
};
enum err door_open(struct door *d, struct cluster *c, bool join, const char *address) MUST_USE;
void door_close(struct door *d);
/* Ends the connections of members that are no longer in the directory. */
void door_sync(struct door *d);

/* -- raft's streams: stream.c --------------------------------------------------------- */

struct streams {
    struct cluster *c;
    struct replica_transport transport;
    replica_accepted_cb accepted;
    void *accepted_arg;
    struct stream *first;
    unsigned count;
};
void stream_init(struct streams *s, struct cluster *c);
/* The door's link becomes a stream towards raft; the link is taken over. */
void stream_accept(struct streams *s, struct link *l, const struct directory_row *from);
void stream_sync(struct streams *s);
void stream_stop(struct streams *s);

/* -- writes: forward.c ----------------------------------------------------------------- */

struct proposal;
struct later;
struct forward {
    struct proposal *first;
    unsigned count;
    struct later *later_first, **later_end; /* answered, to be told */
    struct later *waiting;                  /* the replica has them */
    uv_timer_t timer, later_timer;
};
void forward_init(struct cluster *c);
void forward_kick(struct cluster *c); /* the role changed */
void forward_stop(struct cluster *c);
/* The cluster's own command, with a request id of its own: safe to repeat. */
enum err forward_command(struct cluster *c,
                         unsigned field,
                         const void *verb_message,
                         unsigned timeout_ms,
                         replica_outcome_cb cb,
                         void *arg) MUST_USE;
/* A member's PEER_PROPOSE or PEER_BARRIER at our door. */
void forward_serve(struct guest *g, const struct frame *f);

/* -- members and status: membership.c, status.c ------------------------------------------ */

struct membership {
    bool busy;
    uint64_t term, ready_index, next_ms;
    bool warned;
};
void membership_tick(struct cluster *c, uint64_t now_ms);

#define STATUS_RECENT 32u
struct status {
    uint64_t next_ms;
    uint64_t map_epoch;
    uint8_t map_digest[DIGEST_SIZE];
    struct {
        uint64_t index;
        uint8_t digest[DIGEST_SIZE];
    } recent[STATUS_RECENT]; /* our own digests, to compare equal indexes */
    unsigned recent_at;
};
void status_tick(struct cluster *c, uint64_t now_ms);
void status_heard(struct cluster *c, struct peer *p, const struct frame *f);
/* Compares what clients are told; on_change when it differs. From the loop only. */
void status_check_map(struct cluster *c);

/* -- the SMK's way: donor.c, taker.c, join.c, inherit.c -------------------------------- */

/* Donor's side of one handshake, at a link of a joiner or member. */
struct donor;
enum err donor_open(struct cluster *c,
                    struct link *l,
                    const struct directory_row *member,
                    struct donor **out) MUST_USE;
/* A CLONE_* frame: always answered on the link. */
void donor_frame(struct donor *d, const struct frame *f);
/* The link is gone. What was promised to the log goes on. */
void donor_close(struct donor *d);

/* Joiner's side: M1 to M4 between a transport and our core. */
struct taker;
struct taker_options {
    struct cluster *c;
    /* Sends a CLONE_* message; the answer comes by taker_reply. */
    enum err (*send)(void *arg, unsigned type, const void *message);
    /* The core has the SMK and M4 left: its answer is the owner's. */
    void (*given)(void *arg);
    /* Instead of given. spent: the donor was asked for M3. */
    void (*failed)(void *arg, enum err e, const char *text, bool spent);
    void *arg;
};
enum err taker_open(const struct taker_options *o, struct taker **out) MUST_USE;
enum err taker_begin(struct taker *t, const void *clone_begin) MUST_USE;
/* reply: Ringkeep__PeerReply where e is ERR_OK. */
void taker_reply(struct taker *t, enum err e, const void *reply);
void taker_close(struct taker *t); /* no more callbacks; NULL is fine */

struct join; /* one joining under way, ours */
void join_tick(struct cluster *c, uint64_t now_ms);
void join_stop(struct cluster *c);

struct inherit {
    bool busy, refused;
    struct taker *taker;
    uint64_t next_ms, donor_raft_id;
    unsigned turn; /* whom to ask next */
};
void inherit_tick(struct cluster *c, uint64_t now_ms);
void inherit_later(struct cluster *c); /* at the beginning: not at once */
void inherit_stop(struct cluster *c);

/* -- a connection that came in at a door --------------------------------------------------- */

struct guest {
    struct door *door;
    struct guest *next, *previous;
    struct link *link; /* NULL once closed */
    struct directory_row row;
    bool known; /* peer door: its key is a member's; then also by its hello */
    bool greeted;
    unsigned holds, served;
    struct donor *donor;
};
void guest_hold(struct guest *g);
void guest_release(struct guest *g);

/* -- the whole --------------------------------------------------------------------------------- */

struct cluster {
    struct cluster_options o; /* strings point into the fields below */
    char name[LIMIT_NAME + 1];
    char client_address[LIMIT_ADDRESS], peer_address[LIMIT_ADDRESS], join_address[LIMIT_ADDRESS];
    char peer_bind[LIMIT_ADDRESS], join_bind[LIMIT_ADDRESS];
    char raft_dir[CLUSTER_PATH], tls_dir[CLUSTER_PATH];
    struct tls_context *tls_peer_server, *tls_peer_client, *tls_join_server, *tls_join_client;
    uint8_t spki_hash[X509_SPKI_HASH];
    struct facts self; /* raft id and data uuid are always set, the rest with a cluster */
    enum cluster_phase phase;
    bool has_facts, started, stopped, stale;
    struct directory directory;
    struct peer *peers[LIMIT_MEMBERS];
    unsigned peer_count;
    struct door peer_door, join_door;
    struct streams streams;
    struct replica *replica;
    struct forward forward;
    struct membership membership;
    struct status status;
    struct join *join;
    struct inherit inherit;
    bool donating; /* a join is under way at our door */
    uv_timer_t tick;
    unsigned holds;
};

void cluster_hold(struct cluster *c);
void cluster_release(struct cluster *c);
/* Reads the members anew where the store moved. */
void cluster_refresh(struct cluster *c);
/* replica_open and replica_start; with `first` bootstrapped. Facts are saved with
 * seeds in between. */
enum err cluster_run_replica(struct cluster *c,
                             bool first,
                             bool save,
                             struct bytes seeds,
                             char *text,
                             size_t text_size) MUST_USE;
/* ERR_EXISTS: a log or facts are there; only an empty directory becomes a member. */
enum err cluster_check_fresh(struct cluster *c) MUST_USE;
uint64_t cluster_now_ms(const struct cluster *c);
void cluster_link_options(struct cluster *c,
                          struct tls_context *tls,
                          const struct link_handlers *h,
                          void *arg,
                          struct link_options *out);
/* A reply of error and sentence; text may be NULL. A link that does not take it is closed. */
void cluster_answer(struct link *l, unsigned type, uint64_t request, enum err e, const char *text);
#define CLUSTER_HEX (2u * ID_SIZE + 1u)
const char *cluster_hex(const uint8_t id[ID_SIZE], char out[CLUSTER_HEX]);

#endif
