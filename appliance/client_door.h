/* SPDX-License-Identifier: Apache-2.0 */
/* The client door: TLS 1.3 on the client address for registered clients. It opens
 * once this member has a server certificate (tls/server.crt, by the cluster's CA)
 * and takes a renewed one for new connections. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_CLIENT_DOOR_H
#define RINGKEEP_APPLIANCE_CLIENT_DOOR_H

#include "appliance/appliance.h"
#include "appliance/server.h"
#include "appliance/sessions.h"

/* One connected client. Owned by its connection. */
struct client {
    struct server_conn *conn;
    uint8_t spki_hash[X509_SPKI_HASH];
    char who[2 * X509_SPKI_HASH + 1]; /* for the security log */
    enum err standing;                /* ERR_OK: registered and not revoked when last looked */
    uint64_t checked_index;           /* of the view it was looked up in, +1; 0: never */
    struct session_table sessions;
    uint64_t log_s;                   /* second that log_lines counts */
    unsigned log_lines;
};

struct client_door;
enum err client_door_open(struct appliance *a, struct client_door **out) MUST_USE;
void client_door_close(struct client_door *d); /* NULL is fine */
/* Listens when tls/server.crt, server.key and ca.crt are there and loads them for
 * new connections. ERR_NOTFOUND: not there yet. */
enum err client_door_reload(struct client_door *d) MUST_USE;
bool client_door_listening(const struct client_door *d);
unsigned client_door_connections(const struct client_door *d);
/* The server below, for tests that adopt a descriptor. */
struct server *client_door_server(struct client_door *d);

/* Is the client registered and not revoked in this view? ERR_IDENTITY. Remembers
 * the answer for views of the same index. */
enum err client_check(struct client *c, const struct store_view *view) MUST_USE;

#endif
