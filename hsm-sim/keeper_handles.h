/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's table of handles: logins by ticket, public sessions and logins to
 * the core itself. 64 random bits each, at most LIMIT_HANDLES, the oldest idle one
 * is dropped. One thread. A handle is valid until the next call of _add or _drop. */
#ifndef RINGKEEP_HSM_SIM_KEEPER_HANDLES_H
#define RINGKEEP_HSM_SIM_KEEPER_HANDLES_H

#include "sks/ticket.h"

struct keeper_handle {
    uint64_t id;
    bool admin;            /* login to the core: role HSM SO, PO, CO */
    uint8_t role;          /* 0: public session */
    uint64_t used_ms;      /* boot clock; of a login to the core: when it was made */
    struct ticket ticket;  /* keyring_id alone in a public session; ts alone if admin */
    uint8_t bk[CRYPT_KEY]; /* of the primary SMK; zero where has_bk is false */
    uint8_t pub[CRYPT_KEY];
    bool has_bk;
    struct keeper_handle *newer, *older; /* by last use */
};
struct keeper_handles;

enum err keeper_handles_open(struct keeper_handles **out) MUST_USE;
void keeper_handles_close(struct keeper_handles *h); /* wipes; NULL is fine */
/* Copies *from (secrets stay the caller's), draws an id. */
enum err keeper_handles_add(struct keeper_handles *h,
                            const struct keeper_handle *from,
                            uint64_t now_ms,
                            struct keeper_handle **out) MUST_USE;
/* NULL: no such handle. Marks it as used. */
struct keeper_handle *keeper_handles_find(struct keeper_handles *h, uint64_t id, uint64_t now_ms);
void keeper_handles_drop(struct keeper_handles *h, struct keeper_handle *handle);
/* Ends the tickets of a keyring that are of an epoch below this one. */
void keeper_handles_end_epoch(struct keeper_handles *h,
                              const uint8_t keyring_id[ID_SIZE],
                              uint64_t epoch);
void keeper_handles_clear(struct keeper_handles *h);
unsigned keeper_handles_count(const struct keeper_handles *h);

#endif
