/* SPDX-License-Identifier: Apache-2.0 */
/* Time, as one value per member: the simulator gives each member its own.
 * No other file calls clock_gettime, time or uv_now for a decision. */
#ifndef RINGKEEP_BASE_CLOCK_H
#define RINGKEEP_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*mono_ns)(void *impl); /* CLOCK_MONOTONIC: time-outs */
    uint64_t (*boot_ns)(void *impl); /* CLOCK_BOOTTIME: leases, ticket ages */
    uint64_t (*wall_s)(void *impl);  /* Unix seconds, UTC: dates */
    void *impl;
};

static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ns(c->impl) / 1000000u;
}
static inline uint64_t clock_boot_ms(const struct clock *c)
{
    return c->boot_ns(c->impl) / 1000000u;
}
static inline uint64_t clock_wall_s(const struct clock *c)
{
    return c->wall_s(c->impl);
}

/* The machine's own clocks. Safe from any thread. */
const struct clock *clock_system(void);

#endif
