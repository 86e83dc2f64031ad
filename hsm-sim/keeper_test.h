/* SPDX-License-Identifier: Apache-2.0 */
/* For tests only: a keeper whose scrypt is cheap. Together with
 * record_allow_test_scrypt(true). No program includes this. */
#ifndef RINGKEEP_HSM_SIM_KEEPER_TEST_H
#define RINGKEEP_HSM_SIM_KEEPER_TEST_H

#include "hsm-sim/keeper.h"
#include "sks/smk.h"

/* log_n 1..14 for every row and domain key that this keeper makes from now on. */
void keeper_test_log_n(struct keeper *k, unsigned log_n);

/* A key of the cluster, to make what no verb makes yet (a roster without a
 * member). */
void keeper_test_opener(struct keeper *k, enum smk_use use, struct smk_opener *out);

#endif
