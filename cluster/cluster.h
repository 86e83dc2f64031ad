/* SPDX-License-Identifier: Apache-2.0 */
/* The member among its peers: links, forwarding to the leader, joining,
 * inheritance of the SMK, status gossip. Everything runs on the loop thread.
 *
 * Files: link.c (one TLS connection with frames, client or server side), peer.c
 * (the peer door and the links to all members; raft's streams), forward.c (a
 * write at any member), join.c (both ends of a join), inherit.c, membership.c
 * (voters by rule 24), status.c. */
#ifndef RINGKEEP_CLUSTER_CLUSTER_H
#define RINGKEEP_CLUSTER_CLUSTER_H

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "raft-glue/replica.h"

struct cluster;
struct core; /* hsm-sim/core_client.h is appliance's: cluster asks through cluster_core */

/* The few questions that cluster/ has for the core, answered by appliance/core_port.c
 * (cluster/ may not include hsm-sim). Sections in and out are plain bytes; `number` as
 * in hsm-sim/verbs.def. cb once, on the loop, never from inside ask. */
typedef void (*cluster_core_cb)(void *arg, enum err e, uint64_t number, const struct bytes *sections);
struct cluster_core {
    enum err (*ask)(void *impl, unsigned verb, uint64_t handle, uint64_t number, const struct bytes *sections, unsigned count, cluster_core_cb cb, void *arg);
    bool (*authorized)(void *impl);
    void *impl;
};

struct cluster_options {
    struct uv_loop_s *loop;
    const struct clock *clock;
    const struct random_source *random;
    const struct cluster_core *core;
    struct store *store;
    const struct executor *applier;
    const char *raft_dir, *tls_dir;      /* tls/member.key, tls/member.crt */
    const char *name;
    const char *client_address, *peer_address, *join_address; /* host:port, as others connect */
    const char *peer_bind, *join_bind;   /* host:port to listen at; NULL: the addresses above */
    unsigned election_ms, heartbeat_ms;
    void (*fatal)(void *arg, const char *reason);
    void (*on_change)(void *arg);        /* role, members, map or authorization changed */
    void (*on_authorized)(void *arg);    /* this member's core got the SMK by join or inheritance */
    void *arg;
};

enum err cluster_open(const struct cluster_options *options, struct cluster **out) MUST_USE;
/* Starts where the store says that this member belongs to a cluster; else waits
 * for create or join. Opens the peer and join doors. text: a sentence on failure. */
enum err cluster_start(struct cluster *c, char *text, size_t text_size) MUST_USE;
void cluster_stop(struct cluster *c);
bool cluster_is_member(const struct cluster *c);

/* -- making a cluster ------------------------------------------------------------ */
/* After the core made one: bootstraps raft and commits ClusterInit (packed verb
 * message Ringkeep__ClusterInit, its `member` filled by cluster_self_row). */
typedef void (*cluster_done_cb)(void *arg, enum err e, const char *text);
enum err cluster_create(struct cluster *c, const uint8_t member_id[ID_SIZE], const void *cluster_init, cluster_done_cb cb, void *arg) MUST_USE;
/* Fills a MemberRow (unpacked, caller's) of this member; strings are borrowed. */
void cluster_self_row(struct cluster *c, const uint8_t member_id[ID_SIZE], void *member_row);
/* Joins by token (decoded by the caller): `request` is J's clear request from the
 * core (JOIN_BEGIN), addresses are tried in turn. text names what happened. */
enum err cluster_join(struct cluster *c, struct bytes request, const uint8_t member_id[ID_SIZE], const char (*addresses)[LIMIT_ADDRESS], unsigned count, cluster_done_cb cb, void *arg) MUST_USE;
/* Asks peers for the SMK now (also tried by itself every few seconds while sealed). */
void cluster_inherit(struct cluster *c);

/* -- writes and reads --------------------------------------------------------------- */
/* At any member: proposes here or forwards to the leader, finds the leader for at
 * most timeout_ms, never proposes twice by itself unless the command carries a
 * request id (then it is safe). cb once. */
enum err cluster_propose(struct cluster *c, struct bytes command, unsigned timeout_ms, replica_outcome_cb cb, void *arg) MUST_USE;
/* Index confirmed by the leader after this call began (powers behind a quorum). */
enum err cluster_barrier(struct cluster *c, unsigned timeout_ms, replica_index_cb cb, void *arg) MUST_USE;
enum err cluster_wait_visible(struct cluster *c, uint64_t index, unsigned timeout_ms, replica_index_cb cb, void *arg) MUST_USE;

/* -- what is known -------------------------------------------------------------------- */
struct cluster_member {
    uint8_t member_id[ID_SIZE];
    uint64_t raft_id;
    char name[LIMIT_NAME + 1];
    char client_address[LIMIT_ADDRESS], peer_address[LIMIT_ADDRESS];
    bool self, alive, authorized, leader;
    enum replica_vote vote;
    uint64_t applied_index, last_index, heard_ms_ago;
    uint8_t digest[32];
};
unsigned cluster_members(const struct cluster *c, struct cluster_member *out, unsigned capacity);
uint64_t cluster_map_epoch(const struct cluster *c);
void cluster_replica_status(const struct cluster *c, struct replica_status *out);
/* 16 bytes; all zero before there is a cluster. */
void cluster_incarnation(const struct cluster *c, uint8_t out[ID_SIZE]);
void cluster_id(const struct cluster *c, uint8_t out[ID_SIZE]);
void cluster_member_id(const struct cluster *c, uint8_t out[ID_SIZE]);

#endif
