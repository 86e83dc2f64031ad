/* SPDX-License-Identifier: Apache-2.0 */
/* The first member: bootstraps raft with itself as the only voter and commits
 * ClusterInit. Loop thread. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/inside.h"
#include "command.pb-c.h"
#include "keyring/command.h"

#define CREATE_MS LIMIT_CALL_MS

struct create {
    struct cluster *c;
    cluster_done_cb cb;
    void *arg;
};

static void finish(struct create *k, enum err e, const char *text)
{
    struct cluster *c = k->c;
    cluster_done_cb cb = k->cb;
    void *arg = k->arg;
    char hex[CLUSTER_HEX];
    log_security("cluster", cluster_hex(c->self.member_id, hex), text, err_name(e));
    c->phase = e == ERR_OK ? CLUSTER_MEMBER : CLUSTER_CREATING;
    free(k);
    cb(arg, e, text);
    cluster_release(c);
}

static void on_visible(void *arg, enum err e, uint64_t index)
{
    (void)index;
    finish(arg, e,
           e == ERR_OK ? "cluster created" : "the cluster was created, but is not readable yet");
}

static void on_outcome(void *arg, enum err e, const struct outcome *outcome)
{
    struct create *k = arg;
    e = e == ERR_OK ? outcome->error : e;
    if (e == ERR_OK) {
        e = cluster_wait_visible(k->c, outcome->index, LIMIT_REQUEST_MS, on_visible, k);
    }
    if (e != ERR_OK) {
        finish(k, e,
               "the first command was not committed: empty the data directories and create again");
    }
}

static enum err take_ids(struct cluster *c,
                         const uint8_t member_id[ID_SIZE],
                         const Ringkeep__ClusterInit *init)
{
    if (init->cluster_id.len != ID_SIZE || init->incarnation.len != ID_SIZE ||
        init->member == NULL) {
        return ERR_USAGE;
    }
    memcpy(c->self.cluster_id, init->cluster_id.data, ID_SIZE);
    memcpy(c->self.incarnation, init->incarnation.data, ID_SIZE);
    memcpy(c->self.member_id, member_id, ID_SIZE);
    return ERR_OK;
}

static enum err start(struct create *k, struct bytes command)
{
    char text[CLUSTER_TEXT] = "";
    const enum err e = cluster_run_replica(k->c, true, true, bytes_of(NULL, 0), text, sizeof text);
    if (e != ERR_OK) {
        log_error("cluster create: %s", text);
        return e;
    }
    return cluster_propose(k->c, command, CREATE_MS, on_outcome, k);
}

enum err cluster_create(struct cluster *c,
                        const uint8_t member_id[ID_SIZE],
                        const void *cluster_init,
                        cluster_done_cb cb,
                        void *arg)
{
    BUF_SCOPED command = { 0 };
    if (!c->started || c->stopped || c->phase != CLUSTER_IDLE || c->replica != NULL) {
        return ERR_WRONG_STATE;
    }
    TRY(cluster_check_fresh(c));
    TRY(command_build(&command, NULL, RINGKEEP__COMMAND__VERB_CLUSTER_INIT, cluster_init));
    TRY(take_ids(c, member_id, cluster_init));
    struct create *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return ERR_NOMEM;
    }
    *k = (struct create){ c, cb, arg };
    c->phase = CLUSTER_CREATING;
    cluster_hold(c);
    const enum err e = start(k, buf_bytes(&command));
    if (e != ERR_OK) {
        c->phase = c->has_facts ? CLUSTER_CREATING : CLUSTER_IDLE;
        free(k);
        cluster_release(c);
    }
    return e;
}
