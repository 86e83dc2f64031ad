/* SPDX-License-Identifier: Apache-2.0 */
/* One open reservation per keyring and role at this member (crypto-spec 8): a
 * crash then costs one count. Further logins of the same role wait their turn, in
 * order, in a bounded queue. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_LOGINS_H
#define RINGKEEP_APPLIANCE_LOGINS_H

#include "base/bytes.h"
#include "base/limits.h"

struct logins;
/* ERR_OK: it is your turn, logins_leave ends it. ERR_TIMEOUT: it never came. */
typedef void (*logins_turn_cb)(void *arg, enum err e);
struct logins_turn { /* caller's, until its turn ends */
    uint8_t keyring_id[ID_SIZE];
    unsigned role;
    uint64_t deadline_ms; /* monotonic */
    logins_turn_cb cb;
    void *arg;
    struct logins_turn *next; /* ours */
    bool holding;             /* ours */
};

enum err logins_open(struct logins **out) MUST_USE;
void logins_close(struct logins *l); /* NULL is fine */
/* cb at once when nobody holds this role. ERR_BUSY: the queue is full. */
enum err logins_enter(struct logins *l, struct logins_turn *t) MUST_USE;
/* Ends the turn; the next one's cb runs from here. */
void logins_leave(struct logins *l, struct logins_turn *t);
/* Ends waiting turns whose deadline has passed. */
void logins_sweep(struct logins *l, uint64_t now_ms);
unsigned logins_waiting(const struct logins *l);

#endif
