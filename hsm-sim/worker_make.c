/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that make objects: generate, import, public objects. Key material lies
 * in w->material alone, and is wiped whatever the end is. */
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "base/digest.h"
#include "hsm-sim/worker_state.h"
#include "proto/envelope.h"
#include "proto/template.h"

#define RSA_E_USUAL 65537u
#define AES_SHORT 16u
#define AES_LONG 32u
#define GENERIC_MIN 16u
#define GENERIC_MAX 64u

static void wipe_material(struct worker **w)
{
    bytes_wipe((*w)->material.data, (*w)->material.size);
}
#define MATERIAL_SCOPED __attribute__((cleanup(wipe_material), unused)) struct worker

enum err worker_seal(const struct seal_ring *ring,
                     const struct object *o,
                     const uint8_t *bind,
                     const struct key_info *info,
                     struct answer *a)
{
    struct seal_draft draft = { .kind = (uint8_t)o->kind, .generation = 1, .info = info };
    size_t size = 0;
    enum err e;
    memcpy(draft.object_id, o->id, ID_SIZE);
    if (o->kind == BLOB_SESSION) {
        memcpy(draft.bind, bind, ID_SIZE);
    }
    draft.a = buf_bytes(&o->a);
    e = seal_make(ring, &draft, a->at, a->left, &size);
    TRY(e == ERR_BAD_CONTENT ? ERR_TEMPLATE : e);
    answer_add(a, size);
    return ERR_OK;
}

static enum err kind_of(const struct core_request *r, unsigned *kind)
{
    if (r->number != BLOB_TOKEN && r->number != BLOB_SESSION) {
        return ERR_USAGE;
    }
    *kind = (unsigned)r->number;
    return ERR_OK;
}

/* Seals and answers [blob][attributes]. */
static enum err finish(struct session_keys *keys,
                       const struct object *o,
                       unsigned bits,
                       struct bytes material,
                       struct answer *a)
{
    struct key_info info;
    object_info(o, bits, &info);
    info.material = material;
    TRY(worker_seal(&keys->ring, o, keys->facts.family, &info, a));
    return answer_copy(a, buf_bytes(&o->a));
}

/* -- secret keys -------------------------------------------------------------------- */

static const struct {
    uint64_t mechanism;
    uint16_t type;
    uint64_t least, most, step;
} secrets[] = {
    { CKM_AES_KEY_GEN, SEAL_KEY_AES, AES_SHORT, AES_LONG, AES_LONG - AES_SHORT },
    { CKM_GENERIC_SECRET_KEY_GEN, SEAL_KEY_GENERIC, GENERIC_MIN, GENERIC_MAX, 1 },
};
#define SECRETS (sizeof secrets / sizeof secrets[0])

static enum err secret_size_check(uint64_t type, uint64_t size)
{
    for (size_t i = 0; i < SECRETS; i++) {
        if (secrets[i].type == type) {
            bool fits = size >= secrets[i].least && size <= secrets[i].most &&
                        (size - secrets[i].least) % secrets[i].step == 0;
            return fits ? ERR_OK : ERR_KEY_SIZE;
        }
    }
    return ERR_TEMPLATE;
}

enum err worker_generate_key(struct worker *w, const struct core_request *r, struct answer *a)
{
    MATERIAL_SCOPED *wiped = w;
    OBJECT_SCOPED o = { .origin = OBJECT_GENERATED,
                        .class = SEAL_CLASS_SECRET,
                        .mechanism = r->mechanism };
    struct session_keys *keys;
    uint64_t size = 0;
    unsigned i = 0;
    while (i < SECRETS && secrets[i].mechanism != r->mechanism) {
        i++;
    }
    if (i == SECRETS) {
        return ERR_MECHANISM;
    }
    TRY(worker_keys_get(w, r->handle, &keys));
    TRY(worker_may_make(keys));
    TRY(kind_of(r, &o.kind));
    o.type = secrets[i].type;
    o.template = r->section[0];
    TRY(object_begin(&o, r->section[1]));
    if (template_get_u64(o.template, CKA_VALUE_LEN, &size) != ERR_OK) {
        return ERR_TEMPLATE;
    }
    TRY(secret_size_check(o.type, size));
    TRY(object_put_secret(&o, (size_t)size));
    TRY(crypt_random(w->material.data, (size_t)size));
    return finish(keys, &o, (unsigned)(8u * size), bytes_of(w->material.data, (size_t)size), a);
}

/* -- pairs ---------------------------------------------------------------------------- */

struct pair {
    struct object public, private;
    unsigned bits;         /* of n, or the curve */
    struct bytes material; /* of the private key, in w->material */
};
static void pair_drop(struct pair *p)
{
    object_drop(&p->public);
    object_drop(&p->private);
}
#define PAIR_SCOPED __attribute__((cleanup(pair_drop))) struct pair

static enum err exponent_of(struct bytes template, uint64_t *e)
{
    struct bytes given;
    *e = RSA_E_USUAL;
    if (template_get(template, CKA_PUBLIC_EXPONENT, &given) != ERR_OK || given.size == 0) {
        return ERR_OK;
    }
    *e = 0;
    for (size_t i = 0; i < given.size; i++) {
        if (*e > UINT32_MAX >> 8) {
            return ERR_ATTRIBUTE;
        }
        *e = *e << 8 | given.data[i];
    }
    return *e >= RSA_E_USUAL && (*e & 1) == 1 ? ERR_OK : ERR_ATTRIBUTE;
}

static enum err make_rsa(struct worker *w, struct pair *p)
{
    uint8_t *at = w->material.data;
    uint64_t bits = 0, e = 0;
    size_t k;
    if (template_get_u64(p->public.template, CKA_MODULUS_BITS, &bits) != ERR_OK) {
        return ERR_TEMPLATE;
    }
    if (bits < FASTKEY_RSA_MIN || bits > FASTKEY_RSA_MAX || bits % 1024u != 0) {
        return ERR_KEY_SIZE;
    }
    TRY(exponent_of(p->public.template, &e));
    TRY(fastkey_rsa_generate((unsigned)bits, e, at));
    p->bits = (unsigned)bits;
    k = p->bits / 8u;
    p->material = bytes_of(at, 2 * k + 8 + 5 * (k / 2));
    TRY(object_put_rsa(&p->public, bytes_of(at, k), bytes_of(at + k, 8)));
    return object_put_rsa(&p->private, bytes_of(at, k), bytes_of(at + k, 8));
}

static enum err make_ec(struct worker *w, struct pair *p)
{
    uint8_t *at = w->material.data;
    size_t n;
    TRY(object_curve_of(p->public.template, &p->bits));
    TRY(fastkey_ec_generate(w->mech.ec, p->bits, at));
    n = seal_curve_private_size(p->bits);
    p->material = bytes_of(at, n + seal_curve_public_size(p->bits));
    TRY(object_put_ec(&p->public, p->bits, bytes_of(at + n, p->material.size - n)));
    return object_put_ec(&p->private, p->bits, bytes_of(at + n, p->material.size - n));
}

static const struct {
    uint64_t mechanism;
    uint16_t type;
    enum err (*make)(struct worker *w, struct pair *p);
} pairs[] = {
    { CKM_RSA_PKCS_KEY_PAIR_GEN, SEAL_KEY_RSA, make_rsa },
    { CKM_EC_KEY_PAIR_GEN, SEAL_KEY_EC, make_ec },
};
#define PAIRS (sizeof pairs / sizeof pairs[0])

/* A public session object has no blob: it stays with the client, in clear. */
static enum err public_id(const struct core_request *r, const struct pair *p, struct bytes *out)
{
    *out = r->section[2];
    if (p->private.kind == BLOB_SESSION && out->size == 0) {
        *out = r->section[3];
    }
    return ERR_OK;
}

static enum err pair_begin(struct pair *p, const struct core_request *r, unsigned row)
{
    struct object *both[2] = { &p->public, &p->private };
    struct bytes id;
    for (unsigned i = 0; i < 2; i++) {
        both[i]->origin = OBJECT_GENERATED;
        both[i]->type = pairs[row].type;
        both[i]->mechanism = r->mechanism;
        both[i]->template = r->section[i];
    }
    p->public.class = SEAL_CLASS_PUBLIC;
    p->private.class = SEAL_CLASS_PRIVATE;
    TRY(kind_of(r, &p->private.kind));
    p->public.kind =
        p->private.kind == BLOB_SESSION ? (unsigned)BLOB_SESSION : (unsigned)BLOB_PUBLIC;
    TRY(public_id(r, p, &id));
    TRY(object_begin(&p->public, id));
    return object_begin(&p->private, r->section[3]);
}

enum err worker_generate_pair(struct worker *w, const struct core_request *r, struct answer *a)
{
    MATERIAL_SCOPED *wiped = w;
    PAIR_SCOPED p = { 0 };
    struct session_keys *keys;
    struct key_info info;
    unsigned row = 0;
    while (row < PAIRS && pairs[row].mechanism != r->mechanism) {
        row++;
    }
    if (row == PAIRS) {
        return ERR_MECHANISM;
    }
    TRY(worker_keys_get(w, r->handle, &keys));
    TRY(worker_may_make(keys));
    TRY(pair_begin(&p, r, row));
    TRY(pairs[row].make(w, &p));
    if (p.public.kind == BLOB_PUBLIC) {
        TRY(worker_seal(&keys->ring, &p.public, keys->facts.family, NULL, a));
    } else {
        answer_add(a, 0);
    }
    object_info(&p.private, p.bits, &info);
    info.material = p.material;
    TRY(worker_seal(&keys->ring, &p.private, keys->facts.family, &info, a));
    TRY(answer_copy(a, buf_bytes(&p.public.a)));
    return answer_copy(a, buf_bytes(&p.private.a));
}

/* -- import ------------------------------------------------------------------------------- */

/* The context ends with the template's hash. */
static bool import_reply_fits(const struct core_reply *reply, const uint8_t hash[DIGEST_SIZE])
{
    struct bytes context = reply->section[1];
    if (reply->section[0].size != CRYPT_KEY || context.size != ENVELOPE_IMPORT_CONTEXT) {
        return false;
    }
    return bytes_equal(bytes_of(context.data + context.size - DIGEST_SIZE, DIGEST_SIZE),
                       bytes_of(hash, DIGEST_SIZE));
}

/* The envelope's key comes from the keeper, the material is seen here alone. */
static enum err open_envelope(struct worker *w, const struct core_request *r, size_t *size)
{
    struct core_request ask = { .verb = CORE_IMPORT_KEY, .handle = r->handle };
    struct core_reply reply;
    struct bytes template = r->section[0], envelope = r->section[2];
    uint8_t hash[DIGEST_SIZE];
    enum err e;
    if (r->section[1].size != ID_SIZE || envelope.size < ENVELOPE_IMPORT_OVERHEAD ||
        envelope.size > ENVELOPE_IMPORT_MAX) {
        return ERR_DATA_LENGTH;
    }
    digest_sha256(&template, 1, hash);
    ask.section[0] = bytes_of(envelope.data, 32);
    ask.section[1] = r->section[1];
    ask.section[2] = bytes_of(hash, sizeof hash);
    e = worker_ask(w, &ask, &reply);
    if (e == ERR_OK && !import_reply_fits(&reply, hash)) {
        e = ERR_PROTOCOL;
    }
    if (e == ERR_OK) {
        e = envelope_import_open(envelope, reply.section[0].data, reply.section[1].data,
                                 w->material.data, size);
    }
    worker_scratch_wipe(w);
    return worker_blob_error(e);
}

struct imported {
    struct object object;
    unsigned bits;
    struct bytes material;
};
static void imported_drop(struct imported *i)
{
    object_drop(&i->object);
}
#define IMPORTED_SCOPED __attribute__((cleanup(imported_drop))) struct imported

static enum err import_rsa(struct worker *w, struct imported *i)
{
    struct key_info info;
    struct bytes n, e;
    size_t k = FASTKEY_RSA_MIN / 8u;
    (void)w;
    while (k <= FASTKEY_RSA_BYTES && i->material.size != 2 * k + 8 + 5 * (k / 2)) {
        k += 128;
    }
    if (k > FASTKEY_RSA_BYTES) {
        return ERR_KEY_SIZE;
    }
    i->bits = (unsigned)(8 * k);
    n = bytes_of(i->material.data, k);
    e = bytes_of(i->material.data + k, 8);
    object_info(&i->object, i->bits, &info);
    info.material = i->material;
    TRY(fastkey_rsa_check(&info));
    return object_put_rsa(&i->object, n, e);
}

/* The scalar alone, or with its point: which then must be the right one. */
static enum err import_ec(struct worker *w, struct imported *i)
{
    uint8_t *at = w->material.data;
    uint8_t point[FASTKEY_EC_PUBLIC];
    size_t n, m;
    TRY(object_curve_of(i->object.template, &i->bits));
    n = seal_curve_private_size(i->bits);
    m = seal_curve_public_size(i->bits);
    if (i->material.size != n && i->material.size != n + m) {
        return ERR_KEY_SIZE;
    }
    TRY(fastkey_ec_public(w->mech.ec, i->bits, bytes_of(at, n), point));
    if (i->material.size == n + m && !bytes_equal(bytes_of(at + n, m), bytes_of(point, m))) {
        return ERR_ATTRIBUTE;
    }
    memcpy(at + n, point, m);
    i->material = bytes_of(at, n + m);
    return object_put_ec(&i->object, i->bits, bytes_of(point, m));
}

static enum err import_secret(struct worker *w, struct imported *i)
{
    (void)w;
    TRY(secret_size_check(i->object.type, i->material.size));
    i->bits = (unsigned)(8u * i->material.size);
    return object_put_secret(&i->object, i->material.size);
}

static const struct {
    uint8_t class;
    uint16_t type;
    enum err (*import)(struct worker *w, struct imported *i);
} imports[] = {
    { SEAL_CLASS_PRIVATE, SEAL_KEY_RSA, import_rsa },
    { SEAL_CLASS_PRIVATE, SEAL_KEY_EC, import_ec },
    { SEAL_CLASS_SECRET, SEAL_KEY_AES, import_secret },
    { SEAL_CLASS_SECRET, SEAL_KEY_GENERIC, import_secret },
};
#define IMPORTS (sizeof imports / sizeof imports[0])

enum err worker_import(struct worker *w, const struct core_request *r, struct answer *a)
{
    MATERIAL_SCOPED *wiped = w;
    IMPORTED_SCOPED i = { .object = { .origin = OBJECT_IMPORTED,
                                      .mechanism = OBJECT_NO_MECHANISM } };
    struct session_keys *keys;
    uint64_t class = 0, type = 0;
    unsigned row = 0;
    size_t size = 0;
    TRY(worker_keys_get(w, r->handle, &keys));
    TRY(worker_may_make(keys));
    TRY(kind_of(r, &i.object.kind));
    TRY(object_class_of(r->section[0], &class));
    TRY(object_type_of(r->section[0], &type));
    while (row < IMPORTS && (imports[row].class != class || imports[row].type != type)) {
        row++;
    }
    if (row == IMPORTS) {
        return ERR_TEMPLATE;
    }
    i.object.class = (uint8_t) class;
    i.object.type = (uint16_t)type;
    i.object.template = r->section[0];
    TRY(object_begin(&i.object, r->section[3]));
    TRY(open_envelope(w, r, &size));
    i.material = bytes_of(w->material.data, size);
    TRY(imports[row].import(w, &i));
    return finish(keys, &i.object, i.bits, i.material, a);
}

/* -- public objects ---------------------------------------------------------------------------- */

static enum err create_value(struct worker *w, struct object *o)
{
    struct bytes value = { 0 };
    bool there = template_get(o->template, CKA_VALUE, &value) == ERR_OK;
    (void)w;
    if (o->class == SEAL_CLASS_CERTIFICATE && value.size == 0) {
        return ERR_TEMPLATE;
    }
    return there ? template_put(&o->a, CKA_VALUE, value) : ERR_OK;
}

static enum err create_rsa(struct worker *w, struct object *o)
{
    struct bytes n, e;
    (void)w;
    if (template_get(o->template, CKA_MODULUS, &n) != ERR_OK ||
        template_get(o->template, CKA_PUBLIC_EXPONENT, &e) != ERR_OK || n.size == 0 ||
        e.size == 0) {
        return ERR_TEMPLATE;
    }
    while (n.size > 1 && n.data[0] == 0) {
        n = bytes_of(n.data + 1, n.size - 1);
    }
    while (e.size > 1 && e.data[0] == 0) {
        e = bytes_of(e.data + 1, e.size - 1);
    }
    if (n.size < FASTKEY_RSA_MIN / 8u || n.size > FASTKEY_RSA_BYTES) {
        return ERR_KEY_SIZE;
    }
    if (e.size > 8 || (e.data[e.size - 1] & 1) == 0 || (n.data[n.size - 1] & 1) == 0 ||
        (e.size == 1 && e.data[0] < 3)) {
        return ERR_ATTRIBUTE;
    }
    return object_put_rsa(o, n, e);
}

static enum err create_ec(struct worker *w, struct object *o)
{
    struct bytes point;
    unsigned curve = 0;
    TRY(object_curve_of(o->template, &curve));
    if (template_get(o->template, CKA_EC_POINT, &point) != ERR_OK) {
        return ERR_TEMPLATE;
    }
    point = object_point_of(point);
    TRY(fastkey_ec_check_point(w->mech.ec, curve, point));
    return object_put_ec(o, curve, point);
}

static const struct {
    uint8_t class;
    uint16_t type;
    enum err (*create)(struct worker *w, struct object *o);
} creates[] = {
    { SEAL_CLASS_DATA, SEAL_KEY_NONE, create_value },
    { SEAL_CLASS_CERTIFICATE, SEAL_KEY_NONE, create_value },
    { SEAL_CLASS_PUBLIC, SEAL_KEY_RSA, create_rsa },
    { SEAL_CLASS_PUBLIC, SEAL_KEY_EC, create_ec },
};
#define CREATES (sizeof creates / sizeof creates[0])

enum err worker_create_public(struct worker *w, const struct core_request *r, struct answer *a)
{
    OBJECT_SCOPED o = { .kind = BLOB_PUBLIC,
                        .origin = OBJECT_CREATED,
                        .mechanism = OBJECT_NO_MECHANISM };
    struct session_keys *keys;
    uint64_t class = 0, type = SEAL_KEY_NONE;
    unsigned row = 0;
    TRY(worker_keys_get(w, r->handle, &keys));
    TRY(worker_may_make(keys));
    TRY(object_class_of(r->section[0], &class));
    if (class == SEAL_CLASS_PUBLIC) {
        TRY(object_type_of(r->section[0], &type));
    }
    while (row < CREATES && (creates[row].class != class || creates[row].type != type)) {
        row++;
    }
    if (row == CREATES) {
        return ERR_TEMPLATE;
    }
    o.class = (uint8_t) class;
    o.type = (uint16_t)type;
    o.template = r->section[0];
    TRY(object_begin(&o, r->section[1]));
    TRY(creates[row].create(w, &o));
    TRY(worker_seal(&keys->ring, &o, keys->facts.family, NULL, a));
    return answer_copy(a, buf_bytes(&o.a));
}
