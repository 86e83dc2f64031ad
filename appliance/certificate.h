/* SPDX-License-Identifier: Apache-2.0 */
/* This member's files of the cluster's CA: tls/ca.crt from the store, and
 * tls/server.key with tls/server.crt, issued by the core and renewed when less than
 * half of its life is left. The client door opens or reloads after each. Loop
 * thread. */
#ifndef RINGKEEP_APPLIANCE_CERTIFICATE_H
#define RINGKEEP_APPLIANCE_CERTIFICATE_H

#include "appliance/appliance.h"

typedef void (*certificate_cb)(void *arg, enum err e);

struct certificate {
    struct appliance *a;
    bool asking;
    certificate_cb cb;
    void *arg;
};
/* Writes tls/ca.crt where it is missing or another, and asks for a server
 * certificate where one is needed. cb once (may be NULL): ERR_OK also where nothing
 * was to be done. ERR_BUSY at once while another renewal is under way. */
void certificate_renew(struct certificate *c, certificate_cb cb, void *arg);

#endif
