/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings of a client and the end of its memory. With the lock held. */
#include "client/client_state.h"

#include <stdlib.h>
#include <string.h>

struct client_keyring *client_keyring_find(struct ringkeep_client *c, const uint8_t id[ID_SIZE], bool make)
{
    size_t count = 0;
    for (struct client_keyring *k = c->keyrings; k != NULL; k = k->next) {
        if (memcmp(k->id, id, ID_SIZE) == 0) {
            return k;
        }
        count++;
    }
    if (!make || count >= LIMIT_ASSIGNMENTS_PER_CLIENT) {
        return NULL;
    }
    struct client_keyring *k = calloc(1, sizeof(*k));
    if (k != NULL) {
        memcpy(k->id, id, ID_SIZE);
        k->next = c->keyrings;
        c->keyrings = k;
    }
    return k;
}

void client_login_forget(struct client_login *l)
{
    buf_drop(&l->ticket);
    bytes_wipe(l, sizeof(*l));
}

void client_cut_history(struct ringkeep_client *c)
{
    c->have_incarnation = false;
    c->index = 0;
    c->map_epoch = 0;
    c->map_wanted = 1; /* the map is asked for anew */
    for (struct client_keyring *k = c->keyrings; k != NULL; k = k->next) {
        client_catalogue_drop(k->catalogue);
        k->catalogue = NULL;
    }
}

void client_state_free(struct ringkeep_client *c)
{
    while (c->keyrings != NULL) {
        struct client_keyring *k = c->keyrings;
        c->keyrings = k->next;
        client_catalogue_drop(k->catalogue);
        client_login_forget(&k->login);
        free(k);
    }
    tls_context_close(c->tls);
    (void)pthread_mutex_destroy(&c->mutex);
    free(c);
}
