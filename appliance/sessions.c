/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of open sessions. Loop thread. */
#include "appliance/sessions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define BUCKETS 1024u

struct node {
    struct session_keyring keyring;
    struct node *next;
};
struct sessions {
    const struct core *core;
    const struct random_source *random;
    struct catalogue *catalogue;
    struct node *bucket[BUCKETS];
    unsigned count;
};

static struct node **find(struct sessions *s, const uint8_t keyring_id[ID_SIZE])
{
    struct node **at = &s->bucket[get_u64(keyring_id) % BUCKETS];
    while (*at != NULL && memcmp((*at)->keyring.keyring_id, keyring_id, ID_SIZE) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static enum err enter(struct sessions *s, const uint8_t keyring_id[ID_SIZE], bool login)
{
    struct node **at = find(s, keyring_id);
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL) {
            return ERR_NOMEM;
        }
        memcpy((*at)->keyring.keyring_id, keyring_id, ID_SIZE);
    }
    (*at)->keyring.sessions++;
    (*at)->keyring.logins += login ? 1 : 0;
    s->count++;
    return ERR_OK;
}

static void leave(struct sessions *s, const uint8_t keyring_id[ID_SIZE], bool login)
{
    struct node **at = find(s, keyring_id);
    struct node *n = *at;
    assert(n != NULL && n->keyring.sessions > 0 && (!login || n->keyring.logins > 0));
    n->keyring.sessions--;
    n->keyring.logins -= login ? 1 : 0;
    s->count--;
    if (n->keyring.sessions == 0 || (login && n->keyring.logins == 0)) {
        catalogue_drop_keyring(s->catalogue, keyring_id);
    }
    if (n->keyring.sessions == 0) {
        *at = n->next;
        free(n);
    }
}

enum err sessions_open(const struct core *core,
                       const struct random_source *random,
                       struct catalogue *catalogue,
                       struct sessions **out)
{
    struct sessions *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->core = core;
    s->random = random;
    s->catalogue = catalogue;
    *out = s;
    return ERR_OK;
}

void sessions_close(struct sessions *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (s->bucket[i] != NULL) {
            struct node *n = s->bucket[i];
            s->bucket[i] = n->next;
            free(n);
        }
    }
    free(s);
}

static void on_closed(void *arg, enum err e, const struct core_reply *reply)
{
    (void)arg, (void)reply;
    if (e != ERR_OK) {
        log_debug("closing a core handle: %s", err_name(e));
    }
}

void sessions_close_handle(struct sessions *s, uint64_t handle)
{
    const struct core_request request = { .verb = CORE_CLOSE, .handle = handle };
    const enum err e = core_call(s->core, &request, LIMIT_CALL_MS, on_closed, NULL);
    if (e != ERR_OK) {
        /* The core drops its oldest idle handle at its bound: nothing leaks for good. */
        log_debug("a core handle is left to age: %s", err_name(e));
    }
}

static enum err make_room(struct session_table *table)
{
    if (table->count == LIMIT_SESSIONS_PER_CONNECTION) {
        return ERR_FULL;
    }
    if (table->count < table->capacity) {
        return ERR_OK;
    }
    const unsigned capacity = table->capacity == 0 ? 4 : table->capacity * 2;
    struct session *rows = realloc(table->rows, capacity * sizeof *rows);
    if (rows == NULL) {
        return ERR_NOMEM;
    }
    table->rows = rows;
    table->capacity = capacity;
    return ERR_OK;
}

enum err sessions_add(struct sessions *s,
                      struct session_table *table,
                      const uint8_t keyring_id[ID_SIZE],
                      uint64_t handle,
                      bool login,
                      uint64_t *id)
{
    enum err e = make_room(table);
    if (e == ERR_OK) {
        e = enter(s, keyring_id, login);
    }
    if (e != ERR_OK) {
        sessions_close_handle(s, handle);
        return e;
    }
    struct session *row = &table->rows[table->count++];
    memset(row, 0, sizeof *row);
    row->id = random_u64(s->random) | 1;
    row->handle = handle;
    memcpy(row->keyring_id, keyring_id, ID_SIZE);
    row->login = login;
    *id = row->id;
    return ERR_OK;
}

const struct session *sessions_find(const struct session_table *table, uint64_t id)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (table->rows[i].id == id) {
            return &table->rows[i];
        }
    }
    return NULL;
}

void sessions_end(struct sessions *s, struct session_table *table, uint64_t id)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct session row = table->rows[i];
        if (row.id == id) {
            table->rows[i] = table->rows[--table->count];
            sessions_close_handle(s, row.handle);
            leave(s, row.keyring_id, row.login);
            return;
        }
    }
}

void sessions_end_all(struct sessions *s, struct session_table *table)
{
    while (table->count > 0) {
        sessions_end(s, table, table->rows[0].id);
    }
    free(table->rows);
    *table = (struct session_table){ 0 };
}

unsigned sessions_count(const struct sessions *s)
{
    return s->count;
}

void sessions_each_keyring(struct sessions *s, sessions_keyring_cb cb, void *arg)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct node *n = s->bucket[i]; n != NULL; n = n->next) {
            cb(arg, &n->keyring);
        }
    }
}
