/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes, revealed values, login keys, invite token, words. */
#include "sks_vectors.h"

#include "proto/envelope.h"

TestSuite(proto_envelope, .timeout = 60);

/* ---- PIN envelopes ---- */

static void expect_pin_seal(json_t *c, const uint8_t *recipient, const struct envelope_pin *pin)
{
    uint8_t pub[32], out[ENVELOPE_PIN];
    const uint8_t *context = vector_fixed(c, "ctx", ENVELOPE_PIN_CONTEXT);
    cr_assert_eq(x25519_public(recipient, pub), ERR_OK);
    cr_assert_eq(envelope_pin_seal_with(pub, context, pin, vector_fixed(c, "e_priv", 32), out),
                 ERR_OK);
    cr_expect(vector_same(vector_hex(c, "envelope"), out, sizeof(out)), "%s", vector_name(c));
}

static struct envelope_context context_of(const char *cluster,
                                          const char *kr,
                                          unsigned role,
                                          const char *spki)
{
    struct envelope_context c = { .role = (uint8_t)role };
    if (cluster != NULL) {
        memcpy(c.cluster_id, vector_key(cluster), ID_SIZE);
    }
    memcpy(c.challenge, vector_key("challenge"), ID_SIZE);
    memcpy(c.kr_id, vector_key(kr), ID_SIZE);
    if (spki != NULL) {
        memcpy(c.client_spki, vector_key(spki), 32);
    }
    return c;
}

Test(proto_envelope, known_pin_envelopes_open_and_seal_to_the_same_bytes)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("pin_envelope"), i, c)
    {
        const uint8_t *context = vector_fixed(c, "ctx", ENVELOPE_PIN_CONTEXT);
        const struct bytes pin = vector_hex(c, "pin"), new_pin = vector_hex(c, "new_pin");
        struct envelope_pin p = { 0 }, filled;
        cr_assert_eq(
            envelope_pin_open(vector_hex(c, "envelope"), vector_key("LK_priv"), context, &p),
            ERR_OK);
        cr_expect_eq(p.verb, vector_number(c, "verb"));
        cr_expect(vector_same(pin, p.pin, p.pin_size) &&
                  vector_same(new_pin, p.new_pin, p.new_pin_size));
        cr_expect(vector_same(vector_hex(vector_section("keys"), "ts"), p.ts, sizeof(p.ts)));
        cr_assert_eq(envelope_pin_fill(p.verb, pin, new_pin, p.ts, &filled), ERR_OK);
        cr_expect(bytes_equal(bytes_of(&p, sizeof(p)), bytes_of(&filled, sizeof(filled))));
        expect_pin_seal(c, vector_key("LK_priv"), &filled);
        cr_expect_eq(envelope_pin_check_set(&p, vector_key("ts")), ERR_OK);
        const struct envelope_context built =
            context_of("cluster_id", "keyring_id", 6, "client_spki");
        uint8_t out[ENVELOPE_PIN_CONTEXT];
        envelope_pin_context(&built, out);
        cr_expect(vector_same(vector_hex(c, "ctx"), out, sizeof(out)));
        envelope_pin_wipe(&p);
        cr_expect(bytes_all_zero(bytes_of(&p, sizeof(p))));
    }
}

Test(proto_envelope, the_hsm_so_seals_to_ak_before_there_is_a_cluster)
{
    json_t *c = vector_section("pin_envelope_hsm_so");
    const uint8_t *context = vector_fixed(c, "ctx", ENVELOPE_PIN_CONTEXT);
    const struct envelope_context built = context_of(NULL, "core_id", 1, NULL);
    struct envelope_pin p = { 0 };
    uint8_t out[ENVELOPE_PIN_CONTEXT];
    envelope_pin_context(&built, out);
    cr_expect(vector_same(vector_hex(c, "ctx"), out, sizeof(out)));
    cr_assert_eq(envelope_pin_open(vector_hex(c, "envelope"), vector_key("AK_priv"), context, &p),
                 ERR_OK);
    expect_pin_seal(c, vector_key("AK_priv"), &p);
}

Test(proto_envelope, every_negative_pin_case_gets_its_verdict)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("pin_envelope_negative"), i, c)
    {
        struct envelope_pin p = { 0 };
        enum err e = envelope_pin_open(vector_hex(c, "envelope"), vector_key("LK_priv"),
                                       vector_fixed(c, "ctx", ENVELOPE_PIN_CONTEXT), &p);
        if (e == ERR_OK) {
            e = envelope_pin_check_set(&p, vector_key("ts"));
        }
        EXPECT_VERDICT(c, e);
    }
}

Test(proto_envelope, every_flipped_bit_of_a_pin_envelope_is_refused)
{
    json_t *c = json_array_get(vector_section("pin_envelope"), 0);
    const uint8_t *context = vector_fixed(c, "ctx", ENVELOPE_PIN_CONTEXT);
    const uint8_t *lk = vector_key("LK_priv");
    struct envelope_pin p = { 0 };
    uint8_t copy[ENVELOPE_PIN];
    memcpy(copy, vector_fixed(c, "envelope", ENVELOPE_PIN), sizeof(copy));
    for (size_t bit = 0; bit < sizeof(copy) * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(envelope_pin_open(bytes_of(copy, sizeof(copy)), lk, context, &p), ERR_OK,
                      "bit %zu", bit);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < sizeof(copy); size++) {
        cr_expect_eq(envelope_pin_open(bytes_of(copy, size), lk, context, &p), ERR_MALFORMED);
    }
}

Test(proto_envelope, pins_fit_their_verb)
{
    struct envelope_pin p, q;
    uint8_t pub[32], context[ENVELOPE_PIN_CONTEXT] = { 0 }, out[ENVELOPE_PIN];
    const char long_one[256] = { 'x' };
    const struct bytes pin = bytes_of("abcdefgh", 8), none = bytes_of(NULL, 0);
    cr_expect_eq(envelope_pin_fill(ENVELOPE_LOGIN, none, none, NULL, &p), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_pin_fill(ENVELOPE_LOGIN, pin, pin, NULL, &p), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_pin_fill(ENVELOPE_CHANGE, pin, none, NULL, &p), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_pin_fill(ENVELOPE_SET, pin, pin, NULL, &p), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_pin_fill(0, pin, pin, NULL, &p), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_pin_fill(4, pin, pin, NULL, &p), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_pin_fill(ENVELOPE_LOGIN, bytes_of(long_one, 256), none, NULL, &p),
                 ERR_PIN_LENGTH);
    cr_assert_eq(envelope_pin_fill(ENVELOPE_LOGIN, bytes_of(long_one, 255), none, NULL, &p),
                 ERR_OK);
    cr_expect_not(bytes_all_zero(bytes_of(p.ts, sizeof(p.ts))));
    cr_assert_eq(x25519_public(vector_key("LK_priv"), pub), ERR_OK);
    cr_assert_eq(envelope_pin_seal(pub, context, &p, out), ERR_OK);
    cr_assert_eq(envelope_pin_open(bytes_of(out, sizeof(out)), vector_key("LK_priv"), context, &q),
                 ERR_OK);
    cr_expect(bytes_equal(bytes_of(&p, sizeof(p)), bytes_of(&q, sizeof(q))));
    cr_expect_eq(envelope_pin_open(bytes_of(out, sizeof(out)), vector_key("AK_priv"), context, &q),
                 ERR_BAD_TAG);
}

/* ---- Import and reveal ---- */

static enum err open_import(struct bytes envelope,
                            const uint8_t *context,
                            uint8_t *out,
                            size_t *size)
{
    uint8_t k[CRYPT_KEY];
    TRY(envelope_import_key(envelope.data, vector_key("LK_priv"), context, k));
    return envelope_import_open(envelope, k, context, out, size);
}

Test(proto_envelope, a_key_is_imported_in_two_halves)
{
    json_t *v = vector_section("import_envelope"), *c = NULL;
    const struct bytes known = vector_hex(v, "envelope"), material = vector_hex(v, "material");
    const struct envelope_context built = context_of("cluster_id", "keyring_id", 0, "client_spki");
    uint8_t context[ENVELOPE_IMPORT_CONTEXT], pub[32], k[CRYPT_KEY], opened[1024], sealed[1024];
    size_t size = 0, i = 0;
    envelope_import_context(&built, vector_hex(v, "template"), context);
    cr_expect(vector_same(vector_hex(v, "ctx"), context, sizeof(context)));
    cr_assert_eq(envelope_import_key(known.data, vector_key("LK_priv"), context, k), ERR_OK);
    cr_expect(vector_same(vector_hex(v, "k"), k, sizeof(k)));
    cr_assert_eq(envelope_import_open(known, k, context, opened, &size), ERR_OK);
    cr_expect(vector_same(material, opened, size));
    cr_assert_eq(x25519_public(vector_key("LK_priv"), pub), ERR_OK);
    const uint8_t *e = vector_fixed(v, "e_priv", 32);
    cr_assert_eq(envelope_import_seal_with(pub, context, material, e, sealed), ERR_OK);
    cr_expect(vector_same(known, sealed, material.size + ENVELOPE_IMPORT_OVERHEAD));
    json_array_foreach(json_object_get(v, "negative"), i, c)
    {
        EXPECT_VERDICT(
            c, open_import(vector_hex(c, "envelope"), vector_hex(c, "ctx").data, opened, &size));
    }
    memset(sealed, 0, sizeof(sealed));
    cr_expect_eq(open_import(bytes_of(sealed, 84), context, opened, &size), ERR_REFUSED);
    cr_expect_eq(envelope_import_open(bytes_of(known.data, 51), k, context, opened, &size),
                 ERR_MALFORMED);
}

Test(proto_envelope, imports_have_at_most_16_kib)
{
    static uint8_t material[LIMIT_IMPORT_MATERIAL + 1], sealed[ENVELOPE_IMPORT_MAX + 1],
        opened[ENVELOPE_IMPORT_MAX];
    uint8_t context[ENVELOPE_IMPORT_CONTEXT] = { 0 }, pub[32];
    size_t size = 0;
    cr_assert_eq(x25519_public(vector_key("LK_priv"), pub), ERR_OK);
    cr_expect_eq(envelope_import_seal(pub, context, bytes_of(material, sizeof(material)), sealed),
                 ERR_TOO_LARGE);
    cr_assert_eq(
        envelope_import_seal(pub, context, bytes_of(material, LIMIT_IMPORT_MATERIAL), sealed),
        ERR_OK);
    cr_assert_eq(open_import(bytes_of(sealed, ENVELOPE_IMPORT_MAX), context, opened, &size),
                 ERR_OK);
    cr_expect_eq(size, LIMIT_IMPORT_MATERIAL);
    cr_expect_eq(open_import(bytes_of(sealed, sizeof(sealed)), context, opened, &size),
                 ERR_MALFORMED);
    cr_assert_eq(envelope_import_seal(pub, context, bytes_of(NULL, 0), sealed), ERR_OK);
    cr_assert_eq(open_import(bytes_of(sealed, ENVELOPE_IMPORT_OVERHEAD), context, opened, &size),
                 ERR_OK);
    cr_expect_eq(size, 0);
}

Test(proto_envelope, a_value_is_revealed_to_ts_and_request_id)
{
    json_t *v = vector_section("reveal");
    const uint8_t *ts = vector_fixed(v, "ts", 32), *id = vector_fixed(v, "request_id", ID_SIZE);
    const struct bytes value = vector_hex(v, "value"), known = vector_hex(v, "sealed");
    uint8_t out[256];
    cr_assert_eq(
        envelope_reveal_seal_with(ts, id, value, vector_fixed(v, "nonce", CRYPT_NONCE), out),
        ERR_OK);
    cr_expect(vector_same(known, out, value.size + ENVELOPE_REVEAL_OVERHEAD));
    cr_assert_eq(envelope_reveal_open(known, ts, id, out), ERR_OK);
    cr_expect(vector_same(value, out, value.size));
    cr_expect_eq(envelope_reveal_open(known, ts, vector_key("challenge"), out), ERR_BAD_TAG);
    cr_expect_eq(envelope_reveal_open(known, vector_key("KK"), id, out), ERR_BAD_TAG);
    cr_expect_eq(envelope_reveal_open(bytes_of(known.data, 39), ts, id, out), ERR_MALFORMED);
    cr_assert_eq(envelope_reveal_seal(ts, id, value, out), ERR_OK);
    cr_expect_eq(envelope_reveal_open(bytes_of(out, known.size), ts, id, out + 128), ERR_OK);
}

/* ---- Login keys ---- */

static struct envelope_pinned pinned_of(json_t *p)
{
    struct envelope_pinned out = { .lk_version = vector_number(p, "lk_version") };
    memcpy(out.lk_pub, vector_fixed(p, "LKpub", 32), 32);
    cr_assert_eq(envelope_identities_decode(vector_hex(p, "I"), &out.identities), ERR_OK);
    return out;
}

Test(proto_envelope, the_known_statement_and_list)
{
    json_t *v = vector_section("login_key");
    const uint8_t *cluster = vector_key("cluster_id"), *id = vector_fixed(v, "ID_priv", 32);
    const struct bytes l = vector_hex(v, "L_new"), list = vector_hex(v, "I_new");
    struct envelope_login_key key;
    struct envelope_identities i;
    uint8_t out[ENVELOPE_LOGIN_KEY], encoded[ENVELOPE_IDENTITIES_MAX], pub[32], hash[32];
    cr_assert_eq(envelope_login_key_sign(vector_fixed(v, "LKpub", 32),
                                         vector_number(v, "lk_version"), vector_number(v, "time"),
                                         vector_key("donor_id"), cluster, id, out),
                 ERR_OK);
    cr_expect(vector_same(l, out, sizeof(out)));
    cr_assert_eq(ed25519_public(id, pub), ERR_OK);
    cr_expect_eq(envelope_login_key_verify(l, cluster, pub), ERR_OK);
    cr_expect_eq(envelope_login_key_verify(l, vector_key("domain_id"), pub), ERR_BAD_TAG);
    cr_assert_eq(envelope_login_key_parse(l, &key), ERR_OK);
    cr_expect_eq(key.lk_version, vector_number(v, "lk_version"));
    cr_assert_eq(envelope_identities_decode(list, &i), ERR_OK);
    cr_expect(vector_same(list, encoded, envelope_identities_encode(&i, encoded)));
    digest_sha256(&list, 1, hash);
    cr_expect(vector_same(vector_hex(v, "I_new_sha256"), hash, 32));
    const struct envelope_pinned p = pinned_of(json_object_get(v, "pinned"));
    struct envelope_chosen chosen;
    cr_expect_eq(envelope_accept(&p, cluster, l, list, true, vector_number(v, "now"), &chosen),
                 ERR_OK);
    cr_expect_eq(chosen.lk_version, key.lk_version);
    const struct bytes old = vector_hex(v, "L_pinned"), old_list = vector_hex(v, "I_pinned");
    cr_expect_eq(
        envelope_accept(&p, cluster, old, old_list, false, vector_number(v, "now"), &chosen),
        ERR_OK);
    cr_expect_eq(chosen.lk_version, p.lk_version);
}

Test(proto_envelope, which_login_key_a_client_takes)
{
    json_t *c = NULL;
    size_t n = 0;
    json_array_foreach(vector_section("login_key_cases"), n, c)
    {
        const struct envelope_pinned p = pinned_of(json_object_get(c, "pinned"));
        const struct bytes l = vector_hex(c, "L"), i = vector_hex(c, "I");
        const uint8_t *cluster = vector_key("cluster_id");
        const bool login = vector_bool(c, "login");
        const uint64_t now = vector_number(c, "now");
        struct envelope_chosen chosen = { 0 };
        EXPECT_VERDICT(c, envelope_accept(&p, cluster, l, i, login, now, &chosen));
        /* Fewer than three pinned: one signer is enough; only section 8's rule on
         * the version differs, where a statement is older than its key. */
        const enum err two =
            envelope_accept_two(&p, cluster, l, bytes_of(NULL, 0), i, login, now, &chosen);
        if (strcmp(vector_name(c), "48 h old") == 0) {
            cr_expect_eq(two, ERR_REFUSED);
        } else {
            EXPECT_VERDICT(c, two);
        }
    }
}

/* Three members of our own making. */
struct three {
    uint8_t id[3][32];
    struct envelope_pinned pinned;
    struct bytes list;
};

static void make_three(struct three *t)
{
    uint8_t *encoded = vector_room(ENVELOPE_IDENTITIES_MAX);
    memset(t, 0, sizeof(*t));
    t->pinned.lk_version = 1000;
    t->pinned.identities.roster_version = 5;
    t->pinned.identities.count = 3;
    for (unsigned i = 0; i < 3; i++) {
        t->id[i][0] = (uint8_t)(i + 1);
        t->pinned.identities.row[i].member_id[0] = (uint8_t)(i + 1);
        cr_assert_eq(ed25519_public(t->id[i], t->pinned.identities.row[i].id_pub), ERR_OK);
    }
    t->list = bytes_of(encoded, envelope_identities_encode(&t->pinned.identities, encoded));
}

static struct bytes statement(
    const struct three *t, unsigned signer, uint64_t version, uint64_t time, uint8_t first)
{
    uint8_t *out = vector_room(ENVELOPE_LOGIN_KEY);
    const uint8_t pub[32] = { first };
    const uint8_t *member = t->pinned.identities.row[signer].member_id;
    cr_assert_eq(envelope_login_key_sign(pub, version, time, member, vector_key("cluster_id"),
                                         t->id[signer], out),
                 ERR_OK);
    return bytes_of(out, ENVELOPE_LOGIN_KEY);
}

Test(proto_envelope, three_members_or_more_need_two_signers)
{
    struct three t;
    struct envelope_chosen chosen;
    const uint8_t *cluster = vector_key("cluster_id");
    const struct bytes none = bytes_of(NULL, 0);
    make_three(&t);
    const struct bytes a = statement(&t, 0, 2000, 2000, 9), b = statement(&t, 1, 2000, 2100, 9);
    const struct bytes again = statement(&t, 0, 2000, 2050, 9),
                       other = statement(&t, 1, 2000, 2000, 8);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, a, none, t.list, true, 2000, &chosen),
                 ERR_WRONG_STATE);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, a, again, t.list, true, 2000, &chosen),
                 ERR_REFUSED);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, a, other, t.list, true, 2000, &chosen),
                 ERR_REFUSED);
    cr_assert_eq(envelope_accept_two(&t.pinned, cluster, a, b, t.list, true, 2000, &chosen),
                 ERR_OK);
    cr_expect(chosen.lk_version == 2000 && chosen.lk_pub[0] == 9);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, a, b, t.list, false, 2000, &chosen),
                 ERR_REFUSED);
    const struct bytes pinned = statement(&t, 0, 1000, 1000, 0);
    cr_expect_eq(
        envelope_accept_two(&t.pinned, cluster, pinned, none, t.list, false, 9999999, &chosen),
        ERR_OK);
}

Test(proto_envelope, a_login_key_version_ahead_of_its_time_is_refused)
{
    struct three t;
    struct envelope_chosen chosen;
    const uint8_t *cluster = vector_key("cluster_id");
    make_three(&t);
    const struct bytes at = statement(&t, 0, 2300, 2000, 9),
                       beyond = statement(&t, 0, 2301, 2000, 9);
    const struct bytes second = statement(&t, 1, 2300, 2000, 9),
                       late = statement(&t, 1, 2301, 2001, 9);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, at, second, t.list, true, 2000, &chosen),
                 ERR_OK);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, beyond, late, t.list, true, 2000, &chosen),
                 ERR_REFUSED);
    cr_expect_eq(envelope_accept_two(&t.pinned, cluster, late, beyond, t.list, true, 2000, &chosen),
                 ERR_REFUSED);
}

Test(proto_envelope, what_a_client_pins_after_a_login)
{
    json_t *v = vector_section("login_reply"), *c = NULL;
    json_t *lk = vector_section("login_key");
    const struct bytes list = vector_hex(lk, "I_new");
    const uint8_t *l = vector_fixed(lk, "L_new", ENVELOPE_LOGIN_KEY);
    const uint8_t *ts = vector_key("ts"), *id = vector_key("request_id");
    uint8_t out[ENVELOPE_LOGIN_REPLY];
    size_t n = 0;
    cr_assert_eq(
        envelope_login_reply_seal_with(ts, id, l, list, vector_fixed(v, "nonce", CRYPT_NONCE), out),
        ERR_OK);
    json_t *right = json_array_get(json_object_get(v, "cases"), 0);
    cr_expect(vector_same(vector_hex(right, "reply"), out, sizeof(out)));
    json_array_foreach(json_object_get(v, "cases"), n, c)
    {
        json_t *u = json_object_get(c, "used");
        struct envelope_chosen used = { .lk_version = vector_number(u, "lk_version") };
        struct envelope_pinned pin = { 0 };
        memcpy(used.lk_pub, vector_fixed(u, "LKpub", 32), 32);
        const enum err e = envelope_login_reply_open(
            vector_hex(c, "reply"), vector_fixed(c, "ts", 32),
            vector_fixed(c, "request_id", ID_SIZE), &used, vector_hex(c, "I"), &pin);
        EXPECT_VERDICT(c, e);
        cr_expect_eq(pin.lk_version, e == ERR_OK ? used.lk_version : 0, "%s", vector_name(c));
    }
    cr_assert_eq(envelope_login_reply_seal(ts, id, l, list, out), ERR_OK);
    cr_expect_eq(envelope_login_reply_seal(ts, id, l, bytes_of(list.data, 15), out), ERR_MALFORMED);
}

/* ---- Texts ---- */

static struct envelope_token some_token(unsigned count)
{
    struct envelope_token t = { .count = count };
    cr_assert_eq(crypt_random(t.cluster_id, ID_SIZE), ERR_OK);
    cr_assert_eq(crypt_random(t.secret, 32), ERR_OK);
    for (unsigned i = 0; i < count && i < ENVELOPE_TOKEN_ADDRESSES; i++) {
        memset(t.address[i], 'a', LIMIT_ADDRESS - 1 - i);
        memcpy(t.address[i] + LIMIT_ADDRESS - 7 - i, ":65535", 7);
    }
    return t;
}

Test(proto_envelope, an_invite_token_comes_back_as_it_was)
{
    char text[ENVELOPE_TOKEN_TEXT];
    for (unsigned count = 1; count <= ENVELOPE_TOKEN_ADDRESSES; count++) {
        struct envelope_token back, t = some_token(count);
        cr_assert_eq(envelope_token_encode(&t, text), ERR_OK);
        cr_assert_eq(envelope_token_decode(text, &back), ERR_OK);
        cr_expect(bytes_equal(bytes_of(&t, sizeof(t)), bytes_of(&back, sizeof(back))));
        cr_expect_eq(strncmp(text, "rk1-", 4), 0);
    }
}

/* Any one letter changed to any other: an error, or another token, never the same. */
Test(proto_envelope, a_mistyped_token_is_never_taken_for_the_right_one)
{
    char text[ENVELOPE_TOKEN_TEXT];
    struct envelope_token back, t = some_token(1);
    cr_assert_eq(envelope_token_encode(&t, text), ERR_OK);
    const size_t size = strlen(text);
    for (size_t at = 0; at < size; at++) {
        const char was = text[at];
        for (int c = 1; c < 256; c++) {
            text[at] = (char)c;
            const bool same = envelope_token_decode(text, &back) == ERR_OK &&
                              bytes_equal(bytes_of(&t, sizeof(t)), bytes_of(&back, sizeof(back)));
            cr_assert_eq(same, text[at] == was, "at %zu", at);
        }
        text[at] = was;
    }
    for (size_t cut = 0; cut < size; cut++) {
        const char was = text[cut];
        text[cut] = '\0';
        cr_expect_eq(envelope_token_decode(text, &back), ERR_TOKEN, "cut at %zu", cut);
        text[cut] = was;
    }
    text[size] = 'a';
    text[size + 1] = '\0';
    cr_expect_eq(envelope_token_decode(text, &back), ERR_TOKEN);
}

Test(proto_envelope, token_addresses_are_host_and_port)
{
    static const char *const bad[] = { "",        "host",        ":1792",   "host:",
                                       "host:0",  "host:65536",  "host:01", "ho st:1",
                                       "host:1x", "host:123456", "h\nst:1" };
    static const char *const good[] = { "host:1", "10.0.0.1:1793", "[::1]:65535" };
    char text[ENVELOPE_TOKEN_TEXT];
    struct envelope_token t = some_token(1);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(t.address[0], 0, LIMIT_ADDRESS);
        memcpy(t.address[0], bad[i], strlen(bad[i]));
        cr_expect_eq(envelope_token_encode(&t, text), ERR_TOKEN, "%s", bad[i]);
    }
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        memset(t.address[0], 0, LIMIT_ADDRESS);
        memcpy(t.address[0], good[i], strlen(good[i]));
        cr_expect_eq(envelope_token_encode(&t, text), ERR_OK, "%s", good[i]);
    }
    t.count = 0;
    cr_expect_eq(envelope_token_encode(&t, text), ERR_TOKEN);
    t.count = ENVELOPE_TOKEN_ADDRESSES + 1;
    cr_expect_eq(envelope_token_encode(&t, text), ERR_TOKEN);
    envelope_token_wipe(&t);
    cr_expect(bytes_all_zero(bytes_of(&t, sizeof(t))));
}

Test(proto_envelope, words_go_both_ways)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("words"), i, c)
    {
        const struct bytes in = vector_hex(c, "bytes");
        uint8_t back[ENVELOPE_WORDS_MAX];
        char text[ENVELOPE_WORDS_TEXT(ENVELOPE_WORDS_MAX)];
        envelope_words(in.data, in.size, text);
        cr_expect(bytes_equal(vector_text(c, "words_text"), bytes_of_text(text)));
        cr_assert_eq(envelope_words_parse(text, back, in.size), ERR_OK);
        cr_expect(vector_same(in, back, in.size));
    }
    uint8_t out[4];
    static const char *const bad[] = { "",
                                       "lusab",
                                       "lusab-",
                                       "lusab-baba",
                                       "lusab-babad-",
                                       "lusab babad",
                                       "Lusab-babad",
                                       "lusab-babab-babab",
                                       "lesab-babad",
                                       "ausab-babad" };
    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        cr_expect_eq(envelope_words_parse(bad[n], out, sizeof(out)), ERR_MALFORMED, "%s", bad[n]);
    }
}

Test(proto_envelope, domain_secrets_are_drawn_or_long_enough)
{
    char a[ENVELOPE_DOMAIN_TEXT], b[ENVELOPE_DOMAIN_TEXT];
    uint8_t back[ENVELOPE_DOMAIN_SECRET];
    const char long_one[256] = { 'x' };
    cr_assert_eq(envelope_domain_secret(a), ERR_OK);
    cr_assert_eq(envelope_domain_secret(b), ERR_OK);
    cr_expect_str_neq(a, b);
    cr_expect_eq(strlen(a), 47);
    cr_expect_eq(envelope_words_parse(a, back, sizeof(back)), ERR_OK);
    cr_expect_eq(envelope_domain_secret_check(bytes_of_text(a)), ERR_OK);
    cr_expect_eq(envelope_domain_secret_check(bytes_of("13 characters", 13)), ERR_PIN_LENGTH);
    cr_expect_eq(envelope_domain_secret_check(bytes_of("14 characters!", 14)), ERR_OK);
    cr_expect_eq(envelope_domain_secret_check(bytes_of(long_one, 256)), ERR_PIN_LENGTH);
}
