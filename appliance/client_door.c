/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts clients by certificate and hands their frames to dispatch.c. A client
 * that is not registered, or revoked, gets one clear answer and is let go. Loop
 * thread. */
#include "appliance/client_door.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "appliance/dispatch.h"
#include "base/log.h"
#include "keyring/query.h"

#include <command.pb-c.h>

struct client_door {
    struct appliance *a;
    struct server *server;
    bool listening;
    bool complained; /* that the port is taken */
};

enum err client_check(struct client *c, const struct store_view *view)
{
    const uint64_t index = store_view_index(view) + 1;
    void *row = NULL;
    if (c->checked_index == index) {
        return c->standing;
    }
    enum err e = query_client(view, c->spki_hash, &row);
    if (e == ERR_OK) {
        const Ringkeep__ClientRow *client = row;
        e = client->revoked ? ERR_IDENTITY : ERR_OK;
        query_drop(row);
    } else if (e == ERR_NOTFOUND) {
        e = ERR_IDENTITY;
    }
    c->standing = e;
    c->checked_index = index;
    return e;
}

static enum err on_ready(void *arg, struct server_conn *conn)
{
    struct client_door *d = arg;
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->conn = conn;
    server_set_user(conn, c);
    TRY(server_peer_spki(conn, c->spki_hash));
    (void)hex_from(bytes_of(c->spki_hash, sizeof c->spki_hash), c->who);
    STORE_VIEW_SCOPED *view = NULL;
    TRY(store_view_open(d->a->store, &view));
    if (client_check(c, view) == ERR_OK) {
        server_know(conn);
    }
    return ERR_OK; /* the others are told at their first request, in time */
}

static void on_frame(void *arg, struct server_conn *conn, const struct frame *frame)
{
    struct client_door *d = arg;
    struct client *c = server_user(conn);
    assert(c != NULL);
    dispatch_frame(d->a, c, frame);
}

static void on_close(void *arg, struct server_conn *conn)
{
    struct client_door *d = arg;
    struct client *c = server_user(conn);
    if (c != NULL) {
        sessions_end_all(d->a->sessions, &c->sessions);
    }
}

static void on_free(void *arg, struct server_conn *conn)
{
    struct client_door *d = arg;
    struct client *c = server_user(conn);
    if (c != NULL) {
        sessions_end_all(d->a->sessions, &c->sessions);
    }
    free(c);
}

enum err client_door_open(struct appliance *a, struct client_door **out)
{
    struct client_door *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->a = a;
    const struct server_options options = { .loop = a->loop,
                                            .clock = a->clock,
                                            .name = "client door",
                                            .connections = LIMIT_CLIENT_CONNECTIONS,
                                            .frame_limit = LIMIT_FRAME_CLIENT,
                                            .handlers = { on_ready, on_frame, on_close, on_free,
                                                          free, d } };
    const enum err e = server_open(&options, &d->server);
    if (e != ERR_OK) {
        free(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

/* The door itself is freed when its last connection has closed. */
void client_door_close(struct client_door *d)
{
    if (d != NULL) {
        d->listening = false;
        server_close(d->server);
    }
}

/* Tried again every second: said once. */
static enum err listen_once_more(struct client_door *d)
{
    const char *address = d->a->settings->bind_client;
    const enum err e = server_listen_tcp(d->server, address);
    if (e == ERR_IO && !d->complained) {
        log_error("client door: cannot listen at %s: another program may have the port; trying on",
                  address);
        d->complained = true;
    }
    d->listening = e == ERR_OK;
    return e;
}

enum err client_door_reload(struct client_door *d)
{
    char key[SETTINGS_PATH + 64], cert[SETTINGS_PATH + 64], ca[SETTINGS_PATH + 64];
    struct tls_context *context = NULL;
    settings_tls_path(d->a->settings, "server.key", key, sizeof key);
    settings_tls_path(d->a->settings, "server.crt", cert, sizeof cert);
    settings_tls_path(d->a->settings, "ca.crt", ca, sizeof ca);
    if (access(key, R_OK) != 0 || access(cert, R_OK) != 0 || access(ca, R_OK) != 0) {
        return ERR_NOTFOUND;
    }
    const struct tls_options options = {
        .server = true, .trust = TLS_TRUST_CA, .cert_path = cert, .key_path = key, .ca_path = ca
    };
    TRY(tls_context_open(&options, &context));
    server_set_tls(d->server, context);
    if (!d->listening) {
        TRY(listen_once_more(d));
        log_info("client door open address=%s", d->a->settings->bind_client);
    }
    return ERR_OK;
}

bool client_door_listening(const struct client_door *d)
{
    return d->listening;
}

unsigned client_door_connections(const struct client_door *d)
{
    return server_connections(d->server);
}

struct server *client_door_server(struct client_door *d)
{
    return d->server;
}
