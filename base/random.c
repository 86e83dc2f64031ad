/* SPDX-License-Identifier: Apache-2.0 */
/* Chance from the kernel, for ids, jitter and raft; keys use base/crypt.h.
 * No state; any thread. */
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void fill_system(void *impl, void *out, size_t size)
{
    uint8_t *at = out;
    (void)impl;
    while (size > 0) {
        const ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno != EINTR) {
            abort(); /* a kernel without getrandom: nothing may go on */
        }
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

uint64_t random_u64(const struct random_source *r)
{
    uint64_t value = 0;
    random_fill(r, &value, sizeof(value));
    return value;
}

const struct random_source *random_system(void)
{
    static const struct random_source source = { fill_system, NULL };
    return &source;
}
