/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded cache of attributes by keyring, object and generation: a hash table
 * over all rows, a list per keyring (to drop it), one list by use (to stay in
 * bounds). Loop thread. */
#include "appliance/catalogue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16384u
#define KEYRING_BUCKETS 256u

struct ring; /* one keyring's rows */

struct row {
    uint8_t object_id[ID_SIZE];
    uint64_t generation;
    struct ring *ring;
    struct row *chain;             /* bucket */
    struct row *newer, *older;     /* by use */
    struct row *sibling, *brother; /* next and previous of the keyring */
    size_t size;
    uint8_t attributes[];
};
struct ring {
    uint8_t keyring_id[ID_SIZE];
    struct ring *chain;
    struct row *first;
    uint64_t used_ms;
};
struct catalogue {
    size_t limit, size;
    unsigned count;
    struct row *bucket[BUCKETS];
    struct ring *ring[KEYRING_BUCKETS];
    struct row *newest, *oldest;
};

static size_t cost(const struct row *r)
{
    return sizeof *r + r->size;
}

/* -- lists ------------------------------------------------------------------------ */

static void use_unlink(struct catalogue *c, struct row *r)
{
    *(r->newer != NULL ? &r->newer->older : &c->newest) = r->older;
    *(r->older != NULL ? &r->older->newer : &c->oldest) = r->newer;
    r->newer = r->older = NULL;
}

static void use_push(struct catalogue *c, struct row *r)
{
    r->older = c->newest;
    if (c->newest != NULL) {
        c->newest->newer = r;
    }
    c->newest = r;
    if (c->oldest == NULL) {
        c->oldest = r;
    }
}

static struct ring **ring_find(struct catalogue *c, const uint8_t keyring_id[ID_SIZE])
{
    struct ring **at = &c->ring[get_u64(keyring_id) % KEYRING_BUCKETS];
    while (*at != NULL && memcmp((*at)->keyring_id, keyring_id, ID_SIZE) != 0) {
        at = &(*at)->chain;
    }
    return at;
}

static struct row **row_find(struct catalogue *c, const struct ring *ring, const uint8_t object_id[ID_SIZE])
{
    struct row **at = &c->bucket[get_u64(object_id) % BUCKETS];
    while (*at != NULL &&
           ((*at)->ring != ring || memcmp((*at)->object_id, object_id, ID_SIZE) != 0)) {
        at = &(*at)->chain;
    }
    return at;
}

static void drop_row(struct catalogue *c, struct row **at)
{
    struct row *r = *at;
    assert(r != NULL);
    *at = r->chain;
    use_unlink(c, r);
    *(r->brother != NULL ? &r->brother->sibling : &r->ring->first) = r->sibling;
    if (r->sibling != NULL) {
        r->sibling->brother = r->brother;
    }
    assert(c->size >= cost(r) && c->count > 0);
    c->size -= cost(r);
    c->count--;
    bytes_wipe(r, cost(r));
    free(r);
}

static void drop_ring(struct catalogue *c, struct ring **at)
{
    struct ring *ring = *at;
    while (ring->first != NULL) {
        drop_row(c, row_find(c, ring, ring->first->object_id));
    }
    *at = ring->chain;
    free(ring);
}

/* -- public --------------------------------------------------------------------------- */

enum err catalogue_open(size_t limit, struct catalogue **out)
{
    struct catalogue *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->limit = limit;
    *out = c;
    return ERR_OK;
}

void catalogue_close(struct catalogue *c)
{
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < KEYRING_BUCKETS; i++) {
        while (c->ring[i] != NULL) {
            drop_ring(c, &c->ring[i]);
        }
    }
    assert(c->size == 0 && c->count == 0);
    free(c);
}

static enum err take_ring(struct catalogue *c, const uint8_t keyring_id[ID_SIZE], struct ring **out)
{
    struct ring **at = ring_find(c, keyring_id);
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL) {
            return ERR_NOMEM;
        }
        memcpy((*at)->keyring_id, keyring_id, ID_SIZE);
    }
    *out = *at;
    return ERR_OK;
}

static void link_row(struct catalogue *c, struct row *r)
{
    struct row **bucket = &c->bucket[get_u64(r->object_id) % BUCKETS];
    r->chain = *bucket;
    *bucket = r;
    r->sibling = r->ring->first;
    if (r->sibling != NULL) {
        r->sibling->brother = r;
    }
    r->ring->first = r;
    use_push(c, r);
    c->size += cost(r);
    c->count++;
}

enum err catalogue_put(struct catalogue *c,
                       const uint8_t keyring_id[ID_SIZE],
                       const uint8_t object_id[ID_SIZE],
                       uint64_t generation,
                       struct bytes attributes,
                       uint64_t now_ms)
{
    struct ring *ring = NULL;
    const size_t needed = sizeof(struct row) + attributes.size;
    if (needed > c->limit) {
        return ERR_TOO_LARGE;
    }
    TRY(take_ring(c, keyring_id, &ring));
    struct row *r = calloc(1, needed);
    if (r == NULL) {
        return ERR_NOMEM;
    }
    struct row **old = row_find(c, ring, object_id);
    if (*old != NULL) {
        drop_row(c, old);
    }
    while (c->size + needed > c->limit) {
        assert(c->oldest != NULL);
        drop_row(c, row_find(c, c->oldest->ring, c->oldest->object_id));
    }
    memcpy(r->object_id, object_id, ID_SIZE);
    r->generation = generation;
    r->ring = ring;
    r->size = attributes.size;
    if (attributes.size > 0) {
        memcpy(r->attributes, attributes.data, attributes.size);
    }
    ring->used_ms = now_ms;
    link_row(c, r);
    return ERR_OK;
}

enum err catalogue_get(struct catalogue *c,
                       const uint8_t keyring_id[ID_SIZE],
                       const uint8_t object_id[ID_SIZE],
                       uint64_t generation,
                       uint64_t now_ms,
                       struct bytes *out)
{
    struct ring *ring = *ring_find(c, keyring_id);
    if (ring == NULL) {
        return ERR_NOTFOUND;
    }
    ring->used_ms = now_ms;
    struct row **at = row_find(c, ring, object_id);
    if (*at == NULL || (*at)->generation != generation) {
        return ERR_NOTFOUND;
    }
    use_unlink(c, *at);
    use_push(c, *at);
    *out = bytes_of((*at)->attributes, (*at)->size);
    return ERR_OK;
}

void catalogue_drop_object(struct catalogue *c,
                           const uint8_t keyring_id[ID_SIZE],
                           const uint8_t object_id[ID_SIZE])
{
    struct ring *ring = *ring_find(c, keyring_id);
    struct row **at = ring == NULL ? NULL : row_find(c, ring, object_id);
    if (at != NULL && *at != NULL) {
        drop_row(c, at);
    }
}

void catalogue_drop_keyring(struct catalogue *c, const uint8_t keyring_id[ID_SIZE])
{
    struct ring **at = ring_find(c, keyring_id);
    if (*at != NULL) {
        drop_ring(c, at);
    }
}

void catalogue_sweep(struct catalogue *c, uint64_t now_ms)
{
    for (unsigned i = 0; i < KEYRING_BUCKETS; i++) {
        struct ring **at = &c->ring[i];
        while (*at != NULL) {
            if (now_ms - (*at)->used_ms > LIMIT_CATALOGUE_IDLE_S * UINT64_C(1000)) {
                drop_ring(c, at);
            } else {
                at = &(*at)->chain;
            }
        }
    }
}

size_t catalogue_size(const struct catalogue *c)
{
    return c->size;
}

unsigned catalogue_count(const struct catalogue *c)
{
    return c->count;
}
