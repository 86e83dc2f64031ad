/* SPDX-License-Identifier: Apache-2.0 */
/* What a core remembers, and its two slots on disk (crypto-spec section 1): body
 * of this file's own format, sealed under STK. Only the keeper includes it.
 *
 * struct keeper_state holds keys: keep it in secret memory, wipe it. No function
 * here looks at a clock. One thread. */
#ifndef RINGKEEP_HSM_SIM_KEEPER_STATE_H
#define RINGKEEP_HSM_SIM_KEEPER_STATE_H

#include "hsm-sim/core_wire.h"
#include "sks/record.h"
#include "sks/roster.h"
#include "sks/smk.h"

#define KEEPER_INVITES 256u /* invites that this donor has seen; each until it expires */
#define KEEPER_KEYRING_ROLES 4u

/* Ids and public keys; never secrets. */
static inline bool keeper_same_id(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE])
{
    return bytes_equal(bytes_of(a, ID_SIZE), bytes_of(b, ID_SIZE));
}
static inline bool keeper_same_key(const uint8_t a[32], const uint8_t b[32])
{
    return bytes_equal(bytes_of(a, 32), bytes_of(b, 32));
}

/* What this core knows of a keyring that it has served. */
struct keeper_floor {
    uint8_t keyring_id[ID_SIZE];
    uint64_t version, epoch;
    uint64_t used;                           /* order of use; 0: free entry */
    uint8_t failures[KEEPER_KEYRING_ROLES];  /* of KRSO, KRCO, LCO, CU, here */
    uint8_t in_flight[KEEPER_KEYRING_ROLES]; /* comparisons under way; not on disk */
};

/* An invite that was used here, or against which a joiner failed. */
struct keeper_invite {
    uint8_t invite_id[ID_SIZE];
    uint64_t expiry;
    uint8_t spent;
    uint8_t failures;
};

struct keeper_state {
    uint8_t state; /* enum core_state; never AUTHORIZED: that is in memory alone */
    uint8_t core_id[ID_SIZE], id_private[32], ak_private[32];
    uint8_t label_size;
    uint8_t label[LIMIT_LABEL];
    struct record_row so; /* HSM SO */
    uint8_t failures[5];  /* by role 1..4 */
    uint8_t in_flight[5]; /* not on disk */
    /* from MEMBER on */
    uint8_t cluster_id[ID_SIZE], domain_id[ID_SIZE], dk[CRYPT_KEY];
    size_t roster_size;
    uint8_t roster[LIMIT_ROSTER]; /* sealed; its version is the highest seen */
    uint8_t set[SMK_SET_SEALED];  /* under CUK */
    struct record home;           /* the cluster record */
    uint64_t lk_version;          /* highest seen */
    uint64_t latest_s;            /* latest time seen */
    uint64_t uses;                /* order of use of floors */
    struct keeper_invite invite[KEEPER_INVITES];
    struct keeper_floor floor[LIMIT_KEYRING_FLOORS];
};

/* The body. decode: ERR_CORRUPT for anything that encode would not write. */
enum err keeper_state_encode(const struct keeper_state *s, struct secret *out) MUST_USE;
enum err keeper_state_decode(struct bytes body, struct keeper_state *out) MUST_USE;

struct keeper_slots {
    int fd[2]; /* borrowed */
    uint64_t sequence;
    uint8_t mtk[CRYPT_KEY];
};
/* The valid slot of higher sequence. ERR_NOTFOUND: both files are empty.
 * ERR_CORRUPT: something is there and no slot opens (also under another MTK). */
enum err keeper_slots_load(struct keeper_slots *slots, struct keeper_state *out) MUST_USE;
/* Writes the next slot and waits until it is on disk. */
enum err keeper_slots_store(struct keeper_slots *slots, const struct keeper_state *s) MUST_USE;

/* Floors and invites of a state. */
struct keeper_floor *keeper_floor_find(struct keeper_state *s, const uint8_t keyring_id[ID_SIZE]);
/* Finds or makes; drops the oldest one without comparisons under way when full. */
struct keeper_floor *keeper_floor_use(struct keeper_state *s, const uint8_t keyring_id[ID_SIZE]);
struct keeper_invite *keeper_invite_find(struct keeper_state *s, const uint8_t invite_id[ID_SIZE]);
/* Finds or makes, forgetting expired ones. NULL: full. */
struct keeper_invite *keeper_invite_use(struct keeper_state *s,
                                        const uint8_t invite_id[ID_SIZE],
                                        uint64_t expiry,
                                        uint64_t now);
/* Reads the clear part of the roster copy. ERR_NOTFOUND before there is one. */
enum err keeper_state_roster(const struct keeper_state *s, struct roster *out) MUST_USE;

#endif
