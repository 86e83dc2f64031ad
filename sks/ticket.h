/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets: a keyring login, sealed by a core under TK, that any member's core can
 * open (crypto-spec section 4): header 64 || sealed 184 || tag 16.
 *
 * struct ticket holds KK and ts: ticket_wipe it. Decoders copy their input
 * first. Times are Unix seconds; `now` is a parameter. Any thread. */
#ifndef RINGKEEP_SKS_TICKET_H
#define RINGKEEP_SKS_TICKET_H

#include "base/crypt.h"
#include "sks/blob.h"

enum ticket_flag { TICKET_NO_KK = 2 };

struct ticket {
    uint8_t keyring_id[ID_SIZE];
    uint8_t role;  /* 5..8, enum record_role */
    uint8_t flags; /* 0 or TICKET_NO_KK: kk_id and kk zero */
    uint64_t epoch, issued, expires;
    uint64_t hard_expiry; /* 0: none */
    uint8_t family[ID_SIZE];
    uint8_t client_spki[32];
    uint8_t kk_id[ID_SIZE];
    uint8_t kk[CRYPT_KEY];
    uint8_t ts[32];
};
void ticket_wipe(struct ticket *t);

/* tk_id is derived from tk. ERR_BAD_CONTENT where the ticket breaks a rule. */
enum err ticket_seal(const struct ticket *t,
                     const uint8_t tk[CRYPT_KEY],
                     uint8_t out[BLOB_TICKET_SIZE]) MUST_USE;
enum err ticket_seal_with(const struct ticket *t,
                          const uint8_t tk[CRYPT_KEY],
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[BLOB_TICKET_SIZE]) MUST_USE;
/* keyring_id: of the keyring that the request names. ERR_WRONG_KEY for another
 * tk_id or keyring, ERR_BAD_TAG, ERR_BAD_CONTENT. The rules are still to be
 * checked. */
enum err ticket_open(struct bytes sealed,
                     const uint8_t tk[CRYPT_KEY],
                     const uint8_t keyring_id[ID_SIZE],
                     struct ticket *out) MUST_USE;

/* What OPEN knows of the keyring and the connection. */
struct ticket_rules {
    uint64_t now;
    uint64_t record_epoch, floor_epoch;
    uint8_t client_spki[32]; /* as the daemon says */
    uint8_t record_kk_id[ID_SIZE];
};
/* spki equal, epoch == record's >= floor, issued <= now + 300 s, now < expires,
 * kk_id == record's (not with TICKET_NO_KK). ERR_REFUSED. */
enum err ticket_check(const struct ticket *t, const struct ticket_rules *rules) MUST_USE;
/* The same, telling the user-visible reason apart: ERR_OK, ERR_TICKET_LATE (epoch
 * above the record's: this member lags, retry), ERR_TICKET_EXPIRED (expired, or
 * epoch or kk_id were left behind), ERR_CLOCK (issued ahead of now),
 * ERR_REFUSED (another client's). */
enum err ticket_reason(const struct ticket *t, const struct ticket_rules *rules) MUST_USE;
/* REFRESH: same family and hard_expiry, new times; expires = now + life_s, at
 * most hard_expiry. ERR_TICKET_EXPIRED where hard_expiry is reached. */
enum err ticket_refresh(struct ticket *t, uint64_t now, uint64_t life_s) MUST_USE;

#endif
