/* SPDX-License-Identifier: Apache-2.0 */
/* Retry: which error means what, and the walk over the members. */
#include "client/client_call.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_pool.h"
#include "client/client_text.h"

#define PAUSE_FIRST_MS 25u
#define PAUSE_LAST_MS 400u

/* -- what an error means ---------------------------------------------------------- */

enum verdict {
    DONE,  /* success, or nothing will change by trying again */
    NEXT,  /* this member is unfit: the others, once */
    AGAIN  /* may pass: the others, and again while time lasts */
};

static enum verdict judge_class(enum err e)
{
    switch (err_class_of(e)) {
        case ERR_CLASS_RETRY: return AGAIN;
        case ERR_CLASS_FATAL: return NEXT;
        case ERR_CLASS_CALLER:
        case ERR_CLASS_LOGIN:
        default: return DONE;
    }
}

static enum verdict judge(enum err e)
{
    const enum err unfit[] = { ERR_PROTOCOL, ERR_IDENTITY, ERR_UNINITIALISED, ERR_WRONG_STATE, ERR_NOMEM };
    if (e == ERR_WORKER_DIED || e == ERR_QUARANTINED) {
        return DONE; /* never elsewhere: it would end a worker there too */
    }
    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        if (e == unfit[i]) {
            return NEXT;
        }
    }
    return judge_class(e);
}

/* A failure to reach says less than any member's answer. */
static bool is_transport(enum err e)
{
    return e == ERR_UNREACHABLE || e == ERR_TIMEOUT || e == ERR_TLS;
}

/* -- notes of replies --------------------------------------------------------------- */

static void note_incarnation(struct ringkeep_client *c, const Ringkeep__Reply *reply)
{
    if (!reply->has_incarnation || reply->incarnation.len != ID_SIZE) {
        return;
    }
    if (c->have_incarnation && memcmp(c->incarnation, reply->incarnation.data, ID_SIZE) != 0) {
        client_cut_history(c);
    }
    memcpy(c->incarnation, reply->incarnation.data, ID_SIZE);
    c->have_incarnation = true;
    if (reply->has_index && reply->index > c->index) {
        c->index = reply->index;
    }
}

static void note_reply(struct ringkeep_client *c, const Ringkeep__Reply *reply)
{
    client_lock(c);
    note_incarnation(c, reply);
    if (reply->has_map_epoch && reply->map_epoch > c->map_wanted) {
        c->map_wanted = reply->map_epoch;
    }
    client_unlock(c);
}

enum err client_call_exchange(struct client_call *call,
                              unsigned type,
                              const void *message,
                              struct message_arena **arena,
                              struct Ringkeep__Reply **out)
{
    const uint64_t latest = client_now_ms() + call->request_ms;
    const uint64_t deadline = latest < call->deadline_ms ? latest : call->deadline_ms;
    Ringkeep__Reply *reply = NULL;
    *out = NULL;
    const enum err e = client_conn_exchange(call->conn, type, message, deadline, arena, &reply);
    if (e != ERR_OK) {
        return e;
    }
    note_reply(call->client, reply);
    *out = reply;
    if (reply->error != ERR_OK && reply->text != NULL) {
        client_text_set_foreign(reply->text);
    }
    return err_from_wire(reply->error);
}

uint64_t client_call_index(struct ringkeep_client *c)
{
    client_lock(c);
    const uint64_t index = c->index;
    client_unlock(c);
    return index;
}

/* -- hello ---------------------------------------------------------------------------- */

static enum err say_hello(struct client_call *call)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    static char software[] = "libringkeep " RINGKEEP_VERSION;
    hello.major = PROTOCOL_MAJOR;
    hello.minor = PROTOCOL_MINOR;
    hello.software = software;
    struct ringkeep_client *c = call->client;
    hello.min_index = client_call_index(c);
    hello.has_min_index = hello.min_index != 0;
    TRY(client_call_exchange(call, FRAME_HELLO, &hello, &arena, &reply));
    if (reply->has_cluster_id &&
        !bytes_equal(client_pb_bytes(reply->cluster_id), bytes_of(c->config.cluster_id, ID_SIZE))) {
        client_text_set("the member belongs to another cluster than [cluster] id says");
        call->conn->broken = true;
        return ERR_IDENTITY;
    }
    if (reply->has_member_id && reply->member_id.len == ID_SIZE) {
        client_pool_identify(c, call->member, reply->member_id.data);
    }
    if (reply->map != NULL) {
        client_pool_take_map(c, reply->map);
    }
    return ERR_OK;
}

static bool map_is_old(struct ringkeep_client *c)
{
    client_lock(c);
    const bool old = c->map_wanted > c->map_epoch;
    c->map_epoch = c->map_wanted; /* one thread asks, once */
    client_unlock(c);
    return old;
}

/* -- one member ------------------------------------------------------------------------- */

static enum err connect_member(struct client_call *call)
{
    const uint64_t request_ms = call->request_ms;
    TRY(client_pool_connect(call->client, call->member, call->deadline_ms, &call->conn));
    call->request_ms = request_ms < LIMIT_REQUEST_MS ? request_ms : LIMIT_REQUEST_MS;
    const enum err e = say_hello(call);
    call->request_ms = request_ms;
    call->conn->reused = false;
    if (e != ERR_OK) {
        call->conn->broken = true;
        client_pool_give(call->client, call->member, call->conn);
        call->conn = NULL;
    }
    return e;
}

static enum err attempt_once(struct client_call *call, client_attempt_cb attempt, void *arg)
{
    enum err e = ERR_OK;
    if (map_is_old(call->client) && call->conn->reused) {
        e = say_hello(call);
        if (call->conn->broken) {
            return e;
        }
    }
    e = attempt(call, arg);
    if (call->conn->broken && call->write && call->conn->sent) {
        call->in_doubt = true;
    }
    return e;
}

/* An idle connection may have died unseen: then once more on a new one. */
static enum err try_member(struct client_call *call, client_attempt_cb attempt, void *arg)
{
    enum err e = ERR_OK;
    call->conn = client_pool_take(call->client, call->member);
    if (call->conn != NULL) {
        call->conn->reused = true;
        e = attempt_once(call, attempt, arg);
        const bool died = call->conn->broken && (e == ERR_UNREACHABLE || e == ERR_TLS);
        client_pool_give(call->client, call->member, call->conn);
        call->conn = NULL;
        if (!died) {
            return e;
        }
        client_pool_drop_idle(call->client, call->member, NULL);
    }
    TRY(connect_member(call));
    e = attempt_once(call, attempt, arg);
    client_pool_give(call->client, call->member, call->conn);
    call->conn = NULL;
    return e;
}

static void note_health(struct client_call *call, enum err e)
{
    if (is_transport(e) || e == ERR_PROTOCOL || e == ERR_IDENTITY) {
        client_pool_failed(call->client, call->member);
    } else if (judge(e) != DONE) {
        client_pool_hold(call->client, call->member);
    } else {
        client_pool_worked(call->client, call->member);
    }
}

/* -- the walk ----------------------------------------------------------------------------- */

static void pause_ms(uint64_t ms)
{
    const uint64_t jitter = random_u64(random_system()) % (ms / 4 + 1);
    struct timespec t = { 0, (long)((ms + jitter) * 1000000u) };
    assert(ms + jitter < 1000);
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* Another incarnation: what was cached is forgotten, the walk begins anew, once. */
static bool goes_on_after_cut(struct client_call *call, enum err e)
{
    if (e != ERR_INCARNATION || call->history_cut) {
        return false;
    }
    call->history_cut = true;
    client_lock(call->client);
    client_cut_history(call->client);
    client_unlock(call->client);
    return true;
}

/* Once through all members. *out: the result so far; true: final. */
static bool walk(struct client_call *call, client_attempt_cb attempt, void *arg, enum err *out)
{
    uint64_t tried = 0;
    bool may_pass = false;
    unsigned count = 0;
    enum err kept = ERR_UNREACHABLE;
    while (client_now_ms() < call->deadline_ms) {
        call->member = client_pool_choose(call->client, &tried);
        if (call->member == CLIENT_NO_MEMBER) {
            break;
        }
        enum err e = try_member(call, attempt, arg);
        note_health(call, e);
        client_pool_release(call->client, call->member);
        const bool again = goes_on_after_cut(call, e);
        tried = again ? 0 : tried;
        if (!again && judge(e) == DONE) {
            *out = e;
            return true;
        }
        count++;
        may_pass = may_pass || again || judge(e) == AGAIN;
        kept = is_transport(e) && !is_transport(kept) ? kept : e;
        client_debug("member %u: %s", call->member, err_text(e));
        client_lock(call->client);
        call->client->counters.failovers++;
        client_unlock(call->client);
    }
    *out = count == 0 ? *out : kept;
    return !may_pass;
}

static enum err settle(const struct client_call *call, enum err e)
{
    const bool unsure = call->in_doubt && judge(e) != DONE;
    return unsure ? ERR_UNKNOWN_OUTCOME : e;
}

enum err client_call_run(struct ringkeep_client *c,
                         uint64_t request_ms,
                         bool write,
                         client_attempt_cb attempt,
                         void *arg)
{
    struct client_call call = { 0 };
    enum err e = ERR_UNREACHABLE;
    uint64_t pause = PAUSE_FIRST_MS;
    client_text_clear();
    client_lock(c);
    const uint64_t call_ms = c->call_ms;
    c->counters.calls++;
    client_unlock(c);
    call.client = c;
    call.write = write;
    call.deadline_ms = client_now_ms() + call_ms;
    call.request_ms = request_ms == 0 ? call_ms : request_ms;
    while (!walk(&call, attempt, arg, &e)) {
        const uint64_t now = client_now_ms();
        const uint64_t left = now < call.deadline_ms ? call.deadline_ms - now : 0;
        if (left < (uint64_t)2 * PAUSE_FIRST_MS) {
            break;
        }
        pause_ms(pause < left / 2 ? pause : left / 2);
        pause = 2 * pause < PAUSE_LAST_MS ? 2 * pause : PAUSE_LAST_MS;
        client_lock(c);
        c->counters.retries++;
        client_unlock(c);
    }
    return settle(&call, e);
}

enum err client_call_other(struct client_call *call, uint64_t *tried, struct client_call *out)
{
    *tried |= 1ull << call->member;
    for (;;) {
        *out = *call;
        out->conn = NULL;
        out->write = false;
        out->member = client_pool_choose(call->client, tried);
        if (out->member == CLIENT_NO_MEMBER) {
            return ERR_NOTFOUND;
        }
        out->conn = client_pool_take(call->client, out->member);
        if (out->conn != NULL || connect_member(out) == ERR_OK) {
            return ERR_OK;
        }
        client_pool_failed(call->client, out->member);
        client_pool_release(call->client, out->member);
    }
}
