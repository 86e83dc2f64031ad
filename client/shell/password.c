/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: from a file, a descriptor or the terminal, never from an argument or
 * the environment. Kept in one struct that is wiped on every way out. */
#include <bsd/readpassphrase.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/shell/parts.h"

void password_wipe(struct shell_password *p)
{
    bytes_wipe(p, sizeof(*p));
}

const char *password_name(const struct verb_login *login)
{
    switch (login->role) {
        case 0: return "domain secret";
        case 1: return "HSM SO password";
        case 2: return "auditor password";
        case 3: return "PO (cluster SO) password";
        case 4: return "CO password";
        default: return "keyring password";
    }
}

/* -- files and descriptors ---------------------------------------------------------- */

static enum err read_fd(struct shell *s, int fd, const char *name, struct shell_password *out)
{
    out->size = 0;
    while (out->size < sizeof(out->data)) {
        const ssize_t n = read(fd, out->data + out->size, sizeof(out->data) - out->size);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            out->size += (size_t)n;
        } else if (errno != EINTR) {
            return shell_say(s, ERR_USAGE, "%s: %s", name, strerror(errno));
        }
    }
    if (out->size > 0 && out->data[out->size - 1] == '\n') {
        out->size--;
    }
    if (out->size == 0 || out->size > LIMIT_PASSWORD) {
        return shell_say(s, ERR_PIN_LENGTH, "%s: a password has 1 to %u bytes", name, LIMIT_PASSWORD);
    }
    return ERR_OK;
}

static enum err check_file(struct shell *s, int fd, const char *path)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return shell_say(s, ERR_USAGE, "%s: not a regular file", path);
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return shell_say(s, ERR_USAGE, "%s: others may read it; chmod 0600 it", path);
    }
    if (info.st_uid != geteuid() && info.st_uid != 0) {
        return shell_say(s, ERR_USAGE, "%s: belongs neither to you nor to root", path);
    }
    return ERR_OK;
}

enum err password_read_file(struct shell *s, const char *path, struct shell_password *out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return shell_say(s, ERR_USAGE, "%s: %s", path, strerror(errno));
    }
    enum err e = check_file(s, fd, path);
    if (e == ERR_OK) {
        e = read_fd(s, fd, path, out);
    }
    (void)close(fd);
    return e;
}

/* -- the terminal ---------------------------------------------------------------------- */

static enum err ask(struct shell *s, const char *purpose, const char *prompt, struct shell_password *out)
{
    char line[LIMIT_PASSWORD + 2] = "";
    const char *dash = purpose[0] == '\0' ? "" : "-";
    const bool read = readpassphrase(prompt, line, sizeof(line), RPP_ECHO_OFF | RPP_REQUIRE_TTY) != NULL;
    const size_t size = strlen(line);
    const bool good = read && size > 0 && size <= LIMIT_PASSWORD;
    if (good) {
        memcpy(out->data, line, size);
        out->size = size;
    }
    bytes_wipe(line, sizeof(line));
    if (!read) {
        return shell_say(s, ERR_USAGE, "no terminal to ask at: give --%s%spin-file FILE", purpose, dash);
    }
    return good ? ERR_OK : shell_say(s, ERR_PIN_LENGTH, "a password has 1 to %u bytes", LIMIT_PASSWORD);
}

static enum err ask_new(struct shell *s, const char *purpose, const char *what, struct shell_password *out)
{
    PASSWORD_SCOPED again = { .size = 0 };
    char prompt[96];
    (void)snprintf(prompt, sizeof(prompt), "New %s: ", what);
    TRY(ask(s, purpose, prompt, out));
    (void)snprintf(prompt, sizeof(prompt), "New %s again: ", what);
    TRY(ask(s, purpose, prompt, &again));
    const struct bytes a = bytes_of(out->data, out->size), b = bytes_of(again.data, again.size);
    return secret_equal(a, b) ? ERR_OK : shell_say(s, ERR_USAGE, "the two do not match");
}

enum err password_get(struct shell *s,
                      const char *purpose,
                      const char *what,
                      bool is_new,
                      struct shell_password *out)
{
    const struct shell_source *source = options_source(&s->options, purpose);
    char prompt[96];
    enum err e = ERR_OK;
    if (source != NULL && source->file != NULL) {
        e = password_read_file(s, source->file, out);
    } else if (source != NULL) {
        char name[32];
        (void)snprintf(name, sizeof(name), "descriptor %d", source->fd);
        e = read_fd(s, source->fd, name, out);
    } else if (is_new) {
        e = ask_new(s, purpose, what, out);
    } else {
        (void)snprintf(prompt, sizeof(prompt), "%s: ", what);
        e = ask(s, purpose, prompt, out);
    }
    TRY(e);
    if (is_new && out->size < LIMIT_PASSWORD_MIN) {
        return shell_say(s, ERR_PIN_LENGTH, "a new %s has at least %u bytes", what, LIMIT_PASSWORD_MIN);
    }
    return ERR_OK;
}
