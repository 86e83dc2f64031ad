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
/* Role of the login that is held, 0 for none. */
unsigned ringkeep_login_role(struct ringkeep_client *c, const uint8_t keyring_id[16]);

#endif
