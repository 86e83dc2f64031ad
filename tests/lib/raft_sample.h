/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that apply accepts, without a core: sealed parts are filler, since apply
 * looks at clear headers only. One cluster, one keyring, any number of objects. */
#ifndef RINGKEEP_TESTS_RAFT_SAMPLE_H
#define RINGKEEP_TESTS_RAFT_SAMPLE_H

#include "base/bytes.h"
#include "keyring/store.h"

void raft_sample_cluster(struct buf *out);
void raft_sample_keyring(struct buf *out);
/* Creates object `number`; its request id, hash and object id follow from it.
 * `filler` bytes of attributes make commands of odd sizes. */
void raft_sample_object(struct buf *out, uint32_t number, size_t filler);
/* Objects in the keyring, from its row and by counting: both must agree. */
uint64_t raft_sample_objects(struct store *s);
bool raft_sample_has(struct store *s, uint32_t number);

#endif
