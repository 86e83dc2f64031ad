/* SPDX-License-Identifier: Apache-2.0 */
/* The strict check of attribute lists that are sealed in section A. Pure
 * functions, any thread. */
#include "sks/attributes.h"

#include <string.h>

#include "base/limits.h"

enum form { FORM_RAW, FORM_ULONG, FORM_ULONGS, FORM_BOOL, FORM_DATE, FORM_TEMPLATE };

/* Types whose value has a form; every other is raw. Ranges, ascending. */
static const struct {
    uint32_t first, last;
    enum form form;
} forms[] = {
    { 0x000, 0x000, FORM_ULONG },              /* CLASS */
    { 0x001, 0x002, FORM_BOOL },               /* TOKEN, PRIVATE */
    { 0x080, 0x080, FORM_ULONG },              /* CERTIFICATE_TYPE */
    { 0x086, 0x086, FORM_BOOL },               /* TRUSTED */
    { 0x087, 0x088, FORM_ULONG },              /* CERTIFICATE_CATEGORY, JAVA_MIDP_.. */
    { 0x08c, 0x08c, FORM_ULONG },              /* NAME_HASH_ALGORITHM */
    { 0x100, 0x100, FORM_ULONG },              /* KEY_TYPE */
    { 0x103, 0x10c, FORM_BOOL },               /* SENSITIVE, ENCRYPT .. DERIVE */
    { 0x110, 0x111, FORM_DATE },               /* START_DATE, END_DATE */
    { 0x121, 0x121, FORM_ULONG },              /* MODULUS_BITS */
    { 0x133, 0x134, FORM_ULONG },              /* PRIME_BITS, SUBPRIME_BITS */
    { 0x160, 0x161, FORM_ULONG },              /* VALUE_BITS, VALUE_LEN */
    { 0x162, 0x165, FORM_BOOL },               /* EXTRACTABLE .. ALWAYS_SENSITIVE */
    { 0x166, 0x166, FORM_ULONG },              /* KEY_GEN_MECHANISM */
    { 0x170, 0x172, FORM_BOOL },               /* MODIFIABLE, COPYABLE, DESTROYABLE */
    { 0x202, 0x202, FORM_BOOL },               /* ALWAYS_AUTHENTICATE */
    { 0x210, 0x210, FORM_BOOL },               /* WRAP_WITH_TRUSTED */
    { 0x40000211, 0x40000213, FORM_TEMPLATE }, /* WRAP, UNWRAP, DERIVE _TEMPLATE */
    { 0x40000600, 0x40000600, FORM_ULONGS },   /* ALLOWED_MECHANISMS */
};

static enum form form_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (type >= forms[i].first && type <= forms[i].last) {
            return forms[i].form;
        }
    }
    return FORM_RAW;
}

bool attributes_next(struct bytes list, size_t *at, struct attributes_entry *out)
{
    const size_t left = list.size - *at;
    uint32_t size;
    if (*at > list.size || left < 8) {
        return false;
    }
    size = get_u32(list.data + *at + 4);
    if (size > left - 8) {
        return false;
    }
    out->type = get_u32(list.data + *at);
    out->value = bytes_of(list.data + *at + 8, size);
    *at += 8 + (size_t)size;
    return true;
}

static bool digits(struct bytes v)
{
    for (size_t i = 0; i < v.size; i++) {
        if (v.data[i] < '0' || v.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool value_fits(enum form form, struct bytes v)
{
    const bool fits[] = {
        [FORM_RAW] = true,
        [FORM_ULONG] = v.size == 8,
        [FORM_ULONGS] = v.size % 8 == 0,
        [FORM_BOOL] = v.size == 1 && v.data[0] <= 1,
        [FORM_DATE] = v.size == 8 && digits(v),
        [FORM_TEMPLATE] = true, /* looked at by the caller */
    };
    return fits[form];
}

/* What one list may not hold; `nested`: the list is the value of a template. */
static bool entry_allowed(const struct attributes_entry *e, bool value_allowed, bool nested)
{
    const enum form form = form_of(e->type);
    if (e->type >= ATTRIBUTES_PRIVATE_FIRST && e->type <= ATTRIBUTES_PRIVATE_LAST) {
        return false;
    }
    if (e->type == ATTRIBUTES_VALUE && !value_allowed) {
        return false;
    }
    return value_fits(form, e->value) && !(nested && form == FORM_TEMPLATE);
}

static enum err check_list(struct bytes list, bool value_allowed, bool nested)
{
    struct attributes_entry e = { 0 };
    uint32_t before = 0;
    unsigned count = 0;
    size_t at = 0;
    while (attributes_next(list, &at, &e)) {
        if (++count > LIMIT_ATTRIBUTES || (count > 1 && e.type <= before)) {
            return ERR_BAD_CONTENT;
        }
        if (!entry_allowed(&e, value_allowed, nested)) {
            return ERR_BAD_CONTENT;
        }
        before = e.type;
    }
    return at == list.size ? ERR_OK : ERR_BAD_CONTENT;
}

enum err attributes_check(struct bytes list, bool value_allowed)
{
    struct attributes_entry e = { 0 };
    size_t at = 0;
    TRY(check_list(list, value_allowed, false));
    while (attributes_next(list, &at, &e)) {
        const bool nested = form_of(e.type) == FORM_TEMPLATE;
        if (nested && check_list(e.value, false, true) != ERR_OK) {
            return ERR_BAD_CONTENT;
        }
    }
    return ERR_OK;
}

bool attributes_find(struct bytes list, uint32_t type, struct bytes *out)
{
    struct attributes_entry e = { 0 };
    size_t at = 0;
    while (attributes_next(list, &at, &e)) {
        if (e.type == type) {
            *out = e.value;
            return true;
        }
    }
    return false;
}

bool attributes_find_u64(struct bytes list, uint32_t type, uint64_t *out)
{
    struct bytes v = { 0 };
    if (!attributes_find(list, type, &v) || v.size != 8) {
        return false;
    }
    *out = get_u64(v.data);
    return true;
}

bool attributes_find_bool(struct bytes list, uint32_t type, bool *out)
{
    struct bytes v = { 0 };
    if (!attributes_find(list, type, &v) || v.size != 1) {
        return false;
    }
    *out = v.data[0] != 0;
    return true;
}
