/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that apply accepts; see raft_sample.h. */
#include "tests/lib/raft_sample.h"

#include <assert.h>
#include <string.h>

#include "command.pb-c.h"
#include "keyring/command.h"
#include "keyring/query.h"
#include "sks/blob.h"

#define FIELD(name) ((unsigned)RINGKEEP__COMMAND__VERB_##name)

static const uint8_t cluster_id[ID_SIZE] = "sample-cluster0";
static const uint8_t incarnation[ID_SIZE] = "sample-incarnat";
static const uint8_t domain_id[ID_SIZE] = "sample-domain00";
static const uint8_t member_id[ID_SIZE] = "sample-member00";
static const uint8_t keyring_id[ID_SIZE] = "sample-keyring0";
static const uint8_t spki[32] = "sample-spki";

static ProtobufCBinaryData binary(const void *data, size_t size)
{
    const ProtobufCBinaryData b = { size, (uint8_t *)(uintptr_t)data };
    return b;
}

static void build(struct buf *out,
                  const struct command_origin *origin,
                  unsigned field,
                  const void *verb)
{
    struct command_origin o = { 0 };
    if (origin != NULL) {
        o = *origin;
    }
    memcpy(o.incarnation, incarnation, ID_SIZE);
    const enum err e = command_build(out, &o, field, verb);
    assert(e == ERR_OK);
}

static size_t make_record(uint8_t *out, unsigned kind, const uint8_t *owner)
{
    struct blob_record_header h = { .kind = (uint8_t)kind, .version = 1, .epoch = 1, .len = 64 };
    memcpy(h.owner_id, owner, ID_SIZE);
    memset(out, 0x5a, BLOB_RECORD_HEADER + 64 + BLOB_TAG);
    blob_record_header_write(&h, out);
    return BLOB_RECORD_HEADER + 64 + BLOB_TAG;
}

static size_t make_blob(
    uint8_t *out, unsigned kind, const uint8_t *keyring, const uint8_t *object, size_t filler)
{
    struct blob_header h = {
        .kind = (uint8_t)kind, .generation = 1, .len_a = (uint32_t)filler, .len_k = BLOB_K_MIN
    };
    memcpy(h.keyring_id, keyring, ID_SIZE);
    memcpy(h.object_id, object, ID_SIZE);
    memset(h.kk_id, kind == BLOB_TOKEN ? 7 : 0, ID_SIZE);
    memset(out, 0x33, BLOB_OVERHEAD + filler + BLOB_K_MIN);
    blob_header_write(&h, out);
    return BLOB_OVERHEAD + filler + BLOB_K_MIN;
}

static size_t make_roster(uint8_t *out)
{
    struct blob_roster_row row = { .state = BLOB_ROSTER_ACTIVE, .suite = BLOB_SUITE };
    memcpy(row.member_id, member_id, ID_SIZE);
    memcpy(row.spki_hash, spki, sizeof(spki));
    memset(out, 0, BLOB_ROSTER_HEADER + BLOB_ROSTER_ROW + 40);
    blob_prefix_write(BLOB_ROSTER, out);
    memcpy(out + 24, cluster_id, ID_SIZE);
    put_u64(out + 40, 1);
    out[52] = 1;
    blob_roster_row_write(&row, out + BLOB_ROSTER_HEADER);
    return BLOB_ROSTER_HEADER + BLOB_ROSTER_ROW + 40;
}

void raft_sample_cluster(struct buf *out)
{
    static const uint8_t cert[] = "certificate";
    static char name[] = "m1", address[] = "127.0.0.1:1", label[] = "sample";
    uint8_t roster[BLOB_ROSTER_HEADER + BLOB_ROSTER_ROW + 40], record[256], ca[512];
    Ringkeep__MemberRow m = RINGKEEP__MEMBER_ROW__INIT;
    m.member_id = binary(member_id, ID_SIZE);
    m.raft_id = 1;
    m.name = name;
    m.client_address = m.peer_address = m.join_address = address;
    m.spki_hash = binary(spki, sizeof(spki));
    Ringkeep__ClusterInit init = RINGKEEP__CLUSTER_INIT__INIT;
    init.cluster_id = binary(cluster_id, ID_SIZE);
    init.incarnation = binary(incarnation, ID_SIZE);
    init.domain_id = binary(domain_id, ID_SIZE);
    init.roster = binary(roster, make_roster(roster));
    init.cluster_record = binary(record, make_record(record, BLOB_CLUSTER_RECORD, cluster_id));
    init.member = &m;
    init.ca_blob = binary(ca, make_blob(ca, BLOB_SYSTEM, cluster_id, keyring_id, 8));
    init.ca_cert = binary(cert, sizeof(cert));
    init.label = label;
    build(out, NULL, FIELD(CLUSTER_INIT), &init);
}

void raft_sample_keyring(struct buf *out)
{
    static char label[] = "ring";
    uint8_t record[256];
    Ringkeep__KeyringPut put = RINGKEEP__KEYRING_PUT__INIT;
    put.keyring_id = binary(keyring_id, ID_SIZE);
    put.label = label;
    put.record = binary(record, make_record(record, BLOB_RECORD, keyring_id));
    put.version = 1;
    put.epoch = 1;
    put.has_active = 1;
    put.active = 1;
    build(out, NULL, FIELD(KEYRING_PUT), &put);
}

static void object_id_of(uint32_t number, uint8_t out[ID_SIZE])
{
    memset(out, 0x11, ID_SIZE);
    put_u32(out, number);
}

void raft_sample_object(struct buf *out, uint32_t number, size_t filler)
{
    static uint8_t blob[LIMIT_BLOB];
    uint8_t object_id[ID_SIZE];
    struct command_origin origin = { .present = true };
    object_id_of(number, object_id);
    object_id_of(number, origin.request_id);
    put_u32(origin.request_hash, number);
    Ringkeep__NewObject object = RINGKEEP__NEW_OBJECT__INIT;
    object.object_id = binary(object_id, ID_SIZE);
    object.blob = binary(blob, make_blob(blob, BLOB_TOKEN, keyring_id, object_id, filler));
    Ringkeep__NewObject *objects[] = { &object };
    Ringkeep__ObjectsCreate create = RINGKEEP__OBJECTS_CREATE__INIT;
    create.keyring_id = binary(keyring_id, ID_SIZE);
    create.n_objects = 1;
    create.objects = objects;
    build(out, &origin, FIELD(OBJECTS_CREATE), &create);
}

static enum err count_one(void *arg, struct bytes key, const void *message)
{
    (void)key;
    (void)message;
    ++*(uint64_t *)arg;
    return ERR_OK;
}

uint64_t raft_sample_objects(struct store *s)
{
    STORE_VIEW_SCOPED *v = NULL;
    uint64_t counted = 0;
    void *row = NULL;
    enum err e = store_view_open(s, &v);
    assert(e == ERR_OK);
    if (query_keyring(v, keyring_id, &row) != ERR_OK) {
        return 0;
    }
    const uint64_t kept = ((Ringkeep__KeyringRow *)row)->object_count;
    query_drop(row);
    e = query_each(v, STORE_OBJECTS, bytes_of(keyring_id, ID_SIZE), count_one, &counted);
    assert(e == ERR_OK && counted == kept);
    return counted;
}

bool raft_sample_has(struct store *s, uint32_t number)
{
    STORE_VIEW_SCOPED *v = NULL;
    uint8_t object_id[ID_SIZE];
    void *row = NULL;
    object_id_of(number, object_id);
    enum err e = store_view_open(s, &v);
    assert(e == ERR_OK);
    e = query_object(v, keyring_id, object_id, &row);
    query_drop(row);
    return e == ERR_OK;
}
