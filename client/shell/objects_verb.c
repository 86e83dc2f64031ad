/* SPDX-License-Identifier: Apache-2.0 */
/* The object ids of a keyring: the daemon answers in pages, people and scripts
 * want one list. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "admin.pb-c.h"
#include "client/shell/parts.h"

struct pages {
    struct shell_reply *page;
    size_t count, capacity;
    size_t rows;
};

static void pages_drop(struct pages *p)
{
    for (size_t i = 0; i < p->count; i++) {
        shell_reply_drop(&p->page[i]);
    }
    free(p->page);
}
#define PAGES_SCOPED __attribute__((cleanup(pages_drop))) struct pages

static struct shell_reply *add_page(struct pages *p)
{
    if (p->count == p->capacity) {
        const size_t capacity = p->capacity == 0 ? 8 : 2 * p->capacity;
        struct shell_reply *more = realloc(p->page, capacity * sizeof(*more));
        if (more == NULL) {
            return NULL;
        }
        p->page = more;
        p->capacity = capacity;
    }
    struct shell_reply *page = &p->page[p->count++];
    memset(page, 0, sizeof(*page));
    return page;
}

/* Handle of the last row, which the next page begins after; 0: there is none. */
static uint64_t last_handle(const Ringkeep__AdminReply *reply)
{
    const Ringkeep__AdminRow *row = reply->n_rows == 0 ? NULL : reply->rows[reply->n_rows - 1];
    for (size_t i = 0; row != NULL && i < row->n_fields; i++) {
        if (strcmp(row->fields[i]->name, "handle") == 0 && row->fields[i]->has_number) {
            return row->fields[i]->number;
        }
    }
    return 0;
}

static enum err read_page(struct shell *s, struct pages *p, uint64_t *after, bool *more)
{
    struct shell_ask ask = { 0 };
    char text[24];
    struct shell_reply *page = add_page(p);
    if (page == NULL) {
        return ERR_NOMEM;
    }
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)*after);
    ask.verb = verb_admin("objects");
    ask.argument = s->argument;
    ask.argument_count = s->argument_count;
    ask.extra[0] = (struct shell_extra){ "after", { NULL, 0 }, text };
    ask.extra_count = *after > 0 ? 1 : 0;
    TRY(admin_verb_ask(s, &ask, page));
    const uint64_t last = last_handle(page->reply);
    *more = admin_door_field(page, "more") != NULL && last > *after;
    *after = last;
    p->rows += page->reply->n_rows;
    return ERR_OK;
}

/* One reply with the fields of the first page and the rows of all. */
static enum err show_pages(struct shell *s, const struct pages *p)
{
    Ringkeep__AdminReply all = *p->page[0].reply;
    const struct shell_reply shown = { NULL, &all };
    Ringkeep__AdminRow **rows = calloc(p->rows + 1, sizeof(*rows));
    Ringkeep__AdminField **fields = calloc(all.n_fields + 1, sizeof(*fields));
    enum err e = rows == NULL || fields == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK) {
        const size_t count = all.n_fields;
        all.n_rows = all.n_fields = 0;
        for (size_t i = 0; i < count; i++) {
            Ringkeep__AdminField *f = p->page[0].reply->fields[i];
            if (strcmp(f->name, "more") != 0) {
                fields[all.n_fields++] = f;
            }
        }
        for (size_t i = 0; i < p->count; i++) {
            const Ringkeep__AdminReply *page = p->page[i].reply;
            if (page->n_rows > 0) {
                memcpy(rows + all.n_rows, page->rows, page->n_rows * sizeof(*rows));
            }
            all.n_rows += page->n_rows;
        }
        assert(all.n_rows == p->rows);
        all.rows = rows;
        all.fields = fields;
        e = output_reply(s, &shown);
    }
    free(rows);
    free(fields);
    return e;
}

enum err shell_objects(struct shell *s)
{
    PAGES_SCOPED p = { .page = NULL };
    uint64_t after = 0;
    bool more = false;
    do {
        TRY(read_page(s, &p, &after, &more));
    } while (more);
    return show_pages(s, &p);
}
