/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of the clone handshake that carry no secret: J's clear request and P
 * (sks/clone.h). Pure functions, any thread. */
#include <string.h>

#include "sks/clone.h"

static const uint8_t p_label[] = { 'r', 'i', 'n', 'g', 'k', 'e', 'e', 'p',
                                   '/', '1', '/', 'c', 'l', 'o', 'n', 'e' };

/* Offsets in P. */
enum {
    AT_PURPOSE = 16,
    AT_SUITE = 17,
    AT_CLUSTER = 18,
    AT_DONOR = 34,
    AT_JOINER = 50,
    AT_ID_D = 66,
    AT_ID_J = 98,
    AT_AK_J = 130,
    AT_SPKI_J = 162,
    AT_ROSTER = 194,
    AT_INVITE = 202,
    AT_DOMAIN = 218,
    AT_TAIL = 234
};

void clone_request_encode(const struct clone_request *r, uint8_t out[CLONE_REQUEST])
{
    memcpy(out, r->cluster_id, ID_SIZE);
    memcpy(out + 16, r->invite_id, ID_SIZE);
    memcpy(out + 32, r->joiner_id, ID_SIZE);
    memcpy(out + 48, r->id_pub, 32);
    memcpy(out + 80, r->ak_pub, 32);
    memcpy(out + 112, r->spki_hash, 32);
    out[144] = r->suite;
}

enum err clone_request_decode(struct bytes in, struct clone_request *out)
{
    if (in.size != CLONE_REQUEST) {
        return ERR_MALFORMED;
    }
    if (bytes_all_zero(bytes_of(in.data, ID_SIZE)) ||
        bytes_all_zero(bytes_of(in.data + 32, ID_SIZE)) ||
        bytes_all_zero(bytes_of(in.data + 48, 32)) || bytes_all_zero(bytes_of(in.data + 80, 32))) {
        return ERR_MALFORMED;
    }
    memcpy(out->cluster_id, in.data, ID_SIZE);
    memcpy(out->invite_id, in.data + 16, ID_SIZE);
    memcpy(out->joiner_id, in.data + 32, ID_SIZE);
    memcpy(out->id_pub, in.data + 48, 32);
    memcpy(out->ak_pub, in.data + 80, 32);
    memcpy(out->spki_hash, in.data + 112, 32);
    out->suite = in.data[144];
    return ERR_OK;
}

void clone_params_encode(const struct clone_params *p, uint8_t out[CLONE_P])
{
    memset(out, 0, CLONE_P);
    memcpy(out, p_label, sizeof(p_label));
    out[AT_PURPOSE] = p->purpose;
    out[AT_SUITE] = p->suite;
    memcpy(out + AT_CLUSTER, p->cluster_id, ID_SIZE);
    memcpy(out + AT_DONOR, p->donor_id, ID_SIZE);
    memcpy(out + AT_JOINER, p->joiner_id, ID_SIZE);
    memcpy(out + AT_ID_D, p->donor_id_pub, 32);
    memcpy(out + AT_ID_J, p->joiner_id_pub, 32);
    memcpy(out + AT_AK_J, p->joiner_ak_pub, 32);
    memcpy(out + AT_SPKI_J, p->joiner_spki, 32);
    put_u64(out + AT_ROSTER, p->roster_version);
    memcpy(out + AT_INVITE, p->invite_id, ID_SIZE);
    memcpy(out + AT_DOMAIN, p->domain_id, ID_SIZE);
}

enum err clone_params_decode(const uint8_t in[CLONE_P], struct clone_params *out)
{
    const bool join = in[AT_PURPOSE] == CLONE_JOIN;
    if (!bytes_equal(bytes_of(in, sizeof(p_label)), bytes_of(p_label, sizeof(p_label)))) {
        return ERR_MALFORMED;
    }
    if (in[AT_PURPOSE] < CLONE_JOIN || in[AT_PURPOSE] > CLONE_PUSH) {
        return ERR_MALFORMED;
    }
    if (!bytes_all_zero(bytes_of(in + AT_TAIL, CLONE_P - AT_TAIL))) {
        return ERR_MALFORMED;
    }
    if (bytes_all_zero(bytes_of(in + AT_INVITE, ID_SIZE)) == join) {
        return ERR_MALFORMED;
    }
    out->purpose = in[AT_PURPOSE];
    out->suite = in[AT_SUITE];
    memcpy(out->cluster_id, in + AT_CLUSTER, ID_SIZE);
    memcpy(out->donor_id, in + AT_DONOR, ID_SIZE);
    memcpy(out->joiner_id, in + AT_JOINER, ID_SIZE);
    memcpy(out->donor_id_pub, in + AT_ID_D, 32);
    memcpy(out->joiner_id_pub, in + AT_ID_J, 32);
    memcpy(out->joiner_ak_pub, in + AT_AK_J, 32);
    memcpy(out->joiner_spki, in + AT_SPKI_J, 32);
    out->roster_version = get_u64(in + AT_ROSTER);
    memcpy(out->invite_id, in + AT_INVITE, ID_SIZE);
    memcpy(out->domain_id, in + AT_DOMAIN, ID_SIZE);
    return ERR_OK;
}
