/* SPDX-License-Identifier: Apache-2.0 */
/* Roster, beacon, statement of a new TLS key. */
#include "sks_vectors.h"

#include "sks/roster.h"

static struct smk_opener opener;

static void setup(void)
{
    struct smk_set s = { 0 };
    cr_assert_eq(smk_set_decode(vector_hex(vector_section("keys"), "smk_set_plain"), &s), ERR_OK);
    cr_assert_eq(smk_opener_make(&s, SMK_ROSTER, vector_key("cluster_id"), &opener), ERR_OK);
}

TestSuite(sks_roster, .init = setup, .timeout = 60);

static enum err open_ours(struct bytes sealed, struct roster *r)
{
    return roster_open(sealed, vector_key("cluster_id"), &opener, r);
}

Test(sks_roster, known_rosters_open_and_seal_to_the_same_bytes)
{
    json_t *c = vector_section("roster");
    const struct bytes one = vector_hex(c, "one_member"), two = vector_hex(c, "two_members");
    struct roster r = { 0 };
    struct blob_roster_row joiner;
    uint8_t out[LIMIT_ROSTER], row[BLOB_ROSTER_ROW];
    size_t size = 0;
    cr_assert_eq(open_ours(one, &r), ERR_OK);
    cr_expect_eq(r.version, vector_number(c, "version"));
    cr_expect_eq(r.inherit_window_s, vector_number(c, "inherit_window"));
    cr_assert_eq(roster_seal_with(&r, &opener, vector_fixed(c, "nonce", CRYPT_NONCE), out, &size),
                 ERR_OK);
    cr_expect(vector_same(one, out, size));
    blob_roster_row_write(&r.row[0], row);
    cr_expect(vector_same(vector_hex(c, "row_donor"), row, sizeof(row)));
    cr_expect(vector_same(vector_hex(c, "ID_donor_pub"), r.row[0].id_pub, 32));
    blob_roster_row(two, 1, &joiner);
    blob_roster_row_write(&joiner, row);
    cr_expect(vector_same(vector_hex(c, "row_joiner"), row, sizeof(row)));
    cr_assert_eq(roster_put(&r, &joiner), ERR_OK);
    r.version = vector_number(c, "two_members_version");
    const uint8_t *nonce = vector_fixed(c, "two_members_nonce", CRYPT_NONCE);
    cr_assert_eq(roster_seal_with(&r, &opener, nonce, out, &size), ERR_OK);
    cr_expect(vector_same(two, out, size));
    cr_assert_eq(roster_seal(&r, &opener, out, &size), ERR_OK);
    cr_expect_eq(open_ours(bytes_of(out, size), &r), ERR_OK);
}

Test(sks_roster, every_negative_case_gets_its_verdict)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("roster_negative"), i, c)
    {
        struct roster r = { 0 };
        EXPECT_VERDICT(c, open_ours(vector_hex(c, "roster"), &r));
    }
}

Test(sks_roster, every_flipped_bit_and_every_truncation_is_refused)
{
    const struct bytes sealed = vector_hex(vector_section("roster"), "two_members");
    struct roster r = { 0 };
    uint8_t copy[LIMIT_ROSTER];
    memcpy(copy, sealed.data, sealed.size);
    for (size_t bit = 0; bit < sealed.size * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(open_ours(bytes_of(copy, sealed.size), &r), ERR_OK, "bit %zu", bit);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < sealed.size; size++) {
        cr_expect_eq(open_ours(bytes_of(copy, size), &r), ERR_MALFORMED);
    }
}

Test(sks_roster, rows_stay_in_order_up_to_32)
{
    struct roster r = { .version = 1 }, back;
    struct envelope_identities ids;
    uint8_t out[LIMIT_ROSTER];
    size_t size = 0;
    memcpy(r.cluster_id, vector_key("cluster_id"), ID_SIZE);
    cr_expect_eq(roster_seal(&r, &opener, out, &size), ERR_BAD_CONTENT);
    for (unsigned i = 0; i < LIMIT_ROSTER_ROWS; i++) {
        struct blob_roster_row row = { .state =
                                           i % 2 == 0 ? BLOB_ROSTER_ACTIVE : BLOB_ROSTER_REMOVED,
                                       .suite = 1 };
        row.member_id[0] = (uint8_t)(i * 37u + 1u);
        cr_assert_eq(roster_put(&r, &row), ERR_OK);
        cr_assert_eq(roster_put(&r, &row), ERR_OK); /* replaces */
    }
    struct blob_roster_row late = { .member_id = { 0 }, .state = BLOB_ROSTER_ACTIVE };
    cr_expect_eq(roster_put(&r, &late), ERR_FULL);
    cr_assert_eq(roster_seal(&r, &opener, out, &size), ERR_OK);
    cr_expect_eq(size, LIMIT_ROSTER);
    cr_assert_eq(open_ours(bytes_of(out, size), &back), ERR_OK);
    late.member_id[0] = 38; /* i == 1: removed */
    cr_expect_not_null(roster_find(&back, late.member_id));
    cr_expect_null(roster_find_active(&back, late.member_id));
    cr_assert_eq(roster_identities(&back, &ids), ERR_OK);
    cr_expect_eq(ids.count, LIMIT_ROSTER_ROWS / 2);
    for (unsigned i = 0; i < back.count; i++) {
        back.row[i].state = BLOB_ROSTER_REMOVED;
    }
    cr_expect_eq(roster_identities(&back, &ids), ERR_NOTFOUND);
}

Test(sks_roster, a_beacon_is_signed_and_fresh)
{
    json_t *c = vector_section("beacon"), *r = vector_section("roster");
    const struct bytes known = vector_hex(c, "beacon");
    const uint8_t *cluster = vector_key("cluster_id"), *id = vector_fixed(r, "ID_donor_pub", 32);
    struct roster_beacon b = { .time = vector_number(c, "time"),
                               .roster_version = vector_number(c, "roster_version") };
    struct roster_beacon back;
    uint8_t out[ROSTER_BEACON];
    memcpy(b.member_id, vector_key("donor_id"), ID_SIZE);
    memcpy(b.audit_head, vector_fixed(c, "audit_head", 32), 32);
    cr_assert_eq(roster_beacon_sign(&b, cluster, vector_fixed(r, "ID_donor_priv", 32), out),
                 ERR_OK);
    cr_expect(vector_same(known, out, sizeof(out)));
    cr_assert_eq(roster_beacon_verify(known, cluster, id, &back), ERR_OK);
    cr_expect(back.time == b.time && back.roster_version == b.roster_version);
    cr_expect_eq(roster_beacon_verify(known, vector_key("domain_id"), id, &back), ERR_BAD_TAG);
    cr_expect_eq(roster_beacon_verify(bytes_of(known.data, 127), cluster, id, &back),
                 ERR_MALFORMED);
    for (size_t bit = 0; bit < sizeof(out) * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_eq(roster_beacon_verify(bytes_of(out, sizeof(out)), cluster, id, &back),
                     ERR_BAD_TAG);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_expect_eq(roster_beacon_fresh(1000, 7200, 8200), ERR_OK);
    cr_expect_eq(roster_beacon_fresh(1000, 7200, 8201), ERR_REFUSED);
    cr_expect_eq(roster_beacon_fresh(1300, 7200, 1000), ERR_OK);
    cr_expect_eq(roster_beacon_fresh(1301, 7200, 1000), ERR_REFUSED);
    cr_expect_eq(roster_beacon_fresh(0, 7200, b.time), ERR_REFUSED);
}

Test(sks_roster, a_tls_statement_changes_one_row_of_the_roster_it_was_made_on)
{
    json_t *c = vector_section("tls_statement"), *v = vector_section("roster");
    const struct bytes known = vector_hex(c, "statement");
    const uint8_t *cluster = vector_key("cluster_id"), *id = vector_fixed(v, "ID_donor_pub", 32);
    struct roster_statement s = { .roster_version = vector_number(c, "roster_version") }, back;
    struct roster r = { 0 };
    uint8_t out[ROSTER_STATEMENT];
    memcpy(s.member_id, vector_key("donor_id"), ID_SIZE);
    memcpy(s.spki_hash, vector_fixed(c, "new_spki", 32), 32);
    cr_assert_eq(roster_statement_sign(&s, cluster, vector_fixed(v, "ID_donor_priv", 32), out),
                 ERR_OK);
    cr_expect(vector_same(known, out, sizeof(out)));
    cr_assert_eq(roster_statement_verify(known, cluster, id, &back), ERR_OK);
    cr_expect_eq(
        roster_statement_verify(known, cluster, vector_fixed(v, "ID_joiner_pub", 32), &back),
        ERR_BAD_TAG);
    cr_expect_eq(roster_statement_verify(bytes_of(known.data, 119), cluster, id, &back),
                 ERR_MALFORMED);
    cr_assert_eq(open_ours(vector_hex(v, "one_member"), &r), ERR_OK);
    cr_assert_eq(roster_statement_apply(&r, &back), ERR_OK);
    cr_expect(r.version == 10 && vector_same(vector_hex(c, "new_spki"), r.row[0].spki_hash, 32));
    cr_expect_eq(roster_statement_apply(&r, &back), ERR_REFUSED); /* made on version 9 */
    back.roster_version = 10;
    r.row[0].state = BLOB_ROSTER_REMOVED;
    cr_expect_eq(roster_statement_apply(&r, &back), ERR_REFUSED);
}
