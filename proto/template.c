/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute lists: crypto-spec section 2, "A plaintext". */
#include "proto/template.h"

#include <string.h>

#include "base/limits.h"

#define ENTRY_HEAD 8u

enum err template_next(struct bytes list, size_t *at, struct template_entry *out)
{
    if (*at == list.size) {
        return ERR_NOTFOUND;
    }
    if (*at > list.size || list.size - *at < ENTRY_HEAD) {
        return ERR_MALFORMED;
    }
    const uint8_t *entry = list.data + *at;
    const uint32_t size = get_u32(entry + 4);
    if (size > list.size - *at - ENTRY_HEAD) {
        return ERR_MALFORMED;
    }
    out->type = get_u32(entry);
    out->value = bytes_of(entry + ENTRY_HEAD, size);
    *at += ENTRY_HEAD + size;
    return ERR_OK;
}

enum err template_check(struct bytes list)
{
    if (list.size > LIMIT_BLOB) {
        return ERR_TOO_LARGE;
    }
    struct template_entry entry = { 0 };
    uint32_t last = 0;
    size_t at = 0;
    for (unsigned count = 0; at < list.size; count++) {
        TRY(template_next(list, &at, &entry));
        if (count >= LIMIT_ATTRIBUTES || (count > 0 && entry.type <= last)) {
            return ERR_MALFORMED;
        }
        last = entry.type;
    }
    return ERR_OK;
}

enum err template_get(struct bytes list, uint32_t type, struct bytes *out)
{
    struct template_entry entry = { 0 };
    size_t at = 0;
    for (;;) {
        TRY(template_next(list, &at, &entry));
        if (entry.type == type) {
            *out = entry.value;
            return ERR_OK;
        }
    }
}

enum err template_get_u64(struct bytes list, uint32_t type, uint64_t *out)
{
    struct bytes value = { 0 };
    TRY(template_get(list, type, &value));
    if (value.size != 8) {
        return ERR_ATTRIBUTE;
    }
    *out = get_u64(value.data);
    return ERR_OK;
}

enum err template_get_bool(struct bytes list, uint32_t type, bool *out)
{
    struct bytes value = { 0 };
    TRY(template_get(list, type, &value));
    if (value.size != 1 || value.data[0] > 1) {
        return ERR_ATTRIBUTE;
    }
    *out = value.data[0] == 1;
    return ERR_OK;
}

/* Where an entry of this type stands or would stand; *size is that of the entry
 * there, 0 if none. */
static enum err find_place(struct bytes list, uint32_t type, size_t *place, size_t *size)
{
    struct template_entry entry = { 0 };
    size_t at = 0;
    *size = 0;
    while (at < list.size) {
        const size_t start = at;
        TRY(template_next(list, &at, &entry));
        if (entry.type >= type) {
            *place = start;
            *size = entry.type == type ? at - start : 0;
            return ERR_OK;
        }
    }
    *place = list.size;
    return ERR_OK;
}

enum err template_put(struct buf *list, uint32_t type, struct bytes value)
{
    size_t place = 0;
    size_t old = 0;
    TRY(find_place(buf_bytes(list), type, &place, &old));
    const size_t fresh = ENTRY_HEAD + value.size;
    uint8_t *end = NULL;
    TRY(buf_reserve(list, fresh, LIMIT_BLOB, &end));
    uint8_t *at = list->data + place;
    memmove(at + fresh, at + old, list->size - place - old);
    put_u32(at, type);
    put_u32(at + 4, (uint32_t)value.size);
    if (value.size > 0) {
        memcpy(at + ENTRY_HEAD, value.data, value.size);
    }
    list->size = list->size - old + fresh;
    return ERR_OK;
}

enum err template_put_u64(struct buf *list, uint32_t type, uint64_t value)
{
    uint8_t bytes[8];
    put_u64(bytes, value);
    return template_put(list, type, bytes_of(bytes, sizeof(bytes)));
}

enum err template_put_bool(struct buf *list, uint32_t type, bool value)
{
    const uint8_t byte = value ? 1 : 0;
    return template_put(list, type, bytes_of(&byte, 1));
}

enum err template_remove(struct buf *list, uint32_t type)
{
    size_t place = 0;
    size_t old = 0;
    TRY(find_place(buf_bytes(list), type, &place, &old));
    if (old > 0) {
        memmove(list->data + place, list->data + place + old, list->size - place - old);
        list->size -= old;
    }
    return ERR_OK;
}
