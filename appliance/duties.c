/* SPDX-License-Identifier: Apache-2.0 */
/* The member's own clockwork. Each duty is one question to the core and, where its
 * answer is for all, one command; what fails is done again in the next round. Loop
 * thread. */
#include "appliance/duties.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/catalogue.h"
#include "appliance/client_door.h"
#include "appliance/core_port.h"
#include "appliance/logins.h"
#include "appliance/sessions.h"
#include "base/log.h"
#include "keyring/command.h"
#include "keyring/query.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define ROUND_MS 1000u
#define CERTIFICATE_ROUNDS 600u /* how often the certificate's life is looked at */
#define SWEEP_ROUNDS 10u
#define EXPIRE_ROUNDS 3u
#define EXPIRE_BATCH 16u
#define RECORD_BATCH 16u
#define LOGIN_KEY_S 86400u
#define RETRY_S 10u

/* One thing that is signed by the core and then replicated. */
enum chore_number { CHORE_BEACON, CHORE_LOGIN_KEY, CHORES };
struct chore {
    bool asking;
    uint64_t due_ms; /* 0: at once */
};

struct duties {
    struct appliance *a;
    uv_timer_t timer;
    uint64_t rounds;
    bool was_authorized, closing;
    struct chore chore[CHORES];
    uint64_t roster_told, lk_version;
    bool telling_roster;
    unsigned telling;     /* RECORD_SEEN under way */
    const struct store_view *view; /* of the round */
    struct certificate certificate;
};

static uint64_t now_ms(const struct duties *d)
{
    return clock_mono_ms(d->a->clock);
}

static void on_ignored(void *arg, enum err e, const struct outcome *outcome)
{
    (void)arg;
    const enum err result = e == ERR_OK && outcome != NULL ? outcome->error : e;
    if (result != ERR_OK) {
        log_debug("a duty's command: %s", err_text(result));
    }
}

/* A command of the cluster itself. */
static enum err propose(struct duties *d, unsigned field, const void *message)
{
    BUF_SCOPED command = { 0 };
    struct command_origin origin = { 0 };
    cluster_incarnation(d->a->cluster, origin.incarnation);
    TRY(command_build(&command, &origin, field, message));
    return cluster_propose(d->a->cluster, buf_bytes(&command), LIMIT_REQUEST_MS, on_ignored, d);
}

/* -- beacon and login key ------------------------------------------------------------- */

static enum err put_beacon(struct duties *d, struct bytes signed_by_core)
{
    Ringkeep__BeaconPut m = RINGKEEP__BEACON_PUT__INIT;
    uint8_t member[ID_SIZE];
    cluster_member_id(d->a->cluster, member);
    m.member_id = wire_array(member, sizeof member);
    m.beacon = wire_data(signed_by_core);
    return propose(d, RINGKEEP__COMMAND__VERB_BEACON_PUT, &m);
}

static enum err put_login_key(struct duties *d, struct bytes signed_by_core)
{
    Ringkeep__LoginKeyPut m = RINGKEEP__LOGIN_KEY_PUT__INIT;
    uint8_t member[ID_SIZE];
    cluster_member_id(d->a->cluster, member);
    m.member_id = wire_array(member, sizeof member);
    m.login_key = wire_data(signed_by_core);
    return propose(d, RINGKEEP__COMMAND__VERB_LOGIN_KEY_PUT, &m);
}

struct chore_row {
    unsigned verb;
    uint64_t every_s;
    enum err (*put)(struct duties *d, struct bytes signed_by_core);
};
static const struct chore_row chores[CHORES] = {
    [CHORE_BEACON] = { CORE_BEACON, LIMIT_BEACON_S, put_beacon },
    [CHORE_LOGIN_KEY] = { CORE_LOGIN_KEY, LOGIN_KEY_S, put_login_key },
};

static void end_chore(struct duties *d, enum chore_number n, enum err e, struct bytes made)
{
    d->chore[n].asking = false;
    if (e == ERR_OK) {
        e = chores[n].put(d, made);
    }
    d->chore[n].due_ms = now_ms(d) + (e == ERR_OK ? chores[n].every_s : RETRY_S) * 1000;
}

static void on_beacon(void *arg, enum err e, const struct core_reply *reply)
{
    end_chore(arg, CHORE_BEACON, e, reply != NULL ? reply->section[0] : bytes_of(NULL, 0));
}

static void on_login_key(void *arg, enum err e, const struct core_reply *reply)
{
    end_chore(arg, CHORE_LOGIN_KEY, e, reply != NULL ? reply->section[0] : bytes_of(NULL, 0));
}

static void do_chores(struct duties *d)
{
    static const core_reply_cb answers[CHORES] = { on_beacon, on_login_key };
    const uint64_t lk_version = core_port_status(d->a->port)->lk_version;
    if (lk_version != d->lk_version) {
        d->lk_version = lk_version;
        d->chore[CHORE_LOGIN_KEY].due_ms = 0;
    }
    for (unsigned n = 0; n < CHORES; n++) {
        struct chore *c = &d->chore[n];
        const struct core_request q = { .verb = chores[n].verb };
        if (!c->asking && now_ms(d) >= c->due_ms) {
            c->asking = core_call(d->a->core, &q, LIMIT_REQUEST_MS, answers[n], d) == ERR_OK;
        }
    }
}

/* -- what the core must know ----------------------------------------------------------- */

static void on_roster_told(void *arg, enum err e, const struct core_reply *reply)
{
    struct duties *d = arg;
    d->telling_roster = false;
    if (e == ERR_OK && reply != NULL) {
        d->roster_told = reply->number;
    } else {
        log_warn("the core does not take the replicated roster: %s", err_text(e));
    }
}

static void tell_roster(struct duties *d)
{
    void *found = NULL;
    if (d->telling_roster || query_cluster(d->view, &found) != ERR_OK) {
        return;
    }
    const Ringkeep__ClusterRow *row = found;
    if (row->roster_version > d->roster_told) {
        const struct core_request q = { .verb = CORE_ROSTER_SEEN, .section = { wire_bytes(row->roster) } };
        d->telling_roster =
            core_call(d->a->core, &q, LIMIT_REQUEST_MS, on_roster_told, d) == ERR_OK;
    }
    query_drop(found);
}

static void on_record_told(void *arg, enum err e, const struct core_reply *reply)
{
    struct duties *d = arg;
    (void)reply;
    d->telling--;
    if (e != ERR_OK) {
        log_debug("a record for the core: %s", err_text(e));
    }
}

/* Keyrings with sessions here: a raised epoch ends their old handles. Others are
 * shown to the core with each login and open. */
static void tell_record(void *arg, struct session_keyring *k)
{
    struct duties *d = arg;
    void *found = NULL;
    if (d->telling >= RECORD_BATCH || query_keyring(d->view, k->keyring_id, &found) != ERR_OK) {
        return;
    }
    const Ringkeep__KeyringRow *row = found;
    const struct core_request q = { .verb = CORE_RECORD_SEEN, .section = { wire_bytes(row->record) } };
    if (row->version > k->seen &&
        core_call(d->a->core, &q, LIMIT_REQUEST_MS, on_record_told, d) == ERR_OK) {
        k->seen = row->version;
        d->telling++;
    }
    query_drop(found);
}

/* -- the leader's ------------------------------------------------------------------------- */

struct expired {
    struct duties *d;
    unsigned count;
    struct {
        uint8_t keyring_id[ID_SIZE];
        unsigned role;
    } row[EXPIRE_BATCH];
};

static enum err take_expired(void *arg, struct bytes key, const void *message)
{
    struct expired *x = arg;
    const Ringkeep__LoginRow *row = message;
    const uint64_t now = clock_wall_s(x->d->a->clock);
    bool old = false;
    for (size_t i = 0; i < row->n_pending; i++) {
        old = old || row->pending[i]->stamp_s + LIMIT_RESERVATION_S < now;
    }
    if (!old) {
        return ERR_OK;
    }
    if (x->count == EXPIRE_BATCH) {
        return ERR_NOTFOUND;
    }
    assert(key.size == ID_SIZE + 1);
    memcpy(x->row[x->count].keyring_id, key.data, ID_SIZE);
    x->row[x->count].role = key.data[ID_SIZE];
    x->count++;
    return ERR_OK;
}

static void expire(struct duties *d)
{
    struct replica_status raft = { 0 };
    struct expired x = { .d = d };
    cluster_replica_status(d->a->cluster, &raft);
    if (raft.role != REPLICA_LEADER || !raft.leader_ready) {
        return;
    }
    if (query_each(d->view, STORE_LOGINS, bytes_of(NULL, 0), take_expired, &x) != ERR_OK) {
        return;
    }
    for (unsigned i = 0; i < x.count; i++) {
        Ringkeep__LoginExpire m = RINGKEEP__LOGIN_EXPIRE__INIT;
        m.keyring_id = wire_array(x.row[i].keyring_id, ID_SIZE);
        m.role = x.row[i].role;
        if (propose(d, RINGKEEP__COMMAND__VERB_LOGIN_EXPIRE, &m) != ERR_OK) {
            return;
        }
    }
}

/* -- the round ------------------------------------------------------------------------------ */

/* A core that was sealed meanwhile may have forgotten what it was told. */
static bool note_authorized(struct duties *d)
{
    const struct cluster_core *core = core_port_cluster(d->a->port);
    const bool is = core->authorized(core->impl);
    const bool news = is && !d->was_authorized;
    d->was_authorized = is;
    if (news) {
        d->roster_told = 0;
        d->chore[CHORE_BEACON].due_ms = 0;
        d->chore[CHORE_LOGIN_KEY].due_ms = 0;
        log_info("this member is authorized");
    }
    return news;
}

static void as_member(struct duties *d)
{
    STORE_VIEW_SCOPED *view = NULL;
    const bool news = note_authorized(d);
    if (store_view_open(d->a->store, &view) != ERR_OK) {
        return;
    }
    d->view = view;
    if (d->was_authorized) {
        tell_roster(d);
        sessions_each_keyring(d->a->sessions, tell_record, d);
        do_chores(d);
    }
    if (d->rounds % EXPIRE_ROUNDS == 0) {
        expire(d);
    }
    d->view = NULL;
    const bool no_door = d->a->clients != NULL && !client_door_listening(d->a->clients);
    if (news || d->rounds % CERTIFICATE_ROUNDS == 0 || no_door) {
        certificate_renew(&d->certificate, NULL, NULL);
    }
}

void duties_run(struct duties *d)
{
    if (d->closing) {
        return;
    }
    d->rounds++;
    core_port_refresh(d->a->port, NULL, NULL);
    logins_sweep(d->a->logins, now_ms(d));
    if (d->rounds % SWEEP_ROUNDS == 0) {
        catalogue_sweep(d->a->catalogue, now_ms(d));
    }
    if (cluster_is_member(d->a->cluster)) {
        as_member(d);
    }
}

static void on_timer(uv_timer_t *timer)
{
    duties_run(timer->data);
}

enum err duties_open(struct appliance *a, struct duties **out)
{
    struct duties *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->a = a;
    d->certificate.a = a;
    d->timer.data = d;
    if (uv_timer_init(a->loop, &d->timer) != 0 || uv_timer_start(&d->timer, on_timer, 0, ROUND_MS) != 0) {
        free(d);
        return ERR_IO;
    }
    *out = d;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void duties_close(struct duties *d)
{
    if (d != NULL && !d->closing) {
        d->closing = true;
        uv_close((uv_handle_t *)&d->timer, on_closed);
    }
}

struct certificate *duties_certificate(struct duties *d)
{
    return &d->certificate;
}
