/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker takes from outside: imported keys, public objects; and the
 * certificates that it issues. */
#include <criterion/criterion.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "hsm-sim/fastkey.h"
#include "tests/lib/worker_kit.h"

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
TestSuite(hsm_import, .init = begin, .fini = end, .timeout = 60);

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
static enum err sign(const struct buf *b)
{
    return worker_kit_operate(&kit, CORE_SIGN, CKM_ECDSA_SHA256, b, none, bytes_of_text("x"), none);
}
static enum err cbc(const struct buf *b, unsigned verb)
{
    static const uint8_t iv[16];
    return worker_kit_operate(&kit, verb, CKM_AES_CBC, b, bytes_of(iv, 16), bytes_of(iv, 16), none);
}

/* -- public objects and import
 * ------------------------------------------------------------------------ */

static enum err create(const struct buf *t)
{
    worker_kit_request(&kit, CORE_CREATE_PUBLIC, KIT_USER);
    kit.request.section[0] = buf_bytes(t);
    kit.request.section[1] = worker_kit_id(&kit);
    return worker_kit_answer(&kit);
}

Test(hsm_import, certificates_and_data_keep_their_value)
{
    static const uint64_t classes[] = { CKO_CERTIFICATE, CKO_DATA };
    for (unsigned i = 0; i < 2; i++) {
        BUF_SCOPED t = { 0 };
        struct bytes value;
        put_u64_(&t, CKA_CLASS, classes[i]);
        put_text(&t, CKA_VALUE, "some value");
        cr_assert_eq(create(&t), ERR_OK);
        BUF_SCOPED b = worker_kit_take(&kit, 0);
        worker_kit_request(&kit, CORE_ATTRIBUTES, KIT_PUBLIC);
        kit.request.section[0] = buf_bytes(&b);
        cr_assert_eq(worker_kit_answer(&kit), ERR_OK);
        cr_assert_eq(template_get(kit.reply.section[0], CKA_VALUE, &value), ERR_OK);
        cr_expect(bytes_equal(value, bytes_of_text("some value")));
        put_bool_(&t, CKA_PRIVATE, true);
        cr_expect_eq(create(&t), ERR_TEMPLATE);
        cr_expect_eq(sign(&b), ERR_KEY_TYPE);
    }
    BUF_SCOPED bare = { 0 };
    put_u64_(&bare, CKA_CLASS, CKO_CERTIFICATE);
    cr_expect_eq(create(&bare), ERR_TEMPLATE);
}

Test(hsm_import, public_keys_are_checked)
{
    BUF_SCOPED t = { 0 };
    struct bytes point;
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
    cr_assert_eq(sign(&blob[1]), ERR_OK);
    BUF_SCOPED sig = worker_kit_take(&kit, 0);
    cr_assert_eq(template_get(buf_bytes(&a[0]), CKA_EC_POINT, &point), ERR_OK);
    put_u64_(&t, CKA_CLASS, CKO_PUBLIC_KEY);
    put_u64_(&t, CKA_KEY_TYPE, CKK_EC);
    cr_assert_eq(template_put(&t, CKA_EC_PARAMS, worker_kit_curve(SEAL_CURVE_P256)), ERR_OK);
    for (unsigned raw = 0; raw < 2; raw++) {
        cr_assert_eq(template_put(&t, CKA_EC_POINT, raw ? bytes_of(point.data + 2, 65) : point),
                     ERR_OK);
        cr_assert_eq(create(&t), ERR_OK);
        BUF_SCOPED b = worker_kit_take(&kit, 0);
        cr_expect_eq(worker_kit_operate(&kit, CORE_VERIFY, CKM_ECDSA_SHA256, &b, none,
                                        bytes_of_text("x"), buf_bytes(&sig)),
                     ERR_OK);
    }
    uint8_t bad[65];
    memcpy(bad, point.data + 2, 65);
    bad[64] ^= 1;
    cr_assert_eq(template_put(&t, CKA_EC_POINT, bytes_of(bad, 65)), ERR_OK);
    cr_expect_eq(create(&t), ERR_ATTRIBUTE);
}

static enum err import(const struct buf *t, struct bytes material, bool spoil)
{
    static const uint8_t challenge[16] = { 7 };
    BUF_SCOPED envelope =
        worker_kit_envelope(&kit, buf_bytes(t), bytes_of(challenge, 16), material);
    if (spoil) {
        envelope.data[envelope.size - 1] ^= 1;
    }
    worker_kit_request(&kit, CORE_IMPORT, KIT_USER);
    kit.request.number = BLOB_TOKEN;
    kit.request.section[0] = buf_bytes(t);
    kit.request.section[1] = bytes_of(challenge, 16);
    kit.request.section[2] = buf_bytes(&envelope);
    kit.request.section[3] = worker_kit_id(&kit);
    return worker_kit_answer(&kit);
}

static struct buf import_template(uint64_t class, uint64_t type, unsigned curve)
{
    struct buf t = { 0 };
    put_u64_(&t, CKA_CLASS, class);
    put_u64_(&t, CKA_KEY_TYPE, type);
    if (curve != 0) {
        cr_assert_eq(template_put(&t, CKA_EC_PARAMS, worker_kit_curve(curve)), ERR_OK);
    }
    return t;
}

Test(hsm_import, imported_aes_key_is_that_key)
{
    uint8_t key[32] = { 9 };
    BUF_SCOPED t = import_template(CKO_SECRET_KEY, CKK_AES, 0);
    enum err e = import(&t, bytes_of(key, 32), false);
    cr_assert_eq(e, ERR_OK, "%s", err_name(e));
    blob[0] = worker_kit_take(&kit, 0);
    a[0] = worker_kit_take(&kit, 1);
    cr_expect_not(says_bool(&a[0], CKA_LOCAL));
    cr_expect_not(says_bool(&a[0], CKA_ALWAYS_SENSITIVE));
    cr_expect_not(says_bool(&a[0], CKA_NEVER_EXTRACTABLE));
    cr_expect_eq(says_u64(&a[0], CKA_KEY_GEN_MECHANISM), UINT64_MAX);
    struct key_info info = {
        .class = SEAL_CLASS_SECRET, .type = SEAL_KEY_AES, .bits = 256, .usage = SEAL_ENCRYPT
    };
    info.material = bytes_of(key, 32);
    BUF_SCOPED same = worker_kit_seal(&kit, &info);
    cr_assert_eq(cbc(&same, CORE_ENCRYPT), ERR_OK);
    BUF_SCOPED want = worker_kit_take(&kit, 0);
    cr_assert_eq(cbc(&blob[0], CORE_ENCRYPT), ERR_OK);
    cr_expect(bytes_equal(kit.reply.section[0], buf_bytes(&want)));
    cr_expect_eq(import(&t, bytes_of(key, 32), true), ERR_REFUSED);
    cr_expect_eq(import(&t, bytes_of(key, 31), false), ERR_KEY_SIZE);
    cr_expect_eq(import(&t, bytes_of(key, 0), false), ERR_KEY_SIZE);
}

/* The envelope is bound to the template that its owner asked for. */
Test(hsm_import, import_under_another_template_is_refused)
{
    uint8_t key[32] = { 9 };
    static const uint8_t challenge[16] = { 7 };
    BUF_SCOPED t = import_template(CKO_SECRET_KEY, CKK_AES, 0);
    BUF_SCOPED envelope =
        worker_kit_envelope(&kit, buf_bytes(&t), bytes_of(challenge, 16), bytes_of(key, 32));
    put_bool_(&t, CKA_EXTRACTABLE, true);
    worker_kit_request(&kit, CORE_IMPORT, KIT_USER);
    kit.request.number = BLOB_TOKEN;
    kit.request.section[0] = buf_bytes(&t);
    kit.request.section[1] = bytes_of(challenge, 16);
    kit.request.section[2] = buf_bytes(&envelope);
    kit.request.section[3] = worker_kit_id(&kit);
    cr_expect_eq(worker_kit_answer(&kit), ERR_REFUSED);
}

static struct bytes material_of(const struct buf *b, uint8_t *plain, size_t size)
{
    struct seal_opened opened;
    struct seal_source source = { .now = kit.wall_s };
    cr_assert_eq(seal_open(buf_bytes(b), &kit.ring, &source, SEAL_K, plain, size, &opened), ERR_OK);
    return opened.info.material;
}

Test(hsm_import, imported_ec_key_gets_its_point)
{
    static uint8_t plain[LIMIT_BLOB];
    static const unsigned curves[] = { SEAL_CURVE_P256, SEAL_CURVE_P384, SEAL_CURVE_P521 };
    for (unsigned i = 0; i < 3; i++) {
        size_t n = seal_curve_private_size(curves[i]);
        BUF_SCOPED t = import_template(CKO_PRIVATE_KEY, CKK_EC, curves[i]);
        worker_kit_ec_pair(&kit, curves[i], blob, a);
        struct bytes m = material_of(&blob[1], plain, sizeof plain);
        uint8_t copy[FASTKEY_EC_MATERIAL];
        memcpy(copy, m.data, m.size);
        cr_assert_eq(import(&t, bytes_of(copy, n), false), ERR_OK);
        BUF_SCOPED b = worker_kit_take(&kit, 0);
        cr_assert_eq(sign(&b), ERR_OK);
        BUF_SCOPED sig = worker_kit_take(&kit, 0);
        cr_expect_eq(worker_kit_operate(&kit, CORE_VERIFY, CKM_ECDSA_SHA256, &blob[0], none,
                                        bytes_of_text("x"), buf_bytes(&sig)),
                     ERR_OK);
        cr_expect_eq(import(&t, bytes_of(copy, m.size), false), ERR_OK);
        copy[m.size - 1] ^= 1;
        cr_expect_eq(import(&t, bytes_of(copy, m.size), false), ERR_ATTRIBUTE, "foreign point");
        memset(copy, 0, n);
        cr_expect_eq(import(&t, bytes_of(copy, n), false), ERR_ATTRIBUTE, "zero");
        memset(copy, 0xff, n);
        cr_expect_eq(import(&t, bytes_of(copy, n), false), ERR_ATTRIBUTE, "past the order");
        worker_kit_drop(blob, 2);
        worker_kit_drop(a, 2);
    }
}

Test(hsm_import, imported_rsa_key_is_checked_part_by_part)
{
    static uint8_t plain[LIMIT_BLOB], copy[FASTKEY_RSA_MATERIAL];
    BUF_SCOPED t = import_template(CKO_PRIVATE_KEY, CKK_RSA, 0);
    worker_kit_rsa_pair(&kit, blob, a);
    struct bytes m = material_of(&blob[1], plain, sizeof plain);
    cr_assert_eq(import(&t, m, false), ERR_OK);
    BUF_SCOPED b = worker_kit_take(&kit, 0);
    cr_expect_eq(worker_kit_operate(&kit, CORE_SIGN, CKM_SHA256_RSA_PKCS, &b, none,
                                    bytes_of_text("x"), none),
                 ERR_OK);
    /* n e d p q dp dq qi */
    static const unsigned at[] = { 10, 263, 300, 600, 700, 850, 950, 1100 };
    for (unsigned i = 0; i < 8; i++) {
        memcpy(copy, m.data, m.size);
        copy[at[i]] ^= 2;
        cr_expect_eq(import(&t, bytes_of(copy, m.size), false), ERR_ATTRIBUTE, "part %u", i);
    }
    cr_expect_eq(import(&t, bytes_of(m.data, m.size - 1), false), ERR_KEY_SIZE);
    BUF_SCOPED wrong = import_template(CKO_PRIVATE_KEY, CKK_RSA, 0);
    put_text(&wrong, CKA_MODULUS, "another");
    cr_expect_eq(import(&wrong, m, false), ERR_TEMPLATE);
    BUF_SCOPED public = import_template(CKO_PUBLIC_KEY, CKK_RSA, 0);
    cr_expect_eq(import(&public, m, false), ERR_TEMPLATE);
}

/* -- certificates ------------------------------------------------------------------ */

static enum err issue(uint64_t what, struct bytes spki, const char *name, const char *alternatives)
{
    worker_kit_request(&kit, CORE_ISSUE, what == 0 ? KIT_OFFICER : 0);
    kit.request.number = what;
    kit.request.section[0] = buf_bytes(&blob[0]);
    kit.request.section[1] = buf_bytes(&a[0]);
    kit.request.section[2] = spki;
    kit.request.section[3] = bytes_of_text(name);
    kit.request.section[4] = bytes_of_text(alternatives);
    return worker_kit_answer(&kit);
}

static X509 *parse(struct bytes der)
{
    const uint8_t *at = der.data;
    X509 *x = d2i_X509(NULL, &at, (long)der.size);
    cr_assert_not_null(x);
    return x;
}

static bool chain_holds(X509 *leaf, X509 *ca, int purpose)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    cr_assert_eq(X509_STORE_add_cert(store, ca), 1);
    cr_assert_eq(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)kit.wall_s);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    bool good = X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return good;
}

static void must_create_ca(void)
{
    worker_kit_request(&kit, CORE_CA_CREATE, 0);
    kit.request.section[0] = bytes_of_text("lab one");
    enum err e = worker_kit_answer(&kit);
    cr_assert_eq(e, ERR_OK, "%s", err_name(e));
    blob[0] = worker_kit_take(&kit, 0);
    a[0] = worker_kit_take(&kit, 1);
}

Test(hsm_import, a_daemon_gets_no_client_certificate_without_the_po)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t *der = NULL;
    int size = i2d_PUBKEY(key, &der);
    must_create_ca();
    cr_expect_eq(issue(0, bytes_of(der, (size_t)size), "mallory", ""), ERR_OK);
    for (uint64_t handle = 0; handle < KIT_OFFICER; handle++) {
        kit.request.handle = handle;
        cr_expect_eq(worker_kit_answer(&kit), ERR_LOGIN_REQUIRED, "handle %u", (unsigned)handle);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

Test(hsm_import, ca_issues_certificates_for_their_purpose)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t *der = NULL;
    int size = i2d_PUBKEY(key, &der);
    struct bytes spki = bytes_of(der, (size_t)size);
    enum err e;
    must_create_ca();
    X509 *ca = parse(buf_bytes(&a[0]));
    cr_expect_eq(X509_check_ca(ca), 1);
    for (uint64_t what = 0; what < 2; what++) {
        e = issue(what, spki, "member one", "DNS:m1.example,IP:127.0.0.1,IP:::1");
        cr_assert_eq(e, ERR_OK, "%s", err_name(e));
        X509 *leaf = parse(kit.reply.section[0]);
        cr_expect_eq(chain_holds(leaf, ca, X509_PURPOSE_SSL_CLIENT), what == 0);
        cr_expect_eq(chain_holds(leaf, ca, X509_PURPOSE_SSL_SERVER), what == 1);
        cr_expect_eq(X509_check_host(leaf, "m1.example", 0, 0, NULL), 1);
        cr_expect_eq(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
        int days = 0, seconds = 0;
        cr_assert_eq(
            ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)),
            1);
        cr_expect_eq(days, what == 0 ? 825 : 7);
        cr_expect_eq(seconds, 3600);
        X509_free(leaf);
    }
    cr_expect_eq(issue(2, spki, "x", ""), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, spki, "", ""), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, spki, "a\nb", ""), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, spki, "x", "email:copy"), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, spki, "x", "DNS:@file"), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, spki, "x", "IP:300.1.1.1"), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, spki, "x", "DNS:a,"), ERR_ATTRIBUTE);
    cr_expect_eq(issue(0, bytes_of(der, (size_t)size - 1), "x", ""), ERR_DATA_INVALID);
    kit.request.section[2] = spki;
    kit.request.section[1] = spki;
    cr_expect_eq(worker_kit_answer(&kit), ERR_DATA_INVALID);
    cr_expect_eq(sign(&blob[0]), ERR_REFUSED, "the CA's key signs certificates alone");
    X509_free(ca);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}
