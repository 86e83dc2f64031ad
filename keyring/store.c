/* SPDX-License-Identifier: Apache-2.0 */
/* The store's environment and transactions: which folder is current, the format
 * check, the writer's open transaction and the readers' snapshots. Rows are in
 * store_rows.c, the full walk in store_check.c.
 *
 * store_open and store_close belong to the main thread, store_begin to
 * store_commit to the applier's, views to any. */
#include "keyring/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

#define MAP_SIZE ((size_t)1 << 40)
#define READERS_MAX 1024u
#define STATE_SIZE (8u + 8u + DIGEST_SIZE) /* index, stamp, digest */
#define FIRST_NUMBER 1u

_Static_assert(sizeof(size_t) == 8, "the map takes 1 TiB of address space");

static const char format_key[] = "format";
static const char state_key[] = "state";

/* -- the folder ------------------------------------------------------------------ */

static enum err sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    const int result = fsync(fd);
    close(fd);
    return result == 0 ? ERR_OK : ERR_IO;
}

static enum err path_of(char *out, const char *dir, const char *name)
{
    const int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    return n > 0 && n < PATH_MAX ? ERR_OK : ERR_IO;
}

static enum err path_of_number(char *out, const char *dir, unsigned number)
{
    char name[16];
    snprintf(name, sizeof(name), "%u", number);
    return path_of(out, dir, name);
}

/* ERR_NOTFOUND: there is no store yet. */
static enum err current_read(const char *dir, unsigned *out)
{
    char path[PATH_MAX];
    char text[16] = { 0 };
    TRY(path_of(path, dir, "CURRENT"));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    }
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n < 0) {
        return ERR_IO;
    }
    char *end = NULL;
    errno = 0;
    const unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || text[0] < '1' || text[0] > '9' || number > INT_MAX ||
        strcmp(end, "\n") != 0) {
        return ERR_CORRUPT;
    }
    *out = (unsigned)number;
    return ERR_OK;
}

static enum err write_durably(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return ERR_IO;
    }
    const size_t size = strlen(text);
    const bool good = write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    return close(fd) == 0 && good ? ERR_OK : ERR_IO;
}

/* A crash leaves the old CURRENT or the new one, whole. */
static enum err current_write(const char *dir, unsigned number)
{
    char path[PATH_MAX];
    char fresh[PATH_MAX];
    char text[16];
    TRY(path_of(path, dir, "CURRENT"));
    TRY(path_of(fresh, dir, "CURRENT.new"));
    snprintf(text, sizeof(text), "%u\n", number);
    TRY(write_durably(fresh, text));
    if (rename(fresh, path) != 0) {
        return ERR_IO;
    }
    return sync_folder(dir);
}

/* -- opening ----------------------------------------------------------------------- */

enum err store_err(int code)
{
    static const struct {
        int code;
        enum err error;
    } codes[] = {
        { MDB_SUCCESS, ERR_OK },
        { MDB_NOTFOUND, ERR_NOTFOUND },
        { MDB_CORRUPTED, ERR_CORRUPT },
        { MDB_PAGE_NOTFOUND, ERR_CORRUPT },
        { MDB_INVALID, ERR_CORRUPT },
        { MDB_INCOMPATIBLE, ERR_CORRUPT },
        { MDB_VERSION_MISMATCH, ERR_VERSION },
        { MDB_READERS_FULL, ERR_BUSY },
        { ENOMEM, ERR_NOMEM },
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].code == code) {
            return codes[i].error;
        }
    }
    return ERR_IO; /* a full map or disk, too: this member's own trouble */
}

static enum err open_tables(struct store *s, MDB_txn *txn)
{
    for (unsigned i = 0; i < STORE_TABLES; i++) {
        TRY(store_err(mdb_dbi_open(txn, store_table_name(i), MDB_CREATE, &s->tables[i])));
    }
    return ERR_OK;
}

/* Fresh stores get the format number, others must have ours. */
static enum err check_format(struct store *s, MDB_txn *txn)
{
    uint8_t ours[4];
    put_u32(ours, STORE_FORMAT);
    MDB_val key = store_key_in(bytes_of_text(format_key));
    MDB_val state = store_key_in(bytes_of_text(state_key));
    MDB_val value;
    const enum err e = store_err(mdb_get(txn, s->tables[STORE_META], &key, &value));
    if (e == ERR_NOTFOUND) {
        if (mdb_get(txn, s->tables[STORE_META], &state, &value) != MDB_NOTFOUND) {
            return ERR_CORRUPT;
        }
        value = (MDB_val){ sizeof(ours), ours };
        return store_err(mdb_put(txn, s->tables[STORE_META], &key, &value, 0));
    }
    TRY(e);
    if (value.mv_size != sizeof(ours)) {
        return ERR_CORRUPT;
    }
    const uint32_t format = get_u32(value.mv_data);
    if (format > STORE_FORMAT) {
        return ERR_VERSION;
    }
    return format == STORE_FORMAT ? ERR_OK : ERR_CORRUPT;
}

static enum err open_first(struct store *s)
{
    MDB_txn *txn = NULL;
    TRY(store_err(mdb_txn_begin(s->env, NULL, 0, &txn)));
    enum err e = open_tables(s, txn);
    if (e == ERR_OK) {
        e = check_format(s, txn);
    }
    if (e != ERR_OK) {
        mdb_txn_abort(txn);
        return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
    }
    return store_err(mdb_txn_commit(txn));
}

static enum err open_env(struct store *s, const char *path, const struct store_test *test)
{
    int dead = 0;
    const size_t map = test->map_size != 0 ? test->map_size : MAP_SIZE;
    const unsigned flags = MDB_NOTLS | (test->no_sync ? MDB_NOSYNC : 0u);
    TRY(store_err(mdb_env_create(&s->env)));
    TRY(store_err(mdb_env_set_mapsize(s->env, map)));
    TRY(store_err(mdb_env_set_maxreaders(s->env, READERS_MAX)));
    TRY(store_err(mdb_env_set_maxdbs(s->env, STORE_TABLES)));
    TRY(store_err(mdb_env_open(s->env, path, flags, 0600)));
    assert(mdb_env_get_maxkeysize(s->env) >= (int)STORE_KEY_MAX);
    TRY(store_err(mdb_reader_check(s->env, &dead)));
    return open_first(s);
}

/* The folder that CURRENT names; else a new one, which CURRENT does not name
 * before it is whole. */
static enum err open_folder(struct store *s, const char *dir, const struct store_test *test)
{
    char path[PATH_MAX];
    unsigned number = FIRST_NUMBER;
    const enum err found = current_read(dir, &number);
    if (found != ERR_OK && found != ERR_NOTFOUND) {
        return found;
    }
    TRY(path_of_number(path, dir, number));
    if (found == ERR_OK) {
        return open_env(s, path, test);
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return ERR_IO;
    }
    TRY(open_env(s, path, test));
    STORE_VIEW_SCOPED *v = NULL;
    TRY(store_view_open(s, &v));
    if (store_view_index(v) != 0) {
        return ERR_CORRUPT; /* state that somebody took the name of away */
    }
    TRY(sync_folder(path));
    return current_write(dir, number);
}

enum err store_open_test(const char *dir, const struct store_test *test, struct store **out)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->window = test->window != 0 ? test->window : LIMIT_OUTCOME_WINDOW;
    const enum err e = open_folder(s, dir, test);
    if (e != ERR_OK) {
        store_close(s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

enum err store_open(const char *dir, struct store **out)
{
    const struct store_test none = { 0 };
    return store_open_test(dir, &none, out);
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    if (s->env != NULL) {
        mdb_env_close(s->env);
    }
    free(s);
}

void store_test_fail(struct store *s, unsigned n)
{
    s->fail_in = n;
}

/* -- the state row --------------------------------------------------------------- */

/* Reads index, stamp and digest of the state that v->txn sees. */
static enum err read_state(struct store_view *v)
{
    MDB_val key = store_key_in(bytes_of_text(state_key));
    MDB_val value;
    const enum err e = store_err(mdb_get(v->txn, v->store->tables[STORE_META], &key, &value));
    if (e == ERR_NOTFOUND) {
        v->index = 0;
        v->stamp = 0;
        memset(v->digest, 0, sizeof(v->digest));
        return ERR_OK;
    }
    TRY(e);
    if (value.mv_size != STATE_SIZE) {
        return ERR_CORRUPT;
    }
    const uint8_t *at = value.mv_data;
    v->index = get_u64(at);
    v->stamp = get_u64(at + 8);
    memcpy(v->digest, at + 16, DIGEST_SIZE);
    return ERR_OK;
}

static enum err write_state(struct store_view *v)
{
    uint8_t state[STATE_SIZE];
    put_u64(state, v->index);
    put_u64(state + 8, v->stamp);
    memcpy(state + 16, v->digest, DIGEST_SIZE);
    MDB_val key = store_key_in(bytes_of_text(state_key));
    MDB_val value = { sizeof(state), state };
    return store_err(mdb_put(v->txn, v->store->tables[STORE_META], &key, &value, 0));
}

/* -- the writer -------------------------------------------------------------------- */

enum err store_begin(struct store *s, struct store_txn **out)
{
    struct store_txn *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return ERR_NOMEM;
    }
    t->view.store = s;
    enum err e = store_err(mdb_txn_begin(s->env, NULL, 0, &t->view.txn));
    if (e == ERR_OK) {
        e = read_state(&t->view);
    }
    if (e != ERR_OK) {
        store_abort(&t);
        return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
    }
    *out = t;
    return ERR_OK;
}

enum err store_commit(struct store_txn **t)
{
    struct store_txn *txn = *t;
    assert(txn != NULL);
    enum err e = txn->broken ? ERR_IO : ERR_OK;
    if (e == ERR_OK && txn->dirty) {
        e = write_state(&txn->view);
    }
    if (e != ERR_OK) {
        store_abort(t);
        return e;
    }
    e = store_err(mdb_txn_commit(txn->view.txn)); /* frees it in any case */
    free(txn);
    *t = NULL;
    return e;
}

void store_abort(struct store_txn **t)
{
    if (*t == NULL) {
        return;
    }
    if ((*t)->view.txn != NULL) {
        mdb_txn_abort((*t)->view.txn);
    }
    free(*t);
    *t = NULL;
}

uint64_t store_txn_index(const struct store_txn *t)
{
    return t->view.index;
}

uint64_t store_txn_stamp(const struct store_txn *t)
{
    return t->view.stamp;
}

const struct store_view *store_txn_view(const struct store_txn *t)
{
    return &t->view;
}

void store_txn_note_index(struct store_txn *t, uint64_t index, uint64_t stamp_s)
{
    assert(index >= t->view.index);
    t->dirty = t->dirty || index > t->view.index || stamp_s > t->view.stamp;
    t->view.index = index;
    if (stamp_s > t->view.stamp) {
        t->view.stamp = stamp_s;
    }
}

/* -- readers ------------------------------------------------------------------------- */

enum err store_view_open(struct store *s, struct store_view **out)
{
    struct store_view *v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return ERR_NOMEM;
    }
    v->store = s;
    enum err e = store_err(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &v->txn));
    if (e == ERR_OK) {
        e = read_state(v);
    }
    if (e != ERR_OK) {
        store_view_close(v);
        return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
    }
    *out = v;
    return ERR_OK;
}

void store_view_close(struct store_view *v)
{
    if (v == NULL) {
        return;
    }
    if (v->txn != NULL) {
        mdb_txn_abort(v->txn);
    }
    free(v);
}

void store_view_scope(struct store_view **v)
{
    store_view_close(*v);
}

uint64_t store_view_index(const struct store_view *v)
{
    return v->index;
}

uint64_t store_view_stamp(const struct store_view *v)
{
    return v->stamp;
}

void store_view_digest(const struct store_view *v, uint8_t out[DIGEST_SIZE])
{
    memcpy(out, v->digest, DIGEST_SIZE);
}
