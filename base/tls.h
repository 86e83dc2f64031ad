/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.3 over memory: no sockets, no loop. The owner feeds what it read and
 * sends what is pending; the same code serves libuv doors, raft links and the
 * blocking client. One thread per connection at a time.
 *
 * Two kinds of trust: pinned (any certificate that proves possession of its
 * key; the owner looks the SPKI hash up after the handshake) and CA (chain to
 * one CA file; the owner may still look at the hash). TLS 1.3 only, no early
 * data, no renegotiation. Resumption is off until revocation at resumption is
 * built (threats.md M9). */
#ifndef RINGKEEP_BASE_TLS_H
#define RINGKEEP_BASE_TLS_H

#include "base/bytes.h"
#include "base/x509.h"

struct tls_context;
struct tls_conn;

enum tls_trust {
    TLS_TRUST_PINNED, /* peer must show a certificate; caller judges its key hash */
    TLS_TRUST_CA,     /* peer's chain must end at ca_path and fit its purpose */
    TLS_TRUST_NONE    /* peer need not show a certificate (join door's server side) */
};

struct tls_options {
    bool server;
    enum tls_trust trust;
    const char *cert_path, *key_path; /* NULL for a client without identity */
    const char *ca_path;              /* TLS_TRUST_CA only */
};

enum err tls_context_open(const struct tls_options *options, struct tls_context **out) MUST_USE;
void tls_context_close(struct tls_context *c);

enum err tls_conn_open(struct tls_context *context, struct tls_conn **out) MUST_USE;
void tls_conn_close(struct tls_conn *c); /* NULL is fine; never writes to a socket */

/* Gives ciphertext from the network. */
enum err tls_feed(struct tls_conn *c, struct bytes cipher) MUST_USE;
/* Moves the handshake on. *done: handshake complete. ERR_TLS: broken. */
enum err tls_handshake(struct tls_conn *c, bool *done) MUST_USE;
/* Decrypts what is there, up to size; *got 0 when more input is needed.
 * ERR_TLS on a fatal alert, *closed on an orderly close. */
enum err tls_read(struct tls_conn *c, void *out, size_t size, size_t *got, bool *closed) MUST_USE;
/* Encrypts all of data into the pending output. */
enum err tls_write(struct tls_conn *c, struct bytes data) MUST_USE;
/* Ciphertext to send: borrowed until the next call on c; then tls_sent(). */
struct bytes tls_pending(struct tls_conn *c);
void tls_sent(struct tls_conn *c, size_t size);
/* Queues close_notify. */
void tls_shutdown(struct tls_conn *c);

/* After the handshake. ERR_IDENTITY where the peer showed no certificate. */
enum err tls_peer_spki_hash(struct tls_conn *c, uint8_t out[X509_SPKI_HASH]) MUST_USE;
/* Why the last call failed, for logs: static or owned by c. */
const char *tls_reason(struct tls_conn *c);

#endif
