/* SPDX-License-Identifier: Apache-2.0 */
/* The command without a daemon: tables, options, exit codes, password files,
 * known cores, local verbs. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/shell/key_template.h"
#include "client/shell/parts.h"
#include "proto/template.h"

static char folder[32] = "/tmp/shell_verbs.XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, 128, "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
}

static char out_text[16384], err_text_said[4096];

/* Runs the command with the words of one line. */
static int run(const char *line)
{
    char copy[1024], *argv[32] = { NULL }, *rest = copy;
    int argc = 0;
    FILE *out = tmpfile(), *err = tmpfile();
    (void)snprintf(copy, sizeof(copy), "%s", line);
    while (rest != NULL && argc < 31) {
        argv[argc++] = strsep(&rest, " ");
    }
    const int code = shell_main(argc, argv, out, err);
    rewind(out);
    rewind(err);
    out_text[fread(out_text, 1, sizeof(out_text) - 1, out)] = '\0';
    err_text_said[fread(err_text_said, 1, sizeof(err_text_said) - 1, err)] = '\0';
    (void)fclose(out);
    (void)fclose(err);
    return code;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    const int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)fchmod(fd, mode);
    (void)close(fd);
}

/* -- tables ----------------------------------------------------------------------------- */

Test(shell_exit, every_error_has_a_code, .timeout = 60)
{
    static const int allowed[] = { 1, 2, 3, 4, 5, 6, 7, 70 };
    cr_expect_eq(shell_exit_code(ERR_OK), 0);
    for (unsigned e = 1; e < ERR_COUNT; e++) {
        bool known = false;
        for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
            known = known || shell_exit_code((enum err)e) == allowed[i];
        }
        cr_expect(known, "%s", err_name((enum err)e));
        /* Internal must be meant: only these. */
        const bool internal = e == ERR_NOMEM || e == ERR_WORKER_DIED || e == ERR_IO || e == ERR_CORRUPT || e == ERR_CRYPTO || e == ERR_PROTOCOL;
        cr_expect_eq(shell_exit_code((enum err)e) == 70, internal, "%s", err_name((enum err)e));
    }
    cr_expect_eq(shell_exit_code(ERR_SEALED), 7);
    cr_expect_eq(shell_exit_code(ERR_PIN_INCORRECT), 4);
    cr_expect_eq(shell_exit_code(ERR_NOTFOUND), 5);
    cr_expect_eq(shell_exit_code(ERR_EXISTS), 6);
    cr_expect_eq(shell_exit_code(ERR_UNREACHABLE), 3);
    cr_expect_eq(shell_exit_code((enum err)9999), 70);
}

Test(shell_table, every_row_can_be_read, .timeout = 60)
{
    size_t rows = 0;
    for (; verb_at(rows) != NULL; rows++) {
        struct verb_login login[SHELL_LOGINS];
        struct verb_argument argument[SHELL_ARGUMENTS];
        size_t count = 0, used = 0;
        const struct shell_verb *v = verb_at(rows);
        cr_expect_eq(verb_logins(v, login, &count), ERR_OK, "%s", v->name);
        for (size_t i = 0; i < count; i++) {
            cr_expect(login[i].role <= 8 && login[i].purpose[0] != '\0');
        }
        cr_expect_eq(verb_arguments(v, argument, &count), ERR_OK, "%s", v->name);
        const char *words[2] = { v->name, NULL };
        char copy[64];
        (void)snprintf(copy, sizeof(copy), "%s", v->name);
        char *second = strchr(copy, ' ');
        if (second != NULL) {
            *second++ = '\0';
            words[0] = copy;
            words[1] = second;
        }
        const struct shell_verb *found = verb_find(words, second == NULL ? 1 : 2, &used);
        cr_expect_not_null(found);
        cr_expect_str_eq(found->name, v->name);
        cr_expect_eq(used, second == NULL ? 1 : 2);
    }
    cr_expect_geq(rows, 20);
}

/* A local verb around a daemon's row asks for the same passwords. */
Test(shell_table, local_rows_agree_with_admin_rows, .timeout = 60)
{
    for (size_t n = 0; verb_at(n) != NULL; n++) {
        const struct shell_verb *v = verb_at(n), *admin = verb_admin(v->name);
        if (v->run != NULL && admin != NULL) {
            cr_expect_str_eq(v->logins, admin->logins, "%s", v->name);
        }
    }
}

Test(shell_table, broken_rows_are_told, .timeout = 60)
{
    static const char *const broken[] = { "so", "so:1", "so:x:set", "so:9:set", "so:1:steal", ":1:set", "a:1:set b:1:set c:1:set d:1:set e:1:set" };
    struct verb_login login[SHELL_LOGINS];
    struct verb_argument argument[SHELL_ARGUMENTS];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        const struct shell_verb v = { "x", broken[i], "", NULL };
        cr_expect_eq(verb_logins(&v, login, &count), ERR_MALFORMED, "%s", broken[i]);
    }
    const struct shell_verb open = { "x", "", "do: <label", NULL };
    cr_expect_eq(verb_arguments(&open, argument, &count), ERR_MALFORMED);
    const struct shell_verb good = { "x", "", "do: <a> <b> [c]", NULL };
    cr_expect_eq(verb_arguments(&good, argument, &count), ERR_OK);
    cr_expect_eq(count, 3);
    cr_expect_str_eq(argument[1].name, "b");
    cr_expect(argument[2].optional && !argument[1].optional);
}

/* -- the line ----------------------------------------------------------------------------- */

Test(shell_line, mistakes_are_usage_errors_with_words, .timeout = 60)
{
    static const char *const wrong[] = {
        "ringkeep", "ringkeep nonsense", "ringkeep init", "ringkeep init a b", "ringkeep status --pin 1234",
        "ringkeep status --password x", "ringkeep status --socket", "ringkeep init l --so-pin-fd x",
        "ringkeep init l --so-pin-fd 3 --so-pin-file f", "ringkeep cluster", "ringkeep keyring assign k",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_eq(run(wrong[i]), 2, "%s", wrong[i]);
        cr_expect_eq(strncmp(err_text_said, "ringkeep: ", 10), 0, "%s", err_text_said);
        cr_expect_eq(out_text[0], '\0');
    }
}

Test(shell_line, help_and_version_need_no_daemon, .timeout = 60)
{
    cr_expect_eq(run("ringkeep --version"), 0);
    cr_expect_not_null(strstr(out_text, RINGKEEP_VERSION));
    cr_expect_eq(run("ringkeep help"), 0);
    cr_expect_not_null(strstr(out_text, "cluster authorize"));
    cr_expect_null(strstr(out_text, "challenge"), "not for people");
    cr_expect_eq(run("ringkeep --help"), 0);
    cr_expect_eq(run("ringkeep cluster create --help"), 0);
    cr_expect_not_null(strstr(out_text, "--domain-pin-file"));
    cr_expect_eq(run("ringkeep help member join"), 0);
    cr_expect_not_null(strstr(out_text, "--so-pin-file"));
}

Test(shell_line, no_daemon_is_unreachable, .timeout = 60)
{
    cr_expect_eq(run("ringkeep --socket /nonexistent/admin.sock status --json"), 3);
    cr_expect_not_null(strstr(out_text, "\"ok\": false"));
    cr_expect_not_null(strstr(out_text, "\"error\": \"UNREACHABLE\""));
    cr_expect_not_null(strstr(err_text_said, "is ringkeepd running"));
}

/* -- passwords ------------------------------------------------------------------------------ */

static struct shell quiet_shell(void)
{
    struct shell s = { 0 };
    s.out = tmpfile();
    s.err = tmpfile();
    return s;
}

static void end_shell(struct shell *s)
{
    (void)fclose(s->out);
    (void)fclose(s->err);
}

static enum err read_password(const char *name, struct shell_password *p)
{
    struct shell s = quiet_shell();
    const enum err e = password_read_file(&s, in_folder(name), p);
    end_shell(&s);
    return e;
}

Test(shell_password, files_are_for_their_owner_alone, .init = make_folder, .fini = remove_folder, .timeout = 60)
{
    struct shell_password p;
    write_file("good", "secret words\n", 0600);
    cr_assert_eq(read_password("good", &p), ERR_OK);
    cr_expect_eq(p.size, 12);
    cr_expect_arr_eq(p.data, "secret words", 12);
    write_file("strict", "x", 0400);
    cr_expect_eq(read_password("strict", &p), ERR_OK);
    write_file("two", "a\n\n", 0600);
    cr_assert_eq(read_password("two", &p), ERR_OK);
    cr_expect_eq(p.size, 2, "one newline is dropped, not more");
    write_file("open", "secret\n", 0644);
    cr_expect_eq(read_password("open", &p), ERR_USAGE);
    write_file("group", "secret\n", 0620);
    cr_expect_eq(read_password("group", &p), ERR_USAGE);
    write_file("empty", "\n", 0600);
    cr_expect_eq(read_password("empty", &p), ERR_PIN_LENGTH);
    char text[LIMIT_PASSWORD + 3];
    memset(text, 'a', sizeof(text));
    text[LIMIT_PASSWORD + 1] = '\0';
    write_file("long", text, 0600);
    cr_expect_eq(read_password("long", &p), ERR_PIN_LENGTH);
    text[LIMIT_PASSWORD] = '\n';
    write_file("longest", text, 0600);
    cr_expect_eq(read_password("longest", &p), ERR_OK);
    cr_expect_eq(p.size, LIMIT_PASSWORD);
    cr_expect_eq(read_password("absent", &p), ERR_USAGE);
    cr_assert_eq(mkfifo(in_folder("pipe"), 0600), 0);
    cr_expect_eq(read_password("pipe", &p), ERR_USAGE, "and does not hang");
    if (geteuid() == 0) {
        cr_assert_eq(chown(in_folder("good"), 12345, 12345), 0);
        cr_expect_eq(read_password("good", &p), ERR_USAGE);
    }
}

Test(shell_password, descriptors_serve_too, .timeout = 60)
{
    struct shell s = quiet_shell();
    struct shell_password p;
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "from a pipe\n", 12), 12);
    (void)close(ends[1]);
    (void)snprintf(s.options.source[0].purpose, SHELL_PURPOSE, "so");
    s.options.source[0].fd = ends[0];
    s.options.source_count = 1;
    cr_assert_eq(password_get(&s, "so", "HSM SO password", true, &p), ERR_OK);
    cr_expect_eq(p.size, 11);
    (void)close(ends[0]);
    end_shell(&s);
}

/* -- known cores ------------------------------------------------------------------------------- */

static struct known_core core_of(uint8_t fill)
{
    struct known_core k;
    memset(&k, fill, sizeof(k));
    return k;
}

Test(shell_cores, a_changed_core_is_refused_until_init, .init = make_folder, .fini = remove_folder, .timeout = 60)
{
    struct shell s = quiet_shell();
    struct stat info;
    uint8_t id[32];
    struct known_core a = core_of(1), b = core_of(2);
    s.options.pins = in_folder("cores");
    s.options.socket = "/run/m1.sock";
    cr_expect_eq(known_cores_check(&s, &a), ERR_OK, "new here");
    cr_expect_eq(known_cores_check(&s, &a), ERR_OK);
    cr_assert_eq(stat(in_folder("cores"), &info), 0);
    cr_expect_eq(info.st_mode & 0777, 0600);
    cr_expect_eq(known_cores_check(&s, &b), ERR_IDENTITY);
    struct known_core changed = a;
    changed.ak_pub[5] ^= 1;
    cr_expect_eq(known_cores_check(&s, &changed), ERR_IDENTITY, "same core, another AK");
    cr_expect_not_null(strstr(shell_said(), "no password is sent"));
    s.options.socket = "/run/m2.sock";
    cr_expect_eq(known_cores_check(&s, &b), ERR_OK, "another member");
    s.options.socket = "/run/m1.sock";
    struct known_core third = core_of(3);
    cr_assert_eq(known_cores_replace(&s, &third), ERR_OK);
    cr_expect_eq(known_cores_check(&s, &third), ERR_OK);
    cr_expect_eq(known_cores_check(&s, &a), ERR_IDENTITY);
    cr_expect(known_cores_has(&s, b.core_id, id));
    cr_expect_arr_eq(id, b.id_pub, 32);
    cr_expect_not(known_cores_has(&s, a.core_id, id));
    write_file("cores", "# mine\nnonsense\n", 0600);
    cr_expect_eq(known_cores_check(&s, &a), ERR_CONFIG, "a broken file trusts nobody");
    end_shell(&s);
}

/* -- local verbs ---------------------------------------------------------------------------------- */

Test(shell_client, init_makes_a_key_once, .init = make_folder, .fini = remove_folder, .timeout = 60)
{
    char line[256], first[sizeof(out_text)];
    struct stat info;
    (void)snprintf(line, sizeof(line), "ringkeep client init %s --json", in_folder("c"));
    cr_assert_eq(run(line), 0);
    (void)snprintf(first, sizeof(first), "%s", out_text);
    cr_expect_not_null(strstr(first, "spki_sha256"));
    cr_assert_eq(stat(in_folder("c/client.key"), &info), 0);
    cr_expect_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(run(line), 0);
    cr_expect_str_eq(out_text, first, "the key stays");
}

Test(shell_key, types_become_templates, .timeout = 60)
{
    static const char *const good[] = { "rsa:2048", "rsa:3072", "ec:P-256", "ec:P-384", "ec:P-521", "aes:128", "aes:256" };
    static const char *const bad[] = { "rsa", "rsa:", "rsa:x", "rsa:2047", "ec:P-255", "aes:999999", "des:56", "" };
    struct shell s = quiet_shell();
    s.options.label = "signer";
    s.options.id = "0a0b";
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        BUF_SCOPED own = { 0 };
        BUF_SCOPED pub = { 0 };
        uint64_t mechanism = 0;
        s.options.type = good[i];
        cr_assert_eq(key_template_make(&s, &mechanism, &own, &pub), ERR_OK, "%s", good[i]);
        cr_expect_eq(template_check(buf_bytes(&own)), ERR_OK);
        cr_expect_eq(template_check(buf_bytes(&pub)), ERR_OK);
        cr_expect_eq(pub.size == 0, good[i][0] == 'a');
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        BUF_SCOPED own = { 0 };
        BUF_SCOPED pub = { 0 };
        uint64_t mechanism = 0;
        s.options.type = bad[i];
        cr_expect_eq(key_template_make(&s, &mechanism, &own, &pub), ERR_USAGE, "%s", bad[i]);
    }
    end_shell(&s);
}
