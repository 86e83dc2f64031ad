/* SPDX-License-Identifier: Apache-2.0 */
/* The few verbs of the core that cluster/ asks through struct cluster_core. The
 * numbers are those of hsm-sim/verbs.def, which this folder may not include:
 * appliance/core_verbs_check.c asserts that they are equal. */
#ifndef RINGKEEP_CLUSTER_CORE_VERBS_H
#define RINGKEEP_CLUSTER_CORE_VERBS_H

enum core_verbs {
    CORE_VERBS_INHERIT_BEGIN = 8, /* -> [J's request] */
    CORE_VERBS_CLONE_M1 = 9,      /* purpose [request][invite][spent][beacon][roster] -> run, [M1] */
    CORE_VERBS_CLONE_M2 = 10,     /* [M1] -> [M2] */
    CORE_VERBS_CLONE_CHECK = 11,  /* run [M2] -> [six words] */
    CORE_VERBS_CLONE_M3 = 12,     /* run [cluster record] -> [M3] */
    CORE_VERBS_CLONE_M4 = 13,     /* [M3] -> [M4][roster][cluster record][six words] */
    CORE_VERBS_CLONE_DONE = 14,   /* run [M4] -> [new roster], or nothing */
    CORE_VERBS_ROSTER_SEEN = 15   /* [roster] */
};

#define CORE_VERBS_PURPOSE_JOIN 1u
#define CORE_VERBS_PURPOSE_INHERIT 2u

/* J's request in clear (sks/clone.h): what a daemon reads of it. */
#define CORE_VERBS_REQUEST 145u
#define CORE_VERBS_REQUEST_CLUSTER 0u
#define CORE_VERBS_REQUEST_INVITE 16u
#define CORE_VERBS_REQUEST_JOINER 32u
#define CORE_VERBS_REQUEST_SPKI 112u

#endif
