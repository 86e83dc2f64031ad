/* SPDX-License-Identifier: Apache-2.0 */
/* The PKCS#11 module's own state: one client of one cluster, its slots, their
 * objects, the sessions. Slots are keyrings assigned to the client.
 *
 * One mutex guards everything here and is never held over the network. A call
 * that works on a session takes it (p11_enter) and gives it back (p11_leave);
 * meanwhile other calls on that session are refused with CKR_OPERATION_ACTIVE.
 * After fork the child's state counts as not initialised (the socket and the TLS
 * state are the parent's). The module starts no thread. */
#ifndef RINGKEEP_CLIENT_PKCS11_P11_H
#define RINGKEEP_CLIENT_PKCS11_P11_H

#include <p11-kit/pkcs11.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "client/ringkeep.h"

#define P11_SESSION_OBJECT (1ull << 63) /* handles of session objects have this bit */
#define P11_SESSIONS 65536u
#define P11_SLOTS LIMIT_ASSIGNMENTS_PER_CLIENT

struct p11_object {
    CK_OBJECT_HANDLE handle;
    uint8_t object_id[ID_SIZE];
    bool is_private;
    bool seen;                 /* mark of the refresh under way */
    CK_SESSION_HANDLE session; /* of a session object, else 0 */
    struct buf attributes;     /* TLV */
    struct buf blob;           /* session object that is a key */
};

struct p11_slot {
    struct ringkeep_slot info;
    bool logged_in;
    CK_USER_TYPE user;
    struct p11_object *objects; /* ascending handles */
    size_t count, capacity;
    bool loaded;
    unsigned sessions, rw_sessions;
};

enum p11_operation { P11_NONE, P11_SIGN, P11_VERIFY, P11_ENCRYPT, P11_DECRYPT };

/* An operation between Init and the call that ends it. Data of multi-part calls is
 * collected up to LIMIT_DATA and sent as one. */
struct p11_work {
    enum p11_operation kind;
    CK_MECHANISM_TYPE mechanism;
    struct buf parameter; /* wire layout */
    uint8_t object_id[ID_SIZE];
    struct buf blob;
    size_t output; /* size of the result where it is known before, else 0 */
    bool parts;    /* Update was called */
    struct buf data;
    struct buf result; /* kept when the caller's buffer was too small */
    bool finished;
};

struct p11_session {
    CK_SESSION_HANDLE handle;
    struct p11_slot *slot;
    CK_FLAGS flags;
    bool busy;
    bool finding;
    CK_OBJECT_HANDLE *found;
    size_t found_count, found_next;
    struct p11_work work[5]; /* by enum p11_operation */
    struct p11_session *next;
};

/* The client; NULL before C_Initialize and in a forked child. */
struct ringkeep_client *p11_client(void);
CK_RV p11_start(void);
CK_RV p11_stop(void);
bool p11_running(void);

void p11_lock(void);
void p11_unlock(void);
/* With the lock: the slots, asked of the cluster where none are known yet. */
CK_RV p11_refresh_slots(void);
size_t p11_slot_count(void);
struct p11_slot *p11_slot_at(size_t index);
struct p11_slot *p11_slot_find(CK_SLOT_ID id);

CK_RV p11_session_open(struct p11_slot *slot, CK_FLAGS flags, CK_SESSION_HANDLE *out);
CK_RV p11_session_close(CK_SESSION_HANDLE handle);
CK_RV p11_session_close_all(CK_SLOT_ID id);
/* Takes the session for one call; NULL and *rv on failure. */
struct p11_session *p11_enter(CK_SESSION_HANDLE handle, CK_RV *rv);
void p11_leave(struct p11_session *s);

/* Objects, with the lock. */
struct p11_object *p11_object_find(struct p11_slot *slot, CK_OBJECT_HANDLE handle);
CK_RV p11_object_store(struct p11_slot *slot,
                       const struct ringkeep_object *object,
                       CK_SESSION_HANDLE session,
                       CK_OBJECT_HANDLE *handle);
void p11_object_drop(struct p11_slot *slot, CK_OBJECT_HANDLE handle);
void p11_objects_clear(struct p11_slot *slot, bool private_only);
void p11_objects_end_session(struct p11_slot *slot, CK_SESSION_HANDLE session);
/* Without the lock: asks the cluster for the slot's objects. */
CK_RV p11_objects_refresh(struct p11_slot *slot);
/* Without the lock: copies the object's attributes (and blob, id). Refreshes once
 * where the handle is not known. */
CK_RV p11_object_get(struct p11_session *s, CK_OBJECT_HANDLE handle, struct p11_object *copy);
void p11_object_copy_drop(struct p11_object *copy);

void p11_work_reset(struct p11_work *w);

/* rv.c: the only place that knows CKR_ and enum err. */
CK_RV rv_from_err(int error);

/* p11_attr.c */
/* CK_ATTRIBUTE array to TLV. CKR_TEMPLATE_INCONSISTENT, CKR_ATTRIBUTE_VALUE_INVALID,
 * CKR_ATTRIBUTE_TYPE_INVALID. Attributes for which `skip` says true stay out. */
typedef bool (*p11_skip_cb)(CK_ATTRIBUTE_TYPE type);
CK_RV p11_attr_to_tlv(const CK_ATTRIBUTE *attributes,
                      CK_ULONG count,
                      p11_skip_cb skip,
                      struct buf *out);
/* Fills one caller's attribute from TLV; sets ulValueLen as the standard says. */
CK_RV p11_attr_fill(struct bytes tlv, bool is_key, CK_ATTRIBUTE *attribute);
bool p11_attr_match(struct bytes tlv, const CK_ATTRIBUTE *attribute);
const CK_ATTRIBUTE *p11_attr_find(const CK_ATTRIBUTE *attributes,
                                  CK_ULONG count,
                                  CK_ATTRIBUTE_TYPE type);
/* p11_param.c: the caller's mechanism parameter to the wire layout. */
CK_RV p11_param_encode(const CK_MECHANISM *mechanism, struct buf *out);
/* p11_material.c: key material of a C_CreateObject template, crypto-spec section 2. */
CK_RV p11_material_encode(const CK_ATTRIBUTE *attributes, CK_ULONG count, struct buf *out);
bool p11_material_attribute(CK_ATTRIBUTE_TYPE type);

/* The functions of the list, by subject; signatures are the standard's. */
#include "client/pkcs11/p11_functions.h"

#endif
