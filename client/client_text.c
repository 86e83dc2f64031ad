/* SPDX-License-Identifier: Apache-2.0 */
/* Thread-local text of the last failure, and debug lines. The library does not
 * log: only RINGKEEP_DEBUG makes it speak, in one write a line. */
#include "client/client_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE 512u

static _Thread_local char last_text[TEXT_SIZE];
static _Thread_local char errno_text[128];

void client_text_set(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(last_text, sizeof(last_text), format, arguments);
    va_end(arguments);
}

void client_text_set_foreign(const char *text)
{
    (void)snprintf(last_text, sizeof(last_text), "%s", text);
    for (char *at = last_text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = '?';
        }
    }
}

void client_text_clear(void)
{
    last_text[0] = '\0';
}

const char *client_text_get(void)
{
    return last_text;
}

const char *client_text_errno(int number)
{
    return strerror_r(number, errno_text, sizeof(errno_text));
}

void client_debug(const char *format, ...)
{
    char line[TEXT_SIZE];
    va_list arguments;
    const char *wanted = secure_getenv("RINGKEEP_DEBUG");
    if (wanted == NULL || wanted[0] == '\0' || strcmp(wanted, "0") == 0) {
        return;
    }
    const int head = snprintf(line, sizeof(line), "ringkeep[%d]: ", (int)getpid());
    va_start(arguments, format);
    const int body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, arguments);
    va_end(arguments);
    if (body < 0) {
        return;
    }
    const size_t size = strlen(line);
    line[size] = '\n';
    (void)!write(STDERR_FILENO, line, size + 1);
}
