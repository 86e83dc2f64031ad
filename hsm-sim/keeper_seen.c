/* SPDX-License-Identifier: Apache-2.0 */
/* What the replicated state shows to the core: keyring records, the cluster
 * record, the roster. Each is authentic or refused, none goes back in version,
 * and a newer one is on disk before anything follows from it. The keeper's
 * thread. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

enum err keeper_record_open(struct keeper *k, struct bytes sealed, struct record *out)
{
    struct blob_record_header h;
    enum err e = blob_record_parse(sealed, BLOB_RECORD, &h);
    if (e == ERR_OK) {
        e = record_open(sealed, BLOB_RECORD, h.owner_id, &k->opener[SMK_RECORD], out);
    }
    if (e != ERR_OK) {
        return keeper_refuse(k, "record", "keyring record not accepted", e);
    }
    const struct keeper_floor *f = keeper_floor_find(&k->state, out->owner_id);
    if (f != NULL && record_floor_check(out, f->version, f->epoch) != ERR_OK) {
        record_wipe(out);
        return keeper_refuse(k, "record", "keyring record below the floor", ERR_LAGGING);
    }
    return ERR_OK;
}

enum err keeper_record_see(struct keeper *k, struct bytes sealed, struct record *out)
{
    TRY(keeper_record_open(k, sealed, out));
    struct keeper_floor *f = keeper_floor_use(&k->state, out->owner_id);
    if (out->version == f->version && out->epoch == f->epoch) {
        return ERR_OK;
    }
    if (out->version > f->version) {
        memcpy(f->failures, f->in_flight, sizeof f->failures);
    }
    f->version = out->version;
    f->epoch = out->epoch;
    keeper_handles_end_epoch(k->handles, out->owner_id, out->epoch);
    return keeper_store(k);
}

enum err keeper_home_see(struct keeper *k, struct bytes sealed, bool *newer)
{
    struct record r = { 0 };
    uint8_t id[ID_SIZE];
    *newer = false;
    if (sealed.size == 0) {
        return ERR_OK;
    }
    enum err e = record_open(sealed, BLOB_CLUSTER_RECORD, k->state.cluster_id,
                             &k->opener[SMK_CLUSTER_RECORD], &r);
    if (e != ERR_OK) {
        return keeper_refuse(k, "record", "cluster record not accepted", e);
    }
    TRY(smk_kk_id(k->cuk, k->state.cluster_id, id));
    if (!keeper_same_id(id, r.kk_id)) {
        record_wipe(&r);
        return keeper_refuse(k, "record", "cluster record of another partition key", ERR_WRONG_KEY);
    }
    if (r.version > k->state.home.version) {
        *newer = true;
        k->state.home = r;
        k->state.failures[RECORD_PO] = k->state.in_flight[RECORD_PO];
        k->state.failures[RECORD_CO] = k->state.in_flight[RECORD_CO];
        e = keeper_store(k);
    }
    record_wipe(&r);
    return e;
}

enum err keeper_roster_see(struct keeper *k, struct bytes sealed, struct roster *out)
{
    struct roster own;
    enum err e = roster_open(sealed, k->state.cluster_id, &k->opener[SMK_ROSTER], out);
    if (e != ERR_OK) {
        return keeper_refuse(k, "roster", "roster not accepted", e);
    }
    TRY(keeper_state_roster(&k->state, &own));
    if (out->version < own.version) {
        return keeper_refuse(k, "roster", "roster below the highest seen", ERR_LAGGING);
    }
    if (out->version > own.version) {
        memcpy(k->state.roster, sealed.data, sealed.size);
        k->state.roster_size = sealed.size;
        TRY(keeper_store(k));
    }
    return ERR_OK;
}
