/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf-c's byte fields as struct bytes and back, and ids with their length
 * checked. Inline helpers of the handlers. */
#ifndef RINGKEEP_APPLIANCE_WIRE_H
#define RINGKEEP_APPLIANCE_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "base/bytes.h"

static inline struct bytes wire_bytes(ProtobufCBinaryData d)
{
    return bytes_of(d.data, d.len);
}
/* Borrowed; the message only reads it. */
static inline ProtobufCBinaryData wire_data(struct bytes b)
{
    ProtobufCBinaryData d = { b.size, (uint8_t *)(uintptr_t)b.data };
    return d;
}
static inline ProtobufCBinaryData wire_array(const uint8_t *data, size_t size)
{
    return wire_data(bytes_of(data, size));
}
static inline char *wire_text(const char *text)
{
    return (char *)(uintptr_t)text;
}
/* Exactly `size` bytes. */
static inline enum err wire_copy(ProtobufCBinaryData d, uint8_t *out, size_t size)
{
    if (d.len != size) {
        return ERR_MALFORMED;
    }
    memcpy(out, d.data, size);
    return ERR_OK;
}

#endif
