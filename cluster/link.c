/* SPDX-License-Identifier: Apache-2.0 */
/* TCP and TLS of one connection; see link.h. At most one write is under way:
 * what is sent meanwhile gathers as ciphertext and leaves in the next one. Loop
 * thread. */
#include "cluster/link.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK 65536u
#define PLAIN 16384u /* one TLS record */
#define KEEP_BUFFER ((size_t)256 * 1024)
#define KEEPALIVE_S 5u
#define USER_TIMEOUT_MS 10000u
#define END_MS 1000u

struct link {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t dial;
    uv_write_t write;
    struct tls_conn *tls;
    const struct link_handlers *handlers; /* NULL: nobody was told of this link */
    void *arg;
    size_t frame_limit, send_limit;
    struct buf in, sending;
    bool ready, raw, writing, closing, ending, reading;
    unsigned handles;
    enum err error;
    char why[LINK_WHY];
    char address[LIMIT_ADDRESS];
    uint8_t chunk[CHUNK];
};

/* -- end of life ---------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct link *l = handle->data;
    l->handles--;
    if (l->handles > 0) {
        return;
    }
    if (l->handlers != NULL) {
        l->handlers->on_closed(l->arg, l, l->error, l->why);
    }
    tls_conn_close(l->tls);
    buf_drop(&l->in);
    buf_drop(&l->sending);
    bytes_wipe(l->chunk, sizeof l->chunk);
    free(l);
}

static void note(struct link *l, enum err e, const char *why)
{
    if (l->error == ERR_OK) {
        l->error = e;
        (void)snprintf(l->why, sizeof l->why, "%s", why);
    }
}

void link_close(struct link *l, enum err e, const char *why)
{
    if (l == NULL || l->closing) {
        return;
    }
    note(l, e, why);
    l->closing = true;
    uv_close((uv_handle_t *)&l->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    link_close(timer->data, ERR_TIMEOUT, "no answer in time");
}

void link_set_deadline(struct link *l, unsigned ms)
{
    if (l->closing || l->ending) {
        return;
    }
    (void)uv_timer_stop(&l->timer);
    if (ms > 0) {
        (void)uv_timer_start(&l->timer, on_deadline, ms, 0);
    }
}

bool link_is_open(const struct link *l)
{
    return l != NULL && !l->closing && !l->ending;
}

/* -- out ------------------------------------------------------------------------ */

static void flush(struct link *l);

static void on_written(uv_write_t *write, int status)
{
    struct link *l = write->data;
    l->writing = false;
    if (l->sending.capacity > KEEP_BUFFER) {
        buf_drop(&l->sending);
    }
    if (status != 0) {
        link_close(l, ERR_UNREACHABLE, uv_strerror(status));
        return;
    }
    flush(l);
    if (l->raw && !l->writing && !l->closing && l->handlers->on_drain != NULL) {
        l->handlers->on_drain(l->arg, l);
    }
}

static void flush(struct link *l)
{
    if (l->writing || l->closing) {
        return;
    }
    const struct bytes pending = tls_pending(l->tls);
    if (pending.size == 0) {
        if (l->ending) {
            link_close(l, ERR_OK, "ended");
        }
        return;
    }
    buf_clear(&l->sending);
    if (buf_append(&l->sending, pending, SIZE_MAX / 2) != ERR_OK) {
        link_close(l, ERR_NOMEM, "out of memory");
        return;
    }
    tls_sent(l->tls, pending.size);
    uv_buf_t out = uv_buf_init((char *)l->sending.data, (unsigned)l->sending.size);
    l->write.data = l;
    l->writing = true;
    const int rc = uv_write(&l->write, (uv_stream_t *)&l->tcp, &out, 1, on_written);
    if (rc != 0) {
        l->writing = false;
        link_close(l, ERR_UNREACHABLE, uv_strerror(rc));
    }
}

size_t link_queued(const struct link *l)
{
    const size_t under_way = l->writing ? l->sending.size : 0;
    return under_way + tls_pending(l->tls).size;
}

enum err link_write(struct link *l, struct bytes data)
{
    if (!link_is_open(l)) {
        return ERR_UNREACHABLE;
    }
    if (link_queued(l) + data.size > l->send_limit) {
        return ERR_BUSY;
    }
    const enum err e = tls_write(l->tls, data);
    if (e != ERR_OK) {
        link_close(l, e, tls_reason(l->tls));
        return ERR_UNREACHABLE;
    }
    flush(l);
    return ERR_OK;
}

enum err link_send(struct link *l, unsigned type, uint64_t request, const void *message)
{
    BUF_SCOPED frame = { 0 };
    if (!link_is_open(l)) {
        return ERR_UNREACHABLE;
    }
    TRY(message_append(&frame, type, request, message, LIMIT_FRAME_PEER));
    return link_write(l, buf_bytes(&frame));
}

void link_end(struct link *l, enum err e, const char *why)
{
    if (!link_is_open(l)) {
        return;
    }
    note(l, e, why);
    link_set_deadline(l, END_MS);
    l->ending = true;
    (void)uv_read_stop((uv_stream_t *)&l->tcp);
    tls_shutdown(l->tls);
    flush(l);
}

/* -- in ------------------------------------------------------------------------- */

static enum err take_frames(struct link *l)
{
    size_t at = 0;
    enum err e = ERR_OK;
    while (at < l->in.size && !l->raw && link_is_open(l)) {
        struct frame frame;
        size_t used = 0;
        const struct bytes rest = bytes_of(l->in.data + at, l->in.size - at);
        e = frame_parse(rest, l->frame_limit, &frame, &used);
        if (e != ERR_OK || used == 0) {
            break;
        }
        at += used;
        l->handlers->on_frame(l->arg, l, &frame);
    }
    buf_consume(&l->in, at);
    if (l->raw && l->in.size > 0 && link_is_open(l)) {
        l->handlers->on_data(l->arg, l, buf_bytes(&l->in));
        buf_clear(&l->in);
    }
    if (l->in.size == 0 && l->in.capacity > KEEP_BUFFER) {
        buf_drop(&l->in);
    }
    return e;
}

static enum err take_plain(struct link *l)
{
    bool closed = false;
    size_t got = 1;
    while (got > 0 && !closed && link_is_open(l)) {
        uint8_t *room = NULL;
        TRY(buf_reserve(&l->in, PLAIN, l->frame_limit + FRAME_HEAD + PLAIN, &room));
        TRY(tls_read(l->tls, room, PLAIN, &got, &closed));
        l->in.size += got;
        TRY(take_frames(l));
    }
    if (closed) {
        link_close(l, ERR_UNREACHABLE, "closed by the other side");
    }
    return ERR_OK;
}

static enum err take_cipher(struct link *l, struct bytes chunk)
{
    TRY(tls_feed(l->tls, chunk));
    if (!l->ready) {
        bool done = false;
        const enum err e = tls_handshake(l->tls, &done);
        flush(l); /* the answer, or the alert that says why not */
        TRY(e);
        if (!done || l->closing) {
            return ERR_OK;
        }
        l->ready = true;
        link_set_deadline(l, 0);
        l->handlers->on_ready(l->arg, l);
    }
    return link_is_open(l) ? take_plain(l) : ERR_OK;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct link *l = handle->data;
    (void)suggested;
    *out = uv_buf_init((char *)l->chunk, CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct link *l = stream->data;
    if (got < 0) {
        link_close(l, ERR_UNREACHABLE, got == UV_EOF ? "closed" : uv_strerror((int)got));
        return;
    }
    if (got == 0 || !link_is_open(l)) {
        return;
    }
    const enum err e = take_cipher(l, bytes_of(buf->base, (size_t)got));
    if (e != ERR_OK && link_is_open(l)) {
        link_end(l, e, e == ERR_TLS ? tls_reason(l->tls) : err_text(e));
    }
}

void link_pause(struct link *l)
{
    if (link_is_open(l) && l->reading) {
        l->reading = false;
        (void)uv_read_stop((uv_stream_t *)&l->tcp);
    }
}

void link_resume(struct link *l)
{
    if (link_is_open(l) && !l->reading) {
        l->reading = true;
        const int rc = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read);
        if (rc != 0) {
            link_close(l, ERR_UNREACHABLE, uv_strerror(rc));
        }
    }
}

/* -- beginning ------------------------------------------------------------------- */

static void set_options(struct link *l)
{
    const unsigned timeout = USER_TIMEOUT_MS;
    uv_os_fd_t fd = -1;
    (void)uv_tcp_nodelay(&l->tcp, 1);
    (void)uv_tcp_keepalive(&l->tcp, 1, KEEPALIVE_S);
    if (uv_fileno((uv_handle_t *)&l->tcp, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    }
}

static enum err make(const struct link_options *o, struct link **out)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    enum err e = tls_conn_open(o->tls, &l->tls);
    if (e == ERR_OK && uv_tcp_init(o->loop, &l->tcp) != 0) {
        e = ERR_IO;
    }
    if (e != ERR_OK) {
        tls_conn_close(l->tls);
        free(l);
        return e;
    }
    (void)uv_timer_init(o->loop, &l->timer);
    l->handles = 2;
    l->tcp.data = l;
    l->timer.data = l;
    l->frame_limit = o->frame_limit;
    l->send_limit = o->send_limit;
    *out = l;
    return ERR_OK;
}

/* The caller gets an error instead of the link. */
static enum err give_up(struct link *l, enum err e)
{
    l->handlers = NULL;
    link_close(l, e, err_text(e));
    return e;
}

static void name_peer(struct link *l)
{
    struct sockaddr_storage who = { 0 };
    char host[48] = "unknown";
    int size = (int)sizeof who;
    unsigned port = 0;
    if (uv_tcp_getpeername(&l->tcp, (struct sockaddr *)&who, &size) == 0) {
        if (who.ss_family == AF_INET6) {
            const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&who;
            (void)uv_ip6_name(six, host, sizeof host);
            port = ntohs(six->sin6_port);
        } else {
            const struct sockaddr_in *four = (const struct sockaddr_in *)&who;
            (void)uv_ip4_name(four, host, sizeof host);
            port = ntohs(four->sin_port);
        }
    }
    (void)snprintf(l->address, sizeof l->address, "%s:%u", host, port);
}

enum err link_accept(const struct link_options *o, uv_stream_t *listener, struct link **out)
{
    struct link *l = NULL;
    TRY(make(o, &l));
    if (uv_accept(listener, (uv_stream_t *)&l->tcp) != 0) {
        return give_up(l, ERR_IO);
    }
    name_peer(l);
    set_options(l);
    l->handlers = o->handlers;
    l->arg = o->arg;
    link_set_deadline(l, LIMIT_HANDSHAKE_MS);
    link_resume(l);
    *out = l;
    return ERR_OK;
}

static void on_dialled(uv_connect_t *dial, int status)
{
    struct link *l = dial->data;
    bool done = false;
    if (l->closing) {
        return;
    }
    if (status != 0) {
        link_close(l, ERR_UNREACHABLE, uv_strerror(status));
        return;
    }
    set_options(l);
    const enum err e = tls_handshake(l->tls, &done);
    if (e != ERR_OK) {
        link_close(l, e, tls_reason(l->tls));
        return;
    }
    flush(l);
    link_resume(l);
}

enum err link_parse_address(const char *address, struct sockaddr_storage *out)
{
    char host[LIMIT_ADDRESS];
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    if (colon == NULL || colon == address || (size_t)(colon - address) >= sizeof host) {
        return ERR_CONFIG;
    }
    const unsigned long port = strtoul(colon + 1, &end, 10);
    if (port == 0 || port > 65535 || end == colon + 1 || *end != '\0') {
        return ERR_CONFIG;
    }
    const bool six = address[0] == '[' && colon[-1] == ']';
    const size_t size = (size_t)(colon - address) - (six ? 2u : 0u);
    memcpy(host, address + (six ? 1 : 0), size);
    host[size] = '\0';
    *out = (struct sockaddr_storage){ 0 };
    const int rc = six ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out)
                       : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out);
    return rc == 0 ? ERR_OK : ERR_CONFIG;
}

enum err link_connect(const struct link_options *o, const char *address, struct link **out)
{
    struct sockaddr_storage to;
    struct link *l = NULL;
    TRY(link_parse_address(address, &to));
    TRY(make(o, &l));
    l->dial.data = l;
    const struct sockaddr *at = (const struct sockaddr *)&to;
    if (uv_tcp_connect(&l->dial, &l->tcp, at, on_dialled) != 0) {
        return give_up(l, ERR_UNREACHABLE);
    }
    (void)snprintf(l->address, sizeof l->address, "%s", address);
    l->handlers = o->handlers;
    l->arg = o->arg;
    link_set_deadline(l, LIMIT_CONNECT_MS);
    *out = l;
    return ERR_OK;
}

void link_hand_over(struct link *l, const struct link_handlers *handlers, void *arg)
{
    l->handlers = handlers;
    l->arg = arg;
}

void link_set_limit(struct link *l, size_t frame_limit)
{
    l->frame_limit = frame_limit;
}

void link_set_raw(struct link *l)
{
    assert(l->handlers->on_data != NULL);
    l->raw = true;
}

enum err link_peer_hash(struct link *l, uint8_t out[X509_SPKI_HASH])
{
    return tls_peer_spki_hash(l->tls, out);
}

const char *link_address(const struct link *l)
{
    return l->address;
}
