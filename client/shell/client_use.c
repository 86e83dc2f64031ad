/* SPDX-License-Identifier: Apache-2.0 */
/* libringkeep from the command line: opening, keyrings by name, login. */
#include <stdlib.h>
#include <string.h>

#include "client/ringkeep_internal.h"
#include "client/shell/parts.h"

enum err client_use_open(struct shell *s, struct ringkeep_client **out)
{
    const char *text = "";
    const int e = ringkeep_open(s->options.config, out, &text);
    if (e == ERR_OK) {
        return ERR_OK;
    }
    return shell_say(s, e == ERR_NOTFOUND ? ERR_CONFIG : (enum err)e, "%s", text);
}

void client_use_close(struct ringkeep_client **c)
{
    ringkeep_close(*c);
}

enum err client_use_fail(struct shell *s, enum err e, const char *what)
{
    const char *more = ringkeep_last_text();
    const bool said = more[0] == '\0' || strcmp(more, err_text(e)) == 0;
    return shell_say(s, e, "%s: %s%s%s", what, err_text(e), said ? "" : "; ", said ? "" : more);
}

static enum err all_slots(struct shell *s, struct ringkeep_client *c, struct ringkeep_slot **out, size_t *count)
{
    struct ringkeep_slot *slots = calloc(LIMIT_ASSIGNMENTS_PER_CLIENT, sizeof(*slots));
    if (slots == NULL) {
        return ERR_NOMEM;
    }
    const enum err e = (enum err)ringkeep_slots(c, slots, LIMIT_ASSIGNMENTS_PER_CLIENT, count);
    if (e != ERR_OK) {
        free(slots);
        return client_use_fail(s, e, "slots");
    }
    *count = *count < LIMIT_ASSIGNMENTS_PER_CLIENT ? *count : LIMIT_ASSIGNMENTS_PER_CLIENT;
    *out = slots;
    return ERR_OK;
}

enum err client_use_keyring(struct shell *s, struct ringkeep_client *c, const char *name, uint8_t id[ID_SIZE])
{
    struct ringkeep_slot *slots = NULL;
    size_t count = 0;
    bool found = false;
    if (strlen(name) == (size_t)2 * ID_SIZE && hex_to(name, id, ID_SIZE) == ERR_OK) {
        return ERR_OK;
    }
    TRY(all_slots(s, c, &slots, &count));
    for (size_t i = 0; slots != NULL && i < count && !found; i++) {
        if (strcmp(slots[i].label, name) == 0) {
            memcpy(id, slots[i].keyring_id, ID_SIZE);
            found = true;
        }
    }
    free(slots);
    return found ? ERR_OK : shell_say(s, ERR_NOTFOUND, "no keyring '%s' for this client; see 'ringkeep slots'", name);
}

enum err client_use_login(struct shell *s, struct ringkeep_client *c, const uint8_t id[ID_SIZE])
{
    PASSWORD_SCOPED p = { .size = 0 };
    TRY(password_get(s, "", "keyring password", false, &p));
    const enum err e = (enum err)ringkeep_login(c, id, RINGKEEP_ROLE_KRCO, p.data, p.size);
    return e == ERR_OK ? e : client_use_fail(s, e, "login");
}
