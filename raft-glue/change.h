/* SPDX-License-Identifier: Apache-2.0 */
/* Membership changes, one at a time. libraft may keep a pointer to a request after
 * an error, so there is one request, never freed, and its callback is ignored when
 * nothing is under way. Loop thread. */
#ifndef RINGKEEP_RAFT_GLUE_CHANGE_H
#define RINGKEEP_RAFT_GLUE_CHANGE_H

#include <raft.h>

#include "raft-glue/replica.h"

enum change_kind { CHANGE_ADD, CHANGE_ASSIGN, CHANGE_REMOVE };

struct change {
    struct raft_change req;
    bool busy;
    bool fired; /* libraft has answered, or nothing had to be done */
    int status;
    enum change_kind kind;
    raft_id id;
    int role; /* wanted at the end */
    char address[LIMIT_ADDRESS];
    replica_index_cb cb;
    void *arg;
};

void change_init(struct change *c);
/* Checks and begins; c->cb follows from change_step. */
enum err change_begin(struct change *c, struct raft *raft) MUST_USE;
/* What libraft has answered since; true: c->cb was called. */
bool change_step(struct change *c, struct raft *raft);
/* No change of any kind is under way. */
bool change_is_free(const struct change *c, const struct raft *raft);

#endif
