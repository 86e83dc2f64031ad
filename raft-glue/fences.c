/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapped raft_io. Loop thread; owned by the replica.
 *
 * Each fence is one small function whose comment names the fault it closes: B1 to
 * B19 are the rows of the defect table in engine.md, C4 to C25 the sections of
 * consistency.md. The order in which messages, appends and sends pass through is
 * libraft's; the fences add no queue of their own but the list of sends that were
 * accepted and dropped, which is emptied at the end of the same event. What a
 * leader sends is in fences_send.c. */
#include "raft-glue/fences.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "raft-glue/payload.h"

_Static_assert(sizeof(struct raft) == 656, "libraft 0.15 of Debian 12: its struct is read here");

struct fences_append {
    struct raft_io_append req; /* ours; the original is libraft's */
    struct fences_append *next;
    struct fences *fences;
    struct raft_io_append *original;
    raft_io_append_cb cb;
    raft_term term;  /* when it was submitted */
    raft_index last; /* its last entry */
    uint64_t since_ms;
    bool follower;
};

struct fences_settled {
    struct fences_settled *next;
    struct raft_io_send *req;
    raft_io_send_cb cb;
};

static struct fences *of(struct raft_io *io)
{
    return (struct fences *)(void *)io;
}

static _Noreturn void die(struct fences *f, const char *reason)
{
    f->fatal(f->arg, reason);
    abort();
}

static uint64_t now_ms(const struct fences *f)
{
    return clock_mono_ms(f->clock);
}

/* -- the log in memory ----------------------------------------------------------- */

static size_t log_count(const struct raft_log *l)
{
    if (l->size == 0) {
        return 0;
    }
    return l->front <= l->back ? l->back - l->front : l->size - l->front + l->back;
}

const struct raft_entry *fences_entry(const struct raft *r, raft_index index)
{
    const struct raft_log *l = &r->log;
    if (index <= l->offset || index > l->offset + log_count(l)) {
        return NULL;
    }
    return &l->entries[(l->front + (size_t)(index - l->offset - 1)) % l->size];
}

/* B6, B19: commands and barriers carry their index. Configurations do not: they
 * are the one kind of entry that a re-numbered tail could hide. */
static bool index_is_right(const struct raft_entry *e, raft_index index)
{
    struct bytes command;
    if (e->type == RAFT_COMMAND) {
        return payload_read(bytes_of(e->buf.base, e->buf.len), index, &command) == ERR_OK;
    }
    if (e->type == RAFT_BARRIER) {
        return e->buf.len == 8 && get_u64(e->buf.base) == index;
    }
    return e->type == RAFT_CHANGE;
}

/* -- load ------------------------------------------------------------------------- */

static void free_entries(struct raft_entry *entries, size_t count)
{
    void *batch = NULL;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].batch == NULL) {
            raft_free(entries[i].buf.base);
        } else if (entries[i].batch != batch) {
            batch = entries[i].batch;
            raft_free(batch);
        }
    }
    raft_free(entries);
}

/* B6: a tail that was re-numbered by a crash. B5: a log that lost its end, seen
 * because the store has applied more than the log holds. */
static bool log_is_whole(struct fences *f,
                         raft_index start,
                         const struct raft_entry *entries,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!index_is_right(&entries[i], start + i)) {
            (void)snprintf(f->text, sizeof(f->text), "raft log: entry %llu carries another index",
                           start + i);
            return false;
        }
    }
    const raft_index last = start + count - 1;
    if (last < f->store_index) {
        (void)snprintf(
            f->text, sizeof(f->text),
            "raft log ends at %llu but the store has applied %llu: the log lost entries; "
            "remove this member and let it join again under a new id",
            last, (unsigned long long)f->store_index);
        return false;
    }
    return true;
}

static int load_checked(struct raft_io *io,
                        raft_term *term,
                        raft_id *voted_for,
                        struct raft_snapshot **snapshot,
                        raft_index *start,
                        struct raft_entry **entries,
                        size_t *count)
{
    struct fences *f = of(io);
    const int rc = f->inner.load(io, term, voted_for, snapshot, start, entries, count);
    if (rc != 0) {
        return rc;
    }
    if (*snapshot != NULL) {
        die(f, "raft: a snapshot is on disk, this version makes none");
    }
    if (!log_is_whole(f, *start, *entries, *count)) {
        free_entries(*entries, *count);
        (void)snprintf(io->errmsg, sizeof(io->errmsg), "%s", f->text);
        return RAFT_CORRUPT;
    }
    f->next_index = *start + *count;
    f->vote_term = *term;
    f->voted_for = *voted_for;
    return 0;
}

/* -- term and vote ------------------------------------------------------------------ */

/* B7: a failed write of the metadata is not survived. */
static int set_term_checked(struct raft_io *io, raft_term term)
{
    struct fences *f = of(io);
    if (term < f->vote_term) {
        die(f, "raft: the term would go back");
    }
    if (f->inner.set_term(io, term) != 0) {
        die(f, "raft: the term could not be written");
    }
    if (term > f->vote_term) {
        f->vote_term = term;
        f->voted_for = 0;
    }
    return 0;
}

/* B4: the last line behind vote_is_double. */
static int set_vote_checked(struct raft_io *io, raft_id id)
{
    struct fences *f = of(io);
    if (f->voted_for != 0 && id != 0 && f->voted_for != id) {
        die(f, "raft: a second vote in one term");
    }
    if (f->inner.set_vote(io, id) != 0) {
        die(f, "raft: the vote could not be written");
    }
    f->voted_for = id;
    return 0;
}

/* -- append -------------------------------------------------------------------------- */

/* Bytes of an encoded configuration before its padding; 0: not understood. */
static size_t configuration_used(const uint8_t *data, size_t size)
{
    enum { HEAD = 1 + 8 };
    if (size < HEAD) {
        return 0;
    }
    const uint64_t servers = get_u64(data + 1);
    size_t at = HEAD;
    for (uint64_t i = 0; i < servers; i++) {
        const uint8_t *zero = at + 8 < size ? memchr(data + at + 8, 0, size - at - 8) : NULL;
        if (zero == NULL) {
            return 0;
        }
        at = (size_t)(zero - data) + 2; /* the text's zero, the role */
        if (at > size) {
            return 0;
        }
    }
    return at;
}

/* B19: a barrier is eight bytes of heap and a configuration's padding too: both
 * would leak memory to disk and network, and a barrier without its index would let
 * a re-numbered tail pass the load check. The entries are this leader's own. */
static void stamp_own_entries(struct fences *f, const struct raft_entry *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct raft_buffer *b = &entries[i].buf;
        if (entries[i].type == RAFT_BARRIER && b->len == 8) {
            put_u64(b->base, f->next_index + i);
        }
        const size_t used =
            entries[i].type == RAFT_CHANGE ? configuration_used(b->base, b->len) : 0;
        if (used != 0) {
            memset((uint8_t *)b->base + used, 0, b->len - used);
        }
    }
}

static void unlink_append(struct fences *f, struct fences_append *a)
{
    struct fences_append **at = &f->appends;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    if (a->next == NULL) {
        f->appends_end = at;
    }
}

/* B7: libraft goes on leading with a hole after a failed write. */
static void on_appended(struct raft_io_append *req, int status)
{
    struct fences_append *a = req->data;
    struct fences *f = a->fences;
    if (status != 0) {
        die(f, "raft: a write to the log failed");
    }
    unlink_append(f, a);
    f->follower_appends -= a->follower ? 1u : 0u;
    f->in_append = true;
    f->bound_term = a->term;
    f->bound = a->last;
    a->cb(a->original, status);
    f->in_append = false;
    free(a);
    fences_finish(f);
}

static int append_watched(struct raft_io *io,
                          struct raft_io_append *req,
                          const struct raft_entry entries[],
                          unsigned count,
                          raft_io_append_cb cb)
{
    struct fences *f = of(io);
    struct fences_append *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        die(f, "raft: no memory for an append");
    }
    if (f->raft->state == RAFT_LEADER) {
        stamp_own_entries(f, entries, count);
    }
    a->req.data = a;
    a->fences = f;
    a->original = req;
    a->cb = cb;
    a->term = f->raft->current_term;
    a->last = f->next_index + count - 1;
    a->since_ms = now_ms(f);
    a->follower = f->raft->state != RAFT_LEADER;
    if (a->last != raft_last_index(f->raft)) {
        die(f, "raft: the log on disk and in memory have different ends");
    }
    f->next_index += count;
    f->follower_appends += a->follower ? 1u : 0u;
    *f->appends_end = a;
    f->appends_end = &a->next;
    /* A failed submission may leave the request queued all the same (B7). */
    if (f->inner.append(io, &a->req, entries, count, on_appended) != 0) {
        die(f, "raft: a write to the log could not be submitted");
    }
    return 0;
}

/* B7: libraft never looks at a truncation that failed. */
static int truncate_checked(struct raft_io *io, raft_index index)
{
    struct fences *f = of(io);
    if (f->inner.truncate(io, index) != 0) {
        die(f, "raft: the log could not be truncated");
    }
    f->next_index = index;
    return 0;
}

/* A stalled disk would keep its leadership for ever (engine.md section 1). */
static void watch_disk(struct fences *f)
{
    if (f->appends != NULL && now_ms(f) - f->appends->since_ms > LIMIT_DISK_STALL_MS) {
        die(f, "raft: the disk does not answer");
    }
}

/* -- send: acknowledgements ------------------------------------------------------------- */

/* Takes a send as done without sending it. Returning an error instead would be a
 * double free in libraft when the result answers a message with entries
 * (engine.md section 10, correction to section 6). */
static int swallow(struct fences *f, struct raft_io_send *req, raft_io_send_cb cb)
{
    struct fences_settled *s = malloc(sizeof(*s));
    if (s == NULL) {
        die(f, "raft: no memory");
    }
    *s = (struct fences_settled){ f->settled, req, cb };
    f->settled = s;
    return 0;
}

static void settle(struct fences *f)
{
    while (f->settled != NULL) {
        struct fences_settled *s = f->settled;
        f->settled = s->next;
        if (s->cb != NULL) {
            s->cb(s->req, 0);
        }
        free(s);
    }
}

/* B3: what was written under an older term is no answer to the new leader. */
static bool ack_is_stale(const struct fences *f)
{
    return f->in_append && f->bound_term != f->raft->current_term;
}

/* B2: a follower answers with the end of its log, even where that end is a stale
 * tail; it may only speak for what this message, or this write, made certain. */
static void clamp_ack(const struct fences *f, struct raft_append_entries_result *result)
{
    if ((f->in_append || f->in_recv) && result->last_log_index > f->bound) {
        result->last_log_index = f->bound;
    }
}

static int send_result(struct fences *f,
                       struct raft_io_send *req,
                       const struct raft_message *m,
                       raft_io_send_cb cb)
{
    struct raft_message copy = *m;
    if (m->append_entries_result.rejected == 0) {
        if (ack_is_stale(f)) {
            return swallow(f, req, cb);
        }
        clamp_ack(f, &copy.append_entries_result);
    }
    return f->inner.send(&f->io, req, &copy, cb);
}

static int send_fenced(struct raft_io *io,
                       struct raft_io_send *req,
                       const struct raft_message *m,
                       raft_io_send_cb cb)
{
    struct fences *f = of(io);
    if (m->type == RAFT_IO_APPEND_ENTRIES_RESULT) {
        return send_result(f, req, m, cb);
    }
    if (m->type == RAFT_IO_APPEND_ENTRIES) {
        return fences_send_entries(f, req, m, cb);
    }
    return f->inner.send(io, req, m, cb);
}

/* -- received ---------------------------------------------------------------------------------- */

static bool is_installing(const struct raft *r)
{
    return r->state == RAFT_FOLLOWER && r->snapshot.put.data != NULL;
}

/* Makes a heartbeat of a message: contact and commit index stay, nothing is
 * appended. Losing entries is legal, the leader sends them again. */
static void strip_entries(struct raft_append_entries *a)
{
    if (a->n_entries > 0) {
        raft_free(a->entries[0].batch); /* one per message */
    }
    raft_free(a->entries);
    a->entries = NULL;
    a->n_entries = 0;
}

static bool indexes_are_right(const struct raft_append_entries *a)
{
    for (unsigned i = 0; i < a->n_entries; i++) {
        if (!index_is_right(&a->entries[i], a->prev_log_index + 1 + i)) {
            return false;
        }
    }
    return true;
}

/* B17: libraft appends entries below the start of its cut log as new ones. */
static void cut_to_log_start(const struct raft *r, struct raft_append_entries *a)
{
    const raft_index start = r->log.snapshot.last_index;
    const raft_index end = a->prev_log_index + a->n_entries;
    if (a->n_entries == 0 || a->prev_log_index >= r->log.offset) {
        return;
    }
    const unsigned skip = end > start ? (unsigned)(start - a->prev_log_index) : a->n_entries;
    if (skip == a->n_entries) {
        strip_entries(a);
    } else {
        a->n_entries -= skip;
        memmove(a->entries, a->entries + skip, a->n_entries * sizeof(*a->entries));
    }
    a->prev_log_index = start;
    a->prev_log_term = r->log.snapshot.last_term;
}

static bool has_reference(const struct raft_log *l, raft_index index, raft_term term)
{
    if (l->refs == NULL) {
        return false;
    }
    const struct raft_entry_ref *slot = &l->refs[(index - 1) % l->refs_size];
    for (; slot != NULL && slot->count > 0; slot = slot->next) {
        if (slot->index == index && slot->term == term) {
            return true;
        }
    }
    return false;
}

/* B18: an entry that was truncated while a write or a send still holds it, then
 * appended again under the same term, is freed twice. */
static bool is_still_referenced(const struct raft *r, const struct raft_append_entries *a)
{
    for (unsigned i = 0; i < a->n_entries; i++) {
        const raft_index index = a->prev_log_index + 1 + i;
        const struct raft_entry *e = fences_entry(r, index);
        const bool held = e != NULL && e->term == a->entries[i].term;
        if (!held && has_reference(&r->log, index, a->entries[i].term)) {
            return true;
        }
    }
    return false;
}

/* C21: a follower whose applier is behind takes no entries. C25 (ii): commit only
 * what this message vouches for, whatever the sender wrote. */
static void admit_entries(struct fences *f, struct raft_append_entries *a)
{
    if (!indexes_are_right(a)) {
        log_error("raft: dropped entries after %llu that carry other indexes", a->prev_log_index);
        strip_entries(a);
    }
    cut_to_log_start(f->raft, a);
    if (a->n_entries > 0 && (f->overloaded(f->arg) || is_still_referenced(f->raft, a))) {
        strip_entries(a);
    }
    f->bound = a->prev_log_index + a->n_entries;
    if (a->leader_commit > f->bound) {
        a->leader_commit = f->bound;
    }
}

/* B1 (figure 8): nobody is counted before the barrier of this term is stored here;
 * from then on a majority for any index is a majority for the barrier's term.
 * Rewritten, not dropped: a dropped result would hide the contact (C25 i). */
static void hold_early_ack(const struct fences *f, struct raft_append_entries_result *result)
{
    const struct raft *r = f->raft;
    if (r->state != RAFT_LEADER || result->term != r->current_term || result->rejected != 0) {
        return;
    }
    if (f->barrier_term != r->current_term || r->last_stored < f->barrier_index) {
        result->last_log_index = 0;
    }
}

/* B4, C20: during a transfer libraft would vote twice in a term. */
static bool vote_is_double(const struct raft *r, const struct raft_request_vote *v)
{
    return !v->pre_vote && v->term == r->current_term && r->voted_for != 0 &&
           r->voted_for != v->candidate_id;
}

/* Nothing sends one yet: state moves by a later transfer (B9, B10). */
static void drop_snapshot(struct raft_install_snapshot *s)
{
    log_error("raft: dropped a snapshot: this version cannot install one");
    raft_free(s->data.base);
    raft_configuration_close(&s->conf);
}

/* False: the message is gone. */
static bool admit(struct fences *f, struct raft_message *m)
{
    const struct raft *r = f->raft;
    switch (m->type) {
        case RAFT_IO_APPEND_ENTRIES: admit_entries(f, &m->append_entries); return true;
        case RAFT_IO_APPEND_ENTRIES_RESULT:
            hold_early_ack(f, &m->append_entries_result);
            return true;
        case RAFT_IO_REQUEST_VOTE:
            /* The sender is known from its connection, the candidate is only claimed. */
            return m->request_vote.candidate_id == m->server_id && !is_installing(r) &&
                   !vote_is_double(r, &m->request_vote);
        case RAFT_IO_REQUEST_VOTE_RESULT: return true;
        case RAFT_IO_INSTALL_SNAPSHOT: drop_snapshot(&m->install_snapshot); return false;
        case RAFT_IO_TIMEOUT_NOW:
            /* B8, B10: not with a tail that is not on disk. */
            return f->appends == NULL && !is_installing(r);
        default: return false;
    }
}

static void on_received(struct raft_io *io, struct raft_message *m)
{
    struct fences *f = of(io);
    const bool entries = m->type == RAFT_IO_APPEND_ENTRIES;
    const raft_term term = entries ? m->append_entries.term : 0;
    if (admit(f, m)) {
        f->in_recv = entries;
        f->recv(io, m);
        f->in_recv = false;
    }
    if (entries && term == f->raft->current_term) {
        f->contact_ms = now_ms(f);
    }
    fences_finish(f);
}

/* B10, B11: no candidate while an install or an append of a follower is in flight:
 * it would advertise a tail that is not on disk. */
static void on_tick(struct raft_io *io)
{
    struct fences *f = of(io);
    watch_disk(f);
    const bool leads = f->raft->state == RAFT_LEADER;
    if (leads || (f->follower_appends == 0 && !is_installing(f->raft))) {
        f->tick(io);
    }
    fences_finish(f);
}

static int start_fenced(struct raft_io *io, unsigned ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct fences *f = of(io);
    f->tick = tick;
    f->recv = recv;
    return f->inner.start(io, ms, on_tick, on_received);
}

/* -- own barrier ------------------------------------------------------------------------------- */

struct own_barrier {
    struct raft_barrier req;
    struct fences *fences;
    raft_term term;
};

static void on_own_barrier(struct raft_barrier *req, int status)
{
    struct own_barrier *b = req->data;
    struct fences *f = b->fences;
    if (status == 0 && f->raft->state == RAFT_LEADER && b->term == f->raft->current_term) {
        f->leader_ready = true;
    }
    free(b);
}

/* B1: libraft 0.15 appends nothing of its own at the start of a leadership, and
 * commits entries of older terms by counting. A barrier that cannot be made (a
 * transfer under way, C20) is tried again at the next event; the gate stays shut. */
static void keep_own_barrier(struct fences *f)
{
    struct raft *r = f->raft;
    if (r->state != RAFT_LEADER) {
        f->barrier_term = 0;
        f->leader_ready = false;
        return;
    }
    if (f->barrier_term == r->current_term || r->transfer != NULL) {
        return;
    }
    struct own_barrier *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return;
    }
    b->req.data = b;
    b->fences = f;
    b->term = r->current_term;
    const raft_index index = raft_last_index(r) + 1;
    f->leader_ready = false;
    if (raft_barrier(r, &b->req, on_own_barrier) != 0) {
        free(b);
        return;
    }
    f->barrier_term = b->term;
    f->barrier_index = index;
}

/* -- configuration --------------------------------------------------------------- */

/* B12: after a restart libraft takes the newest configuration of its log for a
 * committed one and does not undo it when its entry is truncated. It is held to be
 * uncommitted until applied; the one before it is committed, since no change
 * begins while another is under way. Entry 1 is the same everywhere. */
static void doubt_newest_change(struct fences *f)
{
    struct raft *r = f->raft;
    const raft_index last = raft_last_index(r);
    for (raft_index i = r->log.offset + 1; i <= last; i++) {
        const struct raft_entry *e = fences_entry(r, i);
        if (e != NULL && e->type == RAFT_CHANGE) {
            f->change_before = f->change_last;
            f->change_last = i;
        }
    }
    if (f->change_before != 0) {
        r->configuration_index = f->change_before;
        r->configuration_uncommitted_index = f->change_last;
    }
}

/* Entries are applied anew after a restart: an older configuration among them must
 * not become what a rollback goes back to. */
static void keep_change_before(struct fences *f)
{
    struct raft *r = f->raft;
    if (f->change_before != 0 && r->configuration_uncommitted_index == f->change_last &&
        r->configuration_index < f->change_before) {
        r->configuration_index = f->change_before;
    }
}

void fences_started(struct fences *f)
{
    doubt_newest_change(f);
    fences_finish(f);
}

void fences_finish(struct fences *f)
{
    settle(f);
    keep_change_before(f);
    if (f->raft->state == RAFT_UNAVAILABLE) {
        die(f, "raft: the engine gave up"); /* it has no callback for that */
    }
    keep_own_barrier(f);
    f->step(f->arg);
}

void fences_wrap(struct fences *f)
{
    assert(f->raft != NULL && f->step != NULL && f->overloaded != NULL && f->fatal != NULL);
    f->inner = f->io;
    f->appends_end = &f->appends;
    f->io.load = load_checked;
    f->io.start = start_fenced;
    f->io.set_term = set_term_checked;
    f->io.set_vote = set_vote_checked;
    f->io.send = send_fenced;
    f->io.append = append_watched;
    f->io.truncate = truncate_checked;
}
