/* SPDX-License-Identifier: Apache-2.0 */
/* From a template to an object (object.h), by the table of object_rules.c. */
#include "hsm-sim/object.h"

#include <assert.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "hsm-sim/object_rules.h"
#include "proto/template.h"
#include "sks/attributes.h"

#define CKA_UNIQUE_ID_ 0x4u
#define CKA_ALLOWED_MECHANISMS_ 0x40000600u
#define LAST_SECOND 86399u
#define DER_OCTET_STRING 0x04u
#define USAGES 9u

/* Usages that make sense for a class, and those that a bare template means. */
static const uint32_t usage_possible[] = {
    [SEAL_CLASS_PUBLIC] =
        SEAL_ENCRYPT | SEAL_WRAP | SEAL_VERIFY | SEAL_VERIFY_RECOVER | SEAL_DERIVE,
    [SEAL_CLASS_PRIVATE] = SEAL_DECRYPT | SEAL_UNWRAP | SEAL_SIGN | SEAL_SIGN_RECOVER | SEAL_DERIVE,
    [SEAL_CLASS_SECRET] = SEAL_ENCRYPT | SEAL_DECRYPT | SEAL_WRAP | SEAL_UNWRAP | SEAL_SIGN |
                          SEAL_VERIFY | SEAL_DERIVE,
};
static const struct {
    uint8_t class;
    uint16_t type;
    uint32_t usage;
} usage_default[] = {
    { SEAL_CLASS_PRIVATE, SEAL_KEY_RSA, SEAL_SIGN | SEAL_DECRYPT },
    { SEAL_CLASS_PRIVATE, SEAL_KEY_EC, SEAL_SIGN },
    { SEAL_CLASS_PUBLIC, SEAL_KEY_RSA, SEAL_VERIFY | SEAL_ENCRYPT },
    { SEAL_CLASS_PUBLIC, SEAL_KEY_EC, SEAL_VERIFY },
    { SEAL_CLASS_SECRET, SEAL_KEY_AES, SEAL_ENCRYPT | SEAL_DECRYPT },
    { SEAL_CLASS_SECRET, SEAL_KEY_GENERIC, SEAL_SIGN | SEAL_VERIFY },
};
/* Flags that A tells. */
static const struct {
    uint32_t type, flag;
    uint8_t classes;
} told[] = {
    { CKA_SENSITIVE, SEAL_SENSITIVE, OBJECT_IN_PRIVATE | OBJECT_IN_SECRET },
    { CKA_EXTRACTABLE, SEAL_EXTRACTABLE, OBJECT_IN_PRIVATE | OBJECT_IN_SECRET },
    { CKA_ALWAYS_SENSITIVE, SEAL_ALWAYS_SENSITIVE, OBJECT_IN_PRIVATE | OBJECT_IN_SECRET },
    { CKA_NEVER_EXTRACTABLE, SEAL_NEVER_EXTRACTABLE, OBJECT_IN_PRIVATE | OBJECT_IN_SECRET },
    { CKA_LOCAL, SEAL_LOCAL, OBJECT_IN_PUBLIC | OBJECT_IN_PRIVATE | OBJECT_IN_SECRET },
    { CKA_ALWAYS_AUTHENTICATE, SEAL_ALWAYS_AUTHENTICATE, OBJECT_IN_PRIVATE },
    { CKA_TRUSTED, SEAL_TRUSTED, OBJECT_IN_CERT | OBJECT_IN_PUBLIC | OBJECT_IN_SECRET },
    { CKA_WRAP_WITH_TRUSTED, SEAL_WRAP_WITH_TRUSTED, OBJECT_IN_PRIVATE | OBJECT_IN_SECRET },
    { CKA_MODIFIABLE, SEAL_MODIFIABLE, 31 },
    { CKA_COPYABLE, SEAL_COPYABLE, 31 },
    { CKA_DESTROYABLE, SEAL_DESTROYABLE, 31 },
};
#define TOLD (sizeof told / sizeof told[0])

static const struct {
    unsigned curve;
    uint8_t oid[10];
    uint8_t size;
} curves[] = {
    { SEAL_CURVE_P256, { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 10 },
    { SEAL_CURVE_P384, { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 }, 7 },
    { SEAL_CURVE_P521, { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 }, 7 },
};

void object_drop(struct object *o)
{
    buf_drop(&o->a);
    memset(o, 0, sizeof *o);
}

static bool is_key(const struct object *o)
{
    return o->class >= SEAL_CLASS_PUBLIC;
}

static bool is_secret(const struct object *o)
{
    return o->class >= SEAL_CLASS_PRIVATE;
}

/* -- taking the template ------------------------------------------------------------ */

static void take_bit(uint32_t bit, bool on, uint32_t *word, uint32_t *given)
{
    *given |= bit;
    *word = on ? *word | bit : *word & ~bit;
}

static enum err take_date(struct object *o, uint32_t type, struct bytes value)
{
    uint64_t day = 0;
    if (value.size == 0) {
        return ERR_OK; /* none */
    }
    TRY(object_rule_date(value, &day));
    if (type == CKA_START_DATE) {
        o->not_before = day;
    } else {
        o->not_after = day + LAST_SECOND;
    }
    return template_put(&o->a, type, value);
}

/* Sorted into K's list; A tells the same list. */
static enum err take_mechanisms(struct object *o, struct bytes value)
{
    for (size_t at = 0; at < value.size; at += 8) {
        uint64_t number = get_u64(value.data + at);
        unsigned place = o->mech_count;
        if (number > UINT32_MAX || o->mech_count >= SEAL_MECHANISMS) {
            return ERR_ATTRIBUTE;
        }
        while (place > 0 && o->mech[place - 1] > number) {
            o->mech[place] = o->mech[place - 1];
            place--;
        }
        if (place > 0 && o->mech[place - 1] == number) {
            return ERR_TEMPLATE;
        }
        o->mech[place] = (uint32_t)number;
        o->mech_count++;
    }
    return ERR_OK;
}

static enum err must_be(bool right)
{
    return right ? ERR_OK : ERR_TEMPLATE;
}

static enum err take(struct object *o, const struct object_rule *rule, struct bytes value)
{
    bool on = rule->form == OBJECT_BOOL && value.data[0] == 1;
    switch ((enum object_take)rule->take) {
        case OBJECT_STORE: return template_put(&o->a, rule->type, value);
        case OBJECT_CLASS_IS: return must_be(get_u64(value.data) == o->class);
        case OBJECT_TYPE_IS: return must_be(get_u64(value.data) == o->type);
        case OBJECT_TOKEN_IS: return must_be(on == (o->kind != BLOB_SESSION));
        case OBJECT_PRIVATE_IS: return must_be(on == is_secret(o));
        case OBJECT_FLAG: take_bit(rule->flag, on, &o->flags, &o->flags_given); return ERR_OK;
        case OBJECT_USAGE:
            take_bit(1u << (rule->type - CKA_ENCRYPT), on, &o->usage, &o->usage_given);
            return ERR_OK;
        case OBJECT_DATES: return take_date(o, rule->type, value);
        case OBJECT_ALLOWED: return take_mechanisms(o, value);
        case OBJECT_FALSE_ONLY: return must_be(!on);
        case OBJECT_COMPUTED: return ERR_ATTRIBUTE_READ_ONLY;
        case OBJECT_PARAMETER: return ERR_OK;
        default: return ERR_ATTRIBUTE;
    }
}

/* Next entry with its rule. A type twice, or out of order, is a contradiction. */
static enum err next_entry(struct bytes template,
                           size_t *at,
                           struct template_entry *entry,
                           const struct object_rule **rule)
{
    uint32_t before = entry->type;
    bool first = *at == 0;
    enum err e = template_next(template, at, entry);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? e : ERR_TEMPLATE;
    }
    if (!first && entry->type <= before) {
        return ERR_TEMPLATE;
    }
    *rule = object_rule_find(entry->type);
    if (*rule == NULL) {
        return ERR_ATTRIBUTE;
    }
    return object_rule_form(*rule, entry->value);
}

static enum err take_all(struct object *o)
{
    struct template_entry entry = { 0 };
    const struct object_rule *rule;
    size_t at = 0;
    for (unsigned count = 0; count <= LIMIT_ATTRIBUTES; count++) {
        enum err e = next_entry(o->template, &at, &entry, &rule);
        if (e == ERR_NOTFOUND) {
            return ERR_OK;
        }
        TRY(e);
        if ((rule->classes & 1u << o->class) == 0) {
            return ERR_TEMPLATE;
        }
        TRY(take(o, rule, entry.value));
    }
    return ERR_TEMPLATE;
}

/* -- what follows ---------------------------------------------------------------------- */

/* A template that names no usage means the usual ones; one that names some means
 * those alone. */
static void usage_complete(struct object *o)
{
    if (o->usage != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof usage_default / sizeof usage_default[0]; i++) {
        if (usage_default[i].class == o->class && usage_default[i].type == o->type) {
            o->usage = usage_default[i].usage & ~o->usage_given;
        }
    }
}

static enum err usage_check(const struct object *o)
{
    const uint32_t wraps = SEAL_WRAP | SEAL_DECRYPT, unwraps = SEAL_UNWRAP | SEAL_ENCRYPT;
    if (!is_key(o)) {
        return must_be(o->usage_given == 0);
    }
    return must_be((o->usage & ~usage_possible[o->class]) == 0 && (o->usage & wraps) != wraps &&
                   (o->usage & unwraps) != unwraps);
}

static enum err flags_complete(struct object *o)
{
    uint32_t defaults = SEAL_MODIFIABLE | SEAL_COPYABLE | SEAL_DESTROYABLE;
    if (is_secret(o)) {
        defaults |= SEAL_SENSITIVE;
    }
    o->flags |= defaults & ~o->flags_given;
    if (is_secret(o) && o->kind != BLOB_SESSION && (o->flags & SEAL_SENSITIVE) == 0) {
        return ERR_TEMPLATE; /* no stored value leaves the core in this release */
    }
    if (o->origin == OBJECT_GENERATED) {
        o->flags |= SEAL_LOCAL;
        if (is_secret(o) && (o->flags & SEAL_SENSITIVE) != 0) {
            o->flags |= SEAL_ALWAYS_SENSITIVE;
        }
        if (is_secret(o) && (o->flags & SEAL_EXTRACTABLE) == 0) {
            o->flags |= SEAL_NEVER_EXTRACTABLE;
        }
    }
    return ERR_OK;
}

static enum err put_if_absent(struct object *o, uint32_t type, struct bytes value)
{
    struct bytes there;
    if (template_get(buf_bytes(&o->a), type, &there) == ERR_OK) {
        return ERR_OK;
    }
    return template_put(&o->a, type, value);
}

static enum err tell_usages(struct object *o)
{
    for (unsigned i = 0; i < USAGES; i++) {
        bool on = (o->usage & 1u << i) != 0;
        if ((usage_possible[o->class] & 1u << i) == 0) {
            continue;
        }
        TRY(template_put_bool(&o->a, ATTRIBUTES_ENCRYPT + i, on));
    }
    return ERR_OK;
}

static enum err tell_flags(struct object *o)
{
    for (size_t i = 0; i < TOLD; i++) {
        bool on = (o->flags & told[i].flag) != 0;
        if ((told[i].classes & 1u << o->class) == 0) {
            continue;
        }
        TRY(template_put_bool(&o->a, told[i].type, on));
    }
    return ERR_OK;
}

static enum err tell_mechanisms(struct object *o)
{
    uint8_t list[8 * SEAL_MECHANISMS];
    if (o->mech_count == 0) {
        return ERR_OK;
    }
    for (unsigned i = 0; i < o->mech_count; i++) {
        put_u64(list + (size_t)8 * i, o->mech[i]);
    }
    return template_put(&o->a, CKA_ALLOWED_MECHANISMS_, bytes_of(list, 8u * (size_t)o->mech_count));
}

static enum err tell_key(struct object *o)
{
    TRY(template_put_u64(&o->a, CKA_KEY_TYPE, o->type));
    TRY(template_put_u64(&o->a, CKA_KEY_GEN_MECHANISM, o->mechanism));
    TRY(tell_usages(o));
    return tell_mechanisms(o);
}

static enum err tell(struct object *o)
{
    char hex[2 * ID_SIZE + 1];
    TRY(template_put_u64(&o->a, CKA_CLASS, o->class));
    TRY(template_put_bool(&o->a, CKA_TOKEN, o->kind != BLOB_SESSION));
    TRY(template_put_bool(&o->a, CKA_PRIVATE, is_secret(o)));
    TRY(template_put(&o->a, CKA_UNIQUE_ID_,
                     bytes_of_text(hex_from(bytes_of(o->id, ID_SIZE), hex))));
    TRY(put_if_absent(o, CKA_LABEL, bytes_of("", 0)));
    TRY(tell_flags(o));
    if (o->class == SEAL_CLASS_DATA) {
        return put_if_absent(o, CKA_APPLICATION, bytes_of("", 0));
    }
    TRY(put_if_absent(o, CKA_ID, bytes_of("", 0)));
    if (o->class == SEAL_CLASS_CERTIFICATE) {
        static const uint8_t zero[8]; /* X.509; category unspecified */
        TRY(put_if_absent(o, CKA_CERTIFICATE_TYPE, bytes_of(zero, 8)));
        return put_if_absent(o, CKA_CERTIFICATE_CATEGORY, bytes_of(zero, 8));
    }
    return tell_key(o);
}

enum err object_begin(struct object *o, struct bytes id)
{
    assert(o->class <= SEAL_CLASS_SECRET && o->a.data == NULL);
    if (id.size != ID_SIZE || bytes_all_zero(id)) {
        return ERR_ATTRIBUTE;
    }
    memcpy(o->id, id.data, ID_SIZE);
    TRY(take_all(o));
    usage_complete(o);
    TRY(usage_check(o));
    TRY(flags_complete(o));
    if (o->not_after != 0 && o->not_before > o->not_after) {
        return ERR_TEMPLATE;
    }
    return tell(o);
}

/* -- the key's own numbers ------------------------------------------------------------------ */

static struct bytes without_zeros(struct bytes number)
{
    while (number.size > 1 && number.data[0] == 0) {
        number = bytes_of(number.data + 1, number.size - 1);
    }
    return number;
}

/* What the template says of the key, if anything, must be so. */
static enum err agree(struct object *o, uint32_t type, struct bytes value)
{
    struct bytes said;
    if (template_get(o->template, type, &said) == ERR_OK &&
        !bytes_equal(without_zeros(said), without_zeros(value))) {
        return ERR_TEMPLATE;
    }
    return template_put(&o->a, type, value);
}

static enum err agree_u64(struct object *o, uint32_t type, uint64_t value)
{
    uint64_t said = value;
    enum err e = template_get_u64(o->template, type, &said);
    if ((e != ERR_OK && e != ERR_NOTFOUND) || said != value) {
        return ERR_TEMPLATE;
    }
    return template_put_u64(&o->a, type, value);
}

enum err object_put_rsa(struct object *o, struct bytes n, struct bytes e)
{
    uint64_t bits;
    n = without_zeros(n);
    bits = 8u * (uint64_t)n.size;
    for (uint8_t top = n.data[0]; bits > 0 && (top & 0x80u) == 0; top = (uint8_t)(top << 1 | 1)) {
        bits--;
    }
    TRY(agree(o, CKA_MODULUS, n));
    TRY(agree(o, CKA_PUBLIC_EXPONENT, without_zeros(e)));
    return agree_u64(o, CKA_MODULUS_BITS, bits);
}

enum err object_put_ec(struct object *o, unsigned curve, struct bytes point)
{
    uint8_t der[3 + 133];
    size_t head = point.size > 127 ? 3 : 2;
    struct bytes said;
    assert(head + point.size <= sizeof der);
    if (template_get(o->template, CKA_EC_POINT, &said) == ERR_OK &&
        !bytes_equal(object_point_of(said), point)) {
        return ERR_TEMPLATE;
    }
    der[0] = DER_OCTET_STRING;
    der[1] = 0x81;
    der[head - 1] = (uint8_t)point.size;
    memcpy(der + head, point.data, point.size);
    TRY(template_put(&o->a, CKA_EC_POINT, bytes_of(der, head + point.size)));
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (curves[i].curve == curve) {
            return agree(o, CKA_EC_PARAMS, bytes_of(curves[i].oid, curves[i].size));
        }
    }
    return ERR_CURVE;
}

enum err object_put_secret(struct object *o, size_t size)
{
    return agree_u64(o, CKA_VALUE_LEN, size);
}

void object_info(const struct object *o, unsigned bits, struct key_info *out)
{
    memset(out, 0, sizeof *out);
    out->class = o->class;
    out->type = o->type;
    out->bits = (uint16_t)bits;
    out->usage = o->usage;
    out->flags = o->flags;
    out->not_before = o->not_before;
    out->not_after = o->not_after;
    out->mech_count = o->mech_count;
    memcpy(out->mech, o->mech, sizeof out->mech);
}

/* -- kind 4 -------------------------------------------------------------------------------------
 */

static enum err dates_of(struct bytes a, struct key_info *out)
{
    struct bytes date;
    if (template_get(a, CKA_START_DATE, &date) == ERR_OK) {
        TRY(object_rule_date(date, &out->not_before));
    }
    if (template_get(a, CKA_END_DATE, &date) == ERR_OK) {
        TRY(object_rule_date(date, &out->not_after));
        out->not_after += LAST_SECOND;
    }
    return ERR_OK;
}

enum err object_info_from_public(struct bytes a, struct key_info *out)
{
    struct object o = { 0 };
    struct bytes mechanisms;
    uint64_t class = 0, type = SEAL_KEY_NONE;
    TRY(object_class_of(a, &class));
    (void)attributes_find_u64(a, CKA_KEY_TYPE, &type);
    memset(out, 0, sizeof *out);
    out->class = (uint8_t) class;
    out->type = (uint16_t)type;
    for (unsigned i = 0; i < USAGES; i++) {
        bool on = false;
        (void)attributes_find_bool(a, ATTRIBUTES_ENCRYPT + i, &on);
        out->usage |= on ? 1u << i : 0;
    }
    if (template_get(a, CKA_ALLOWED_MECHANISMS_, &mechanisms) == ERR_OK) {
        TRY(take_mechanisms(&o, mechanisms));
        out->mech_count = o.mech_count;
        memcpy(out->mech, o.mech, sizeof out->mech);
    }
    return dates_of(a, out);
}

/* -- changes --------------------------------------------------------------------------------------
 */

static enum err change_bit(const struct object_rule *rule,
                           bool on,
                           struct buf *a,
                           struct key_info *info)
{
    bool now = false, wanted = rule->change == OBJECT_ONLY_UP;
    uint32_t *word, bit = rule->flag;
    (void)attributes_find_bool(buf_bytes(a), rule->type, &now);
    if (now == on) {
        return ERR_OK;
    }
    if (on != wanted) {
        return ERR_ATTRIBUTE_READ_ONLY;
    }
    TRY(template_put_bool(a, rule->type, on));
    if (info == NULL) {
        return ERR_OK;
    }
    word = &info->flags;
    if (rule->take == OBJECT_USAGE) {
        word = &info->usage;
        bit = 1u << (rule->type - CKA_ENCRYPT);
    }
    *word = on ? *word | bit : *word & ~bit;
    return ERR_OK;
}

static enum err change_one(const struct object_rule *rule,
                           struct bytes value,
                           struct buf *a,
                           struct key_info *info)
{
    if (rule->change == OBJECT_FREE) {
        return template_put(a, rule->type, value);
    }
    if (rule->change == OBJECT_FIXED) {
        struct bytes now;
        bool same =
            template_get(buf_bytes(a), rule->type, &now) == ERR_OK && bytes_equal(now, value);
        return same ? ERR_OK : ERR_ATTRIBUTE_READ_ONLY;
    }
    return change_bit(rule, value.data[0] == 1, a, info);
}

enum err object_change(struct bytes template, struct buf *a, struct key_info *info)
{
    struct template_entry entry = { 0 };
    const struct object_rule *rule;
    uint64_t class = 0;
    bool modifiable = true;
    size_t at = 0;
    TRY(object_class_of(buf_bytes(a), &class));
    (void)attributes_find_bool(buf_bytes(a), CKA_MODIFIABLE, &modifiable);
    if (!modifiable) {
        return ERR_ATTRIBUTE_READ_ONLY;
    }
    for (unsigned count = 0; count <= LIMIT_ATTRIBUTES; count++) {
        enum err e = next_entry(template, &at, &entry, &rule);
        if (e == ERR_NOTFOUND) {
            return template_check(buf_bytes(a)) == ERR_OK ? ERR_OK : ERR_TEMPLATE;
        }
        TRY(e);
        if ((rule->classes & 1u << class) == 0) {
            return ERR_TEMPLATE;
        }
        TRY(change_one(rule, entry.value, a, info));
    }
    return ERR_TEMPLATE;
}

/* -- reading a template
 * ------------------------------------------------------------------------------ */

enum err object_class_of(struct bytes template, uint64_t *class)
{
    enum err e = template_get_u64(template, CKA_CLASS, class);
    return e == ERR_OK && *class <= SEAL_CLASS_SECRET ? ERR_OK : ERR_TEMPLATE;
}

enum err object_type_of(struct bytes template, uint64_t *type)
{
    return template_get_u64(template, CKA_KEY_TYPE, type) == ERR_OK ? ERR_OK : ERR_TEMPLATE;
}

enum err object_curve_of(struct bytes template, unsigned *curve)
{
    struct bytes params;
    if (template_get(template, CKA_EC_PARAMS, &params) != ERR_OK) {
        return ERR_TEMPLATE;
    }
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (bytes_equal(params, bytes_of(curves[i].oid, curves[i].size))) {
            *curve = curves[i].curve;
            return ERR_OK;
        }
    }
    return ERR_CURVE;
}

struct bytes object_point_of(struct bytes value)
{
    size_t head = value.size > 2 && value.data[1] == 0x81 ? 3 : 2;
    if (value.size > head && value.data[0] == DER_OCTET_STRING &&
        value.data[head - 1] == value.size - head) {
        return bytes_of(value.data + head, value.size - head);
    }
    return value;
}
