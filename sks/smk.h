/* SPDX-License-Identifier: Apache-2.0 */
/* The key hierarchy (crypto-spec section 1): ids, derivations, the SMK set
 * (primary, rollover, TK, LK) plain and sealed at rest, the core's state slots,
 * and the rules for rollover and login keys.
 *
 * Derivations are pure and may run on any thread; they fail only with
 * ERR_CRYPTO/ERR_NOMEM. Outputs that are keys belong to the caller, who wipes
 * them. Times are Unix seconds. No I/O, no clock. */
#ifndef RINGKEEP_SKS_SMK_H
#define RINGKEEP_SKS_SMK_H

#include "base/crypt.h"
#include "sks/blob.h"

/* Ids: what a header says is compared with what the key itself gives. */
enum err smk_id(const uint8_t smk[CRYPT_KEY], uint8_t out[ID_SIZE]) MUST_USE;
enum err smk_tk_id(const uint8_t tk[CRYPT_KEY], uint8_t out[ID_SIZE]) MUST_USE;
/* kk_id (owner: keyring id) and cuk_id (owner: cluster id). */
enum err smk_kk_id(const uint8_t kk[CRYPT_KEY],
                   const uint8_t owner_id[ID_SIZE],
                   uint8_t out[ID_SIZE]) MUST_USE;

/* KS and PUB of a keyring; BK from KK and KS. */
enum err smk_share(const uint8_t smk[CRYPT_KEY],
                   const uint8_t kr_id[ID_SIZE],
                   uint8_t out[CRYPT_KEY]) MUST_USE;
enum err smk_public(const uint8_t smk[CRYPT_KEY],
                    const uint8_t kr_id[ID_SIZE],
                    uint8_t out[CRYPT_KEY]) MUST_USE;
enum err smk_blob_key(const uint8_t kk[CRYPT_KEY],
                      const uint8_t ks[CRYPT_KEY],
                      const uint8_t smk_id_of_ks[ID_SIZE],
                      const uint8_t kr_id[ID_SIZE],
                      const uint8_t kk_id[ID_SIZE],
                      uint8_t out[CRYPT_KEY]) MUST_USE;

/* REC, ROS, INV, SYS and the cluster record's key, of one cluster. */
enum smk_use { SMK_RECORD, SMK_ROSTER, SMK_INVITE, SMK_SYSTEM, SMK_CLUSTER_RECORD, SMK_USES };
enum err smk_cluster_key(const uint8_t smk[CRYPT_KEY],
                         enum smk_use use,
                         const uint8_t cluster_id[ID_SIZE],
                         uint8_t out[CRYPT_KEY]) MUST_USE;

#define SMK_SET_SIZE 144u
#define SMK_SET_SEALED (24u + SMK_SET_SIZE + CRYPT_TAG)
struct smk_set {
    uint8_t count; /* 1, or 2 with a rollover SMK */
    uint8_t primary[CRYPT_KEY];
    uint8_t rollover[CRYPT_KEY]; /* opens only; zero where count is 1 */
    uint8_t tk[CRYPT_KEY];
    uint8_t lk_private[CRYPT_KEY];
    uint64_t lk_version;
};
void smk_set_encode(const struct smk_set *s, uint8_t out[SMK_SET_SIZE]);
/* ERR_BAD_CONTENT; also for another size (the set is always sealed content). */
enum err smk_set_decode(struct bytes plain, struct smk_set *out) MUST_USE;
/* At rest under the cluster partition key. open: ERR_MALFORMED, ERR_BAD_TAG,
 * ERR_BAD_CONTENT. */
enum err smk_set_seal(const struct smk_set *s,
                      const uint8_t cuk[CRYPT_KEY],
                      const uint8_t cluster_id[ID_SIZE],
                      uint8_t out[SMK_SET_SEALED]) MUST_USE;
enum err smk_set_seal_with(const struct smk_set *s,
                           const uint8_t cuk[CRYPT_KEY],
                           const uint8_t cluster_id[ID_SIZE],
                           const uint8_t nonce[CRYPT_NONCE],
                           uint8_t out[SMK_SET_SEALED]) MUST_USE;
enum err smk_set_open(struct bytes sealed,
                      const uint8_t cuk[CRYPT_KEY],
                      const uint8_t cluster_id[ID_SIZE],
                      struct smk_set *out) MUST_USE;
void smk_set_wipe(struct smk_set *s);
/* May a core that holds `own` (NULL: none) take `next` by inherit or push:
 * ERR_REFUSED where lk_version is lower, or equal with another LK. */
enum err smk_set_accept(const struct smk_set *own, const struct smk_set *next) MUST_USE;
/* max(old + 1, now) */
uint64_t smk_lk_version_next(uint64_t old, uint64_t now);

/* The keys of one use under primary and rollover SMK, as decoders want them:
 * key[0] seals, all open, smk_id says which. */
#define SMK_OPENERS 2u
struct smk_opener {
    unsigned count;
    struct {
        uint8_t smk_id[ID_SIZE];
        uint8_t key[CRYPT_KEY];
    } key[SMK_OPENERS];
};
enum err smk_opener_make(const struct smk_set *s,
                         enum smk_use use,
                         const uint8_t cluster_id[ID_SIZE],
                         struct smk_opener *out) MUST_USE;
/* ERR_WRONG_KEY; *out is borrowed. */
enum err smk_opener_find(const struct smk_opener *o,
                         const uint8_t id[ID_SIZE],
                         const uint8_t **out) MUST_USE;
void smk_opener_wipe(struct smk_opener *o);

/* Rollover. A share is needed while a stored blob is under it, while off-board
 * keys are allowed, and until retired + 12 h. */
#define SMK_SHARE_S 43200u /* 12 h */
#define SMK_SHARES 4u
bool smk_share_needed(bool stored_under_it, bool offboard_allowed, uint64_t retired, uint64_t now);
/* False: four needed shares and not confirmed. True with four: drop the oldest. */
bool smk_rollover_allowed(unsigned needed_shares, bool confirmed);

/* State slot: H(19) core_id 16, sequence u64, len u32, 4 zero, nonce 24 ||
 * XA(STK, nonce, these 64); file state.<sequence & 1>. */
#define SMK_SLOT_HEADER 64u
#define SMK_SLOT_OVERHEAD (SMK_SLOT_HEADER + CRYPT_TAG)
#define SMK_SLOT_MAX 8388608u
enum err smk_state_key(const uint8_t mtk[CRYPT_KEY],
                       const uint8_t core_id[ID_SIZE],
                       uint8_t out[CRYPT_KEY]) MUST_USE;
/* Appends the slot to out, which must be empty. */
enum err smk_slot_seal(const uint8_t stk[CRYPT_KEY],
                       const uint8_t core_id[ID_SIZE],
                       uint64_t sequence,
                       struct bytes body,
                       struct buf *out) MUST_USE;
enum err smk_slot_seal_with(const uint8_t stk[CRYPT_KEY],
                            const uint8_t core_id[ID_SIZE],
                            uint64_t sequence,
                            struct bytes body,
                            const uint8_t nonce[CRYPT_NONCE],
                            struct buf *out) MUST_USE;
/* The core_id of a slot, before STK can be derived. Verdicts up to MALFORMED. */
enum err smk_slot_core_id(struct bytes slot, uint8_t out[ID_SIZE]) MUST_USE;
/* ERR_WRONG_KEY for another core's. body is allocated and owned by the caller. */
enum err smk_slot_open(struct bytes slot,
                       const uint8_t stk[CRYPT_KEY],
                       const uint8_t core_id[ID_SIZE],
                       uint64_t *sequence,
                       struct secret *body) MUST_USE;
unsigned smk_slot_file(uint64_t sequence); /* 0 or 1 */

/* DK = scrypt(domain secret text, domain_id, 2^17, 8, 1, 32): 0.44 s, 128 MiB. */
enum err smk_domain_key(struct bytes secret_text,
                        const uint8_t domain_id[ID_SIZE],
                        uint8_t out[CRYPT_KEY]) MUST_USE;

#endif
