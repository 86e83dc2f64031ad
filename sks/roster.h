/* SPDX-License-Identifier: Apache-2.0 */
/* The roster (who is a core of this cluster), the beacon and the statement of a
 * new TLS key (crypto-spec section 5). Rows and clear parsing: sks/blob.h.
 *
 * No secrets in these structs. Decoders copy first. Times are Unix seconds.
 * Any thread. */
#ifndef RINGKEEP_SKS_ROSTER_H
#define RINGKEEP_SKS_ROSTER_H

#include "base/crypt.h"
#include "proto/envelope.h"
#include "sks/blob.h"
#include "sks/smk.h"

struct roster {
    uint8_t smk_id[ID_SIZE];
    uint8_t cluster_id[ID_SIZE];
    uint64_t version;
    uint32_t inherit_window_s;
    uint8_t count;
    struct blob_roster_row row[LIMIT_ROSTER_ROWS]; /* ascending by member_id */
};

/* Seals under opener->key[0] (SMK_ROSTER) and sets r->smk_id to its id. */
enum err roster_seal(struct roster *r,
                     const struct smk_opener *opener,
                     uint8_t out[LIMIT_ROSTER],
                     size_t *size) MUST_USE;
enum err roster_seal_with(struct roster *r,
                          const struct smk_opener *opener,
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[LIMIT_ROSTER],
                          size_t *size) MUST_USE;
/* ERR_WRONG_KEY for another cluster or SMK. The caller refuses a version below
 * the highest that it has seen. */
enum err roster_open(struct bytes sealed,
                     const uint8_t cluster_id[ID_SIZE],
                     const struct smk_opener *opener,
                     struct roster *out) MUST_USE;

/* NULL: absent (find), absent or removed (find_active). Borrowed from r. */
struct blob_roster_row *roster_find(struct roster *r, const uint8_t member_id[ID_SIZE]);
const struct blob_roster_row *roster_find_active(const struct roster *r,
                                                 const uint8_t member_id[ID_SIZE]);
/* Inserts or replaces, keeping order. ERR_FULL. */
enum err roster_put(struct roster *r, const struct blob_roster_row *row) MUST_USE;
/* I of section 3: the active rows. ERR_NOTFOUND where none is active. */
enum err roster_identities(const struct roster *r, struct envelope_identities *out) MUST_USE;

/* b = {member_id, time, roster version, audit head} || Ed25519 signature. */
#define ROSTER_BEACON 128u
struct roster_beacon {
    uint8_t member_id[ID_SIZE];
    uint64_t time;
    uint64_t roster_version;
    uint8_t audit_head[32];
};
enum err roster_beacon_sign(const struct roster_beacon *b,
                            const uint8_t cluster_id[ID_SIZE],
                            const uint8_t id_private[32],
                            uint8_t out[ROSTER_BEACON]) MUST_USE;
/* The member_id in clear, to look up its ID; nothing is checked but the size. */
enum err roster_beacon_parse(struct bytes beacon, struct roster_beacon *out) MUST_USE;
/* ERR_MALFORMED, ERR_BAD_TAG. */
enum err roster_beacon_verify(struct bytes beacon,
                              const uint8_t cluster_id[ID_SIZE],
                              const uint8_t id_pub[32],
                              struct roster_beacon *out) MUST_USE;
/* Inheritance: last beacon not older than the window, nor more than
 * 300 s ahead of now. ERR_REFUSED. */
enum err roster_beacon_fresh(uint64_t beacon_time,
                             uint32_t inherit_window_s,
                             uint64_t now) MUST_USE;

/* s = {member_id, roster version it was made on, new SPKI hash} || signature. */
#define ROSTER_STATEMENT 120u
struct roster_statement {
    uint8_t member_id[ID_SIZE];
    uint64_t roster_version;
    uint8_t spki_hash[32];
};
enum err roster_statement_sign(const struct roster_statement *s,
                               const uint8_t cluster_id[ID_SIZE],
                               const uint8_t id_private[32],
                               uint8_t out[ROSTER_STATEMENT]) MUST_USE;
enum err roster_statement_parse(struct bytes statement, struct roster_statement *out) MUST_USE;
enum err roster_statement_verify(struct bytes statement,
                                 const uint8_t cluster_id[ID_SIZE],
                                 const uint8_t id_pub[32],
                                 struct roster_statement *out) MUST_USE;
/* Applies a verified statement to the roster that it was made on: ERR_REFUSED
 * where the version is another or the member is not active. Version + 1. */
enum err roster_statement_apply(struct roster *r, const struct roster_statement *s) MUST_USE;

#endif
