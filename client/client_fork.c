/* SPDX-License-Identifier: Apache-2.0 */
/* fork in a program with threads: the handlers take every client's lock first, so
 * that the child finds their tables whole and can free them without a byte sent
 * on a socket it shares with its parent. The list of open clients is the only
 * mutable state of the library besides its clients. */
#include "client/client_state.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;
static struct ringkeep_client *open_clients;

static void on_fork_begin(void)
{
    (void)pthread_mutex_lock(&open_mutex);
    for (struct ringkeep_client *c = open_clients; c != NULL; c = c->next_open) {
        client_lock(c);
    }
}

static void on_fork_end(void)
{
    for (struct ringkeep_client *c = open_clients; c != NULL; c = c->next_open) {
        client_unlock(c);
    }
    (void)pthread_mutex_unlock(&open_mutex);
}

static void watch_forks(void)
{
    (void)pthread_atfork(on_fork_begin, on_fork_end, on_fork_end);
}

void client_fork_watch(struct ringkeep_client *c)
{
    (void)pthread_once(&watch_once, watch_forks);
    (void)pthread_mutex_lock(&open_mutex);
    c->next_open = open_clients;
    open_clients = c;
    (void)pthread_mutex_unlock(&open_mutex);
}

void client_fork_unwatch(struct ringkeep_client *c)
{
    (void)pthread_mutex_lock(&open_mutex);
    for (struct ringkeep_client **at = &open_clients; *at != NULL; at = &(*at)->next_open) {
        if (*at == c) {
            *at = c->next_open;
            break;
        }
    }
    (void)pthread_mutex_unlock(&open_mutex);
}

/* Takes it out of its member's list. False: a thread of the parent had it. */
static bool unlink_idle(struct ringkeep_client *c, const struct client_conn *conn)
{
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        for (struct client_conn **at = &c->members[i].idle; *at != NULL; at = &(*at)->next_idle) {
            if (*at == conn) {
                *at = conn->next_idle;
                return true;
            }
        }
    }
    return false;
}

void ringkeep_forked(struct ringkeep_client *c)
{
    if (c == NULL) {
        return;
    }
    client_fork_unwatch(c);
    while (c->all != NULL) {
        struct client_conn *conn = c->all;
        c->all = conn->next_all;
        client_conn_abandon(conn, unlink_idle(c, conn));
    }
    client_state_free(c);
}
