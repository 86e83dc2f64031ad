/* SPDX-License-Identifier: Apache-2.0 */
/* Answers and waits of client requests. Loop thread. */
#include "appliance/request.h"

#include <assert.h>
#include <stdlib.h>

#include "appliance/dispatch.h"
#include "base/log.h"

#include <client.pb-c.h>

#include "appliance/wire.h"

#define LOG_LINES_PER_SECOND 20u

static uint64_t now_ms(const struct request *r)
{
    return clock_mono_ms(r->a->clock);
}

unsigned request_remaining_ms(const struct request *r)
{
    const uint64_t now = now_ms(r);
    return now + 1 < r->deadline_ms ? (unsigned)(r->deadline_ms - now) : 1;
}

bool request_expired(const struct request *r)
{
    return now_ms(r) >= r->deadline_ms;
}

/* -- answers ------------------------------------------------------------------------ */

/* One client cannot fill the log: so many lines a second, the rest uncounted. */
static bool may_log(struct request *r)
{
    struct client *c = r->client;
    const uint64_t second = now_ms(r) / 1000;
    if (c->log_s != second) {
        c->log_s = second;
        c->log_lines = 0;
    }
    return c->log_lines++ < LOG_LINES_PER_SECOND;
}

static void note(struct request *r, enum err e)
{
    const enum err_class class = err_class_of(e);
    const bool login = r->type == FRAME_LOGIN || r->type == FRAME_PASSWORD;
    const bool refusal = e != ERR_OK && e != ERR_SIGNATURE_INVALID &&
                         (class == ERR_CLASS_CALLER || class == ERR_CLASS_LOGIN);
    if (e == ERR_WORKER_DIED) {
        poison_note(&r->a->poison, r->client->spki_hash, now_ms(r));
    }
    if ((login || refusal) && may_log(r)) {
        log_security(r->row->audit, r->client->who, frame_name(r->type), err_name(e));
    }
}

static void end(struct request *r)
{
    if (r->state != NULL && r->state_drop != NULL) {
        r->state_drop(r->state);
    }
    free(r->state);
    message_drop(&r->arena);
    struct server_conn *conn = r->client->conn;
    free(r);
    server_release(conn);
}

static void fill(struct request *r, Ringkeep__Reply *reply, uint8_t incarnation[ID_SIZE])
{
    cluster_incarnation(r->a->cluster, incarnation);
    reply->has_incarnation = 1;
    reply->incarnation = wire_array(incarnation, ID_SIZE);
    reply->has_map_epoch = 1;
    reply->map_epoch = cluster_map_epoch(r->a->cluster);
    if (r->index > 0) {
        reply->has_index = 1;
        reply->index = r->index;
    }
}

static enum err send_failure(struct request *r, enum err e)
{
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    uint8_t incarnation[ID_SIZE];
    reply.error = (uint32_t)e;
    reply.text = wire_text(appliance_advice(e));
    fill(r, &reply, incarnation);
    return server_send(r->client->conn, r->type | FRAME_REPLY, r->number, &reply);
}

void request_fail(struct request *r, enum err e)
{
    assert(e != ERR_OK);
    note(r, e);
    if (send_failure(r, e) != ERR_OK) {
        server_drop(r->client->conn);
    }
    end(r);
}

void request_reply(struct request *r, void *reply)
{
    uint8_t incarnation[ID_SIZE];
    Ringkeep__Reply *message = reply;
    message->error = ERR_OK;
    fill(r, message, incarnation);
    const enum err e = server_send(r->client->conn, r->type | FRAME_REPLY, r->number, message);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    note(r, ERR_OK);
    end(r);
}

void *request_state(struct request *r, size_t size, void (*drop)(void *state))
{
    assert(r->state == NULL);
    r->state = calloc(1, size);
    r->state_drop = drop;
    if (r->state == NULL) {
        request_fail(r, ERR_NOMEM);
        return NULL;
    }
    return r->state;
}

/* -- waits --------------------------------------------------------------------------- */

/* The core no longer knows the handle (restarted, ticket void): the session is over,
 * and the client opens another with its ticket. */
static void note_lost_handle(struct request *r, enum err e)
{
    if ((e == ERR_LOGIN_REQUIRED || e == ERR_TICKET_EXPIRED) && r->session.login) {
        sessions_end(r->a->sessions, &r->client->sessions, r->session.id);
    }
}

static void on_core(void *arg, enum err e, const struct core_reply *reply)
{
    struct request *r = arg;
    if (e == ERR_OK && reply == NULL) {
        e = ERR_PROTOCOL;
    }
    note_lost_handle(r, e);
    r->core_cb(r, e, reply);
}

void request_core(struct request *r, const struct core_request *q, request_core_cb cb)
{
    r->core_cb = cb;
    const enum err e = core_call(r->a->core, q, request_remaining_ms(r), on_core, r);
    if (e != ERR_OK) {
        cb(r, e, NULL);
    }
}

static void on_outcome(void *arg, enum err e, const struct outcome *outcome)
{
    struct request *r = arg;
    if (e == ERR_OK && outcome != NULL) {
        r->outcome_cb(r, outcome->error, outcome);
    } else {
        r->outcome_cb(r, e == ERR_OK ? ERR_UNKNOWN_OUTCOME : e, NULL);
    }
}

void request_propose(struct request *r,
                     const struct command_origin *origin,
                     unsigned field,
                     const void *verb_message,
                     request_outcome_cb cb)
{
    struct command_origin from = { 0 };
    BUF_SCOPED command = { 0 };
    r->outcome_cb = cb;
    if (origin != NULL) {
        from = *origin;
    }
    cluster_incarnation(r->a->cluster, from.incarnation);
    enum err e = command_build(&command, &from, field, verb_message);
    if (e == ERR_OK) {
        e = cluster_propose(
            r->a->cluster, buf_bytes(&command), request_remaining_ms(r), on_outcome, r);
    }
    if (e != ERR_OK) {
        cb(r, e, NULL);
    }
}

static void on_index(void *arg, enum err e, uint64_t index)
{
    struct request *r = arg;
    r->index_cb(r, e, index);
}

void request_barrier(struct request *r, request_index_cb cb)
{
    r->index_cb = cb;
    const enum err e = cluster_barrier(r->a->cluster, request_remaining_ms(r), on_index, r);
    if (e != ERR_OK) {
        cb(r, e, 0);
    }
}

static void on_visible(void *arg, enum err e, uint64_t index)
{
    struct request *r = arg;
    r->index_cb(r, e == ERR_TIMEOUT ? ERR_LAGGING : e, index);
}

void request_visible(struct request *r, uint64_t index, request_index_cb cb)
{
    r->index_cb = cb;
    const enum err e =
        cluster_wait_visible(r->a->cluster, index, request_remaining_ms(r), on_visible, r);
    if (e != ERR_OK) {
        cb(r, e, 0);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct request *r = handle->data;
    free(handle);
    r->later_cb(r);
}

static void on_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

void request_later(struct request *r, unsigned delay_ms, request_cb cb)
{
    uv_timer_t *timer = calloc(1, sizeof *timer);
    r->later_cb = cb;
    if (timer == NULL || uv_timer_init(r->a->loop, timer) != 0) {
        free(timer);
        request_fail(r, ERR_NOMEM);
        return;
    }
    timer->data = r;
    (void)uv_timer_start(timer, on_timer, delay_ms, 0);
}
