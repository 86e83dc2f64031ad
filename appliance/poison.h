/* SPDX-License-Identifier: Apache-2.0 */
/* Clients whose requests ended a core worker (consistency.md 11, threats.md H9):
 * after three deaths within a minute the client's uses are refused for a minute.
 * The request itself is refused by core_client's quarantine. Bounded; the oldest
 * row goes first. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_POISON_H
#define RINGKEEP_APPLIANCE_POISON_H

#include <stdbool.h>
#include <stdint.h>

#define POISON_ROWS 64u
#define POISON_DEATHS 3u

struct poison_row {
    uint8_t client[32];
    unsigned deaths;
    uint64_t since_ms; /* of the first death counted; 0: free */
};
struct poison {
    struct poison_row row[POISON_ROWS];
    uint64_t deaths; /* in all */
};

void poison_note(struct poison *p, const uint8_t client[32], uint64_t now_ms);
bool poison_paused(struct poison *p, const uint8_t client[32], uint64_t now_ms);

#endif
