/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute lists as crypto-spec section 2 "A plaintext": TLV u32 type, u32 len,
 * value; types ascending, each once, at most 64. The same bytes travel in
 * templates from the client, lie in section A of a blob and come back from FIND.
 * CK_ULONG is u64 here, CK_BBOOL one byte. */
#ifndef RINGKEEP_PROTO_TEMPLATE_H
#define RINGKEEP_PROTO_TEMPLATE_H

#include "base/bytes.h"

struct template_entry {
    uint32_t type;
    struct bytes value;
};
/* Iteration; start with *at = 0. ERR_NOTFOUND at the end, ERR_MALFORMED. */
enum err template_next(struct bytes list, size_t *at, struct template_entry *out) MUST_USE;
/* Whole check: ascending, once each, bounds, count. */
enum err template_check(struct bytes list) MUST_USE;
/* ERR_NOTFOUND when absent. */
enum err template_get(struct bytes list, uint32_t type, struct bytes *out) MUST_USE;
enum err template_get_u64(struct bytes list, uint32_t type, uint64_t *out) MUST_USE;
enum err template_get_bool(struct bytes list, uint32_t type, bool *out) MUST_USE;
/* Inserts or replaces, keeping order. */
enum err template_put(struct buf *list, uint32_t type, struct bytes value) MUST_USE;
enum err template_put_u64(struct buf *list, uint32_t type, uint64_t value) MUST_USE;
enum err template_put_bool(struct buf *list, uint32_t type, bool value) MUST_USE;
enum err template_remove(struct buf *list, uint32_t type) MUST_USE; /* absent is fine */

#endif
