/* SPDX-License-Identifier: Apache-2.0 */
/* ringkeep.conf of one registered client (docs/configuration.md). Paths in the
 * result are absolute or relative to the working directory, never to the file. */
#ifndef RINGKEEP_CLIENT_CONFIG_H
#define RINGKEEP_CLIENT_CONFIG_H

#include "base/bytes.h"
#include "base/limits.h"

#define CLIENT_PATH 1024u

struct client_config {
    char path[CLIENT_PATH]; /* of the file itself */
    char certificate[CLIENT_PATH];
    char key[CLIENT_PATH];
    char ca[CLIENT_PATH];
    char state[CLIENT_PATH];
    uint8_t cluster_id[ID_SIZE];
    char members[LIMIT_MEMBERS][LIMIT_ADDRESS];
    size_t member_count;
};

/* Where the configuration lies: path if given, else RINGKEEP_CONF, the user's
 * folder, /etc. ERR_NOTFOUND, ERR_CONFIG with a sentence in error. */
enum err client_config_find(const char *path, char out[CLIENT_PATH], char *error, size_t error_size)
    MUST_USE;
enum err client_config_read(const char *path, struct client_config *out, char *error, size_t error_size)
    MUST_USE;

#endif
