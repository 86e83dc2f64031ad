/* SPDX-License-Identifier: Apache-2.0 */
/* Reads ringkeepd.conf. Paths are relative to the folder of the file, into which
 * the daemon changes before it opens anything. */
#include "appliance/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"

static const char *const levels[] = { "error", "warn", "info", "debug" };

static void set_defaults(struct settings *s)
{
    *s = (struct settings){ .election_ms = LIMIT_ELECTION_MS, .heartbeat_ms = LIMIT_HEARTBEAT_MS };
    (void)snprintf(s->store, sizeof s->store, "store");
    (void)snprintf(s->raft, sizeof s->raft, "raft");
    (void)snprintf(s->tls, sizeof s->tls, "tls");
    (void)snprintf(s->socket, sizeof s->socket, "admin.sock");
    (void)snprintf(s->level, sizeof s->level, "info");
}

enum err settings_address(const char *text, char *host, size_t host_size, unsigned *port)
{
    const char *colon = strrchr(text, ':');
    const char *begin = text;
    const char *end = colon;
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9') {
        return ERR_CONFIG;
    }
    char *rest = NULL;
    const unsigned long number = strtoul(colon + 1, &rest, 10);
    if (*rest != '\0' || number == 0 || number > 65535) {
        return ERR_CONFIG;
    }
    if (*begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    }
    const size_t size = (size_t)(end - begin);
    if (end <= begin || size >= host_size) {
        return ERR_CONFIG;
    }
    memcpy(host, begin, size);
    host[size] = '\0';
    *port = (unsigned)number;
    return ERR_OK;
}

static bool level_known(const char *level)
{
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(level, levels[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What the parser cannot see: needed keys, addresses, words. */
static enum err check(struct settings *s, char *error, size_t size)
{
    struct {
        const char *key;
        const char *value;
        char *bind;
    } rows[] = {
        { "client", s->client, s->bind_client },
        { "peer", s->peer, s->bind_peer },
        { "admin", s->admin, s->bind_admin },
    };
    char host[LIMIT_ADDRESS];
    unsigned port = 0;
    if (s->name[0] == '\0') {
        (void)snprintf(error, size, "[member] name is missing");
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].bind[0] == '\0') {
            (void)snprintf(rows[i].bind, LIMIT_ADDRESS, "%s", rows[i].value);
        }
        if (settings_address(rows[i].value, host, sizeof host, &port) != ERR_OK ||
            settings_address(rows[i].bind, host, sizeof host, &port) != ERR_OK) {
            (void)snprintf(error, size, "[member] or [bind] %s must be host:port", rows[i].key);
            return ERR_CONFIG;
        }
    }
    if (!level_known(s->level)) {
        (void)snprintf(error, size, "[log] level must be error, warn, info or debug");
        return ERR_CONFIG;
    }
    if (s->heartbeat_ms * 3 > s->election_ms) {
        (void)snprintf(error, size, "[raft] election_ms must be at least three times heartbeat_ms");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err settings_read(const char *path, struct settings *out, char *error, size_t error_size)
{
    struct settings s;
    set_defaults(&s);
#define TEXT(section_name, key_name, field)                                         \
    {                                                                               \
        section_name, key_name, CONFIG_TEXT, s.field, sizeof s.field, 0, 0, NULL    \
    }
    const struct config_key keys[] = {
        TEXT("member", "name", name),
        TEXT("member", "client", client),
        TEXT("member", "peer", peer),
        TEXT("member", "admin", admin),
        TEXT("bind", "client", bind_client),
        TEXT("bind", "peer", bind_peer),
        TEXT("bind", "admin", bind_admin),
        TEXT("paths", "store", store),
        TEXT("paths", "raft", raft),
        TEXT("paths", "tls", tls),
        TEXT("paths", "socket", socket),
        { "raft", "election_ms", CONFIG_NUMBER, &s.election_ms, 0, 50, 60000, NULL },
        { "raft", "heartbeat_ms", CONFIG_NUMBER, &s.heartbeat_ms, 0, 10, 10000, NULL },
        TEXT("log", "level", level),
        { "log", "json", CONFIG_BOOL, &s.json, 0, 0, 0, NULL },
    };
#undef TEXT
    TRY(config_read(path, keys, sizeof keys / sizeof keys[0], error, error_size));
    TRY(check(&s, error, error_size));
    *out = s;
    return ERR_OK;
}

void settings_tls_path(const struct settings *s, const char *name, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%s", s->tls, name);
}
