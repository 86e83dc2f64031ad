/* SPDX-License-Identifier: Apache-2.0 */
/* Keepers in a test; see keeper_kit.h. One thread. */
#include "tests/lib/keeper_kit.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hsm-sim/keeper_test.h"

const uint8_t kit_ts[32] = "thirty-two bytes of a ticket's s";
const uint8_t kit_spki[32] = "hash of the key of the client 01";
static const uint8_t own_spki[32] = "hash of the TLS key of a member!";
static const uint8_t zero_id[16];
static const uint8_t zero_spki[32];

static uint64_t boot_ns(void *impl)
{
    const struct kit *c = impl;
    return c->boot_ms * 1000000u;
}

static uint64_t wall_s(void *impl)
{
    const struct kit *c = impl;
    return c->wall_s;
}

enum err kit_restart(struct kit *c)
{
    struct keeper_options o = {
        .state_fd = { c->fd[0], c->fd[1] },
        .clock = &c->clock,
        .scrypt = executor_inline(),
    };
    keeper_close(c->keeper);
    c->keeper = NULL;
    enum err e = secret_copy(&o.mtk, bytes_of(c->mtk, sizeof c->mtk));
    assert(e == ERR_OK);
    e = keeper_open(&o, &c->keeper);
    if (e == ERR_OK) {
        keeper_test_log_n(c->keeper, 2);
        kit_status(c);
    }
    return e;
}

void kit_init(struct kit *c)
{
    static uint8_t next = 1;
    memset(c, 0, sizeof *c);
    record_allow_test_scrypt(true);
    memset(c->mtk, next++, sizeof c->mtk);
    c->wall_s = 1800000000;
    c->boot_ms = 5000000;
    c->clock = (struct clock){ boot_ns, boot_ns, wall_s, c };
    c->fd[0] = memfd_create("state.0", MFD_CLOEXEC);
    c->fd[1] = memfd_create("state.1", MFD_CLOEXEC);
    enum err e = kit_restart(c);
    assert(e == ERR_OK);
}

void kit_drop(struct kit *c)
{
    keeper_close(c->keeper);
    close(c->fd[0]);
    close(c->fd[1]);
    memset(c, 0, sizeof *c);
}

static void take_reply(void *arg, const struct core_reply *reply)
{
    struct kit_reply *out = arg;
    size_t used = 0;
    out->error = reply->error;
    out->number = reply->number;
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        const struct bytes s = reply->section[i];
        assert(s.size <= sizeof out->data - used);
        if (s.size > 0) {
            memcpy(out->data + used, s.data, s.size);
        }
        out->section[i] = bytes_of(out->data + used, s.size);
        used += s.size;
    }
}

void kit_ask(struct kit *c,
             unsigned verb,
             uint64_t handle,
             uint64_t number,
             const struct bytes *sections,
             unsigned count,
             struct kit_reply *out)
{
    struct core_request q = { .verb = verb, .handle = handle, .number = number };
    for (unsigned i = 0; i < count; i++) {
        q.section[i] = sections[i];
    }
    memset(out, 0, sizeof *out);
    out->error = ERR_COUNT;
    keeper_answer(c->keeper, &q, true, take_reply, out);
    assert(out->error != ERR_COUNT);
}

void kit_status(struct kit *c)
{
    struct kit_reply r;
    kit_ask(c, CORE_STATUS, 0, 0, NULL, 0, &r);
    assert(r.error == ERR_OK);
    enum err e = core_status_decode(r.section[0], &c->status);
    assert(e == ERR_OK);
}

void kit_challenge(struct kit *c, uint8_t out[16])
{
    struct kit_reply r;
    kit_ask(c, CORE_CHALLENGE, 0, 0, NULL, 0, &r);
    assert(r.error == ERR_OK && r.section[0].size == 16);
    memcpy(out, r.section[0].data, 16);
}

static struct bytes text_or_none(const char *text)
{
    return text == NULL ? bytes_of(NULL, 0) : bytes_of_text(text);
}

void kit_seal_with(struct kit *c, const struct kit_pin *p, struct kit_envelope *out)
{
    struct envelope_context context = { .role = (uint8_t)p->role };
    struct envelope_pin pin;
    struct kit_reply r;
    uint8_t bound[ENVELOPE_PIN_CONTEXT];
    uint8_t to[32];
    kit_status(c);
    memcpy(to, c->status.ak_pub, 32);
    if (p->by_lk) {
        struct envelope_login_key l;
        kit_ask(c, CORE_LOGIN_KEY, 0, 0, NULL, 0, &r);
        enum err parsed = envelope_login_key_parse(r.section[0], &l);
        assert(parsed == ERR_OK);
        memcpy(to, l.lk_pub, 32);
    }
    memcpy(context.cluster_id, c->status.cluster_id, 16);
    memcpy(context.challenge, out->challenge, 16);
    memcpy(context.kr_id, p->kr_id != NULL ? p->kr_id : zero_id, 16);
    memcpy(context.client_spki, p->client_spki != NULL ? p->client_spki : zero_spki, 32);
    envelope_pin_context(&context, bound);
    enum err e =
        envelope_pin_fill(p->verb, text_or_none(p->pin), text_or_none(p->new_pin), p->ts, &pin);
    assert(e == ERR_OK);
    e = envelope_pin_seal(to, bound, &pin, out->envelope);
    assert(e == ERR_OK);
}

void kit_seal(struct kit *c, const struct kit_pin *p, struct kit_envelope *out)
{
    kit_challenge(c, out->challenge);
    kit_seal_with(c, p, out);
}

/* -- the core's own roles ---------------------------------------------------- */

void kit_must_initialise(struct kit *c)
{
    struct kit_envelope e;
    struct kit_reply r;
    kit_status(c);
    const struct kit_pin p = {
        .verb = 3, .role = 1, .kr_id = c->status.core_id, .new_pin = KIT_SO
    };
    kit_seal(c, &p, &e);
    const struct bytes s[] = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593),
                               bytes_of_text("core") };
    kit_ask(c, CORE_INIT, 0, 0, s, 3, &r);
    assert(r.error == ERR_OK);
}

enum err kit_login_core(struct kit *c, unsigned role, const char *pin, uint64_t *handle)
{
    struct kit_envelope e;
    struct kit_reply r;
    kit_status(c);
    const struct kit_pin p = { .verb = 1,
                               .role = role,
                               .kr_id = role == 1 ? c->status.core_id : c->status.cluster_id,
                               .pin = pin,
                               .ts = kit_ts };
    kit_seal(c, &p, &e);
    const struct bytes s[] = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593),
                               bytes_of(c->record, c->record_size) };
    kit_ask(c, CORE_LOGIN_CORE, 0, role, s, 3, &r);
    *handle = r.number;
    return r.error;
}

void kit_must_create(struct kit *c)
{
    static const char *const pins[3] = { KIT_PO, KIT_CO, KIT_DOMAIN };
    static const unsigned roles[3] = { 3, 4, 0 };
    struct kit_envelope e[3];
    struct kit_reply r;
    struct bytes s[8];
    uint64_t handle = 0;
    enum err logged = kit_login_core(c, 1, KIT_SO, &handle);
    assert(logged == ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        const struct kit_pin p = { .verb = 3,
                                   .role = roles[i],
                                   .kr_id = roles[i] == 0 ? c->status.core_id : NULL,
                                   .new_pin = pins[i],
                                   .ts = kit_ts };
        kit_seal(c, &p, &e[i]);
        s[2 * i] = bytes_of(e[i].challenge, 16);
        s[2 * i + 1] = bytes_of(e[i].envelope, 593);
    }
    s[6] = bytes_of(own_spki, 32);
    s[7] = bytes_of_text("cluster");
    kit_ask(c, CORE_CLUSTER_CREATE, handle, 0, s, 8, &r);
    assert(r.error == ERR_OK);
    memcpy(c->domain_id, r.section[1].data, 16);
    c->roster_size = r.section[2].size;
    memcpy(c->roster, r.section[2].data, c->roster_size);
    c->record_size = r.section[3].size;
    memcpy(c->record, r.section[3].data, c->record_size);
    kit_status(c);
}

/* -- keyrings ---------------------------------------------------------------- */

void kit_must_keyring(struct kit *c, unsigned mode, const char *first, struct kit_keyring *out)
{
    static uint8_t next = 1;
    struct kit_envelope e;
    struct kit_reply r;
    uint64_t handle = 0;
    enum err logged = kit_login_core(c, 4, KIT_CO, &handle);
    assert(logged == ERR_OK);
    memset(out->id, next++, 16);
    const struct kit_pin p = {
        .by_lk = true, .verb = 3, .role = 6, .kr_id = out->id, .new_pin = first, .ts = kit_ts
    };
    kit_seal(c, &p, &e);
    const struct bytes s[] = { bytes_of(out->id, 16), bytes_of(e.challenge, 16),
                               bytes_of(e.envelope, 593) };
    kit_ask(c, CORE_KEYRING_CREATE, handle, mode, s, 3, &r);
    assert(r.error == ERR_OK);
    out->size = r.section[0].size;
    memcpy(out->record, r.section[0].data, out->size);
}

static void ask_pin(struct kit *c,
                    unsigned verb,
                    const struct kit_keyring *kr,
                    uint64_t number,
                    const struct kit_pin *p,
                    struct kit_reply *r)
{
    struct kit_envelope e;
    uint8_t start[8];
    kit_seal(c, p, &e);
    put_u64(start, c->boot_ms - 10);
    const struct bytes s[] = {
        bytes_of(e.challenge, 16), bytes_of(e.envelope, 593), bytes_of(kr->record, kr->size),
        bytes_of(kit_spki, 32),    bytes_of(kr->id, 16),      bytes_of(start, 8),
    };
    kit_ask(c, verb, 0, number, s, 6, r);
}

enum err kit_login(struct kit *c,
                   const struct kit_keyring *kr,
                   unsigned role,
                   const char *pin,
                   uint8_t ticket[264])
{
    struct kit_reply r;
    const struct kit_pin p = { .by_lk = true,
                               .verb = 1,
                               .role = role,
                               .kr_id = kr->id,
                               .client_spki = kit_spki,
                               .pin = pin,
                               .ts = kit_ts };
    ask_pin(c, CORE_LOGIN, kr, role, &p, &r);
    if (r.error == ERR_OK) {
        assert(r.section[0].size == 264 && r.section[1].size == 208);
        memcpy(ticket, r.section[0].data, 264);
    }
    return r.error;
}

enum err kit_password(struct kit *c,
                      struct kit_keyring *kr,
                      unsigned role,
                      const char *old,
                      const char *fresh,
                      unsigned flags)
{
    struct kit_reply r;
    const struct kit_pin p = { .by_lk = true,
                               .verb = 2,
                               .role = role,
                               .kr_id = kr->id,
                               .client_spki = kit_spki,
                               .pin = old,
                               .new_pin = fresh,
                               .ts = kit_ts };
    ask_pin(c, CORE_PASSWORD, kr, role | flags, &p, &r);
    if (r.error == ERR_OK) {
        assert(r.section[1].size == 208);
        kr->size = r.section[0].size;
        memcpy(kr->record, r.section[0].data, kr->size);
    }
    return r.error;
}

enum err kit_open(struct kit *c,
                  const struct kit_keyring *kr,
                  const uint8_t ticket[264],
                  const uint8_t spki[32],
                  uint64_t *handle)
{
    struct kit_reply r;
    const struct bytes s[] = { bytes_of(ticket, 264), bytes_of(kr->record, kr->size),
                               bytes_of(spki, 32) };
    kit_ask(c, CORE_OPEN, 0, 0, s, 3, &r);
    *handle = r.number;
    return r.error;
}

enum err kit_keys(struct kit *c, uint64_t handle, struct keeper_keys *out)
{
    struct kit_reply r;
    kit_ask(c, CORE_KEYS, handle, 0, NULL, 0, &r);
    return r.error != ERR_OK ? r.error : keeper_keys_decode(r.section[0], out);
}

/* -- clone ------------------------------------------------------------------- */

void kit_must_invite(struct kit *c, uint64_t life_s, struct kit_invite *out)
{
    struct kit_reply r;
    uint64_t handle = 0;
    enum err logged = kit_login_core(c, 3, KIT_PO, &handle);
    assert(logged == ERR_OK);
    kit_ask(c, CORE_INVITE_CREATE, handle, life_s, NULL, 0, &r);
    assert(r.error == ERR_OK && r.section[1].size == BLOB_INVITE_SIZE);
    memset(out, 0, sizeof *out);
    memcpy(out->id, r.section[0].data, 16);
    memcpy(out->sealed, r.section[1].data, sizeof out->sealed);
    memcpy(out->secret, r.section[2].data, 32);
    out->expiry = r.number;
}

static enum err keep(const struct kit_reply *r, unsigned section, void *out, size_t size)
{
    if (r->error == ERR_OK) {
        assert(r->section[section].size == size);
        memcpy(out, r->section[section].data, size);
    }
    return r->error;
}

static void keep_words(const struct kit_reply *r, unsigned section, char out[CLONE_WORDS])
{
    assert(r->section[section].size == CLONE_WORDS - 1);
    memcpy(out, r->section[section].data, CLONE_WORDS - 1);
    out[CLONE_WORDS - 1] = 0;
}

enum err kit_join_begin(struct kit *donor,
                        struct kit *joiner,
                        const struct kit_invite *v,
                        const char *domain,
                        struct kit_run *r)
{
    struct kit_envelope e;
    struct kit_reply reply;
    uint8_t token[80];
    uint64_t handle = 0;
    enum err logged = kit_login_core(joiner, 1, KIT_SO, &handle);
    assert(logged == ERR_OK);
    const struct kit_pin p = {
        .verb = 3, .kr_id = joiner->status.core_id, .new_pin = domain, .ts = kit_ts
    };
    kit_seal(joiner, &p, &e);
    memcpy(token, donor->status.cluster_id, 16);
    memcpy(token + 16, donor->domain_id, 16);
    memcpy(token + 32, v->id, 16);
    memcpy(token + 48, v->secret, 32);
    const struct bytes s[] = { bytes_of(e.challenge, 16), bytes_of(e.envelope, 593),
                               bytes_of(token, 80), bytes_of(own_spki, 32) };
    kit_ask(joiner, CORE_JOIN_BEGIN, handle, 0, s, 4, &reply);
    return keep(&reply, 0, r->request, sizeof r->request);
}

enum err kit_inherit_begin(struct kit *joiner, struct kit_run *r)
{
    struct kit_reply reply;
    kit_ask(joiner, CORE_INHERIT_BEGIN, 0, 0, NULL, 0, &reply);
    return keep(&reply, 0, r->request, sizeof r->request);
}

enum err kit_m1(struct kit *donor,
                unsigned purpose,
                const struct kit_invite *v,
                struct bytes beacon,
                struct kit_run *r)
{
    struct kit_reply reply;
    struct bytes none = { NULL, 0 };
    const struct bytes s[] = {
        bytes_of(r->request, sizeof r->request),
        v != NULL ? bytes_of(v->sealed, sizeof v->sealed) : none,
        v != NULL ? bytes_of(&v->spent, 1) : none,
        beacon,
        bytes_of(donor->roster, donor->roster_size),
    };
    kit_ask(donor, CORE_CLONE_M1, 0, purpose, s, 5, &reply);
    r->id = reply.number;
    return keep(&reply, 0, r->m1, sizeof r->m1);
}

enum err kit_m2(struct kit *joiner, struct kit_run *r)
{
    struct kit_reply reply;
    const struct bytes s[] = { bytes_of(r->m1, sizeof r->m1) };
    kit_ask(joiner, CORE_CLONE_M2, 0, 0, s, 1, &reply);
    return keep(&reply, 0, r->m2, sizeof r->m2);
}

enum err kit_check(struct kit *donor, struct kit_run *r)
{
    struct kit_reply reply;
    const struct bytes s[] = { bytes_of(r->m2, sizeof r->m2) };
    kit_ask(donor, CORE_CLONE_CHECK, 0, r->id, s, 1, &reply);
    if (reply.error == ERR_OK) {
        keep_words(&reply, 0, r->words[0]);
    }
    return reply.error;
}

enum err kit_m3(struct kit *donor, struct kit_run *r)
{
    struct kit_reply reply;
    const struct bytes s[] = { bytes_of(donor->record, donor->record_size) };
    kit_ask(donor, CORE_CLONE_M3, 0, r->id, s, 1, &reply);
    return keep(&reply, 0, r->m3, sizeof r->m3);
}

enum err kit_m4(struct kit *joiner, struct kit_run *r)
{
    struct kit_reply reply;
    const struct bytes s[] = { bytes_of(r->m3, sizeof r->m3) };
    kit_ask(joiner, CORE_CLONE_M4, 0, 0, s, 1, &reply);
    if (reply.error == ERR_OK) {
        joiner->roster_size = reply.section[1].size;
        memcpy(joiner->roster, reply.section[1].data, joiner->roster_size);
        joiner->record_size = reply.section[2].size;
        memcpy(joiner->record, reply.section[2].data, joiner->record_size);
        keep_words(&reply, 3, r->words[1]);
    }
    return keep(&reply, 0, r->m4, sizeof r->m4);
}

enum err kit_done(struct kit *donor, struct kit_run *r)
{
    struct kit_reply reply;
    const struct bytes s[] = { bytes_of(r->m4, sizeof r->m4) };
    kit_ask(donor, CORE_CLONE_DONE, 0, r->id, s, 1, &reply);
    if (reply.error == ERR_OK && reply.section[0].size > 0) {
        donor->roster_size = reply.section[0].size;
        memcpy(donor->roster, reply.section[0].data, donor->roster_size);
    }
    return reply.error;
}

enum err kit_roster_seen(struct kit *c, const struct kit *from)
{
    struct kit_reply reply;
    const struct bytes s[] = { bytes_of(from->roster, from->roster_size) };
    kit_ask(c, CORE_ROSTER_SEEN, 0, 0, s, 1, &reply);
    if (reply.error == ERR_OK && c != from) {
        memcpy(c->roster, from->roster, from->roster_size);
        c->roster_size = from->roster_size;
    }
    return reply.error;
}

void kit_must_join(struct kit *donor, struct kit *joiner)
{
    struct kit_invite v;
    struct kit_run r;
    enum err e = ERR_OK;
    kit_must_invite(donor, 3600, &v);
    e = kit_join_begin(donor, joiner, &v, KIT_DOMAIN, &r);
    assert(e == ERR_OK);
    e = kit_m1(donor, CLONE_JOIN, &v, bytes_of(NULL, 0), &r);
    assert(e == ERR_OK);
    e = kit_m2(joiner, &r);
    assert(e == ERR_OK);
    e = kit_check(donor, &r);
    assert(e == ERR_OK);
    e = kit_m3(donor, &r);
    assert(e == ERR_OK);
    e = kit_m4(joiner, &r);
    assert(e == ERR_OK);
    e = kit_done(donor, &r);
    assert(e == ERR_OK && strcmp(r.words[0], r.words[1]) == 0);
    e = kit_roster_seen(donor, donor);
    assert(e == ERR_OK);
    e = kit_roster_seen(joiner, donor);
    assert(e == ERR_OK);
    memcpy(joiner->domain_id, donor->domain_id, 16);
    kit_status(donor);
    kit_status(joiner);
}

void kit_beacon(struct kit *c, uint8_t out[128])
{
    struct kit_reply reply;
    kit_ask(c, CORE_BEACON, 0, 0, NULL, 0, &reply);
    assert(reply.error == ERR_OK && reply.section[0].size == 128);
    memcpy(out, reply.section[0].data, 128);
}
