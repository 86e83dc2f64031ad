/* SPDX-License-Identifier: Apache-2.0 */
/* member invite, member join, member list. Loop thread. */
#include <stdlib.h>
#include <string.h>

#include "appliance/admin_find.h"
#include "appliance/admin_handlers.h"
#include "appliance/core_port.h"
#include "appliance/duties.h"
#include "base/log.h"
#include "base/x509.h"
#include "keyring/query.h"
#include "proto/envelope.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define ROLE_SO 1u
#define ROLE_PO 3u
#define TOKEN_IDS 80u

/* -- invite ------------------------------------------------------------------------ */

struct invite_state {
    struct envelope_token token;
    char text[ENVELOPE_TOKEN_TEXT];
    uint64_t expiry;
    struct buf sealed;
};

static void drop_invite(void *state)
{
    struct invite_state *i = state;
    envelope_token_wipe(&i->token);
    bytes_wipe(i->text, sizeof i->text);
    buf_drop(&i->sealed);
}

static void on_invite_put(struct admin_request *r, const struct outcome *outcome)
{
    const struct invite_state *i = r->state;
    (void)outcome;
    admin_text(r, "token", i->text);
    admin_number(r, "expires", i->expiry);
    admin_text(r, "next", "on the new member run: ringkeep member join, with this token and the domain secret");
    admin_done(r);
}

struct addresses {
    struct envelope_token *token;
    const struct cluster_member *members;
    unsigned count;
};

static enum err take_address(void *arg, struct bytes key, const void *message)
{
    struct addresses *x = arg;
    const Ringkeep__MemberRow *row = message;
    for (unsigned i = 0; i < x->count; i++) {
        const struct cluster_member *m = &x->members[i];
        const bool same = key.size == ID_SIZE && memcmp(m->member_id, key.data, ID_SIZE) == 0;
        const bool fits = strlen(row->join_address) < LIMIT_ADDRESS;
        if (same && fits && (m->alive || m->self) && x->token->count < ENVELOPE_TOKEN_ADDRESSES) {
            memcpy(x->token->address[x->token->count++], row->join_address, strlen(row->join_address) + 1);
        }
    }
    return ERR_OK;
}

static enum err fill_token(const struct admin_request *r, struct invite_state *i, const struct core_reply *core)
{
    struct cluster_member members[LIMIT_MEMBERS];
    STORE_VIEW_SCOPED *view = NULL;
    void *found = NULL;
    if (core->section[0].size != ID_SIZE || core->section[2].size != sizeof i->token.secret) {
        return ERR_PROTOCOL;
    }
    memcpy(i->token.invite_id, core->section[0].data, ID_SIZE);
    memcpy(i->token.secret, core->section[2].data, sizeof i->token.secret);
    i->expiry = core->number;
    TRY(buf_append(&i->sealed, core->section[1], LIMIT_RECORD));
    TRY(store_view_open(r->a->store, &view));
    TRY(query_cluster(view, &found));
    const Ringkeep__ClusterRow *row = found;
    enum err e = wire_copy(row->cluster_id, i->token.cluster_id, ID_SIZE);
    if (e == ERR_OK) {
        e = wire_copy(row->domain_id, i->token.domain_id, ID_SIZE);
    }
    query_drop(found);
    TRY(e);
    struct addresses x = { &i->token, members, cluster_members(r->a->cluster, members, LIMIT_MEMBERS) };
    TRY(query_each(view, STORE_MEMBERS, bytes_of(NULL, 0), take_address, &x));
    return envelope_token_encode(&i->token, i->text);
}

static void on_invite(struct admin_request *r, const struct core_reply *core)
{
    struct invite_state *i = r->state;
    Ringkeep__InvitePut m = RINGKEEP__INVITE_PUT__INIT;
    const enum err e = fill_token(r, i, core);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    m.invite_id = wire_array(i->token.invite_id, ID_SIZE);
    m.sealed = wire_data(buf_bytes(&i->sealed));
    m.expiry = i->expiry;
    admin_propose(r, RINGKEEP__COMMAND__VERB_INVITE_PUT, &m, "the invite", on_invite_put);
}

static void invite_with_quorum(struct admin_request *r)
{
    const struct core_request q = { .verb = CORE_INVITE_CREATE,
                                    .handle = r->handle,
                                    .number = (uint64_t)LIMIT_INVITE_S };
    admin_core(r, &q, "making the invite", on_invite);
}

static void invite_logged_in(struct admin_request *r)
{
    admin_quorum(r, invite_with_quorum);
}

void admin_invite(struct admin_request *r)
{
    if (admin_state(r, sizeof(struct invite_state), drop_invite) != NULL) {
        admin_login(r, "po", ROLE_PO, invite_logged_in);
    }
}

/* -- join ------------------------------------------------------------------------------ */

struct join_state {
    struct envelope_token token;
    uint8_t member_id[ID_SIZE];
    char text[256];
};

static void drop_join(void *state)
{
    struct join_state *j = state;
    envelope_token_wipe(&j->token);
}

static void joined(struct admin_request *r)
{
    const struct join_state *j = r->state;
    const struct cluster_core *core = core_port_cluster(r->a->port);
    admin_hex(r, "cluster_id", bytes_of(j->token.cluster_id, ID_SIZE));
    admin_hex(r, "member_id", bytes_of(j->member_id, ID_SIZE));
    admin_text(r, "state", core->authorized(core->impl) ? "authorized" : "sealed");
    if (j->text[0] != '\0') {
        admin_text(r, "joined", j->text);
    }
    if (r->a->duties != NULL) {
        duties_run(r->a->duties);
    }
    admin_done(r);
}

static void on_joined(void *arg, enum err e, const char *text)
{
    struct admin_request *r = arg;
    struct join_state *j = r->state;
    if (e != ERR_OK) {
        admin_fail(r, e, text != NULL && text[0] != '\0' ? text : NULL);
        return;
    }
    if (text != NULL) {
        (void)strncpy(j->text, text, sizeof j->text - 1); /* zeroed: ends */
    }
    admin_refresh(r, joined);
}

static void on_request(struct admin_request *r, const struct core_reply *core)
{
    const struct join_state *j = r->state;
    r->doing = "joining the cluster";
    const enum err e = cluster_join(r->a->cluster,
                                    core->section[0],
                                    j->member_id,
                                    j->token.address,
                                    j->token.count,
                                    on_joined,
                                    r);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
    }
}

static void join_logged_in(struct admin_request *r)
{
    const struct join_state *j = r->state;
    struct core_request q = { .verb = CORE_JOIN_BEGIN, .handle = r->handle };
    uint8_t ids[TOKEN_IDS], hash[X509_SPKI_HASH];
    enum err e = admin_find_own_spki(r, hash);
    if (e == ERR_OK) {
        e = admin_envelope(r, "domain", &q.section[0], &q.section[1]);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, e == ERR_USAGE ? "the domain secret's envelope is missing" : NULL);
        return;
    }
    memcpy(ids, j->token.cluster_id, ID_SIZE);
    memcpy(ids + 16, j->token.domain_id, ID_SIZE);
    memcpy(ids + 32, j->token.invite_id, ID_SIZE);
    memcpy(ids + 48, j->token.secret, sizeof j->token.secret);
    q.section[2] = bytes_of(ids, sizeof ids);
    q.section[3] = bytes_of(hash, sizeof hash);
    admin_core(r, &q, "beginning the join in the core", on_request);
    bytes_wipe(ids, sizeof ids);
}

static void join_checked(struct admin_request *r)
{
    struct join_state *j = r->state;
    if (cluster_is_member(r->a->cluster)) {
        admin_fail(r, ERR_WRONG_STATE, "this member belongs to a cluster already");
        return;
    }
    memcpy(j->member_id, core_port_status(r->a->port)->core_id, ID_SIZE);
    admin_login(r, "so", ROLE_SO, join_logged_in);
}

void admin_join(struct admin_request *r)
{
    const char *text = admin_argument(r, "token");
    struct join_state *j = admin_state(r, sizeof *j, drop_join);
    if (j == NULL) {
        return;
    }
    if (text == NULL || envelope_token_decode(text, &j->token) != ERR_OK) {
        admin_fail(r, ERR_TOKEN, "the token is not whole: copy all of it, it begins with rk1-");
        return;
    }
    admin_refresh(r, join_checked);
}

/* -- list ---------------------------------------------------------------------------------- */

static const char *vote_text(enum replica_vote vote)
{
    static const char *const texts[] = {
        [REPLICA_VOTER] = "voter", [REPLICA_STANDBY] = "standby", [REPLICA_SPARE] = "joining"
    };
    return texts[vote];
}

void admin_member_list(struct admin_request *r)
{
    struct cluster_member members[LIMIT_MEMBERS];
    const unsigned count = cluster_members(r->a->cluster, members, LIMIT_MEMBERS);
    for (unsigned i = 0; i < count; i++) {
        const struct cluster_member *m = &members[i];
        admin_row_begin(r);
        admin_text(r, "name", m->name);
        admin_hex(r, "id", bytes_of(m->member_id, ID_SIZE));
        admin_text(r, "client", m->client_address);
        admin_text(r, "peer", m->peer_address);
        admin_text(r, "vote", vote_text(m->vote));
        admin_text(r, "alive", m->self || m->alive ? "yes" : "no");
    }
    admin_row_end(r);
    admin_done(r);
}
