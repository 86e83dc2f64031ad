/* SPDX-License-Identifier: Apache-2.0 */
/* The `ringkeep` command: what its parts share. One process, one verb, one
 * thread; everything ends with the process, secrets are wiped before. */
#ifndef RINGKEEP_SHELL_H
#define RINGKEEP_SHELL_H

#include <stdio.h>

#include "base/bytes.h"
#include "base/limits.h"

#define SHELL_ARGUMENTS 8u
#define SHELL_SOURCES 16u
#define SHELL_PURPOSE 16u
#define SHELL_LOGINS 4u

/* -- verbs (verb.c) ------------------------------------------------------------- */
struct shell;
typedef enum err (*shell_verb_cb)(struct shell *s);

struct shell_verb {
    const char *name;   /* one or two words */
    const char *logins; /* "purpose:role:act" .. of admin.def, or "" */
    const char *help;   /* empty: not for people */
    shell_verb_cb run;  /* NULL: asked of the daemon as it stands */
};
/* Row n of both tables, NULL past the end; local verbs first. */
const struct shell_verb *verb_at(size_t n);
/* The longest verb that the words begin with; *used of them. NULL: none. */
const struct shell_verb *verb_find(const char *const *words, size_t count, size_t *used);
/* A row of admin.def by name, even where a local verb stands before it. */
const struct shell_verb *verb_admin(const char *name);

struct verb_login {
    char purpose[SHELL_PURPOSE];
    unsigned role;
    bool set; /* else login */
};
/* Logins of a row; ERR_MALFORMED would be a mistake in admin.def. */
enum err verb_logins(const struct shell_verb *v, struct verb_login out[SHELL_LOGINS], size_t *count)
    MUST_USE;
/* Names in < > and [ ] of the help, in order. */
struct verb_argument {
    char name[LIMIT_NAME];
    bool optional;
};
enum err verb_arguments(const struct shell_verb *v, struct verb_argument out[SHELL_ARGUMENTS], size_t *count)
    MUST_USE;

/* -- options (options.c) ---------------------------------------------------------- */
/* Where a password comes from: "so" for --so-pin-file; "" for --pin-file. */
struct shell_source {
    char purpose[SHELL_PURPOSE];
    const char *file; /* or */
    int fd;           /* -1 */
};
struct shell_options {
    const char *socket, *config, *pins, *out, *in, *domain_out, *type, *label, *id, *mechanism, *signature;
    bool json, help, version;
    struct shell_source source[SHELL_SOURCES];
    size_t source_count;
};
struct shell {
    struct shell_options options;
    const struct shell_verb *verb;
    const char *argument[SHELL_ARGUMENTS];
    size_t argument_count;
    FILE *out, *err;
};
/* ERR_USAGE, with a sentence on s->err. */
enum err options_parse(struct shell *s, int argc, char **argv) MUST_USE;
const struct shell_source *options_source(const struct shell_options *o, const char *purpose);

/* -- running (run.c) ------------------------------------------------------------------ */
/* The whole command; returns its exit code. */
int shell_main(int argc, char **argv, FILE *out, FILE *err);
/* One sentence on stderr, and remembered for --json. Returns e. */
enum err shell_say(struct shell *s, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "" or what shell_say said last. */
const char *shell_said(void);
/* conventions.md; every enum err has one. */
int shell_exit_code(enum err e);

/* -- verbs that are not only the daemon's ---------------------------------------------- */
enum err shell_help(struct shell *s);
enum err shell_init(struct shell *s);
enum err shell_cluster_create(struct shell *s);
enum err shell_client_init(struct shell *s);
enum err shell_client_register(struct shell *s);
enum err shell_keyring_create(struct shell *s);
enum err shell_keyring_passwd(struct shell *s);
enum err shell_objects(struct shell *s);
enum err shell_slots(struct shell *s);
enum err shell_key_generate(struct shell *s);
enum err shell_key_list(struct shell *s);
enum err shell_key_destroy(struct shell *s);
enum err shell_sign(struct shell *s);
enum err shell_verify(struct shell *s);

#endif
