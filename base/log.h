/* SPDX-License-Identifier: Apache-2.0 */
/* Logging for programs; libraries (client, module) do not log.
 *
 * One line to stderr: `time level component op=ID message key=value`, or a
 * JSON object with --json. Never a secret, never a blob: ids, states, sizes.
 * Untrusted text goes through %s only: control characters are escaped.
 * Safe from any thread. */
#ifndef RINGKEEP_BASE_LOG_H
#define RINGKEEP_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(const char *component, enum log_level level, bool json);
void log_line(enum log_level level, uint64_t op, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, 0, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, 0, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, 0, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, 0, __VA_ARGS__)

/* The security log (conventions.md): one line per refusal, login and
 * administrative act, marked `security` and "not the audit". `who` is a hex id
 * or a fixed word. */
void log_security(const char *class_name, const char *who, const char *what, const char *code);

#endif
