/* SPDX-License-Identifier: Apache-2.0 */
/* The table of members. Places are stable while a request or an idle connection
 * belongs to them; functions that wait take the lock only around the table. */
#include "client/client_pool.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_text.h"

#define ASIDE_FIRST_MS 200u
#define ASIDE_LAST_MS 5000u
#define HOLD_MS 250u
#define CONNECT_AGAIN_MS 500u /* for one that failed the last time */

/* -- the table; with the lock held ---------------------------------------------- */

static struct client_member *find_address(struct ringkeep_client *c, const char *address)
{
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        if (c->members[i].used && strcmp(c->members[i].address, address) == 0) {
            return &c->members[i];
        }
    }
    return NULL;
}

static struct client_member *find_id(struct ringkeep_client *c, struct bytes id)
{
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        struct client_member *m = &c->members[i];
        if (m->used && !bytes_all_zero(id) && bytes_equal(bytes_of(m->member_id, ID_SIZE), id)) {
            return m;
        }
    }
    return NULL;
}

static struct client_member *add_member(struct ringkeep_client *c, const char *address)
{
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        struct client_member *m = &c->members[i];
        if (!m->used) {
            memset(m, 0, sizeof(*m));
            m->used = true;
            m->authorized = true;
            (void)snprintf(m->address, sizeof(m->address), "%s", address);
            return m;
        }
    }
    return NULL;
}

static void drop_unlisted(struct client_member *m)
{
    if (m->used && !m->seed && !m->mapped && m->outstanding == 0 && m->idle == NULL) {
        m->used = false;
    }
}

void client_pool_init(struct ringkeep_client *c)
{
    for (size_t i = 0; i < c->config.member_count; i++) {
        if (find_address(c, c->config.members[i]) == NULL) {
            struct client_member *m = add_member(c, c->config.members[i]);
            assert(m != NULL);
            m->seed = true;
        }
    }
    c->turn = (unsigned)(random_u64(random_system()) % CLIENT_MEMBERS);
}

/* -- the map -------------------------------------------------------------------- */

static bool row_ok(const Ringkeep__MapMember *row)
{
    const size_t size = strlen(row->address);
    return row->member_id.len == ID_SIZE && size > 0 && size < LIMIT_ADDRESS;
}

static void take_row(struct ringkeep_client *c, const Ringkeep__MapMember *row)
{
    struct client_member *m = find_id(c, client_pb_bytes(row->member_id));
    if (m == NULL) {
        m = find_address(c, row->address);
    }
    if (m == NULL) {
        m = add_member(c, row->address);
    }
    if (m != NULL) {
        memcpy(m->member_id, row->member_id.data, ID_SIZE);
        m->mapped = true;
        m->authorized = row->authorized;
    }
}

void client_pool_take_map(struct ringkeep_client *c, const struct Ringkeep__Map *map)
{
    client_lock(c);
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        c->members[i].mapped = false;
    }
    for (size_t i = 0; i < map->n_members && i < LIMIT_MEMBERS; i++) {
        if (row_ok(map->members[i])) {
            take_row(c, map->members[i]);
        }
    }
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        drop_unlisted(&c->members[i]);
    }
    c->map_epoch = map->epoch;
    if (c->map_wanted < map->epoch) {
        c->map_wanted = map->epoch;
    }
    client_unlock(c);
}

/* -- choosing ------------------------------------------------------------------- */

static bool map_known(const struct ringkeep_client *c)
{
    for (unsigned i = 0; i < CLIENT_MEMBERS; i++) {
        if (c->members[i].used && c->members[i].mapped) {
            return true;
        }
    }
    return false;
}

/* Smaller is better: alive before set aside, in the map before a mere address of
 * the file, authorized before not, then few requests before many. */
static uint64_t rank_of(const struct client_member *m, bool have_map, uint64_t now)
{
    const uint64_t aside = m->aside_until_ms > now ? 1 : 0;
    const uint64_t outside = have_map && !m->mapped ? 1 : 0;
    const uint64_t sealed = m->authorized ? 0 : 1;
    return aside << 42 | outside << 41 | sealed << 40 | m->outstanding;
}

unsigned client_pool_choose(struct ringkeep_client *c, uint64_t *tried)
{
    unsigned best = CLIENT_NO_MEMBER;
    uint64_t best_rank = UINT64_MAX;
    const uint64_t now = client_now_ms();
    client_lock(c);
    const bool have_map = map_known(c);
    for (unsigned n = 0; n < CLIENT_MEMBERS; n++) {
        const unsigned i = (c->turn + n) % CLIENT_MEMBERS;
        const struct client_member *m = &c->members[i];
        if (!m->used || (!m->seed && !m->mapped) || (*tried >> i & 1) != 0) {
            continue;
        }
        const uint64_t rank = rank_of(m, have_map, now);
        if (rank < best_rank) {
            best = i;
            best_rank = rank;
        }
    }
    if (best != CLIENT_NO_MEMBER) {
        struct client_member *m = &c->members[best];
        m->outstanding++;
        *tried |= 1ull << best;
        if (m->failures > 0) {
            m->aside_until_ms = now + ASIDE_FIRST_MS; /* one thread tries it, not all */
        }
    }
    client_unlock(c);
    return best;
}

void client_pool_release(struct ringkeep_client *c, unsigned member)
{
    client_lock(c);
    assert(c->members[member].outstanding > 0);
    c->members[member].outstanding--;
    drop_unlisted(&c->members[member]);
    client_unlock(c);
}

void client_pool_failed(struct ringkeep_client *c, unsigned member)
{
    client_lock(c);
    struct client_member *m = &c->members[member];
    uint64_t aside = ASIDE_FIRST_MS;
    for (unsigned i = 0; i < m->failures && aside < ASIDE_LAST_MS; i++) {
        aside *= 2;
    }
    m->failures += m->failures < 16 ? 1 : 0;
    m->aside_until_ms = client_now_ms() + (aside < ASIDE_LAST_MS ? aside : ASIDE_LAST_MS);
    client_unlock(c);
}

void client_pool_hold(struct ringkeep_client *c, unsigned member)
{
    client_lock(c);
    c->members[member].failures = 0;
    c->members[member].aside_until_ms = client_now_ms() + HOLD_MS;
    client_unlock(c);
}

void client_pool_worked(struct ringkeep_client *c, unsigned member)
{
    client_lock(c);
    c->members[member].failures = 0;
    c->members[member].aside_until_ms = 0;
    client_unlock(c);
}

void client_pool_identify(struct ringkeep_client *c, unsigned member, const uint8_t member_id[ID_SIZE])
{
    client_lock(c);
    memcpy(c->members[member].member_id, member_id, ID_SIZE);
    client_unlock(c);
}

/* -- connections ---------------------------------------------------------------- */

static void forget_conn(struct ringkeep_client *c, const struct client_conn *conn)
{
    for (struct client_conn **at = &c->all; *at != NULL; at = &(*at)->next_all) {
        if (*at == conn) {
            *at = conn->next_all;
            return;
        }
    }
    assert(!"a connection is not in the list of all");
}

static void end_conn(struct ringkeep_client *c, struct client_conn *conn, bool polite)
{
    client_lock(c);
    forget_conn(c, conn);
    client_unlock(c);
    client_conn_close(conn, polite);
}

struct client_conn *client_pool_take(struct ringkeep_client *c, unsigned member)
{
    for (;;) {
        client_lock(c);
        struct client_member *m = &c->members[member];
        struct client_conn *conn = m->idle;
        if (conn != NULL) {
            m->idle = conn->next_idle;
            m->idle_count--;
            conn->next_idle = NULL;
        }
        client_unlock(c);
        if (conn == NULL || !client_conn_stale(conn)) {
            return conn;
        }
        end_conn(c, conn, false);
    }
}

enum err client_pool_connect(struct ringkeep_client *c,
                             unsigned member,
                             uint64_t deadline_ms,
                             struct client_conn **out)
{
    char address[LIMIT_ADDRESS];
    struct client_conn *conn = NULL;
    client_lock(c);
    const struct client_member *m = &c->members[member];
    memcpy(address, m->address, sizeof(address));
    const uint64_t longest = m->failures > 0 ? CONNECT_AGAIN_MS : LIMIT_CONNECT_MS;
    client_unlock(c);
    const uint64_t latest = client_now_ms() + longest;
    const enum err e = client_conn_open(c->tls, address, latest < deadline_ms ? latest : deadline_ms, &conn);
    client_debug("connect %s: %s", address, err_text(e));
    TRY(e);
    client_lock(c);
    conn->next_all = c->all;
    c->all = conn;
    c->counters.connections++;
    client_unlock(c);
    *out = conn;
    return ERR_OK;
}

void client_pool_give(struct ringkeep_client *c, unsigned member, struct client_conn *conn)
{
    bool kept = false;
    client_lock(c);
    struct client_member *m = &c->members[member];
    if (!conn->broken && (m->seed || m->mapped) && m->idle_count < CLIENT_IDLE) {
        conn->next_idle = m->idle;
        m->idle = conn;
        m->idle_count++;
        kept = true;
    }
    client_unlock(c);
    if (!kept) {
        end_conn(c, conn, true);
    }
}

/* Unlinks the first idle connection that is meant; with the lock held. */
static struct client_conn *unlink_idle(struct client_member *m, const uint8_t *keyring_id)
{
    for (struct client_conn **at = &m->idle; *at != NULL; at = &(*at)->next_idle) {
        struct client_conn *conn = *at;
        if (keyring_id == NULL || client_conn_session(conn, keyring_id) != NULL) {
            *at = conn->next_idle;
            conn->next_idle = NULL;
            m->idle_count--;
            return conn;
        }
    }
    return NULL;
}

void client_pool_drop_idle(struct ringkeep_client *c, unsigned member, const uint8_t *keyring_id)
{
    const unsigned first = member == CLIENT_NO_MEMBER ? 0 : member;
    const unsigned end = member == CLIENT_NO_MEMBER ? CLIENT_MEMBERS : member + 1;
    for (unsigned i = first; i < end; i++) {
        struct client_conn *conn = NULL;
        do {
            client_lock(c);
            conn = unlink_idle(&c->members[i], keyring_id);
            client_unlock(c);
            if (conn != NULL) {
                end_conn(c, conn, true);
            }
        } while (conn != NULL);
    }
}
