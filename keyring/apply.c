/* SPDX-License-Identifier: Apache-2.0 */
/* One command after the other, on the applier's thread: version and verb, at most
 * once (consistency.md 7), the incarnation, the verb's own rules, the outcome.
 *
 * Why the order of outcomes and bases is safe: the outcome made at index i is
 * dropped only by a command n > i + W; its request has base <= i, so from n on
 * the base rule refuses it for ever. */
#include "keyring/apply_internal.h"

#include <assert.h>
#include <string.h>

#include "command.pb-c.h"
#include "keyring/store_internal.h"
#include "proto/frame.h"

#define OUTCOMES_DROPPED 2u /* per command: more than one is made, so they never pile up */

typedef enum err (*verb_cb)(struct apply *a, const Ringkeep__Command *c);

#define VERB_FIRST RINGKEEP__COMMAND__VERB_CLUSTER_INIT
#define VERB(name, handler) [RINGKEEP__COMMAND__VERB_##name - VERB_FIRST] = (handler)
static const verb_cb verbs[] = {
    VERB(CLUSTER_INIT, apply_cluster_init),         VERB(MEMBER_PUT, apply_members_put),
    VERB(ROSTER_PUT, apply_members_roster),         VERB(INVITE_PUT, apply_invites_put),
    VERB(INVITE_SPEND, apply_invites_spend),        VERB(KEYRING_PUT, apply_keyrings_put),
    VERB(KEYRING_DELETE, apply_keyrings_delete),    VERB(CLIENT_PUT, apply_clients_put),
    VERB(CLIENT_REVOKE, apply_clients_revoke),      VERB(ASSIGN, apply_clients_assign),
    VERB(UNASSIGN, apply_clients_unassign),         VERB(OBJECTS_CREATE, apply_objects_create),
    VERB(OBJECT_UPDATE, apply_objects_update),      VERB(OBJECT_DESTROY, apply_objects_destroy),
    VERB(LOGIN_RESERVE, apply_logins_reserve),      VERB(LOGIN_RESOLVE, apply_logins_resolve),
    VERB(LOGIN_EXPIRE, apply_logins_expire),        VERB(BEACON_PUT, apply_members_beacon),
    VERB(CLUSTER_RECORD_PUT, apply_cluster_record), VERB(LOGIN_KEY_PUT, apply_members_login_key),
};

bool apply_text(const char *text, size_t max)
{
    const size_t size = text == NULL ? 0 : strnlen(text, max + 1);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return size > 0 && size <= max;
}

static verb_cb verb_of(const Ringkeep__Command *c)
{
    const unsigned number = (unsigned)c->verb_case;
    const unsigned first = (unsigned)VERB_FIRST;
    const size_t count = sizeof(verbs) / sizeof(verbs[0]);
    return number >= first && number - first < count ? verbs[number - first] : NULL;
}

/* -- at most once ----------------------------------------------------------------------- */

static enum err check_request(const Ringkeep__Command *c)
{
    const bool whole = apply_sized(c->request_id, ID_SIZE) && c->has_client &&
                       apply_sized(c->client, 32) && c->has_request_hash &&
                       apply_sized(c->request_hash, 32) && c->has_base_index;
    return whole ? ERR_OK : ERR_MALFORMED;
}

static enum err recall_ids(const Ringkeep__OutcomeRow *row, struct outcome *out)
{
    if (row->n_object_ids > LIMIT_OBJECTS_PER_COMMAND) {
        return ERR_CORRUPT;
    }
    for (size_t i = 0; i < row->n_object_ids; i++) {
        if (!apply_sized(row->object_ids[i], ID_SIZE)) {
            return ERR_CORRUPT;
        }
        memcpy(out->object_ids[i], row->object_ids[i].data, ID_SIZE);
    }
    out->object_count = (unsigned)row->n_object_ids;
    return ERR_OK;
}

/* The first outcome of this request; ERR_NOTFOUND where none is remembered. */
static enum err recall(struct apply *a, const Ringkeep__Command *c)
{
    ROW_SCOPED Ringkeep__OutcomeRow *row = NULL;
    TRY(rows_get(a->v, STORE_OUTCOMES, apply_bytes(c->request_id), &row));
    if (!apply_same(row->client, c->client) || !apply_same(row->request_hash, c->request_hash)) {
        a->out->error = ERR_REFUSED;
        a->out->index = a->index;
        return ERR_OK;
    }
    TRY(recall_ids(row, a->out));
    a->out->error = err_from_wire(row->error);
    a->out->index = row->index;
    a->out->number = row->number;
    return ERR_OK;
}

static enum err remember(struct apply *a, const Ringkeep__Command *c)
{
    Ringkeep__OutcomeRow row = RINGKEEP__OUTCOME_ROW__INIT;
    ProtobufCBinaryData ids[LIMIT_OBJECTS_PER_COMMAND];
    const struct bytes id = apply_bytes(c->request_id);
    const struct rows_key order = rows_key_order(a->index, id);
    for (unsigned i = 0; i < a->out->object_count; i++) {
        ids[i] = apply_binary(bytes_of(a->out->object_ids[i], ID_SIZE));
    }
    row.client = c->client;
    row.request_hash = c->request_hash;
    row.index = a->index;
    row.error = (uint32_t)a->out->error;
    row.has_number = a->out->number != 0;
    row.number = a->out->number;
    row.n_object_ids = a->out->object_count;
    row.object_ids = ids;
    TRY(rows_put(a->t, STORE_OUTCOMES, id, &row));
    return store_txn_put(a->t, STORE_OUTCOME_ORDER, rows_key_bytes(&order), bytes_of(NULL, 0));
}

/* Has this index left the window of W commands that ends with the present one? */
static bool left_window(const struct apply *a, uint64_t index)
{
    const uint64_t window = a->v->store->window;
    return a->index > window && index < a->index - window;
}

/* ERR_NOTFOUND: nothing is old enough. */
static enum err drop_oldest(struct apply *a)
{
    struct bytes key, value;
    TRY(store_seek(a->v, STORE_OUTCOME_ORDER, bytes_of(NULL, 0), bytes_of(NULL, 0), &key, &value));
    if (key.size != 8 + ID_SIZE) {
        return ERR_CORRUPT;
    }
    if (!left_window(a, rows_get_be64(key.data))) {
        return ERR_NOTFOUND;
    }
    const struct rows_key order = rows_key_pair(key, bytes_of(NULL, 0));
    const enum err e = store_txn_delete(a->t, STORE_OUTCOMES, bytes_of(order.data + 8, ID_SIZE));
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_CORRUPT : e;
    }
    return store_txn_delete(a->t, STORE_OUTCOME_ORDER, rows_key_bytes(&order));
}

/* Bounded work after each command, the same on every member. */
static enum err sweep(struct apply *a)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; i < OUTCOMES_DROPPED && e == ERR_OK; i++) {
        e = drop_oldest(a);
    }
    if (e != ERR_OK && e != ERR_NOTFOUND) {
        return e;
    }
    return apply_keyrings_sweep(a);
}

/* -- one command --------------------------------------------------------------------------- */

static enum err check_history(const struct apply *a, const Ringkeep__Command *c)
{
    const bool begins = c->verb_case == RINGKEEP__COMMAND__VERB_CLUSTER_INIT;
    if (!begins && (a->cluster == NULL || !c->has_incarnation ||
                    !apply_same(c->incarnation, a->cluster->incarnation))) {
        return ERR_INCARNATION;
    }
    if (!c->has_request_id) {
        return ERR_OK;
    }
    return c->base_index > a->index || left_window(a, c->base_index) ? ERR_TOO_OLD : ERR_OK;
}

/* The verb's own rules. *out is the outcome; returns local failures only. */
static enum err judge(struct apply *a, const Ringkeep__Command *c)
{
    const unsigned writes = a->t->writes;
    enum err e = check_history(a, c);
    if (e == ERR_OK) {
        e = verb_of(c)(a, c);
    }
    if (apply_is_local(e)) {
        return e;
    }
    assert(e == ERR_OK || a->t->writes == writes); /* all checks before the first put */
    a->out->error = e;
    a->out->index = a->index;
    if (e != ERR_OK) {
        a->out->object_count = 0;
    }
    return c->has_request_id ? remember(a, c) : ERR_OK;
}

static enum err decide(struct apply *a, const Ringkeep__Command *c)
{
    if (!c->has_request_id) {
        return judge(a, c);
    }
    if (check_request(c) != ERR_OK) {
        a->out->error = ERR_MALFORMED;
        a->out->index = a->index;
        return ERR_OK;
    }
    const enum err e = recall(a, c);
    return e == ERR_NOTFOUND ? judge(a, c) : e;
}

static enum err run(struct apply *a, const Ringkeep__Command *c)
{
    ROW_SCOPED Ringkeep__ClusterRow *cluster = NULL;
    const enum err e = rows_get(a->v, STORE_CLUSTER, bytes_of(NULL, 0), &cluster);
    if (e != ERR_OK && e != ERR_NOTFOUND) {
        return e;
    }
    a->cluster = cluster;
    TRY(decide(a, c));
    return sweep(a);
}

/* What cannot be unpacked here, unknown fields too, may be a newer version's: this
 * member stops. Garbage is not proposed (command_stamp). */
static enum err unpack(struct bytes command,
                       struct message_arena **arena,
                       const Ringkeep__Command **out)
{
    void *message = NULL;
    const enum err e = message_unpack(&ringkeep__command__descriptor, command, arena, &message);
    if (e != ERR_OK) {
        return e == ERR_MALFORMED ? ERR_VERSION : e;
    }
    const Ringkeep__Command *c = message;
    if (c->version != COMMAND_VERSION || verb_of(c) == NULL) {
        return ERR_VERSION;
    }
    *out = c;
    return ERR_OK;
}

enum err apply_command(
    struct store_txn *t, uint64_t index, struct bytes command, struct outcome *out, bool *skipped)
{
    MESSAGE_SCOPED *arena = NULL;
    const Ringkeep__Command *c = NULL;
    struct outcome result = { 0 };
    if (index <= store_txn_index(t)) {
        *out = result;
        *skipped = true;
        return ERR_OK;
    }
    TRY(unpack(command, &arena, &c));
    struct apply a = { .t = t, .v = store_txn_view(t), .index = index, .out = &result };
    a.stamp = c->stamp_s > store_txn_stamp(t) ? c->stamp_s : store_txn_stamp(t);
    TRY(run(&a, c));
    store_txn_note_index(t, index, a.stamp);
    *out = result;
    *skipped = false;
    return ERR_OK;
}

const char *apply_verb_name(struct bytes command)
{
    MESSAGE_SCOPED *arena = NULL;
    const Ringkeep__Command *c = NULL;
    if (unpack(command, &arena, &c) != ERR_OK) {
        return "unknown";
    }
    return protobuf_c_message_descriptor_get_field(&ringkeep__command__descriptor,
                                                   (unsigned)c->verb_case)
        ->name;
}
