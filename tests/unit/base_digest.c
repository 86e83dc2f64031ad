/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 known answers and the sum of the replicated state. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/digest.h"

static void expect_hex(const uint8_t out[DIGEST_SIZE], const char *hex)
{
    char text[2 * DIGEST_SIZE + 1];
    cr_expect_str_eq(hex_from(bytes_of(out, DIGEST_SIZE), text), hex);
}

Test(digest, sha256_known_answers_in_pieces, .timeout = 20)
{
    uint8_t out[DIGEST_SIZE];
    const struct bytes abc[] = { bytes_of_text("a"), bytes_of(NULL, 0), bytes_of_text("bc") };
    digest_sha256(NULL, 0, out);
    expect_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256(abc, 3, out);
    expect_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(digest_sum, is_the_hash_of_table_size_key_value, .timeout = 20)
{
    uint8_t sum[DIGEST_SIZE] = { 0 };
    uint8_t expected[DIGEST_SIZE];
    const struct bytes row = bytes_of("keys\3\0\0\0abcvalue", 16);
    digest_sha256(&row, 1, expected);
    digest_sum_add(sum, "keys", bytes_of_text("abc"), bytes_of_text("value"));
    cr_expect_eq(memcmp(sum, expected, DIGEST_SIZE), 0);
}

Test(digest_sum, order_does_not_matter_and_sub_undoes_add, .timeout = 20)
{
    uint8_t up[DIGEST_SIZE] = { 0 };
    uint8_t down[DIGEST_SIZE] = { 0 };
    uint8_t key[4];
    for (uint32_t i = 0; i < 300; i++) {
        put_u32(key, i);
        digest_sum_add(up, "t", bytes_of(key, 4), bytes_of_text("v"));
        put_u32(key, 299 - i);
        digest_sum_add(down, "t", bytes_of(key, 4), bytes_of_text("v"));
    }
    cr_expect_eq(memcmp(up, down, DIGEST_SIZE), 0);
    for (uint32_t i = 0; i < 300; i++) {
        put_u32(key, i);
        digest_sum_sub(up, "t", bytes_of(key, 4), bytes_of_text("v"));
    }
    cr_expect(bytes_all_zero(bytes_of(up, DIGEST_SIZE)));
}

Test(digest_sum, goes_below_zero_and_comes_back, .timeout = 20)
{
    uint8_t sum[DIGEST_SIZE] = { 0 };
    digest_sum_sub(sum, "t", bytes_of_text("k"), bytes_of_text("v"));
    cr_expect_not(bytes_all_zero(bytes_of(sum, DIGEST_SIZE)));
    digest_sum_add(sum, "t", bytes_of_text("k"), bytes_of_text("v"));
    cr_expect(bytes_all_zero(bytes_of(sum, DIGEST_SIZE)));
}

Test(digest_sum, the_border_between_key_and_value_counts, .timeout = 20)
{
    uint8_t a[DIGEST_SIZE] = { 0 };
    uint8_t b[DIGEST_SIZE] = { 0 };
    digest_sum_add(a, "t", bytes_of_text("ab"), bytes_of_text("c"));
    digest_sum_add(b, "t", bytes_of_text("a"), bytes_of_text("bc"));
    cr_expect_neq(memcmp(a, b, DIGEST_SIZE), 0);
}
