/* SPDX-License-Identifier: Apache-2.0 */
/* The one source of chance, as a value so that the simulator can seed it.
 * Key material is drawn in the core by OpenSSL's private DRBG (base/crypt.h),
 * never here: this serves ids, jitter and raft. */
#ifndef RINGKEEP_BASE_RANDOM_H
#define RINGKEEP_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random_source {
    void (*fill)(void *impl, void *out, size_t size); /* never fails; aborts if it must */
    void *impl;
};

static inline void random_fill(const struct random_source *r, void *out, size_t size)
{
    r->fill(r->impl, out, size);
}
uint64_t random_u64(const struct random_source *r);
/* getrandom(2). Safe from any thread. */
const struct random_source *random_system(void);

#endif
