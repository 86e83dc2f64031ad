/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that admin.def names. */
#ifndef RINGKEEP_APPLIANCE_ADMIN_HANDLERS_H
#define RINGKEEP_APPLIANCE_ADMIN_HANDLERS_H

struct admin_request;
#define ADMIN(verb, handler, state, logins, help) void handler(struct admin_request *r);
#include "appliance/admin.def"
#undef ADMIN

#endif
