/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on the stack that wipe themselves, however the function is left. Inside
 * sks/ only; structs with secrets have their own *_wipe. */
#ifndef RINGKEEP_SKS_WIPE_H
#define RINGKEEP_SKS_WIPE_H

#include "base/bytes.h"

static inline void wipe_key(uint8_t (*key)[32])
{
    bytes_wipe(*key, sizeof(*key));
}
static inline void wipe_pair(uint8_t (*pair)[64])
{
    bytes_wipe(*pair, sizeof(*pair));
}
/* KEY_SCOPED(k); declares uint8_t k[32]. PAIR_SCOPED: 64 bytes. */
#define KEY_SCOPED(name) __attribute__((cleanup(wipe_key))) uint8_t name[32]
#define PAIR_SCOPED(name) __attribute__((cleanup(wipe_pair))) uint8_t name[64]

#endif
