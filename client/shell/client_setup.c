/* SPDX-License-Identifier: Apache-2.0 */
/* A client's folder: its key is made here and stays here; the cluster gets the
 * public part and answers with certificate, CA, login key and identities. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "admin.pb-c.h"
#include "base/crypt.h"
#include "base/x509.h"
#include "client/client_pb.h"
#include "client/client_pins.h"
#include "client/shell/parts.h"

#define SPKI_LIMIT 1024u

static enum err in_folder(struct shell *s, const char *folder, const char *name, char out[PATH_MAX])
{
    const int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    return n > 0 && n < PATH_MAX ? ERR_OK : shell_say(s, ERR_USAGE, "%s: too long", folder);
}

/* -- the key --------------------------------------------------------------------------- */

/* P-256 key and its SubjectPublicKeyInfo; keeps a key that is there. */
static enum err make_key(struct shell *s, const char *folder, const char *name, struct buf *spki)
{
    char key[PATH_MAX], certificate[PATH_MAX], hash_file[PATH_MAX];
    uint8_t hash[X509_SPKI_HASH];
    TRY(shell_file_folder(s, folder));
    TRY(in_folder(s, folder, "client.key", key));
    TRY(in_folder(s, folder, "client.crt", certificate));
    TRY(in_folder(s, folder, "client.spki", hash_file));
    enum err e = crypt_init();
    if (e == ERR_OK) {
        e = x509_make_identity(key, certificate, name);
    }
    if (e == ERR_OK) {
        e = x509_key_spki(key, spki, hash);
    }
    if (e != ERR_OK) {
        return shell_say(s, e, "%s: the client's key cannot be made or read: %s", key, err_text(e));
    }
    return shell_file_write(s, hash_file, buf_bytes(spki), 0644, true);
}

enum err shell_client_init(struct shell *s)
{
    BUF_SCOPED spki = { 0 };
    char hex[2 * X509_SPKI_HASH + 1];
    uint8_t hash[X509_SPKI_HASH];
    TRY(make_key(s, s->argument[0], "client", &spki));
    x509_spki_hash(buf_bytes(&spki), hash);
    (void)hex_from(bytes_of(hash, sizeof(hash)), hex);
    if (s->options.json) {
        json_t *object = json_object();
        (void)json_object_set_new(object, "ok", json_true());
        (void)json_object_set_new(object, "spki_sha256", json_string(hex));
        output_json(s, object);
        return ERR_OK;
    }
    (void)fprintf(s->out,
                  "key hash  %s\nnext      ringkeep client register NAME %s/client.spki, at a member\n",
                  hex,
                  s->argument[0]);
    return ERR_OK;
}

/* -- registration ------------------------------------------------------------------------ */

static enum err write_certificate(struct shell *s, const struct shell_reply *r, const char *field, const char *path)
{
    const Ringkeep__AdminField *f = admin_door_field(r, field);
    if (f == NULL || !f->has_data || f->data.len == 0) {
        return shell_say(s, ERR_PROTOCOL, "the member's answer lacks '%s'", field);
    }
    const enum err e = x509_cert_write(path, client_pb_bytes(f->data));
    return e == ERR_OK ? e : shell_say(s, e, "%s: %s", path, err_text(e));
}

static enum err write_pins(struct shell *s, const struct shell_challenge *c, const char *path)
{
    struct envelope_pinned pins;
    uint8_t content[CLIENT_PINS_MAX], lk_pub[32];
    TRY(challenge_login_key(s, c, lk_pub));
    const enum err e = client_pins_first(buf_bytes(&c->login_key), buf_bytes(&c->identities), &pins);
    if (e != ERR_OK) {
        return shell_say(s, ERR_SEALED, "this member has no login key yet: authorize it first");
    }
    const size_t size = client_pins_encode(&pins, content);
    return shell_file_write(s, path, bytes_of(content, size), 0600, true);
}

static const char *row_address(const Ringkeep__AdminRow *row)
{
    for (size_t i = 0; i < row->n_fields; i++) {
        const Ringkeep__AdminField *f = row->fields[i];
        if (strcmp(f->name, "address") == 0 && f->text != NULL && strlen(f->text) < LIMIT_ADDRESS &&
            strchr(f->text, ':') != NULL && strpbrk(f->text, "\r\n# ") == NULL) {
            return f->text;
        }
    }
    return NULL;
}

/* The reply has one row a member. */
static enum err add_members(struct shell *s, const struct shell_reply *r, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < r->reply->n_rows && count < LIMIT_MEMBERS; i++) {
        const char *address = row_address(r->reply->rows[i]);
        char line[LIMIT_ADDRESS + 16] = "";
        if (address != NULL) {
            (void)snprintf(line, sizeof(line), "member = %s\n", address);
            count++;
        }
        TRY(buf_append(out, bytes_of_text(line), 16384));
    }
    return count > 0 ? ERR_OK : shell_say(s, ERR_PROTOCOL, "the member names no address for clients");
}

static enum err write_config(struct shell *s,
                             const struct shell_challenge *c,
                             const struct shell_reply *r,
                             const char *path)
{
    BUF_SCOPED text = { 0 };
    char head[512], hex[2 * ID_SIZE + 1];
    (void)snprintf(head,
                   sizeof(head),
                   "# written by ringkeep client register\n[client]\ncertificate = client.crt\n"
                   "key = client.key\nca = ca.crt\nstate = login.state\n\n[cluster]\nid = %s\n",
                   hex_from(bytes_of(c->cluster_id, ID_SIZE), hex));
    TRY(buf_append(&text, bytes_of_text(head), 16384));
    TRY(add_members(s, r, &text));
    return shell_file_write(s, path, buf_bytes(&text), 0644, true);
}

static enum err write_folder(struct shell *s, const char *folder, const struct shell_reply *r)
{
    CHALLENGE_SCOPED c = { 0 };
    char path[PATH_MAX];
    TRY(shell_file_folder(s, folder));
    TRY(challenge_get(s, &c));
    TRY(known_cores_check(s, &c.core)); /* what is pinned for the client comes from here */
    TRY(in_folder(s, folder, "client.crt", path));
    TRY(write_certificate(s, r, "certificate", path));
    TRY(in_folder(s, folder, "ca.crt", path));
    TRY(write_certificate(s, r, "ca", path));
    TRY(in_folder(s, folder, "login.state", path));
    TRY(write_pins(s, &c, path));
    TRY(in_folder(s, folder, "ringkeep.conf", path));
    return write_config(s, &c, r, path);
}

/* A file with the SPKI in DER, or its hex digits. */
static enum err read_spki(struct shell *s, const char *named, struct buf *out)
{
    uint8_t *at = NULL;
    const size_t size = strlen(named) / 2;
    if (size >= 59 && size <= SPKI_LIMIT && strlen(named) == 2 * size && strchr(named, '/') == NULL) {
        TRY(buf_reserve(out, size, SPKI_LIMIT, &at));
        if (hex_to(named, at, size) == ERR_OK) {
            out->size = size;
            return ERR_OK;
        }
    }
    return shell_file_read(s, named, SPKI_LIMIT, out);
}

enum err shell_client_register(struct shell *s)
{
    REPLY_SCOPED r = { 0 };
    BUF_SCOPED spki = { 0 };
    struct shell_ask ask = { 0 };
    const char *folder = s->options.out;
    if (s->argument_count < 2 && folder == NULL) {
        return shell_say(s, ERR_USAGE, "give --out DIR to make the client's key here, or its spki file");
    }
    if (s->argument_count >= 2) {
        TRY(read_spki(s, s->argument[1], &spki));
    } else {
        TRY(make_key(s, folder, s->argument[0], &spki));
    }
    ask.verb = verb_admin("client register");
    ask.argument = s->argument;
    ask.argument_count = 1;
    ask.extra[0] = (struct shell_extra){ "spki", buf_bytes(&spki), NULL };
    ask.extra_count = 1;
    TRY(admin_verb_ask(s, &ask, &r));
    if (folder != NULL) {
        TRY(write_folder(s, folder, &r));
        (void)fprintf(s->err, "ringkeep: %s/ringkeep.conf is ready; assign a keyring to the client\n", folder);
    }
    return output_reply(s, &r);
}
