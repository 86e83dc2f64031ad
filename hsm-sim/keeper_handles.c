/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: an open hash table of pointers (linear probing, no tombstones: the
 * cluster behind a removed entry is moved up) and a list by last use. The
 * keeper's thread. */
#include "hsm-sim/keeper_handles.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PLACES (2u * LIMIT_HANDLES)

_Static_assert((PLACES & (PLACES - 1)) == 0, "places are masked");

struct keeper_handles {
    unsigned count;
    struct keeper_handle *newest, *oldest;
    struct keeper_handle *place[PLACES];
};

static unsigned home_of(uint64_t id)
{
    return (unsigned)(id & (PLACES - 1));
}

static unsigned place_of(const struct keeper_handles *h, uint64_t id)
{
    unsigned at = home_of(id);
    while (h->place[at] != NULL && h->place[at]->id != id) {
        at = (at + 1) & (PLACES - 1);
    }
    return at;
}

static void unlink_handle(struct keeper_handles *h, struct keeper_handle *x)
{
    *(x->newer != NULL ? &x->newer->older : &h->newest) = x->older;
    *(x->older != NULL ? &x->older->newer : &h->oldest) = x->newer;
    x->newer = NULL;
    x->older = NULL;
}

static void link_newest(struct keeper_handles *h, struct keeper_handle *x)
{
    x->older = h->newest;
    *(h->newest != NULL ? &h->newest->newer : &h->oldest) = x;
    h->newest = x;
}

enum err keeper_handles_open(struct keeper_handles **out)
{
    struct keeper_handles *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return ERR_NOMEM;
    }
    *out = h;
    return ERR_OK;
}

void keeper_handles_clear(struct keeper_handles *h)
{
    while (h->oldest != NULL) {
        keeper_handles_drop(h, h->oldest);
    }
}

void keeper_handles_close(struct keeper_handles *h)
{
    if (h != NULL) {
        keeper_handles_clear(h);
        free(h);
    }
}

enum err keeper_handles_add(struct keeper_handles *h,
                            const struct keeper_handle *from,
                            uint64_t now_ms,
                            struct keeper_handle **out)
{
    if (h->count >= LIMIT_HANDLES) {
        keeper_handles_drop(h, h->oldest);
    }
    struct keeper_handle *x = malloc(sizeof *x);
    if (x == NULL) {
        return ERR_NOMEM;
    }
    *x = *from;
    x->newer = NULL;
    x->older = NULL;
    x->used_ms = now_ms;
    do {
        enum err e = crypt_random(&x->id, sizeof x->id);
        if (e != ERR_OK) {
            bytes_wipe(x, sizeof *x);
            free(x);
            return e;
        }
    } while (x->id == 0 || h->place[place_of(h, x->id)] != NULL);
    h->place[place_of(h, x->id)] = x;
    link_newest(h, x);
    h->count++;
    *out = x;
    return ERR_OK;
}

struct keeper_handle *keeper_handles_find(struct keeper_handles *h, uint64_t id, uint64_t now_ms)
{
    struct keeper_handle *x = id == 0 ? NULL : h->place[place_of(h, id)];
    if (x != NULL) {
        unlink_handle(h, x);
        link_newest(h, x);
        if (!x->admin) {
            x->used_ms = now_ms;
        }
    }
    return x;
}

void keeper_handles_drop(struct keeper_handles *h, struct keeper_handle *handle)
{
    unsigned hole = place_of(h, handle->id);
    assert(h->place[hole] == handle);
    h->place[hole] = NULL;
    /* Moves up what had to step over the hole. */
    for (unsigned at = (hole + 1) & (PLACES - 1); h->place[at] != NULL;
         at = (at + 1) & (PLACES - 1)) {
        unsigned home = home_of(h->place[at]->id);
        if (((at - home) & (PLACES - 1)) >= ((at - hole) & (PLACES - 1))) {
            h->place[hole] = h->place[at];
            h->place[at] = NULL;
            hole = at;
        }
    }
    unlink_handle(h, handle);
    h->count--;
    bytes_wipe(handle, sizeof *handle);
    free(handle);
}

void keeper_handles_end_epoch(struct keeper_handles *h,
                              const uint8_t keyring_id[ID_SIZE],
                              uint64_t epoch)
{
    struct keeper_handle *next = NULL;
    for (struct keeper_handle *x = h->newest; x != NULL; x = next) {
        next = x->older;
        if (!x->admin && x->role != 0 && x->ticket.epoch < epoch &&
            bytes_equal(bytes_of(x->ticket.keyring_id, ID_SIZE), bytes_of(keyring_id, ID_SIZE))) {
            keeper_handles_drop(h, x);
        }
    }
}

unsigned keeper_handles_count(const struct keeper_handles *h)
{
    return h->count;
}
