/* SPDX-License-Identifier: Apache-2.0 */
/* Key material of an import: crypto-spec section 2, "key material raw". RSA: n k,
 * e 8, d k, p q dp dq qi h each; EC: private, 04||X||Y; secret: the bytes. Numbers
 * are big-endian and left-padded. */
#include "client/pkcs11/p11.h"

#include <string.h>

#define RSA_MAX_BYTES 1024u

static const CK_ATTRIBUTE_TYPE types[] = { CKA_VALUE,      CKA_PRIVATE_EXPONENT, CKA_PRIME_1,
                                           CKA_PRIME_2,    CKA_EXPONENT_1,       CKA_EXPONENT_2,
                                           CKA_COEFFICIENT };

bool p11_material_attribute(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i] == type) {
            return true;
        }
    }
    return false;
}

static CK_RV put_number(const CK_ATTRIBUTE *a, size_t size, struct buf *out)
{
    static const uint8_t zeros[RSA_MAX_BYTES];
    if (a == NULL) {
        return CKR_TEMPLATE_INCOMPLETE;
    }
    const uint8_t *at = a->pValue;
    size_t left = at == NULL ? 0 : a->ulValueLen;
    while (left > 0 && at[0] == 0) {
        at++;
        left--;
    }
    if (left == 0 || left > size) {
        return CKR_ATTRIBUTE_VALUE_INVALID;
    }
    if (buf_append(out, bytes_of(zeros, size - left), LIMIT_IMPORT_MATERIAL) != ERR_OK ||
        buf_append(out, bytes_of(at, left), LIMIT_IMPORT_MATERIAL) != ERR_OK) {
        return CKR_HOST_MEMORY;
    }
    return CKR_OK;
}

static size_t number_size(const CK_ATTRIBUTE *a)
{
    const uint8_t *at = a == NULL ? NULL : a->pValue;
    size_t left = at == NULL ? 0 : a->ulValueLen;
    while (left > 0 && at[0] == 0) {
        at++;
        left--;
    }
    return left;
}

static CK_RV encode_rsa(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct buf *out)
{
    static const struct {
        CK_ATTRIBUTE_TYPE type;
        char size; /* k, e or h */
    } parts[] = { { CKA_MODULUS, 'k' },          { CKA_PUBLIC_EXPONENT, 'e' },
                  { CKA_PRIVATE_EXPONENT, 'k' }, { CKA_PRIME_1, 'h' },
                  { CKA_PRIME_2, 'h' },          { CKA_EXPONENT_1, 'h' },
                  { CKA_EXPONENT_2, 'h' },       { CKA_COEFFICIENT, 'h' } };
    const size_t k = number_size(p11_attr_find(attributes, count, CKA_MODULUS));
    if (k == 0) {
        return CKR_TEMPLATE_INCOMPLETE;
    }
    if (k > RSA_MAX_BYTES) {
        return CKR_KEY_SIZE_RANGE;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const size_t size = parts[i].size == 'k' ? k : parts[i].size == 'e' ? 8 : (k + 1) / 2;
        CK_RV rv = put_number(p11_attr_find(attributes, count, parts[i].type), size, out);
        if (rv != CKR_OK) {
            return rv;
        }
    }
    return CKR_OK;
}

/* Size of a private scalar by the curve's OID in CKA_EC_PARAMS (RFC 5480). */
static size_t curve_size(const CK_ATTRIBUTE *params)
{
    static const struct {
        uint8_t oid[10];
        size_t oid_size, size;
    } curves[] = {
        { { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 10, 32 },
        { { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 }, 7, 48 },
        { { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 }, 7, 66 },
    };
    for (size_t i = 0; params != NULL && i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (bytes_equal(bytes_of(params->pValue, params->ulValueLen),
                        bytes_of(curves[i].oid, curves[i].oid_size))) {
            return curves[i].size;
        }
    }
    return 0;
}

/* The point, where given: raw, or in a DER OCTET STRING; the core derives and
 * compares it. Without it the private scalar goes alone. */
static CK_RV encode_ec(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct buf *out)
{
    const size_t size = curve_size(p11_attr_find(attributes, count, CKA_EC_PARAMS));
    const CK_ATTRIBUTE *point = p11_attr_find(attributes, count, CKA_EC_POINT);
    if (size == 0) {
        return CKR_DOMAIN_PARAMS_INVALID;
    }
    CK_RV rv = put_number(p11_attr_find(attributes, count, CKA_VALUE), size, out);
    if (rv != CKR_OK || point == NULL || point->pValue == NULL) {
        return rv;
    }
    const size_t raw = 1 + 2 * size;
    if (point->ulValueLen < raw || point->ulValueLen > raw + 3) {
        return CKR_ATTRIBUTE_VALUE_INVALID;
    }
    const uint8_t *start = (const uint8_t *)point->pValue + (point->ulValueLen - raw);
    return start[0] == 4
               ? rv_from_err((int)buf_append(out, bytes_of(start, raw), LIMIT_IMPORT_MATERIAL))
               : CKR_ATTRIBUTE_VALUE_INVALID;
}

static CK_RV encode_secret(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct buf *out)
{
    const CK_ATTRIBUTE *value = p11_attr_find(attributes, count, CKA_VALUE);
    if (value == NULL || value->pValue == NULL || value->ulValueLen == 0) {
        return CKR_TEMPLATE_INCOMPLETE;
    }
    return rv_from_err(
        (int)buf_append(out, bytes_of(value->pValue, value->ulValueLen), LIMIT_IMPORT_MATERIAL));
}

static CK_RV ulong_of(const CK_ATTRIBUTE *attributes,
                      CK_ULONG count,
                      CK_ATTRIBUTE_TYPE type,
                      CK_ULONG *out)
{
    const CK_ATTRIBUTE *a = p11_attr_find(attributes, count, type);
    if (a == NULL) {
        return CKR_TEMPLATE_INCOMPLETE;
    }
    if (a->pValue == NULL || a->ulValueLen != sizeof(*out)) {
        return CKR_ATTRIBUTE_VALUE_INVALID;
    }
    memcpy(out, a->pValue, sizeof(*out));
    return CKR_OK;
}

CK_RV p11_material_encode(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct buf *out)
{
    CK_ULONG type = 0;
    CK_RV rv = ulong_of(attributes, count, CKA_KEY_TYPE, &type);
    if (rv != CKR_OK) {
        return rv;
    }
    switch (type) {
        case CKK_RSA: return encode_rsa(attributes, count, out);
        case CKK_EC: return encode_ec(attributes, count, out);
        case CKK_AES:
        case CKK_GENERIC_SECRET: return encode_secret(attributes, count, out);
        default: return CKR_ATTRIBUTE_VALUE_INVALID;
    }
}
