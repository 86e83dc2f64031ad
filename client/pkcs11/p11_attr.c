/* SPDX-License-Identifier: Apache-2.0 */
/* CK_ATTRIBUTE arrays and our attribute lists (proto/template.h). */
#include "client/pkcs11/p11.h"

#include <string.h>

#include "proto/template.h"

enum kind { KIND_RAW, KIND_BOOL, KIND_ULONG, KIND_ULONGS, KIND_REFUSED };

static const struct {
    CK_ATTRIBUTE_TYPE type;
    enum kind kind;
} kinds[] = {
    { CKA_CLASS, KIND_ULONG },
    { CKA_TOKEN, KIND_BOOL },
    { CKA_PRIVATE, KIND_BOOL },
    { CKA_CERTIFICATE_TYPE, KIND_ULONG },
    { CKA_TRUSTED, KIND_BOOL },
    { CKA_CERTIFICATE_CATEGORY, KIND_ULONG },
    { CKA_JAVA_MIDP_SECURITY_DOMAIN, KIND_ULONG },
    { CKA_KEY_TYPE, KIND_ULONG },
    { CKA_SENSITIVE, KIND_BOOL },
    { CKA_ENCRYPT, KIND_BOOL },
    { CKA_DECRYPT, KIND_BOOL },
    { CKA_WRAP, KIND_BOOL },
    { CKA_UNWRAP, KIND_BOOL },
    { CKA_SIGN, KIND_BOOL },
    { CKA_SIGN_RECOVER, KIND_BOOL },
    { CKA_VERIFY, KIND_BOOL },
    { CKA_VERIFY_RECOVER, KIND_BOOL },
    { CKA_DERIVE, KIND_BOOL },
    { CKA_MODULUS_BITS, KIND_ULONG },
    { CKA_VALUE_LEN, KIND_ULONG },
    { CKA_VALUE_BITS, KIND_ULONG },
    { CKA_EXTRACTABLE, KIND_BOOL },
    { CKA_LOCAL, KIND_BOOL },
    { CKA_NEVER_EXTRACTABLE, KIND_BOOL },
    { CKA_ALWAYS_SENSITIVE, KIND_BOOL },
    { CKA_KEY_GEN_MECHANISM, KIND_ULONG },
    { CKA_MODIFIABLE, KIND_BOOL },
    { CKA_COPYABLE, KIND_BOOL },
    { CKA_DESTROYABLE, KIND_BOOL },
    { CKA_ALWAYS_AUTHENTICATE, KIND_BOOL },
    { CKA_WRAP_WITH_TRUSTED, KIND_BOOL },
    { CKA_ALLOWED_MECHANISMS, KIND_ULONGS },
    /* Templates within templates come with wrapping. */
    { CKA_WRAP_TEMPLATE, KIND_REFUSED },
    { CKA_UNWRAP_TEMPLATE, KIND_REFUSED },
    { CKA_DERIVE_TEMPLATE, KIND_REFUSED },
};

static enum kind kind_of(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].type == type) {
            return kinds[i].kind;
        }
    }
    return KIND_RAW;
}

static const CK_ATTRIBUTE_TYPE secret_types[] = { CKA_VALUE,      CKA_PRIVATE_EXPONENT,
                                                  CKA_PRIME_1,    CKA_PRIME_2,
                                                  CKA_EXPONENT_1, CKA_EXPONENT_2,
                                                  CKA_COEFFICIENT };

static bool is_secret_type(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < sizeof(secret_types) / sizeof(secret_types[0]); i++) {
        if (secret_types[i] == type) {
            return true;
        }
    }
    return false;
}

const CK_ATTRIBUTE *p11_attr_find(const CK_ATTRIBUTE *attributes,
                                  CK_ULONG count,
                                  CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (attributes[i].type == type) {
            return &attributes[i];
        }
    }
    return NULL;
}

/* The caller's CK_ULONGs, which may lie unaligned, as u64. */
static CK_RV put_ulongs(const CK_ATTRIBUTE *a, struct buf *out)
{
    BUF_SCOPED list = { 0 };
    const size_t count = a->ulValueLen / sizeof(CK_ULONG);
    for (size_t i = 0; i < count; i++) {
        CK_ULONG number = 0;
        uint8_t bytes[8];
        memcpy(&number, (const uint8_t *)a->pValue + i * sizeof(CK_ULONG), sizeof(number));
        put_u64(bytes, number);
        if (buf_append(&list, bytes_of(bytes, sizeof(bytes)), LIMIT_TEMPLATE) != ERR_OK) {
            return CKR_HOST_MEMORY;
        }
    }
    return rv_from_err((int)template_put(out, (uint32_t)a->type, buf_bytes(&list)));
}

static CK_RV put_one(const CK_ATTRIBUTE *a, struct buf *out)
{
    const enum kind kind = kind_of(a->type);
    struct bytes old = { 0 };
    if (kind == KIND_REFUSED || a->type > UINT32_MAX) {
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if ((a->pValue == NULL && a->ulValueLen != 0) || a->ulValueLen > LIMIT_TEMPLATE) {
        return CKR_ATTRIBUTE_VALUE_INVALID;
    }
    if (template_get(buf_bytes(out), (uint32_t)a->type, &old) == ERR_OK) {
        return CKR_TEMPLATE_INCONSISTENT; /* twice, with the same value or not */
    }
    if (kind == KIND_BOOL) {
        const uint8_t *value = a->pValue;
        if (a->ulValueLen != sizeof(CK_BBOOL) || value[0] > 1) {
            return CKR_ATTRIBUTE_VALUE_INVALID;
        }
        return rv_from_err((int)template_put_bool(out, (uint32_t)a->type, value[0] == 1));
    }
    if (kind == KIND_ULONG && a->ulValueLen != sizeof(CK_ULONG)) {
        return CKR_ATTRIBUTE_VALUE_INVALID;
    }
    if (kind == KIND_ULONG || kind == KIND_ULONGS) {
        return a->ulValueLen % sizeof(CK_ULONG) == 0 ? put_ulongs(a, out)
                                                     : CKR_ATTRIBUTE_VALUE_INVALID;
    }
    return rv_from_err(
        (int)template_put(out, (uint32_t)a->type, bytes_of(a->pValue, a->ulValueLen)));
}

CK_RV p11_attr_to_tlv(const CK_ATTRIBUTE *attributes,
                      CK_ULONG count,
                      p11_skip_cb skip,
                      struct buf *out)
{
    if (attributes == NULL && count > 0) {
        return CKR_ARGUMENTS_BAD;
    }
    if (count > LIMIT_ATTRIBUTES) {
        return CKR_TEMPLATE_INCONSISTENT;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        if (skip != NULL && skip(attributes[i].type)) {
            continue;
        }
        CK_RV rv = put_one(&attributes[i], out);
        if (rv != CKR_OK) {
            return rv;
        }
    }
    return CKR_OK;
}

/* The value as the caller wants it: u64 lists become CK_ULONGs. */
static size_t native_size(enum kind kind, struct bytes value)
{
    return kind == KIND_ULONG || kind == KIND_ULONGS ? value.size / 8 * sizeof(CK_ULONG)
                                                     : value.size;
}

static void native_copy(enum kind kind, struct bytes value, void *out)
{
    if (kind != KIND_ULONG && kind != KIND_ULONGS) {
        memcpy(out, value.data, value.size);
        return;
    }
    for (size_t i = 0; i < value.size / 8; i++) {
        const CK_ULONG number = (CK_ULONG)get_u64(value.data + i * 8);
        memcpy((uint8_t *)out + i * sizeof(number), &number, sizeof(number));
    }
}

CK_RV p11_attr_fill(struct bytes tlv, bool is_key, CK_ATTRIBUTE *a)
{
    struct bytes value = { 0 };
    if (is_key && is_secret_type(a->type)) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_SENSITIVE;
    }
    if (a->type > UINT32_MAX || template_get(tlv, (uint32_t)a->type, &value) != ERR_OK) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    const enum kind kind = kind_of(a->type);
    const size_t size = native_size(kind, value);
    if (a->pValue == NULL) {
        a->ulValueLen = size;
        return CKR_OK;
    }
    if (a->ulValueLen < size) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (size > 0) {
        native_copy(kind, value, a->pValue);
    }
    a->ulValueLen = size;
    return CKR_OK;
}

bool p11_attr_match(struct bytes tlv, const CK_ATTRIBUTE *a)
{
    BUF_SCOPED wanted = { 0 };
    struct bytes value = { 0 };
    struct bytes want = { 0 };
    if (a->type > UINT32_MAX || put_one(a, &wanted) != CKR_OK) {
        return false; /* an attribute nobody can have matches nothing */
    }
    return template_get(tlv, (uint32_t)a->type, &value) == ERR_OK &&
           template_get(buf_bytes(&wanted), (uint32_t)a->type, &want) == ERR_OK &&
           bytes_equal(value, want);
}
