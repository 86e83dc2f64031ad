/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed invites (crypto-spec section 6): H(20), ids, nonce (80) || XA(INV) of
 * {secret 32, expiry u64}. The token that the operator carries is in
 * proto/envelope.h.
 *
 * struct invite holds the secret: invite_wipe it. Times are Unix seconds. Any
 * thread. */
#ifndef RINGKEEP_SKS_INVITE_H
#define RINGKEEP_SKS_INVITE_H

#include "base/crypt.h"
#include "sks/blob.h"
#include "sks/smk.h"

struct invite {
    uint8_t invite_id[ID_SIZE];
    uint8_t secret[32];
    uint64_t expiry;
};
void invite_wipe(struct invite *i);

/* Draws id and secret. */
enum err invite_draw(uint64_t expiry, struct invite *out) MUST_USE;
/* Under opener->key[0] (SMK_INVITE). */
enum err invite_seal(const struct invite *i,
                     const uint8_t cluster_id[ID_SIZE],
                     const struct smk_opener *opener,
                     uint8_t out[BLOB_INVITE_SIZE]) MUST_USE;
enum err invite_seal_with(const struct invite *i,
                          const uint8_t cluster_id[ID_SIZE],
                          const struct smk_opener *opener,
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[BLOB_INVITE_SIZE]) MUST_USE;
/* Opens and checks the times: now < expiry <= now + 24 h, else ERR_REFUSED (*out
 * stays untouched). */
enum err invite_open(struct bytes sealed,
                     const uint8_t cluster_id[ID_SIZE],
                     const struct smk_opener *opener,
                     uint64_t now,
                     struct invite *out) MUST_USE;
/* May M3 leave: neither the donor's own list nor the replicated row had it as
 * spent when the run began, and the command that spends it is committed.
 * ERR_REFUSED. */
enum err invite_spend_check(bool in_own_list, bool row_spent, bool command_committed) MUST_USE;

#endif
