/* SPDX-License-Identifier: Apache-2.0 */
/* Shared barriers; see barriers.h. */
#include "raft-glue/barriers.h"

#include <stdlib.h>

struct barriers_shared {
    struct raft_barrier req;
    struct barriers_shared *next;
    struct barriers *barriers;
    struct waiters readers;
    uint64_t index;
    enum err error;
};

void barriers_init(struct barriers *b)
{
    *b = (struct barriers){ 0 };
    waiters_init(&b->asking);
    b->done_end = &b->done;
}

enum err barriers_ask(struct barriers *b, replica_index_cb cb, void *arg)
{
    if (b->in_flight + b->asking.count >= LIMIT_INDEX_WAITERS) {
        return ERR_BUSY;
    }
    return waiters_add(&b->asking, 0, UINT64_MAX, cb, arg);
}

static void on_barrier(struct raft_barrier *req, int status)
{
    struct barriers_shared *s = req->data;
    struct barriers *b = s->barriers;
    s->error = status == 0 ? ERR_OK : ERR_NOT_LEADER;
    *b->done_end = s;
    b->done_end = &s->next;
}

static void move_readers(struct waiters *from, struct waiters *to)
{
    *to = *from;
    if (from->first == NULL) {
        to->end = &to->first;
    }
    waiters_init(from);
}

enum err barriers_submit(struct barriers *b, struct raft *raft)
{
    if (b->asking.count == 0) {
        return ERR_OK;
    }
    struct barriers_shared *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        waiters_finish(&b->asking, ERR_NOMEM, 0);
        return ERR_OK;
    }
    s->req.data = s;
    s->barriers = b;
    s->index = raft_last_index(raft) + 1;
    const int rc = raft_barrier(raft, &s->req, on_barrier);
    if (rc != 0) {
        free(s);
        waiters_finish(&b->asking, rc == RAFT_NOTLEADER ? ERR_NOT_LEADER : ERR_NOMEM, 0);
        return rc == RAFT_NOTLEADER || rc == RAFT_NOMEM ? ERR_OK : ERR_IO;
    }
    move_readers(&b->asking, &s->readers);
    b->in_flight += s->readers.count;
    return ERR_OK;
}

void barriers_deliver(struct barriers *b)
{
    while (b->done != NULL) {
        struct barriers_shared *s = b->done;
        b->done = s->next;
        if (b->done == NULL) {
            b->done_end = &b->done;
        }
        b->in_flight -= s->readers.count;
        waiters_finish(&s->readers, s->error, s->error == ERR_OK ? s->index : 0);
        free(s);
    }
}
