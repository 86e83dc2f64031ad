/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 and the sum of hashes. The functions cannot fail in a way a caller
 * could answer (only memory can run out), so they end the process instead.
 * No state; any thread. The sum is a little-endian number. */
#include "base/digest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/crypt.h"
#include "base/crypt_ossl.h"

static void free_md(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}
#define MD_SCOPED __attribute__((cleanup(free_md))) EVP_MD_CTX

static void must(int rc)
{
    if (rc != 1) {
        abort();
    }
}

void digest_sha256(const struct bytes *pieces, size_t count, uint8_t out[DIGEST_SIZE])
{
    if (crypt_init() != ERR_OK) {
        abort();
    }
    MD_SCOPED *ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        abort();
    }
    must(EVP_DigestInit_ex2(ctx, crypt_ossl_sha256(), NULL));
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > 0) {
            must(EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].size));
        }
    }
    must(EVP_DigestFinal_ex(ctx, out, NULL));
}

static void hash_row(const char *table,
                     struct bytes key,
                     struct bytes value,
                     uint8_t out[DIGEST_SIZE])
{
    uint8_t size[4];
    put_u32(size, (uint32_t)key.size);
    const struct bytes pieces[] = { bytes_of_text(table), bytes_of(size, sizeof(size)), key,
                                    value };
    digest_sha256(pieces, 4, out);
}

void digest_sum_add(uint8_t sum[DIGEST_SIZE],
                    const char *table,
                    struct bytes key,
                    struct bytes value)
{
    uint8_t row[DIGEST_SIZE];
    unsigned carry = 0;
    hash_row(table, key, value, row);
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        carry += (unsigned)sum[i] + row[i];
        sum[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

void digest_sum_sub(uint8_t sum[DIGEST_SIZE],
                    const char *table,
                    struct bytes key,
                    struct bytes value)
{
    uint8_t row[DIGEST_SIZE];
    unsigned borrow = 0;
    hash_row(table, key, value, row);
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        const unsigned difference = 0x100u + sum[i] - row[i] - borrow;
        sum[i] = (uint8_t)difference;
        borrow = difference < 0x100u ? 1 : 0;
    }
}
