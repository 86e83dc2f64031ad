/* SPDX-License-Identifier: Apache-2.0 */
/* For the PKCS#11 module, the command line and tests: what libringkeep knows
 * beyond its public header. Not installed, not exported. */
#ifndef RINGKEEP_CLIENT_INTERNAL_H
#define RINGKEEP_CLIENT_INTERNAL_H

#include "client/ringkeep.h"

/* One sentence for people about the last failure in this thread, often with the
 * address; "" for none. Valid until the thread's next call. */
const char *ringkeep_last_text(void);
/* Milliseconds for one whole call; LIMIT_CALL_MS at first. */
void ringkeep_set_call_ms(struct ringkeep_client *c, uint64_t ms);
/* The highest index seen and its incarnation: one process hands them to the next, so
 * that it reads what the first one wrote. False: nothing seen yet. */
bool ringkeep_seen(struct ringkeep_client *c, uint8_t incarnation[16], uint64_t *index);
void ringkeep_set_seen(struct ringkeep_client *c, const uint8_t incarnation[16], uint64_t index);
/* Path of the client's login.state, beside which such things may lie. */
const char *ringkeep_state_path(const struct ringkeep_client *c);
/* Role of the login that is held, 0 for none. */
unsigned ringkeep_login_role(struct ringkeep_client *c, const uint8_t keyring_id[16]);

#endif
