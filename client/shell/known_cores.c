/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's memory of cores: passwords are sealed to AK, so a member
 * whose core suddenly has another one is refused. One line a member:
 * core-id ID AK socket-path. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/shell/parts.h"

#define FILE_LIMIT ((size_t)1048576)
#define LINE_LIMIT (PATH_MAX + 256u)
#define HEX_CORE 32u
#define HEX_KEY 64u
#define PATH_AT (HEX_CORE + 1 + HEX_KEY + 1 + HEX_KEY + 1)

struct entry {
    struct known_core core;
    char socket[PATH_MAX];
};

static enum err file_path(struct shell *s, char out[PATH_MAX], bool make_folder)
{
    const char *home = secure_getenv("HOME");
    if (s->options.pins != NULL) {
        const int n = snprintf(out, PATH_MAX, "%s", s->options.pins);
        return n > 0 && n < PATH_MAX ? ERR_OK : shell_say(s, ERR_USAGE, "--pins: no such path");
    }
    if (home == NULL || strlen(home) > PATH_MAX - 64) {
        return shell_say(s, ERR_USAGE, "no home folder: give --pins FILE");
    }
    (void)snprintf(out, PATH_MAX, "%.*s/.config", PATH_MAX - 64, home);
    if (make_folder) {
        TRY(shell_file_folder(s, out));
    }
    (void)snprintf(out, PATH_MAX, "%.*s/.config/ringkeep", PATH_MAX - 64, home);
    if (make_folder) {
        TRY(shell_file_folder(s, out));
    }
    (void)snprintf(out, PATH_MAX, "%.*s/.config/ringkeep/cores", PATH_MAX - 64, home);
    return ERR_OK;
}

/* The socket's own name whatever the caller calls it. */
static void socket_name(const struct shell *s, char out[PATH_MAX])
{
    const char *path = admin_door_path(s);
    if (realpath(path, out) == NULL) {
        (void)snprintf(out, PATH_MAX, "%s", path);
    }
}

static bool parse_line(const char *line, struct entry *out)
{
    char copy[LINE_LIMIT];
    if (strlen(line) <= PATH_AT || strlen(line) >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, line, strlen(line) + 1);
    char *id = copy + HEX_CORE + 1, *ak = id + HEX_KEY + 1, *socket = copy + PATH_AT;
    if (id[-1] != ' ' || ak[-1] != ' ' || socket[-1] != ' ' || strlen(socket) >= PATH_MAX) {
        return false;
    }
    id[-1] = ak[-1] = socket[-1] = '\0';
    memcpy(out->socket, socket, strlen(socket) + 1);
    return hex_to(copy, out->core.core_id, ID_SIZE) == ERR_OK && hex_to(id, out->core.id_pub, 32) == ERR_OK &&
           hex_to(ak, out->core.ak_pub, 32) == ERR_OK;
}

/* Calls with each line; a broken one is an error: it may be the one that counts. */
typedef bool (*entry_cb)(void *arg, const struct entry *e, const char *line);

static enum err each_entry(struct shell *s, const char *path, entry_cb cb, void *arg)
{
    BUF_SCOPED content = { 0 };
    struct entry e;
    if (access(path, F_OK) != 0) {
        return ERR_OK;
    }
    TRY(shell_file_read(s, path, FILE_LIMIT, &content));
    TRY(buf_append(&content, bytes_of("", 1), FILE_LIMIT + 1));
    char *rest = (char *)content.data;
    unsigned number = 0;
    while (rest != NULL) {
        const char *line = strsep(&rest, "\n");
        number++;
        if (line[0] == '\0' || line[0] == '#') {
            continue;
        }
        if (!parse_line(line, &e)) {
            return shell_say(s, ERR_CONFIG, "%s: line %u is not a core; repair or remove it", path, number);
        }
        if (!cb(arg, &e, line)) {
            return ERR_OK;
        }
    }
    return ERR_OK;
}

struct search {
    const char *socket; /* or */
    const uint8_t *core_id;
    bool found;
    struct entry entry;
};

static bool match_entry(void *arg, const struct entry *e, const char *line)
{
    struct search *x = arg;
    (void)line;
    const bool same = x->socket != NULL ? strcmp(x->socket, e->socket) == 0
                                        : memcmp(x->core_id, e->core.core_id, ID_SIZE) == 0;
    if (same) {
        x->found = true;
        x->entry = *e;
    }
    return !same;
}

struct rewrite {
    const char *without; /* socket */
    struct buf *out;
    enum err error;
};

static bool copy_entry(void *arg, const struct entry *e, const char *line)
{
    struct rewrite *w = arg;
    if (w->error == ERR_OK && strcmp(e->socket, w->without) != 0) {
        w->error = buf_append(w->out, bytes_of_text(line), FILE_LIMIT);
        if (w->error == ERR_OK) {
            w->error = buf_append(w->out, bytes_of_text("\n"), FILE_LIMIT);
        }
    }
    return w->error == ERR_OK;
}

enum err known_cores_replace(struct shell *s, const struct known_core *core)
{
    BUF_SCOPED content = { 0 };
    char path[PATH_MAX], socket[PATH_MAX];
    char hex_core[HEX_CORE + 1], hex_id[HEX_KEY + 1], hex_ak[HEX_KEY + 1], line[LINE_LIMIT];
    TRY(file_path(s, path, true));
    socket_name(s, socket);
    struct rewrite w = { socket, &content, ERR_OK };
    TRY(each_entry(s, path, copy_entry, &w));
    TRY(w.error);
    (void)snprintf(line,
                   sizeof(line),
                   "%s %s %s %s\n",
                   hex_from(bytes_of(core->core_id, ID_SIZE), hex_core),
                   hex_from(bytes_of(core->id_pub, 32), hex_id),
                   hex_from(bytes_of(core->ak_pub, 32), hex_ak),
                   socket);
    TRY(buf_append(&content, bytes_of_text(line), FILE_LIMIT));
    return shell_file_write(s, path, buf_bytes(&content), 0600, true);
}

enum err known_cores_check(struct shell *s, const struct known_core *core)
{
    char path[PATH_MAX], socket[PATH_MAX], hex[HEX_KEY + 1];
    struct search x = { 0 };
    TRY(file_path(s, path, false));
    socket_name(s, socket);
    x.socket = socket;
    TRY(each_entry(s, path, match_entry, &x));
    if (!x.found) {
        (void)fprintf(s->err,
                      "ringkeep: note: the core behind %s is new here; fingerprint %s kept in %s\n",
                      socket,
                      hex_from(bytes_of(core->id_pub, 8), hex),
                      path);
        return known_cores_replace(s, core);
    }
    const struct known_core *k = &x.entry.core;
    if (memcmp(k->core_id, core->core_id, ID_SIZE) == 0 && memcmp(k->id_pub, core->id_pub, 32) == 0 &&
        memcmp(k->ak_pub, core->ak_pub, 32) == 0) {
        return ERR_OK;
    }
    return shell_say(s,
                     ERR_IDENTITY,
                     "the core behind %s is not the one it was: no password is sent to it. If it was set up "
                     "anew, remove its line from %s; if not, somebody stands in its place",
                     socket,
                     path);
}

bool known_cores_has(const struct shell *s, const uint8_t core_id[ID_SIZE], uint8_t id_pub[32])
{
    struct shell quiet = *s;
    char path[PATH_MAX];
    struct search x = { 0 };
    x.core_id = core_id;
    if (file_path(&quiet, path, false) != ERR_OK || each_entry(&quiet, path, match_entry, &x) != ERR_OK || !x.found) {
        return false;
    }
    memcpy(id_pub, x.entry.core.id_pub, 32);
    return true;
}
