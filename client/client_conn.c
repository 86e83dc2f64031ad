/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a member. Sockets are non-blocking and waited for with poll, so
 * that every wait has an end; TLS works in memory between socket and frames. */
#include "client/client_conn.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "client.pb-c.h"
#include "client/client_text.h"

_Static_assert(EAGAIN == EWOULDBLOCK, "one name is enough");

#define READ_CHUNK 16384u
#define SESSIONS_MAX 4096u

uint64_t client_now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* -- waiting ------------------------------------------------------------------ */

static enum err wait_for(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        const uint64_t now = client_now_ms();
        if (now >= deadline_ms) {
            return ERR_TIMEOUT;
        }
        struct pollfd p = { fd, events, 0 };
        const uint64_t left = deadline_ms - now;
        const int rc = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (rc > 0) {
            return ERR_OK;
        }
        if (rc < 0 && errno != EINTR) {
            return ERR_UNREACHABLE;
        }
    }
}

/* After a call that failed: is it to be made again? */
static enum err wait_again(int fd, short events, uint64_t deadline_ms)
{
    if (errno == EINTR) {
        return ERR_OK;
    }
    return errno == EAGAIN ? wait_for(fd, events, deadline_ms) : ERR_UNREACHABLE;
}

/* -- connecting --------------------------------------------------------------- */

static void set_options(int fd)
{
    const int on = 1, idle_s = 20, every_s = 5, count = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static enum err finish_connect(int fd, uint64_t deadline_ms)
{
    int failure = 0;
    socklen_t size = sizeof(failure);
    TRY(wait_for(fd, POLLOUT, deadline_ms));
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0 || failure != 0) {
        errno = failure;
        return ERR_UNREACHABLE;
    }
    return ERR_OK;
}

static enum err connect_one(const struct addrinfo *a, uint64_t deadline_ms, int *out)
{
    const int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd < 0) {
        return ERR_UNREACHABLE;
    }
    set_options(fd);
    enum err e = ERR_OK;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        const bool going = errno == EINPROGRESS || errno == EINTR;
        e = going ? finish_connect(fd, deadline_ms) : ERR_UNREACHABLE;
    }
    if (e != ERR_OK) {
        const int why = errno;
        (void)close(fd);
        errno = why;
        return e;
    }
    *out = fd;
    return ERR_OK;
}

/* "host:port" or "[v6]:port" apart, in place. */
static bool split_address(char *address, const char **host, const char **port)
{
    char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address) {
        return false;
    }
    *colon = '\0';
    *port = colon + 1;
    *host = address;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        *host = address + 1;
    }
    return true;
}

static enum err look_up(const char *address, struct addrinfo **out)
{
    char copy[LIMIT_ADDRESS];
    const char *host = NULL, *port = NULL;
    struct addrinfo hints = { 0 };
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
    (void)snprintf(copy, sizeof(copy), "%s", address);
    if (!split_address(copy, &host, &port)) {
        return ERR_UNREACHABLE;
    }
    if (getaddrinfo(host, port, &hints, out) == 0) {
        return ERR_OK;
    }
    hints.ai_flags = AI_NUMERICSERV;
    return getaddrinfo(host, port, &hints, out) == 0 ? ERR_OK : ERR_UNREACHABLE;
}

static enum err connect_to(const char *address, uint64_t deadline_ms, int *out)
{
    struct addrinfo *list = NULL;
    if (look_up(address, &list) != ERR_OK) {
        client_text_set("%s: no such host", address);
        return ERR_UNREACHABLE;
    }
    enum err e = ERR_UNREACHABLE;
    for (const struct addrinfo *a = list; a != NULL && e != ERR_OK; a = a->ai_next) {
        errno = 0;
        e = connect_one(a, deadline_ms, out);
    }
    if (e != ERR_OK) {
        client_text_set("%s: %s", address, e == ERR_TIMEOUT || errno == 0 ? "no answer" : client_text_errno(errno));
    }
    freeaddrinfo(list);
    return e;
}

/* -- bytes -------------------------------------------------------------------- */

static enum err send_pending(struct client_conn *c, uint64_t deadline_ms)
{
    for (;;) {
        const struct bytes pending = tls_pending(c->tls);
        if (pending.size == 0) {
            return ERR_OK;
        }
        const ssize_t n = send(c->fd, pending.data, pending.size, MSG_NOSIGNAL);
        if (n > 0) {
            c->sent = true;
            tls_sent(c->tls, (size_t)n);
            continue;
        }
        const enum err e = wait_again(c->fd, POLLOUT, deadline_ms);
        if (e != ERR_OK) {
            return e;
        }
    }
}

/* Moves what the socket has into TLS; waits for at least a byte. */
static enum err receive_some(struct client_conn *c, uint64_t deadline_ms)
{
    uint8_t chunk[READ_CHUNK];
    for (;;) {
        const ssize_t n = recv(c->fd, chunk, sizeof(chunk), 0);
        if (n > 0) {
            return tls_feed(c->tls, bytes_of(chunk, (size_t)n));
        }
        const enum err e = n == 0 ? ERR_UNREACHABLE : wait_again(c->fd, POLLIN, deadline_ms);
        if (e != ERR_OK) {
            return e;
        }
    }
}

static enum err shake_hands(struct client_conn *c, uint64_t deadline_ms)
{
    for (;;) {
        bool done = false;
        const enum err e = tls_handshake(c->tls, &done);
        if (e != ERR_OK) {
            (void)send_pending(c, deadline_ms); /* the alert says why */
            return e;
        }
        TRY(send_pending(c, deadline_ms));
        if (done) {
            return ERR_OK;
        }
        TRY(receive_some(c, deadline_ms));
    }
}

enum err client_conn_open(struct tls_context *tls,
                          const char *address,
                          uint64_t deadline_ms,
                          struct client_conn **out)
{
    struct client_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->fd = -1;
    enum err e = tls_conn_open(tls, &c->tls);
    if (e == ERR_OK) {
        e = connect_to(address, deadline_ms, &c->fd);
    }
    if (e == ERR_OK) {
        e = shake_hands(c, deadline_ms);
        if (e == ERR_TLS) {
            client_text_set("%s: TLS: %s", address, tls_reason(c->tls));
        } else if (e != ERR_OK) {
            client_text_set("%s: the connection ended during the TLS handshake", address);
        }
    }
    if (e != ERR_OK) {
        client_conn_close(c, false);
        return e;
    }
    *out = c;
    return ERR_OK;
}

/* -- frames ------------------------------------------------------------------- */

/* Decrypts what is there into c->in, never past one whole frame's bound. */
static enum err read_plain(struct client_conn *c, bool *closed)
{
    size_t got = 0;
    do {
        uint8_t *at = NULL;
        TRY(buf_reserve(&c->in, READ_CHUNK, LIMIT_FRAME_CLIENT + READ_CHUNK, &at));
        TRY(tls_read(c->tls, at, READ_CHUNK, &got, closed));
        c->in.size += got;
    } while (got > 0 && !*closed && c->in.size <= LIMIT_FRAME_CLIENT);
    return ERR_OK;
}

static enum err receive_frame(struct client_conn *c, uint64_t deadline_ms, struct frame *out)
{
    bool closed = false;
    for (;;) {
        size_t used = 0;
        if (frame_parse(buf_bytes(&c->in), LIMIT_FRAME_CLIENT, out, &used) != ERR_OK) {
            return ERR_PROTOCOL;
        }
        if (used > 0) {
            /* One request at a time: nothing may follow its reply. */
            return used == c->in.size ? ERR_OK : ERR_PROTOCOL;
        }
        if (closed) {
            return ERR_UNREACHABLE;
        }
        const size_t before = c->in.size;
        enum err e = read_plain(c, &closed);
        if (e == ERR_OK && c->in.size == before && !closed) {
            e = receive_some(c, deadline_ms);
        }
        if (e != ERR_OK) {
            return e == ERR_TOO_LARGE ? ERR_PROTOCOL : e;
        }
    }
}

static enum err receive_reply(struct client_conn *c,
                              unsigned type,
                              uint64_t deadline_ms,
                              struct message_arena **arena,
                              struct Ringkeep__Reply **out)
{
    struct frame f = { 0 };
    void *message = NULL;
    TRY(receive_frame(c, deadline_ms, &f));
    if (f.type != (type | FRAME_REPLY) || f.request != c->request) {
        return ERR_PROTOCOL;
    }
    const enum err e = message_unpack(&ringkeep__reply__descriptor, f.payload, arena, &message);
    if (e != ERR_OK) {
        return e == ERR_MALFORMED ? ERR_PROTOCOL : e;
    }
    *out = message;
    return ERR_OK;
}

static enum err transfer(struct client_conn *c,
                         const struct buf *request,
                         unsigned type,
                         uint64_t deadline_ms,
                         struct message_arena **arena,
                         struct Ringkeep__Reply **out)
{
    TRY(tls_write(c->tls, buf_bytes(request)));
    TRY(send_pending(c, deadline_ms));
    return receive_reply(c, type, deadline_ms, arena, out);
}

enum err client_conn_exchange(struct client_conn *c,
                              unsigned type,
                              const void *message,
                              uint64_t deadline_ms,
                              struct message_arena **arena,
                              struct Ringkeep__Reply **out)
{
    BUF_SCOPED request = { 0 };
    assert(!c->broken && *arena == NULL);
    c->sent = false;
    c->request++;
    TRY(message_append(&request, type, c->request, message, LIMIT_FRAME_CLIENT));
    const enum err e = transfer(c, &request, type, deadline_ms, arena, out);
    buf_drop(&c->in); /* wipes: replies may carry plaintext */
    if (e == ERR_TLS) {
        client_text_set("TLS: %s", tls_reason(c->tls));
    } else if (e == ERR_PROTOCOL) {
        client_text_set("a member's reply to %s breaks the protocol", frame_name(type));
    }
    c->broken = e != ERR_OK;
    c->reused = c->reused || e == ERR_OK;
    return e;
}

/* -- ends --------------------------------------------------------------------- */

bool client_conn_stale(struct client_conn *c)
{
    char byte = 0;
    const ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

static void free_conn(struct client_conn *c)
{
    tls_conn_close(c->tls);
    buf_drop(&c->in);
    free(c->sessions);
    free(c);
}

void client_conn_close(struct client_conn *c, bool polite)
{
    if (c == NULL) {
        return;
    }
    if (polite && !c->broken && c->fd >= 0) {
        tls_shutdown(c->tls);
        const struct bytes last = tls_pending(c->tls);
        if (last.size > 0) {
            (void)send(c->fd, last.data, last.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    free_conn(c);
}

void client_conn_abandon(struct client_conn *c, bool idle)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    if (idle) {
        free_conn(c);
    }
}

/* -- sessions ----------------------------------------------------------------- */

struct client_session *client_conn_session(struct client_conn *c, const uint8_t keyring_id[ID_SIZE])
{
    for (size_t i = 0; i < c->session_count; i++) {
        if (memcmp(c->sessions[i].keyring_id, keyring_id, ID_SIZE) == 0) {
            return &c->sessions[i];
        }
    }
    return NULL;
}

enum err client_conn_keep_session(struct client_conn *c, const struct client_session *s)
{
    struct client_session *old = client_conn_session(c, s->keyring_id);
    if (old != NULL) {
        *old = *s;
        return ERR_OK;
    }
    if (c->session_count == SESSIONS_MAX) {
        return ERR_FULL;
    }
    if (c->session_count == c->session_capacity) {
        const size_t capacity = c->session_capacity == 0 ? 4 : 2 * c->session_capacity;
        struct client_session *more = realloc(c->sessions, capacity * sizeof(*more));
        if (more == NULL) {
            return ERR_NOMEM;
        }
        c->sessions = more;
        c->session_capacity = capacity;
    }
    c->sessions[c->session_count++] = *s;
    return ERR_OK;
}

void client_conn_forget_session(struct client_conn *c, const uint8_t keyring_id[ID_SIZE])
{
    struct client_session *s = client_conn_session(c, keyring_id);
    if (s != NULL) {
        *s = c->sessions[--c->session_count];
    }
}
