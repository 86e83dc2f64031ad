/* SPDX-License-Identifier: Apache-2.0 */
/* What clients and cores seal to each other (crypto-spec section 3 and 8): PIN
 * and import envelopes, revealed values, the login reply, the login-key statement
 * L and identity list I with the client's rules; the invite token; words.
 *
 * Uses base/ alone. Secrets in structs here are wiped by the named function.
 * Inputs are borrowed for the call. Times are Unix seconds and parameters; no
 * I/O. Any thread. `*_with` functions take the chance as parameters, for known
 * answers; their plain twins draw it. Output buffers belong to the caller; structs
 * are set on success only, a sealer that fails may leave part of a ciphertext.
 * Decoders: ERR_MALFORMED, ERR_REFUSED, ERR_BAD_TAG, ERR_BAD_CONTENT, in the
 * order of the spec's head. */
#ifndef RINGKEEP_PROTO_ENVELOPE_H
#define RINGKEEP_PROTO_ENVELOPE_H

#include "base/bytes.h"
#include "base/crypt.h"
#include "base/limits.h"

/* ---- Context of an envelope: what it is bound to ---- */
struct envelope_context {
    uint8_t cluster_id[ID_SIZE]; /* zero before there is a cluster */
    uint8_t challenge[ID_SIZE];
    uint8_t kr_id[ID_SIZE];  /* core_id (HSM SO, Auditor), cluster_id (PO, CO) */
    uint8_t role;            /* PIN envelope: the row compared or written */
    uint8_t client_spki[32]; /* zero at the local door */
};
#define ENVELOPE_PIN_CONTEXT 81u
#define ENVELOPE_IMPORT_CONTEXT 112u
/* cluster_id||c||kr_id||role||client_spki */
void envelope_pin_context(const struct envelope_context *c, uint8_t out[ENVELOPE_PIN_CONTEXT]);
/* cluster_id||c||kr_id||client_spki||SHA-256(template as an A plaintext) */
void envelope_import_context(const struct envelope_context *c,
                             struct bytes template_list,
                             uint8_t out[ENVELOPE_IMPORT_CONTEXT]);

/* ---- PIN envelope, 593 bytes, sealed to LK (keyring roles) or AK ---- */
#define ENVELOPE_PIN 593u
#define ENVELOPE_TS 32u
enum envelope_verb { ENVELOPE_LOGIN = 1, ENVELOPE_CHANGE = 2, ENVELOPE_SET = 3 };
/* Login: pin; change: both; set: new_pin. Each 0..255 bytes as typed. */
struct envelope_pin {
    uint8_t verb;
    uint8_t pin_size, new_pin_size;
    uint8_t pin[LIMIT_PASSWORD];
    uint8_t new_pin[LIMIT_PASSWORD];
    uint8_t ts[ENVELOPE_TS];
};
void envelope_pin_wipe(struct envelope_pin *p);
/* Sets verb, copies the PINs, takes ts or (NULL) draws it. ERR_PIN_LENGTH where
 * the lengths do not fit the verb. */
enum err envelope_pin_fill(unsigned verb,
                           struct bytes pin,
                           struct bytes new_pin,
                           const uint8_t *ts,
                           struct envelope_pin *out) MUST_USE;
enum err envelope_pin_seal(const uint8_t recipient_pub[32],
                           const uint8_t context[ENVELOPE_PIN_CONTEXT],
                           const struct envelope_pin *pin,
                           uint8_t out[ENVELOPE_PIN]) MUST_USE;
enum err envelope_pin_seal_with(const uint8_t recipient_pub[32],
                                const uint8_t context[ENVELOPE_PIN_CONTEXT],
                                const struct envelope_pin *pin,
                                const uint8_t e_private[32],
                                uint8_t out[ENVELOPE_PIN]) MUST_USE;
enum err envelope_pin_open(struct bytes envelope,
                           const uint8_t recipient_private[32],
                           const uint8_t context[ENVELOPE_PIN_CONTEXT],
                           struct envelope_pin *out) MUST_USE;
/* Verb 3 stands by right of the request's handle, whose ticket has this ts (the
 * ticket's client_spki is in the context). ERR_REFUSED; other verbs pass. */
enum err envelope_pin_check_set(const struct envelope_pin *p,
                                const uint8_t ticket_ts[ENVELOPE_TS]) MUST_USE;

/* ---- Import envelope, sealed to LK: e_pub 32 || u32 length, material || tag ---- */
#define ENVELOPE_IMPORT_OVERHEAD (32u + 4u + CRYPT_TAG)
#define ENVELOPE_IMPORT_MAX (ENVELOPE_IMPORT_OVERHEAD + LIMIT_IMPORT_MATERIAL)
/* out: material.size + ENVELOPE_IMPORT_OVERHEAD bytes. ERR_TOO_LARGE. */
enum err envelope_import_seal(const uint8_t recipient_pub[32],
                              const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                              struct bytes material,
                              uint8_t *out) MUST_USE;
enum err envelope_import_seal_with(const uint8_t recipient_pub[32],
                                   const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                                   struct bytes material,
                                   const uint8_t e_private[32],
                                   uint8_t *out) MUST_USE;
/* The keeper's half: k from LK and the envelope's first 32 bytes. The keeper
 * sees no material, the worker no LK. The caller wipes k. ERR_REFUSED for an
 * all-zero X25519 result. */
enum err envelope_import_key(const uint8_t e_pub[32],
                             const uint8_t recipient_private[32],
                             const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                             uint8_t k[CRYPT_KEY]) MUST_USE;
/* The worker's half. out: envelope.size - ENVELOPE_IMPORT_OVERHEAD + 4 bytes
 * (scratch for the length field); the material, *size bytes, starts at out[0]. */
enum err envelope_import_open(struct bytes envelope,
                              const uint8_t k[CRYPT_KEY],
                              const uint8_t context[ENVELOPE_IMPORT_CONTEXT],
                              uint8_t *out,
                              size_t *size) MUST_USE;

/* ---- Revealed values: nonce 24 || XA(HK(ts, "reveal", request id), request id) ---- */
#define ENVELOPE_REVEAL_OVERHEAD (CRYPT_NONCE + CRYPT_TAG)
/* out: value.size + ENVELOPE_REVEAL_OVERHEAD bytes. */
enum err envelope_reveal_seal(const uint8_t ts[ENVELOPE_TS],
                              const uint8_t request_id[ID_SIZE],
                              struct bytes value,
                              uint8_t *out) MUST_USE;
enum err envelope_reveal_seal_with(const uint8_t ts[ENVELOPE_TS],
                                   const uint8_t request_id[ID_SIZE],
                                   struct bytes value,
                                   const uint8_t nonce[CRYPT_NONCE],
                                   uint8_t *out) MUST_USE;
/* out: sealed.size - ENVELOPE_REVEAL_OVERHEAD bytes. */
enum err envelope_reveal_open(struct bytes sealed,
                              const uint8_t ts[ENVELOPE_TS],
                              const uint8_t request_id[ID_SIZE],
                              uint8_t *out) MUST_USE;

/* ---- L: login-key statement, 128 bytes ---- */
#define ENVELOPE_LOGIN_KEY 128u
struct envelope_login_key {
    uint8_t lk_pub[32];
    uint64_t lk_version;
    uint64_t time;
    uint8_t member_id[ID_SIZE];
    uint8_t signature[64];
};
/* By a core: signs with its ID over cluster_id and l. */
enum err envelope_login_key_sign(const uint8_t lk_pub[32],
                                 uint64_t lk_version,
                                 uint64_t time,
                                 const uint8_t member_id[ID_SIZE],
                                 const uint8_t cluster_id[ID_SIZE],
                                 const uint8_t id_private[32],
                                 uint8_t out[ENVELOPE_LOGIN_KEY]) MUST_USE;
/* ERR_MALFORMED: size only; the signature is not looked at. */
enum err envelope_login_key_parse(struct bytes l, struct envelope_login_key *out) MUST_USE;
/* ERR_MALFORMED, ERR_BAD_TAG. */
enum err envelope_login_key_verify(struct bytes l,
                                   const uint8_t cluster_id[ID_SIZE],
                                   const uint8_t id_pub[32]) MUST_USE;

/* ---- I: identity list, 16 + 48 n bytes ---- */
#define ENVELOPE_IDENTITIES_MAX (16u + 48u * LIMIT_ROSTER_ROWS)
struct envelope_identity {
    uint8_t member_id[ID_SIZE];
    uint8_t id_pub[32];
};
struct envelope_identities {
    uint64_t roster_version;
    uint8_t count;                                   /* 1..LIMIT_ROSTER_ROWS */
    struct envelope_identity row[LIMIT_ROSTER_ROWS]; /* ascending by member_id */
};
/* Returns the size written. */
size_t envelope_identities_encode(const struct envelope_identities *i,
                                  uint8_t out[ENVELOPE_IDENTITIES_MAX]);
/* ERR_MALFORMED. */
enum err envelope_identities_decode(struct bytes in, struct envelope_identities *out) MUST_USE;
/* NULL: not named. */
const struct envelope_identity *envelope_identities_find(const struct envelope_identities *i,
                                                         const uint8_t member_id[ID_SIZE]);

/* ---- The client's rules ---- */
/* What a client pins: from its registration file, then from its own state. */
struct envelope_pinned {
    uint8_t lk_pub[32];
    uint64_t lk_version;
    struct envelope_identities identities;
};
/* The login key that an envelope is sealed to. */
struct envelope_chosen {
    uint8_t lk_pub[32];
    uint64_t lk_version;
};
#define ENVELOPE_LOGIN_KEY_AGE_S 172800u /* 48 h */
#define ENVELOPE_LOGIN_KEY_AHEAD_S 300u
/* May the client use this L with this I? The pinned {LKpub, lk_version} always;
 * a higher lk_version for a login or change (`login`), by a pinned signer that I
 * names too, within its times. One signer. ERR_MALFORMED, ERR_REFUSED,
 * ERR_BAD_TAG. */
enum err envelope_accept(const struct envelope_pinned *pinned,
                         const uint8_t cluster_id[ID_SIZE],
                         struct bytes l,
                         struct bytes i,
                         bool login,
                         uint64_t now,
                         struct envelope_chosen *out) MUST_USE;
/* The same with the rules of section 8, which is what clients call: a new login
 * key's lk_version is not above its time + 300 s, and where the pinned list names
 * three members or more it needs a second L of the same {LKpub, lk_version} by
 * another pinned signer. second: size 0 for none at hand; ERR_WRONG_STATE then
 * says "ask another member for its L". */
enum err envelope_accept_two(const struct envelope_pinned *pinned,
                             const uint8_t cluster_id[ID_SIZE],
                             struct bytes first,
                             struct bytes second,
                             struct bytes i,
                             bool login,
                             uint64_t now,
                             struct envelope_chosen *out) MUST_USE;

/* ---- Login reply, 208 bytes: newest L, roster version, SHA-256(I), under ts ---- */
#define ENVELOPE_LOGIN_REPLY 208u
/* By a core. i: the encoded I. */
enum err envelope_login_reply_seal(const uint8_t ts[ENVELOPE_TS],
                                   const uint8_t request_id[ID_SIZE],
                                   const uint8_t l[ENVELOPE_LOGIN_KEY],
                                   struct bytes i,
                                   uint8_t out[ENVELOPE_LOGIN_REPLY]) MUST_USE;
enum err envelope_login_reply_seal_with(const uint8_t ts[ENVELOPE_TS],
                                        const uint8_t request_id[ID_SIZE],
                                        const uint8_t l[ENVELOPE_LOGIN_KEY],
                                        struct bytes i,
                                        const uint8_t nonce[CRYPT_NONCE],
                                        uint8_t out[ENVELOPE_LOGIN_REPLY]) MUST_USE;
/* By the client, with the I that came with the challenge and the login key that
 * its envelope used. ERR_OK: *out is what it pins from now on. ERR_REFUSED: drop
 * the login, pin nothing. */
enum err envelope_login_reply_open(struct bytes reply,
                                   const uint8_t ts[ENVELOPE_TS],
                                   const uint8_t request_id[ID_SIZE],
                                   const struct envelope_chosen *used,
                                   struct bytes i,
                                   struct envelope_pinned *out) MUST_USE;

/* ---- Invite token: "rk1-" and base32 (section 8) ---- */
#define ENVELOPE_TOKEN_ADDRESSES LIMIT_VOTERS
#define ENVELOPE_TOKEN_TEXT 1072u /* longest text with its zero */
struct envelope_token {
    uint8_t cluster_id[ID_SIZE];
    uint8_t domain_id[ID_SIZE];
    uint8_t invite_id[ID_SIZE];
    uint8_t secret[32];
    unsigned count; /* of addresses, 1..ENVELOPE_TOKEN_ADDRESSES */
    char address[ENVELOPE_TOKEN_ADDRESSES][LIMIT_ADDRESS]; /* "host:port" */
};
void envelope_token_wipe(struct envelope_token *t);
/* ERR_TOKEN for a count or address that may not be. */
enum err envelope_token_encode(const struct envelope_token *t,
                               char out[ENVELOPE_TOKEN_TEXT]) MUST_USE;
/* Exactly what encode writes, nothing around it. ERR_TOKEN. */
enum err envelope_token_decode(const char *text, struct envelope_token *out) MUST_USE;

/* ---- Words: 2 bytes are one word c v c v c ---- */
#define ENVELOPE_WORDS_MAX 32u /* bytes in */
#define ENVELOPE_WORDS_TEXT(bytes) ((bytes) / 2u * 6u)
#define ENVELOPE_DOMAIN_SECRET 16u
#define ENVELOPE_DOMAIN_SECRET_MIN 14u
#define ENVELOPE_DOMAIN_TEXT ENVELOPE_WORDS_TEXT(ENVELOPE_DOMAIN_SECRET)
/* size: even, 2..ENVELOPE_WORDS_MAX. out: ENVELOPE_WORDS_TEXT(size), with zero. */
void envelope_words(const uint8_t *in, size_t size, char *out);
/* Back; ERR_MALFORMED unless text is exactly size / 2 such words. */
enum err envelope_words_parse(const char *text, uint8_t *out, size_t size) MUST_USE;
/* A new domain secret: 8 words. */
enum err envelope_domain_secret(char out[ENVELOPE_DOMAIN_TEXT]) MUST_USE;
/* A typed one: 14..255 bytes, else ERR_PIN_LENGTH. The secret is the text. */
enum err envelope_domain_secret_check(struct bytes text) MUST_USE;

#endif
