/* SPDX-License-Identifier: Apache-2.0 */
/* The module's conversions: templates, attribute values, parameters, material. */
#include <criterion/criterion.h>
#include <string.h>

#include "client/pkcs11/p11.h"
#include "proto/mechanism.h"
#include "proto/template.h"

static CK_BBOOL yes = CK_TRUE;
static CK_ULONG class_number = CKO_SECRET_KEY;

static CK_RV convert(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    BUF_SCOPED out = { 0 };
    return p11_attr_to_tlv(attributes, count, NULL, &out);
}

Test(p11_attr, a_template_becomes_an_ordered_list, .timeout = 10)
{
    BUF_SCOPED out = { 0 };
    CK_BYTE id[] = { 1, 2 };
    const CK_ATTRIBUTE list[] = { { CKA_ID, id, 2 },
                                  { CKA_TOKEN, &yes, 1 },
                                  { CKA_CLASS, &class_number, sizeof(class_number) } };
    uint64_t number = 0;
    cr_assert_eq(p11_attr_to_tlv(list, 3, NULL, &out), CKR_OK);
    cr_expect_eq(template_check(buf_bytes(&out)), ERR_OK);
    cr_expect_eq(template_get_u64(buf_bytes(&out), CKA_CLASS, &number), ERR_OK);
    cr_expect_eq(number, CKO_SECRET_KEY);
}

Test(p11_attr, wrong_values_are_refused_by_name, .timeout = 10)
{
    CK_BBOOL two = 2;
    CK_BYTE eight[8] = { 0 };
    const struct {
        CK_ATTRIBUTE attribute;
        CK_RV rv;
    } rows[] = {
        { { CKA_SIGN, &two, 1 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_SIGN, eight, 8 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_SIGN, NULL, 1 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_LABEL, NULL, 5 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_CLASS, eight, 4 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_LABEL, eight, (CK_ULONG)-1 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_ALLOWED_MECHANISMS, eight, 7 }, CKR_ATTRIBUTE_VALUE_INVALID },
        { { CKA_WRAP_TEMPLATE, eight, 8 }, CKR_ATTRIBUTE_TYPE_INVALID },
        { { (CK_ATTRIBUTE_TYPE)1 << 40, eight, 8 }, CKR_ATTRIBUTE_TYPE_INVALID },
        { { CKA_LABEL, NULL, 0 }, CKR_OK },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(convert(&rows[i].attribute, 1), rows[i].rv, "row %zu", i);
    }
    const CK_ATTRIBUTE twice[] = { { CKA_SIGN, &yes, 1 }, { CKA_SIGN, &yes, 1 } };
    cr_expect_eq(convert(twice, 2), CKR_TEMPLATE_INCONSISTENT);
    cr_expect_eq(convert(NULL, 1), CKR_ARGUMENTS_BAD);
    cr_expect_eq(convert(twice, LIMIT_ATTRIBUTES + 1), CKR_TEMPLATE_INCONSISTENT);
}

Test(p11_attr, values_are_filled_as_the_standard_says, .timeout = 10)
{
    BUF_SCOPED list = { 0 };
    CK_BYTE room[8];
    CK_ATTRIBUTE a = { CKA_LABEL, NULL, 0 };
    cr_assert_eq(template_put(&list, CKA_LABEL, bytes_of_text("label")), ERR_OK);
    cr_assert_eq(template_put_u64(&list, CKA_CLASS, 3), ERR_OK);
    cr_expect_eq(p11_attr_fill(buf_bytes(&list), false, &a), CKR_OK);
    cr_expect_eq(a.ulValueLen, 5);
    a.pValue = room;
    a.ulValueLen = 4;
    cr_expect_eq(p11_attr_fill(buf_bytes(&list), false, &a), CKR_BUFFER_TOO_SMALL);
    cr_expect_eq(a.ulValueLen, CK_UNAVAILABLE_INFORMATION);
    a.ulValueLen = 8;
    cr_expect_eq(p11_attr_fill(buf_bytes(&list), false, &a), CKR_OK);
    cr_expect_eq(a.ulValueLen, 5);
    a = (CK_ATTRIBUTE){ CKA_VALUE, room, 8 };
    cr_expect_eq(p11_attr_fill(buf_bytes(&list), true, &a), CKR_ATTRIBUTE_SENSITIVE);
    cr_expect_eq(p11_attr_fill(buf_bytes(&list), false, &a), CKR_ATTRIBUTE_TYPE_INVALID);
    cr_expect_eq(a.ulValueLen, CK_UNAVAILABLE_INFORMATION);
}

Test(p11_attr, an_attribute_that_nobody_can_have_matches_nothing, .timeout = 10)
{
    BUF_SCOPED list = { 0 };
    CK_BBOOL two = 2;
    const CK_ATTRIBUTE odd = { CKA_SIGN, &two, 1 };
    const CK_ATTRIBUTE even = { CKA_SIGN, &yes, 1 };
    cr_assert_eq(template_put_bool(&list, CKA_SIGN, true), ERR_OK);
    cr_expect(p11_attr_match(buf_bytes(&list), &even));
    cr_expect_not(p11_attr_match(buf_bytes(&list), &odd));
}

Test(p11_param, a_short_structure_is_refused_unread, .timeout = 10)
{
    static const CK_MECHANISM_TYPE types[] = { CKM_AES_GCM, CKM_AES_CBC, CKM_RSA_PKCS_PSS,
                                               CKM_RSA_PKCS_OAEP };
    CK_BYTE one = 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        BUF_SCOPED out = { 0 };
        const CK_MECHANISM m = { types[i], &one, 1 };
        const CK_MECHANISM none = { types[i], NULL, 64 };
        cr_expect_eq(p11_param_encode(&m, &out), CKR_MECHANISM_PARAM_INVALID);
        cr_expect_eq(p11_param_encode(&none, &out), CKR_MECHANISM_PARAM_INVALID);
    }
}

Test(p11_material, numbers_are_padded_to_the_key_and_never_cut, .timeout = 10)
{
    CK_ULONG rsa = CKK_RSA;
    CK_BYTE modulus[257] = { 0, 0x80 }; /* a leading zero, as DER has it */
    CK_BYTE small[] = { 1, 0, 1 };
    CK_BYTE half[129];
    memset(half, 0xff, sizeof(half));
    CK_ATTRIBUTE list[] = {
        { CKA_KEY_TYPE, &rsa, sizeof(rsa) }, { CKA_MODULUS, modulus, sizeof(modulus) },
        { CKA_PUBLIC_EXPONENT, small, 3 },   { CKA_PRIVATE_EXPONENT, small, 3 },
        { CKA_PRIME_1, small, 3 },           { CKA_PRIME_2, small, 3 },
        { CKA_EXPONENT_1, small, 3 },        { CKA_EXPONENT_2, small, 3 },
        { CKA_COEFFICIENT, small, 3 },
    };
    BUF_SCOPED out = { 0 };
    cr_assert_eq(p11_material_encode(list, 9, &out), CKR_OK);
    cr_assert_eq(out.size, 256 + 8 + 256 + 5 * 128);
    cr_expect_eq(out.data[0], 0x80);
    cr_expect_eq(out.data[256 + 5], 1);
    cr_expect_eq(out.data[256 + 8 + 255], 1);
    list[4] = (CK_ATTRIBUTE){ CKA_PRIME_1, half, sizeof(half) };
    BUF_SCOPED more = { 0 };
    cr_expect_eq(p11_material_encode(list, 9, &more), CKR_ATTRIBUTE_VALUE_INVALID);
    list[4] = (CK_ATTRIBUTE){ CKA_PRIME_1, small, 3 };
    BUF_SCOPED less = { 0 };
    cr_expect_eq(p11_material_encode(list, 8, &less), CKR_TEMPLATE_INCOMPLETE);
}
