/* SPDX-License-Identifier: Apache-2.0 */
/* Two TLS connections in memory: both kinds of trust, and what must fail. The
 * test makes its own little CA with OpenSSL. */
#include <criterion/criterion.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/tls.h"

static char folder[] = "/tmp/base_tls.XXXXXX";

struct pair {
    struct tls_context *client_context, *server_context;
    struct tls_conn *client, *server;
};

/* A path in the folder; four may be used at once. */
static const char *in_folder(const char *name)
{
    static char paths[8][64];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, 64, "%s/%s", folder, name);
    return path;
}

static void save(const char *name, EVP_PKEY *key, X509 *cert)
{
    char file_name[32];
    (void)snprintf(file_name, sizeof(file_name), "%s.key", name);
    FILE *file = fopen(in_folder(file_name), "we");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
    (void)snprintf(file_name, sizeof(file_name), "%s.crt", name);
    file = fopen(in_folder(file_name), "we");
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_X509(file, cert), 1);
    (void)fclose(file);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    cr_assert_not_null(extension);
    cr_assert_eq(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* A certificate in folder/NAME.{crt,key}. No issuer: a CA. usage NULL: no EKU. */
static void issue(const char *name, const char *ca, const char *usage, long days)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *ca_key = key;
    X509 *cert = X509_new();
    X509 *ca_cert = cert;
    char file_name[32];
    if (ca != NULL) {
        (void)snprintf(file_name, sizeof(file_name), "%s.key", ca);
        FILE *file = fopen(in_folder(file_name), "re");
        ca_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        (void)fclose(file);
        (void)snprintf(file_name, sizeof(file_name), "%s.crt", ca);
        file = fopen(in_folder(file_name), "re");
        ca_cert = PEM_read_X509(file, NULL, NULL, NULL);
        (void)fclose(file);
    }
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + (long)strlen(name));
    X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(ca_cert));
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400L * 30);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400 * days);
    X509_set_pubkey(cert, key);
    add_extension(cert, ca_cert, NID_basic_constraints,
                  ca == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (usage != NULL) {
        add_extension(cert, ca_cert, NID_ext_key_usage, usage);
    }
    cr_assert_gt(X509_sign(cert, ca_key, EVP_sha256()), 0);
    save(name, key, cert);
    if (ca != NULL) {
        EVP_PKEY_free(ca_key);
        X509_free(ca_cert);
    }
    EVP_PKEY_free(key);
    X509_free(cert);
}

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    issue("ca", NULL, NULL, 10);
    issue("other-ca", NULL, NULL, 10);
    issue("server", "ca", "serverAuth", 10);
    issue("client", "ca", "clientAuth", 10);
}

static void remove_folder(void)
{
    static const char *const names[] = { "ca", "other-ca", "server", "client", "a", "b" };
    char file_name[32];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(file_name, sizeof(file_name), "%s.key", names[i]);
        (void)unlink(in_folder(file_name));
        (void)snprintf(file_name, sizeof(file_name), "%s.crt", names[i]);
        (void)unlink(in_folder(file_name));
    }
    (void)rmdir(folder);
}

TestSuite(tls, .init = make_folder, .fini = remove_folder, .timeout = 20);

/* ca and identity are names in the folder, NULL for none. */
static struct tls_context *open_context(bool server,
                                        enum tls_trust trust,
                                        const char *ca,
                                        const char *identity)
{
    char key[32], cert[32], root[32];
    struct tls_context *out = NULL;
    (void)snprintf(key, sizeof(key), "%s.key", identity == NULL ? "" : identity);
    (void)snprintf(cert, sizeof(cert), "%s.crt", identity == NULL ? "" : identity);
    (void)snprintf(root, sizeof(root), "%s.crt", ca == NULL ? "" : ca);
    const struct tls_options options = { .server = server,
                                         .trust = trust,
                                         .cert_path = identity == NULL ? NULL : in_folder(cert),
                                         .key_path = identity == NULL ? NULL : in_folder(key),
                                         .ca_path = ca == NULL ? NULL : in_folder(root) };
    cr_assert_eq(tls_context_open(&options, &out), ERR_OK);
    return out;
}

static void open_pair(struct pair *p, struct tls_context *client, struct tls_context *server)
{
    *p = (struct pair){ .client_context = client, .server_context = server };
    cr_assert_eq(tls_conn_open(client, &p->client), ERR_OK);
    cr_assert_eq(tls_conn_open(server, &p->server), ERR_OK);
}

static void close_pair(struct pair *p)
{
    tls_context_close(p->client_context); /* connections outlive it */
    tls_context_close(p->server_context);
    tls_conn_close(p->client);
    tls_conn_close(p->server);
    tls_conn_close(NULL);
    tls_context_close(NULL);
}

/* All that is pending, in pieces of an odd size. */
static void carry(struct tls_conn *from, struct tls_conn *to)
{
    for (;;) {
        struct bytes some = tls_pending(from);
        if (some.size == 0) {
            return;
        }
        some.size = some.size > 1009 ? 1009 : some.size;
        const enum err e = tls_feed(to, some);
        cr_assert(e == ERR_OK || e == ERR_TLS);
        tls_sent(from, some.size);
    }
}

/* The first error of either side, with a read after the handshake so that a
 * refusal by the server reaches the client. */
static enum err shake(struct pair *p)
{
    bool client_done = false, server_done = false, closed = false;
    enum err client = ERR_OK, server = ERR_OK;
    size_t got = 0;
    char byte;
    for (int i = 0; i < 10 && client == ERR_OK && server == ERR_OK; i++) {
        client = client_done ? tls_read(p->client, &byte, 1, &got, &closed)
                             : tls_handshake(p->client, &client_done);
        carry(p->client, p->server);
        server = server_done ? tls_read(p->server, &byte, 1, &got, &closed)
                             : tls_handshake(p->server, &server_done);
        carry(p->server, p->client);
    }
    cr_expect(client != ERR_OK || server != ERR_OK || (client_done && server_done));
    return client != ERR_OK ? client : server;
}

static void expect_text(struct tls_conn *c, const char *text)
{
    char out[64];
    size_t got = 0;
    bool closed = false;
    cr_assert_eq(tls_read(c, out, sizeof(out), &got, &closed), ERR_OK);
    cr_expect(bytes_equal(bytes_of(out, got), bytes_of_text(text)));
    cr_expect_not(closed);
}

static void expect_peer(struct tls_conn *c, const char *name)
{
    char file_name[32];
    uint8_t expected[X509_SPKI_HASH], seen[X509_SPKI_HASH];
    BUF_SCOPED spki = { 0 };
    (void)snprintf(file_name, sizeof(file_name), "%s.key", name);
    cr_assert_eq(x509_key_spki(in_folder(file_name), &spki, expected), ERR_OK);
    cr_assert_eq(tls_peer_spki_hash(c, seen), ERR_OK);
    cr_expect_eq(memcmp(expected, seen, X509_SPKI_HASH), 0);
}

static void make_identities(void)
{
    cr_assert_eq(x509_make_identity(in_folder("a.key"), in_folder("a.crt"), "a"), ERR_OK);
    cr_assert_eq(x509_make_identity(in_folder("b.key"), in_folder("b.crt"), "b"), ERR_OK);
}

static void open_pinned(struct pair *p)
{
    make_identities();
    open_pair(p, open_context(false, TLS_TRUST_PINNED, NULL, "a"),
              open_context(true, TLS_TRUST_PINNED, NULL, "b"));
}

Test(tls, pinned_peers_see_each_others_key_and_talk, .timeout = 20)
{
    struct pair p;
    uint8_t hash[X509_SPKI_HASH];
    char byte;
    size_t got = 1;
    bool closed = false;
    open_pinned(&p);
    cr_expect_eq(tls_peer_spki_hash(p.client, hash), ERR_WRONG_STATE);
    cr_expect_eq(tls_write(p.client, bytes_of_text("early")), ERR_WRONG_STATE);
    cr_expect_eq(tls_read(p.client, &byte, 1, &got, &closed), ERR_WRONG_STATE);
    cr_assert_eq(shake(&p), ERR_OK, "%s", tls_reason(p.client));
    expect_peer(p.client, "b");
    expect_peer(p.server, "a");
    cr_assert_eq(tls_write(p.client, bytes_of_text("hello")), ERR_OK);
    cr_assert_eq(tls_write(p.client, bytes_of(NULL, 0)), ERR_OK);
    carry(p.client, p.server);
    expect_text(p.server, "hello");
    expect_text(p.server, "");
    cr_assert_eq(tls_write(p.server, bytes_of_text("good day")), ERR_OK);
    carry(p.server, p.client);
    expect_text(p.client, "good day");
    tls_shutdown(p.client);
    carry(p.client, p.server);
    cr_assert_eq(tls_read(p.server, &byte, 1, &got, &closed), ERR_OK);
    cr_expect(closed);
    cr_expect_eq(got, 0);
    cr_expect_eq(ERR_peek_error(), 0, "nothing is left in the thread's queue");
    close_pair(&p);
}

Test(tls, a_megabyte_goes_through, .timeout = 20)
{
    struct pair p;
    size_t sum = 0, got = 0;
    bool closed = false;
    uint8_t *data = calloc(1, LIMIT_FRAME_PEER);
    cr_assert_not_null(data);
    data[LIMIT_FRAME_PEER - 1] = 0x42;
    open_pinned(&p);
    cr_assert_eq(shake(&p), ERR_OK);
    cr_assert_eq(tls_write(p.server, bytes_of(data, LIMIT_FRAME_PEER)), ERR_OK);
    carry(p.server, p.client);
    memset(data, 0xff, LIMIT_FRAME_PEER);
    do {
        cr_assert_eq(tls_read(p.client, data + sum, LIMIT_FRAME_PEER - sum + 0, &got, &closed),
                     ERR_OK);
        sum += got;
    } while (got > 0 && sum < LIMIT_FRAME_PEER);
    cr_expect_eq(sum, LIMIT_FRAME_PEER);
    cr_expect_eq(data[LIMIT_FRAME_PEER - 1], 0x42);
    cr_expect_eq(data[0], 0);
    free(data);
    close_pair(&p);
}

Test(tls, what_is_fed_and_not_read_is_bounded, .timeout = 20)
{
    struct pair p;
    enum err e = ERR_OK;
    static const uint8_t junk[65536];
    size_t fed = 0;
    open_pinned(&p);
    while (e == ERR_OK && fed < 64u * LIMIT_FRAME_PEER) {
        e = tls_feed(p.server, bytes_of(junk, sizeof(junk)));
        fed += sizeof(junk);
    }
    cr_expect_eq(e, ERR_FULL);
    close_pair(&p);
}

Test(tls, a_flipped_byte_breaks_the_connection_for_good, .timeout = 20)
{
    struct pair p;
    uint8_t copy[256];
    char byte;
    size_t got = 0;
    bool closed = false;
    open_pinned(&p);
    cr_assert_eq(shake(&p), ERR_OK);
    cr_assert_eq(tls_write(p.client, bytes_of_text("hello")), ERR_OK);
    const struct bytes some = tls_pending(p.client);
    cr_assert_leq(some.size, sizeof(copy));
    memcpy(copy, some.data, some.size);
    copy[some.size - 3] ^= 1;
    cr_assert_eq(tls_feed(p.server, bytes_of(copy, some.size)), ERR_OK);
    cr_expect_eq(tls_read(p.server, &byte, 1, &got, &closed), ERR_TLS);
    cr_expect_eq(strncmp(tls_reason(p.server), "read: ", 6), 0, "%s", tls_reason(p.server));
    cr_expect_eq(tls_read(p.server, &byte, 1, &got, &closed), ERR_TLS);
    cr_expect_eq(tls_write(p.server, bytes_of_text("x")), ERR_TLS);
    carry(p.server, p.client);
    cr_expect_eq(tls_read(p.client, &byte, 1, &got, &closed), ERR_TLS, "the alert arrives");
    close_pair(&p);
}

Test(tls, pinned_refuses_a_peer_without_certificate, .timeout = 20)
{
    struct pair p;
    make_identities();
    open_pair(&p, open_context(false, TLS_TRUST_PINNED, NULL, NULL),
              open_context(true, TLS_TRUST_PINNED, NULL, "b"));
    cr_expect_eq(shake(&p), ERR_TLS);
    cr_expect_not_null(strstr(tls_reason(p.server), "certificate"), "%s", tls_reason(p.server));
    close_pair(&p);
}

Test(tls, without_trust_a_peer_need_not_show_a_certificate, .timeout = 20)
{
    struct pair p;
    uint8_t hash[X509_SPKI_HASH];
    make_identities();
    open_pair(&p, open_context(false, TLS_TRUST_PINNED, NULL, NULL),
              open_context(true, TLS_TRUST_NONE, NULL, "b"));
    cr_expect_eq(shake(&p), ERR_OK);
    expect_peer(p.client, "b");
    cr_expect_eq(tls_peer_spki_hash(p.server, hash), ERR_IDENTITY);
    close_pair(&p);
    open_pair(&p, open_context(false, TLS_TRUST_NONE, NULL, "a"),
              open_context(true, TLS_TRUST_NONE, NULL, "b"));
    cr_expect_eq(shake(&p), ERR_OK);
    expect_peer(p.server, "a");
    close_pair(&p);
}

Test(tls, a_ca_vouches_for_both_sides, .timeout = 20)
{
    struct pair p;
    open_pair(&p, open_context(false, TLS_TRUST_CA, "ca", "client"),
              open_context(true, TLS_TRUST_CA, "ca", "server"));
    cr_assert_eq(shake(&p), ERR_OK, "%s / %s", tls_reason(p.client), tls_reason(p.server));
    expect_peer(p.client, "server");
    expect_peer(p.server, "client");
    close_pair(&p);
}

static void expect_refusal(const char *client_ca,
                           const char *client,
                           const char *server_ca,
                           const char *server)
{
    struct pair p;
    open_pair(&p, open_context(false, TLS_TRUST_CA, client_ca, client),
              open_context(true, TLS_TRUST_CA, server_ca, server));
    cr_expect_eq(shake(&p), ERR_TLS, "%s %s %s %s", client_ca, client, server_ca, server);
    close_pair(&p);
}

Test(tls, another_ca_is_refused_by_either_side, .timeout = 20)
{
    expect_refusal("other-ca", "client", "ca", "server");
    expect_refusal("ca", "client", "other-ca", "server");
    expect_refusal("ca", NULL, "ca", "server");
    make_identities();
    expect_refusal("ca", "a", "ca", "server");
    expect_refusal("ca", "client", "ca", "b");
}

Test(tls, a_certificate_serves_its_purpose_alone, .timeout = 20)
{
    issue("a", "ca", NULL, 10);
    expect_refusal("ca", "server", "ca", "server");
    expect_refusal("ca", "client", "ca", "client");
    expect_refusal("ca", "a", "ca", "server");
    expect_refusal("ca", "client", "ca", "a");
    issue("a", "ca", "serverAuth,clientAuth", 10);
    struct pair p;
    open_pair(&p, open_context(false, TLS_TRUST_CA, "ca", "a"),
              open_context(true, TLS_TRUST_CA, "ca", "a"));
    cr_expect_eq(shake(&p), ERR_OK);
    close_pair(&p);
}

Test(tls, an_expired_certificate_is_refused, .timeout = 20)
{
    issue("a", "ca", "clientAuth", -1);
    expect_refusal("ca", "a", "ca", "server");
}

Test(tls, bad_files_are_a_bad_configuration, .timeout = 20)
{
    struct tls_context *out = NULL;
    struct tls_options o = { .server = true, .trust = TLS_TRUST_PINNED };
    cr_expect_eq(tls_context_open(&o, &out), ERR_CONFIG, "a server without identity");
    o.cert_path = in_folder("server.crt");
    o.key_path = in_folder("client.key");
    cr_expect_eq(tls_context_open(&o, &out), ERR_CONFIG, "a key of another certificate");
    o.key_path = in_folder("server.key");
    o.trust = TLS_TRUST_CA;
    o.ca_path = in_folder("nothing");
    cr_expect_eq(tls_context_open(&o, &out), ERR_CONFIG);
    cr_expect_null(out);
    cr_expect_eq(ERR_peek_error(), 0);
}
