/* SPDX-License-Identifier: Apache-2.0 */
/* Keepers in a test: state in memfds, a clock that the test moves, cheap scrypt,
 * and what a daemon and its client would send, as one call each. Every call that
 * says `must` asserts success; kit_ask gives the error back. */
#ifndef RINGKEEP_TESTS_LIB_KEEPER_KIT_H
#define RINGKEEP_TESTS_LIB_KEEPER_KIT_H

#include "hsm-sim/keeper.h"
#include "proto/envelope.h"
#include "sks/clone.h"
#include "sks/record.h"
#include "sks/roster.h"

struct kit {
    int fd[2];
    uint8_t mtk[32];
    uint64_t wall_s, boot_ms;
    struct clock clock;
    struct keeper *keeper;
    struct core_status status; /* of the last kit_status */
    /* what a daemon would keep */
    uint8_t roster[LIMIT_ROSTER], record[LIMIT_RECORD];
    size_t roster_size, record_size;
    uint8_t domain_id[16];
};
struct kit_reply {
    enum err error;
    uint64_t number;
    struct bytes section[CORE_SECTIONS];
    uint8_t data[LIMIT_KEEPER_FRAME];
};
/* One PIN envelope with its challenge. */
struct kit_envelope {
    uint8_t challenge[16], envelope[593];
};
struct kit_pin {
    bool by_lk;
    unsigned verb, role;
    const uint8_t *kr_id, *client_spki; /* NULL: zero */
    const char *pin, *new_pin;          /* NULL: none */
    const uint8_t *ts;                  /* NULL: drawn */
};

#define KIT_SO "so-password"
#define KIT_PO "po-password"
#define KIT_CO "co-password"
#define KIT_DOMAIN "lusab-babad-lusab-babad"
extern const uint8_t kit_ts[32], kit_spki[32];

/* A core that never ran; opens its keeper. */
void kit_init(struct kit *c);
void kit_drop(struct kit *c);
/* A new keeper on the same state. */
enum err kit_restart(struct kit *c);
void kit_status(struct kit *c);
void kit_ask(struct kit *c,
             unsigned verb,
             uint64_t handle,
             uint64_t number,
             const struct bytes *sections,
             unsigned count,
             struct kit_reply *out);
void kit_challenge(struct kit *c, uint8_t out[16]);
void kit_seal(struct kit *c, const struct kit_pin *p, struct kit_envelope *out);
/* The same with a given challenge. */
void kit_seal_with(struct kit *c, const struct kit_pin *p, struct kit_envelope *out);

/* INIT, LOGIN_CORE, CLUSTER_CREATE. */
void kit_must_initialise(struct kit *c);
enum err kit_login_core(struct kit *c, unsigned role, const char *pin, uint64_t *handle);
void kit_must_create(struct kit *c);

/* A keyring with its record in *out. */
struct kit_keyring {
    uint8_t id[16];
    uint8_t record[LIMIT_RECORD];
    size_t size;
};
void kit_must_keyring(struct kit *c, unsigned mode, const char *first, struct kit_keyring *out);
/* LOGIN; ticket is set on success. */
enum err kit_login(struct kit *c,
                   const struct kit_keyring *kr,
                   unsigned role,
                   const char *pin,
                   uint8_t ticket[264]);
/* PASSWORD; replaces the record. flags: KEEPER_END_SESSIONS or 0. */
enum err kit_password(struct kit *c,
                      struct kit_keyring *kr,
                      unsigned role,
                      const char *old,
                      const char *fresh,
                      unsigned flags);
enum err kit_open(struct kit *c,
                  const struct kit_keyring *kr,
                  const uint8_t ticket[264],
                  const uint8_t spki[32],
                  uint64_t *handle);
/* KEYS of a handle. */
enum err kit_keys(struct kit *c, uint64_t handle, struct keeper_keys *out);

/* An invite as PO; the row as the cluster replicates it. */
struct kit_invite {
    uint8_t id[16], sealed[BLOB_INVITE_SIZE], secret[32], spent;
    uint64_t expiry;
};
void kit_must_invite(struct kit *c, uint64_t life_s, struct kit_invite *out);
/* One clone run, step by step. */
struct kit_run {
    uint64_t id;
    uint8_t request[CLONE_REQUEST], m1[CLONE_M1], m2[CLONE_M2], m3[CLONE_M3], m4[CLONE_M4];
    char words[2][CLONE_WORDS];
};
enum err kit_join_begin(struct kit *donor,
                        struct kit *joiner,
                        const struct kit_invite *v,
                        const char *domain,
                        struct kit_run *r);
enum err kit_inherit_begin(struct kit *joiner, struct kit_run *r);
enum err kit_m1(struct kit *donor,
                unsigned purpose,
                const struct kit_invite *v,
                struct bytes beacon,
                struct kit_run *r);
enum err kit_m2(struct kit *joiner, struct kit_run *r);
enum err kit_check(struct kit *donor, struct kit_run *r);
enum err kit_m3(struct kit *donor, struct kit_run *r);
enum err kit_m4(struct kit *joiner, struct kit_run *r);
/* Takes the new roster of a join into donor->roster. */
enum err kit_done(struct kit *donor, struct kit_run *r);
enum err kit_roster_seen(struct kit *c, const struct kit *from);
/* All of it; the joiner is INITIALISED before and authorized after. */
void kit_must_join(struct kit *donor, struct kit *joiner);
void kit_beacon(struct kit *c, uint8_t out[128]);

#endif
