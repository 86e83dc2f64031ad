/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of one command in the log: u64 index, u32 size, u32 zero, the packed
 * Command, zero to a multiple of 8.
 *
 * libraft loses a log whose entries have other lengths (engine.md section 1), and
 * its open segments carry no index: the one in here catches a re-numbered tail. */
#ifndef RINGKEEP_RAFT_GLUE_PAYLOAD_H
#define RINGKEEP_RAFT_GLUE_PAYLOAD_H

#include "base/bytes.h"

#define PAYLOAD_HEAD 16u

static inline size_t payload_size(size_t command_size)
{
    return (PAYLOAD_HEAD + command_size + 7u) & ~(size_t)7u;
}
/* Fills payload_size(command.size) bytes; the index is set once it is known. */
void payload_write(uint8_t *out, struct bytes command);
void payload_set_index(uint8_t *payload, uint64_t index);
/* The command within. ERR_CORRUPT: another index, or not such bytes. */
enum err payload_read(struct bytes payload, uint64_t index, struct bytes *command) MUST_USE;

#endif
