/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. Options may stand anywhere. There is no option that takes a
 * password: only --PURPOSE-pin-file and --PURPOSE-pin-fd, made from admin.def. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "client/shell/shell.h"

enum {
    OPTION_FIRST = 1000,
#define OPTION(name, field, help) OPTION_##field,
#define FLAG(name, field, help) OPTION_##field,
#include "client/shell/options.def"
#undef OPTION
#undef FLAG
    OPTION_SOURCE = 2000 /* + 2 * purpose, + 1 for -fd */
};

#define NAME_SIZE 40u
#define PLAIN_COUNT 16u
#define TABLE_SIZE (PLAIN_COUNT + 2 * SHELL_SOURCES + 1)

struct table {
    struct option option[TABLE_SIZE];
    size_t count;
    char purpose[SHELL_SOURCES][SHELL_PURPOSE];
    size_t purpose_count;
    char name[2 * SHELL_SOURCES][NAME_SIZE];
};

static void add(struct table *t, const char *name, bool takes, int value)
{
    if (t->count + 1 < TABLE_SIZE) {
        t->option[t->count++] = (struct option){ name, takes ? required_argument : no_argument, NULL, value };
    }
}

static void add_purpose(struct table *t, const char *purpose)
{
    for (size_t i = 0; i < t->purpose_count; i++) {
        if (strcmp(t->purpose[i], purpose) == 0) {
            return;
        }
    }
    if (t->purpose_count == SHELL_SOURCES) {
        return;
    }
    const size_t i = t->purpose_count++;
    const char *dash = purpose[0] == '\0' ? "" : "-";
    (void)snprintf(t->purpose[i], SHELL_PURPOSE, "%s", purpose);
    (void)snprintf(t->name[2 * i], NAME_SIZE, "%s%spin-file", purpose, dash);
    (void)snprintf(t->name[2 * i + 1], NAME_SIZE, "%s%spin-fd", purpose, dash);
    add(t, t->name[2 * i], true, OPTION_SOURCE + (int)(2 * i));
    add(t, t->name[2 * i + 1], true, OPTION_SOURCE + (int)(2 * i + 1));
}

static void add_purposes(struct table *t)
{
    struct verb_login login[SHELL_LOGINS];
    add_purpose(t, "");
    add_purpose(t, "new");
    for (size_t n = 0; verb_at(n) != NULL; n++) {
        size_t count = 0;
        if (verb_logins(verb_at(n), login, &count) != ERR_OK) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            add_purpose(t, login[i].purpose);
        }
    }
}

static void make_table(struct table *t)
{
    memset(t, 0, sizeof(*t));
#define OPTION(name, field, help) add(t, name, true, OPTION_##field);
#define FLAG(name, field, help) add(t, name, false, OPTION_##field);
#include "client/shell/options.def"
#undef OPTION
#undef FLAG
    add_purposes(t);
}

static enum err add_source(struct shell *s, const struct table *t, unsigned which, const char *value)
{
    const char *purpose = t->purpose[which / 2];
    struct shell_options *o = &s->options;
    if (options_source(o, purpose) != NULL || o->source_count == SHELL_SOURCES) {
        return shell_say(s, ERR_USAGE, "--%s: the %s password is given twice", t->name[which], purpose);
    }
    struct shell_source *source = &o->source[o->source_count];
    (void)snprintf(source->purpose, sizeof(source->purpose), "%s", purpose);
    source->fd = -1;
    if (which % 2 == 0) {
        source->file = value;
    } else {
        char *end = NULL;
        const long fd = strtol(value, &end, 10);
        if (*value == '\0' || *end != '\0' || fd < 0 || fd > 65535) {
            return shell_say(s, ERR_USAGE, "--%s: '%s' is no file descriptor", t->name[which], value);
        }
        source->fd = (int)fd;
    }
    o->source_count++;
    return ERR_OK;
}

const struct shell_source *options_source(const struct shell_options *o, const char *purpose)
{
    for (size_t i = 0; i < o->source_count; i++) {
        if (strcmp(o->source[i].purpose, purpose) == 0) {
            return &o->source[i];
        }
    }
    return NULL;
}

static enum err take_option(struct shell *s, const struct table *t, int option)
{
    struct shell_options *o = &s->options;
    if (option >= OPTION_SOURCE) {
        return add_source(s, t, (unsigned)(option - OPTION_SOURCE), optarg);
    }
    switch (option) {
#define OPTION(name, field, help) \
    case OPTION_##field: o->field = optarg; return ERR_OK;
#define FLAG(name, field, help) \
    case OPTION_##field: o->field = true; return ERR_OK;
#include "client/shell/options.def"
#undef OPTION
#undef FLAG
        default: return ERR_USAGE;
    }
}

static enum err take_options(struct shell *s, const struct table *t, int argc, char **argv)
{
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (;;) {
        const int at = optind == 0 ? 1 : optind;
        const int option = getopt_long(argc, argv, ":h", t->option, NULL);
        if (option == -1) {
            return ERR_OK;
        }
        if (option == ':') {
            return shell_say(s, ERR_USAGE, "%s needs a value", argv[optind - 1]);
        }
        if (option == '?') {
            return shell_say(s, ERR_USAGE, "unknown or ambiguous option near '%s'", at < argc ? argv[at] : "");
        }
        const enum err e = take_option(s, t, option == 'h' ? OPTION_help : option);
        if (e != ERR_OK) {
            return e;
        }
    }
}

static enum err check_count(struct shell *s)
{
    struct verb_argument argument[SHELL_ARGUMENTS];
    size_t count = 0, least = 0;
    if (verb_arguments(s->verb, argument, &count) != ERR_OK) {
        return shell_say(s, ERR_CORRUPT, "the row of '%s' is broken", s->verb->name);
    }
    for (size_t i = 0; i < count; i++) {
        least += argument[i].optional ? 0 : 1;
    }
    if (s->argument_count < least) {
        return shell_say(s, ERR_USAGE, "%s needs <%s>", s->verb->name, argument[s->argument_count].name);
    }
    if (s->argument_count > count) {
        return shell_say(s, ERR_USAGE, "%s does not take '%s'", s->verb->name, s->argument[count]);
    }
    return ERR_OK;
}

enum err options_parse(struct shell *s, int argc, char **argv)
{
    struct table t;
    size_t used = 0;
    make_table(&t);
    TRY(take_options(s, &t, argc, argv));
    const size_t words = (size_t)(argc - optind);
    const char *const *rest = (const char *const *)&argv[optind];
    if (s->options.version) {
        return ERR_OK;
    }
    if (words == 0) {
        s->verb = verb_find((const char *const[]){ "help" }, 1, &used);
        return s->options.help ? ERR_OK : shell_say(s, ERR_USAGE, "no verb: try 'ringkeep help'");
    }
    s->verb = verb_find(rest, words, &used);
    if (s->verb == NULL) {
        return shell_say(s, ERR_USAGE, "unknown verb '%s': try 'ringkeep help'", rest[0]);
    }
    if (words - used > SHELL_ARGUMENTS) {
        return shell_say(s, ERR_USAGE, "too many words");
    }
    for (size_t i = used; i < words; i++) {
        s->argument[s->argument_count++] = rest[i];
    }
    return s->options.help ? ERR_OK : check_count(s);
}
