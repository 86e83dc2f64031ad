/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of one keyring as one answer of Find: built by one thread, then
 * never changed, shared by references. Callers count references under the lock of
 * the client; building and reading need none. */
#ifndef RINGKEEP_CLIENT_CATALOGUE_H
#define RINGKEEP_CLIENT_CATALOGUE_H

#include "base/bytes.h"
#include "client/ringkeep.h"

struct client_catalogue_row {
    uint8_t object_id[ID_SIZE];
    uint64_t handle;
    bool is_private;
    size_t at, size; /* of the attributes in `attributes` */
};

struct client_catalogue {
    unsigned references;
    uint64_t serial; /* of the login it was seen with; 0 public */
    uint64_t index;  /* "unchanged since" */
    struct client_catalogue_row *rows;
    size_t count, capacity;
    struct buf attributes;
};

/* One reference. NULL: no memory. */
struct client_catalogue *client_catalogue_make(void);
/* Handles ascend: ERR_PROTOCOL else; ERR_TOO_LARGE past LIMIT_CATALOGUE. */
enum err client_catalogue_add(struct client_catalogue *k,
                              const uint8_t object_id[ID_SIZE],
                              uint64_t handle,
                              bool is_private,
                              struct bytes attributes) MUST_USE;
/* Ends one reference, with the client's lock held. NULL is fine. */
void client_catalogue_drop(struct client_catalogue *k);
/* A row as the public API shows it; borrowed. */
struct ringkeep_object client_catalogue_object(const struct client_catalogue *k, size_t row);

#endif
