/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions belong to a connection; tickets to the client. A session that the
 * member has forgotten is opened again once; a ticket that it refuses is dropped. */
#include "client/client_session.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_text.h"

#define REFRESH_AGAIN_MS 60000u /* after one that failed */

/* -- tickets ---------------------------------------------------------------------- */

static enum err copy_ticket(struct ringkeep_client *c,
                            const uint8_t keyring_id[ID_SIZE],
                            struct buf *ticket,
                            uint64_t *serial)
{
    enum err e = ERR_OK;
    client_lock(c);
    const struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    *serial = k == NULL ? 0 : k->login.serial;
    if (*serial != 0) {
        e = buf_append(ticket, buf_bytes(&k->login.ticket), CLIENT_TICKET);
    }
    client_unlock(c);
    return e;
}

uint64_t client_session_serial(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE])
{
    client_lock(c);
    const struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    const uint64_t serial = k == NULL ? 0 : k->login.serial;
    client_unlock(c);
    return serial;
}

void client_session_void(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE], uint64_t serial)
{
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    if (k != NULL && serial != 0 && k->login.serial == serial) {
        client_login_forget(&k->login);
    }
    client_unlock(c);
}

/* True where this thread shall renew the ticket. */
static bool refresh_begin(struct ringkeep_client *c, const uint8_t keyring_id[ID_SIZE], uint64_t serial)
{
    bool mine = false;
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    if (k != NULL && serial != 0 && k->login.serial == serial && !k->login.refreshing &&
        clock_boot_ms(clock_system()) >= k->login.refresh_at_ms) {
        k->login.refreshing = true;
        mine = true;
    }
    client_unlock(c);
    return mine;
}

static void refresh_end(struct ringkeep_client *c,
                        const uint8_t keyring_id[ID_SIZE],
                        uint64_t serial,
                        struct bytes ticket)
{
    struct buf fresh = { 0 };
    const bool good = ticket.size > 0 && buf_append(&fresh, ticket, CLIENT_TICKET) == ERR_OK;
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    if (k != NULL && k->login.serial == serial) {
        const uint64_t now = clock_boot_ms(clock_system());
        k->login.refreshing = false;
        k->login.refresh_at_ms = now + (good ? CLIENT_REFRESH_MS : REFRESH_AGAIN_MS);
        if (good) {
            const struct buf old = k->login.ticket;
            k->login.ticket = fresh;
            k->login.got_ms = now;
            fresh = old;
        }
    }
    client_unlock(c);
    buf_drop(&fresh);
}

/* A failure is no harm while the old ticket lives. */
static void refresh_ticket(struct client_call *call, const uint8_t keyring_id[ID_SIZE], const struct client_session *s)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Refresh m = RINGKEEP__REFRESH__INIT;
    struct bytes ticket = { NULL, 0 };
    m.session = s->number;
    const enum err e = client_call_exchange(call, FRAME_REFRESH, &m, &arena, &reply);
    if (e == ERR_OK && reply->has_ticket) {
        ticket = client_pb_bytes(reply->ticket);
    }
    refresh_end(call->client, keyring_id, s->serial, ticket);
}

/* -- opening ------------------------------------------------------------------------ */

static void close_session(struct client_call *call, const struct client_session *s)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Close m = RINGKEEP__CLOSE__INIT;
    m.session = s->number;
    client_conn_forget_session(call->conn, s->keyring_id);
    (void)!client_call_exchange(call, FRAME_CLOSE, &m, &arena, &reply);
}

static enum err open_session(struct client_call *call,
                             const uint8_t keyring_id[ID_SIZE],
                             const struct buf *ticket,
                             struct client_session *s)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Open m = RINGKEEP__OPEN__INIT;
    m.keyring_id = client_pb_of(keyring_id, ID_SIZE);
    m.has_ticket = s->serial != 0;
    m.ticket = client_pb_of(ticket->data, ticket->size);
    m.min_index = client_call_index(call->client);
    m.has_min_index = m.min_index != 0;
    const enum err e = client_call_exchange(call, FRAME_OPEN, &m, &arena, &reply);
    if (s->serial != 0 && (e == ERR_TICKET_EXPIRED || e == ERR_LOGIN_REQUIRED)) {
        client_session_void(call->client, keyring_id, s->serial);
        return ERR_LOGIN_REQUIRED;
    }
    TRY(e);
    if (!reply->has_session) {
        call->conn->broken = true;
        return ERR_PROTOCOL;
    }
    s->number = reply->session;
    const enum err kept = client_conn_keep_session(call->conn, s);
    call->conn->broken = kept != ERR_OK; /* ends the session with it */
    return kept;
}

static enum err need_session(struct client_call *call,
                             const uint8_t keyring_id[ID_SIZE],
                             struct client_session *out,
                             bool *fresh)
{
    BUF_SCOPED ticket = { 0 };
    struct client_session s = { 0 };
    memcpy(s.keyring_id, keyring_id, ID_SIZE);
    s.serial = client_session_serial(call->client, keyring_id);
    const struct client_session *have = client_conn_session(call->conn, keyring_id);
    *fresh = have == NULL || have->serial != s.serial;
    if (have != NULL && !*fresh) {
        *out = *have;
        return ERR_OK;
    }
    TRY(copy_ticket(call->client, keyring_id, &ticket, &s.serial));
    if (have != NULL) {
        const struct client_session old = *have;
        close_session(call, &old);
        if (call->conn->broken) {
            return ERR_UNREACHABLE;
        }
    }
    TRY(open_session(call, keyring_id, &ticket, &s));
    *out = s;
    return ERR_OK;
}

/* -- requests ------------------------------------------------------------------------- */

/* The base of a write stays as it was first chosen, but for a cut history: there
 * nothing of this write exists, unless an earlier attempt is in doubt. */
static void settle_base(const struct client_call *call, struct client_request *r)
{
    const bool cut = call->history_cut && !call->in_doubt && !r->rebased;
    if (r->base_index != NULL && (*r->base_index == 0 || cut)) {
        *r->base_index = client_call_index(call->client);
        r->rebased = r->rebased || cut;
    }
}

static enum err exchange_once(struct client_call *call, struct client_request *r)
{
    struct client_session s = { 0 };
    message_drop(&r->arena); /* of an earlier attempt */
    r->reply = NULL;
    TRY(need_session(call, r->keyring_id, &s, &r->fresh));
    if (refresh_begin(call->client, r->keyring_id, s.serial)) {
        refresh_ticket(call, r->keyring_id, &s);
        if (call->conn->broken) {
            return ERR_UNREACHABLE;
        }
    }
    r->serial = s.serial;
    *r->session = s.number;
    if (r->prepare != NULL) {
        TRY(r->prepare(call, r->prepare_arg));
    }
    settle_base(call, r);
    if (r->min_index != NULL) {
        *r->min_index = client_call_index(call->client);
        *r->has_min_index = *r->min_index != 0;
    }
    return client_call_exchange(call, r->type, r->message, &r->arena, &r->reply);
}

enum err client_session_exchange(struct client_call *call, struct client_request *r)
{
    enum err e = exchange_once(call, r);
    const bool lost = r->reply != NULL && (e == ERR_LOGIN_REQUIRED || e == ERR_TICKET_EXPIRED);
    if (!lost || call->conn->broken) {
        return e;
    }
    /* The member no longer holds the session: its core restarted, or dropped it. */
    client_conn_forget_session(call->conn, r->keyring_id);
    if (!r->fresh) {
        e = exchange_once(call, r);
    }
    if (e == ERR_TICKET_EXPIRED) {
        client_session_void(call->client, r->keyring_id, r->serial);
        return ERR_LOGIN_REQUIRED;
    }
    return e;
}

static enum err attempt_request(struct client_call *call, void *arg)
{
    return client_session_exchange(call, arg);
}

enum err client_session_run(struct ringkeep_client *c, struct client_request *r, uint64_t request_ms, bool write)
{
    assert(r->message != NULL && r->session != NULL);
    return client_call_run(c, request_ms, write, attempt_request, r);
}
