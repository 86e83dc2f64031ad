/* SPDX-License-Identifier: Apache-2.0 */
/* Object blobs against the known answers, and against everything that may not
 * open: each bit flipped, each truncation, sections mixed, another keyring. */
#include "sks_vectors.h"

#include "sks/seal.h"
#include "sks/smk.h"

static struct seal_ring keyring, cluster;
static uint8_t plain[LIMIT_BLOB], blob_out[LIMIT_BLOB];

static uint64_t share_retired(void)
{
    const struct bytes share = vector_hex(vector_section("keyring_record"), "share");
    return get_u64(share.data + 80);
}

static void add(struct seal_ring *r,
                enum seal_key_role role,
                const char *smk,
                const char *key,
                uint64_t retired)
{
    cr_assert_eq(seal_ring_add(r, role, vector_key(smk), retired, vector_key(key)), ERR_OK);
}

static void setup(void)
{
    static const uint8_t none[ID_SIZE];
    seal_ring_init(&keyring, vector_key("keyring_id"), vector_key("kk_id"));
    add(&keyring, SEAL_BLOB_KEY, "smk_id", "BK", 0);
    add(&keyring, SEAL_PUBLIC_KEY, "smk_id", "PUB", 0);
    add(&keyring, SEAL_BLOB_KEY, "smk_old_id", "BK_old", share_retired());
    add(&keyring, SEAL_PUBLIC_KEY, "smk_old_id", "PUB_old", share_retired());
    seal_ring_init(&cluster, vector_key("cluster_id"), none);
    add(&cluster, SEAL_SYSTEM_KEY, "smk_id", "SYS", 0);
}

static void teardown(void)
{
    seal_ring_drop(&keyring);
    seal_ring_drop(&cluster);
}

TestSuite(sks_blob, .init = setup, .fini = teardown, .timeout = 60);

static const struct seal_ring *ring_for(struct bytes blob)
{
    return blob.size > 4 && blob.data[4] == BLOB_SYSTEM ? &cluster : &keyring;
}

/* Where a case says the blob came from; the defaults are blob_context's. */
static struct seal_source source_of(json_t *c, struct bytes blob)
{
    json_t *context = vector_section("blob_context");
    const char *from = json_string_value(json_object_get(c, "source"));
    const bool client_kind =
        blob.size > 4 && (blob.data[4] == BLOB_SESSION || blob.data[4] == BLOB_OFFBOARD);
    struct seal_source s = { 0 };
    json_t *family = json_object_get(c, "family") != NULL ? c : context;
    json_t *offboard = json_object_get(c, "offboard") != NULL ? c : context;
    json_t *tombstone = json_object_get(c, "tombstone") != NULL ? c : context;
    s.from_client = from == NULL ? client_kind : strcmp(from, "client") == 0;
    memcpy(s.family, vector_fixed(family, "family", ID_SIZE), ID_SIZE);
    s.offboard_allowed = vector_bool(offboard, "offboard");
    s.tombstone = vector_bool(tombstone, "tombstone");
    s.now = vector_number_or(c, "now", vector_number(context, "now"));
    return s;
}

static enum err open_as(struct bytes blob,
                        const struct seal_source *s,
                        unsigned sections,
                        struct seal_opened *o)
{
    return seal_open(blob, ring_for(blob), s, sections, plain, sizeof(plain), o);
}

static struct bytes join_blob(json_t *c)
{
    static const char *const parts[] = { "header", "a_cipher", "a_tag", "k_cipher", "k_tag" };
    uint8_t *at = vector_room(LIMIT_BLOB);
    size_t size = 0;
    for (unsigned i = 0; i < 5; i++) {
        const struct bytes part = vector_hex(c, parts[i]);
        memcpy(at + size, part.data, part.size);
        size += part.size;
    }
    return bytes_of(at, size);
}

static struct bytes find_blob(const char *name, struct seal_source *s)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("blobs"), i, c)
    {
        if (strcmp(vector_name(c), name) == 0) {
            const struct bytes blob = join_blob(c);
            *s = source_of(c, blob);
            return blob;
        }
    }
    cr_assert_fail("%s", name);
    return bytes_of(NULL, 0);
}

/* Seals what was opened once more with the same header: the same bytes. */
static void expect_same_seal(struct bytes blob, const struct seal_opened *o)
{
    struct seal_ring r = *ring_for(blob);
    size_t size = 0;
    struct seal_draft d = { .kind = o->header.kind,
                            .generation = o->header.generation,
                            .a = o->a,
                            .info = o->has_info ? &o->info : NULL };
    memcpy(d.object_id, o->header.object_id, ID_SIZE);
    memcpy(d.bind, o->header.bind, ID_SIZE);
    r.key[0] = *o->key; /* also what lies under the old SMK */
    r.key[0].retired = 0;
    r.count = 1;
    cr_assert_eq(seal_make_with(&r, &d, o->header.nonce, blob_out, sizeof(blob_out), &size),
                 ERR_OK);
    cr_expect(vector_same(blob, blob_out, size));
}

Test(sks_blob, known_answers_open_and_seal_to_the_same_bytes)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("blobs"), i, c)
    {
        const struct bytes blob = join_blob(c);
        const struct seal_source s = source_of(c, blob);
        const struct bytes a = vector_hex(c, "a_plain");
        const struct bytes k = vector_hex(c, "k_plain");
        struct seal_opened o = { 0 };
        uint8_t encoded[4096];
        size_t size = 0;
        const enum err e = open_as(blob, &s, SEAL_A | SEAL_K, &o);
        EXPECT_VERDICT(c, e);
        cr_expect(bytes_equal(a, o.a), "%s", vector_name(c));
        cr_expect_eq(o.header.kind, vector_number(c, "kind"));
        cr_expect_eq(o.has_info, k.size > 0);
        if (o.has_info) {
            cr_assert_eq(seal_k_encode(&o.info, encoded, sizeof(encoded), &size), ERR_OK);
            cr_expect(vector_same(k, encoded, size), "%s", vector_name(c));
        }
        expect_same_seal(blob, &o);
        cr_expect(bytes_equal(vector_hex(c, "nonce"), bytes_of(o.header.nonce, BLOB_NONCE)));
    }
}

Test(sks_blob, an_operation_opens_k_and_only_where_there_is_a_template_a)
{
    struct seal_source s;
    struct seal_opened o = { 0 };
    struct bytes blob = find_blob("aes256 token", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_K, &o), ERR_OK);
    cr_expect(o.a.data == NULL && o.has_info && o.info.material.size == 32);
    blob = find_blob("aes256 token with template, mechanisms and pka", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_K, &o), ERR_OK);
    cr_expect(o.a.data != NULL && o.info.mech_count == 3);
    blob = find_blob("p256 public key public", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_A, &o), ERR_OK);
    cr_expect(!o.has_info && o.a.size > 0);
    seal_opened_wipe(&o, plain, sizeof(plain));
    cr_expect(bytes_all_zero(bytes_of(plain, sizeof(plain))));
}

Test(sks_blob, material_of_the_known_keys_and_their_authorization)
{
    json_t *m = vector_section("blob_material");
    struct seal_source s;
    struct seal_opened o = { 0 };
    struct bytes blob = find_blob("p256 token", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_K, &o), ERR_OK);
    cr_expect(bytes_equal(o.info.material, vector_hex(m, "p256")));
    blob = find_blob("aes256 token with template, mechanisms and pka", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_K, &o), ERR_OK);
    cr_expect(bytes_equal(o.info.material, vector_hex(m, "aes256")));
    cr_expect(vector_same(vector_hex(m, "pka_verifier"), o.info.pka, SEAL_PKA));
    uint8_t made[SEAL_PKA];
    cr_assert_eq(seal_pka_make(vector_text(m, "pka_auth_data_text"), o.info.pka, made), ERR_OK);
    cr_expect(vector_same(vector_hex(m, "pka_verifier"), made, SEAL_PKA));
    cr_expect_eq(seal_pka_check(vector_text(m, "pka_auth_data_text"), made), ERR_OK);
    cr_expect_eq(seal_pka_check(bytes_of("auth dat", 8), made), ERR_PIN_INCORRECT);
    blob = find_blob("rsa2048 token", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_K, &o), ERR_OK);
    const struct bytes n = vector_hex(json_object_get(m, "rsa2048"), "n");
    cr_expect(vector_same(n, o.info.material.data, 256));
}

Test(sks_blob, the_largest_blob_has_exactly_64_kib)
{
    json_t *c = vector_section("blob_largest");
    const size_t value_size = vector_number(c, "value_len");
    const struct bytes header = vector_hex(c, "header");
    static uint8_t a[LIMIT_BLOB];
    static const uint8_t start[] = { 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    1, 0, 0,
                                     0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0x11, 0, 0, 0 };
    struct blob_header h;
    struct seal_opened o = { 0 };
    uint8_t hash[32];
    size_t size = 0;
    memcpy(a, start, sizeof(start));
    put_u32(a + sizeof(start), (uint32_t)value_size);
    for (size_t i = 0; i < value_size; i++) {
        a[sizeof(start) + 4 + i] = (uint8_t)(i % 251);
    }
    memcpy(blob_out, header.data, header.size);
    cr_assert_eq(blob_parse(bytes_of(blob_out, LIMIT_BLOB), &h), ERR_OK);
    struct seal_draft d = { .kind = h.kind, .generation = h.generation };
    d.a = bytes_of(a, sizeof(start) + 4 + value_size);
    memcpy(d.object_id, h.object_id, ID_SIZE);
    cr_assert_eq(seal_make_with(&keyring, &d, h.nonce, blob_out, LIMIT_BLOB, &size), ERR_OK);
    cr_assert_eq(size, LIMIT_BLOB);
    const struct bytes blob = bytes_of(blob_out, size);
    digest_sha256(&blob, 1, hash);
    cr_expect(vector_same(vector_hex(c, "sha256"), hash, 32));
    cr_expect(vector_same(vector_hex(c, "k_tag"), blob_out + size - 16, 16));
    const struct seal_source s = source_of(c, blob);
    EXPECT_VERDICT(c, open_as(blob, &s, SEAL_A | SEAL_K, &o));
    d.a.size++;
    a[sizeof(start)]++;
    static uint8_t more[LIMIT_BLOB + 1];
    cr_expect_eq(seal_make_with(&keyring, &d, h.nonce, more, sizeof(more), &size), ERR_TOO_LARGE);
}

Test(sks_blob, resealing_raises_the_generation_and_changes_the_smk)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("blob_reseal"), i, c)
    {
        const struct bytes old = vector_hex(c, "old");
        const struct seal_source s = source_of(c, old);
        struct seal_opened o = { 0 };
        size_t size = 0;
        cr_assert_eq(open_as(old, &s, SEAL_A | SEAL_K, &o), ERR_OK);
        cr_expect_neq(o.key->retired, 0);
        const uint8_t *nonce = vector_fixed(c, "nonce", BLOB_NONCE);
        cr_assert_eq(seal_again_with(&keyring, &o, nonce, blob_out, sizeof(blob_out), &size),
                     ERR_OK);
        cr_expect(vector_same(vector_hex(c, "new"), blob_out, size), "%s", vector_name(c));
        cr_assert_eq(seal_again(&keyring, &o, blob_out, sizeof(blob_out), &size), ERR_OK);
        cr_expect_eq(open_as(bytes_of(blob_out, size), &s, SEAL_A | SEAL_K, &o), ERR_OK);
        cr_expect_eq(o.key->retired, 0);
    }
}

Test(sks_blob, every_negative_case_gets_its_verdict)
{
    json_t *c = NULL;
    size_t i = 0;
    cr_expect_eq(json_array_size(vector_section("blob_negative")), 83);
    json_array_foreach(vector_section("blob_negative"), i, c)
    {
        const struct bytes given = vector_hex(c, "blob");
        const size_t zeros = vector_number_or(c, "append_zeros", 0);
        struct seal_opened o = { 0 };
        uint8_t *all = vector_room(given.size + zeros);
        memset(all, 0, given.size + zeros);
        memcpy(all, given.data, given.size);
        const struct bytes blob = bytes_of(all, given.size + zeros);
        const struct seal_source s = source_of(c, blob);
        const enum err e = open_as(blob, &s, SEAL_A | SEAL_K, &o);
        EXPECT_VERDICT(c, e);
        if (e != ERR_OK && given.size > 0) {
            cr_expect(o.key == NULL && o.a.data == NULL, "%s: nothing on failure", vector_name(c));
        }
    }
}

Test(sks_blob, share_and_rollover_cases)
{
    json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(vector_section("share_cases"), i, c)
    {
        const bool needed =
            smk_share_needed(vector_bool(c, "stored_under_it"), vector_bool(c, "offboard_allowed"),
                             vector_number(c, "retired"), vector_number(c, "now"));
        cr_expect_eq(needed, vector_bool(c, "needed"), "case %zu", i);
    }
    json_array_foreach(vector_section("rollover_cases"), i, c)
    {
        const bool allowed = smk_rollover_allowed((unsigned)vector_number(c, "needed_shares"),
                                                  vector_bool(c, "confirmed"));
        cr_expect_eq(allowed, vector_bool(c, "allowed"), "case %zu", i);
    }
}

Test(sks_blob, every_flipped_bit_and_every_truncation_is_refused)
{
    struct seal_source s;
    struct seal_opened o = { 0 };
    const struct bytes blob = find_blob("p256 token", &s);
    uint8_t *copy = vector_room(blob.size);
    memcpy(copy, blob.data, blob.size);
    for (size_t bit = 0; bit < blob.size * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_neq(open_as(bytes_of(copy, blob.size), &s, SEAL_A | SEAL_K, &o), ERR_OK,
                      "bit %zu", bit);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < blob.size; size++) {
        cr_expect_eq(open_as(bytes_of(copy, size), &s, SEAL_A | SEAL_K, &o), ERR_MALFORMED, "%zu",
                     size);
    }
    cr_expect_eq(open_as(bytes_of(copy, blob.size), &s, SEAL_A | SEAL_K, &o), ERR_OK);
}

/* Two seals of one object: the same lengths, each its own nonce. */
Test(sks_blob, sections_of_two_seals_never_fit_together)
{
    struct seal_source s;
    struct seal_opened o = { 0 };
    static uint8_t other[LIMIT_BLOB];
    size_t size = 0;
    const struct bytes blob = find_blob("p256 token", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_A | SEAL_K, &o), ERR_OK);
    o.header.generation--; /* seal_again adds one */
    cr_assert_eq(seal_again(&keyring, &o, other, sizeof(other), &size), ERR_OK);
    cr_assert_eq(size, blob.size);
    const size_t cut[] = { 104, BLOB_HEADER, BLOB_HEADER + o.header.len_a + BLOB_TAG, size };
    for (unsigned mask = 1; mask < 7; mask++) { /* header nonce, A, K from one or the other */
        uint8_t mixed[1024];
        memcpy(mixed, blob.data, size);
        for (unsigned part = 0; part < 3; part++) {
            if ((mask >> part & 1u) != 0) {
                memcpy(mixed + cut[part], other + cut[part], cut[part + 1] - cut[part]);
            }
        }
        struct seal_opened p = { 0 };
        cr_expect_eq(open_as(bytes_of(mixed, size), &s, SEAL_A | SEAL_K, &p), ERR_BAD_TAG,
                     "mask %u", mask);
    }
}

Test(sks_blob, moved_to_another_keyring_it_does_not_open)
{
    struct seal_source s;
    struct seal_opened o = { 0 };
    struct seal_ring r;
    const struct bytes blob = find_blob("p256 token", &s);
    uint8_t *copy = vector_room(blob.size);
    memcpy(copy, blob.data, blob.size);
    seal_ring_init(&r, vector_key("keyring2_id"), vector_key("kk_id"));
    add(&r, SEAL_BLOB_KEY, "smk_id", "BK", 0); /* even with the same key */
    cr_expect_eq(seal_open(blob, &r, &s, SEAL_K, plain, sizeof(plain), &o), ERR_WRONG_KEY);
    memcpy(copy + 24, vector_key("keyring2_id"), ID_SIZE);
    cr_expect_eq(seal_open(bytes_of(copy, blob.size), &r, &s, SEAL_K, plain, sizeof(plain), &o),
                 ERR_BAD_TAG);
    seal_ring_drop(&r);
}

Test(sks_blob, what_breaks_a_rule_is_not_sealed)
{
    struct seal_source s;
    struct seal_opened o = { 0 };
    size_t size = 0;
    const struct bytes blob = find_blob("aes256 token", &s);
    cr_assert_eq(open_as(blob, &s, SEAL_A | SEAL_K, &o), ERR_OK);
    struct seal_draft d = { .kind = BLOB_TOKEN, .generation = 1, .a = o.a, .info = &o.info };
    cr_expect_eq(seal_make(&keyring, &d, blob_out, sizeof(blob_out), &size), ERR_OK);
    o.info.usage &= ~(uint32_t)SEAL_ENCRYPT; /* A says otherwise */
    cr_expect_eq(seal_make(&keyring, &d, blob_out, sizeof(blob_out), &size), ERR_BAD_CONTENT);
    o.info.usage |= SEAL_ENCRYPT;
    o.info.material.size--;
    cr_expect_eq(seal_make(&keyring, &d, blob_out, sizeof(blob_out), &size), ERR_BAD_CONTENT);
    o.info.material.size++;
    d.kind = BLOB_SESSION; /* CKA_TOKEN=true */
    cr_expect_eq(seal_make(&keyring, &d, blob_out, sizeof(blob_out), &size), ERR_BAD_CONTENT);
    d.kind = BLOB_TOKEN;
    d.generation = 0;
    cr_expect_eq(seal_make(&keyring, &d, blob_out, sizeof(blob_out), &size), ERR_MALFORMED);
    d.generation = 1;
    cr_expect_eq(seal_make(&keyring, &d, blob_out, blob.size - 1, &size), ERR_TOO_LARGE);
    cr_expect_eq(seal_make(&cluster, &d, blob_out, sizeof(blob_out), &size), ERR_WRONG_KEY);
}
