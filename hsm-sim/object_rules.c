/* SPDX-License-Identifier: Apache-2.0 */
/* The attribute table of the core (object_rules.h): what is not here cannot be
 * given. Pure. */
#include "hsm-sim/object_rules.h"

#include <p11-kit/pkcs11.h>

#include "base/limits.h"
#include "sks/seal.h"

#define CKA_UNIQUE_ID_ 0x4u
#define CKA_ALLOWED_MECHANISMS_ 0x40000600u
#define TEXT 1024u
#define NUMBER 1024u /* bytes of an RSA number or an EC point, with room for zeros */
#define D OBJECT_IN_DATA
#define C OBJECT_IN_CERT
#define P OBJECT_IN_PUBLIC
#define S OBJECT_IN_PRIVATE
#define K OBJECT_IN_SECRET
#define ALL (D | C | P | S | K)
#define KEYS (P | S | K)

/* type, form, take, change, classes, flag of K, limit */
static const struct object_rule rules[] = {
    { CKA_CLASS, OBJECT_U64, OBJECT_CLASS_IS, OBJECT_FIXED, ALL, 0, 8 },
    { CKA_TOKEN, OBJECT_BOOL, OBJECT_TOKEN_IS, OBJECT_FIXED, ALL, 0, 1 },
    { CKA_PRIVATE, OBJECT_BOOL, OBJECT_PRIVATE_IS, OBJECT_FIXED, ALL, 0, 1 },
    { CKA_LABEL, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, ALL, 0, TEXT },
    { CKA_UNIQUE_ID_, OBJECT_RAW, OBJECT_COMPUTED, OBJECT_FIXED, ALL, 0, 32 },
    { CKA_APPLICATION, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, D, 0, TEXT },
    { CKA_VALUE, OBJECT_RAW, OBJECT_PARAMETER, OBJECT_FIXED, D | C, 0, LIMIT_TEMPLATE },
    { CKA_OBJECT_ID, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, D, 0, TEXT },
    { CKA_CERTIFICATE_TYPE, OBJECT_U64, OBJECT_STORE, OBJECT_FIXED, C, 0, 8 },
    { CKA_ISSUER, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, C, 0, 4 * TEXT },
    { CKA_SERIAL_NUMBER, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, C, 0, TEXT },
    { CKA_TRUSTED, OBJECT_BOOL, OBJECT_FALSE_ONLY, OBJECT_FIXED, C | P | K, 0, 1 },
    { CKA_CERTIFICATE_CATEGORY, OBJECT_U64, OBJECT_STORE, OBJECT_FIXED, C, 0, 8 },
    { CKA_JAVA_MIDP_SECURITY_DOMAIN, OBJECT_U64, OBJECT_STORE, OBJECT_FIXED, C, 0, 8 },
    { CKA_URL, OBJECT_RAW, OBJECT_STORE, OBJECT_FIXED, C, 0, 4 * TEXT },
    { CKA_HASH_OF_SUBJECT_PUBLIC_KEY, OBJECT_RAW, OBJECT_STORE, OBJECT_FIXED, C, 0, 64 },
    { CKA_HASH_OF_ISSUER_PUBLIC_KEY, OBJECT_RAW, OBJECT_STORE, OBJECT_FIXED, C, 0, 64 },
    { CKA_NAME_HASH_ALGORITHM, OBJECT_U64, OBJECT_STORE, OBJECT_FIXED, C, 0, 8 },
    { CKA_CHECK_VALUE, OBJECT_RAW, OBJECT_STORE, OBJECT_FIXED, C, 0, 64 },
    { CKA_KEY_TYPE, OBJECT_U64, OBJECT_TYPE_IS, OBJECT_FIXED, KEYS, 0, 8 },
    { CKA_SUBJECT, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, C | P | S, 0, 4 * TEXT },
    { CKA_ID, OBJECT_RAW, OBJECT_STORE, OBJECT_FREE, C | KEYS, 0, TEXT },
    { CKA_SENSITIVE, OBJECT_BOOL, OBJECT_FLAG, OBJECT_ONLY_UP, S | K, SEAL_SENSITIVE, 1 },
    { CKA_ENCRYPT, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_DECRYPT, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_WRAP, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_UNWRAP, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_SIGN, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_SIGN_RECOVER, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_VERIFY, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_VERIFY_RECOVER, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_DERIVE, OBJECT_BOOL, OBJECT_USAGE, OBJECT_ONLY_DOWN, KEYS, 0, 1 },
    { CKA_START_DATE, OBJECT_DATE, OBJECT_DATES, OBJECT_FIXED, C | KEYS, 0, 8 },
    { CKA_END_DATE, OBJECT_DATE, OBJECT_DATES, OBJECT_FIXED, C | KEYS, 0, 8 },
    { CKA_MODULUS, OBJECT_RAW, OBJECT_PARAMETER, OBJECT_FIXED, P | S, 0, NUMBER },
    { CKA_MODULUS_BITS, OBJECT_U64, OBJECT_PARAMETER, OBJECT_FIXED, P | S, 0, 8 },
    { CKA_PUBLIC_EXPONENT, OBJECT_RAW, OBJECT_PARAMETER, OBJECT_FIXED, P | S, 0, NUMBER },
    { CKA_VALUE_LEN, OBJECT_U64, OBJECT_PARAMETER, OBJECT_FIXED, K, 0, 8 },
    { CKA_EXTRACTABLE, OBJECT_BOOL, OBJECT_FLAG, OBJECT_ONLY_DOWN, S | K, SEAL_EXTRACTABLE, 1 },
    { CKA_LOCAL, OBJECT_BOOL, OBJECT_COMPUTED, OBJECT_FIXED, KEYS, 0, 1 },
    { CKA_NEVER_EXTRACTABLE, OBJECT_BOOL, OBJECT_COMPUTED, OBJECT_FIXED, S | K, 0, 1 },
    { CKA_ALWAYS_SENSITIVE, OBJECT_BOOL, OBJECT_COMPUTED, OBJECT_FIXED, S | K, 0, 1 },
    { CKA_KEY_GEN_MECHANISM, OBJECT_U64, OBJECT_COMPUTED, OBJECT_FIXED, KEYS, 0, 8 },
    { CKA_MODIFIABLE, OBJECT_BOOL, OBJECT_FLAG, OBJECT_FIXED, ALL, SEAL_MODIFIABLE, 1 },
    { CKA_COPYABLE, OBJECT_BOOL, OBJECT_FLAG, OBJECT_ONLY_DOWN, ALL, SEAL_COPYABLE, 1 },
    { CKA_DESTROYABLE, OBJECT_BOOL, OBJECT_FLAG, OBJECT_FIXED, ALL, SEAL_DESTROYABLE, 1 },
    { CKA_EC_PARAMS, OBJECT_RAW, OBJECT_PARAMETER, OBJECT_FIXED, P | S, 0, NUMBER },
    { CKA_EC_POINT, OBJECT_RAW, OBJECT_PARAMETER, OBJECT_FIXED, P | S, 0, NUMBER },
    { CKA_ALWAYS_AUTHENTICATE, OBJECT_BOOL, OBJECT_FALSE_ONLY, OBJECT_FIXED, S, 0, 1 },
    { CKA_WRAP_WITH_TRUSTED, OBJECT_BOOL, OBJECT_FLAG, OBJECT_ONLY_UP, S | K,
      SEAL_WRAP_WITH_TRUSTED, 1 },
    { CKA_ALLOWED_MECHANISMS_, OBJECT_MECHANISMS, OBJECT_ALLOWED, OBJECT_FIXED, KEYS, 0,
      8 * SEAL_MECHANISMS },
};

const struct object_rule *object_rule_find(uint32_t type)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].type == type) {
            return &rules[i];
        }
    }
    return NULL;
}

enum err object_rule_form(const struct object_rule *rule, struct bytes value)
{
    uint64_t ignored;
    bool fits = value.size <= rule->limit;
    if (rule->form == OBJECT_BOOL) {
        fits = value.size == 1 && value.data[0] <= 1;
    } else if (rule->form == OBJECT_U64) {
        fits = value.size == 8;
    } else if (rule->form == OBJECT_MECHANISMS) {
        fits = fits && value.size % 8 == 0;
    } else if (rule->form == OBJECT_DATE && value.size > 0) {
        fits = object_rule_date(value, &ignored) == ERR_OK;
    }
    return fits ? ERR_OK : ERR_ATTRIBUTE;
}

static unsigned number(const uint8_t *digits, unsigned count)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        n = 10 * n + (unsigned)(digits[i] - '0');
    }
    return n;
}

/* Days from 1970-01-01, in the Gregorian calendar. */
static uint64_t days_to(unsigned year, unsigned month, unsigned day)
{
    static const uint16_t before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    unsigned past = year - 1;
    unsigned leaps = past / 4 - past / 100 + past / 400 - 477; /* 477 up to 1969 */
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return (uint64_t)(year - 1970) * 365 + leaps + before[month - 1] + (leap && month > 2) + day -
           1;
}

enum err object_rule_date(struct bytes digits, uint64_t *out)
{
    static const uint8_t length[12] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned year, month, day;
    if (digits.size != 8) {
        return ERR_ATTRIBUTE;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return ERR_ATTRIBUTE;
        }
    }
    year = number(digits.data, 4);
    month = number(digits.data + 4, 2);
    day = number(digits.data + 6, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > length[month - 1]) {
        return ERR_ATTRIBUTE;
    }
    *out = days_to(year, month, day) * 86400u;
    return ERR_OK;
}
