/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration parser: what it reads, and that each broken rule names its
 * file and line. */
#include <criterion/criterion.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/limits.h"

struct target {
    char name[8];
    uint64_t port;
    bool json;
    char peers[3][LIMIT_ADDRESS];
    size_t peer_count;
    char top[8];
};

static char path[] = "/tmp/base_config.XXXXXX";
static char error[256];

static enum err read_bytes(struct target *t, const char *text, size_t size)
{
    const struct config_key keys[] = {
        { "member", "name", CONFIG_TEXT, t->name, sizeof(t->name), 0, 0, NULL },
        { "member", "port", CONFIG_NUMBER, &t->port, 0, 1, 65535, NULL },
        { "log", "json", CONFIG_BOOL, &t->json, 0, 0, 0, NULL },
        { "cluster", "peer", CONFIG_LIST, t->peers, 3, 0, 0, &t->peer_count },
        { NULL, "top", CONFIG_TEXT, t->top, sizeof(t->top), 0, 0, NULL },
    };
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
    return config_read(path, keys, sizeof(keys) / sizeof(keys[0]), error, sizeof(error));
}

static enum err read_text(struct target *t, const char *text)
{
    return read_bytes(t, text, strlen(text));
}

static void expect_error(const char *text, unsigned line, const char *word)
{
    struct target t = { 0 };
    char start[64];
    (void)snprintf(start, sizeof(start), "%s:%u: ", path, line);
    cr_expect_eq(read_text(&t, text), ERR_CONFIG, "%s", text);
    cr_expect_eq(strncmp(error, start, strlen(start)), 0, "%s", error);
    cr_expect_not_null(strstr(error, word), "%s", error);
}

static void make_file(void)
{
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

static void remove_file(void)
{
    (void)unlink(path);
}

TestSuite(config, .init = make_file, .fini = remove_file, .timeout = 20);

Test(config, reads_each_kind, .timeout = 20)
{
    struct target t = { .peer_count = 2 };
    const enum err e = read_text(&t, "# a comment\n"
                                     "top=first\n"
                                     "\n"
                                     "[member]\n"
                                     "  name =  m one\t \n"
                                     "port = 65535 # the last\n"
                                     "[ log ]\n"
                                     "json = yes\n"
                                     "[cluster]\n"
                                     "peer = 10.0.0.1:1793\n"
                                     "peer = a#b=c");
    cr_assert_eq(e, ERR_OK, "%s", error);
    cr_expect_str_eq(t.top, "first");
    cr_expect_str_eq(t.name, "m one");
    cr_expect_eq(t.port, 65535);
    cr_expect(t.json);
    cr_expect_eq(t.peer_count, 2);
    cr_expect_str_eq(t.peers[0], "10.0.0.1:1793");
    cr_expect_str_eq(t.peers[1], "a#b=c");
    cr_expect_str_eq(error, "");
}

Test(config, leaves_defaults_where_the_file_is_silent, .timeout = 20)
{
    struct target t = { .name = "x", .port = 7, .json = true, .peer_count = 1 };
    cr_assert_eq(read_text(&t, ""), ERR_OK);
    cr_expect_str_eq(t.name, "x");
    cr_expect_eq(t.port, 7);
    cr_expect(t.json);
    cr_expect_eq(t.peer_count, 1);
}

Test(config, an_unknown_key_or_section_is_an_error, .timeout = 20)
{
    expect_error("[member]\n\nprot = 1\n", 3, "unknown key 'prot' in section 'member'");
    expect_error("[log]\nname = x\n", 2, "unknown key 'name' in section 'log'");
    expect_error("port = 1\n", 1, "unknown key 'port'");
    expect_error("\n[members]\n", 2, "unknown section 'members'");
    expect_error("[]\n", 1, "unknown section ''");
}

Test(config, a_key_twice_is_an_error, .timeout = 20)
{
    expect_error("[member]\nport = 1\n[log]\n[member]\nport = 1\n", 5, "'port' stands twice");
}

Test(config, a_bad_number_is_an_error, .timeout = 20)
{
    static const char *const bad[] = { "0",
                                       "65536",
                                       "-1",
                                       "+1",
                                       "0x10",
                                       "1 2",
                                       "9z",
                                       "1e3",
                                       "18446744073709551617",
                                       "184467440737095516160" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "[member]\nport = %s\n", bad[i]);
        expect_error(text, 2, "port must be a number from 1 to 65535");
    }
}

Test(config, other_lines_are_errors, .timeout = 20)
{
    expect_error("[log]\njson = maybe\n", 2, "true or false");
    expect_error("[member]\nname = 12345678\n", 2, "longer than 7");
    expect_error("[member]\nname\n", 2, "neither a section");
    expect_error("[member]\nname =  # nothing\n", 2, "has no value");
    expect_error("[member]\n= x\n", 2, "without a key");
    expect_error("[member\n", 1, "must end with ']'");
    expect_error("[member]\nname = a\rb\n", 2, "control character");
    expect_error("[cluster]\npeer=1\npeer=2\npeer=3\npeer=4\n", 5, "more than 3 times");
}

Test(config, long_lines_and_zero_bytes_are_errors, .timeout = 20)
{
    struct target t = { 0 };
    char text[2048];
    memset(text, 'x', sizeof(text));
    cr_expect_eq(read_bytes(&t, text, sizeof(text)), ERR_CONFIG);
    cr_expect_not_null(strstr(error, ":1: line is longer"), "%s", error);
    cr_expect_eq(read_bytes(&t, "# a\0b\n", 6), ERR_CONFIG);
    cr_expect_not_null(strstr(error, ":1: a control character"), "%s", error);
}

Test(config, a_missing_file_is_told_apart, .timeout = 20)
{
    cr_expect_eq(config_read("/nowhere/x.conf", NULL, 0, error, sizeof(error)), ERR_NOTFOUND);
    cr_expect_not_null(strstr(error, "/nowhere/x.conf"));
    cr_expect_eq(config_read("/", NULL, 0, error, sizeof(error)), ERR_CONFIG);
}
