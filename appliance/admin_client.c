/* SPDX-License-Identifier: Apache-2.0 */
/* client register, client list. Loop thread. */
#include <stdio.h>
#include <string.h>

#include "appliance/admin_find.h"
#include "appliance/admin_handlers.h"
#include "base/x509.h"
#include "keyring/query.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define ROLE_PO 3u
#define SPKI_MAX 1024u

struct registration {
    struct buf spki, certificate, login_key, identities;
    uint8_t spki_hash[X509_SPKI_HASH];
};

static void drop_registration(void *state)
{
    struct registration *g = state;
    buf_drop(&g->spki);
    buf_drop(&g->certificate);
    buf_drop(&g->login_key);
    buf_drop(&g->identities);
}

/* -- the registration file's content ---------------------------------------------------- */

static void put_members(struct admin_request *r)
{
    struct cluster_member members[LIMIT_MEMBERS];
    char all[LIMIT_MEMBERS * LIMIT_ADDRESS] = "";
    size_t at = 0;
    const unsigned count = cluster_members(r->a->cluster, members, LIMIT_MEMBERS);
    for (unsigned i = 0; i < count; i++) {
        const int n = snprintf(
            all + at, sizeof all - at, "%s%s", i > 0 ? " " : "", members[i].client_address);
        at += n > 0 ? (size_t)n : 0;
    }
    admin_text(r, "members", all);
    for (unsigned i = 0; i < count; i++) {
        admin_row_begin(r);
        admin_text(r, "name", members[i].name);
        admin_text(r, "address", members[i].client_address);
    }
    admin_row_end(r);
}

static void registered(struct admin_request *r)
{
    const struct registration *g = r->state;
    STORE_VIEW_SCOPED *view = NULL;
    void *found = NULL;
    enum err e = store_view_open(r->a->store, &view);
    if (e == ERR_OK) {
        e = query_cluster(view, &found);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    const Ringkeep__ClusterRow *row = found;
    admin_data(r, "certificate", buf_bytes(&g->certificate));
    admin_data(r, "ca", wire_bytes(row->ca_cert));
    admin_data(r, "cluster_id", wire_bytes(row->cluster_id));
    admin_data(r, "login_key", buf_bytes(&g->login_key));
    admin_data(r, "identities", buf_bytes(&g->identities));
    admin_hex(r, "client", bytes_of(g->spki_hash, X509_SPKI_HASH));
    put_members(r);
    query_drop(found);
    admin_done(r);
}

static void on_put(struct admin_request *r, const struct outcome *outcome)
{
    admin_visible(r, outcome->index, registered);
}

static void on_login_key(struct admin_request *r, const struct core_reply *core)
{
    struct registration *g = r->state;
    Ringkeep__ClientPut m = RINGKEEP__CLIENT_PUT__INIT;
    if (core->section[1].size == 0 || core->section[2].size == 0) {
        admin_fail(r, ERR_SEALED, NULL);
        return;
    }
    if (buf_append(&g->login_key, core->section[1], LIMIT_BLOB) != ERR_OK ||
        buf_append(&g->identities, core->section[2], LIMIT_BLOB) != ERR_OK) {
        admin_fail(r, ERR_NOMEM, NULL);
        return;
    }
    m.spki_hash = wire_array(g->spki_hash, X509_SPKI_HASH);
    m.name = wire_text(admin_argument(r, "name"));
    m.cert = wire_data(buf_bytes(&g->certificate));
    admin_propose(r, RINGKEEP__COMMAND__VERB_CLIENT_PUT, &m, "the registration", on_put);
}

static void on_issued(struct admin_request *r, const struct core_reply *core)
{
    struct registration *g = r->state;
    const struct core_request q = { .verb = CORE_CHALLENGE }; /* for L and I */
    if (buf_append(&g->certificate, core->section[0], LIMIT_BLOB) != ERR_OK) {
        admin_fail(r, ERR_NOMEM, NULL);
        return;
    }
    admin_core(r, &q, "the login key", on_login_key);
}

static void issue(struct admin_request *r)
{
    const struct registration *g = r->state;
    STORE_VIEW_SCOPED *view = NULL;
    void *found = NULL;
    enum err e = store_view_open(r->a->store, &view);
    if (e == ERR_OK) {
        e = query_cluster(view, &found);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    const Ringkeep__ClusterRow *row = found;
    const struct core_request q = { .verb = CORE_ISSUE,
                                    .handle = r->handle,
                                    .number = 0,
                                    .section = { wire_bytes(row->ca_blob),
                                                 wire_bytes(row->ca_cert),
                                                 buf_bytes(&g->spki),
                                                 bytes_of_text(admin_argument(r, "name")) } };
    admin_core(r, &q, "issuing the certificate", on_issued);
    query_drop(found);
}

/* A registration gives power: behind a quorum. */
static void register_logged_in(struct admin_request *r)
{
    admin_quorum(r, issue);
}

/* DER as bytes, or as hexadecimal text. */
static enum err take_spki(const struct admin_request *r, struct registration *g)
{
    struct bytes der;
    uint8_t binary[SPKI_MAX];
    const char *text = admin_argument(r, "spki");
    if (!admin_argument_data(r, "spki", &der)) {
        const size_t size = text == NULL ? 0 : strlen(text) / 2;
        if (size == 0 || size > sizeof binary || hex_to(text, binary, size) != ERR_OK) {
            return ERR_USAGE;
        }
        der = bytes_of(binary, size);
    }
    if (der.size == 0 || der.size > SPKI_MAX) {
        return ERR_USAGE;
    }
    x509_spki_hash(der, g->spki_hash);
    return buf_append(&g->spki, der, SPKI_MAX);
}

void admin_client_register(struct admin_request *r)
{
    const char *name = admin_argument(r, "name");
    struct registration *g = admin_state(r, sizeof *g, drop_registration);
    if (g == NULL) {
        return;
    }
    if (name == NULL || name[0] == '\0' || strlen(name) > LIMIT_NAME) {
        admin_fail(r, ERR_USAGE, "give a name of 1 to 64 characters");
        return;
    }
    if (take_spki(r, g) != ERR_OK) {
        admin_fail(r, ERR_USAGE, "give the client's public key (SubjectPublicKeyInfo, DER)");
        return;
    }
    admin_login(r, "po", ROLE_PO, register_logged_in);
}

/* -- list -------------------------------------------------------------------------------- */

static enum err take_client(void *arg, struct bytes key, const void *message)
{
    struct admin_request *r = arg;
    const Ringkeep__ClientRow *row = message;
    bool stop = false;
    if (!admin_find_page(r, key, &stop)) {
        return stop ? ERR_NOTFOUND : ERR_OK;
    }
    admin_row_begin(r);
    admin_text(r, "name", row->name);
    admin_hex(r, "client", key);
    admin_text(r, "state", row->revoked ? "revoked" : "registered");
    admin_row_end(r);
    return ERR_OK;
}

void admin_client_list(struct admin_request *r)
{
    STORE_VIEW_SCOPED *view = NULL;
    enum err e = store_view_open(r->a->store, &view);
    if (e == ERR_OK) {
        e = query_each(view, STORE_CLIENTS, bytes_of(NULL, 0), take_client, r);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    admin_done(r);
}
