/* SPDX-License-Identifier: Apache-2.0 */
/* Daemon verbs that need something around them: init pins the new core, cluster
 * create makes the domain secret, keyring create draws the keyring's id (its
 * first password is sealed for that id). */
#include <stdlib.h>
#include <string.h>

#include "base/crypt.h"
#include "base/random.h"
#include "client/shell/parts.h"

static struct shell_ask ask_of(const struct shell *s)
{
    struct shell_ask ask = { 0 };
    ask.verb = verb_admin(s->verb->name);
    ask.argument = s->argument;
    ask.argument_count = s->argument_count;
    return ask;
}

/* -- init ------------------------------------------------------------------------------- */

enum err shell_init(struct shell *s)
{
    REPLY_SCOPED r = { 0 };
    CHALLENGE_SCOPED before = { 0 };
    CHALLENGE_SCOPED after = { 0 };
    struct shell_ask ask = ask_of(s);
    ask.new_core = true;
    TRY(challenge_get(s, &before));
    TRY(admin_verb_ask(s, &ask, &r));
    TRY(challenge_get(s, &after));
    if (memcmp(before.core.ak_pub, after.core.ak_pub, 32) != 0) {
        return shell_say(s, ERR_IDENTITY, "the core's key changed while it was initialised: trust nothing here");
    }
    TRY(known_cores_replace(s, &after.core));
    return output_reply(s, &r);
}

/* -- cluster create ------------------------------------------------------------------------ */

/* Shown once: whoever has it and an invite can make a member. */
static enum err give_domain(struct shell *s, const struct shell_password *domain)
{
    const struct bytes text = bytes_of(domain->data, domain->size);
    if (s->options.domain_out != NULL) {
        BUF_SCOPED line = { 0 };
        TRY(buf_append(&line, text, LIMIT_PASSWORD + 1));
        TRY(buf_append(&line, bytes_of_text("\n"), LIMIT_PASSWORD + 1));
        return shell_file_write(s, s->options.domain_out, buf_bytes(&line), 0600, false);
    }
    (void)fprintf(s->err,
                  "Domain secret, shown this once; every further member needs it:\n\n    %.*s\n\n",
                  (int)text.size,
                  (const char *)text.data);
    return ERR_OK;
}

static enum err make_domain(struct shell *s, struct shell_password *out)
{
    char words[ENVELOPE_DOMAIN_TEXT];
    enum err e = crypt_init();
    if (e == ERR_OK) {
        e = envelope_domain_secret(words);
    }
    if (e != ERR_OK) {
        return shell_say(s, e, "no domain secret can be made: %s", err_text(e));
    }
    out->size = strlen(words);
    memcpy(out->data, words, out->size);
    bytes_wipe(words, sizeof(words));
    return ERR_OK;
}

static enum err get_domain(struct shell *s, struct shell_password *out, bool *made)
{
    *made = options_source(&s->options, "domain") == NULL;
    if (*made) {
        return make_domain(s, out);
    }
    if (s->options.domain_out != NULL) {
        return shell_say(s, ERR_USAGE, "--domain-out is for a secret that is made here");
    }
    TRY(password_get(s, "domain", "domain secret", false, out));
    if (envelope_domain_secret_check(bytes_of(out->data, out->size)) != ERR_OK) {
        return shell_say(s, ERR_PIN_LENGTH, "a domain secret has at least %u bytes", ENVELOPE_DOMAIN_SECRET_MIN);
    }
    return ERR_OK;
}

enum err shell_cluster_create(struct shell *s)
{
    REPLY_SCOPED r = { 0 };
    PASSWORD_SCOPED domain = { .size = 0 };
    struct shell_ask ask = ask_of(s);
    bool made = false;
    TRY(get_domain(s, &domain, &made));
    if (made && s->options.domain_out != NULL) {
        TRY(give_domain(s, &domain)); /* before the cluster: a full disk must not lose it */
    }
    ask.domain = &domain;
    const enum err e = admin_verb_ask(s, &ask, &r);
    if (e != ERR_OK) {
        if (made && s->options.domain_out != NULL) {
            (void)remove(s->options.domain_out);
        }
        return e;
    }
    if (made && s->options.domain_out == NULL) {
        TRY(give_domain(s, &domain));
    }
    return output_reply(s, &r);
}

/* -- keyring create -------------------------------------------------------------------------- */

enum err shell_keyring_create(struct shell *s)
{
    REPLY_SCOPED r = { 0 };
    uint8_t id[ID_SIZE];
    struct shell_ask ask = ask_of(s);
    random_fill(random_system(), id, sizeof(id));
    ask.keyring_id = id;
    ask.extra[0] = (struct shell_extra){ "keyring_id", bytes_of(id, sizeof(id)), NULL };
    ask.extra_count = 1;
    TRY(admin_verb_ask(s, &ask, &r));
    return output_reply(s, &r);
}
