/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs: the local ones, then every row of appliance/admin.def. */
#include <stdlib.h>
#include <string.h>

#include "client/shell/shell.h"

static const struct shell_verb local_verbs[] = {
#define LOCAL(verb, handler, logins, help) { (verb), (logins), (help), handler },
#include "client/shell/local.def"
#undef LOCAL
};

static const struct shell_verb admin_verbs[] = {
#define ADMIN(verb, handler, state, logins, help) { (verb), (logins), (help), NULL },
#include "appliance/admin.def"
#undef ADMIN
};

#define LOCAL_COUNT (sizeof(local_verbs) / sizeof(local_verbs[0]))
#define ADMIN_COUNT (sizeof(admin_verbs) / sizeof(admin_verbs[0]))

const struct shell_verb *verb_at(size_t n)
{
    if (n < LOCAL_COUNT) {
        return &local_verbs[n];
    }
    return n - LOCAL_COUNT < ADMIN_COUNT ? &admin_verbs[n - LOCAL_COUNT] : NULL;
}

const struct shell_verb *verb_admin(const char *name)
{
    for (size_t i = 0; i < ADMIN_COUNT; i++) {
        if (strcmp(admin_verbs[i].name, name) == 0) {
            return &admin_verbs[i];
        }
    }
    return NULL;
}

/* How many words of the line the name takes, 0: another verb. */
static size_t matches(const char *name, const char *const *words, size_t count)
{
    const char *blank = strchr(name, ' ');
    if (blank == NULL) {
        return count >= 1 && strcmp(name, words[0]) == 0 ? 1 : 0;
    }
    const size_t first = (size_t)(blank - name);
    const bool both = count >= 2 && strlen(words[0]) == first && memcmp(name, words[0], first) == 0 &&
                      strcmp(blank + 1, words[1]) == 0;
    return both ? 2 : 0;
}

const struct shell_verb *verb_find(const char *const *words, size_t count, size_t *used)
{
    const struct shell_verb *best = NULL;
    *used = 0;
    for (size_t n = 0; verb_at(n) != NULL; n++) {
        const size_t taken = matches(verb_at(n)->name, words, count);
        if (taken > *used) {
            best = verb_at(n);
            *used = taken;
        }
    }
    return best;
}

/* "purpose:role:act" of size bytes. */
static enum err parse_login(const char *text, size_t size, struct verb_login *out)
{
    char copy[64];
    char *role = NULL, *act = NULL;
    if (size >= sizeof(copy)) {
        return ERR_MALFORMED;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    role = strchr(copy, ':');
    act = role == NULL ? NULL : strchr(role + 1, ':');
    if (act == NULL || role == copy || (size_t)(role - copy) >= SHELL_PURPOSE) {
        return ERR_MALFORMED;
    }
    *role++ = '\0';
    *act++ = '\0';
    if (strlen(role) != 1 || role[0] < '0' || role[0] > '8') {
        return ERR_MALFORMED;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->purpose, copy, strlen(copy) + 1);
    out->role = (unsigned)(role[0] - '0');
    out->set = strcmp(act, "set") == 0;
    return out->set || strcmp(act, "login") == 0 ? ERR_OK : ERR_MALFORMED;
}

enum err verb_logins(const struct shell_verb *v, struct verb_login out[SHELL_LOGINS], size_t *count)
{
    const char *at = v->logins;
    *count = 0;
    while (*at != '\0') {
        const size_t size = strcspn(at, " ");
        if (*count == SHELL_LOGINS) {
            return ERR_MALFORMED;
        }
        TRY(parse_login(at, size, &out[*count]));
        (*count)++;
        at += size;
        at += strspn(at, " ");
    }
    return ERR_OK;
}

static enum err take_name(const char *at, char end, struct verb_argument *out, size_t *size)
{
    const char *stop = strchr(at, end);
    *size = stop == NULL ? 0 : (size_t)(stop - at);
    if (*size == 0 || *size >= sizeof(out->name)) {
        return ERR_MALFORMED;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->name, at, *size);
    out->optional = end == ']';
    return ERR_OK;
}

enum err verb_arguments(const struct shell_verb *v, struct verb_argument out[SHELL_ARGUMENTS], size_t *count)
{
    const char *at = strpbrk(v->help, "<[");
    *count = 0;
    while (at != NULL) {
        size_t size = 0;
        if (*count == SHELL_ARGUMENTS) {
            return ERR_MALFORMED;
        }
        TRY(take_name(at + 1, *at == '<' ? '>' : ']', &out[*count], &size));
        (*count)++;
        at = strpbrk(at + size + 2, "<[");
    }
    return ERR_OK;
}
