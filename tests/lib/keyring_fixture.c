/* SPDX-License-Identifier: Apache-2.0 */
/* A store for tests. The caller's thread is the writer. */
#include "tests/lib/keyring_fixture.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAP (64u * 1024u * 1024u)

static void must(enum err e, const char *what)
{
    if (e != ERR_OK) {
        fprintf(stderr, "keyring_fixture: %s: %s\n", what, err_text(e));
    }
    assert(e == ERR_OK);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

void fixture_remove(const char *dir)
{
    assert(strncmp(dir, "/tmp/", 5) == 0 && dir[5] != '\0');
    nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void fixture_open(struct keyring_fixture *f, uint64_t window)
{
    memset(f, 0, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/ringkeep-keyring-XXXXXX");
    assert(mkdtemp(f->dir) != NULL);
    f->options.map_size = MAP;
    f->options.no_sync = true;
    f->options.window = window;
    must(store_open_test(f->dir, &f->options, &f->store), "open");
    sample_begin(&f->sample);
}

void fixture_cluster(struct keyring_fixture *f, uint64_t window)
{
    fixture_open(f, window);
    sample_init(&f->command, &f->sample, 7);
    must(fixture_apply(f), "cluster init");
    for (unsigned member = 2; member <= 3; member++) {
        sample_member_put(&f->command, &f->sample, member);
        must(fixture_apply(f), "member put");
    }
}

void fixture_keyring(struct keyring_fixture *f, uint64_t window)
{
    fixture_cluster(f, window);
    sample_keyring_put(&f->command, &f->sample, 1, "one", 1, 1);
    must(fixture_apply(f), "keyring put");
    sample_keyring_activate(&f->command, &f->sample, 1, 2, 1);
    must(fixture_apply(f), "keyring activate");
    sample_client_put(&f->command, &f->sample, 1, "web");
    must(fixture_apply(f), "client put");
    sample_assign(&f->command, &f->sample, 1, 1);
    must(fixture_apply(f), "assign");
}

void fixture_close(struct keyring_fixture *f)
{
    store_abort(&f->txn);
    store_close(f->store);
    buf_drop(&f->command);
    fixture_remove(f->dir);
}

void fixture_reopen(struct keyring_fixture *f)
{
    store_abort(&f->txn);
    store_close(f->store);
    f->store = NULL;
    must(store_open_test(f->dir, &f->options, &f->store), "reopen");
    struct store_view *v = NULL;
    must(store_view_open(f->store, &v), "view");
    f->index = store_view_index(v);
    store_view_close(v);
}

enum err fixture_try(struct keyring_fixture *f, uint64_t index)
{
    if (f->txn == NULL) {
        must(store_begin(f->store, &f->txn), "begin");
    }
    return apply_command(f->txn, index, buf_bytes(&f->command), &f->last, &f->skipped);
}

enum err fixture_apply_at(struct keyring_fixture *f, uint64_t index)
{
    must(fixture_try(f, index), "apply");
    if (index > f->index) {
        f->index = index;
    }
    return f->last.error;
}

enum err fixture_apply(struct keyring_fixture *f)
{
    return fixture_apply_at(f, f->index + 1);
}

void fixture_commit(struct keyring_fixture *f)
{
    if (f->txn != NULL) {
        must(store_commit(&f->txn), "commit");
    }
}

struct store_view *fixture_view(struct keyring_fixture *f)
{
    struct store_view *v = NULL;
    fixture_commit(f);
    must(store_view_open(f->store, &v), "view");
    return v;
}

void fixture_digest(struct keyring_fixture *f, uint8_t out[DIGEST_SIZE])
{
    STORE_VIEW_SCOPED *v = fixture_view(f);
    store_view_digest(v, out);
}

enum err fixture_check(struct keyring_fixture *f, char *text, size_t size)
{
    fixture_commit(f);
    return store_check(f->store, text, size);
}
