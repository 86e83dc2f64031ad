/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and TLS keys on disk (X.509, PKCS#8 PEM). The CA key never is
 * here: it is a SYS object of the core. */
#ifndef RINGKEEP_BASE_X509_H
#define RINGKEEP_BASE_X509_H

#include "base/bytes.h"

#define X509_SPKI_HASH 32u

/* SHA-256 of a SubjectPublicKeyInfo in DER. */
void x509_spki_hash(struct bytes spki_der, uint8_t out[X509_SPKI_HASH]);

/* Makes a P-256 key at key_path (0600) and a self-signed certificate at
 * cert_path; keeps both where they exist. name: CN. Certificates are pinned by
 * key hash, so their dates are wide. */
enum err x509_make_identity(const char *key_path, const char *cert_path, const char *name) MUST_USE;
/* SPKI in DER and its hash of the key in a PEM private key file. */
enum err x509_key_spki(const char *key_path, struct buf *spki_der, uint8_t hash[X509_SPKI_HASH])
    MUST_USE;
/* PEM <-> DER of one certificate file. */
enum err x509_cert_write(const char *path, struct bytes der) MUST_USE;
enum err x509_cert_read(const char *path, struct buf *der) MUST_USE;
/* Seconds until notAfter (negative once past), from wall time now_s. */
enum err x509_cert_remaining_s(struct bytes der, uint64_t now_s, int64_t *out) MUST_USE;
/* SPKI hash of the public key in a certificate. */
enum err x509_cert_spki_hash(struct bytes der, uint8_t hash[X509_SPKI_HASH]) MUST_USE;

#endif
