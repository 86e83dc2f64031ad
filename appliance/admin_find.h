/* SPDX-License-Identifier: Apache-2.0 */
/* Names that an administrator types: a keyring by label or id, a client by name or
 * hash; and lists that go on where the last reply ended. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_ADMIN_FIND_H
#define RINGKEEP_APPLIANCE_ADMIN_FIND_H

#include "appliance/admin_request.h"

/* From the arguments `keyring` and `client`. Each writes the refusal itself and
 * returns false. */
bool admin_find_keyring(struct admin_request *r, const struct store_view *view, uint8_t id[ID_SIZE]);
bool admin_find_client(struct admin_request *r, const struct store_view *view, uint8_t spki_hash[32]);
/* SPKI hash of this member's own TLS key. */
enum err admin_find_own_spki(const struct admin_request *r, uint8_t hash[32]) MUST_USE;
/* May this row be shown: after the argument `after` (hex of a key), and there is
 * room. False and *stop: the reply is full, and says `more`. */
bool admin_find_page(struct admin_request *r, struct bytes key, bool *stop);

#endif
