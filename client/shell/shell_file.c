/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, whole. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/shell/parts.h"

#define CHUNK 16384u

static enum err read_all(int fd, size_t limit, struct buf *out)
{
    for (;;) {
        uint8_t *at = NULL;
        TRY(buf_reserve(out, CHUNK, limit + CHUNK, &at));
        const ssize_t n = read(fd, at, CHUNK);
        if (n == 0) {
            return out->size <= limit ? ERR_OK : ERR_TOO_LARGE;
        }
        if (n > 0) {
            out->size += (size_t)n;
        } else if (errno != EINTR) {
            return ERR_IO;
        }
    }
}

enum err shell_file_read(struct shell *s, const char *path, size_t limit, struct buf *out)
{
    const bool standard = strcmp(path, "-") == 0;
    const int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return shell_say(s, ERR_USAGE, "%s: %s", path, strerror(errno));
    }
    const enum err e = read_all(fd, limit, out);
    if (!standard) {
        (void)close(fd);
    }
    if (e == ERR_TOO_LARGE) {
        return shell_say(s, e, "%s: larger than %zu bytes", path, limit);
    }
    return e == ERR_OK ? e : shell_say(s, e, "%s: cannot be read", path);
}

static enum err write_all(int fd, struct bytes content)
{
    while (content.size > 0) {
        const ssize_t n = write(fd, content.data, content.size);
        if (n > 0) {
            content.data += n;
            content.size -= (size_t)n;
        } else if (errno != EINTR) {
            return ERR_IO;
        }
    }
    return fsync(fd) == 0 || errno == EINVAL ? ERR_OK : ERR_IO;
}

static enum err write_new(struct shell *s, const char *path, int fd, struct bytes content, unsigned mode)
{
    const bool good = fchmod(fd, (mode_t)mode) == 0 && write_all(fd, content) == ERR_OK;
    const int why = errno;
    if (close(fd) != 0 || !good) {
        (void)unlink(path);
        return shell_say(s, ERR_IO, "%s: %s", path, strerror(why));
    }
    return ERR_OK;
}

enum err shell_file_write(struct shell *s, const char *path, struct bytes content, unsigned mode, bool replace)
{
    char temporary[PATH_MAX + 8];
    if (strlen(path) >= PATH_MAX) {
        return shell_say(s, ERR_USAGE, "%s: too long", path);
    }
    (void)snprintf(temporary, sizeof(temporary), "%s%s", path, replace ? ".XXXXXX" : "");
    const int fd = replace ? mkostemp(temporary, O_CLOEXEC)
                           : open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return shell_say(s, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", path, strerror(errno));
    }
    TRY(write_new(s, temporary, fd, content, mode));
    if (replace && rename(temporary, path) != 0) {
        const int why = errno;
        (void)unlink(temporary);
        return shell_say(s, ERR_IO, "%s: %s", path, strerror(why));
    }
    return ERR_OK;
}

enum err shell_file_folder(struct shell *s, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return shell_say(s, ERR_IO, "%s: %s", path, strerror(errno));
    }
    return ERR_OK;
}
