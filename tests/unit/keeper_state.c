/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a core's state: written and read back, cut at every length, flipped
 * at every byte; floors and invites within their bounds. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hsm-sim/keeper_state.h"

TestSuite(keeper_state, .timeout = 120);

static struct record_row make_row(unsigned role)
{
    struct record_row row = {
        .role = (uint8_t)role, .flags = RECORD_NO_WRAP, .log_n = 15, .max_fail = 3, .changed_at = 7
    };
    memset(row.salt, (int)role, sizeof row.salt);
    return row;
}

/* A member's state, as full as the counts say. */
static struct keeper_state *make_state(unsigned floors, unsigned invites)
{
    struct keeper_state *s = calloc(1, sizeof *s);
    struct roster roster = { .version = 9, .inherit_window_s = 60 };
    struct blob_roster_row member = { .state = BLOB_ROSTER_ACTIVE, .suite = 1 };
    struct smk_opener opener = { .count = 1 };
    uint8_t id[ID_SIZE];
    cr_assert_not_null(s);
    s->state = CORE_MEMBER;
    memset(s->core_id, 1, ID_SIZE);
    memset(s->cluster_id, 2, ID_SIZE);
    s->so = make_row(RECORD_HSM_SO);
    s->failures[RECORD_CO] = 4;
    s->home = (struct record){ .kind = BLOB_CLUSTER_RECORD, .version = 3, .epoch = 1, .state = 2 };
    memcpy(s->home.owner_id, s->cluster_id, ID_SIZE);
    s->home.policy_count = 1;
    s->home.policy[0] = (struct record_policy){ 21, 1 };
    s->home.row_count = 1;
    s->home.row[0] = make_row(RECORD_CO);
    memset(member.member_id, 1, ID_SIZE);
    memset(member.id_pub, 3, sizeof member.id_pub);
    memset(opener.key[0].key, 4, CRYPT_KEY);
    memcpy(roster.cluster_id, s->cluster_id, ID_SIZE);
    cr_assert_eq(smk_id(opener.key[0].key, opener.key[0].smk_id), ERR_OK);
    cr_assert_eq(roster_put(&roster, &member), ERR_OK);
    cr_assert_eq(roster_seal(&roster, &opener, s->roster, &s->roster_size), ERR_OK);
    for (unsigned i = 0; i < floors; i++) {
        memset(id, 0, sizeof id);
        put_u32(id, i + 1);
        struct keeper_floor *f = keeper_floor_use(s, id);
        f->version = i;
        f->failures[1] = (uint8_t)(i % 10);
    }
    for (unsigned i = 0; i < invites; i++) {
        memset(id, 0, sizeof id);
        put_u32(id, i + 1);
        struct keeper_invite *v = keeper_invite_use(s, id, 1000 + i, 10);
        cr_assert_not_null(v);
        v->spent = 1;
    }
    return s;
}

static void round_trip(unsigned floors, unsigned invites)
{
    struct keeper_state *s = make_state(floors, invites);
    struct keeper_state *back = calloc(1, sizeof *back);
    SECRET_SCOPED body = { 0 };
    cr_assert_eq(keeper_state_encode(s, &body), ERR_OK);
    cr_assert_eq(keeper_state_decode(secret_bytes(&body), back), ERR_OK);
    cr_expect_arr_eq(s->floor, back->floor, sizeof s->floor);
    cr_expect_arr_eq(s->invite, back->invite, sizeof s->invite);
    cr_expect_arr_eq(s->roster, back->roster, sizeof s->roster);
    cr_expect_arr_eq(s->failures, back->failures, sizeof s->failures);
    cr_expect_eq(back->home.version, 3u);
    cr_expect_eq(back->home.policy[0].value, 1u);
    cr_expect_arr_eq(back->home.row[0].salt, s->home.row[0].salt, 32);
    free(s);
    free(back);
}

Test(keeper_state, comes_back_as_it_was)
{
    round_trip(0, 0);
    round_trip(3, 2);
    round_trip(LIMIT_KEYRING_FLOORS, KEEPER_INVITES);
}

Test(keeper_state, no_shorter_or_longer_body_is_read)
{
    struct keeper_state *s = make_state(2, 2);
    struct keeper_state *back = calloc(1, sizeof *back);
    SECRET_SCOPED body = { 0 };
    cr_assert_eq(keeper_state_encode(s, &body), ERR_OK);
    for (size_t size = 0; size < body.size; size++) {
        /* A copy of that size, so that a sanitizer sees a byte too far. */
        uint8_t *cut = malloc(size + 1);
        memcpy(cut, body.data, size);
        memset(back, 0, sizeof *back);
        cr_expect_eq(keeper_state_decode(bytes_of(cut, size), back), ERR_CORRUPT, "%zu bytes",
                     size);
        free(cut);
    }
    uint8_t *more = calloc(1, body.size + 1);
    memcpy(more, body.data, body.size);
    cr_expect_eq(keeper_state_decode(bytes_of(more, body.size + 1), back), ERR_CORRUPT);
    free(more);
    free(s);
    free(back);
}

Test(keeper_state, a_wild_body_is_read_within_its_bounds)
{
    struct keeper_state *s = make_state(2, 2);
    struct keeper_state *back = calloc(1, sizeof *back);
    SECRET_SCOPED body = { 0 };
    static const uint8_t wild[] = { 0x01, 0x80, 0xff };
    cr_assert_eq(keeper_state_encode(s, &body), ERR_OK);
    for (size_t at = 0; at < body.size; at++) {
        for (unsigned i = 0; i < sizeof wild; i++) {
            body.data[at] ^= wild[i];
            memset(back, 0, sizeof *back);
            const enum err e = keeper_state_decode(secret_bytes(&body), back);
            cr_expect(e == ERR_OK || e == ERR_CORRUPT);
            body.data[at] ^= wild[i];
        }
    }
    free(s);
    free(back);
}

Test(keeper_state, the_oldest_idle_floor_makes_room)
{
    struct keeper_state *s = make_state(LIMIT_KEYRING_FLOORS, 0);
    uint8_t id[ID_SIZE] = { 1 };
    struct keeper_floor *first = keeper_floor_find(s, id);
    cr_assert_not_null(first);
    first->in_flight[0] = 1;
    memset(id, 0xaa, sizeof id);
    cr_assert_not_null(keeper_floor_use(s, id));
    put_u32(memset(id, 0, sizeof id), 1);
    cr_expect_eq(keeper_floor_find(s, id), first, "a comparison is under way");
    put_u32(id, 2);
    cr_expect_null(keeper_floor_find(s, id), "the oldest idle one went");
    put_u32(id, 3);
    cr_expect_not_null(keeper_floor_find(s, id));
    free(s);
}

Test(keeper_state, spent_invites_are_kept_until_they_expire)
{
    struct keeper_state *s = make_state(0, KEEPER_INVITES);
    uint8_t id[ID_SIZE] = { 0, 0, 0xbb };
    cr_expect_null(keeper_invite_use(s, id, 5000, 999), "full, none expired");
    cr_assert_not_null(keeper_invite_use(s, id, 5000, 1000));
    cr_expect_not_null(keeper_invite_find(s, id));
    put_u32(memset(id, 0, sizeof id), 1);
    cr_expect_null(keeper_invite_find(s, id), "it had expired");
    free(s);
}
