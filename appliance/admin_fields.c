/* SPDX-License-Identifier: Apache-2.0 */
/* Fields and rows of an administrative reply: one unpacked message that grows, on
 * the heap, freed (texts wiped) with the request. Loop thread. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/admin_request.h"

#include <admin.pb-c.h>

#include "appliance/wire.h"

#define STEP 16u

/* Room for one more pointer; grows in steps. */
static bool grow(void ***list, size_t count)
{
    if (count % STEP != 0) {
        return true;
    }
    void **more = realloc(*list, (count + STEP) * sizeof *more);
    if (more == NULL) {
        return false;
    }
    *list = more;
    return true;
}

static Ringkeep__AdminField *new_field(struct admin_request *r, const char *name)
{
    Ringkeep__AdminReply *reply = r->reply;
    Ringkeep__AdminRow *row = r->into;
    Ringkeep__AdminField ***list = row != NULL ? &row->fields : &reply->fields;
    size_t *count = row != NULL ? &row->n_fields : &reply->n_fields;
    Ringkeep__AdminField *f = malloc(sizeof *f);
    if (f == NULL) {
        r->failed_memory = true;
        return NULL;
    }
    ringkeep__admin_field__init(f);
    f->name = strdup(name);
    if (f->name == NULL || !grow((void ***)list, *count)) {
        free(f->name);
        free(f);
        r->failed_memory = true;
        return NULL;
    }
    (*list)[(*count)++] = f;
    return f;
}

void admin_text(struct admin_request *r, const char *name, const char *text)
{
    Ringkeep__AdminField *f = new_field(r, name);
    if (f != NULL) {
        f->text = strdup(text);
        r->failed_memory = r->failed_memory || f->text == NULL;
    }
}

void admin_number(struct admin_request *r, const char *name, uint64_t number)
{
    Ringkeep__AdminField *f = new_field(r, name);
    if (f != NULL) {
        f->has_number = 1;
        f->number = number;
    }
}

void admin_data(struct admin_request *r, const char *name, struct bytes data)
{
    Ringkeep__AdminField *f = new_field(r, name);
    uint8_t *copy = malloc(data.size + 1);
    if (f == NULL || copy == NULL) {
        free(copy);
        r->failed_memory = true;
        return;
    }
    if (data.size > 0) {
        memcpy(copy, data.data, data.size);
    }
    f->has_data = 1;
    f->data = wire_array(copy, data.size);
}

void admin_hex(struct admin_request *r, const char *name, struct bytes data)
{
    char text[2 * 64 + 1];
    assert(data.size <= 64);
    admin_text(r, name, hex_from(data, text));
}

void admin_row_begin(struct admin_request *r)
{
    Ringkeep__AdminReply *reply = r->reply;
    Ringkeep__AdminRow *row = malloc(sizeof *row);
    r->into = NULL;
    if (row == NULL || !grow((void ***)&reply->rows, reply->n_rows)) {
        free(row);
        r->failed_memory = true;
        return;
    }
    ringkeep__admin_row__init(row);
    reply->rows[reply->n_rows++] = row;
    r->into = row;
}

void admin_row_end(struct admin_request *r)
{
    r->into = NULL;
}

size_t admin_row_count(const struct admin_request *r)
{
    return ((const Ringkeep__AdminReply *)r->reply)->n_rows;
}
