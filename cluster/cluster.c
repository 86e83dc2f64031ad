/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, starting and stopping of a cluster's parts, the tick that drives them,
 * and what others ask about this member. Loop thread. */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"
#include "command.pb-c.h"
#include "peer.pb-c.h"

/* -- small things that all files use ------------------------------------------------ */

uint64_t cluster_now_ms(const struct cluster *c)
{
    return clock_mono_ms(c->o.clock);
}

const char *cluster_hex(const uint8_t id[ID_SIZE], char out[CLUSTER_HEX])
{
    return hex_from(bytes_of(id, ID_SIZE), out);
}

void cluster_link_options(struct cluster *c,
                          struct tls_context *tls,
                          const struct link_handlers *h,
                          void *arg,
                          struct link_options *out)
{
    *out = (struct link_options){ .loop = c->o.loop,
                                  .tls = tls,
                                  .handlers = h,
                                  .arg = arg,
                                  .frame_limit = LIMIT_FRAME_UNAUTHENTICATED,
                                  .send_limit = LIMIT_PEER_SEND_QUEUE };
}

void cluster_answer(struct link *l, unsigned type, uint64_t request, enum err e, const char *text)
{
    Ringkeep__PeerReply r = RINGKEEP__PEER_REPLY__INIT;
    r.error = (uint32_t)e;
    r.text = (char *)(uintptr_t)text;
    if (link_send(l, type | FRAME_REPLY, request, &r) == ERR_BUSY) {
        link_close(l, ERR_BUSY, "does not read its replies");
    }
}

static void close_contexts(struct cluster *c)
{
    tls_context_close(c->tls_peer_server);
    tls_context_close(c->tls_peer_client);
    tls_context_close(c->tls_join_server);
    tls_context_close(c->tls_join_client);
}

void cluster_hold(struct cluster *c)
{
    c->holds++;
}

void cluster_release(struct cluster *c)
{
    assert(c->holds > 0);
    c->holds--;
    if (c->holds == 0 && c->replica == NULL) {
        close_contexts(c);
        free(c);
    }
}

/* -- the members ---------------------------------------------------------------------- */

void cluster_refresh(struct cluster *c)
{
    static struct directory fresh; /* 18 KiB; one loop thread, not kept */
    if (!c->stale || !c->has_facts || c->stopped) {
        return;
    }
    const enum err e = directory_load(c->o.store, c->self.member_id, &fresh);
    if (e != ERR_OK) {
        log_warn("the members' rows cannot be read: %s", err_text(e));
        return;
    }
    c->stale = false;
    if (directory_equal(&fresh, &c->directory)) {
        return;
    }
    memcpy(&c->directory, &fresh, sizeof fresh); /* with its padding */
    peer_sync(c);
    door_sync(&c->peer_door);
    stream_sync(&c->streams);
}

static void on_tick(uv_timer_t *timer)
{
    struct cluster *c = timer->data;
    const uint64_t now_ms = cluster_now_ms(c);
    cluster_hold(c);
    cluster_refresh(c);
    peer_tick(c, now_ms);
    join_tick(c, now_ms);
    if (!c->stopped && c->replica != NULL) {
        membership_tick(c, now_ms);
        inherit_tick(c, now_ms);
        status_tick(c, now_ms);
    }
    cluster_release(c);
}

/* -- the replica ------------------------------------------------------------------------ */

static void on_role(void *arg, enum replica_role role)
{
    struct cluster *c = arg;
    (void)role;
    if (!c->stopped) {
        c->membership.next_ms = 0;
        (void)uv_timer_start(&c->tick, on_tick, 0, CLUSTER_TICK_MS);
        forward_kick(c);
    }
}

static void on_applied(void *arg, uint64_t index)
{
    struct cluster *c = arg;
    (void)index;
    c->stale = true;
}

static enum err open_replica(struct cluster *c, struct replica **out)
{
    const struct replica_options o = { .loop = c->o.loop,
                                       .raft_dir = c->raft_dir,
                                       .store = c->o.store,
                                       .applier = c->o.applier,
                                       .clock = c->o.clock,
                                       .transport = &c->streams.transport,
                                       .raft_id = c->self.raft_id,
                                       .address = c->peer_address,
                                       .election_ms = c->o.election_ms,
                                       .heartbeat_ms = c->o.heartbeat_ms,
                                       .fatal = c->o.fatal,
                                       .fatal_arg = c->o.arg,
                                       .on_role = on_role,
                                       .on_applied = on_applied,
                                       .event_arg = c };
    return replica_open(&o, out);
}

enum err cluster_run_replica(
    struct cluster *c, bool first, bool save, struct bytes seeds, char *text, size_t text_size)
{
    struct replica *r = NULL;
    enum err e = open_replica(c, &r);
    (void)snprintf(text, text_size, "raft: %s: cannot be opened", c->raft_dir);
    if (e == ERR_OK && first) {
        e = replica_bootstrap(r);
        (void)snprintf(text, text_size, "raft: %s: holds a log already: empty the data directories",
                       c->raft_dir);
    }
    if (e == ERR_OK && save) {
        e = facts_save(c->o.store, &c->self, seeds);
        (void)snprintf(text, text_size, "store: what this member is could not be saved");
    }
    if (e != ERR_OK) {
        c->replica = r; /* not closed: engine.md B16 */
        return e;
    }
    c->replica = r;
    c->has_facts = true;
    c->stale = true;
    cluster_refresh(c);
    return replica_start(r, text, text_size);
}

enum err cluster_check_fresh(struct cluster *c)
{
    DIR *dir = opendir(c->raft_dir);
    const struct dirent *entry = NULL;
    bool fresh = true;
    if (dir == NULL) {
        return ERR_IO;
    }
    while ((entry = readdir(dir)) != NULL) {
        fresh = fresh && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    }
    (void)closedir(dir);
    if (!fresh) {
        log_error("%s holds a log already: empty the data directories first", c->raft_dir);
    }
    return fresh && !c->has_facts ? ERR_OK : ERR_EXISTS;
}

/* -- opening ------------------------------------------------------------------------------ */

static enum err open_context(struct cluster *c,
                             bool server,
                             enum tls_trust trust,
                             struct tls_context **out)
{
    char cert[CLUSTER_PATH + 16], key[CLUSTER_PATH + 16];
    (void)snprintf(cert, sizeof cert, "%s/member.crt", c->tls_dir);
    (void)snprintf(key, sizeof key, "%s/member.key", c->tls_dir);
    const struct tls_options o = {
        .server = server, .trust = trust, .cert_path = cert, .key_path = key
    };
    return tls_context_open(&o, out);
}

static enum err open_identity(struct cluster *c)
{
    char cert[CLUSTER_PATH + 16], key[CLUSTER_PATH + 16];
    BUF_SCOPED spki = { 0 };
    (void)snprintf(cert, sizeof cert, "%s/member.crt", c->tls_dir);
    (void)snprintf(key, sizeof key, "%s/member.key", c->tls_dir);
    TRY(x509_make_identity(key, cert, c->name));
    TRY(x509_key_spki(key, &spki, c->spki_hash));
    TRY(open_context(c, true, TLS_TRUST_PINNED, &c->tls_peer_server));
    TRY(open_context(c, false, TLS_TRUST_PINNED, &c->tls_peer_client));
    TRY(open_context(c, true, TLS_TRUST_NONE, &c->tls_join_server));
    return open_context(c, false, TLS_TRUST_NONE, &c->tls_join_client);
}

#define COPY(to, from) (snprintf((to), sizeof(to), "%s", (from)) < (int)sizeof(to))

static bool copy_texts(struct cluster *c, const struct cluster_options *o)
{
    return COPY(c->name, o->name) && COPY(c->client_address, o->client_address) &&
           COPY(c->peer_address, o->peer_address) && COPY(c->join_address, o->join_address) &&
           COPY(c->peer_bind, o->peer_bind != NULL ? o->peer_bind : o->peer_address) &&
           COPY(c->join_bind, o->join_bind != NULL ? o->join_bind : o->join_address) &&
           COPY(c->raft_dir, o->raft_dir) && COPY(c->tls_dir, o->tls_dir);
}

static enum err open_self(struct cluster *c)
{
    const enum err e = facts_load(c->o.store, &c->self);
    if (e == ERR_OK) {
        c->has_facts = true;
        return ERR_OK;
    }
    c->self = (struct facts){ 0 };
    random_fill(c->o.random, c->self.data_uuid, ID_SIZE);
    while (c->self.raft_id == 0) {
        c->self.raft_id = random_u64(c->o.random);
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err cluster_open(const struct cluster_options *options, struct cluster **out)
{
    struct cluster *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    c->o = *options;
    enum err e = copy_texts(c, options) ? ERR_OK : ERR_CONFIG;
    if (e == ERR_OK) {
        e = open_self(c);
    }
    if (e == ERR_OK) {
        e = open_identity(c);
    }
    if (e != ERR_OK) {
        close_contexts(c);
        free(c);
        return e;
    }
    c->status.map_epoch = clock_wall_s(c->o.clock);
    stream_init(&c->streams, c);
    (void)uv_timer_init(c->o.loop, &c->tick);
    c->tick.data = c;
    c->holds = 2; /* the owner's, the tick's */
    forward_init(c);
    *out = c;
    return ERR_OK;
}

enum err cluster_start(struct cluster *c, char *text, size_t text_size)
{
    assert(!c->started && !c->stopped);
    enum err e = door_open(&c->peer_door, c, false, c->peer_bind);
    if (e != ERR_OK) {
        (void)snprintf(text, text_size, "peer door: cannot listen at %s", c->peer_bind);
        return e;
    }
    e = door_open(&c->join_door, c, true, c->join_bind);
    if (e != ERR_OK) {
        (void)snprintf(text, text_size, "join door: cannot listen at %s", c->join_bind);
        return e;
    }
    if (c->has_facts) {
        TRY(cluster_run_replica(c, false, false, bytes_of(NULL, 0), text, text_size));
        c->phase = CLUSTER_MEMBER;
    }
    c->started = true;
    inherit_later(c);
    (void)uv_timer_start(&c->tick, on_tick, 0, CLUSTER_TICK_MS);
    return ERR_OK;
}

static void on_timer_closed(uv_handle_t *handle)
{
    cluster_release(handle->data);
}

void cluster_stop(struct cluster *c)
{
    if (c == NULL || c->stopped) {
        return;
    }
    c->stopped = true;
    if (c->replica != NULL) {
        replica_stop(c->replica);
    }
    forward_stop(c);
    join_stop(c);
    inherit_stop(c);
    door_close(&c->peer_door);
    door_close(&c->join_door);
    stream_stop(&c->streams);
    peer_stop(c);
    uv_close((uv_handle_t *)&c->tick, on_timer_closed);
    uv_close((uv_handle_t *)&c->forward.timer, on_timer_closed);
    uv_close((uv_handle_t *)&c->forward.later_timer, on_timer_closed);
    cluster_release(c);
}

/* -- what others ask --------------------------------------------------------------------------- */

bool cluster_is_member(const struct cluster *c)
{
    return c->phase == CLUSTER_MEMBER;
}

void cluster_self_row(struct cluster *c, const uint8_t member_id[ID_SIZE], void *member_row)
{
    Ringkeep__MemberRow *m = member_row;
    m->member_id.data = (uint8_t *)(uintptr_t)member_id;
    m->member_id.len = ID_SIZE;
    m->raft_id = c->self.raft_id;
    m->name = c->name;
    m->client_address = c->client_address;
    m->peer_address = c->peer_address;
    m->join_address = c->join_address;
    m->spki_hash.data = c->spki_hash;
    m->spki_hash.len = X509_SPKI_HASH;
    m->has_data_uuid = 1;
    m->data_uuid.data = c->self.data_uuid;
    m->data_uuid.len = ID_SIZE;
}

void cluster_replica_status(const struct cluster *c, struct replica_status *out)
{
    *out = (struct replica_status){ 0 };
    if (c->replica != NULL) {
        replica_status(c->replica, out);
    }
}

static void copy_id(const struct cluster *c, const uint8_t *id, uint8_t out[ID_SIZE])
{
    memset(out, 0, ID_SIZE);
    if (c->has_facts) {
        memcpy(out, id, ID_SIZE);
    }
}

void cluster_incarnation(const struct cluster *c, uint8_t out[ID_SIZE])
{
    copy_id(c, c->self.incarnation, out);
}

void cluster_id(const struct cluster *c, uint8_t out[ID_SIZE])
{
    copy_id(c, c->self.cluster_id, out);
}

void cluster_member_id(const struct cluster *c, uint8_t out[ID_SIZE])
{
    copy_id(c, c->self.member_id, out);
}
