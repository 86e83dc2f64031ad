/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed log of command_samples.h. Entries are never changed or moved: a test
 * holds the digest of the state that they make; new ones go to the end. */
#include <assert.h>

#include "sks/blob.h"
#include "tests/lib/command_samples.h"

#define FAR 1700003600u

typedef void (*entry_cb)(struct buf *out, struct sample *s);

static void log_init(struct buf *o, struct sample *s)
{
    sample_init(o, s, 1);
}
static void log_again(struct buf *o, struct sample *s)
{
    sample_init(o, s, 1);
}
static void log_invite(struct buf *o, struct sample *s)
{
    sample_invite_put(o, s, 1, FAR);
}
static void log_spend(struct buf *o, struct sample *s)
{
    sample_invite_spend(o, s, 1);
}
static void log_join(struct buf *o, struct sample *s)
{
    sample_roster_put(o, s, 2, 3, 0, 2);
}
static void log_third(struct buf *o, struct sample *s)
{
    sample_roster_put(o, s, 3, 7, 0, 3);
}
static void log_member(struct buf *o, struct sample *s)
{
    sample_member_put(o, s, 2);
}
static void log_stranger(struct buf *o, struct sample *s)
{
    sample_member_put(o, s, 9);
}
static void log_beacon(struct buf *o, struct sample *s)
{
    sample_beacon_put(o, s, 2);
}
static void log_login_key(struct buf *o, struct sample *s)
{
    sample_login_key_put(o, s, 1);
}
static void log_record(struct buf *o, struct sample *s)
{
    sample_cluster_record_put(o, s, 2, 0);
}
static void log_keyring(struct buf *o, struct sample *s)
{
    sample_keyring_put(o, s, 1, "payments", 1, 1);
}
static void log_second(struct buf *o, struct sample *s)
{
    sample_keyring_put(o, s, 2, "dnssec", 1, 1);
}
static void log_taken(struct buf *o, struct sample *s)
{
    sample_keyring_put(o, s, 3, "dnssec", 1, 1);
}
static void log_activate(struct buf *o, struct sample *s)
{
    sample_keyring_activate(o, s, 1, 2, 2);
}
static void log_activate2(struct buf *o, struct sample *s)
{
    sample_keyring_activate(o, s, 2, 2, 2);
}
static void log_stale(struct buf *o, struct sample *s)
{
    sample_keyring_activate(o, s, 2, 2, 1);
}
static void log_client(struct buf *o, struct sample *s)
{
    sample_client_put(o, s, 1, "web");
}
static void log_client2(struct buf *o, struct sample *s)
{
    sample_client_put(o, s, 2, "signer");
}
static void log_assign(struct buf *o, struct sample *s)
{
    sample_assign(o, s, 1, 1);
}
static void log_assign2(struct buf *o, struct sample *s)
{
    sample_assign(o, s, 2, 1);
}
static void log_assign3(struct buf *o, struct sample *s)
{
    sample_assign(o, s, 2, 2);
}
static void log_unassign(struct buf *o, struct sample *s)
{
    sample_unassign(o, s, 1, 1);
}
static void log_revoke(struct buf *o, struct sample *s)
{
    sample_client_revoke(o, s, 2);
}
static void log_pair(struct buf *o, struct sample *s)
{
    sample_objects_create(o, s, 1, 1, 2);
}
static void log_single(struct buf *o, struct sample *s)
{
    sample_objects_create(o, s, 2, 3, 1);
}
static void log_more(struct buf *o, struct sample *s)
{
    sample_objects_create(o, s, 2, 4, 2);
}
static void log_twice(struct buf *o, struct sample *s)
{
    sample_objects_create(o, s, 1, 2, 1);
}
static void log_update(struct buf *o, struct sample *s)
{
    sample_object_update(o, s, 1, 1, 2);
}
static void log_skip(struct buf *o, struct sample *s)
{
    sample_object_update(o, s, 1, 1, 4);
}
static void log_destroy(struct buf *o, struct sample *s)
{
    sample_object_destroy(o, s, 1, 2);
}
static void log_reserve(struct buf *o, struct sample *s)
{
    sample_login_reserve(o, s, 1, 6, 1, 1);
}
static void log_reserve2(struct buf *o, struct sample *s)
{
    sample_login_reserve(o, s, 1, 6, 2, 2);
}
static void log_bad(struct buf *o, struct sample *s)
{
    sample_login_resolve(o, s, 1, 6, 1, false);
}
static void log_expire(struct buf *o, struct sample *s)
{
    sample_login_expire(o, s, 1, 6);
}
static void log_late(struct buf *o, struct sample *s)
{
    sample_login_resolve(o, s, 1, 6, 2, true);
}
static void log_delete(struct buf *o, struct sample *s)
{
    sample_keyring_delete(o, s, 2);
}
static void log_remove(struct buf *o, struct sample *s)
{
    sample_roster_put(o, s, 4, 5, 2, 0);
}
static void log_reserve3(struct buf *o, struct sample *s)
{
    sample_login_reserve(o, s, 1, 5, 3, 3);
}
static void log_create(struct buf *o, struct sample *s)
{
    sample_objects_create(o, s, 1, 9, 1);
}

/* request 0: a command of the cluster itself. */
static const struct {
    entry_cb make;
    unsigned request, client, later_s;
} entries[] = {
    { log_init, 0, 0, 0 },      { log_again, 0, 0, 0 },      { log_invite, 1, 7, 1 },
    { log_spend, 0, 0, 2 },     { log_join, 0, 0, 3 },       { log_third, 0, 0, 3 },
    { log_member, 0, 0, 3 },    { log_stranger, 0, 0, 3 },   { log_beacon, 0, 0, 4 },
    { log_login_key, 0, 0, 4 }, { log_record, 2, 7, 5 },     { log_keyring, 3, 7, 5 },
    { log_second, 4, 7, 6 },    { log_taken, 5, 7, 6 },      { log_activate, 6, 7, 7 },
    { log_activate2, 7, 7, 7 }, { log_stale, 8, 7, 7 },      { log_client, 9, 7, 8 },
    { log_client2, 10, 7, 8 },  { log_assign, 11, 7, 9 },    { log_assign2, 12, 7, 9 },
    { log_assign3, 13, 7, 9 },  { log_unassign, 14, 7, 10 }, { log_pair, 15, 1, 11 },
    { log_pair, 15, 1, 12 },    { log_single, 16, 1, 12 },   { log_more, 17, 1, 12 },
    { log_twice, 18, 1, 13 },   { log_update, 19, 1, 13 },   { log_skip, 20, 1, 13 },
    { log_destroy, 21, 1, 14 }, { log_revoke, 22, 7, 15 },   { log_reserve, 0, 0, 20 },
    { log_reserve2, 0, 0, 21 }, { log_bad, 0, 0, 22 },       { log_expire, 0, 0, 90 },
    { log_late, 0, 0, 91 },     { log_delete, 23, 7, 92 },   { log_remove, 0, 0, 93 },
    { log_reserve3, 0, 0, 94 }, { log_create, 24, 1, 95 },
};

_Static_assert(sizeof(entries) / sizeof(entries[0]) == SAMPLE_LOG, "SAMPLE_LOG counts the entries");

void sample_log(struct buf *out, unsigned i)
{
    struct sample s;
    assert(i < SAMPLE_LOG);
    sample_begin(&s);
    s.stamp_s += entries[i].later_s;
    if (entries[i].request != 0) {
        sample_request(&s, entries[i].request, entries[i].client, 1);
    }
    entries[i].make(out, &s);
}
