/* SPDX-License-Identifier: Apache-2.0 */
/* Sign, verify, encrypt, decrypt (PKCS#11 2.40, 5.8 to 5.12). One machine serves
 * all four: Init takes the key, Update collects, the last call sends one request.
 * A length query and CKR_BUFFER_TOO_SMALL keep the operation; any other outcome
 * ends it. Nothing of a decryption is given before the core has checked the tag. */
#include "client/pkcs11/p11.h"

#include <string.h>

#include "proto/mechanism.h"
#include "proto/template.h"

#define GCM_TAG 16u
#define BLOCK 16u

static const struct {
    CK_FLAGS flag;      /* that the mechanism's row must have */
    uint32_t attribute; /* that the key must have */
    enum ringkeep_operation operation;
} kinds[] = {
    [P11_SIGN] = { CKF_SIGN, CKA_SIGN, RINGKEEP_SIGN },
    [P11_VERIFY] = { CKF_VERIFY, CKA_VERIFY, RINGKEEP_VERIFY },
    [P11_ENCRYPT] = { CKF_ENCRYPT, CKA_ENCRYPT, RINGKEEP_ENCRYPT },
    [P11_DECRYPT] = { CKF_DECRYPT, CKA_DECRYPT, RINGKEEP_DECRYPT },
};

void p11_work_reset(struct p11_work *w)
{
    buf_drop(&w->parameter);
    buf_drop(&w->blob);
    buf_drop(&w->data);
    buf_drop(&w->result);
    memset(w, 0, sizeof(*w));
}

/* Size of an RSA or EC result, from the key's own attributes; 0: not of that kind. */
static size_t known_output(struct bytes attributes)
{
    uint64_t type = 0;
    struct bytes value = { 0 };
    if (template_get_u64(attributes, CKA_KEY_TYPE, &type) != ERR_OK) {
        return 0;
    }
    if (type == CKK_RSA && template_get(attributes, CKA_MODULUS, &value) == ERR_OK) {
        return value.size;
    }
    if (type == CKK_EC && template_get(attributes, CKA_EC_POINT, &value) == ERR_OK &&
        value.size > 3) {
        /* OCTET STRING of 04||X||Y: one length byte below 128, two from there on. */
        return value.size - (value.data[1] < 0x80 ? 3u : 4u);
    }
    return 0;
}

static CK_RV begin(struct p11_session *s,
                   enum p11_operation kind,
                   const CK_MECHANISM *mechanism,
                   CK_OBJECT_HANDLE key)
{
    struct p11_work *w = &s->work[kind];
    struct p11_object o = { 0 };
    bool allowed = false;
    const struct mechanism_row *row = mechanism_find(mechanism->mechanism);
    if (row == NULL || (row->flags & kinds[kind].flag) == 0) {
        return CKR_MECHANISM_INVALID;
    }
    CK_RV rv = p11_object_get(s, key, &o);
    if (rv != CKR_OK) {
        return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_KEY_HANDLE_INVALID : rv;
    }
    if (template_get_bool(buf_bytes(&o.attributes), kinds[kind].attribute, &allowed) != ERR_OK ||
        !allowed) {
        p11_object_copy_drop(&o);
        return CKR_KEY_FUNCTION_NOT_PERMITTED; /* the core would say the same */
    }
    p11_work_reset(w);
    rv = p11_param_encode(mechanism, &w->parameter);
    if (rv == CKR_OK) {
        w->kind = kind;
        w->mechanism = mechanism->mechanism;
        w->output = known_output(buf_bytes(&o.attributes));
        memcpy(w->object_id, o.object_id, ID_SIZE);
        w->blob = o.blob;
        memset(&o.blob, 0, sizeof(o.blob));
    }
    p11_object_copy_drop(&o);
    return rv;
}

static CK_RV init(CK_SESSION_HANDLE session,
                  enum p11_operation kind,
                  const CK_MECHANISM *mechanism,
                  CK_OBJECT_HANDLE key)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    if (mechanism == NULL) {
        rv = CKR_ARGUMENTS_BAD;
    } else {
        rv = s->work[kind].kind != P11_NONE ? CKR_OPERATION_ACTIVE : begin(s, kind, mechanism, key);
    }
    p11_leave(s);
    return rv;
}

/* Largest size of the result for `size` bytes of input. */
static size_t output_bound(const struct p11_work *w, size_t size)
{
    if (w->output > 0) {
        return w->output;
    }
    if (w->kind == P11_ENCRYPT && w->mechanism == CKM_AES_GCM) {
        return size + GCM_TAG;
    }
    if (w->kind == P11_ENCRYPT && w->mechanism == CKM_AES_CBC_PAD) {
        return (size / BLOCK + 1) * BLOCK;
    }
    return size;
}

static CK_RV send(struct p11_session *s,
                  struct p11_work *w,
                  struct bytes data,
                  struct bytes signature)
{
    const struct ringkeep_key key = { w->object_id, w->blob.size > 0 ? w->blob.data : NULL,
                                      w->blob.size };
    size_t room = output_bound(w, data.size);
    uint8_t *out = NULL;
    if (data.size > LIMIT_DATA) {
        return CKR_DATA_LEN_RANGE;
    }
    buf_clear(&w->result);
    if (buf_reserve(&w->result, room + 1, LIMIT_FRAME_CLIENT, &out) != ERR_OK) {
        return CKR_HOST_MEMORY;
    }
    const int error =
        ringkeep_operate(p11_client(), s->slot->info.keyring_id, kinds[w->kind].operation, &key,
                         w->mechanism, w->parameter.data, w->parameter.size, data.data, data.size,
                         signature.data, signature.size, out, &room);
    if (error == (int)ERR_LOGIN_REQUIRED) {
        p11_lock();
        s->slot->logged_in = false;
        p11_unlock();
    }
    if (error == (int)ERR_NOTFOUND) {
        return CKR_KEY_HANDLE_INVALID;
    }
    if (error == (int)ERR_DATA_INVALID && w->kind == P11_DECRYPT) {
        return CKR_ENCRYPTED_DATA_INVALID;
    }
    if (error == (int)ERR_DATA_LENGTH && w->kind == P11_DECRYPT) {
        return CKR_ENCRYPTED_DATA_LEN_RANGE;
    }
    if (error == 0) {
        w->result.size = w->kind == P11_VERIFY ? 0 : room;
    }
    return rv_from_err(error);
}

/* Gives the result out: *keep says that the operation goes on. */
static CK_RV deliver(struct p11_work *w, CK_BYTE_PTR out, CK_ULONG_PTR out_size, bool *keep)
{
    if (*out_size < w->result.size) {
        *out_size = w->result.size;
        *keep = true;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (w->result.size > 0) {
        memcpy(out, w->result.data, w->result.size);
    }
    *out_size = w->result.size;
    return CKR_OK;
}

/* The end of sign, encrypt and decrypt, single part or Final. Where the size is
 * known before, a short buffer costs no request. A decryption or an operation whose
 * result was too large is done once and its result kept. */
static CK_RV finish(struct p11_session *s,
                    struct p11_work *w,
                    struct bytes data,
                    CK_BYTE_PTR out,
                    CK_ULONG_PTR out_size,
                    bool *keep)
{
    const size_t bound = output_bound(w, data.size);
    const bool exact = w->kind != P11_DECRYPT;
    if (out == NULL) {
        *out_size = w->finished ? w->result.size : bound;
        *keep = true;
        return CKR_OK;
    }
    if (exact && !w->finished && *out_size < bound) {
        *out_size = bound;
        *keep = true;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (!w->finished) {
        CK_RV rv = send(s, w, data, bytes_of(NULL, 0));
        if (rv != CKR_OK) {
            return rv;
        }
        w->finished = true;
    }
    return deliver(w, out, out_size, keep);
}

static CK_RV end(CK_SESSION_HANDLE session,
                 enum p11_operation kind,
                 bool single,
                 struct bytes data,
                 CK_BYTE_PTR out,
                 CK_ULONG_PTR out_size)
{
    CK_RV rv = CKR_OK;
    bool keep = false;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    struct p11_work *w = &s->work[kind];
    if (w->kind == P11_NONE) {
        p11_leave(s);
        return CKR_OPERATION_NOT_INITIALIZED;
    }
    if (out_size == NULL || (data.data == NULL && data.size > 0)) {
        rv = CKR_ARGUMENTS_BAD;
    } else if (single && w->parts) {
        rv = CKR_OPERATION_ACTIVE;
        keep = true;
    } else {
        rv = finish(s, w, single ? data : buf_bytes(&w->data), out, out_size, &keep);
    }
    if (!keep) {
        p11_work_reset(w);
    }
    p11_leave(s);
    return rv;
}

static CK_RV verify_end(CK_SESSION_HANDLE session,
                        bool single,
                        struct bytes data,
                        struct bytes signature)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    struct p11_work *w = &s->work[P11_VERIFY];
    if (w->kind == P11_NONE) {
        rv = CKR_OPERATION_NOT_INITIALIZED;
    } else if (signature.data == NULL || (data.data == NULL && data.size > 0)) {
        rv = CKR_ARGUMENTS_BAD;
    } else if (w->output > 0 && signature.size != w->output) {
        rv = CKR_SIGNATURE_LEN_RANGE;
    } else {
        rv = send(s, w, single ? data : buf_bytes(&w->data), signature);
    }
    p11_work_reset(w);
    p11_leave(s);
    return rv;
}

/* Collects; gives nothing out before the end. */
static CK_RV update(CK_SESSION_HANDLE session,
                    enum p11_operation kind,
                    const CK_BYTE *data,
                    CK_ULONG size,
                    CK_ULONG_PTR out_size)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    struct p11_work *w = &s->work[kind];
    if (w->kind == P11_NONE) {
        rv = CKR_OPERATION_NOT_INITIALIZED;
    } else if (data == NULL && size > 0) {
        rv = CKR_ARGUMENTS_BAD;
    } else if (buf_append(&w->data, bytes_of(data, size), LIMIT_DATA) != ERR_OK) {
        rv = CKR_DATA_LEN_RANGE;
    } else {
        w->parts = true;
    }
    if (rv != CKR_OK) {
        p11_work_reset(w);
    } else if (out_size != NULL) {
        *out_size = 0;
    }
    p11_leave(s);
    return rv;
}

CK_RV p11_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, P11_ENCRYPT, mechanism, key);
}

CK_RV p11_Encrypt(CK_SESSION_HANDLE session,
                  CK_BYTE_PTR data,
                  CK_ULONG size,
                  CK_BYTE_PTR out,
                  CK_ULONG_PTR out_size)
{
    return end(session, P11_ENCRYPT, true, bytes_of(data, size), out, out_size);
}

CK_RV p11_EncryptUpdate(CK_SESSION_HANDLE session,
                        CK_BYTE_PTR data,
                        CK_ULONG size,
                        CK_BYTE_PTR out,
                        CK_ULONG_PTR out_size)
{
    (void)out;
    return update(session, P11_ENCRYPT, data, size, out_size);
}

CK_RV p11_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size)
{
    return end(session, P11_ENCRYPT, false, bytes_of(NULL, 0), out, out_size);
}

CK_RV p11_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, P11_DECRYPT, mechanism, key);
}

CK_RV p11_Decrypt(CK_SESSION_HANDLE session,
                  CK_BYTE_PTR data,
                  CK_ULONG size,
                  CK_BYTE_PTR out,
                  CK_ULONG_PTR out_size)
{
    return end(session, P11_DECRYPT, true, bytes_of(data, size), out, out_size);
}

CK_RV p11_DecryptUpdate(CK_SESSION_HANDLE session,
                        CK_BYTE_PTR data,
                        CK_ULONG size,
                        CK_BYTE_PTR out,
                        CK_ULONG_PTR out_size)
{
    (void)out;
    return update(session, P11_DECRYPT, data, size, out_size);
}

CK_RV p11_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size)
{
    return end(session, P11_DECRYPT, false, bytes_of(NULL, 0), out, out_size);
}

CK_RV p11_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, P11_SIGN, mechanism, key);
}

CK_RV p11_Sign(CK_SESSION_HANDLE session,
               CK_BYTE_PTR data,
               CK_ULONG size,
               CK_BYTE_PTR out,
               CK_ULONG_PTR out_size)
{
    return end(session, P11_SIGN, true, bytes_of(data, size), out, out_size);
}

CK_RV p11_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size)
{
    return update(session, P11_SIGN, data, size, NULL);
}

CK_RV p11_SignFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size)
{
    return end(session, P11_SIGN, false, bytes_of(NULL, 0), out, out_size);
}

CK_RV p11_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, P11_VERIFY, mechanism, key);
}

CK_RV p11_Verify(CK_SESSION_HANDLE session,
                 CK_BYTE_PTR data,
                 CK_ULONG size,
                 CK_BYTE_PTR signature,
                 CK_ULONG signature_size)
{
    return verify_end(session, true, bytes_of(data, size), bytes_of(signature, signature_size));
}

CK_RV p11_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size)
{
    return update(session, P11_VERIFY, data, size, NULL);
}

CK_RV p11_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG signature_size)
{
    return verify_end(session, false, bytes_of(NULL, 0), bytes_of(signature, signature_size));
}
