/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of what daemon, worker and keeper say to each other, and
 * the verb table. */
#include <criterion/criterion.h>
#include <string.h>

#include "hsm-sim/core_wire.h"

#define TIMEOUT .timeout = 60

static uint8_t frame[LIMIT_RING_LARGE];

static size_t sample(void)
{
    struct core_request r = { .verb = CORE_SIGN, .handle = 7, .mechanism = 0x1041, .number = 9 };
    memset(r.request_id, 5, sizeof r.request_id);
    r.section[0] = bytes_of_text("blob");
    r.section[2] = bytes_of_text("data");
    core_request_encode(&r, frame);
    return core_request_size(&r);
}

static size_t sample_reply(void)
{
    struct core_reply r = { .error = ERR_KEY_USAGE, .number = 77 };
    r.section[0] = bytes_of_text("signature");
    r.section[1] = bytes_of_text("more");
    core_reply_encode(&r, frame);
    return core_reply_size(&r);
}

Test(hsm_wire, request_comes_back, TIMEOUT)
{
    struct core_request r;
    size_t size = sample();
    cr_assert_eq(core_request_decode(bytes_of(frame, size), &r), ERR_OK);
    cr_expect_eq(r.verb, CORE_SIGN);
    cr_expect_eq(r.handle, 7);
    cr_expect_eq(r.mechanism, 0x1041);
    cr_expect_eq(r.number, 9);
    cr_expect_eq(r.request_id[15], 5);
    cr_expect(bytes_equal(r.section[0], bytes_of_text("blob")));
    cr_expect_eq(r.section[1].size, 0);
    cr_expect(bytes_equal(r.section[2], bytes_of_text("data")));
}

Test(hsm_wire, every_other_length_is_the_daemons_fault, TIMEOUT)
{
    struct core_request r;
    size_t size = sample();
    for (size_t n = 0; n <= size + 64; n++) {
        enum err e = core_request_decode(bytes_of(frame, n), &r);
        cr_expect_eq(e, n == size ? ERR_OK : ERR_PROTOCOL, "length %zu", n);
    }
}

/* Each of the head's words, each with each wrong value, and with the total adapted. */
Test(hsm_wire, every_size_word_is_checked, TIMEOUT)
{
    static const uint32_t wrong[] = { 1, 5, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0 };
    struct core_request r;
    for (unsigned word = 0; word < CORE_SECTIONS; word++) {
        for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            size_t size = sample();
            put_u32(frame + 64 + 4 * word, wrong[i]);
            cr_expect_eq(core_request_decode(bytes_of(frame, size), &r), ERR_PROTOCOL);
        }
    }
}

Test(hsm_wire, unused_bytes_are_zero, TIMEOUT)
{
    static const unsigned zero[] = { 2, 3, 48, 63 };
    struct core_request r;
    for (unsigned i = 0; i < sizeof zero / sizeof zero[0]; i++) {
        size_t size = sample();
        frame[zero[i]] = 1;
        cr_expect_eq(core_request_decode(bytes_of(frame, size), &r), ERR_PROTOCOL, "byte %u",
                     zero[i]);
    }
}

Test(hsm_wire, unknown_verb_is_the_daemons_fault, TIMEOUT)
{
    struct core_request r;
    for (unsigned verb = 0; verb <= UINT16_MAX; verb++) {
        size_t size = sample();
        put_u16(frame, (uint16_t)verb);
        bool known = core_verb_find(verb) != NULL;
        enum err e = core_request_decode(bytes_of(frame, size), &r);
        cr_expect(known ? e == ERR_OK || e == ERR_TOO_LARGE : e == ERR_PROTOCOL, "verb %u", verb);
    }
}

Test(hsm_wire, too_large_a_section_is_an_error_reply, TIMEOUT)
{
    static uint8_t big[LIMIT_BLOB];
    size_t count = 0;
    const struct core_verb_row *rows = core_verb_rows(&count);
    for (size_t i = 0; i < count; i++) {
        for (unsigned s = 0; s < CORE_SECTIONS; s++) {
            struct core_request r = { .verb = rows[i].verb }, back;
            r.section[s] = bytes_of(big, rows[i].limit[s]);
            core_request_encode(&r, frame);
            cr_expect_eq(core_request_decode(bytes_of(frame, core_request_size(&r)), &back),
                         ERR_OK);
            r.section[s].size++;
            if (r.section[s].size > sizeof big) {
                continue;
            }
            core_request_encode(&r, frame);
            cr_expect_eq(core_request_decode(bytes_of(frame, core_request_size(&r)), &back),
                         ERR_TOO_LARGE);
        }
    }
}

Test(hsm_wire, reply_comes_back_and_bad_ones_do_not, TIMEOUT)
{
    struct core_reply r;
    size_t size = sample_reply();
    cr_assert_eq(core_reply_decode(bytes_of(frame, size), &r), ERR_OK);
    cr_expect_eq(r.error, ERR_KEY_USAGE);
    cr_expect_eq(r.number, 77);
    cr_expect(bytes_equal(r.section[1], bytes_of_text("more")));
    for (size_t n = 0; n <= size + 64; n++) {
        cr_expect_eq(core_reply_decode(bytes_of(frame, n), &r), n == size ? ERR_OK : ERR_PROTOCOL);
    }
    for (unsigned at = 16; at < CORE_REPLY_HEAD; at++) {
        size = sample_reply();
        frame[at] ^= 0x80;
        cr_expect_eq(core_reply_decode(bytes_of(frame, size), &r), ERR_PROTOCOL, "byte %u", at);
    }
}

Test(hsm_wire, head_alone_is_the_head_of_the_whole, TIMEOUT)
{
    uint8_t head[CORE_REPLY_HEAD];
    struct core_reply r = { .error = ERR_OK, .number = 3 };
    r.section[0] = bytes_of_text("abc");
    core_reply_encode(&r, frame);
    core_reply_encode_head(&r, head);
    cr_expect(bytes_equal(bytes_of(head, sizeof head), bytes_of(frame, sizeof head)));
}

/* Nothing that may leave the core is a plaintext key. */
Test(hsm_wire, table_is_whole, TIMEOUT)
{
    size_t count = 0;
    const struct core_verb_row *rows = core_verb_rows(&count);
    cr_expect_geq(count, 40);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(core_verb_find(rows[i].verb), &rows[i]);
        if (rows[i].leaves == CORE_LEAVES_KEYS) {
            cr_expect_eq(rows[i].runs, CORE_RUNS_INTERNAL, "%s", rows[i].name);
        }
    }
    cr_expect_null(core_verb_find(0));
    cr_expect_null(core_verb_find(64));
}

Test(hsm_wire, status_comes_back, TIMEOUT)
{
    uint8_t bytes[CORE_STATUS_SIZE];
    struct core_status s = { .state = CORE_AUTHORIZED,
                             .roster_version = 4,
                             .lk_version = 5,
                             .handles = 6 },
                       back;
    s.wall_s = 7;
    s.scrypt_waiting = 8;
    s.isolated = 1;
    s.id_pub[31] = 9;
    s.smk_id[0] = 10;
    core_status_encode(&s, bytes);
    cr_assert_eq(core_status_decode(bytes_of(bytes, sizeof bytes), &back), ERR_OK);
    cr_expect_eq(memcmp(&s, &back, sizeof s), 0);
    bytes[255] = 1;
    cr_expect_eq(core_status_decode(bytes_of(bytes, sizeof bytes), &back), ERR_PROTOCOL);
    cr_expect_eq(core_status_decode(bytes_of(bytes, 255), &back), ERR_PROTOCOL);
}
