/* SPDX-License-Identifier: Apache-2.0 */
/* SMK clone, core to core, in four messages (crypto-spec section 6): join,
 * inherit, push. Daemons only carry them.
 *
 * A run is one struct on each side: clone_donor begins with M1, clone_joiner
 * answers. Every function that fails wipes its run: it cannot go on. A finished
 * run is wiped too, and *_drop wipes one that its owner gives up (one run per
 * peer at a time, LIMIT_CLONE_S from begin to end: the owner's to enforce, there
 * is no clock here). Calls out of order: ERR_WRONG_STATE.
 *
 * Errors tell the true cause for the alarm record: ERR_MALFORMED, ERR_REFUSED,
 * ERR_BAD_TAG (signature, MAC, tag), ERR_BAD_CONTENT. The other side gets one
 * error for all. Messages that come in lie in private memory. A run belongs to one thread at a
 * time. Times are Unix seconds. */
#ifndef RINGKEEP_SKS_CLONE_H
#define RINGKEEP_SKS_CLONE_H

#include "base/crypt.h"
#include "sks/blob.h"
#include "sks/roster.h"
#include "sks/smk.h"

enum clone_purpose { CLONE_JOIN = 1, CLONE_INHERIT = 2, CLONE_PUSH = 3 };

#define CLONE_P 250u
#define CLONE_M1 378u
#define CLONE_M2 160u
#define CLONE_M3_PLAIN 8192u
#define CLONE_M3 (64u + 32u + CLONE_M3_PLAIN + CRYPT_TAG)
#define CLONE_M4 32u
#define CLONE_WORDS 36u /* six words with their zero */

/* J's request, in clear (section 8); 145 bytes. invite_id: zero unless join. */
#define CLONE_REQUEST 145u
struct clone_request {
    uint8_t cluster_id[ID_SIZE];
    uint8_t invite_id[ID_SIZE];
    uint8_t joiner_id[ID_SIZE];
    uint8_t id_pub[32];
    uint8_t ak_pub[32];
    uint8_t spki_hash[32];
    uint8_t suite;
};
void clone_request_encode(const struct clone_request *r, uint8_t out[CLONE_REQUEST]);
/* ERR_MALFORMED: size; cluster_id, joiner_id or a key is zero. */
enum err clone_request_decode(struct bytes in, struct clone_request *out) MUST_USE;

/* P, the parameters that both sides sign. */
struct clone_params {
    uint8_t purpose; /* enum clone_purpose */
    uint8_t suite;   /* J's */
    uint8_t cluster_id[ID_SIZE], donor_id[ID_SIZE], joiner_id[ID_SIZE];
    uint8_t donor_id_pub[32], joiner_id_pub[32], joiner_ak_pub[32], joiner_spki[32];
    uint64_t roster_version;    /* D's */
    uint8_t invite_id[ID_SIZE]; /* zero unless join */
    uint8_t domain_id[ID_SIZE];
};
void clone_params_encode(const struct clone_params *p, uint8_t out[CLONE_P]);
/* ERR_MALFORMED. */
enum err clone_params_decode(const uint8_t in[CLONE_P], struct clone_params *out) MUST_USE;

/* The chance of one run on one side; tests give it, clone_chance_draw draws it. */
struct clone_chance {
    uint8_t ephemeral[32]; /* X25519 private */
    uint8_t nonce[32];
};
enum err clone_chance_draw(struct clone_chance *out) MUST_USE;
void clone_chance_wipe(struct clone_chance *c);

enum clone_step {
    CLONE_IDLE,    /* nothing begun, failed, or ended */
    CLONE_BEGUN,   /* D: M1 sent */
    CLONE_PROVEN,  /* D: M2 is right; J: M2 sent */
    CLONE_ALLOWED, /* D: the rules hold */
    CLONE_SENT,    /* D: M3 made */
    CLONE_TAKEN    /* J: M3 is right */
};

/* What either side keeps of a run. Secret: {0} at rest, see clone_*_drop. */
struct clone_run {
    enum clone_step step;
    struct clone_params params;
    uint8_t m1[CLONE_M1];
    uint8_t ephemeral[32], ephemeral_pub[32], nonce[32];
    uint8_t kj[32], kd[32], ks[32];
    uint8_t th2[32], th3[32], th4[32];
};

/* --- Donor --- */
struct clone_donor {
    struct clone_run run;
};
/* Makes M1. ERR_REFUSED for a reflection (donor_id == joiner_id or equal IDs) or
 * a purpose whose invite_id does not fit. id_private: D's Ed25519 seed. */
enum err clone_donor_begin(struct clone_donor *d,
                           const struct clone_params *params,
                           const uint8_t id_private[32],
                           const struct clone_chance *chance,
                           uint8_t m1[CLONE_M1]) MUST_USE;
/* Checks M2's signature and MAC. dk: domain key; invite_secret: NULL unless join.
 * Afterwards D knows that J holds its ID key and the domain secret. */
enum err clone_donor_check_m2(struct clone_donor *d,
                              struct bytes m2,
                              const uint8_t dk[CRYPT_KEY],
                              const uint8_t *invite_secret) MUST_USE;
/* The rules on what D knows, after clone_donor_check_m2. inherit, push: the
 * joiner is active with that ID in the roster at P's version, its last beacon
 * (0: none known) within the window. join: the roster has no such member. The
 * invite's own rules are invite_open's and invite_spend_check's. ERR_REFUSED. */
enum err clone_donor_check_rules(struct clone_donor *d,
                                 const struct roster *roster,
                                 uint64_t last_beacon,
                                 uint64_t now) MUST_USE;
/* Six words of SHA-256(th3), to compare with the joiner's, before M3. */
enum err clone_donor_words(const struct clone_donor *d, char out[CLONE_WORDS]) MUST_USE;
/* What M3 carries. */
struct clone_gift {
    const uint8_t *cuk;
    const struct smk_set *set;
    struct bytes roster, cluster_record; /* both sealed */
};
/* Makes M3. The caller calls it only once the rules hold and, for a join, the
 * invite is spent on disk and by a committed command. ERR_TOO_LARGE. */
enum err clone_donor_make_m3(struct clone_donor *d,
                             const uint8_t id_private[32],
                             const struct clone_gift *gift,
                             uint8_t m3[CLONE_M3]) MUST_USE;
/* Checks M4 and ends the run: J has it on disk. */
enum err clone_donor_check_m4(struct clone_donor *d, struct bytes m4) MUST_USE;
void clone_donor_drop(struct clone_donor *d);

/* --- Joiner --- */
struct clone_joiner {
    struct clone_run run;
};
/* What J knows of itself and asked for; J refuses a P in which these differ. */
struct clone_own {
    uint8_t purpose; /* that J asked for */
    struct clone_request request;
    uint8_t domain_id[ID_SIZE];
};
/* The secrets with which J proves itself. All borrowed. */
struct clone_proof {
    const uint8_t *id_private;    /* 32, J's Ed25519 seed */
    const uint8_t *dk;            /* 32, domain key */
    const uint8_t *invite_secret; /* 32; NULL unless join */
};
/* M1 alone, as J judges it before it answers: form, own fields, reflection, for
 * inherit and push donor active in J's copy of the roster (NULL: it has none),
 * signature. */
enum err clone_joiner_check_m1(struct bytes m1,
                               const struct clone_own *own,
                               const struct roster *roster,
                               struct clone_params *out) MUST_USE;
/* Checks M1 and makes M2. */
enum err clone_joiner_begin(struct clone_joiner *j,
                            struct bytes m1,
                            const struct clone_own *own,
                            const struct roster *roster,
                            const struct clone_proof *proof,
                            const struct clone_chance *chance,
                            uint8_t m2[CLONE_M2]) MUST_USE;
enum err clone_joiner_words(const struct clone_joiner *j, char out[CLONE_WORDS]) MUST_USE;
/* What J got. Holds CUK and SMK set: clone_taken_wipe it. */
struct clone_taken {
    uint8_t cuk[CRYPT_KEY];
    struct smk_set set;
    size_t roster_size, cluster_record_size;
    uint8_t roster[LIMIT_ROSTER]; /* sealed: open under the set's SMK */
    uint8_t cluster_record[LIMIT_RECORD];
};
/* own: the set that J holds (NULL: none); for inherit and push smk_set_accept
 * must let the new one. */
enum err clone_joiner_take_m3(struct clone_joiner *j,
                              struct bytes m3,
                              const struct smk_set *own,
                              struct clone_taken *out) MUST_USE;
/* Makes M4 and ends the run: only after the state slot is on disk. */
enum err clone_joiner_make_m4(struct clone_joiner *j, uint8_t m4[CLONE_M4]) MUST_USE;
void clone_joiner_drop(struct clone_joiner *j);
void clone_taken_wipe(struct clone_taken *t);

#endif
