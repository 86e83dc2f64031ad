/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a client, and what it tells about itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypt.h"
#include "client/client_pool.h"
#include "client/client_text.h"
#include "client/ringkeep_internal.h"

static _Thread_local char open_text[1536];

static enum err check_file(const char *what, const char *path)
{
    if (access(path, R_OK) == 0) {
        return ERR_OK;
    }
    (void)snprintf(open_text, sizeof(open_text), "%s '%s' cannot be read; register this client", what, path);
    return ERR_CONFIG;
}

static enum err load_identity(struct ringkeep_client *c)
{
    BUF_SCOPED certificate = { 0 };
    struct tls_options options = { 0 };
    const struct client_config *f = &c->config;
    TRY(check_file("certificate", f->certificate));
    TRY(check_file("key", f->key));
    TRY(check_file("CA certificate", f->ca));
    options.trust = TLS_TRUST_CA;
    options.cert_path = f->certificate;
    options.key_path = f->key;
    options.ca_path = f->ca;
    enum err e = x509_cert_read(f->certificate, &certificate);
    if (e == ERR_OK) {
        e = x509_cert_spki_hash(buf_bytes(&certificate), c->spki_hash);
    }
    if (e == ERR_OK) {
        e = tls_context_open(&options, &c->tls);
    }
    if (e != ERR_OK) {
        (void)snprintf(open_text,
                       sizeof(open_text),
                       "certificate, key and CA of %s cannot be used: do they belong together?",
                       f->path);
        return e == ERR_NOMEM ? e : ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err set_up(struct ringkeep_client *c, const char *path)
{
    char where[CLIENT_PATH];
    TRY(client_config_find(path, where, open_text, sizeof(open_text)));
    TRY(client_config_read(where, &c->config, open_text, sizeof(open_text)));
    return load_identity(c);
}

int ringkeep_open(const char *path, struct ringkeep_client **out, const char **text)
{
    struct ringkeep_client *c = calloc(1, sizeof(*c));
    open_text[0] = '\0';
    *text = open_text;
    if (c == NULL || crypt_init_guest() != ERR_OK || pthread_mutex_init(&c->mutex, NULL) != 0) {
        (void)snprintf(open_text, sizeof(open_text), "no memory, or no usable OpenSSL");
        free(c);
        return ERR_NOMEM;
    }
    c->call_ms = LIMIT_CALL_MS;
    const enum err e = set_up(c, path);
    if (e != ERR_OK) {
        client_state_free(c);
        return (int)e;
    }
    client_pool_init(c);
    client_fork_watch(c);
    *out = c;
    return ERR_OK;
}

void ringkeep_close(struct ringkeep_client *c)
{
    if (c == NULL) {
        return;
    }
    client_fork_unwatch(c);
    client_pool_drop_idle(c, CLIENT_NO_MEMBER, NULL);
    client_state_free(c);
}

const char *ringkeep_error_text(int error)
{
    return error < 0 || error >= ERR_COUNT ? "unknown error" : err_text((enum err)error);
}

const char *ringkeep_last_text(void)
{
    return client_text_get();
}

void ringkeep_set_call_ms(struct ringkeep_client *c, uint64_t ms)
{
    client_lock(c);
    c->call_ms = ms;
    client_unlock(c);
}

unsigned ringkeep_login_role(struct ringkeep_client *c, const uint8_t keyring_id[16])
{
    client_lock(c);
    const struct client_keyring *k = client_keyring_find(c, keyring_id, false);
    const unsigned role = k == NULL || k->login.serial == 0 ? 0 : k->login.role;
    client_unlock(c);
    return role;
}

void ringkeep_counters(struct ringkeep_client *c, struct ringkeep_counters *out)
{
    client_lock(c);
    *out = c->counters;
    client_unlock(c);
}
