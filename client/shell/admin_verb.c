/* SPDX-License-Identifier: Apache-2.0 */
/* One verb of the daemon: passwords first (people are slow, challenges live a
 * minute), then a challenge and an envelope for each, then the request. */
#include <string.h>

#include "admin.pb-c.h"
#include "base/crypt.h"
#include "client/client_pb.h"
#include "client/shell/parts.h"

#define ARGUMENTS (SHELL_ARGUMENTS + 2)

struct sealed {
    struct verb_login login[SHELL_LOGINS];
    size_t count;
    struct shell_password password[SHELL_LOGINS];
    uint8_t ts[ENVELOPE_TS]; /* one for all: sets stand by right of the login */
    uint8_t challenge[SHELL_LOGINS][ID_SIZE];
    uint8_t envelope[SHELL_LOGINS][ENVELOPE_PIN];
    Ringkeep__AdminEnvelope message[SHELL_LOGINS];
    Ringkeep__AdminEnvelope *pointer[SHELL_LOGINS];
};

static void sealed_wipe(struct sealed *x)
{
    bytes_wipe(x, sizeof(*x));
}
#define SEALED_SCOPED __attribute__((cleanup(sealed_wipe))) struct sealed

static enum err collect(struct shell *s, const struct shell_ask *ask, struct sealed *x)
{
    for (size_t i = 0; i < x->count; i++) {
        const struct verb_login *login = &x->login[i];
        if (login->role == 0 && ask->domain != NULL) {
            x->password[i] = *ask->domain;
            continue;
        }
        /* A joiner types the domain secret of the cluster: it is not new. */
        const bool is_new = login->set && login->role != 0;
        TRY(password_get(s, login->purpose, password_name(login), is_new, &x->password[i]));
    }
    return ERR_OK;
}

static enum err seal_one(struct shell *s, const struct shell_ask *ask, struct sealed *x, size_t i)
{
    CHALLENGE_SCOPED c = { 0 };
    static const Ringkeep__AdminEnvelope empty = RINGKEEP__ADMIN_ENVELOPE__INIT;
    TRY(challenge_get(s, &c));
    if (!ask->new_core) {
        TRY(known_cores_check(s, &c.core));
    }
    TRY(challenge_seal(s, &c, &x->login[i], &x->password[i], x->ts, ask->keyring_id, x->envelope[i]));
    memcpy(x->challenge[i], c.challenge, ID_SIZE);
    x->message[i] = empty;
    x->message[i].purpose = x->login[i].purpose;
    x->message[i].challenge = client_pb_of(x->challenge[i], ID_SIZE);
    x->message[i].envelope = client_pb_of(x->envelope[i], ENVELOPE_PIN);
    x->pointer[i] = &x->message[i];
    return ERR_OK;
}

static enum err seal_all(struct shell *s, const struct shell_ask *ask, struct sealed *x)
{
    if (verb_logins(ask->verb, x->login, &x->count) != ERR_OK) {
        return shell_say(s, ERR_CORRUPT, "the row of '%s' is broken", ask->verb->name);
    }
    if (x->count == 0) {
        return ERR_OK;
    }
    if (crypt_init() != ERR_OK || crypt_random(x->ts, sizeof(x->ts)) != ERR_OK) {
        return shell_say(s, ERR_CRYPTO, "OpenSSL does not work here");
    }
    TRY(collect(s, ask, x));
    for (size_t i = 0; i < x->count; i++) {
        TRY(seal_one(s, ask, x, i));
    }
    return ERR_OK;
}

struct line {
    struct verb_argument name[SHELL_ARGUMENTS];
    Ringkeep__AdminArgument message[ARGUMENTS];
    Ringkeep__AdminArgument *pointer[ARGUMENTS];
    size_t count;
};

static char *borrow(const char *text)
{
    return (char *)(uintptr_t)text; /* packing does not write */
}

static enum err fill_arguments(struct shell *s, const struct shell_ask *ask, struct line *l)
{
    static const Ringkeep__AdminArgument empty = RINGKEEP__ADMIN_ARGUMENT__INIT;
    size_t known = 0;
    if (verb_arguments(ask->verb, l->name, &known) != ERR_OK || ask->argument_count > known) {
        return shell_say(s, ERR_USAGE, "%s: wrong arguments", ask->verb->name);
    }
    for (size_t i = 0; i < ask->argument_count; i++) {
        l->message[l->count] = empty;
        l->message[l->count].name = l->name[i].name;
        l->message[l->count].text = borrow(ask->argument[i]);
        l->count++;
    }
    for (size_t i = 0; i < ask->extra_count; i++) {
        l->message[l->count] = empty;
        l->message[l->count].name = borrow(ask->extra[i].name);
        l->message[l->count].text = borrow(ask->extra[i].text);
        l->message[l->count].has_data = ask->extra[i].text == NULL;
        l->message[l->count].data = client_pb_of(ask->extra[i].data.data, ask->extra[i].data.size);
        l->count++;
    }
    for (size_t i = 0; i < l->count; i++) {
        l->pointer[i] = &l->message[i];
    }
    return ERR_OK;
}

enum err admin_verb_ask(struct shell *s, const struct shell_ask *ask, struct shell_reply *r)
{
    SEALED_SCOPED x = { .count = 0 };
    struct line l = { .count = 0 };
    Ringkeep__AdminRequest request = RINGKEEP__ADMIN_REQUEST__INIT;
    TRY(fill_arguments(s, ask, &l));
    TRY(seal_all(s, ask, &x));
    request.verb = borrow(ask->verb->name);
    request.n_arguments = l.count;
    request.arguments = l.pointer;
    request.n_envelopes = x.count;
    request.envelopes = x.pointer;
    return admin_door_ask(s, &request, r);
}

enum err admin_verb_run(struct shell *s)
{
    REPLY_SCOPED r = { 0 };
    struct shell_ask ask = { 0 };
    ask.verb = s->verb;
    ask.argument = s->argument;
    ask.argument_count = s->argument_count;
    TRY(admin_verb_ask(s, &ask, &r));
    return output_reply(s, &r);
}
