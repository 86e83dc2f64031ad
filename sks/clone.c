/* SPDX-License-Identifier: Apache-2.0 */
/* SMK clone: the run of a donor and of a joiner (sks/clone.h; the forms of P and
 * of the clear request are in clone_form.c). One thread per run. Whatever fails
 * wipes the run: the public functions wrap a static step and end the run when
 * the step fails. */
#include "sks/clone.h"

#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "sks/wipe.h"

#define SIGNATURE 64u
#define MAC 32u
#define GIFT_HEAD (CRYPT_KEY + SMK_SET_SIZE + 8u)

/* Offsets in M1, M2, M3. */
enum { M1_E = 250, M1_N = 282, M1_SIG = 314 };
enum { M2_E = 0, M2_N = 32, M2_SIG = 64, M2_MAC = 128 };
enum { M3_SIG = 0, M3_MAC = 64, M3_SEALED = 96, M3_TAG = 96 + 8192 };

enum err clone_chance_draw(struct clone_chance *out)
{
    TRY(crypt_random(out->ephemeral, sizeof(out->ephemeral)));
    return crypt_random(out->nonce, sizeof(out->nonce));
}

void clone_chance_wipe(struct clone_chance *c)
{
    bytes_wipe(c, sizeof(*c));
}

static void run_wipe(struct clone_run *r)
{
    bytes_wipe(r, sizeof(*r));
}

/* A failed step ends the run. */
static enum err ended(struct clone_run *r, enum err e)
{
    if (e != ERR_OK) {
        run_wipe(r);
    }
    return e;
}

static void hash2(struct bytes a, struct bytes b, uint8_t out[32])
{
    const struct bytes pieces[] = { a, b };
    digest_sha256(pieces, 2, out);
}

/* ---- Signatures and MACs over label, transcript and the like ---- */

#define LABEL_MAX 32u

/* Ed25519 over label || text; text is a transcript hash or P||e||n. */
static struct bytes labelled(const char *label,
                             struct bytes text,
                             uint8_t out[LABEL_MAX + CLONE_M1])
{
    const struct bytes named = bytes_of_text(label);
    assert(named.size <= LABEL_MAX && text.size <= CLONE_M1);
    memcpy(out, named.data, named.size);
    memcpy(out + named.size, text.data, text.size);
    return bytes_of(out, named.size + text.size);
}

static enum err sign(const uint8_t id_private[32],
                     const char *label,
                     struct bytes text,
                     uint8_t sig[64])
{
    uint8_t said[LABEL_MAX + CLONE_M1];
    return ed25519_sign(id_private, labelled(label, text, said), sig);
}

static enum err verify(const uint8_t id_pub[32],
                       const char *label,
                       struct bytes text,
                       const uint8_t *sig)
{
    uint8_t said[LABEL_MAX + CLONE_M1];
    return ed25519_verify(id_pub, labelled(label, text, said), sig);
}

/* HMAC(key, th || sig) */
static enum err mac(const uint8_t key[32],
                    const uint8_t th[32],
                    const uint8_t *sig,
                    uint8_t out[MAC])
{
    uint8_t said[32 + SIGNATURE];
    memcpy(said, th, 32);
    memcpy(said + 32, sig, SIGNATURE);
    return crypt_hmac_sha256(bytes_of(key, 32), bytes_of(said, sizeof(said)), out);
}

static enum err check_mac(const uint8_t key[32],
                          const uint8_t th[32],
                          const uint8_t *sig,
                          const uint8_t *given)
{
    uint8_t made[MAC];
    TRY(mac(key, th, sig, made));
    return secret_equal(bytes_of(made, MAC), bytes_of(given, MAC)) ? ERR_OK : ERR_BAD_TAG;
}

static enum err ack(const struct clone_run *r, uint8_t out[CLONE_M4])
{
    uint8_t said[3 + 32] = { 'a', 'c', 'k' };
    memcpy(said + 3, r->th4, 32);
    return crypt_hmac_sha256(bytes_of(r->kj, 32), bytes_of(said, sizeof(said)), out);
}

/* ---- Keys ---- */

static enum err expand(const uint8_t prk[32],
                       const char *label,
                       const uint8_t th2[32],
                       uint8_t out[32])
{
    uint8_t info[LABEL_MAX + CLONE_M1];
    return crypt_hkdf_expand(prk, labelled(label, bytes_of(th2, 32), info), out, 32);
}

/* th2 and the three keys. e_other, and M2's clear half for th2. */
static enum err derive_keys(struct clone_run *r,
                            const uint8_t e_other[32],
                            const uint8_t m2_clear[64],
                            const uint8_t dk[CRYPT_KEY],
                            const uint8_t *invite_secret)
{
    PAIR_SCOPED(ikm);
    KEY_SCOPED(prk);
    TRY(x25519_shared(r->ephemeral, e_other, ikm));
    memset(ikm + 32, 0, 32);
    if (invite_secret != NULL) {
        memcpy(ikm + 32, invite_secret, 32);
    }
    hash2(bytes_of(r->m1, CLONE_M1), bytes_of(m2_clear, 64), r->th2);
    TRY(crypt_hkdf_extract(bytes_of(dk, CRYPT_KEY), bytes_of(ikm, sizeof(ikm)), prk));
    TRY(expand(prk, "ringkeep/1/clone-J", r->th2, r->kj));
    TRY(expand(prk, "ringkeep/1/clone-D", r->th2, r->kd));
    return expand(prk, "ringkeep/1/clone-S", r->th2, r->ks);
}

/* th3 = SHA-256(th2 || sigJ || macJ) */
static void derive_th3(struct clone_run *r, const uint8_t m2[CLONE_M2])
{
    hash2(bytes_of(r->th2, 32), bytes_of(m2 + M2_SIG, SIGNATURE + MAC), r->th3);
}

static enum err take_chance(struct clone_run *r, const struct clone_chance *chance)
{
    memcpy(r->ephemeral, chance->ephemeral, 32);
    memcpy(r->nonce, chance->nonce, 32);
    return x25519_public(r->ephemeral, r->ephemeral_pub);
}

static enum err words(const struct clone_run *r, char out[CLONE_WORDS])
{
    uint8_t hash[32];
    const struct bytes th3 = bytes_of(r->th3, 32);
    if (r->step < CLONE_PROVEN) {
        return ERR_WRONG_STATE;
    }
    digest_sha256(&th3, 1, hash);
    envelope_words(hash, 12, out);
    return ERR_OK;
}

static bool invite_fits(const struct clone_params *p)
{
    return bytes_all_zero(bytes_of(p->invite_id, ID_SIZE)) == (p->purpose != CLONE_JOIN);
}

static bool is_reflection(const struct clone_params *p)
{
    return blob_id_order(p->donor_id, p->joiner_id) == 0 ||
           bytes_equal(bytes_of(p->donor_id_pub, 32), bytes_of(p->joiner_id_pub, 32));
}

/* ---- Donor ---- */

static enum err donor_m1(struct clone_run *r,
                         const struct clone_params *params,
                         const uint8_t id_private[32],
                         const struct clone_chance *chance)
{
    r->params = *params;
    if (params->purpose < CLONE_JOIN || params->purpose > CLONE_PUSH) {
        return ERR_MALFORMED;
    }
    if (is_reflection(params) || !invite_fits(params)) {
        return ERR_REFUSED;
    }
    TRY(take_chance(r, chance));
    clone_params_encode(params, r->m1);
    memcpy(r->m1 + M1_E, r->ephemeral_pub, 32);
    memcpy(r->m1 + M1_N, r->nonce, 32);
    return sign(id_private, "ringkeep/1/clone M1", bytes_of(r->m1, M1_SIG), r->m1 + M1_SIG);
}

enum err clone_donor_begin(struct clone_donor *d,
                           const struct clone_params *params,
                           const uint8_t id_private[32],
                           const struct clone_chance *chance,
                           uint8_t m1[CLONE_M1])
{
    run_wipe(&d->run);
    TRY(ended(&d->run, donor_m1(&d->run, params, id_private, chance)));
    memcpy(m1, d->run.m1, CLONE_M1);
    d->run.step = CLONE_BEGUN;
    return ERR_OK;
}

static enum err donor_m2(struct clone_run *r,
                         struct bytes m2,
                         const uint8_t *dk,
                         const uint8_t *invite_secret)
{
    uint8_t copy[CLONE_M2];
    if (r->step != CLONE_BEGUN || (invite_secret == NULL) == (r->params.purpose == CLONE_JOIN)) {
        return ERR_WRONG_STATE;
    }
    if (m2.size != CLONE_M2) {
        return ERR_MALFORMED;
    }
    memcpy(copy, m2.data, CLONE_M2);
    TRY(derive_keys(r, copy + M2_E, copy, dk, invite_secret));
    TRY(verify(r->params.joiner_id_pub, "ringkeep/1/clone J", bytes_of(r->th2, 32), copy + M2_SIG));
    TRY(check_mac(r->kj, r->th2, copy + M2_SIG, copy + M2_MAC));
    derive_th3(r, copy);
    r->step = CLONE_PROVEN;
    return ERR_OK;
}

enum err clone_donor_check_m2(struct clone_donor *d,
                              struct bytes m2,
                              const uint8_t dk[CRYPT_KEY],
                              const uint8_t *invite_secret)
{
    return ended(&d->run, donor_m2(&d->run, m2, dk, invite_secret));
}

/* A joiner is nobody that the roster knows, by id or by key, and has room. */
static bool is_new(const struct roster *roster, const struct clone_params *p)
{
    for (unsigned i = 0; i < roster->count; i++) {
        const struct blob_roster_row *row = &roster->row[i];
        if (blob_id_order(row->member_id, p->joiner_id) == 0 ||
            bytes_equal(bytes_of(row->id_pub, 32), bytes_of(p->joiner_id_pub, 32))) {
            return false;
        }
    }
    return roster->count < LIMIT_ROSTER_ROWS;
}

static bool is_active(const struct roster *roster, const uint8_t *member_id, const uint8_t *id_pub)
{
    const struct blob_roster_row *row = roster_find_active(roster, member_id);
    return row != NULL && bytes_equal(bytes_of(row->id_pub, 32), bytes_of(id_pub, 32));
}

static enum err donor_rules(struct clone_run *r,
                            const struct roster *roster,
                            uint64_t last_beacon,
                            uint64_t now)
{
    const struct clone_params *p = &r->params;
    if (r->step != CLONE_PROVEN) {
        return ERR_WRONG_STATE;
    }
    if (blob_id_order(roster->cluster_id, p->cluster_id) != 0 ||
        roster->version != p->roster_version) {
        return ERR_REFUSED;
    }
    if (p->purpose == CLONE_JOIN) {
        r->step = CLONE_ALLOWED;
        return is_new(roster, p) ? ERR_OK : ERR_REFUSED;
    }
    if (!is_active(roster, p->joiner_id, p->joiner_id_pub)) {
        return ERR_REFUSED;
    }
    TRY(roster_beacon_fresh(last_beacon, roster->inherit_window_s, now));
    r->step = CLONE_ALLOWED;
    return ERR_OK;
}

enum err clone_donor_check_rules(struct clone_donor *d,
                                 const struct roster *roster,
                                 uint64_t last_beacon,
                                 uint64_t now)
{
    return ended(&d->run, donor_rules(&d->run, roster, last_beacon, now));
}

enum err clone_donor_words(const struct clone_donor *d, char out[CLONE_WORDS])
{
    return words(&d->run, out);
}

/* CUK || SMK set || u32 len roster || u32 len cluster record || both || zero */
static enum err encode_gift(const struct clone_gift *g, uint8_t *plain)
{
    const size_t room = CLONE_M3_PLAIN - GIFT_HEAD;
    if (g->roster.size > room || g->cluster_record.size > room - g->roster.size) {
        return ERR_TOO_LARGE;
    }
    memset(plain, 0, CLONE_M3_PLAIN);
    memcpy(plain, g->cuk, CRYPT_KEY);
    smk_set_encode(g->set, plain + CRYPT_KEY);
    put_u32(plain + CRYPT_KEY + SMK_SET_SIZE, (uint32_t)g->roster.size);
    put_u32(plain + CRYPT_KEY + SMK_SET_SIZE + 4, (uint32_t)g->cluster_record.size);
    memcpy(plain + GIFT_HEAD, g->roster.data, g->roster.size);
    memcpy(plain + GIFT_HEAD + g->roster.size, g->cluster_record.data, g->cluster_record.size);
    return ERR_OK;
}

static void th4(struct clone_run *r, const uint8_t m3[CLONE_M3])
{
    hash2(bytes_of(r->th3, 32), bytes_of(m3, CLONE_M3), r->th4);
}

static enum err donor_m3(struct clone_run *r,
                         const uint8_t id_private[32],
                         const struct clone_gift *gift,
                         uint8_t m3[CLONE_M3])
{
    static const uint8_t iv[12];
    SECRET_SCOPED plain = { 0 };
    if (r->step != CLONE_ALLOWED) {
        return ERR_WRONG_STATE;
    }
    TRY(secret_alloc(&plain, CLONE_M3_PLAIN));
    TRY(encode_gift(gift, plain.data));
    const struct bytes th3 = bytes_of(r->th3, 32);
    TRY(sign(id_private, "ringkeep/1/clone D", th3, m3 + M3_SIG));
    TRY(mac(r->kd, r->th3, m3 + M3_SIG, m3 + M3_MAC));
    TRY(gcm_seal(r->ks, iv, th3, secret_bytes(&plain), m3 + M3_SEALED, m3 + M3_TAG));
    th4(r, m3);
    r->step = CLONE_SENT;
    return ERR_OK;
}

enum err clone_donor_make_m3(struct clone_donor *d,
                             const uint8_t id_private[32],
                             const struct clone_gift *gift,
                             uint8_t m3[CLONE_M3])
{
    return ended(&d->run, donor_m3(&d->run, id_private, gift, m3));
}

static enum err donor_m4(const struct clone_run *r, struct bytes m4)
{
    uint8_t made[CLONE_M4];
    if (r->step != CLONE_SENT) {
        return ERR_WRONG_STATE;
    }
    if (m4.size != CLONE_M4) {
        return ERR_MALFORMED;
    }
    TRY(ack(r, made));
    return secret_equal(bytes_of(made, CLONE_M4), m4) ? ERR_OK : ERR_BAD_TAG;
}

enum err clone_donor_check_m4(struct clone_donor *d, struct bytes m4)
{
    const enum err e = donor_m4(&d->run, m4);
    run_wipe(&d->run);
    return e;
}

void clone_donor_drop(struct clone_donor *d)
{
    run_wipe(&d->run);
}

/* ---- Joiner ---- */

static bool is_own(const struct clone_params *p, const struct clone_own *own)
{
    const struct clone_request *q = &own->request;
    return p->purpose == own->purpose && p->suite == q->suite &&
           blob_id_order(p->cluster_id, q->cluster_id) == 0 &&
           blob_id_order(p->joiner_id, q->joiner_id) == 0 &&
           blob_id_order(p->invite_id, q->invite_id) == 0 &&
           blob_id_order(p->domain_id, own->domain_id) == 0 &&
           bytes_equal(bytes_of(p->joiner_id_pub, 32), bytes_of(q->id_pub, 32)) &&
           bytes_equal(bytes_of(p->joiner_ak_pub, 32), bytes_of(q->ak_pub, 32)) &&
           bytes_equal(bytes_of(p->joiner_spki, 32), bytes_of(q->spki_hash, 32));
}

enum err clone_joiner_check_m1(struct bytes m1,
                               const struct clone_own *own,
                               const struct roster *roster,
                               struct clone_params *out)
{
    struct clone_params p;
    if (m1.size != CLONE_M1) {
        return ERR_MALFORMED;
    }
    TRY(clone_params_decode(m1.data, &p));
    if (is_reflection(&p) || !is_own(&p, own)) {
        return ERR_REFUSED;
    }
    if (p.purpose != CLONE_JOIN &&
        (roster == NULL || !is_active(roster, p.donor_id, p.donor_id_pub))) {
        return ERR_REFUSED;
    }
    TRY(verify(p.donor_id_pub, "ringkeep/1/clone M1", bytes_of(m1.data, M1_SIG), m1.data + M1_SIG));
    *out = p;
    return ERR_OK;
}

static enum err joiner_m2(struct clone_run *r,
                          struct bytes m1,
                          const struct clone_own *own,
                          const struct roster *roster,
                          const struct clone_proof *proof,
                          uint8_t m2[CLONE_M2])
{
    if (m1.size != CLONE_M1) {
        return ERR_MALFORMED;
    }
    if ((proof->invite_secret == NULL) == (own->purpose == CLONE_JOIN)) {
        return ERR_WRONG_STATE;
    }
    memcpy(r->m1, m1.data, CLONE_M1);
    TRY(clone_joiner_check_m1(bytes_of(r->m1, CLONE_M1), own, roster, &r->params));
    memcpy(m2 + M2_E, r->ephemeral_pub, 32);
    memcpy(m2 + M2_N, r->nonce, 32);
    TRY(derive_keys(r, r->m1 + M1_E, m2, proof->dk, proof->invite_secret));
    TRY(sign(proof->id_private, "ringkeep/1/clone J", bytes_of(r->th2, 32), m2 + M2_SIG));
    TRY(mac(r->kj, r->th2, m2 + M2_SIG, m2 + M2_MAC));
    derive_th3(r, m2);
    return ERR_OK;
}

enum err clone_joiner_begin(struct clone_joiner *j,
                            struct bytes m1,
                            const struct clone_own *own,
                            const struct roster *roster,
                            const struct clone_proof *proof,
                            const struct clone_chance *chance,
                            uint8_t m2[CLONE_M2])
{
    uint8_t made[CLONE_M2];
    run_wipe(&j->run);
    TRY(ended(&j->run, take_chance(&j->run, chance)));
    TRY(ended(&j->run, joiner_m2(&j->run, m1, own, roster, proof, made)));
    memcpy(m2, made, CLONE_M2);
    j->run.step = CLONE_PROVEN;
    return ERR_OK;
}

enum err clone_joiner_words(const struct clone_joiner *j, char out[CLONE_WORDS])
{
    return words(&j->run, out);
}

void clone_taken_wipe(struct clone_taken *t)
{
    bytes_wipe(t, sizeof(*t));
}

static enum err decode_gift(const uint8_t *plain, struct clone_taken *out)
{
    struct blob_roster_header roster;
    struct blob_record_header record;
    const size_t roster_size = get_u32(plain + CRYPT_KEY + SMK_SET_SIZE);
    const size_t record_size = get_u32(plain + CRYPT_KEY + SMK_SET_SIZE + 4);
    if (roster_size > LIMIT_ROSTER || record_size > LIMIT_RECORD ||
        roster_size + record_size > CLONE_M3_PLAIN - GIFT_HEAD) {
        return ERR_BAD_CONTENT;
    }
    const size_t used = GIFT_HEAD + roster_size + record_size;
    if (!bytes_all_zero(bytes_of(plain + used, CLONE_M3_PLAIN - used))) {
        return ERR_BAD_CONTENT;
    }
    TRY(smk_set_decode(bytes_of(plain + CRYPT_KEY, SMK_SET_SIZE), &out->set));
    memcpy(out->cuk, plain, CRYPT_KEY);
    memcpy(out->roster, plain + GIFT_HEAD, roster_size);
    memcpy(out->cluster_record, plain + GIFT_HEAD + roster_size, record_size);
    out->roster_size = roster_size;
    out->cluster_record_size = record_size;
    const struct bytes sealed = bytes_of(out->cluster_record, record_size);
    if (blob_roster_parse(bytes_of(out->roster, roster_size), &roster) != ERR_OK ||
        blob_record_parse(sealed, BLOB_CLUSTER_RECORD, &record) != ERR_OK) {
        return ERR_BAD_CONTENT;
    }
    return ERR_OK;
}

static enum err joiner_m3(struct clone_run *r,
                          struct bytes m3,
                          const struct smk_set *own,
                          struct clone_taken *out)
{
    static const uint8_t iv[12];
    SECRET_SCOPED plain = { 0 };
    const struct bytes th3 = bytes_of(r->th3, 32);
    if (r->step != CLONE_PROVEN) {
        return ERR_WRONG_STATE;
    }
    if (m3.size != CLONE_M3) {
        return ERR_MALFORMED;
    }
    TRY(verify(r->params.donor_id_pub, "ringkeep/1/clone D", th3, m3.data + M3_SIG));
    TRY(check_mac(r->kd, r->th3, m3.data + M3_SIG, m3.data + M3_MAC));
    TRY(secret_alloc(&plain, CLONE_M3_PLAIN));
    TRY(gcm_unseal(r->ks, iv, th3, bytes_of(m3.data + M3_SEALED, CLONE_M3_PLAIN), m3.data + M3_TAG,
                   plain.data));
    TRY(decode_gift(plain.data, out));
    if (r->params.purpose != CLONE_JOIN) {
        TRY(smk_set_accept(own, &out->set));
    }
    th4(r, m3.data);
    r->step = CLONE_TAKEN;
    return ERR_OK;
}

enum err clone_joiner_take_m3(struct clone_joiner *j,
                              struct bytes m3,
                              const struct smk_set *own,
                              struct clone_taken *out)
{
    const enum err e = ended(&j->run, joiner_m3(&j->run, m3, own, out));
    if (e != ERR_OK) {
        clone_taken_wipe(out);
    }
    return e;
}

enum err clone_joiner_make_m4(struct clone_joiner *j, uint8_t m4[CLONE_M4])
{
    const enum err e = j->run.step == CLONE_TAKEN ? ack(&j->run, m4) : ERR_WRONG_STATE;
    run_wipe(&j->run);
    return e;
}

void clone_joiner_drop(struct clone_joiner *j)
{
    run_wipe(&j->run);
}
