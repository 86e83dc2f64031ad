/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper as a table walk: verb, state, sizes, handler, answer; its life from
 * the state slots to the wiped struct; challenges, envelopes and logins to the
 * core, which all handlers share. One thread. */
#include "hsm-sim/keeper.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hsm-sim/keeper_inner.h"
#include "hsm-sim/keeper_test.h"

/* -- answers ---------------------------------------------------------------- */

uint8_t *keeper_out_room(struct keeper_out *out, size_t size)
{
    assert(out->count < CORE_SECTIONS && size <= sizeof out->buffer - out->used);
    uint8_t *at = out->buffer + out->used;
    out->section[out->count++] = bytes_of(at, size);
    out->used += size;
    return at;
}

void keeper_out_put(struct keeper_out *out, const void *data, size_t size)
{
    uint8_t *at = keeper_out_room(out, size);
    if (size > 0) {
        memcpy(at, data, size);
    }
}

enum err keeper_section(const struct core_request *q, unsigned i, size_t size)
{
    return q->section[i].size == size ? ERR_OK : ERR_MALFORMED;
}

void keeper_note(const struct keeper *k, const char *class_name, const char *what, enum err code)
{
    char who[2 * ID_SIZE + 1];
    log_security(class_name, hex_from(bytes_of(k->state.core_id, ID_SIZE), who), what,
                 err_name(code));
}

enum err keeper_refuse(const struct keeper *k,
                       const char *class_name,
                       const char *what,
                       enum err cause)
{
    keeper_note(k, class_name, what, cause);
    return cause == ERR_IO || cause == ERR_NOMEM || cause == ERR_CRYPTO ? cause : ERR_REFUSED;
}

/* -- state ------------------------------------------------------------------ */

enum core_state keeper_state_now(const struct keeper *k)
{
    return k->authorized ? CORE_AUTHORIZED : (enum core_state)k->state.state;
}

enum err keeper_store(struct keeper *k)
{
    enum err e = keeper_slots_store(&k->slots, &k->state);
    k->stored_latest_s = k->state.latest_s;
    if (e != ERR_OK) {
        k->broken = true;
        keeper_note(k, "state", "the core's state could not be written", e);
    }
    return e;
}

bool keeper_broken(const struct keeper *k)
{
    return k->broken;
}

uint64_t keeper_now_s(struct keeper *k)
{
    uint64_t now = clock_wall_s(k->clock);
    if (now > k->state.latest_s) {
        k->state.latest_s = now;
    }
    return k->state.latest_s;
}

enum err keeper_clock_check(struct keeper *k)
{
    if (clock_wall_s(k->clock) + KEEPER_CLOCK_BACK_S < keeper_now_s(k)) {
        keeper_note(k, "clock", "the clock is behind the latest time seen", ERR_CLOCK);
        return ERR_CLOCK;
    }
    return ERR_OK;
}

static enum err derive_own_keys(struct keeper *k)
{
    TRY(ed25519_public(k->state.id_private, k->id_pub));
    return x25519_public(k->state.ak_private, k->ak_pub);
}

enum err keeper_reset(struct keeper *k)
{
    const uint64_t latest_s = k->state.latest_s;
    keeper_deauthorize(k);
    keeper_handles_clear(k->handles);
    keeper_clone_clear(k);
    bytes_wipe(k->challenge, sizeof k->challenge);
    bytes_wipe(&k->state, sizeof k->state);
    k->life++;
    k->state.latest_s = latest_s;
    TRY(crypt_random(k->state.core_id, ID_SIZE));
    TRY(crypt_random(k->state.id_private, sizeof k->state.id_private));
    TRY(crypt_random(k->state.ak_private, sizeof k->state.ak_private));
    TRY(derive_own_keys(k));
    TRY(keeper_store(k));
    return keeper_store(k);
}

enum err keeper_authorize(struct keeper *k, const uint8_t cuk[CRYPT_KEY], const struct smk_set *set)
{
    keeper_deauthorize(k);
    memcpy(k->cuk, cuk, CRYPT_KEY);
    k->set = *set;
    TRY(smk_id(set->primary, k->smk_id));
    TRY(x25519_public(set->lk_private, k->lk_pub));
    for (unsigned use = 0; use < SMK_USES; use++) {
        TRY(smk_opener_make(set, (enum smk_use)use, k->state.cluster_id, &k->opener[use]));
    }
    k->authorized = true;
#ifdef RINGKEEP_TEST_HOOKS
    keeper_marker_set(k);
#endif
    return ERR_OK;
}

enum err keeper_become_member(struct keeper *k, const struct keeper_membership *m)
{
    struct keeper_state *s = &k->state;
    uint8_t sealed[SMK_SET_SEALED];
    TRY(smk_set_seal(m->set, m->cuk, m->cluster_id, sealed));
    s->state = CORE_MEMBER;
    memmove(s->cluster_id, m->cluster_id, ID_SIZE);
    memmove(s->domain_id, m->domain_id, ID_SIZE);
    memmove(s->dk, m->dk, sizeof s->dk);
    memcpy(s->set, sealed, sizeof sealed);
    s->home = *m->home;
    s->roster_size = m->roster.size;
    memcpy(s->roster, m->roster.data, m->roster.size);
    if (m->set->lk_version > s->lk_version) {
        s->lk_version = m->set->lk_version;
    }
    TRY(keeper_store(k));
    return keeper_authorize(k, m->cuk, m->set);
}

void keeper_deauthorize(struct keeper *k)
{
    k->authorized = false;
    bytes_wipe(k->cuk, sizeof k->cuk);
    smk_set_wipe(&k->set);
    bytes_wipe(k->opener, sizeof k->opener);
    bytes_wipe(k->lk_pub, sizeof k->lk_pub);
    bytes_wipe(k->smk_id, sizeof k->smk_id);
    k->login_key_s = 0;
}

/* -- challenges and envelopes ----------------------------------------------- */

/* The oldest makes room: who asks for many and uses none keeps nobody out. */
enum err keeper_challenge_make(struct keeper *k, uint8_t out[ID_SIZE])
{
    struct keeper_challenge *c = &k->challenge[0];
    for (unsigned i = 1; i < LIMIT_CHALLENGES; i++) {
        c = k->challenge[i].until_ms < c->until_ms ? &k->challenge[i] : c;
    }
    TRY(crypt_random(c->value, ID_SIZE));
    c->until_ms = clock_boot_ms(k->clock) + KEEPER_CHALLENGE_MS;
    memcpy(out, c->value, ID_SIZE);
    return ERR_OK;
}

enum err keeper_challenge_spend(struct keeper *k, const uint8_t c[ID_SIZE])
{
    const uint64_t now = clock_boot_ms(k->clock);
    enum err e = ERR_REFUSED;
    for (unsigned i = 0; i < LIMIT_CHALLENGES; i++) {
        struct keeper_challenge *x = &k->challenge[i];
        if (x->until_ms > now && keeper_same_id(x->value, c)) {
            x->until_ms = 0;
            e = ERR_OK;
        }
    }
    return e;
}

enum err keeper_envelope_open(struct keeper *k,
                              const struct keeper_envelope *e,
                              struct envelope_pin *out)
{
    struct envelope_context context = { .role = e->role };
    uint8_t bound[ENVELOPE_PIN_CONTEXT];
    if (e->challenge.size != ID_SIZE || e->envelope.size != ENVELOPE_PIN) {
        return ERR_MALFORMED;
    }
    memcpy(context.challenge, e->challenge.data, ID_SIZE);
    memcpy(context.cluster_id, k->state.cluster_id, ID_SIZE);
    if (e->kr_id != NULL) {
        memcpy(context.kr_id, e->kr_id, ID_SIZE);
    }
    if (e->client_spki != NULL) {
        memcpy(context.client_spki, e->client_spki, sizeof context.client_spki);
    }
    envelope_pin_context(&context, bound);
    enum err cause = keeper_challenge_spend(k, context.challenge);
    if (cause == ERR_OK) {
        const uint8_t *key = e->by_lk ? k->set.lk_private : k->state.ak_private;
        cause = envelope_pin_open(e->envelope, key, bound, out);
    }
    if (cause == ERR_OK && out->verb != e->verb) {
        envelope_pin_wipe(out);
        cause = ERR_WRONG_STATE;
    }
    return cause == ERR_OK ? ERR_OK
                           : keeper_refuse(k, "login", "envelope not accepted, not counted", cause);
}

enum err keeper_admin(struct keeper *k, uint64_t handle, unsigned role, struct keeper_handle **out)
{
    const uint64_t now = clock_boot_ms(k->clock);
    struct keeper_handle *h = keeper_handles_find(k->handles, handle, now);
    if (h == NULL || !h->admin) {
        return ERR_LOGIN_REQUIRED;
    }
    if (now - h->used_ms > KEEPER_ADMIN_MS) {
        keeper_handles_drop(k->handles, h);
        return ERR_LOGIN_REQUIRED;
    }
    if (h->role != role) {
        return keeper_refuse(k, "role", "logged in with another role", ERR_LOGIN_REQUIRED);
    }
    *out = h;
    return ERR_OK;
}

enum err keeper_set_check(struct keeper *k,
                          const struct keeper_handle *h,
                          const struct envelope_pin *pin)
{
    if (envelope_pin_check_set(pin, h->ticket.ts) != ERR_OK) {
        return keeper_refuse(k, "login", "password set by another login", ERR_REFUSED);
    }
    return pin->new_pin_size < LIMIT_PASSWORD_MIN ? ERR_PIN_LENGTH : ERR_OK;
}

/* -- the small verbs -------------------------------------------------------- */

static enum err answer_status(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct roster roster;
    struct core_status s = {
        .state = (uint32_t)keeper_state_now(k),
        .mtk_in_state = k->mtk_in_state,
        .lk_version = k->state.lk_version,
        .handles = keeper_handles_count(k->handles),
        .wall_s = clock_wall_s(k->clock),
        .scrypt_waiting = k->scrypt_waiting,
        .isolated = k->isolated,
        .locked = k->locked,
    };
    memcpy(s.core_id, k->state.core_id, ID_SIZE);
    memcpy(s.cluster_id, k->state.cluster_id, ID_SIZE);
    memcpy(s.id_pub, k->id_pub, sizeof s.id_pub);
    memcpy(s.ak_pub, k->ak_pub, sizeof s.ak_pub);
    memcpy(s.smk_id, k->smk_id, ID_SIZE);
    if (keeper_state_roster(&k->state, &roster) == ERR_OK) {
        s.roster_version = roster.version;
    }
    core_status_encode(&s, keeper_out_room(out, CORE_STATUS_SIZE));
    out->number = s.state;
    return ERR_OK;
}

static enum err answer_challenge(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    uint8_t l[ENVELOPE_LOGIN_KEY];
    uint8_t i[ENVELOPE_IDENTITIES_MAX];
    size_t size = 0;
    TRY(keeper_challenge_make(k, keeper_out_room(out, ID_SIZE)));
    if (k->authorized) {
        TRY(keeper_login_key(k, l));
        TRY(keeper_identities(k, i, &size));
        keeper_out_put(out, l, sizeof l);
        keeper_out_put(out, i, size);
    }
    return ERR_OK;
}

#ifdef RINGKEEP_TEST_HOOKS
/* keeper_probe.c; only in the build with hooks. */
KEEPER_HANDLER(keeper_probe);
#endif

/* -- the table -------------------------------------------------------------- */

static const struct {
    unsigned verb;
    keeper_handler handler;
} handlers[] = {
    { CORE_STATUS, answer_status },
    { CORE_CHALLENGE, answer_challenge },
    { CORE_INIT, keeper_roles_init },
    { CORE_LOGIN_CORE, keeper_roles_login },
    { CORE_CLUSTER_CREATE, keeper_roles_cluster_create },
    { CORE_INVITE_CREATE, keeper_roster_invite },
    { CORE_JOIN_BEGIN, keeper_joiner_join },
    { CORE_INHERIT_BEGIN, keeper_joiner_inherit },
    { CORE_CLONE_M1, keeper_donor_m1 },
    { CORE_CLONE_M2, keeper_joiner_m2 },
    { CORE_CLONE_CHECK, keeper_donor_check },
    { CORE_CLONE_M3, keeper_donor_m3 },
    { CORE_CLONE_M4, keeper_joiner_m4 },
    { CORE_CLONE_DONE, keeper_donor_done },
    { CORE_ROSTER_SEEN, keeper_roster_seen },
    { CORE_BEACON, keeper_roster_beacon },
    { CORE_LOGIN_KEY, keeper_roster_login_key },
    { CORE_KEYRING_CREATE, keeper_logins_create },
    { CORE_LOGIN, keeper_logins_login },
    { CORE_PASSWORD, keeper_logins_password },
    { CORE_OPEN, keeper_keyrings_open },
    { CORE_OPEN_PUBLIC, keeper_keyrings_open_public },
    { CORE_CLOSE, keeper_keyrings_close },
    { CORE_REFRESH, keeper_keyrings_refresh },
    { CORE_RECORD_SEEN, keeper_keyrings_record_seen },
    { CORE_KEYS, keeper_keyrings_keys },
    { CORE_IMPORT_KEY, keeper_keyrings_import_key },
    { CORE_SYS_KEY, keeper_keyrings_sys_key },
#ifdef RINGKEEP_TEST_HOOKS
    { CORE_PROBE_KEEPER, keeper_probe },
#endif
};

static keeper_handler find_handler(unsigned verb)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (handlers[i].verb == verb) {
            return handlers[i].handler;
        }
    }
    return NULL;
}

static enum err check_state(const struct keeper *k, enum core_state least)
{
    const enum core_state state = keeper_state_now(k);
    if (state >= least) {
        return ERR_OK;
    }
    if (state == CORE_UNINITIALISED) {
        return ERR_UNINITIALISED;
    }
    return state == CORE_MEMBER ? ERR_SEALED : ERR_WRONG_STATE;
}

static enum err walk(struct keeper_call *call, bool internal, struct keeper_out *out)
{
    struct keeper *k = call->k;
    const struct core_verb_row *row = core_verb_find(call->request->verb);
    keeper_handler handler = row == NULL ? NULL : find_handler(row->verb);
    if (handler == NULL || (row->runs == CORE_RUNS_INTERNAL && !internal)) {
        return ERR_UNSUPPORTED;
    }
    if (k->broken && row->verb != CORE_STATUS && row->verb != CORE_CLOSE) {
        return ERR_IO;
    }
    if (!core_verb_fits(row, call->request)) {
        return ERR_TOO_LARGE;
    }
    TRY(check_state(k, row->state));
    return handler(call, out);
}

void keeper_answer(struct keeper *k,
                   const struct core_request *request,
                   bool internal,
                   keeper_reply_cb cb,
                   void *arg)
{
    struct keeper_call call = { .k = k, .request = request, .cb = cb, .arg = arg };
    struct keeper_out out;
    out.number = 0;
    out.count = 0;
    out.used = 0;
    memset(out.section, 0, sizeof out.section);
    keeper_clone_sweep(k);
    enum err e = walk(&call, internal, &out);
    assert(!call.later || e == ERR_OK);
    if (!call.later) {
        struct core_reply reply = { .error = e, .number = e == ERR_OK ? out.number : 0 };
        if (e == ERR_OK) {
            memcpy(reply.section, out.section, sizeof reply.section);
        }
        cb(arg, &reply);
    }
    bytes_wipe(out.buffer, out.used);
}

void keeper_tick(struct keeper *k)
{
    keeper_clone_sweep(k);
}

/* -- life ------------------------------------------------------------------- */

void keeper_test_log_n(struct keeper *k, unsigned log_n)
{
    k->test_log_n = log_n;
}

void keeper_test_opener(struct keeper *k, enum smk_use use, struct smk_opener *out)
{
    *out = k->opener[use];
}

/* Three counted failures of the HSM SO, the last of which may have been cut off
 * by a crash: the end all the same. */
static enum err settle_so(struct keeper *k)
{
    if (k->state.state == CORE_UNINITIALISED ||
        k->state.failures[RECORD_HSM_SO] < k->state.so.max_fail) {
        return ERR_OK;
    }
    keeper_note(k, "zeroize", "too many wrong passwords of the HSM SO", ERR_PIN_LOCKED);
    return keeper_reset(k);
}

static enum err start(struct keeper *k)
{
    TRY(keeper_handles_open(&k->handles));
    enum err e = keeper_slots_load(&k->slots, &k->state);
    if (e == ERR_NOTFOUND) {
        return keeper_reset(k);
    }
    TRY(e);
    TRY(derive_own_keys(k));
    return settle_so(k);
}

enum err keeper_open(struct keeper_options *options, struct keeper **out)
{
    SECRET_SCOPED mtk = secret_take(&options->mtk);
    struct secret memory = { 0 };
    if (mtk.size != CRYPT_KEY) {
        return ERR_USAGE;
    }
    TRY(crypt_init());
    TRY(secret_alloc(&memory, sizeof(struct keeper)));
    struct keeper *k = (void *)memory.data;
    k->memory = memory;
    k->clock = options->clock;
    k->scrypt = options->scrypt;
    k->mtk_in_state = options->mtk_in_state;
    k->isolated = options->isolated;
    k->locked = options->locked;
    memcpy(k->slots.fd, options->state_fd, sizeof k->slots.fd);
    memcpy(k->slots.mtk, mtk.data, CRYPT_KEY);
    enum err e = start(k);
    if (e != ERR_OK) {
        keeper_close(k);
        return e;
    }
    *out = k;
    return ERR_OK;
}

void keeper_close(struct keeper *k)
{
    if (k != NULL) {
        assert(k->scrypt_waiting == 0);
        keeper_handles_close(k->handles);
        struct secret memory = k->memory;
        secret_drop(&memory);
    }
}
