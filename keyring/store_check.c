/* SPDX-License-Identifier: Apache-2.0 */
/* The full walk (consistency.md 22): what apply keeps true by construction is
 * counted again from the rows, and the digest from their bytes. One snapshot; any
 * thread. O(n): at the end of a simulation, at start in debug, on request. */
#include "keyring/store_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "command.pb-c.h"
#include "keyring/rows.h"
#include "sks/blob.h"

struct walk {
    const struct store_view *v;
    char *text; /* the first trouble, as a sentence */
    size_t text_size;
    uint8_t digest[DIGEST_SIZE];
    /* The keyring whose objects are under way: they lie together. */
    uint8_t keyring_id[ID_SIZE];
    uint64_t counted;
    bool counting;
    bool doomed;
    uint64_t next_handle;
};

typedef enum err (*row_cb)(struct walk *w, struct bytes key, struct bytes value);

static enum err trouble_at(struct walk *w,
                           enum store_table table,
                           struct bytes key,
                           const char *what)
{
    char hex[2 * STORE_KEY_MAX + 1];
    snprintf(w->text, w->text_size, "%s %s: %s", store_table_name(table), hex_from(key, hex), what);
    return ERR_CORRUPT;
}

/* ERR_NOTFOUND becomes a sentence; other errors stay what they are. */
static enum err need(
    struct walk *w, enum err e, enum store_table table, struct bytes key, const char *what)
{
    return e == ERR_NOTFOUND ? trouble_at(w, table, key, what) : e;
}

static enum err need_size(struct walk *w, enum store_table table, struct bytes key, size_t size)
{
    return key.size == size ? ERR_OK : trouble_at(w, table, key, "the key has the wrong size");
}

/* The value of an index row must be these bytes. */
static enum err need_index(struct walk *w,
                           enum store_table table,
                           struct bytes key,
                           struct bytes expected)
{
    struct bytes value;
    TRY(need(w, store_get(w->v, table, key, &value), table, key, "the row is missing"));
    return bytes_equal(value, expected) ? ERR_OK
                                        : trouble_at(w, table, key, "points to another row");
}

static bool same_id(ProtobufCBinaryData a, struct bytes b)
{
    return bytes_equal(bytes_of(a.data, a.len), b);
}

/* -- tables ---------------------------------------------------------------------------------- */

static enum err check_cluster(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__ClusterRow *row = NULL;
    struct blob_roster_header h;
    TRY(rows_unpack(STORE_CLUSTER, value, &row));
    if (blob_roster_parse(bytes_of(row->roster.data, row->roster.len), &h) != ERR_OK ||
        h.version != row->roster_version) {
        return trouble_at(w, STORE_CLUSTER, key, "the roster is not the one that the row names");
    }
    return ERR_OK;
}

static bool roster_has(struct bytes roster, struct bytes member_id, struct bytes spki)
{
    struct blob_roster_header h;
    struct blob_roster_row row;
    if (blob_roster_parse(roster, &h) != ERR_OK) {
        return false;
    }
    for (unsigned i = 0; i < h.count; i++) {
        blob_roster_row(roster, i, &row);
        if (bytes_equal(bytes_of(row.member_id, ID_SIZE), member_id)) {
            return row.state == BLOB_ROSTER_ACTIVE &&
                   bytes_equal(bytes_of(row.spki_hash, 32), spki);
        }
    }
    return false;
}

static enum err check_member(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__MemberRow *row = NULL;
    ROW_SCOPED Ringkeep__ClusterRow *cluster = NULL;
    TRY(rows_unpack(STORE_MEMBERS, value, &row));
    TRY(need(w, rows_get(w->v, STORE_CLUSTER, bytes_of(NULL, 0), &cluster), STORE_MEMBERS, key,
             "there is no cluster"));
    const struct bytes roster = bytes_of(cluster->roster.data, cluster->roster.len);
    if (!same_id(row->member_id, key) ||
        !roster_has(roster, key, bytes_of(row->spki_hash.data, row->spki_hash.len))) {
        return trouble_at(w, STORE_MEMBERS, key, "no active row of the roster has this id and key");
    }
    return ERR_OK;
}

/* Counts the keyring's rows by its handles, so that an empty one is seen, too. */
static enum err check_keyring(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__KeyringRow *row = NULL;
    STORE_CURSOR_SCOPED *handles = NULL;
    struct bytes handle_key, object_id;
    uint64_t count = 0;
    enum err e = ERR_OK;
    TRY(need_size(w, STORE_KEYRINGS, key, ID_SIZE));
    TRY(rows_unpack(STORE_KEYRINGS, value, &row));
    TRY(need_index(w, STORE_LABELS, bytes_of_text(row->label), key));
    TRY(store_cursor_open(w->v, STORE_HANDLES, key, bytes_of(NULL, 0), &handles));
    while ((e = store_cursor_next(handles, &handle_key, &object_id)) == ERR_OK) {
        count++;
    }
    if (e != ERR_NOTFOUND) {
        return e;
    }
    if (!same_id(row->keyring_id, key) || count != row->object_count) {
        return trouble_at(w, STORE_KEYRINGS, key, "the count of objects is wrong");
    }
    e = rows_exist(w->v, STORE_DOOMED, key);
    return e == ERR_OK         ? trouble_at(w, STORE_KEYRINGS, key, "is deleted and there")
           : e == ERR_NOTFOUND ? ERR_OK
                               : e;
}

static enum err check_label(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__KeyringRow *row = NULL;
    if (value.size != ID_SIZE) {
        return trouble_at(w, STORE_LABELS, key, "the value has the wrong size");
    }
    TRY(need(w, rows_get(w->v, STORE_KEYRINGS, value, &row), STORE_LABELS, key,
             "there is no such keyring"));
    if (!bytes_equal(bytes_of_text(row->label), key)) {
        return trouble_at(w, STORE_LABELS, key, "the keyring has another label");
    }
    return ERR_OK;
}

static enum err finish_count(struct walk *w)
{
    ROW_SCOPED Ringkeep__KeyringRow *row = NULL;
    const struct bytes id = bytes_of(w->keyring_id, ID_SIZE);
    if (!w->counting || w->doomed) {
        return ERR_OK;
    }
    TRY(rows_get(w->v, STORE_KEYRINGS, id, &row));
    return row->object_count == w->counted
               ? ERR_OK
               : trouble_at(w, STORE_KEYRINGS, id, "the count of objects is wrong");
}

/* The first object of a keyring: the last keyring's count is complete. */
static enum err enter_keyring(struct walk *w, struct bytes object_key)
{
    ROW_SCOPED Ringkeep__KeyringRow *row = NULL;
    const struct bytes id = bytes_of(object_key.data, ID_SIZE);
    if (w->counting && bytes_equal(bytes_of(w->keyring_id, ID_SIZE), id)) {
        return ERR_OK;
    }
    TRY(finish_count(w));
    const enum err e = rows_get(w->v, STORE_KEYRINGS, id, &row);
    if (e == ERR_NOTFOUND) {
        TRY(need(w, rows_exist(w->v, STORE_DOOMED, id), STORE_OBJECTS, object_key,
                 "there is no such keyring"));
    } else {
        TRY(e);
    }
    memcpy(w->keyring_id, id.data, ID_SIZE);
    w->counted = 0;
    w->counting = true;
    w->doomed = row == NULL;
    w->next_handle = row == NULL ? UINT64_MAX : row->next_handle;
    return ERR_OK;
}

static enum err check_object(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__ObjectRow *row = NULL;
    struct blob_header h;
    TRY(need_size(w, STORE_OBJECTS, key, 2 * (size_t)ID_SIZE));
    TRY(enter_keyring(w, key));
    TRY(rows_unpack(STORE_OBJECTS, value, &row));
    w->counted++;
    const struct bytes object_id = bytes_of(key.data + ID_SIZE, ID_SIZE);
    if (blob_parse(bytes_of(row->blob.data, row->blob.len), &h) != ERR_OK ||
        memcmp(h.keyring_id, key.data, ID_SIZE) != 0 ||
        memcmp(h.object_id, object_id.data, ID_SIZE) != 0) {
        return trouble_at(w, STORE_OBJECTS, key, "the blob is not this object's");
    }
    if (w->doomed) {
        return ERR_OK;
    }
    const struct rows_key handle = rows_key_number(bytes_of(key.data, ID_SIZE), row->handle);
    TRY(need_index(w, STORE_HANDLES, rows_key_bytes(&handle), object_id));
    return row->handle < w->next_handle
               ? ERR_OK
               : trouble_at(w, STORE_OBJECTS, key, "the handle was not given yet");
}

static enum err check_handle(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__ObjectRow *row = NULL;
    TRY(need_size(w, STORE_HANDLES, key, ID_SIZE + 8));
    const struct bytes keyring_id = bytes_of(key.data, ID_SIZE);
    if (rows_exist(w->v, STORE_DOOMED, keyring_id) == ERR_OK) {
        return ERR_OK;
    }
    if (value.size != ID_SIZE) {
        return trouble_at(w, STORE_HANDLES, key, "the value is no object id");
    }
    const struct rows_key object = rows_key_pair(keyring_id, value);
    TRY(need(w, rows_get(w->v, STORE_OBJECTS, rows_key_bytes(&object), &row), STORE_HANDLES, key,
             "there is no such object"));
    return row->handle == rows_get_be64(key.data + ID_SIZE)
               ? ERR_OK
               : trouble_at(w, STORE_HANDLES, key, "the object has another handle");
}

static enum err check_client(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__ClientRow *row = NULL;
    struct bytes first, ignored;
    TRY(need_size(w, STORE_CLIENTS, key, 32));
    TRY(rows_unpack(STORE_CLIENTS, value, &row));
    if (!row->revoked) {
        return need_index(w, STORE_NAMES, bytes_of_text(row->name), key);
    }
    const enum err e =
        store_seek(w->v, STORE_ASSIGNMENTS, key, bytes_of(NULL, 0), &first, &ignored);
    return e == ERR_OK         ? trouble_at(w, STORE_CLIENTS, key, "is revoked and has assignments")
           : e == ERR_NOTFOUND ? ERR_OK
                               : e;
}

static enum err check_name(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__ClientRow *row = NULL;
    if (value.size != 32) {
        return trouble_at(w, STORE_NAMES, key, "the value has the wrong size");
    }
    TRY(need(w, rows_get(w->v, STORE_CLIENTS, value, &row), STORE_NAMES, key,
             "there is no such client"));
    if (row->revoked || !bytes_equal(bytes_of_text(row->name), key)) {
        return trouble_at(w, STORE_NAMES, key, "the client is revoked or has another name");
    }
    return ERR_OK;
}

static enum err check_assignment(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__AssignmentRow *row = NULL;
    ROW_SCOPED Ringkeep__ClientRow *client = NULL;
    TRY(need_size(w, STORE_ASSIGNMENTS, key, 32 + ID_SIZE));
    const struct bytes keyring_id = bytes_of(key.data + 32, ID_SIZE);
    TRY(rows_unpack(STORE_ASSIGNMENTS, value, &row));
    TRY(need(w, rows_get(w->v, STORE_CLIENTS, bytes_of(key.data, 32), &client), STORE_ASSIGNMENTS,
             key, "there is no such client"));
    TRY(need(w, rows_exist(w->v, STORE_KEYRINGS, keyring_id), STORE_ASSIGNMENTS, key,
             "there is no such keyring"));
    return row->slot < client->next_slot
               ? ERR_OK
               : trouble_at(w, STORE_ASSIGNMENTS, key, "the slot was not given yet");
}

static enum err check_login(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__LoginRow *row = NULL;
    TRY(need_size(w, STORE_LOGINS, key, ID_SIZE + 1));
    TRY(rows_unpack(STORE_LOGINS, value, &row));
    return need(w, rows_exist(w->v, STORE_KEYRINGS, bytes_of(key.data, ID_SIZE)), STORE_LOGINS, key,
                "there is no such keyring");
}

static enum err check_outcome(struct walk *w, struct bytes key, struct bytes value)
{
    ROW_SCOPED Ringkeep__OutcomeRow *row = NULL;
    TRY(need_size(w, STORE_OUTCOMES, key, ID_SIZE));
    TRY(rows_unpack(STORE_OUTCOMES, value, &row));
    const struct rows_key order = rows_key_order(row->index, key);
    if (row->index > w->v->index) {
        return trouble_at(w, STORE_OUTCOMES, key, "was made by a command that is not applied");
    }
    return need_index(w, STORE_OUTCOME_ORDER, rows_key_bytes(&order), bytes_of(NULL, 0));
}

static const row_cb checks[STORE_TABLES] = {
    [STORE_CLUSTER] = check_cluster,        [STORE_MEMBERS] = check_member,
    [STORE_KEYRINGS] = check_keyring,       [STORE_LABELS] = check_label,
    [STORE_OBJECTS] = check_object,         [STORE_HANDLES] = check_handle,
    [STORE_CLIENTS] = check_client,         [STORE_NAMES] = check_name,
    [STORE_ASSIGNMENTS] = check_assignment, [STORE_LOGINS] = check_login,
    [STORE_OUTCOMES] = check_outcome,
};

/* -- the walk ---------------------------------------------------------------------------------- */

static enum err check_row(struct walk *w,
                          enum store_table table,
                          struct bytes key,
                          struct bytes value)
{
    if (store_table_replicated(table)) {
        digest_sum_add(w->digest, store_table_name(table), key, value);
    }
    return checks[table] == NULL ? ERR_OK : checks[table](w, key, value);
}

static enum err check_table(struct walk *w, enum store_table table)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes key, value;
    enum err e = ERR_OK;
    TRY(store_cursor_open(w->v, table, bytes_of(NULL, 0), bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &key, &value)) == ERR_OK) {
        TRY(check_row(w, table, key, value));
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

/* Tables that mirror each other have as many rows. */
static enum err check_counts(struct walk *w)
{
    static const enum store_table pairs[][2] = {
        { STORE_KEYRINGS, STORE_LABELS },
        { STORE_OUTCOMES, STORE_OUTCOME_ORDER },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (store_count(w->v, pairs[i][0]) != store_count(w->v, pairs[i][1])) {
            return trouble_at(w, pairs[i][0], bytes_of(NULL, 0),
                              "the table and its mirror differ in number");
        }
    }
    return ERR_OK;
}

static enum err walk_all(struct walk *w)
{
    for (unsigned table = STORE_META + 1; table < STORE_TABLES; table++) {
        TRY(check_table(w, table));
    }
    TRY(finish_count(w));
    TRY(check_counts(w));
    if (memcmp(w->digest, w->v->digest, DIGEST_SIZE) != 0) {
        return trouble_at(w, STORE_META, bytes_of(NULL, 0),
                          "the digest of the rows is not the kept one");
    }
    return ERR_OK;
}

enum err store_check(struct store *s, char *text, size_t text_size)
{
    STORE_VIEW_SCOPED *v = NULL;
    assert(text_size > 0);
    text[0] = '\0';
    TRY(store_view_open(s, &v));
    struct walk w = { .v = v, .text = text, .text_size = text_size };
    const enum err e = walk_all(&w);
    if (e != ERR_OK && text[0] == '\0') {
        snprintf(text, text_size, "a row cannot be read: %s", err_text(e));
    }
    return e;
}
