/* SPDX-License-Identifier: Apache-2.0 */
/* Turns of logins: one list in order of arrival; holders are in it too. It is as
 * short as the logins under way, so a walk is cheap. Loop thread. */
#include "appliance/logins.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct logins {
    struct logins_turn *first, **end;
    unsigned waiting;
};

enum err logins_open(struct logins **out)
{
    struct logins *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    l->end = &l->first;
    *out = l;
    return ERR_OK;
}

void logins_close(struct logins *l)
{
    free(l);
}

static bool same(const struct logins_turn *a, const struct logins_turn *b)
{
    return a->role == b->role && memcmp(a->keyring_id, b->keyring_id, ID_SIZE) == 0;
}

static bool held(const struct logins *l, const struct logins_turn *t)
{
    for (const struct logins_turn *at = l->first; at != NULL; at = at->next) {
        if (at->holding && same(at, t)) {
            return true;
        }
    }
    return false;
}

static void take_out(struct logins *l, struct logins_turn *t)
{
    struct logins_turn **at = &l->first;
    while (*at != t) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = t->next;
    if (l->end == &t->next) {
        l->end = at;
    }
    l->waiting -= t->holding ? 0 : 1;
    t->next = NULL;
}

enum err logins_enter(struct logins *l, struct logins_turn *t)
{
    const bool busy = held(l, t);
    assert(t->cb != NULL);
    if (busy && l->waiting >= LIMIT_LOGIN_WAITING) {
        return ERR_BUSY;
    }
    t->next = NULL;
    t->holding = !busy;
    *l->end = t;
    l->end = &t->next;
    if (busy) {
        l->waiting++;
    } else {
        t->cb(t->arg, ERR_OK);
    }
    return ERR_OK;
}

void logins_leave(struct logins *l, struct logins_turn *t)
{
    assert(t->holding);
    take_out(l, t);
    t->holding = false;
    for (struct logins_turn *at = l->first; at != NULL; at = at->next) {
        if (!at->holding && same(at, t)) {
            at->holding = true;
            l->waiting--;
            at->cb(at->arg, ERR_OK);
            return;
        }
    }
}

void logins_sweep(struct logins *l, uint64_t now_ms)
{
    struct logins_turn *at = l->first;
    while (at != NULL) {
        struct logins_turn *next = at->next;
        if (!at->holding && now_ms >= at->deadline_ms) {
            take_out(l, at);
            at->cb(at->arg, ERR_TIMEOUT);
            next = l->first; /* the callback may have changed the list */
        }
        at = next;
    }
}

unsigned logins_waiting(const struct logins *l)
{
    return l->waiting;
}
