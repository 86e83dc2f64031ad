/* SPDX-License-Identifier: Apache-2.0 */
/* The admin door: a local socket for root and the service user; one request
 * message for every row of admin.def. Passwords come in envelopes sealed to the
 * core and pass through. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_ADMIN_DOOR_H
#define RINGKEEP_APPLIANCE_ADMIN_DOOR_H

#include "appliance/appliance.h"
#include "appliance/server.h"

struct admin_door;
struct admin_request;

struct admin_row {
    const char *verb;
    void (*handler)(struct admin_request *r);
    enum core_state state;
    const char *logins, *help;
};
const struct admin_row *admin_door_rows(size_t *count);
const struct admin_row *admin_door_find(const char *verb); /* NULL: no such verb */

/* Listens on settings->socket; path NULL: adopted descriptors only (tests). */
enum err admin_door_open(struct appliance *a, const char *path, struct admin_door **out) MUST_USE;
void admin_door_close(struct admin_door *d); /* NULL is fine */
struct server *admin_door_server(struct admin_door *d);

#endif
