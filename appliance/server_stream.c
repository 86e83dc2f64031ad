/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of one connection: what was read goes through TLS (if any) into whole
 * frames; what is answered waits for the end of the loop's turn and leaves in one
 * TLS write. A frame that breaks the rules ends its connection and no other. Loop
 * thread. */
#include "appliance/server_conn.h"

#include <assert.h>

#include "base/limits.h"
#include "base/log.h"

#define STEP ((size_t)16384) /* clear bytes taken at once: one TLS record */
/* What was sealed at once: the queue and what TLS adds. */
#define SENDING_LIMIT ((size_t)2 * (size_t)LIMIT_SEND_QUEUE)

/* A bad peer: one line, and out. */
static void refuse(struct server_conn *c, enum err e)
{
    log_security("door", c->server->o.name, "connection refused for what it sent", err_name(e));
    server_end(c);
}

static enum err take_frames(struct server_conn *c)
{
    size_t at = 0;
    enum err e = ERR_OK;
    while (at < c->in.size && !c->ending && !c->closing) {
        struct frame frame;
        size_t used = 0;
        const struct bytes rest = bytes_of(c->in.data + at, c->in.size - at);
        e = frame_parse(rest, c->frame_limit, &frame, &used);
        if (e != ERR_OK || used == 0) {
            break;
        }
        at += used;
        c->server->o.handlers.on_frame(c->server->o.handlers.arg, c, &frame);
    }
    buf_consume(&c->in, at);
    if (c->in.size == 0) {
        buf_drop(&c->in); /* idle connections hold no buffer, and nothing stays there */
    }
    return e;
}

static enum err take_plain(struct server_conn *c, struct bytes chunk)
{
    const size_t limit = LIMIT_FRAME_CLIENT + LIMIT_FRAME_ADMIN + SERVER_CHUNK;
    TRY(buf_append(&c->in, chunk, limit));
    return take_frames(c);
}

static enum err take_clear(struct server_conn *c)
{
    const size_t limit = LIMIT_FRAME_CLIENT + LIMIT_FRAME_ADMIN + SERVER_CHUNK;
    bool closed = false;
    size_t got = 1;
    while (got > 0 && !closed && !c->closing && !c->ending) {
        uint8_t *room = NULL;
        TRY(buf_reserve(&c->in, STEP, limit, &room));
        TRY(tls_read(c->tls, room, STEP, &got, &closed));
        c->in.size += got;
        TRY(take_frames(c));
    }
    if (closed) {
        server_drop(c);
    }
    return ERR_OK;
}

static enum err take_cipher(struct server_conn *c, struct bytes chunk)
{
    TRY(tls_feed(c->tls, chunk));
    if (!c->ready) {
        bool done = false;
        const enum err e = tls_handshake(c->tls, &done);
        server_stream_dirty(c); /* the answer, or the alert that says why not */
        TRY(e);
        if (!done) {
            return ERR_OK;
        }
        server_became_ready(c);
    }
    return c->closing ? ERR_OK : take_clear(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct server_conn *c = handle->data;
    (void)suggested;
    *out = uv_buf_init((char *)c->server->chunk, SERVER_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct server_conn *c = stream->data;
    if (got < 0) {
        server_drop(c);
        return;
    }
    if (got == 0 || c->ending || c->closing) {
        return;
    }
    const struct bytes chunk = bytes_of(buf->base, (size_t)got);
    const enum err e = c->tls != NULL ? take_cipher(c, chunk) : take_plain(c, chunk);
    bytes_wipe(buf->base, (size_t)got);
    if (e != ERR_OK && !c->closing) {
        refuse(c, e);
    }
}

void server_stream_start(struct server_conn *c)
{
    c->io.handle.data = c;
    if (uv_read_start(&c->io.stream, on_alloc, on_read) != 0) {
        server_drop(c);
    }
}

void server_stream_dirty(struct server_conn *c)
{
    if (!c->is_dirty && !c->closing) {
        c->is_dirty = true;
        c->dirty_next = c->server->dirty;
        c->server->dirty = c;
    }
}

/* -- out ---------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
    struct server_conn *c = write->data;
    c->writing = false;
    buf_drop(&c->sending);
    if (status != 0) {
        server_drop(c);
    }
    server_stream_flush(c);
    server_release(c);
}

/* What may leave now: ciphertext, or the plain bytes themselves. */
static enum err seal(struct server_conn *c, struct bytes *pending)
{
    if (c->tls == NULL) {
        *pending = buf_bytes(&c->out);
        return ERR_OK;
    }
    if (c->out.size > 0) {
        TRY(tls_write(c->tls, buf_bytes(&c->out)));
        buf_drop(&c->out);
    }
    if (c->ending && !c->shut) {
        c->shut = true;
        tls_shutdown(c->tls);
    }
    *pending = tls_pending(c->tls);
    return ERR_OK;
}

static void sent(struct server_conn *c, size_t size)
{
    if (c->tls != NULL) {
        tls_sent(c->tls, size);
    } else {
        buf_drop(&c->out);
    }
}

/* The kernel takes all of it as a rule; the rest waits in `sending`. */
static enum err push(struct server_conn *c, struct bytes pending)
{
    uv_buf_t piece = uv_buf_init((char *)(uintptr_t)pending.data, (unsigned)pending.size);
    int done = uv_try_write(&c->io.stream, &piece, 1);
    if (done == UV_EAGAIN) {
        done = 0;
    }
    if (done < 0) {
        return ERR_IO;
    }
    const struct bytes rest = bytes_of(pending.data + done, pending.size - (size_t)done);
    if (rest.size > 0) {
        TRY(buf_append(&c->sending, rest, SENDING_LIMIT));
    }
    sent(c, pending.size);
    if (c->sending.size == 0) {
        return ERR_OK;
    }
    piece = uv_buf_init((char *)c->sending.data, (unsigned)c->sending.size);
    c->write.data = c;
    if (uv_write(&c->write, &c->io.stream, &piece, 1, on_written) != 0) {
        return ERR_IO;
    }
    c->writing = true;
    server_hold(c);
    return ERR_OK;
}

void server_stream_flush(struct server_conn *c)
{
    struct bytes pending = { 0 };
    if (c->closing || c->writing) {
        return;
    }
    enum err e = seal(c, &pending);
    if (e == ERR_OK && pending.size > 0) {
        e = push(c, pending);
    }
    if (e != ERR_OK || (c->ending && !c->writing)) {
        server_drop(c);
    }
}
