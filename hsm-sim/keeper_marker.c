/* SPDX-License-Identifier: Apache-2.0 */
/* Test hook: a text right before the SMK set in the keeper's memory, so that root
 * can tell the canary test (tests/e2e/60_canary.sh) what to look for elsewhere. Only
 * in the build with RINGKEEP_TEST_HOOKS. */
#include "base/bytes.h"

#ifdef RINGKEEP_TEST_HOOKS
#include <stddef.h>
#include <string.h>

#include "hsm-sim/keeper_inner.h"

_Static_assert(offsetof(struct keeper, marker) + KEEPER_MARKER == offsetof(struct keeper, set),
               "the set follows its marker at once");

void keeper_marker_set(struct keeper *k)
{
    static const char text[KEEPER_MARKER + 1] = "RINGKEEP-TEST-SMK-MARKER-0123456";
    memcpy(k->marker, text, KEEPER_MARKER);
}
#endif
