/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of one command in the log; see payload.h. Pure, any thread. */
#include "raft-glue/payload.h"

#include <string.h>

enum { AT_INDEX = 0, AT_SIZE = 8, AT_ZERO = 12 };

void payload_write(uint8_t *out, struct bytes command)
{
    put_u64(out + AT_INDEX, 0);
    put_u32(out + AT_SIZE, (uint32_t)command.size);
    put_u32(out + AT_ZERO, 0);
    if (command.size > 0) {
        memcpy(out + PAYLOAD_HEAD, command.data, command.size);
    }
    const size_t end = PAYLOAD_HEAD + command.size;
    memset(out + end, 0, payload_size(command.size) - end);
}

void payload_set_index(uint8_t *payload, uint64_t index)
{
    put_u64(payload + AT_INDEX, index);
}

enum err payload_read(struct bytes payload, uint64_t index, struct bytes *command)
{
    if (payload.size < PAYLOAD_HEAD || get_u64(payload.data + AT_INDEX) != index ||
        get_u32(payload.data + AT_ZERO) != 0) {
        return ERR_CORRUPT;
    }
    const size_t size = get_u32(payload.data + AT_SIZE);
    if (payload_size(size) != payload.size) {
        return ERR_CORRUPT;
    }
    const size_t end = PAYLOAD_HEAD + size;
    if (!bytes_all_zero(bytes_of(payload.data + end, payload.size - end))) {
        return ERR_CORRUPT;
    }
    *command = bytes_of(payload.data + PAYLOAD_HEAD, size);
    return ERR_OK;
}
