/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's certificate authority: a P-256 key as SYS object (kind 5), a
 * self-signed certificate, and short-lived client and server certificates. Not on
 * the path of an operation, so plain EVP. A daemon may ask for a server's
 * certificate; a client's needs the PO's handle. The key leaves the core only sealed. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "hsm-sim/worker_state.h"
#include "proto/template.h"

#define BACK_S 3600
#define DAY_S 86400
#define SERIAL_SIZE 16u
#define CERT_MAX 4096u
#define NAMES_MAX 16u
#define P256_SCALAR 32u
#define P256_POINT 65u

static void free_pkey(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static void free_x509(X509 **x)
{
    X509_free(*x);
}
static void free_ring(struct seal_ring *r)
{
    seal_ring_drop(r);
}
static void free_names(GENERAL_NAMES **n)
{
    GENERAL_NAMES_free(*n);
}
static void free_build(OSSL_PARAM_BLD **b)
{
    OSSL_PARAM_BLD_free(*b);
}
static void free_params(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p); /* wipes what came from a secure BIGNUM */
}
static void free_pkey_ctx(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}
static void free_bn(BIGNUM **n)
{
    BN_clear_free(*n);
}
#define PKEY_SCOPED __attribute__((cleanup(free_pkey))) EVP_PKEY
#define X509_SCOPED __attribute__((cleanup(free_x509))) X509
#define RING_SCOPED __attribute__((cleanup(free_ring))) struct seal_ring
#define NAMES_SCOPED __attribute__((cleanup(free_names))) GENERAL_NAMES
#define BUILD_SCOPED __attribute__((cleanup(free_build))) OSSL_PARAM_BLD
#define PARAMS_SCOPED __attribute__((cleanup(free_params))) OSSL_PARAM
#define PKEY_CTX_SCOPED __attribute__((cleanup(free_pkey_ctx))) EVP_PKEY_CTX
#define BN_SCOPED __attribute__((cleanup(free_bn))) BIGNUM

/* -- keys ------------------------------------------------------------------------------ */

/* The keeper judges whether this handle may have the key for this. */
static enum err system_ring(struct worker *w,
                            uint64_t handle,
                            enum keeper_sys what,
                            struct seal_ring *ring)
{
    static const uint8_t none[ID_SIZE];
    struct core_request ask = { .verb = CORE_SYS_KEY, .handle = handle, .number = what };
    struct core_reply reply;
    enum err e = worker_ask(w, &ask, &reply);
    if (e == ERR_OK && (reply.section[0].size != CRYPT_KEY || reply.section[1].size != ID_SIZE ||
                        reply.section[2].size != ID_SIZE)) {
        e = ERR_PROTOCOL;
    }
    if (e == ERR_OK) {
        seal_ring_init(ring, reply.section[2].data, none);
        e = seal_ring_add(ring, SEAL_SYSTEM_KEY, reply.section[1].data, 0, reply.section[0].data);
    }
    worker_scratch_wipe(w);
    return e;
}

/* scalar || 04 X Y as an EVP key. */
static enum err load_ca_key(const uint8_t *material, EVP_PKEY **out)
{
    BUILD_SCOPED *build = OSSL_PARAM_BLD_new();
    BN_SCOPED *d = BN_secure_new();
    PKEY_CTX_SCOPED *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    PARAMS_SCOPED *params = NULL;
    if (build == NULL || d == NULL || ctx == NULL ||
        BN_bin2bn(material, (int)P256_SCALAR, d) == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, d) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, material + P256_SCALAR,
                                         P256_POINT) != 1) {
        return ERR_CRYPTO;
    }
    params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, out, EVP_PKEY_KEYPAIR, params) != 1) {
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

/* For ISSUE: its number says what for, its handle by whose right. */
static enum err open_ca_key(struct worker *w, const struct core_request *r, EVP_PKEY **out)
{
    const struct bytes blob = r->section[0];
    RING_SCOPED ring = { 0 };
    struct seal_opened opened = { 0 };
    struct seal_source source = { .now = clock_wall_s(w->clock) };
    struct blob_header header;
    enum err e;
    TRY(worker_blob_error(blob_parse(blob, &header)));
    if (header.kind != BLOB_SYSTEM) {
        return ERR_REFUSED;
    }
    TRY(system_ring(w, r->handle, (enum keeper_sys)r->number, &ring));
    e = seal_open(blob, &ring, &source, SEAL_K, w->plain.data, w->plain.size, &opened);
    TRY(worker_blob_error(e));
    e = ERR_KEY_TYPE;
    if (opened.info.class == SEAL_CLASS_PRIVATE && opened.info.type == SEAL_KEY_EC &&
        opened.info.bits == SEAL_CURVE_P256 && (opened.info.usage & SEAL_SIGN) != 0) {
        e = load_ca_key(opened.info.material.data, out);
    }
    seal_opened_wipe(&opened, w->plain.data, blob.size - BLOB_OVERHEAD);
    return e;
}

/* -- certificates ------------------------------------------------------------------------- */

struct dates {
    uint64_t now;
    unsigned days;
};

static bool set_serial(X509 *x)
{
    uint8_t number[SERIAL_SIZE];
    BN_SCOPED *bn = NULL;
    if (crypt_random(number, sizeof number) != ERR_OK) {
        return false;
    }
    number[0] = (uint8_t)((number[0] & 0x7f) | 0x40);
    bn = BN_bin2bn(number, (int)sizeof number, NULL);
    return bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL;
}

static bool set_basics(X509 *x, const struct dates *d)
{
    time_t now = (time_t)d->now;
    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
           ASN1_TIME_set(X509_getm_notBefore(x), now - BACK_S) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x), now + (time_t)d->days * DAY_S) != NULL;
}

static bool add_name(X509_NAME *name, const char *field, struct bytes text)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, text.data, (int)text.size, -1,
                                      0) == 1;
}

/* Constant texts only: what a request says never comes here. */
static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;
    int good;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509V3_set_ctx_nodb(&ctx);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    good = e != NULL && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return good;
}

static enum err add_der(X509 *x, struct answer *a)
{
    uint8_t *at = a->at;
    int size = i2d_X509(x, NULL);
    if (size <= 0 || (size_t)size > CERT_MAX) {
        return ERR_CRYPTO;
    }
    if ((size_t)size > a->left) {
        return ERR_TOO_LARGE;
    }
    (void)i2d_X509(x, &at);
    answer_add(a, (size_t)size);
    return ERR_OK;
}

static bool printable(struct bytes text, const char *more)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(more, c) == NULL)) {
            return false;
        }
    }
    return text.size > 0;
}
#define NAME_CHARACTERS " .,-_@:/+()"
#define ALT_CHARACTERS ".-:*_"

static enum err make_ca(struct worker *w, EVP_PKEY *key, struct bytes label, struct answer *a)
{
    X509_SCOPED *x = X509_new();
    struct dates dates = { clock_wall_s(w->clock), LIMIT_CERT_CA_DAYS };
    X509_NAME *name;
    if (x == NULL || !set_basics(x, &dates)) {
        return ERR_CRYPTO;
    }
    name = X509_get_subject_name(x);
    if (!add_name(name, "O", bytes_of_text("Ringkeep")) || !add_name(name, "CN", label) ||
        X509_set_issuer_name(x, name) != 1 || X509_set_pubkey(x, key) != 1 ||
        !add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_extension(x, x, NID_subject_key_identifier, "hash") ||
        X509_sign(x, key, EVP_sha256()) <= 0) {
        return ERR_CRYPTO;
    }
    return add_der(x, a);
}

enum err worker_ca_create(struct worker *w, const struct core_request *r, struct answer *a)
{
    RING_SCOPED ring = { 0 };
    PKEY_SCOPED *key = NULL;
    OBJECT_SCOPED o = { .kind = BLOB_SYSTEM,
                        .origin = OBJECT_GENERATED,
                        .class = SEAL_CLASS_PRIVATE,
                        .type = SEAL_KEY_EC,
                        .mechanism = CKM_EC_KEY_PAIR_GEN };
    struct key_info info;
    uint8_t id[ID_SIZE], *material = w->material.data;
    enum err e;
    if (r->number != 0 || !printable(r->section[0], NAME_CHARACTERS)) {
        return ERR_ATTRIBUTE;
    }
    TRY(system_ring(w, 0, KEEPER_SYS_CA, &ring));
    TRY(crypt_random(id, sizeof id));
    TRY(object_begin(&o, bytes_of(id, sizeof id)));
    TRY(fastkey_ec_generate(w->mech.ec, SEAL_CURVE_P256, material));
    object_info(&o, SEAL_CURVE_P256, &info);
    info.material = bytes_of(material, P256_SCALAR + P256_POINT);
    e = object_put_ec(&o, SEAL_CURVE_P256, bytes_of(material + P256_SCALAR, P256_POINT));
    if (e == ERR_OK) {
        e = worker_seal(&ring, &o, id, &info, a);
    }
    if (e == ERR_OK) {
        e = load_ca_key(material, &key);
    }
    bytes_wipe(material, P256_SCALAR + P256_POINT);
    TRY(e);
    return make_ca(w, key, r->section[0], a);
}

/* -- issuing ---------------------------------------------------------------------------------- */

static bool after_prefix(struct bytes item, const char *prefix, struct bytes *rest)
{
    struct bytes p = bytes_of_text(prefix);
    if (item.size <= p.size || !bytes_equal(bytes_of(item.data, p.size), p)) {
        return false;
    }
    *rest = bytes_of(item.data + p.size, item.size - p.size);
    return true;
}

/* One "DNS:name" or "IP:address". */
static enum err add_alternative(GENERAL_NAMES *names, struct bytes item)
{
    char text[LIMIT_NAME * 4u];
    struct bytes value = item;
    int type = GEN_DNS;
    GENERAL_NAME *name;
    if (!after_prefix(item, "DNS:", &value)) {
        type = GEN_IPADD;
        if (!after_prefix(item, "IP:", &value)) {
            return ERR_ATTRIBUTE;
        }
    }
    if (value.size >= sizeof text || !printable(value, ALT_CHARACTERS)) {
        return ERR_ATTRIBUTE;
    }
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    name = a2i_GENERAL_NAME(NULL, NULL, NULL, type, text, 0);
    if (name == NULL || sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return ERR_ATTRIBUTE;
    }
    return ERR_OK;
}

static enum err add_alternatives(X509 *x, struct bytes list)
{
    NAMES_SCOPED *names = sk_GENERAL_NAME_new_null();
    size_t start = 0;
    unsigned count = 0;
    if (names == NULL) {
        return ERR_NOMEM;
    }
    for (size_t at = 0; at <= list.size; at++) {
        if (at < list.size && list.data[at] != ',') {
            continue;
        }
        if (++count > NAMES_MAX) {
            return ERR_TOO_LARGE;
        }
        TRY(add_alternative(names, bytes_of(list.data + start, at - start)));
        start = at + 1;
    }
    return X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1
               ? ERR_OK
               : ERR_CRYPTO;
}

/* P-256, P-384 or Ed25519, or RSA from 2048 bits on. */
static enum err parse_spki(struct bytes der, EVP_PKEY **out)
{
    const uint8_t *at = der.data;
    PKEY_SCOPED *key = der.size > 0 ? d2i_PUBKEY(NULL, &at, (long)der.size) : NULL;
    bool strong;
    if (key == NULL || at != der.data + der.size) {
        return ERR_DATA_INVALID;
    }
    strong =
        EVP_PKEY_get_security_bits(key) >= 112 &&
        (EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "ED25519"));
    if (!strong) {
        return ERR_KEY_SIZE;
    }
    *out = key;
    key = NULL;
    return ERR_OK;
}

static enum err parse_ca(struct bytes der, EVP_PKEY *key, X509 **out)
{
    const uint8_t *at = der.data;
    X509_SCOPED *x = der.size > 0 ? d2i_X509(NULL, &at, (long)der.size) : NULL;
    if (x == NULL || at != der.data + der.size || EVP_PKEY_eq(X509_get0_pubkey(x), key) != 1) {
        return ERR_DATA_INVALID;
    }
    *out = x;
    x = NULL;
    return ERR_OK;
}

static const struct {
    const char *usage;
    unsigned days;
} purposes[] = {
    [KEEPER_SYS_CLIENT] = { "clientAuth", LIMIT_CERT_CLIENT_DAYS },
    [KEEPER_SYS_SERVER] = { "serverAuth", LIMIT_CERT_SERVER_DAYS },
};

enum err worker_issue(struct worker *w, const struct core_request *r, struct answer *a)
{
    PKEY_SCOPED *ca_key = NULL;
    PKEY_SCOPED *key = NULL;
    X509_SCOPED *ca = NULL;
    X509_SCOPED *x = X509_new();
    struct dates dates = { .now = clock_wall_s(w->clock) };
    if (r->number >= sizeof purposes / sizeof purposes[0] ||
        !printable(r->section[3], NAME_CHARACTERS)) {
        return ERR_ATTRIBUTE;
    }
    dates.days = purposes[r->number].days;
    TRY(parse_spki(r->section[2], &key));
    TRY(open_ca_key(w, r, &ca_key));
    TRY(parse_ca(r->section[1], ca_key, &ca));
    if (x == NULL || !set_basics(x, &dates) ||
        !add_name(X509_get_subject_name(x), "CN", r->section[3]) ||
        X509_set_issuer_name(x, X509_get_subject_name(ca)) != 1 || X509_set_pubkey(x, key) != 1 ||
        !add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(x, ca, NID_key_usage, "critical,digitalSignature") ||
        !add_extension(x, ca, NID_ext_key_usage, purposes[r->number].usage) ||
        !add_extension(x, ca, NID_subject_key_identifier, "hash") ||
        !add_extension(x, ca, NID_authority_key_identifier, "keyid")) {
        return ERR_CRYPTO;
    }
    if (r->section[4].size > 0) {
        TRY(add_alternatives(x, r->section[4]));
    }
    if (X509_sign(x, ca_key, EVP_sha256()) <= 0) {
        return ERR_CRYPTO;
    }
    return add_der(x, a);
}
