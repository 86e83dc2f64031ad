/* SPDX-License-Identifier: Apache-2.0 */
/* Members from the store; see directory.h. */
#include "cluster/directory.h"

#include <stdio.h>
#include <string.h>

#include "cluster/facts.h"
#include "command.pb-c.h"
#include "keyring/query.h"
#include "peer.pb-c.h"
#include "proto/frame.h"

static bool take(ProtobufCBinaryData from, uint8_t *to, size_t size)
{
    if (from.len != size) {
        return false;
    }
    memcpy(to, from.data, size);
    return true;
}

#define TEXT(to, from) (snprintf((to), sizeof(to), "%s", (from)) < (int)sizeof(to))

static enum err add_row(void *arg, struct bytes key, const void *message)
{
    struct directory *d = arg;
    const Ringkeep__MemberRow *m = message;
    (void)key;
    if (d->count == LIMIT_MEMBERS) {
        return ERR_FULL;
    }
    struct directory_row *row = &d->row[d->count];
    row->raft_id = m->raft_id;
    row->has_uuid = m->has_data_uuid != 0;
    const bool good = take(m->member_id, row->member_id, ID_SIZE) &&
                      take(m->spki_hash, row->spki_hash, X509_SPKI_HASH) &&
                      (!row->has_uuid || take(m->data_uuid, row->data_uuid, ID_SIZE)) &&
                      TEXT(row->name, m->name) && TEXT(row->client_address, m->client_address) &&
                      TEXT(row->peer_address, m->peer_address) &&
                      TEXT(row->join_address, m->join_address);
    d->count += good ? 1 : 0;
    return good ? ERR_OK : ERR_CORRUPT;
}

static enum err add_seed(struct directory *d, const Ringkeep__MemberRowJoin *m)
{
    Ringkeep__MemberRow row = RINGKEEP__MEMBER_ROW__INIT;
    row.member_id = m->member_id;
    row.raft_id = m->raft_id;
    row.name = m->name;
    row.client_address = m->client_address;
    row.peer_address = m->peer_address;
    row.join_address = m->join_address;
    row.spki_hash = m->spki_hash;
    row.has_data_uuid = m->data_uuid.len == ID_SIZE;
    row.data_uuid = m->data_uuid;
    return add_row(d, bytes_of(NULL, 0), &row);
}

static enum err load_seeds(const struct store_view *view, struct directory *d)
{
    MESSAGE_SCOPED *arena = NULL;
    struct bytes packed;
    void *message = NULL;
    const enum err e = facts_seeds(view, &packed);
    if (e != ERR_OK) {
        return e == ERR_NOTFOUND ? ERR_OK : e;
    }
    TRY(message_unpack(&ringkeep__join_welcome__descriptor, packed, &arena, &message));
    const Ringkeep__JoinWelcome *w = message;
    for (size_t i = 0; i < w->n_members; i++) {
        TRY(add_seed(d, w->members[i]));
    }
    return ERR_OK;
}

enum err directory_load(struct store *store, const uint8_t self_id[ID_SIZE], struct directory *out)
{
    STORE_VIEW_SCOPED *view = NULL;
    memset(out, 0, sizeof *out);
    TRY(store_view_open(store, &view));
    TRY(query_each(view, STORE_MEMBERS, bytes_of(NULL, 0), add_row, out));
    out->complete = directory_by_member(out, self_id) != NULL;
    if (out->complete) {
        return ERR_OK;
    }
    memset(out, 0, sizeof *out);
    return load_seeds(view, out);
}

bool directory_equal(const struct directory *a, const struct directory *b)
{
    return bytes_equal(bytes_of(a, sizeof *a), bytes_of(b, sizeof *b));
}

const struct directory_row *directory_by_member(const struct directory *d,
                                                const uint8_t member_id[ID_SIZE])
{
    for (unsigned i = 0; i < d->count; i++) {
        if (memcmp(d->row[i].member_id, member_id, ID_SIZE) == 0) {
            return &d->row[i];
        }
    }
    return NULL;
}

const struct directory_row *directory_by_hash(const struct directory *d,
                                              const uint8_t spki_hash[X509_SPKI_HASH])
{
    for (unsigned i = 0; i < d->count; i++) {
        if (memcmp(d->row[i].spki_hash, spki_hash, X509_SPKI_HASH) == 0) {
            return &d->row[i];
        }
    }
    return NULL;
}

const struct directory_row *directory_by_raft_id(const struct directory *d, uint64_t raft_id)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (d->row[i].raft_id == raft_id) {
            return &d->row[i];
        }
    }
    return NULL;
}
