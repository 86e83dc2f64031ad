/* SPDX-License-Identifier: Apache-2.0 */
/* ringkeepd.conf as values (docs/configuration.md). Read once, at start. */
#ifndef RINGKEEP_APPLIANCE_SETTINGS_H
#define RINGKEEP_APPLIANCE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"

#define SETTINGS_PATH 512u

struct settings {
    char name[LIMIT_NAME + 1];
    char client[LIMIT_ADDRESS], peer[LIMIT_ADDRESS], admin[LIMIT_ADDRESS]; /* as others connect */
    char bind_client[LIMIT_ADDRESS], bind_peer[LIMIT_ADDRESS], bind_admin[LIMIT_ADDRESS];
    char store[SETTINGS_PATH], raft[SETTINGS_PATH], tls[SETTINGS_PATH], socket[SETTINGS_PATH];
    uint64_t election_ms, heartbeat_ms;
    char level[16];
    bool json;
};

/* Fills defaults, then the file. ERR_CONFIG or ERR_NOTFOUND with a sentence. */
enum err settings_read(const char *path, struct settings *out, char *error, size_t error_size) MUST_USE;
/* tls_dir/name into out[SETTINGS_PATH + 64]. */
void settings_tls_path(const struct settings *s, const char *name, char *out, size_t size);
/* Splits "host:port"; host may be in [ ]. ERR_CONFIG. */
enum err settings_address(const char *text, char *host, size_t host_size, unsigned *port) MUST_USE;

#endif
