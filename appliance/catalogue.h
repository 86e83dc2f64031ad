/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of stored objects, as a core gave them, so that FIND need not open
 * each blob again. A row is valid for one generation of one object: which objects
 * there are always comes from a view of the store, so a find can never show a
 * state older than its view (consistency.md 18).
 *
 * What it may hold (threats.md M8): attributes only, never a key's or private
 * datum's CKA_VALUE (the core gives none). When it goes, wiped: the last login of
 * the keyring ends, 15 idle minutes, or the bound is reached (least recently used
 * first). Loop thread. */
#ifndef RINGKEEP_APPLIANCE_CATALOGUE_H
#define RINGKEEP_APPLIANCE_CATALOGUE_H

#include "base/bytes.h"
#include "base/limits.h"

struct catalogue;
enum err catalogue_open(size_t limit, struct catalogue **out) MUST_USE;
void catalogue_close(struct catalogue *c); /* wipes; NULL is fine */

/* Replaces an older row. ERR_TOO_LARGE for one row above the bound, ERR_NOMEM. */
enum err catalogue_put(struct catalogue *c,
                       const uint8_t keyring_id[ID_SIZE],
                       const uint8_t object_id[ID_SIZE],
                       uint64_t generation,
                       struct bytes attributes,
                       uint64_t now_ms) MUST_USE;
/* ERR_NOTFOUND: not there, or of another generation. Borrowed until the next call. */
enum err catalogue_get(struct catalogue *c,
                       const uint8_t keyring_id[ID_SIZE],
                       const uint8_t object_id[ID_SIZE],
                       uint64_t generation,
                       uint64_t now_ms,
                       struct bytes *out) MUST_USE;
void catalogue_drop_object(struct catalogue *c,
                           const uint8_t keyring_id[ID_SIZE],
                           const uint8_t object_id[ID_SIZE]);
void catalogue_drop_keyring(struct catalogue *c, const uint8_t keyring_id[ID_SIZE]);
/* Drops keyrings that nobody read for LIMIT_CATALOGUE_IDLE_S. */
void catalogue_sweep(struct catalogue *c, uint64_t now_ms);
size_t catalogue_size(const struct catalogue *c);
unsigned catalogue_count(const struct catalogue *c);

#endif
