/* SPDX-License-Identifier: Apache-2.0 */
/* Builders of commands for tests. No state but the caller's struct sample. */
#include "tests/lib/command_samples.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "command.pb-c.h"
#include "sks/blob.h"

#define STAMP 1700000000u
#define FILLER 0xab
#define MEMBER_TEXT 32u

static ProtobufCBinaryData binary(const void *data, size_t size)
{
    ProtobufCBinaryData b = { size, (uint8_t *)(uintptr_t)data };
    return b;
}

static ProtobufCBinaryData binary_of(const struct buf *b)
{
    return binary(b->data, b->size);
}

static void must(enum err e)
{
    if (e != ERR_OK) {
        fprintf(stderr, "command_samples: %s\n", err_text(e));
    }
    assert(e == ERR_OK);
}

static uint8_t *room(struct buf *out, size_t size)
{
    uint8_t *at = NULL;
    buf_clear(out);
    must(buf_reserve(out, size, LIMIT_COMMAND, &at));
    memset(at, FILLER, size);
    out->size = size;
    return at;
}

/* -- origins and ids --------------------------------------------------------------- */

void sample_begin(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    s->stamp_s = STAMP;
    sample_id(s->origin.incarnation, 'I', 1);
}

void sample_request(struct sample *s, unsigned n, unsigned client, uint64_t base_index)
{
    s->origin.present = true;
    sample_id(s->origin.request_id, 'R', n);
    sample_spki(s->origin.client, client);
    memset(s->origin.request_hash, 0x11, sizeof(s->origin.request_hash));
    put_u32(s->origin.request_hash, n);
    s->origin.base_index = base_index;
}

void sample_no_request(struct sample *s)
{
    s->origin.present = false;
}

void sample_id(uint8_t out[ID_SIZE], char letter, unsigned n)
{
    memset(out, 0, ID_SIZE);
    out[0] = (uint8_t)letter;
    for (unsigned i = 0; i < 4; i++) {
        out[ID_SIZE - 1 - i] = (uint8_t)(n >> (8 * i));
    }
}

void sample_spki(uint8_t out[32], unsigned client)
{
    memset(out, 0xc1, 32);
    put_u32(out, client);
}

void sample_member_spki(uint8_t out[32], unsigned member)
{
    memset(out, 0x3e, 32);
    put_u32(out, member);
}

/* -- sealed formats ---------------------------------------------------------------- */

void sample_blob(struct buf *out,
                 unsigned kind,
                 unsigned keyring,
                 unsigned object,
                 uint64_t generation,
                 size_t size_a)
{
    struct blob_header h = { .kind = (uint8_t)kind, .generation = generation };
    h.len_a = (uint32_t)size_a;
    h.len_k = kind == BLOB_PUBLIC ? 0 : BLOB_K_MIN;
    sample_id(h.smk_id, 'S', 1);
    if (kind == BLOB_SYSTEM) {
        sample_id(h.keyring_id, 'C', 1);
    } else {
        sample_id(h.keyring_id, 'K', keyring);
    }
    if (kind != BLOB_PUBLIC && kind != BLOB_SYSTEM) {
        sample_id(h.kk_id, 'k', keyring);
    }
    if (kind == BLOB_SESSION) {
        sample_id(h.bind, 'f', 1);
    }
    sample_id(h.object_id, 'O', object);
    memset(h.nonce, 0x9e, sizeof(h.nonce));
    blob_header_write(&h, room(out, BLOB_OVERHEAD + size_a + h.len_k));
}

static void any_record(
    struct buf *out, unsigned kind, char letter, unsigned n, uint64_t version, uint64_t epoch)
{
    struct blob_record_header h = {
        .kind = (uint8_t)kind, .version = version, .epoch = epoch, .len = 64
    };
    sample_id(h.smk_id, 'S', 1);
    sample_id(h.owner_id, letter, n);
    memset(h.nonce, 0x9e, sizeof(h.nonce));
    blob_record_header_write(&h, room(out, BLOB_RECORD_HEADER + h.len + BLOB_TAG));
}

void sample_record(struct buf *out, unsigned keyring, uint64_t version, uint64_t epoch)
{
    any_record(out, BLOB_RECORD, 'K', keyring, version, epoch);
}

void sample_cluster_record(struct buf *out, uint64_t version, uint64_t epoch)
{
    any_record(out, BLOB_CLUSTER_RECORD, 'C', 1, version, epoch);
}

void sample_invite(struct buf *out, unsigned invite)
{
    uint8_t *at = room(out, BLOB_INVITE_SIZE);
    blob_prefix_write(BLOB_INVITE, at);
    sample_id(at + 8, 'S', 1);
    sample_id(at + 24, 'C', 1);
    sample_id(at + 40, 'V', invite);
}

static void roster_row(uint8_t out[BLOB_ROSTER_ROW], unsigned member, unsigned state)
{
    struct blob_roster_row row = { .state = (uint8_t)state, .suite = BLOB_SUITE };
    sample_id(row.member_id, 'M', member);
    memset(row.id_pub, (int)(0x40 + member), sizeof(row.id_pub));
    memset(row.ak_pub, (int)(0x80 + member), sizeof(row.ak_pub));
    sample_member_spki(row.spki_hash, member);
    blob_roster_row_write(&row, out);
}

void sample_roster(struct buf *out, uint64_t version, unsigned active, unsigned removed)
{
    const unsigned count = (unsigned)__builtin_popcount(active | removed);
    uint8_t *at = room(out, BLOB_ROSTER_HEADER + count * BLOB_ROSTER_ROW + 24 + BLOB_TAG);
    uint8_t *row = at + BLOB_ROSTER_HEADER;
    memset(at, 0, BLOB_ROSTER_HEADER);
    blob_prefix_write(BLOB_ROSTER, at);
    sample_id(at + 8, 'S', 1);
    sample_id(at + 24, 'C', 1);
    put_u64(at + 40, version);
    put_u32(at + 48, LIMIT_INHERIT_WINDOW_S);
    at[52] = (uint8_t)count;
    for (unsigned i = 0; i < LIMIT_ROSTER_ROWS; i++) {
        if (((active | removed) >> i & 1u) != 0) {
            roster_row(row, i + 1,
                       (removed >> i & 1u) != 0 ? BLOB_ROSTER_REMOVED : BLOB_ROSTER_ACTIVE);
            row += BLOB_ROSTER_ROW;
        }
    }
}

/* -- commands ---------------------------------------------------------------------- */

static void pack(struct buf *out, struct sample *s, unsigned field, void *verb)
{
    if (s->edit != NULL) {
        s->edit(verb);
        s->edit = NULL;
    }
    must(command_build(out, &s->origin, field, verb));
    must(command_stamp(out, s->stamp_s));
}
#define PACK(NAME, verb) pack(out, s, RINGKEEP__COMMAND__VERB_##NAME, (verb))

/* A member row and what it points to. */
struct member_text {
    Ringkeep__MemberRow row;
    uint8_t id[ID_SIZE], spki[32];
    char name[MEMBER_TEXT], client[MEMBER_TEXT], peer[MEMBER_TEXT], join[MEMBER_TEXT];
};

static void member_row(struct member_text *m, unsigned member)
{
    ringkeep__member_row__init(&m->row);
    sample_id(m->id, 'M', member);
    sample_member_spki(m->spki, member);
    snprintf(m->name, sizeof(m->name), "m%u", member);
    snprintf(m->client, sizeof(m->client), "127.0.0.1:%u", 1792 + 10 * member);
    snprintf(m->peer, sizeof(m->peer), "127.0.0.1:%u", 1793 + 10 * member);
    snprintf(m->join, sizeof(m->join), "127.0.0.1:%u", 1794 + 10 * member);
    m->row.member_id = binary(m->id, ID_SIZE);
    m->row.raft_id = 1000 + member;
    m->row.name = m->name;
    m->row.client_address = m->client;
    m->row.peer_address = m->peer;
    m->row.join_address = m->join;
    m->row.spki_hash = binary(m->spki, sizeof(m->spki));
}

void sample_init(struct buf *out, struct sample *s, unsigned active)
{
    static char label[] = "cluster";
    Ringkeep__ClusterInit init = RINGKEEP__CLUSTER_INIT__INIT;
    struct member_text member;
    uint8_t cluster[ID_SIZE], domain[ID_SIZE];
    BUF_SCOPED roster = { 0 };
    BUF_SCOPED record = { 0 };
    BUF_SCOPED ca = { 0 };
    sample_id(cluster, 'C', 1);
    sample_id(domain, 'D', 1);
    sample_roster(&roster, 1, active, 0);
    sample_cluster_record(&record, 1, 0);
    sample_blob(&ca, BLOB_SYSTEM, 0, 1, 1, 40);
    member_row(&member, 1);
    init.cluster_id = binary(cluster, ID_SIZE);
    init.incarnation = binary(s->origin.incarnation, ID_SIZE);
    init.domain_id = binary(domain, ID_SIZE);
    init.roster = binary_of(&roster);
    init.cluster_record = binary_of(&record);
    init.member = &member.row;
    init.ca_blob = binary_of(&ca);
    init.ca_cert = binary("certificate", 11);
    init.label = label;
    PACK(CLUSTER_INIT, &init);
}

void sample_member_put(struct buf *out, struct sample *s, unsigned member)
{
    Ringkeep__MemberPut put = RINGKEEP__MEMBER_PUT__INIT;
    struct member_text m;
    member_row(&m, member);
    put.member = &m.row;
    PACK(MEMBER_PUT, &put);
}

void sample_roster_put(struct buf *out,
                       struct sample *s,
                       uint64_t version,
                       unsigned active,
                       unsigned removed,
                       unsigned joiner)
{
    Ringkeep__RosterPut put = RINGKEEP__ROSTER_PUT__INIT;
    struct member_text m;
    BUF_SCOPED roster = { 0 };
    sample_roster(&roster, version, active, removed);
    put.roster = binary_of(&roster);
    put.version = version;
    if (joiner != 0) {
        member_row(&m, joiner);
        put.member = &m.row;
    }
    PACK(ROSTER_PUT, &put);
}

void sample_invite_put(struct buf *out, struct sample *s, unsigned invite, uint64_t expiry)
{
    Ringkeep__InvitePut put = RINGKEEP__INVITE_PUT__INIT;
    uint8_t id[ID_SIZE];
    BUF_SCOPED sealed = { 0 };
    sample_id(id, 'V', invite);
    sample_invite(&sealed, invite);
    put.invite_id = binary(id, ID_SIZE);
    put.sealed = binary_of(&sealed);
    put.expiry = expiry;
    PACK(INVITE_PUT, &put);
}

void sample_invite_spend(struct buf *out, struct sample *s, unsigned invite)
{
    Ringkeep__InviteSpend spend = RINGKEEP__INVITE_SPEND__INIT;
    uint8_t id[ID_SIZE];
    sample_id(id, 'V', invite);
    spend.invite_id = binary(id, ID_SIZE);
    PACK(INVITE_SPEND, &spend);
}

static void keyring_put(struct buf *out,
                        struct sample *s,
                        unsigned keyring,
                        Ringkeep__KeyringPut *put)
{
    uint8_t id[ID_SIZE];
    BUF_SCOPED record = { 0 };
    sample_id(id, 'K', keyring);
    sample_record(&record, keyring, put->version, put->epoch);
    put->keyring_id = binary(id, ID_SIZE);
    put->record = binary_of(&record);
    PACK(KEYRING_PUT, put);
}

void sample_keyring_put(struct buf *out,
                        struct sample *s,
                        unsigned keyring,
                        const char *label,
                        uint64_t version,
                        uint64_t epoch)
{
    Ringkeep__KeyringPut put = RINGKEEP__KEYRING_PUT__INIT;
    put.label = (char *)(uintptr_t)label;
    put.version = version;
    put.epoch = epoch;
    keyring_put(out, s, keyring, &put);
}

void sample_keyring_activate(
    struct buf *out, struct sample *s, unsigned keyring, uint64_t version, uint64_t epoch)
{
    Ringkeep__KeyringPut put = RINGKEEP__KEYRING_PUT__INIT;
    put.version = version;
    put.epoch = epoch;
    put.has_active = 1;
    put.active = 1;
    keyring_put(out, s, keyring, &put);
}

void sample_keyring_delete(struct buf *out, struct sample *s, unsigned keyring)
{
    Ringkeep__KeyringDelete verb = RINGKEEP__KEYRING_DELETE__INIT;
    uint8_t id[ID_SIZE];
    sample_id(id, 'K', keyring);
    verb.keyring_id = binary(id, ID_SIZE);
    PACK(KEYRING_DELETE, &verb);
}

void sample_client_put(struct buf *out, struct sample *s, unsigned client, const char *name)
{
    Ringkeep__ClientPut put = RINGKEEP__CLIENT_PUT__INIT;
    uint8_t spki[32];
    sample_spki(spki, client);
    put.spki_hash = binary(spki, sizeof(spki));
    put.name = (char *)(uintptr_t)name;
    put.cert = binary("client certificate", 18);
    PACK(CLIENT_PUT, &put);
}

void sample_client_revoke(struct buf *out, struct sample *s, unsigned client)
{
    Ringkeep__ClientRevoke revoke = RINGKEEP__CLIENT_REVOKE__INIT;
    uint8_t spki[32];
    sample_spki(spki, client);
    revoke.spki_hash = binary(spki, sizeof(spki));
    PACK(CLIENT_REVOKE, &revoke);
}

void sample_assign(struct buf *out, struct sample *s, unsigned keyring, unsigned client)
{
    Ringkeep__Assign assign = RINGKEEP__ASSIGN__INIT;
    uint8_t spki[32], id[ID_SIZE];
    sample_spki(spki, client);
    sample_id(id, 'K', keyring);
    assign.keyring_id = binary(id, ID_SIZE);
    assign.spki_hash = binary(spki, sizeof(spki));
    PACK(ASSIGN, &assign);
}

void sample_unassign(struct buf *out, struct sample *s, unsigned keyring, unsigned client)
{
    Ringkeep__Unassign unassign = RINGKEEP__UNASSIGN__INIT;
    uint8_t spki[32], id[ID_SIZE];
    sample_spki(spki, client);
    sample_id(id, 'K', keyring);
    unassign.keyring_id = binary(id, ID_SIZE);
    unassign.spki_hash = binary(spki, sizeof(spki));
    PACK(UNASSIGN, &unassign);
}

void sample_objects_create(
    struct buf *out, struct sample *s, unsigned keyring, unsigned first, unsigned count)
{
    Ringkeep__ObjectsCreate create = RINGKEEP__OBJECTS_CREATE__INIT;
    Ringkeep__NewObject objects[LIMIT_OBJECTS_PER_COMMAND];
    Ringkeep__NewObject *list[LIMIT_OBJECTS_PER_COMMAND];
    uint8_t id[ID_SIZE], object_ids[LIMIT_OBJECTS_PER_COMMAND][ID_SIZE];
    BUF_SCOPED first_blob = { 0 };
    BUF_SCOPED second_blob = { 0 };
    struct buf *blobs[LIMIT_OBJECTS_PER_COMMAND] = { &first_blob, &second_blob };
    assert(count >= 1 && count <= LIMIT_OBJECTS_PER_COMMAND);
    sample_id(id, 'K', keyring);
    for (unsigned i = 0; i < count; i++) {
        ringkeep__new_object__init(&objects[i]);
        sample_id(object_ids[i], 'O', first + i);
        sample_blob(blobs[i], BLOB_TOKEN, keyring, first + i, 1, 60);
        objects[i].object_id = binary(object_ids[i], ID_SIZE);
        objects[i].blob = binary_of(blobs[i]);
        list[i] = &objects[i];
    }
    create.keyring_id = binary(id, ID_SIZE);
    create.n_objects = count;
    create.objects = list;
    PACK(OBJECTS_CREATE, &create);
}

void sample_object_update(
    struct buf *out, struct sample *s, unsigned keyring, unsigned object, uint64_t generation)
{
    Ringkeep__ObjectUpdate update = RINGKEEP__OBJECT_UPDATE__INIT;
    uint8_t id[ID_SIZE], object_id[ID_SIZE];
    BUF_SCOPED blob = { 0 };
    sample_id(id, 'K', keyring);
    sample_id(object_id, 'O', object);
    sample_blob(&blob, BLOB_TOKEN, keyring, object, generation, 80);
    update.keyring_id = binary(id, ID_SIZE);
    update.object_id = binary(object_id, ID_SIZE);
    update.blob = binary_of(&blob);
    update.generation = generation;
    PACK(OBJECT_UPDATE, &update);
}

void sample_object_destroy(struct buf *out, struct sample *s, unsigned keyring, unsigned object)
{
    Ringkeep__ObjectDestroy destroy = RINGKEEP__OBJECT_DESTROY__INIT;
    uint8_t id[ID_SIZE], object_id[ID_SIZE];
    sample_id(id, 'K', keyring);
    sample_id(object_id, 'O', object);
    destroy.keyring_id = binary(id, ID_SIZE);
    destroy.object_id = binary(object_id, ID_SIZE);
    PACK(OBJECT_DESTROY, &destroy);
}

void sample_login_reserve(struct buf *out,
                          struct sample *s,
                          unsigned keyring,
                          unsigned role,
                          unsigned attempt,
                          unsigned member)
{
    Ringkeep__LoginReserve reserve = RINGKEEP__LOGIN_RESERVE__INIT;
    uint8_t id[ID_SIZE], attempt_id[ID_SIZE], member_id[ID_SIZE];
    sample_id(id, 'K', keyring);
    sample_id(attempt_id, 'A', attempt);
    sample_id(member_id, 'M', member);
    reserve.keyring_id = binary(id, ID_SIZE);
    reserve.role = role;
    reserve.attempt_id = binary(attempt_id, ID_SIZE);
    reserve.member_id = binary(member_id, ID_SIZE);
    PACK(LOGIN_RESERVE, &reserve);
}

void sample_login_resolve(
    struct buf *out, struct sample *s, unsigned keyring, unsigned role, unsigned attempt, bool ok)
{
    Ringkeep__LoginResolve resolve = RINGKEEP__LOGIN_RESOLVE__INIT;
    uint8_t id[ID_SIZE], attempt_id[ID_SIZE];
    sample_id(id, 'K', keyring);
    sample_id(attempt_id, 'A', attempt);
    resolve.keyring_id = binary(id, ID_SIZE);
    resolve.role = role;
    resolve.attempt_id = binary(attempt_id, ID_SIZE);
    resolve.ok = ok;
    PACK(LOGIN_RESOLVE, &resolve);
}

void sample_login_expire(struct buf *out, struct sample *s, unsigned keyring, unsigned role)
{
    Ringkeep__LoginExpire expire = RINGKEEP__LOGIN_EXPIRE__INIT;
    uint8_t id[ID_SIZE];
    sample_id(id, 'K', keyring);
    expire.keyring_id = binary(id, ID_SIZE);
    expire.role = role;
    PACK(LOGIN_EXPIRE, &expire);
}

void sample_beacon_put(struct buf *out, struct sample *s, unsigned member)
{
    Ringkeep__BeaconPut put = RINGKEEP__BEACON_PUT__INIT;
    uint8_t id[ID_SIZE], beacon[128];
    sample_id(id, 'M', member);
    memset(beacon, 0xbe, sizeof(beacon));
    memcpy(beacon, id, ID_SIZE);
    put.member_id = binary(id, ID_SIZE);
    put.beacon = binary(beacon, sizeof(beacon));
    PACK(BEACON_PUT, &put);
}

void sample_cluster_record_put(struct buf *out, struct sample *s, uint64_t version, uint64_t epoch)
{
    Ringkeep__ClusterRecordPut put = RINGKEEP__CLUSTER_RECORD_PUT__INIT;
    BUF_SCOPED record = { 0 };
    sample_cluster_record(&record, version, epoch);
    put.record = binary_of(&record);
    put.version = version;
    PACK(CLUSTER_RECORD_PUT, &put);
}

void sample_login_key_put(struct buf *out, struct sample *s, unsigned member)
{
    Ringkeep__LoginKeyPut put = RINGKEEP__LOGIN_KEY_PUT__INIT;
    uint8_t id[ID_SIZE], key[128];
    sample_id(id, 'M', member);
    memset(key, 0x1e, sizeof(key));
    memcpy(key + 48, id, ID_SIZE);
    put.member_id = binary(id, ID_SIZE);
    put.login_key = binary(key, sizeof(key));
    PACK(LOGIN_KEY_PUT, &put);
}
