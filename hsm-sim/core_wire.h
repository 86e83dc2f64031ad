/* SPDX-License-Identifier: Apache-2.0 */
/* What daemon, worker and keeper say to each other: a fixed head and up to eight
 * sections. One encoder and one decoder for the ring and for the keeper's frames.
 *
 * Request head, 96 bytes, little-endian:
 *    0 u16 verb   2 u16 zero   4 u32 total size   8 u64 handle   16 u64 mechanism
 *   24 u64 number 32 request id 16   48 mac 16 (zero until STC)   64 u32 size[8]
 * Reply head, 64 bytes:
 *    0 u32 error  4 u32 total size   8 u64 number   16 u64 zero   24 u32 size[8]  56 u64 zero
 * Sections follow in order without padding. */
#ifndef RINGKEEP_HSM_SIM_CORE_WIRE_H
#define RINGKEEP_HSM_SIM_CORE_WIRE_H

#include "base/bytes.h"
#include "base/limits.h"

#define CORE_SECTIONS 8u
#define CORE_REQUEST_HEAD 96u
#define CORE_REPLY_HEAD 64u

enum core_verb {
#define VERB(number, name, runs, state, leaves, sections) CORE_##name = (number),
#include "hsm-sim/verbs.def"
#undef VERB
};

/* States of a core (design.md, "states are defined before features"). */
enum core_state { CORE_UNINITIALISED = 0, CORE_INITIALISED = 1, CORE_MEMBER = 2, CORE_AUTHORIZED = 3 };
/* MEMBER: belongs to a cluster, SMK sealed. Verbs whose row says INITIALISED work from CORE_INITIALISED on. */

struct core_request {
    unsigned verb;
    uint64_t handle, mechanism, number;
    uint8_t request_id[16];
    struct bytes section[CORE_SECTIONS]; /* borrowed */
};
struct core_reply {
    enum err error;
    uint64_t number;
    struct bytes section[CORE_SECTIONS]; /* borrowed */
};

/* Section 0 of a STATUS reply; fixed layout, little-endian, 256 bytes. */
struct core_status {
    uint32_t state, mtk_in_state; /* 1: the MTK lies in the core's own directory */
    uint8_t core_id[16], cluster_id[16], id_pub[32], ak_pub[32], smk_id[16];
    uint64_t roster_version, lk_version, handles, wall_s, scrypt_waiting;
    uint32_t isolated; /* 1: runs under an uid of its own */
    uint32_t locked;   /* 1: memory is locked */
};
#define CORE_STATUS_SIZE 256u
void core_status_encode(const struct core_status *s, uint8_t out[CORE_STATUS_SIZE]);
enum err core_status_decode(struct bytes b, struct core_status *out) MUST_USE;

/* Total encoded size. */
size_t core_request_size(const struct core_request *r);
size_t core_reply_size(const struct core_reply *r);
/* out has room for that size. */
void core_request_encode(const struct core_request *r, uint8_t *out);
void core_reply_encode(const struct core_reply *r, uint8_t *out);
/* The head alone, where the sections lie behind it already. */
void core_reply_encode_head(const struct core_reply *r, uint8_t out[CORE_REPLY_HEAD]);
/* Checks head, zero fields, sizes against the verb's row: ERR_PROTOCOL when the
 * frame itself is broken (the daemon's fault, ends the worker), ERR_TOO_LARGE
 * when a section passes its row's bound (an error reply). Sections point into b. */
enum err core_request_decode(struct bytes b, struct core_request *out) MUST_USE;
enum err core_reply_decode(struct bytes b, struct core_reply *out) MUST_USE;

/* The row of a verb; NULL for no such verb. */
enum core_runs { CORE_RUNS_KEEPER, CORE_RUNS_WORKER, CORE_RUNS_INTERNAL };
enum core_leaves {
    CORE_LEAVES_NOTHING, CORE_LEAVES_BLOB, CORE_LEAVES_INVITE, CORE_LEAVES_HANDSHAKE, CORE_LEAVES_TICKET, CORE_LEAVES_KEYS,
    CORE_LEAVES_ATTRIBUTES, CORE_LEAVES_SIGNATURE, CORE_LEAVES_CIPHERTEXT, CORE_LEAVES_PLAINTEXT_OF_CLIENT, CORE_LEAVES_RANDOM
};
struct core_verb_row {
    unsigned verb;
    const char *name;
    enum core_runs runs;
    enum core_state state;
    enum core_leaves leaves;
    uint32_t limit[CORE_SECTIONS];
};
const struct core_verb_row *core_verb_find(unsigned verb);
/* No section is larger than its row allows. */
bool core_verb_fits(const struct core_verb_row *row, const struct core_request *r);
/* Before a daemon's side sends it: ERR_USAGE where the verb is none or not a daemon's,
 * ERR_TOO_LARGE where a section or the whole passes its bound. */
enum err core_request_check(const struct core_request *r, const struct core_verb_row **row) MUST_USE;
const struct core_verb_row *core_verb_rows(size_t *count);

#endif
