/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives of crypto-spec suite 1 over OpenSSL, in one place: HKDF,
 * XAES-256-GCM, plain GCM with a once-used key, X25519, Ed25519, scrypt, and
 * the two sources of chance for keys and nonces.
 *
 * Algorithms are fetched once (crypt_init); contexts belong to one thread.
 * XAES-256-GCM is our own construction from OpenSSL's AES (C2SP
 * XAES-256-GCM), see docs/decisions/0003-xaes.md. */
#ifndef RINGKEEP_BASE_CRYPT_H
#define RINGKEEP_BASE_CRYPT_H

#include "base/bytes.h"

#define CRYPT_KEY 32u
#define CRYPT_TAG 16u
#define CRYPT_NONCE 24u

/* Fetches algorithms; no configuration file is read (OPENSSL_INIT_NO_LOAD_CONFIG)
 * when this is the first use of OpenSSL. Idempotent; call before any thread. */
enum err crypt_init(void) MUST_USE;
/* The same inside a program that is not ours (client library, module): leaves
 * that program's OpenSSL as it is, so it may still load its own configuration.
 * Both use a library context of our own; the first of the two calls counts. */
enum err crypt_init_guest(void) MUST_USE;

/* HK(key, salt, label, ctx, n) of crypto-spec: HKDF-SHA-256 (RFC 5869) with
 * info = "ringkeep/1/" || label || 0x00 || ctx. salt of size 0 = 32 zeros. n <= 8160.
 * ERR_TOO_LARGE: the info is over 1024 bytes. */
enum err crypt_hk(struct bytes key,
                  struct bytes salt,
                  const char *label,
                  struct bytes ctx,
                  uint8_t *out,
                  size_t n) MUST_USE;
/* Bare RFC 5869 steps for the clone handshake. */
enum err crypt_hkdf_extract(struct bytes salt, struct bytes ikm, uint8_t prk[32]) MUST_USE;
enum err crypt_hkdf_expand(const uint8_t prk[32], struct bytes info, uint8_t *out, size_t n)
    MUST_USE;
enum err crypt_hmac_sha256(struct bytes key, struct bytes data, uint8_t out[32]) MUST_USE;

/* XAES-256-GCM. One struct per key and thread: keeps the AES schedule for the
 * subkeys and K1. */
struct xaes;
enum err xaes_open(const uint8_t key[CRYPT_KEY], struct xaes **out) MUST_USE;
void xaes_close(struct xaes *x); /* wipes; NULL is fine */
/* Derives Kx for this nonce; seal and open calls follow with the sections of
 * one seal, each with its own AAD, and a 12-byte GCM iv = nonce[12:24]. */
struct xaes_seal_key {
    uint8_t kx[CRYPT_KEY];
    uint8_t iv[12];
};
enum err xaes_derive(struct xaes *x, const uint8_t nonce[CRYPT_NONCE], struct xaes_seal_key *out)
    MUST_USE;
/* One section under a derived key; x lends its context. The sections of one seal
 * differ in the last byte of k->iv. As below: ERR_BAD_TAG wipes out. */
enum err xaes_section_seal(struct xaes *x,
                           const struct xaes_seal_key *k,
                           struct bytes aad,
                           struct bytes plain,
                           uint8_t *out,
                           uint8_t tag[CRYPT_TAG]) MUST_USE;
enum err xaes_section_unseal(struct xaes *x,
                             const struct xaes_seal_key *k,
                             struct bytes aad,
                             struct bytes sealed,
                             const uint8_t tag[CRYPT_TAG],
                             uint8_t *out) MUST_USE;
/* Convenience: derive and seal / open in one. out: plain.size bytes, tag apart.
 * open: ERR_BAD_TAG, then out is wiped. out may not overlap input. */
enum err xaes_seal(struct xaes *x,
                   const uint8_t nonce[CRYPT_NONCE],
                   struct bytes aad,
                   struct bytes plain,
                   uint8_t *out,
                   uint8_t tag[CRYPT_TAG]) MUST_USE;
enum err xaes_unseal(struct xaes *x,
                     const uint8_t nonce[CRYPT_NONCE],
                     struct bytes aad,
                     struct bytes sealed,
                     const uint8_t tag[CRYPT_TAG],
                     uint8_t *out) MUST_USE;
/* The same with a key used once: sets up and wipes. */
enum err xaes_seal_once(const uint8_t key[CRYPT_KEY],
                        const uint8_t nonce[CRYPT_NONCE],
                        struct bytes aad,
                        struct bytes plain,
                        uint8_t *out,
                        uint8_t tag[CRYPT_TAG]) MUST_USE;
enum err xaes_unseal_once(const uint8_t key[CRYPT_KEY],
                          const uint8_t nonce[CRYPT_NONCE],
                          struct bytes aad,
                          struct bytes sealed,
                          const uint8_t tag[CRYPT_TAG],
                          uint8_t *out) MUST_USE;

/* AES-256-GCM with a 12-byte iv (SP 800-38D). */
enum err gcm_seal(const uint8_t key[CRYPT_KEY],
                  const uint8_t iv[12],
                  struct bytes aad,
                  struct bytes plain,
                  uint8_t *out,
                  uint8_t tag[CRYPT_TAG]) MUST_USE;
enum err gcm_unseal(const uint8_t key[CRYPT_KEY],
                    const uint8_t iv[12],
                    struct bytes aad,
                    struct bytes sealed,
                    const uint8_t tag[CRYPT_TAG],
                    uint8_t *out) MUST_USE;

/* X25519 (RFC 7748). An all-zero result is ERR_REFUSED. */
enum err x25519_public(const uint8_t priv[32], uint8_t pub[32]) MUST_USE;
enum err x25519_shared(const uint8_t priv[32], const uint8_t pub[32], uint8_t out[32]) MUST_USE;
/* Ed25519 (RFC 8032); priv is the 32-byte seed. verify: ERR_BAD_TAG. */
enum err ed25519_public(const uint8_t priv[32], uint8_t pub[32]) MUST_USE;
enum err ed25519_sign(const uint8_t priv[32], struct bytes message, uint8_t sig[64]) MUST_USE;
enum err ed25519_verify(const uint8_t pub[32], struct bytes message, const uint8_t sig[64])
    MUST_USE;
/* RFC 7914, r=8, p=1; memory limit is given so that log_n up to 20 works;
 * ERR_UNSUPPORTED outside 1..20. */
enum err crypt_scrypt(struct bytes password, struct bytes salt, unsigned log_n, uint8_t *out, size_t n)
    MUST_USE;

/* RAND_priv_bytes, never from a pool of ours. */
enum err crypt_random(void *out, size_t size) MUST_USE;
/* A nonce of a seal: RAND_priv_bytes with the first 8 bytes XORed with
 * CLOCK_REALTIME in ns (crypto-spec, head). size is 23 or 24. */
enum err crypt_nonce(uint8_t *out, size_t size) MUST_USE;
/* The mixing step alone, for the known answer. */
void crypt_nonce_mix(uint8_t *nonce, uint64_t realtime_ns);

#endif
