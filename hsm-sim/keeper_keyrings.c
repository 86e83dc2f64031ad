/* SPDX-License-Identifier: Apache-2.0 */
/* Handles of keyrings: opened by ticket or publicly, renewed, ended; and what the
 * workers ask of them. Every check of crypto-spec section 4 is here. The keeper's
 * thread. */
#include <string.h>

#include "hsm-sim/keeper_inner.h"

enum err keeper_session(struct keeper *k, uint64_t handle, struct keeper_handle **out)
{
    struct keeper_handle *h = keeper_handles_find(k->handles, handle, clock_boot_ms(k->clock));
    if (h == NULL || h->admin) {
        return ERR_LOGIN_REQUIRED;
    }
    if (h->role != 0 && keeper_now_s(k) >= h->ticket.expires) {
        keeper_handles_drop(k->handles, h);
        return ERR_TICKET_EXPIRED;
    }
    *out = h;
    return ERR_OK;
}

/* BK where the ticket brought KK; a KRSO never gets it: it opens no key. */
static enum err derive_keys(struct keeper *k, struct keeper_handle *h)
{
    const struct ticket *t = &h->ticket;
    uint8_t ks[CRYPT_KEY];
    TRY(smk_public(k->set.primary, t->keyring_id, h->pub));
    h->has_bk = h->role > RECORD_KRSO && (t->flags & TICKET_NO_KK) == 0;
    if (!h->has_bk) {
        return ERR_OK;
    }
    TRY(smk_share(k->set.primary, t->keyring_id, ks));
    enum err e = smk_blob_key(t->kk, ks, k->smk_id, t->keyring_id, t->kk_id, h->bk);
    bytes_wipe(ks, sizeof ks);
    return e;
}

static enum err add_handle(struct keeper *k, struct keeper_handle *h, struct keeper_out *out)
{
    struct keeper_handle *added = NULL;
    TRY(derive_keys(k, h));
    TRY(keeper_handles_add(k->handles, h, clock_boot_ms(k->clock), &added));
    out->number = added->id;
    return ERR_OK;
}

/* A ticket of another TK is one of before a rollover or `logout --all`. */
static enum err open_ticket(struct keeper *k,
                            struct bytes sealed,
                            const struct record *record,
                            struct ticket *out)
{
    struct blob_ticket_header h;
    uint8_t tk_id[ID_SIZE];
    enum err e = blob_ticket_parse(sealed, &h);
    if (e == ERR_OK) {
        TRY(smk_tk_id(k->set.tk, tk_id));
        if (!keeper_same_id(tk_id, h.tk_id)) {
            return ERR_TICKET_EXPIRED;
        }
        e = ticket_open(sealed, k->set.tk, record->owner_id, out);
    }
    return e == ERR_OK ? ERR_OK : keeper_refuse(k, "ticket", "ticket not accepted", e);
}

static enum err check_ticket(struct keeper *k,
                             const struct ticket *t,
                             const struct record *record,
                             const uint8_t client_spki[32])
{
    struct ticket_rules rules = { .now = keeper_now_s(k), .record_epoch = record->epoch };
    const struct keeper_floor *f = keeper_floor_find(&k->state, record->owner_id);
    rules.floor_epoch = f != NULL ? f->epoch : 0;
    memcpy(rules.client_spki, client_spki, sizeof rules.client_spki);
    memcpy(rules.record_kk_id, record->kk_id, ID_SIZE);
    enum err e = ticket_reason(t, &rules);
    if (e == ERR_REFUSED) {
        return keeper_refuse(k, "ticket", "ticket of another client", ERR_IDENTITY);
    }
    TRY(e);
    return record_row_of(record, t->role) != NULL ? ERR_OK : ERR_TICKET_EXPIRED;
}

static enum err open_handle(struct keeper *k,
                            const struct core_request *q,
                            struct record *record,
                            struct keeper_handle *h,
                            struct keeper_out *out)
{
    TRY(keeper_record_see(k, q->section[1], record));
    TRY(open_ticket(k, q->section[0], record, &h->ticket));
    TRY(check_ticket(k, &h->ticket, record, q->section[2].data));
    h->role = h->ticket.role;
    TRY(add_handle(k, h, out));
    keeper_out_put(out, h->ticket.family, ID_SIZE);
    return ERR_OK;
}

enum err keeper_keyrings_open(struct keeper_call *call, struct keeper_out *out)
{
    struct record record = { 0 };
    struct keeper_handle h = { 0 };
    TRY(keeper_section(call->request, 2, 32));
    enum err e = open_handle(call->k, call->request, &record, &h, out);
    record_wipe(&record);
    bytes_wipe(&h, sizeof h);
    return e;
}

enum err keeper_keyrings_open_public(struct keeper_call *call, struct keeper_out *out)
{
    struct record record = { 0 };
    struct keeper_handle h = { 0 };
    TRY(keeper_section(call->request, 1, 32));
    enum err e = keeper_record_see(call->k, call->request->section[0], &record);
    if (e == ERR_OK) {
        memcpy(h.ticket.keyring_id, record.owner_id, ID_SIZE);
        memcpy(h.ticket.client_spki, call->request->section[1].data, sizeof h.ticket.client_spki);
        e = add_handle(call->k, &h, out);
    }
    record_wipe(&record);
    bytes_wipe(&h, sizeof h);
    return e;
}

enum err keeper_keyrings_close(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_handle *h =
        keeper_handles_find(k->handles, call->request->handle, clock_boot_ms(k->clock));
    (void)out;
    if (h != NULL) {
        keeper_handles_drop(k->handles, h);
    }
    return ERR_OK;
}

enum err keeper_keyrings_refresh(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_handle *h = NULL;
    TRY(keeper_session(k, call->request->handle, &h));
    if (h->role == 0) {
        return ERR_LOGIN_REQUIRED;
    }
    TRY(keeper_clock_check(k));
    TRY(ticket_refresh(&h->ticket, keeper_now_s(k), KEEPER_TICKET_S));
    return ticket_seal(&h->ticket, k->set.tk, keeper_out_room(out, BLOB_TICKET_SIZE));
}

enum err keeper_keyrings_record_seen(struct keeper_call *call, struct keeper_out *out)
{
    struct record record = { 0 };
    enum err e = keeper_record_see(call->k, call->request->section[0], &record);
    out->number = record.version;
    record_wipe(&record);
    return e;
}

enum err keeper_keyrings_keys(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_handle *h = NULL;
    struct keeper_keys keys = { 0 };
    TRY(keeper_session(k, call->request->handle, &h));
    memcpy(keys.keyring_id, h->ticket.keyring_id, ID_SIZE);
    memcpy(keys.smk_id, k->smk_id, ID_SIZE);
    memcpy(keys.pub, h->pub, sizeof keys.pub);
    keys.role = h->role;
    keys.expires = h->role != 0 ? h->ticket.expires : UINT64_MAX;
    if (h->role != 0) {
        memcpy(keys.family, h->ticket.family, ID_SIZE);
    }
    if (h->has_bk) {
        keys.has_bk = 1;
        memcpy(keys.kk_id, h->ticket.kk_id, ID_SIZE);
        memcpy(keys.bk, h->bk, sizeof keys.bk);
    }
    keeper_keys_encode(&keys, keeper_out_room(out, KEEPER_KEYS_SIZE));
    bytes_wipe(&keys, sizeof keys);
    return ERR_OK;
}

/* The context as envelope_import_context writes it, from the template's hash. */
static void import_context(const struct keeper *k,
                           const struct keeper_handle *h,
                           const struct core_request *q,
                           uint8_t out[ENVELOPE_IMPORT_CONTEXT])
{
    memcpy(out, k->state.cluster_id, ID_SIZE);
    memcpy(out + 16, q->section[1].data, ID_SIZE);
    memcpy(out + 32, h->ticket.keyring_id, ID_SIZE);
    memcpy(out + 48, h->ticket.client_spki, 32);
    memcpy(out + 80, q->section[2].data, 32);
}

enum err keeper_keyrings_import_key(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    const struct core_request *q = call->request;
    struct keeper_handle *h = NULL;
    uint8_t context[ENVELOPE_IMPORT_CONTEXT];
    uint8_t key[CRYPT_KEY];
    TRY(keeper_section(q, 0, 32));
    TRY(keeper_section(q, 1, ID_SIZE));
    TRY(keeper_section(q, 2, 32));
    TRY(keeper_session(k, q->handle, &h));
    if (!h->has_bk) {
        return ERR_LOGIN_REQUIRED;
    }
    enum err e = keeper_challenge_spend(k, q->section[1].data);
    if (e == ERR_OK) {
        import_context(k, h, q, context);
        e = envelope_import_key(q->section[0].data, k->set.lk_private, context, key);
    }
    if (e != ERR_OK) {
        return keeper_refuse(k, "import", "envelope not accepted", e);
    }
    keeper_out_put(out, key, sizeof key);
    /* Not a secret: the worker checks with it what it opens (envelope.h). */
    keeper_out_put(out, context, sizeof context);
    bytes_wipe(key, sizeof key);
    return ERR_OK;
}

enum err keeper_keyrings_sys_key(struct keeper_call *call, struct keeper_out *out)
{
    struct keeper *k = call->k;
    struct keeper_handle *handle = NULL;
    if (call->request->number > KEEPER_SYS_CA) {
        return ERR_MALFORMED;
    }
    if (call->request->number == KEEPER_SYS_CLIENT) {
        TRY(keeper_admin(k, call->request->handle, RECORD_PO, &handle));
    }
    keeper_out_put(out, k->opener[SMK_SYSTEM].key[0].key, CRYPT_KEY);
    keeper_out_put(out, k->smk_id, ID_SIZE);
    keeper_out_put(out, k->state.cluster_id, ID_SIZE);
    return ERR_OK;
}
