/* SPDX-License-Identifier: Apache-2.0 */
/* The table of administrative verbs and the socket in front of it. Loop thread. */
#include "appliance/admin_door.h"

#include <stdlib.h>
#include <string.h>

#include "appliance/admin_handlers.h"
#include "appliance/admin_request.h"
#include "base/log.h"

/* Least states by the words of admin.def. */
enum needs {
    NEEDS_ANY = CORE_UNINITIALISED,
    NEEDS_INITIALISED = CORE_INITIALISED,
    NEEDS_MEMBER = CORE_MEMBER,
    NEEDS_AUTHORIZED = CORE_AUTHORIZED
};

static const struct admin_row rows[] = {
#define ADMIN(verb_, handler_, state_, logins_, help_) \
    { verb_, handler_, (enum core_state)NEEDS_##state_, logins_, help_ },
#include "appliance/admin.def"
#undef ADMIN
};

struct admin_door {
    struct appliance *a;
    struct server *server;
};

const struct admin_row *admin_door_rows(size_t *count)
{
    *count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct admin_row *admin_door_find(const char *verb)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].verb, verb) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* The kernel has said who it is. */
static enum err on_ready(void *arg, struct server_conn *conn)
{
    (void)arg;
    server_know(conn);
    return ERR_OK;
}

static void on_frame(void *arg, struct server_conn *conn, const struct frame *frame)
{
    struct admin_door *d = arg;
    if (frame->type != FRAME_ADMIN) {
        log_security("admin", "local", "a frame of another door", err_name(ERR_UNSUPPORTED));
        server_end(conn);
        return;
    }
    admin_request_begin(d->a, conn, frame);
}

enum err admin_door_open(struct appliance *a, const char *path, struct admin_door **out)
{
    struct admin_door *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->a = a;
    const struct server_options options = { .loop = a->loop,
                                            .clock = a->clock,
                                            .name = "admin door",
                                            .connections = LIMIT_ADMIN_CONNECTIONS,
                                            .frame_limit = LIMIT_FRAME_ADMIN,
                                            .handlers = { on_ready, on_frame, NULL, NULL, free, d } };
    enum err e = server_open(&options, &d->server);
    if (e != ERR_OK) {
        free(d);
        return e;
    }
    if (path != NULL) {
        e = server_listen_local(d->server, path);
    }
    if (e != ERR_OK) {
        admin_door_close(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

/* The door itself is freed when its last connection has closed. */
void admin_door_close(struct admin_door *d)
{
    if (d != NULL) {
        server_close(d->server);
    }
}

struct server *admin_door_server(struct admin_door *d)
{
    return d->server;
}
