/* SPDX-License-Identifier: Apache-2.0 */
/* Small helps for protobuf-c's bytes fields; knows no message. */
#ifndef RINGKEEP_CLIENT_PB_H
#define RINGKEEP_CLIENT_PB_H

#include <protobuf-c/protobuf-c.h>

#include "base/bytes.h"

/* Borrowed. protobuf-c has no const, and packing does not write. */
static inline ProtobufCBinaryData client_pb_of(const void *data, size_t size)
{
    ProtobufCBinaryData out = { size, (uint8_t *)(uintptr_t)data };
    return out;
}
static inline struct bytes client_pb_bytes(ProtobufCBinaryData d)
{
    return bytes_of(d.data, d.len);
}

#endif
