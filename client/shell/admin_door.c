/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of the admin door: a local socket, one framed request, one
 * framed reply. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin.pb-c.h"
#include "base/clock.h"
#include "client/client_pb.h"
#include "client/shell/parts.h"
#include "proto/frame.h"

#define DEFAULT_SOCKET "/run/ringkeep/admin.sock"
#define ANSWER_MS 90000u /* scrypt of three roles and a join take their time */
#define CHUNK 16384u

const char *admin_door_path(const struct shell *s)
{
    return s->options.socket == NULL ? DEFAULT_SOCKET : s->options.socket;
}

void shell_reply_drop(struct shell_reply *r)
{
    message_drop(&r->arena);
    r->reply = NULL;
}

static enum err connect_door(struct shell *s, int *out)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = admin_door_path(s);
    if (strlen(path) >= sizeof(address.sun_path)) {
        return shell_say(s, ERR_USAGE, "%s: the socket's path is too long", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        const int why = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return shell_say(s, ERR_UNREACHABLE, "%s: %s; is ringkeepd running, and may you use its socket?", path, strerror(why));
    }
    *out = fd;
    return ERR_OK;
}

static enum err send_all(struct shell *s, int fd, struct bytes data)
{
    while (data.size > 0) {
        const ssize_t n = send(fd, data.data, data.size, MSG_NOSIGNAL);
        if (n > 0) {
            data.data += n;
            data.size -= (size_t)n;
        } else if (errno != EINTR) {
            return shell_say(s, ERR_UNREACHABLE, "the member closed the admin socket");
        }
    }
    return ERR_OK;
}

/* Waits for more bytes. */
static enum err receive_more(struct shell *s, int fd, uint64_t deadline_ms, struct buf *in)
{
    for (;;) {
        const uint64_t now = clock_mono_ms(clock_system());
        struct pollfd p = { fd, POLLIN, 0 };
        uint8_t *at = NULL;
        if (now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) == 0) {
            return shell_say(s, ERR_TIMEOUT, "the member does not answer; ask its status");
        }
        TRY(buf_reserve(in, CHUNK, LIMIT_FRAME_ADMIN + CHUNK, &at));
        const ssize_t n = recv(fd, at, CHUNK, MSG_DONTWAIT);
        if (n > 0) {
            in->size += (size_t)n;
            return ERR_OK;
        }
        if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            return shell_say(s, ERR_UNREACHABLE, "the member ended the admin connection without an answer");
        }
    }
}

static enum err receive_reply(struct shell *s, int fd, struct buf *in, struct shell_reply *r)
{
    const uint64_t deadline = clock_mono_ms(clock_system()) + ANSWER_MS;
    struct frame f = { 0 };
    size_t used = 0;
    void *message = NULL;
    enum err e = ERR_OK;
    while (e == ERR_OK && used == 0) {
        TRY(receive_more(s, fd, deadline, in));
        e = frame_parse(buf_bytes(in), LIMIT_FRAME_ADMIN, &f, &used);
    }
    if (e == ERR_OK && (f.type != (FRAME_ADMIN | FRAME_REPLY) || f.request != 1)) {
        e = ERR_PROTOCOL;
    }
    if (e == ERR_OK) {
        e = message_unpack(&ringkeep__admin_reply__descriptor, f.payload, &r->arena, &message);
    }
    if (e != ERR_OK) {
        return shell_say(s, ERR_PROTOCOL, "the member's answer breaks the protocol: %s", err_text(e));
    }
    r->reply = message;
    return ERR_OK;
}

static enum err ask_door(struct shell *s, int fd, const struct Ringkeep__AdminRequest *request, struct shell_reply *r)
{
    BUF_SCOPED out = { 0 };
    BUF_SCOPED in = { 0 };
    if (message_append(&out, FRAME_ADMIN, 1, request, LIMIT_FRAME_ADMIN) != ERR_OK) {
        return shell_say(s, ERR_TOO_LARGE, "the request is too large");
    }
    TRY(send_all(s, fd, buf_bytes(&out)));
    return receive_reply(s, fd, &in, r);
}

enum err admin_door_ask(struct shell *s, const struct Ringkeep__AdminRequest *request, struct shell_reply *r)
{
    int fd = -1;
    shell_reply_drop(r);
    TRY(connect_door(s, &fd));
    const enum err asked = ask_door(s, fd, request, r);
    (void)close(fd);
    TRY(asked);
    assert(r->reply != NULL);
    const enum err e = err_from_wire(r->reply->error);
    if (e != ERR_OK) {
        const char *advice = r->reply->text == NULL ? "" : r->reply->text;
        const bool whole = strstr(advice, err_text(e)) != NULL; /* says the error itself */
        return shell_say(s,
                         e,
                         "%s: %s%s%s",
                         request->verb,
                         whole ? "" : err_text(e),
                         whole || advice[0] == '\0' ? "" : "; ",
                         advice);
    }
    return ERR_OK;
}

const struct Ringkeep__AdminField *admin_door_field(const struct shell_reply *r, const char *name)
{
    for (size_t i = 0; r->reply != NULL && i < r->reply->n_fields; i++) {
        if (strcmp(r->reply->fields[i]->name, name) == 0) {
            return r->reply->fields[i];
        }
    }
    return NULL;
}

enum err admin_door_bytes(struct shell *s, const struct shell_reply *r, const char *name, uint8_t *out, size_t size)
{
    const Ringkeep__AdminField *f = admin_door_field(r, name);
    if (f == NULL || !f->has_data || f->data.len != size) {
        return shell_say(s, ERR_PROTOCOL, "the member's answer lacks '%s'", name);
    }
    memcpy(out, f->data.data, size);
    return ERR_OK;
}
