/* SPDX-License-Identifier: Apache-2.0 */
/* The table of client requests (ops.def) and what is checked before a handler
 * runs: known client, bounds, state of this member, session and right, freshness
 * (min_index), assignment. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_DISPATCH_H
#define RINGKEEP_APPLIANCE_DISPATCH_H

#include "appliance/client_door.h"

struct request;

enum op_right { OP_NONE, OP_PUBLIC, OP_LOGIN };

struct op_row {
    void (*handler)(struct request *r);
    enum op_right right;
    enum core_state state;
    const char *audit;
    unsigned deadline_ms;
    size_t largest;
};

#define DISPATCH_TYPES 64u
/* NULL: no such request. */
const struct op_row *dispatch_find(unsigned type);
/* Takes a frame of a client; answers now or later. */
void dispatch_frame(struct appliance *a, struct client *c, const struct frame *frame);

#endif
