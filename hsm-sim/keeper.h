/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: SMK, keyring keys, roles, tickets, roster, clone handshakes. It
 * reads only fixed-size frames of its own workers. keeper_answer is the table
 * walk; keeper_main.c (process) and core_local.c (tests) call it.
 *
 * One thread, except scrypt, which runs on LIMIT_SCRYPT_THREADS threads of the
 * process: a LOGIN-like verb answers later through keeper_reply_cb. */
#ifndef RINGKEEP_HSM_SIM_KEEPER_H
#define RINGKEEP_HSM_SIM_KEEPER_H

#include "base/clock.h"
#include "base/executor.h"
#include "hsm-sim/core_wire.h"

/* Contexts of PIN envelopes (crypto-spec section 3), as the keeper checks them:
 *   INIT, LOGIN_CORE role 1, domain secret (role 0) of CLUSTER_CREATE, JOIN_BEGIN:
 *       kr_id = core_id; LOGIN_CORE of PO, CO: kr_id = cluster_id
 *   PO and CO rows of CLUSTER_CREATE: kr_id zero; cluster_id is zero wherever
 *       there is no cluster yet; client_spki is zero (local door)
 *   KEYRING_CREATE: under LK, kr_id = keyring id, role 6, client_spki zero
 *   LOGIN, PASSWORD: under LK, kr_id = keyring id, the role, client_spki
 * A set (envelope verb 3) stands by right of the request's handle: its ts must be
 * the ts of the envelope with which that handle was logged in; INIT has none.
 * Every challenge is spent by its first use, right or wrong. */
/* KEYRING_CREATE's number. */
enum keeper_identity { KEEPER_IDENTITY_SINGLE = 0, KEEPER_IDENTITY_DUAL = 1 };
/* PASSWORD's number may carry this beside the role: raises the epoch, so that
 * tickets of before end. */
#define KEEPER_END_SESSIONS 0x100u

/* SYS_KEY's number: what the cluster's CA key is wanted for. The first two are
 * ISSUE's. Who asks for a client certificate is a PO: a daemon alone makes no client. */
enum keeper_sys { KEEPER_SYS_CLIENT = 0, KEEPER_SYS_SERVER = 1, KEEPER_SYS_CA = 2 };

struct keeper;
typedef void (*keeper_reply_cb)(void *arg, const struct core_reply *reply);

struct keeper_options {
    int state_fd[2]; /* state.0, state.1, open for reading and writing; borrowed */
    struct secret mtk;            /* taken over */
    bool mtk_in_state, isolated, locked;
    const struct clock *clock;
    const struct executor *scrypt; /* executor_inline() in tests */
};
enum err keeper_open(struct keeper_options *options, struct keeper **out) MUST_USE;
void keeper_close(struct keeper *k); /* wipes; no scrypt job may be under way */
/* Its state could not be written: every verb is refused from now on. The process
 * shall end and be started again. */
bool keeper_broken(const struct keeper *k);
/* To be called every few seconds: wipes clone runs whose time is over. */
void keeper_tick(struct keeper *k);
/* `internal`: the frame came from a worker for itself (INTERNAL verbs allowed).
 * cb is called exactly once, perhaps before this returns; its reply is borrowed
 * for the call. */
void keeper_answer(struct keeper *k, const struct core_request *request, bool internal, keeper_reply_cb cb, void *arg);

/* What KEYS answers: the worker's view of one handle. 256 bytes, fixed. */
struct keeper_keys {
    uint8_t keyring_id[16], smk_id[16], kk_id[16], family[16];
    uint8_t bk[32], pub[32]; /* bk zero in a public session */
    uint32_t role;           /* 5..8; 0 public session */
    uint32_t has_bk;
    uint64_t expires;        /* Unix s */
};
#define KEEPER_KEYS_SIZE 256u
void keeper_keys_encode(const struct keeper_keys *k, uint8_t out[KEEPER_KEYS_SIZE]);
enum err keeper_keys_decode(struct bytes b, struct keeper_keys *out) MUST_USE;

#endif
