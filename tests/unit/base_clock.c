/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks and the kernel's chance, as values. */
#include <criterion/criterion.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"

static uint64_t fixed(void *impl)
{
    return *(const uint64_t *)impl;
}

Test(clock, the_system_clock_goes_on, .timeout = 20)
{
    const struct clock *c = clock_system();
    const uint64_t mono = c->mono_ns(c->impl);
    const uint64_t boot = c->boot_ns(c->impl);
    cr_expect_geq(c->mono_ns(c->impl), mono);
    cr_expect_geq(c->boot_ns(c->impl), boot);
    cr_expect_leq(clock_wall_s(c) - (uint64_t)time(NULL) + 2, 4);
}

Test(clock, a_clock_is_a_value, .timeout = 20)
{
    uint64_t now = 5000000;
    const struct clock c = { fixed, fixed, fixed, &now };
    cr_expect_eq(clock_mono_ms(&c), 5);
    cr_expect_eq(clock_boot_ms(&c), 5);
    cr_expect_eq(clock_wall_s(&c), 5000000);
}

Test(random, two_draws_differ_and_fill_all, .timeout = 20)
{
    uint8_t a[600] = { 0 };
    uint8_t b[600] = { 0 };
    random_fill(random_system(), a, sizeof(a));
    random_fill(random_system(), b, sizeof(b));
    cr_expect_neq(memcmp(a, b, sizeof(a)), 0);
    cr_expect_neq(memcmp(a + 580, b + 580, 20), 0);
    cr_expect_neq(random_u64(random_system()), random_u64(random_system()));
}
