/* SPDX-License-Identifier: Apache-2.0 */
/* What a member does by itself, once a second: asks its core how it is, tells it of
 * new rosters and records, has beacons and login keys signed and replicated, renews
 * its certificate, and as leader expires reservations. Loop thread. */
#ifndef RINGKEEP_APPLIANCE_DUTIES_H
#define RINGKEEP_APPLIANCE_DUTIES_H

#include "appliance/appliance.h"
#include "appliance/certificate.h"

struct duties;
enum err duties_open(struct appliance *a, struct duties **out) MUST_USE;
/* Stops the timer; frees itself when the loop has run. NULL is fine. */
void duties_close(struct duties *d);
/* One round, now (the timer's work; also after a change). */
void duties_run(struct duties *d);
struct certificate *duties_certificate(struct duties *d);

#endif
