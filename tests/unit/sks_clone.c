/* SPDX-License-Identifier: Apache-2.0 */
/* The clone handshake: known runs, every rule of the joiner and the donor, each
 * message changed, order of the calls, wiping. */
#include "sks_vectors.h"

#include "sks/clone.h"

struct known {
    json_t *c;
    struct clone_params params;
    struct clone_own own;
    struct roster roster; /* at P's version */
    struct clone_gift gift;
    struct smk_set set;
    const uint8_t *donor_id, *joiner_id, *dk, *invite;
    struct clone_chance donor_chance, joiner_chance;
};

static uint8_t m3_made[CLONE_M3];
static struct clone_taken taken;

static struct smk_opener roster_opener(const struct smk_set *s)
{
    struct smk_opener o;
    cr_assert_eq(smk_opener_make(s, SMK_ROSTER, vector_key("cluster_id"), &o), ERR_OK);
    return o;
}

static struct clone_own own_of(const struct clone_params *p)
{
    struct clone_own own = { .purpose = p->purpose, .request = { .suite = p->suite } };
    memcpy(own.request.cluster_id, p->cluster_id, ID_SIZE);
    memcpy(own.request.invite_id, p->invite_id, ID_SIZE);
    memcpy(own.request.joiner_id, p->joiner_id, ID_SIZE);
    memcpy(own.request.id_pub, p->joiner_id_pub, 32);
    memcpy(own.request.ak_pub, p->joiner_ak_pub, 32);
    memcpy(own.request.spki_hash, p->joiner_spki, 32);
    memcpy(own.domain_id, p->domain_id, ID_SIZE);
    return own;
}

/* The sealed roster and cluster record that a run carries. */
static void fill_gift(struct known *k)
{
    k->gift.cuk = vector_key("CUK");
    k->gift.set = &k->set;
    k->gift.cluster_record = vector_hex(vector_section("cluster_record"), "record");
    k->gift.roster = vector_hex(vector_section("roster"), "two_members");
    if (k->params.purpose == CLONE_JOIN) {
        const struct bytes plain = vector_hex(k->c, "M3_plain_without_zero_tail");
        const size_t size = get_u32(plain.data + 176);
        k->gift.roster = bytes_of(plain.data + 184, size);
        k->gift.cluster_record = bytes_of(plain.data + 184 + size, get_u32(plain.data + 180));
        cr_assert_eq(184 + size + k->gift.cluster_record.size, plain.size);
    }
}

static void load(const char *name, struct known *k)
{
    memset(k, 0, sizeof(*k));
    k->c = json_object_get(vector_section("clone"), name);
    json_t *rosters = vector_section("roster");
    cr_assert_eq(smk_set_decode(vector_hex(vector_section("keys"), "smk_set_plain"), &k->set),
                 ERR_OK);
    cr_assert_eq(clone_params_decode(vector_fixed(k->c, "P", CLONE_P), &k->params), ERR_OK);
    k->own = own_of(&k->params);
    const struct smk_opener o = roster_opener(&k->set);
    const char *which = k->params.purpose == CLONE_JOIN ? "one_member" : "two_members";
    cr_assert_eq(roster_open(vector_hex(rosters, which), k->params.cluster_id, &o, &k->roster),
                 ERR_OK);
    fill_gift(k);
    k->donor_id = vector_fixed(k->c, "ID_donor_priv", 32);
    k->joiner_id = vector_fixed(k->c, "ID_joiner_priv", 32);
    k->dk = vector_key("DK");
    k->invite = k->params.purpose == CLONE_JOIN ? vector_fixed(k->c, "inv", 32) : NULL;
    memcpy(k->donor_chance.ephemeral, vector_fixed(k->c, "eD_priv", 32), 32);
    memcpy(k->donor_chance.nonce, vector_fixed(k->c, "nD", 32), 32);
    memcpy(k->joiner_chance.ephemeral, vector_fixed(k->c, "eJ_priv", 32), 32);
    memcpy(k->joiner_chance.nonce, vector_fixed(k->c, "nJ", 32), 32);
}

static struct clone_proof proof_of(const struct known *k)
{
    const struct clone_proof p = { k->joiner_id, k->dk, k->invite };
    return p;
}

static void donor_begin(const struct known *k, struct clone_donor *d, uint8_t m1[CLONE_M1])
{
    cr_assert_eq(clone_donor_begin(d, &k->params, k->donor_id, &k->donor_chance, m1), ERR_OK);
}

static void joiner_begin(const struct known *k,
                         const uint8_t m1[CLONE_M1],
                         struct clone_joiner *j,
                         uint8_t m2[CLONE_M2])
{
    const struct clone_proof proof = proof_of(k);
    const struct bytes in = bytes_of(m1, CLONE_M1);
    cr_assert_eq(clone_joiner_begin(j, in, &k->own, &k->roster, &proof, &k->joiner_chance, m2),
                 ERR_OK);
}

/* Both sides up to M3. */
static void run_to_m3(const struct known *k, struct clone_donor *d, struct clone_joiner *j)
{
    uint8_t m1[CLONE_M1], m2[CLONE_M2];
    donor_begin(k, d, m1);
    joiner_begin(k, m1, j, m2);
    cr_assert_eq(clone_donor_check_m2(d, bytes_of(m2, sizeof(m2)), k->dk, k->invite), ERR_OK);
    cr_assert_eq(clone_donor_check_rules(d, &k->roster, 1750000000, 1750000000), ERR_OK);
    cr_assert_eq(clone_donor_make_m3(d, k->donor_id, &k->gift, m3_made), ERR_OK);
}

static bool wiped(const struct clone_run *r)
{
    return bytes_all_zero(bytes_of(r, sizeof(*r)));
}

TestSuite(sks_clone, .timeout = 60);

static void expect_transcript(const struct known *k, const struct clone_run *r)
{
    cr_expect(vector_same(vector_hex(k->c, "th2"), r->th2, 32));
    cr_expect(vector_same(vector_hex(k->c, "th3"), r->th3, 32));
    cr_expect(vector_same(vector_hex(k->c, "kJ"), r->kj, 32));
    cr_expect(vector_same(vector_hex(k->c, "kD"), r->kd, 32));
    cr_expect(vector_same(vector_hex(k->c, "kS"), r->ks, 32));
}

static void expect_taken(const struct known *k)
{
    cr_expect(vector_same(vector_hex(vector_section("keys"), "CUK"), taken.cuk, 32));
    cr_expect(vector_same(k->gift.roster, taken.roster, taken.roster_size));
    cr_expect(vector_same(k->gift.cluster_record, taken.cluster_record, taken.cluster_record_size));
    cr_expect(bytes_equal(bytes_of(taken.set.tk, 32), bytes_of(k->set.tk, 32)));
    cr_expect_eq(taken.set.lk_version, k->set.lk_version);
}

static void expect_known_run(const char *name)
{
    struct known k;
    struct clone_donor d = { 0 };
    struct clone_joiner j = { 0 };
    uint8_t m1[CLONE_M1], m2[CLONE_M2], m4[CLONE_M4], hash[32];
    char words[CLONE_WORDS], other[CLONE_WORDS];
    load(name, &k);
    donor_begin(&k, &d, m1);
    cr_expect(vector_same(vector_hex(k.c, "M1"), m1, sizeof(m1)), "%s", name);
    cr_expect(vector_same(vector_hex(k.c, "sigM1"), m1 + 314, 64));
    joiner_begin(&k, m1, &j, m2);
    cr_expect(vector_same(vector_hex(k.c, "M2"), m2, sizeof(m2)), "%s", name);
    cr_assert_eq(clone_donor_check_m2(&d, bytes_of(m2, sizeof(m2)), k.dk, k.invite), ERR_OK);
    expect_transcript(&k, &d.run);
    expect_transcript(&k, &j.run);
    cr_assert_eq(clone_donor_words(&d, words), ERR_OK);
    cr_assert_eq(clone_joiner_words(&j, other), ERR_OK);
    cr_expect_str_eq(words, other);
    cr_expect(bytes_equal(vector_text(k.c, "words_text"), bytes_of_text(words)));
    cr_assert_eq(clone_donor_check_rules(&d, &k.roster, 1750000000, 1750000000), ERR_OK);
    cr_assert_eq(clone_donor_make_m3(&d, k.donor_id, &k.gift, m3_made), ERR_OK);
    const struct bytes m3 = bytes_of(m3_made, sizeof(m3_made));
    digest_sha256(&m3, 1, hash);
    cr_expect(vector_same(vector_hex(k.c, "M3_sha256"), hash, 32), "%s", name);
    cr_assert_eq(clone_joiner_take_m3(&j, m3, k.invite == NULL ? &k.set : NULL, &taken), ERR_OK);
    expect_taken(&k);
    cr_expect(vector_same(vector_hex(k.c, "th4"), j.run.th4, 32));
    cr_assert_eq(clone_joiner_make_m4(&j, m4), ERR_OK);
    cr_expect(vector_same(vector_hex(k.c, "M4"), m4, sizeof(m4)), "%s", name);
    cr_expect_eq(clone_donor_check_m4(&d, bytes_of(m4, sizeof(m4))), ERR_OK);
    cr_expect(wiped(&d.run) && wiped(&j.run));
    clone_taken_wipe(&taken);
    cr_expect(bytes_all_zero(bytes_of(&taken, sizeof(taken))));
}

Test(sks_clone, a_join_gives_the_known_messages)
{
    struct known k;
    expect_known_run("join");
    load("join", &k);
    cr_expect(vector_same(vector_hex(k.c, "M3"), m3_made, sizeof(m3_made)));
}

Test(sks_clone, an_inheritance_gives_the_known_messages)
{
    expect_known_run("inherit");
}

Test(sks_clone, a_push_gives_the_known_messages)
{
    expect_known_run("push");
}

/* J's own fields and copy of the roster as a case of M1_cases gives them. */
static struct clone_own own_of_case(json_t *o)
{
    struct clone_own own = { .purpose = (uint8_t)vector_number(o, "purpose") };
    own.request.suite = (uint8_t)vector_number(o, "suite");
    memcpy(own.request.cluster_id, vector_fixed(o, "cluster_id", ID_SIZE), ID_SIZE);
    memcpy(own.request.invite_id, vector_fixed(o, "invite_id", ID_SIZE), ID_SIZE);
    memcpy(own.request.joiner_id, vector_fixed(o, "member_id", ID_SIZE), ID_SIZE);
    memcpy(own.request.id_pub, vector_fixed(o, "IDpub", 32), 32);
    memcpy(own.request.ak_pub, vector_fixed(o, "AKpub", 32), 32);
    memcpy(own.request.spki_hash, vector_fixed(o, "spki", 32), 32);
    memcpy(own.domain_id, vector_fixed(o, "domain_id", ID_SIZE), ID_SIZE);
    return own;
}

static struct roster roster_of_case(json_t *active)
{
    struct roster r = { .version = 1 };
    const char *member = NULL;
    json_t *id = NULL;
    json_object_foreach(active, member, id)
    {
        struct blob_roster_row row = { .state = BLOB_ROSTER_ACTIVE };
        memcpy(row.member_id, vector_unhex(member).data, ID_SIZE);
        memcpy(row.id_pub, vector_unhex(json_string_value(id)).data, 32);
        cr_assert_eq(roster_put(&r, &row), ERR_OK);
    }
    return r;
}

Test(sks_clone, a_joiner_answers_only_a_right_m1)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(vector_section("clone"), "M1_cases"), i, c)
    {
        const struct clone_own own = own_of_case(json_object_get(c, "own"));
        const struct roster r = roster_of_case(json_object_get(c, "active"));
        struct clone_params p = { 0 };
        const enum err e =
            clone_joiner_check_m1(vector_hex(c, "M1"), &own, r.count == 0 ? NULL : &r, &p);
        EXPECT_VERDICT(c, e);
        cr_expect_eq(p.purpose == 0, e != ERR_OK, "%s: nothing on failure", vector_name(c));
    }
}

/* Negative cases are changes of the join run. */
static enum err judge_negative(const struct known *k, json_t *c)
{
    struct clone_donor d = { 0 };
    struct clone_joiner j = { 0 };
    uint8_t m1[CLONE_M1], m2[CLONE_M2];
    enum err e = ERR_OK;
    if (json_object_get(c, "P") != NULL) {
        struct clone_params p;
        TRY(clone_params_decode(vector_fixed(c, "P", CLONE_P), &p));
        e = clone_donor_begin(&d, &p, k->donor_id, &k->donor_chance, m1);
    } else if (json_object_get(c, "M2") != NULL) {
        const bool other_dk = json_object_get(c, "DK") != NULL;
        donor_begin(k, &d, m1);
        const uint8_t *dk = other_dk ? vector_fixed(c, "DK", 32) : k->dk;
        e = clone_donor_check_m2(&d, vector_hex(c, "M2"), dk, k->invite);
    } else {
        const size_t cut = vector_number_or(c, "M3_cut", 0);
        donor_begin(k, &d, m1);
        joiner_begin(k, m1, &j, m2);
        const struct bytes known = vector_hex(k->c, "M3");
        memcpy(m3_made, known.data, known.size);
        if (cut == 0) {
            const size_t at = vector_number(c, "M3_flip_at");
            /* "byte 100 of the ciphertext" begins behind sigD and macD */
            m3_made[strstr(vector_name(c), "ciphertext") != NULL ? 96 + at : at] ^= 1;
        }
        e = clone_joiner_take_m3(&j, bytes_of(m3_made, sizeof(m3_made) - cut), NULL, &taken);
    }
    cr_expect(wiped(&d.run) || d.run.step == CLONE_BEGUN);
    cr_expect(wiped(&j.run));
    return e;
}

Test(sks_clone, every_negative_case_gets_its_verdict)
{
    struct known k;
    json_t *c = NULL;
    size_t i = 0;
    load("join", &k);
    json_array_foreach(json_object_get(vector_section("clone"), "negative"), i, c)
    {
        EXPECT_VERDICT(c, judge_negative(&k, c));
    }
}

Test(sks_clone, each_message_with_a_byte_changed_ends_the_run)
{
    struct known k;
    uint8_t m1[CLONE_M1], m2[CLONE_M2], m4[CLONE_M4] = { 0 };
    load("join", &k);
    const struct clone_proof proof = proof_of(&k);
    for (size_t at = 0; at < CLONE_M1; at++) {
        struct clone_joiner j = { 0 };
        memcpy(m1, vector_fixed(k.c, "M1", CLONE_M1), CLONE_M1);
        m1[at] ^= 0x40;
        cr_expect_neq(clone_joiner_begin(&j, bytes_of(m1, CLONE_M1), &k.own, &k.roster, &proof,
                                         &k.joiner_chance, m2),
                      ERR_OK);
        cr_expect(wiped(&j.run), "%zu", at);
    }
    for (size_t at = 0; at < CLONE_M2; at++) {
        struct clone_donor d = { 0 };
        donor_begin(&k, &d, m1);
        memcpy(m2, vector_fixed(k.c, "M2", CLONE_M2), CLONE_M2);
        m2[at] ^= 0x40;
        cr_expect_neq(clone_donor_check_m2(&d, bytes_of(m2, CLONE_M2), k.dk, k.invite), ERR_OK);
        cr_expect(wiped(&d.run), "%zu", at);
    }
    for (size_t at = 0; at < CLONE_M3; at += 61) {
        struct clone_donor d = { 0 };
        struct clone_joiner j = { 0 };
        run_to_m3(&k, &d, &j);
        m3_made[at] ^= 0x40;
        cr_expect_eq(clone_joiner_take_m3(&j, bytes_of(m3_made, CLONE_M3), NULL, &taken),
                     ERR_BAD_TAG);
        cr_expect(wiped(&j.run) && bytes_all_zero(bytes_of(&taken, sizeof(taken))), "%zu", at);
        cr_expect_eq(clone_donor_check_m4(&d, bytes_of(m4, sizeof(m4))), ERR_BAD_TAG);
        cr_expect(wiped(&d.run));
    }
}

/* The donor's rules on a run whose M2 was right. */
static enum err rules_with(const struct known *k,
                           const struct roster *r,
                           uint64_t beacon,
                           uint64_t now)
{
    struct clone_donor d = { 0 };
    struct clone_joiner j = { 0 };
    uint8_t m1[CLONE_M1], m2[CLONE_M2];
    donor_begin(k, &d, m1);
    joiner_begin(k, m1, &j, m2);
    cr_assert_eq(clone_donor_check_m2(&d, bytes_of(m2, sizeof(m2)), k->dk, k->invite), ERR_OK);
    const enum err e = clone_donor_check_rules(&d, r, beacon, now);
    cr_expect_eq(wiped(&d.run), e != ERR_OK);
    clone_donor_drop(&d);
    clone_joiner_drop(&j);
    return e;
}

Test(sks_clone, a_donor_gives_only_to_whom_the_roster_lets)
{
    struct known k;
    load("inherit", &k);
    const uint64_t now = 1750000000;
    struct roster r = k.roster;
    cr_expect_eq(rules_with(&k, &r, now - 7200, now), ERR_OK);
    cr_expect_eq(rules_with(&k, &r, now - 7201, now), ERR_REFUSED);
    cr_expect_eq(rules_with(&k, &r, 0, now), ERR_REFUSED);
    r.version++;
    cr_expect_eq(rules_with(&k, &r, now, now), ERR_REFUSED);
    r = k.roster;
    roster_find(&r, k.params.joiner_id)->state = BLOB_ROSTER_REMOVED;
    cr_expect_eq(rules_with(&k, &r, now, now), ERR_REFUSED);
    r = k.roster;
    roster_find(&r, k.params.joiner_id)->id_pub[0] ^= 1;
    cr_expect_eq(rules_with(&k, &r, now, now), ERR_REFUSED);
    load("join", &k);
    r = k.roster;
    cr_expect_eq(rules_with(&k, &r, 0, now), ERR_OK);
    struct blob_roster_row row = { .state = BLOB_ROSTER_REMOVED, .suite = 1 };
    memcpy(row.member_id, k.params.joiner_id, ID_SIZE);
    cr_assert_eq(roster_put(&r, &row), ERR_OK);
    cr_expect_eq(rules_with(&k, &r, 0, now), ERR_REFUSED);
}

Test(sks_clone, a_joiner_takes_no_lower_login_key_on_inherit_or_push)
{
    struct known k;
    struct clone_donor d = { 0 };
    struct clone_joiner j = { 0 };
    load("push", &k);
    struct smk_set own = k.set;
    own.lk_version++;
    run_to_m3(&k, &d, &j);
    cr_expect_eq(clone_joiner_take_m3(&j, bytes_of(m3_made, CLONE_M3), &own, &taken), ERR_REFUSED);
    cr_expect(wiped(&j.run));
    own = k.set;
    own.lk_private[0] ^= 8;
    run_to_m3(&k, &d, &j);
    cr_expect_eq(clone_joiner_take_m3(&j, bytes_of(m3_made, CLONE_M3), &own, &taken), ERR_REFUSED);
}

Test(sks_clone, a_run_knows_its_order)
{
    struct known k;
    struct clone_donor d = { 0 };
    struct clone_joiner j = { 0 };
    uint8_t m1[CLONE_M1], m2[CLONE_M2], m4[CLONE_M4];
    char words[CLONE_WORDS];
    load("join", &k);
    cr_expect_eq(clone_donor_check_m2(&d, bytes_of(m2, sizeof(m2)), k.dk, k.invite),
                 ERR_WRONG_STATE);
    cr_expect_eq(clone_joiner_make_m4(&j, m4), ERR_WRONG_STATE);
    cr_expect_eq(clone_donor_words(&d, words), ERR_WRONG_STATE);
    donor_begin(&k, &d, m1);
    cr_expect_eq(clone_donor_make_m3(&d, k.donor_id, &k.gift, m3_made), ERR_WRONG_STATE);
    donor_begin(&k, &d, m1);
    joiner_begin(&k, m1, &j, m2);
    cr_assert_eq(clone_donor_check_m2(&d, bytes_of(m2, sizeof(m2)), k.dk, k.invite), ERR_OK);
    cr_expect_eq(clone_donor_make_m3(&d, k.donor_id, &k.gift, m3_made),
                 ERR_WRONG_STATE); /* rules unseen */
    cr_expect(wiped(&d.run));
    run_to_m3(&k, &d, &j);
    cr_assert_eq(clone_joiner_take_m3(&j, bytes_of(m3_made, CLONE_M3), NULL, &taken), ERR_OK);
    cr_expect_eq(clone_joiner_take_m3(&j, bytes_of(m3_made, CLONE_M3), NULL, &taken),
                 ERR_WRONG_STATE);
    donor_begin(&k, &d, m1);
    cr_expect_eq(clone_donor_check_m2(&d, bytes_of(m2, sizeof(m2)), k.dk, NULL), ERR_WRONG_STATE);
}

Test(sks_clone, a_gift_that_does_not_fit_is_not_sent)
{
    struct known k;
    struct clone_donor d = { 0 };
    struct clone_joiner j = { 0 };
    uint8_t m1[CLONE_M1], m2[CLONE_M2];
    static uint8_t big[CLONE_M3_PLAIN];
    load("join", &k);
    donor_begin(&k, &d, m1);
    joiner_begin(&k, m1, &j, m2);
    cr_assert_eq(clone_donor_check_m2(&d, bytes_of(m2, sizeof(m2)), k.dk, k.invite), ERR_OK);
    cr_assert_eq(clone_donor_check_rules(&d, &k.roster, 0, 1750000000), ERR_OK);
    k.gift.roster = bytes_of(big, sizeof(big));
    cr_expect_eq(clone_donor_make_m3(&d, k.donor_id, &k.gift, m3_made), ERR_TOO_LARGE);
    cr_expect(wiped(&d.run));
}

Test(sks_clone, the_clear_request_has_145_bytes)
{
    struct known k;
    struct clone_request back;
    struct clone_chance a, b;
    uint8_t out[CLONE_REQUEST];
    load("join", &k);
    clone_request_encode(&k.own.request, out);
    cr_assert_eq(clone_request_decode(bytes_of(out, sizeof(out)), &back), ERR_OK);
    cr_expect(bytes_equal(bytes_of(&back, sizeof(back)), bytes_of(&k.own.request, sizeof(back))));
    cr_expect_eq(clone_request_decode(bytes_of(out, sizeof(out) - 1), &back), ERR_MALFORMED);
    memset(out + 32, 0, ID_SIZE);
    cr_expect_eq(clone_request_decode(bytes_of(out, sizeof(out)), &back), ERR_MALFORMED);
    cr_assert_eq(clone_chance_draw(&a), ERR_OK);
    cr_assert_eq(clone_chance_draw(&b), ERR_OK);
    cr_expect_not(bytes_equal(bytes_of(&a, sizeof(a)), bytes_of(&b, sizeof(b))));
    clone_chance_wipe(&a);
    cr_expect(bytes_all_zero(bytes_of(&a, sizeof(a))));
}
