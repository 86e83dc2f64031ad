/* SPDX-License-Identifier: Apache-2.0 */
/* The joiner's side of a clone run (crypto-spec section 6): one at a time, for a
 * join (invite and domain secret) or an inheritance (roster and domain key). To
 * the outside every failure is ERR_REFUSED and ends the run. The keeper's thread,
 * but for work_join. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

static void wipe_joiner(struct keeper *k)
{
    clone_joiner_drop(&k->joiner.joiner);
    bytes_wipe(&k->joiner, sizeof k->joiner);
}

static enum err fail(struct keeper *k, const char *what, enum err cause)
{
    wipe_joiner(k);
    return keeper_refuse(k, "clone", what, cause);
}

static void describe_self(const struct keeper *k, struct clone_request *r)
{
    r->suite = BLOB_SUITE;
    memcpy(r->joiner_id, k->state.core_id, ID_SIZE);
    memcpy(r->id_pub, k->id_pub, sizeof r->id_pub);
    memcpy(r->ak_pub, k->ak_pub, sizeof r->ak_pub);
}

/* -- JOIN_BEGIN ------------------------------------------------------------- */

static enum err work_join(struct keeper_job *job)
{
    return keeper_job_domain_key(job, &job->pin[0]);
}

static enum err finish_join(struct keeper_job *job, struct keeper_out *out)
{
    struct keeper *k = job->k;
    struct keeper_joiner *j = &k->joiner;
    TRY(job->error);
    if (k->state.state != CORE_INITIALISED) {
        return ERR_WRONG_STATE;
    }
    wipe_joiner(k);
    j->until_ms = clock_boot_ms(k->clock) + KEEPER_CLONE_MS;
    j->own.purpose = CLONE_JOIN;
    j->own.request = job->request;
    memcpy(j->own.domain_id, job->domain_id, ID_SIZE);
    memcpy(j->dk, job->dk, sizeof j->dk);
    memcpy(j->invite_secret, job->invite_secret, sizeof j->invite_secret);
    clone_request_encode(&j->own.request, keeper_out_room(out, CLONE_REQUEST));
    return ERR_OK;
}

static enum err prepare_join(struct keeper_call *call, struct keeper_job *job)
{
    struct keeper *k = call->k;
    const struct core_request *q = call->request;
    struct keeper_handle *handle = NULL;
    TRY(keeper_section(q, 2, 80));
    TRY(keeper_section(q, 3, sizeof job->spki_hash));
    TRY(keeper_admin(k, q->handle, RECORD_HSM_SO, &handle));
    const struct keeper_envelope e = {
        .challenge = q->section[0],
        .envelope = q->section[1],
        .verb = ENVELOPE_SET,
        .kr_id = k->state.core_id,
    };
    TRY(keeper_envelope_open(k, &e, &job->pin[0]));
    TRY(keeper_set_check(k, handle, &job->pin[0]));
    TRY(envelope_domain_secret_check(bytes_of(job->pin[0].new_pin, job->pin[0].new_pin_size)));
    const uint8_t *token = q->section[2].data;
    describe_self(k, &job->request);
    memcpy(job->request.cluster_id, token, ID_SIZE);
    memcpy(job->domain_id, token + 16, ID_SIZE);
    memcpy(job->request.invite_id, token + 32, ID_SIZE);
    memcpy(job->invite_secret, token + 48, sizeof job->invite_secret);
    memcpy(job->request.spki_hash, q->section[3].data, sizeof job->request.spki_hash);
    job->work = work_join;
    job->finish = finish_join;
    for (unsigned i = 0; i < 3; i++) {
        if (bytes_all_zero(bytes_of(token + (size_t)ID_SIZE * i, ID_SIZE))) {
            return ERR_TOKEN;
        }
    }
    return ERR_OK;
}

enum err keeper_joiner_join(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    if (call->k->state.state != CORE_INITIALISED) {
        return ERR_WRONG_STATE;
    }
    TRY(keeper_job_make(call, &job));
    enum err e = prepare_join(call, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}

/* -- INHERIT_BEGIN ---------------------------------------------------------- */

enum err keeper_joiner_inherit(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_joiner *j = &k->joiner;
    struct roster roster;
    if (keeper_state_now(k) != CORE_MEMBER) {
        return ERR_WRONG_STATE;
    }
    TRY(keeper_state_roster(&k->state, &roster));
    const struct blob_roster_row *row = roster_find_active(&roster, k->state.core_id);
    wipe_joiner(k);
    j->until_ms = clock_boot_ms(k->clock) + KEEPER_CLONE_MS;
    j->own.purpose = CLONE_INHERIT;
    describe_self(k, &j->own.request);
    memcpy(j->own.request.cluster_id, k->state.cluster_id, ID_SIZE);
    if (row != NULL) {
        memcpy(j->own.request.spki_hash, row->spki_hash, sizeof row->spki_hash);
    }
    memcpy(j->own.domain_id, k->state.domain_id, ID_SIZE);
    memcpy(j->dk, k->state.dk, sizeof j->dk);
    clone_request_encode(&j->own.request, keeper_out_room(out, CLONE_REQUEST));
    return ERR_OK;
}

/* -- M2 --------------------------------------------------------------------- */

static enum err answer_m1(struct keeper *k, struct bytes m1, uint8_t m2[CLONE_M2])
{
    struct keeper_joiner *j = &k->joiner;
    struct clone_chance chance;
    struct roster roster;
    const bool join = j->own.purpose == CLONE_JOIN;
    if (!join) {
        TRY(keeper_state_roster(&k->state, &roster));
    }
    const struct clone_proof proof = {
        .id_private = k->state.id_private,
        .dk = j->dk,
        .invite_secret = join ? j->invite_secret : NULL,
    };
    TRY(clone_chance_draw(&chance));
    enum err e =
        clone_joiner_begin(&j->joiner, m1, &j->own, join ? NULL : &roster, &proof, &chance, m2);
    clone_chance_wipe(&chance);
    return e;
}

enum err keeper_joiner_m2(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_joiner *j = &k->joiner;
    if (j->until_ms == 0 || j->begun) {
        return fail(k, "no run waits for M1", ERR_NOTFOUND);
    }
    enum err e = answer_m1(k, call->request->section[0], keeper_out_room(out, CLONE_M2));
    if (e != ERR_OK) {
        return fail(k, "M1 not accepted", e);
    }
    j->begun = true;
    j->until_ms = clock_boot_ms(k->clock) + KEEPER_CLONE_MS;
    return ERR_OK;
}

/* -- M4 --------------------------------------------------------------------- */

/* What M3 brought, opened and judged. */
struct gift {
    struct clone_taken taken;
    struct roster roster;
    struct record home;
};

static enum err open_gift(const uint8_t cluster_id[ID_SIZE], struct gift *g)
{
    struct smk_opener opener;
    struct clone_taken *t = &g->taken;
    TRY(smk_opener_make(&t->set, SMK_ROSTER, cluster_id, &opener));
    enum err e = roster_open(bytes_of(t->roster, t->roster_size), cluster_id, &opener, &g->roster);
    smk_opener_wipe(&opener);
    TRY(e);
    TRY(smk_opener_make(&t->set, SMK_CLUSTER_RECORD, cluster_id, &opener));
    e = record_open(bytes_of(t->cluster_record, t->cluster_record_size), BLOB_CLUSTER_RECORD,
                    cluster_id, &opener, &g->home);
    smk_opener_wipe(&opener);
    return e;
}

/* Nothing goes back: roster, record and login key are not below what was seen. */
static enum err judge_gift(struct keeper *k, const struct clone_params *p, struct gift *g)
{
    uint8_t cuk_id[ID_SIZE];
    struct roster own;
    TRY(smk_kk_id(g->taken.cuk, p->cluster_id, cuk_id));
    const struct blob_roster_row *donor = roster_find_active(&g->roster, p->donor_id);
    const struct blob_roster_row *me = roster_find(&g->roster, k->state.core_id);
    if (!keeper_same_id(cuk_id, g->home.kk_id) || donor == NULL ||
        !keeper_same_key(donor->id_pub, p->donor_id_pub) || g->roster.version < p->roster_version ||
        g->taken.set.lk_version < k->state.lk_version) {
        return ERR_REFUSED;
    }
    if (p->purpose == CLONE_JOIN && k->state.state != CORE_INITIALISED) {
        return ERR_WRONG_STATE; /* a cluster was made here since the join began */
    }
    if (p->purpose == CLONE_JOIN) {
        return me == NULL ? ERR_OK : ERR_EXISTS;
    }
    TRY(keeper_state_roster(&k->state, &own));
    const bool known =
        me != NULL && me->state == BLOB_ROSTER_ACTIVE && keeper_same_key(me->id_pub, k->id_pub);
    return known && g->roster.version >= own.version && g->home.version >= k->state.home.version
               ? ERR_OK
               : ERR_REFUSED;
}

static enum err take_gift(struct keeper *k,
                          struct bytes m3,
                          struct gift *g,
                          char words[CLONE_WORDS])
{
    struct keeper_joiner *j = &k->joiner;
    const struct clone_params p = j->joiner.run.params;
    const struct smk_set *own = k->authorized ? &k->set : NULL;
    TRY(clone_joiner_take_m3(&j->joiner, m3, own, &g->taken));
    TRY(open_gift(p.cluster_id, g));
    TRY(judge_gift(k, &p, g));
    TRY(clone_joiner_words(&j->joiner, words));
    const struct keeper_membership m = {
        .cluster_id = p.cluster_id,
        .domain_id = p.domain_id,
        .dk = j->dk,
        .cuk = g->taken.cuk,
        .set = &g->taken.set,
        .home = &g->home,
        .roster = bytes_of(g->taken.roster, g->taken.roster_size),
    };
    return keeper_become_member(k, &m);
}

enum err keeper_joiner_m4(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct gift g = { 0 };
    char words[CLONE_WORDS];
    if (k->joiner.until_ms == 0 || !k->joiner.begun) {
        return fail(k, "no run waits for M3", ERR_NOTFOUND);
    }
    enum err e = take_gift(k, call->request->section[0], &g, words);
    if (e == ERR_OK) {
        e = clone_joiner_make_m4(&k->joiner.joiner, keeper_out_room(out, CLONE_M4));
    }
    if (e == ERR_OK) {
        keeper_out_put(out, g.taken.roster, g.taken.roster_size);
        keeper_out_put(out, g.taken.cluster_record, g.taken.cluster_record_size);
        keeper_out_put(out, words, strlen(words));
    }
    bytes_wipe(&g, sizeof g);
    if (e != ERR_OK) {
        return fail(k, "M3 not accepted", e);
    }
    wipe_joiner(k);
    keeper_note(k, "clone", "SMK taken, this core is authorized", ERR_OK);
    return ERR_OK;
}
