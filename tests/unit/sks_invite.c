/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed invites and when one is spent. */
#include "sks_vectors.h"

#include "sks/invite.h"

static struct smk_opener opener;

static void setup(void)
{
    struct smk_set s = { 0 };
    cr_assert_eq(smk_set_decode(vector_hex(vector_section("keys"), "smk_set_plain"), &s), ERR_OK);
    cr_assert_eq(smk_opener_make(&s, SMK_INVITE, vector_key("cluster_id"), &opener), ERR_OK);
}

TestSuite(sks_invite, .init = setup, .timeout = 60);

static enum err open_at(struct bytes sealed, uint64_t now, struct invite *i)
{
    return invite_open(sealed, vector_key("cluster_id"), &opener, now, i);
}

Test(sks_invite, the_known_invite_opens_in_its_time_and_seals_to_the_same_bytes)
{
    json_t *v = vector_section("invite"), *c = NULL;
    const struct bytes sealed = vector_hex(v, "sealed");
    const uint8_t *cluster = vector_key("cluster_id");
    struct invite i = { .expiry = vector_number(v, "expiry") };
    uint8_t out[BLOB_INVITE_SIZE];
    size_t n = 0;
    memcpy(i.invite_id, vector_fixed(v, "invite_id", ID_SIZE), ID_SIZE);
    memcpy(i.secret, vector_fixed(v, "secret", 32), 32);
    cr_assert_eq(invite_seal_with(&i, cluster, &opener, vector_fixed(v, "nonce", CRYPT_NONCE), out),
                 ERR_OK);
    cr_expect(vector_same(sealed, out, sizeof(out)));
    json_array_foreach(json_object_get(v, "cases"), n, c)
    {
        EXPECT_VERDICT(c, open_at(sealed, vector_number(c, "now"), &i));
    }
    json_array_foreach(json_object_get(v, "negative"), n, c)
    {
        EXPECT_VERDICT(c, open_at(vector_hex(c, "sealed"), vector_number(c, "now"), &i));
    }
    cr_expect_eq(invite_open(sealed, vector_key("domain_id"), &opener, 1750000000, &i),
                 ERR_WRONG_KEY);
}

Test(sks_invite, every_flipped_bit_and_every_truncation_is_refused)
{
    const struct bytes sealed = vector_hex(vector_section("invite"), "sealed");
    struct invite i = { 0 };
    uint8_t copy[BLOB_INVITE_SIZE];
    memcpy(copy, sealed.data, sizeof(copy));
    for (size_t bit = 0; bit < sizeof(copy) * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(open_at(bytes_of(copy, sizeof(copy)), 1750000000, &i), ERR_OK, "bit %zu",
                      bit);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < sizeof(copy); size++) {
        cr_expect_eq(open_at(bytes_of(copy, size), 1750000000, &i), ERR_MALFORMED);
    }
}

Test(sks_invite, is_spent_once_and_only_by_a_committed_command)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("invite_spend_cases"), i, c)
    {
        EXPECT_VERDICT(c, invite_spend_check(vector_bool(c, "in_own_list"),
                                             vector_bool(c, "row_spent"),
                                             vector_bool(c, "command_committed")));
    }
}

Test(sks_invite, drawn_invites_differ)
{
    struct invite a, b;
    uint8_t out[BLOB_INVITE_SIZE];
    cr_assert_eq(invite_draw(2000, &a), ERR_OK);
    cr_assert_eq(invite_draw(2000, &b), ERR_OK);
    cr_expect_not(bytes_equal(bytes_of(a.secret, 32), bytes_of(b.secret, 32)));
    cr_assert_eq(invite_seal(&a, vector_key("cluster_id"), &opener, out), ERR_OK);
    cr_expect_eq(open_at(bytes_of(out, sizeof(out)), 1000, &b), ERR_OK);
    cr_expect(bytes_equal(bytes_of(a.secret, 32), bytes_of(b.secret, 32)) && b.expiry == 2000);
    invite_wipe(&b);
    cr_expect(bytes_all_zero(bytes_of(&b, sizeof(b))));
}
