/* SPDX-License-Identifier: Apache-2.0 */
/* What the command shows: aligned text for people, or one JSON object. Text from
 * a member is shown with its control characters replaced. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "admin.pb-c.h"
#include "client/client_pb.h"
#include "client/shell/parts.h"

#define CELL 160u
#define COLUMNS 16u
#define HEX_SHOWN 64u /* longer bytes are shown as their size */

void output_clean(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = '?';
        }
    }
}

/* -- JSON ---------------------------------------------------------------------------- */

static json_t *json_of_bytes(struct bytes b)
{
    char *hex = malloc(2 * b.size + 1);
    if (hex == NULL) {
        return NULL;
    }
    json_t *out = json_string(hex_from(b, hex));
    free(hex);
    return out;
}

static json_t *json_of_field(const Ringkeep__AdminField *f)
{
    if (f->has_number) {
        return json_integer((json_int_t)f->number);
    }
    if (f->has_data) {
        return json_of_bytes(client_pb_bytes(f->data));
    }
    return f->text == NULL ? json_null() : json_string(f->text);
}

static void add_fields(json_t *object, Ringkeep__AdminField *const *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_object_set_new(object, fields[i]->name, json_of_field(fields[i])) != 0) {
            (void)json_object_set_new(object, fields[i]->name, json_string("?")); /* no UTF-8 */
        }
    }
}

void output_json(struct shell *s, json_t *object)
{
    if (object != NULL && json_dumpf(object, s->out, JSON_ENSURE_ASCII) == 0) {
        (void)fputc('\n', s->out);
    }
    json_decref(object);
}

static void show_json(struct shell *s, const Ringkeep__AdminReply *reply)
{
    json_t *object = json_object();
    (void)json_object_set_new(object, "ok", json_true());
    add_fields(object, reply->fields, reply->n_fields);
    if (reply->n_rows > 0 || reply->n_fields == 0) {
        json_t *rows = json_array();
        for (size_t i = 0; i < reply->n_rows; i++) {
            json_t *row = json_object();
            add_fields(row, reply->rows[i]->fields, reply->rows[i]->n_fields);
            (void)json_array_append_new(rows, row);
        }
        (void)json_object_set_new(object, "rows", rows);
    }
    output_json(s, object);
}

void output_failure(struct shell *s, enum err e)
{
    json_t *object = json_object();
    (void)json_object_set_new(object, "ok", json_false());
    (void)json_object_set_new(object, "error", json_string(err_name(e)));
    (void)json_object_set_new(object, "code", json_integer((json_int_t)e));
    const char *text = shell_said();
    if (json_object_set_new(object, "text", json_string(text[0] == '\0' ? err_text(e) : text)) != 0) {
        (void)json_object_set_new(object, "text", json_string(err_text(e)));
    }
    output_json(s, object);
}

/* -- tables ---------------------------------------------------------------------------- */

void output_table(struct shell *s, const char *const *cells, size_t columns, size_t rows)
{
    size_t width[COLUMNS] = { 0 };
    assert(columns <= COLUMNS);
    for (size_t i = 0; i < rows * columns; i++) {
        const size_t size = cells[i] == NULL ? 0 : strlen(cells[i]);
        width[i % columns] = size > width[i % columns] ? size : width[i % columns];
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cells[r * columns + c];
            const bool last = c + 1 == columns;
            (void)fprintf(s->out, "%-*s%s", last ? 0 : (int)width[c], cell == NULL ? "" : cell, last ? "\n" : "  ");
        }
    }
}

static void cell_of(const Ringkeep__AdminField *f, char out[CELL])
{
    char hex[2 * HEX_SHOWN + 1];
    if (f->has_number) {
        (void)snprintf(out, CELL, "%llu", (unsigned long long)f->number);
    } else if (f->has_data && f->data.len <= HEX_SHOWN) {
        (void)snprintf(out, CELL, "%s", hex_from(client_pb_bytes(f->data), hex));
    } else if (f->has_data) {
        (void)snprintf(out, CELL, "(%zu bytes)", f->data.len);
    } else {
        (void)snprintf(out, CELL, "%s", f->text == NULL ? "" : f->text);
    }
    output_clean(out);
}

static void show_fields(struct shell *s, const Ringkeep__AdminReply *reply)
{
    size_t width = 0;
    for (size_t i = 0; i < reply->n_fields; i++) {
        const size_t size = strlen(reply->fields[i]->name);
        width = size > width ? size : width;
    }
    for (size_t i = 0; i < reply->n_fields; i++) {
        const Ringkeep__AdminField *f = reply->fields[i];
        char cell[CELL], name[CELL];
        (void)snprintf(name, sizeof(name), "%s", f->name);
        output_clean(name);
        if (f->text != NULL && !f->has_number && !f->has_data) {
            output_clean(f->text); /* may be long: a token */
            (void)fprintf(s->out, "%-*s  %s\n", (int)width, name, f->text);
        } else {
            cell_of(f, cell);
            (void)fprintf(s->out, "%-*s  %s\n", (int)width, name, cell);
        }
    }
}

/* Column names are those of the first row. */
static enum err show_rows(struct shell *s, const Ringkeep__AdminReply *reply)
{
    const Ringkeep__AdminRow *head = reply->rows[0];
    const size_t columns = head->n_fields < COLUMNS ? head->n_fields : COLUMNS;
    const size_t rows = reply->n_rows + 1;
    char(*text)[CELL] = calloc(rows * columns + 1, sizeof(*text));
    const char **cells = calloc(rows * columns + 1, sizeof(*cells));
    enum err e = text == NULL || cells == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < rows * columns; i++) {
        const size_t r = i / columns, c = i % columns;
        const Ringkeep__AdminRow *row = r == 0 ? head : reply->rows[r - 1];
        cells[i] = text[i];
        if (r == 0) {
            (void)snprintf(text[i], CELL, "%s", head->fields[c]->name);
            output_clean(text[i]);
        } else if (c < row->n_fields) {
            cell_of(row->fields[c], text[i]);
        }
    }
    if (e == ERR_OK) {
        output_table(s, cells, columns, rows);
    }
    free(text);
    free(cells);
    return e;
}

enum err output_reply(struct shell *s, const struct shell_reply *r)
{
    const Ringkeep__AdminReply *reply = r->reply;
    if (s->options.json) {
        show_json(s, reply);
        return ERR_OK;
    }
    show_fields(s, reply);
    if (reply->n_rows > 0) {
        TRY(show_rows(s, reply));
    }
    if (reply->text != NULL && reply->text[0] != '\0') {
        output_clean(reply->text);
        (void)fprintf(s->out, "%s\n", reply->text);
    }
    if (reply->n_fields == 0 && reply->n_rows == 0 && reply->text == NULL) {
        (void)fprintf(s->out, "ok\n");
    }
    return ERR_OK;
}
