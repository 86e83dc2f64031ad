/* SPDX-License-Identifier: Apache-2.0 */
/* The login of crypto-spec section 3 from the client's side: challenge, envelope,
 * reply, pins. The password lies in one envelope_pin and is wiped on every way
 * out; what stays is the ticket and its secret ts. */
#include "client/client_login.h"

#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_pins.h"
#include "client/client_pool.h"
#include "client/client_text.h"

/* -- pins ------------------------------------------------------------------------- */

/* The newest of the file (another process may have logged in) and memory. */
static enum err get_pins(struct ringkeep_client *c, struct envelope_pinned *out)
{
    struct envelope_pinned there;
    const enum err e = client_pins_load(c->config.state, &there);
    client_lock(c);
    if (e == ERR_OK && (!c->have_pins || client_pins_older(&c->pins, &there))) {
        c->pins = there;
        c->have_pins = true;
    }
    const bool have = c->have_pins;
    if (have) {
        *out = c->pins;
    }
    client_unlock(c);
    if (!have) {
        client_text_set("%s: %s; register this client again",
                        c->config.state,
                        e == ERR_REFUSED ? "may be written by others" : err_text(e));
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static void set_pins(struct ringkeep_client *c, const struct envelope_pinned *p)
{
    uint8_t before[CLIENT_PINS_MAX], after[CLIENT_PINS_MAX];
    client_lock(c);
    const size_t old_size = client_pins_encode(&c->pins, before);
    const size_t new_size = client_pins_encode(p, after);
    const bool same = old_size == new_size && memcmp(before, after, new_size) == 0;
    const bool news = !same && !client_pins_older(p, &c->pins);
    if (news) {
        c->pins = *p;
    }
    client_unlock(c);
    if (news && client_pins_save(c->config.state, p) != ERR_OK) {
        client_debug("%s: cannot be written", c->config.state);
    }
}

void client_challenge_drop(struct client_challenge *c)
{
    buf_drop(&c->identities);
}

/* -- challenge ---------------------------------------------------------------------- */

static enum err ask_challenge(struct client_call *call,
                              const uint8_t keyring_id[ID_SIZE],
                              struct message_arena **arena,
                              struct Ringkeep__Reply **out)
{
    Ringkeep__Challenge m = RINGKEEP__CHALLENGE__INIT;
    Ringkeep__Reply *reply = NULL;
    m.keyring_id = client_pb_of(keyring_id, ID_SIZE);
    TRY(client_call_exchange(call, FRAME_CHALLENGE, &m, arena, &reply));
    if (!reply->has_challenge || reply->challenge.len != ID_SIZE || !reply->has_login_key ||
        reply->login_key.len != ENVELOPE_LOGIN_KEY || !reply->has_identities) {
        client_text_set("a member's challenge lacks a part");
        call->conn->broken = true;
        return ERR_PROTOCOL;
    }
    *out = reply;
    return ERR_OK;
}

/* A second statement of the same login key, from another member. */
static enum err ask_second(struct client_call *call,
                           const uint8_t keyring_id[ID_SIZE],
                           uint64_t *tried,
                           uint8_t second[ENVELOPE_LOGIN_KEY])
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    struct client_call other;
    TRY(client_call_other(call, tried, &other));
    const enum err e = ask_challenge(&other, keyring_id, &arena, &reply);
    if (e == ERR_OK) {
        memcpy(second, reply->login_key.data, ENVELOPE_LOGIN_KEY);
    }
    client_pool_give(other.client, other.member, other.conn);
    client_pool_release(other.client, other.member);
    return e;
}

static enum err choose_key(struct client_call *call,
                           const uint8_t keyring_id[ID_SIZE],
                           const struct envelope_pinned *pins,
                           bool login,
                           const struct Ringkeep__Reply *reply,
                           struct envelope_chosen *out)
{
    uint8_t second[ENVELOPE_LOGIN_KEY];
    struct bytes more = { NULL, 0 };
    uint64_t tried = 0;
    const struct bytes l = client_pb_bytes(reply->login_key), i = client_pb_bytes(reply->identities);
    const uint8_t *cluster = call->client->config.cluster_id;
    const uint64_t now = clock_wall_s(clock_system());
    enum err e = envelope_accept_two(pins, cluster, l, more, i, login, now, out);
    while (e == ERR_WRONG_STATE && client_now_ms() < call->deadline_ms) {
        const enum err asked = ask_second(call, keyring_id, &tried, second);
        if (asked == ERR_NOTFOUND) {
            return ERR_REFUSED; /* no second signer to be had */
        }
        if (asked == ERR_OK) {
            more = bytes_of(second, sizeof(second));
            e = envelope_accept_two(pins, cluster, l, more, i, login, now, out);
        }
        e = e == ERR_REFUSED || e == ERR_BAD_TAG ? ERR_WRONG_STATE : e; /* of that one: the next */
    }
    return e == ERR_WRONG_STATE ? ERR_REFUSED : e;
}

enum err client_login_challenge(struct client_call *call,
                                const uint8_t keyring_id[ID_SIZE],
                                bool login,
                                struct client_challenge *out)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    struct envelope_pinned pins;
    TRY(get_pins(call->client, &pins));
    TRY(ask_challenge(call, keyring_id, &arena, &reply));
    const enum err e = choose_key(call, keyring_id, &pins, login, reply, &out->key);
    if (e == ERR_REFUSED && !login) {
        client_text_set("the cluster has a new login key: log in first");
        return ERR_LOGIN_REQUIRED;
    }
    if (e != ERR_OK) {
        client_text_set("the login key that a member shows is not one this client trusts; "
                        "if the cluster was recovered, register this client again");
        return ERR_IDENTITY;
    }
    memcpy(out->challenge, reply->challenge.data, ID_SIZE);
    buf_clear(&out->identities);
    return buf_append(&out->identities, client_pb_bytes(reply->identities), ENVELOPE_IDENTITIES_MAX);
}

/* -- login and change ----------------------------------------------------------------- */

struct attempt {
    const uint8_t *keyring_id;
    unsigned role;
    struct bytes password, new_password;
    bool change;
    bool doubt; /* an attempt to change ended without an answer */
};

/* What one exchange needs besides: kept together to be wiped together. */
struct sealed {
    struct envelope_pin pin;
    uint8_t envelope[ENVELOPE_PIN];
    uint8_t request_id[ID_SIZE];
};

static void sealed_wipe(struct sealed *s)
{
    bytes_wipe(s, sizeof(*s));
}
#define SEALED_SCOPED __attribute__((cleanup(sealed_wipe))) struct sealed

static enum err seal_password(const struct client_call *call,
                              const struct attempt *a,
                              const struct client_challenge *ch,
                              struct sealed *s)
{
    struct envelope_context context = { 0 };
    uint8_t packed[ENVELOPE_PIN_CONTEXT];
    memcpy(context.cluster_id, call->client->config.cluster_id, ID_SIZE);
    memcpy(context.challenge, ch->challenge, ID_SIZE);
    memcpy(context.kr_id, a->keyring_id, ID_SIZE);
    memcpy(context.client_spki, call->client->spki_hash, X509_SPKI_HASH);
    context.role = (uint8_t)a->role;
    envelope_pin_context(&context, packed);
    random_fill(random_system(), s->request_id, ID_SIZE);
    const unsigned verb = a->change ? ENVELOPE_CHANGE : ENVELOPE_LOGIN;
    TRY(envelope_pin_fill(verb, a->password, a->new_password, NULL, &s->pin));
    return envelope_pin_seal(ch->key.lk_pub, packed, &s->pin, s->envelope);
}

static enum err keep_ticket(struct ringkeep_client *c, const struct attempt *a, struct bytes ticket, const uint8_t *ts)
{
    struct buf copy = { 0 };
    TRY(buf_append(&copy, ticket, CLIENT_TICKET));
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, a->keyring_id, true);
    if (k != NULL) {
        client_login_forget(&k->login);
        k->login.serial = ++c->next_serial;
        k->login.got_ms = clock_boot_ms(clock_system());
        k->login.refresh_at_ms = k->login.got_ms + CLIENT_REFRESH_MS;
        k->login.role = a->role;
        k->login.ticket = copy;
        memcpy(k->login.ts, ts, ENVELOPE_TS);
    }
    client_unlock(c);
    if (k == NULL) {
        buf_drop(&copy);
        return ERR_NOMEM;
    }
    return ERR_OK;
}

/* The answer of a core that knows ts, or nothing is pinned and no ticket kept. */
static enum err take_reply(struct client_call *call,
                           const struct attempt *a,
                           const struct client_challenge *ch,
                           const struct sealed *s,
                           const struct Ringkeep__Reply *reply)
{
    struct envelope_pinned pins;
    if (!reply->has_login_reply || (!a->change && !reply->has_ticket)) {
        call->conn->broken = true;
        return ERR_PROTOCOL;
    }
    const enum err e = envelope_login_reply_open(client_pb_bytes(reply->login_reply),
                                                 s->pin.ts,
                                                 s->request_id,
                                                 &ch->key,
                                                 buf_bytes(&ch->identities),
                                                 &pins);
    if (e != ERR_OK) {
        client_text_set("the login reply does not fit what the member showed: login dropped");
        return ERR_IDENTITY;
    }
    set_pins(call->client, &pins);
    return a->change ? ERR_OK : keep_ticket(call->client, a, client_pb_bytes(reply->ticket), s->pin.ts);
}

static enum err exchange_password(struct client_call *call, const struct attempt *a)
{
    MESSAGE_SCOPED *arena = NULL;
    Ringkeep__Reply *reply = NULL;
    SEALED_SCOPED s = { 0 };
    CLIENT_CHALLENGE_SCOPED ch = { 0 };
    Ringkeep__Login m = RINGKEEP__LOGIN__INIT;
    TRY(client_login_challenge(call, a->keyring_id, true, &ch));
    TRY(seal_password(call, a, &ch, &s));
    m.keyring_id = client_pb_of(a->keyring_id, ID_SIZE);
    m.role = a->role;
    m.challenge = client_pb_of(ch.challenge, ID_SIZE);
    m.envelope = client_pb_of(s.envelope, sizeof(s.envelope));
    m.request_id = client_pb_of(s.request_id, ID_SIZE);
    m.min_index = client_call_index(call->client);
    m.has_min_index = m.min_index != 0;
    TRY(client_call_exchange(call, a->change ? FRAME_PASSWORD : FRAME_LOGIN, &m, &arena, &reply));
    return take_reply(call, a, &ch, &s, reply);
}

static enum err attempt_login(struct client_call *call, void *arg)
{
    return exchange_password(call, arg);
}

/* A change whose answer was lost may have happened: then the old password is
 * wrong, and the new one tells. */
static enum err attempt_change(struct client_call *call, void *arg)
{
    struct attempt *a = arg;
    enum err e = exchange_password(call, a);
    if (e == ERR_PIN_INCORRECT && a->doubt) {
        struct attempt check = *a;
        check.change = false;
        check.password = a->new_password;
        check.new_password = bytes_of(NULL, 0);
        return exchange_password(call, &check);
    }
    const bool lost = call->conn->broken && call->conn->sent;
    a->doubt = a->doubt || lost || e == ERR_UNKNOWN_OUTCOME || e == ERR_TIMEOUT || e == ERR_IDENTITY;
    return e;
}

static bool size_ok(size_t size)
{
    return size >= 1 && size <= LIMIT_PASSWORD;
}

int ringkeep_login(struct ringkeep_client *c,
                   const uint8_t keyring_id[16],
                   unsigned role,
                   const void *password,
                   size_t size)
{
    struct attempt a = { 0 };
    if (!size_ok(size)) {
        return ERR_PIN_LENGTH;
    }
    a.keyring_id = keyring_id;
    a.role = role;
    a.password = bytes_of(password, size);
    return (int)client_call_run(c, 0, false, attempt_login, &a);
}

int ringkeep_change_password(struct ringkeep_client *c,
                             const uint8_t keyring_id[16],
                             unsigned role,
                             const void *old_password,
                             size_t old_size,
                             const void *new_password,
                             size_t new_size)
{
    struct attempt a = { 0 };
    if (!size_ok(old_size) || new_size < LIMIT_PASSWORD_MIN || new_size > LIMIT_PASSWORD) {
        return ERR_PIN_LENGTH;
    }
    a.keyring_id = keyring_id;
    a.role = role;
    a.change = true;
    a.password = bytes_of(old_password, old_size);
    a.new_password = bytes_of(new_password, new_size);
    return (int)client_call_run(c, 0, true, attempt_change, &a);
}

int ringkeep_logout(struct ringkeep_client *c, const uint8_t keyring_id[16])
{
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    const bool was = k != NULL && k->login.serial != 0;
    if (was) {
        client_login_forget(&k->login);
        client_catalogue_drop(k->catalogue);
        k->catalogue = NULL;
    }
    client_unlock(c);
    if (!was) {
        return ERR_LOGIN_REQUIRED;
    }
    client_pool_drop_idle(c, CLIENT_NO_MEMBER, keyring_id); /* their sessions end with them */
    return ERR_OK;
}

bool ringkeep_logged_in(struct ringkeep_client *c, const uint8_t keyring_id[16])
{
    client_lock(c);
    struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    bool in = k != NULL && k->login.serial != 0;
    if (in && clock_boot_ms(clock_system()) - k->login.got_ms >= CLIENT_TICKET_MS) {
        client_login_forget(&k->login);
        in = false;
    }
    client_unlock(c);
    return in;
}
