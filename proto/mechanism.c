/* SPDX-License-Identifier: Apache-2.0 */
/* Mechanism parameters on the wire, and the table of what is supported. */
#include "proto/mechanism.h"

#include <p11-kit/pkcs11.h>

#define GCM_IV_MAX 256u

static const struct mechanism_row rows[] = {
#define MECHANISM(name, least, largest, flags)                                                     \
    { name, #name, least, largest, (uint32_t)((flags) | CKF_HW) },
#include "proto/mechanism.def"
#undef MECHANISM
};

const struct mechanism_row *mechanism_rows(size_t *count)
{
    *count = sizeof(rows) / sizeof(rows[0]);
    return rows;
}

const struct mechanism_row *mechanism_find(uint64_t number)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].number == number) {
            return &rows[i];
        }
    }
    return NULL;
}

enum err mechanism_pss_parse(struct bytes p, struct mechanism_pss *out)
{
    if (p.size != 24) {
        return ERR_MECHANISM_PARAM;
    }
    out->hash = get_u64(p.data);
    out->mgf = get_u64(p.data + 8);
    out->salt_size = get_u64(p.data + 16);
    return ERR_OK;
}

enum err mechanism_pss_append(struct buf *out, const struct mechanism_pss *p)
{
    uint8_t bytes[24];
    put_u64(bytes, p->hash);
    put_u64(bytes + 8, p->mgf);
    put_u64(bytes + 16, p->salt_size);
    return buf_append(out, bytes_of(bytes, sizeof(bytes)), SIZE_MAX);
}

enum err mechanism_oaep_parse(struct bytes p, struct mechanism_oaep *out)
{
    if (p.size < 20 || get_u32(p.data + 16) != p.size - 20) {
        return ERR_MECHANISM_PARAM;
    }
    out->hash = get_u64(p.data);
    out->mgf = get_u64(p.data + 8);
    out->label = bytes_of(p.data + 20, p.size - 20);
    return ERR_OK;
}

enum err mechanism_oaep_append(struct buf *out, const struct mechanism_oaep *p)
{
    uint8_t bytes[20];
    put_u64(bytes, p->hash);
    put_u64(bytes + 8, p->mgf);
    put_u32(bytes + 16, (uint32_t)p->label.size);
    TRY(buf_append(out, bytes_of(bytes, sizeof(bytes)), SIZE_MAX));
    return buf_append(out, p->label, SIZE_MAX);
}

enum err mechanism_gcm_parse(struct bytes p, struct mechanism_gcm *out)
{
    if (p.size < 12) {
        return ERR_MECHANISM_PARAM;
    }
    const uint32_t iv = get_u32(p.data + 4);
    if (iv == 0 || iv > GCM_IV_MAX || p.size - 12 < iv) {
        return ERR_MECHANISM_PARAM;
    }
    const uint32_t aad = get_u32(p.data + 8 + iv);
    if (aad != p.size - 12 - iv) {
        return ERR_MECHANISM_PARAM;
    }
    out->gcm_tag_bits = get_u32(p.data);
    out->iv = bytes_of(p.data + 8, iv);
    out->aad = bytes_of(p.data + 12 + iv, aad);
    return ERR_OK;
}

enum err mechanism_gcm_append(struct buf *out, const struct mechanism_gcm *p)
{
    uint8_t bytes[8];
    put_u32(bytes, p->gcm_tag_bits);
    put_u32(bytes + 4, (uint32_t)p->iv.size);
    TRY(buf_append(out, bytes_of(bytes, sizeof(bytes)), SIZE_MAX));
    TRY(buf_append(out, p->iv, SIZE_MAX));
    put_u32(bytes, (uint32_t)p->aad.size);
    TRY(buf_append(out, bytes_of(bytes, 4), SIZE_MAX));
    return buf_append(out, p->aad, SIZE_MAX);
}
