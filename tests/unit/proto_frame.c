/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, templates and mechanism parameters. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/limits.h"
#include "client.pb-c.h"
#include "proto/frame.h"
#include "proto/mechanism.h"
#include "proto/template.h"

static void append_hello(struct buf *out)
{
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = 1;
    hello.minor = 0;
    cr_assert_eq(message_append(out, FRAME_HELLO, 7, &hello, LIMIT_FRAME_CLIENT), ERR_OK);
}

Test(frame, round_trip_keeps_type_request_and_payload, .timeout = 10)
{
    BUF_SCOPED out = { 0 };
    append_hello(&out);
    struct frame f = { 0 };
    size_t used = 0;
    cr_assert_eq(frame_parse(buf_bytes(&out), LIMIT_FRAME_CLIENT, &f, &used), ERR_OK);
    cr_expect_eq(used, out.size);
    cr_expect_eq(f.type, FRAME_HELLO);
    cr_expect_eq(f.request, 7);
    struct message_arena *arena = NULL;
    void *message = NULL;
    cr_assert_eq(message_unpack(&ringkeep__hello__descriptor, f.payload, &arena, &message), ERR_OK);
    cr_expect_eq(((Ringkeep__Hello *)message)->major, 1);
    message_drop(&arena);
}

Test(frame, any_cut_is_incomplete_and_never_read, .timeout = 10)
{
    BUF_SCOPED out = { 0 };
    append_hello(&out);
    for (size_t size = 0; size < out.size; size++) {
        struct frame f = { 0 };
        size_t used = 1;
        cr_expect_eq(frame_parse(bytes_of(out.data, size), LIMIT_FRAME_CLIENT, &f, &used), ERR_OK);
        cr_expect_eq(used, 0);
    }
}

Test(frame, bad_lengths_are_refused_before_content, .timeout = 10)
{
    const uint32_t bad[] = { 0, 1, 11, 4093, 1u << 31, UINT32_MAX };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t head[4];
        put_u32(head, bad[i]);
        struct frame f = { 0 };
        size_t used = 0;
        const enum err e = frame_parse(bytes_of(head, 4), LIMIT_FRAME_UNAUTHENTICATED, &f, &used);
        cr_expect(e == ERR_MALFORMED || e == ERR_TOO_LARGE, "length %u gave %s", bad[i], err_name(e));
    }
}

Test(frame, unknown_fields_and_flags_are_malformed, .timeout = 10)
{
    BUF_SCOPED out = { 0 };
    append_hello(&out);
    out.data[6] = 1;
    struct frame f = { 0 };
    size_t used = 0;
    cr_expect_eq(frame_parse(buf_bytes(&out), LIMIT_FRAME_CLIENT, &f, &used), ERR_MALFORMED);
    const uint8_t unknown[] = { 0x08, 1, 0x10, 0, 0xf8, 0x07, 1 };
    struct message_arena *arena = NULL;
    void *message = NULL;
    cr_expect_eq(message_unpack(&ringkeep__hello__descriptor, bytes_of(unknown, sizeof(unknown)), &arena, &message), ERR_MALFORMED);
    cr_expect_null(arena);
}

Test(frame, a_message_of_many_small_fields_is_bounded, .timeout = 10)
{
    BUF_SCOPED many = { 0 };
    const uint8_t empty_object[] = { 0x92, 0x01, 0x00 }; /* Reply.objects, required fields missing */
    for (unsigned i = 0; i < 20000; i++) {
        cr_assert_eq(buf_append(&many, bytes_of(empty_object, 3), LIMIT_FRAME_CLIENT), ERR_OK);
    }
    struct message_arena *arena = NULL;
    void *message = NULL;
    cr_expect_eq(message_unpack(&ringkeep__reply__descriptor, buf_bytes(&many), &arena, &message), ERR_MALFORMED);
}

Test(template, put_keeps_order_and_replaces, .timeout = 10)
{
    BUF_SCOPED list = { 0 };
    uint64_t number = 0;
    bool flag = false;
    cr_assert_eq(template_put_u64(&list, 0x100, 3), ERR_OK);
    cr_assert_eq(template_put_bool(&list, 0x1, true), ERR_OK);
    cr_assert_eq(template_put_u64(&list, 0x0, 2), ERR_OK);
    cr_assert_eq(template_put_u64(&list, 0x100, 4), ERR_OK);
    cr_expect_eq(template_check(buf_bytes(&list)), ERR_OK);
    cr_expect_eq(template_get_u64(buf_bytes(&list), 0x100, &number), ERR_OK);
    cr_expect_eq(number, 4);
    cr_expect_eq(template_get_bool(buf_bytes(&list), 0x1, &flag), ERR_OK);
    cr_expect(flag);
    cr_expect_eq(template_remove(&list, 0x1), ERR_OK);
    cr_expect_eq(template_get_bool(buf_bytes(&list), 0x1, &flag), ERR_NOTFOUND);
    cr_expect_eq(template_check(buf_bytes(&list)), ERR_OK);
}

Test(template, disorder_duplicates_and_cuts_are_malformed, .timeout = 10)
{
    uint8_t two[20] = { 0 };
    put_u32(two, 5);
    put_u32(two + 4, 2);
    put_u32(two + 10, 5);
    put_u32(two + 14, 2);
    cr_expect_eq(template_check(bytes_of(two, sizeof(two))), ERR_MALFORMED);
    put_u32(two + 10, 4);
    cr_expect_eq(template_check(bytes_of(two, sizeof(two))), ERR_MALFORMED);
    put_u32(two + 10, 6);
    cr_expect_eq(template_check(bytes_of(two, sizeof(two))), ERR_OK);
    for (size_t size = 1; size < sizeof(two); size++) {
        cr_expect_eq(template_check(bytes_of(two, size)), size == 10 ? ERR_OK : ERR_MALFORMED);
    }
    put_u32(two + 4, UINT32_MAX);
    cr_expect_eq(template_check(bytes_of(two, sizeof(two))), ERR_MALFORMED);
}

Test(mechanism, gcm_parameters_round_trip_and_refuse_bad_lengths, .timeout = 10)
{
    BUF_SCOPED p = { 0 };
    const struct mechanism_gcm in = { 128, bytes_of_text("123456789012"), bytes_of_text("header") };
    struct mechanism_gcm out = { 0 };
    cr_assert_eq(mechanism_gcm_append(&p, &in), ERR_OK);
    cr_assert_eq(mechanism_gcm_parse(buf_bytes(&p), &out), ERR_OK);
    cr_expect(bytes_equal(in.iv, out.iv) && bytes_equal(in.aad, out.aad) && out.gcm_tag_bits == 128);
    for (size_t size = 0; size < p.size; size++) {
        cr_expect_eq(mechanism_gcm_parse(bytes_of(p.data, size), &out), ERR_MECHANISM_PARAM);
    }
}
