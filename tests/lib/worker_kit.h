/* SPDX-License-Identifier: Apache-2.0 */
/* A worker over a keeper that answers with fixed keys, for tests. One keyring; the
 * handles below differ in role and ticket family. A failure ends the test. */
#ifndef RINGKEEP_TESTS_WORKER_KIT_H
#define RINGKEEP_TESTS_WORKER_KIT_H

#include "hsm-sim/keeper.h"
#include "hsm-sim/worker.h"
#include "proto/template.h"
#include "sks/seal.h"

enum {
    KIT_USER = 1,
    KIT_OTHER_LOGIN = 2,
    KIT_PUBLIC = 3,
    KIT_SECURITY_OFFICER = 4,
    KIT_CRYPTO_USER = 5,
    KIT_OFFICER = 6 /* the cluster's PO, logged in to the core */
};

struct worker_kit {
    struct worker *worker;
    struct clock clock;
    uint64_t wall_s, mono_ms;
    unsigned keys_asked;
    enum err keys_error;   /* what the keeper says to KEYS, unless ERR_OK */
    struct seal_ring ring; /* the keyring's, to make and open blobs in a test */
    struct core_request request;
    struct core_reply reply;
    uint8_t out[LIMIT_RING_LARGE];
    uint8_t next_id;
};
void worker_kit_open(struct worker_kit *k);
void worker_kit_close(struct worker_kit *k);

/* Starts a request; sections are set by the caller in k->request. */
void worker_kit_request(struct worker_kit *k, unsigned verb, uint64_t handle);
enum err worker_kit_answer(struct worker_kit *k);
/* A copy of a section of the reply; the caller drops it. */
struct buf worker_kit_take(struct worker_kit *k, unsigned section);
/* 16 bytes, new each time; static storage of 16 ids. */
struct bytes worker_kit_id(struct worker_kit *k);

/* [blob][parameter][data][signature] at once. */
enum err worker_kit_operate(struct worker_kit *k,
                            unsigned verb,
                            uint64_t mechanism,
                            const struct buf *blob,
                            struct bytes parameter,
                            struct bytes data,
                            struct bytes signature);
/* Generated keys, kind 1. Templates may be NULL. */
enum err worker_kit_generate(struct worker_kit *k,
                             uint64_t mechanism,
                             const struct buf *template,
                             struct buf *blob,
                             struct buf *a);
enum err worker_kit_pair(struct worker_kit *k,
                         uint64_t mechanism,
                         const struct buf *public_template,
                         const struct buf *private_template,
                         struct buf blob[2],
                         struct buf a[2]);
/* A pair of 2048 bits or of this DER curve with bare templates. */
void worker_kit_rsa_pair(struct worker_kit *k, struct buf blob[2], struct buf a[2]);
void worker_kit_ec_pair(struct worker_kit *k, unsigned curve, struct buf blob[2], struct buf a[2]);
struct bytes worker_kit_curve(unsigned curve);
/* A blob of this K and the least A, as a core of the keyring would seal it. */
struct buf worker_kit_seal(struct worker_kit *k, const struct key_info *info);
/* The import envelope for this template. */
struct buf worker_kit_envelope(struct worker_kit *k,
                               struct bytes template,
                               struct bytes challenge,
                               struct bytes material);
void worker_kit_drop(struct buf *b, unsigned count);

#endif
