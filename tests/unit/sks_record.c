/* SPDX-License-Identifier: Apache-2.0 */
/* Keyring and cluster records, role rows and passwords. */
#include "sks_vectors.h"

#include "sks/record.h"

static struct smk_opener records, cluster_records;
static uint8_t out[LIMIT_RECORD];

/* Only the primary SMK: the vectors' "other smk_id" is the old one. */
static void setup(void)
{
    struct smk_set s = { 0 };
    const struct bytes plain = vector_hex(vector_section("keys"), "smk_set_plain_no_rollover");
    cr_assert_eq(smk_set_decode(plain, &s), ERR_OK);
    cr_assert_eq(smk_opener_make(&s, SMK_RECORD, vector_key("cluster_id"), &records), ERR_OK);
    cr_assert_eq(
        smk_opener_make(&s, SMK_CLUSTER_RECORD, vector_key("cluster_id"), &cluster_records),
        ERR_OK);
}

TestSuite(sks_record, .init = setup, .timeout = 60);

static enum err open_keyring(struct bytes sealed, struct record *r)
{
    return record_open(sealed, BLOB_RECORD, vector_key("keyring_id"), &records, r);
}

static void expect_roles(json_t *c, const struct record *r)
{
    json_t *role = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(c, "roles"), i, role)
    {
        const struct record_row *row = record_row_of(r, (unsigned)vector_number(role, "role"));
        uint8_t encoded[RECORD_ROW], kk[CRYPT_KEY], dk[RECORD_DK];
        cr_assert_not_null(row);
        record_row_encode(row, encoded);
        cr_expect(vector_same(vector_hex(role, "row"), encoded, sizeof(encoded)));
        const struct bytes password = vector_text(role, "password_text");
        cr_assert_eq(record_derive(row, r->owner_id, password, dk), ERR_OK);
        cr_expect(vector_same(vector_hex(role, "dk"), dk, sizeof(dk)));
        cr_expect_eq(record_row_login(row, r->owner_id, r->kk_id, password, kk), ERR_OK);
        cr_expect(vector_same(vector_hex(vector_section("keys"), "KK"), kk, CRYPT_KEY));
        struct record_row made = { .role = row->role,
                                   .flags = row->flags,
                                   .log_n = row->log_n,
                                   .max_fail = row->max_fail,
                                   .changed_at = row->changed_at };
        const uint8_t *salt = vector_fixed(role, "salt", 32);
        cr_assert_eq(record_row_set_with(&made, r->owner_id, r->kk_id, password, kk, salt), ERR_OK);
        record_row_encode(&made, encoded);
        cr_expect(vector_same(vector_hex(role, "row"), encoded, sizeof(encoded)));
    }
}

Test(sks_record, known_records_open_and_seal_to_the_same_bytes)
{
    json_t *k = vector_section("keyring_record"), *c = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(k, "records"), i, c)
    {
        const struct bytes sealed = vector_hex(c, "record");
        const bool test_only = json_object_get(c, "verdict_in_test_build") != NULL;
        struct record r = { 0 };
        size_t size = 0;
        EXPECT_VERDICT(c, open_keyring(sealed, &r));
        record_allow_test_scrypt(test_only);
        cr_assert_eq(open_keyring(sealed, &r), ERR_OK);
        cr_expect_eq(r.version, vector_number(c, "version"));
        cr_expect_eq(r.epoch, vector_number(c, "epoch"));
        expect_roles(c, &r);
        const uint8_t *nonce = vector_fixed(c, "nonce", CRYPT_NONCE);
        cr_assert_eq(record_seal_with(&r, &records, nonce, out, &size), ERR_OK);
        cr_expect(vector_same(sealed, out, size));
        const struct record_share *s = &r.share[0];
        const struct bytes share = vector_hex(k, "share");
        cr_expect(r.share_count == 1 &&
                  vector_same(bytes_of(share.data, ID_SIZE), s->smk_id, ID_SIZE));
        cr_expect_eq(get_u64(share.data + 80), s->retired);
        record_allow_test_scrypt(false);
    }
}

Test(sks_record, every_negative_case_gets_its_verdict)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("keyring_record_negative"), i, c)
    {
        struct record r = { 0 };
        record_allow_test_scrypt(vector_bool(c, "test_build"));
        EXPECT_VERDICT(c, open_keyring(vector_hex(c, "record"), &r));
    }
}

Test(sks_record, a_row_without_a_wrap_logs_in_and_gives_no_key)
{
    const struct bytes in = vector_hex(vector_section("keyring_record"), "row_no_wrap_logN4");
    const uint8_t *kr = vector_key("keyring_id"), *kk_id = vector_key("kk_id");
    struct record_row row;
    uint8_t encoded[RECORD_ROW], kk[CRYPT_KEY], dk[RECORD_DK];
    cr_assert_eq(in.size, RECORD_ROW);
    cr_expect_eq(record_row_decode(in.data, &row), ERR_BAD_CONTENT);
    record_allow_test_scrypt(true);
    cr_assert_eq(record_row_decode(in.data, &row), ERR_OK);
    cr_expect_eq(row.flags & RECORD_NO_WRAP, RECORD_NO_WRAP);
    record_row_encode(&row, encoded);
    cr_expect(vector_same(in, encoded, sizeof(encoded)));
    const struct bytes password = bytes_of_text("krso-password-1");
    cr_assert_eq(record_row_set(&row, kr, NULL, password, NULL), ERR_OK);
    cr_assert_eq(record_row_login(&row, kr, kk_id, password, kk), ERR_OK);
    cr_expect(bytes_all_zero(bytes_of(kk, sizeof(kk))));
    cr_assert_eq(record_derive(&row, kr, password, dk), ERR_OK);
    cr_expect_eq(record_row_unwrap(&row, kr, kk_id, dk, kk), ERR_WRONG_STATE);
}

Test(sks_record, passwords_are_compared_with_role_and_keyring)
{
    json_t *c = NULL, *known = NULL;
    size_t i = 0;
    record_allow_test_scrypt(true);
    struct record r = { 0 };
    known = json_array_get(json_object_get(vector_section("keyring_record"), "records"), 0);
    cr_assert_eq(open_keyring(vector_hex(known, "record"), &r), ERR_OK);
    json_array_foreach(vector_section("role_password_cases"), i, c)
    {
        const unsigned role = (unsigned)vector_number(c, "role");
        const struct bytes password = vector_text(c, "password_text");
        struct record_row row = { .role = (uint8_t)role,
                                  .log_n = (uint8_t)vector_number(c, "logN"),
                                  .max_fail = 10 };
        struct record_row made = row;
        uint8_t kk[CRYPT_KEY] = { 0 }, dk[RECORD_DK];
        memcpy(row.salt, vector_fixed(c, "salt", 32), 32);
        made.flags = RECORD_NO_WRAP;
        cr_assert_eq(record_row_set_with(&made, r.owner_id, r.kk_id, password, NULL, row.salt),
                     ERR_OK);
        cr_expect(vector_same(vector_hex(c, "check"), made.check, 16), "%s", vector_name(c));
        /* Against the record's own row of KRCO. */
        struct record_row against = *record_row_of(&r, RECORD_KRCO);
        against.role = (uint8_t)role;
        cr_assert_eq(record_derive(&against, r.owner_id, password, dk), ERR_OK);
        const bool match = record_row_compare(&against, r.owner_id, dk) == ERR_OK;
        cr_expect_eq(match, vector_bool(c, "match"), "%s", vector_name(c));
        if (match) {
            cr_assert_eq(record_row_unwrap(&against, r.owner_id, r.kk_id, dk, kk), ERR_OK);
            cr_expect(vector_same(vector_hex(c, "KK"), kk, CRYPT_KEY));
            cr_expect_eq(record_row_unwrap(&against, r.owner_id, vector_key("tk_id"), dk, kk),
                         ERR_BAD_TAG);
        } else {
            cr_expect_eq(record_row_login(&against, r.owner_id, r.kk_id, password, kk),
                         ERR_PIN_INCORRECT);
        }
    }
}

Test(sks_record, passwords_have_1_to_255_bytes)
{
    uint8_t dk[RECORD_DK];
    const char long_one[256] = { 'x' };
    const struct record_row row = { .role = RECORD_CU, .log_n = 4, .max_fail = 1 };
    const uint8_t *kr = vector_key("keyring_id");
    record_allow_test_scrypt(true);
    cr_expect_eq(record_derive(&row, kr, bytes_of("", 0), dk), ERR_PIN_LENGTH);
    cr_expect_eq(record_derive(&row, kr, bytes_of(long_one, 256), dk), ERR_PIN_LENGTH);
    cr_expect_eq(record_derive(&row, kr, bytes_of(long_one, 255), dk), ERR_OK);
    record_allow_test_scrypt(false);
    cr_expect_eq(record_derive(&row, kr, bytes_of(long_one, 255), dk), ERR_BAD_CONTENT);
}

Test(sks_record, apply_takes_the_next_version_and_no_lower_epoch)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("record_apply"), i, c)
    {
        const bool accept = blob_record_accepts(
            vector_number(c, "stored_version"), vector_number(c, "stored_epoch"),
            vector_number(c, "version"), vector_number(c, "epoch"));
        cr_expect_eq(accept, vector_bool(c, "accept"), "case %zu", i);
    }
    cr_expect_not(blob_record_accepts(UINT64_MAX, 0, 0, 0));
    const struct record r = { .version = 5, .epoch = 2 };
    cr_expect_eq(record_floor_check(&r, 5, 2), ERR_OK);
    cr_expect_eq(record_floor_check(&r, 6, 2), ERR_REFUSED);
    cr_expect_eq(record_floor_check(&r, 5, 3), ERR_REFUSED);
}

Test(sks_record, a_first_password_must_change_before_anything_else)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("must_change_cases"), i, c)
    {
        const struct record_row row = { .flags = (uint8_t)vector_number(c, "row_flags") };
        EXPECT_VERDICT(c, record_row_verb_check(&row, (unsigned)vector_number(c, "verb")));
    }
}

Test(sks_record, the_cluster_record_wraps_cuk)
{
    json_t *c = vector_section("cluster_record"), *passwords = json_object_get(c, "passwords_text");
    const struct bytes sealed = vector_hex(c, "record");
    const uint8_t *cluster = vector_key("cluster_id");
    struct record r = { 0 };
    size_t size = 0;
    cr_expect_eq(record_open(sealed, BLOB_CLUSTER_RECORD, cluster, &cluster_records, &r),
                 ERR_BAD_CONTENT);
    record_allow_test_scrypt(true);
    cr_assert_eq(record_open(sealed, BLOB_CLUSTER_RECORD, cluster, &cluster_records, &r), ERR_OK);
    cr_expect_eq(record_open(sealed, BLOB_RECORD, cluster, &cluster_records, &r), ERR_UNSUPPORTED);
    cr_expect_eq(record_open(sealed, BLOB_CLUSTER_RECORD, cluster, &records, &r), ERR_BAD_TAG);
    cr_expect_eq(
        record_open(sealed, BLOB_CLUSTER_RECORD, vector_key("keyring_id"), &cluster_records, &r),
        ERR_WRONG_KEY);
    cr_expect(vector_same(vector_hex(c, "kk_id"), r.kk_id, ID_SIZE));
    cr_expect(r.version == vector_number(c, "version") && r.epoch == vector_number(c, "epoch"));
    for (unsigned i = 0; i < 2; i++) {
        const char *password = json_string_value(json_array_get(passwords, i));
        const char *salt = json_string_value(json_array_get(json_object_get(c, "salts"), i));
        const struct record_row *row = record_row_of(&r, i == 0 ? RECORD_PO : RECORD_CO);
        uint8_t cuk[CRYPT_KEY];
        cr_assert_not_null(row);
        cr_expect(vector_same(vector_unhex(salt), row->salt, 32));
        cr_assert_eq(record_row_login(row, cluster, r.kk_id, bytes_of_text(password), cuk), ERR_OK);
        cr_expect(vector_same(vector_hex(vector_section("keys"), "CUK"), cuk, CRYPT_KEY));
    }
    const uint8_t *nonce = vector_fixed(c, "nonce", CRYPT_NONCE);
    cr_assert_eq(record_seal_with(&r, &cluster_records, nonce, out, &size), ERR_OK);
    cr_expect(vector_same(sealed, out, size));
    r.share_count = 1;
    cr_expect_eq(record_seal(&r, &cluster_records, out, &size), ERR_BAD_CONTENT);
    r.share_count = 0;
    cr_assert_eq(record_trusted_put(&r, cluster), ERR_OK);
    cr_expect_eq(record_seal(&r, &cluster_records, out, &size), ERR_BAD_CONTENT);
}

Test(sks_record, editing_keeps_the_order_and_the_bounds)
{
    struct record r = { .kind = BLOB_RECORD, .version = 1, .state = RECORD_CREATED };
    struct record_row row = { .flags = RECORD_NO_WRAP, .log_n = 15, .max_fail = 1 };
    struct record back;
    uint8_t id[ID_SIZE] = { 0 };
    uint32_t value = 0;
    size_t size = 0;
    memcpy(r.owner_id, vector_key("keyring_id"), ID_SIZE);
    for (unsigned i = 0; i < RECORD_TRUSTED; i++) {
        id[0] = (uint8_t)(i * 37u); /* not in order */
        cr_assert_eq(record_trusted_put(&r, id), ERR_OK);
        cr_assert_eq(record_policy_put(&r, (i * 37u) % 256u, i), ERR_OK);
    }
    id[0] = 1;
    cr_expect_eq(record_trusted_put(&r, id), ERR_FULL);
    cr_expect_eq(record_policy_put(&r, 1, 1), ERR_FULL);
    cr_expect_eq(record_policy_put(&r, 37, 99), ERR_OK);
    cr_expect(record_policy_get(&r, 37, &value) && value == 99);
    cr_expect_not(record_policy_get(&r, 1, &value));
    for (unsigned role = RECORD_CU; role >= RECORD_KRSO; role--) {
        row.role = (uint8_t)role;
        cr_assert_eq(record_row_put(&r, &row), ERR_OK);
    }
    for (unsigned i = 0; i < 5; i++) { /* a fifth rollover drops the oldest */
        uint8_t smk[CRYPT_KEY] = { (uint8_t)(i + 1) };
        cr_assert_eq(record_share_push(&r, smk, i == 3 ? 1 : 1000 + i), ERR_OK);
    }
    cr_expect(r.share_count == SMK_SHARES && r.share[3].retired == 1001 &&
              r.share[1].retired == 1002);
    cr_assert_eq(record_seal(&r, &records, out, &size), ERR_OK);
    cr_assert_eq(open_keyring(bytes_of(out, size), &back), ERR_OK);
    cr_expect(back.row_count == 4 && back.trusted_count == 64 && back.policy_count == 64);
    record_row_remove(&r, RECORD_KRCO);
    record_row_remove(&r, RECORD_KRCO);
    id[0] = 37;
    record_trusted_remove(&r, id);
    cr_expect_not(record_trusted_has(&r, id));
    record_share_remove(&r, 0);
    cr_assert_eq(record_seal(&r, &records, out, &size), ERR_OK);
    cr_assert_eq(open_keyring(bytes_of(out, size), &back), ERR_OK);
    cr_expect(back.row_count == 3 && back.trusted_count == 63 && back.share_count == 3);
    record_wipe(&back);
    cr_expect(bytes_all_zero(bytes_of(&back, sizeof(back))));
}

Test(sks_record, every_flipped_bit_and_every_truncation_is_refused)
{
    json_t *c = json_array_get(json_object_get(vector_section("keyring_record"), "records"), 1);
    const struct bytes sealed = vector_hex(c, "record");
    struct record r = { 0 };
    memcpy(out, sealed.data, sealed.size);
    for (size_t bit = 0; bit < sealed.size * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(open_keyring(bytes_of(out, sealed.size), &r), ERR_OK, "bit %zu", bit);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < sealed.size; size++) {
        cr_expect_eq(open_keyring(bytes_of(out, size), &r), ERR_MALFORMED, "%zu", size);
    }
}
