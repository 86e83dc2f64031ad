/* SPDX-License-Identifier: Apache-2.0 */
/* Makes packed commands, so that no caller fills Command by hand. Every builder
 * appends to `out` (cleared first). The leader stamps: command_stamp rewrites
 * stamp_s before the proposal. */
#ifndef RINGKEEP_KEYRING_COMMAND_H
#define RINGKEEP_KEYRING_COMMAND_H

#include "base/bytes.h"
#include "base/limits.h"

/* Who asked. present: a client's (or administrator's) write, at most once by its
 * request id. Not present: the cluster's own command, of which only the incarnation
 * goes in (where it is not zero: it is before ClusterInit). NULL: neither. */
struct command_origin {
    uint8_t request_id[ID_SIZE];
    uint8_t client[32];
    uint8_t request_hash[32];
    uint64_t base_index;
    uint8_t incarnation[ID_SIZE];
    bool present;
};
/* `verb_message` is the unpacked verb (e.g. Ringkeep__ObjectsCreate *), `field` its
 * field number in Command's oneof. ERR_USAGE where they do not belong together,
 * ERR_TOO_LARGE past LIMIT_COMMAND. */
enum err command_build(struct buf *out,
                       const struct command_origin *origin,
                       unsigned field,
                       const void *verb_message) MUST_USE;
/* Unpacks the whole command (ERR_MALFORMED, ERR_VERSION: what apply would stop at is
 * never proposed), sets the stamp and packs it anew. */
enum err command_stamp(struct buf *command, uint64_t stamp_s) MUST_USE;

#endif
