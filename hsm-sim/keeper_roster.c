/* SPDX-License-Identifier: Apache-2.0 */
/* What a core says of itself and of the cluster: login key and identities, beacon,
 * invites, the roster that it has seen. The keeper's thread. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

enum err keeper_login_key(struct keeper *k, uint8_t l[ENVELOPE_LOGIN_KEY])
{
    const uint64_t now = keeper_now_s(k);
    if (!k->authorized) {
        return ERR_SEALED;
    }
    if (k->login_key_s == 0 || now - k->login_key_s >= KEEPER_LOGIN_KEY_S) {
        TRY(envelope_login_key_sign(k->lk_pub, k->set.lk_version, now, k->state.core_id,
                                    k->state.cluster_id, k->state.id_private, k->login_key));
        k->login_key_s = now;
    }
    memcpy(l, k->login_key, ENVELOPE_LOGIN_KEY);
    return ERR_OK;
}

enum err keeper_identities(struct keeper *k, uint8_t i[ENVELOPE_IDENTITIES_MAX], size_t *size)
{
    struct roster roster;
    struct envelope_identities list;
    TRY(keeper_state_roster(&k->state, &roster));
    TRY(roster_identities(&roster, &list));
    *size = envelope_identities_encode(&list, i);
    return ERR_OK;
}

enum err keeper_roster_login_key(struct keeper_call *call, struct keeper_out *out)
{
    call->k->login_key_s = 0;
    return keeper_login_key(call->k, keeper_out_room(out, ENVELOPE_LOGIN_KEY));
}

/* Every ten minutes: also the time at which the latest time seen goes to disk
 * where no login did it. */
enum err keeper_roster_beacon(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct roster roster;
    struct roster_beacon b = { .time = keeper_now_s(k) };
    TRY(keeper_state_roster(&k->state, &roster));
    memcpy(b.member_id, k->state.core_id, ID_SIZE);
    b.roster_version = roster.version;
    if (b.time - k->stored_latest_s >= KEEPER_CLOCK_BACK_S) {
        TRY(keeper_store(k));
    }
    return roster_beacon_sign(&b, k->state.cluster_id, k->state.id_private,
                              keeper_out_room(out, ROSTER_BEACON));
}

enum err keeper_roster_seen(struct keeper_call *call, struct keeper_out *out)
{
    struct roster roster;
    TRY(keeper_roster_see(call->k, call->request->section[0], &roster));
    out->number = roster.version;
    return ERR_OK;
}

enum err keeper_roster_invite(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_handle *handle = NULL;
    struct invite invite = { 0 };
    uint8_t expiry[8];
    const uint64_t life = call->request->number;
    TRY(keeper_admin(k, call->request->handle, RECORD_PO, &handle));
    if (life == 0 || life > KEEPER_INVITE_S) {
        return ERR_REFUSED;
    }
    TRY(keeper_clock_check(k));
    TRY(invite_draw(keeper_now_s(k) + life, &invite));
    keeper_out_put(out, invite.invite_id, ID_SIZE);
    enum err e = invite_seal(&invite, k->state.cluster_id, &k->opener[SMK_INVITE],
                             keeper_out_room(out, BLOB_INVITE_SIZE));
    keeper_out_put(out, invite.secret, sizeof invite.secret);
    put_u64(expiry, invite.expiry);
    keeper_out_put(out, expiry, sizeof expiry);
    out->number = invite.expiry;
    invite_wipe(&invite);
    keeper_note(k, "admin", "invite made", e);
    return e;
}
