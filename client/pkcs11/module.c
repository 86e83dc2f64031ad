/* SPDX-License-Identifier: Apache-2.0 */
/* The function list of PKCS#11 2.40 and the one symbol that the module exports. A
 * function that is not offered yet says so; there is no NULL entry. */
#include "client/pkcs11/p11.h"

/* One of the standard's functions that this release lacks; its arguments go unread. */
#define NOT_OFFERED(name, ...)                                                                     \
    static CK_RV none_##name(__VA_ARGS__)                                                          \
    {                                                                                              \
        return p11_running() ? CKR_FUNCTION_NOT_SUPPORTED : CKR_CRYPTOKI_NOT_INITIALIZED;          \
    }

NOT_OFFERED(InitToken, CK_SLOT_ID, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR)
NOT_OFFERED(InitPIN, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG)
NOT_OFFERED(GetOperationState, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(
    SetOperationState, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE)
NOT_OFFERED(CopyObject,
            CK_SESSION_HANDLE,
            CK_OBJECT_HANDLE,
            CK_ATTRIBUTE_PTR,
            CK_ULONG,
            CK_OBJECT_HANDLE_PTR)
NOT_OFFERED(DigestInit, CK_SESSION_HANDLE, CK_MECHANISM_PTR)
NOT_OFFERED(Digest, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(DigestUpdate, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG)
NOT_OFFERED(DigestKey, CK_SESSION_HANDLE, CK_OBJECT_HANDLE)
NOT_OFFERED(DigestFinal, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(SignRecoverInit, CK_SESSION_HANDLE, CK_MECHANISM_PTR, CK_OBJECT_HANDLE)
NOT_OFFERED(SignRecover, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(VerifyRecoverInit, CK_SESSION_HANDLE, CK_MECHANISM_PTR, CK_OBJECT_HANDLE)
NOT_OFFERED(VerifyRecover, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(
    DigestEncryptUpdate, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(
    DecryptDigestUpdate, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(SignEncryptUpdate, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(
    DecryptVerifyUpdate, CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG_PTR)
NOT_OFFERED(WrapKey,
            CK_SESSION_HANDLE,
            CK_MECHANISM_PTR,
            CK_OBJECT_HANDLE,
            CK_OBJECT_HANDLE,
            CK_BYTE_PTR,
            CK_ULONG_PTR)
NOT_OFFERED(UnwrapKey,
            CK_SESSION_HANDLE,
            CK_MECHANISM_PTR,
            CK_OBJECT_HANDLE,
            CK_BYTE_PTR,
            CK_ULONG,
            CK_ATTRIBUTE_PTR,
            CK_ULONG,
            CK_OBJECT_HANDLE_PTR)
NOT_OFFERED(DeriveKey,
            CK_SESSION_HANDLE,
            CK_MECHANISM_PTR,
            CK_OBJECT_HANDLE,
            CK_ATTRIBUTE_PTR,
            CK_ULONG,
            CK_OBJECT_HANDLE_PTR)
NOT_OFFERED(GetFunctionStatus, CK_SESSION_HANDLE)
NOT_OFFERED(CancelFunction, CK_SESSION_HANDLE)
NOT_OFFERED(WaitForSlotEvent, CK_FLAGS, CK_SLOT_ID_PTR, CK_VOID_PTR)

static CK_FUNCTION_LIST functions = {
    .version = { 2, 40 },
    .C_Initialize = p11_Initialize,
    .C_Finalize = p11_Finalize,
    .C_GetInfo = p11_GetInfo,
    .C_GetFunctionList = C_GetFunctionList,
    .C_GetSlotList = p11_GetSlotList,
    .C_GetSlotInfo = p11_GetSlotInfo,
    .C_GetTokenInfo = p11_GetTokenInfo,
    .C_GetMechanismList = p11_GetMechanismList,
    .C_GetMechanismInfo = p11_GetMechanismInfo,
    .C_InitToken = none_InitToken,
    .C_InitPIN = none_InitPIN,
    .C_SetPIN = p11_SetPIN,
    .C_OpenSession = p11_OpenSession,
    .C_CloseSession = p11_CloseSession,
    .C_CloseAllSessions = p11_CloseAllSessions,
    .C_GetSessionInfo = p11_GetSessionInfo,
    .C_GetOperationState = none_GetOperationState,
    .C_SetOperationState = none_SetOperationState,
    .C_Login = p11_Login,
    .C_Logout = p11_Logout,
    .C_CreateObject = p11_CreateObject,
    .C_CopyObject = none_CopyObject,
    .C_DestroyObject = p11_DestroyObject,
    .C_GetObjectSize = p11_GetObjectSize,
    .C_GetAttributeValue = p11_GetAttributeValue,
    .C_SetAttributeValue = p11_SetAttributeValue,
    .C_FindObjectsInit = p11_FindObjectsInit,
    .C_FindObjects = p11_FindObjects,
    .C_FindObjectsFinal = p11_FindObjectsFinal,
    .C_EncryptInit = p11_EncryptInit,
    .C_Encrypt = p11_Encrypt,
    .C_EncryptUpdate = p11_EncryptUpdate,
    .C_EncryptFinal = p11_EncryptFinal,
    .C_DecryptInit = p11_DecryptInit,
    .C_Decrypt = p11_Decrypt,
    .C_DecryptUpdate = p11_DecryptUpdate,
    .C_DecryptFinal = p11_DecryptFinal,
    .C_DigestInit = none_DigestInit,
    .C_Digest = none_Digest,
    .C_DigestUpdate = none_DigestUpdate,
    .C_DigestKey = none_DigestKey,
    .C_DigestFinal = none_DigestFinal,
    .C_SignInit = p11_SignInit,
    .C_Sign = p11_Sign,
    .C_SignUpdate = p11_SignUpdate,
    .C_SignFinal = p11_SignFinal,
    .C_SignRecoverInit = none_SignRecoverInit,
    .C_SignRecover = none_SignRecover,
    .C_VerifyInit = p11_VerifyInit,
    .C_Verify = p11_Verify,
    .C_VerifyUpdate = p11_VerifyUpdate,
    .C_VerifyFinal = p11_VerifyFinal,
    .C_VerifyRecoverInit = none_VerifyRecoverInit,
    .C_VerifyRecover = none_VerifyRecover,
    .C_DigestEncryptUpdate = none_DigestEncryptUpdate,
    .C_DecryptDigestUpdate = none_DecryptDigestUpdate,
    .C_SignEncryptUpdate = none_SignEncryptUpdate,
    .C_DecryptVerifyUpdate = none_DecryptVerifyUpdate,
    .C_GenerateKey = p11_GenerateKey,
    .C_GenerateKeyPair = p11_GenerateKeyPair,
    .C_WrapKey = none_WrapKey,
    .C_UnwrapKey = none_UnwrapKey,
    .C_DeriveKey = none_DeriveKey,
    .C_SeedRandom = p11_SeedRandom,
    .C_GenerateRandom = p11_GenerateRandom,
    .C_GetFunctionStatus = none_GetFunctionStatus,
    .C_CancelFunction = none_CancelFunction,
    .C_WaitForSlotEvent = none_WaitForSlotEvent,
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    if (list == NULL) {
        return CKR_ARGUMENTS_BAD;
    }
    *list = &functions;
    return CKR_OK;
}
