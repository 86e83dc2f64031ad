/* SPDX-License-Identifier: Apache-2.0 */
/* The functions behind the PKCS#11 2.40 list, one prototype a line; included by
 * p11.h alone. Meaning, arguments and errors are the standard's. */
#ifndef RINGKEEP_CLIENT_PKCS11_P11_FUNCTIONS_H
#define RINGKEEP_CLIENT_PKCS11_P11_FUNCTIONS_H

CK_RV p11_Initialize(CK_VOID_PTR arguments);
CK_RV p11_Finalize(CK_VOID_PTR reserved);
CK_RV p11_GetInfo(CK_INFO_PTR info);
CK_RV p11_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count);
CK_RV p11_GetSlotInfo(CK_SLOT_ID id, CK_SLOT_INFO_PTR info);
CK_RV p11_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO_PTR info);
CK_RV p11_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count);
CK_RV p11_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info);
CK_RV p11_SetPIN(CK_SESSION_HANDLE session,
                 CK_UTF8CHAR_PTR old_pin,
                 CK_ULONG old_size,
                 CK_UTF8CHAR_PTR new_pin,
                 CK_ULONG new_size);
CK_RV p11_OpenSession(CK_SLOT_ID id,
                      CK_FLAGS flags,
                      CK_VOID_PTR application,
                      CK_NOTIFY notify,
                      CK_SESSION_HANDLE_PTR session);
CK_RV p11_CloseSession(CK_SESSION_HANDLE session);
CK_RV p11_CloseAllSessions(CK_SLOT_ID id);
CK_RV p11_GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info);
CK_RV p11_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG size);
CK_RV p11_Logout(CK_SESSION_HANDLE session);
CK_RV p11_CreateObject(CK_SESSION_HANDLE session,
                       CK_ATTRIBUTE_PTR attributes,
                       CK_ULONG count,
                       CK_OBJECT_HANDLE_PTR object);
CK_RV p11_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object);
CK_RV p11_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG_PTR size);
CK_RV p11_GetAttributeValue(CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE_PTR attributes,
                            CK_ULONG count);
CK_RV p11_SetAttributeValue(CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object,
                            CK_ATTRIBUTE_PTR attributes,
                            CK_ULONG count);
CK_RV p11_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR attributes, CK_ULONG count);
CK_RV p11_FindObjects(CK_SESSION_HANDLE session,
                      CK_OBJECT_HANDLE_PTR objects,
                      CK_ULONG most,
                      CK_ULONG_PTR count);
CK_RV p11_FindObjectsFinal(CK_SESSION_HANDLE session);
CK_RV p11_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
CK_RV p11_Encrypt(CK_SESSION_HANDLE session,
                  CK_BYTE_PTR data,
                  CK_ULONG size,
                  CK_BYTE_PTR out,
                  CK_ULONG_PTR out_size);
CK_RV p11_EncryptUpdate(CK_SESSION_HANDLE session,
                        CK_BYTE_PTR data,
                        CK_ULONG size,
                        CK_BYTE_PTR out,
                        CK_ULONG_PTR out_size);
CK_RV p11_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size);
CK_RV p11_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
CK_RV p11_Decrypt(CK_SESSION_HANDLE session,
                  CK_BYTE_PTR data,
                  CK_ULONG size,
                  CK_BYTE_PTR out,
                  CK_ULONG_PTR out_size);
CK_RV p11_DecryptUpdate(CK_SESSION_HANDLE session,
                        CK_BYTE_PTR data,
                        CK_ULONG size,
                        CK_BYTE_PTR out,
                        CK_ULONG_PTR out_size);
CK_RV p11_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size);
CK_RV p11_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
CK_RV p11_Sign(CK_SESSION_HANDLE session,
               CK_BYTE_PTR data,
               CK_ULONG size,
               CK_BYTE_PTR out,
               CK_ULONG_PTR out_size);
CK_RV p11_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size);
CK_RV p11_SignFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_size);
CK_RV p11_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
CK_RV p11_Verify(CK_SESSION_HANDLE session,
                 CK_BYTE_PTR data,
                 CK_ULONG size,
                 CK_BYTE_PTR signature,
                 CK_ULONG signature_size);
CK_RV p11_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG size);
CK_RV p11_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG signature_size);
CK_RV p11_GenerateKey(CK_SESSION_HANDLE session,
                      CK_MECHANISM_PTR mechanism,
                      CK_ATTRIBUTE_PTR attributes,
                      CK_ULONG count,
                      CK_OBJECT_HANDLE_PTR key);
CK_RV p11_GenerateKeyPair(CK_SESSION_HANDLE session,
                          CK_MECHANISM_PTR mechanism,
                          CK_ATTRIBUTE_PTR public_attributes,
                          CK_ULONG public_count,
                          CK_ATTRIBUTE_PTR private_attributes,
                          CK_ULONG private_count,
                          CK_OBJECT_HANDLE_PTR public_key,
                          CK_OBJECT_HANDLE_PTR private_key);
CK_RV p11_SeedRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR seed, CK_ULONG size);
CK_RV p11_GenerateRandom(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG size);

#endif
