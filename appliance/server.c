/* SPDX-License-Identifier: Apache-2.0 */
/* Listening, lifetimes and bounds of the framed server. Loop thread. */
#include "appliance/server_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/settings.h"
#include "base/limits.h"
#include "base/log.h"

/* -- end of life ---------------------------------------------------------------- */

static void free_server(struct server *s)
{
    if (s->closing && s->handles == 0 && s->count == 0) {
        const struct server_handlers handlers = s->o.handlers;
        tls_context_close(s->tls);
        free(s);
        if (handlers.on_end != NULL) {
            handlers.on_end(handlers.arg);
        }
    }
}

static void free_conn(struct server_conn *c)
{
    struct server *s = c->server;
    assert(c->closed && c->held == 0);
    if (c->ready && s->o.handlers.on_free != NULL) {
        s->o.handlers.on_free(s->o.handlers.arg, c);
    }
    if (c->next != NULL) {
        c->next->previous = c->previous;
    }
    *(c->previous != NULL ? &c->previous->next : &s->first) = c->next;
    s->count--;
    tls_conn_close(c->tls);
    buf_drop(&c->in);
    buf_drop(&c->out);
    buf_drop(&c->sending);
    free(c);
    free_server(s);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct server_conn *c = handle->data;
    c->closed = true;
    if (c->held == 0) {
        free_conn(c);
    }
}

/* A connection that is to be flushed this turn may close before. */
static void forget_dirty(struct server_conn *c)
{
    struct server_conn **at = &c->server->dirty;
    while (c->is_dirty && *at != NULL) {
        if (*at == c) {
            *at = c->dirty_next;
            c->is_dirty = false;
            return;
        }
        at = &(*at)->dirty_next;
    }
}

void server_drop(struct server_conn *c)
{
    if (c->closing) {
        return;
    }
    c->closing = true;
    forget_dirty(c);
    c->io.handle.data = c;
    uv_close(&c->io.handle, on_conn_closed);
    if (c->ready && c->server->o.handlers.on_close != NULL) {
        c->server->o.handlers.on_close(c->server->o.handlers.arg, c);
    }
}

void server_end(struct server_conn *c)
{
    if (!c->closing) {
        c->ending = true;
        server_stream_dirty(c);
    }
}

void server_hold(struct server_conn *c)
{
    c->held++;
}

void server_release(struct server_conn *c)
{
    assert(c->held > 0);
    c->held--;
    if (c->held == 0 && c->closed) {
        free_conn(c);
    }
}

/* -- new connections -------------------------------------------------------------- */

void server_became_ready(struct server_conn *c)
{
    c->ready = true;
    if (c->server->o.handlers.on_ready(c->server->o.handlers.arg, c) != ERR_OK) {
        server_end(c);
    }
}

static struct server_conn *make_conn(struct server *s, bool pipe)
{
    struct server_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->server = s;
    c->frame_limit = LIMIT_FRAME_UNAUTHENTICATED;
    c->since_ms = clock_mono_ms(s->o.clock);
    const int bad =
        pipe ? uv_pipe_init(s->o.loop, &c->io.pipe, 0) : uv_tcp_init(s->o.loop, &c->io.tcp);
    if (bad != 0) {
        free(c);
        return NULL;
    }
    c->io.handle.data = c;
    c->next = s->first;
    if (s->first != NULL) {
        s->first->previous = c;
    }
    s->first = c;
    s->count++;
    return c;
}

/* Root and the daemon's own user; nobody else, whatever the file's mode says. */
static bool peer_allowed(struct server_conn *c)
{
    struct ucred who = { 0 };
    socklen_t size = sizeof who;
    uv_os_fd_t fd = -1;
    if (uv_fileno(&c->io.handle, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) {
        return false;
    }
    return who.uid == 0 || who.uid == geteuid();
}

static void start_conn(struct server_conn *c, bool local)
{
    struct server *s = c->server;
    if (s->count > s->o.connections) {
        log_security("door", s->o.name, "too many connections", err_name(ERR_FULL));
        server_drop(c);
        return;
    }
    if (local && !peer_allowed(c)) {
        log_security("door", s->o.name, "another user at the local socket", err_name(ERR_IDENTITY));
        server_drop(c);
        return;
    }
    if (s->tls != NULL && tls_conn_open(s->tls, &c->tls) != ERR_OK) {
        server_drop(c);
        return;
    }
    server_stream_start(c);
    if (c->tls == NULL && !c->closing) {
        server_became_ready(c);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *s = listener->data;
    if (status != 0 || s->closing) {
        return;
    }
    struct server_conn *c = make_conn(s, s->local);
    if (c == NULL) {
        return;
    }
    if (uv_accept(listener, &c->io.stream) != 0) {
        server_drop(c);
        return;
    }
    if (!s->local) {
        (void)uv_tcp_nodelay(&c->io.tcp, 1);
        (void)uv_tcp_keepalive(&c->io.tcp, 1, 60);
    }
    start_conn(c, s->local);
}

enum err server_adopt(struct server *s, int fd)
{
    struct server_conn *c = make_conn(s, true);
    if (c == NULL) {
        (void)close(fd);
        return ERR_NOMEM;
    }
    if (uv_pipe_open(&c->io.pipe, fd) != 0) {
        (void)close(fd);
        server_drop(c);
        return ERR_IO;
    }
    start_conn(c, s->tls == NULL);
    return ERR_OK;
}

/* -- once a turn and once in a while ------------------------------------------------ */

static void on_flush(uv_prepare_t *handle)
{
    struct server *s = handle->data;
    while (s->dirty != NULL) {
        struct server_conn *c = s->dirty;
        s->dirty = c->dirty_next;
        c->is_dirty = false;
        server_stream_flush(c);
    }
}

static void on_sweep(uv_timer_t *timer)
{
    struct server *s = timer->data;
    const uint64_t now = clock_mono_ms(s->o.clock);
    for (struct server_conn *c = s->first; c != NULL; c = c->next) {
        if (!c->known && !c->closing && now - c->since_ms > LIMIT_HANDSHAKE_MS) {
            log_security("door", s->o.name, "no login of the connection in time",
                         err_name(ERR_TIMEOUT));
            server_drop(c);
        }
    }
}

/* -- the server itself -------------------------------------------------------------- */

enum err server_open(const struct server_options *options, struct server **out)
{
    struct server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return ERR_NOMEM;
    }
    assert(options->frame_limit <= LIMIT_FRAME_CLIENT || options->frame_limit <= LIMIT_FRAME_ADMIN);
    s->o = *options;
    s->flush.data = s;
    s->sweep.data = s;
    (void)uv_prepare_init(s->o.loop, &s->flush);
    (void)uv_timer_init(s->o.loop, &s->sweep);
    s->handles = 2;
    (void)uv_prepare_start(&s->flush, on_flush);
    (void)uv_timer_start(&s->sweep, on_sweep, SERVER_SWEEP_MS, SERVER_SWEEP_MS);
    uv_unref((uv_handle_t *)&s->flush);
    uv_unref((uv_handle_t *)&s->sweep);
    *out = s;
    return ERR_OK;
}

void server_set_tls(struct server *s, struct tls_context *context)
{
    tls_context_close(s->tls); /* connections keep what they need of it */
    s->tls = context;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct server *s = handle->data;
    s->handles--;
    free_server(s);
}

/* The port was taken: its handle is gone, the owner may try again. */
static void on_failed_closed(uv_handle_t *handle)
{
    struct server *s = handle->data;
    s->listening = false;
    on_handle_closed(handle);
}

static enum err listening(struct server *s, int bound)
{
    s->listener.handle.data = s;
    s->handles++;
    s->listening = true;
    const int backlog = 511;
    if (bound != 0 || uv_listen(&s->listener.stream, backlog, on_connection) != 0) {
        uv_close(&s->listener.handle, on_failed_closed);
        return ERR_IO;
    }
    return ERR_OK;
}

enum err server_listen_tcp(struct server *s, const char *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to;
    char host[LIMIT_ADDRESS];
    unsigned port = 0;
    if (s->listening) {
        return ERR_BUSY; /* also while the handle of a failed try closes */
    }
    TRY(settings_address(address, host, sizeof host, &port));
    memset(&to, 0, sizeof to);
    if (uv_ip4_addr(host, (int)port, &to.in) != 0 && uv_ip6_addr(host, (int)port, &to.in6) != 0) {
        return ERR_CONFIG;
    }
    if (uv_tcp_init(s->o.loop, &s->listener.tcp) != 0) {
        return ERR_IO;
    }
    return listening(s, uv_tcp_bind(&s->listener.tcp, &to.any, 0));
}

enum err server_listen_local(struct server *s, const char *path)
{
    struct stat old;
    if (s->listening) {
        return ERR_BUSY;
    }
    if (strlen(path) >= sizeof s->path) {
        return ERR_CONFIG;
    }
    if (lstat(path, &old) == 0 && S_ISSOCK(old.st_mode)) {
        (void)unlink(path);
    }
    if (uv_pipe_init(s->o.loop, &s->listener.pipe, 0) != 0) {
        return ERR_IO;
    }
    s->local = true;
    const mode_t before = umask(0177);
    const int bound = uv_pipe_bind(&s->listener.pipe, path);
    (void)umask(before);
    TRY(listening(s, bound));
    memcpy(s->path, path, strlen(path) + 1); /* fits: checked above */
    return chmod(path, 0600) == 0 ? ERR_OK : ERR_IO;
}

void server_close(struct server *s)
{
    if (s == NULL || s->closing) {
        return;
    }
    s->closing = true;
    for (struct server_conn *c = s->first; c != NULL; c = c->next) {
        server_drop(c);
    }
    if (s->listening && !uv_is_closing(&s->listener.handle)) {
        uv_close(&s->listener.handle, on_handle_closed);
    }
    uv_close((uv_handle_t *)&s->flush, on_handle_closed);
    uv_close((uv_handle_t *)&s->sweep, on_handle_closed);
    if (s->path[0] != '\0') {
        (void)unlink(s->path);
    }
}

unsigned server_connections(const struct server *s)
{
    return s->count;
}

/* -- for the owner -------------------------------------------------------------------- */

void server_know(struct server_conn *c)
{
    c->known = true;
    c->frame_limit = c->server->o.frame_limit;
}

enum err server_send(struct server_conn *c, unsigned type, uint64_t request, const void *message)
{
    if (c->closing || c->ending) {
        return ERR_OK;
    }
    TRY(message_append(&c->out, type, request, message, c->server->o.frame_limit));
    if (c->out.size > (size_t)LIMIT_SEND_QUEUE) {
        log_security("door", c->server->o.name, "does not read its answers", err_name(ERR_FULL));
        server_drop(c);
        return ERR_OK;
    }
    server_stream_dirty(c);
    return ERR_OK;
}

unsigned server_held(const struct server_conn *c)
{
    return c->held;
}

bool server_live(const struct server_conn *c)
{
    return !c->closing && !c->ending;
}

enum err server_peer_spki(struct server_conn *c, uint8_t out[X509_SPKI_HASH])
{
    return c->tls == NULL ? ERR_IDENTITY : tls_peer_spki_hash(c->tls, out);
}

void server_set_user(struct server_conn *c, void *user)
{
    c->user = user;
}

void *server_user(const struct server_conn *c)
{
    return c->user;
}
