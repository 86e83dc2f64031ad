/* SPDX-License-Identifier: Apache-2.0 */
/* Object blobs: the key ring, the source rules, opening, sealing, re-sealing
 * (sks/seal.h; section K is in seal_k.c). A ring belongs to one thread. */
#include "sks/seal.h"

#include <assert.h>
#include <string.h>

#include "sks/smk.h"
#include "sks/wipe.h"

/* Which key opens a kind, and where such blobs come from. */
static const struct kind_rule {
    enum seal_key_role role;
    bool from_client;
} kind_rules[] = {
    [BLOB_TOKEN] = { SEAL_BLOB_KEY, false },    [BLOB_SESSION] = { SEAL_BLOB_KEY, true },
    [BLOB_OFFBOARD] = { SEAL_BLOB_KEY, true },  [BLOB_PUBLIC] = { SEAL_PUBLIC_KEY, false },
    [BLOB_SYSTEM] = { SEAL_SYSTEM_KEY, false },
};

static const struct kind_rule *rule_of(unsigned kind)
{
    assert(kind >= BLOB_TOKEN && kind <= BLOB_SYSTEM);
    return &kind_rules[kind];
}

static bool same_id(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE])
{
    return blob_id_order(a, b) == 0;
}

/* ---- The ring ---- */

void seal_ring_init(struct seal_ring *r,
                    const uint8_t owner_id[ID_SIZE],
                    const uint8_t kk_id[ID_SIZE])
{
    memset(r, 0, sizeof(*r));
    memcpy(r->owner_id, owner_id, ID_SIZE);
    memcpy(r->kk_id, kk_id, ID_SIZE);
}

enum err seal_ring_add(struct seal_ring *r,
                       enum seal_key_role role,
                       const uint8_t smk_id[ID_SIZE],
                       uint64_t retired,
                       const uint8_t key[CRYPT_KEY])
{
    struct xaes *x = NULL;
    if (r->count >= SEAL_RING_KEYS) {
        return ERR_FULL;
    }
    TRY(xaes_open(key, &x));
    struct seal_key *k = &r->key[r->count++];
    k->role = (uint8_t)role;
    memcpy(k->smk_id, smk_id, ID_SIZE);
    k->retired = retired;
    k->xaes = x;
    return ERR_OK;
}

void seal_ring_drop(struct seal_ring *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        xaes_close(r->key[i].xaes);
    }
    bytes_wipe(r, sizeof(*r));
}

enum err seal_ring_find(const struct seal_ring *r,
                        const struct blob_header *h,
                        const struct seal_key **out)
{
    const enum seal_key_role role = rule_of(h->kind)->role;
    if (!same_id(r->owner_id, h->keyring_id)) {
        return ERR_WRONG_KEY;
    }
    if (role == SEAL_BLOB_KEY && !same_id(r->kk_id, h->kk_id)) {
        return ERR_WRONG_KEY;
    }
    for (unsigned i = 0; i < r->count; i++) {
        if (r->key[i].role == role && same_id(r->key[i].smk_id, h->smk_id)) {
            *out = &r->key[i];
            return ERR_OK;
        }
    }
    return ERR_WRONG_KEY;
}

static enum err find_sealer(const struct seal_ring *r, unsigned kind, const struct seal_key **out)
{
    const enum seal_key_role role = rule_of(kind)->role;
    if (role == SEAL_BLOB_KEY && bytes_all_zero(bytes_of(r->kk_id, ID_SIZE))) {
        return ERR_WRONG_KEY;
    }
    for (unsigned i = 0; i < r->count; i++) {
        if (r->key[i].role == role && r->key[i].retired == 0) {
            *out = &r->key[i];
            return ERR_OK;
        }
    }
    return ERR_WRONG_KEY;
}

/* ---- Opening ---- */

enum err seal_source_check(const struct blob_header *h,
                           const struct seal_key *key,
                           const struct seal_source *source)
{
    if (rule_of(h->kind)->from_client != source->from_client) {
        return ERR_REFUSED;
    }
    if (h->kind == BLOB_SESSION && !same_id(h->bind, source->family)) {
        return ERR_REFUSED;
    }
    if (h->kind == BLOB_SESSION && key->retired != 0 &&
        !smk_share_needed(false, false, key->retired, source->now)) {
        return ERR_REFUSED;
    }
    if (h->kind == BLOB_OFFBOARD && (!source->offboard_allowed || source->tombstone)) {
        return ERR_REFUSED;
    }
    return ERR_OK;
}

/* The derived key of one seal; both sections use it. */
struct seal_pass {
    struct xaes *xaes; /* borrowed */
    struct bytes blob;
    struct blob_header header;
    struct xaes_seal_key derived;
};

static void pass_wipe(struct seal_pass *p)
{
    bytes_wipe(p, sizeof(*p));
}

static enum err derive(const struct seal_key *key,
                       const uint8_t nonce[BLOB_NONCE],
                       struct xaes_seal_key *out)
{
    uint8_t whole[CRYPT_NONCE];
    memcpy(whole, nonce, BLOB_NONCE);
    whole[BLOB_NONCE] = 'A';
    return xaes_derive(key->xaes, whole, out);
}

static enum err open_section(struct seal_pass *p, unsigned section, uint8_t *out)
{
    const size_t at = BLOB_HEADER + (section == SEAL_K ? p->header.len_a + BLOB_TAG : 0u);
    const size_t size = section == SEAL_K ? p->header.len_k : p->header.len_a;
    p->derived.iv[11] = section == SEAL_K ? 'K' : 'A';
    return xaes_section_unseal(p->xaes, &p->derived, bytes_of(p->blob.data, BLOB_HEADER),
                               bytes_of(p->blob.data + at, size), p->blob.data + at + size, out);
}

/* Opens the wanted sections into buffer: A first, K behind it. */
static enum err open_sections(struct seal_pass *p,
                              unsigned sections,
                              uint8_t *buffer,
                              struct seal_opened *o)
{
    const size_t len_a = p->header.len_a;
    const bool public = p->header.kind == BLOB_PUBLIC;
    if ((sections & SEAL_A) != 0) {
        TRY(open_section(p, SEAL_A, buffer));
        o->a = bytes_of(buffer, len_a);
    }
    if ((sections & SEAL_K) != 0 || public) {
        TRY(open_section(p, SEAL_K, buffer + len_a));
    }
    if ((sections & SEAL_K) != 0 && !public) {
        TRY(seal_k_decode(bytes_of(buffer + len_a, p->header.len_k), &o->info));
        o->has_info = true;
    }
    if (o->has_info && p->header.kind == BLOB_SYSTEM && o->info.class != SEAL_CLASS_PRIVATE &&
        o->info.class != SEAL_CLASS_SECRET) {
        return ERR_BAD_CONTENT;
    }
    if ((sections & SEAL_A) == 0 && o->has_info && (o->info.flags & SEAL_HAS_TEMPLATE) != 0) {
        TRY(open_section(p, SEAL_A, buffer));
        o->a = bytes_of(buffer, len_a);
    }
    if (o->a.data != NULL) {
        TRY(seal_a_check(p->header.kind, o->a, o->has_info ? &o->info : NULL));
    }
    return ERR_OK;
}

enum err seal_open(struct bytes blob,
                   const struct seal_ring *ring,
                   const struct seal_source *source,
                   unsigned sections,
                   uint8_t *buffer,
                   size_t buffer_size,
                   struct seal_opened *out)
{
    __attribute__((cleanup(pass_wipe))) struct seal_pass p = { .blob = blob };
    struct seal_opened o = { 0 };
    assert(sections != 0 && (sections & ~(unsigned)(SEAL_A | SEAL_K)) == 0);
    TRY(blob_parse(blob, &p.header));
    assert(buffer_size >= blob.size - BLOB_OVERHEAD);
    TRY(seal_ring_find(ring, &p.header, &o.key));
    TRY(seal_source_check(&p.header, o.key, source));
    TRY(derive(o.key, p.header.nonce, &p.derived));
    p.xaes = o.key->xaes;
    const enum err e = open_sections(&p, sections, buffer, &o);
    if (e != ERR_OK) {
        seal_opened_wipe(&o, buffer, blob.size - BLOB_OVERHEAD);
        return e;
    }
    o.header = p.header;
    *out = o;
    bytes_wipe(&o.info, sizeof(o.info));
    return ERR_OK;
}

void seal_opened_wipe(struct seal_opened *o, uint8_t *buffer, size_t buffer_size)
{
    bytes_wipe(o, sizeof(*o));
    bytes_wipe(buffer, buffer_size);
}

/* ---- Sealing ---- */

static enum err check_draft(const struct seal_draft *d)
{
    assert(d->kind >= BLOB_TOKEN && d->kind <= BLOB_SYSTEM);
    assert((d->info == NULL) == (d->kind == BLOB_PUBLIC));
    const bool system = d->kind == BLOB_SYSTEM;
    if (system && d->info->class != SEAL_CLASS_PRIVATE && d->info->class != SEAL_CLASS_SECRET) {
        return ERR_BAD_CONTENT;
    }
    return seal_a_check(d->kind, d->a, d->info);
}

static enum err fill_header(const struct seal_ring *ring,
                            const struct seal_key *key,
                            const struct seal_draft *d,
                            struct blob_header *h)
{
    memset(h, 0, sizeof(*h));
    const size_t len_k = d->info == NULL ? 0 : seal_k_size(d->info);
    if (d->a.size > LIMIT_BLOB || len_k > LIMIT_BLOB ||
        BLOB_OVERHEAD + d->a.size + len_k > LIMIT_BLOB) {
        return ERR_TOO_LARGE;
    }
    h->kind = d->kind;
    memcpy(h->smk_id, key->smk_id, ID_SIZE);
    memcpy(h->keyring_id, ring->owner_id, ID_SIZE);
    if (rule_of(d->kind)->role == SEAL_BLOB_KEY) {
        memcpy(h->kk_id, ring->kk_id, ID_SIZE);
    }
    memcpy(h->object_id, d->object_id, ID_SIZE);
    memcpy(h->bind, d->bind, ID_SIZE);
    h->generation = d->generation;
    h->len_a = (uint32_t)d->a.size;
    h->len_k = (uint32_t)len_k;
    return blob_header_check(h);
}

/* K's plaintext is encoded into `plain` (len_k bytes), sealed into out. */
static enum err seal_sections(const struct seal_key *key,
                              const struct seal_draft *d,
                              const struct blob_header *h,
                              uint8_t *plain,
                              uint8_t *out)
{
    __attribute__((cleanup(pass_wipe))) struct seal_pass p = { .header = *h };
    uint8_t *a = out + BLOB_HEADER;
    uint8_t *k = a + h->len_a + BLOB_TAG;
    size_t size = 0;
    blob_header_write(h, out);
    TRY(derive(key, h->nonce, &p.derived));
    const struct bytes aad = bytes_of(out, BLOB_HEADER);
    p.derived.iv[11] = 'A';
    TRY(xaes_section_seal(key->xaes, &p.derived, aad, d->a, a, a + h->len_a));
    if (d->info != NULL) {
        TRY(seal_k_encode(d->info, plain, h->len_k, &size));
    }
    p.derived.iv[11] = 'K';
    return xaes_section_seal(key->xaes, &p.derived, aad, bytes_of(plain, size), k, k + size);
}

enum err seal_make_with(const struct seal_ring *ring,
                        const struct seal_draft *draft,
                        const uint8_t nonce[BLOB_NONCE],
                        uint8_t *out,
                        size_t capacity,
                        size_t *size)
{
    SECRET_SCOPED plain = { 0 };
    const struct seal_key *key = NULL;
    struct blob_header h;
    TRY(check_draft(draft));
    TRY(find_sealer(ring, draft->kind, &key));
    TRY(fill_header(ring, key, draft, &h));
    const size_t total = BLOB_OVERHEAD + (size_t)h.len_a + h.len_k;
    if (total > capacity) {
        return ERR_TOO_LARGE;
    }
    memcpy(h.nonce, nonce, BLOB_NONCE);
    if (h.len_k > 0) {
        TRY(secret_alloc(&plain, h.len_k));
    }
    const enum err e = seal_sections(key, draft, &h, plain.data, out);
    if (e != ERR_OK) {
        bytes_wipe(out, total);
        return e;
    }
    *size = total;
    return ERR_OK;
}

enum err seal_make(const struct seal_ring *ring,
                   const struct seal_draft *draft,
                   uint8_t *out,
                   size_t capacity,
                   size_t *size)
{
    uint8_t nonce[BLOB_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return seal_make_with(ring, draft, nonce, out, capacity, size);
}

enum err seal_again_with(const struct seal_ring *ring,
                         const struct seal_opened *opened,
                         const uint8_t nonce[BLOB_NONCE],
                         uint8_t *out,
                         size_t capacity,
                         size_t *size)
{
    struct seal_draft d = { .kind = opened->header.kind, .a = opened->a };
    assert(opened->a.data != NULL && opened->has_info == (d.kind != BLOB_PUBLIC));
    if (opened->header.generation == UINT64_MAX) {
        return ERR_FULL;
    }
    memcpy(d.object_id, opened->header.object_id, ID_SIZE);
    memcpy(d.bind, opened->header.bind, ID_SIZE);
    d.generation = opened->header.generation + 1;
    d.info = opened->has_info ? &opened->info : NULL;
    return seal_make_with(ring, &d, nonce, out, capacity, size);
}

enum err seal_again(const struct seal_ring *ring,
                    const struct seal_opened *opened,
                    uint8_t *out,
                    size_t capacity,
                    size_t *size)
{
    uint8_t nonce[BLOB_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return seal_again_with(ring, opened, nonce, out, capacity, size);
}
