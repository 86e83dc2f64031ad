/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from raw numbers straight into OpenSSL's RSA and EC_KEY, without decoder
 * and without EVP_PKEY (limits.md 2b, 2c: those cost more than the operation).
 * The only users of deprecated OpenSSL calls; their types stay in fastkey_*.c. */
#ifndef RINGKEEP_HSM_SIM_FASTKEY_H
#define RINGKEEP_HSM_SIM_FASTKEY_H

#include <openssl/types.h>

#include "sks/seal.h"

/* -- RSA ------------------------------------------------------------------ */
#define FASTKEY_RSA_MIN 2048u
#define FASTKEY_RSA_MAX 4096u
#define FASTKEY_RSA_BYTES (FASTKEY_RSA_MAX / 8u)
#define FASTKEY_RSA_MATERIAL (2u * FASTKEY_RSA_BYTES + 8u + 5u * FASTKEY_RSA_BYTES / 2u)

#define FASTKEY_RSA_SCOPED __attribute__((cleanup(fastkey_rsa_close))) struct rsa_st
/* From the material of a class PRIVATE or PUBLIC key. */
enum err fastkey_rsa_open(const struct key_info *key, struct rsa_st **out) MUST_USE;
void fastkey_rsa_close(struct rsa_st **rsa); /* wipes; NULL is fine */
size_t fastkey_rsa_size(const struct rsa_st *rsa);
/* in, out: size bytes. ERR_DATA_INVALID: not below n. The private operation is
 * blinded, and its result is checked with the public key before it is given out
 * (one faulty CRT half would reveal a prime): ERR_CRYPTO. */
enum err fastkey_rsa_public(struct rsa_st *rsa, const uint8_t *in, uint8_t *out) MUST_USE;
enum err fastkey_rsa_private(struct rsa_st *rsa, const uint8_t *in, uint8_t *out) MUST_USE;
/* Paddings, over `size` bytes. unpad: ERR_DATA_INVALID, ERR_SIGNATURE_INVALID. */
struct fastkey_rsa_padding {
    const EVP_MD *hash, *mgf;
    size_t salt_size;   /* PSS */
    struct bytes label; /* OAEP */
};
enum err fastkey_rsa_pad_type1(struct rsa_st *rsa, struct bytes in, uint8_t *em) MUST_USE;
enum err fastkey_rsa_pad_type2(struct rsa_st *rsa, struct bytes in, uint8_t *em) MUST_USE;
enum err fastkey_rsa_pad_pss(struct rsa_st *rsa,
                             const struct fastkey_rsa_padding *p,
                             const uint8_t *digest,
                             uint8_t *em) MUST_USE;
enum err fastkey_rsa_check_pss(struct rsa_st *rsa,
                               const struct fastkey_rsa_padding *p,
                               const uint8_t *digest,
                               const uint8_t *em) MUST_USE;
enum err fastkey_rsa_pad_oaep(struct rsa_st *rsa,
                              const struct fastkey_rsa_padding *p,
                              struct bytes in,
                              uint8_t *em) MUST_USE;
enum err fastkey_rsa_unpad_oaep(struct rsa_st *rsa,
                                const struct fastkey_rsa_padding *p,
                                const uint8_t *em,
                                uint8_t *out,
                                size_t *size) MUST_USE;
/* out: K material of a private key, FASTKEY_RSA_MATERIAL bytes at most. */
enum err fastkey_rsa_generate(unsigned bits, uint64_t e, uint8_t *out) MUST_USE;
/* An imported private key: n = pq of exactly `bits`, primes, d, CRT values.
 * ERR_ATTRIBUTE. */
enum err fastkey_rsa_check(const struct key_info *key) MUST_USE;

/* -- EC --------------------------------------------------------------------- */
#define FASTKEY_EC_PRIVATE 66u
#define FASTKEY_EC_PUBLIC 133u
#define FASTKEY_EC_MATERIAL (FASTKEY_EC_PRIVATE + FASTKEY_EC_PUBLIC)
/* Groups and key templates of P-256, P-384, P-521; one per thread. */
struct fastkey_ec;
enum err fastkey_ec_open(struct fastkey_ec **out) MUST_USE;
void fastkey_ec_close(struct fastkey_ec *f);
/* curve: enum seal_curve; ERR_CURVE for others. Scalars and coordinates are
 * seal_curve_private_size(curve) bytes, signatures r||s twice that. */
enum err fastkey_ec_sign(struct fastkey_ec *f,
                         unsigned curve,
                         struct bytes scalar,
                         struct bytes digest,
                         uint8_t *out) MUST_USE;
/* ERR_SIGNATURE_INVALID. */
enum err fastkey_ec_verify(struct fastkey_ec *f,
                           unsigned curve,
                           struct bytes point,
                           struct bytes digest,
                           struct bytes signature) MUST_USE;
/* out: K material: scalar, 04||X||Y. */
enum err fastkey_ec_generate(struct fastkey_ec *f, unsigned curve, uint8_t *out) MUST_USE;
/* The point of a scalar; ERR_ATTRIBUTE unless 0 < scalar < order. */
enum err fastkey_ec_public(struct fastkey_ec *f,
                           unsigned curve,
                           struct bytes scalar,
                           uint8_t *point) MUST_USE;
/* 04||X||Y on the curve and not infinity; ERR_ATTRIBUTE. */
enum err fastkey_ec_check_point(struct fastkey_ec *f, unsigned curve, struct bytes point) MUST_USE;

#endif
