/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a Find with their attributes in one buffer. */
#include "client/client_catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

struct client_catalogue *client_catalogue_make(void)
{
    struct client_catalogue *k = calloc(1, sizeof(*k));
    if (k != NULL) {
        k->references = 1;
    }
    return k;
}

static enum err make_room(struct client_catalogue *k)
{
    if (k->count < k->capacity) {
        return ERR_OK;
    }
    if (k->count >= LIMIT_OBJECTS_PER_KEYRING) {
        return ERR_TOO_LARGE;
    }
    const size_t capacity = k->capacity == 0 ? LIMIT_FIND_ROWS : 2 * k->capacity;
    struct client_catalogue_row *more = realloc(k->rows, capacity * sizeof(*more));
    if (more == NULL) {
        return ERR_NOMEM;
    }
    k->rows = more;
    k->capacity = capacity;
    return ERR_OK;
}

enum err client_catalogue_add(struct client_catalogue *k,
                              const uint8_t object_id[ID_SIZE],
                              uint64_t handle,
                              bool is_private,
                              struct bytes attributes)
{
    if (handle == 0 || (k->count > 0 && handle <= k->rows[k->count - 1].handle)) {
        return ERR_PROTOCOL;
    }
    TRY(make_room(k));
    const size_t at = k->attributes.size;
    if (attributes.size > 0) {
        TRY(buf_append(&k->attributes, attributes, (size_t)LIMIT_CATALOGUE));
    }
    struct client_catalogue_row *row = &k->rows[k->count++];
    memcpy(row->object_id, object_id, ID_SIZE);
    row->handle = handle;
    row->is_private = is_private;
    row->at = at;
    row->size = attributes.size;
    return ERR_OK;
}

void client_catalogue_drop(struct client_catalogue *k)
{
    if (k != NULL && --k->references == 0) {
        buf_drop(&k->attributes);
        free(k->rows);
        free(k);
    }
}

struct ringkeep_object client_catalogue_object(const struct client_catalogue *k, size_t row)
{
    const struct client_catalogue_row *r = &k->rows[row];
    struct ringkeep_object o = { 0 };
    memcpy(o.object_id, r->object_id, ID_SIZE);
    o.handle = r->handle;
    o.is_private = r->is_private;
    o.attributes = r->size == 0 ? NULL : k->attributes.data + r->at;
    o.attributes_size = r->size;
    return o;
}
