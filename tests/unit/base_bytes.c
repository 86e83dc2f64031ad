/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes, buffers, secrets, hex and little-endian numbers. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"

Test(bytes, equal_compares_size_and_content, .timeout = 20)
{
    cr_expect(bytes_equal(bytes_of_text("ring"), bytes_of("ring!", 4)));
    cr_expect_not(bytes_equal(bytes_of_text("ring"), bytes_of_text("ringk")));
    cr_expect_not(bytes_equal(bytes_of_text("ring"), bytes_of_text("rinG")));
    cr_expect(bytes_equal(bytes_of(NULL, 0), bytes_of_text("")));
    cr_expect(bytes_all_zero(bytes_of(NULL, 0)));
    cr_expect(bytes_all_zero(bytes_of("\0\0", 2)));
    cr_expect_not(bytes_all_zero(bytes_of("\0\1", 2)));
}

Test(buf, grows_up_to_its_limit_and_no_further, .timeout = 20)
{
    BUF_SCOPED b = { 0 };
    uint8_t *at = NULL;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(buf_append(&b, bytes_of("0123456789", 10), 1000), ERR_OK);
    }
    cr_expect_eq(b.size, 1000);
    cr_expect_eq(buf_append(&b, bytes_of("x", 1), 1000), ERR_TOO_LARGE);
    cr_expect_eq(buf_reserve(&b, SIZE_MAX, 1000, &at), ERR_TOO_LARGE);
    cr_expect_eq(buf_reserve(&b, 0, 10, &at), ERR_TOO_LARGE);
    cr_expect_eq(b.size, 1000);
    cr_expect_eq(memcmp(b.data + 990, "0123456789", 10), 0);
}

Test(buf, consume_keeps_the_rest_and_drop_leaves_nothing, .timeout = 20)
{
    struct buf b = { 0 };
    uint8_t *at = NULL;
    cr_assert_eq(buf_append(&b, bytes_of_text("abcdef"), 64), ERR_OK);
    buf_consume(&b, 2);
    cr_expect(bytes_equal(buf_bytes(&b), bytes_of_text("cdef")));
    buf_consume(&b, 0);
    buf_consume(&b, 4);
    cr_expect_eq(b.size, 0);
    cr_assert_eq(buf_reserve(&b, 3, 64, &at), ERR_OK);
    cr_expect_eq(b.size, 0);
    memcpy(at, "xyz", 3);
    b.size += 3;
    buf_clear(&b);
    cr_expect_eq(b.size, 0);
    cr_expect_neq(b.capacity, 0);
    buf_drop(&b);
    cr_expect_null(b.data);
    cr_expect_eq(b.capacity, 0);
    buf_drop(&b);
}

Test(secret, is_zeroed_and_aligned_in_every_size, .timeout = 20)
{
    static const size_t sizes[] = { 0,   1,    16,    32,     48,     49,     112,
                                    113, 4080, 65536, 131056, 131057, 1000000 };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            SECRET_SCOPED s = { 0 };
            cr_assert_eq(secret_alloc(&s, sizes[i]), ERR_OK);
            cr_assert_not_null(s.data);
            cr_expect_eq(s.size, sizes[i]);
            cr_expect(bytes_all_zero(secret_bytes(&s)), "size %zu", sizes[i]);
            cr_expect_eq((uintptr_t)s.data % 16, 0);
            if (s.size > 0) {
                memset(s.data, 0xa5, s.size);
            }
        }
    }
}

Test(secret, moves_copies_and_may_be_shortened, .timeout = 20)
{
    struct secret a = { 0 };
    cr_assert_eq(secret_copy(&a, bytes_of_text("open sesame")), ERR_OK);
    struct secret b = secret_take(&a);
    cr_expect_null(a.data);
    cr_expect_eq(a.size, 0);
    cr_expect(secret_equal(secret_bytes(&b), bytes_of_text("open sesame")));
    b.size = 4;
    secret_drop(&b);
    cr_expect_null(b.data);
    secret_drop(&b);
    SECRET_SCOPED c = { 0 };
    cr_assert_eq(secret_alloc(&c, 11), ERR_OK);
    cr_expect(bytes_all_zero(secret_bytes(&c)), "the whole block was wiped");
}

Test(secret, equal_sees_each_byte_and_the_size, .timeout = 20)
{
    uint8_t a[33];
    uint8_t b[33];
    memset(a, 7, sizeof(a));
    memset(b, 7, sizeof(b));
    cr_expect(secret_equal(bytes_of(a, 33), bytes_of(b, 33)));
    cr_expect_not(secret_equal(bytes_of(a, 32), bytes_of(b, 33)));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] ^= 0x80;
        cr_expect_not(secret_equal(bytes_of(a, 33), bytes_of(b, 33)));
        b[i] ^= 0x80;
    }
    cr_expect(secret_equal(bytes_of(NULL, 0), bytes_of(NULL, 0)));
}

Test(secret, many_small_ones_live_when_no_page_may_be_locked, .timeout = 20)
{
    enum { COUNT = 50000 };
    const struct rlimit none = { 65536, 65536 };
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    struct secret *all = calloc(COUNT, sizeof(*all));
    cr_assert_not_null(all);
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(secret_alloc(&all[i], 32), ERR_OK);
        put_u32(all[i].data, i);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(get_u32(all[i].data), i);
        secret_drop(&all[i]);
    }
    free(all);
}

static void *churn(void *arg)
{
    const uint8_t mark = *(const uint8_t *)arg;
    for (size_t i = 0; i < 20000; i++) {
        SECRET_SCOPED s = { 0 };
        if (secret_alloc(&s, 1 + i % 300) != ERR_OK || !bytes_all_zero(secret_bytes(&s))) {
            return arg;
        }
        memset(s.data, mark, s.size);
        if (s.data[0] != mark || s.data[s.size - 1] != mark) {
            return arg;
        }
    }
    return NULL;
}

Test(secret, threads_share_the_pool, .timeout = 20)
{
    pthread_t threads[4];
    uint8_t marks[4] = { 1, 2, 3, 4 };
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, churn, &marks[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        cr_expect_null(failed);
    }
}

Test(numbers, are_little_endian, .timeout = 20)
{
    uint8_t at[8];
    put_u64(at, 0x1122334455667788u);
    cr_expect_eq(memcmp(at, "\x88\x77\x66\x55\x44\x33\x22\x11", 8), 0);
    cr_expect_eq(get_u64(at), 0x1122334455667788u);
    cr_expect_eq(get_u32(at), 0x55667788u);
    cr_expect_eq(get_u16(at), 0x7788u);
    put_u32(at, 0xffffffffu);
    cr_expect_eq(get_u64(at), 0x11223344ffffffffu);
}

Test(hex, goes_both_ways, .timeout = 20)
{
    char text[9];
    uint8_t out[4] = { 0 };
    cr_expect_str_eq(hex_from(bytes_of("\x00\x9f\xaB\xff", 4), text), "009fabff");
    cr_expect_eq(hex_to("009FABff", out, 4), ERR_OK);
    cr_expect_eq(memcmp(out, "\x00\x9f\xab\xff", 4), 0);
    cr_expect_str_eq(hex_from(bytes_of(NULL, 0), text), "");
    cr_expect_eq(hex_to("", out, 0), ERR_OK);
}

Test(hex, refuses_what_is_not_exactly_that_long_or_no_digit, .timeout = 20)
{
    static const char *const bad[] = { "",         "009fabf",  "009fabff0",
                                       "009fabfg", "00 fabff", "0x9fabff" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[4] = { 1, 2, 3, 4 };
        cr_expect_eq(hex_to(bad[i], out, 4), ERR_MALFORMED, "%s", bad[i]);
        cr_expect_eq(memcmp(out, "\1\2\3\4", 4), 0);
    }
}
