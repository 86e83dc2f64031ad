/* SPDX-License-Identifier: Apache-2.0 */
/* Proposals in flight; see proposals.h. libraft's own callback fires once for the
 * first entry of a batch and knows no outcome: it only frees the request. */
#include "raft-glue/proposals.h"

#include <assert.h>
#include <stdlib.h>

#include "raft-glue/payload.h"

struct batch {
    struct raft_apply req;
    struct proposals *proposals;
};

static struct proposal *at(struct proposals *p, unsigned position)
{
    return &p->ring[(p->first + position) % LIMIT_PROPOSALS];
}

static unsigned count(const struct proposals *p)
{
    return p->handed + p->logged + p->waiting;
}

enum err proposals_open(struct proposals *p)
{
    *p = (struct proposals){ .ring = calloc(LIMIT_PROPOSALS, sizeof(struct proposal)) };
    return p->ring == NULL ? ERR_NOMEM : ERR_OK;
}

void proposals_close(struct proposals *p)
{
    free(p->ring);
    p->ring = NULL;
}

enum err proposals_add(struct proposals *p, struct bytes command, replica_outcome_cb cb, void *arg)
{
    const size_t size = payload_size(command.size);
    if (count(p) >= LIMIT_PROPOSALS || p->bytes + size > LIMIT_APPLY_QUEUE) {
        return ERR_BUSY;
    }
    uint8_t *payload = raft_malloc(size);
    if (payload == NULL) {
        return ERR_NOMEM;
    }
    payload_write(payload, command);
    *at(p, count(p)) = (struct proposal){ .cb = cb, .arg = arg, .payload = payload, .size = size };
    p->waiting++;
    p->bytes += size;
    return ERR_OK;
}

bool proposals_ready(const struct proposals *p)
{
    return p->waiting > 0 && p->batches < LIMIT_RAFT_BATCHES;
}

static void on_batch(struct raft_apply *req, int status, void *result)
{
    (void)status;
    (void)result;
    struct batch *b = req->data;
    b->proposals->batches--;
    free(b);
}

/* How many of those that wait make one batch. */
static unsigned batch_count(struct proposals *p)
{
    size_t bytes = 0;
    unsigned n = 0;
    while (n < p->waiting && n < LIMIT_PROPOSAL_BATCH) {
        bytes += at(p, p->handed + p->logged + n)->size;
        if (n > 0 && bytes > LIMIT_PROPOSAL_BATCH_SIZE) {
            break;
        }
        n++;
    }
    return n;
}

static void note_logged(struct proposals *p, unsigned n, uint64_t index, uint64_t term)
{
    for (unsigned i = 0; i < n; i++) {
        struct proposal *q = at(p, p->handed + p->logged + i);
        q->payload = NULL; /* raft's now */
        q->index = index + i;
        q->term = term;
    }
    p->logged += n;
    p->waiting -= n;
    p->batches++;
}

static int submit_batch(struct proposals *p, struct raft *raft)
{
    struct raft_buffer bufs[LIMIT_PROPOSAL_BATCH];
    const uint64_t index = raft_last_index(raft) + 1;
    const unsigned n = batch_count(p);
    struct batch *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return RAFT_NOTLEADER; /* nothing was appended: they fail as not proposed */
    }
    for (unsigned i = 0; i < n; i++) {
        struct proposal *q = at(p, p->handed + p->logged + i);
        payload_set_index(q->payload, index + i);
        bufs[i].base = q->payload;
        bufs[i].len = q->size;
    }
    b->req.data = b;
    b->proposals = p;
    const uint64_t term = raft->current_term;
    const int rc = raft_apply(raft, &b->req, bufs, n, on_batch);
    if (rc != 0) {
        free(b);
        return rc;
    }
    note_logged(p, n, index, term);
    return 0;
}

/* From the end, so that one callback sees a ring without the failed ones behind. */
static void fail_last(struct proposals *p)
{
    const bool waited = p->waiting > 0;
    const struct proposal q = *at(p, count(p) - 1);
    if (waited) {
        p->waiting--;
    } else {
        p->logged--;
    }
    p->bytes -= q.size;
    raft_free(q.payload);
    q.cb(q.arg, waited ? ERR_NOT_LEADER : ERR_UNKNOWN_OUTCOME, NULL);
}

enum err proposals_submit(struct proposals *p, struct raft *raft)
{
    while (proposals_ready(p)) {
        const int rc = submit_batch(p, raft);
        if (rc == RAFT_NOTLEADER) {
            for (unsigned left = p->waiting; left > 0; left--) {
                fail_last(p);
            }
            return ERR_OK;
        }
        if (rc != 0) {
            return ERR_IO;
        }
    }
    return ERR_OK;
}

bool proposals_hand(struct proposals *p, uint64_t index, uint64_t term)
{
    if (p->logged == 0) {
        return false;
    }
    const struct proposal *q = at(p, p->handed);
    if (q->index != index || q->term != term) {
        return false;
    }
    p->logged--;
    p->handed++;
    return true;
}

void proposals_outcome(struct proposals *p, uint64_t index, const struct outcome *outcome)
{
    const struct proposal q = *at(p, 0);
    assert(p->handed > 0 && q.index == index);
    p->first = (p->first + 1) % LIMIT_PROPOSALS;
    p->handed--;
    p->bytes -= q.size;
    q.cb(q.arg, ERR_OK, outcome);
}

void proposals_fail(struct proposals *p)
{
    for (unsigned left = p->logged + p->waiting; left > 0; left--) {
        fail_last(p);
    }
}
