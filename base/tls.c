/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.3 through memory BIOs. A connection holds its own reference to the
 * context's SSL_CTX, so the context may be closed first.
 *
 * After a failure a connection is broken for good: every call answers ERR_TLS
 * and only the alert that is pending may still be sent. The thread's OpenSSL
 * error queue is emptied around each call (libssl reads and clears it itself). */
#include "base/tls.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/crypt.h"
#include "base/crypt_ossl.h"
#include "base/limits.h"

#define CIPHERSUITES "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define GROUPS "X25519:P-256"
/* What was fed and is not yet read: two frames of the largest kind. */
#define FED_LIMIT ((size_t)2 * LIMIT_FRAME_PEER)

struct tls_context {
    SSL_CTX *ssl_ctx; /* owned */
};

struct tls_conn {
    SSL *ssl;  /* owned, owns both BIOs */
    BIO *from; /* borrowed: what the network gave */
    BIO *to;   /* borrowed: what the network shall get */
    bool broken;
    char reason[160];
};

static void free_spki(uint8_t **der)
{
    OPENSSL_free(*der);
}
#define DER_SCOPED __attribute__((cleanup(free_spki))) uint8_t

static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

/* Pinned trust: that the peer holds the key is proven by CertificateVerify,
 * whose key it is the owner decides. */
static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* CA trust: OpenSSL lets a certificate without purposes serve any; here the
 * purpose must be written in it. */
static int check_purpose(int good, X509_STORE_CTX *store)
{
    if (good != 1 || X509_STORE_CTX_get_error_depth(store) != 0) {
        return good;
    }
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    assert(cert != NULL && ssl != NULL);
    const uint32_t wanted = SSL_is_server(ssl) ? XKU_SSL_CLIENT : XKU_SSL_SERVER;
    const bool named = (X509_get_extension_flags(cert) & EXFLAG_XKUSAGE) != 0;
    if (!named || (X509_get_extended_key_usage(cert) & wanted) == 0) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    return 1;
}

static bool set_protocol(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, CIPHERSUITES) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
           SSL_CTX_set_max_early_data(ctx, 0) == 1;
}

static enum err set_trust(SSL_CTX *ctx, const struct tls_options *o)
{
    const int must_show = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    switch (o->trust) {
        case TLS_TRUST_PINNED:
            SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
            SSL_CTX_set_verify(ctx, must_show, NULL);
            return ERR_OK;
        case TLS_TRUST_CA:
            assert(o->ca_path != NULL);
            SSL_CTX_set_verify(ctx, must_show, check_purpose);
            return SSL_CTX_load_verify_file(ctx, o->ca_path) == 1 ? ERR_OK : ERR_CONFIG;
        case TLS_TRUST_NONE:
            /* Asked for, so that one who has a certificate shows it. */
            SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
            SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
            return ERR_OK;
        default: abort();
    }
}

static enum err set_identity(SSL_CTX *ctx, const struct tls_options *o)
{
    assert((o->cert_path == NULL) == (o->key_path == NULL));
    if (o->cert_path == NULL) {
        return o->server ? ERR_CONFIG : ERR_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert_path) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, o->key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err set_up(SSL_CTX *ctx, const struct tls_options *o)
{
    if (!set_protocol(ctx)) {
        return ERR_CRYPTO;
    }
    TRY(set_trust(ctx, o));
    return set_identity(ctx, o);
}

enum err tls_context_open(const struct tls_options *options, struct tls_context **out)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    const SSL_METHOD *method = options->server ? TLS_server_method() : TLS_client_method();
    struct tls_context *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->ssl_ctx = SSL_CTX_new_ex(crypt_ossl_library(), NULL, method);
    const enum err e = c->ssl_ctx == NULL ? ERR_CRYPTO : set_up(c->ssl_ctx, options);
    if (e != ERR_OK) {
        tls_context_close(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void tls_context_close(struct tls_context *c)
{
    if (c != NULL) {
        SSL_CTX_free(c->ssl_ctx);
        free(c);
    }
}

static enum err connect_bios(struct tls_conn *c)
{
    c->from = BIO_new(BIO_s_mem());
    c->to = BIO_new(BIO_s_mem());
    if (c->from == NULL || c->to == NULL) {
        BIO_free(c->from);
        BIO_free(c->to);
        return ERR_NOMEM;
    }
    (void)BIO_set_mem_eof_return(c->from, -1); /* empty means later, not the end */
    SSL_set_bio(c->ssl, c->from, c->to);
    return ERR_OK;
}

enum err tls_conn_open(struct tls_context *context, struct tls_conn **out)
{
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    struct tls_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->ssl = SSL_new(context->ssl_ctx);
    const enum err e = c->ssl == NULL ? ERR_NOMEM : connect_bios(c);
    if (e != ERR_OK) {
        tls_conn_close(c);
        return e;
    }
    if (SSL_CTX_get_ssl_method(context->ssl_ctx) == TLS_server_method()) {
        SSL_set_accept_state(c->ssl);
    } else {
        SSL_set_connect_state(c->ssl);
    }
    *out = c;
    return ERR_OK;
}

void tls_conn_close(struct tls_conn *c)
{
    if (c != NULL) {
        CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
        SSL_free(c->ssl);
        free(c);
    }
}

static enum err breaks(struct tls_conn *c, const char *why)
{
    const long verdict = SSL_get_verify_result(c->ssl);
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    const char *second = verdict == X509_V_OK ? "" : X509_verify_cert_error_string(verdict);
    (void)snprintf(c->reason, sizeof(c->reason), "%s: %s%s%s", why,
                   text == NULL ? "no reason given" : text, *second == '\0' ? "" : ": ", second);
    c->broken = true;
    ERR_clear_error();
    return ERR_TLS;
}

static enum err begin(struct tls_conn *c)
{
    ERR_clear_error();
    return c->broken ? ERR_TLS : ERR_OK;
}

enum err tls_feed(struct tls_conn *c, struct bytes cipher)
{
    TRY(begin(c));
    const size_t waiting = BIO_ctrl_pending(c->from);
    if (cipher.size > FED_LIMIT || waiting > FED_LIMIT - cipher.size) {
        return ERR_FULL;
    }
    if (cipher.size == 0) {
        return ERR_OK;
    }
    const int n = BIO_write(c->from, cipher.data, (int)cipher.size);
    return n == (int)cipher.size ? ERR_OK : breaks(c, "feed");
}

enum err tls_handshake(struct tls_conn *c, bool *done)
{
    TRY(begin(c));
    const int rc = SSL_do_handshake(c->ssl);
    if (rc != 1 && SSL_get_error(c->ssl, rc) != SSL_ERROR_WANT_READ) {
        return breaks(c, "handshake");
    }
    *done = rc == 1;
    return ERR_OK;
}

enum err tls_read(struct tls_conn *c, void *out, size_t size, size_t *got, bool *closed)
{
    size_t n = 0;
    assert(size > 0);
    TRY(begin(c));
    if (SSL_is_init_finished(c->ssl) != 1) {
        return ERR_WRONG_STATE;
    }
    const int rc = SSL_read_ex(c->ssl, out, size, &n);
    const int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN) {
        return breaks(c, "read");
    }
    *got = n;
    *closed = why == SSL_ERROR_ZERO_RETURN;
    return ERR_OK;
}

enum err tls_write(struct tls_conn *c, struct bytes data)
{
    size_t n = 0;
    TRY(begin(c));
    if (SSL_is_init_finished(c->ssl) != 1) {
        return ERR_WRONG_STATE;
    }
    if (data.size == 0) {
        return ERR_OK;
    }
    /* A memory BIO takes all or fails: there is no partial write to finish. */
    if (SSL_write_ex(c->ssl, data.data, data.size, &n) != 1 || n != data.size) {
        return breaks(c, "write");
    }
    return ERR_OK;
}

struct bytes tls_pending(struct tls_conn *c)
{
    char *data = NULL;
    const long size = BIO_get_mem_data(c->to, &data);
    return size > 0 ? bytes_of(data, (size_t)size) : bytes_of(NULL, 0);
}

void tls_sent(struct tls_conn *c, size_t size)
{
    char scratch[16384];
    assert(size <= BIO_ctrl_pending(c->to));
    while (size > 0) {
        const size_t part = size < sizeof(scratch) ? size : sizeof(scratch);
        const int n = BIO_read(c->to, scratch, (int)part);
        assert(n > 0);
        size -= (size_t)n;
    }
}

void tls_shutdown(struct tls_conn *c)
{
    if (begin(c) == ERR_OK && SSL_is_init_finished(c->ssl) == 1) {
        (void)SSL_shutdown(c->ssl);
        ERR_clear_error();
    }
}

enum err tls_peer_spki_hash(struct tls_conn *c, uint8_t out[X509_SPKI_HASH])
{
    DER_SCOPED *der = NULL;
    TRY(begin(c));
    if (SSL_is_init_finished(c->ssl) != 1) {
        return ERR_WRONG_STATE;
    }
    X509 *cert = SSL_get0_peer_certificate(c->ssl);
    if (cert == NULL) {
        return ERR_IDENTITY;
    }
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (size <= 0) {
        return ERR_CRYPTO;
    }
    x509_spki_hash(bytes_of(der, (size_t)size), out);
    return ERR_OK;
}

const char *tls_reason(struct tls_conn *c)
{
    return c->reason[0] == '\0' ? "no failure" : c->reason;
}
