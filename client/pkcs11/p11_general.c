/* SPDX-License-Identifier: Apache-2.0 */
/* General purpose, slots, tokens, sessions and login (PKCS#11 2.40, 5.4 to 5.6). */
#include "client/pkcs11/p11.h"

#include <string.h>

#include "proto/mechanism.h"

#define VENDOR "Ringkeep"

static void pad(void *out, size_t size, const char *text)
{
    uint8_t *at = out;
    memset(at, ' ', size);
    for (size_t i = 0; i < size && text[i] != 0; i++) {
        at[i] = (uint8_t)text[i];
    }
}

static CK_RV check_arguments(const CK_C_INITIALIZE_ARGS *a)
{
    if (a->pReserved != NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    const int given = (a->CreateMutex != NULL) + (a->DestroyMutex != NULL) +
                      (a->LockMutex != NULL) + (a->UnlockMutex != NULL);
    if (given != 0 && given != 4) {
        return CKR_ARGUMENTS_BAD;
    }
    /* Mutexes of the caller only: this module locks with the system's. */
    return given == 4 && (a->flags & CKF_OS_LOCKING_OK) == 0 ? CKR_CANT_LOCK : CKR_OK;
}

CK_RV p11_Initialize(CK_VOID_PTR arguments)
{
    CK_RV rv = arguments == NULL ? CKR_OK : check_arguments(arguments);
    return rv == CKR_OK ? p11_start() : rv;
}

CK_RV p11_Finalize(CK_VOID_PTR reserved)
{
    return reserved != NULL ? CKR_ARGUMENTS_BAD : p11_stop();
}

CK_RV p11_GetInfo(CK_INFO_PTR info)
{
    if (!p11_running()) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    if (info == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion.major = 2;
    info->cryptokiVersion.minor = 40;
    pad(info->manufacturerID, sizeof(info->manufacturerID), VENDOR);
    pad(info->libraryDescription, sizeof(info->libraryDescription), "Ringkeep keyrings");
    info->libraryVersion.minor = 1;
    return CKR_OK;
}

/* Lock, slots known: what every slot function begins with. */
static CK_RV begin(void)
{
    if (!p11_running()) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    p11_lock();
    CK_RV rv = p11_refresh_slots();
    if (rv != CKR_OK) {
        p11_unlock();
    }
    return rv;
}

CK_RV p11_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
    (void)present;
    if (count == NULL) {
        return p11_running() ? CKR_ARGUMENTS_BAD : CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    CK_RV rv = begin();
    if (rv != CKR_OK) {
        return rv;
    }
    const size_t have = p11_slot_count();
    if (list != NULL && *count < have) {
        rv = CKR_BUFFER_TOO_SMALL;
    }
    for (size_t i = 0; list != NULL && rv == CKR_OK && i < have; i++) {
        list[i] = p11_slot_at(i)->info.slot;
    }
    *count = have;
    p11_unlock();
    return rv;
}

/* With the lock on success. */
static CK_RV begin_slot(CK_SLOT_ID id, const void *argument, struct p11_slot **out)
{
    if (argument == NULL) {
        return p11_running() ? CKR_ARGUMENTS_BAD : CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    CK_RV rv = begin();
    if (rv != CKR_OK) {
        return rv;
    }
    *out = p11_slot_find(id);
    if (*out == NULL) {
        p11_unlock();
        return CKR_SLOT_ID_INVALID;
    }
    return CKR_OK;
}

CK_RV p11_GetSlotInfo(CK_SLOT_ID id, CK_SLOT_INFO_PTR info)
{
    struct p11_slot *slot = NULL;
    CK_RV rv = begin_slot(id, info, &slot);
    if (rv != CKR_OK) {
        return rv;
    }
    memset(info, 0, sizeof(*info));
    pad(info->slotDescription, sizeof(info->slotDescription), slot->info.label);
    pad(info->manufacturerID, sizeof(info->manufacturerID), VENDOR);
    info->flags = CKF_TOKEN_PRESENT | CKF_HW_SLOT;
    p11_unlock();
    return CKR_OK;
}

CK_RV p11_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO_PTR info)
{
    struct p11_slot *slot = NULL;
    char serial[33];
    CK_RV rv = begin_slot(id, info, &slot);
    if (rv != CKR_OK) {
        return rv;
    }
    memset(info, 0, sizeof(*info));
    (void)hex_from(bytes_of(slot->info.keyring_id, ID_SIZE), serial);
    serial[16] = 0;
    pad(info->label, sizeof(info->label), slot->info.label);
    pad(info->manufacturerID, sizeof(info->manufacturerID), VENDOR);
    pad(info->model, sizeof(info->model), "keyring");
    pad(info->serialNumber, sizeof(info->serialNumber), serial);
    info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_RNG | CKF_USER_PIN_INITIALIZED;
    info->flags |= slot->info.active ? 0 : CKF_USER_PIN_TO_BE_CHANGED;
    info->ulMaxSessionCount = P11_SESSIONS;
    info->ulSessionCount = slot->sessions;
    info->ulMaxRwSessionCount = P11_SESSIONS;
    info->ulRwSessionCount = slot->rw_sessions;
    info->ulMaxPinLen = LIMIT_PASSWORD;
    info->ulMinPinLen = LIMIT_PASSWORD_MIN;
    info->ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
    pad(info->utcTime, sizeof(info->utcTime), "");
    p11_unlock();
    return CKR_OK;
}

CK_RV p11_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count)
{
    struct p11_slot *slot = NULL;
    size_t have = 0;
    const struct mechanism_row *rows = mechanism_rows(&have);
    CK_RV rv = begin_slot(id, count, &slot);
    if (rv != CKR_OK) {
        return rv;
    }
    p11_unlock();
    if (list != NULL && *count < have) {
        *count = have;
        return CKR_BUFFER_TOO_SMALL;
    }
    for (size_t i = 0; list != NULL && i < have; i++) {
        list[i] = rows[i].number;
    }
    *count = have;
    return CKR_OK;
}

CK_RV p11_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
    struct p11_slot *slot = NULL;
    const struct mechanism_row *row = mechanism_find(type);
    CK_RV rv = begin_slot(id, info, &slot);
    if (rv != CKR_OK) {
        return rv;
    }
    p11_unlock();
    if (row == NULL) {
        return CKR_MECHANISM_INVALID;
    }
    info->ulMinKeySize = row->minimum;
    info->ulMaxKeySize = row->maximum;
    info->flags = row->flags;
    return CKR_OK;
}

CK_RV p11_OpenSession(CK_SLOT_ID id,
                      CK_FLAGS flags,
                      CK_VOID_PTR application,
                      CK_NOTIFY notify,
                      CK_SESSION_HANDLE_PTR session)
{
    struct p11_slot *slot = NULL;
    (void)application;
    (void)notify;
    CK_RV rv = begin_slot(id, session, &slot);
    if (rv != CKR_OK) {
        return rv;
    }
    rv = (flags & CKF_SERIAL_SESSION) == 0 ? CKR_SESSION_PARALLEL_NOT_SUPPORTED
                                           : p11_session_open(slot, flags, session);
    p11_unlock();
    return rv;
}

CK_RV p11_CloseSession(CK_SESSION_HANDLE session)
{
    if (!p11_running()) {
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    p11_lock();
    CK_RV rv = p11_session_close(session);
    p11_unlock();
    return rv;
}

CK_RV p11_CloseAllSessions(CK_SLOT_ID id)
{
    CK_RV rv = begin();
    if (rv != CKR_OK) {
        return rv;
    }
    rv = p11_session_close_all(id);
    p11_unlock();
    return rv;
}

static CK_STATE session_state(const struct p11_session *s)
{
    const bool rw = (s->flags & CKF_RW_SESSION) != 0;
    if (!s->slot->logged_in) {
        return rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
    }
    if (s->slot->user == CKU_SO) {
        return CKS_RW_SO_FUNCTIONS;
    }
    return rw ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
}

CK_RV p11_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    if (info == NULL) {
        p11_leave(s);
        return CKR_ARGUMENTS_BAD;
    }
    p11_lock();
    info->slotID = s->slot->info.slot;
    info->state = session_state(s);
    info->flags = s->flags | CKF_SERIAL_SESSION;
    info->ulDeviceError = 0;
    p11_unlock();
    p11_leave(s);
    return CKR_OK;
}

/* -- login ------------------------------------------------------------------ */

static CK_RV login_allowed(const struct p11_session *s, CK_USER_TYPE user)
{
    if (user != CKU_USER && user != CKU_SO) {
        return CKR_USER_TYPE_INVALID;
    }
    if (s->slot->logged_in) {
        return s->slot->user == user ? CKR_USER_ALREADY_LOGGED_IN
                                     : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
    }
    return user == CKU_SO && s->slot->sessions > s->slot->rw_sessions ? CKR_SESSION_READ_ONLY_EXISTS
                                                                      : CKR_OK;
}

static CK_RV login(struct p11_session *s, CK_USER_TYPE user, const void *pin, CK_ULONG size)
{
    p11_lock();
    CK_RV rv = login_allowed(s, user);
    p11_unlock();
    if (rv != CKR_OK) {
        return rv;
    }
    if (pin == NULL || size == 0 || size > LIMIT_PASSWORD) {
        return pin == NULL ? CKR_ARGUMENTS_BAD : CKR_PIN_INCORRECT;
    }
    const unsigned role = user == CKU_SO ? RINGKEEP_ROLE_KRSO : RINGKEEP_ROLE_KRCO;
    rv = rv_from_err(ringkeep_login(p11_client(), s->slot->info.keyring_id, role, pin, size));
    if (rv != CKR_OK) {
        return rv;
    }
    p11_lock();
    s->slot->logged_in = true;
    s->slot->user = user;
    s->slot->loaded = false;
    p11_unlock();
    return CKR_OK;
}

CK_RV p11_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG size)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        rv = login(s, user, pin, size);
        p11_leave(s);
    }
    return rv;
}

CK_RV p11_Logout(CK_SESSION_HANDLE session)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    p11_lock();
    const bool was = s->slot->logged_in;
    s->slot->logged_in = false;
    p11_objects_clear(s->slot, true);
    p11_unlock();
    if (was) {
        (void)ringkeep_logout(p11_client(), s->slot->info.keyring_id);
    }
    p11_leave(s);
    return was ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
}

CK_RV p11_SetPIN(CK_SESSION_HANDLE session,
                 CK_UTF8CHAR_PTR old_pin,
                 CK_ULONG old_size,
                 CK_UTF8CHAR_PTR new_pin,
                 CK_ULONG new_size)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    const unsigned role =
        s->slot->logged_in && s->slot->user == CKU_SO ? RINGKEEP_ROLE_KRSO : RINGKEEP_ROLE_KRCO;
    if ((s->flags & CKF_RW_SESSION) == 0) {
        rv = CKR_SESSION_READ_ONLY;
    } else if (old_pin == NULL || new_pin == NULL) {
        rv = CKR_ARGUMENTS_BAD;
    } else if (new_size < LIMIT_PASSWORD_MIN || new_size > LIMIT_PASSWORD) {
        rv = CKR_PIN_LEN_RANGE;
    } else {
        rv = rv_from_err(ringkeep_change_password(p11_client(), s->slot->info.keyring_id, role,
                                                  old_pin, old_size, new_pin, new_size));
    }
    p11_leave(s);
    return rv;
}

/* -- chance ----------------------------------------------------------------- */

CK_RV p11_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR seed, CK_ULONG size)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s != NULL) {
        p11_leave(s);
        rv = seed == NULL && size > 0 ? CKR_ARGUMENTS_BAD : CKR_RANDOM_SEED_NOT_SUPPORTED;
    }
    return rv;
}

CK_RV p11_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG size)
{
    CK_RV rv = CKR_OK;
    struct p11_session *s = p11_enter(session, &rv);
    if (s == NULL) {
        return rv;
    }
    if (out == NULL && size > 0) {
        rv = CKR_ARGUMENTS_BAD;
    }
    for (CK_ULONG done = 0; rv == CKR_OK && done < size;) {
        const CK_ULONG piece = size - done < LIMIT_DATA ? size - done : LIMIT_DATA;
        rv = rv_from_err(ringkeep_random(p11_client(), out + done, piece));
        done += piece;
    }
    p11_leave(s);
    return rv;
}
