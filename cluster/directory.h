/* SPDX-License-Identifier: Apache-2.0 */
/* Who the members are: the rows of the store, or, in a joiner whose own row has
 * not arrived yet, the rows it was welcomed with. A plain value; loop thread. */
#ifndef RINGKEEP_CLUSTER_DIRECTORY_H
#define RINGKEEP_CLUSTER_DIRECTORY_H

#include "base/limits.h"
#include "base/x509.h"
#include "keyring/store.h"

struct directory_row {
    uint8_t member_id[ID_SIZE];
    uint8_t spki_hash[X509_SPKI_HASH];
    uint8_t data_uuid[ID_SIZE];
    bool has_uuid;
    uint64_t raft_id;
    char name[LIMIT_NAME + 1];
    char client_address[LIMIT_ADDRESS], peer_address[LIMIT_ADDRESS], join_address[LIMIT_ADDRESS];
};

struct directory {
    struct directory_row row[LIMIT_MEMBERS];
    unsigned count;
    bool complete; /* from the store, with this member's own row */
};

/* Wholly zeroed first, padding too: directory_equal compares bytes. */
enum err directory_load(struct store *store,
                        const uint8_t self_id[ID_SIZE],
                        struct directory *out) MUST_USE;
bool directory_equal(const struct directory *a, const struct directory *b);
const struct directory_row *directory_by_member(const struct directory *d,
                                                const uint8_t member_id[ID_SIZE]);
const struct directory_row *directory_by_hash(const struct directory *d,
                                              const uint8_t spki_hash[X509_SPKI_HASH]);
const struct directory_row *directory_by_raft_id(const struct directory *d, uint64_t raft_id);

#endif
