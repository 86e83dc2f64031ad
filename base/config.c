/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration parser: line by line, every rule broken is an error that
 * names file and line. No state; the result goes to the reader's targets. */
#include "base/config.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

#define LINE_MAX_SIZE 1024u
#define KEYS_MAX 128u

struct reader {
    const char *path;
    const struct config_key *keys;
    size_t count;
    unsigned line;
    char section[64];
    char *error;
    size_t error_size;
    bool seen[KEYS_MAX];
};

__attribute__((format(printf, 2, 3))) static enum err refuse(struct reader *r,
                                                             const char *format,
                                                             ...)
{
    va_list arguments;
    const int n = snprintf(r->error, r->error_size, "%s:%u: ", r->path, r->line);
    if (n >= 0 && (size_t)n < r->error_size) {
        va_start(arguments, format);
        (void)vsnprintf(r->error + n, r->error_size - (size_t)n, format, arguments);
        va_end(arguments);
    }
    return ERR_CONFIG;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts blanks at both ends, in place. */
static char *trim(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && is_blank(text[size - 1])) {
        text[--size] = '\0';
    }
    while (is_blank(*text)) {
        text++;
    }
    return text;
}

/* A comment begins at `#` where a line begins or after a blank. */
static void cut_comment(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '#' && (at == text || is_blank(at[-1]))) {
            *at = '\0';
            return;
        }
    }
}

static bool same_section(const char *row, const char *section)
{
    return strcmp(row == NULL ? "" : row, section) == 0;
}

static enum err set_number(struct reader *r, const struct config_key *k, const char *value)
{
    uint64_t number = 0;
    bool good = true;
    for (const char *at = value; *at != '\0' && good; at++) {
        const unsigned digit = (unsigned)(*at - '0');
        good = *at >= '0' && *at <= '9' && number <= (UINT64_MAX - digit) / 10;
        number = number * 10 + (good ? digit : 0);
    }
    if (!good || number < k->minimum || number > k->maximum) {
        return refuse(r, "%s must be a number from %llu to %llu, not '%s'", k->key,
                      (unsigned long long)k->minimum, (unsigned long long)k->maximum, value);
    }
    *(uint64_t *)k->target = number;
    return ERR_OK;
}

static enum err set_bool(struct reader *r, const struct config_key *k, const char *value)
{
    const bool yes = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    const bool no = strcmp(value, "false") == 0 || strcmp(value, "no") == 0;
    if (!yes && !no) {
        return refuse(r, "%s must be true or false, not '%s'", k->key, value);
    }
    *(bool *)k->target = yes;
    return ERR_OK;
}

static enum err set_text(struct reader *r, const struct config_key *k, const char *value)
{
    if (strlen(value) >= k->size) {
        return refuse(r, "%s is longer than %zu characters", k->key, k->size - 1);
    }
    memcpy(k->target, value, strlen(value) + 1);
    return ERR_OK;
}

static enum err add_to_list(struct reader *r, const struct config_key *k, const char *value)
{
    char(*list)[LIMIT_ADDRESS] = k->target;
    if (*k->count >= k->size) {
        return refuse(r, "%s stands more than %zu times", k->key, k->size);
    }
    if (strlen(value) >= LIMIT_ADDRESS) {
        return refuse(r, "%s is longer than %u characters", k->key, LIMIT_ADDRESS - 1);
    }
    memcpy(list[*k->count], value, strlen(value) + 1);
    (*k->count)++;
    return ERR_OK;
}

static enum err set_key(struct reader *r, size_t index, const char *value)
{
    const struct config_key *k = &r->keys[index];
    const bool again = r->seen[index];
    r->seen[index] = true;
    if (again && k->kind != CONFIG_LIST) {
        return refuse(r, "key '%s' stands twice in section '%s'", k->key, r->section);
    }
    switch (k->kind) {
        case CONFIG_TEXT: return set_text(r, k, value);
        case CONFIG_NUMBER: return set_number(r, k, value);
        case CONFIG_BOOL: return set_bool(r, k, value);
        case CONFIG_LIST:
            if (!again) {
                *k->count = 0; /* what the file names replaces the default */
            }
            return add_to_list(r, k, value);
        default: abort();
    }
}

static enum err read_pair(struct reader *r, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL) {
        return refuse(r, "neither a section nor 'key = value'");
    }
    *equals = '\0';
    const char *key = trim(text);
    const char *value = trim(equals + 1);
    if (*key == '\0') {
        return refuse(r, "a value without a key");
    }
    if (*value == '\0') {
        return refuse(r, "key '%s' has no value", key);
    }
    for (size_t i = 0; i < r->count; i++) {
        if (same_section(r->keys[i].section, r->section) && strcmp(r->keys[i].key, key) == 0) {
            return set_key(r, i, value);
        }
    }
    return refuse(r, "unknown key '%s' in section '%s'", key, r->section);
}

static enum err read_section(struct reader *r, char *text)
{
    const size_t size = strlen(text);
    assert(size > 0 && text[0] == '[');
    if (text[size - 1] != ']') {
        return refuse(r, "a section must end with ']'");
    }
    text[size - 1] = '\0';
    const char *name = trim(text + 1);
    for (size_t i = 0; i < r->count; i++) {
        if (*name != '\0' && same_section(r->keys[i].section, name)) {
            (void)snprintf(r->section, sizeof(r->section), "%s", name);
            return ERR_OK;
        }
    }
    return refuse(r, "unknown section '%s'", name);
}

/* One line of `size` bytes with its newline, if it has one. */
static enum err read_one(struct reader *r, char *line, size_t size)
{
    if (size > 0 && line[size - 1] == '\n') {
        line[--size] = '\0';
    } else if (size == LINE_MAX_SIZE - 1) {
        return refuse(r, "line is longer than %u bytes", LINE_MAX_SIZE - 2);
    }
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)line[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return refuse(r, "a control character stands in column %zu", i + 1);
        }
    }
    cut_comment(line);
    char *text = trim(line);
    if (*text == '\0') {
        return ERR_OK;
    }
    return *text == '[' ? read_section(r, text) : read_pair(r, text);
}

/* fgets would hide a zero byte: reads up to and with the newline. */
static size_t next_line(FILE *file, char *line, size_t size)
{
    size_t n = 0;
    while (n < size - 1) {
        const int c = getc(file);
        if (c == EOF) {
            break;
        }
        line[n++] = (char)c;
        if (c == '\n') {
            break;
        }
    }
    line[n] = '\0';
    return n;
}

static enum err read_lines(struct reader *r, FILE *file)
{
    char line[LINE_MAX_SIZE];
    for (;;) {
        const size_t size = next_line(file, line, sizeof(line));
        r->line++;
        if (size == 0) {
            break;
        }
        TRY(read_one(r, line, size));
    }
    return ferror(file) != 0 ? refuse(r, "cannot be read: %s", strerror(errno)) : ERR_OK;
}

enum err config_read(
    const char *path, const struct config_key *keys, size_t count, char *error, size_t error_size)
{
    struct reader r = {
        .path = path, .keys = keys, .count = count, .error = error, .error_size = error_size
    };
    assert(count <= KEYS_MAX && error_size > 0);
    for (size_t i = 0; i < count; i++) {
        assert((keys[i].kind == CONFIG_LIST) == (keys[i].count != NULL));
        assert(keys[i].section == NULL || strlen(keys[i].section) < sizeof(r.section));
    }
    error[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        const int code = errno;
        (void)snprintf(error, error_size, "%s: cannot be opened: %s", path, strerror(code));
        return code == ENOENT ? ERR_NOTFOUND : ERR_CONFIG;
    }
    const enum err e = read_lines(&r, file);
    (void)fclose(file);
    return e;
}
