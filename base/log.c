/* SPDX-License-Identifier: Apache-2.0 */
/* One log line, put together on the stack and written by one write(2), so that
 * lines of several threads do not mix. What log_init sets is read by any
 * thread and never changed afterwards. A line that cannot be written is lost:
 * nothing may fail or wait because of its log. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_SIZE 1024u
#define LINE_SIZE 4096u /* PIPE_BUF: a write of this size to a pipe is not torn */
#define CUT "..."

static const char *log_component = "ringkeep";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static bool log_json;

/* A line that grows and is cut at its end, with room for `"}` and newline. */
struct line {
    char text[LINE_SIZE];
    size_t size;
    bool full;
};

static void put_raw(struct line *l, const char *text)
{
    const size_t size = strlen(text);
    if (l->full || size > LINE_SIZE - 16 - l->size) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->size, text, size);
    l->size += size;
}

/* Escapes control characters, the backslash and everything that is not ASCII
 * as \xNN; within quotes also the quote. JSON doubles the backslash, so the
 * escaped text is the same in both forms. */
static void put_escaped(struct line *l, const char *text, bool quoted)
{
    const char *slash = log_json ? "\\\\" : "\\";
    char piece[16];
    for (const char *at = text; *at != '\0' && !l->full; at++) {
        const unsigned char c = (unsigned char)*at;
        if (c == '\\') {
            snprintf(piece, sizeof(piece), "%s%s", slash, slash);
        } else if (c < 0x20 || c > 0x7e) {
            snprintf(piece, sizeof(piece), "%sx%02x", slash, (unsigned)c);
        } else if (c == '"' && (quoted || log_json)) {
            snprintf(piece, sizeof(piece), "\\\"");
        } else {
            snprintf(piece, sizeof(piece), "%c", c);
        }
        put_raw(l, piece);
    }
}

static void put_time(struct line *l)
{
    struct timespec now = { 0 };
    struct tm tm = { 0 };
    char date[32] = "";
    char text[48];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &tm) != NULL) {
        (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    snprintf(text, sizeof(text), "%s.%03ldZ", date, now.tv_nsec / 1000000);
    put_raw(l, text);
}

/* `time level component`, or the JSON members of it. */
static void put_head(struct line *l, const char *level)
{
    put_raw(l, log_json ? "{\"time\":\"" : "");
    put_time(l);
    put_raw(l, log_json ? "\",\"level\":\"" : " ");
    put_raw(l, level);
    put_raw(l, log_json ? "\",\"component\":\"" : " ");
    put_escaped(l, log_component, false);
    put_raw(l, log_json ? "\"" : "");
}

static void put_member(struct line *l, const char *name, const char *value)
{
    put_raw(l, log_json ? ",\"" : " ");
    put_raw(l, name);
    put_raw(l, log_json ? "\":\"" : "=\"");
    put_escaped(l, value == NULL ? "" : value, true);
    put_raw(l, "\"");
}

/* Ends the line and writes it; callers come back with their errno. The cut
 * comes where a value is being written, so a quote closes it. */
static void emit(struct line *l, bool in_value)
{
    if (l->full) {
        l->full = false;
        l->size = l->size > LINE_SIZE - 16 ? LINE_SIZE - 16 : l->size;
        memcpy(l->text + l->size, CUT, sizeof(CUT) - 1);
        l->size += sizeof(CUT) - 1;
        if (log_json || in_value) {
            l->text[l->size++] = '"';
        }
    }
    if (log_json) {
        l->text[l->size++] = '}';
    }
    l->text[l->size++] = '\n';
    size_t done = 0;
    while (done < l->size) {
        const ssize_t n = write(STDERR_FILENO, l->text + done, l->size - done);
        if (n < 0 && errno != EINTR) {
            return;
        }
        done += n > 0 ? (size_t)n : 0;
    }
}

void log_init(const char *component, enum log_level level, bool json)
{
    log_component = component;
    log_threshold = level;
    log_json = json;
}

void log_line(enum log_level level, uint64_t op, const char *format, ...)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    char message[MESSAGE_SIZE];
    char number[32];
    struct line l;
    const int saved = errno;
    va_list arguments;
    if (level > log_threshold) {
        return;
    }
    va_start(arguments, format);
    const int n = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (n < 0) {
        snprintf(message, sizeof(message), "a message that cannot be formatted");
    } else if ((size_t)n >= sizeof(message)) {
        memcpy(message + sizeof(message) - sizeof(CUT), CUT, sizeof(CUT));
    }
    l.size = 0;
    l.full = false;
    put_head(&l, names[level]);
    if (op != 0) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)op);
        put_raw(&l, log_json ? ",\"op\":\"" : " op=");
        put_raw(&l, number);
        put_raw(&l, log_json ? "\"" : "");
    }
    put_raw(&l, log_json ? ",\"message\":\"" : " ");
    put_escaped(&l, message, false);
    if (!l.full) {
        put_raw(&l, log_json ? "\"" : "");
    }
    emit(&l, false);
    errno = saved;
}

void log_security(const char *class_name, const char *who, const char *what, const char *code)
{
    struct line l;
    const int saved = errno;
    l.size = 0;
    l.full = false;
    put_head(&l, "security");
    put_member(&l, "note", "not the audit");
    put_member(&l, "class", class_name);
    put_member(&l, "who", who);
    put_member(&l, "code", code);
    put_member(&l, "what", what); /* last: the one that may be long and cut */
    emit(&l, true);
    errno = saved;
}
