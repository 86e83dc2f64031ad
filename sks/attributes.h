/* SPDX-License-Identifier: Apache-2.0 */
/* Section A as a list of attributes, strictly checked (crypto-spec section 2,
 * "A plaintext"): TLV u32 type, u32 len, value; ascending, each once, at most 64
 * per list; CK_ULONG is u64, CK_BBOOL one byte 0 or 1, dates 8 digits; the three
 * templates are such lists without templates in them; never a private component.
 *
 * proto/template.h builds and edits lists; this file decides what may be sealed.
 * Nothing here allocates; results borrow from the list. Any thread. */
#ifndef RINGKEEP_SKS_ATTRIBUTES_H
#define RINGKEEP_SKS_ATTRIBUTES_H

#include "base/bytes.h"

/* PKCS#11's CKA_ numbers that the rules name. */
enum attributes_type {
    ATTRIBUTES_CLASS = 0x000,
    ATTRIBUTES_TOKEN = 0x001,
    ATTRIBUTES_PRIVATE = 0x002,
    ATTRIBUTES_VALUE = 0x011,
    ATTRIBUTES_KEY_TYPE = 0x100,
    ATTRIBUTES_ENCRYPT = 0x104, /* usage bit i is this + i, up to DERIVE 0x10c */
    ATTRIBUTES_START_DATE = 0x110,
    ATTRIBUTES_END_DATE = 0x111,
    ATTRIBUTES_PRIVATE_FIRST = 0x123, /* PRIVATE_EXPONENT .. COEFFICIENT */
    ATTRIBUTES_PRIVATE_LAST = 0x128,
    ATTRIBUTES_WRAP_TEMPLATE = 0x40000211,
    ATTRIBUTES_UNWRAP_TEMPLATE = 0x40000212,
    ATTRIBUTES_DERIVE_TEMPLATE = 0x40000213,
    ATTRIBUTES_ALLOWED_MECHANISMS = 0x40000600
};

struct attributes_entry {
    uint32_t type;
    struct bytes value; /* borrowed */
};
/* Iteration from *at = 0: false at the end or where the rest is no entry. */
bool attributes_next(struct bytes list, size_t *at, struct attributes_entry *out);
/* Syntax, order, count, value forms, nested lists, forbidden components.
 * value_allowed: CKA_VALUE may stand (kind 4 only). ERR_BAD_CONTENT. */
enum err attributes_check(struct bytes list, bool value_allowed) MUST_USE;
/* Of a list that attributes_check accepted; false when absent. */
bool attributes_find(struct bytes list, uint32_t type, struct bytes *out);
bool attributes_find_u64(struct bytes list, uint32_t type, uint64_t *out);
bool attributes_find_bool(struct bytes list, uint32_t type, bool *out);

#endif
