/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's one row: its beginning and its record. Runs inside apply. */
#include "keyring/apply_internal.h"

#include "command.pb-c.h"
#include "sks/blob.h"

#define CLUSTER_VERSION 1u
#define ORDER_FIRST 1u

static enum err check_record(ProtobufCBinaryData record,
                             ProtobufCBinaryData cluster_id,
                             uint64_t version,
                             struct blob_record_header *out)
{
    TRY(blob_record_parse(apply_bytes(record), BLOB_CLUSTER_RECORD, out));
    return apply_is_id(cluster_id, out->owner_id) && out->version == version ? ERR_OK : ERR_REFUSED;
}

static enum err check_ca(const Ringkeep__ClusterInit *init)
{
    struct blob_header h;
    TRY(blob_parse(apply_bytes(init->ca_blob), &h));
    if (h.kind != BLOB_SYSTEM || !apply_is_id(init->cluster_id, h.keyring_id)) {
        return ERR_REFUSED;
    }
    return init->ca_cert.len > 0 && init->ca_cert.len <= APPLY_CERT_MAX ? ERR_OK : ERR_MALFORMED;
}

static enum err check_init(struct apply *a, const Ringkeep__ClusterInit *init, uint64_t versions[2])
{
    struct blob_roster_header roster;
    struct blob_record_header record;
    if (!apply_sized(init->cluster_id, ID_SIZE) || !apply_sized(init->incarnation, ID_SIZE) ||
        !apply_sized(init->domain_id, ID_SIZE) || !apply_text(init->label, LIMIT_LABEL)) {
        return ERR_MALFORMED;
    }
    TRY(blob_roster_parse(apply_bytes(init->roster), &roster));
    if (!apply_is_id(init->cluster_id, roster.cluster_id)) {
        return ERR_REFUSED;
    }
    TRY(blob_record_parse(apply_bytes(init->cluster_record), BLOB_CLUSTER_RECORD, &record));
    TRY(check_record(init->cluster_record, init->cluster_id, record.version, &record));
    TRY(check_ca(init));
    TRY(apply_members_check(a, init->member, apply_bytes(init->roster)));
    versions[0] = roster.version;
    versions[1] = record.version;
    return ERR_OK;
}

enum err apply_cluster_init(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__ClusterInit *init = c->cluster_init;
    Ringkeep__ClusterRow row = RINGKEEP__CLUSTER_ROW__INIT;
    uint64_t versions[2] = { 0, 0 };
    if (a->cluster != NULL) {
        return ERR_EXISTS;
    }
    TRY(check_init(a, init, versions));
    row.cluster_id = init->cluster_id;
    row.incarnation = init->incarnation;
    row.domain_id = init->domain_id;
    row.roster = init->roster;
    row.roster_version = versions[0];
    row.cluster_record = init->cluster_record;
    row.cluster_record_version = versions[1];
    row.ca_blob = init->ca_blob;
    row.ca_cert = init->ca_cert;
    row.label = init->label;
    row.cluster_version = CLUSTER_VERSION;
    row.next_order = ORDER_FIRST;
    TRY(rows_put(a->t, STORE_CLUSTER, bytes_of(NULL, 0), &row));
    return apply_members_write(a, init->member);
}

enum err apply_cluster_record(struct apply *a, const struct Ringkeep__Command *c)
{
    const Ringkeep__ClusterRecordPut *put = c->cluster_record_put;
    struct blob_record_header old, fresh;
    if (blob_record_parse(apply_bytes(a->cluster->cluster_record), BLOB_CLUSTER_RECORD, &old) !=
        ERR_OK) {
        return ERR_CORRUPT;
    }
    TRY(check_record(put->record, a->cluster->cluster_id, put->version, &fresh));
    if (!blob_record_accepts(a->cluster->cluster_record_version, old.epoch, fresh.version,
                             fresh.epoch)) {
        return ERR_REFUSED;
    }
    Ringkeep__ClusterRow row = *a->cluster;
    row.cluster_record = put->record;
    row.cluster_record_version = fresh.version;
    a->out->number = fresh.version;
    return rows_put(a->t, STORE_CLUSTER, bytes_of(NULL, 0), &row);
}
