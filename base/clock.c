/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks. No state; any thread. */
#include "base/clock.h"

#include <assert.h>
#include <stddef.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    const int rc = clock_gettime(id, &now);
    assert(rc == 0 && now.tv_sec >= 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t read_mono(void *impl)
{
    (void)impl;
    return read_ns(CLOCK_MONOTONIC);
}

static uint64_t read_boot(void *impl)
{
    (void)impl;
    return read_ns(CLOCK_BOOTTIME);
}

static uint64_t read_wall(void *impl)
{
    (void)impl;
    return read_ns(CLOCK_REALTIME) / 1000000000u;
}

const struct clock *clock_system(void)
{
    static const struct clock system_clock = { read_mono, read_boot, read_wall, NULL };
    return &system_clock;
}
