/* SPDX-License-Identifier: Apache-2.0 */
/* Object management and key generation (PKCS#11 2.40, 5.7 and 5.13). */
#include "client/pkcs11/p11.h"

#include <stdlib.h>
#include <string.h>

#include "proto/template.h"

/* -- helpers ---------------------------------------------------------------- */

static bool flag_of(const CK_ATTRIBUTE *attributes,
                    CK_ULONG count,
                    CK_ATTRIBUTE_TYPE type,
                    bool other)
{
    const CK_ATTRIBUTE *a = p11_attr_find(attributes, count, type);
    return a == NULL || a->pValue == NULL || a->ulValueLen != 1 ? other
                                                                : *(const CK_BBOOL *)a->pValue != 0;
}

static CK_ULONG class_of(const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    CK_ULONG class_number = CK_UNAVAILABLE_INFORMATION;
    const CK_ATTRIBUTE *a = p11_attr_find(attributes, count, CKA_CLASS);
    if (a != NULL && a->pValue != NULL && a->ulValueLen == sizeof(class_number)) {
        memcpy(&class_number, a->pValue, sizeof(class_number));
    }
    return class_number;
}

static CK_RV write_allowed(const struct p11_session *s, bool token)
{
    if (!s->slot->logged_in) {
        return CKR_USER_NOT_LOGGED_IN;
    }
    return token && (s->flags & CKF_RW_SESSION) == 0 ? CKR_SESSION_READ_ONLY : CKR_OK;
}

/* Takes the objects that a call made: the first is the secret or private one. */
struct made {
    struct p11_session *session;
    bool token;
    CK_OBJECT_HANDLE handles[2];
    size_t count;
    CK_RV rv;
};

static bool on_made(void *arg, const struct ringkeep_object *object)
{
    struct made *m = arg;
    if (m->count == 2) {
        m->rv = CKR_DEVICE_ERROR;
        return false;
    }
    p11_lock();
    m->rv = p11_object_store(m->session->slot, object, m->token ? 0 : m->session->handle,
                             &m->handles[m->count]);
    p11_unlock();
    m->count++;
    return m->rv == CKR_OK;
}

static CK_RV made_result(const struct made *m, int error, size_t wanted)
{
    if (error != 0) {
        return rv_from_err(error);
    }
    if (m->rv != CKR_OK) {
        return m->rv;
    }
    return m->count == wanted ? CKR_OK : CKR_DEVICE_ERROR;
}

/* -- create, destroy, attributes ---------------------------------------------- */

static CK_RV create_public(struct p11_session *s,
                           const CK_ATTRIBUTE *attributes,
                           CK_ULONG count,
                           struct made *m)
{
    BUF_SCOPED tlv = { 0 };
    if (!m->token) {
        return CKR_SESSION_READ_ONLY; /* public session objects come with the full module */
    }
    CK_RV rv = p11_attr_to_tlv(attributes, count, NULL, &tlv);
    if (rv != CKR_OK) {
        return rv;
    }
    return made_result(m,
                       ringkeep_create_public(p11_client(), s->slot->info.keyring_id, tlv.data,
                                              tlv.size, on_made, m),
                       1);
}

static CK_RV import_key(struct p11_session *s,
                        const CK_ATTRIBUTE *attributes,
                        CK_ULONG count,
                        struct made *m)
{
    BUF_SCOPED tlv = { 0 };
    BUF_SCOPED material = { 0 };
    CK_RV rv = p11_attr_to_tlv(attributes, count, p11_material_attribute, &tlv);
    if (rv == CKR_OK) {
        rv = p11_material_encode(attributes, count, &material);
    }
    if (rv != CKR_OK) {
        return rv;
    }
    return made_result(m,
                       ringkeep_import(p11_client(), s->slot->info.keyring_id, tlv.data, tlv.size,
                                       material.data, material.size, m->token, on_made, m),
                       1);
}

static CK_RV create(struct p11_session *s,
                    const CK_ATTRIBUTE *attributes,
                    CK_ULONG count,
                    CK_OBJECT_HANDLE_PTR object)
{
    struct made m = { .session = s, .token = flag_of(attributes, count, CKA_TOKEN, false) };
    CK_RV rv = write_allowed(s, m.token);
    if (rv != CKR_OK) {
        return rv;
    }
    switch (class_of(attributes, count)) {
        case CKO_DATA:
        case CKO_CERTIFICATE:
        case CKO_PUBLIC_KEY: rv = create_public(s, attributes, count, &m); break;
        case CKO_PRIVATE_KEY:
        case CKO_SECRET_KEY: rv = import_key(s, attributes, count, &m); break;
        case CK_UNAVAILABLE_INFORMATION: rv = CKR_TEMPLATE_INCOMPLETE; break;
        default: rv = CKR_ATTRIBUTE_VALUE_INVALID; break;
    }
    if (rv == CKR_OK) {
        *object = m.handles[0];
    }
    return rv;
}

CK_RV p11_CreateObject(CK_SESSION_HANDLE session,
                       CK_ATTRIBUTE_PTR attributes,
                       CK_ULONG count,
                       CK_OBJECT_HANDLE_PTR object)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        rv = object == NULL || (attributes == NULL && count > 0)
                 ? CKR_ARGUMENTS_BAD
                 : create(s, attributes, count, object);
        p11_leave(s);
    }
    return rv;
}

static CK_RV destroy(struct p11_session *s, CK_OBJECT_HANDLE handle)
{
    struct p11_object o = { 0 };
    CK_RV rv = p11_object_get(s, handle, &o);
    if (rv != CKR_OK) {
        return rv;
    }
    if (o.session == 0) {
        rv = write_allowed(s, true);
        if (rv == CKR_OK) {
            rv = rv_from_err(ringkeep_destroy(p11_client(), s->slot->info.keyring_id, o.object_id));
        }
    }
    if (rv == CKR_OK || rv == CKR_OBJECT_HANDLE_INVALID) {
        p11_lock();
        p11_object_drop(s->slot, handle);
        p11_unlock();
    }
    p11_object_copy_drop(&o);
    return rv;
}

CK_RV p11_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        rv = destroy(s, object);
        p11_leave(s);
    }
    return rv;
}

CK_RV p11_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG_PTR size)
{
    CK_RV rv = CKR_OK;
    struct p11_object o = { 0 };
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    rv = size == NULL ? CKR_ARGUMENTS_BAD : p11_object_get(s, object, &o);
    if (rv == CKR_OK) {
        *size = CK_UNAVAILABLE_INFORMATION;
    }
    p11_object_copy_drop(&o);
    p11_leave(s);
    return rv;
}

static bool object_is_key(const struct p11_object *o)
{
    uint64_t class_number = 0;
    return template_get_u64(buf_bytes(&o->attributes), CKA_CLASS, &class_number) == ERR_OK &&
           (class_number == CKO_PRIVATE_KEY || class_number == CKO_SECRET_KEY);
}

/* Every attribute is filled before an error is reported; the first one counts. */
CK_RV p11_GetAttributeValue(CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE_PTR attributes,
                            CK_ULONG count)
{
    CK_RV rv = CKR_OK;
    struct p11_object o = { 0 };
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    rv = attributes == NULL && count > 0 ? CKR_ARGUMENTS_BAD : p11_object_get(s, object, &o);
    const bool is_key = rv == CKR_OK && object_is_key(&o);
    const bool found = rv == CKR_OK;
    for (CK_ULONG i = 0; found && i < count; i++) {
        CK_RV one = p11_attr_fill(buf_bytes(&o.attributes), is_key, &attributes[i]);
        rv = rv == CKR_OK ? one : rv;
    }
    p11_object_copy_drop(&o);
    p11_leave(s);
    return rv;
}

static CK_RV set_attributes(struct p11_session *s,
                            CK_OBJECT_HANDLE handle,
                            const CK_ATTRIBUTE *attributes,
                            CK_ULONG count)
{
    struct p11_object o = { 0 };
    BUF_SCOPED tlv = { 0 };
    struct made m = { .session = s, .token = true };
    CK_RV rv = p11_object_get(s, handle, &o);
    if (rv == CKR_OK) {
        rv = o.session != 0 ? CKR_ATTRIBUTE_READ_ONLY : write_allowed(s, true);
    }
    if (rv == CKR_OK) {
        rv = p11_attr_to_tlv(attributes, count, NULL, &tlv);
    }
    if (rv == CKR_OK) {
        rv = made_result(&m,
                         ringkeep_set_attributes(p11_client(), s->slot->info.keyring_id,
                                                 o.object_id, tlv.data, tlv.size, on_made, &m),
                         1);
    }
    p11_object_copy_drop(&o);
    return rv;
}

CK_RV p11_SetAttributeValue(CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE_PTR attributes,
                            CK_ULONG count)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        rv = attributes == NULL || count == 0 ? CKR_ARGUMENTS_BAD
                                              : set_attributes(s, object, attributes, count);
        p11_leave(s);
    }
    return rv;
}

/* -- search ----------------------------------------------------------------- */

static bool matches(const struct p11_object *o, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (!p11_attr_match(buf_bytes(&o->attributes), &attributes[i])) {
            return false;
        }
    }
    return true;
}

/* With the lock. */
static CK_RV collect(struct p11_session *s, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct p11_slot *slot = s->slot;
    CK_OBJECT_HANDLE *found = calloc(slot->count + 1, sizeof(*found));
    if (found == NULL) {
        return CKR_HOST_MEMORY;
    }
    s->found_count = 0;
    for (size_t i = 0; i < slot->count; i++) {
        const struct p11_object *o = &slot->objects[i];
        if ((!o->is_private || slot->logged_in) && matches(o, attributes, count)) {
            found[s->found_count++] = o->handle;
        }
    }
    free(s->found);
    s->found = found;
    s->found_next = 0;
    s->finding = true;
    return CKR_OK;
}

CK_RV p11_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attributes, CK_ULONG count)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    if (attributes == NULL && count > 0) {
        rv = CKR_ARGUMENTS_BAD;
    } else {
        rv = s->finding ? CKR_OPERATION_ACTIVE : p11_objects_refresh(s->slot);
    }
    if (rv == CKR_OK) {
        p11_lock();
        rv = collect(s, attributes, count);
        p11_unlock();
    }
    p11_leave(s);
    return rv;
}

CK_RV p11_FindObjects(CK_SESSION_HANDLE session,
                      CK_OBJECT_HANDLE_PTR objects,
                      CK_ULONG most,
                      CK_ULONG_PTR count)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    if (objects == NULL || count == NULL) {
        rv = CKR_ARGUMENTS_BAD;
    } else if (!s->finding) {
        rv = CKR_OPERATION_NOT_INITIALIZED;
    } else {
        for (*count = 0; *count < most && s->found_next < s->found_count; (*count)++) {
            objects[*count] = s->found[s->found_next++];
        }
    }
    p11_leave(s);
    return rv;
}

CK_RV p11_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        rv = s->finding ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
        s->finding = false;
        p11_leave(s);
    }
    return rv;
}

/* -- generation --------------------------------------------------------------- */

static CK_RV generate_key(struct p11_session *s,
                          CK_MECHANISM_TYPE mechanism,
                          const CK_ATTRIBUTE *attributes,
                          CK_ULONG count,
                          CK_OBJECT_HANDLE_PTR key)
{
    BUF_SCOPED tlv = { 0 };
    struct made m = { .session = s, .token = flag_of(attributes, count, CKA_TOKEN, false) };
    CK_RV rv = write_allowed(s, m.token);
    if (rv == CKR_OK) {
        rv = p11_attr_to_tlv(attributes, count, NULL, &tlv);
    }
    if (rv == CKR_OK) {
        rv = made_result(&m,
                         ringkeep_generate(p11_client(), s->slot->info.keyring_id, mechanism,
                                           tlv.data, tlv.size, NULL, 0, m.token, on_made, &m),
                         1);
    }
    if (rv == CKR_OK) {
        *key = m.handles[0];
    }
    return rv;
}

CK_RV p11_GenerateKey(CK_SESSION_HANDLE session,
                      CK_MECHANISM_PTR mechanism,
                      CK_ATTRIBUTE_PTR attributes,
                      CK_ULONG count,
                      CK_OBJECT_HANDLE_PTR key)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        rv = mechanism == NULL || key == NULL || (attributes == NULL && count > 0)
                 ? CKR_ARGUMENTS_BAD
                 : generate_key(s, mechanism->mechanism, attributes, count, key);
        p11_leave(s);
    }
    return rv;
}

struct pair_template {
    const CK_ATTRIBUTE *attributes;
    CK_ULONG count;
};

static CK_RV generate_pair(struct p11_session *s,
                           CK_MECHANISM_TYPE mechanism,
                           struct pair_template public_one,
                           struct pair_template private_one,
                           CK_OBJECT_HANDLE *handles)
{
    BUF_SCOPED public_tlv = { 0 };
    BUF_SCOPED private_tlv = { 0 };
    const bool token = flag_of(private_one.attributes, private_one.count, CKA_TOKEN, false);
    struct made m = { .session = s, .token = token };
    CK_RV rv = write_allowed(s, token);
    if (rv == CKR_OK &&
        flag_of(public_one.attributes, public_one.count, CKA_TOKEN, token) != token) {
        rv = CKR_TEMPLATE_INCONSISTENT; /* both stored or both of the session */
    }
    if (rv == CKR_OK) {
        rv = p11_attr_to_tlv(public_one.attributes, public_one.count, NULL, &public_tlv);
    }
    if (rv == CKR_OK) {
        rv = p11_attr_to_tlv(private_one.attributes, private_one.count, NULL, &private_tlv);
    }
    if (rv == CKR_OK) {
        rv = made_result(&m,
                         ringkeep_generate(p11_client(), s->slot->info.keyring_id, mechanism,
                                           private_tlv.data, private_tlv.size, public_tlv.data,
                                           public_tlv.size, token, on_made, &m),
                         2);
    }
    if (rv == CKR_OK) {
        handles[0] = m.handles[0];
        handles[1] = m.handles[1];
    }
    return rv;
}

CK_RV p11_GenerateKeyPair(CK_SESSION_HANDLE session,
                          CK_MECHANISM_PTR mechanism,
                          CK_ATTRIBUTE_PTR public_attributes,
                          CK_ULONG public_count,
                          CK_ATTRIBUTE_PTR private_attributes,
                          CK_ULONG private_count,
                          CK_OBJECT_HANDLE_PTR public_key,
                          CK_OBJECT_HANDLE_PTR private_key)
{
    CK_RV rv = CKR_OK;
    CK_OBJECT_HANDLE handles[2] = { 0, 0 };
    const struct pair_template public_one = { public_attributes, public_count };
    const struct pair_template private_one = { private_attributes, private_count };
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    if (mechanism == NULL || public_key == NULL || private_key == NULL ||
        (public_attributes == NULL && public_count > 0) ||
        (private_attributes == NULL && private_count > 0)) {
        rv = CKR_ARGUMENTS_BAD;
    } else {
        rv = generate_pair(s, mechanism->mechanism, public_one, private_one, handles);
    }
    if (rv == CKR_OK) {
        *private_key = handles[0];
        *public_key = handles[1];
    }
    p11_leave(s);
    return rv;
}
