/* SPDX-License-Identifier: Apache-2.0 */
/* What to tell people about the last failure, one sentence a thread; and the
 * lines of RINGKEEP_DEBUG. Never a secret. */
#ifndef RINGKEEP_CLIENT_TEXT_H
#define RINGKEEP_CLIENT_TEXT_H

#include <stddef.h>

void client_text_set(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From a member: control characters become '?'. */
void client_text_set_foreign(const char *text);
void client_text_clear(void);
/* "" where there is nothing to say. Valid until this thread's next call. */
const char *client_text_get(void);
const char *client_text_errno(int number);
/* One line to stderr where RINGKEEP_DEBUG is set (not under AT_SECURE). */
void client_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
