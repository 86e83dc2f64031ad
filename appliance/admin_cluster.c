/* SPDX-License-Identifier: Apache-2.0 */
/* challenge, init, cluster create, cluster authorize. Loop thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/admin_find.h"
#include "appliance/admin_handlers.h"
#include "appliance/client_door.h"
#include "appliance/core_port.h"
#include "appliance/duties.h"
#include "base/digest.h"
#include "base/x509.h"
#include "proto/envelope.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define ROLE_SO 1u
#define ROLE_CO 4u
#define FINGERPRINT 12u

/* Six words of SHA-256(ID): what people compare. */
static void put_fingerprint(struct admin_request *r)
{
    uint8_t hash[DIGEST_SIZE];
    char words[ENVELOPE_WORDS_TEXT(FINGERPRINT)];
    const struct core_status *s = core_port_status(r->a->port);
    const struct bytes id = bytes_of(s->id_pub, sizeof s->id_pub);
    digest_sha256(&id, 1, hash);
    envelope_words(hash, FINGERPRINT, words);
    admin_text(r, "fingerprint", words);
}

/* Text of 1..max bytes without control characters. */
static bool label_of(const struct admin_request *r, size_t max, const char **out)
{
    const char *label = admin_argument(r, "label");
    const size_t size = label == NULL ? 0 : strlen(label);
    *out = label;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)label[i] < 0x20 || label[i] == 0x7f) {
            return false;
        }
    }
    return size > 0 && size <= max;
}

/* -- challenge ------------------------------------------------------------------------ */

static void on_challenge(struct admin_request *r, const struct core_reply *core)
{
    const struct core_status *s = core_port_status(r->a->port);
    admin_data(r, "challenge", core->section[0]);
    admin_data(r, "ak", bytes_of(s->ak_pub, sizeof s->ak_pub));
    admin_data(r, "id", bytes_of(s->id_pub, sizeof s->id_pub));
    admin_data(r, "core", bytes_of(s->core_id, sizeof s->core_id));
    admin_data(r, "cluster", bytes_of(s->cluster_id, sizeof s->cluster_id));
    admin_number(r, "state", s->state);
    if (core->section[1].size > 0) {
        admin_data(r, "login_key", core->section[1]);
        admin_data(r, "identities", core->section[2]);
    }
    admin_done(r);
}

static void ask_challenge(struct admin_request *r)
{
    const struct core_request q = { .verb = CORE_CHALLENGE };
    if (!core_port_answering(r->a->port)) {
        admin_fail(r, ERR_TIMEOUT, "the core does not answer: is ringkeep-hsm running?");
        return;
    }
    admin_core(r, &q, "the challenge", on_challenge);
}

void admin_challenge(struct admin_request *r)
{
    admin_refresh(r, ask_challenge);
}

/* -- init --------------------------------------------------------------------------------- */

static void init_done(struct admin_request *r)
{
    const struct core_status *s = core_port_status(r->a->port);
    admin_hex(r, "core", bytes_of(s->core_id, sizeof s->core_id));
    put_fingerprint(r);
    admin_text(r, "next", "run: ringkeep cluster create, or ringkeep member join with an invite");
    admin_done(r);
}

static void on_init(struct admin_request *r, const struct core_reply *core)
{
    (void)core;
    admin_refresh(r, init_done);
}

void admin_init(struct admin_request *r)
{
    struct core_request q = { .verb = CORE_INIT };
    const char *label = NULL;
    if (!label_of(r, LIMIT_LABEL, &label)) {
        admin_fail(r, ERR_USAGE, "give a label of 1 to 32 characters");
        return;
    }
    if (admin_envelope(r, "so", &q.section[0], &q.section[1]) != ERR_OK) {
        admin_fail(r, ERR_USAGE, "the Security Officer's password is missing");
        return;
    }
    q.section[2] = bytes_of_text(label);
    admin_core(r, &q, "initialising the core", on_init);
}

/* -- cluster create ---------------------------------------------------------------------------- */

struct create {
    uint8_t cluster_id[ID_SIZE], domain_id[ID_SIZE], incarnation[ID_SIZE], member_id[ID_SIZE];
    struct buf roster, record;
    Ringkeep__MemberRow member;
};

static void drop_create(void *state)
{
    struct create *c = state;
    buf_drop(&c->roster);
    buf_drop(&c->record);
}

static void created(struct admin_request *r)
{
    const struct create *c = r->state;
    admin_hex(r, "cluster_id", bytes_of(c->cluster_id, ID_SIZE));
    admin_hex(r, "domain_id", bytes_of(c->domain_id, ID_SIZE));
    admin_hex(r, "member_id", bytes_of(c->member_id, ID_SIZE));
    put_fingerprint(r);
    const bool open = r->a->clients != NULL && client_door_listening(r->a->clients);
    admin_text(r, "client_door", open ? "open" : "not open yet: see ringkeep status");
    admin_text(r, "next", "keep the domain secret: each joining member needs it; then run: ringkeep client register");
    admin_done(r);
}

/* The cluster stands; a certificate that failed is tried again by duties.c. */
static void on_certificate(void *arg, enum err e)
{
    (void)e;
    created(arg);
}

static void make_certificate(struct admin_request *r)
{
    if (r->a->duties == NULL) {
        created(r);
        return;
    }
    certificate_renew(duties_certificate(r->a->duties), on_certificate, r);
}

static void on_created(void *arg, enum err e, const char *text)
{
    struct admin_request *r = arg;
    if (e != ERR_OK) {
        admin_fail(r,
                   e,
                   text != NULL && text[0] != '\0'
                       ? text
                       : "the core has a cluster but the log has none: move raft/, store/ and core/ "
                         "away, restart, run ringkeep init again");
        return;
    }
    r->next = make_certificate;
    admin_refresh(r, make_certificate);
}

static void on_ca(struct admin_request *r, const struct core_reply *core)
{
    struct create *c = r->state;
    Ringkeep__ClusterInit m = RINGKEEP__CLUSTER_INIT__INIT;
    random_fill(r->a->random, c->incarnation, ID_SIZE);
    ringkeep__member_row__init(&c->member);
    cluster_self_row(r->a->cluster, c->member_id, &c->member);
    m.cluster_id = wire_array(c->cluster_id, ID_SIZE);
    m.incarnation = wire_array(c->incarnation, ID_SIZE);
    m.domain_id = wire_array(c->domain_id, ID_SIZE);
    m.roster = wire_data(buf_bytes(&c->roster));
    m.cluster_record = wire_data(buf_bytes(&c->record));
    m.member = &c->member;
    m.ca_blob = wire_data(core->section[0]);
    m.ca_cert = wire_data(core->section[1]);
    m.label = wire_text(admin_argument(r, "label"));
    r->doing = "writing the cluster";
    const enum err e = cluster_create(r->a->cluster, c->member_id, &m, on_created, r);
    if (e != ERR_OK) {
        on_created(r, e, NULL);
    }
}

static void on_cluster(struct admin_request *r, const struct core_reply *core)
{
    struct create *c = r->state;
    if (core->section[0].size != ID_SIZE || core->section[1].size != ID_SIZE) {
        admin_fail(r, ERR_PROTOCOL, NULL);
        return;
    }
    memcpy(c->cluster_id, core->section[0].data, ID_SIZE);
    memcpy(c->domain_id, core->section[1].data, ID_SIZE);
    if (buf_append(&c->roster, core->section[2], LIMIT_ROSTER) != ERR_OK ||
        buf_append(&c->record, core->section[3], LIMIT_RECORD) != ERR_OK) {
        admin_fail(r, ERR_PROTOCOL, NULL);
        return;
    }
    const struct core_request q = { .verb = CORE_CA_CREATE,
                                    .section = { bytes_of_text(admin_argument(r, "label")) } };
    admin_core(r, &q, "making the cluster's CA", on_ca);
}

static void create_logged_in(struct admin_request *r)
{
    static const char *const purposes[] = { "po", "co", "domain" };
    struct core_request q = { .verb = CORE_CLUSTER_CREATE, .handle = r->handle };
    uint8_t hash[X509_SPKI_HASH];
    enum err e = admin_find_own_spki(r, hash);
    for (size_t i = 0; i < 3 && e == ERR_OK; i++) {
        e = admin_envelope(r, purposes[i], &q.section[2 * i], &q.section[2 * i + 1]);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, e == ERR_USAGE ? "a password's envelope is missing" : NULL);
        return;
    }
    q.section[6] = bytes_of(hash, sizeof hash);
    q.section[7] = bytes_of_text(admin_argument(r, "label"));
    admin_core(r, &q, "making the cluster in the core", on_cluster);
}

static void create_checked(struct admin_request *r)
{
    struct create *c = r->state;
    const struct core_status *s = core_port_status(r->a->port);
    if (s->state >= CORE_MEMBER || cluster_is_member(r->a->cluster)) {
        admin_fail(r, ERR_WRONG_STATE, "this member belongs to a cluster already");
        return;
    }
    memcpy(c->member_id, s->core_id, ID_SIZE);
    admin_login(r, "so", ROLE_SO, create_logged_in);
}

void admin_cluster_create(struct admin_request *r)
{
    const char *label = NULL;
    if (!label_of(r, LIMIT_LABEL, &label)) {
        admin_fail(r, ERR_USAGE, "give a label of 1 to 32 characters");
        return;
    }
    if (admin_state(r, sizeof(struct create), drop_create) != NULL) {
        admin_refresh(r, create_checked);
    }
}

/* -- authorize -------------------------------------------------------------------------------- */

static void authorized(struct admin_request *r)
{
    const struct cluster_core *core = core_port_cluster(r->a->port);
    const bool is = core->authorized(core->impl);
    admin_text(r, "state", is ? "authorized" : "sealed");
    put_fingerprint(r);
    if (is && r->a->duties != NULL) {
        duties_run(r->a->duties);
    }
    admin_done(r);
}

static void authorize_logged_in(struct admin_request *r)
{
    admin_refresh(r, authorized);
}

void admin_authorize(struct admin_request *r)
{
    admin_login(r, "co", ROLE_CO, authorize_logged_in);
}

/* -- inherit ---------------------------------------------------------------------------------- */

/* Gives nothing by itself: the donors' cores decide (roster, beacon, window). */
void admin_inherit(struct admin_request *r)
{
    const struct cluster_core *core = core_port_cluster(r->a->port);
    const bool is = core->authorized(core->impl);
    admin_text(r, "state", is ? "authorized" : "sealed");
    if (!is) {
        cluster_inherit(r->a->cluster);
        admin_text(r, "next", "the others are asked; run: ringkeep status");
    }
    admin_done(r);
}
