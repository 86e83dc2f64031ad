/* SPDX-License-Identifier: Apache-2.0 */
/* Role rows: encoding, scrypt, check, wrap (sks/record.h). record_derive takes
 * scrypt's time and memory; all else is quick. Any thread. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "sks/record.h"
#include "sks/wipe.h"

#define ROW_FLAGS (RECORD_MUST_CHANGE | RECORD_LOCKED | RECORD_NO_WRAP)
#define SCRYPT_R 8u
#define SCRYPT_P 1u
#define WRAP_AAD (2u * ID_SIZE + 1u)

enum { VERB_CHANGE = 2, VERB_SET = 3 };

#ifdef RINGKEEP_TEST_HOOKS
static atomic_bool test_scrypt = true;
#else
static atomic_bool test_scrypt;
#endif

void record_allow_test_scrypt(bool allowed)
{
    atomic_store(&test_scrypt, allowed);
}

static bool log_n_fits(unsigned log_n)
{
    const unsigned least = atomic_load(&test_scrypt) ? 1 : RECORD_LOGN_MIN;
    return log_n >= least && log_n <= RECORD_LOGN_MAX;
}

static enum err check_row(const struct record_row *row)
{
    const bool no_wrap = (row->flags & RECORD_NO_WRAP) != 0;
    const bool of_core = row->role == RECORD_HSM_SO || row->role == RECORD_AUDITOR;
    if (row->role < RECORD_HSM_SO || row->role > RECORD_CU || (of_core && !no_wrap)) {
        return ERR_BAD_CONTENT;
    }
    if ((row->flags & ~ROW_FLAGS) != 0 || !log_n_fits(row->log_n) || row->max_fail == 0) {
        return ERR_BAD_CONTENT;
    }
    return ERR_OK;
}

void record_row_encode(const struct record_row *row, uint8_t out[RECORD_ROW])
{
    memset(out, 0, RECORD_ROW);
    out[0] = row->role;
    out[1] = row->flags;
    out[2] = row->log_n;
    out[3] = SCRYPT_R;
    out[4] = SCRYPT_P;
    out[5] = row->max_fail;
    put_u64(out + 8, row->changed_at);
    memcpy(out + 16, row->salt, 32);
    memcpy(out + 48, row->check, 16);
    memcpy(out + 64, row->wrap, 48);
}

enum err record_row_decode(const uint8_t in[RECORD_ROW], struct record_row *out)
{
    struct record_row r = { .role = in[0], .flags = in[1], .log_n = in[2], .max_fail = in[5] };
    const bool no_wrap = (r.flags & RECORD_NO_WRAP) != 0;
    TRY(check_row(&r));
    if (in[3] != SCRYPT_R || in[4] != SCRYPT_P || in[6] != 0 || in[7] != 0) {
        return ERR_BAD_CONTENT;
    }
    r.changed_at = get_u64(in + 8);
    memcpy(r.salt, in + 16, 32);
    memcpy(r.check, in + 48, 16);
    memcpy(r.wrap, in + 64, 48);
    if (bytes_all_zero(bytes_of(r.wrap, 48)) != no_wrap) {
        return ERR_BAD_CONTENT;
    }
    *out = r;
    return ERR_OK;
}

/* ---- Passwords ---- */

enum err record_derive(const struct record_row *row,
                       const uint8_t owner_id[ID_SIZE],
                       struct bytes password,
                       uint8_t dk[RECORD_DK])
{
    uint8_t salt[32 + ID_SIZE + 1];
    if (password.size == 0 || password.size > LIMIT_PASSWORD) {
        return ERR_PIN_LENGTH;
    }
    if (!log_n_fits(row->log_n)) {
        return ERR_BAD_CONTENT;
    }
    memcpy(salt, row->salt, 32);
    memcpy(salt + 32, owner_id, ID_SIZE);
    salt[32 + ID_SIZE] = row->role;
    return crypt_scrypt(password, bytes_of(salt, sizeof(salt)), row->log_n, dk, RECORD_DK);
}

/* owner_id || role, and with kk_id the AAD of the wrap. */
static void wrap_context(const uint8_t owner_id[ID_SIZE],
                         unsigned role,
                         const uint8_t *kk_id,
                         uint8_t out[WRAP_AAD])
{
    memcpy(out, owner_id, ID_SIZE);
    out[ID_SIZE] = (uint8_t)role;
    if (kk_id != NULL) {
        memcpy(out + ID_SIZE + 1, kk_id, ID_SIZE);
    }
}

static enum err make_check(const uint8_t owner_id[ID_SIZE],
                           unsigned role,
                           const uint8_t dk[RECORD_DK],
                           uint8_t check[16])
{
    uint8_t context[WRAP_AAD];
    wrap_context(owner_id, role, NULL, context);
    return crypt_hk(bytes_of(dk, RECORD_DK), bytes_of(NULL, 0), "role-check",
                    bytes_of(context, ID_SIZE + 1), check, 16);
}

static enum err make_wrap_key(const uint8_t context[WRAP_AAD],
                              const uint8_t dk[RECORD_DK],
                              uint8_t wk[CRYPT_KEY])
{
    return crypt_hk(bytes_of(dk, RECORD_DK), bytes_of(NULL, 0), "role-wrap",
                    bytes_of(context, WRAP_AAD), wk, CRYPT_KEY);
}

enum err record_row_compare(const struct record_row *row,
                            const uint8_t owner_id[ID_SIZE],
                            const uint8_t dk[RECORD_DK])
{
    uint8_t check[16];
    TRY(make_check(owner_id, row->role, dk, check));
    const bool same = secret_equal(bytes_of(check, 16), bytes_of(row->check, 16));
    bytes_wipe(check, sizeof(check));
    return same ? ERR_OK : ERR_PIN_INCORRECT;
}

enum err record_row_unwrap(const struct record_row *row,
                           const uint8_t owner_id[ID_SIZE],
                           const uint8_t kk_id[ID_SIZE],
                           const uint8_t dk[RECORD_DK],
                           uint8_t kk[CRYPT_KEY])
{
    static const uint8_t iv[12];
    KEY_SCOPED(wk);
    KEY_SCOPED(key);
    uint8_t context[WRAP_AAD];
    uint8_t id[ID_SIZE];
    if ((row->flags & RECORD_NO_WRAP) != 0) {
        return ERR_WRONG_STATE;
    }
    wrap_context(owner_id, row->role, kk_id, context);
    TRY(make_wrap_key(context, dk, wk));
    TRY(gcm_unseal(wk, iv, bytes_of(context, sizeof(context)), bytes_of(row->wrap, CRYPT_KEY),
                   row->wrap + CRYPT_KEY, key));
    TRY(smk_kk_id(key, owner_id, id));
    if (blob_id_order(id, kk_id) != 0) {
        return ERR_BAD_CONTENT;
    }
    memcpy(kk, key, CRYPT_KEY);
    return ERR_OK;
}

enum err record_row_login(const struct record_row *row,
                          const uint8_t owner_id[ID_SIZE],
                          const uint8_t kk_id[ID_SIZE],
                          struct bytes password,
                          uint8_t kk[CRYPT_KEY])
{
    PAIR_SCOPED(dk);
    TRY(record_derive(row, owner_id, password, dk));
    TRY(record_row_compare(row, owner_id, dk));
    if (kk == NULL) {
        return ERR_OK;
    }
    if ((row->flags & RECORD_NO_WRAP) != 0) {
        memset(kk, 0, CRYPT_KEY);
        return ERR_OK;
    }
    return record_row_unwrap(row, owner_id, kk_id, dk, kk);
}

static enum err make_wrap(struct record_row *row,
                          const uint8_t owner_id[ID_SIZE],
                          const uint8_t kk_id[ID_SIZE],
                          const uint8_t dk[RECORD_DK],
                          const uint8_t kk[CRYPT_KEY])
{
    static const uint8_t iv[12];
    KEY_SCOPED(wk);
    uint8_t context[WRAP_AAD];
    uint8_t id[ID_SIZE];
    TRY(smk_kk_id(kk, owner_id, id));
    if (blob_id_order(id, kk_id) != 0) {
        return ERR_BAD_CONTENT;
    }
    wrap_context(owner_id, row->role, kk_id, context);
    TRY(make_wrap_key(context, dk, wk));
    return gcm_seal(wk, iv, bytes_of(context, sizeof(context)), bytes_of(kk, CRYPT_KEY), row->wrap,
                    row->wrap + CRYPT_KEY);
}

enum err record_row_set_with(struct record_row *row,
                             const uint8_t owner_id[ID_SIZE],
                             const uint8_t kk_id[ID_SIZE],
                             struct bytes password,
                             const uint8_t *kk,
                             const uint8_t salt[32])
{
    PAIR_SCOPED(dk);
    struct record_row r = *row;
    TRY(check_row(&r));
    assert((kk == NULL) == ((r.flags & RECORD_NO_WRAP) != 0));
    memcpy(r.salt, salt, 32);
    memset(r.wrap, 0, sizeof(r.wrap));
    TRY(record_derive(&r, owner_id, password, dk));
    TRY(make_check(owner_id, r.role, dk, r.check));
    if (kk != NULL) {
        TRY(make_wrap(&r, owner_id, kk_id, dk, kk));
    }
    *row = r;
    return ERR_OK;
}

enum err record_row_set(struct record_row *row,
                        const uint8_t owner_id[ID_SIZE],
                        const uint8_t kk_id[ID_SIZE],
                        struct bytes password,
                        const uint8_t *kk)
{
    uint8_t salt[32];
    TRY(crypt_random(salt, sizeof(salt)));
    return record_row_set_with(row, owner_id, kk_id, password, kk, salt);
}

enum err record_row_verb_check(const struct record_row *row, unsigned verb)
{
    const bool lifts = verb == VERB_CHANGE || verb == VERB_SET;
    return (row->flags & RECORD_MUST_CHANGE) == 0 || lifts ? ERR_OK : ERR_REFUSED;
}
