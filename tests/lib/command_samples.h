/* SPDX-License-Identifier: Apache-2.0 */
/* Commands for tests, made of small numbers: keyring 1, object 7, client 2. Ids,
 * blobs and records are deterministic and have valid clear headers; what is
 * sealed in them is filler. A failure to build ends the test program. */
#ifndef RINGKEEP_TESTS_COMMAND_SAMPLES_H
#define RINGKEEP_TESTS_COMMAND_SAMPLES_H

#include "keyring/command.h"

/* How the next commands are made. `edit`, if set, changes the verb's unpacked
 * message (e.g. Ringkeep__KeyringPut *) before it is packed, and is cleared. */
struct sample {
    struct command_origin origin;
    uint64_t stamp_s;
    void (*edit)(void *verb_message);
};
/* The incarnation of sample_init, no request id, a fixed stamp. */
void sample_begin(struct sample *s);
/* A client's write: request number n of client c, its hash made of both. */
void sample_request(struct sample *s, unsigned n, unsigned client, uint64_t base_index);
void sample_no_request(struct sample *s);

/* 16 bytes: letter, number big-endian in the last four. Letters in use: C cluster,
 * I incarnation, D domain, M member, K keyring, O object, V invite, A attempt,
 * R request, S smk. */
void sample_id(uint8_t out[ID_SIZE], char letter, unsigned n);
void sample_spki(uint8_t out[32], unsigned client);        /* a client's */
void sample_member_spki(uint8_t out[32], unsigned member); /* of its TLS key */

/* Sealed formats; out is cleared first. */
void sample_blob(struct buf *out,
                 unsigned kind,
                 unsigned keyring,
                 unsigned object,
                 uint64_t generation,
                 size_t size_a);
void sample_record(struct buf *out, unsigned keyring, uint64_t version, uint64_t epoch);
void sample_cluster_record(struct buf *out, uint64_t version, uint64_t epoch);
void sample_invite(struct buf *out, unsigned invite);
/* Bit i of a mask is member i + 1. */
void sample_roster(struct buf *out, uint64_t version, unsigned active, unsigned removed);

/* Packed commands; out is cleared first. */
void sample_init(struct buf *out,
                 struct sample *s,
                 unsigned active); /* member 1, roster version 1 */
void sample_member_put(struct buf *out, struct sample *s, unsigned member);
/* joiner 0: without a member row. */
void sample_roster_put(struct buf *out,
                       struct sample *s,
                       uint64_t version,
                       unsigned active,
                       unsigned removed,
                       unsigned joiner);
void sample_invite_put(struct buf *out, struct sample *s, unsigned invite, uint64_t expiry);
void sample_invite_spend(struct buf *out, struct sample *s, unsigned invite);
/* label NULL: none given. */
void sample_keyring_put(struct buf *out,
                        struct sample *s,
                        unsigned keyring,
                        const char *label,
                        uint64_t version,
                        uint64_t epoch);
/* The usual pair: version 1 and, active, version 2. */
void sample_keyring_activate(
    struct buf *out, struct sample *s, unsigned keyring, uint64_t version, uint64_t epoch);
void sample_keyring_delete(struct buf *out, struct sample *s, unsigned keyring);
void sample_client_put(struct buf *out, struct sample *s, unsigned client, const char *name);
void sample_client_revoke(struct buf *out, struct sample *s, unsigned client);
void sample_assign(struct buf *out, struct sample *s, unsigned keyring, unsigned client);
void sample_unassign(struct buf *out, struct sample *s, unsigned keyring, unsigned client);
/* Objects first .. first + count - 1 of kind 1; count is 1 or 2. */
void sample_objects_create(
    struct buf *out, struct sample *s, unsigned keyring, unsigned first, unsigned count);
void sample_object_update(
    struct buf *out, struct sample *s, unsigned keyring, unsigned object, uint64_t generation);
void sample_object_destroy(struct buf *out, struct sample *s, unsigned keyring, unsigned object);
void sample_login_reserve(struct buf *out,
                          struct sample *s,
                          unsigned keyring,
                          unsigned role,
                          unsigned attempt,
                          unsigned member);
void sample_login_resolve(
    struct buf *out, struct sample *s, unsigned keyring, unsigned role, unsigned attempt, bool ok);
void sample_login_expire(struct buf *out, struct sample *s, unsigned keyring, unsigned role);
void sample_beacon_put(struct buf *out, struct sample *s, unsigned member);
void sample_cluster_record_put(struct buf *out, struct sample *s, uint64_t version, uint64_t epoch);
void sample_login_key_put(struct buf *out, struct sample *s, unsigned member);

/* A fixed log with every verb and some refusals: entry i, whose index is i + 1,
 * for i < SAMPLE_LOG. */
#define SAMPLE_LOG 41u
void sample_log(struct buf *out, unsigned i);

#endif
