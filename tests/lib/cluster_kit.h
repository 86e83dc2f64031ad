/* SPDX-License-Identifier: Apache-2.0 */
/* Whole members without doors for clients, in one process: cluster/ over loopback
 * TLS, real raft directories and stores under /tmp, real keepers in place
 * (core_local). Each member has a loop of its own and one thread steps them in
 * turn: a frozen member is one that is not stepped, a stopped one is stopped in
 * order and then never stepped again, since libraft cannot be closed. */
#ifndef RINGKEEP_TESTS_CLUSTER_KIT_H
#define RINGKEEP_TESTS_CLUSTER_KIT_H

#include <uv.h>

#include "appliance/core_port.h"
#include "base/executor_thread.h"
#include "cluster/cluster.h"
#include "hsm-sim/core_local.h"
#include "keyring/store.h"

#define CLUSTER_KIT_MEMBERS 5u
#define CLUSTER_KIT_CO "co-password"

struct cluster_kit_member {
    struct cluster_kit *kit;
    unsigned number;
    char dir[96], name[16], client[LIMIT_ADDRESS], peer[LIMIT_ADDRESS], join[LIMIT_ADDRESS];
    bool up, frozen;
    uv_loop_t *loop;
    struct store *store;
    struct executor_thread *applier;
    struct core_local *core;
    struct core_port *port;
    struct cluster *cluster;
    uint64_t polled_ms;
    unsigned authorized, changes; /* calls of on_authorized, on_change */
    /* Seen on the way to its core, by verb; a donor's M3 must come after the
     * spending is in its store. */
    unsigned asked[64];
    bool spent_at_m3, hold_core;
    struct cluster_kit_held {
        uint64_t number, until_ms; /* until_ms 0: none */
        uint8_t record[LIMIT_RECORD];
        size_t size;
        cluster_core_cb cb;
        void *arg;
    } m3;                           /* held until the store shows the invite */
    struct cluster_core seam, fake; /* fake: what the cluster is given */
    uint8_t watch_invite[ID_SIZE];
    int64_t skew_s; /* of its wall clock */
    struct clock clock;
};

struct cluster_kit_invite {
    uint8_t id[ID_SIZE], secret[32];
};

/* How a call came back. */
struct cluster_kit_answer {
    unsigned calls;
    enum err error;
    uint64_t index;
    struct outcome outcome;
    char text[256];
};

struct cluster_kit {
    char dir[64];
    uint8_t cluster_id[ID_SIZE], domain_id[ID_SIZE], incarnation[ID_SIZE];
    struct cluster_kit_member member[CLUSTER_KIT_MEMBERS];
    unsigned election_ms, heartbeat_ms;
};

void cluster_kit_open(struct cluster_kit *k);
/* Stops everyone and removes the folder. */
void cluster_kit_close(struct cluster_kit *k);
/* Opens member i on its directory (made where absent) and starts its cluster. The
 * core is initialised where it is new. */
struct cluster_kit_member *cluster_kit_up(struct cluster_kit *k, unsigned i);
void cluster_kit_down(struct cluster_kit *k, unsigned i);

void cluster_kit_step(struct cluster_kit *k);
typedef bool (*cluster_kit_condition)(void *arg);
/* False after ms. */
bool cluster_kit_until(struct cluster_kit *k,
                       cluster_kit_condition condition,
                       void *arg,
                       unsigned ms);
void cluster_kit_run(struct cluster_kit *k, unsigned ms);

void cluster_kit_create(struct cluster_kit *k, unsigned i, struct cluster_kit_answer *out);
void cluster_kit_must_create(struct cluster_kit *k, unsigned i);
/* Made at member i and committed. */
void cluster_kit_must_invite(struct cluster_kit *k, unsigned i, struct cluster_kit_invite *out);
/* Joins at the given members' doors in turn; waits for the end. */
void cluster_kit_join(struct cluster_kit *k,
                      unsigned joiner,
                      const struct cluster_kit_invite *v,
                      const char (*addresses)[LIMIT_ADDRESS],
                      unsigned count,
                      struct cluster_kit_answer *out);
/* The same, only begun; one at a time. join_end: how it ended, once it has. */
struct cluster_kit_join_under_way;
struct cluster_kit_join_under_way *cluster_kit_join_begin(struct cluster_kit *k,
                                                          unsigned joiner,
                                                          unsigned donor);
enum err cluster_kit_join_end(const struct cluster_kit_join_under_way *j);
void cluster_kit_must_join(struct cluster_kit *k, unsigned joiner, unsigned donor);
/* What appliance/duties.c does: the newest roster to each core, a beacon of each. */
void cluster_kit_duties(struct cluster_kit *k);
enum err cluster_kit_authorize(struct cluster_kit *k, unsigned i); /* a CO's login */

/* Proposes an InvitePut-like small command: a client with this number. */
void cluster_kit_write(struct cluster_kit *k,
                       unsigned i,
                       unsigned number,
                       bool request_id,
                       unsigned timeout_ms,
                       struct cluster_kit_answer *out);
void cluster_kit_client_hash(unsigned number, uint8_t out[32]);
bool cluster_kit_has_client(struct cluster_kit *k, unsigned i, unsigned number);
unsigned cluster_kit_leader(struct cluster_kit *k); /* CLUSTER_KIT_MEMBERS: none */
/* A command that goes through `ask`, put to the core and answered at once. */
enum err cluster_kit_ask(struct cluster_kit_member *m,
                         unsigned verb,
                         uint64_t handle,
                         uint64_t number,
                         const struct bytes *sections,
                         unsigned count,
                         struct core_reply *out,
                         struct buf *memory);
unsigned cluster_kit_votes(struct cluster_kit *k, unsigned i, enum replica_vote vote);
bool cluster_kit_digests_equal(struct cluster_kit *k);
unsigned cluster_kit_port(void); /* a free one */

#endif
