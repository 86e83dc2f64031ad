/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's table of verbs and what it keeps from one to the next: contexts,
 * keyring keys by handle, three pieces of locked memory. One thread; one operation
 * at a time. Everything that a client can influence ends as an error in the reply. */
#include "hsm-sim/worker.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hsm-sim/worker_state.h"

#define MATERIAL_SIZE (LIMIT_IMPORT_MATERIAL + 64u)
#define WORKER_VERBS 64u

static enum err answer_random(struct worker *w, const struct core_request *r, struct answer *a)
{
    (void)w;
    if (r->number == 0 || r->number > LIMIT_DATA) {
        return ERR_DATA_LENGTH;
    }
    if (r->number > a->left) {
        return ERR_TOO_LARGE;
    }
    TRY(crypt_random(a->at, (size_t)r->number));
    answer_add(a, (size_t)r->number);
    return ERR_OK;
}

static const worker_verb_cb verbs[WORKER_VERBS] = {
    [CORE_GENERATE_KEY] = worker_generate_key,
    [CORE_GENERATE_PAIR] = worker_generate_pair,
    [CORE_IMPORT] = worker_import,
    [CORE_CREATE_PUBLIC] = worker_create_public,
    [CORE_ATTRIBUTES] = worker_attributes,
    [CORE_SIGN] = worker_operate,
    [CORE_VERIFY] = worker_operate,
    [CORE_ENCRYPT] = worker_operate,
    [CORE_DECRYPT] = worker_operate,
    [CORE_RANDOM] = answer_random,
    [CORE_CA_CREATE] = worker_ca_create,
    [CORE_ISSUE] = worker_issue,
    [CORE_SET_ATTRIBUTES] = worker_set_attributes,
#ifdef RINGKEEP_TEST_HOOKS
    [CORE_PROBE] = worker_probe,
#endif
};

void answer_add(struct answer *a, size_t size)
{
    assert(size <= a->left && a->sections < CORE_SECTIONS);
    a->reply->section[a->sections++] = bytes_of(a->at, size);
    a->at += size;
    a->left -= size;
}

enum err answer_copy(struct answer *a, struct bytes b)
{
    if (b.size > a->left) {
        return ERR_TOO_LARGE;
    }
    if (b.size > 0) {
        memcpy(a->at, b.data, b.size);
    }
    answer_add(a, b.size);
    return ERR_OK;
}

/* What OpenSSL and libc do at their first use is done here, before a sandbox. */
static enum err warm_up(struct worker *w)
{
    uint8_t material[FASTKEY_EC_MATERIAL], signature[2 * FASTKEY_EC_PRIVATE], digest[32];
    time_t now = 0;
    struct tm day;
    enum err e;
    (void)gmtime_r(&now, &day);
    TRY(crypt_random(digest, sizeof digest));
    TRY(fastkey_ec_generate(w->mech.ec, SEAL_CURVE_P256, material));
    e = fastkey_ec_sign(w->mech.ec, SEAL_CURVE_P256, bytes_of(material, 32),
                        bytes_of(digest, sizeof digest), signature);
    bytes_wipe(material, sizeof material);
    return e;
}

static enum err open_parts(struct worker *w)
{
    TRY(crypt_init());
    TRY(mech_open(&w->mech));
    w->cache = calloc(LIMIT_KEY_CACHE, sizeof *w->cache);
    if (w->cache == NULL) {
        return ERR_NOMEM;
    }
    TRY(secret_alloc(&w->plain, LIMIT_BLOB));
    TRY(secret_alloc(&w->material, MATERIAL_SIZE));
    TRY(secret_alloc(&w->scratch, LIMIT_KEEPER_FRAME));
    return warm_up(w);
}

enum err worker_open(const struct clock *clock, const struct keeper_link *link, struct worker **out)
{
    struct worker *w = calloc(1, sizeof *w);
    enum err e;
    if (w == NULL) {
        return ERR_NOMEM;
    }
    w->clock = clock;
    w->link = *link;
    e = open_parts(w);
    if (e != ERR_OK) {
        worker_close(w);
        return e;
    }
    *out = w;
    return ERR_OK;
}

void worker_close(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    worker_keys_drop(w);
    free(w->cache);
    mech_close(&w->mech);
    secret_drop(&w->plain);
    secret_drop(&w->material);
    secret_drop(&w->scratch);
    free(w);
}

/* What a failed operation may have left where replies are made. */
static void wipe_partial(const struct core_request *r, uint8_t *out, size_t out_size)
{
    size_t size = r->section[2].size + FASTKEY_RSA_BYTES;
    bytes_wipe(out, size < out_size ? size : out_size);
}

void worker_answer(struct worker *w,
                   const struct core_request *request,
                   uint8_t *out,
                   size_t out_size,
                   struct core_reply *reply)
{
    struct answer a = { .reply = reply, .at = out, .left = out_size };
    worker_verb_cb verb = request->verb < WORKER_VERBS ? verbs[request->verb] : NULL;
    enum err e = ERR_PROTOCOL;
    memset(reply, 0, sizeof *reply);
    if (verb != NULL) {
        e = verb(w, request, &a);
    }
    ERR_clear_error();
    if (e != ERR_OK) {
        memset(reply, 0, sizeof *reply);
        wipe_partial(request, out, out_size);
    }
    reply->error = e;
}
