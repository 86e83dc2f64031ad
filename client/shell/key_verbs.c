/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings and their keys through libringkeep. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <p11-kit/pkcs11.h>

#include "client/ringkeep.h"
#include "client/shell/parts.h"
#include "client/shell/key_template.h"
#include "proto/mechanism.h"
#include "proto/template.h"

/* -- slots and passwords ------------------------------------------------------------------ */

static void show_slots(struct shell *s, const struct ringkeep_slot *slots, size_t count)
{
    json_t *rows = json_array(), *object = json_object();
    char hex[2 * ID_SIZE + 1], line[64];
    for (size_t i = 0; i < count; i++) {
        const struct ringkeep_slot *slot = &slots[i];
        (void)hex_from(bytes_of(slot->keyring_id, ID_SIZE), hex);
        (void)snprintf(line, sizeof(line), "%s", slot->label);
        output_clean(line);
        if (!s->options.json) {
            (void)fprintf(s->out, "%4llu  %s  %-32s %s\n", (unsigned long long)slot->slot, hex, line,
                          slot->active ? "active" : "first password not changed yet");
            continue;
        }
        json_t *row = json_object();
        (void)json_object_set_new(row, "slot", json_integer((json_int_t)slot->slot));
        (void)json_object_set_new(row, "keyring", json_string(hex));
        (void)json_object_set_new(row, "label", json_string(line));
        (void)json_object_set_new(row, "active", json_boolean(slot->active));
        (void)json_object_set_new(row, "strict", json_boolean(slot->strict));
        (void)json_array_append_new(rows, row);
    }
    (void)json_object_set_new(object, "ok", json_true());
    (void)json_object_set_new(object, "rows", rows);
    if (s->options.json) {
        output_json(s, object);
    } else {
        json_decref(object);
    }
}

enum err shell_slots(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    size_t count = 0;
    TRY(client_use_open(s, &c));
    struct ringkeep_slot *slots = calloc(LIMIT_ASSIGNMENTS_PER_CLIENT, sizeof(*slots));
    if (slots == NULL) {
        return ERR_NOMEM;
    }
    const enum err e = (enum err)ringkeep_slots(c, slots, LIMIT_ASSIGNMENTS_PER_CLIENT, &count);
    if (e == ERR_OK) {
        show_slots(s, slots, count < LIMIT_ASSIGNMENTS_PER_CLIENT ? count : LIMIT_ASSIGNMENTS_PER_CLIENT);
    }
    free(slots);
    return e == ERR_OK ? e : client_use_fail(s, e, "slots");
}

static void show_ok(struct shell *s)
{
    if (s->options.json) {
        output_json(s, json_pack("{sb}", "ok", 1));
    } else {
        (void)fprintf(s->out, "ok\n");
    }
}

enum err shell_keyring_passwd(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    PASSWORD_SCOPED before = { .size = 0 };
    PASSWORD_SCOPED after = { .size = 0 };
    uint8_t id[ID_SIZE];
    TRY(client_use_open(s, &c));
    TRY(client_use_keyring(s, c, s->argument[0], id));
    TRY(password_get(s, "", "present keyring password", false, &before));
    TRY(password_get(s, "new", "keyring password", true, &after));
    const enum err e = (enum err)ringkeep_change_password(
        c, id, RINGKEEP_ROLE_KRCO, before.data, before.size, after.data, after.size);
    if (e != ERR_OK) {
        return client_use_fail(s, e, "password");
    }
    show_ok(s);
    return ERR_OK;
}

/* -- objects ---------------------------------------------------------------------------------- */

struct listing {
    struct shell *s;
    json_t *rows; /* --json */
};

static const char *class_name(uint64_t class)
{
    switch (class) {
        case CKO_DATA: return "data";
        case CKO_CERTIFICATE: return "certificate";
        case CKO_PUBLIC_KEY: return "public key";
        case CKO_PRIVATE_KEY: return "private key";
        case CKO_SECRET_KEY: return "secret key";
        default: return "object";
    }
}

static void text_attribute(struct bytes list, uint32_t type, char out[128])
{
    struct bytes value = { NULL, 0 };
    out[0] = '\0';
    if (template_get(list, type, &value) == ERR_OK) {
        (void)snprintf(out, 128, "%.*s", (int)(value.size < 127 ? value.size : 127), (const char *)value.data);
        output_clean(out);
    }
}

static void hex_attribute(struct bytes list, uint32_t type, char out[129])
{
    struct bytes value = { NULL, 0 };
    out[0] = '\0';
    if (template_get(list, type, &value) == ERR_OK && value.size <= 64) {
        (void)hex_from(value, out);
    }
}

static bool on_object(void *arg, const struct ringkeep_object *o)
{
    struct listing *l = arg;
    const struct bytes list = bytes_of(o->attributes, o->attributes_size);
    char object_id[2 * ID_SIZE + 1], label[128], id[129];
    uint64_t class = UINT64_MAX;
    (void)!template_get_u64(list, CKA_CLASS, &class);
    (void)hex_from(bytes_of(o->object_id, ID_SIZE), object_id);
    text_attribute(list, CKA_LABEL, label);
    hex_attribute(list, CKA_ID, id);
    if (l->rows == NULL) {
        (void)fprintf(l->s->out, "%s  %-11s  %-24s  %s\n", object_id, class_name(class), label, id);
        return true;
    }
    json_t *row = json_object();
    (void)json_object_set_new(row, "object", json_string(object_id));
    (void)json_object_set_new(row, "handle", json_integer((json_int_t)o->handle));
    (void)json_object_set_new(row, "class", json_string(class_name(class)));
    if (json_object_set_new(row, "label", json_string(label)) != 0) {
        (void)json_object_set_new(row, "label", json_null());
    }
    (void)json_object_set_new(row, "id", json_string(id));
    (void)json_array_append_new(l->rows, row);
    return true;
}

static void listing_end(struct listing *l, bool good)
{
    if (l->rows == NULL) {
        return;
    }
    json_t *object = json_object();
    (void)json_object_set_new(object, "ok", json_true());
    (void)json_object_set_new(object, "rows", l->rows);
    if (good) {
        output_json(l->s, object);
    } else {
        json_decref(object);
    }
}

/* Opens, finds the keyring, logs in. */
static enum err use_keyring(struct shell *s, struct ringkeep_client **c, uint8_t id[ID_SIZE])
{
    TRY(client_use_open(s, c));
    TRY(client_use_keyring(s, *c, s->argument[0], id));
    return client_use_login(s, *c, id);
}

enum err shell_key_list(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    uint8_t id[ID_SIZE];
    struct listing l = { s, NULL };
    TRY(use_keyring(s, &c, id));
    l.rows = s->options.json ? json_array() : NULL;
    const enum err e = (enum err)ringkeep_find(c, id, on_object, &l);
    listing_end(&l, e == ERR_OK);
    return e == ERR_OK ? e : client_use_fail(s, e, "key list");
}

enum err shell_key_generate(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    BUF_SCOPED private = { 0 };
    BUF_SCOPED public = { 0 };
    uint8_t id[ID_SIZE];
    uint64_t mechanism = 0;
    struct listing l = { s, NULL };
    TRY(key_template_make(s, &mechanism, &private, &public));
    TRY(use_keyring(s, &c, id));
    l.rows = s->options.json ? json_array() : NULL;
    const enum err e = (enum err)ringkeep_generate(
        c, id, mechanism, private.data, private.size, public.data, public.size, true, on_object, &l);
    listing_end(&l, e == ERR_OK);
    return e == ERR_OK ? e : client_use_fail(s, e, "key generate");
}

/* -- one object by name -------------------------------------------------------------------------- */

#define MATCHES 16u

struct match {
    const char *name;   /* object id or CKA_ID in hex, or label */
    uint64_t class[2];  /* wanted; UINT64_MAX: any */
    bool labels;
    uint8_t found[MATCHES][ID_SIZE];
    size_t count;
};

static bool on_candidate(void *arg, const struct ringkeep_object *o)
{
    struct match *m = arg;
    const struct bytes list = bytes_of(o->attributes, o->attributes_size);
    char object_id[2 * ID_SIZE + 1], label[128], id[129];
    uint64_t class = 0;
    (void)!template_get_u64(list, CKA_CLASS, &class);
    const bool wanted = m->class[0] == UINT64_MAX || class == m->class[0] || class == m->class[1];
    (void)hex_from(bytes_of(o->object_id, ID_SIZE), object_id);
    text_attribute(list, CKA_LABEL, label);
    hex_attribute(list, CKA_ID, id);
    const bool exact = strcmp(m->name, object_id) == 0;
    const bool named = (id[0] != '\0' && strcmp(m->name, id) == 0) || (m->labels && strcmp(m->name, label) == 0);
    if ((exact || (named && wanted)) && m->count < MATCHES) {
        memcpy(m->found[m->count++], o->object_id, ID_SIZE);
    }
    return !exact;
}

static enum err find_match(struct shell *s, struct ringkeep_client *c, const uint8_t id[ID_SIZE], struct match *m)
{
    m->name = s->argument[1];
    const enum err e = (enum err)ringkeep_find(c, id, on_candidate, m);
    if (e != ERR_OK) {
        return client_use_fail(s, e, "find");
    }
    return m->count > 0 ? ERR_OK : shell_say(s, ERR_NOTFOUND, "no object '%s' in this keyring", m->name);
}

enum err shell_key_destroy(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    uint8_t id[ID_SIZE];
    struct match m = { .class = { UINT64_MAX, UINT64_MAX } };
    TRY(use_keyring(s, &c, id));
    TRY(find_match(s, c, id, &m));
    for (size_t i = 0; i < m.count; i++) {
        const enum err e = (enum err)ringkeep_destroy(c, id, m.found[i]);
        if (e != ERR_OK) {
            return client_use_fail(s, e, "key destroy");
        }
    }
    show_ok(s);
    return ERR_OK;
}

/* -- sign and verify --------------------------------------------------------------------------------- */

static enum err find_mechanism(struct shell *s, uint64_t *out)
{
    const char *name = s->options.mechanism == NULL ? "ECDSA_SHA256" : s->options.mechanism;
    size_t count = 0;
    const struct mechanism_row *rows = mechanism_rows(&count);
    for (size_t i = 0; i < count; i++) {
        const char *full = rows[i].name;
        if (strcmp(full, name) == 0 || (strncmp(full, "CKM_", 4) == 0 && strcmp(full + 4, name) == 0)) {
            *out = rows[i].number;
            return ERR_OK;
        }
    }
    return shell_say(s, ERR_MECHANISM, "unknown mechanism '%s'", name);
}

struct use {
    uint8_t keyring_id[ID_SIZE];
    struct match match;
    uint64_t mechanism;
    struct buf data;
};

static enum err begin_use(struct shell *s, struct ringkeep_client **c, struct use *u)
{
    if (s->options.in == NULL) {
        return shell_say(s, ERR_USAGE, "--in FILE says what (- is standard input)");
    }
    u->match.labels = true;
    TRY(find_mechanism(s, &u->mechanism));
    TRY(shell_file_read(s, s->options.in, LIMIT_DATA, &u->data));
    TRY(use_keyring(s, c, u->keyring_id));
    TRY(find_match(s, *c, u->keyring_id, &u->match));
    return u->match.count == 1 ? ERR_OK : shell_say(s, ERR_USAGE, "'%s' names several keys: give an object id", s->argument[1]);
}

static void end_use(struct use *u)
{
    buf_drop(&u->data);
}
#define USE_SCOPED __attribute__((cleanup(end_use))) struct use

static enum err give_signature(struct shell *s, struct bytes signature)
{
    char hex[2 * 1024 + 1];
    if (s->options.out != NULL) {
        TRY(shell_file_write(s, s->options.out, signature, 0644, true));
        show_ok(s);
        return ERR_OK;
    }
    (void)hex_from(signature, hex);
    if (s->options.json) {
        output_json(s, json_pack("{sbss}", "ok", 1, "signature", hex));
    } else {
        (void)fprintf(s->out, "%s\n", hex);
    }
    return ERR_OK;
}

enum err shell_sign(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    USE_SCOPED u = { .match = { .class = { CKO_PRIVATE_KEY, CKO_SECRET_KEY } } };
    uint8_t signature[1024];
    size_t size = sizeof(signature);
    TRY(begin_use(s, &c, &u));
    const struct ringkeep_key key = { u.match.found[0], NULL, 0 };
    const enum err e = (enum err)ringkeep_operate(
        c, u.keyring_id, RINGKEEP_SIGN, &key, u.mechanism, NULL, 0, u.data.data, u.data.size, NULL, 0, signature, &size);
    return e == ERR_OK ? give_signature(s, bytes_of(signature, size)) : client_use_fail(s, e, "sign");
}

enum err shell_verify(struct shell *s)
{
    CLIENT_SCOPED *c = NULL;
    BUF_SCOPED signature = { 0 };
    USE_SCOPED u = { .match = { .class = { CKO_PUBLIC_KEY, CKO_SECRET_KEY } } };
    size_t none = 0;
    if (s->options.signature == NULL) {
        return shell_say(s, ERR_USAGE, "--signature FILE is needed");
    }
    TRY(shell_file_read(s, s->options.signature, 1024, &signature));
    TRY(begin_use(s, &c, &u));
    const struct ringkeep_key key = { u.match.found[0], NULL, 0 };
    const enum err e = (enum err)ringkeep_operate(c, u.keyring_id, RINGKEEP_VERIFY, &key, u.mechanism, NULL, 0,
                                                  u.data.data, u.data.size, signature.data, signature.size, NULL, &none);
    if (e != ERR_OK) {
        return client_use_fail(s, e, "verify");
    }
    show_ok(s);
    return ERR_OK;
}
