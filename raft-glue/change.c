/* SPDX-License-Identifier: Apache-2.0 */
/* Membership changes; see change.h. A server is added as spare, which takes no
 * part, and then made standby, which replicates; voter is a step of its own. What
 * was asked for is compared with the configuration afterwards (engine.md B12). */
#include "raft-glue/change.h"

#include <string.h>

static const struct raft_server *server_of(const struct raft *raft, raft_id id)
{
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == id) {
            return &raft->configuration.servers[i];
        }
    }
    return NULL;
}

static unsigned voters_of(const struct raft *raft)
{
    unsigned n = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        n += raft->configuration.servers[i].role == RAFT_VOTER ? 1u : 0u;
    }
    return n;
}

static enum err error_of(int rc)
{
    switch (rc) {
        case 0: return ERR_OK;
        case RAFT_NOTLEADER: return ERR_NOT_LEADER;
        case RAFT_LEADERSHIPLOST: return ERR_UNKNOWN_OUTCOME;
        case RAFT_CANTCHANGE: return ERR_BUSY;
        case RAFT_DUPLICATEID:
        case RAFT_DUPLICATEADDRESS: return ERR_EXISTS;
        case RAFT_BADID:
        case RAFT_NOTFOUND: return ERR_NOTFOUND;
        case RAFT_NOCONNECTION: return ERR_TIMEOUT; /* it did not catch up in time */
        case RAFT_NOMEM: return ERR_NOMEM;
        default: return ERR_WRONG_STATE;
    }
}

static void on_change(struct raft_change *req, int status)
{
    struct change *c = req->data;
    if (c->busy && !c->fired) {
        c->fired = true;
        c->status = status;
    }
}

void change_init(struct change *c)
{
    *c = (struct change){ 0 };
    c->req.data = c;
}

bool change_is_free(const struct change *c, const struct raft *raft)
{
    return !c->busy && raft->configuration_uncommitted_index == 0 &&
           raft->leader_state.promotee_id == 0;
}

/* Nothing to do: answered at the next step. */
static int already(struct change *c)
{
    c->fired = true;
    c->status = 0;
    return 0;
}

static int begin_add(struct change *c, struct raft *raft)
{
    const struct raft_server *s = server_of(raft, c->id);
    if (s == NULL) {
        return raft_add(raft, &c->req, c->id, c->address, on_change);
    }
    if (strcmp(s->address, c->address) != 0) {
        return RAFT_DUPLICATEID;
    }
    return already(c); /* an earlier attempt; a spare goes on to standby */
}

static int begin_assign(struct change *c, struct raft *raft)
{
    const struct raft_server *s = server_of(raft, c->id);
    if (s == NULL) {
        return RAFT_NOTFOUND;
    }
    return s->role == c->role ? already(c) : raft_assign(raft, &c->req, c->id, c->role, on_change);
}

static int begin_remove(struct change *c, struct raft *raft)
{
    return server_of(raft, c->id) == NULL ? RAFT_NOTFOUND
                                          : raft_remove(raft, &c->req, c->id, on_change);
}

static enum err check_limits(const struct change *c, const struct raft *raft)
{
    if (c->kind == CHANGE_ADD && raft->configuration.n >= LIMIT_MEMBERS) {
        return ERR_FULL;
    }
    if (c->kind == CHANGE_ASSIGN && c->role == RAFT_VOTER && voters_of(raft) >= LIMIT_VOTERS) {
        return ERR_FULL;
    }
    /* A leader that is no voter would go on leading, and the last voter leaves
     * nobody to elect. */
    if (c->kind == CHANGE_ASSIGN && c->id == raft->id && c->role != RAFT_VOTER) {
        return ERR_REFUSED;
    }
    const struct raft_server *s = server_of(raft, c->id);
    const bool leaves =
        c->kind == CHANGE_REMOVE || (c->kind == CHANGE_ASSIGN && c->role != RAFT_VOTER);
    if (leaves && s != NULL && s->role == RAFT_VOTER && voters_of(raft) == 1) {
        return ERR_REFUSED;
    }
    return ERR_OK;
}

enum err change_begin(struct change *c, struct raft *raft)
{
    TRY(check_limits(c, raft));
    c->busy = true;
    c->fired = false;
    int rc = 0;
    switch (c->kind) {
        case CHANGE_ADD: rc = begin_add(c, raft); break;
        case CHANGE_ASSIGN: rc = begin_assign(c, raft); break;
        case CHANGE_REMOVE: rc = begin_remove(c, raft); break;
    }
    if (rc != 0) {
        c->busy = false;
    }
    return error_of(rc);
}

/* True: the second half of an addition is under way. */
static bool goes_on(struct change *c, struct raft *raft)
{
    const struct raft_server *s = server_of(raft, c->id);
    if (c->kind != CHANGE_ADD || c->status != 0 || s == NULL || s->role != RAFT_SPARE) {
        return false;
    }
    c->fired = false;
    const int rc = raft_assign(raft, &c->req, c->id, RAFT_STANDBY, on_change);
    if (rc == 0) {
        return true;
    }
    c->status = rc;
    return false;
}

static bool is_as_wanted(const struct change *c, const struct raft *raft)
{
    const struct raft_server *s = server_of(raft, c->id);
    switch (c->kind) {
        case CHANGE_ADD: return s != NULL && s->role != RAFT_SPARE;
        case CHANGE_ASSIGN: return s != NULL && s->role == c->role;
        case CHANGE_REMOVE: return s == NULL;
    }
    return false;
}

bool change_step(struct change *c, struct raft *raft)
{
    if (c->busy && !c->fired && raft->state != RAFT_LEADER) {
        c->fired = true;
        c->status = RAFT_LEADERSHIPLOST;
    }
    if (!c->busy || !c->fired || goes_on(c, raft)) {
        return false;
    }
    enum err e = error_of(c->status);
    if (e == ERR_OK && !is_as_wanted(c, raft)) {
        e = ERR_UNKNOWN_OUTCOME;
    }
    c->busy = false;
    c->cb(c->arg, e, e == ERR_OK ? raft->configuration_index : 0);
    return true;
}
