/* SPDX-License-Identifier: Apache-2.0 */
/* Encoder and decoder of what daemon, worker and keeper say to each other, and
 * the verb table made from verbs.def. Any thread; no state. */
#include "hsm-sim/core_wire.h"

#include <assert.h>
#include <string.h>

#define MAC_OFFSET 48u
#define MAC_SIZE 16u
#define REQUEST_SIZES 64u
#define REPLY_SIZES 24u
#define VERB_NUMBERS 64u

#define S0()                                                                                       \
    {                                                                                              \
        0                                                                                          \
    }
#define S1(a)                                                                                      \
    {                                                                                              \
        a                                                                                          \
    }
#define S2(a, b)                                                                                   \
    {                                                                                              \
        a, b                                                                                       \
    }
#define S3(a, b, c)                                                                                \
    {                                                                                              \
        a, b, c                                                                                    \
    }
#define S4(a, b, c, d)                                                                             \
    {                                                                                              \
        a, b, c, d                                                                                 \
    }
#define S5(a, b, c, d, e)                                                                          \
    {                                                                                              \
        a, b, c, d, e                                                                              \
    }
#define S6(a, b, c, d, e, f)                                                                       \
    {                                                                                              \
        a, b, c, d, e, f                                                                           \
    }
#define S7(a, b, c, d, e, f, g)                                                                    \
    {                                                                                              \
        a, b, c, d, e, f, g                                                                        \
    }
#define S8(a, b, c, d, e, f, g, h)                                                                 \
    {                                                                                              \
        a, b, c, d, e, f, g, h                                                                     \
    }
#define STATE_ANY CORE_UNINITIALISED
#define STATE_INITIALISED CORE_INITIALISED
#define STATE_AUTHORIZED CORE_AUTHORIZED

enum row_position {
#define VERB(number, name, runs, state, leaves, sections) ROW_##name,
#include "hsm-sim/verbs.def"
#undef VERB
    ROW_COUNT
};

static const struct core_verb_row rows[ROW_COUNT] = {
#define VERB(number, name, runs, state, leaves, sections)                                          \
    [ROW_##name] = {                                                                               \
        number, #name, CORE_RUNS_##runs, STATE_##state, CORE_LEAVES_##leaves, sections             \
    },
#include "hsm-sim/verbs.def"
#undef VERB
};

/* Position + 1 by verb number; 0: no such verb. */
static const uint8_t row_of[VERB_NUMBERS] = {
#define VERB(number, name, runs, state, leaves, sections) [number] = ROW_##name + 1,
#include "hsm-sim/verbs.def"
#undef VERB
};

const struct core_verb_row *core_verb_find(unsigned verb)
{
    if (verb >= VERB_NUMBERS || row_of[verb] == 0) {
        return NULL;
    }
    return &rows[row_of[verb] - 1];
}

const struct core_verb_row *core_verb_rows(size_t *count)
{
    *count = ROW_COUNT;
    return rows;
}

static size_t sum_sizes(const struct bytes *section)
{
    size_t sum = 0;
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        sum += section[i].size;
    }
    return sum;
}

size_t core_request_size(const struct core_request *r)
{
    return CORE_REQUEST_HEAD + sum_sizes(r->section);
}

size_t core_reply_size(const struct core_reply *r)
{
    return CORE_REPLY_HEAD + sum_sizes(r->section);
}

static void put_sizes(const struct bytes *section, uint8_t *sizes)
{
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        put_u32(sizes + (size_t)4 * i, (uint32_t)section[i].size);
    }
}

static void put_sections(const struct bytes *section, uint8_t *at)
{
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        if (section[i].size > 0) {
            memcpy(at, section[i].data, section[i].size);
            at += section[i].size;
        }
    }
}

void core_request_encode(const struct core_request *r, uint8_t *out)
{
    size_t total = core_request_size(r);
    assert(total <= UINT32_MAX && r->verb <= UINT16_MAX);
    memset(out, 0, CORE_REQUEST_HEAD);
    put_u16(out, (uint16_t)r->verb);
    put_u32(out + 4, (uint32_t)total);
    put_u64(out + 8, r->handle);
    put_u64(out + 16, r->mechanism);
    put_u64(out + 24, r->number);
    memcpy(out + 32, r->request_id, sizeof r->request_id);
    put_sizes(r->section, out + REQUEST_SIZES);
    put_sections(r->section, out + CORE_REQUEST_HEAD);
}

void core_reply_encode_head(const struct core_reply *r, uint8_t out[CORE_REPLY_HEAD])
{
    size_t total = core_reply_size(r);
    assert(total <= UINT32_MAX);
    memset(out, 0, CORE_REPLY_HEAD);
    put_u32(out, (uint32_t)r->error);
    put_u32(out + 4, (uint32_t)total);
    put_u64(out + 8, r->number);
    put_sizes(r->section, out + REPLY_SIZES);
}

void core_reply_encode(const struct core_reply *r, uint8_t *out)
{
    core_reply_encode_head(r, out);
    put_sections(r->section, out + CORE_REPLY_HEAD);
}

/* Lays the sections over what follows the head; false when they do not fill it. */
static bool get_sections(struct bytes body, const uint8_t *sizes, struct bytes *section)
{
    size_t left = body.size;
    const uint8_t *at = body.data;
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        size_t size = get_u32(sizes + (size_t)4 * i);
        if (size > left) {
            return false;
        }
        section[i] = bytes_of(at, size);
        at += size;
        left -= size;
    }
    return left == 0;
}

enum err core_request_decode(struct bytes b, struct core_request *out)
{
    struct core_request r = { 0 };
    const struct core_verb_row *row;
    if (b.size < CORE_REQUEST_HEAD || get_u32(b.data + 4) != b.size || get_u16(b.data + 2) != 0 ||
        !bytes_all_zero(bytes_of(b.data + MAC_OFFSET, MAC_SIZE))) {
        return ERR_PROTOCOL;
    }
    r.verb = get_u16(b.data);
    row = core_verb_find(r.verb);
    if (row == NULL) {
        return ERR_PROTOCOL;
    }
    r.handle = get_u64(b.data + 8);
    r.mechanism = get_u64(b.data + 16);
    r.number = get_u64(b.data + 24);
    memcpy(r.request_id, b.data + 32, sizeof r.request_id);
    if (!get_sections(bytes_of(b.data + CORE_REQUEST_HEAD, b.size - CORE_REQUEST_HEAD),
                      b.data + REQUEST_SIZES, r.section)) {
        return ERR_PROTOCOL;
    }
    if (!core_verb_fits(row, &r)) {
        return ERR_TOO_LARGE;
    }
    *out = r;
    return ERR_OK;
}

enum err core_reply_decode(struct bytes b, struct core_reply *out)
{
    struct core_reply r = { 0 };
    if (b.size < CORE_REPLY_HEAD || get_u32(b.data + 4) != b.size || get_u64(b.data + 16) != 0 ||
        get_u64(b.data + 56) != 0) {
        return ERR_PROTOCOL;
    }
    r.error = err_from_wire(get_u32(b.data));
    r.number = get_u64(b.data + 8);
    if (!get_sections(bytes_of(b.data + CORE_REPLY_HEAD, b.size - CORE_REPLY_HEAD),
                      b.data + REPLY_SIZES, r.section)) {
        return ERR_PROTOCOL;
    }
    *out = r;
    return ERR_OK;
}

/* Offsets of the fixed status layout; zero from STATUS_END on. */
enum {
    STATUS_CORE_ID = 8,
    STATUS_CLUSTER_ID = 24,
    STATUS_ID_PUB = 40,
    STATUS_AK_PUB = 72,
    STATUS_SMK_ID = 104,
    STATUS_NUMBERS = 120,
    STATUS_ISOLATED = 160,
    STATUS_LOCKED = 164,
    STATUS_END = 168
};

void core_status_encode(const struct core_status *s, uint8_t out[CORE_STATUS_SIZE])
{
    memset(out, 0, CORE_STATUS_SIZE);
    put_u32(out, s->state);
    put_u32(out + 4, s->mtk_in_state);
    memcpy(out + STATUS_CORE_ID, s->core_id, sizeof s->core_id);
    memcpy(out + STATUS_CLUSTER_ID, s->cluster_id, sizeof s->cluster_id);
    memcpy(out + STATUS_ID_PUB, s->id_pub, sizeof s->id_pub);
    memcpy(out + STATUS_AK_PUB, s->ak_pub, sizeof s->ak_pub);
    memcpy(out + STATUS_SMK_ID, s->smk_id, sizeof s->smk_id);
    put_u64(out + STATUS_NUMBERS, s->roster_version);
    put_u64(out + STATUS_NUMBERS + 8, s->lk_version);
    put_u64(out + STATUS_NUMBERS + 16, s->handles);
    put_u64(out + STATUS_NUMBERS + 24, s->wall_s);
    put_u64(out + STATUS_NUMBERS + 32, s->scrypt_waiting);
    put_u32(out + STATUS_ISOLATED, s->isolated);
    put_u32(out + STATUS_LOCKED, s->locked);
}

enum err core_status_decode(struct bytes b, struct core_status *out)
{
    struct core_status s = { 0 };
    if (b.size != CORE_STATUS_SIZE ||
        !bytes_all_zero(bytes_of(b.data + STATUS_END, CORE_STATUS_SIZE - STATUS_END))) {
        return ERR_PROTOCOL;
    }
    s.state = get_u32(b.data);
    s.mtk_in_state = get_u32(b.data + 4);
    memcpy(s.core_id, b.data + STATUS_CORE_ID, sizeof s.core_id);
    memcpy(s.cluster_id, b.data + STATUS_CLUSTER_ID, sizeof s.cluster_id);
    memcpy(s.id_pub, b.data + STATUS_ID_PUB, sizeof s.id_pub);
    memcpy(s.ak_pub, b.data + STATUS_AK_PUB, sizeof s.ak_pub);
    memcpy(s.smk_id, b.data + STATUS_SMK_ID, sizeof s.smk_id);
    s.roster_version = get_u64(b.data + STATUS_NUMBERS);
    s.lk_version = get_u64(b.data + STATUS_NUMBERS + 8);
    s.handles = get_u64(b.data + STATUS_NUMBERS + 16);
    s.wall_s = get_u64(b.data + STATUS_NUMBERS + 24);
    s.scrypt_waiting = get_u64(b.data + STATUS_NUMBERS + 32);
    s.isolated = get_u32(b.data + STATUS_ISOLATED);
    s.locked = get_u32(b.data + STATUS_LOCKED);
    if (s.state > CORE_AUTHORIZED || s.mtk_in_state > 1 || s.isolated > 1 || s.locked > 1) {
        return ERR_PROTOCOL;
    }
    *out = s;
    return ERR_OK;
}

bool core_verb_fits(const struct core_verb_row *row, const struct core_request *r)
{
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        if (r->section[i].size > row->limit[i]) {
            return false;
        }
    }
    return true;
}

enum err core_request_check(const struct core_request *r, const struct core_verb_row **row)
{
    const struct core_verb_row *found = core_verb_find(r->verb);
    if (found == NULL || found->runs == CORE_RUNS_INTERNAL) {
        return ERR_USAGE;
    }
    if (!core_verb_fits(found, r) || core_request_size(r) > LIMIT_RING_LARGE) {
        return ERR_TOO_LARGE;
    }
    *row = found;
    return ERR_OK;
}
