/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker makes of templates, what it refuses, and that a key's rules are
 * read from what was sealed with it. */
#include <criterion/criterion.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "hsm-sim/core_wire.h"
#include "hsm-sim/object_rules.h"
#include "tests/lib/worker_kit.h"

#define UNIQUE_ID 0x4u
#define ALLOWED 0x40000600u

static struct worker_kit kit;
static struct buf blob[2], a[2]; /* public, private; or one in [0] */
static const struct bytes none;

static void begin(void)
{
    worker_kit_open(&kit);
}
static void end(void)
{
    worker_kit_drop(blob, 2);
    worker_kit_drop(a, 2);
    worker_kit_close(&kit);
}
TestSuite(hsm_objects, .init = begin, .fini = end, .timeout = 60);

static void put_u64_(struct buf *t, uint32_t type, uint64_t v)
{
    cr_assert_eq(template_put_u64(t, type, v), ERR_OK);
}
static void put_bool_(struct buf *t, uint32_t type, bool v)
{
    cr_assert_eq(template_put_bool(t, type, v), ERR_OK);
}
static void put_text(struct buf *t, uint32_t type, const char *v)
{
    cr_assert_eq(template_put(t, type, bytes_of_text(v)), ERR_OK);
}
static bool says_bool(const struct buf *list, uint32_t type)
{
    bool v = false;
    cr_assert_eq(template_get_bool(buf_bytes(list), type, &v), ERR_OK, "attribute %x", type);
    return v;
}
static uint64_t says_u64(const struct buf *list, uint32_t type)
{
    uint64_t v = 0;
    cr_assert_eq(template_get_u64(buf_bytes(list), type, &v), ERR_OK, "attribute %x", type);
    return v;
}
static bool has(const struct buf *list, uint32_t type)
{
    struct bytes v;
    return template_get(buf_bytes(list), type, &v) == ERR_OK;
}
static struct buf aes_template(void)
{
    struct buf t = { 0 };
    put_u64_(&t, CKA_VALUE_LEN, 32);
    return t;
}
static enum err sign(const struct buf *b)
{
    return worker_kit_operate(&kit, CORE_SIGN, CKM_ECDSA_SHA256, b, none, bytes_of_text("x"), none);
}
static enum err cbc(const struct buf *b, unsigned verb)
{
    static const uint8_t iv[16];
    return worker_kit_operate(&kit, verb, CKM_AES_CBC, b, bytes_of(iv, 16), bytes_of(iv, 16), none);
}

/* -- defaults ------------------------------------------------------------------------- */

Test(hsm_objects, bare_aes_template_works_and_tells_everything)
{
    BUF_SCOPED t = aes_template();
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_OK);
    static const struct {
        uint32_t type;
        bool value;
    } bools[] = { { CKA_TOKEN, true },
                  { CKA_PRIVATE, true },
                  { CKA_SENSITIVE, true },
                  { CKA_EXTRACTABLE, false },
                  { CKA_ALWAYS_SENSITIVE, true },
                  { CKA_NEVER_EXTRACTABLE, true },
                  { CKA_LOCAL, true },
                  { CKA_ENCRYPT, true },
                  { CKA_DECRYPT, true },
                  { CKA_SIGN, false },
                  { CKA_WRAP, false },
                  { CKA_UNWRAP, false },
                  { CKA_DERIVE, false },
                  { CKA_MODIFIABLE, true },
                  { CKA_COPYABLE, true },
                  { CKA_DESTROYABLE, true },
                  { CKA_WRAP_WITH_TRUSTED, false } };
    for (unsigned i = 0; i < sizeof bools / sizeof bools[0]; i++) {
        cr_expect_eq(says_bool(&a[0], bools[i].type), bools[i].value, "%x", bools[i].type);
    }
    cr_expect_eq(says_u64(&a[0], CKA_CLASS), CKO_SECRET_KEY);
    cr_expect_eq(says_u64(&a[0], CKA_KEY_TYPE), CKK_AES);
    cr_expect_eq(says_u64(&a[0], CKA_VALUE_LEN), 32);
    cr_expect_eq(says_u64(&a[0], CKA_KEY_GEN_MECHANISM), CKM_AES_KEY_GEN);
    cr_expect(has(&a[0], CKA_LABEL) && has(&a[0], CKA_ID) && has(&a[0], UNIQUE_ID));
    cr_expect_not(has(&a[0], CKA_VALUE));
    cr_expect_eq(cbc(&blob[0], CORE_ENCRYPT), ERR_OK);
    struct blob_header h;
    cr_assert_eq(blob_parse(buf_bytes(&blob[0]), &h), ERR_OK);
    cr_expect_eq(h.kind, BLOB_TOKEN);
    cr_expect_eq(h.generation, 1);
    char hex[33];
    struct bytes unique;
    cr_assert_eq(template_get(buf_bytes(&a[0]), UNIQUE_ID, &unique), ERR_OK);
    cr_expect(bytes_equal(unique, bytes_of_text(hex_from(bytes_of(h.object_id, 16), hex))));
}

Test(hsm_objects, bare_pairs_work)
{
    worker_kit_rsa_pair(&kit, blob, a);
    cr_expect(says_bool(&a[1], CKA_SIGN) && says_bool(&a[1], CKA_DECRYPT) &&
              !says_bool(&a[1], CKA_UNWRAP));
    cr_expect(says_bool(&a[0], CKA_VERIFY) && says_bool(&a[0], CKA_ENCRYPT) &&
              !says_bool(&a[0], CKA_WRAP));
    cr_expect_not(says_bool(&a[0], CKA_PRIVATE));
    cr_expect_eq(says_u64(&a[0], CKA_MODULUS_BITS), 2048);
    for (unsigned i = 0; i < 2; i++) {
        cr_expect(has(&a[i], CKA_MODULUS) && has(&a[i], CKA_PUBLIC_EXPONENT) &&
                  has(&a[i], CKA_MODULUS_BITS));
        for (uint32_t type = 0x123; type <= 0x128; type++) {
            cr_expect_not(has(&a[i], type));
        }
    }
    cr_expect_not(says_bool(&a[1], CKA_ALWAYS_AUTHENTICATE));
    worker_kit_drop(blob, 2);
    worker_kit_drop(a, 2);
    worker_kit_ec_pair(&kit, SEAL_CURVE_P521, blob, a);
    cr_expect(says_bool(&a[1], CKA_SIGN) && says_bool(&a[0], CKA_VERIFY) &&
              !says_bool(&a[0], CKA_ENCRYPT));
    cr_expect(has(&a[1], CKA_EC_POINT) && has(&a[1], CKA_EC_PARAMS) && !has(&a[1], CKA_MODULUS));
}

Test(hsm_objects, usage_named_in_the_template_is_the_only_one)
{
    BUF_SCOPED t = aes_template();
    put_bool_(&t, CKA_ENCRYPT, true);
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_OK);
    cr_expect_eq(cbc(&blob[0], CORE_ENCRYPT), ERR_OK);
    cr_expect_eq(cbc(&blob[0], CORE_DECRYPT), ERR_KEY_USAGE);
}

/* -- refusals ----------------------------------------------------------------------------- */

Test(hsm_objects, wrong_secret_templates_are_refused)
{
    static const struct {
        uint32_t type;
        uint64_t value; /* one byte where size is 1 */
        uint8_t size;
        enum err want;
    } rows[] = {
        { CKA_PRIVATE, 0, 1, ERR_TEMPLATE },
        { CKA_TOKEN, 0, 1, ERR_TEMPLATE },
        { CKA_CLASS, CKO_PRIVATE_KEY, 8, ERR_TEMPLATE },
        { CKA_KEY_TYPE, CKK_RSA, 8, ERR_TEMPLATE },
        { CKA_SENSITIVE, 0, 1, ERR_TEMPLATE },
        { CKA_ENCRYPT, 2, 1, ERR_ATTRIBUTE },
        { CKA_ENCRYPT, 1, 8, ERR_ATTRIBUTE },
        { CKA_EXTRACTABLE, 0xff, 1, ERR_ATTRIBUTE },
        { CKA_LOCAL, 1, 1, ERR_ATTRIBUTE_READ_ONLY },
        { CKA_ALWAYS_SENSITIVE, 1, 1, ERR_ATTRIBUTE_READ_ONLY },
        { CKA_KEY_GEN_MECHANISM, 1, 8, ERR_ATTRIBUTE_READ_ONLY },
        { UNIQUE_ID, 1, 1, ERR_ATTRIBUTE_READ_ONLY },
        { CKA_TRUSTED, 1, 1, ERR_TEMPLATE },
        { CKA_VALUE, 1, 1, ERR_TEMPLATE },
        { CKA_MODULUS, 1, 1, ERR_TEMPLATE },
        { CKA_VERIFY_RECOVER, 1, 1, ERR_TEMPLATE },
        { CKA_VALUE_LEN, 24, 8, ERR_KEY_SIZE },
        { CKA_VALUE_LEN, 0, 8, ERR_KEY_SIZE },
        { CKA_VALUE_LEN, UINT64_MAX, 8, ERR_KEY_SIZE },
        { 0x80001234, 1, 1, ERR_ATTRIBUTE },
        { 0x40000211, 0, 0, ERR_ATTRIBUTE },
        { CKA_START_DATE, 1, 8, ERR_ATTRIBUTE },
        { ALLOWED, 1, 7, ERR_ATTRIBUTE },
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        BUF_SCOPED t = aes_template();
        uint8_t value[8];
        put_u64(value, rows[i].value);
        cr_assert_eq(template_put(&t, rows[i].type, bytes_of(value, rows[i].size)), ERR_OK);
        enum err e = worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]);
        cr_expect_eq(e, rows[i].want, "row %u: %s", i, err_name(e));
    }
}

Test(hsm_objects, key_that_wraps_and_decrypts_is_refused)
{
    static const uint32_t pairs[][2] = { { CKA_WRAP, CKA_DECRYPT }, { CKA_UNWRAP, CKA_ENCRYPT } };
    for (unsigned i = 0; i < 2; i++) {
        BUF_SCOPED t = aes_template();
        put_bool_(&t, pairs[i][0], true);
        put_bool_(&t, pairs[i][1], true);
        cr_expect_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_TEMPLATE);
    }
}

Test(hsm_objects, duplicates_and_disorder_are_refused)
{
    BUF_SCOPED t = aes_template();
    BUF_SCOPED twice = { 0 };
    cr_assert_eq(buf_append(&twice, buf_bytes(&t), 4096), ERR_OK);
    cr_assert_eq(buf_append(&twice, buf_bytes(&t), 4096), ERR_OK);
    cr_expect_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &twice, &blob[0], &a[0]), ERR_TEMPLATE);
    for (size_t cut = 1; cut < t.size; cut++) {
        struct buf shorter = { t.data, t.size - cut, t.capacity };
        cr_expect_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &shorter, &blob[0], &a[0]),
                     ERR_TEMPLATE);
    }
}

Test(hsm_objects, private_key_is_never_public)
{
    BUF_SCOPED pub = { 0 };
    BUF_SCOPED priv = { 0 };
    put_u64_(&pub, CKA_MODULUS_BITS, 2048);
    put_bool_(&priv, CKA_PRIVATE, false);
    cr_expect_eq(worker_kit_pair(&kit, CKM_RSA_PKCS_KEY_PAIR_GEN, &pub, &priv, blob, a),
                 ERR_TEMPLATE);
    BUF_SCOPED made = { 0 };
    put_u64_(&made, CKA_CLASS, CKO_SECRET_KEY);
    put_text(&made, CKA_VALUE, "0123456789abcdef");
    worker_kit_request(&kit, CORE_CREATE_PUBLIC, KIT_USER);
    kit.request.section[0] = buf_bytes(&made);
    kit.request.section[1] = worker_kit_id(&kit);
    cr_expect_eq(worker_kit_answer(&kit), ERR_TEMPLATE);
}

Test(hsm_objects, pair_sizes_and_exponents)
{
    static const struct {
        uint64_t bits;
        const char *e;
        size_t size;
        enum err want;
    } rows[] = { { 1024, "", 0, ERR_KEY_SIZE },
                 { 2049, "", 0, ERR_KEY_SIZE },
                 { 8192, "", 0, ERR_KEY_SIZE },
                 { 2048, "\x03", 1, ERR_ATTRIBUTE },
                 { 2048, "\x01\x00\x02", 3, ERR_ATTRIBUTE },
                 { 2048, "\x01\x00\x00\x00\x00\x01", 6, ERR_ATTRIBUTE },
                 { 2048, "\x00\x01\x00\x01", 4, ERR_OK } };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        BUF_SCOPED t = { 0 };
        put_u64_(&t, CKA_MODULUS_BITS, rows[i].bits);
        cr_assert_eq(template_put(&t, CKA_PUBLIC_EXPONENT, bytes_of(rows[i].e, rows[i].size)),
                     ERR_OK);
        enum err e = worker_kit_pair(&kit, CKM_RSA_PKCS_KEY_PAIR_GEN, &t, NULL, blob, a);
        cr_expect_eq(e, rows[i].want, "row %u: %s", i, err_name(e));
    }
    BUF_SCOPED empty = { 0 };
    put_text(&empty, CKA_LABEL, "x");
    cr_expect_eq(worker_kit_pair(&kit, CKM_RSA_PKCS_KEY_PAIR_GEN, &empty, NULL, blob, a),
                 ERR_TEMPLATE);
    cr_expect_eq(worker_kit_pair(&kit, CKM_EC_KEY_PAIR_GEN, &empty, NULL, blob, a), ERR_TEMPLATE);
    put_text(&empty, CKA_EC_PARAMS, "\x06\x05\x2b\x81\x04\x01\x0a"); /* secp256k1 and no DER */
    cr_expect_eq(worker_kit_pair(&kit, CKM_EC_KEY_PAIR_GEN, &empty, NULL, blob, a), ERR_CURVE);
}

Test(hsm_objects, who_may_make)
{
    static const struct {
        uint64_t handle;
        enum err want;
    } rows[] = { { KIT_PUBLIC, ERR_LOGIN_REQUIRED }, { KIT_SECURITY_OFFICER, ERR_REFUSED },
                 { KIT_CRYPTO_USER, ERR_REFUSED },   { KIT_OTHER_LOGIN, ERR_OK },
                 { 0, ERR_LOGIN_REQUIRED },          { 99, ERR_LOGIN_REQUIRED } };
    BUF_SCOPED t = aes_template();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        worker_kit_request(&kit, CORE_GENERATE_KEY, rows[i].handle);
        kit.request.mechanism = CKM_AES_KEY_GEN;
        kit.request.number = BLOB_TOKEN;
        kit.request.section[0] = buf_bytes(&t);
        kit.request.section[1] = worker_kit_id(&kit);
        cr_expect_eq(worker_kit_answer(&kit), rows[i].want, "handle %u", (unsigned)rows[i].handle);
    }
    worker_kit_request(&kit, CORE_GENERATE_KEY, KIT_USER);
    kit.request.mechanism = CKM_AES_KEY_GEN;
    kit.request.section[0] = buf_bytes(&t);
    kit.request.section[1] = worker_kit_id(&kit);
    for (uint64_t kind = 0; kind < 7; kind++) {
        kit.request.number = kind;
        enum err want = kind == BLOB_TOKEN || kind == BLOB_SESSION ? ERR_OK : ERR_USAGE;
        cr_expect_eq(worker_kit_answer(&kit), want, "kind %u", (unsigned)kind);
    }
}

/* -- rules at every use ------------------------------------------------------------------- */

static void session_key(uint64_t handle)
{
    BUF_SCOPED t = aes_template();
    worker_kit_request(&kit, CORE_GENERATE_KEY, handle);
    kit.request.mechanism = CKM_AES_KEY_GEN;
    kit.request.number = BLOB_SESSION;
    kit.request.section[0] = buf_bytes(&t);
    kit.request.section[1] = worker_kit_id(&kit);
    cr_assert_eq(worker_kit_answer(&kit), ERR_OK);
    blob[0] = worker_kit_take(&kit, 0);
    a[0] = worker_kit_take(&kit, 1);
}

Test(hsm_objects, session_blob_opens_under_its_own_login_alone)
{
    session_key(KIT_USER);
    cr_expect_not(says_bool(&a[0], CKA_TOKEN));
    cr_expect_eq(cbc(&blob[0], CORE_ENCRYPT), ERR_OK);
    kit.request.handle = KIT_OTHER_LOGIN;
    cr_expect_eq(worker_kit_answer(&kit), ERR_REFUSED);
    kit.request.handle = KIT_PUBLIC;
    cr_expect_eq(worker_kit_answer(&kit), ERR_LOGIN_REQUIRED);
}

Test(hsm_objects, session_pair_has_no_public_blob)
{
    BUF_SCOPED t = { 0 };
    cr_assert_eq(template_put(&t, CKA_EC_PARAMS, worker_kit_curve(SEAL_CURVE_P256)), ERR_OK);
    worker_kit_request(&kit, CORE_GENERATE_PAIR, KIT_USER);
    kit.request.mechanism = CKM_EC_KEY_PAIR_GEN;
    kit.request.number = BLOB_SESSION;
    kit.request.section[0] = buf_bytes(&t);
    kit.request.section[3] = worker_kit_id(&kit);
    cr_assert_eq(worker_kit_answer(&kit), ERR_OK);
    cr_expect_eq(kit.reply.section[0].size, 0);
    cr_expect_gt(kit.reply.section[2].size, 100);
    blob[1] = worker_kit_take(&kit, 1);
    cr_expect_eq(sign(&blob[1]), ERR_OK);
}

Test(hsm_objects, dates_bind)
{
    BUF_SCOPED t = aes_template();
    put_text(&t, CKA_START_DATE, "20270110"); /* 1799539200 */
    put_text(&t, CKA_END_DATE, "20270120");   /* ends 1800489599 */
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_OK);
    static const struct {
        uint64_t now;
        enum err want;
    } rows[] = { { 1799539199, ERR_KEY_DATE },
                 { 1799539200, ERR_OK },
                 { 1800489599, ERR_OK },
                 { 1800489600, ERR_KEY_DATE } };
    for (unsigned i = 0; i < 4; i++) {
        kit.wall_s = rows[i].now;
        cr_expect_eq(cbc(&blob[0], CORE_ENCRYPT), rows[i].want, "row %u", i);
    }
    put_text(&t, CKA_START_DATE, "20270121");
    cr_expect_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[1], &a[1]), ERR_TEMPLATE);
    put_text(&t, CKA_START_DATE, "20271321");
    cr_expect_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[1], &a[1]), ERR_ATTRIBUTE);
}

Test(hsm_objects, days_are_counted_right)
{
    static const struct {
        const char *day;
        uint64_t at;
    } rows[] = {
        { "19700101", 0 },          { "20000229", 951782400 },  { "20000301", 951868800 },
        { "20270115", 1799971200 }, { "21000301", 4107542400 }, { "20381231", 2177366400 }
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t at = 1;
        cr_expect_eq(object_rule_date(bytes_of_text(rows[i].day), &at), ERR_OK);
        cr_expect_eq(at, rows[i].at, "%s", rows[i].day);
    }
}

Test(hsm_objects, mechanism_list_binds)
{
    uint8_t list[16];
    BUF_SCOPED t = aes_template();
    put_u64(list, CKM_AES_GCM);
    put_u64(list + 8, CKM_AES_CBC_PAD);
    cr_assert_eq(template_put(&t, ALLOWED, bytes_of(list, 16)), ERR_OK);
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_OK);
    cr_expect_eq(cbc(&blob[0], CORE_ENCRYPT), ERR_MECHANISM);
    uint8_t iv[16] = { 0 };
    cr_expect_eq(worker_kit_operate(&kit, CORE_ENCRYPT, CKM_AES_CBC_PAD, &blob[0], bytes_of(iv, 16),
                                    none, none),
                 ERR_OK);
    put_u64(list, CKM_AES_CBC_PAD);
    cr_assert_eq(template_put(&t, ALLOWED, bytes_of(list, 16)), ERR_OK);
    cr_expect_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[1], &a[1]), ERR_TEMPLATE);
}

Test(hsm_objects, promises_that_are_not_kept_yet_stop_a_key)
{
    uint8_t key[32] = { 1 };
    struct key_info info = {
        .class = SEAL_CLASS_SECRET, .type = SEAL_KEY_AES, .bits = 256, .usage = SEAL_ENCRYPT
    };
    info.material = bytes_of(key, 32);
    info.flags = SEAL_ALWAYS_AUTHENTICATE;
    blob[0] = worker_kit_seal(&kit, &info);
    cr_expect_eq(cbc(&blob[0], CORE_ENCRYPT), ERR_REFUSED);
}

/* Public objects: one screen, no login needed to use them. */
Test(hsm_objects, public_key_works_without_login)
{
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    cr_assert_eq(sign(&blob[1]), ERR_OK);
    BUF_SCOPED sig = worker_kit_take(&kit, 0);
    cr_expect_eq(worker_kit_operate(&kit, CORE_VERIFY, CKM_ECDSA_SHA256, &blob[0], none,
                                    bytes_of_text("x"), buf_bytes(&sig)),
                 ERR_OK);
    kit.request.handle = KIT_PUBLIC;
    cr_expect_eq(worker_kit_answer(&kit), ERR_OK);
    kit.request.section[0] = buf_bytes(&blob[1]);
    cr_expect_eq(worker_kit_answer(&kit), ERR_LOGIN_REQUIRED);
    kit.request.handle = KIT_SECURITY_OFFICER;
    cr_expect_eq(worker_kit_answer(&kit), ERR_REFUSED);
    kit.request.handle = KIT_CRYPTO_USER;
    cr_expect_eq(worker_kit_answer(&kit), ERR_OK);
}

/* -- blobs from elsewhere --------------------------------------------------------------------- */

Test(hsm_objects, every_flipped_bit_of_a_blob_is_refused)
{
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    for (unsigned b = 0; b < 2; b++) {
        for (size_t at = 0; at < blob[b].size; at++) {
            blob[b].data[at] ^= (uint8_t)(1u << (at % 8));
            worker_kit_request(&kit, CORE_ATTRIBUTES, KIT_USER);
            kit.request.section[0] = buf_bytes(&blob[b]);
            enum err read = worker_kit_answer(&kit);
            enum err used = b == 1 ? sign(&blob[1]) : ERR_REFUSED;
            cr_expect(read != ERR_OK || used != ERR_OK, "byte %zu", at);
            cr_expect(used == ERR_OK || used == ERR_REFUSED, "byte %zu %s", at, err_name(used));
            cr_expect(read == ERR_OK || read == ERR_REFUSED, "byte %zu %s", at, err_name(read));
            blob[b].data[at] ^= (uint8_t)(1u << (at % 8));
        }
    }
    for (size_t size = 0; size < blob[1].size; size += 7) {
        struct buf cut = { blob[1].data, size, size };
        cr_expect_eq(sign(&cut), ERR_REFUSED);
    }
    cr_expect_eq(sign(&blob[1]), ERR_OK);
}

Test(hsm_objects, sections_of_two_seals_do_not_fit_together)
{
    struct buf second[2] = { { 0 } }, second_a[2] = { { 0 } };
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, second, second_a);
    cr_assert_eq(blob[1].size, second[1].size);
    size_t k_at = 128 + a[1].size + 16;
    memcpy(blob[1].data + k_at, second[1].data + k_at, blob[1].size - k_at);
    cr_expect_eq(sign(&blob[1]), ERR_REFUSED);
    worker_kit_drop(second, 2);
    worker_kit_drop(second_a, 2);
}

/* -- changes --------------------------------------------------------------------------------------
 */

static enum err change(const struct buf *b, const struct buf *t)
{
    worker_kit_request(&kit, CORE_SET_ATTRIBUTES, KIT_USER);
    kit.request.section[0] = buf_bytes(b);
    kit.request.section[1] = buf_bytes(t);
    return worker_kit_answer(&kit);
}

Test(hsm_objects, label_and_id_change_and_generation_rises)
{
    BUF_SCOPED t = { 0 };
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    put_text(&t, CKA_LABEL, "new label");
    put_text(&t, CKA_ID, "7");
    for (unsigned i = 0; i < 2; i++) {
        struct blob_header h;
        enum err e = change(&blob[i], &t);
        cr_assert_eq(e, ERR_OK, "%s", err_name(e));
        BUF_SCOPED next = worker_kit_take(&kit, 0);
        BUF_SCOPED list = worker_kit_take(&kit, 1);
        struct bytes label;
        cr_assert_eq(blob_parse(buf_bytes(&next), &h), ERR_OK);
        cr_expect_eq(h.generation, 2);
        cr_assert_eq(template_get(buf_bytes(&list), CKA_LABEL, &label), ERR_OK);
        cr_expect(bytes_equal(label, bytes_of_text("new label")));
        cr_expect(i == 0 || sign(&next) == ERR_OK);
    }
}

Test(hsm_objects, usage_only_narrows)
{
    BUF_SCOPED t = aes_template();
    BUF_SCOPED narrow = { 0 };
    BUF_SCOPED widen = { 0 };
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_OK);
    put_bool_(&narrow, CKA_DECRYPT, false);
    cr_assert_eq(change(&blob[0], &narrow), ERR_OK);
    blob[1] = worker_kit_take(&kit, 0);
    cr_expect_eq(cbc(&blob[1], CORE_DECRYPT), ERR_KEY_USAGE);
    cr_expect_eq(cbc(&blob[1], CORE_ENCRYPT), ERR_OK);
    put_bool_(&widen, CKA_DECRYPT, true);
    cr_expect_eq(change(&blob[1], &widen), ERR_ATTRIBUTE_READ_ONLY);
}

Test(hsm_objects, what_may_not_change_does_not)
{
    static const struct {
        uint32_t type;
        uint64_t value;
        uint8_t size;
        enum err want;
    } rows[] = { { CKA_SENSITIVE, 0, 1, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_EXTRACTABLE, 1, 1, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_SENSITIVE, 1, 1, ERR_OK },
                 { CKA_PRIVATE, 0, 1, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_TOKEN, 0, 1, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_CLASS, 2, 8, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_LOCAL, 0, 1, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_VALUE_LEN, 1, 8, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_END_DATE, 0, 0, ERR_ATTRIBUTE_READ_ONLY },
                 { CKA_MODULUS, 0, 1, ERR_TEMPLATE },
                 { CKA_WRAP_WITH_TRUSTED, 1, 1, ERR_OK },
                 { CKA_ENCRYPT, 3, 1, ERR_ATTRIBUTE },
                 { 0x90000000, 0, 1, ERR_ATTRIBUTE } };
    BUF_SCOPED t = aes_template();
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &t, &blob[0], &a[0]), ERR_OK);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        BUF_SCOPED c = { 0 };
        uint8_t value[8];
        put_u64(value, rows[i].value);
        cr_assert_eq(template_put(&c, rows[i].type, bytes_of(value, rows[i].size)), ERR_OK);
        enum err e = change(&blob[0], &c);
        cr_expect_eq(e, rows[i].want, "row %u: %s", i, err_name(e));
    }
    BUF_SCOPED fixed = aes_template();
    BUF_SCOPED label = { 0 };
    put_bool_(&fixed, CKA_MODIFIABLE, false);
    put_text(&label, CKA_LABEL, "x");
    cr_assert_eq(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &fixed, &blob[1], &a[1]), ERR_OK);
    cr_expect_eq(change(&blob[1], &label), ERR_ATTRIBUTE_READ_ONLY);
}

/* -- the cache of keys
 * ------------------------------------------------------------------------------------ */

Test(hsm_objects, keys_are_asked_for_again_after_a_while)
{
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    unsigned asked = kit.keys_asked;
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(sign(&blob[1]), ERR_OK);
    }
    cr_expect_eq(kit.keys_asked, asked);
    kit.mono_ms += LIMIT_KEY_CHECK_MS;
    cr_expect_eq(sign(&blob[1]), ERR_OK);
    cr_expect_eq(kit.keys_asked, asked + 1);
    kit.mono_ms += LIMIT_KEY_CHECK_MS;
    kit.keys_error = ERR_TICKET_EXPIRED;
    cr_expect_eq(sign(&blob[1]), ERR_TICKET_EXPIRED);
    kit.keys_error = ERR_OK;
    cr_expect_eq(sign(&blob[1]), ERR_OK);
    kit.wall_s = 2000000000;
    cr_expect_eq(sign(&blob[1]), ERR_TICKET_EXPIRED);
}

/* -- chance and the table
 * --------------------------------------------------------------------------------- */

Test(hsm_objects, random_is_bounded)
{
    static const struct {
        uint64_t size;
        enum err want;
    } rows[] = { { 0, ERR_DATA_LENGTH },
                 { 1, ERR_OK },
                 { 65536, ERR_OK },
                 { 65537, ERR_DATA_LENGTH },
                 { UINT64_MAX, ERR_DATA_LENGTH } };
    for (unsigned i = 0; i < 5; i++) {
        worker_kit_request(&kit, CORE_RANDOM, 0);
        kit.request.number = rows[i].size;
        cr_expect_eq(worker_kit_answer(&kit), rows[i].want);
        cr_expect_eq(kit.reply.section[0].size, rows[i].want == ERR_OK ? rows[i].size : 0);
    }
}

Test(hsm_objects, keeper_verbs_and_unknown_ones_are_not_the_workers)
{
    for (unsigned verb = 0; verb < 70; verb++) {
        const struct core_verb_row *row = core_verb_find(verb);
        worker_kit_request(&kit, verb, KIT_USER);
        enum err e = worker_kit_answer(&kit);
        cr_expect(e != ERR_OK);
        cr_expect_eq(e == ERR_PROTOCOL, row == NULL || row->runs != CORE_RUNS_WORKER, "verb %u",
                     verb);
    }
}
