/* SPDX-License-Identifier: Apache-2.0 */
/* libringkeep: keyrings of a Ringkeep cluster from C.
 *
 * One ringkeep_client is a connection to one cluster as one registered client.
 * Safe from many threads; starts none of its own. After fork the child must not
 * use the parent's client: ringkeep_forked() drops its sockets without writing.
 *
 * Every call chooses the live member with the fewest requests outstanding, and
 * goes once through all members, at most 20 s in all (LIMIT_CALL_MS), before it
 * fails. Writes carry a request id and are executed at most once. A login keeps a
 * ticket, never a password; another member is shown the ticket.
 *
 * Passwords are wiped from the library's memory when the call ends; the caller's
 * copy is the caller's. Errors are enum err numbers (ringkeep_error_text). */
#ifndef RINGKEEP_H
#define RINGKEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGKEEP_API __attribute__((visibility("default")))

struct ringkeep_client;

/* Role numbers of a keyring. */
#define RINGKEEP_ROLE_KRSO 5u
#define RINGKEEP_ROLE_KRCO 6u

struct ringkeep_slot {
    uint64_t slot;          /* stable number of this keyring for this client */
    uint8_t keyring_id[16];
    char label[33];
    bool active;            /* its first password has been changed */
    bool strict;
};

struct ringkeep_object {
    uint8_t object_id[16];
    uint64_t handle;        /* stable, replicated; 0 for a session object */
    bool is_private;
    const uint8_t *attributes; /* TLV list: u32 type, u32 length, value; little-endian */
    size_t attributes_size;
    const uint8_t *blob;    /* session objects: sealed, hold it while you need the key */
    size_t blob_size;
};

/* A key for an operation: by id (blob NULL), or a session object's blob. */
struct ringkeep_key {
    const uint8_t *object_id; /* 16 bytes */
    const uint8_t *blob;
    size_t blob_size;
};

enum ringkeep_operation { RINGKEEP_SIGN, RINGKEEP_VERIFY, RINGKEEP_ENCRYPT, RINGKEEP_DECRYPT };

/* path NULL: RINGKEEP_CONF, then ~/.config/ringkeep/client.conf, then
 * /etc/ringkeep/client.conf (the variable is ignored under AT_SECURE). Connects
 * nowhere yet. On failure *text (static, thread-local) says why. */
RINGKEEP_API int ringkeep_open(const char *path, struct ringkeep_client **out, const char **text);
RINGKEEP_API void ringkeep_close(struct ringkeep_client *c); /* ends sessions, wipes tickets */
RINGKEEP_API void ringkeep_forked(struct ringkeep_client *c); /* in the child: frees without a byte sent */
RINGKEEP_API const char *ringkeep_error_text(int error);

/* Fills up to capacity, *count is the whole number. */
RINGKEEP_API int ringkeep_slots(struct ringkeep_client *c, struct ringkeep_slot *out, size_t capacity, size_t *count);

RINGKEEP_API int ringkeep_login(struct ringkeep_client *c, const uint8_t keyring_id[16], unsigned role, const void *password, size_t size);
RINGKEEP_API int ringkeep_logout(struct ringkeep_client *c, const uint8_t keyring_id[16]);
RINGKEEP_API int ringkeep_change_password(struct ringkeep_client *c, const uint8_t keyring_id[16], unsigned role, const void *old_password, size_t old_size, const void *new_password, size_t new_size);
/* True while a ticket for the keyring is held and not expired. */
RINGKEEP_API bool ringkeep_logged_in(struct ringkeep_client *c, const uint8_t keyring_id[16]);

/* Calls cb for every object of the keyring that this client may see (public ones
 * without login); from a cache that is renewed when the keyring changed. cb runs
 * without locks held and may call other functions; what it gets is valid during the
 * call. Return false to stop. */
typedef bool (*ringkeep_object_cb)(void *arg, const struct ringkeep_object *object);
RINGKEEP_API int ringkeep_find(struct ringkeep_client *c, const uint8_t keyring_id[16], ringkeep_object_cb cb, void *arg);

/* Templates are TLV lists as above (proto/template.h). token=false makes session
 * objects: their blobs come to cb. cb is called for each object made (the public
 * one of a pair last). */
RINGKEEP_API int ringkeep_generate(struct ringkeep_client *c, const uint8_t keyring_id[16], uint64_t mechanism, const void *template_tlv, size_t template_size, const void *public_template_tlv, size_t public_template_size, bool token, ringkeep_object_cb cb, void *arg);
/* material: as in crypto-spec section 2 (RSA: n e d p q dp dq qi; EC: private, point;
 * secret: the bytes). Sealed to a core in this process: no daemon sees it. */
RINGKEEP_API int ringkeep_import(struct ringkeep_client *c, const uint8_t keyring_id[16], const void *template_tlv, size_t template_size, const void *material, size_t material_size, bool token, ringkeep_object_cb cb, void *arg);
/* Certificates, public keys, data: stored without secrecy. */
RINGKEEP_API int ringkeep_create_public(struct ringkeep_client *c, const uint8_t keyring_id[16], const void *template_tlv, size_t template_size, ringkeep_object_cb cb, void *arg);
RINGKEEP_API int ringkeep_set_attributes(struct ringkeep_client *c, const uint8_t keyring_id[16], const uint8_t object_id[16], const void *template_tlv, size_t template_size, ringkeep_object_cb cb, void *arg);
RINGKEEP_API int ringkeep_destroy(struct ringkeep_client *c, const uint8_t keyring_id[16], const uint8_t object_id[16]);

/* parameter: proto/mechanism.h layout. out receives up to *out_size bytes; on
 * ERR_TOO_LARGE *out_size says how many are needed. VERIFY takes signature, gives
 * nothing back. */
RINGKEEP_API int ringkeep_operate(struct ringkeep_client *c, const uint8_t keyring_id[16], enum ringkeep_operation operation, const struct ringkeep_key *key, uint64_t mechanism, const void *parameter, size_t parameter_size, const void *data, size_t data_size, const void *signature, size_t signature_size, void *out, size_t *out_size);
RINGKEEP_API int ringkeep_random(struct ringkeep_client *c, void *out, size_t size);

struct ringkeep_counters {
    uint64_t calls, retries, failovers, connections;
};
RINGKEEP_API void ringkeep_counters(struct ringkeep_client *c, struct ringkeep_counters *out);

#ifdef __cplusplus
}
#endif
#endif
