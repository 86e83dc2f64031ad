/* SPDX-License-Identifier: Apache-2.0 */
/* Keyring record and cluster record (crypto-spec sections 3 and 6), and the role
 * rows in them (HSM SO and Auditor rows lie in the core's own state).
 *
 * A record is a plain struct of fixed size that holds shares (key material):
 * record_wipe it. Passwords are borrowed and never kept. Decoders copy their
 * input first. Times are Unix seconds. scrypt takes 0.12 s and 32 MiB (logN 15)
 * to 0.44 s and 128 MiB (17): record_derive belongs on a scrypt thread; all else
 * is quick and may run on any thread. No I/O, no clock. */
#ifndef RINGKEEP_SKS_RECORD_H
#define RINGKEEP_SKS_RECORD_H

#include "base/crypt.h"
#include "sks/blob.h"
#include "sks/smk.h"

enum record_role {
    RECORD_HSM_SO = 1,
    RECORD_AUDITOR = 2,
    RECORD_PO = 3,
    RECORD_CO = 4,
    RECORD_KRSO = 5,
    RECORD_KRCO = 6,
    RECORD_LCO = 7,
    RECORD_CU = 8
};
enum record_state { RECORD_CREATED = 1, RECORD_ACTIVE = 2, RECORD_SUSPENDED = 3 };
enum record_row_flag { RECORD_MUST_CHANGE = 1, RECORD_LOCKED = 2, RECORD_NO_WRAP = 4 };

#define RECORD_ROLES 4u
#define RECORD_POLICIES 64u
#define RECORD_TRUSTED 64u
#define RECORD_ROW 112u
#define RECORD_SHARE 88u
#define RECORD_LOGN_MIN 15u
#define RECORD_LOGN_MAX 20u
#define RECORD_LOGN_KEYRING 15u
#define RECORD_LOGN_CLUSTER 17u

struct record_row {
    uint8_t role;  /* enum record_role */
    uint8_t flags; /* enum record_row_flag */
    uint8_t log_n;
    uint8_t max_fail; /* from 1 */
    uint64_t changed_at;
    uint8_t salt[32];
    uint8_t check[16];
    uint8_t wrap[48]; /* of KK (CUK); zero with RECORD_NO_WRAP */
};
struct record_policy {
    uint8_t number;
    uint32_t value;
};
struct record_share {
    uint8_t smk_id[ID_SIZE]; /* old */
    uint8_t ks[CRYPT_KEY];
    uint8_t pub[CRYPT_KEY];
    uint64_t retired; /* time of the rollover */
};
/* Body and the header's own fields. policy, trusted and row ascending, once
 * each; share newest first, never smk_id. */
struct record {
    uint8_t kind; /* BLOB_RECORD or BLOB_CLUSTER_RECORD */
    uint8_t smk_id[ID_SIZE];
    uint8_t owner_id[ID_SIZE]; /* keyring id, cluster id */
    uint64_t version, epoch;
    uint8_t state;          /* enum record_state */
    uint8_t identity_mode;  /* opaque here */
    uint8_t kk_id[ID_SIZE]; /* cuk_id in the cluster record; zero before the first KK */
    uint8_t policy_count, share_count, trusted_count, row_count;
    struct record_policy policy[RECORD_POLICIES];
    struct record_share share[SMK_SHARES];
    uint8_t trusted[RECORD_TRUSTED][ID_SIZE];
    struct record_row row[RECORD_ROLES];
};
void record_wipe(struct record *r);

/* Seals under opener->key[0] and sets r->smk_id to its id. out gets *size bytes
 * (LIMIT_RECORD suffices). ERR_BAD_CONTENT where the record breaks a rule. */
enum err record_seal(struct record *r,
                     const struct smk_opener *opener,
                     uint8_t out[LIMIT_RECORD],
                     size_t *size) MUST_USE;
enum err record_seal_with(struct record *r,
                          const struct smk_opener *opener,
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[LIMIT_RECORD],
                          size_t *size) MUST_USE;
/* kind and owner_id: what the caller expects (other owner: ERR_WRONG_KEY). The
 * floor {version, epoch} is the caller's to check, before it trusts *out. */
enum err record_open(struct bytes sealed,
                     unsigned kind,
                     const uint8_t owner_id[ID_SIZE],
                     const struct smk_opener *opener,
                     struct record *out) MUST_USE;
/* Own failures aside: version and epoch not below the floor. ERR_REFUSED. */
enum err record_floor_check(const struct record *r,
                            uint64_t floor_version,
                            uint64_t floor_epoch) MUST_USE;

/* Editing; all keep the order. */
struct record_row *record_row_find(struct record *r, unsigned role); /* NULL: absent */
const struct record_row *record_row_of(const struct record *r, unsigned role);
enum err record_row_put(struct record *r,
                        const struct record_row *row) MUST_USE; /* replaces; ERR_FULL */
void record_row_remove(struct record *r, unsigned role);
bool record_policy_get(const struct record *r, unsigned number, uint32_t *value);
enum err record_policy_put(struct record *r,
                           unsigned number,
                           uint32_t value) MUST_USE; /* ERR_FULL */
bool record_trusted_has(const struct record *r, const uint8_t object_id[ID_SIZE]);
enum err record_trusted_put(struct record *r, const uint8_t object_id[ID_SIZE]) MUST_USE;
void record_trusted_remove(struct record *r, const uint8_t object_id[ID_SIZE]);
/* Rollover: puts the old SMK's share first (retired is raised to the newest
 * there); a fifth drops the oldest, which smk_rollover_allowed must have let. */
enum err record_share_push(struct record *r,
                           const uint8_t old_smk[CRYPT_KEY],
                           uint64_t retired) MUST_USE;
void record_share_remove(struct record *r, unsigned i);

/* One row, 112 bytes. owner: which roles may stand and whether kk_id is zero is
 * checked by record_open; here flags, scrypt cost, wrap against NO_WRAP.
 * ERR_BAD_CONTENT. */
void record_row_encode(const struct record_row *row, uint8_t out[RECORD_ROW]);
enum err record_row_decode(const uint8_t in[RECORD_ROW], struct record_row *out) MUST_USE;

/* dk = scrypt(password, salt||owner_id||role, 2^logN, 8, 1, 64). ERR_PIN_LENGTH
 * unless 1..255 bytes. owner_id: kr_id, cluster_id (PO, CO), core_id (HSM SO,
 * Auditor). The caller wipes dk. */
#define RECORD_DK 64u
enum err record_derive(const struct record_row *row,
                       const uint8_t owner_id[ID_SIZE],
                       struct bytes password,
                       uint8_t dk[RECORD_DK]) MUST_USE;
/* Constant time. ERR_PIN_INCORRECT. */
enum err record_row_compare(const struct record_row *row,
                            const uint8_t owner_id[ID_SIZE],
                            const uint8_t dk[RECORD_DK]) MUST_USE;
/* KK (CUK) of a row that compared well; checked against kk_id. ERR_WRONG_STATE where
 * the row has no wrap, ERR_BAD_TAG, ERR_BAD_CONTENT. */
enum err record_row_unwrap(const struct record_row *row,
                           const uint8_t owner_id[ID_SIZE],
                           const uint8_t kk_id[ID_SIZE],
                           const uint8_t dk[RECORD_DK],
                           uint8_t kk[CRYPT_KEY]) MUST_USE;
/* All three: derive, compare, and where kk is not NULL and the row has a wrap,
 * unwrap (else kk is zeroed). */
enum err record_row_login(const struct record_row *row,
                          const uint8_t owner_id[ID_SIZE],
                          const uint8_t kk_id[ID_SIZE],
                          struct bytes password,
                          uint8_t kk[CRYPT_KEY]) MUST_USE;
/* Makes check and wrap under a new salt. row gives role, flags, log_n, max_fail,
 * changed_at; kk NULL exactly with RECORD_NO_WRAP. Takes scrypt's time.
 * ERR_PIN_LENGTH, ERR_BAD_CONTENT. */
enum err record_row_set(struct record_row *row,
                        const uint8_t owner_id[ID_SIZE],
                        const uint8_t kk_id[ID_SIZE],
                        struct bytes password,
                        const uint8_t *kk) MUST_USE;
enum err record_row_set_with(struct record_row *row,
                             const uint8_t owner_id[ID_SIZE],
                             const uint8_t kk_id[ID_SIZE],
                             struct bytes password,
                             const uint8_t *kk,
                             const uint8_t salt[32]) MUST_USE;
/* Every verb but change (2), and a new set (3) of the row by its SO, is
 * ERR_REFUSED on a row with MUST_CHANGE, before RESERVE. Callers turn it into
 * ERR_PIN_MUST_CHANGE for the user. */
enum err record_row_verb_check(const struct record_row *row, unsigned verb) MUST_USE;

/* For tests only: lets scrypt costs below logN 15 through (process-wide; no
 * other rule changes). No program calls it; a build with RINGKEEP_TEST_HOOKS
 * begins with it on. */
void record_allow_test_scrypt(bool allowed);

#endif
