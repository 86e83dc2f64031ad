/* SPDX-License-Identifier: Apache-2.0 */
/* The file login.state. It is public knowledge, but whoever can write it chooses
 * to whom passwords are sealed: so 0600 and only its owner's. */
#include "client/client_pins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t pins_head[8] = { 'R', 'K', 'L', 'S', 1, 0, 0, 0 };

size_t client_pins_encode(const struct envelope_pinned *p, uint8_t out[CLIENT_PINS_MAX])
{
    memcpy(out, pins_head, sizeof(pins_head));
    memcpy(out + 8, p->lk_pub, sizeof(p->lk_pub));
    put_u64(out + 40, p->lk_version);
    return CLIENT_PINS_HEAD + envelope_identities_encode(&p->identities, out + CLIENT_PINS_HEAD);
}

enum err client_pins_decode(struct bytes in, struct envelope_pinned *out)
{
    struct envelope_pinned p = { 0 };
    if (in.size <= CLIENT_PINS_HEAD || in.size > CLIENT_PINS_MAX ||
        memcmp(in.data, pins_head, sizeof(pins_head)) != 0) {
        return ERR_MALFORMED;
    }
    memcpy(p.lk_pub, in.data + 8, sizeof(p.lk_pub));
    p.lk_version = get_u64(in.data + 40);
    const struct bytes list = bytes_of(in.data + CLIENT_PINS_HEAD, in.size - CLIENT_PINS_HEAD);
    TRY(envelope_identities_decode(list, &p.identities));
    *out = p;
    return ERR_OK;
}

static enum err read_all(int fd, uint8_t *out, size_t capacity, size_t *size)
{
    *size = 0;
    while (*size < capacity) {
        const ssize_t n = read(fd, out + *size, capacity - *size);
        if (n == 0) {
            return ERR_OK;
        }
        if (n > 0) {
            *size += (size_t)n;
        } else if (errno != EINTR) {
            return ERR_IO;
        }
    }
    return ERR_OK;
}

enum err client_pins_load(const char *path, struct envelope_pinned *out)
{
    uint8_t content[CLIENT_PINS_MAX + 1];
    size_t size = 0;
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    }
    enum err e = fstat(fd, &info) == 0 ? ERR_OK : ERR_IO;
    if (e == ERR_OK && (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        e = ERR_REFUSED;
    }
    if (e == ERR_OK) {
        e = read_all(fd, content, sizeof(content), &size);
    }
    (void)close(fd);
    TRY(e);
    return client_pins_decode(bytes_of(content, size), out);
}

bool client_pins_older(const struct envelope_pinned *a, const struct envelope_pinned *b)
{
    return a->lk_version < b->lk_version || a->identities.roster_version < b->identities.roster_version;
}

static enum err write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, data, size);
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return ERR_IO;
        }
    }
    return ERR_OK;
}

static enum err write_new(int fd, const uint8_t *data, size_t size)
{
    enum err e = fchmod(fd, S_IRUSR | S_IWUSR) == 0 ? ERR_OK : ERR_IO;
    if (e == ERR_OK) {
        e = write_all(fd, data, size);
    }
    if (e == ERR_OK && fsync(fd) != 0) {
        e = ERR_IO;
    }
    return close(fd) == 0 ? e : ERR_IO;
}

enum err client_pins_save(const char *path, const struct envelope_pinned *p)
{
    uint8_t content[CLIENT_PINS_MAX];
    char temporary[1100];
    struct envelope_pinned there;
    if (client_pins_load(path, &there) == ERR_OK && client_pins_older(p, &there)) {
        return ERR_OK;
    }
    const int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(temporary)) {
        return ERR_TOO_LARGE;
    }
    const int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    enum err e = write_new(fd, content, client_pins_encode(p, content));
    if (e == ERR_OK && rename(temporary, path) != 0) {
        e = ERR_IO;
    }
    if (e != ERR_OK) {
        (void)unlink(temporary);
    }
    return e;
}

enum err client_pins_first(struct bytes l, struct bytes i, struct envelope_pinned *out)
{
    struct envelope_login_key key;
    struct envelope_pinned p = { 0 };
    TRY(envelope_login_key_parse(l, &key));
    TRY(envelope_identities_decode(i, &p.identities));
    memcpy(p.lk_pub, key.lk_pub, sizeof(p.lk_pub));
    p.lk_version = key.lk_version;
    *out = p;
    return ERR_OK;
}
