/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/worker_kit.h"

#include <assert.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/envelope.h"

static const uint8_t bk[32] = { 0xb1 }, pub[32] = { 0xb2 }, sys[32] = { 0xb3 }, lk[32] = { 0xb4 };
static const uint8_t smk_id_of_kit[ID_SIZE] = { 1 }, keyring[ID_SIZE] = { 2 }, kk[ID_SIZE] = { 3 };
static const uint8_t cluster[ID_SIZE] = { 4 }, spki[32] = { 5 };

static void must(enum err e, const char *what)
{
    if (e != ERR_OK) {
        (void)fprintf(stderr, "worker kit: %s: %s\n", what, err_name(e));
        abort();
    }
}
#define MUST(x) must((x), #x)

/* -- the keeper ------------------------------------------------------------------------ */

static const struct {
    uint64_t handle;
    uint32_t role;
    uint8_t family;
    bool has_bk;
} sessions[] = {
    { KIT_USER, 6, 1, true },        { KIT_OTHER_LOGIN, 6, 2, true },
    { KIT_PUBLIC, 0, 0, false },     { KIT_SECURITY_OFFICER, 5, 3, true },
    { KIT_CRYPTO_USER, 8, 4, true },
};

static enum err answer_keys(struct worker_kit *k, uint64_t handle, uint8_t *out)
{
    struct keeper_keys keys = { 0 };
    k->keys_asked++;
    if (k->keys_error != ERR_OK) {
        return k->keys_error;
    }
    for (unsigned i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
        if (sessions[i].handle != handle) {
            continue;
        }
        memcpy(keys.keyring_id, keyring, ID_SIZE);
        memcpy(keys.smk_id, smk_id_of_kit, ID_SIZE);
        memcpy(keys.kk_id, kk, ID_SIZE);
        memcpy(keys.pub, pub, sizeof keys.pub);
        keys.role = sessions[i].role;
        keys.family[0] = sessions[i].family;
        keys.has_bk = sessions[i].has_bk;
        keys.expires = 2000000000;
        if (keys.has_bk != 0) {
            memcpy(keys.bk, bk, sizeof keys.bk);
        }
        keeper_keys_encode(&keys, out);
        return ERR_OK;
    }
    return ERR_LOGIN_REQUIRED;
}

static void import_context(struct bytes challenge,
                           const uint8_t hash[32],
                           uint8_t out[ENVELOPE_IMPORT_CONTEXT])
{
    memcpy(out, cluster, ID_SIZE);
    memcpy(out + 16, challenge.data, ID_SIZE);
    memcpy(out + 32, keyring, ID_SIZE);
    memcpy(out + 48, spki, sizeof spki);
    memcpy(out + 80, hash, 32);
}

static enum err worker_kit_ask(void *impl,
                               const struct core_request *request,
                               bool internal,
                               uint8_t *scratch,
                               size_t scratch_size,
                               struct core_reply *reply)
{
    struct core_reply r = { 0 };
    uint8_t bytes[KEEPER_KEYS_SIZE], context[ENVELOPE_IMPORT_CONTEXT];
    assert(internal);
    if (request->verb == CORE_KEYS) {
        r.error = answer_keys(impl, request->handle, bytes);
        r.section[0] = bytes_of(bytes, r.error == ERR_OK ? sizeof bytes : 0);
    } else if (request->verb == CORE_SYS_KEY) {
        r.error = request->number == KEEPER_SYS_CLIENT && request->handle != KIT_OFFICER
                      ? ERR_LOGIN_REQUIRED
                      : ERR_OK;
        r.section[0] = bytes_of(sys, r.error == ERR_OK ? sizeof sys : 0);
        r.section[1] = bytes_of(smk_id_of_kit, ID_SIZE);
        r.section[2] = bytes_of(cluster, ID_SIZE);
    } else if (request->verb == CORE_IMPORT_KEY) {
        import_context(request->section[1], request->section[2].data, context);
        r.error = envelope_import_key(request->section[0].data, lk, context, bytes);
        r.section[0] = bytes_of(bytes, CRYPT_KEY);
        r.section[1] = bytes_of(context, sizeof context);
    } else {
        r.error = ERR_PROTOCOL;
    }
    assert(core_reply_size(&r) <= scratch_size);
    core_reply_encode(&r, scratch);
    return core_reply_decode(bytes_of(scratch, core_reply_size(&r)), reply);
}

static uint64_t worker_kit_mono(void *impl)
{
    return ((struct worker_kit *)impl)->mono_ms * 1000000u;
}
static uint64_t worker_kit_wall(void *impl)
{
    return ((struct worker_kit *)impl)->wall_s;
}

/* -- life --------------------------------------------------------------------------------- */

void worker_kit_open(struct worker_kit *k)
{
    const struct keeper_link link = { worker_kit_ask, k };
    memset(k, 0, sizeof *k);
    k->wall_s = 1800000000;
    k->mono_ms = 1000;
    k->clock = (struct clock){ worker_kit_mono, worker_kit_mono, worker_kit_wall, k };
    MUST(crypt_init());
    MUST(worker_open(&k->clock, &link, &k->worker));
    seal_ring_init(&k->ring, keyring, kk);
    MUST(seal_ring_add(&k->ring, SEAL_BLOB_KEY, smk_id_of_kit, 0, bk));
    MUST(seal_ring_add(&k->ring, SEAL_PUBLIC_KEY, smk_id_of_kit, 0, pub));
}

void worker_kit_close(struct worker_kit *k)
{
    worker_close(k->worker);
    seal_ring_drop(&k->ring);
}

void worker_kit_drop(struct buf *b, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        buf_drop(&b[i]);
    }
}

/* -- requests ------------------------------------------------------------------------------- */

void worker_kit_request(struct worker_kit *k, unsigned verb, uint64_t handle)
{
    memset(&k->request, 0, sizeof k->request);
    k->request.verb = verb;
    k->request.handle = handle;
}

enum err worker_kit_answer(struct worker_kit *k)
{
    worker_answer(k->worker, &k->request, k->out, sizeof k->out, &k->reply);
    return k->reply.error;
}

struct buf worker_kit_take(struct worker_kit *k, unsigned section)
{
    struct buf b = { 0 };
    MUST(buf_append(&b, k->reply.section[section], LIMIT_RING_LARGE));
    return b;
}

struct bytes worker_kit_id(struct worker_kit *k)
{
    static uint8_t ids[16][ID_SIZE];
    uint8_t *id = ids[k->next_id++ % 16];
    memset(id, 0x40 + k->next_id, ID_SIZE);
    return bytes_of(id, ID_SIZE);
}

enum err worker_kit_operate(struct worker_kit *k,
                            unsigned verb,
                            uint64_t mechanism,
                            const struct buf *blob,
                            struct bytes parameter,
                            struct bytes data,
                            struct bytes signature)
{
    worker_kit_request(k, verb, KIT_USER);
    k->request.mechanism = mechanism;
    k->request.section[0] = buf_bytes(blob);
    k->request.section[1] = parameter;
    k->request.section[2] = data;
    k->request.section[3] = signature;
    return worker_kit_answer(k);
}

enum err worker_kit_generate(struct worker_kit *k,
                             uint64_t mechanism,
                             const struct buf *template,
                             struct buf *blob,
                             struct buf *a)
{
    worker_kit_request(k, CORE_GENERATE_KEY, KIT_USER);
    k->request.mechanism = mechanism;
    k->request.number = BLOB_TOKEN;
    if (template != NULL) {
        k->request.section[0] = buf_bytes(template);
    }
    k->request.section[1] = worker_kit_id(k);
    TRY(worker_kit_answer(k));
    *blob = worker_kit_take(k, 0);
    *a = worker_kit_take(k, 1);
    return ERR_OK;
}

enum err worker_kit_pair(struct worker_kit *k,
                         uint64_t mechanism,
                         const struct buf *public_template,
                         const struct buf *private_template,
                         struct buf blob[2],
                         struct buf a[2])
{
    worker_kit_request(k, CORE_GENERATE_PAIR, KIT_USER);
    k->request.mechanism = mechanism;
    k->request.number = BLOB_TOKEN;
    k->request.section[0] = buf_bytes(public_template);
    if (private_template != NULL) {
        k->request.section[1] = buf_bytes(private_template);
    }
    k->request.section[2] = worker_kit_id(k);
    k->request.section[3] = worker_kit_id(k);
    TRY(worker_kit_answer(k));
    for (unsigned i = 0; i < 2; i++) {
        blob[i] = worker_kit_take(k, i);
        a[i] = worker_kit_take(k, 2 + i);
    }
    return ERR_OK;
}

void worker_kit_rsa_pair(struct worker_kit *k, struct buf blob[2], struct buf a[2])
{
    BUF_SCOPED t = { 0 };
    MUST(template_put_u64(&t, CKA_MODULUS_BITS, 2048));
    MUST(worker_kit_pair(k, CKM_RSA_PKCS_KEY_PAIR_GEN, &t, NULL, blob, a));
}

struct bytes worker_kit_curve(unsigned curve)
{
    static const uint8_t p256[] = { 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7 };
    static const uint8_t p384[] = { 6, 5, 0x2b, 0x81, 4, 0, 0x22 },
                         p521[] = { 6, 5, 0x2b, 0x81, 4, 0, 0x23 };
    if (curve == SEAL_CURVE_P256) {
        return bytes_of(p256, sizeof p256);
    }
    return curve == SEAL_CURVE_P384 ? bytes_of(p384, sizeof p384) : bytes_of(p521, sizeof p521);
}

void worker_kit_ec_pair(struct worker_kit *k, unsigned curve, struct buf blob[2], struct buf a[2])
{
    BUF_SCOPED t = { 0 };
    MUST(template_put(&t, CKA_EC_PARAMS, worker_kit_curve(curve)));
    MUST(worker_kit_pair(k, CKM_EC_KEY_PAIR_GEN, &t, NULL, blob, a));
}

struct buf worker_kit_seal(struct worker_kit *k, const struct key_info *info)
{
    struct buf blob = { 0 };
    BUF_SCOPED a = { 0 };
    struct seal_draft draft = { .kind = BLOB_TOKEN, .generation = 1, .info = info };
    uint8_t *at = NULL;
    MUST(template_put_u64(&a, CKA_CLASS, info->class));
    memcpy(draft.object_id, worker_kit_id(k).data, ID_SIZE);
    draft.a = buf_bytes(&a);
    MUST(buf_reserve(&blob, LIMIT_BLOB, LIMIT_BLOB, &at));
    MUST(seal_make(&k->ring, &draft, at, LIMIT_BLOB, &blob.size));
    return blob;
}

struct buf worker_kit_envelope(struct worker_kit *k,
                               struct bytes template,
                               struct bytes challenge,
                               struct bytes material)
{
    struct envelope_context c = { 0 };
    struct buf out = { 0 };
    uint8_t context[ENVELOPE_IMPORT_CONTEXT], lk_pub[32], *at = NULL;
    (void)k;
    memcpy(c.cluster_id, cluster, ID_SIZE);
    memcpy(c.challenge, challenge.data, ID_SIZE);
    memcpy(c.kr_id, keyring, ID_SIZE);
    memcpy(c.client_spki, spki, sizeof spki);
    envelope_import_context(&c, template, context);
    MUST(x25519_public(lk, lk_pub));
    MUST(buf_reserve(&out, material.size + ENVELOPE_IMPORT_OVERHEAD, LIMIT_BLOB, &at));
    MUST(envelope_import_seal(lk_pub, context, material, at));
    out.size = material.size + ENVELOPE_IMPORT_OVERHEAD;
    return out;
}
