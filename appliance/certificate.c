/* SPDX-License-Identifier: Apache-2.0 */
/* CA file and server certificate. Loop thread; the files are small. */
#include "appliance/certificate.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "appliance/client_door.h"
#include "base/log.h"
#include "base/x509.h"
#include "keyring/query.h"

#include <command.pb-c.h>

#include "appliance/wire.h"

#define TLS_PATH (SETTINGS_PATH + 64)
#define ALT_NAMES 512u

static void tls_path(const struct certificate *c, const char *name, char out[TLS_PATH])
{
    settings_tls_path(c->a->settings, name, out, TLS_PATH);
}

static void finish(struct certificate *c, enum err e)
{
    certificate_cb cb = c->cb;
    c->asking = false;
    c->cb = NULL;
    if (e != ERR_OK && e != ERR_SEALED && e != ERR_IO && e != ERR_BUSY) { /* the door says those */
        log_warn("server certificate: %s", err_text(e));
    }
    if (cb != NULL) {
        cb(c->arg, e);
    }
}

/* "IP:1.2.3.4" or "DNS:name" of the address that clients use. */
static enum err alt_names(const struct settings *s, char out[ALT_NAMES])
{
    char host[LIMIT_ADDRESS];
    unsigned char binary[16];
    unsigned port = 0;
    TRY(settings_address(s->client, host, sizeof host, &port));
    const bool ip = inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
    const int n = snprintf(out, ALT_NAMES, "%s:%s", ip ? "IP" : "DNS", host);
    return n > 0 && (size_t)n < ALT_NAMES ? ERR_OK : ERR_CONFIG;
}

static enum err write_ca(const struct certificate *c, const Ringkeep__ClusterRow *row)
{
    char path[TLS_PATH];
    BUF_SCOPED have = { 0 };
    tls_path(c, "ca.crt", path);
    if (x509_cert_read(path, &have) == ERR_OK &&
        bytes_equal(buf_bytes(&have), wire_bytes(row->ca_cert))) {
        return ERR_OK;
    }
    return x509_cert_write(path, wire_bytes(row->ca_cert));
}

static bool is_needed(const struct certificate *c)
{
    char path[TLS_PATH];
    BUF_SCOPED have = { 0 };
    int64_t left = 0;
    const int64_t half = (int64_t)LIMIT_CERT_SERVER_DAYS * 86400 / 2;
    tls_path(c, "server.crt", path);
    return x509_cert_read(path, &have) != ERR_OK ||
           x509_cert_remaining_s(buf_bytes(&have), clock_wall_s(c->a->clock), &left) != ERR_OK ||
           left < half;
}

static void on_issued(void *arg, enum err e, const struct core_reply *reply)
{
    struct certificate *c = arg;
    char path[TLS_PATH];
    tls_path(c, "server.crt", path);
    if (e == ERR_OK && reply != NULL) {
        e = x509_cert_write(path, reply->section[0]);
    }
    if (e == ERR_OK && c->a->clients != NULL) {
        e = client_door_reload(c->a->clients);
    }
    if (e == ERR_OK) {
        log_security("certificate", c->a->settings->name, "server certificate renewed", "OK");
    }
    finish(c, e);
}

static enum err issue(struct certificate *c, const Ringkeep__ClusterRow *row)
{
    char key[TLS_PATH], self[TLS_PATH], names[ALT_NAMES];
    uint8_t hash[X509_SPKI_HASH];
    BUF_SCOPED spki = { 0 };
    tls_path(c, "server.key", key);
    tls_path(c, "server-self.crt", self);
    TRY(x509_make_identity(key, self, c->a->settings->name));
    TRY(x509_key_spki(key, &spki, hash));
    TRY(alt_names(c->a->settings, names));
    const struct core_request q = {
        .verb = CORE_ISSUE,
        .number = 1,
        .section = { wire_bytes(row->ca_blob), wire_bytes(row->ca_cert), buf_bytes(&spki),
                     bytes_of_text(c->a->settings->name), bytes_of_text(names) }
    };
    return core_call(c->a->core, &q, LIMIT_CALL_MS, on_issued, c);
}

static enum err begin(struct certificate *c, bool *waits)
{
    STORE_VIEW_SCOPED *view = NULL;
    void *found = NULL;
    TRY(store_view_open(c->a->store, &view));
    TRY(query_cluster(view, &found));
    const bool needed = is_needed(c);
    enum err e = write_ca(c, found);
    if (e == ERR_OK && needed) {
        e = appliance_state_check(c->a, CORE_AUTHORIZED);
    }
    if (e == ERR_OK && needed) {
        e = issue(c, found);
        *waits = e == ERR_OK;
    }
    query_drop(found);
    return e;
}

void certificate_renew(struct certificate *c, certificate_cb cb, void *arg)
{
    bool waits = false;
    if (c->asking) {
        if (cb != NULL) {
            cb(arg, ERR_BUSY);
        }
        return;
    }
    c->asking = true;
    c->cb = cb;
    c->arg = arg;
    enum err e = begin(c, &waits);
    if (waits) {
        return;
    }
    if (e == ERR_OK && c->a->clients != NULL && !client_door_listening(c->a->clients)) {
        e = client_door_reload(c->a->clients);
    }
    finish(c, e);
}
