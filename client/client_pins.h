/* SPDX-License-Identifier: Apache-2.0 */
/* login.state: the login key and the identities that this client pins
 * (crypto-spec section 3), first from its registration.
 *
 *   "RKLS" u8 format=1, 3 zero, LKpub 32, lk_version u64, I (16 + 48 n) */
#ifndef RINGKEEP_CLIENT_PINS_H
#define RINGKEEP_CLIENT_PINS_H

#include "proto/envelope.h"

#define CLIENT_PINS_HEAD 48u
#define CLIENT_PINS_MAX (CLIENT_PINS_HEAD + ENVELOPE_IDENTITIES_MAX)

size_t client_pins_encode(const struct envelope_pinned *p, uint8_t out[CLIENT_PINS_MAX]);
enum err client_pins_decode(struct bytes in, struct envelope_pinned *out) MUST_USE;
/* ERR_NOTFOUND, ERR_MALFORMED, ERR_REFUSED where others may write the file. */
enum err client_pins_load(const char *path, struct envelope_pinned *out) MUST_USE;
/* 0600, all or nothing. Leaves a newer file of another process. */
enum err client_pins_save(const char *path, const struct envelope_pinned *p) MUST_USE;
/* True where a is behind b in login key or roster. */
bool client_pins_older(const struct envelope_pinned *a, const struct envelope_pinned *b);
/* From L and I as the registration gives them: what the CLI writes at first. */
enum err client_pins_first(struct bytes l, struct bytes i, struct envelope_pinned *out) MUST_USE;

#endif
