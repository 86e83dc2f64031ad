/* SPDX-License-Identifier: Apache-2.0 */
/* Begin, waits and end of administrative requests. Every act and every refusal is
 * one security-log line. Loop thread. */
#include "appliance/admin_request.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/core_port.h"
#include "appliance/sessions.h"
#include "base/log.h"
#include "keyring/command.h"
#include "keyring/query.h"
#include "proto/envelope.h"

#include <admin.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

/* -- end -------------------------------------------------------------------------- */

static void send_plain(struct server_conn *conn, uint64_t number, enum err e, const char *text)
{
    Ringkeep__AdminReply reply = RINGKEEP__ADMIN_REPLY__INIT;
    reply.error = (uint32_t)e;
    reply.text = wire_text(text != NULL ? text : appliance_advice(e));
    if (server_send(conn, FRAME_ADMIN | FRAME_REPLY, number, &reply) != ERR_OK) {
        server_drop(conn);
    }
}

/* An invite token is the one text here that must not stay on the heap. */
static void wipe_fields(Ringkeep__AdminReply *reply)
{
    for (size_t i = 0; i < reply->n_fields; i++) {
        char *text = reply->fields[i]->text;
        if (text != NULL) {
            bytes_wipe(text, strlen(text));
        }
    }
}

static void end(struct admin_request *r)
{
    if (r->handle != 0) {
        sessions_close_handle(r->a->sessions, r->handle);
    }
    if (r->state != NULL && r->state_drop != NULL) {
        r->state_drop(r->state);
    }
    free(r->state);
    if (r->reply != NULL) {
        wipe_fields(r->reply);
        ringkeep__admin_reply__free_unpacked(r->reply, NULL);
    }
    message_drop(&r->arena);
    struct server_conn *conn = r->conn;
    free(r);
    server_release(conn);
}

static bool is_question(const struct admin_row *row)
{
    return row->logins[0] == '\0';
}

void admin_fail(struct admin_request *r, enum err e, const char *text)
{
    char sentence[256];
    const char *advice = text != NULL ? text : appliance_advice(e);
    assert(e != ERR_OK);
    if (text == NULL && r->doing != NULL) {
        (void)snprintf(sentence,
                       sizeof sentence,
                       "%s failed: %s%s%s",
                       r->doing,
                       err_text(e),
                       advice != NULL ? "; " : "",
                       advice != NULL ? advice : "");
        advice = sentence;
    }
    log_security("admin", "local", r->row->verb, err_name(e));
    send_plain(r->conn, r->number, e, advice);
    end(r);
}

void admin_done(struct admin_request *r)
{
    Ringkeep__AdminReply *reply = r->reply;
    if (r->failed_memory) {
        admin_fail(r, ERR_NOMEM, NULL);
        return;
    }
    reply->error = ERR_OK;
    const enum err e = server_send(r->conn, FRAME_ADMIN | FRAME_REPLY, r->number, reply);
    if (e != ERR_OK) {
        admin_fail(r, e, "the answer is too large for one reply");
        return;
    }
    if (!is_question(r->row)) {
        log_security("admin", "local", r->row->verb, err_name(ERR_OK));
    }
    end(r);
}

unsigned admin_remaining_ms(const struct admin_request *r)
{
    const uint64_t now = clock_mono_ms(r->a->clock);
    return now + 1 < r->deadline_ms ? (unsigned)(r->deadline_ms - now) : 1;
}

void *admin_state(struct admin_request *r, size_t size, void (*drop)(void *state))
{
    assert(r->state == NULL);
    r->state = calloc(1, size);
    r->state_drop = drop;
    if (r->state == NULL) {
        admin_fail(r, ERR_NOMEM, NULL);
    }
    return r->state;
}

/* -- begin --------------------------------------------------------------------------- */

#define ADMIN_MS (UINT64_C(2) * LIMIT_CALL_MS) /* a join hands over the whole clone handshake */

static enum err open_request(struct admin_request *r, const struct frame *frame)
{
    void *message = NULL;
    TRY(message_unpack(&ringkeep__admin_request__descriptor, frame->payload, &r->arena, &message));
    const Ringkeep__AdminRequest *m = message;
    r->message = message;
    r->row = admin_door_find(m->verb);
    if (r->row == NULL) {
        return ERR_UNSUPPORTED;
    }
    Ringkeep__AdminReply *reply = malloc(sizeof *reply);
    if (reply == NULL) {
        return ERR_NOMEM;
    }
    ringkeep__admin_reply__init(reply);
    r->reply = reply;
    return ERR_OK;
}

static void drop_refused(struct admin_request *r, enum err e)
{
    log_security("admin", "local", "a request that cannot be read", err_name(e));
    send_plain(r->conn, r->number, e, e == ERR_UNSUPPORTED ? "no such verb: ringkeep help" : NULL);
    end(r);
}

void admin_request_begin(struct appliance *a, struct server_conn *conn, const struct frame *frame)
{
    if (server_held(conn) >= LIMIT_REQUESTS_PER_CONNECTION) {
        send_plain(conn, frame->request, ERR_BUSY, NULL);
        return;
    }
    struct admin_request *r = calloc(1, sizeof *r);
    if (r == NULL) {
        server_drop(conn);
        return;
    }
    r->a = a;
    r->conn = conn;
    r->number = frame->request;
    r->deadline_ms = clock_mono_ms(a->clock) + ADMIN_MS;
    server_hold(conn);
    enum err e = open_request(r, frame);
    if (e != ERR_OK) {
        drop_refused(r, e);
        return;
    }
    e = appliance_state_check(a, r->row->state);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    r->row->handler(r);
}

/* -- arguments ------------------------------------------------------------------------- */

static const Ringkeep__AdminArgument *find(const struct admin_request *r, const char *name)
{
    const Ringkeep__AdminRequest *m = r->message;
    for (size_t i = 0; i < m->n_arguments; i++) {
        if (strcmp(m->arguments[i]->name, name) == 0) {
            return m->arguments[i];
        }
    }
    return NULL;
}

const char *admin_argument(const struct admin_request *r, const char *name)
{
    const Ringkeep__AdminArgument *a = find(r, name);
    return a == NULL ? NULL : a->text;
}

bool admin_argument_data(const struct admin_request *r, const char *name, struct bytes *out)
{
    const Ringkeep__AdminArgument *a = find(r, name);
    if (a == NULL || !a->has_data) {
        return false;
    }
    *out = wire_bytes(a->data);
    return true;
}

enum err admin_envelope(const struct admin_request *r,
                        const char *purpose,
                        struct bytes *challenge,
                        struct bytes *envelope)
{
    const Ringkeep__AdminRequest *m = r->message;
    for (size_t i = 0; i < m->n_envelopes; i++) {
        const Ringkeep__AdminEnvelope *e = m->envelopes[i];
        if (strcmp(e->purpose, purpose) == 0) {
            if (e->challenge.len != ID_SIZE || e->envelope.len != ENVELOPE_PIN) {
                return ERR_USAGE;
            }
            *challenge = wire_bytes(e->challenge);
            *envelope = wire_bytes(e->envelope);
            return ERR_OK;
        }
    }
    return ERR_USAGE;
}

/* -- the core ------------------------------------------------------------------------------ */

static void on_core(void *arg, enum err e, const struct core_reply *reply)
{
    struct admin_request *r = arg;
    if (e != ERR_OK || reply == NULL) {
        admin_fail(r, e != ERR_OK ? e : ERR_PROTOCOL, NULL);
        return;
    }
    r->core_cb(r, reply);
}

void admin_core(struct admin_request *r, const struct core_request *q, const char *doing, admin_core_cb cb)
{
    r->doing = doing;
    r->core_cb = cb;
    const enum err e = core_call(r->a->core, q, admin_remaining_ms(r), on_core, r);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
    }
}

static void on_login(struct admin_request *r, const struct core_reply *core)
{
    r->handle = core->number;
    log_security("login", "local", r->row->verb, err_name(ERR_OK));
    r->next(r);
}

#define ROLE_PO 3u

void admin_login(struct admin_request *r, const char *purpose, unsigned role, admin_cb next)
{
    struct core_request q = { .verb = CORE_LOGIN_CORE, .number = role };
    void *found = NULL;
    r->next = next;
    if (admin_envelope(r, purpose, &q.section[0], &q.section[1]) != ERR_OK) {
        admin_fail(r, ERR_USAGE, "the password's envelope is missing or has the wrong size");
        return;
    }
    if (role >= ROLE_PO) {
        STORE_VIEW_SCOPED *view = NULL;
        enum err e = store_view_open(r->a->store, &view);
        if (e == ERR_OK) {
            e = query_cluster(view, &found);
        }
        if (e != ERR_OK) {
            admin_fail(r, e, "this member has no cluster record yet: wait until it has caught up");
            return;
        }
        q.section[2] = wire_bytes(((Ringkeep__ClusterRow *)found)->cluster_record);
    }
    admin_core(r, &q, "the login", on_login);
    query_drop(found);
}

static void on_refreshed(void *arg)
{
    struct admin_request *r = arg;
    r->next(r);
}

void admin_refresh(struct admin_request *r, admin_cb next)
{
    r->next = next;
    core_port_refresh(r->a->port, on_refreshed, r);
}

/* -- the cluster ----------------------------------------------------------------------------- */

static void on_outcome(void *arg, enum err e, const struct outcome *outcome)
{
    struct admin_request *r = arg;
    if (e == ERR_OK && outcome == NULL) {
        e = ERR_UNKNOWN_OUTCOME;
    }
    if (e == ERR_OK) {
        e = outcome->error;
    }
    if (e == ERR_UNKNOWN_OUTCOME) {
        admin_fail(r, e, "the outcome is unknown: look at the list before you repeat this");
        return;
    }
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    r->outcome_cb(r, outcome);
}

void admin_propose(struct admin_request *r,
                   unsigned field,
                   const void *verb_message,
                   const char *doing,
                   admin_outcome_cb cb)
{
    BUF_SCOPED command = { 0 };
    struct command_origin origin = { 0 };
    r->doing = doing;
    r->outcome_cb = cb;
    cluster_incarnation(r->a->cluster, origin.incarnation);
    enum err e = command_build(&command, &origin, field, verb_message);
    if (e == ERR_OK) {
        e = cluster_propose(
            r->a->cluster, buf_bytes(&command), admin_remaining_ms(r), on_outcome, r);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
    }
}

static void on_visible(void *arg, enum err e, uint64_t index)
{
    struct admin_request *r = arg;
    (void)index;
    if (e != ERR_OK) {
        admin_fail(r, e == ERR_TIMEOUT ? ERR_LAGGING : e, NULL);
        return;
    }
    r->next(r);
}

void admin_visible(struct admin_request *r, uint64_t index, admin_cb next)
{
    r->next = next;
    r->doing = "waiting for this member's store";
    const enum err e = cluster_wait_visible(r->a->cluster, index, admin_remaining_ms(r), on_visible, r);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
    }
}

static void on_barrier(void *arg, enum err e, uint64_t index)
{
    struct admin_request *r = arg;
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    admin_visible(r, index, r->next);
}

void admin_quorum(struct admin_request *r, admin_cb next)
{
    r->next = next;
    r->doing = "asking a majority of the members";
    const enum err e = cluster_barrier(r->a->cluster, admin_remaining_ms(r), on_barrier, r);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
    }
}
