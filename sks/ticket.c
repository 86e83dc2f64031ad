/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets (sks/ticket.h). Pure functions over base/crypt; any thread. */
#include "sks/ticket.h"

#include <string.h>

#include "sks/record.h"
#include "sks/smk.h"

#define AHEAD_S 300u

/* Offsets in the sealed part. */
enum {
    AT_EPOCH = 8,
    AT_ISSUED = 16,
    AT_EXPIRES = 24,
    AT_HARD = 32,
    AT_FAMILY = 40,
    AT_SPKI = 56,
    AT_KK_ID = 88,
    AT_KK = 104,
    AT_TS = 136,
    AT_TAIL = 168
};

void ticket_wipe(struct ticket *t)
{
    bytes_wipe(t, sizeof(*t));
}

/* The rules on sealed fields that need nothing from outside. */
static enum err check_content(const struct ticket *t)
{
    uint8_t id[ID_SIZE] = { 0 };
    const bool no_kk = t->flags == TICKET_NO_KK;
    if (t->role < RECORD_KRSO || t->role > RECORD_CU || (t->flags != 0 && !no_kk)) {
        return ERR_BAD_CONTENT;
    }
    if (t->issued >= t->expires || (t->hard_expiry > 0 && t->expires > t->hard_expiry)) {
        return ERR_BAD_CONTENT;
    }
    if (bytes_all_zero(bytes_of(t->family, ID_SIZE))) {
        return ERR_BAD_CONTENT;
    }
    if (no_kk && !bytes_all_zero(bytes_of(t->kk, CRYPT_KEY))) {
        return ERR_BAD_CONTENT;
    }
    if (!no_kk) {
        TRY(smk_kk_id(t->kk, t->keyring_id, id));
    }
    return blob_id_order(id, t->kk_id) == 0 ? ERR_OK : ERR_BAD_CONTENT;
}

static void encode(const struct ticket *t, uint8_t out[BLOB_TICKET_SEALED])
{
    memset(out, 0, BLOB_TICKET_SEALED);
    out[0] = t->role;
    out[1] = t->flags;
    put_u64(out + AT_EPOCH, t->epoch);
    put_u64(out + AT_ISSUED, t->issued);
    put_u64(out + AT_EXPIRES, t->expires);
    put_u64(out + AT_HARD, t->hard_expiry);
    memcpy(out + AT_FAMILY, t->family, ID_SIZE);
    memcpy(out + AT_SPKI, t->client_spki, 32);
    memcpy(out + AT_KK_ID, t->kk_id, ID_SIZE);
    memcpy(out + AT_KK, t->kk, CRYPT_KEY);
    memcpy(out + AT_TS, t->ts, 32);
}

static enum err decode(const uint8_t in[BLOB_TICKET_SEALED], struct ticket *t)
{
    t->role = in[0];
    t->flags = in[1];
    t->epoch = get_u64(in + AT_EPOCH);
    t->issued = get_u64(in + AT_ISSUED);
    t->expires = get_u64(in + AT_EXPIRES);
    t->hard_expiry = get_u64(in + AT_HARD);
    memcpy(t->family, in + AT_FAMILY, ID_SIZE);
    memcpy(t->client_spki, in + AT_SPKI, 32);
    memcpy(t->kk_id, in + AT_KK_ID, ID_SIZE);
    memcpy(t->kk, in + AT_KK, CRYPT_KEY);
    memcpy(t->ts, in + AT_TS, 32);
    if (!bytes_all_zero(bytes_of(in + 2, 6)) || !bytes_all_zero(bytes_of(in + AT_TAIL, 16))) {
        return ERR_BAD_CONTENT;
    }
    return check_content(t);
}

enum err ticket_seal_with(const struct ticket *t,
                          const uint8_t tk[CRYPT_KEY],
                          const uint8_t nonce[CRYPT_NONCE],
                          uint8_t out[BLOB_TICKET_SIZE])
{
    uint8_t plain[BLOB_TICKET_SEALED];
    uint8_t *sealed = out + BLOB_TICKET_HEADER;
    TRY(check_content(t));
    blob_prefix_write(BLOB_TICKET, out);
    TRY(smk_tk_id(tk, out + 8));
    memcpy(out + 24, t->keyring_id, ID_SIZE);
    memcpy(out + 40, nonce, CRYPT_NONCE);
    encode(t, plain);
    const enum err e =
        xaes_seal_once(tk, nonce, bytes_of(out, BLOB_TICKET_HEADER), bytes_of(plain, sizeof(plain)),
                       sealed, sealed + BLOB_TICKET_SEALED);
    bytes_wipe(plain, sizeof(plain));
    return e;
}

enum err ticket_seal(const struct ticket *t,
                     const uint8_t tk[CRYPT_KEY],
                     uint8_t out[BLOB_TICKET_SIZE])
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return ticket_seal_with(t, tk, nonce, out);
}

enum err ticket_open(struct bytes sealed,
                     const uint8_t tk[CRYPT_KEY],
                     const uint8_t keyring_id[ID_SIZE],
                     struct ticket *out)
{
    __attribute__((cleanup(ticket_wipe))) struct ticket t = { 0 };
    uint8_t copy[BLOB_TICKET_SIZE];
    uint8_t plain[BLOB_TICKET_SEALED];
    uint8_t id[ID_SIZE];
    struct blob_ticket_header h;
    if (sealed.size != sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, sealed.data, sizeof(copy));
    TRY(blob_ticket_parse(bytes_of(copy, sizeof(copy)), &h));
    TRY(smk_tk_id(tk, id));
    if (blob_id_order(id, h.tk_id) != 0 || blob_id_order(keyring_id, h.keyring_id) != 0) {
        return ERR_WRONG_KEY;
    }
    TRY(xaes_unseal_once(tk, h.nonce, bytes_of(copy, BLOB_TICKET_HEADER),
                         bytes_of(copy + BLOB_TICKET_HEADER, BLOB_TICKET_SEALED),
                         copy + BLOB_TICKET_HEADER + BLOB_TICKET_SEALED, plain));
    memcpy(t.keyring_id, h.keyring_id, ID_SIZE);
    const enum err e = decode(plain, &t);
    bytes_wipe(plain, sizeof(plain));
    if (e == ERR_OK) {
        *out = t;
    }
    return e;
}

enum err ticket_reason(const struct ticket *t, const struct ticket_rules *rules)
{
    const bool no_kk = t->flags == TICKET_NO_KK;
    if (!secret_equal(bytes_of(t->client_spki, 32), bytes_of(rules->client_spki, 32))) {
        return ERR_REFUSED;
    }
    if (t->issued > rules->now && t->issued - rules->now > AHEAD_S) {
        return ERR_CLOCK;
    }
    if (rules->now >= t->expires) {
        return ERR_TICKET_EXPIRED;
    }
    if (t->epoch < rules->floor_epoch || t->epoch < rules->record_epoch) {
        return ERR_TICKET_EXPIRED;
    }
    if (t->epoch > rules->record_epoch) {
        return ERR_TICKET_LATE;
    }
    if (!no_kk && blob_id_order(t->kk_id, rules->record_kk_id) != 0) {
        return ERR_TICKET_EXPIRED;
    }
    return ERR_OK;
}

enum err ticket_check(const struct ticket *t, const struct ticket_rules *rules)
{
    return ticket_reason(t, rules) == ERR_OK ? ERR_OK : ERR_REFUSED;
}

enum err ticket_refresh(struct ticket *t, uint64_t now, uint64_t life_s)
{
    uint64_t expires = now + life_s;
    if (t->hard_expiry > 0 && now >= t->hard_expiry) {
        return ERR_TICKET_EXPIRED;
    }
    if (t->hard_expiry > 0 && expires > t->hard_expiry) {
        expires = t->hard_expiry;
    }
    t->issued = now;
    t->expires = expires;
    return ERR_OK;
}
