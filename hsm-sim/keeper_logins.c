/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords of keyrings: the first one, login, change (crypto-spec section 3).
 * Envelopes under LK; own failures on disk before each comparison. The keeper's
 * thread, but for the work_* functions. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

static struct bytes new_pin(const struct envelope_pin *pin)
{
    return bytes_of(pin->new_pin, pin->new_pin_size);
}

/* -- KEYRING_CREATE --------------------------------------------------------- */

static const uint8_t first_roles[2] = { RECORD_KRSO, RECORD_KRCO };

static enum err work_create(struct keeper_job *job)
{
    for (unsigned i = 0; i < 2; i++) {
        struct record_row row = {
            .role = first_roles[i],
            .flags = RECORD_MUST_CHANGE | RECORD_NO_WRAP,
            .log_n = (uint8_t)keeper_log_n(job->test_log_n, RECORD_LOGN_KEYRING),
            .max_fail = LIMIT_MAX_FAIL,
            .changed_at = job->now_s,
        };
        TRY(record_row_set(&row, job->owner_id, job->record.kk_id, new_pin(&job->pin[0]), NULL));
        TRY(record_row_put(&job->record, &row));
    }
    return ERR_OK;
}

static enum err finish_create(struct keeper_job *job, struct keeper_out *out)
{
    struct keeper *k = job->k;
    size_t size = 0;
    TRY(job->error);
    if (!k->authorized) {
        return ERR_SEALED;
    }
    TRY(record_seal(&job->record, &k->opener[SMK_RECORD], job->sealed, &size));
    keeper_out_put(out, job->sealed, size);
    keeper_note(k, "admin", "keyring record made", ERR_OK);
    return ERR_OK;
}

static enum err prepare_create(struct keeper_call *call, struct keeper_job *job)
{
    struct keeper *k = call->k;
    const struct core_request *q = call->request;
    struct keeper_handle *handle = NULL;
    TRY(keeper_section(q, 0, ID_SIZE));
    TRY(keeper_admin(k, q->handle, RECORD_CO, &handle));
    if (q->number > KEEPER_IDENTITY_DUAL || bytes_all_zero(q->section[0])) {
        return ERR_MALFORMED;
    }
    memcpy(job->owner_id, q->section[0].data, ID_SIZE);
    const struct keeper_envelope e = {
        .challenge = q->section[1],
        .envelope = q->section[2],
        .verb = ENVELOPE_SET,
        .role = RECORD_KRCO,
        .by_lk = true,
        .kr_id = job->owner_id,
    };
    TRY(keeper_envelope_open(k, &e, &job->pin[0]));
    TRY(keeper_set_check(k, handle, &job->pin[0]));
    job->record = (struct record){
        .kind = BLOB_RECORD,
        .version = 1,
        .epoch = 1,
        .state = RECORD_CREATED,
        .identity_mode = (uint8_t)q->number,
    };
    memcpy(job->record.owner_id, job->owner_id, ID_SIZE);
    job->work = work_create;
    job->finish = finish_create;
    return ERR_OK;
}

enum err keeper_logins_create(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    TRY(keeper_job_make(call, &job));
    enum err e = prepare_create(call, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}

/* -- what LOGIN and PASSWORD share ------------------------------------------ */

/* The row may be tried at all: refusals here cost the user nothing. */
static enum err choose_row(struct keeper_job *job, unsigned verb)
{
    const struct record_row *row = record_row_of(&job->record, job->role);
    if (row == NULL) {
        return ERR_NOTFOUND;
    }
    if (record_row_verb_check(row, verb) != ERR_OK) {
        return ERR_PIN_MUST_CHANGE;
    }
    if ((row->flags & RECORD_LOCKED) != 0) {
        return ERR_PIN_LOCKED;
    }
    if (job->record.state == RECORD_SUSPENDED) {
        return ERR_REFUSED;
    }
    job->row = *row;
    memcpy(job->owner_id, job->record.owner_id, ID_SIZE);
    memcpy(job->kk_id, job->record.kk_id, ID_SIZE);
    return ERR_OK;
}

static enum err check_age(struct keeper_job *job, uint64_t start_ms)
{
    const uint64_t now = clock_boot_ms(job->clock);
    if (start_ms == 0 || start_ms > now || now - start_ms > KEEPER_LOGIN_AGE_MS) {
        return ERR_TIMEOUT;
    }
    job->reserved_ms = start_ms;
    return ERR_OK;
}

static enum err check_new_pin(const struct envelope_pin *pin)
{
    if (pin->verb != ENVELOPE_CHANGE) {
        return ERR_OK;
    }
    if (pin->new_pin_size < LIMIT_PASSWORD_MIN) {
        return ERR_PIN_LENGTH;
    }
    return secret_equal(bytes_of(pin->pin, pin->pin_size), new_pin(pin)) ? ERR_REFUSED : ERR_OK;
}

static enum err prepare(struct keeper_call *call, unsigned verb, struct keeper_job *job)
{
    struct keeper *k = call->k;
    const struct core_request *q = call->request;
    TRY(keeper_section(q, 3, sizeof job->client_spki));
    TRY(keeper_section(q, 4, ID_SIZE));
    TRY(keeper_section(q, 5, 8));
    job->number = q->number;
    job->role = (unsigned)(q->number & 0xffu);
    if (job->role < RECORD_KRSO || job->role > RECORD_CU ||
        (q->number & ~(uint64_t)(0xffu | (verb == ENVELOPE_CHANGE ? KEEPER_END_SESSIONS : 0))) !=
            0) {
        return ERR_MALFORMED;
    }
    memcpy(job->client_spki, q->section[3].data, sizeof job->client_spki);
    memcpy(job->request_id, q->section[4].data, ID_SIZE);
    TRY(keeper_clock_check(k));
    TRY(keeper_record_see(k, q->section[2], &job->record));
    TRY(choose_row(job, verb));
    const struct keeper_envelope e = {
        .challenge = q->section[0],
        .envelope = q->section[1],
        .verb = (uint8_t)verb,
        .role = (uint8_t)job->role,
        .by_lk = true,
        .kr_id = job->owner_id,
        .client_spki = job->client_spki,
    };
    TRY(keeper_envelope_open(k, &e, &job->pin[0]));
    TRY(check_new_pin(&job->pin[0]));
    TRY(check_age(job, get_u64(q->section[5].data)));
    struct keeper_floor *f = keeper_floor_use(&k->state, job->owner_id);
    const unsigned at = job->role - RECORD_KRSO;
    const struct keeper_counter counter = { &f->failures[at], &f->in_flight[at] };
    return keeper_count_begin(k, job, counter, job->row.max_fail);
}

/* Time has passed on the scrypt thread: what held then must hold now. */
static enum err settle(struct keeper_job *job)
{
    struct keeper *k = job->k;
    TRY(keeper_count_end(job));
    if (!job->compared) {
        return job->error;
    }
    if (!job->matched) {
        keeper_note(k, "login", "wrong password of a keyring role", ERR_PIN_INCORRECT);
        return ERR_PIN_INCORRECT;
    }
    if (job->error != ERR_OK) {
        return keeper_refuse(k, "login", "the row does not open", job->error);
    }
    if (!k->authorized) {
        return ERR_SEALED;
    }
    const struct keeper_floor *f = keeper_floor_find(&k->state, job->owner_id);
    if (f != NULL && record_floor_check(&job->record, f->version, f->epoch) != ERR_OK) {
        return ERR_LAGGING;
    }
    return ERR_OK;
}

static enum err put_login_reply(struct keeper_job *job, struct keeper_out *out)
{
    struct keeper *k = job->k;
    uint8_t l[ENVELOPE_LOGIN_KEY];
    uint8_t i[ENVELOPE_IDENTITIES_MAX];
    size_t size = 0;
    TRY(keeper_login_key(k, l));
    TRY(keeper_identities(k, i, &size));
    return envelope_login_reply_seal(job->pin[0].ts, job->request_id, l, bytes_of(i, size),
                                     keeper_out_room(out, ENVELOPE_LOGIN_REPLY));
}

/* -- LOGIN ------------------------------------------------------------------ */

static enum err make_ticket(struct keeper_job *job, struct ticket *t)
{
    const uint64_t now = keeper_now_s(job->k);
    const bool wrapped = (job->row.flags & RECORD_NO_WRAP) == 0;
    memcpy(t->keyring_id, job->owner_id, ID_SIZE);
    t->role = (uint8_t)job->role;
    t->epoch = job->record.epoch;
    t->issued = now;
    t->expires = now + KEEPER_TICKET_S;
    memcpy(t->client_spki, job->client_spki, sizeof t->client_spki);
    memcpy(t->ts, job->pin[0].ts, sizeof t->ts);
    if (wrapped) {
        memcpy(t->kk_id, job->kk_id, ID_SIZE);
        memcpy(t->kk, job->kk, CRYPT_KEY);
    } else {
        t->flags = TICKET_NO_KK;
    }
    return crypt_random(t->family, ID_SIZE);
}

static enum err finish_login(struct keeper_job *job, struct keeper_out *out)
{
    struct ticket t = { 0 };
    TRY(settle(job));
    enum err e = make_ticket(job, &t);
    if (e == ERR_OK) {
        e = ticket_seal(&t, job->k->set.tk, keeper_out_room(out, BLOB_TICKET_SIZE));
    }
    ticket_wipe(&t);
    TRY(e);
    keeper_note(job->k, "login", "keyring role", ERR_OK);
    return put_login_reply(job, out);
}

enum err keeper_logins_login(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    TRY(keeper_job_make(call, &job));
    job->work = keeper_job_compare;
    job->finish = finish_login;
    enum err e = prepare(call, ENVELOPE_LOGIN, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}

/* -- PASSWORD --------------------------------------------------------------- */

/* Rows that get the new password: in the single mode KRSO and KRCO go together. */
static bool row_changes(const struct keeper_job *job, unsigned role)
{
    const bool pair = job->record.identity_mode == KEEPER_IDENTITY_SINGLE &&
                      (job->role == RECORD_KRSO || job->role == RECORD_KRCO);
    return pair ? role == RECORD_KRSO || role == RECORD_KRCO : role == job->role;
}

/* A KRSO of its own holds no wrap unless its row has one already. */
static bool row_may_wrap(const struct keeper_job *job, const struct record_row *row)
{
    return row->role != RECORD_KRSO || job->record.identity_mode == KEEPER_IDENTITY_SINGLE ||
           (row->flags & RECORD_NO_WRAP) == 0;
}

/* The first change in a row that may hold a wrap draws KK. Says whether KK is at
 * hand: else the row that changes held none and goes on so. */
static enum err settle_kk(struct keeper_job *job, bool *have)
{
    *have = (job->row.flags & RECORD_NO_WRAP) == 0;
    if (!*have && bytes_all_zero(bytes_of(job->record.kk_id, ID_SIZE)) &&
        row_may_wrap(job, &job->row)) {
        TRY(crypt_random(job->kk, CRYPT_KEY));
        TRY(smk_kk_id(job->kk, job->owner_id, job->record.kk_id));
        *have = true;
    }
    return ERR_OK;
}

static enum err work_password(struct keeper_job *job)
{
    bool have = false;
    TRY(keeper_job_compare(job));
    TRY(settle_kk(job, &have));
    for (unsigned i = 0; i < job->record.row_count; i++) {
        struct record_row *row = &job->record.row[i];
        if (!row_changes(job, row->role)) {
            continue;
        }
        const bool wrap = have && row_may_wrap(job, row);
        row->flags = (uint8_t)(row->flags & ~(RECORD_MUST_CHANGE | RECORD_NO_WRAP));
        row->flags = (uint8_t)(row->flags | (wrap ? 0u : (unsigned)RECORD_NO_WRAP));
        row->log_n = (uint8_t)keeper_log_n(job->test_log_n, RECORD_LOGN_KEYRING);
        row->changed_at = job->now_s;
        TRY(record_row_set(row, job->owner_id, job->record.kk_id, new_pin(&job->pin[0]),
                           wrap ? job->kk : NULL));
    }
    return ERR_OK;
}

static enum err finish_password(struct keeper_job *job, struct keeper_out *out)
{
    struct keeper *k = job->k;
    struct record *r = &job->record;
    size_t size = 0;
    TRY(settle(job));
    r->version++;
    r->epoch += (job->number & KEEPER_END_SESSIONS) != 0 ? 1 : 0;
    if (r->state == RECORD_CREATED && row_changes(job, RECORD_KRCO)) {
        r->state = RECORD_ACTIVE;
    }
    TRY(record_seal(r, &k->opener[SMK_RECORD], job->sealed, &size));
    keeper_out_put(out, job->sealed, size);
    out->number = row_changes(job, RECORD_KRSO) ? 1 : 0;
    keeper_note(k, "login", "password changed", ERR_OK);
    return put_login_reply(job, out);
}

enum err keeper_logins_password(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper_job *job = NULL;
    (void)out;
    TRY(keeper_job_make(call, &job));
    job->work = work_password;
    job->finish = finish_password;
    enum err e = prepare(call, ENVELOPE_CHANGE, job);
    if (e != ERR_OK) {
        keeper_job_drop(job);
        return e;
    }
    return keeper_job_post(call, &job);
}
