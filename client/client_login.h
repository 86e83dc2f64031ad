/* SPDX-License-Identifier: Apache-2.0 */
/* Logins, password changes, and which login key an envelope is sealed to. */
#ifndef RINGKEEP_CLIENT_LOGIN_H
#define RINGKEEP_CLIENT_LOGIN_H

#include "client/client_call.h"

/* A member's challenge with the login key that may be used for it. */
struct client_challenge {
    uint8_t challenge[ID_SIZE];
    struct envelope_chosen key;
    struct buf identities; /* I, as it came */
};
void client_challenge_drop(struct client_challenge *c);
#define CLIENT_CHALLENGE_SCOPED __attribute__((cleanup(client_challenge_drop))) struct client_challenge

/* Asks the attempt's member. login: a newer login key may be taken (crypto-spec
 * section 3); else only the pinned one, and ERR_LOGIN_REQUIRED where the member
 * has another by now. */
enum err client_login_challenge(struct client_call *call,
                                const uint8_t keyring_id[ID_SIZE],
                                bool login,
                                struct client_challenge *out) MUST_USE;

#endif
