/* SPDX-License-Identifier: Apache-2.0 */
/* The fences around libraft 0.15: a wrapped raft_io table and the checks that the
 * packaged engine lacks (docs/decisions/0005-raft-fences.md names them by fault).
 *
 * The owner puts a raft_io into `io` (raft_uv_init, or a simulator's), sets the
 * fields below it, calls fences_wrap, then raft_init with &io. Loop thread only.
 * Whatever cannot be survived ends in `fatal`, which does not return. */
#ifndef RINGKEEP_RAFT_GLUE_FENCES_H
#define RINGKEEP_RAFT_GLUE_FENCES_H

#include <raft.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"

struct fences_append;  /* an append in flight */
struct fences_settled; /* a send that was accepted and dropped */

/* What is on its way to one server: bounded by LIMIT_PEER_SEND_QUEUE. */
struct fences_peer {
    raft_id id;
    size_t bytes;
    unsigned flights; /* 0: the slot is free */
};

struct fences {
    struct raft_io io; /* first: the wrappers get it back from raft_io */

    /* Set by the owner. */
    struct raft *raft;
    const struct clock *clock;
    uint64_t store_index;          /* the log may not end below it */
    void (*step)(void *arg);       /* after each event, outside libraft */
    bool (*overloaded)(void *arg); /* take no entries now */
    void (*fatal)(void *arg, const char *reason);
    void *arg;

    /* For the owner to read. */
    char text[256];      /* why load failed */
    uint64_t contact_ms; /* last AppendEntries of this term; 0 never */
    bool leader_ready;   /* own barrier of this term is applied */

    /* Own. */
    struct raft_io inner; /* the table before */
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    raft_index next_index; /* of the next append, counted as raft_uv does */
    raft_term vote_term;
    raft_id voted_for;
    struct fences_append *appends, **appends_end; /* in order of submission */
    unsigned follower_appends;
    struct fences_settled *settled;
    struct fences_peer peers[LIMIT_MEMBERS];
    raft_term barrier_term; /* term whose own barrier is in the log */
    raft_index barrier_index;
    raft_index change_last, change_before; /* the two newest configurations at start */
    bool in_append, in_recv;               /* which bound holds for an acknowledgement */
    raft_term bound_term;
    raft_index bound;
};

/* Takes the table in f->io and puts the wrappers in its place. */
void fences_wrap(struct fences *f);
/* After raft_start, once. */
void fences_started(struct fences *f);
/* What follows each event. */
void fences_finish(struct fences *f);
/* io->send for AppendEntries; fences_send.c, for the table alone. */
int fences_send_entries(struct fences *f,
                        struct raft_io_send *req,
                        const struct raft_message *m,
                        raft_io_send_cb cb);
/* The entry at index in the log in memory, or NULL. */
const struct raft_entry *fences_entry(const struct raft *r, raft_index index);

#endif
