/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings and clients by what people call them. Loop thread. */
#include "appliance/admin_find.h"

#include <string.h>

#include "base/x509.h"
#include "keyring/query.h"

/* Exactly 2 * size hexadecimal digits. */
static bool is_hex(const char *text, uint8_t *out, size_t size)
{
    return strlen(text) == 2 * size && hex_to(text, out, size) == ERR_OK;
}

static bool keyring_exists(const struct store_view *view, const uint8_t id[ID_SIZE])
{
    void *row = NULL;
    const enum err e = query_keyring(view, id, &row);
    query_drop(row);
    return e == ERR_OK;
}

static bool client_exists(const struct store_view *view, const uint8_t spki_hash[32])
{
    void *row = NULL;
    const enum err e = query_client(view, spki_hash, &row);
    query_drop(row);
    return e == ERR_OK;
}

bool admin_find_keyring(struct admin_request *r, const struct store_view *view, uint8_t id[ID_SIZE])
{
    const char *text = admin_argument(r, "keyring");
    if (text == NULL || text[0] == '\0') {
        admin_fail(r, ERR_USAGE, "name the keyring by its label or id");
        return false;
    }
    if (query_keyring_by_label(view, text, id) == ERR_OK) {
        return true;
    }
    if (is_hex(text, id, ID_SIZE) && keyring_exists(view, id)) {
        return true;
    }
    admin_fail(r, ERR_NOTFOUND, "no such keyring: see ringkeep keyring list");
    return false;
}

bool admin_find_client(struct admin_request *r, const struct store_view *view, uint8_t spki_hash[32])
{
    const char *text = admin_argument(r, "client");
    if (text == NULL || text[0] == '\0') {
        admin_fail(r, ERR_USAGE, "name the client by its name or key hash");
        return false;
    }
    if (query_client_by_name(view, text, spki_hash) == ERR_OK) {
        return true;
    }
    if (is_hex(text, spki_hash, 32) && client_exists(view, spki_hash)) {
        return true;
    }
    admin_fail(r, ERR_NOTFOUND, "no such client: see ringkeep client list");
    return false;
}

enum err admin_find_own_spki(const struct admin_request *r, uint8_t hash[32])
{
    char path[SETTINGS_PATH + 64];
    BUF_SCOPED spki = { 0 };
    settings_tls_path(r->a->settings, "member.key", path, sizeof path);
    return x509_key_spki(path, &spki, hash);
}

bool admin_find_page(struct admin_request *r, struct bytes key, bool *stop)
{
    uint8_t after[64];
    const char *text = admin_argument(r, "after");
    *stop = false;
    if (text != NULL && key.size <= sizeof after && is_hex(text, after, key.size) &&
        memcmp(key.data, after, key.size) <= 0) {
        return false;
    }
    if (admin_row_count(r) == ADMIN_ROWS) {
        admin_row_end(r);
        admin_number(r, "more", 1);
        *stop = true;
        return false;
    }
    return true;
}
