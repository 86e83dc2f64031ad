/* SPDX-License-Identifier: Apache-2.0 */
/* `key = value` under `[section]`, `#` comments (at the start of a line or after
 * a blank): one parser for the daemon and the client. The reader names the keys
 * it knows; any other key, a key twice or a line that is no such line is an
 * error with its line number. */
#ifndef RINGKEEP_BASE_CONFIG_H
#define RINGKEEP_BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum config_kind { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_BOOL, CONFIG_LIST };

/* One row of what a program reads. TEXT: char * to `size` bytes. NUMBER:
 * uint64_t *, with minimum and maximum. BOOL: bool *. LIST (a key that may
 * stand many times): a char[size][LIMIT_ADDRESS] array with *count. */
struct config_key {
    const char *section, *key;
    enum config_kind kind;
    void *target;
    size_t size;
    uint64_t minimum, maximum;
    size_t *count;
};

/* Reads the file into the targets. On failure writes one sentence with file
 * and line into error[error_size] and returns ERR_CONFIG, or ERR_NOTFOUND where
 * there is no such file; targets may be half filled. The values of a LIST in
 * the file replace what the target held before. BOOL: true, yes, false, no. */
enum err config_read(const char *path,
                     const struct config_key *keys,
                     size_t count,
                     char *error,
                     size_t error_size) MUST_USE;

#endif
