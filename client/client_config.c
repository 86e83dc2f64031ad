/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and reads ringkeep.conf. No state. The environment is asked through
 * secure_getenv, so that a set-uid program is not steered by its caller. */
#include "client/client_config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"

static const char system_path[] = "/etc/ringkeep/client.conf";
static const char user_path[] = ".config/ringkeep/client.conf";

static enum err take_path(const char *path, char out[CLIENT_PATH], char *error, size_t error_size)
{
    if (path[0] == '\0' || strlen(path) >= CLIENT_PATH) {
        (void)snprintf(error, error_size, "the path of the configuration is empty or too long");
        return ERR_CONFIG;
    }
    memcpy(out, path, strlen(path) + 1);
    return ERR_OK;
}

enum err client_config_find(const char *path, char out[CLIENT_PATH], char *error, size_t error_size)
{
    const char *named = path != NULL ? path : secure_getenv("RINGKEEP_CONF");
    const char *home = secure_getenv("HOME");
    char candidate[CLIENT_PATH];
    if (named != NULL) {
        return take_path(named, out, error, error_size);
    }
    if (home != NULL) {
        const int n = snprintf(candidate, sizeof(candidate), "%s/%s", home, user_path);
        if (n > 0 && (size_t)n < sizeof(candidate) && access(candidate, F_OK) == 0) {
            return take_path(candidate, out, error, error_size);
        }
    }
    if (access(system_path, F_OK) == 0) {
        return take_path(system_path, out, error, error_size);
    }
    (void)snprintf(error,
                   error_size,
                   "no configuration: set RINGKEEP_CONF, or write ~/%s or %s",
                   user_path,
                   system_path);
    return ERR_NOTFOUND;
}

/* Size of the folder part of a path with its slash, 0 for none. */
static size_t folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* Makes *value, as read from the file, relative to the file's folder. */
static enum err settle_path(const char *config, char value[CLIENT_PATH])
{
    char whole[CLIENT_PATH];
    const size_t folder = folder_size(config);
    if (value[0] == '/' || folder == 0) {
        return ERR_OK;
    }
    if (folder + strlen(value) >= CLIENT_PATH) {
        return ERR_CONFIG;
    }
    memcpy(whole, config, folder);
    memcpy(whole + folder, value, strlen(value) + 1);
    memcpy(value, whole, strlen(whole) + 1);
    return ERR_OK;
}

static enum err settle_all(struct client_config *c)
{
    TRY(settle_path(c->path, c->certificate));
    TRY(settle_path(c->path, c->key));
    TRY(settle_path(c->path, c->ca));
    return settle_path(c->path, c->state);
}

static bool address_ok(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t digits = 0;
    if (colon == NULL || colon == address) {
        return false;
    }
    const char *port = colon + 1;
    digits = strspn(port, "0123456789");
    return digits > 0 && digits <= 5 && port[digits] == '\0';
}

static enum err check_members(const struct client_config *c, char *error, size_t error_size)
{
    if (c->member_count == 0) {
        (void)snprintf(error, error_size, "%s: [cluster] needs a member = host:port", c->path);
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        if (!address_ok(c->members[i])) {
            (void)snprintf(error,
                           error_size,
                           "%s: member '%s' is not host:port",
                           c->path,
                           c->members[i]);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

static void set_defaults(struct client_config *c, const char *path)
{
    memset(c, 0, sizeof(*c));
    (void)snprintf(c->path, sizeof(c->path), "%s", path);
    (void)snprintf(c->certificate, sizeof(c->certificate), "client.crt");
    (void)snprintf(c->key, sizeof(c->key), "client.key");
    (void)snprintf(c->ca, sizeof(c->ca), "ca.crt");
    (void)snprintf(c->state, sizeof(c->state), "login.state");
}

enum err client_config_read(const char *path, struct client_config *out, char *error, size_t error_size)
{
    char id[2 * ID_SIZE + 1] = "";
    const struct config_key keys[] = {
        { "client", "certificate", CONFIG_TEXT, out->certificate, CLIENT_PATH, 0, 0, NULL },
        { "client", "key", CONFIG_TEXT, out->key, CLIENT_PATH, 0, 0, NULL },
        { "client", "ca", CONFIG_TEXT, out->ca, CLIENT_PATH, 0, 0, NULL },
        { "client", "state", CONFIG_TEXT, out->state, CLIENT_PATH, 0, 0, NULL },
        { "cluster", "id", CONFIG_TEXT, id, sizeof(id), 0, 0, NULL },
        { "cluster", "member", CONFIG_LIST, out->members, LIMIT_MEMBERS, 0, 0, &out->member_count },
    };
    assert(strlen(path) < CLIENT_PATH && error_size > 0);
    set_defaults(out, path);
    error[0] = '\0';
    const enum err e = config_read(path, keys, sizeof(keys) / sizeof(keys[0]), error, error_size);
    if (e != ERR_OK) {
        if (error[0] == '\0') {
            (void)snprintf(error, error_size, "%s: %s", path, err_text(e));
        }
        return e;
    }
    if (hex_to(id, out->cluster_id, ID_SIZE) != ERR_OK) {
        (void)snprintf(error, error_size, "%s: [cluster] needs id = 32 hex digits", path);
        return ERR_CONFIG;
    }
    if (settle_all(out) != ERR_OK) {
        (void)snprintf(error, error_size, "%s: a path is too long", path);
        return ERR_CONFIG;
    }
    return check_members(out, error, error_size);
}
