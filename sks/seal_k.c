/* SPDX-License-Identifier: Apache-2.0 */
/* Section K: encode, decode, the sizes of key material, and the rule that A says
 * the same as K (sks/seal.h). Pure functions but for the pka verifier; any
 * thread. */
#include <string.h>

#include "sks/attributes.h"
#include "sks/seal.h"
#include "sks/wipe.h"

#define K_VERSION 1u

static const struct curve {
    uint16_t number, type;
    uint8_t private_size, public_size;
} curves[] = {
    { SEAL_CURVE_P256, SEAL_KEY_EC, 32, 65 },
    { SEAL_CURVE_P384, SEAL_KEY_EC, 48, 97 },
    { SEAL_CURVE_P521, SEAL_KEY_EC, 66, 133 },
    { SEAL_CURVE_X25519, SEAL_KEY_MONTGOMERY, 32, 32 },
    { SEAL_CURVE_X448, SEAL_KEY_MONTGOMERY, 56, 56 },
    { SEAL_CURVE_ED25519, SEAL_KEY_EDWARDS, 32, 32 },
    { SEAL_CURVE_ED448, SEAL_KEY_EDWARDS, 57, 57 },
};

/* Flags that are attributes of their own, by bit; 0: none. */
static const uint32_t flag_attribute[] = {
    0x103, /* SENSITIVE */
    0x162, /* EXTRACTABLE */
    0x165, /* ALWAYS_SENSITIVE */
    0x164, /* NEVER_EXTRACTABLE */
    0x163, /* LOCAL */
    0x202, /* ALWAYS_AUTHENTICATE */
    0x086, /* TRUSTED */
    0x210, /* WRAP_WITH_TRUSTED */
    0x170, /* MODIFIABLE */
    0x171, /* COPYABLE */
    0x172, /* DESTROYABLE */
};

static const struct curve *curve_find(unsigned number)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (curves[i].number == number) {
            return &curves[i];
        }
    }
    return NULL;
}

size_t seal_curve_private_size(unsigned curve)
{
    const struct curve *c = curve_find(curve);
    return c == NULL ? 0 : c->private_size;
}

size_t seal_curve_public_size(unsigned curve)
{
    const struct curve *c = curve_find(curve);
    return c == NULL ? 0 : c->public_size;
}

static bool is_asymmetric(unsigned type)
{
    return type == SEAL_KEY_RSA || type == SEAL_KEY_EC || type == SEAL_KEY_EDWARDS ||
           type == SEAL_KEY_MONTGOMERY;
}

static enum err asymmetric_size(const struct key_info *k, size_t *size)
{
    const bool private = k->class == SEAL_CLASS_PRIVATE;
    if (k->type == SEAL_KEY_RSA) {
        const size_t n = (k->bits + 7u) / 8u;
        const size_t half = (k->bits + 15u) / 16u;
        *size = private ? 2 * n + 8 + 5 * half : n + 8;
        return k->bits > 0 ? ERR_OK : ERR_BAD_CONTENT;
    }
    const struct curve *c = curve_find(k->bits);
    if (c == NULL || c->type != k->type) {
        return ERR_BAD_CONTENT;
    }
    *size = (size_t)c->public_size + (private ? c->private_size : 0u);
    return ERR_OK;
}

enum err seal_material_size(const struct key_info *k, size_t *size, bool *any)
{
    *any = false;
    *size = 0;
    if (k->class == SEAL_CLASS_DATA || k->class == SEAL_CLASS_CERTIFICATE) {
        *any = true;
        return k->type == SEAL_KEY_NONE && k->bits == 0 ? ERR_OK : ERR_BAD_CONTENT;
    }
    if (k->class == SEAL_CLASS_PUBLIC || k->class == SEAL_CLASS_PRIVATE) {
        return asymmetric_size(k, size);
    }
    if (k->class != SEAL_CLASS_SECRET || is_asymmetric(k->type) || k->type == SEAL_KEY_NONE) {
        return ERR_BAD_CONTENT;
    }
    *size = k->bits / 8u;
    return k->bits > 0 && k->bits % 8u == 0 ? ERR_OK : ERR_BAD_CONTENT;
}

/* RSA: n has exactly `bits` bits. EC: the public point is uncompressed. */
static bool material_begins_well(const struct key_info *k)
{
    if (k->class != SEAL_CLASS_PUBLIC && k->class != SEAL_CLASS_PRIVATE) {
        return true;
    }
    if (k->type == SEAL_KEY_RSA) {
        return k->material.data[0] >> ((k->bits - 1u) % 8u) == 1;
    }
    if (k->type == SEAL_KEY_EC) {
        const size_t at = k->class == SEAL_CLASS_PRIVATE ? seal_curve_private_size(k->bits) : 0;
        return k->material.data[at] == 4;
    }
    return true;
}

static enum err check_info(const struct key_info *k)
{
    size_t size = 0;
    bool any = false;
    if ((k->usage & ~(uint32_t)SEAL_USAGE_ALL) != 0 || (k->flags & ~(uint32_t)SEAL_FLAG_ALL) != 0) {
        return ERR_BAD_CONTENT;
    }
    if (k->mech_count > SEAL_MECHANISMS) {
        return ERR_BAD_CONTENT;
    }
    for (unsigned i = 1; i < k->mech_count; i++) {
        if (k->mech[i] <= k->mech[i - 1]) {
            return ERR_BAD_CONTENT;
        }
    }
    TRY(seal_material_size(k, &size, &any));
    if (!any && (k->material.size != size || !material_begins_well(k))) {
        return ERR_BAD_CONTENT;
    }
    return ERR_OK;
}

static size_t pka_size(const struct key_info *k)
{
    return (k->flags & SEAL_PKA_ASSIGNED) != 0 ? SEAL_PKA : 0;
}

size_t seal_k_size(const struct key_info *k)
{
    return BLOB_K_MIN + 4u * (size_t)k->mech_count + pka_size(k) + k->material.size;
}

/* The fixed 48 bytes. */
static enum err decode_fixed(const uint8_t *at, struct key_info *k)
{
    if (at[0] != K_VERSION || !bytes_all_zero(bytes_of(at + 41, 7))) {
        return ERR_BAD_CONTENT;
    }
    k->class = at[1];
    k->type = get_u16(at + 2);
    k->bits = get_u16(at + 4);
    k->mech_count = get_u16(at + 6);
    k->usage = get_u32(at + 8);
    k->flags = get_u32(at + 12);
    k->not_before = get_u64(at + 16);
    k->not_after = get_u64(at + 24);
    k->pka_fail_limit = get_u64(at + 32);
    return at[40] == pka_size(k) ? ERR_OK : ERR_BAD_CONTENT;
}

enum err seal_k_decode(struct bytes plain, struct key_info *out)
{
    struct key_info k = { 0 };
    const uint8_t *at = plain.data;
    size_t left = plain.size;
    if (left < BLOB_K_MIN) {
        return ERR_BAD_CONTENT;
    }
    TRY(decode_fixed(at, &k));
    at += BLOB_K_MIN;
    left -= BLOB_K_MIN;
    if (k.mech_count > SEAL_MECHANISMS || left < 4u * (size_t)k.mech_count + pka_size(&k)) {
        return ERR_BAD_CONTENT;
    }
    for (unsigned i = 0; i < k.mech_count; i++) {
        k.mech[i] = get_u32(at + 4u * (size_t)i);
    }
    at += 4u * (size_t)k.mech_count;
    left -= 4u * (size_t)k.mech_count;
    memcpy(k.pka, at, pka_size(&k));
    k.material = bytes_of(at + pka_size(&k), left - pka_size(&k));
    TRY(check_info(&k));
    *out = k;
    return ERR_OK;
}

enum err seal_k_encode(const struct key_info *k, uint8_t *out, size_t capacity, size_t *size)
{
    uint8_t *at = out;
    TRY(check_info(k));
    if (seal_k_size(k) > capacity) {
        return ERR_TOO_LARGE;
    }
    memset(at, 0, BLOB_K_MIN);
    at[0] = K_VERSION;
    at[1] = k->class;
    put_u16(at + 2, k->type);
    put_u16(at + 4, k->bits);
    put_u16(at + 6, k->mech_count);
    put_u32(at + 8, k->usage);
    put_u32(at + 12, k->flags);
    put_u64(at + 16, k->not_before);
    put_u64(at + 24, k->not_after);
    put_u64(at + 32, k->pka_fail_limit);
    at[40] = (uint8_t)pka_size(k);
    at += BLOB_K_MIN;
    for (unsigned i = 0; i < k->mech_count; i++, at += 4) {
        put_u32(at, k->mech[i]);
    }
    memcpy(at, k->pka, pka_size(k));
    if (k->material.size > 0) {
        memcpy(at + pka_size(k), k->material.data, k->material.size);
    }
    *size = seal_k_size(k);
    return ERR_OK;
}

/* ---- A against its kind, and against K ---- */

static bool same_bits(
    struct bytes a, uint32_t word, uint32_t first, const uint32_t *types, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bool said = false;
        const uint32_t type = types != NULL ? types[i] : first + i;
        if (attributes_find_bool(a, type, &said) && said != ((word >> i & 1u) != 0)) {
            return false;
        }
    }
    return true;
}

static bool same_mechanisms(struct bytes a, const struct key_info *k)
{
    struct bytes list = { 0 };
    if (!attributes_find(a, ATTRIBUTES_ALLOWED_MECHANISMS, &list)) {
        return true;
    }
    if (list.size != 8u * (size_t)k->mech_count) {
        return false;
    }
    for (unsigned i = 0; i < k->mech_count; i++) {
        if (get_u64(list.data + 8u * (size_t)i) != k->mech[i]) {
            return false;
        }
    }
    return true;
}

static bool has_template(struct bytes a)
{
    struct bytes v = { 0 };
    return attributes_find(a, ATTRIBUTES_WRAP_TEMPLATE, &v) ||
           attributes_find(a, ATTRIBUTES_UNWRAP_TEMPLATE, &v) ||
           attributes_find(a, ATTRIBUTES_DERIVE_TEMPLATE, &v);
}

static enum err same_as_k(struct bytes a, uint64_t class, const struct key_info *k)
{
    uint64_t type = k->type;
    (void)attributes_find_u64(a, ATTRIBUTES_KEY_TYPE, &type);
    if (class != k->class || type != k->type || !same_mechanisms(a, k)) {
        return ERR_BAD_CONTENT;
    }
    if (!same_bits(a, k->usage, ATTRIBUTES_ENCRYPT, NULL, 9)) {
        return ERR_BAD_CONTENT;
    }
    if (!same_bits(a, k->flags, 0, flag_attribute,
                   sizeof(flag_attribute) / sizeof(flag_attribute[0]))) {
        return ERR_BAD_CONTENT;
    }
    return has_template(a) == ((k->flags & SEAL_HAS_TEMPLATE) != 0) ? ERR_OK : ERR_BAD_CONTENT;
}

static bool class_fits(unsigned kind, uint64_t class)
{
    if (kind == BLOB_PUBLIC) {
        return class <= SEAL_CLASS_PUBLIC;
    }
    if (kind == BLOB_SYSTEM) {
        return class == SEAL_CLASS_PRIVATE || class == SEAL_CLASS_SECRET;
    }
    return class <= SEAL_CLASS_SECRET;
}

enum err seal_a_check(unsigned kind, struct bytes a, const struct key_info *k)
{
    const bool public = kind == BLOB_PUBLIC;
    uint64_t class = 0;
    bool token = kind != BLOB_SESSION;
    bool private = !public;
    TRY(attributes_check(a, public));
    if (!attributes_find_u64(a, ATTRIBUTES_CLASS, &class) || !class_fits(kind, class)) {
        return ERR_BAD_CONTENT;
    }
    (void)attributes_find_bool(a, ATTRIBUTES_TOKEN, &token);
    (void)attributes_find_bool(a, ATTRIBUTES_PRIVATE, &private);
    if (token != (kind != BLOB_SESSION) || private == public) {
        return ERR_BAD_CONTENT;
    }
    return k == NULL ? ERR_OK : same_as_k(a, class, k);
}

/* ---- Per-key authorization ---- */

enum err seal_pka_make(struct bytes auth_data, const uint8_t salt[16], uint8_t out[SEAL_PKA])
{
    KEY_SCOPED(verifier);
    TRY(crypt_hk(auth_data, bytes_of(salt, 16), "pka", bytes_of(NULL, 0), verifier,
                 sizeof(verifier)));
    memcpy(out, salt, 16);
    memcpy(out + 16, verifier, sizeof(verifier));
    return ERR_OK;
}

enum err seal_pka_check(struct bytes auth_data, const uint8_t pka[SEAL_PKA])
{
    uint8_t made[SEAL_PKA];
    TRY(seal_pka_make(auth_data, pka, made));
    const bool same = secret_equal(bytes_of(made, sizeof(made)), bytes_of(pka, SEAL_PKA));
    bytes_wipe(made, sizeof(made));
    return same ? ERR_OK : ERR_PIN_INCORRECT;
}
