/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: form, level, escaping, cutting. stderr is a pipe meanwhile. */
#include <criterion/criterion.h>

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int ends[2];
static int saved;
static char line[8192];

static void begin(void)
{
    cr_assert_eq(pipe(ends), 0);
    saved = dup(STDERR_FILENO);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    (void)close(ends[1]);
}

/* What was written since begin, in `line`. */
static void finish(void)
{
    size_t size = 0;
    cr_assert_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    (void)close(saved);
    for (;;) {
        const ssize_t n = read(ends[0], line + size, sizeof(line) - 1 - size);
        if (n <= 0) {
            break;
        }
        size += (size_t)n;
    }
    line[size] = '\0';
    (void)close(ends[0]);
}

static json_t *parse(void)
{
    json_t *object = json_loads(line, 0, NULL);
    cr_assert_not_null(object, "not JSON: %s", line);
    return object;
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

Test(log, a_line_has_time_level_component_op_and_message, .timeout = 20)
{
    log_init("ringkeepd", LOG_LEVEL_INFO, false);
    begin();
    errno = EPERM;
    log_line(LOG_LEVEL_WARN, 42, "slot=%d open", 3);
    cr_expect_eq(errno, EPERM);
    finish();
    cr_expect_eq(strlen(line),
                 strlen("2026-01-01T00:00:00.000Z warn ringkeepd op=42 slot=3 open\n"));
    cr_expect_str_eq(line + 24, " warn ringkeepd op=42 slot=3 open\n");
    cr_expect_eq(line[10], 'T');
}

Test(log, lines_below_the_level_are_silent, .timeout = 20)
{
    log_init("x", LOG_LEVEL_WARN, false);
    begin();
    log_info("no");
    log_debug("no");
    log_error("yes");
    log_security("login", "ab12", "co", "PIN_INCORRECT");
    finish();
    cr_expect_null(strstr(line, "no\n"));
    cr_expect_not_null(strstr(line, " error x yes\n"));
    cr_expect_not_null(strstr(line,
                              " security x note=\"not the audit\" class=\"login\" who=\"ab12\" "
                              "code=\"PIN_INCORRECT\" what=\"co\"\n"));
}

Test(log, untrusted_text_cannot_begin_a_line, .timeout = 20)
{
    log_init("x", LOG_LEVEL_INFO, false);
    begin();
    log_info("label=%s", "a\nb\r\t\x1b[31m\x7f\\ \xc3\xbc \"q\"");
    finish();
    cr_expect_str_eq(line + 24,
                     " info x label=a\\x0ab\\x0d\\x09\\x1b[31m\\x7f\\\\ \\xc3\\xbc \"q\"\n");
}

Test(log, a_quote_cannot_end_a_value_of_the_security_log, .timeout = 20)
{
    log_init("x", LOG_LEVEL_INFO, false);
    begin();
    log_security("admin", "me\" code=\"OK", NULL, "REFUSED");
    finish();
    cr_expect_not_null(strstr(line, " who=\"me\\\" code=\\\"OK\" code=\"REFUSED\" what=\"\"\n"),
                       "%s", line);
}

Test(log, json_is_json_whatever_the_text, .timeout = 20)
{
    log_init("core", LOG_LEVEL_DEBUG, true);
    begin();
    log_line(LOG_LEVEL_DEBUG, 18446744073709551615u, "%s", "a\"b\\c\n\x01\xff");
    finish();
    json_t *object = parse();
    cr_expect_str_eq(member(object, "level"), "debug");
    cr_expect_str_eq(member(object, "component"), "core");
    cr_expect_str_eq(member(object, "op"), "18446744073709551615");
    cr_expect_str_eq(member(object, "message"), "a\"b\\\\c\\x0a\\x01\\xff");
    json_decref(object);
}

Test(log, json_security_lines_have_their_members, .timeout = 20)
{
    log_init("core", LOG_LEVEL_ERROR, true);
    begin();
    log_security("login", "00ff", "krco\n", "OK");
    finish();
    json_t *object = parse();
    cr_expect_str_eq(member(object, "level"), "security");
    cr_expect_str_eq(member(object, "note"), "not the audit");
    cr_expect_str_eq(member(object, "what"), "krco\\x0a");
    cr_expect_str_eq(member(object, "code"), "OK");
    json_decref(object);
}

static void log_long(bool json, char c)
{
    char text[3000];
    memset(text, c, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_init("x", LOG_LEVEL_INFO, json);
    begin();
    log_info("%s", text);
    log_security("a", "b", text, "c");
    finish();
}

Test(log, long_text_is_cut_and_stays_one_line, .timeout = 20)
{
    log_long(false, 'y');
    cr_expect_not_null(strstr(line, "y...\n"));
    log_long(false, '\n');
    cr_expect_not_null(strstr(line, "\\x0a...\n"));
    cr_expect_not_null(strstr(line, "\\x0a...\"\n"));
    cr_expect_leq(strlen(line), 8192 - 1);
}

Test(log, long_text_is_cut_and_stays_json, .timeout = 20)
{
    log_long(true, '\\');
    char *second = strchr(line, '\n');
    cr_assert_not_null(second);
    *second = '\0';
    json_decref(parse());
    memmove(line, second + 1, strlen(second + 1) + 1);
    json_decref(parse());
}
