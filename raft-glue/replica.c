/* SPDX-License-Identifier: Apache-2.0 */
/* One member's raft: the face, and the wiring of its parts. Loop thread.
 *
 * libraft's callbacks only note what happened. `step` runs after each event,
 * outside libraft, and tells everyone. `turn` runs once at the end of a loop turn
 * in which something was asked for: one raft_apply for all proposals, one barrier
 * for all readers. Neither runs when nothing happens. */
#include "raft-glue/replica.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "keyring/command.h"
#include "raft-glue/inside.h"

_Noreturn void replica_die(struct replica *r, const char *reason)
{
    r->options.fatal(r->options.fatal_arg, reason);
    abort();
}

/* -- turn ----------------------------------------------------------------------------- */

static void on_turn(uv_timer_t *timer);

static void ask_turn(struct replica *r)
{
    if (!uv_is_active((uv_handle_t *)&r->turn)) {
        (void)uv_timer_start(&r->turn, on_turn, 0, 0);
    }
}

static void step(void *arg);

static void on_turn(uv_timer_t *timer)
{
    struct replica *r = timer->data;
    if (r->stopped) {
        return;
    }
    if (proposals_submit(&r->proposals, &r->raft) != ERR_OK ||
        barriers_submit(&r->barriers, &r->raft) != ERR_OK) {
        replica_die(r, "raft: an entry could not be appended");
    }
    step(r);
}

/* -- step ------------------------------------------------------------------------------ */

static enum replica_role role_of(const struct raft *raft)
{
    switch (raft->state) {
        case RAFT_LEADER: return REPLICA_LEADER;
        case RAFT_CANDIDATE: return REPLICA_CANDIDATE;
        case RAFT_FOLLOWER: return REPLICA_FOLLOWER;
        default: return REPLICA_UNAVAILABLE;
    }
}

static void follow_role(struct replica *r)
{
    const enum replica_role role = role_of(&r->raft);
    const bool ready = role == REPLICA_LEADER && r->fences.leader_ready;
    const bool lost = r->role == REPLICA_LEADER &&
                      (role != REPLICA_LEADER || r->role_term != r->raft.current_term);
    const bool news = role != r->role || (ready && !r->ready);
    r->role = role;
    r->role_term = r->raft.current_term;
    r->ready = ready;
    if (lost) {
        proposals_fail(&r->proposals);
    }
    if (news && r->options.on_role != NULL) {
        r->options.on_role(r->options.event_arg, role);
    }
}

/* After each event of libraft and its disk, and after each turn. */
static void step(void *arg)
{
    struct replica *r = arg;
    if (!r->started || r->stopped) {
        return;
    }
    /* Barriers and configurations never reach fsm.apply (consistency.md 6). */
    applier_mark(r->applier, raft_last_applied(&r->raft));
    follow_role(r);
    barriers_deliver(&r->barriers);
    (void)change_step(&r->change, &r->raft);
    applier_kick(r->applier);
    if (proposals_ready(&r->proposals)) {
        ask_turn(r);
    }
}

static bool is_overloaded(void *arg)
{
    const struct replica *r = arg;
    return r->applier != NULL && applier_bytes(r->applier) > LIMIT_APPLY_QUEUE;
}

static void on_fence(void *arg, const char *reason)
{
    replica_die(arg, reason);
}

/* -- readers ------------------------------------------------------------------------------ */

static void on_alarm(uv_timer_t *timer);

/* The timer goes to the next deadline, the applier gets the lowest index. */
static void arm_readers(struct replica *r)
{
    const uint64_t next = waiters_next_deadline(&r->readers);
    const uint64_t now = clock_mono_ms(r->options.clock);
    applier_want(r->applier, waiters_lowest(&r->readers));
    if (next == UINT64_MAX) {
        (void)uv_timer_stop(&r->alarm);
        return;
    }
    (void)uv_timer_start(&r->alarm, on_alarm, next > now ? next - now : 1, 0);
}

static void on_alarm(uv_timer_t *timer)
{
    struct replica *r = timer->data;
    waiters_expire(&r->readers, clock_mono_ms(r->options.clock));
    arm_readers(r);
}

static void on_visible(void *arg, uint64_t index)
{
    struct replica *r = arg;
    if (r->readers.count > 0) {
        waiters_wake(&r->readers, index);
        arm_readers(r);
    }
    if (r->options.on_applied != NULL) {
        r->options.on_applied(r->options.event_arg, index);
    }
}

static void on_outcome(void *arg, uint64_t index, const struct outcome *outcome)
{
    struct replica *r = arg;
    proposals_outcome(&r->proposals, index, outcome);
}

/* -- libraft's seams ---------------------------------------------------------------------- */

/* raft_uv's own is rand() without a seed: all members would draw the same election
 * timeouts. */
static int draw(struct raft_io *io, int low, int high)
{
    (void)io;
    const uint64_t span = high > low ? (uint64_t)(high - low) : 1;
    return low + (int)(random_u64(random_system()) % span);
}

static raft_time tell_time(struct raft_io *io)
{
    const struct fences *f = (const struct fences *)(const void *)io;
    return clock_mono_ms(f->clock);
}

static void set_fences(struct replica *r)
{
    struct fences *f = &r->fences;
    f->io.random = draw;
    f->io.time = tell_time;
    f->raft = &r->raft;
    f->clock = r->options.clock;
    f->step = step;
    f->overloaded = is_overloaded;
    f->fatal = on_fence;
    f->arg = r;
    fences_wrap(f);
}

static enum err open_raft(struct replica *r)
{
    const struct replica_options *o = &r->options;
    struct raft_io *io = &r->fences.io;
    if (raft_uv_init(io, o->loop, o->raft_dir, &r->transport.raft) != 0) {
        log_error("raft: %s: %s", o->raft_dir, io->errmsg);
        return ERR_IO;
    }
    raft_uv_set_auto_recovery(io, false); /* B5: it drops acknowledged entries */
    raft_uv_set_connect_retry_delay(io, o->election_ms / 2);
    (void)raft_uv_set_snapshot_compression(io, false);
    set_fences(r);
    fsm_init(r);
    if (raft_init(&r->raft, io, &r->fsm, o->raft_id, r->address) != 0) {
        log_error("raft: %s: %s", o->raft_dir, raft_errmsg(&r->raft));
        raft_uv_close(io);
        return ERR_IO;
    }
    raft_set_election_timeout(&r->raft, o->election_ms);
    raft_set_heartbeat_timeout(&r->raft, o->heartbeat_ms);
    raft_set_pre_vote(&r->raft, true);
    raft_set_snapshot_threshold(&r->raft, UINT_MAX); /* none is ever tried: fsm.c */
    raft_set_snapshot_trailing(&r->raft, UINT_MAX);
    return ERR_OK;
}

/* -- the face ------------------------------------------------------------------------------- */

enum err replica_open(const struct replica_options *options, struct replica **out)
{
    assert(options->fatal != NULL && options->raft_id != 0);
    assert(options->heartbeat_ms > 0 && options->heartbeat_ms < options->election_ms);
    struct replica *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return ERR_NOMEM;
    }
    r->options = *options;
    if (strlen(options->address) >= sizeof(r->address)) {
        free(r);
        return ERR_TOO_LARGE;
    }
    (void)snprintf(r->address, sizeof(r->address), "%s", options->address);
    r->options.address = r->address;
    transport_init(&r->transport, options->loop, options->transport);
    barriers_init(&r->barriers);
    waiters_init(&r->readers);
    change_init(&r->change);
    enum err e = proposals_open(&r->proposals);
    if (e == ERR_OK) {
        e = open_raft(r);
    }
    if (e != ERR_OK) {
        proposals_close(&r->proposals);
        free(r);
        return e;
    }
    (void)uv_timer_init(options->loop, &r->turn);
    (void)uv_timer_init(options->loop, &r->alarm);
    r->turn.data = r;
    r->alarm.data = r;
    *out = r;
    return ERR_OK;
}

enum err replica_bootstrap(struct replica *r)
{
    struct raft_configuration c;
    if (r->started) {
        return ERR_EXISTS;
    }
    raft_configuration_init(&c);
    if (raft_configuration_add(&c, r->options.raft_id, r->address, RAFT_VOTER) != 0) {
        return ERR_NOMEM;
    }
    const int rc = raft_bootstrap(&r->raft, &c);
    raft_configuration_close(&c);
    if (rc == RAFT_CANTBOOTSTRAP) {
        return ERR_EXISTS;
    }
    if (rc != 0) {
        log_error("raft: bootstrap: %s", raft_errmsg(&r->raft));
    }
    return rc == 0 ? ERR_OK : ERR_IO;
}

static enum err stored_index(struct replica *r, uint64_t *out)
{
    STORE_VIEW_SCOPED *view = NULL;
    TRY(store_view_open(r->options.store, &view));
    *out = store_view_index(view);
    return ERR_OK;
}

static enum err open_applier(struct replica *r)
{
    uint64_t stored = 0;
    TRY(stored_index(r, &stored));
    r->fences.store_index = stored;
    const struct applier_options o = { .loop = r->options.loop,
                                       .executor = r->options.applier,
                                       .store = r->options.store,
                                       .stored = stored,
                                       .on_outcome = on_outcome,
                                       .on_visible = on_visible,
                                       .fatal = on_fence,
                                       .arg = r };
    return applier_open(&o, &r->applier);
}

enum err replica_start(struct replica *r, char *text, size_t text_size)
{
    enum err e = open_applier(r);
    if (e != ERR_OK) {
        (void)snprintf(text, text_size, "store: %s", err_text(e));
        return e;
    }
    const int rc = raft_start(&r->raft);
    if (rc != 0) {
        const bool fenced = r->fences.text[0] != '\0';
        (void)snprintf(text, text_size, "%s", fenced ? r->fences.text : raft_errmsg(&r->raft));
        return rc == RAFT_CORRUPT ? ERR_CORRUPT : ERR_IO;
    }
    r->started = true;
    fences_started(&r->fences);
    return ERR_OK;
}

void replica_stop(struct replica *r)
{
    if (r == NULL || !r->started || r->stopped) {
        return;
    }
    applier_mark(r->applier, raft_last_applied(&r->raft));
    r->stopped = true;
    (void)uv_timer_stop(&r->turn);
    (void)uv_timer_stop(&r->alarm);
    proposals_fail(&r->proposals);
    applier_stop(r->applier);
}

static enum err check_leader(const struct replica *r)
{
    if (r->stopped) {
        return ERR_CANCELLED;
    }
    const bool leads = r->started && r->raft.state == RAFT_LEADER && r->raft.transfer == NULL;
    return leads && r->fences.leader_ready ? ERR_OK : ERR_NOT_LEADER;
}

static uint64_t log_entries(const struct replica *r)
{
    return raft_last_index((struct raft *)(uintptr_t)&r->raft) - r->raft.log.offset;
}

enum err replica_propose(struct replica *r, struct bytes command, replica_outcome_cb cb, void *arg)
{
    TRY(check_leader(r));
    if (command.size > LIMIT_COMMAND) {
        return ERR_TOO_LARGE;
    }
    if (log_entries(r) + r->proposals.waiting >= LIMIT_RAFT_LOG_ENTRIES) {
        return ERR_LOG_FULL;
    }
    if (is_overloaded(r)) {
        return ERR_BUSY;
    }
    const uint64_t now = clock_wall_s(r->options.clock);
    const uint64_t stamp = now > r->last_stamp ? now : r->last_stamp;
    BUF_SCOPED stamped = { 0 };
    TRY(buf_append(&stamped, command, LIMIT_COMMAND));
    TRY(command_stamp(&stamped, stamp));
    TRY(proposals_add(&r->proposals, buf_bytes(&stamped), cb, arg));
    r->last_stamp = stamp;
    ask_turn(r);
    return ERR_OK;
}

enum err replica_barrier(struct replica *r, replica_index_cb cb, void *arg)
{
    TRY(check_leader(r));
    /* Reads go on where writes have ended, but not for ever. */
    if (log_entries(r) >= LIMIT_RAFT_LOG_ENTRIES + LIMIT_RAFT_LOG_ENTRIES / 8) {
        return ERR_LOG_FULL;
    }
    TRY(barriers_ask(&r->barriers, cb, arg));
    ask_turn(r);
    return ERR_OK;
}

enum err replica_wait_visible(
    struct replica *r, uint64_t index, unsigned timeout_ms, replica_index_cb cb, void *arg)
{
    if (!r->started || r->stopped) {
        return ERR_CANCELLED;
    }
    const uint64_t visible = applier_visible(r->applier);
    if (index <= visible) {
        cb(arg, ERR_OK, visible);
        return ERR_OK;
    }
    const uint64_t deadline = clock_mono_ms(r->options.clock) + timeout_ms;
    TRY(waiters_add(&r->readers, index, deadline, cb, arg));
    arm_readers(r);
    ask_turn(r); /* the applier is kicked there, not in here */
    return ERR_OK;
}

/* -- membership ------------------------------------------------------------------------------- */

static int raft_role_of(enum replica_vote vote)
{
    switch (vote) {
        case REPLICA_VOTER: return RAFT_VOTER;
        case REPLICA_STANDBY: return RAFT_STANDBY;
        case REPLICA_SPARE: return RAFT_SPARE;
    }
    return RAFT_SPARE;
}

static enum replica_vote vote_of(int role)
{
    if (role == RAFT_VOTER) {
        return REPLICA_VOTER;
    }
    return role == RAFT_STANDBY ? REPLICA_STANDBY : REPLICA_SPARE;
}

static enum err begin_change(
    struct replica *r, enum change_kind kind, uint64_t id, int role, replica_index_cb cb, void *arg)
{
    TRY(check_leader(r));
    if (!change_is_free(&r->change, &r->raft)) {
        return ERR_BUSY;
    }
    r->change.kind = kind;
    r->change.id = id;
    r->change.role = role;
    r->change.cb = cb;
    r->change.arg = arg;
    TRY(change_begin(&r->change, &r->raft));
    ask_turn(r);
    return ERR_OK;
}

enum err replica_add(
    struct replica *r, uint64_t raft_id, const char *address, replica_index_cb cb, void *arg)
{
    if (raft_id == 0 || strlen(address) >= LIMIT_ADDRESS) {
        return ERR_USAGE;
    }
    if (r->change.busy) {
        return ERR_BUSY;
    }
    (void)snprintf(r->change.address, sizeof(r->change.address), "%s", address);
    return begin_change(r, CHANGE_ADD, raft_id, RAFT_STANDBY, cb, arg);
}

enum err replica_assign(
    struct replica *r, uint64_t raft_id, enum replica_vote vote, replica_index_cb cb, void *arg)
{
    return begin_change(r, CHANGE_ASSIGN, raft_id, raft_role_of(vote), cb, arg);
}

enum err replica_remove(struct replica *r, uint64_t raft_id, replica_index_cb cb, void *arg)
{
    return begin_change(r, CHANGE_REMOVE, raft_id, RAFT_SPARE, cb, arg);
}

/* -- status ---------------------------------------------------------------------------------------
 */

static uint64_t contact_age(const struct replica *r)
{
    if (r->raft.state == RAFT_LEADER) {
        return 0;
    }
    const uint64_t now = clock_mono_ms(r->options.clock);
    const uint64_t last = r->fences.contact_ms;
    return last == 0 || last > now ? UINT64_MAX : now - last;
}

void replica_status(const struct replica *r, struct replica_status *out)
{
    *out = (struct replica_status){ 0 };
    if (!r->started) {
        return;
    }
    struct raft *raft = (struct raft *)(uintptr_t)&r->raft; /* getters that take no const */
    raft_id leader = 0;
    const char *address = NULL;
    raft_leader(raft, &leader, &address);
    out->role = role_of(raft);
    out->leader_ready = out->role == REPLICA_LEADER && r->fences.leader_ready;
    out->term = raft->current_term;
    out->last_index = raft_last_index(raft);
    out->commit_index = raft->commit_index;
    out->applied_index = applier_applied(r->applier);
    out->visible_index = applier_visible(r->applier);
    out->leader_id = leader;
    out->contact_ms = contact_age(r);
    out->proposals = r->proposals.handed + r->proposals.logged + r->proposals.waiting;
    out->servers = raft->configuration.n;
    const struct raft_entry *last = fences_entry(raft, out->last_index);
    out->last_term = last != NULL ? last->term : raft->log.snapshot.last_term;
}

unsigned replica_servers(const struct replica *r, struct replica_server *out, unsigned capacity)
{
    const struct raft *raft = &r->raft;
    unsigned n = 0;
    for (; n < raft->configuration.n && n < capacity; n++) {
        const struct raft_server *s = &raft->configuration.servers[n];
        out[n] = (struct replica_server){ .raft_id = s->id, .vote = vote_of(s->role) };
        (void)snprintf(out[n].address, sizeof(out[n].address), "%s", s->address);
        if (raft->state == RAFT_LEADER) {
            out[n].match_index = raft->leader_state.progress[n].match_index;
        }
    }
    return n;
}
