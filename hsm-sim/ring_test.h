/* SPDX-License-Identifier: Apache-2.0 */
/* For tests only: where the slots of a mapped ring lie, so that a hostile
 * daemon can be played (tests/plain/ring_flip.c). No program calls this; lint
 * may check that only tests/ includes this header besides ring.c. */
#ifndef RINGKEEP_HSM_SIM_RING_TEST_H
#define RINGKEEP_HSM_SIM_RING_TEST_H

#include "hsm-sim/ring.h"

uint8_t *ring_test_slots(struct ring *r, size_t *size);
/* The submission entry that the daemon wrote last, to be overwritten. */
void ring_test_break_entry(struct ring *r, uint64_t entry);
void ring_test_break_size(struct ring *r, unsigned slot, uint32_t size);
/* Completes `slot` out of turn, as a broken worker would. */
void ring_test_forge_completion(struct ring *r, unsigned slot);

#endif
