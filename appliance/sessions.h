/* SPDX-License-Identifier: Apache-2.0 */
/* Open sessions: a table per connection (number -> keyring, core handle, logged in
 * or not), and per keyring how many there are at this member. A session ends with
 * CLOSE or with its connection; the last login of a keyring to end drops that
 * keyring's catalogue. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_SESSIONS_H
#define RINGKEEP_APPLIANCE_SESSIONS_H

#include "appliance/catalogue.h"
#include "base/random.h"
#include "hsm-sim/core_client.h"

struct session {
    uint64_t id, handle;
    uint8_t keyring_id[ID_SIZE];
    bool login; /* opened with a ticket */
};
/* Of one connection; starts as {0}. */
struct session_table {
    struct session *rows; /* owned */
    unsigned count, capacity;
};

struct sessions;
enum err sessions_open(const struct core *core,
                       const struct random_source *random,
                       struct catalogue *catalogue,
                       struct sessions **out) MUST_USE;
void sessions_close(struct sessions *s); /* tables are ended before; NULL is fine */

/* Takes over the core's handle: on failure (ERR_FULL, ERR_NOMEM) it is closed.
 * *id is never 0. */
enum err sessions_add(struct sessions *s,
                      struct session_table *table,
                      const uint8_t keyring_id[ID_SIZE],
                      uint64_t handle,
                      bool login,
                      uint64_t *id) MUST_USE;
/* NULL: no such session on this connection. Valid until the table changes. */
const struct session *sessions_find(const struct session_table *table, uint64_t id);
void sessions_end(struct sessions *s, struct session_table *table, uint64_t id);
void sessions_end_all(struct sessions *s, struct session_table *table);
/* CLOSE of a core handle, not waited for. */
void sessions_close_handle(struct sessions *s, uint64_t handle);
unsigned sessions_count(const struct sessions *s);

/* Keyrings with a session here: `seen` is the record version that the core was
 * told of (duties.c writes it). */
struct session_keyring {
    uint8_t keyring_id[ID_SIZE];
    unsigned sessions, logins;
    uint64_t seen;
};
typedef void (*sessions_keyring_cb)(void *arg, struct session_keyring *k);
void sessions_each_keyring(struct sessions *s, sessions_keyring_cb cb, void *arg);

#endif
