/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's view of its core: cluster/'s questions (struct cluster_core) put to
 * struct core, and the core's status as last asked. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_CORE_PORT_H
#define RINGKEEP_APPLIANCE_CORE_PORT_H

#include "cluster/cluster.h"
#include "hsm-sim/core_client.h"

struct core_port;
typedef void (*core_port_cb)(void *arg);

enum err core_port_open(const struct core *core, struct core_port **out) MUST_USE;
void core_port_close(struct core_port *p); /* no call may be under way; NULL is fine */
const struct cluster_core *core_port_cluster(struct core_port *p);

/* As last heard; all zero before the first answer. */
const struct core_status *core_port_status(const struct core_port *p);
/* False until the first answer and after CORE_PORT_MISSES questions without one. */
bool core_port_answering(const struct core_port *p);
#define CORE_PORT_MISSES 5u
/* Asks STATUS; done (may be NULL) once, whatever the answer. Only one question is
 * under way at a time: a second asker waits for the next answer, at most
 * CORE_PORT_WAITERS of them. */
#define CORE_PORT_WAITERS 64u
void core_port_refresh(struct core_port *p, core_port_cb done, void *arg);
/* Called after the state changed. */
void core_port_on_change(struct core_port *p, core_port_cb cb, void *arg);

#endif
