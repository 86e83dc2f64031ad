/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, and the incremental digest of replicated state (consistency.md 22):
 * a sum modulo 2^256 of SHA-256(table || key size u32 || key || value). The sum
 * guards against faults, not attackers. */
#ifndef RINGKEEP_BASE_DIGEST_H
#define RINGKEEP_BASE_DIGEST_H

#include "base/bytes.h"

#define DIGEST_SIZE 32u

/* SHA-256 (FIPS 180-4) over the pieces one after the other. */
void digest_sha256(const struct bytes *pieces, size_t count, uint8_t out[DIGEST_SIZE]);

void digest_sum_add(uint8_t sum[DIGEST_SIZE], const char *table, struct bytes key, struct bytes value);
void digest_sum_sub(uint8_t sum[DIGEST_SIZE], const char *table, struct bytes key, struct bytes value);

#endif
