/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives against tests/vectors/suite1-vectors.json and the RFCs. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypt.h"

enum { ROOM = 4096 };

static json_t *vectors;

static void load_vectors(void)
{
    const char *path = getenv("RINGKEEP_VECTORS");
    json_error_t why;
    vectors = json_load_file(path == NULL ? "tests/vectors/suite1-vectors.json" : path, 0, &why);
    cr_assert_not_null(vectors, "%s", why.text);
}

static void drop_vectors(void)
{
    json_decref(vectors);
}

/* Bytes of a hex text, in room that the caller gives. */
static struct bytes unhex(const char *text, uint8_t room[ROOM])
{
    const size_t size = strlen(text) / 2;
    cr_assert_leq(size, (size_t)ROOM);
    cr_assert_eq(hex_to(text, room, size), ERR_OK, "%s", text);
    return bytes_of(room, size);
}

static struct bytes field(const json_t *object, const char *name, uint8_t room[ROOM])
{
    const char *text = json_string_value(json_object_get(object, name));
    cr_assert_not_null(text, "no field %s", name);
    return unhex(text, room);
}

static bool same(const void *out, struct bytes expected)
{
    return memcmp(out, expected.data, expected.size) == 0;
}

TestSuite(vectors, .init = load_vectors, .fini = drop_vectors, .timeout = 20);

Test(vectors, hk, .timeout = 20)
{
    static uint8_t key[ROOM], salt[ROOM], ctx[ROOM], want[ROOM];
    const json_t *cases = json_object_get(vectors, "hk");
    uint8_t out[256];
    cr_assert_gt(json_array_size(cases), 0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const size_t n = (size_t)json_integer_value(json_object_get(c, "n"));
        const char *label = json_string_value(json_object_get(c, "label_text"));
        const struct bytes expected = field(c, "out", want);
        cr_assert(n <= sizeof(out) && n == expected.size);
        cr_assert_eq(crypt_hk(field(c, "key", key), field(c, "salt", salt), label,
                              field(c, "ctx", ctx), out, n),
                     ERR_OK);
        cr_expect(same(out, expected), "hk case %zu", i);
    }
}

static void check_xaes(const json_t *c, size_t number)
{
    static uint8_t key[ROOM], nonce[ROOM], aad[ROOM], text[ROOM], want[ROOM], k[ROOM], out[ROOM];
    uint8_t tag[CRYPT_TAG];
    struct xaes_seal_key derived;
    struct xaes *x = NULL;
    const struct bytes expected = field(c, "out", want);
    const struct bytes plain = field(c, "plain", text);
    const struct bytes extra = field(c, "aad", aad);
    field(c, "key", key);
    field(c, "nonce", nonce);
    cr_assert_eq(expected.size, plain.size + CRYPT_TAG);
    cr_assert_eq(xaes_open(key, &x), ERR_OK);
    cr_assert_eq(xaes_derive(x, nonce, &derived), ERR_OK);
    cr_expect(same(derived.kx, field(c, "kx", k)), "kx of case %zu", number);
    cr_expect_eq(memcmp(derived.iv, nonce + 12, 12), 0);
    for (int round = 0; round < 2; round++) {
        memset(out, 0, sizeof(out));
        cr_assert_eq(xaes_seal(x, nonce, extra, plain, out, tag), ERR_OK);
        cr_expect(same(out, bytes_of(want, plain.size)), "text of case %zu", number);
        cr_expect(same(tag, bytes_of(want + plain.size, CRYPT_TAG)), "tag of case %zu", number);
        cr_assert_eq(xaes_unseal(x, nonce, extra, bytes_of(want, plain.size), tag, out), ERR_OK);
        cr_expect(same(out, plain));
    }
    cr_assert_eq(xaes_seal_once(key, nonce, extra, plain, out, tag), ERR_OK);
    cr_expect(same(out, bytes_of(want, plain.size)));
    cr_assert_eq(gcm_unseal(derived.kx, derived.iv, extra, bytes_of(want, plain.size), tag, out),
                 ERR_OK);
    cr_expect(same(out, plain));
    xaes_close(x);
}

Test(vectors, xaes, .timeout = 20)
{
    const json_t *cases = json_object_get(vectors, "xaes");
    cr_assert_gt(json_array_size(cases), 0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        check_xaes(json_array_get(cases, i), i);
    }
}

Test(vectors, nonce_mix, .timeout = 20)
{
    static uint8_t nonce[ROOM], want[ROOM];
    const json_t *c = json_object_get(vectors, "nonce_mix");
    const char *ns = json_string_value(json_object_get(c, "clock_realtime_ns"));
    const struct bytes expected = field(c, "nonce", want);
    cr_assert_eq(field(c, "random", nonce).size, expected.size);
    crypt_nonce_mix(nonce, strtoull(ns, NULL, 10));
    cr_expect(same(nonce, expected));
}

Test(xaes, a_wrong_bit_anywhere_is_a_bad_tag_and_leaves_nothing, .timeout = 20)
{
    const uint8_t key[CRYPT_KEY] = { 1 };
    uint8_t nonce[CRYPT_NONCE] = { 2 };
    uint8_t aad[5] = { 3 };
    uint8_t sealed[40];
    uint8_t tag[CRYPT_TAG];
    uint8_t out[40];
    struct xaes *x = NULL;
    uint8_t *const parts[] = { nonce, aad, sealed, tag };
    const size_t sizes[] = { sizeof(nonce), sizeof(aad), sizeof(sealed), sizeof(tag) };
    const struct bytes extra = bytes_of(aad, sizeof(aad));
    const struct bytes body = bytes_of(sealed, sizeof(sealed));
    memset(out, 0x5a, sizeof(out));
    cr_assert_eq(xaes_open(key, &x), ERR_OK);
    cr_assert_eq(xaes_seal(x, nonce, extra, bytes_of(out, sizeof(out)), sealed, tag), ERR_OK);
    for (size_t p = 0; p < 4; p++) {
        for (size_t i = 0; i < sizes[p]; i++) {
            parts[p][i] ^= 0x10;
            memset(out, 0x77, sizeof(out));
            cr_expect_eq(xaes_unseal(x, nonce, extra, body, tag, out), ERR_BAD_TAG);
            cr_expect(bytes_all_zero(bytes_of(out, sizeof(out))));
            parts[p][i] ^= 0x10;
        }
    }
    cr_expect_eq(xaes_unseal(x, nonce, extra, body, tag, out), ERR_OK);
    cr_expect_eq(out[39], 0x5a);
    cr_expect_eq(xaes_unseal_once(key, nonce, extra, body, tag, out), ERR_OK);
    tag[0] ^= 1;
    cr_expect_eq(xaes_unseal_once(key, nonce, extra, body, tag, out), ERR_BAD_TAG);
    cr_expect(bytes_all_zero(bytes_of(out, sizeof(out))));
    xaes_close(x);
    xaes_close(NULL);
}

Test(xaes, sections_of_one_seal_share_a_derived_key, .timeout = 20)
{
    const uint8_t key[CRYPT_KEY] = { 9 };
    uint8_t nonce[CRYPT_NONCE] = { 8 };
    uint8_t sealed[3], expected[3], out[3];
    uint8_t tag[CRYPT_TAG], expected_tag[CRYPT_TAG];
    struct xaes_seal_key k;
    struct xaes *x = NULL;
    const struct bytes text = bytes_of_text("abc");
    const struct bytes aad = bytes_of_text("header");
    cr_assert_eq(xaes_open(key, &x), ERR_OK);
    nonce[23] = 'A';
    cr_assert_eq(xaes_derive(x, nonce, &k), ERR_OK);
    nonce[23] = 'K';
    k.iv[11] = 'K';
    cr_assert_eq(xaes_section_seal(x, &k, aad, text, sealed, tag), ERR_OK);
    cr_assert_eq(xaes_seal(x, nonce, aad, text, expected, expected_tag), ERR_OK);
    cr_expect_eq(memcmp(sealed, expected, 3), 0);
    cr_expect_eq(memcmp(tag, expected_tag, CRYPT_TAG), 0);
    cr_expect_eq(xaes_section_unseal(x, &k, aad, bytes_of(sealed, 3), tag, out), ERR_OK);
    cr_expect_eq(memcmp(out, "abc", 3), 0);
    k.iv[11] = 'A';
    cr_expect_eq(xaes_section_unseal(x, &k, aad, bytes_of(sealed, 3), tag, out), ERR_BAD_TAG);
    xaes_close(x);
}

/* SP 800-38D revised, AES-256, case 14 and its empty sibling 13. */
Test(gcm, known_answers, .timeout = 20)
{
    const uint8_t zeros[32] = { 0 };
    uint8_t out[16], tag[CRYPT_TAG];
    char text[33];
    cr_assert_eq(gcm_seal(zeros, zeros, bytes_of(NULL, 0), bytes_of(NULL, 0), out, tag), ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(tag, 16), text), "530f8afbc74536b9a963b4f1c4cb738b");
    cr_assert_eq(gcm_seal(zeros, zeros, bytes_of(NULL, 0), bytes_of(zeros, 16), out, tag), ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(out, 16), text), "cea7403d4d606b6e074ec5d3baf39d18");
    cr_expect_str_eq(hex_from(bytes_of(tag, 16), text), "d0d1c8a799996bf0265b98b5d48ab919");
    cr_expect_eq(gcm_unseal(zeros, zeros, bytes_of("x", 1), bytes_of(out, 16), tag, out),
                 ERR_BAD_TAG);
}

/* RFC 5869, A.1 and A.3. */
Test(hkdf, rfc_5869, .timeout = 20)
{
    static uint8_t salt[ROOM], info[ROOM];
    uint8_t ikm[22], prk[32], out[42];
    char text[85];
    memset(ikm, 0x0b, sizeof(ikm));
    cr_assert_eq(
        crypt_hkdf_extract(unhex("000102030405060708090a0b0c", salt), bytes_of(ikm, 22), prk),
        ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(prk, 32), text),
                     "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    cr_assert_eq(crypt_hkdf_expand(prk, unhex("f0f1f2f3f4f5f6f7f8f9", info), out, 42), ERR_OK);
    cr_expect_str_eq(
        hex_from(bytes_of(out, 42), text),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    cr_assert_eq(crypt_hkdf_extract(bytes_of(NULL, 0), bytes_of(ikm, 22), prk), ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(prk, 32), text),
                     "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
    cr_assert_eq(crypt_hkdf_expand(prk, bytes_of(NULL, 0), out, 42), ERR_OK);
    cr_expect_str_eq(
        hex_from(bytes_of(out, 42), text),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

Test(hkdf, info_has_a_bound, .timeout = 20)
{
    static const uint8_t long_info[1025];
    uint8_t key[32] = { 0 };
    uint8_t out[32];
    cr_expect_eq(crypt_hkdf_expand(key, bytes_of(long_info, 1024), out, 32), ERR_OK);
    cr_expect_eq(crypt_hkdf_expand(key, bytes_of(long_info, 1025), out, 32), ERR_TOO_LARGE);
    cr_expect_eq(
        crypt_hk(bytes_of(key, 32), bytes_of(NULL, 0), "id", bytes_of(long_info, 1010), out, 32),
        ERR_OK);
    cr_expect_eq(
        crypt_hk(bytes_of(key, 32), bytes_of(NULL, 0), "id", bytes_of(long_info, 1011), out, 32),
        ERR_TOO_LARGE);
}

/* RFC 4231, case 2; and the empty key, FIPS 198. */
Test(hmac, known_answers, .timeout = 20)
{
    uint8_t out[32];
    char text[65];
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(crypt_hmac_sha256(bytes_of_text("Jefe"),
                                       bytes_of_text("what do ya want for nothing?"), out),
                     ERR_OK);
        cr_expect_str_eq(hex_from(bytes_of(out, 32), text),
                         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        cr_assert_eq(crypt_hmac_sha256(bytes_of(NULL, 0), bytes_of(NULL, 0), out), ERR_OK);
        cr_expect_str_eq(hex_from(bytes_of(out, 32), text),
                         "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    }
}

/* RFC 7748, 6.1. */
Test(x25519, rfc_7748, .timeout = 20)
{
    static uint8_t a[ROOM], b[ROOM];
    uint8_t pub_a[32], pub_b[32], out[32];
    char text[65];
    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a);
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b);
    cr_assert_eq(x25519_public(a, pub_a), ERR_OK);
    cr_assert_eq(x25519_public(b, pub_b), ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(pub_a, 32), text),
                     "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    cr_expect_str_eq(hex_from(bytes_of(pub_b, 32), text),
                     "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    cr_assert_eq(x25519_shared(a, pub_b, out), ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(out, 32), text),
                     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    cr_assert_eq(x25519_shared(b, pub_a, out), ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(out, 32), text),
                     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

Test(x25519, a_point_of_small_order_is_refused, .timeout = 20)
{
    const uint8_t priv[32] = { 7 };
    const uint8_t zero[32] = { 0 };
    const uint8_t one[32] = { 1 };
    uint8_t out[32];
    cr_expect_eq(x25519_shared(priv, zero, out), ERR_REFUSED);
    cr_expect_eq(x25519_shared(priv, one, out), ERR_REFUSED);
    cr_expect(bytes_all_zero(bytes_of(out, 32)));
}

struct ed_case {
    const char *priv, *pub, *message, *sig;
};

/* RFC 8032, 7.1, tests 1 to 3. */
static const struct ed_case ed_cases[] = {
    { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
      "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
    { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
    { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
      "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a" },
};

Test(ed25519, rfc_8032, .timeout = 20)
{
    static uint8_t priv[ROOM], pub[ROOM], message[ROOM], want[ROOM];
    for (size_t i = 0; i < sizeof(ed_cases) / sizeof(ed_cases[0]); i++) {
        uint8_t sig[64], own[32];
        const struct bytes text = unhex(ed_cases[i].message, message);
        unhex(ed_cases[i].priv, priv);
        cr_assert_eq(ed25519_public(priv, own), ERR_OK);
        cr_expect(same(own, unhex(ed_cases[i].pub, pub)));
        cr_assert_eq(ed25519_sign(priv, text, sig), ERR_OK);
        cr_expect(same(sig, unhex(ed_cases[i].sig, want)));
        cr_expect_eq(ed25519_verify(pub, text, sig), ERR_OK);
        cr_expect_eq(ed25519_verify(pub, bytes_of_text("other"), sig), ERR_BAD_TAG);
        sig[5] ^= 1;
        cr_expect_eq(ed25519_verify(pub, text, sig), ERR_BAD_TAG);
    }
}

/* RFC 7914, 12, the case with r = 8 and p = 1 that is no gigabyte. */
Test(scrypt, rfc_7914, .timeout = 20)
{
    uint8_t out[64];
    char text[129];
    cr_assert_eq(
        crypt_scrypt(bytes_of_text("pleaseletmein"), bytes_of_text("SodiumChloride"), 14, out, 64),
        ERR_OK);
    cr_expect_str_eq(hex_from(bytes_of(out, 64), text),
                     "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
                     "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

Test(scrypt, bounds, .timeout = 20)
{
    uint8_t out[32];
    const struct bytes salt = bytes_of_text("0123456789abcdef");
    cr_expect_eq(crypt_scrypt(bytes_of_text("p"), salt, 17, out, 32), ERR_OK,
                 "past OpenSSL's 32 MiB");
    cr_expect_eq(crypt_scrypt(bytes_of(NULL, 0), bytes_of(NULL, 0), 1, out, 32), ERR_OK);
    cr_expect_eq(crypt_scrypt(bytes_of_text("p"), salt, 0, out, 32), ERR_UNSUPPORTED);
    cr_expect_eq(crypt_scrypt(bytes_of_text("p"), salt, 21, out, 32), ERR_UNSUPPORTED);
    cr_expect_eq(crypt_scrypt(bytes_of_text("p"), salt, 64, out, 32), ERR_UNSUPPORTED);
}

Test(random, nonces_differ_and_fill_their_size, .timeout = 20)
{
    uint8_t a[24] = { 0 };
    uint8_t b[24] = { 0 };
    cr_assert_eq(crypt_nonce(a, 23), ERR_OK);
    cr_assert_eq(crypt_nonce(b, 24), ERR_OK);
    cr_expect_neq(memcmp(a, b, 23), 0);
    cr_expect_eq(a[23], 0, "only what was asked for");
    cr_expect_eq(crypt_random(a, 0), ERR_OK);
    cr_assert_eq(crypt_random(a, 24), ERR_OK);
    cr_expect_neq(memcmp(a, b, 24), 0);
}

Test(host, openssl_errors_of_the_host_stay_and_ours_do_not, .timeout = 20)
{
    const uint8_t key[CRYPT_KEY] = { 1 };
    const uint8_t nonce[CRYPT_NONCE] = { 1 };
    const uint8_t tag[CRYPT_TAG] = { 1 };
    uint8_t out[1];
    cr_assert_eq(crypt_init_guest(), ERR_OK);
    cr_assert_eq(crypt_init(), ERR_OK);
    ERR_raise(ERR_LIB_USER, 77);
    cr_expect_eq(xaes_unseal_once(key, nonce, bytes_of(NULL, 0), bytes_of("x", 1), tag, out),
                 ERR_BAD_TAG);
    cr_expect_eq(x25519_shared(key, (const uint8_t[32]){ 0 }, (uint8_t[32]){ 0 }), ERR_REFUSED);
    cr_expect_eq(ERR_GET_REASON(ERR_get_error()), 77);
    cr_expect_eq(ERR_get_error(), 0);
    cr_expect_eq(xaes_unseal_once(key, nonce, bytes_of(NULL, 0), bytes_of("x", 1), tag, out),
                 ERR_BAD_TAG);
    cr_expect_eq(ERR_get_error(), 0);
}
