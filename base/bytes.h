/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: three types, no fourth.
 *
 * struct bytes  is always borrowed; it never outlives what it points into.
 * struct buf    is always owned, grows up to a bound given at each append.
 * struct secret is always owned, lies in locked memory where the process may
 *               lock, is never copied by assignment and is wiped when dropped.
 * No thread may share a buf or secret without its own lock.
 */
#ifndef RINGKEEP_BASE_BYTES_H
#define RINGKEEP_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bytes {
    const uint8_t *data;
    size_t size;
};

struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

struct secret {
    uint8_t *data;
    size_t size;
};

#define BUF_SCOPED __attribute__((cleanup(buf_drop))) struct buf
#define SECRET_SCOPED __attribute__((cleanup(secret_drop))) struct secret
/* For arrays on the stack that hold secrets: WIPE_SCOPED(name, size); */
#define ID_SIZE 16u

static inline struct bytes bytes_of(const void *data, size_t size)
{
    struct bytes b = { data, size };
    return b;
}
static inline struct bytes buf_bytes(const struct buf *b)
{
    struct bytes out = { b->data, b->size };
    return out;
}
static inline struct bytes secret_bytes(const struct secret *s)
{
    struct bytes out = { s->data, s->size };
    return out;
}
struct bytes bytes_of_text(const char *text);
/* Ordinary comparison: never on secrets, see secret_equal. */
bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_all_zero(struct bytes b);

/* Appends; ERR_TOO_LARGE past limit, ERR_NOMEM; unchanged on failure. */
enum err buf_append(struct buf *b, struct bytes more, size_t limit) MUST_USE;
/* Makes room for `more` bytes at the end and returns where; size not changed. */
enum err buf_reserve(struct buf *b, size_t more, size_t limit, uint8_t **out) MUST_USE;
/* Drops the first `count` bytes. */
void buf_consume(struct buf *b, size_t count);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_drop(struct buf *b);  /* wipes and frees; leaves {0} */

/* Zeroed. s must be {0}. */
enum err secret_alloc(struct secret *s, size_t size) MUST_USE;
enum err secret_copy(struct secret *s, struct bytes from) MUST_USE;
struct secret secret_take(struct secret *s); /* moves, leaves {0} */
void secret_drop(struct secret *s);
/* Constant time in content; sizes may be public. */
bool secret_equal(struct bytes a, struct bytes b);
/* Overwrites memory in a way the compiler keeps. */
void bytes_wipe(void *data, size_t size);

/* Little-endian, fixed width (crypto-spec: all integers). */
static inline void put_u16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}
static inline void put_u32(uint8_t *at, uint32_t v)
{
    put_u16(at, (uint16_t)v);
    put_u16(at + 2, (uint16_t)(v >> 16));
}
static inline void put_u64(uint8_t *at, uint64_t v)
{
    put_u32(at, (uint32_t)v);
    put_u32(at + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | (at[1] << 8));
}
static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)get_u16(at) | ((uint32_t)get_u16(at + 2) << 16);
}
static inline uint64_t get_u64(const uint8_t *at)
{
    return (uint64_t)get_u32(at) | ((uint64_t)get_u32(at + 4) << 32);
}

/* Lower-case hex; out needs 2 * size + 1. Returns out. */
char *hex_from(struct bytes b, char *out);
/* Exactly size bytes from 2 * size digits, text ends there. */
enum err hex_to(const char *text, uint8_t *out, size_t size) MUST_USE;

#endif
