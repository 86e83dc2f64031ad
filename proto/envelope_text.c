/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that people carry: invite tokens, words, domain secrets
 * (proto/envelope.h). Pure functions; any thread. */
#include <assert.h>
#include <string.h>

#include "proto/envelope.h"

#define TOKEN_PREFIX "rk1-"
#define TOKEN_PREFIX_SIZE 4u
#define TOKEN_FIXED 81u /* three ids, secret, count */
#define TOKEN_BYTES (TOKEN_FIXED + ENVELOPE_TOKEN_ADDRESSES * LIMIT_ADDRESS)
#define BASE32_SIZE(bytes) (((bytes)*8u + 4u) / 5u)

_Static_assert(TOKEN_PREFIX_SIZE + BASE32_SIZE(TOKEN_BYTES) + 1 <= ENVELOPE_TOKEN_TEXT,
               "token text");

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char consonants[] = "bdfghjklmnprstvz";
static const char vowels[] = "aiou";

/* Index of c in an alphabet of n letters, or -1. */
static int letter(const char *alphabet, size_t n, char c)
{
    const char *at = c == '\0' ? NULL : memchr(alphabet, c, n);
    return at == NULL ? -1 : (int)(at - alphabet);
}

/* ---- Base32 ---- */

static void base32_encode(const uint8_t *in, size_t size, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < size; i++) {
        bits = (bits << 8 | in[i]) & 0xfffu;
        held += 8;
        while (held >= 5) {
            held -= 5;
            *out++ = base32[bits >> held & 31u];
        }
    }
    if (held > 0) {
        *out++ = base32[bits << (5 - held) & 31u];
    }
    *out = '\0';
}

/* Canonical only: no letter too many, the bits after the last byte zero. */
static enum err base32_decode(const char *text, uint8_t *out, size_t capacity, size_t *size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (; *text != '\0'; text++) {
        const int value = letter(base32, 32, *text);
        if (value < 0) {
            return ERR_TOKEN;
        }
        bits = (bits << 5 | (uint32_t)value) & 0xfffu;
        held += 5;
        if (held >= 8 && n >= capacity) {
            return ERR_TOKEN;
        }
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    if (held >= 5 || (bits & ((1u << held) - 1)) != 0) {
        return ERR_TOKEN;
    }
    *size = n;
    return ERR_OK;
}

/* ---- Invite token ---- */

void envelope_token_wipe(struct envelope_token *t)
{
    bytes_wipe(t, sizeof(*t));
}

/* "host:port": printable, no space; the port after the last colon is 1..65535. */
static bool address_fits(const char *text, size_t size)
{
    const char *colon = size == 0 ? NULL : memrchr(text, ':', size);
    unsigned port = 0;
    if (colon == NULL || colon == text || size >= LIMIT_ADDRESS) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    const char *digit = colon + 1;
    const char *end = text + size;
    if (digit == end || end - digit > 5 || *digit == '0') {
        return false;
    }
    for (; digit < end; digit++) {
        if (*digit < '0' || *digit > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(*digit - '0');
    }
    return port <= 65535;
}

/* Writes the addresses; 0 when one of them may not be. */
static size_t encode_addresses(const struct envelope_token *t, uint8_t *out)
{
    uint8_t *at = out;
    for (unsigned i = 0; i < t->count; i++) {
        const size_t size = strnlen(t->address[i], LIMIT_ADDRESS);
        if (!address_fits(t->address[i], size)) {
            return 0;
        }
        *at++ = (uint8_t)size;
        memcpy(at, t->address[i], size);
        at += size;
    }
    return (size_t)(at - out);
}

enum err envelope_token_encode(const struct envelope_token *t, char out[ENVELOPE_TOKEN_TEXT])
{
    uint8_t plain[TOKEN_BYTES];
    if (t->count == 0 || t->count > ENVELOPE_TOKEN_ADDRESSES) {
        return ERR_TOKEN;
    }
    memcpy(plain, t->cluster_id, ID_SIZE);
    memcpy(plain + 16, t->domain_id, ID_SIZE);
    memcpy(plain + 32, t->invite_id, ID_SIZE);
    memcpy(plain + 48, t->secret, 32);
    plain[80] = (uint8_t)t->count;
    const size_t addresses = encode_addresses(t, plain + TOKEN_FIXED);
    if (addresses > 0) {
        memcpy(out, TOKEN_PREFIX, TOKEN_PREFIX_SIZE + 1);
        base32_encode(plain, TOKEN_FIXED + addresses, out + TOKEN_PREFIX_SIZE);
    }
    bytes_wipe(plain, sizeof(plain));
    return addresses > 0 ? ERR_OK : ERR_TOKEN;
}

static enum err decode_addresses(const uint8_t *at, size_t left, struct envelope_token *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        if (left < 1 || left - 1 < at[0]) {
            return ERR_TOKEN;
        }
        const size_t size = at[0];
        if (!address_fits((const char *)at + 1, size)) {
            return ERR_TOKEN;
        }
        memcpy(t->address[i], at + 1, size);
        at += 1 + size;
        left -= 1 + size;
    }
    return left == 0 ? ERR_OK : ERR_TOKEN;
}

static enum err decode_token(const uint8_t *plain, size_t size, struct envelope_token *t)
{
    if (size < TOKEN_FIXED || plain[80] == 0 || plain[80] > ENVELOPE_TOKEN_ADDRESSES) {
        return ERR_TOKEN;
    }
    memcpy(t->cluster_id, plain, ID_SIZE);
    memcpy(t->domain_id, plain + 16, ID_SIZE);
    memcpy(t->invite_id, plain + 32, ID_SIZE);
    memcpy(t->secret, plain + 48, 32);
    t->count = plain[80];
    return decode_addresses(plain + TOKEN_FIXED, size - TOKEN_FIXED, t);
}

enum err envelope_token_decode(const char *text, struct envelope_token *out)
{
    __attribute__((cleanup(envelope_token_wipe))) struct envelope_token t = { 0 };
    uint8_t plain[TOKEN_BYTES];
    size_t size = 0;
    if (strnlen(text, ENVELOPE_TOKEN_TEXT) >= ENVELOPE_TOKEN_TEXT) {
        return ERR_TOKEN;
    }
    if (strncmp(text, TOKEN_PREFIX, TOKEN_PREFIX_SIZE) != 0) {
        return ERR_TOKEN;
    }
    enum err e = base32_decode(text + TOKEN_PREFIX_SIZE, plain, sizeof(plain), &size);
    if (e == ERR_OK) {
        e = decode_token(plain, size, &t);
    }
    bytes_wipe(plain, sizeof(plain));
    if (e == ERR_OK) {
        *out = t;
    }
    return e;
}

/* ---- Words ---- */

void envelope_words(const uint8_t *in, size_t size, char *out)
{
    assert(size >= 2 && size <= ENVELOPE_WORDS_MAX && size % 2 == 0);
    for (size_t i = 0; i < size; i += 2) {
        const unsigned bits = (unsigned)in[i] << 8 | in[i + 1];
        *out++ = consonants[bits >> 12 & 15u];
        *out++ = vowels[bits >> 10 & 3u];
        *out++ = consonants[bits >> 6 & 15u];
        *out++ = vowels[bits >> 4 & 3u];
        *out++ = consonants[bits & 15u];
        *out++ = i + 2 < size ? '-' : '\0';
    }
}

static enum err parse_word(const char *text, unsigned *out)
{
    static const unsigned width[] = { 4, 2, 4, 2, 4 };
    unsigned bits = 0;
    for (unsigned i = 0; i < 5; i++) {
        const bool vowel = width[i] == 2;
        const int value = letter(vowel ? vowels : consonants, vowel ? 4 : 16, text[i]);
        if (value < 0) {
            return ERR_MALFORMED;
        }
        bits = bits << width[i] | (unsigned)value;
    }
    *out = bits;
    return ERR_OK;
}

enum err envelope_words_parse(const char *text, uint8_t *out, size_t size)
{
    uint8_t made[ENVELOPE_WORDS_MAX];
    assert(size >= 2 && size <= ENVELOPE_WORDS_MAX && size % 2 == 0);
    for (size_t i = 0; i < size; i += 2, text += 6) {
        unsigned bits = 0;
        TRY(parse_word(text, &bits));
        if (text[5] != (i + 2 < size ? '-' : '\0')) {
            return ERR_MALFORMED;
        }
        made[i] = (uint8_t)(bits >> 8);
        made[i + 1] = (uint8_t)bits;
    }
    memcpy(out, made, size);
    bytes_wipe(made, sizeof(made));
    return ERR_OK;
}

enum err envelope_domain_secret(char out[ENVELOPE_DOMAIN_TEXT])
{
    uint8_t drawn[ENVELOPE_DOMAIN_SECRET];
    TRY(crypt_random(drawn, sizeof(drawn)));
    envelope_words(drawn, sizeof(drawn), out);
    bytes_wipe(drawn, sizeof(drawn));
    return ERR_OK;
}

enum err envelope_domain_secret_check(struct bytes text)
{
    return text.size >= ENVELOPE_DOMAIN_SECRET_MIN && text.size <= LIMIT_PASSWORD ? ERR_OK
                                                                                  : ERR_PIN_LENGTH;
}
