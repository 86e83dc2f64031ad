/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's parts, as its handlers see them. Everything here lives on the
 * loop thread. Pointers are owned by ringkeepd_main.c (or a test); a handler
 * borrows them. No field holds a secret: passwords, imported keys and ticket
 * secrets pass through sealed to a core. */
#ifndef RINGKEEP_APPLIANCE_APPLIANCE_H
#define RINGKEEP_APPLIANCE_APPLIANCE_H

#include <uv.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "cluster/cluster.h"
#include "hsm-sim/core_client.h"
#include "keyring/store.h"

#include "appliance/poison.h"
#include "appliance/settings.h"

struct core_port;
struct sessions;
struct catalogue;
struct logins;
struct client_door;
struct admin_door;
struct duties;

struct appliance {
    uv_loop_t *loop;
    const struct clock *clock;
    const struct random_source *random;
    const struct settings *settings;
    const struct core *core;
    struct core_rings *rings; /* NULL in tests: then no counters */
    struct core_port *port;
    struct store *store;
    struct cluster *cluster;
    struct sessions *sessions;
    struct catalogue *catalogue;
    struct logins *logins;
    struct poison poison;
    struct client_door *clients; /* NULL until opened */
    struct admin_door *admins;
    struct duties *duties; /* NULL in most tests */
};

/* State of this member by its core and its store (enum core_state). */
enum core_state appliance_state(const struct appliance *a);
/* ERR_OK where the state is at least `least`, else the error that says what is
 * missing. */
enum err appliance_state_check(const struct appliance *a, enum core_state least) MUST_USE;
/* Index of the newest committed view; 0 where the store cannot be read. */
uint64_t appliance_visible(const struct appliance *a);
/* What to do about an error, for people; NULL where its text says it all. */
const char *appliance_advice(enum err e);

#endif
