/* SPDX-License-Identifier: Apache-2.0 */
/* The parts below the verbs: passwords, the admin door, known cores, envelopes,
 * and what is shown. */
#ifndef RINGKEEP_SHELL_PARTS_H
#define RINGKEEP_SHELL_PARTS_H

#include "client/shell/shell.h"
#include "proto/envelope.h"

struct Ringkeep__AdminRequest;
struct Ringkeep__AdminReply;
struct Ringkeep__AdminField;
struct message_arena;

/* -- passwords (password.c) ------------------------------------------------------- */
struct shell_password {
    uint8_t data[LIMIT_PASSWORD + 2];
    size_t size;
};
void password_wipe(struct shell_password *p);
#define PASSWORD_SCOPED __attribute__((cleanup(password_wipe))) struct shell_password
/* From --PURPOSE-pin-file, --PURPOSE-pin-fd or the terminal; twice there if it is
 * new. `what` is for people: "HSM SO password". */
enum err password_get(struct shell *s, const char *purpose, const char *what, bool is_new, struct shell_password *out)
    MUST_USE;
/* The rules for a file: regular, nobody but its owner may read it, and the owner
 * is the caller or root. One trailing newline is dropped. */
enum err password_read_file(struct shell *s, const char *path, struct shell_password *out) MUST_USE;
/* "HSM SO password", .. of a login of admin.def. */
const char *password_name(const struct verb_login *login);

/* -- the admin door (admin_door.c) --------------------------------------------------- */
struct shell_reply {
    struct message_arena *arena;
    struct Ringkeep__AdminReply *reply;
};
void shell_reply_drop(struct shell_reply *r);
#define REPLY_SCOPED __attribute__((cleanup(shell_reply_drop))) struct shell_reply
const char *admin_door_path(const struct shell *s);
/* Connects, asks, closes. The result is the reply's error; what the member says
 * about it goes to stderr. r must be {0} or is dropped. */
enum err admin_door_ask(struct shell *s, const struct Ringkeep__AdminRequest *request, struct shell_reply *r)
    MUST_USE;
/* NULL: no such field. */
const struct Ringkeep__AdminField *admin_door_field(const struct shell_reply *r, const char *name);
/* A bytes field of exactly size bytes; ERR_PROTOCOL with words. */
enum err admin_door_bytes(struct shell *s, const struct shell_reply *r, const char *name, uint8_t *out, size_t size)
    MUST_USE;

/* -- cores (known_cores.c) ----------------------------------------------------------- */
/* One line a member: its socket, core id, ID and AK in hex. */
struct known_core {
    uint8_t core_id[ID_SIZE], id_pub[32], ak_pub[32];
};
/* Is this the core that the socket had before? Unknown: kept, with a note.
 * ERR_IDENTITY with words. */
enum err known_cores_check(struct shell *s, const struct known_core *core) MUST_USE;
/* After init: what was known of this socket is replaced. */
enum err known_cores_replace(struct shell *s, const struct known_core *core) MUST_USE;
/* Finds by core id anywhere in the file. */
bool known_cores_has(const struct shell *s, const uint8_t core_id[ID_SIZE], uint8_t id_pub[32]);

/* -- envelopes (challenge.c) ----------------------------------------------------------- */
struct shell_challenge {
    struct known_core core;
    uint8_t challenge[ID_SIZE];
    uint8_t cluster_id[ID_SIZE]; /* zero: no cluster yet */
    struct buf login_key, identities;
};
void shell_challenge_drop(struct shell_challenge *c);
#define CHALLENGE_SCOPED __attribute__((cleanup(shell_challenge_drop))) struct shell_challenge
enum err challenge_get(struct shell *s, struct shell_challenge *out) MUST_USE;
/* LK, as the pinned core or another one known here has signed it. */
enum err challenge_login_key(struct shell *s, const struct shell_challenge *c, uint8_t out[32]) MUST_USE;
/* Seals one password of a verb. keyring_id: where role is of a keyring. */
enum err challenge_seal(struct shell *s,
                        const struct shell_challenge *c,
                        const struct verb_login *login,
                        const struct shell_password *p,
                        const uint8_t ts[ENVELOPE_TS],
                        const uint8_t *keyring_id,
                        uint8_t out[ENVELOPE_PIN]) MUST_USE;

/* -- a verb of the daemon (admin_verb.c) ------------------------------------------------ */
struct shell_extra {
    const char *name; /* of an argument beside those of the line */
    struct bytes data;
    const char *text; /* instead of data */
};
struct shell_ask {
    const struct shell_verb *verb;
    const char *const *argument; /* texts in the order of the help */
    size_t argument_count;
    struct shell_extra extra[2];
    size_t extra_count;
    const uint8_t *keyring_id;               /* for logins of a keyring role */
    const struct shell_password *domain;     /* where it is made, not asked for */
    bool new_core;                           /* init: the core is not pinned before */
};
/* Collects the passwords, seals each to the core, asks. */
enum err admin_verb_ask(struct shell *s, const struct shell_ask *ask, struct shell_reply *r) MUST_USE;
/* The verb as it stands, and its reply shown. */
enum err admin_verb_run(struct shell *s) MUST_USE;

/* -- output (output.c) -------------------------------------------------------------------- */
enum err output_reply(struct shell *s, const struct shell_reply *r) MUST_USE;
/* With --json where nothing else was printed: {"ok":false,...}. */
void output_failure(struct shell *s, enum err e);
struct json_t;
/* Prints and drops it. */
void output_json(struct shell *s, struct json_t *object);
/* A table: cells row by row, NULL for none; the first row is the head. */
void output_table(struct shell *s, const char *const *cells, size_t columns, size_t rows);
/* Control characters replaced; in place. */
void output_clean(char *text);

/* -- the client library for the shell (client_use.c) ------------------------------------------ */
struct ringkeep_client;
struct ringkeep_slot;
enum err client_use_open(struct shell *s, struct ringkeep_client **out) MUST_USE;
void client_use_close(struct ringkeep_client **c);
#define CLIENT_SCOPED __attribute__((cleanup(client_use_close))) struct ringkeep_client
/* By label or id in hex. */
enum err client_use_keyring(struct shell *s, struct ringkeep_client *c, const char *name, uint8_t id[ID_SIZE])
    MUST_USE;
enum err client_use_login(struct shell *s, struct ringkeep_client *c, const uint8_t id[ID_SIZE]) MUST_USE;
/* shell_say with the library's text. */
enum err client_use_fail(struct shell *s, enum err e, const char *what);

/* -- files (shell_file.c) ---------------------------------------------------------------------- */
enum err shell_file_read(struct shell *s, const char *path, size_t limit, struct buf *out) MUST_USE;
/* A new file or, with replace, all or nothing. */
enum err shell_file_write(struct shell *s, const char *path, struct bytes content, unsigned mode, bool replace)
    MUST_USE;
enum err shell_file_folder(struct shell *s, const char *path) MUST_USE; /* makes it, 0700 */

#endif
