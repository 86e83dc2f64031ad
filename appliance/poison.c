/* SPDX-License-Identifier: Apache-2.0 */
/* Counts worker deaths per client. Loop thread. */
#include "appliance/poison.h"

#include <string.h>

#include "base/limits.h"

static struct poison_row *find(struct poison *p, const uint8_t client[32], uint64_t now_ms)
{
    for (unsigned i = 0; i < POISON_ROWS; i++) {
        struct poison_row *row = &p->row[i];
        if (row->since_ms != 0 && now_ms - row->since_ms > LIMIT_QUARANTINE_MS) {
            row->since_ms = 0;
        }
        if (row->since_ms != 0 && memcmp(row->client, client, sizeof row->client) == 0) {
            return row;
        }
    }
    return NULL;
}

static struct poison_row *oldest(struct poison *p)
{
    struct poison_row *out = &p->row[0];
    for (unsigned i = 1; i < POISON_ROWS; i++) {
        if (p->row[i].since_ms < out->since_ms) {
            out = &p->row[i];
        }
    }
    return out;
}

void poison_note(struct poison *p, const uint8_t client[32], uint64_t now_ms)
{
    struct poison_row *row = find(p, client, now_ms);
    p->deaths++;
    if (row == NULL) {
        row = oldest(p);
        memcpy(row->client, client, sizeof row->client);
        row->deaths = 0;
        row->since_ms = now_ms == 0 ? 1 : now_ms;
    }
    row->deaths++;
}

bool poison_paused(struct poison *p, const uint8_t client[32], uint64_t now_ms)
{
    if (p->deaths == 0) {
        return false;
    }
    const struct poison_row *row = find(p, client, now_ms);
    return row != NULL && row->deaths >= POISON_DEATHS;
}
