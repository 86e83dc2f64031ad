/* SPDX-License-Identifier: Apache-2.0 */
/* keyring create, list, assign, unassign; objects. Loop thread. */
#include <stdlib.h>
#include <string.h>

#include "appliance/admin_find.h"
#include "appliance/admin_handlers.h"
#include "keyring/query.h"
#include "sks/blob.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define ROLE_PO 3u
#define ROLE_CO 4u

/* -- create ------------------------------------------------------------------------ */

struct creation {
    uint8_t keyring_id[ID_SIZE];
};

static void keyring_made(struct admin_request *r)
{
    const struct creation *c = r->state;
    admin_hex(r, "keyring", bytes_of(c->keyring_id, ID_SIZE));
    admin_text(r, "label", admin_argument(r, "label"));
    admin_text(r, "next", "run: ringkeep keyring assign, then change the first password as that client");
    admin_done(r);
}

static void on_keyring_put(struct admin_request *r, const struct outcome *outcome)
{
    admin_visible(r, outcome->index, keyring_made);
}

static void on_record(struct admin_request *r, const struct core_reply *core)
{
    const struct creation *c = r->state;
    Ringkeep__KeyringPut m = RINGKEEP__KEYRING_PUT__INIT;
    struct blob_record_header h;
    if (blob_record_parse(core->section[0], BLOB_RECORD, &h) != ERR_OK) {
        admin_fail(r, ERR_PROTOCOL, NULL);
        return;
    }
    m.keyring_id = wire_array(c->keyring_id, ID_SIZE);
    m.label = wire_text(admin_argument(r, "label"));
    m.record = wire_data(core->section[0]);
    m.version = h.version;
    m.epoch = h.epoch;
    m.has_max_fail = 1;
    m.max_fail = LIMIT_MAX_FAIL;
    admin_propose(r, RINGKEEP__COMMAND__VERB_KEYRING_PUT, &m, "the keyring", on_keyring_put);
}

static void make_record(struct admin_request *r)
{
    const struct creation *c = r->state;
    struct core_request q = { .verb = CORE_KEYRING_CREATE, .handle = r->handle };
    q.section[0] = bytes_of(c->keyring_id, ID_SIZE);
    if (admin_envelope(r, "password", &q.section[1], &q.section[2]) != ERR_OK) {
        admin_fail(r, ERR_USAGE, "the keyring's first password is missing");
        return;
    }
    admin_core(r, &q, "making the keyring in the core", on_record);
}

static void create_logged_in(struct admin_request *r)
{
    admin_quorum(r, make_record);
}

/* The envelope of the first password is bound to the keyring's id: whoever seals it
 * draws the id (argument `keyring_id`). */
static bool take_id(struct admin_request *r, struct creation *c)
{
    struct bytes id;
    const char *text = admin_argument(r, "keyring_id");
    if (admin_argument_data(r, "keyring_id", &id) && id.size == ID_SIZE) {
        memcpy(c->keyring_id, id.data, ID_SIZE);
        return true;
    }
    return text != NULL && strlen(text) == (size_t)2 * ID_SIZE && hex_to(text, c->keyring_id, ID_SIZE) == ERR_OK;
}

void admin_keyring_create(struct admin_request *r)
{
    const char *label = admin_argument(r, "label");
    struct creation *c = admin_state(r, sizeof *c, NULL);
    if (c == NULL) {
        return;
    }
    if (label == NULL || label[0] == '\0' || strlen(label) > LIMIT_LABEL) {
        admin_fail(r, ERR_USAGE, "give a label of 1 to 32 characters");
        return;
    }
    if (!take_id(r, c)) {
        admin_fail(r, ERR_USAGE, "the keyring's id (16 random bytes, to which the password is sealed) is missing");
        return;
    }
    admin_login(r, "co", ROLE_CO, create_logged_in);
}

/* -- list ------------------------------------------------------------------------------- */

static enum err take_keyring(void *arg, struct bytes key, const void *message)
{
    struct admin_request *r = arg;
    const Ringkeep__KeyringRow *row = message;
    bool stop = false;
    if (!admin_find_page(r, key, &stop)) {
        return stop ? ERR_NOTFOUND : ERR_OK;
    }
    admin_row_begin(r);
    admin_text(r, "label", row->label);
    admin_hex(r, "keyring", key);
    admin_number(r, "objects", row->object_count);
    admin_number(r, "version", row->version);
    admin_number(r, "epoch", row->epoch);
    admin_text(r, "state", row->active ? "active" : "first password not changed yet");
    admin_text(r, "strict", "none");
    admin_row_end(r);
    return ERR_OK;
}

void admin_keyring_list(struct admin_request *r)
{
    STORE_VIEW_SCOPED *view = NULL;
    enum err e = store_view_open(r->a->store, &view);
    if (e == ERR_OK) {
        e = query_each(view, STORE_KEYRINGS, bytes_of(NULL, 0), take_keyring, r);
    }
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    admin_done(r);
}

/* -- assign and unassign ------------------------------------------------------------------- */

struct pair {
    uint8_t keyring_id[ID_SIZE], spki_hash[32];
};

/* Names are looked up behind the quorum, so that a new client or keyring is seen. */
static struct pair *find_pair(struct admin_request *r)
{
    STORE_VIEW_SCOPED *view = NULL;
    struct pair *p = admin_state(r, sizeof *p, NULL);
    if (p == NULL) {
        return NULL;
    }
    const enum err e = store_view_open(r->a->store, &view);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return NULL;
    }
    if (!admin_find_keyring(r, view, p->keyring_id)) {
        return NULL;
    }
    return admin_find_client(r, view, p->spki_hash) ? p : NULL;
}

static void pair_done(struct admin_request *r)
{
    const struct pair *p = r->state;
    admin_hex(r, "keyring", bytes_of(p->keyring_id, ID_SIZE));
    admin_hex(r, "client", bytes_of(p->spki_hash, 32));
    admin_done(r);
}

static void on_pair(struct admin_request *r, const struct outcome *outcome)
{
    admin_visible(r, outcome->index, pair_done);
}

static void assign(struct admin_request *r)
{
    Ringkeep__Assign m = RINGKEEP__ASSIGN__INIT;
    const struct pair *p = find_pair(r);
    if (p != NULL) {
        m.keyring_id = wire_array(p->keyring_id, ID_SIZE);
        m.spki_hash = wire_array(p->spki_hash, 32);
        admin_propose(r, RINGKEEP__COMMAND__VERB_ASSIGN, &m, "the assignment", on_pair);
    }
}

static void unassign(struct admin_request *r)
{
    Ringkeep__Unassign m = RINGKEEP__UNASSIGN__INIT;
    const struct pair *p = find_pair(r);
    if (p != NULL) {
        m.keyring_id = wire_array(p->keyring_id, ID_SIZE);
        m.spki_hash = wire_array(p->spki_hash, 32);
        admin_propose(r, RINGKEEP__COMMAND__VERB_UNASSIGN, &m, "the unassignment", on_pair);
    }
}

static void assign_logged_in(struct admin_request *r)
{
    admin_quorum(r, assign);
}

static void unassign_logged_in(struct admin_request *r)
{
    admin_quorum(r, unassign);
}

void admin_keyring_assign(struct admin_request *r)
{
    admin_login(r, "po", ROLE_PO, assign_logged_in);
}

void admin_keyring_unassign(struct admin_request *r)
{
    admin_login(r, "po", ROLE_PO, unassign_logged_in);
}

/* -- objects ------------------------------------------------------------------------------------ */

#define OBJECT_ROWS 1500u /* of about 64 bytes in one frame */

struct page {
    struct admin_request *r;
    uint64_t last; /* handle shown last */
};

static enum err take_object(void *arg, const uint8_t object_id[ID_SIZE], uint64_t handle, struct bytes blob)
{
    struct page *page = arg;
    struct admin_request *r = page->r;
    struct blob_header h;
    if (admin_row_count(r) == OBJECT_ROWS) {
        admin_row_end(r);
        admin_number(r, "more", page->last); /* the next `after` */
        return ERR_NOTFOUND;
    }
    if (blob_parse(blob, &h) != ERR_OK) {
        return ERR_CORRUPT;
    }
    page->last = handle;
    admin_row_begin(r);
    admin_data(r, "id", bytes_of(object_id, ID_SIZE));
    admin_number(r, "handle", handle);
    admin_number(r, "generation", h.generation);
    admin_row_end(r);
    return ERR_OK;
}

void admin_objects(struct admin_request *r)
{
    uint8_t id[ID_SIZE];
    STORE_VIEW_SCOPED *view = NULL;
    struct page page = { r, 0 };
    const char *after = admin_argument(r, "after"); /* handle of the last row shown */
    const uint64_t from = after == NULL ? 0 : strtoull(after, NULL, 10);
    enum err e = store_view_open(r->a->store, &view);
    if (e != ERR_OK) {
        admin_fail(r, e, NULL);
        return;
    }
    if (!admin_find_keyring(r, view, id)) {
        return;
    }
    admin_hex(r, "keyring", bytes_of(id, ID_SIZE));
    admin_number(r, "index", store_view_index(view));
    e = query_objects_by_handle(view, id, from, OBJECT_ROWS + 1, take_object, &page);
    if (e != ERR_OK && e != ERR_NOTFOUND) {
        admin_fail(r, e, NULL);
        return;
    }
    admin_done(r);
}
