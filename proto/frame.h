/* SPDX-License-Identifier: Apache-2.0 */
/* Framing: u32 length (of all that follows it), u16 type, u16 flags, u64
 * request id, payload; little-endian (conventions.md). Length before content,
 * bound before allocation. Flags are zero and checked. */
#ifndef RINGKEEP_PROTO_FRAME_H
#define RINGKEEP_PROTO_FRAME_H

#include "base/bytes.h"

#define FRAME_HEAD 16u /* with the length */
#define FRAME_REPLY 0x8000u
#define PROTOCOL_MAJOR 1u
#define PROTOCOL_MINOR 0u

enum frame_type {
#define FRAME(number, name, message) FRAME_##name = (number),
#include "proto/frame.def"
#undef FRAME
};

struct frame {
    unsigned type;
    uint64_t request;
    struct bytes payload; /* borrowed from the input */
};

/* Looks at the input. *used 0: incomplete, read more. ERR_TOO_LARGE when the
 * announced length passes limit, ERR_MALFORMED when it is shorter than a head or
 * flags are set: close the connection. */
enum err frame_parse(struct bytes input, size_t limit, struct frame *out, size_t *used) MUST_USE;
/* Appends a frame with this payload. */
enum err frame_append(
    struct buf *out, unsigned type, uint64_t request, struct bytes payload, size_t limit) MUST_USE;
const char *frame_name(unsigned type); /* for logs; "unknown" */

/* protobuf-c in one place. pack: appends a framed message. unpack: into an arena
 * that is wiped and freed by message_drop, so that client bytes never stay on the
 * heap. `descriptor` is e.g. &ringkeep__hello__descriptor. Declared with void *
 * so that no header includes *.pb-c.h. */
enum err message_append(
    struct buf *out, unsigned type, uint64_t request, const void *message, size_t limit) MUST_USE;
enum err message_pack(struct buf *out, const void *message, size_t limit) MUST_USE;

struct message_arena;
/* ERR_MALFORMED also for unknown fields. *out is the unpacked message. */
enum err message_unpack(const void *descriptor,
                        struct bytes payload,
                        struct message_arena **arena,
                        void **out) MUST_USE;
void message_drop(struct message_arena **arena); /* wipes; NULL is fine */
#define MESSAGE_SCOPED                                                                             \
    __attribute__((cleanup(message_drop))) struct message_arena /* *name = NULL */

#endif
