/* SPDX-License-Identifier: Apache-2.0 */
/* Object blobs: header 128 || A || tagA || K || tagK (crypto-spec section 2).
 *
 * Opens, checks, seals and re-seals. All inputs and outputs are private memory:
 * a blob in shared memory must be copied as a whole before it comes here
 * (threats.md H3), GCM reads its input twice. Plaintext goes into the caller's
 * buffer, which the caller wipes; on failure it is wiped here. No allocation,
 * no I/O, no clock: `now` is a parameter (Unix seconds). A struct xaes belongs
 * to one thread, hence so does a struct seal_ring.
 *
 * Verdicts, the first that applies: ERR_MALFORMED, ERR_UNSUPPORTED,
 * ERR_MALFORMED, ERR_WRONG_KEY, ERR_REFUSED (source rules), ERR_BAD_TAG,
 * ERR_BAD_CONTENT. On the wire they are one error. */
#ifndef RINGKEEP_SKS_SEAL_H
#define RINGKEEP_SKS_SEAL_H

#include "base/crypt.h"
#include "sks/blob.h"

/* PKCS#11 numbers that K uses. */
enum seal_class {
    SEAL_CLASS_DATA = 0,
    SEAL_CLASS_CERTIFICATE = 1,
    SEAL_CLASS_PUBLIC = 2,
    SEAL_CLASS_PRIVATE = 3,
    SEAL_CLASS_SECRET = 4
};
enum seal_key_type {
    SEAL_KEY_RSA = 0x00,
    SEAL_KEY_EC = 0x03,
    SEAL_KEY_GENERIC = 0x10,
    SEAL_KEY_AES = 0x1f,
    SEAL_KEY_EDWARDS = 0x40,
    SEAL_KEY_MONTGOMERY = 0x41,
    SEAL_KEY_NONE = 0xffff /* data, certificate */
};
enum seal_curve {
    SEAL_CURVE_P256 = 23,
    SEAL_CURVE_P384 = 24,
    SEAL_CURVE_P521 = 25,
    SEAL_CURVE_X25519 = 29,
    SEAL_CURVE_X448 = 30,
    SEAL_CURVE_ED25519 = 0x0807,
    SEAL_CURVE_ED448 = 0x0808
};
/* Usage bit i stands for CKA_ 0x104 + i. */
enum seal_usage {
    SEAL_ENCRYPT = 1 << 0,
    SEAL_DECRYPT = 1 << 1,
    SEAL_WRAP = 1 << 2,
    SEAL_UNWRAP = 1 << 3,
    SEAL_SIGN = 1 << 4,
    SEAL_SIGN_RECOVER = 1 << 5,
    SEAL_VERIFY = 1 << 6,
    SEAL_VERIFY_RECOVER = 1 << 7,
    SEAL_DERIVE = 1 << 8,
    SEAL_USAGE_ALL = (1 << 9) - 1
};
enum seal_flag {
    SEAL_SENSITIVE = 1 << 0,
    SEAL_EXTRACTABLE = 1 << 1,
    SEAL_ALWAYS_SENSITIVE = 1 << 2,
    SEAL_NEVER_EXTRACTABLE = 1 << 3,
    SEAL_LOCAL = 1 << 4,
    SEAL_ALWAYS_AUTHENTICATE = 1 << 5,
    SEAL_TRUSTED = 1 << 6,
    SEAL_WRAP_WITH_TRUSTED = 1 << 7,
    SEAL_MODIFIABLE = 1 << 8,
    SEAL_COPYABLE = 1 << 9,
    SEAL_DESTROYABLE = 1 << 10,
    SEAL_PKA_ASSIGNED = 1 << 11,
    SEAL_HAS_TEMPLATE = 1 << 12,
    SEAL_FLAG_ALL = (1 << 13) - 1
};

#define SEAL_MECHANISMS 64u
#define SEAL_PKA 48u /* salt 16 || HK(auth data, salt, "pka", "", 32) */

/* Section K. */
struct key_info {
    uint8_t class; /* enum seal_class */
    uint16_t type; /* enum seal_key_type, any CKK_ of a secret key */
    uint16_t bits; /* of n or of the secret; or enum seal_curve */
    uint16_t mech_count;
    uint32_t usage;                 /* enum seal_usage */
    uint32_t flags;                 /* enum seal_flag */
    uint64_t not_before, not_after; /* inclusive, Unix seconds, 0 = none */
    uint64_t pka_fail_limit;
    uint32_t mech[SEAL_MECHANISMS]; /* CKM_, ascending, once each; none = all */
    uint8_t pka[SEAL_PKA];          /* where SEAL_PKA_ASSIGNED */
    struct bytes material;          /* borrowed; layouts: seal_material_size */
};

/* Sizes of the raw material of a curve; 0 for an unknown curve. */
size_t seal_curve_private_size(unsigned curve);
size_t seal_curve_public_size(unsigned curve);
/* What key material must measure for class, type and bits: RSA private n k, e 8,
 * d k, p q dp dq qi h each (k = ceil(bits/8), h = ceil(bits/16)), RSA public n k,
 * e 8; EC, Ed, X private: private, public (EC: 04||X||Y); public alone; secret
 * bits/8. ERR_BAD_CONTENT for a combination that may not be. Data and
 * certificate: any size; *any is set. */
enum err seal_material_size(const struct key_info *k, size_t *size, bool *any) MUST_USE;

/* K plaintext. decode: borrows material from plain. ERR_BAD_CONTENT.
 * encode: same checks first, then ERR_TOO_LARGE past capacity. */
enum err seal_k_decode(struct bytes plain, struct key_info *out) MUST_USE;
size_t seal_k_size(const struct key_info *k);
enum err seal_k_encode(const struct key_info *k,
                       uint8_t *out,
                       size_t capacity,
                       size_t *size) MUST_USE;
/* All rules on the plain sections of this kind: A alone (k NULL: not opened, or
 * kind 4), and that A says the same as K. ERR_BAD_CONTENT. */
enum err seal_a_check(unsigned kind, struct bytes a, const struct key_info *k) MUST_USE;
/* Verifier of a per-key authorization value. check: ERR_PIN_INCORRECT. */
enum err seal_pka_make(struct bytes auth_data,
                       const uint8_t salt[16],
                       uint8_t out[SEAL_PKA]) MUST_USE;
enum err seal_pka_check(struct bytes auth_data, const uint8_t pka[SEAL_PKA]) MUST_USE;

/* One key of a ring: BK, PUB or SYS under one SMK. */
enum seal_key_role { SEAL_BLOB_KEY, SEAL_PUBLIC_KEY, SEAL_SYSTEM_KEY };
struct seal_key {
    uint8_t role; /* enum seal_key_role */
    uint8_t smk_id[ID_SIZE];
    uint64_t retired;  /* 0: the primary SMK; else time of the rollover that retired it */
    struct xaes *xaes; /* owned by the ring */
};
/* The keys of one keyring (or of the cluster's SYS objects). Of one role the
 * first row with retired 0 seals; all open. */
#define SEAL_RING_KEYS 12u
struct seal_ring {
    uint8_t owner_id[ID_SIZE]; /* keyring id; cluster id for SYS */
    uint8_t kk_id[ID_SIZE];    /* zero: no blob key (no KK, or SYS) */
    unsigned count;
    struct seal_key key[SEAL_RING_KEYS];
};
void seal_ring_init(struct seal_ring *r,
                    const uint8_t owner_id[ID_SIZE],
                    const uint8_t kk_id[ID_SIZE]);
/* Copies the key into an AES schedule; the caller wipes its own. ERR_FULL, ERR_CRYPTO. */
enum err seal_ring_add(struct seal_ring *r,
                       enum seal_key_role role,
                       const uint8_t smk_id[ID_SIZE],
                       uint64_t retired,
                       const uint8_t key[CRYPT_KEY]) MUST_USE;
void seal_ring_drop(struct seal_ring *r); /* wipes and closes all; {0} is fine */
/* ERR_WRONG_KEY. The result is borrowed from the ring. */
enum err seal_ring_find(const struct seal_ring *r,
                        const struct blob_header *h,
                        const struct seal_key **out) MUST_USE;

/* Where the blob came from: kinds 1, 4, 5 only from the store; kind 2 from a
 * client whose ticket has family == bind, under a share only until 12 h after
 * the rollover; kind 3 from a client where the policy allows it and no tombstone
 * is known. */
struct seal_source {
    bool from_client;
    bool offboard_allowed;
    bool tombstone;
    uint8_t family[ID_SIZE];
    uint64_t now; /* Unix seconds */
};
enum err seal_source_check(const struct blob_header *h,
                           const struct seal_key *key,
                           const struct seal_source *source) MUST_USE;

enum seal_section { SEAL_A = 1, SEAL_K = 2 };
struct seal_opened {
    struct blob_header header;
    const struct seal_key *key; /* borrowed from the ring; key->retired != 0: give back re-sealed */
    struct bytes a;             /* in the caller's buffer; empty if not opened */
    struct key_info info;       /* of K; info.material lies in the buffer. Zero for kind 4 */
    bool has_info;
};
/* `sections`: SEAL_A, SEAL_K or both. SEAL_K alone also opens A where K has
 * SEAL_HAS_TEMPLATE. The buffer needs blob.size - BLOB_OVERHEAD bytes at least.
 * The caller wipes *out and buffer when done (seal_opened_wipe). */
enum err seal_open(struct bytes blob,
                   const struct seal_ring *ring,
                   const struct seal_source *source,
                   unsigned sections,
                   uint8_t *buffer,
                   size_t buffer_size,
                   struct seal_opened *out) MUST_USE;
void seal_opened_wipe(struct seal_opened *o, uint8_t *buffer, size_t buffer_size);

/* What is to be sealed. Ids, kk_id and SMK come from the ring. */
struct seal_draft {
    uint8_t kind;
    uint8_t object_id[ID_SIZE];
    uint8_t bind[ID_SIZE]; /* kind 2: family; else zero */
    uint64_t generation;
    struct bytes a;
    const struct key_info *info; /* NULL exactly for kind 4 */
};
/* Seals under the ring's primary key of the draft's role; the nonce is drawn for
 * this seal. out gets *size bytes. ERR_BAD_CONTENT where A or K break a rule,
 * ERR_TOO_LARGE past capacity or LIMIT_BLOB, ERR_WRONG_KEY where the ring has no
 * key to seal this kind. */
enum err seal_make(const struct seal_ring *ring,
                   const struct seal_draft *draft,
                   uint8_t *out,
                   size_t capacity,
                   size_t *size) MUST_USE;
/* The same with a given nonce, for known answers and seal_make. A nonce is never
 * used twice. */
enum err seal_make_with(const struct seal_ring *ring,
                        const struct seal_draft *draft,
                        const uint8_t nonce[BLOB_NONCE],
                        uint8_t *out,
                        size_t capacity,
                        size_t *size) MUST_USE;
/* Seals an opened blob (both sections) again under the primary SMK, generation +
 * 1, same ids and bind. */
enum err seal_again(const struct seal_ring *ring,
                    const struct seal_opened *opened,
                    uint8_t *out,
                    size_t capacity,
                    size_t *size) MUST_USE;
enum err seal_again_with(const struct seal_ring *ring,
                         const struct seal_opened *opened,
                         const uint8_t nonce[BLOB_NONCE],
                         uint8_t *out,
                         size_t capacity,
                         size_t *size) MUST_USE;

#endif
