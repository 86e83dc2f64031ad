/* SPDX-License-Identifier: Apache-2.0 */
/* Key hierarchy, SMK set and state slots against the known answers. */
#include "sks_vectors.h"

#include "sks/smk.h"

TestSuite(sks_smk, .timeout = 60);

static void expect_key(const char *name, const uint8_t *got, size_t size)
{
    const struct bytes want = vector_hex(vector_section("keys"), name);
    cr_expect(vector_same(want, got, size), "%s", name);
}

Test(sks_smk, every_derivation_gives_the_known_key)
{
    static const struct {
        enum smk_use use;
        const char *name;
    } uses[] = { { SMK_RECORD, "REC" },
                 { SMK_ROSTER, "ROS" },
                 { SMK_INVITE, "INV" },
                 { SMK_SYSTEM, "SYS" },
                 { SMK_CLUSTER_RECORD, "CREC" } };
    const uint8_t *kr = vector_key("keyring_id");
    const uint8_t *cluster = vector_key("cluster_id");
    uint8_t id[ID_SIZE], key[CRYPT_KEY];
    cr_assert_eq(smk_id(vector_key("SMK"), id), ERR_OK);
    expect_key("smk_id", id, sizeof(id));
    cr_assert_eq(smk_id(vector_key("SMK_old"), id), ERR_OK);
    expect_key("smk_old_id", id, sizeof(id));
    cr_assert_eq(smk_tk_id(vector_key("TK"), id), ERR_OK);
    expect_key("tk_id", id, sizeof(id));
    cr_assert_eq(smk_kk_id(vector_key("KK"), kr, id), ERR_OK);
    expect_key("kk_id", id, sizeof(id));
    cr_assert_eq(smk_kk_id(vector_key("CUK"), cluster, id), ERR_OK);
    expect_key("cuk_id", id, sizeof(id));
    cr_assert_eq(smk_share(vector_key("SMK"), kr, key), ERR_OK);
    expect_key("KS", key, sizeof(key));
    cr_assert_eq(smk_share(vector_key("SMK_old"), kr, key), ERR_OK);
    expect_key("KS_old", key, sizeof(key));
    cr_assert_eq(smk_public(vector_key("SMK"), kr, key), ERR_OK);
    expect_key("PUB", key, sizeof(key));
    cr_assert_eq(smk_public(vector_key("SMK_old"), kr, key), ERR_OK);
    expect_key("PUB_old", key, sizeof(key));
    for (unsigned i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        cr_assert_eq(smk_cluster_key(vector_key("SMK"), uses[i].use, cluster, key), ERR_OK);
        expect_key(uses[i].name, key, sizeof(key));
    }
    const uint8_t *kk = vector_key("KK"), *kk_id = vector_key("kk_id");
    cr_assert_eq(smk_blob_key(kk, vector_key("KS"), vector_key("smk_id"), kr, kk_id, key), ERR_OK);
    expect_key("BK", key, sizeof(key));
    cr_assert_eq(smk_blob_key(kk, vector_key("KS_old"), vector_key("smk_old_id"), kr, kk_id, key),
                 ERR_OK);
    expect_key("BK_old", key, sizeof(key));
    cr_assert_eq(smk_state_key(vector_key("MTK"), vector_key("core_id"), key), ERR_OK);
    expect_key("STK", key, sizeof(key));
}

Test(sks_smk, domain_key_is_scrypt_of_the_text)
{
    uint8_t key[CRYPT_KEY];
    const struct bytes text = vector_text(vector_section("keys"), "domain_secret_text");
    cr_assert_eq(smk_domain_key(text, vector_key("domain_id"), key), ERR_OK);
    expect_key("DK", key, sizeof(key));
}

Test(sks_smk, public_keys_of_the_key_pairs)
{
    uint8_t pub[32];
    cr_assert_eq(x25519_public(vector_key("LK_priv"), pub), ERR_OK);
    expect_key("LK_pub", pub, sizeof(pub));
    cr_assert_eq(x25519_public(vector_key("LK2_priv"), pub), ERR_OK);
    expect_key("LK2_pub", pub, sizeof(pub));
    cr_assert_eq(x25519_public(vector_key("AK_priv"), pub), ERR_OK);
    expect_key("AK_pub", pub, sizeof(pub));
}

Test(sks_smk, the_set_encodes_and_opens_as_known)
{
    json_t *keys = vector_section("keys");
    const uint8_t *cuk = vector_key("CUK"), *cluster = vector_key("cluster_id");
    const struct bytes sealed = vector_hex(keys, "smk_set_sealed");
    struct smk_set s = { 0 };
    uint8_t plain[SMK_SET_SIZE], out[SMK_SET_SEALED];
    cr_assert_eq(smk_set_open(sealed, cuk, cluster, &s), ERR_OK);
    cr_expect(vector_same(vector_hex(keys, "SMK"), s.primary, CRYPT_KEY));
    cr_expect(vector_same(vector_hex(keys, "LK_priv"), s.lk_private, CRYPT_KEY));
    cr_expect(vector_same(vector_hex(keys, "TK"), s.tk, CRYPT_KEY));
    cr_expect_eq(s.lk_version, vector_number(keys, "lk_version"));
    smk_set_encode(&s, plain);
    cr_expect(vector_same(vector_hex(keys, "smk_set_plain"), plain, sizeof(plain)));
    const uint8_t *nonce = vector_fixed(keys, "smk_set_nonce", CRYPT_NONCE);
    cr_assert_eq(smk_set_seal_with(&s, cuk, cluster, nonce, out), ERR_OK);
    cr_expect(vector_same(sealed, out, sizeof(out)));
    s.count = 1;
    smk_set_encode(&s, plain);
    cr_expect(vector_same(vector_hex(keys, "smk_set_plain_no_rollover"), plain, sizeof(plain)));
    cr_assert_eq(smk_set_seal(&s, cuk, cluster, out), ERR_OK);
    cr_expect_eq(smk_set_open(bytes_of(out, sizeof(out)), cuk, cluster, &s), ERR_OK);
    cr_expect_eq(smk_set_open(bytes_of(out, sizeof(out)), cuk, vector_key("domain_id"), &s),
                 ERR_BAD_TAG);
    cr_expect_eq(smk_set_open(bytes_of(out, sizeof(out) - 1), cuk, cluster, &s), ERR_MALFORMED);
    for (size_t bit = 0; bit < sizeof(out) * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_eq(smk_set_open(bytes_of(out, sizeof(out)), cuk, cluster, &s), ERR_BAD_TAG);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(sks_smk, which_set_a_core_takes)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("smk_set_cases"), i, c)
    {
        const bool has_own = !json_is_null(json_object_get(c, "own"));
        struct smk_set own = { 0 }, next = { 0 };
        if (has_own) {
            cr_assert_eq(smk_set_decode(vector_hex(c, "own"), &own), ERR_OK);
        }
        enum err e = smk_set_decode(vector_hex(c, "new"), &next);
        if (e == ERR_OK) {
            e = smk_set_accept(has_own ? &own : NULL, &next);
        }
        EXPECT_VERDICT(c, e);
    }
    json_array_foreach(vector_section("lk_version_cases"), i, c)
    {
        const uint64_t next = smk_lk_version_next(vector_number(c, "old"), vector_number(c, "now"));
        cr_expect_eq(next, vector_number(c, "new"), "case %zu", i);
    }
}

Test(sks_smk, openers_know_primary_and_rollover)
{
    struct smk_set s = { 0 };
    struct smk_opener o;
    const uint8_t *key = NULL;
    cr_assert_eq(smk_set_decode(vector_hex(vector_section("keys"), "smk_set_plain"), &s), ERR_OK);
    cr_assert_eq(smk_opener_make(&s, SMK_RECORD, vector_key("cluster_id"), &o), ERR_OK);
    cr_assert_eq(smk_opener_find(&o, vector_key("smk_id"), &key), ERR_OK);
    cr_expect(vector_same(vector_hex(vector_section("keys"), "REC"), key, CRYPT_KEY));
    cr_expect_eq(o.count, 2);
    cr_expect_eq(smk_opener_find(&o, o.key[1].smk_id, &key), ERR_OK);
    cr_expect_eq(smk_opener_find(&o, vector_key("tk_id"), &key), ERR_WRONG_KEY);
    smk_opener_wipe(&o);
    cr_expect(bytes_all_zero(bytes_of(&o, sizeof(o))));
}

Test(sks_smk, a_state_slot_opens_only_whole_and_at_home)
{
    json_t *c = vector_section("state_slot");
    const struct bytes want = vector_hex(c, "slot"), body = vector_hex(c, "body");
    const uint8_t *stk = vector_key("STK"), *core = vector_key("core_id");
    const uint64_t sequence = vector_number(c, "seq");
    BUF_SCOPED slot = { 0 };
    SECRET_SCOPED opened = { 0 };
    uint8_t id[ID_SIZE];
    uint64_t seen = 0;
    const uint8_t *nonce = vector_fixed(c, "nonce", CRYPT_NONCE);
    cr_assert_eq(smk_slot_seal_with(stk, core, sequence, body, nonce, &slot), ERR_OK);
    cr_expect(bytes_equal(buf_bytes(&slot), want));
    cr_expect_eq(smk_slot_file(sequence), vector_number(c, "file_index"));
    cr_assert_eq(smk_slot_core_id(want, id), ERR_OK);
    cr_expect(vector_same(vector_hex(vector_section("keys"), "core_id"), id, ID_SIZE));
    cr_assert_eq(smk_slot_open(want, stk, core, &seen, &opened), ERR_OK);
    cr_expect(seen == sequence && bytes_equal(secret_bytes(&opened), body));
    secret_drop(&opened);
    cr_expect_eq(smk_slot_open(want, stk, vector_key("donor_id"), &seen, &opened), ERR_WRONG_KEY);
    for (size_t bit = 0; bit < want.size * 8; bit++) {
        slot.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(smk_slot_open(buf_bytes(&slot), stk, core, &seen, &opened), ERR_OK, "bit %zu",
                      bit);
        slot.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < want.size; size++) {
        cr_expect_eq(smk_slot_open(bytes_of(want.data, size), stk, core, &seen, &opened),
                     ERR_MALFORMED);
    }
    buf_clear(&slot);
    cr_assert_eq(smk_slot_seal(stk, core, 8, bytes_of(NULL, 0), &slot), ERR_OK);
    cr_expect_eq(smk_slot_open(buf_bytes(&slot), stk, core, &seen, &opened), ERR_OK);
    cr_expect(seen == 8 && opened.size == 0);
}
