/* SPDX-License-Identifier: Apache-2.0 */
/* cluster/ knows a few verbs of the core by number; they are those of verbs.def.
 * Nothing here runs. */
#include "cluster/core_verbs.h"
#include "hsm-sim/core_wire.h"
#include "sks/clone.h"

#define SAME(name) \
    _Static_assert((unsigned)CORE_VERBS_##name == (unsigned)CORE_##name, "verb " #name)

SAME(INHERIT_BEGIN);
SAME(CLONE_M1);
SAME(CLONE_M2);
SAME(CLONE_CHECK);
SAME(CLONE_M3);
SAME(CLONE_M4);
SAME(CLONE_DONE);
SAME(ROSTER_SEEN);
_Static_assert(CORE_VERBS_REQUEST == CLONE_REQUEST, "J's clear request");
_Static_assert(CORE_VERBS_PURPOSE_JOIN == CLONE_JOIN, "purpose join");
_Static_assert(CORE_VERBS_PURPOSE_INHERIT == CLONE_INHERIT, "purpose inherit");
