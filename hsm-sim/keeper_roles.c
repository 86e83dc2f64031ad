/* SPDX-License-Identifier: Apache-2.0 */
/* The core's own roles: its initialisation, logins of HSM SO, PO and CO, and the
 * making of a cluster. Passwords come in envelopes under AK. The keeper's thread,
 * but for the work_* functions. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

/* -- INIT ------------------------------------------------------------------- */

static struct bytes new_pin(const struct envelope_pin *pin)
{
    return bytes_of(pin->new_pin, pin->new_pin_size);
}

static enum err work_init(struct keeper_job *job)
{
    static const uint8_t no_kk[ID_SIZE];
    return record_row_set(&job->row, job->owner_id, no_kk, new_pin(&job->pin[0]), NULL);
}

static enum err finish_init(struct keeper_job *job, struct keeper_out *out)
{
    struct keeper *k = job->k;
    (void)out;
    TRY(job->error);
    if (k->state.state != CORE_UNINITIALISED) {
        return ERR_EXISTS;
    }
    k->state.so = job->row;
    k->state.label_size = (uint8_t)job->sealed_size;
    memcpy(k->state.label, job->sealed, job->sealed_size);
    k->state.state = CORE_INITIALISED;
    keeper_note(k, "admin", "core initialised", ERR_OK);
    return keeper_store(k);
}

static enum err prepare_init(struct keeper_call *call, struct keeper_job *job)
{
    struct keeper *k = call->k;
    const struct core_request *q = call->request;
    const struct keeper_envelope e = {
        .challenge = q->section[0],
        .envelope = q->section[1],
        .verb = ENVELOPE_SET,
        .role = RECORD_HSM_SO,
        .kr_id = k->state.core_id,
    };
    TRY(keeper_envelope_open(k, &e, &job->pin[0]));
    if (job->pin[0].new_pin_size < LIMIT_PASSWORD_MIN) {
        return ERR_PIN_LENGTH;
    }
    memcpy(job->owner_id, k->state.core_id, ID_SIZE);
    job->row = (struct record_row){
        .role = RECORD_HSM_SO,
        .flags = RECORD_NO_WRAP,
        .log_n = (uint8_t)keeper_log_n(job->test_log_n, RECORD_LOGN_CLUSTER),
        .max_fail = LIMIT_MAX_FAIL_SO,
        .changed_at = job->now_s,
    };
    job->sealed_size = q->section[2].size;
    if (job->sealed_size > 0) {
        memcpy(job->sealed, q->section[2].data, job->sealed_size);
    }
    job->work = work_init;
    job->finish = finish_init;
    return ERR_OK;
}

enum err keeper_roles_init(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    if (call->k->state.state != CORE_UNINITIALISED) {
        return ERR_EXISTS;
    }
    TRY(keeper_job_make(call, &job));
    enum err e = prepare_init(call, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}

/* -- LOGIN_CORE ------------------------------------------------------------- */

/* The Crypto Officer's password gave CUK: opens the SMK set, and looks whether
 * the cluster has a newer record than this core had at home. */
static enum err authorize(struct keeper *k, const struct keeper_job *job)
{
    struct smk_set set = { 0 };
    bool newer = false;
    if (!k->authorized) {
        enum err e = smk_set_open(bytes_of(k->state.set, sizeof k->state.set), job->kk,
                                  k->state.cluster_id, &set);
        if (e != ERR_OK) {
            return keeper_refuse(k, "authorize", "the SMK set does not open", e);
        }
        e = keeper_authorize(k, job->kk, &set);
        smk_set_wipe(&set);
        TRY(e);
        keeper_note(k, "authorize", "authorized by a Crypto Officer", ERR_OK);
    }
    TRY(keeper_home_see(k, bytes_of(job->sealed, job->sealed_size), &newer));
    if (newer) {
        keeper_note(k, "authorize", "the password used was older than the cluster's", ERR_OK);
    }
    return ERR_OK;
}

static enum err fail_login(struct keeper *k, const struct keeper_job *job)
{
    if (!job->compared) {
        return job->error;
    }
    keeper_note(k, "login", "wrong password of a role of the core", ERR_PIN_INCORRECT);
    const bool last = job->role == RECORD_HSM_SO && k->state.in_flight[RECORD_HSM_SO] == 0 &&
                      k->state.failures[RECORD_HSM_SO] >= k->state.so.max_fail;
    if (last) {
        keeper_note(k, "zeroize", "too many wrong passwords of the HSM SO", ERR_PIN_LOCKED);
        TRY(keeper_reset(k));
    }
    return ERR_PIN_INCORRECT;
}

static enum err finish_login(struct keeper_job *job, struct keeper_out *out)
{
    struct keeper *k = job->k;
    struct keeper_handle handle = { .admin = true, .role = (uint8_t)job->role };
    struct keeper_handle *added = NULL;
    TRY(keeper_count_end(job));
    if (!job->matched) {
        return fail_login(k, job);
    }
    TRY(job->error);
    if (job->role == RECORD_CO) {
        TRY(authorize(k, job));
    }
    memcpy(handle.ticket.ts, job->pin[0].ts, sizeof handle.ticket.ts);
    enum err e = keeper_handles_add(k->handles, &handle, clock_boot_ms(k->clock), &added);
    bytes_wipe(&handle, sizeof handle);
    TRY(e);
    keeper_note(k, "login",
                job->role == RECORD_HSM_SO ? "HSM SO"
                : job->role == RECORD_PO   ? "PO"
                                           : "CO",
                ERR_OK);
    out->number = added->id;
    return ERR_OK;
}

/* The row to compare and what its scrypt is bound to. */
static enum err choose_row(struct keeper *k, unsigned role, struct keeper_job *job)
{
    const struct record_row *row = &k->state.so;
    const uint8_t *owner = k->state.core_id;
    if (role == RECORD_PO || role == RECORD_CO) {
        if (k->state.state < CORE_MEMBER) {
            return ERR_WRONG_STATE;
        }
        row = record_row_of(&k->state.home, role);
        owner = k->state.cluster_id;
        memcpy(job->kk_id, k->state.home.kk_id, ID_SIZE);
    } else if (role != RECORD_HSM_SO) {
        return ERR_MALFORMED;
    }
    if (row == NULL) {
        return ERR_NOTFOUND;
    }
    job->role = role;
    job->row = *row;
    memcpy(job->owner_id, owner, ID_SIZE);
    return (row->flags & RECORD_LOCKED) != 0 ? ERR_PIN_LOCKED : ERR_OK;
}

static enum err prepare_login(struct keeper_call *call, struct keeper_job *job)
{
    struct keeper *k = call->k;
    const struct core_request *q = call->request;
    const unsigned role = q->number > RECORD_CU ? 0 : (unsigned)q->number;
    const struct keeper_envelope e = {
        .challenge = q->section[0],
        .envelope = q->section[1],
        .verb = ENVELOPE_LOGIN,
        .role = (uint8_t)role,
        .kr_id = job->owner_id,
    };
    bool newer = false;
    if (k->authorized && (role == RECORD_PO || role == RECORD_CO)) {
        TRY(keeper_home_see(k, q->section[2], &newer));
    }
    TRY(choose_row(k, role, job));
    TRY(keeper_envelope_open(k, &e, &job->pin[0]));
    job->sealed_size = q->section[2].size;
    if (job->sealed_size > 0) {
        memcpy(job->sealed, q->section[2].data, job->sealed_size);
    }
    job->work = keeper_job_compare;
    job->finish = finish_login;
    const struct keeper_counter counter = { &k->state.failures[role], &k->state.in_flight[role] };
    return keeper_count_begin(k, job, counter, job->row.max_fail);
}

enum err keeper_roles_login(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    TRY(keeper_job_make(call, &job));
    enum err e = prepare_login(call, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}

/* -- CLUSTER_CREATE --------------------------------------------------------- */

static const uint8_t cluster_roles[2] = { RECORD_PO, RECORD_CO };

static enum err work_create(struct keeper_job *job)
{
    for (unsigned i = 0; i < 2; i++) {
        struct record_row row = {
            .role = cluster_roles[i],
            .log_n = (uint8_t)keeper_log_n(job->test_log_n, RECORD_LOGN_CLUSTER),
            .max_fail = LIMIT_MAX_FAIL,
            .changed_at = job->now_s,
        };
        TRY(record_row_set(&row, job->owner_id, job->record.kk_id, new_pin(&job->pin[i]), job->kk));
        TRY(record_row_put(&job->record, &row));
    }
    return keeper_job_domain_key(job, &job->pin[2]);
}

static enum err draw_set(struct keeper *k, uint64_t now, struct smk_set *out)
{
    out->count = 1;
    out->lk_version = smk_lk_version_next(k->state.lk_version, now);
    TRY(crypt_random(out->primary, CRYPT_KEY));
    TRY(crypt_random(out->tk, CRYPT_KEY));
    return crypt_random(out->lk_private, CRYPT_KEY);
}

static enum err first_roster(struct keeper *k,
                             const struct keeper_job *job,
                             const struct smk_set *set,
                             uint8_t out[LIMIT_ROSTER],
                             size_t *size)
{
    struct smk_opener opener;
    struct roster roster = { .version = 1, .inherit_window_s = LIMIT_INHERIT_WINDOW_S };
    struct blob_roster_row row = { .state = BLOB_ROSTER_ACTIVE, .suite = BLOB_SUITE };
    memcpy(roster.cluster_id, job->owner_id, ID_SIZE);
    memcpy(row.member_id, k->state.core_id, ID_SIZE);
    memcpy(row.id_pub, k->id_pub, sizeof row.id_pub);
    memcpy(row.ak_pub, k->ak_pub, sizeof row.ak_pub);
    memcpy(row.spki_hash, job->spki_hash, sizeof row.spki_hash);
    TRY(roster_put(&roster, &row));
    TRY(smk_opener_make(set, SMK_ROSTER, job->owner_id, &opener));
    enum err e = roster_seal(&roster, &opener, out, size);
    smk_opener_wipe(&opener);
    return e;
}

static enum err make_cluster(struct keeper_job *job, struct smk_set *set, struct keeper_out *out)
{
    struct keeper *k = job->k;
    uint8_t roster[LIMIT_ROSTER];
    uint8_t record[LIMIT_RECORD];
    size_t roster_size = 0;
    size_t record_size = 0;
    TRY(draw_set(k, job->now_s, set));
    TRY(first_roster(k, job, set, roster, &roster_size));
    const struct keeper_membership m = {
        .cluster_id = job->owner_id,
        .domain_id = job->domain_id,
        .dk = job->dk,
        .cuk = job->kk,
        .set = set,
        .home = &job->record,
        .roster = bytes_of(roster, roster_size),
    };
    TRY(keeper_become_member(k, &m));
    TRY(record_seal(&job->record, &k->opener[SMK_CLUSTER_RECORD], record, &record_size));
    keeper_out_put(out, job->owner_id, ID_SIZE);
    keeper_out_put(out, job->domain_id, ID_SIZE);
    keeper_out_put(out, roster, roster_size);
    keeper_out_put(out, record, record_size);
    keeper_note(k, "admin", "cluster created", ERR_OK);
    return ERR_OK;
}

static enum err finish_create(struct keeper_job *job, struct keeper_out *out)
{
    struct smk_set set = { 0 };
    TRY(job->error);
    if (job->k->state.state != CORE_INITIALISED) {
        return ERR_WRONG_STATE;
    }
    enum err e = make_cluster(job, &set, out);
    smk_set_wipe(&set);
    return e;
}

/* The three envelopes: PO, CO, domain secret. */
static enum err open_envelopes(struct keeper_call *call, struct keeper_job *job)
{
    static const uint8_t roles[3] = { RECORD_PO, RECORD_CO, 0 };
    struct keeper *k = call->k;
    struct keeper_handle *handle = NULL;
    TRY(keeper_admin(k, call->request->handle, RECORD_HSM_SO, &handle));
    for (size_t i = 0; i < 3; i++) {
        const struct keeper_envelope e = {
            .challenge = call->request->section[2 * i],
            .envelope = call->request->section[2 * i + 1],
            .verb = ENVELOPE_SET,
            .role = roles[i],
            .kr_id = roles[i] == 0 ? k->state.core_id : NULL,
        };
        TRY(keeper_envelope_open(k, &e, &job->pin[i]));
        TRY(keeper_set_check(k, handle, &job->pin[i]));
    }
    return envelope_domain_secret_check(new_pin(&job->pin[2]));
}

static enum err prepare_create(struct keeper_call *call, struct keeper_job *job)
{
    TRY(keeper_section(call->request, 6, sizeof job->spki_hash));
    TRY(open_envelopes(call, job));
    memcpy(job->spki_hash, call->request->section[6].data, sizeof job->spki_hash);
    TRY(crypt_random(job->owner_id, ID_SIZE));
    TRY(crypt_random(job->domain_id, ID_SIZE));
    TRY(crypt_random(job->kk, CRYPT_KEY));
    job->record = (struct record){
        .kind = BLOB_CLUSTER_RECORD,
        .version = 1,
        .epoch = 1,
        .state = RECORD_ACTIVE,
    };
    memcpy(job->record.owner_id, job->owner_id, ID_SIZE);
    TRY(smk_kk_id(job->kk, job->owner_id, job->record.kk_id));
    job->work = work_create;
    job->finish = finish_create;
    return ERR_OK;
}

enum err keeper_roles_cluster_create(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    if (call->k->state.state != CORE_INITIALISED) {
        return ERR_EXISTS;
    }
    TRY(keeper_job_make(call, &job));
    enum err e = prepare_create(call, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}
