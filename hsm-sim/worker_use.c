/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that use a key: sign, verify, encrypt, decrypt, read and change
 * attributes. What a key may do is read from what was sealed with it, at every
 * use. */
#include <assert.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "hsm-sim/worker_state.h"
#include "proto/template.h"
#include "sks/attributes.h"

#define CLASS(c) (1u << (c))

/* Per operation: classes of key, and the usage that the key must have. A private
 * key carries its public part: what may sign may also verify. */
static const struct {
    unsigned verb;
    unsigned classes;
    uint32_t usage, usage_private;
} operations[MECH_OPS] = {
    [MECH_SIGN] = { CORE_SIGN, CLASS(SEAL_CLASS_PRIVATE) | CLASS(SEAL_CLASS_SECRET), SEAL_SIGN,
                    SEAL_SIGN },
    [MECH_VERIFY] = { CORE_VERIFY,
                      CLASS(SEAL_CLASS_PUBLIC) | CLASS(SEAL_CLASS_PRIVATE) |
                          CLASS(SEAL_CLASS_SECRET),
                      SEAL_VERIFY, SEAL_SIGN },
    [MECH_ENCRYPT] = { CORE_ENCRYPT, CLASS(SEAL_CLASS_PUBLIC) | CLASS(SEAL_CLASS_SECRET),
                       SEAL_ENCRYPT, 0 },
    [MECH_DECRYPT] = { CORE_DECRYPT, CLASS(SEAL_CLASS_PRIVATE) | CLASS(SEAL_CLASS_SECRET),
                       SEAL_DECRYPT, SEAL_DECRYPT },
};
/* Promises that this release cannot keep: such a key is not used at all. */
#define FLAGS_UNKNOWN (SEAL_ALWAYS_AUTHENTICATE | SEAL_PKA_ASSIGNED | SEAL_HAS_TEMPLATE)

enum err worker_blob_error(enum err e)
{
    static const bool of_blob[ERR_COUNT] = {
        [ERR_MALFORMED] = true, [ERR_UNSUPPORTED] = true, [ERR_WRONG_KEY] = true,
        [ERR_REFUSED] = true,   [ERR_BAD_TAG] = true,     [ERR_BAD_CONTENT] = true,
    };
    return of_blob[e] ? ERR_REFUSED : e;
}

/* -- opening ------------------------------------------------------------------------- */

void key_use_end(struct key_use *u)
{
    if (u->worker != NULL) {
        seal_opened_wipe(&u->opened, u->worker->plain.data, u->size);
    }
}

static enum err public_rsa(struct key_use *u, struct bytes a)
{
    struct bytes n, e;
    size_t k;
    if (template_get(a, CKA_MODULUS, &n) != ERR_OK ||
        template_get(a, CKA_PUBLIC_EXPONENT, &e) != ERR_OK || n.size < FASTKEY_RSA_MIN / 8u ||
        n.size > FASTKEY_RSA_BYTES || e.size > 8) {
        return ERR_KEY_SIZE;
    }
    k = n.size;
    u->public_info.bits = (uint16_t)(8u * k);
    memcpy(u->public_material, n.data, k);
    memset(u->public_material + k, 0, 8);
    memcpy(u->public_material + k + 8 - e.size, e.data, e.size);
    u->public_info.material = bytes_of(u->public_material, k + 8);
    return ERR_OK;
}

static enum err public_ec(struct key_use *u, struct bytes a)
{
    struct bytes point;
    unsigned curve = 0;
    TRY(object_curve_of(a, &curve));
    if (template_get(a, CKA_EC_POINT, &point) != ERR_OK) {
        return ERR_KEY_TYPE;
    }
    u->public_info.bits = (uint16_t)curve;
    u->public_info.material = object_point_of(point);
    return ERR_OK;
}

/* Kind 4 has no K: the same words, from A. */
static enum err public_info(struct key_use *u)
{
    struct bytes a = u->opened.a;
    TRY(object_info_from_public(a, &u->public_info));
    u->info = &u->public_info;
    if (u->public_info.class != SEAL_CLASS_PUBLIC) {
        return ERR_OK;
    }
    return u->public_info.type == SEAL_KEY_RSA ? public_rsa(u, a) : public_ec(u, a);
}

enum err key_use_open(
    struct key_use *u, struct worker *w, uint64_t handle, struct bytes blob, unsigned sections)
{
    struct seal_source source = { 0 };
    struct blob_header header;
    const struct keeper_keys *facts;
    enum err e;
    TRY(worker_keys_get(w, handle, &u->keys));
    facts = &u->keys->facts;
    TRY(worker_blob_error(blob_parse(blob, &header)));
    if (header.kind == BLOB_SYSTEM) {
        return ERR_REFUSED;
    }
    if (header.kind != BLOB_PUBLIC && facts->has_bk == 0) {
        return ERR_LOGIN_REQUIRED;
    }
    if (facts->role == WORKER_KRSO && header.kind != BLOB_PUBLIC) {
        return ERR_REFUSED; /* a security officer sees no private object (threats.md M3) */
    }
    source.from_client = header.kind == BLOB_SESSION || header.kind == BLOB_OFFBOARD;
    memcpy(source.family, facts->family, ID_SIZE);
    source.now = clock_wall_s(w->clock);
    sections = header.kind == BLOB_PUBLIC ? (unsigned)SEAL_A : sections;
    e = seal_open(blob, &u->keys->ring, &source, sections, w->plain.data, w->plain.size,
                  &u->opened);
    TRY(worker_blob_error(e));
    u->worker = w;
    u->size = blob.size - BLOB_OVERHEAD;
    u->info = &u->opened.info;
    return header.kind == BLOB_PUBLIC ? public_info(u) : ERR_OK;
}

/* -- one operation --------------------------------------------------------------------- */

static bool mechanism_allowed(const struct key_info *k, uint64_t mechanism)
{
    for (unsigned i = 0; i < k->mech_count; i++) {
        if (k->mech[i] == mechanism) {
            return true;
        }
    }
    return k->mech_count == 0;
}

static enum err use_allowed(const struct key_info *k,
                            enum mech_op op,
                            const struct mech_row *row,
                            uint64_t now)
{
    uint32_t usage = operations[op].usage;
    if ((operations[op].classes & CLASS(k->class)) == 0 || k->type != row->key_type) {
        return ERR_KEY_TYPE;
    }
    if (k->class == SEAL_CLASS_PRIVATE) {
        usage = operations[op].usage_private;
    }
    if ((k->usage & usage) != usage) {
        return ERR_KEY_USAGE;
    }
    if ((k->flags & FLAGS_UNKNOWN) != 0) {
        return ERR_REFUSED;
    }
    if (!mechanism_allowed(k, row->number)) {
        return ERR_MECHANISM;
    }
    if (now < k->not_before || (k->not_after != 0 && now > k->not_after)) {
        return ERR_KEY_DATE;
    }
    return ERR_OK;
}

static enum mech_op operation_of(unsigned verb)
{
    unsigned op = 0;
    while (operations[op].verb != verb) {
        op++;
        assert(op < MECH_OPS);
    }
    return (enum mech_op)op;
}

enum err worker_operate(struct worker *w, const struct core_request *r, struct answer *a)
{
    KEY_USE_SCOPED use = { 0 };
    struct mech_call call = { 0 };
    const struct mech_row *row = mech_find(r->mechanism);
    enum mech_op op = operation_of(r->verb);
    if (row == NULL || row->op[op] == NULL) {
        return ERR_MECHANISM;
    }
    TRY(key_use_open(&use, w, r->handle, r->section[0], SEAL_K));
    TRY(use_allowed(use.info, op, row, clock_wall_s(w->clock)));
    call.row = row;
    call.key = use.info;
    call.parameter = r->section[1];
    call.data = r->section[2];
    call.signature = r->section[3];
    call.out = a->at;
    call.capacity = a->left;
    TRY(row->op[op](&w->mech, &call));
    if (op != MECH_VERIFY) {
        answer_add(a, call.size);
    }
    return ERR_OK;
}

/* -- attributes ---------------------------------------------------------------------------- */

enum err worker_attributes(struct worker *w, const struct core_request *r, struct answer *a)
{
    KEY_USE_SCOPED use = { 0 };
    TRY(key_use_open(&use, w, r->handle, r->section[0], SEAL_A));
    return answer_copy(a, use.opened.a);
}

enum err worker_set_attributes(struct worker *w, const struct core_request *r, struct answer *a)
{
    KEY_USE_SCOPED use = { 0 };
    BUF_SCOPED changed = { 0 };
    size_t size = 0;
    enum err e;
    TRY(key_use_open(&use, w, r->handle, r->section[0], SEAL_A | SEAL_K));
    TRY(worker_may_make(use.keys));
    TRY(buf_append(&changed, use.opened.a, LIMIT_BLOB));
    TRY(object_change(r->section[1], &changed, use.opened.has_info ? &use.opened.info : NULL));
    use.opened.a = buf_bytes(&changed);
    e = seal_again(&use.keys->ring, &use.opened, a->at, a->left, &size);
    TRY(e == ERR_BAD_CONTENT ? ERR_TEMPLATE : e);
    answer_add(a, size);
    return answer_copy(a, buf_bytes(&changed));
}
