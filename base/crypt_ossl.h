/* SPDX-License-Identifier: Apache-2.0 */
/* What crypt.c, digest.c, x509.c and tls.c share about OpenSSL, and nobody
 * else: one library context of our own (a host program's providers and default
 * properties do not reach it) and the care for the thread's error queue. No
 * OpenSSL header is needed to read this. */
#ifndef RINGKEEP_BASE_CRYPT_OSSL_H
#define RINGKEEP_BASE_CRYPT_OSSL_H

struct ossl_lib_ctx_st;
struct evp_md_st;

/* After crypt_init. Never freed. */
struct ossl_lib_ctx_st *crypt_ossl_library(void);
const struct evp_md_st *crypt_ossl_sha256(void);

/* Errors that OpenSSL queues between the two are dropped, those of the host
 * program stay: CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark(); */
int crypt_ossl_mark(void);
void crypt_ossl_unmark(int *mark);
#define CRYPT_ERRORS_SCOPED __attribute__((cleanup(crypt_ossl_unmark))) __attribute__((unused)) int

#endif
