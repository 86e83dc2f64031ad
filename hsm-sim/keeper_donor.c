/* SPDX-License-Identifier: Apache-2.0 */
/* The donor's side of clone runs (crypto-spec section 6): join and inherit. To
 * the outside every failure is ERR_REFUSED; the true cause is in the security log
 * and the run is wiped. The keeper's thread. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

#define INVITE_FAILURES 5u

static void wipe_run(struct keeper_donor *d)
{
    clone_donor_drop(&d->donor);
    bytes_wipe(d, sizeof *d);
}

static void sweep_joiner(struct keeper *k, uint64_t now)
{
    struct keeper_joiner *j = &k->joiner;
    if (j->until_ms != 0 && j->until_ms <= now) {
        clone_joiner_drop(&j->joiner);
        bytes_wipe(j, sizeof *j);
    }
}

void keeper_clone_sweep(struct keeper *k)
{
    const uint64_t now = clock_boot_ms(k->clock);
    for (unsigned i = 0; i < LIMIT_CLONE_RUNS; i++) {
        if (k->donor[i].id != 0 && k->donor[i].until_ms <= now) {
            wipe_run(&k->donor[i]);
        }
    }
    sweep_joiner(k, now);
}

void keeper_clone_clear(struct keeper *k)
{
    for (unsigned i = 0; i < LIMIT_CLONE_RUNS; i++) {
        wipe_run(&k->donor[i]);
    }
    clone_joiner_drop(&k->joiner.joiner);
    bytes_wipe(&k->joiner, sizeof k->joiner);
}

static enum err fail(struct keeper *k, struct keeper_donor *d, const char *what, enum err cause)
{
    if (d != NULL) {
        wipe_run(d);
    }
    return keeper_refuse(k, "clone", what, cause);
}

static struct keeper_donor *find_run(struct keeper *k, uint64_t id)
{
    for (unsigned i = 0; i < LIMIT_CLONE_RUNS; i++) {
        if (id != 0 && k->donor[i].id == id) {
            return &k->donor[i];
        }
    }
    return NULL;
}

/* A new run of the same peer ends its old one. */
static struct keeper_donor *place_for(struct keeper *k, const uint8_t joiner_id[ID_SIZE])
{
    struct keeper_donor *place = NULL;
    for (unsigned i = 0; i < LIMIT_CLONE_RUNS; i++) {
        struct keeper_donor *d = &k->donor[i];
        if (d->id != 0 && keeper_same_id(d->params.joiner_id, joiner_id)) {
            wipe_run(d);
        }
        place = place == NULL && d->id == 0 ? d : place;
    }
    return place;
}

/* -- M1 --------------------------------------------------------------------- */

/* Unexpired, unspent here and in the replicated row, not void by failures. */
static enum err check_invite(struct keeper *k,
                             const struct core_request *q,
                             const struct clone_request *request,
                             struct invite *out)
{
    const uint64_t now = keeper_now_s(k);
    TRY(keeper_section(q, 2, 1));
    TRY(invite_open(q->section[1], k->state.cluster_id, &k->opener[SMK_INVITE], now, out));
    if (!keeper_same_id(out->invite_id, request->invite_id)) {
        return ERR_WRONG_KEY;
    }
    const struct keeper_invite *known = keeper_invite_find(&k->state, request->invite_id);
    if (known != NULL && (known->spent != 0 || known->failures >= INVITE_FAILURES)) {
        return ERR_TOKEN;
    }
    return invite_spend_check(false, q->section[2].data[0] != 0, true);
}

static enum err check_join(struct keeper *k,
                           const struct core_request *q,
                           const struct clone_request *request,
                           struct roster *roster,
                           struct keeper_donor *d)
{
    TRY(check_invite(k, q, request, &d->invite));
    return roster_find(roster, request->joiner_id) == NULL ? ERR_OK : ERR_EXISTS;
}

static enum err check_inherit(struct keeper *k,
                              const struct core_request *q,
                              const struct clone_request *request,
                              const struct roster *roster,
                              struct keeper_donor *d)
{
    struct roster_beacon beacon;
    const struct blob_roster_row *row = roster_find_active(roster, request->joiner_id);
    if (row == NULL || !keeper_same_key(row->id_pub, request->id_pub)) {
        return ERR_IDENTITY;
    }
    TRY(roster_beacon_verify(q->section[3], k->state.cluster_id, row->id_pub, &beacon));
    if (!keeper_same_id(beacon.member_id, request->joiner_id)) {
        return ERR_IDENTITY;
    }
    d->beacon_s = beacon.time;
    return roster_beacon_fresh(beacon.time, roster->inherit_window_s, keeper_now_s(k));
}

static void fill_params(const struct keeper *k,
                        const struct clone_request *request,
                        unsigned purpose,
                        uint64_t roster_version,
                        struct clone_params *p)
{
    p->purpose = (uint8_t)purpose;
    p->suite = request->suite;
    p->roster_version = roster_version;
    memcpy(p->cluster_id, k->state.cluster_id, ID_SIZE);
    memcpy(p->donor_id, k->state.core_id, ID_SIZE);
    memcpy(p->joiner_id, request->joiner_id, ID_SIZE);
    memcpy(p->donor_id_pub, k->id_pub, sizeof p->donor_id_pub);
    memcpy(p->joiner_id_pub, request->id_pub, sizeof p->joiner_id_pub);
    memcpy(p->joiner_ak_pub, request->ak_pub, sizeof p->joiner_ak_pub);
    memcpy(p->joiner_spki, request->spki_hash, sizeof p->joiner_spki);
    memcpy(p->invite_id, request->invite_id, ID_SIZE);
    memcpy(p->domain_id, k->state.domain_id, ID_SIZE);
}

static enum err begin(struct keeper *k, struct keeper_donor *d, uint8_t m1[CLONE_M1])
{
    struct clone_chance chance;
    TRY(crypt_random(&d->id, sizeof d->id));
    d->until_ms = clock_boot_ms(k->clock) + KEEPER_CLONE_MS;
    TRY(clone_chance_draw(&chance));
    enum err e = clone_donor_begin(&d->donor, &d->params, k->state.id_private, &chance, m1);
    clone_chance_wipe(&chance);
    return e;
}

/* Judges the request before a place is taken for it. */
static enum err judge(struct keeper *k,
                      const struct core_request *q,
                      struct clone_request *request,
                      struct keeper_donor *d)
{
    struct roster roster;
    TRY(clone_request_decode(q->section[0], request));
    TRY(keeper_roster_see(k, q->section[4], &roster));
    if (!keeper_same_id(request->cluster_id, k->state.cluster_id)) {
        return ERR_WRONG_KEY;
    }
    if (q->number == CLONE_JOIN) {
        TRY(check_join(k, q, request, &roster, d));
    } else if (q->number == CLONE_INHERIT) {
        TRY(check_inherit(k, q, request, &roster, d));
    } else {
        return ERR_UNSUPPORTED;
    }
    fill_params(k, request, (unsigned)q->number, roster.version, &d->params);
    return ERR_OK;
}

enum err keeper_donor_m1(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct clone_request request;
    struct keeper_donor fresh = { 0 };
    uint8_t m1[CLONE_M1];
    enum err e = judge(k, call->request, &request, &fresh);
    struct keeper_donor *d = e == ERR_OK ? place_for(k, request.joiner_id) : NULL;
    if (e == ERR_OK && d == NULL) {
        wipe_run(&fresh);
        return ERR_BUSY;
    }
    if (e == ERR_OK) {
        *d = fresh;
        e = begin(k, d, m1);
    }
    bytes_wipe(&fresh, sizeof fresh);
    if (e != ERR_OK) {
        return fail(k, d, "request of a joiner not accepted", e);
    }
    keeper_note(k, "clone",
                call->request->number == CLONE_JOIN ? "join begun" : "inheritance begun", ERR_OK);
    keeper_out_put(out, m1, sizeof m1);
    out->number = d->id;
    return ERR_OK;
}

/* -- CHECK ------------------------------------------------------------------ */

/* Spent on this disk before the command that spends it for all is proposed. */
static enum err spend_invite(struct keeper *k, const struct keeper_donor *d)
{
    struct keeper_invite *v =
        keeper_invite_use(&k->state, d->invite.invite_id, d->invite.expiry, keeper_now_s(k));
    if (v == NULL) {
        return ERR_FULL;
    }
    if (v->spent != 0 || v->failures >= INVITE_FAILURES || keeper_now_s(k) >= d->invite.expiry) {
        return ERR_TOKEN;
    }
    v->spent = 1;
    return keeper_store(k);
}

/* Each wrong proof is a guess at the domain secret: five of them end the invite. */
static enum err count_failure(struct keeper *k, const struct keeper_donor *d)
{
    if (d->params.purpose != CLONE_JOIN) {
        return ERR_OK;
    }
    struct keeper_invite *v =
        keeper_invite_use(&k->state, d->invite.invite_id, d->invite.expiry, keeper_now_s(k));
    if (v == NULL) {
        return ERR_FULL;
    }
    v->failures = v->failures < UINT8_MAX ? (uint8_t)(v->failures + 1) : v->failures;
    return keeper_store(k);
}

static bool invite_is_void(struct keeper *k, const struct keeper_donor *d)
{
    const struct keeper_invite *v = keeper_invite_find(&k->state, d->invite.invite_id);
    return d->params.purpose == CLONE_JOIN && v != NULL &&
           (v->spent != 0 || v->failures >= INVITE_FAILURES);
}

static enum err check_rules(struct keeper *k, struct keeper_donor *d)
{
    struct roster roster;
    TRY(keeper_state_roster(&k->state, &roster));
    TRY(clone_donor_check_rules(&d->donor, &roster, d->beacon_s, keeper_now_s(k)));
    return d->params.purpose == CLONE_JOIN ? spend_invite(k, d) : ERR_OK;
}

enum err keeper_donor_check(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_donor *d = find_run(k, call->request->number);
    char words[CLONE_WORDS];
    if (d == NULL || d->checked || invite_is_void(k, d)) {
        return fail(k, d, "no such run", ERR_NOTFOUND);
    }
    const uint8_t *secret = d->params.purpose == CLONE_JOIN ? d->invite.secret : NULL;
    enum err e = clone_donor_check_m2(&d->donor, call->request->section[0], k->state.dk, secret);
    if (e != ERR_OK) {
        enum err counted = count_failure(k, d);
        return fail(k, d, "the joiner's proof is wrong", counted != ERR_OK ? counted : e);
    }
    e = check_rules(k, d);
    if (e == ERR_OK) {
        e = clone_donor_words(&d->donor, words);
    }
    if (e != ERR_OK) {
        return fail(k, d, "the joiner breaks a rule", e);
    }
    d->checked = true;
    keeper_out_put(out, words, strlen(words));
    return ERR_OK;
}

/* -- M3 --------------------------------------------------------------------- */

/* The replicated cluster record where it was given; else the one at home. */
static enum err choose_record(struct keeper *k, struct bytes given, uint8_t *out, size_t *size)
{
    bool newer = false;
    struct record home = k->state.home;
    if (given.size > 0) {
        TRY(keeper_home_see(k, given, &newer));
        struct blob_record_header h;
        TRY(blob_record_parse(given, BLOB_CLUSTER_RECORD, &h));
        if (h.version == k->state.home.version) {
            memcpy(out, given.data, given.size);
            *size = given.size;
            return ERR_OK;
        }
    }
    enum err e = record_seal(&home, &k->opener[SMK_CLUSTER_RECORD], out, size);
    record_wipe(&home);
    return e;
}

enum err keeper_donor_m3(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_donor *d = find_run(k, call->request->number);
    uint8_t record[LIMIT_RECORD];
    size_t size = 0;
    if (d == NULL || !d->checked) {
        return fail(k, d, "no such run", ERR_NOTFOUND);
    }
    enum err e = choose_record(k, call->request->section[0], record, &size);
    if (e == ERR_OK) {
        const struct clone_gift gift = {
            .cuk = k->cuk,
            .set = &k->set,
            .roster = bytes_of(k->state.roster, k->state.roster_size),
            .cluster_record = bytes_of(record, size),
        };
        e = clone_donor_make_m3(&d->donor, k->state.id_private, &gift,
                                keeper_out_room(out, CLONE_M3));
    }
    if (e != ERR_OK) {
        return fail(k, d, "M3 not made", e);
    }
    keeper_note(k, "clone",
                d->params.purpose == CLONE_JOIN ? "SMK sent: join" : "SMK sent: inheritance",
                ERR_OK);
    return ERR_OK;
}

/* -- DONE ------------------------------------------------------------------- */

static enum err put_roster(struct keeper *k, const struct clone_params *p, struct keeper_out *out)
{
    struct roster roster;
    struct blob_roster_row row = { .state = BLOB_ROSTER_ACTIVE, .suite = p->suite };
    uint8_t sealed[LIMIT_ROSTER];
    size_t size = 0;
    TRY(keeper_state_roster(&k->state, &roster));
    memcpy(row.member_id, p->joiner_id, ID_SIZE);
    memcpy(row.id_pub, p->joiner_id_pub, sizeof row.id_pub);
    memcpy(row.ak_pub, p->joiner_ak_pub, sizeof row.ak_pub);
    memcpy(row.spki_hash, p->joiner_spki, sizeof row.spki_hash);
    if (roster_find(&roster, row.member_id) != NULL) {
        return ERR_EXISTS;
    }
    TRY(roster_put(&roster, &row));
    roster.version++;
    TRY(roster_seal(&roster, &k->opener[SMK_ROSTER], sealed, &size));
    keeper_out_put(out, sealed, size);
    out->number = roster.version;
    return ERR_OK;
}

enum err keeper_donor_done(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_donor *d = find_run(k, call->request->number);
    if (d == NULL) {
        return fail(k, d, "no such run", ERR_NOTFOUND);
    }
    enum err e = clone_donor_check_m4(&d->donor, call->request->section[0]);
    if (e == ERR_OK && d->params.purpose == CLONE_JOIN) {
        e = put_roster(k, &d->params, out);
    }
    if (e != ERR_OK) {
        return fail(k, d, "the joiner did not confirm", e);
    }
    wipe_run(d);
    return ERR_OK;
}
