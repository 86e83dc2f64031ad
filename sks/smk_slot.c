/* SPDX-License-Identifier: Apache-2.0 */
/* State slots of the core (crypto-spec section 1, sks/smk.h): sealed under STK,
 * two files in turn. No I/O here; any thread. */
#include <assert.h>
#include <string.h>

#include "sks/smk.h"
#include "sks/wipe.h"

enum err smk_state_key(const uint8_t mtk[CRYPT_KEY],
                       const uint8_t core_id[ID_SIZE],
                       uint8_t out[CRYPT_KEY])
{
    return crypt_hk(bytes_of(mtk, CRYPT_KEY), bytes_of(NULL, 0), "state",
                    bytes_of(core_id, ID_SIZE), out, CRYPT_KEY);
}

unsigned smk_slot_file(uint64_t sequence)
{
    return (unsigned)(sequence & 1);
}

enum err smk_slot_seal_with(const uint8_t stk[CRYPT_KEY],
                            const uint8_t core_id[ID_SIZE],
                            uint64_t sequence,
                            struct bytes body,
                            const uint8_t nonce[CRYPT_NONCE],
                            struct buf *out)
{
    uint8_t *at = NULL;
    assert(out->size == 0);
    if (body.size > SMK_SLOT_MAX - SMK_SLOT_OVERHEAD) {
        return ERR_TOO_LARGE;
    }
    const size_t total = SMK_SLOT_OVERHEAD + body.size;
    TRY(buf_reserve(out, total, SMK_SLOT_MAX, &at));
    memset(at, 0, SMK_SLOT_HEADER);
    blob_prefix_write(BLOB_STATE, at);
    memcpy(at + 8, core_id, ID_SIZE);
    put_u64(at + 24, sequence);
    put_u32(at + 32, (uint32_t)body.size);
    memcpy(at + 40, nonce, CRYPT_NONCE);
    uint8_t *sealed = at + SMK_SLOT_HEADER;
    TRY(xaes_seal_once(stk, nonce, bytes_of(at, SMK_SLOT_HEADER), body, sealed,
                       sealed + body.size));
    out->size = total;
    return ERR_OK;
}

enum err smk_slot_seal(const uint8_t stk[CRYPT_KEY],
                       const uint8_t core_id[ID_SIZE],
                       uint64_t sequence,
                       struct bytes body,
                       struct buf *out)
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return smk_slot_seal_with(stk, core_id, sequence, body, nonce, out);
}

static enum err check_header(struct bytes slot)
{
    TRY(blob_prefix_check(slot, SMK_SLOT_OVERHEAD, SMK_SLOT_MAX, BLOB_STATE));
    if (!bytes_all_zero(bytes_of(slot.data + 36, 4))) {
        return ERR_MALFORMED;
    }
    const uint64_t total = (uint64_t)SMK_SLOT_OVERHEAD + get_u32(slot.data + 32);
    return total == slot.size ? ERR_OK : ERR_MALFORMED;
}

enum err smk_slot_core_id(struct bytes slot, uint8_t out[ID_SIZE])
{
    TRY(check_header(slot));
    memcpy(out, slot.data + 8, ID_SIZE);
    return ERR_OK;
}

enum err smk_slot_open(struct bytes slot,
                       const uint8_t stk[CRYPT_KEY],
                       const uint8_t core_id[ID_SIZE],
                       uint64_t *sequence,
                       struct secret *body)
{
    SECRET_SCOPED plain = { 0 };
    TRY(check_header(slot));
    if (blob_id_order(slot.data + 8, core_id) != 0) {
        return ERR_WRONG_KEY;
    }
    const size_t size = slot.size - SMK_SLOT_OVERHEAD;
    TRY(secret_alloc(&plain, size));
    TRY(xaes_unseal_once(stk, slot.data + 40, bytes_of(slot.data, SMK_SLOT_HEADER),
                         bytes_of(slot.data + SMK_SLOT_HEADER, size),
                         slot.data + SMK_SLOT_HEADER + size, plain.data));
    *sequence = get_u64(slot.data + 24);
    *body = secret_take(&plain);
    return ERR_OK;
}
