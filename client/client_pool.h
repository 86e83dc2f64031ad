/* SPDX-License-Identifier: Apache-2.0 */
/* Members and their connections: which member a request goes to, idle
 * connections, and how long a member that failed is set aside. */
#ifndef RINGKEEP_CLIENT_POOL_H
#define RINGKEEP_CLIENT_POOL_H

#include "client/client_state.h"

struct Ringkeep__Map;

#define CLIENT_NO_MEMBER CLIENT_MEMBERS

/* Takes the members of the configuration file. Before any other thread. */
void client_pool_init(struct ringkeep_client *c);
/* Replaces the members that the last map named. Ignores what breaks a rule. */
void client_pool_take_map(struct ringkeep_client *c, const struct Ringkeep__Map *map);
/* The member with the fewest requests outstanding among those alive that are not
 * in *tried; those set aside last. Counts the request, adds it to *tried.
 * CLIENT_NO_MEMBER: all are tried. */
unsigned client_pool_choose(struct ringkeep_client *c, uint64_t *tried);
void client_pool_release(struct ringkeep_client *c, unsigned member);

/* An idle connection that still lives, or NULL. */
struct client_conn *client_pool_take(struct ringkeep_client *c, unsigned member);
/* A new one. few: others may serve, so do not wait long for one that failed. */
enum err client_pool_connect(struct ringkeep_client *c,
                             unsigned member,
                             uint64_t deadline_ms,
                             struct client_conn **out) MUST_USE;
/* Gives back or, where broken, closes. */
void client_pool_give(struct ringkeep_client *c, unsigned member, struct client_conn *conn);
/* Closes the idle connections of a member; those with a session of the keyring
 * only, where one is named. CLIENT_NO_MEMBER: of all. */
void client_pool_drop_idle(struct ringkeep_client *c, unsigned member, const uint8_t *keyring_id);

void client_pool_failed(struct ringkeep_client *c, unsigned member); /* no connection, or it broke */
void client_pool_hold(struct ringkeep_client *c, unsigned member);   /* answered "not now" */
void client_pool_worked(struct ringkeep_client *c, unsigned member);
void client_pool_identify(struct ringkeep_client *c, unsigned member, const uint8_t member_id[ID_SIZE]);

#endif
