/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the keeper share: the struct, one request's answer, jobs for
 * the scrypt threads, small helpers. No file outside keeper*.c includes it. All on
 * the keeper's thread, but for a job's `work`. */
#ifndef RINGKEEP_HSM_SIM_KEEPER_INNER_H
#define RINGKEEP_HSM_SIM_KEEPER_INNER_H

#include "hsm-sim/keeper.h"
#include "hsm-sim/keeper_handles.h"
#include "hsm-sim/keeper_state.h"
#include "proto/envelope.h"
#include "sks/clone.h"
#include "sks/invite.h"

/* Bounds of base/limits.h as the clock counts them. */
#define KEEPER_ADMIN_MS (UINT64_C(10) * 60u * 1000u)
#define KEEPER_CHALLENGE_MS (UINT64_C(1000) * LIMIT_CHALLENGE_S)
#define KEEPER_CLONE_MS (UINT64_C(1000) * LIMIT_CLONE_S)
#define KEEPER_LOGIN_AGE_MS (UINT64_C(1000) * LIMIT_LOGIN_AGE_S)
enum { KEEPER_TICKET_S = LIMIT_TICKET_S, KEEPER_INVITE_S = LIMIT_INVITE_S };
#define KEEPER_CLOCK_BACK_S 300u
#define KEEPER_MARKER 32u       /* test hook */
#define KEEPER_LOGIN_KEY_S 3600u /* a statement older than this is signed anew */

struct keeper_challenge {
    uint8_t value[ID_SIZE];
    uint64_t until_ms; /* boot clock; 0: free */
};

/* Donor's side of a clone run. */
struct keeper_donor {
    uint64_t id; /* 0: free */
    uint64_t until_ms;
    struct clone_donor donor;
    struct clone_params params;
    struct invite invite; /* join */
    uint64_t beacon_s;    /* inherit: last beacon of the joiner */
    bool checked;         /* M2 was right; a join's invite is spent on disk */
};

/* Joiner's side: one at a time. */
struct keeper_joiner {
    uint64_t until_ms; /* 0: none */
    bool begun;        /* M2 was sent */
    struct clone_own own;
    uint8_t dk[CRYPT_KEY], invite_secret[32];
    struct clone_joiner joiner;
};

struct keeper {
    struct secret memory; /* this struct */
    const struct clock *clock;
    const struct executor *scrypt;
    bool mtk_in_state, isolated, locked, broken;
    unsigned test_log_n; /* keeper_test.h */
    unsigned scrypt_waiting;
    uint64_t life; /* raised when the state is wiped under running jobs */
    struct keeper_slots slots;
    uint8_t id_pub[32], ak_pub[32];
    /* while authorized */
    bool authorized;
    uint8_t cuk[CRYPT_KEY];
#ifdef RINGKEEP_TEST_HOOKS
    _Alignas(8) uint8_t marker[KEEPER_MARKER]; /* keeper_marker.c; nothing between it and the set */
#endif
    struct smk_set set;
    uint8_t smk_id[ID_SIZE], lk_pub[32];
    struct smk_opener opener[SMK_USES];
    uint8_t login_key[ENVELOPE_LOGIN_KEY];
    uint64_t login_key_s;
    uint64_t stored_latest_s; /* the latest time seen, as on disk */
    struct keeper_handles *handles;
    struct keeper_challenge challenge[LIMIT_CHALLENGES];
    struct keeper_donor donor[LIMIT_CLONE_RUNS];
    struct keeper_joiner joiner;
    struct keeper_state state;
};

/* -- answering -------------------------------------------------------------- */
/* The answer under construction; may hold keys, so it is wiped after sending. */
struct keeper_out {
    uint64_t number;
    unsigned count;
    size_t used;
    struct bytes section[CORE_SECTIONS];
    uint8_t buffer[LIMIT_KEEPER_FRAME - 256u];
};
void keeper_out_put(struct keeper_out *out, const void *data, size_t size);
/* Room for a section that the caller fills at once. */
uint8_t *keeper_out_room(struct keeper_out *out, size_t size);

struct keeper_call {
    struct keeper *k;
    const struct core_request *request;
    keeper_reply_cb cb;
    void *arg;
    bool later; /* a job took the answer over */
};
typedef enum err (*keeper_handler)(struct keeper_call *call, struct keeper_out *out);

/* Section i has exactly this size. */
enum err keeper_section(const struct core_request *q, unsigned i, size_t size) MUST_USE;
/* One error to the outside; the true one goes to the security log. */
enum err keeper_refuse(const struct keeper *k,
                       const char *class_name,
                       const char *what,
                       enum err cause);
void keeper_note(const struct keeper *k, const char *class_name, const char *what, enum err code);

/* -- state ------------------------------------------------------------------ */
enum core_state keeper_state_now(const struct keeper *k);
/* Puts the state on disk; a failure makes the keeper unfit for good. */
enum err keeper_store(struct keeper *k) MUST_USE;
/* A new core: core_id, ID, AK; everything else zero. Writes both slots. */
enum err keeper_reset(struct keeper *k) MUST_USE;
/* Wall clock, never behind the latest time seen. */
uint64_t keeper_now_s(struct keeper *k);
/* ERR_CLOCK: the wall clock is more than five minutes behind. */
enum err keeper_clock_check(struct keeper *k) MUST_USE;
/* Takes the use of the SMK; the state must be a member's. */
enum err keeper_authorize(struct keeper *k,
                          const uint8_t cuk[CRYPT_KEY],
                          const struct smk_set *set) MUST_USE;
void keeper_deauthorize(struct keeper *k);
/* What a cluster's creation, a join or an inheritance makes of the core. */
struct keeper_membership {
    const uint8_t *cluster_id, *domain_id, *dk, *cuk;
    const struct smk_set *set;
    const struct record *home;
    struct bytes roster; /* sealed and verified */
};
/* Authorizes too; on disk when it returns. */
enum err keeper_become_member(struct keeper *k, const struct keeper_membership *m) MUST_USE;

/* -- challenges and envelopes ----------------------------------------------- */
enum err keeper_challenge_make(struct keeper *k, uint8_t out[ID_SIZE]) MUST_USE;
/* Spends it. ERR_REFUSED. */
enum err keeper_challenge_spend(struct keeper *k, const uint8_t c[ID_SIZE]) MUST_USE;
struct keeper_envelope {
    struct bytes challenge, envelope;
    uint8_t verb; /* enum envelope_verb that must be in it */
    uint8_t role;
    bool by_lk;                 /* else AK */
    const uint8_t *kr_id;       /* NULL: zero */
    const uint8_t *client_spki; /* NULL: zero */
};
/* Spends the challenge and opens. ERR_REFUSED for any fault, nothing is counted. */
enum err keeper_envelope_open(struct keeper *k,
                              const struct keeper_envelope *e,
                              struct envelope_pin *out) MUST_USE;

/* -- handles ---------------------------------------------------------------- */
/* A login to the core of this role, made less than KEEPER_ADMIN_MS ago: using it does
 * not lengthen it. ERR_LOGIN_REQUIRED. */
enum err keeper_admin(struct keeper *k,
                      uint64_t handle,
                      unsigned role,
                      struct keeper_handle **out) MUST_USE;
/* Login or public session, ticket not expired. */
enum err keeper_session(struct keeper *k, uint64_t handle, struct keeper_handle **out) MUST_USE;

/* A set's ts is that of the handle by whose right it comes, and the password is
 * long enough. ERR_REFUSED, ERR_PIN_LENGTH. */
enum err keeper_set_check(struct keeper *k,
                          const struct keeper_handle *h,
                          const struct envelope_pin *pin) MUST_USE;

/* -- scrypt jobs ------------------------------------------------------------ */
struct keeper_counter {
    uint8_t *failures, *in_flight;
};
struct keeper_job;
struct keeper_job {
    struct keeper *k;
    struct secret memory; /* this struct */
    keeper_reply_cb cb;
    void *arg;
    /* On a scrypt thread: touches the job alone. */
    enum err (*work)(struct keeper_job *job);
    /* On the keeper's thread, with the outcome of work in job->error. */
    enum err (*finish)(struct keeper_job *job, struct keeper_out *out);
    enum err error;
    uint64_t life;
    const struct clock *clock;
    unsigned test_log_n;
    bool compared, matched;        /* work came as far as comparing; it was right */
    struct keeper_counter counter; /* failures NULL: nothing counted */
    /* what the handlers put in and get out */
    uint64_t number, reserved_ms, now_s;
    unsigned role;
    uint8_t owner_id[ID_SIZE], kk_id[ID_SIZE], domain_id[ID_SIZE];
    uint8_t client_spki[32], request_id[ID_SIZE], spki_hash[32], invite_secret[32];
    uint8_t kk[CRYPT_KEY], dk[CRYPT_KEY];
    struct clone_request request;
    struct record record;
    struct record_row row;
    struct envelope_pin pin[3];
    size_t sealed_size;
    uint8_t sealed[LIMIT_RECORD];
};
/* ERR_BUSY: too many wait. The job takes the call's answer over once posted. */
enum err keeper_job_make(struct keeper_call *call, struct keeper_job **out) MUST_USE;
void keeper_job_drop(struct keeper_job *job);
/* Consumes *job, also on failure. */
enum err keeper_job_post(struct keeper_call *call, struct keeper_job **job) MUST_USE;
/* Own counter: +1 on disk before a comparison. ERR_PIN_LOCKED at `most`, ERR_BUSY
 * where comparisons under way may still clear it. */
enum err keeper_count_begin(struct keeper *k,
                            struct keeper_job *job,
                            struct keeper_counter counter,
                            unsigned most) MUST_USE;
/* After it: right clears all but what is under way. */
enum err keeper_count_end(struct keeper_job *job) MUST_USE;
/* Compares one row with pin[0] on the scrypt thread; kk gets what the row wraps. */
enum err keeper_job_compare(struct keeper_job *job) MUST_USE;
enum err keeper_job_domain_key(struct keeper_job *job, const struct envelope_pin *pin) MUST_USE;
unsigned keeper_log_n(unsigned test_log_n, unsigned log_n);

/* -- records and login keys ------------------------------------------------- */
/* Opens a keyring record; its version and epoch are not below the floor. */
enum err keeper_record_open(struct keeper *k, struct bytes sealed, struct record *out) MUST_USE;
/* The same, and raises the floor on disk, ends handles of an older epoch. */
enum err keeper_record_see(struct keeper *k, struct bytes sealed, struct record *out) MUST_USE;
/* The replicated cluster record, if it is newer than the one at home: takes it.
 * Authorized only; size 0 is fine. */
enum err keeper_home_see(struct keeper *k, struct bytes sealed, bool *newer) MUST_USE;
/* L, signed anew where it is old, and I; ERR_SEALED. */
enum err keeper_login_key(struct keeper *k, uint8_t l[ENVELOPE_LOGIN_KEY]) MUST_USE;
enum err keeper_identities(struct keeper *k,
                           uint8_t i[ENVELOPE_IDENTITIES_MAX],
                           size_t *size) MUST_USE;
/* Verifies a roster, refuses one below the highest seen, keeps a newer one. */
enum err keeper_roster_see(struct keeper *k, struct bytes sealed, struct roster *out) MUST_USE;
/* Ends every clone run and wipes it. */
void keeper_clone_clear(struct keeper *k);
/* Wipes the runs whose time is over. */
void keeper_clone_sweep(struct keeper *k);

#ifdef RINGKEEP_TEST_HOOKS
/* keeper_marker.c: marks the place of the SMK set for the canary test. */
void keeper_marker_set(struct keeper *k);
#endif

/* -- handlers, by file ------------------------------------------------------ */
#define KEEPER_HANDLER(name) enum err name(struct keeper_call *call, struct keeper_out *out)
/* keeper_roles.c */
KEEPER_HANDLER(keeper_roles_init);
KEEPER_HANDLER(keeper_roles_login);
KEEPER_HANDLER(keeper_roles_cluster_create);
/* keeper_logins.c */
KEEPER_HANDLER(keeper_logins_create);
KEEPER_HANDLER(keeper_logins_login);
KEEPER_HANDLER(keeper_logins_password);
/* keeper_keyrings.c */
KEEPER_HANDLER(keeper_keyrings_open);
KEEPER_HANDLER(keeper_keyrings_open_public);
KEEPER_HANDLER(keeper_keyrings_close);
KEEPER_HANDLER(keeper_keyrings_refresh);
KEEPER_HANDLER(keeper_keyrings_record_seen);
KEEPER_HANDLER(keeper_keyrings_keys);
KEEPER_HANDLER(keeper_keyrings_import_key);
KEEPER_HANDLER(keeper_keyrings_sys_key);
/* keeper_donor.c */
KEEPER_HANDLER(keeper_donor_m1);
KEEPER_HANDLER(keeper_donor_check);
KEEPER_HANDLER(keeper_donor_m3);
KEEPER_HANDLER(keeper_donor_done);
/* keeper_joiner.c */
KEEPER_HANDLER(keeper_joiner_join);
KEEPER_HANDLER(keeper_joiner_inherit);
KEEPER_HANDLER(keeper_joiner_m2);
KEEPER_HANDLER(keeper_joiner_m4);
/* keeper_roster.c */
KEEPER_HANDLER(keeper_roster_invite);
KEEPER_HANDLER(keeper_roster_seen);
KEEPER_HANDLER(keeper_roster_beacon);
KEEPER_HANDLER(keeper_roster_login_key);

#endif
