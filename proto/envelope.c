/* SPDX-License-Identifier: Apache-2.0 */
/* PIN and import envelopes, and values revealed to a client
 * (proto/envelope.h; login keys are in envelope_login.c, texts in
 * envelope_text.c). Pure functions over base/crypt; any thread. */
#include "proto/envelope.h"

#include <string.h>

#include "base/digest.h"

#define PIN_PLAIN 545u /* verb, len, new_len, PIN 255, new PIN 255, ts 32 */
#define AT_PIN 3u
#define AT_NEW_PIN (AT_PIN + LIMIT_PASSWORD)
#define AT_TS (AT_NEW_PIN + LIMIT_PASSWORD)
#define AAD_MAX (8u + ENVELOPE_IMPORT_CONTEXT)

_Static_assert(AT_TS + ENVELOPE_TS == PIN_PLAIN, "PIN envelope's plain text");
_Static_assert(32u + PIN_PLAIN + CRYPT_TAG == ENVELOPE_PIN, "PIN envelope");

static const uint8_t zero_iv[12]; /* k is used once */

static void wipe_key(uint8_t (*key)[32])
{
    bytes_wipe(*key, sizeof(*key));
}
#define KEY_SCOPED(name) __attribute__((cleanup(wipe_key))) uint8_t name[32]

/* ---- Contexts ---- */

void envelope_pin_context(const struct envelope_context *c, uint8_t out[ENVELOPE_PIN_CONTEXT])
{
    memcpy(out, c->cluster_id, ID_SIZE);
    memcpy(out + 16, c->challenge, ID_SIZE);
    memcpy(out + 32, c->kr_id, ID_SIZE);
    out[48] = c->role;
    memcpy(out + 49, c->client_spki, 32);
}

void envelope_import_context(const struct envelope_context *c,
                             struct bytes template_list,
                             uint8_t out[ENVELOPE_IMPORT_CONTEXT])
{
    memcpy(out, c->cluster_id, ID_SIZE);
    memcpy(out + 16, c->challenge, ID_SIZE);
    memcpy(out + 32, c->kr_id, ID_SIZE);
    memcpy(out + 48, c->client_spki, 32);
    digest_sha256(&template_list, 1, out + 80);
}

/* What both envelopes have in common: label, context. */
struct binding {
    const char *label;
    struct bytes context;
};

/* label || context */
static struct bytes binding_aad(const struct binding *b, uint8_t out[AAD_MAX])
{
    const size_t named = strlen(b->label);
    memcpy(out, b->label, named);
    memcpy(out + named, b->context.data, b->context.size);
    return bytes_of(out, named + b->context.size);
}

/* k = HK(X25519, e_pub||recipient_pub, label, context, 32) */
static enum err derive_key(const uint8_t own_private[32],
                           const uint8_t other_pub[32],
                           const uint8_t salt[64],
                           const struct binding *b,
                           uint8_t k[CRYPT_KEY])
{
    KEY_SCOPED(shared);
    TRY(x25519_shared(own_private, other_pub, shared));
    return crypt_hk(bytes_of(shared, sizeof(shared)), bytes_of(salt, 64), b->label, b->context, k,
                    CRYPT_KEY);
}

static enum err sender_key(const uint8_t e_private[32],
                           const uint8_t recipient_pub[32],
                           const struct binding *b,
                           uint8_t e_pub[32],
                           uint8_t k[CRYPT_KEY])
{
    uint8_t salt[64];
    TRY(x25519_public(e_private, e_pub));
    memcpy(salt, e_pub, 32);
    memcpy(salt + 32, recipient_pub, 32);
    return derive_key(e_private, recipient_pub, salt, b, k);
}

static enum err recipient_key(const uint8_t recipient_private[32],
                              const uint8_t e_pub[32],
                              const struct binding *b,
                              uint8_t k[CRYPT_KEY])
{
    uint8_t salt[64];
    memcpy(salt, e_pub, 32);
    TRY(x25519_public(recipient_private, salt + 32));
    return derive_key(recipient_private, e_pub, salt, b, k);
}

/* ---- PIN envelope ---- */

void envelope_pin_wipe(struct envelope_pin *p)
{
    bytes_wipe(p, sizeof(*p));
}

/* Which of the two PINs a verb has. */
static bool lengths_fit(unsigned verb, size_t pin, size_t new_pin)
{
    static const struct {
        bool pin, new_pin;
    } has[] = {
        [ENVELOPE_LOGIN] = { true, false },
        [ENVELOPE_CHANGE] = { true, true },
        [ENVELOPE_SET] = { false, true },
    };
    if (verb < ENVELOPE_LOGIN || verb > ENVELOPE_SET) {
        return false;
    }
    return (pin > 0) == has[verb].pin && (new_pin > 0) == has[verb].new_pin;
}

enum err envelope_pin_fill(unsigned verb,
                           struct bytes pin,
                           struct bytes new_pin,
                           const uint8_t *ts,
                           struct envelope_pin *out)
{
    __attribute__((cleanup(envelope_pin_wipe))) struct envelope_pin p = { .verb = (uint8_t)verb };
    if (pin.size > LIMIT_PASSWORD || new_pin.size > LIMIT_PASSWORD) {
        return ERR_PIN_LENGTH;
    }
    if (!lengths_fit(verb, pin.size, new_pin.size)) {
        return ERR_PIN_LENGTH;
    }
    p.pin_size = (uint8_t)pin.size;
    p.new_pin_size = (uint8_t)new_pin.size;
    if (pin.size > 0) {
        memcpy(p.pin, pin.data, pin.size);
    }
    if (new_pin.size > 0) {
        memcpy(p.new_pin, new_pin.data, new_pin.size);
    }
    if (ts != NULL) {
        memcpy(p.ts, ts, ENVELOPE_TS);
    } else {
        TRY(crypt_random(p.ts, ENVELOPE_TS));
    }
    *out = p;
    return ERR_OK;
}

static void encode_pin(const struct envelope_pin *p, uint8_t plain[PIN_PLAIN])
{
    memset(plain, 0, PIN_PLAIN);
    plain[0] = p->verb;
    plain[1] = p->pin_size;
    plain[2] = p->new_pin_size;
    memcpy(plain + AT_PIN, p->pin, p->pin_size);
    memcpy(plain + AT_NEW_PIN, p->new_pin, p->new_pin_size);
    memcpy(plain + AT_TS, p->ts, ENVELOPE_TS);
}

static bool padded(const uint8_t *field, size_t used)
{
    return bytes_all_zero(bytes_of(field + used, LIMIT_PASSWORD - used));
}

static enum err decode_pin(const uint8_t plain[PIN_PLAIN], struct envelope_pin *out)
{
    if (!lengths_fit(plain[0], plain[1], plain[2])) {
        return ERR_BAD_CONTENT;
    }
    if (!padded(plain + AT_PIN, plain[1]) || !padded(plain + AT_NEW_PIN, plain[2])) {
        return ERR_BAD_CONTENT;
    }
    out->verb = plain[0];
    out->pin_size = plain[1];
    out->new_pin_size = plain[2];
    memcpy(out->pin, plain + AT_PIN, LIMIT_PASSWORD);
    memcpy(out->new_pin, plain + AT_NEW_PIN, LIMIT_PASSWORD);
    memcpy(out->ts, plain + AT_TS, ENVELOPE_TS);
    return ERR_OK;
}

static struct binding pin_binding(const uint8_t context[ENVELOPE_PIN_CONTEXT])
{
    const struct binding b = { "pin", bytes_of(context, ENVELOPE_PIN_CONTEXT) };
    return b;
}

enum err envelope_pin_seal_with(const uint8_t recipient_pub[32],
                                const uint8_t context[ENVELOPE_PIN_CONTEXT],
                                const struct envelope_pin *pin,
                                const uint8_t e_private[32],
                                uint8_t out[ENVELOPE_PIN])
{
    KEY_SCOPED(k);
    const struct binding b = pin_binding(context);
    uint8_t aad[AAD_MAX];
    uint8_t made[ENVELOPE_PIN];
    uint8_t plain[PIN_PLAIN];
    if (!lengths_fit(pin->verb, pin->pin_size, pin->new_pin_size)) {
        return ERR_PIN_LENGTH;
    }
    TRY(sender_key(e_private, recipient_pub, &b, made, k));
    encode_pin(pin, plain);
    const enum err e = gcm_seal(k, zero_iv, binding_aad(&b, aad), bytes_of(plain, sizeof(plain)),
                                made + 32, made + 32 + PIN_PLAIN);
    bytes_wipe(plain, sizeof(plain));
    if (e == ERR_OK) {
        memcpy(out, made, sizeof(made));
    }
    return e;
}

enum err envelope_pin_seal(const uint8_t recipient_pub[32],
                           const uint8_t context[ENVELOPE_PIN_CONTEXT],
                           const struct envelope_pin *pin,
                           uint8_t out[ENVELOPE_PIN])
{
    KEY_SCOPED(e_private);
    TRY(crypt_random(e_private, sizeof(e_private)));
    return envelope_pin_seal_with(recipient_pub, context, pin, e_private, out);
}

enum err envelope_pin_open(struct bytes envelope,
                           const uint8_t recipient_private[32],
                           const uint8_t context[ENVELOPE_PIN_CONTEXT],
                           struct envelope_pin *out)
{
    KEY_SCOPED(k);
    const struct binding b = pin_binding(context);
    uint8_t aad[AAD_MAX];
    uint8_t copy[ENVELOPE_PIN];
    uint8_t plain[PIN_PLAIN];
    if (envelope.size != sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, envelope.data, sizeof(copy));
    TRY(recipient_key(recipient_private, copy, &b, k));
    TRY(gcm_unseal(k, zero_iv, binding_aad(&b, aad), bytes_of(copy + 32, PIN_PLAIN),
                   copy + 32 + PIN_PLAIN, plain));
    const enum err e = decode_pin(plain, out);
    bytes_wipe(plain, sizeof(plain));
    return e;
}

enum err envelope_pin_check_set(const struct envelope_pin *p, const uint8_t ticket_ts[ENVELOPE_TS])
{
    if (p->verb != ENVELOPE_SET) {
        return ERR_OK;
    }
    const bool same = secret_equal(bytes_of(p->ts, ENVELOPE_TS), bytes_of(ticket_ts, ENVELOPE_TS));
    return same ? ERR_OK : ERR_REFUSED;
}

/* ---- Import envelope ---- */

static struct binding import_binding(const uint8_t context[ENVELOPE_IMPORT_CONTEXT])
{
    const struct binding b = { "import", bytes_of(context, ENVELOPE_IMPORT_CONTEXT) };
    return b;
}

enum err envelope_import_seal_with(const uint8_t recipient_pub[32],
                                   const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                                   struct bytes material,
                                   const uint8_t e_private[32],
                                   uint8_t *out)
{
    KEY_SCOPED(k);
    SECRET_SCOPED plain = { 0 };
    const struct binding b = import_binding(context);
    uint8_t aad[AAD_MAX];
    if (material.size > LIMIT_IMPORT_MATERIAL) {
        return ERR_TOO_LARGE;
    }
    TRY(secret_alloc(&plain, material.size + 4));
    put_u32(plain.data, (uint32_t)material.size);
    if (material.size > 0) {
        memcpy(plain.data + 4, material.data, material.size);
    }
    TRY(sender_key(e_private, recipient_pub, &b, out, k));
    return gcm_seal(k, zero_iv, binding_aad(&b, aad), secret_bytes(&plain), out + 32,
                    out + 32 + plain.size);
}

enum err envelope_import_seal(const uint8_t recipient_pub[32],
                              const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                              struct bytes material,
                              uint8_t *out)
{
    KEY_SCOPED(e_private);
    TRY(crypt_random(e_private, sizeof(e_private)));
    return envelope_import_seal_with(recipient_pub, context, material, e_private, out);
}

enum err envelope_import_key(const uint8_t e_pub[32],
                             const uint8_t recipient_private[32],
                             const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                             uint8_t k[CRYPT_KEY])
{
    const struct binding b = import_binding(context);
    return recipient_key(recipient_private, e_pub, &b, k);
}

enum err envelope_import_open(struct bytes envelope,
                              const uint8_t k[CRYPT_KEY],
                              const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                              uint8_t *out,
                              size_t *size)
{
    const struct binding b = import_binding(context);
    uint8_t aad[AAD_MAX];
    if (envelope.size < ENVELOPE_IMPORT_OVERHEAD || envelope.size > ENVELOPE_IMPORT_MAX) {
        return ERR_MALFORMED;
    }
    const size_t sealed = envelope.size - 32 - CRYPT_TAG;
    TRY(gcm_unseal(k, zero_iv, binding_aad(&b, aad), bytes_of(envelope.data + 32, sealed),
                   envelope.data + 32 + sealed, out));
    if (get_u32(out) != sealed - 4) {
        bytes_wipe(out, sealed);
        return ERR_BAD_CONTENT;
    }
    memmove(out, out + 4, sealed - 4);
    bytes_wipe(out + sealed - 4, 4);
    *size = sealed - 4;
    return ERR_OK;
}

/* ---- Revealed values ---- */

static enum err reveal_key(const uint8_t ts[ENVELOPE_TS],
                           const uint8_t request_id[ID_SIZE],
                           uint8_t k[CRYPT_KEY])
{
    return crypt_hk(bytes_of(ts, ENVELOPE_TS), bytes_of(NULL, 0), "reveal",
                    bytes_of(request_id, ID_SIZE), k, CRYPT_KEY);
}

enum err envelope_reveal_seal_with(const uint8_t ts[ENVELOPE_TS],
                                   const uint8_t request_id[ID_SIZE],
                                   struct bytes value,
                                   const uint8_t nonce[CRYPT_NONCE],
                                   uint8_t *out)
{
    KEY_SCOPED(k);
    uint8_t *sealed = out + CRYPT_NONCE;
    TRY(reveal_key(ts, request_id, k));
    memcpy(out, nonce, CRYPT_NONCE);
    return xaes_seal_once(k, nonce, bytes_of(request_id, ID_SIZE), value, sealed,
                          sealed + value.size);
}

enum err envelope_reveal_seal(const uint8_t ts[ENVELOPE_TS],
                              const uint8_t request_id[ID_SIZE],
                              struct bytes value,
                              uint8_t *out)
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return envelope_reveal_seal_with(ts, request_id, value, nonce, out);
}

enum err envelope_reveal_open(struct bytes sealed,
                              const uint8_t ts[ENVELOPE_TS],
                              const uint8_t request_id[ID_SIZE],
                              uint8_t *out)
{
    KEY_SCOPED(k);
    if (sealed.size < ENVELOPE_REVEAL_OVERHEAD) {
        return ERR_MALFORMED;
    }
    const size_t size = sealed.size - ENVELOPE_REVEAL_OVERHEAD;
    const uint8_t *body = sealed.data + CRYPT_NONCE;
    TRY(reveal_key(ts, request_id, k));
    return xaes_unseal_once(k, sealed.data, bytes_of(request_id, ID_SIZE), bytes_of(body, size),
                            body + size, out);
}
