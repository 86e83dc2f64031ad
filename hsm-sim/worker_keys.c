/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's cache of keyring keys, by handle: the least recently used one goes
 * first, and each is asked for anew after LIMIT_KEY_CHECK_MS, so that a closed
 * handle ends here too. Only AES schedules are kept, in contexts that wipe. */
#include <assert.h>
#include <string.h>

#include "hsm-sim/worker_state.h"

static void entry_drop(struct session_keys *k)
{
    seal_ring_drop(&k->ring);
    bytes_wipe(k, sizeof *k);
}

void worker_keys_drop(struct worker *w)
{
    for (unsigned i = 0; i < LIMIT_KEY_CACHE && w->cache != NULL; i++) {
        entry_drop(&w->cache[i]);
    }
}

void worker_scratch_wipe(struct worker *w)
{
    bytes_wipe(w->scratch.data, w->scratch.size);
}

enum err worker_ask(struct worker *w, const struct core_request *request, struct core_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    TRY(w->link.ask(w->link.impl, request, true, w->scratch.data, w->scratch.size, reply));
    return reply->error;
}

static void wipe_keys(struct keeper_keys *k)
{
    bytes_wipe(k, sizeof *k);
}
#define KEEPER_KEYS_SCOPED __attribute__((cleanup(wipe_keys))) struct keeper_keys

static enum err ask_keys(struct worker *w, uint64_t handle, struct keeper_keys *out)
{
    struct core_request request = { .verb = CORE_KEYS, .handle = handle };
    struct core_reply reply;
    enum err e = worker_ask(w, &request, &reply);
    if (e == ERR_OK) {
        e = keeper_keys_decode(reply.section[0], out);
    }
    bytes_wipe(w->scratch.data, CORE_REPLY_HEAD + KEEPER_KEYS_SIZE);
    return e;
}

static bool same_id(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE])
{
    return bytes_equal(bytes_of(a, ID_SIZE), bytes_of(b, ID_SIZE));
}

/* The ids follow from the keys: same ids, same keys. */
static bool same_keys(const struct keeper_keys *a, const struct keeper_keys *b)
{
    return same_id(a->keyring_id, b->keyring_id) && same_id(a->smk_id, b->smk_id) &&
           same_id(a->kk_id, b->kk_id) && a->has_bk == b->has_bk;
}

static enum err fill_ring(struct session_keys *k, const struct keeper_keys *keys)
{
    static const uint8_t none[ID_SIZE];
    seal_ring_init(&k->ring, keys->keyring_id, keys->has_bk != 0 ? keys->kk_id : none);
    TRY(seal_ring_add(&k->ring, SEAL_PUBLIC_KEY, keys->smk_id, 0, keys->pub));
    if (keys->has_bk != 0) {
        TRY(seal_ring_add(&k->ring, SEAL_BLOB_KEY, keys->smk_id, 0, keys->bk));
    }
    return ERR_OK;
}

static struct session_keys *find(struct worker *w, uint64_t handle)
{
    for (unsigned i = 0; i < LIMIT_KEY_CACHE; i++) {
        if (w->cache[i].handle == handle) {
            return &w->cache[i];
        }
    }
    return NULL;
}

static struct session_keys *find_oldest(struct worker *w)
{
    struct session_keys *oldest = &w->cache[0];
    for (unsigned i = 1; i < LIMIT_KEY_CACHE; i++) {
        if (w->cache[i].used < oldest->used) {
            oldest = &w->cache[i];
        }
    }
    return oldest;
}

static enum err renew(struct worker *w, uint64_t handle, struct session_keys **entry)
{
    KEEPER_KEYS_SCOPED keys = { 0 };
    struct session_keys *k = *entry;
    enum err e = ask_keys(w, handle, &keys);
    if (e != ERR_OK) {
        if (k != NULL) {
            entry_drop(k);
        }
        return e;
    }
    if (k == NULL || !same_keys(&k->facts, &keys)) {
        k = k == NULL ? find_oldest(w) : k;
        entry_drop(k);
        e = fill_ring(k, &keys);
        if (e != ERR_OK) {
            entry_drop(k);
            return e;
        }
    }
    bytes_wipe(keys.bk, sizeof keys.bk);
    bytes_wipe(keys.pub, sizeof keys.pub);
    k->facts = keys;
    k->handle = handle;
    k->checked_ms = clock_mono_ms(w->clock);
    *entry = k;
    return ERR_OK;
}

enum err worker_keys_get(struct worker *w, uint64_t handle, struct session_keys **out)
{
    struct session_keys *k;
    if (handle == 0) {
        return ERR_LOGIN_REQUIRED;
    }
    k = find(w, handle);
    if (k == NULL || clock_mono_ms(w->clock) - k->checked_ms >= LIMIT_KEY_CHECK_MS) {
        TRY(renew(w, handle, &k));
    }
    if (k->facts.expires != 0 && clock_wall_s(w->clock) >= k->facts.expires) {
        entry_drop(k);
        return ERR_TICKET_EXPIRED;
    }
    k->used = ++w->uses;
    *out = k;
    return ERR_OK;
}

enum err worker_may_make(const struct session_keys *keys)
{
    if (keys->facts.role == WORKER_PUBLIC_SESSION || keys->facts.has_bk == 0) {
        return ERR_LOGIN_REQUIRED;
    }
    return keys->facts.role == WORKER_KRCO || keys->facts.role == WORKER_LCO ? ERR_OK : ERR_REFUSED;
}
