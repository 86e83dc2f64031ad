/* SPDX-License-Identifier: Apache-2.0 */
/* The clear headers of the sealed formats (crypto-spec head, 2, 3, 4, 5, 6):
 * layout, parsing and validation without any key. The only header of sks/ that
 * keyring/ may include, so it depends on base/ alone.
 *
 * Integers are little-endian, times are Unix seconds, ids are 16 random bytes.
 * A parser copies out what it found: nothing in the results borrows from the
 * input except where `struct bytes` says so. No I/O, no clock, no allocation;
 * every function may be called from any thread.
 *
 * Errors, the first that applies: ERR_MALFORMED (total length, magic),
 * ERR_UNSUPPORTED (format, suite, kind), ERR_MALFORMED (zero bytes, lengths,
 * clear fields). What a parser accepts is authentic only once a core opened it. */
#ifndef RINGKEEP_SKS_BLOB_H
#define RINGKEEP_SKS_BLOB_H

#include "base/bytes.h"
#include "base/limits.h"

/* H(kind) = "RK" format suite kind 0 0 0 begins every sealed format. */
#define BLOB_PREFIX 8u
#define BLOB_FORMAT 1u
#define BLOB_SUITE 1u

enum blob_kind {
    BLOB_TOKEN = 1,
    BLOB_SESSION = 2,
    BLOB_OFFBOARD = 3,
    BLOB_PUBLIC = 4,
    BLOB_SYSTEM = 5,
    BLOB_RECORD = 16,
    BLOB_TICKET = 17,
    BLOB_ROSTER = 18,
    BLOB_STATE = 19,
    BLOB_INVITE = 20,
    BLOB_CLUSTER_RECORD = 21
};

#define BLOB_HEADER 128u
#define BLOB_TAG 16u
#define BLOB_OVERHEAD (BLOB_HEADER + 2u * BLOB_TAG) /* blob = this + len_a + len_k */
#define BLOB_NONCE 23u
#define BLOB_K_MIN 48u

/* Object blob, crypto-spec section 2. */
struct blob_header {
    uint8_t kind; /* BLOB_TOKEN..BLOB_SYSTEM */
    uint8_t smk_id[ID_SIZE];
    uint8_t keyring_id[ID_SIZE]; /* kind 5: the cluster's id */
    uint8_t kk_id[ID_SIZE];      /* zero exactly for kinds 4 and 5 */
    uint8_t object_id[ID_SIZE];
    uint8_t bind[ID_SIZE]; /* kind 2: ticket family, never zero; else zero */
    uint64_t generation;   /* from 1 */
    uint32_t len_a, len_k; /* without their tags */
    uint8_t nonce[BLOB_NONCE];
};
enum err blob_parse(struct bytes blob, struct blob_header *out) MUST_USE;
/* Writes the 128 bytes. The header must be one that blob_parse would accept. */
void blob_header_write(const struct blob_header *h, uint8_t out[BLOB_HEADER]);
/* Checks a header that this program is about to write: ERR_MALFORMED. */
enum err blob_header_check(const struct blob_header *h) MUST_USE;

/* Keyring record (kind BLOB_RECORD) and cluster record (BLOB_CLUSTER_RECORD),
 * section 3: header 96 || sealed len || tag 16, at most LIMIT_RECORD. */
#define BLOB_RECORD_HEADER 96u
struct blob_record_header {
    uint8_t kind; /* as asked for */
    uint8_t smk_id[ID_SIZE];
    uint8_t owner_id[ID_SIZE]; /* keyring id; cluster id for the cluster record */
    uint64_t version;          /* from 1 */
    uint64_t epoch;
    uint32_t len; /* of the sealed body, without its tag */
    uint8_t nonce[24];
};
enum err blob_record_parse(struct bytes record,
                           unsigned kind,
                           struct blob_record_header *out) MUST_USE;
void blob_record_header_write(const struct blob_record_header *h, uint8_t out[BLOB_RECORD_HEADER]);
/* Apply's rule: version == stored + 1 and epoch >= stored (0, 0: none stored). */
bool blob_record_accepts(uint64_t stored_version,
                         uint64_t stored_epoch,
                         uint64_t version,
                         uint64_t epoch);

/* Ticket, section 4: header 64 || sealed 184 || tag 16. */
#define BLOB_TICKET_HEADER 64u
#define BLOB_TICKET_SEALED 184u
#define BLOB_TICKET_SIZE (BLOB_TICKET_HEADER + BLOB_TICKET_SEALED + BLOB_TAG)
struct blob_ticket_header {
    uint8_t tk_id[ID_SIZE];
    uint8_t keyring_id[ID_SIZE];
    uint8_t nonce[24];
};
enum err blob_ticket_parse(struct bytes ticket, struct blob_ticket_header *out) MUST_USE;

/* Roster, section 5: all clear, nonce and tag at the end. */
#define BLOB_ROSTER_HEADER 56u
#define BLOB_ROSTER_ROW 120u
enum blob_roster_state { BLOB_ROSTER_ACTIVE = 1, BLOB_ROSTER_REMOVED = 2 };
struct blob_roster_header {
    uint8_t smk_id[ID_SIZE];
    uint8_t cluster_id[ID_SIZE];
    uint64_t version;
    uint32_t inherit_window_s;
    uint8_t count; /* 1..LIMIT_ROSTER_ROWS */
};
struct blob_roster_row {
    uint8_t member_id[ID_SIZE];
    uint8_t id_pub[32];
    uint8_t ak_pub[32];
    uint8_t spki_hash[32]; /* of the member's peer TLS key */
    uint8_t state;         /* enum blob_roster_state */
    uint8_t suite;         /* highest that the member opens */
};
/* Checks every row too (state, zero bytes, ascending, once each). */
enum err blob_roster_parse(struct bytes roster, struct blob_roster_header *out) MUST_USE;
/* Row i < count of a roster that blob_roster_parse accepted. */
void blob_roster_row(struct bytes roster, unsigned i, struct blob_roster_row *out);
void blob_roster_row_write(const struct blob_roster_row *row, uint8_t out[BLOB_ROSTER_ROW]);

/* Sealed invite, section 6: header 80 || sealed 40 || tag 16. */
#define BLOB_INVITE_HEADER 80u
#define BLOB_INVITE_SEALED 40u
#define BLOB_INVITE_SIZE (BLOB_INVITE_HEADER + BLOB_INVITE_SEALED + BLOB_TAG)
struct blob_invite_header {
    uint8_t smk_id[ID_SIZE];
    uint8_t cluster_id[ID_SIZE];
    uint8_t invite_id[ID_SIZE];
    uint8_t nonce[24];
};
enum err blob_invite_parse(struct bytes invite, struct blob_invite_header *out) MUST_USE;

/* Order of two ids (public), byte by byte: below, equal to or above zero. Lists
 * of ids are ascending, each once. */
int blob_id_order(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE]);

/* For the decoders of sks/: the prefix of any format. ERR_MALFORMED when shorter
 * than min, longer than max or of other magic; ERR_UNSUPPORTED; ERR_MALFORMED
 * when bytes 5..7 are not zero. */
enum err blob_prefix_check(struct bytes input, size_t min, size_t max, unsigned kind) MUST_USE;
void blob_prefix_write(unsigned kind, uint8_t out[BLOB_PREFIX]);

#endif
