/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges of the core and the envelopes for them (crypto-spec section 3): roles
 * of the core and the cluster to AK, pinned by this administrator; roles of a
 * keyring to LK, which the pinned core has signed. */
#include <string.h>

#include "admin.pb-c.h"
#include "client/client_pb.h"
#include "client/shell/parts.h"

void shell_challenge_drop(struct shell_challenge *c)
{
    buf_drop(&c->login_key);
    buf_drop(&c->identities);
}

static enum err copy_field(const struct shell_reply *r, const char *name, size_t limit, struct buf *out)
{
    const Ringkeep__AdminField *f = admin_door_field(r, name);
    buf_clear(out);
    return f == NULL || !f->has_data ? ERR_OK : buf_append(out, client_pb_bytes(f->data), limit);
}

enum err challenge_get(struct shell *s, struct shell_challenge *out)
{
    REPLY_SCOPED r = { 0 };
    Ringkeep__AdminRequest request = RINGKEEP__ADMIN_REQUEST__INIT;
    static char verb[] = "challenge";
    request.verb = verb;
    TRY(admin_door_ask(s, &request, &r));
    TRY(admin_door_bytes(s, &r, "challenge", out->challenge, ID_SIZE));
    TRY(admin_door_bytes(s, &r, "ak", out->core.ak_pub, 32));
    TRY(admin_door_bytes(s, &r, "id", out->core.id_pub, 32));
    TRY(admin_door_bytes(s, &r, "core", out->core.core_id, ID_SIZE));
    memset(out->cluster_id, 0, ID_SIZE);
    const Ringkeep__AdminField *cluster = admin_door_field(&r, "cluster");
    if (cluster != NULL && cluster->has_data && cluster->data.len == ID_SIZE) {
        memcpy(out->cluster_id, cluster->data.data, ID_SIZE);
    }
    TRY(copy_field(&r, "login_key", ENVELOPE_LOGIN_KEY, &out->login_key));
    return copy_field(&r, "identities", ENVELOPE_IDENTITIES_MAX, &out->identities);
}

enum err challenge_login_key(struct shell *s, const struct shell_challenge *c, uint8_t out[32])
{
    struct envelope_login_key l;
    uint8_t id_pub[32];
    if (envelope_login_key_parse(buf_bytes(&c->login_key), &l) != ERR_OK) {
        return shell_say(s, ERR_SEALED, "this member has no login key yet: authorize it first");
    }
    bool known = memcmp(l.member_id, c->core.core_id, ID_SIZE) == 0;
    if (known) {
        memcpy(id_pub, c->core.id_pub, sizeof(id_pub));
    } else {
        known = known_cores_has(s, l.member_id, id_pub);
    }
    if (!known || envelope_login_key_verify(buf_bytes(&c->login_key), c->cluster_id, id_pub) != ERR_OK) {
        return shell_say(s, ERR_IDENTITY, "the login key that the member shows is not signed by a core known here");
    }
    memcpy(out, l.lk_pub, 32);
    return ERR_OK;
}

static void fill_context(const struct shell_challenge *c,
                         const struct verb_login *login,
                         const uint8_t *keyring_id,
                         struct envelope_context *out)
{
    const uint8_t *kr = c->core.core_id; /* domain secret, HSM SO, auditor */
    if (login->role == 3 || login->role == 4) {
        kr = c->cluster_id;
    } else if (login->role >= 5) {
        kr = keyring_id;
    }
    memset(out, 0, sizeof(*out)); /* client_spki stays zero: the local door */
    memcpy(out->cluster_id, c->cluster_id, ID_SIZE);
    memcpy(out->challenge, c->challenge, ID_SIZE);
    memcpy(out->kr_id, kr, ID_SIZE);
    out->role = (uint8_t)login->role;
}

enum err challenge_seal(struct shell *s,
                        const struct shell_challenge *c,
                        const struct verb_login *login,
                        const struct shell_password *p,
                        const uint8_t ts[ENVELOPE_TS],
                        const uint8_t *keyring_id,
                        uint8_t out[ENVELOPE_PIN])
{
    struct envelope_context context;
    struct envelope_pin pin = { 0 };
    uint8_t packed[ENVELOPE_PIN_CONTEXT], recipient[32];
    const struct bytes none = { NULL, 0 }, secret = bytes_of(p->data, p->size);
    if (login->role >= 5) {
        TRY(challenge_login_key(s, c, recipient));
        if (keyring_id == NULL) {
            return shell_say(s, ERR_USAGE, "no keyring for the %s", password_name(login));
        }
    } else {
        memcpy(recipient, c->core.ak_pub, sizeof(recipient));
    }
    fill_context(c, login, keyring_id, &context);
    envelope_pin_context(&context, packed);
    enum err e = login->set ? envelope_pin_fill(ENVELOPE_SET, none, secret, ts, &pin)
                            : envelope_pin_fill(ENVELOPE_LOGIN, secret, none, ts, &pin);
    if (e == ERR_OK) {
        e = envelope_pin_seal(recipient, packed, &pin, out);
    }
    envelope_pin_wipe(&pin);
    return e == ERR_OK ? e : shell_say(s, e, "%s: cannot be sealed: %s", password_name(login), err_text(e));
}
