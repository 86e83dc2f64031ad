/* SPDX-License-Identifier: Apache-2.0 */
/* Makes packed commands, so that no caller fills Command by hand. Every builder
 * appends to `out` (cleared first). The leader stamps: command_stamp rewrites
 * stamp_s before the proposal. */
#ifndef RINGKEEP_KEYRING_COMMAND_H
#define RINGKEEP_KEYRING_COMMAND_H

#include "base/bytes.h"

/* Who asked; all zero for the cluster's own commands (then no at-most-once). */
struct command_origin {
    uint8_t request_id[ID_SIZE];
    uint8_t client[32];
    uint8_t request_hash[32];
    uint64_t base_index;
    uint8_t incarnation[ID_SIZE];
    bool present;
};
/* `verb_message` is the unpacked verb (e.g. Ringkeep__ObjectsCreate *), `field` its
 * field number in Command's oneof. */
enum err command_build(struct buf *out, const struct command_origin *origin, unsigned field, const void *verb_message) MUST_USE;
enum err command_stamp(struct buf *command, uint64_t stamp_s) MUST_USE;

#endif
