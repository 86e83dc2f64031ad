/* SPDX-License-Identifier: Apache-2.0 */
/* FIND: one page of a keyring's objects by ascending handle. Which objects there
 * are comes from a view of the store; their attributes from the catalogue, or from
 * the core with up to LIMIT_FIND_IN_FLIGHT calls at once. Private rows only for a
 * session with a ticket. Loop thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/catalogue.h"
#include "appliance/ops.h"
#include "base/log.h"
#include "keyring/query.h"
#include "sks/blob.h"

#include <client.pb-c.h>
#include <command.pb-c.h>

#include "appliance/wire.h"

struct find_row {
    uint8_t object_id[ID_SIZE];
    uint64_t handle, generation;
    bool is_private, known, gone;
    struct buf attributes;
};
struct find_op {
    struct find_row row[LIMIT_FIND_ROWS];
    unsigned count;
    unsigned next;       /* first row not yet asked for */
    unsigned in_flight;
    unsigned looked;     /* rows of this turn, shown or not */
    uint64_t last;       /* handle looked at last */
    bool full, more;
    enum err error;
};
struct asked {
    struct request *r;
    unsigned i;
};

static void drop_find(void *state)
{
    struct find_op *op = state;
    for (unsigned i = 0; i < op->count; i++) {
        buf_drop(&op->row[i].attributes);
    }
}

/* -- the answer --------------------------------------------------------------------- */

static void answer(struct request *r)
{
    struct find_op *op = r->state;
    Ringkeep__ObjectInfo info[LIMIT_FIND_ROWS], *pointers[LIMIT_FIND_ROWS];
    Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
    size_t size = 1024, count = 0;
    for (unsigned i = 0; i < op->count; i++) {
        const struct find_row *row = &op->row[i];
        if (row->gone) {
            continue;
        }
        size += row->attributes.size + 64;
        if (size > LIMIT_FRAME_CLIENT) {
            op->more = true; /* the client goes on after the last row that it got */
            break;
        }
        ringkeep__object_info__init(&info[count]);
        info[count].object_id = wire_array(row->object_id, ID_SIZE);
        info[count].handle = row->handle;
        info[count].generation = row->generation;
        info[count].attributes = wire_data(buf_bytes(&row->attributes));
        info[count].is_private = row->is_private;
        pointers[count] = &info[count];
        count++;
    }
    reply.n_objects = count;
    reply.objects = pointers;
    reply.has_more = 1;
    reply.more = op->more;
    request_reply(r, &reply);
}

/* -- attributes ------------------------------------------------------------------------ */

static void ask_more(struct request *r);

static enum err keep(struct request *r, struct find_row *row, struct bytes attributes)
{
    TRY(buf_append(&row->attributes, attributes, LIMIT_BLOB));
    row->known = true;
    /* A catalogue that is full or out of memory only costs the next find time. */
    const enum err cached = catalogue_put(r->a->catalogue,
                                          r->session.keyring_id,
                                          row->object_id,
                                          row->generation,
                                          attributes,
                                          clock_mono_ms(r->a->clock));
    return cached == ERR_NOMEM || cached == ERR_TOO_LARGE ? ERR_OK : cached;
}

static void on_attributes(void *arg, enum err e, const struct core_reply *reply)
{
    struct asked at = *(struct asked *)arg;
    struct find_op *op = at.r->state;
    struct find_row *row = &op->row[at.i];
    free(arg);
    op->in_flight--;
    if (e == ERR_OK && reply != NULL) {
        e = keep(at.r, row, reply->section[0]);
    } else if (e == ERR_REFUSED) {
        /* One object that cannot be opened must not hide the others; of a blob's
         * faults the core tells no more. */
        log_security("read", at.r->client->who, "stored object cannot be opened", err_name(e));
        row->gone = true;
        e = ERR_OK;
    }
    if (e != ERR_OK && op->error == ERR_OK) {
        op->error = e;
    }
    ask_more(at.r);
}

/* The blob is read again: a page of blobs is not kept in memory. */
static enum err ask_row(struct request *r, const struct store_view *view, unsigned i)
{
    struct find_op *op = r->state;
    struct find_row *row = &op->row[i];
    struct blob_header h;
    void *found = NULL;
    const enum err e = query_object(view, r->session.keyring_id, row->object_id, &found);
    if (e == ERR_NOTFOUND) {
        row->gone = true;
        return ERR_OK;
    }
    TRY(e);
    const Ringkeep__ObjectRow *object = found;
    struct asked *asked = malloc(sizeof *asked);
    enum err result = asked == NULL ? ERR_NOMEM : blob_parse(wire_bytes(object->blob), &h);
    if (result == ERR_OK) {
        row->generation = h.generation;
        *asked = (struct asked){ r, i };
        const struct core_request q = { .verb = CORE_ATTRIBUTES,
                                        .handle = r->session.handle,
                                        .section = { wire_bytes(object->blob) } };
        result = core_call(r->a->core, &q, request_remaining_ms(r), on_attributes, asked);
    }
    if (result == ERR_OK) {
        op->in_flight++;
    } else {
        free(asked);
    }
    query_drop(found);
    return result;
}

static enum err ask_rows(struct request *r)
{
    struct find_op *op = r->state;
    STORE_VIEW_SCOPED *view = NULL;
    if (op->error != ERR_OK || op->next == op->count) {
        return op->error;
    }
    enum err e = store_view_open(r->a->store, &view);
    while (e == ERR_OK && op->next < op->count && op->in_flight < LIMIT_FIND_IN_FLIGHT) {
        e = op->row[op->next].known ? ERR_OK : ask_row(r, view, op->next);
        op->next += e == ERR_OK ? 1 : 0;
    }
    /* The ring is full: go on when an answer comes. */
    return e == ERR_BUSY && op->in_flight > 0 ? ERR_OK : e;
}

static void ask_more(struct request *r)
{
    struct find_op *op = r->state;
    const enum err e = ask_rows(r);
    if (e != ERR_OK) {
        op->error = e;
    }
    if (op->in_flight > 0) {
        return;
    }
    if (op->error != ERR_OK) {
        request_fail(r, op->error);
        return;
    }
    answer(r);
}

/* -- rows ---------------------------------------------------------------------------------- */

static enum err take_row(void *arg, const uint8_t object_id[ID_SIZE], uint64_t handle, struct bytes blob)
{
    struct request *r = arg;
    struct find_op *op = r->state;
    struct blob_header h;
    struct bytes attributes;
    op->looked++;
    if (blob_parse(blob, &h) != ERR_OK) {
        return ERR_CORRUPT;
    }
    if (h.kind != BLOB_PUBLIC && !r->session.login) {
        op->last = handle;
        return ERR_OK;
    }
    if (op->count == LIMIT_FIND_ROWS) {
        op->full = op->more = true;
        return ERR_NOTFOUND;
    }
    op->last = handle;
    struct find_row *row = &op->row[op->count++];
    memcpy(row->object_id, object_id, ID_SIZE);
    row->handle = handle;
    row->generation = h.generation;
    row->is_private = h.kind != BLOB_PUBLIC;
    if (catalogue_get(r->a->catalogue,
                      r->session.keyring_id,
                      object_id,
                      h.generation,
                      clock_mono_ms(r->a->clock),
                      &attributes) == ERR_OK) {
        row->known = true;
        return buf_append(&row->attributes, attributes, LIMIT_BLOB);
    }
    return ERR_OK;
}

static void look_again(struct request *r);

/* Looks at LIMIT_FIND_SCAN rows at most in one turn of the loop. */
static void look(struct request *r, const struct store_view *view)
{
    struct find_op *op = r->state;
    op->looked = 0;
    const enum err e = query_objects_by_handle(
        view, r->session.keyring_id, op->last, LIMIT_FIND_SCAN, take_row, r);
    if (e != ERR_OK && e != ERR_NOTFOUND) {
        request_fail(r, e);
        return;
    }
    if (op->looked < LIMIT_FIND_SCAN || op->full || request_expired(r)) {
        ask_more(r);
        return;
    }
    request_later(r, 0, look_again);
}

static void look_again(struct request *r)
{
    STORE_VIEW_SCOPED *view = NULL;
    const enum err e = op_view(r, r->session.keyring_id, &view);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    look(r, view);
}

void op_find(struct request *r)
{
    const Ringkeep__Find *m = r->message;
    void *found = NULL;
    const enum err e = query_keyring(r->view, r->session.keyring_id, &found);
    if (e != ERR_OK) {
        request_fail(r, e);
        return;
    }
    const uint64_t changed = ((const Ringkeep__KeyringRow *)found)->changed_index;
    query_drop(found);
    if (m->has_known_index && m->known_index >= changed) {
        Ringkeep__Reply reply = RINGKEEP__REPLY__INIT;
        reply.has_unchanged = 1;
        reply.unchanged = 1;
        request_reply(r, &reply);
        return;
    }
    struct find_op *op = request_state(r, sizeof *op, drop_find);
    if (op == NULL) {
        return;
    }
    op->last = m->has_after_handle ? m->after_handle : 0;
    look(r, r->view);
}
