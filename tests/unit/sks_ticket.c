/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets: known answers, verdicts, rules, refresh. */
#include "sks_vectors.h"

#include "sks/ticket.h"

TestSuite(sks_ticket, .timeout = 60);

static enum err open_ours(struct bytes sealed, struct ticket *t)
{
    return ticket_open(sealed, vector_key("TK"), vector_key("keyring_id"), t);
}

/* The defaults of ticket.open_with, changed by what a case gives. */
static struct ticket_rules rules_of(json_t *c)
{
    json_t *d = json_object_get(vector_section("ticket"), "open_with");
    struct ticket_rules r = { .now = vector_number_or(c, "now", vector_number(d, "now")),
                              .record_epoch =
                                  vector_number_or(c, "repoch", vector_number(d, "record_epoch")),
                              .floor_epoch =
                                  vector_number_or(c, "floor", vector_number(d, "floor_epoch")) };
    const bool spki = json_object_get(c, "spki") != NULL;
    const bool kk_id = json_object_get(c, "rkid") != NULL;
    memcpy(r.client_spki, spki ? vector_fixed(c, "spki", 32) : vector_fixed(d, "client_spki", 32),
           32);
    memcpy(r.record_kk_id,
           kk_id ? vector_fixed(c, "rkid", ID_SIZE) : vector_fixed(d, "record_kk_id", ID_SIZE),
           ID_SIZE);
    return r;
}

static enum err judge(json_t *c, struct bytes sealed, struct ticket *t)
{
    const struct ticket_rules r = rules_of(c);
    TRY(open_ours(sealed, t));
    return ticket_check(t, &r);
}

Test(sks_ticket, the_known_ticket_opens_and_seals_to_the_same_bytes)
{
    json_t *c = vector_section("ticket");
    const struct bytes sealed = vector_hex(c, "ticket");
    const uint8_t *nonce = vector_fixed(c, "nonce", CRYPT_NONCE);
    struct ticket t = { 0 };
    uint8_t out[BLOB_TICKET_SIZE];
    EXPECT_VERDICT(c, judge(c, sealed, &t));
    cr_expect(vector_same(vector_hex(vector_section("keys"), "KK"), t.kk, CRYPT_KEY));
    cr_expect(vector_same(vector_hex(vector_section("keys"), "ts"), t.ts, 32));
    cr_assert_eq(ticket_seal_with(&t, vector_key("TK"), nonce, out), ERR_OK);
    cr_expect(vector_same(sealed, out, sizeof(out)));
    cr_expect(vector_same(vector_hex(c, "header"), out, BLOB_TICKET_HEADER));
    cr_assert_eq(ticket_seal(&t, vector_key("TK"), out), ERR_OK);
    cr_expect_eq(open_ours(bytes_of(out, sizeof(out)), &t), ERR_OK);
    cr_expect_eq(judge(c, vector_hex(c, "no_kk"), &t), ERR_OK);
    cr_expect(t.flags == TICKET_NO_KK && bytes_all_zero(bytes_of(t.kk, CRYPT_KEY)));
    ticket_wipe(&t);
    cr_expect(bytes_all_zero(bytes_of(&t, sizeof(t))));
}

Test(sks_ticket, every_negative_case_gets_its_verdict)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("ticket_negative"), i, c)
    {
        struct ticket t = { 0 };
        EXPECT_VERDICT(c, judge(c, vector_hex(c, "ticket"), &t));
    }
}

Test(sks_ticket, every_flipped_bit_and_every_truncation_is_refused)
{
    const struct bytes sealed = vector_hex(vector_section("ticket"), "ticket");
    struct ticket t = { 0 };
    uint8_t copy[BLOB_TICKET_SIZE];
    memcpy(copy, sealed.data, sizeof(copy));
    for (size_t bit = 0; bit < sizeof(copy) * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(open_ours(bytes_of(copy, sizeof(copy)), &t), ERR_OK, "bit %zu", bit);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < sizeof(copy); size++) {
        cr_expect_eq(open_ours(bytes_of(copy, size), &t), ERR_MALFORMED);
    }
    cr_expect_eq(ticket_open(sealed, vector_key("TK_other"), vector_key("keyring_id"), &t),
                 ERR_WRONG_KEY);
}

Test(sks_ticket, reasons_tell_late_from_expired)
{
    json_t *c = vector_section("ticket");
    struct ticket_rules r = rules_of(c);
    struct ticket t = { 0 };
    cr_assert_eq(open_ours(vector_hex(c, "ticket"), &t), ERR_OK);
    cr_expect_eq(ticket_reason(&t, &r), ERR_OK);
    r.record_epoch = t.epoch - 1;
    r.floor_epoch = t.epoch - 1;
    cr_expect_eq(ticket_reason(&t, &r), ERR_TICKET_LATE);
    r.record_epoch = t.epoch + 1;
    cr_expect_eq(ticket_reason(&t, &r), ERR_TICKET_EXPIRED);
    r = rules_of(c);
    r.now = t.issued - 301;
    cr_expect_eq(ticket_reason(&t, &r), ERR_CLOCK);
    r.client_spki[0] ^= 1;
    cr_expect_eq(ticket_reason(&t, &r), ERR_REFUSED);
}

Test(sks_ticket, refresh_never_passes_the_last_hour)
{
    struct ticket t = { 0 };
    cr_assert_eq(open_ours(vector_hex(vector_section("ticket"), "ticket"), &t), ERR_OK);
    t.hard_expiry = t.issued + 1000;
    const uint64_t start = t.issued;
    cr_assert_eq(ticket_refresh(&t, start + 10, 100), ERR_OK);
    cr_expect(t.issued == start + 10 && t.expires == start + 110 && t.hard_expiry == start + 1000);
    cr_assert_eq(ticket_refresh(&t, start + 950, 100), ERR_OK);
    cr_expect_eq(t.expires, start + 1000);
    cr_expect_eq(ticket_refresh(&t, start + 1000, 100), ERR_TICKET_EXPIRED);
    t.hard_expiry = 0;
    cr_assert_eq(ticket_refresh(&t, start + 5000, 100), ERR_OK);
    cr_expect_eq(t.expires, start + 5100);
}
