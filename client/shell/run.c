/* SPDX-License-Identifier: Apache-2.0 */
/* From the command line to an exit code. */
#include <stdarg.h>
#include <string.h>

#include "client/shell/parts.h"

static char said[1024];

enum err shell_say(struct shell *s, enum err e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(said, sizeof(said), format, arguments);
    va_end(arguments);
    output_clean(said);
    (void)fprintf(s->err, "ringkeep: %s\n", said);
    return e;
}

const char *shell_said(void)
{
    return said;
}

static void help_verb(struct shell *s, const struct shell_verb *v)
{
    struct verb_login login[SHELL_LOGINS];
    size_t count = 0;
    (void)fprintf(s->out, "ringkeep %s: %s\n", v->name, v->help);
    if (verb_logins(v, login, &count) != ERR_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(s->out,
                      "  --%s-pin-file FILE or --%s-pin-fd N: %s%s (else asked for)\n",
                      login[i].purpose,
                      login[i].purpose,
                      login[i].set && login[i].role != 0 ? "new " : "",
                      password_name(&login[i]));
    }
}

/* A row of admin.def behind a local verb of the same name. */
static bool stands_behind(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(verb_at(i)->name, verb_at(n)->name) == 0) {
            return true;
        }
    }
    return false;
}

static void help_all(struct shell *s)
{
    (void)fprintf(s->out, "ringkeep VERB .. [options]\n\n");
    for (size_t n = 0; verb_at(n) != NULL; n++) {
        const struct shell_verb *v = verb_at(n);
        if (v->help[0] != '\0' && !stands_behind(n)) {
            (void)fprintf(s->out, "  %-18s %s\n", v->name, v->help);
        }
    }
    (void)fprintf(s->out, "\nOptions\n");
#define OPTION(name, field, help) (void)fprintf(s->out, "  --%-16s %s\n", name, help);
#define FLAG(name, field, help) (void)fprintf(s->out, "  --%-16s %s\n", name, help);
#include "client/shell/options.def"
#undef OPTION
#undef FLAG
    (void)fprintf(s->out,
                  "  --PURPOSE-pin-file FILE, --PURPOSE-pin-fd N\n"
                  "                     a password of the verb (see 'ringkeep help VERB'); FILE is 0600\n\n"
                  "Exit codes: 0 ok, 1 refused, 2 usage, 3 unreachable, 4 authentication, 5 not found,\n"
                  "6 exists, 7 not authorized, 70 internal\n");
}

enum err shell_help(struct shell *s)
{
    size_t used = 0;
    if (s->argument_count == 0) {
        help_all(s);
        return ERR_OK;
    }
    const struct shell_verb *v = verb_find(s->argument, s->argument_count, &used);
    if (v == NULL) {
        return shell_say(s, ERR_USAGE, "unknown verb '%s'", s->argument[0]);
    }
    help_verb(s, v);
    return ERR_OK;
}

static enum err run_verb(struct shell *s)
{
    if (s->options.version) {
        (void)fprintf(s->out, "ringkeep %s\n", RINGKEEP_VERSION);
        return ERR_OK;
    }
    if (s->options.help) {
        if (s->verb->run == shell_help) {
            help_all(s);
        } else {
            help_verb(s, s->verb);
        }
        return ERR_OK;
    }
    return s->verb->run == NULL ? admin_verb_run(s) : s->verb->run(s);
}

int shell_main(int argc, char **argv, FILE *out, FILE *err)
{
    struct shell s = { .out = out, .err = err };
    said[0] = '\0';
    enum err e = options_parse(&s, argc, argv);
    if (e == ERR_OK) {
        e = run_verb(&s);
    }
    if (e != ERR_OK && said[0] == '\0') {
        (void)shell_say(&s, e, "%s", err_text(e));
    }
    if (e != ERR_OK && s.options.json) {
        output_failure(&s, e);
    }
    if (fflush(out) != 0 && e == ERR_OK) {
        e = shell_say(&s, ERR_IO, "standard output cannot be written");
    }
    return shell_exit_code(e);
}
