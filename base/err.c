/* SPDX-License-Identifier: Apache-2.0 */
/* The error table's texts, names and classes. No state; any thread. */
#include "base/err.h"

#include <stddef.h>

struct row {
    const char *name;
    const char *text;
    enum err_class class_of;
};

static const struct row rows[] = {
#define X(number, name, class_name, text) [number] = { #name, text, ERR_CLASS_##class_name },
    ERR_TABLE(X)
#undef X
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) == ERR_COUNT, "error numbers have no gaps");

static const struct row *row_of(enum err e)
{
    const unsigned number = (unsigned)e;
    return number < ERR_COUNT ? &rows[number] : NULL;
}

const char *err_text(enum err e)
{
    const struct row *row = row_of(e);
    return row == NULL ? "unknown error" : row->text;
}

const char *err_name(enum err e)
{
    const struct row *row = row_of(e);
    return row == NULL ? "UNKNOWN" : row->name;
}

enum err_class err_class_of(enum err e)
{
    const struct row *row = row_of(e);
    return row == NULL ? ERR_CLASS_CALLER : row->class_of;
}

enum err err_from_wire(unsigned number)
{
    return number < ERR_COUNT ? (enum err)number : ERR_PROTOCOL;
}
