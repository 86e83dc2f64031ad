/* SPDX-License-Identifier: Apache-2.0 */
/* Mechanism numbers are PKCS#11's CKM_; parameters on the wire are our own
 * fixed layouts (little-endian), never C structs of the caller:
 *
 *   RSA-PSS   u64 hash mechanism (CKM_SHA256..), u64 mgf (CKG_MGF1_..), u64 salt size
 *   RSA-OAEP  u64 hash mechanism, u64 mgf, u32 label size, label
 *   AES-CBC   iv 16      (also CBC_PAD)
 *   AES-GCM   u32 tag bits, u32 iv size (1..256), iv, u32 aad size, aad
 * Mechanisms without a row here take no parameter (size 0).
 */
#ifndef RINGKEEP_PROTO_MECHANISM_H
#define RINGKEEP_PROTO_MECHANISM_H

#include "base/bytes.h"

struct mechanism_pss {
    uint64_t hash, mgf, salt_size;
};
struct mechanism_oaep {
    uint64_t hash, mgf;
    struct bytes label;
};
struct mechanism_gcm {
    uint32_t gcm_tag_bits;
    struct bytes iv, aad;
};

enum err mechanism_pss_parse(struct bytes p, struct mechanism_pss *out) MUST_USE;
enum err mechanism_oaep_parse(struct bytes p, struct mechanism_oaep *out) MUST_USE;
enum err mechanism_gcm_parse(struct bytes p, struct mechanism_gcm *out) MUST_USE;
enum err mechanism_pss_append(struct buf *out, const struct mechanism_pss *p) MUST_USE;
enum err mechanism_oaep_append(struct buf *out, const struct mechanism_oaep *p) MUST_USE;
enum err mechanism_gcm_append(struct buf *out, const struct mechanism_gcm *p) MUST_USE;

/* Capabilities: one row per supported mechanism, read by the worker, the module's
 * C_GetMechanismInfo and the documents (proto/mechanism.def). Sizes are in bits
 * for RSA, EC and bytes for AES, as PKCS#11 wants. */
struct mechanism_row {
    uint64_t number;
    const char *name;
    uint64_t minimum, maximum; /* key size */
    uint32_t flags;            /* CKF_ENCRYPT, CKF_SIGN.. of PKCS#11 */
};
const struct mechanism_row *mechanism_rows(size_t *count);
const struct mechanism_row *mechanism_find(uint64_t number); /* NULL: not supported */

#endif
