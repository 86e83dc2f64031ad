/* SPDX-License-Identifier: Apache-2.0 */
/* One store in a folder of its own under /tmp, and commands applied to it one
 * after the other. A local failure ends the test program. */
#ifndef RINGKEEP_TESTS_KEYRING_FIXTURE_H
#define RINGKEEP_TESTS_KEYRING_FIXTURE_H

#include "keyring/apply.h"
#include "keyring/query.h"
#include "tests/lib/command_samples.h"

struct keyring_fixture {
    char dir[64];
    struct store_test options;
    struct store *store;
    struct store_txn *txn; /* open between fixture_apply and fixture_commit */
    struct sample sample;
    struct buf command; /* of the builders: sample_x(&f->command, &f->sample, ..) */
    uint64_t index;     /* last one applied */
    struct outcome last;
    bool skipped;
};
#define FIXTURE_SCOPED __attribute__((cleanup(fixture_close))) struct keyring_fixture

/* An empty store; 64 MiB map, no sync. window 0: the usual. */
void fixture_open(struct keyring_fixture *f, uint64_t window);
/* With members 1..3 in the roster and as rows (indexes 1 to 3). */
void fixture_cluster(struct keyring_fixture *f, uint64_t window);
/* And keyring 1 "one", active, and client 1 "web" assigned to it. */
void fixture_keyring(struct keyring_fixture *f, uint64_t window);
void fixture_close(struct keyring_fixture *f); /* removes the folder */
/* Closes and opens the store; an open transaction is thrown away. */
void fixture_reopen(struct keyring_fixture *f);

/* f->command at the next index; returns the outcome's error. */
enum err fixture_apply(struct keyring_fixture *f);
/* The same at this index: may be skipped. */
enum err fixture_apply_at(struct keyring_fixture *f, uint64_t index);
/* What apply_command itself says; for local failures. */
enum err fixture_try(struct keyring_fixture *f, uint64_t index);
void fixture_commit(struct keyring_fixture *f);
/* Commits, then the digest and the full walk. */
void fixture_digest(struct keyring_fixture *f, uint8_t out[DIGEST_SIZE]);
enum err fixture_check(struct keyring_fixture *f, char *text, size_t size);
/* A view of what is committed; commits first. */
struct store_view *fixture_view(struct keyring_fixture *f);

/* Removes a folder and what is in it; only below /tmp/. */
void fixture_remove(const char *dir);

#endif
