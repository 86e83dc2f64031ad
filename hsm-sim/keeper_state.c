/* SPDX-License-Identifier: Apache-2.0 */
/* The core's state: body format (version 1), the two slots, floors and invites.
 * Called by the keeper's thread alone.
 *
 * Body, little-endian, in order:
 *   u32 version, u8 state, u8 label size, label 32, core id 16, ID 32, AK 32,
 *   HSM SO row 112 (zero while uninitialised), failures of roles 1..4 (4),
 *   lk_version u64, latest time u64, uses u64,
 *   as member: cluster id 16, domain id 16, DK 32, set, home record, u32 size of
 *   roster, roster;
 *   u32 invites {id 16, expiry u64, spent u8, failures u8},
 *   u32 floors {keyring 16, version u64, epoch u64, used u64, failures 4}
 * home record: version u64, epoch u64, cuk_id 16, state u8, mode u8, policies u8
 *   {number u8, value u32}, rows u8 {112} */
#include "hsm-sim/keeper_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BODY_VERSION 1u
#define BODY_MAX ((size_t)1024 * 1024)
#define FLOOR_SIZE 44u
#define INVITE_SIZE 26u

_Static_assert(LIMIT_KEYRING_FLOORS *FLOOR_SIZE + KEEPER_INVITES * INVITE_SIZE + 16384u < BODY_MAX,
               "a full state fits its slot");

/* -- writing and reading ---------------------------------------------------- */

struct writer {
    uint8_t *at;
    size_t left;
};

static uint8_t *room(struct writer *w, size_t size)
{
    assert(size <= w->left);
    uint8_t *at = w->at;
    w->at += size;
    w->left -= size;
    return at;
}

static void write_bytes(struct writer *w, const void *data, size_t size)
{
    memcpy(room(w, size), data, size);
}

static void write_u8(struct writer *w, uint8_t v)
{
    *room(w, 1) = v;
}

static void write_u32(struct writer *w, uint32_t v)
{
    put_u32(room(w, 4), v);
}

static void write_u64(struct writer *w, uint64_t v)
{
    put_u64(room(w, 8), v);
}

struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

/* Zeros where the input is short; `bad` tells. */
static const uint8_t *take(struct reader *r, size_t size)
{
    static const uint8_t zeros[LIMIT_ROSTER] = { 0 };
    assert(size <= sizeof zeros);
    if (r->bad || r->left < size) {
        r->bad = true;
        return zeros;
    }
    const uint8_t *at = r->at;
    r->at += size;
    r->left -= size;
    return at;
}

static void read_bytes(struct reader *r, void *out, size_t size)
{
    memcpy(out, take(r, size), size);
}

static uint8_t read_u8(struct reader *r)
{
    return *take(r, 1);
}

static uint32_t read_u32(struct reader *r)
{
    return get_u32(take(r, 4));
}

static uint64_t read_u64(struct reader *r)
{
    return get_u64(take(r, 8));
}

/* A count that must not pass its bound. */
static uint32_t read_count(struct reader *r, uint32_t limit)
{
    uint32_t count = read_u32(r);
    r->bad = r->bad || count > limit;
    return r->bad ? 0 : count;
}

/* -- parts of the body ------------------------------------------------------ */

static void write_row(struct writer *w, const struct record_row *row)
{
    record_row_encode(row, room(w, RECORD_ROW));
}

static void read_row(struct reader *r, struct record_row *out)
{
    uint8_t row[RECORD_ROW];
    read_bytes(r, row, sizeof row);
    r->bad = r->bad || record_row_decode(row, out) != ERR_OK;
    bytes_wipe(row, sizeof row);
}

static void write_home(struct writer *w, const struct record *home)
{
    write_u64(w, home->version);
    write_u64(w, home->epoch);
    write_bytes(w, home->kk_id, ID_SIZE);
    write_u8(w, home->state);
    write_u8(w, home->identity_mode);
    write_u8(w, home->policy_count);
    for (unsigned i = 0; i < home->policy_count; i++) {
        write_u8(w, home->policy[i].number);
        write_u32(w, home->policy[i].value);
    }
    write_u8(w, home->row_count);
    for (unsigned i = 0; i < home->row_count; i++) {
        write_row(w, &home->row[i]);
    }
}

static void read_home(struct reader *r, const uint8_t cluster_id[ID_SIZE], struct record *out)
{
    out->kind = BLOB_CLUSTER_RECORD;
    memcpy(out->owner_id, cluster_id, ID_SIZE);
    out->version = read_u64(r);
    out->epoch = read_u64(r);
    read_bytes(r, out->kk_id, ID_SIZE);
    out->state = read_u8(r);
    out->identity_mode = read_u8(r);
    out->policy_count = read_u8(r);
    r->bad = r->bad || out->policy_count > RECORD_POLICIES;
    for (unsigned i = 0; !r->bad && i < out->policy_count; i++) {
        out->policy[i].number = read_u8(r);
        out->policy[i].value = read_u32(r);
    }
    out->row_count = read_u8(r);
    r->bad = r->bad || out->row_count > RECORD_ROLES;
    for (unsigned i = 0; !r->bad && i < out->row_count; i++) {
        read_row(r, &out->row[i]);
    }
}

static void write_member(struct writer *w, const struct keeper_state *s)
{
    write_bytes(w, s->cluster_id, ID_SIZE);
    write_bytes(w, s->domain_id, ID_SIZE);
    write_bytes(w, s->dk, sizeof s->dk);
    write_bytes(w, s->set, sizeof s->set);
    write_home(w, &s->home);
    write_u32(w, (uint32_t)s->roster_size);
    write_bytes(w, s->roster, s->roster_size);
}

static void read_member(struct reader *r, struct keeper_state *out)
{
    struct roster roster;
    read_bytes(r, out->cluster_id, ID_SIZE);
    read_bytes(r, out->domain_id, ID_SIZE);
    read_bytes(r, out->dk, sizeof out->dk);
    read_bytes(r, out->set, sizeof out->set);
    read_home(r, out->cluster_id, &out->home);
    out->roster_size = read_count(r, LIMIT_ROSTER);
    read_bytes(r, out->roster, out->roster_size);
    r->bad = r->bad || keeper_state_roster(out, &roster) != ERR_OK;
}

static void write_lists(struct writer *w, const struct keeper_state *s)
{
    uint8_t *count = room(w, 4);
    uint32_t n = 0;
    for (unsigned i = 0; i < KEEPER_INVITES; i++) {
        const struct keeper_invite *v = &s->invite[i];
        if (v->expiry != 0) {
            write_bytes(w, v->invite_id, ID_SIZE);
            write_u64(w, v->expiry);
            write_u8(w, v->spent);
            write_u8(w, v->failures);
            n++;
        }
    }
    put_u32(count, n);
    count = room(w, 4);
    n = 0;
    for (unsigned i = 0; i < LIMIT_KEYRING_FLOORS; i++) {
        const struct keeper_floor *f = &s->floor[i];
        if (f->used != 0) {
            write_bytes(w, f->keyring_id, ID_SIZE);
            write_u64(w, f->version);
            write_u64(w, f->epoch);
            write_u64(w, f->used);
            write_bytes(w, f->failures, sizeof f->failures);
            n++;
        }
    }
    put_u32(count, n);
}

static void read_lists(struct reader *r, struct keeper_state *out)
{
    uint32_t n = read_count(r, KEEPER_INVITES);
    for (uint32_t i = 0; !r->bad && i < n; i++) {
        struct keeper_invite *v = &out->invite[i];
        read_bytes(r, v->invite_id, ID_SIZE);
        v->expiry = read_u64(r);
        v->spent = read_u8(r);
        v->failures = read_u8(r);
        r->bad = r->bad || v->expiry == 0 || v->spent > 1;
    }
    n = read_count(r, LIMIT_KEYRING_FLOORS);
    for (uint32_t i = 0; !r->bad && i < n; i++) {
        struct keeper_floor *f = &out->floor[i];
        read_bytes(r, f->keyring_id, ID_SIZE);
        f->version = read_u64(r);
        f->epoch = read_u64(r);
        f->used = read_u64(r);
        read_bytes(r, f->failures, sizeof f->failures);
        r->bad = r->bad || f->used == 0 || f->used > out->uses;
    }
}

enum err keeper_state_encode(const struct keeper_state *s, struct secret *out)
{
    SECRET_SCOPED body = { 0 };
    TRY(secret_alloc(&body, BODY_MAX));
    struct writer w = { body.data, body.size };
    write_u32(&w, BODY_VERSION);
    write_u8(&w, s->state);
    write_u8(&w, s->label_size);
    write_bytes(&w, s->label, sizeof s->label);
    write_bytes(&w, s->core_id, ID_SIZE);
    write_bytes(&w, s->id_private, sizeof s->id_private);
    write_bytes(&w, s->ak_private, sizeof s->ak_private);
    if (s->state >= CORE_INITIALISED) {
        write_row(&w, &s->so);
    } else {
        memset(room(&w, RECORD_ROW), 0, RECORD_ROW);
    }
    write_bytes(&w, s->failures + 1, sizeof s->failures - 1);
    write_u64(&w, s->lk_version);
    write_u64(&w, s->latest_s);
    write_u64(&w, s->uses);
    if (s->state >= CORE_MEMBER) {
        write_member(&w, s);
    }
    write_lists(&w, s);
    body.size -= w.left;
    *out = secret_take(&body);
    return ERR_OK;
}

enum err keeper_state_decode(struct bytes body, struct keeper_state *out)
{
    struct reader r = { body.data, body.size, false };
    bool ok = read_u32(&r) == BODY_VERSION;
    out->state = read_u8(&r);
    out->label_size = read_u8(&r);
    ok = ok && out->state <= CORE_MEMBER && out->label_size <= LIMIT_LABEL;
    read_bytes(&r, out->label, sizeof out->label);
    read_bytes(&r, out->core_id, ID_SIZE);
    read_bytes(&r, out->id_private, sizeof out->id_private);
    read_bytes(&r, out->ak_private, sizeof out->ak_private);
    if (ok && out->state >= CORE_INITIALISED) {
        read_row(&r, &out->so);
    } else {
        ok = ok && bytes_all_zero(bytes_of(take(&r, RECORD_ROW), RECORD_ROW));
    }
    read_bytes(&r, out->failures + 1, sizeof out->failures - 1);
    out->lk_version = read_u64(&r);
    out->latest_s = read_u64(&r);
    out->uses = read_u64(&r);
    if (ok && out->state >= CORE_MEMBER) {
        read_member(&r, out);
    }
    read_lists(&r, out);
    return ok && !r.bad && r.left == 0 ? ERR_OK : ERR_CORRUPT;
}

/* -- slots ------------------------------------------------------------------ */

static enum err read_file(int fd, struct buf *out)
{
    uint8_t *at = NULL;
    ssize_t got = 0;
    do {
        TRY(buf_reserve(out, 65536, SMK_SLOT_MAX, &at));
        got = pread(fd, at, 65536, (off_t)out->size);
        if (got < 0 && errno != EINTR) {
            return ERR_IO;
        }
        out->size += got > 0 ? (size_t)got : 0;
    } while (got != 0);
    return ERR_OK;
}

static enum err write_file(int fd, struct bytes data)
{
    size_t done = 0;
    while (done < data.size) {
        ssize_t n = pwrite(fd, data.data + done, data.size - done, (off_t)done);
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return ftruncate(fd, (off_t)data.size) == 0 && fdatasync(fd) == 0 ? ERR_OK : ERR_IO;
}

/* Opens one slot file; *empty where there is nothing in it. */
static enum err open_slot(const struct keeper_slots *slots,
                          unsigned file,
                          bool *empty,
                          uint64_t *sequence,
                          struct secret *body)
{
    BUF_SCOPED slot = { 0 };
    uint8_t core_id[ID_SIZE];
    uint8_t stk[CRYPT_KEY];
    TRY(read_file(slots->fd[file], &slot));
    *empty = slot.size == 0;
    if (*empty) {
        return ERR_NOTFOUND;
    }
    TRY(smk_slot_core_id(buf_bytes(&slot), core_id));
    TRY(smk_state_key(slots->mtk, core_id, stk));
    enum err e = smk_slot_open(buf_bytes(&slot), stk, core_id, sequence, body);
    bytes_wipe(stk, sizeof stk);
    if (e == ERR_OK && smk_slot_file(*sequence) != file) {
        secret_drop(body);
        return ERR_CORRUPT;
    }
    return e;
}

enum err keeper_slots_load(struct keeper_slots *slots, struct keeper_state *out)
{
    SECRET_SCOPED first = { 0 };
    SECRET_SCOPED second = { 0 };
    struct secret *body[2] = { &first, &second };
    uint64_t sequence[2] = { 0, 0 };
    bool empty[2] = { false, false };
    enum err e[2];
    for (unsigned i = 0; i < 2; i++) {
        e[i] = open_slot(slots, i, &empty[i], &sequence[i], body[i]);
        if (e[i] == ERR_IO || e[i] == ERR_NOMEM || e[i] == ERR_CRYPTO) {
            return e[i];
        }
    }
    if (empty[0] && empty[1]) {
        return ERR_NOTFOUND;
    }
    if (e[0] != ERR_OK && e[1] != ERR_OK) {
        return ERR_CORRUPT;
    }
    unsigned best = e[0] != ERR_OK || (e[1] == ERR_OK && sequence[1] > sequence[0]) ? 1 : 0;
    memset(out, 0, sizeof *out);
    TRY(keeper_state_decode(secret_bytes(body[best]), out));
    slots->sequence = sequence[best];
    return ERR_OK;
}

enum err keeper_slots_store(struct keeper_slots *slots, const struct keeper_state *s)
{
    SECRET_SCOPED body = { 0 };
    BUF_SCOPED slot = { 0 };
    uint8_t stk[CRYPT_KEY];
    const uint64_t sequence = slots->sequence + 1;
    TRY(keeper_state_encode(s, &body));
    TRY(smk_state_key(slots->mtk, s->core_id, stk));
    enum err e = smk_slot_seal(stk, s->core_id, sequence, secret_bytes(&body), &slot);
    bytes_wipe(stk, sizeof stk);
    TRY(e);
    TRY(write_file(slots->fd[smk_slot_file(sequence)], buf_bytes(&slot)));
    slots->sequence = sequence;
    return ERR_OK;
}

/* -- floors and invites ----------------------------------------------------- */

struct keeper_floor *keeper_floor_find(struct keeper_state *s, const uint8_t keyring_id[ID_SIZE])
{
    for (unsigned i = 0; i < LIMIT_KEYRING_FLOORS; i++) {
        struct keeper_floor *f = &s->floor[i];
        if (f->used != 0 && keeper_same_id(f->keyring_id, keyring_id)) {
            return f;
        }
    }
    return NULL;
}

static bool floor_is_busy(const struct keeper_floor *f)
{
    return !bytes_all_zero(bytes_of(f->in_flight, sizeof f->in_flight));
}

struct keeper_floor *keeper_floor_use(struct keeper_state *s, const uint8_t keyring_id[ID_SIZE])
{
    struct keeper_floor *f = keeper_floor_find(s, keyring_id);
    for (unsigned i = 0; f == NULL && i < LIMIT_KEYRING_FLOORS; i++) {
        f = s->floor[i].used == 0 ? &s->floor[i] : NULL;
    }
    if (f == NULL) {
        for (unsigned i = 0; i < LIMIT_KEYRING_FLOORS; i++) {
            struct keeper_floor *g = &s->floor[i];
            f = !floor_is_busy(g) && (f == NULL || g->used < f->used) ? g : f;
        }
        assert(f != NULL); /* LIMIT_SCRYPT_QUEUE bounds the busy ones */
        memset(f, 0, sizeof *f);
    }
    memcpy(f->keyring_id, keyring_id, ID_SIZE);
    f->used = ++s->uses;
    return f;
}

struct keeper_invite *keeper_invite_find(struct keeper_state *s, const uint8_t invite_id[ID_SIZE])
{
    for (unsigned i = 0; i < KEEPER_INVITES; i++) {
        struct keeper_invite *v = &s->invite[i];
        if (v->expiry != 0 && keeper_same_id(v->invite_id, invite_id)) {
            return v;
        }
    }
    return NULL;
}

struct keeper_invite *keeper_invite_use(struct keeper_state *s,
                                        const uint8_t invite_id[ID_SIZE],
                                        uint64_t expiry,
                                        uint64_t now)
{
    struct keeper_invite *v = keeper_invite_find(s, invite_id);
    for (unsigned i = 0; v == NULL && i < KEEPER_INVITES; i++) {
        v = s->invite[i].expiry <= now ? &s->invite[i] : NULL;
        if (v != NULL) {
            *v = (struct keeper_invite){ .expiry = expiry };
            memcpy(v->invite_id, invite_id, ID_SIZE);
        }
    }
    return v;
}

enum err keeper_state_roster(const struct keeper_state *s, struct roster *out)
{
    struct blob_roster_header h;
    struct bytes sealed = bytes_of(s->roster, s->roster_size);
    if (s->roster_size == 0) {
        return ERR_NOTFOUND;
    }
    TRY(blob_roster_parse(sealed, &h));
    *out = (struct roster){ .version = h.version,
                            .inherit_window_s = h.inherit_window_s,
                            .count = h.count };
    memcpy(out->smk_id, h.smk_id, ID_SIZE);
    memcpy(out->cluster_id, h.cluster_id, ID_SIZE);
    for (unsigned i = 0; i < h.count; i++) {
        blob_roster_row(sealed, i, &out->row[i]);
    }
    return keeper_same_id(h.cluster_id, s->cluster_id) ? ERR_OK : ERR_WRONG_KEY;
}
