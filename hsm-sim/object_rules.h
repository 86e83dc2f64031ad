/* SPDX-License-Identifier: Apache-2.0 */
/* The attribute table of the core: one row a type (object_rules.c), read by
 * object.c alone. */
#ifndef RINGKEEP_HSM_SIM_OBJECT_RULES_H
#define RINGKEEP_HSM_SIM_OBJECT_RULES_H

#include "base/bytes.h"

enum object_form { OBJECT_BOOL, OBJECT_U64, OBJECT_RAW, OBJECT_DATE, OBJECT_MECHANISMS };
/* What a given value does when an object is made. */
enum object_take {
    OBJECT_STORE,    /* goes into A */
    OBJECT_CLASS_IS, /* must say what the request says */
    OBJECT_TOKEN_IS,
    OBJECT_PRIVATE_IS,
    OBJECT_TYPE_IS,
    OBJECT_FLAG, /* a flag of K */
    OBJECT_USAGE,
    OBJECT_DATES,
    OBJECT_ALLOWED,
    OBJECT_FALSE_ONLY, /* a power that this release does not give */
    OBJECT_COMPUTED,   /* never given */
    OBJECT_PARAMETER   /* read by whoever makes or checks the key */
};
enum object_change_rule { OBJECT_FIXED, OBJECT_FREE, OBJECT_ONLY_DOWN, OBJECT_ONLY_UP };

/* Bit 1 << CKO_. */
#define OBJECT_IN_DATA 1u
#define OBJECT_IN_CERT 2u
#define OBJECT_IN_PUBLIC 4u
#define OBJECT_IN_PRIVATE 8u
#define OBJECT_IN_SECRET 16u

struct object_rule {
    uint32_t type; /* CKA_ */
    uint8_t form, take, change;
    uint8_t classes; /* where it may stand */
    uint32_t flag;   /* OBJECT_FLAG: of K */
    uint32_t limit;  /* bytes */
};
const struct object_rule *object_rule_find(uint32_t type);
/* ERR_ATTRIBUTE. */
enum err object_rule_form(const struct object_rule *rule, struct bytes value) MUST_USE;
/* Midnight of 8 digits as Unix seconds; ERR_ATTRIBUTE for no such day. */
enum err object_rule_date(struct bytes digits, uint64_t *out) MUST_USE;

#endif
