/* SPDX-License-Identifier: Apache-2.0 */
/* What one ringkeep_client holds. Private to client/.
 *
 * `mutex` guards everything below it and is never held during I/O, so that a
 * fork handler can take it (client_fork.c). A connection that is not idle belongs
 * to the thread that took it. */
#ifndef RINGKEEP_CLIENT_STATE_H
#define RINGKEEP_CLIENT_STATE_H

#include <pthread.h>

#include "client/client_catalogue.h"
#include "client/client_config.h"
#include "client/client_conn.h"
#include "client/ringkeep.h"
#include "proto/envelope.h"

#define CLIENT_MEMBERS 64u                  /* of the map and of the file */
#define CLIENT_IDLE 32u                     /* idle connections a member */
#define CLIENT_TICKET 512u                  /* bytes; section 4 has 264 */
#define CLIENT_TICKET_MS (1000u * (uint64_t)LIMIT_TICKET_S)
#define CLIENT_REFRESH_MS (CLIENT_TICKET_MS / 2)

_Static_assert(CLIENT_MEMBERS == 2 * LIMIT_MEMBERS, "twice what a map can name");
_Static_assert(CLIENT_MEMBERS <= 64, "a set of members is one u64");

struct client_member {
    bool used;   /* this place holds a member */
    bool seed;   /* of the configuration file */
    bool mapped; /* of the newest map */
    bool authorized;
    char address[LIMIT_ADDRESS];
    uint8_t member_id[ID_SIZE]; /* zero: not known yet */
    unsigned outstanding;
    unsigned failures;          /* in a row, of the connection */
    uint64_t aside_until_ms;
    struct client_conn *idle;
    unsigned idle_count;
};

/* A login to one keyring. serial 0: none. */
struct client_login {
    uint64_t serial;
    uint64_t got_ms;  /* clock_boot_ms when the ticket came */
    uint64_t refresh_at_ms;
    bool refreshing;  /* a thread is at it */
    unsigned role;
    struct buf ticket;
    uint8_t ts[ENVELOPE_TS];
};

struct client_keyring {
    uint8_t id[ID_SIZE];
    struct client_login login;
    struct client_catalogue *catalogue; /* a reference, or NULL */
    struct client_keyring *next;
};

struct ringkeep_client {
    struct client_config config; /* constant after open, as the next ones */
    struct tls_context *tls;
    uint8_t spki_hash[X509_SPKI_HASH];
    struct ringkeep_client *next_open; /* client_fork.c */

    pthread_mutex_t mutex;
    uint64_t call_ms;
    struct client_member members[CLIENT_MEMBERS];
    unsigned turn; /* where the search for a member begins */
    struct client_conn *all;
    uint64_t map_epoch, map_wanted;
    bool have_incarnation;
    uint8_t incarnation[ID_SIZE];
    uint64_t index; /* highest seen of this incarnation */
    bool have_pins;
    struct envelope_pinned pins;
    struct client_keyring *keyrings;
    uint64_t next_serial;
    struct ringkeep_counters counters;
};

static inline void client_lock(struct ringkeep_client *c)
{
    (void)pthread_mutex_lock(&c->mutex);
}
static inline void client_unlock(struct ringkeep_client *c)
{
    (void)pthread_mutex_unlock(&c->mutex);
}

/* -- keyrings; call with the lock held ------------------------------------------ */
/* NULL: none, and with make: no memory. */
struct client_keyring *client_keyring_find(struct ringkeep_client *c, const uint8_t id[ID_SIZE], bool make);
void client_login_forget(struct client_login *l);
/* The incarnation changed: forgets index and catalogues. */
void client_cut_history(struct ringkeep_client *c);
/* Everything but sockets; the client is gone after it. */
void client_state_free(struct ringkeep_client *c);

/* -- fork ----------------------------------------------------------------------- */
void client_fork_watch(struct ringkeep_client *c);
void client_fork_unwatch(struct ringkeep_client *c);

#endif
