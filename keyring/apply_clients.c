/* SPDX-License-Identifier: Apache-2.0 */
/* Clients and their assignments. A client is its key (SPKI hash); its name is free
 * for another key once it is revoked, its slot numbers are never used again. Runs
 * inside apply. */
#include "keyring/apply_internal.h"

#include <string.h>

#include "command.pb-c.h"

/* ERR_EXISTS where another client has the name. */
static enum err check_name(struct apply *a, const char *name, struct bytes spki)
{
    struct bytes holder;
    const enum err e = store_txn_get(a->t, STORE_NAMES, bytes_of_text(name), &holder);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_OK : e;
    }
    return bytes_equal(holder, spki) ? ERR_OK : ERR_EXISTS;
}

static enum err write_client(struct apply *a,
                             const Ringkeep__ClientPut *put,
                             const Ringkeep__ClientRow *old)
{
    Ringkeep__ClientRow row = RINGKEEP__CLIENT_ROW__INIT;
    const struct bytes spki = apply_bytes(put->spki_hash);
    if (old != NULL) {
        row = *old;
        TRY(store_txn_delete(a->t, STORE_NAMES, bytes_of_text(old->name)));
    }
    row.name = put->name;
    row.cert = put->cert;
    TRY(rows_put(a->t, STORE_CLIENTS, spki, &row));
    return store_txn_put(a->t, STORE_NAMES, bytes_of_text(put->name), spki);
}

enum err apply_clients_put(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__ClientPut *put = c->client_put;
    ROW_SCOPED Ringkeep__ClientRow *old = NULL;
    if (!apply_sized(put->spki_hash, APPLY_SPKI) || !apply_text(put->name, LIMIT_NAME) ||
        put->cert.len == 0 || put->cert.len > APPLY_CERT_MAX) {
        return ERR_MALFORMED;
    }
    const enum err e = rows_get(a->v, STORE_CLIENTS, apply_bytes(put->spki_hash), &old);
    if (e != ERR_OK && e != ERR_NOTFOUND) {
        return e;
    }
    if (old != NULL && old->revoked) {
        return ERR_REFUSED; /* a revoked key never comes back */
    }
    TRY(check_name(a, put->name, apply_bytes(put->spki_hash)));
    if (old == NULL && store_count(a->v, STORE_CLIENTS) >= LIMIT_CLIENTS) {
        return ERR_FULL;
    }
    return write_client(a, put, old);
}

static enum err unassign_all(struct apply *a, struct bytes spki)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes key, value;
    enum err e = ERR_OK;
    TRY(store_cursor_open(a->v, STORE_ASSIGNMENTS, spki, bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &key, &value)) == ERR_OK) {
        TRY(store_txn_delete(a->t, STORE_ASSIGNMENTS, key));
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

enum err apply_clients_revoke(struct apply *a, const struct Ringkeep__Command *c)
{
    const struct bytes spki = apply_bytes(c->client_revoke->spki_hash);
    ROW_SCOPED Ringkeep__ClientRow *old = NULL;
    if (spki.size != APPLY_SPKI) {
        return ERR_MALFORMED;
    }
    TRY(rows_get(a->v, STORE_CLIENTS, spki, &old));
    if (old->revoked) {
        return ERR_OK; /* as asked */
    }
    Ringkeep__ClientRow row = *old;
    row.revoked = 1;
    TRY(rows_put(a->t, STORE_CLIENTS, spki, &row));
    TRY(store_txn_delete(a->t, STORE_NAMES, bytes_of_text(old->name)));
    return unassign_all(a, spki);
}

/* -- assignments ------------------------------------------------------------------------------ */

static enum err count_assignments(struct apply *a, struct bytes spki, unsigned *out)
{
    STORE_CURSOR_SCOPED *cursor = NULL;
    struct bytes key, value;
    enum err e = ERR_OK;
    *out = 0;
    TRY(store_cursor_open(a->v, STORE_ASSIGNMENTS, spki, bytes_of(NULL, 0), &cursor));
    while ((e = store_cursor_next(cursor, &key, &value)) == ERR_OK) {
        (*out)++;
    }
    return e == ERR_NOTFOUND ? ERR_OK : e;
}

/* The client's row, where it may be assigned to this keyring. */
static enum err check_assign(struct apply *a,
                             const Ringkeep__Assign *assign,
                             Ringkeep__ClientRow **client)
{
    unsigned count = 0;
    const struct bytes spki = apply_bytes(assign->spki_hash);
    if (!apply_sized(assign->keyring_id, ID_SIZE) || spki.size != APPLY_SPKI) {
        return ERR_MALFORMED;
    }
    TRY(rows_exist(a->v, STORE_KEYRINGS, apply_bytes(assign->keyring_id)));
    TRY(rows_get(a->v, STORE_CLIENTS, spki, client));
    if ((*client)->revoked) {
        return ERR_REFUSED;
    }
    TRY(count_assignments(a, spki, &count));
    return count < LIMIT_ASSIGNMENTS_PER_CLIENT ? ERR_OK : ERR_FULL;
}

enum err apply_clients_assign(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__Assign *assign = c->assign;
    ROW_SCOPED Ringkeep__ClientRow *client = NULL;
    ROW_SCOPED Ringkeep__AssignmentRow *present = NULL;
    Ringkeep__AssignmentRow row = RINGKEEP__ASSIGNMENT_ROW__INIT;
    TRY(check_assign(a, assign, &client));
    const struct rows_key key =
        rows_key_pair(apply_bytes(assign->spki_hash), apply_bytes(assign->keyring_id));
    const enum err e = rows_get(a->v, STORE_ASSIGNMENTS, rows_key_bytes(&key), &present);
    if (e != ERR_NOTFOUND) {
        a->out->number = e == ERR_OK ? present->slot : 0;
        return e == ERR_OK ? ERR_EXISTS : e;
    }
    Ringkeep__ClientRow next = *client;
    row.slot = client->has_next_slot ? client->next_slot : 0;
    next.has_next_slot = 1;
    next.next_slot = row.slot + 1;
    a->out->number = row.slot;
    TRY(rows_put(a->t, STORE_ASSIGNMENTS, rows_key_bytes(&key), &row));
    return rows_put(a->t, STORE_CLIENTS, apply_bytes(assign->spki_hash), &next);
}

enum err apply_clients_unassign(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__Unassign *unassign = c->unassign;
    if (!apply_sized(unassign->keyring_id, ID_SIZE) ||
        !apply_sized(unassign->spki_hash, APPLY_SPKI)) {
        return ERR_MALFORMED;
    }
    const struct rows_key key =
        rows_key_pair(apply_bytes(unassign->spki_hash), apply_bytes(unassign->keyring_id));
    return store_txn_delete(a->t, STORE_ASSIGNMENTS, rows_key_bytes(&key)); /* ERR_NOTFOUND */
}
