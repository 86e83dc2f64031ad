/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the worker share; nobody else includes it. One thread. */
#ifndef RINGKEEP_HSM_SIM_WORKER_STATE_H
#define RINGKEEP_HSM_SIM_WORKER_STATE_H

#include "hsm-sim/keeper.h"
#include "hsm-sim/mech.h"
#include "hsm-sim/object.h"
#include "hsm-sim/worker.h"

/* Roles of a handle, as in the keyring record. */
enum worker_role {
    WORKER_PUBLIC_SESSION = 0,
    WORKER_KRSO = 5,
    WORKER_KRCO = 6,
    WORKER_LCO = 7,
    WORKER_CU = 8
};

/* One handle's keys as AES schedules. Wiped when it leaves the cache. */
struct session_keys {
    uint64_t handle; /* 0: free */
    uint64_t checked_ms, used;
    struct keeper_keys facts; /* bk and pub are zero here */
    struct seal_ring ring;
};

struct worker {
    const struct clock *clock;
    struct keeper_link link;
    struct mech mech;
    struct session_keys *cache; /* LIMIT_KEY_CACHE */
    uint64_t uses;
    struct secret plain;    /* LIMIT_BLOB: sections of the blob in use */
    struct secret material; /* a key being made or imported */
    struct secret scratch;  /* LIMIT_KEEPER_FRAME: answers of the keeper */
};

/* Where a reply is put together. Sections are added in order. */
struct answer {
    struct core_reply *reply;
    uint8_t *at;
    size_t left;
    unsigned sections;
};
/* The next section is the `size` bytes just written at a->at. */
void answer_add(struct answer *a, size_t size);
enum err answer_copy(struct answer *a, struct bytes b) MUST_USE;

/* worker_keys.c */
enum err worker_keys_get(struct worker *w, uint64_t handle, struct session_keys **out) MUST_USE;
void worker_keys_drop(struct worker *w);
/* Asks the keeper; sections lie in w->scratch until worker_scratch_wipe. */
enum err worker_ask(struct worker *w,
                    const struct core_request *request,
                    struct core_reply *reply) MUST_USE;
void worker_scratch_wipe(struct worker *w);
/* ERR_LOGIN_REQUIRED, ERR_REFUSED. */
enum err worker_may_make(const struct session_keys *keys) MUST_USE;

/* worker_use.c: a blob opened for one use, wiped at the end of its scope. */
struct key_use {
    struct worker *worker;
    struct session_keys *keys;
    struct seal_opened opened;
    size_t size; /* bytes of w->plain in use */
    const struct key_info *info;
    struct key_info public_info;
    uint8_t public_material[FASTKEY_RSA_BYTES + 8u];
};
#define KEY_USE_SCOPED __attribute__((cleanup(key_use_end))) struct key_use
enum err key_use_open(struct key_use *u,
                      struct worker *w,
                      uint64_t handle,
                      struct bytes blob,
                      unsigned sections) MUST_USE;
void key_use_end(struct key_use *u);
/* One error for whatever is wrong with a blob or an envelope. */
enum err worker_blob_error(enum err e);

/* Verbs. */
typedef enum err (*worker_verb_cb)(struct worker *w,
                                   const struct core_request *r,
                                   struct answer *a);
enum err worker_operate(struct worker *w, const struct core_request *r, struct answer *a) MUST_USE;
enum err worker_attributes(struct worker *w,
                           const struct core_request *r,
                           struct answer *a) MUST_USE;
enum err worker_set_attributes(struct worker *w,
                               const struct core_request *r,
                               struct answer *a) MUST_USE;
enum err worker_generate_key(struct worker *w,
                             const struct core_request *r,
                             struct answer *a) MUST_USE;
enum err worker_generate_pair(struct worker *w,
                              const struct core_request *r,
                              struct answer *a) MUST_USE;
enum err worker_import(struct worker *w, const struct core_request *r, struct answer *a) MUST_USE;
enum err worker_create_public(struct worker *w,
                              const struct core_request *r,
                              struct answer *a) MUST_USE;
enum err worker_ca_create(struct worker *w,
                          const struct core_request *r,
                          struct answer *a) MUST_USE;
enum err worker_issue(struct worker *w, const struct core_request *r, struct answer *a) MUST_USE;
#ifdef RINGKEEP_TEST_HOOKS
enum err worker_probe(struct worker *w, const struct core_request *r, struct answer *a) MUST_USE;
#endif

/* worker_make.c: seals an object with this material (none: kind 4) and adds the
 * blob to the answer. bind: the family, used for kind 2 alone. */
enum err worker_seal(const struct seal_ring *ring,
                     const struct object *o,
                     const uint8_t *bind,
                     const struct key_info *info,
                     struct answer *a) MUST_USE;

#endif
