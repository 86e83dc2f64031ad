/* SPDX-License-Identifier: Apache-2.0 */
/* Login-key statements L, identity lists I, the client's rules about them, and
 * the login reply (proto/envelope.h). Pure functions over base/crypt; any
 * thread. */
#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "proto/envelope.h"

#define L_LABEL "ringkeep/1/login-key"
#define L_LABEL_SIZE (sizeof(L_LABEL) - 1)
#define L_BODY 48u /* LKpub, lk_version, time */
#define L_SIGNED (L_LABEL_SIZE + ID_SIZE + L_BODY)
#define AT_MEMBER 48u
#define AT_SIGNATURE 64u
#define I_HEAD 16u
#define I_ROW 48u
#define REPLY_PLAIN (ENVELOPE_LOGIN_KEY + 8u + 32u)
#define REPLY_AAD (5u + ID_SIZE) /* "login", request id */
#define TWO_SIGNERS_FROM 3u

_Static_assert(CRYPT_NONCE + REPLY_PLAIN + CRYPT_TAG == ENVELOPE_LOGIN_REPLY, "login reply");

static void wipe_key(uint8_t (*key)[32])
{
    bytes_wipe(*key, sizeof(*key));
}
#define KEY_SCOPED(name) __attribute__((cleanup(wipe_key))) uint8_t name[32]

static bool same_pub(const uint8_t a[32], const uint8_t b[32])
{
    return bytes_equal(bytes_of(a, 32), bytes_of(b, 32));
}

/* Order of two ids, byte by byte. */
static int id_order(const uint8_t a[ID_SIZE], const uint8_t b[ID_SIZE])
{
    for (size_t i = 0; i < ID_SIZE; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return 0;
}

/* ---- L ---- */

static void signed_text(const uint8_t *body,
                        const uint8_t cluster_id[ID_SIZE],
                        uint8_t out[L_SIGNED])
{
    memcpy(out, L_LABEL, L_LABEL_SIZE);
    memcpy(out + L_LABEL_SIZE, cluster_id, ID_SIZE);
    memcpy(out + L_LABEL_SIZE + ID_SIZE, body, L_BODY);
}

enum err envelope_login_key_sign(const uint8_t lk_pub[32],
                                 uint64_t lk_version,
                                 uint64_t time,
                                 const uint8_t member_id[ID_SIZE],
                                 const uint8_t cluster_id[ID_SIZE],
                                 const uint8_t id_private[32],
                                 uint8_t out[ENVELOPE_LOGIN_KEY])
{
    uint8_t said[L_SIGNED];
    memcpy(out, lk_pub, 32);
    put_u64(out + 32, lk_version);
    put_u64(out + 40, time);
    memcpy(out + AT_MEMBER, member_id, ID_SIZE);
    signed_text(out, cluster_id, said);
    return ed25519_sign(id_private, bytes_of(said, sizeof(said)), out + AT_SIGNATURE);
}

enum err envelope_login_key_parse(struct bytes l, struct envelope_login_key *out)
{
    if (l.size != ENVELOPE_LOGIN_KEY) {
        return ERR_MALFORMED;
    }
    memcpy(out->lk_pub, l.data, 32);
    out->lk_version = get_u64(l.data + 32);
    out->time = get_u64(l.data + 40);
    memcpy(out->member_id, l.data + AT_MEMBER, ID_SIZE);
    memcpy(out->signature, l.data + AT_SIGNATURE, 64);
    return ERR_OK;
}

enum err envelope_login_key_verify(struct bytes l,
                                   const uint8_t cluster_id[ID_SIZE],
                                   const uint8_t id_pub[32])
{
    uint8_t said[L_SIGNED];
    if (l.size != ENVELOPE_LOGIN_KEY) {
        return ERR_MALFORMED;
    }
    signed_text(l.data, cluster_id, said);
    return ed25519_verify(id_pub, bytes_of(said, sizeof(said)), l.data + AT_SIGNATURE);
}

/* ---- I ---- */

size_t envelope_identities_encode(const struct envelope_identities *i,
                                  uint8_t out[ENVELOPE_IDENTITIES_MAX])
{
    uint8_t *at = out + I_HEAD;
    assert(i->count >= 1 && i->count <= LIMIT_ROSTER_ROWS);
    memset(out, 0, I_HEAD);
    put_u64(out, i->roster_version);
    out[8] = i->count;
    for (unsigned n = 0; n < i->count; n++, at += I_ROW) {
        memcpy(at, i->row[n].member_id, ID_SIZE);
        memcpy(at + ID_SIZE, i->row[n].id_pub, 32);
    }
    return (size_t)(at - out);
}

enum err envelope_identities_decode(struct bytes in, struct envelope_identities *out)
{
    struct envelope_identities i = { 0 };
    if (in.size < I_HEAD + I_ROW || in.size > ENVELOPE_IDENTITIES_MAX) {
        return ERR_MALFORMED;
    }
    i.roster_version = get_u64(in.data);
    i.count = in.data[8];
    if (!bytes_all_zero(bytes_of(in.data + 9, 7)) || in.size != I_HEAD + (size_t)i.count * I_ROW) {
        return ERR_MALFORMED;
    }
    for (unsigned n = 0; n < i.count; n++) {
        const uint8_t *at = in.data + I_HEAD + (size_t)n * I_ROW;
        if (n > 0 && id_order(at - I_ROW, at) >= 0) {
            return ERR_MALFORMED;
        }
        memcpy(i.row[n].member_id, at, ID_SIZE);
        memcpy(i.row[n].id_pub, at + ID_SIZE, 32);
    }
    *out = i;
    return ERR_OK;
}

const struct envelope_identity *envelope_identities_find(const struct envelope_identities *i,
                                                         const uint8_t member_id[ID_SIZE])
{
    for (unsigned n = 0; n < i->count; n++) {
        if (id_order(i->row[n].member_id, member_id) == 0) {
            return &i->row[n];
        }
    }
    return NULL;
}

static bool same_identities(const struct envelope_identities *a,
                            const struct envelope_identities *b)
{
    bool same = a->roster_version == b->roster_version && a->count == b->count;
    for (unsigned n = 0; same && n < a->count; n++) {
        same = id_order(a->row[n].member_id, b->row[n].member_id) == 0 &&
               same_pub(a->row[n].id_pub, b->row[n].id_pub);
    }
    return same;
}

/* ---- The client's rules ---- */

/* I: never a lower roster version; the pinned version only unchanged. */
static enum err check_identities(const struct envelope_identities *pinned,
                                 const struct envelope_identities *i)
{
    if (i->roster_version < pinned->roster_version) {
        return ERR_REFUSED;
    }
    if (i->roster_version == pinned->roster_version && !same_identities(pinned, i)) {
        return ERR_REFUSED;
    }
    return ERR_OK;
}

static bool is_pinned_key(const struct envelope_pinned *pinned, const struct envelope_login_key *l)
{
    return l->lk_version == pinned->lk_version && same_pub(l->lk_pub, pinned->lk_pub);
}

/* now - 48 h <= time <= now + 300 s */
static bool times_fit(const struct envelope_login_key *l, uint64_t now)
{
    const bool ahead = l->time > now && l->time - now > ENVELOPE_LOGIN_KEY_AHEAD_S;
    const bool old = l->time < now && now - l->time > ENVELOPE_LOGIN_KEY_AGE_S;
    return !ahead && !old;
}

/* Section 8: a version may not be above the time of its own statement + 300 s. */
static bool version_fits(const struct envelope_login_key *l)
{
    return l->lk_version <= l->time || l->lk_version - l->time <= ENVELOPE_LOGIN_KEY_AHEAD_S;
}

/* A new login key: its signer is pinned, and I names it with the same ID. */
static enum err check_new_key(const struct envelope_pinned *pinned,
                              const struct envelope_identities *i,
                              const struct envelope_login_key *l,
                              uint64_t now,
                              const struct envelope_identity **signer)
{
    const struct envelope_identity *known =
        envelope_identities_find(&pinned->identities, l->member_id);
    const struct envelope_identity *named = envelope_identities_find(i, l->member_id);
    if (l->lk_version <= pinned->lk_version || !times_fit(l, now)) {
        return ERR_REFUSED;
    }
    if (known == NULL || named == NULL || !same_pub(known->id_pub, named->id_pub)) {
        return ERR_REFUSED;
    }
    *signer = known;
    return ERR_OK;
}

enum err envelope_accept(const struct envelope_pinned *pinned,
                         const uint8_t cluster_id[ID_SIZE],
                         struct bytes l,
                         struct bytes i,
                         bool login,
                         uint64_t now,
                         struct envelope_chosen *out)
{
    const struct envelope_identity *signer = NULL;
    struct envelope_login_key key;
    struct envelope_identities list;
    TRY(envelope_login_key_parse(l, &key));
    TRY(envelope_identities_decode(i, &list));
    TRY(check_identities(&pinned->identities, &list));
    if (!is_pinned_key(pinned, &key)) {
        if (!login) {
            return ERR_REFUSED;
        }
        TRY(check_new_key(pinned, &list, &key, now, &signer));
        TRY(envelope_login_key_verify(l, cluster_id, signer->id_pub));
    }
    memcpy(out->lk_pub, key.lk_pub, 32);
    out->lk_version = key.lk_version;
    return ERR_OK;
}

/* A second statement of the same key, by another pinned signer. */
static enum err check_second(const struct envelope_pinned *pinned,
                             const uint8_t cluster_id[ID_SIZE],
                             const struct envelope_login_key *first,
                             struct bytes second,
                             struct bytes i,
                             uint64_t now)
{
    struct envelope_chosen chosen;
    struct envelope_login_key l;
    if (second.size == 0) {
        return ERR_WRONG_STATE;
    }
    TRY(envelope_accept(pinned, cluster_id, second, i, true, now, &chosen));
    TRY(envelope_login_key_parse(second, &l));
    const bool same = l.lk_version == first->lk_version && same_pub(l.lk_pub, first->lk_pub);
    const bool other_signer = id_order(l.member_id, first->member_id) != 0;
    return same && other_signer && version_fits(&l) ? ERR_OK : ERR_REFUSED;
}

enum err envelope_accept_two(const struct envelope_pinned *pinned,
                             const uint8_t cluster_id[ID_SIZE],
                             struct bytes first,
                             struct bytes second,
                             struct bytes i,
                             bool login,
                             uint64_t now,
                             struct envelope_chosen *out)
{
    struct envelope_chosen chosen;
    struct envelope_login_key l;
    TRY(envelope_accept(pinned, cluster_id, first, i, login, now, &chosen));
    TRY(envelope_login_key_parse(first, &l));
    const bool new_key = !is_pinned_key(pinned, &l);
    if (new_key && !version_fits(&l)) {
        return ERR_REFUSED;
    }
    if (new_key && pinned->identities.count >= TWO_SIGNERS_FROM) {
        TRY(check_second(pinned, cluster_id, &l, second, i, now));
    }
    *out = chosen;
    return ERR_OK;
}

/* ---- Login reply ---- */

static enum err reply_key(const uint8_t ts[ENVELOPE_TS],
                          const uint8_t request_id[ID_SIZE],
                          uint8_t k[CRYPT_KEY],
                          uint8_t aad[REPLY_AAD])
{
    static const uint8_t label[] = { 'l', 'o', 'g', 'i', 'n' };
    memcpy(aad, label, sizeof(label));
    memcpy(aad + sizeof(label), request_id, ID_SIZE);
    return crypt_hk(bytes_of(ts, ENVELOPE_TS), bytes_of(NULL, 0), "reveal",
                    bytes_of(request_id, ID_SIZE), k, CRYPT_KEY);
}

enum err envelope_login_reply_seal_with(const uint8_t ts[ENVELOPE_TS],
                                        const uint8_t request_id[ID_SIZE],
                                        const uint8_t l[ENVELOPE_LOGIN_KEY],
                                        struct bytes i,
                                        const uint8_t nonce[CRYPT_NONCE],
                                        uint8_t out[ENVELOPE_LOGIN_REPLY])
{
    KEY_SCOPED(k);
    struct envelope_identities list;
    uint8_t aad[REPLY_AAD];
    uint8_t plain[REPLY_PLAIN];
    uint8_t *sealed = out + CRYPT_NONCE;
    TRY(envelope_identities_decode(i, &list));
    memcpy(plain, l, ENVELOPE_LOGIN_KEY);
    put_u64(plain + ENVELOPE_LOGIN_KEY, list.roster_version);
    digest_sha256(&i, 1, plain + ENVELOPE_LOGIN_KEY + 8);
    TRY(reply_key(ts, request_id, k, aad));
    memcpy(out, nonce, CRYPT_NONCE);
    return xaes_seal_once(k, nonce, bytes_of(aad, sizeof(aad)), bytes_of(plain, sizeof(plain)),
                          sealed, sealed + REPLY_PLAIN);
}

enum err envelope_login_reply_seal(const uint8_t ts[ENVELOPE_TS],
                                   const uint8_t request_id[ID_SIZE],
                                   const uint8_t l[ENVELOPE_LOGIN_KEY],
                                   struct bytes i,
                                   uint8_t out[ENVELOPE_LOGIN_REPLY])
{
    uint8_t nonce[CRYPT_NONCE];
    TRY(crypt_nonce(nonce, sizeof(nonce)));
    return envelope_login_reply_seal_with(ts, request_id, l, i, nonce, out);
}

enum err envelope_login_reply_open(struct bytes reply,
                                   const uint8_t ts[ENVELOPE_TS],
                                   const uint8_t request_id[ID_SIZE],
                                   const struct envelope_chosen *used,
                                   struct bytes i,
                                   struct envelope_pinned *out)
{
    KEY_SCOPED(k);
    struct envelope_pinned pin;
    uint8_t aad[REPLY_AAD];
    uint8_t plain[REPLY_PLAIN];
    uint8_t hash[32];
    if (reply.size != ENVELOPE_LOGIN_REPLY) {
        return ERR_MALFORMED;
    }
    TRY(envelope_identities_decode(i, &pin.identities));
    TRY(reply_key(ts, request_id, k, aad));
    const uint8_t *sealed = reply.data + CRYPT_NONCE;
    TRY(xaes_unseal_once(k, reply.data, bytes_of(aad, sizeof(aad)), bytes_of(sealed, REPLY_PLAIN),
                         sealed + REPLY_PLAIN, plain));
    memcpy(pin.lk_pub, plain, 32);
    pin.lk_version = get_u64(plain + 32);
    digest_sha256(&i, 1, hash);
    if (pin.lk_version != used->lk_version || !same_pub(pin.lk_pub, used->lk_pub)) {
        return ERR_REFUSED;
    }
    if (get_u64(plain + ENVELOPE_LOGIN_KEY) != pin.identities.roster_version ||
        !same_pub(plain + ENVELOPE_LOGIN_KEY + 8, hash)) {
        return ERR_REFUSED;
    }
    *out = pin;
    return ERR_OK;
}
