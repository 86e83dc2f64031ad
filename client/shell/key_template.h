/* SPDX-License-Identifier: Apache-2.0 */
/* Templates for `key generate` from --type, --label and --id. */
#ifndef RINGKEEP_SHELL_KEY_TEMPLATE_H
#define RINGKEEP_SHELL_KEY_TEMPLATE_H

#include "client/shell/shell.h"

/* public stays {0} for a secret key. ERR_USAGE with words. */
enum err key_template_make(struct shell *s, uint64_t *mechanism, struct buf *own, struct buf *public_part) MUST_USE;

#endif
