/* SPDX-License-Identifier: Apache-2.0 */
/* What every handler asks about this member: its state, and what to do about an
 * error. Loop thread. */
#include "appliance/appliance.h"

#include <assert.h>

#include "appliance/core_port.h"

enum core_state appliance_state(const struct appliance *a)
{
    assert(a->port != NULL);
    if (!core_port_answering(a->port)) {
        return cluster_is_member(a->cluster) ? CORE_MEMBER : CORE_UNINITIALISED;
    }
    return (enum core_state)core_port_status(a->port)->state;
}

enum err appliance_state_check(const struct appliance *a, enum core_state least)
{
    const enum core_state state = appliance_state(a);
    if (least >= CORE_MEMBER && !cluster_is_member(a->cluster)) {
        return state == CORE_UNINITIALISED ? ERR_UNINITIALISED : ERR_WRONG_STATE;
    }
    if (state >= least) {
        return ERR_OK;
    }
    return least == CORE_AUTHORIZED && state >= CORE_INITIALISED ? ERR_SEALED : ERR_UNINITIALISED;
}

uint64_t appliance_visible(const struct appliance *a)
{
    STORE_VIEW_SCOPED *view = NULL;
    if (store_view_open(a->store, &view) != ERR_OK) {
        return 0;
    }
    return store_view_index(view);
}

struct advice {
    enum err error;
    const char *text;
};

static const struct advice advices[] = {
    { ERR_SEALED, "run on this member: ringkeep cluster authorize" },
    { ERR_UNINITIALISED, "run on this member: ringkeep init" },
    { ERR_NO_QUORUM, "start more members or repair the network: a majority must answer (ringkeep status)" },
    { ERR_NOT_LEADER, "the members are choosing a leader: ask again" },
    { ERR_UNKNOWN_OUTCOME, "ask again with the same request id; it is executed at most once" },
    { ERR_TOO_OLD, "look the object up by its id" },
    { ERR_BUSY, "ask again shortly, or another member" },
    { ERR_LAGGING, "ask another member, or again shortly" },
    { ERR_TICKET_LATE, "ask another member, or again shortly" },
    { ERR_TICKET_EXPIRED, "log in again" },
    { ERR_LOGIN_REQUIRED, "log in, or open the session again with the ticket" },
    { ERR_PIN_MUST_CHANGE, "change the first password: ringkeep keyring password" },
    { ERR_PIN_LOCKED, "the role's Security Officer must set a new password" },
    { ERR_IDENTITY, "register this client's key: ringkeep client register" },
    { ERR_WORKER_DIED, "the request ended a core worker; it is not repeated anywhere" },
    { ERR_QUARANTINED, "the same request ended a core worker within the last minute" },
    { ERR_TOKEN, "make a new invite: ringkeep member invite" },
    { ERR_CLOCK, "check time synchronisation on both members" },
    { ERR_INCARNATION, "the cluster's history was cut: look the object up, log in again" },
    { ERR_WRONG_STATE, "see: ringkeep status" },
    { ERR_EXISTS, "choose another name" },
};

const char *appliance_advice(enum err e)
{
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        if (advices[i].error == e) {
            return advices[i].text;
        }
    }
    return NULL;
}
