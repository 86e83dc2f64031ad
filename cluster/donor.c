/* SPDX-License-Identifier: Apache-2.0 */
/* Donor's side of a join or an inheritance: carries M1 to M4 for our core and gives
 * it what it asks of the replicated state. What gives power needs a quorum
 * (consistency.md 13): a barrier before M1; for a join the spending of the invite
 * is committed before M3 is asked for. Loop thread.
 *
 * begin -> barrier -> visible -> M1 | M2 -> check -> [spend] -> M3 | M4 -> done ->
 * [roster, visible] -> welcome. At | the other side is waited for. One step is under way at
 * a time (busy); a donor whose link went ends at its next step, unless J has the
 * SMK already: then its row is put into the roster all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/core_verbs.h"
#include "cluster/inside.h"
#include "command.pb-c.h"
#include "keyring/query.h"
#include "peer.pb-c.h"

#define MESSAGE_MAX 256u /* M2 and M4 */

enum donor_step { DONOR_IDLE, DONOR_BEGUN, DONOR_M1_SENT, DONOR_M3_SENT };

struct donor {
    struct cluster *c;
    struct link *link; /* NULL: gone */
    bool join, busy, donating;
    enum donor_step step;
    struct directory_row member;         /* J; of a join as it claims */
    uint8_t request[CORE_VERBS_REQUEST]; /* J's */
    unsigned type;
    uint64_t frame, run, begun_ms;
    uint8_t message[MESSAGE_MAX];
    size_t message_size;
    uint64_t roster_version;
};

/* -- answers ---------------------------------------------------------------------------- */

static const char *class_of(const struct donor *d)
{
    return d->join ? "join" : "inherit";
}

static void drop(struct donor *d)
{
    struct cluster *c = d->c;
    if (d->donating) {
        c->donating = false;
    }
    free(d);
    cluster_release(c);
}

static void rest(struct donor *d)
{
    d->step = DONOR_IDLE;
    d->run = 0;
    if (d->donating) {
        d->c->donating = false;
        d->donating = false;
    }
}

/* Ends the run with an error; d may be gone afterwards. PeerReply and JoinWelcome
 * have error and text in the same fields. */
static void refuse(struct donor *d, enum err e, const char *text)
{
    char hex[CLUSTER_HEX];
    log_security(class_of(d), cluster_hex(d->member.member_id, hex), text, err_name(e));
    rest(d);
    if (d->link == NULL) {
        drop(d);
        return;
    }
    cluster_answer(d->link, d->type, d->frame, e, text);
}

static void refuse_core(struct donor *d, enum err e)
{
    char text[CLUSTER_TEXT];
    (void)snprintf(text, sizeof text, "the donor's core refused: %s", err_text(e));
    refuse(d, e, text);
}

static void answer_message(struct donor *d, struct bytes message)
{
    Ringkeep__PeerReply r = RINGKEEP__PEER_REPLY__INIT;
    r.has_clone_message = 1;
    r.clone_message.data = (uint8_t *)(uintptr_t)message.data;
    r.clone_message.len = message.size;
    r.has_clone_run = 1;
    r.clone_run = d->run;
    if (link_send(d->link, d->type | FRAME_REPLY, d->frame, &r) != ERR_OK) {
        link_close(d->link, ERR_BUSY, "does not read its replies");
    }
}

/* At the head of each callback: false where the link is gone and so is d. */
static bool resume(struct donor *d)
{
    d->busy = false;
    if (d->link == NULL) {
        drop(d);
        return false;
    }
    return true;
}

static enum err ask(struct donor *d,
                    unsigned verb,
                    uint64_t number,
                    const struct bytes *sections,
                    unsigned count,
                    cluster_core_cb cb)
{
    const struct cluster_core *core = d->c->o.core;
    d->busy = true;
    const enum err e = core->ask(core->impl, verb, 0, number, sections, count, cb, d);
    d->busy = e == ERR_OK;
    return e;
}

/* -- M1 ----------------------------------------------------------------------------------- */

static void on_m1(void *arg, enum err e, uint64_t run, const struct bytes *sections)
{
    struct donor *d = arg;
    if (!resume(d)) {
        return;
    }
    if (e != ERR_OK) {
        refuse_core(d, e);
        return;
    }
    d->run = run;
    d->step = DONOR_M1_SENT;
    answer_message(d, sections[0]);
}

struct known_rows {
    Ringkeep__ClusterRow *cluster;
    Ringkeep__InviteRow *invite;
    Ringkeep__MemberRow *member;
};

static void known_drop(struct known_rows *k)
{
    query_drop(k->cluster);
    query_drop(k->invite);
    query_drop(k->member);
}

static enum err read_rows(struct donor *d, struct known_rows *k)
{
    STORE_VIEW_SCOPED *view = NULL;
    TRY(store_view_open(d->c->o.store, &view));
    TRY(query_cluster(view, (void **)&k->cluster));
    if (d->join) {
        const enum err e =
            query_invite(view, d->request + CORE_VERBS_REQUEST_INVITE, (void **)&k->invite);
        return e == ERR_NOTFOUND ? ERR_TOKEN : e;
    }
    const enum err e = query_member(view, d->member.member_id, (void **)&k->member);
    return e == ERR_NOTFOUND ? ERR_IDENTITY : e;
}

static enum err ask_m1(struct donor *d, const struct known_rows *k)
{
    const uint8_t spent = k->invite != NULL && k->invite->spent ? 1 : 0;
    const bool beacon = k->member != NULL && k->member->has_beacon;
    const struct bytes none = bytes_of(NULL, 0);
    const struct bytes sections[5] = {
        bytes_of(d->request, sizeof d->request),
        k->invite != NULL ? bytes_of(k->invite->sealed.data, k->invite->sealed.len) : none,
        k->invite != NULL ? bytes_of(&spent, 1) : none,
        beacon ? bytes_of(k->member->beacon.data, k->member->beacon.len) : none,
        bytes_of(k->cluster->roster.data, k->cluster->roster.len),
    };
    const uint64_t purpose = d->join ? CORE_VERBS_PURPOSE_JOIN : CORE_VERBS_PURPOSE_INHERIT;
    return ask(d, CORE_VERBS_CLONE_M1, purpose, sections, 5, on_m1);
}

static void on_visible(void *arg, enum err e, uint64_t index)
{
    struct donor *d = arg;
    struct known_rows k = { 0 };
    (void)index;
    if (!resume(d)) {
        return;
    }
    e = e == ERR_OK ? read_rows(d, &k) : e;
    if (e == ERR_OK && k.invite != NULL && k.invite->spent) {
        e = ERR_TOKEN;
    }
    if (e == ERR_OK) {
        e = ask_m1(d, &k);
    }
    known_drop(&k);
    if (e != ERR_OK) {
        refuse(d, e, e == ERR_TOKEN ? "the invite is unknown, expired or spent" : err_text(e));
    }
}

static void on_barrier(void *arg, enum err e, uint64_t index)
{
    struct donor *d = arg;
    if (!resume(d)) {
        return;
    }
    d->busy = true;
    if (e == ERR_OK) {
        e = cluster_wait_visible(d->c, index, LIMIT_REQUEST_MS, on_visible, d);
    }
    if (e != ERR_OK) {
        d->busy = false;
        refuse(d, e, "no majority of the members answers: the SMK is given away only with one");
    }
}

/* -- begin ---------------------------------------------------------------------------------- */

static bool take(ProtobufCBinaryData from, uint8_t *to, size_t size)
{
    if (from.len != size) {
        return false;
    }
    memcpy(to, from.data, size);
    return true;
}

#define TEXT(to, from)                                                                             \
    ((from)[0] != '\0' && snprintf((to), sizeof(to), "%s", (from)) < (int)sizeof(to))

static bool read_claim(const Ringkeep__MemberRowJoin *m, struct directory_row *row)
{
    memset(row, 0, sizeof *row);
    row->raft_id = m->raft_id;
    row->has_uuid = true;
    return m->raft_id != 0 && take(m->member_id, row->member_id, ID_SIZE) &&
           take(m->spki_hash, row->spki_hash, X509_SPKI_HASH) &&
           take(m->data_uuid, row->data_uuid, ID_SIZE) && TEXT(row->name, m->name) &&
           TEXT(row->client_address, m->client_address) &&
           TEXT(row->peer_address, m->peer_address) && TEXT(row->join_address, m->join_address);
}

static bool in_request(const struct donor *d, size_t at, const uint8_t *value, size_t size)
{
    return memcmp(d->request + at, value, size) == 0;
}

static enum err check_skew(struct cluster *c, uint64_t wall_s, const char **text)
{
    const uint64_t now = clock_wall_s(c->o.clock);
    const uint64_t skew = now > wall_s ? now - wall_s : wall_s - now;
    *text = "the joiner's clock differs by more than 5 s: check time synchronisation on both";
    return skew > LIMIT_JOIN_SKEW_S ? ERR_CLOCK : ERR_OK;
}

static enum err check_free(struct cluster *c, const struct directory_row *row, const char **text)
{
    const struct directory *dir = &c->directory;
    if (dir->count >= LIMIT_MEMBERS) {
        *text = "the cluster has as many members as it can have";
        return ERR_FULL;
    }
    for (unsigned i = 0; i < dir->count; i++) {
        if (strcmp(dir->row[i].name, row->name) == 0 ||
            strcmp(dir->row[i].peer_address, row->peer_address) == 0) {
            *text = "another member has this name or peer address: choose another";
            return ERR_EXISTS;
        }
    }
    *text = "this member, or its raft id, is in the cluster already";
    const bool there = directory_by_member(dir, row->member_id) != NULL ||
                       directory_by_raft_id(dir, row->raft_id) != NULL ||
                       directory_by_hash(dir, row->spki_hash) != NULL;
    return there ? ERR_EXISTS : ERR_OK;
}

static enum err check_join(struct donor *d, const Ringkeep__CloneBegin *b, const char **text)
{
    uint8_t hash[X509_SPKI_HASH];
    *text = "the joiner's description cannot be parsed";
    if (b->member == NULL || !read_claim(b->member, &d->member)) {
        return ERR_MALFORMED;
    }
    *text = "the token is of another cluster";
    if (!in_request(d, CORE_VERBS_REQUEST_CLUSTER, d->c->self.cluster_id, ID_SIZE)) {
        return ERR_TOKEN;
    }
    *text = "the joiner's key, its row and its core's request do not belong together";
    if (link_peer_hash(d->link, hash) != ERR_OK ||
        memcmp(hash, d->member.spki_hash, sizeof hash) != 0 ||
        !in_request(d, CORE_VERBS_REQUEST_SPKI, hash, sizeof hash) ||
        !in_request(d, CORE_VERBS_REQUEST_JOINER, d->member.member_id, ID_SIZE)) {
        return ERR_IDENTITY;
    }
    TRY(check_skew(d->c, b->member->wall_s, text));
    *text = "another member joins here at this moment: try again shortly";
    if (d->c->donating) {
        return ERR_BUSY;
    }
    cluster_refresh(d->c);
    return check_free(d->c, &d->member, text);
}

static enum err check_inherit(const struct donor *d, const char **text)
{
    *text = "the request is not that of the member at this link";
    const bool own = in_request(d, CORE_VERBS_REQUEST_JOINER, d->member.member_id, ID_SIZE) &&
                     in_request(d, CORE_VERBS_REQUEST_SPKI, d->member.spki_hash, X509_SPKI_HASH);
    return own ? ERR_OK : ERR_IDENTITY;
}

static enum err check_begin(struct donor *d, const struct frame *f, const char **text)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    *text = "the request cannot be parsed";
    TRY(message_unpack(&ringkeep__clone_begin__descriptor, f->payload, &arena, &message));
    const Ringkeep__CloneBegin *b = message;
    const uint32_t purpose = d->join ? CORE_VERBS_PURPOSE_JOIN : CORE_VERBS_PURPOSE_INHERIT;
    if (b->purpose != purpose || !take(b->request, d->request, sizeof d->request)) {
        return ERR_MALFORMED;
    }
    *text = "this member belongs to no cluster yet: ask another";
    if (d->c->phase != CLUSTER_MEMBER || d->c->replica == NULL) {
        return ERR_WRONG_STATE;
    }
    *text = "this member is not authorized: ask another";
    if (!d->c->o.core->authorized(d->c->o.core->impl)) {
        return ERR_SEALED;
    }
    return d->join ? check_join(d, b, text) : check_inherit(d, text);
}

static void on_begin(struct donor *d, const struct frame *f)
{
    const char *text = "";
    rest(d);
    enum err e = check_begin(d, f, &text);
    if (e != ERR_OK) {
        refuse(d, e, text);
        return;
    }
    d->begun_ms = cluster_now_ms(d->c);
    d->step = DONOR_BEGUN;
    if (d->join) {
        d->donating = true;
        d->c->donating = true;
    }
    d->busy = true;
    e = cluster_barrier(d->c, LIMIT_REQUEST_MS, on_barrier, d);
    if (e != ERR_OK) {
        d->busy = false;
        refuse(d, e, err_text(e));
    }
}

/* -- M2, M3 ------------------------------------------------------------------------------------ */

static void on_m3(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct donor *d = arg;
    (void)number;
    if (!resume(d)) {
        return;
    }
    if (e != ERR_OK) {
        refuse_core(d, e);
        return;
    }
    d->step = DONOR_M3_SENT;
    answer_message(d, sections[0]);
}

static void give(struct donor *d)
{
    STORE_VIEW_SCOPED *view = NULL;
    Ringkeep__ClusterRow *row = NULL;
    enum err e = store_view_open(d->c->o.store, &view);
    if (e == ERR_OK) {
        e = query_cluster(view, (void **)&row);
    }
    if (e == ERR_OK) {
        const struct bytes record = bytes_of(row->cluster_record.data, row->cluster_record.len);
        e = ask(d, CORE_VERBS_CLONE_M3, d->run, &record, 1, on_m3);
        query_drop(row);
    }
    if (e != ERR_OK) {
        refuse(d, e, err_text(e));
    }
}

static void on_spent(void *arg, enum err e, const struct outcome *outcome)
{
    struct donor *d = arg;
    if (!resume(d)) {
        return;
    }
    e = e == ERR_OK ? outcome->error : e;
    if (e != ERR_OK) {
        refuse(d, e, "the invite could not be marked as spent: make a new one");
        return;
    }
    give(d);
}

static void spend(struct donor *d)
{
    Ringkeep__InviteSpend m = RINGKEEP__INVITE_SPEND__INIT;
    m.invite_id.data = d->request + CORE_VERBS_REQUEST_INVITE;
    m.invite_id.len = ID_SIZE;
    d->busy = true;
    const enum err e = forward_command(d->c, RINGKEEP__COMMAND__VERB_INVITE_SPEND, &m,
                                       LIMIT_REQUEST_MS, on_spent, d);
    if (e != ERR_OK) {
        d->busy = false;
        refuse(d, e, err_text(e));
    }
}

static void log_words(const struct donor *d, struct bytes words)
{
    char text[64];
    const size_t size = words.size < sizeof text ? words.size : sizeof text - 1;
    if (size > 0) {
        memcpy(text, words.data, size);
    }
    text[size] = '\0';
    log_info("%s of %s: words %s", class_of(d), d->member.name, text);
}

static void on_checked(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct donor *d = arg;
    (void)number;
    if (!resume(d)) {
        return;
    }
    if (e != ERR_OK) {
        refuse_core(d, e);
        return;
    }
    if (!d->join) {
        give(d);
        return;
    }
    log_words(d, sections[0]);
    spend(d);
}

/* -- M4
 * -------------------------------------------------------------------------------------------- */

static void describe(const struct directory_row *row, Ringkeep__MemberRowJoin *m)
{
    ringkeep__member_row_join__init(m);
    m->member_id.data = (uint8_t *)(uintptr_t)row->member_id;
    m->member_id.len = ID_SIZE;
    m->raft_id = row->raft_id;
    m->name = (char *)(uintptr_t)row->name;
    m->client_address = (char *)(uintptr_t)row->client_address;
    m->peer_address = (char *)(uintptr_t)row->peer_address;
    m->join_address = (char *)(uintptr_t)row->join_address;
    m->spki_hash.data = (uint8_t *)(uintptr_t)row->spki_hash;
    m->spki_hash.len = X509_SPKI_HASH;
    m->data_uuid.data = (uint8_t *)(uintptr_t)row->data_uuid;
    m->data_uuid.len = row->has_uuid ? ID_SIZE : 0;
}

static void welcome(struct donor *d)
{
    Ringkeep__JoinWelcome w = RINGKEEP__JOIN_WELCOME__INIT;
    Ringkeep__MemberRowJoin rows[LIMIT_MEMBERS + 1];
    Ringkeep__MemberRowJoin *all[LIMIT_MEMBERS + 1];
    const struct directory *dir = &d->c->directory;
    size_t n = 0;
    for (unsigned i = 0; i < dir->count; i++) {
        if (dir->row[i].raft_id != d->member.raft_id) {
            describe(&dir->row[i], &rows[n++]);
        }
    }
    describe(&d->member, &rows[n++]);
    for (size_t i = 0; i < n; i++) {
        all[i] = &rows[i];
    }
    w.n_members = n;
    w.members = all;
    w.has_cluster_id = 1;
    w.cluster_id.data = d->c->self.cluster_id;
    w.cluster_id.len = ID_SIZE;
    w.has_incarnation = 1;
    w.incarnation.data = d->c->self.incarnation;
    w.incarnation.len = ID_SIZE;
    if (link_send(d->link, d->type | FRAME_REPLY, d->frame, &w) != ERR_OK) {
        link_close(d->link, ERR_BUSY, "does not read its replies");
    }
}

/* The row stands in the log; that it is readable here spares J a refusal at our
 * peer door, no more: a late applier is no failure of the join. */
static void on_row_visible(void *arg, enum err e, uint64_t index)
{
    struct donor *d = arg;
    char hex[CLUSTER_HEX];
    (void)e;
    (void)index;
    d->busy = false;
    log_security("join", cluster_hex(d->member.member_id, hex), "joined; this member was the donor",
                 err_name(ERR_OK));
    rest(d);
    if (d->link == NULL) {
        drop(d);
        return;
    }
    welcome(d);
}

static void on_rostered(void *arg, enum err e, const struct outcome *outcome)
{
    struct donor *d = arg;
    e = e == ERR_OK ? outcome->error : e;
    if (e != ERR_OK) {
        d->busy = false;
        refuse(d, e,
               "the roster changed meanwhile or has no quorum: make a new invite and join anew");
        return;
    }
    e = cluster_wait_visible(d->c, outcome->index, LIMIT_REQUEST_MS, on_row_visible, d);
    if (e != ERR_OK) {
        on_row_visible(d, e, 0);
    }
}

static void put_roster(struct donor *d, struct bytes roster)
{
    Ringkeep__RosterPut put = RINGKEEP__ROSTER_PUT__INIT;
    Ringkeep__MemberRow row = RINGKEEP__MEMBER_ROW__INIT;
    Ringkeep__MemberRowJoin m;
    describe(&d->member, &m);
    row.member_id = m.member_id;
    row.raft_id = m.raft_id;
    row.name = m.name;
    row.client_address = m.client_address;
    row.peer_address = m.peer_address;
    row.join_address = m.join_address;
    row.spki_hash = m.spki_hash;
    row.has_data_uuid = 1;
    row.data_uuid = m.data_uuid;
    put.roster.data = (uint8_t *)(uintptr_t)roster.data;
    put.roster.len = roster.size;
    put.version = d->roster_version + 1;
    put.member = &row;
    d->busy = true;
    const enum err e = forward_command(d->c, RINGKEEP__COMMAND__VERB_ROSTER_PUT, &put,
                                       LIMIT_CALL_MS, on_rostered, d);
    if (e != ERR_OK) {
        d->busy = false;
        refuse(d, e, "the new roster could not be proposed: make a new invite and join anew");
    }
}

/* From here on J has the SMK: the link's end changes nothing. */
static void on_done(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct donor *d = arg;
    char hex[CLUSTER_HEX];
    (void)number;
    d->busy = false;
    if (e != ERR_OK) {
        refuse_core(d, e);
        return;
    }
    if (d->join) {
        put_roster(d, sections[0]);
        return;
    }
    log_security("inherit", cluster_hex(d->member.member_id, hex), "got the SMK from this member",
                 err_name(ERR_OK));
    rest(d);
    if (d->link == NULL) {
        drop(d);
        return;
    }
    cluster_answer(d->link, d->type, d->frame, ERR_OK, NULL);
}

static void finish(struct donor *d)
{
    const struct bytes m4 = bytes_of(d->message, d->message_size);
    const enum err e = ask(d, CORE_VERBS_CLONE_DONE, d->run, &m4, 1, on_done);
    if (e != ERR_OK) {
        refuse(d, e, err_text(e));
    }
}

static void on_roster_seen(void *arg, enum err e, uint64_t number, const struct bytes *sections)
{
    struct donor *d = arg;
    (void)e; /* an equal or older roster is no failure here */
    (void)number;
    (void)sections;
    d->busy = false;
    finish(d);
}

/* The core adds J to the newest roster that it knows: make that ours. */
static void show_roster(struct donor *d)
{
    STORE_VIEW_SCOPED *view = NULL;
    Ringkeep__ClusterRow *row = NULL;
    enum err e = store_view_open(d->c->o.store, &view);
    if (e == ERR_OK) {
        e = query_cluster(view, (void **)&row);
    }
    if (e == ERR_OK) {
        const struct bytes roster = bytes_of(row->roster.data, row->roster.len);
        d->roster_version = row->roster_version;
        e = ask(d, CORE_VERBS_ROSTER_SEEN, 0, &roster, 1, on_roster_seen);
        query_drop(row);
    }
    if (e != ERR_OK) {
        refuse(d, e, err_text(e));
    }
}

/* -- frames
 * ----------------------------------------------------------------------------------------- */

static enum err read_step(struct donor *d, const struct frame *f, enum donor_step expected)
{
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    if (d->step != expected) {
        return ERR_WRONG_STATE;
    }
    /* CloneM2 and CloneM4 have the same fields. */
    TRY(message_unpack(&ringkeep__clone_m2__descriptor, f->payload, &arena, &message));
    const Ringkeep__CloneM2 *m = message;
    if (m->run != d->run || m->message.len > sizeof d->message) {
        return ERR_MALFORMED;
    }
    memcpy(d->message, m->message.data, m->message.len);
    d->message_size = m->message.len;
    return cluster_now_ms(d->c) - d->begun_ms > LIMIT_CLONE_S * (uint64_t)1000 ? ERR_TIMEOUT
                                                                               : ERR_OK;
}

static void on_m2(struct donor *d, const struct frame *f)
{
    enum err e = read_step(d, f, DONOR_M1_SENT);
    if (e == ERR_OK) {
        const struct bytes m2 = bytes_of(d->message, d->message_size);
        e = ask(d, CORE_VERBS_CLONE_CHECK, d->run, &m2, 1, on_checked);
    }
    if (e != ERR_OK) {
        refuse(d, e, "the second message of the handshake is not in its place");
    }
}

static void on_m4(struct donor *d, const struct frame *f)
{
    const enum err e = read_step(d, f, DONOR_M3_SENT);
    if (e != ERR_OK) {
        refuse(d, e, "the fourth message of the handshake is not in its place");
        return;
    }
    if (d->join) {
        show_roster(d);
    } else {
        finish(d);
    }
}

void donor_frame(struct donor *d, const struct frame *f)
{
    if (d->busy) {
        cluster_answer(d->link, f->type, f->request, ERR_BUSY,
                       "one handshake at a time on a connection");
        return;
    }
    d->type = f->type;
    d->frame = f->request;
    switch (f->type) {
        case FRAME_CLONE_BEGIN: on_begin(d, f); break;
        case FRAME_CLONE_M2: on_m2(d, f); break;
        default: on_m4(d, f); break;
    }
}

enum err donor_open(struct cluster *c,
                    struct link *l,
                    const struct directory_row *member,
                    struct donor **out)
{
    struct donor *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return ERR_NOMEM;
    }
    d->c = c;
    d->link = l;
    d->join = member == NULL;
    if (member != NULL) {
        d->member = *member;
    }
    cluster_hold(c);
    *out = d;
    return ERR_OK;
}

void donor_close(struct donor *d)
{
    if (d == NULL) {
        return;
    }
    d->link = NULL;
    if (!d->busy) {
        drop(d);
    }
}
