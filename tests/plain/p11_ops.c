/* SPDX-License-Identifier: Apache-2.0 */
/* The module through its function list: every key type and mechanism that it
 * offers, round trips and refusals. Prints "ok NAME" or "not ok NAME".
 *
 * p11_ops MODULE PIN_FILE */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST_PTR p11;
static CK_SESSION_HANDLE session;
static char pin[256];
static CK_BYTE wrong[] = "not the pin";
static int failed;

static void report(int good, const char *name, CK_RV rv)
{
    if (good) {
        printf("ok module: %s\n", name);
    } else {
        printf("not ok module: %s (rv 0x%lx)\n", name, rv);
        failed = 1;
    }
    (void)fflush(stdout);
}

static void want(CK_RV wanted, CK_RV rv, const char *name)
{
    report(rv == wanted, name, rv);
}

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;
static CK_BYTE oid256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static CK_BYTE oid384[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 };
static CK_BYTE oid521[] = { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 };
#define RSA_BITS(variable, number) static CK_ULONG variable = number
RSA_BITS(bits2048, 2048);
RSA_BITS(bits3072, 3072);
RSA_BITS(bits4096, 4096);

static const struct pair_kind {
    const char *name;
    CK_MECHANISM_TYPE generate, sign;
    CK_ATTRIBUTE parameter;
} pairs[] = {
    { "RSA-2048 with SHA256_RSA_PKCS",
      CKM_RSA_PKCS_KEY_PAIR_GEN,
      CKM_SHA256_RSA_PKCS,
      { CKA_MODULUS_BITS, &bits2048, sizeof(bits2048) } },
    { "RSA-3072 with SHA512_RSA_PKCS",
      CKM_RSA_PKCS_KEY_PAIR_GEN,
      CKM_SHA512_RSA_PKCS,
      { CKA_MODULUS_BITS, &bits3072, sizeof(bits3072) } },
    { "RSA-4096 with SHA384_RSA_PKCS",
      CKM_RSA_PKCS_KEY_PAIR_GEN,
      CKM_SHA384_RSA_PKCS,
      { CKA_MODULUS_BITS, &bits4096, sizeof(bits4096) } },
    { "P-256 with ECDSA_SHA256",
      CKM_EC_KEY_PAIR_GEN,
      CKM_ECDSA_SHA256,
      { CKA_EC_PARAMS, oid256, sizeof(oid256) } },
    { "P-384 with ECDSA_SHA384",
      CKM_EC_KEY_PAIR_GEN,
      CKM_ECDSA_SHA384,
      { CKA_EC_PARAMS, oid384, sizeof(oid384) } },
    { "P-521 with ECDSA_SHA512",
      CKM_EC_KEY_PAIR_GEN,
      CKM_ECDSA_SHA512,
      { CKA_EC_PARAMS, oid521, sizeof(oid521) } },
};

static CK_RV make_pair(const struct pair_kind *kind,
                       CK_BBOOL *token,
                       CK_OBJECT_HANDLE *public_key,
                       CK_OBJECT_HANDLE *private_key)
{
    CK_MECHANISM m = { kind->generate, NULL, 0 };
    CK_ATTRIBUTE public_list[] = { { CKA_TOKEN, token, 1 }, kind->parameter };
    CK_ATTRIBUTE private_list[] = { { CKA_TOKEN, token, 1 } };
    return p11->C_GenerateKeyPair(session, &m, public_list, 2, private_list, 1, public_key,
                                  private_key);
}

static CK_RV sign(CK_MECHANISM *m,
                  CK_OBJECT_HANDLE key,
                  CK_BYTE *data,
                  CK_ULONG size,
                  CK_BYTE *out,
                  CK_ULONG *out_size)
{
    CK_RV rv = p11->C_SignInit(session, m, key);
    return rv != CKR_OK ? rv : p11->C_Sign(session, data, size, out, out_size);
}

static CK_RV verify(CK_MECHANISM *m,
                    CK_OBJECT_HANDLE key,
                    CK_BYTE *data,
                    CK_ULONG size,
                    CK_BYTE *signature,
                    CK_ULONG signature_size)
{
    CK_RV rv = p11->C_VerifyInit(session, m, key);
    return rv != CKR_OK ? rv : p11->C_Verify(session, data, size, signature, signature_size);
}

static void test_pair(const struct pair_kind *kind)
{
    char name[96];
    CK_OBJECT_HANDLE public_key = 0;
    CK_OBJECT_HANDLE private_key = 0;
    CK_MECHANISM m = { kind->sign, NULL, 0 };
    CK_BYTE data[200] = "to be signed";
    CK_BYTE signature[1024];
    CK_ULONG size = sizeof(signature);
    CK_RV rv = make_pair(kind, &yes, &public_key, &private_key);
    rv = rv != CKR_OK ? rv : sign(&m, private_key, data, sizeof(data), signature, &size);
    rv = rv != CKR_OK ? rv : verify(&m, public_key, data, sizeof(data), signature, size);
    (void)snprintf(name, sizeof(name), "%s signs and verifies", kind->name);
    want(CKR_OK, rv, name);
    data[0] ^= 1;
    (void)snprintf(name, sizeof(name), "%s: other data does not verify", kind->name);
    want(CKR_SIGNATURE_INVALID, verify(&m, public_key, data, sizeof(data), signature, size), name);
    (void)snprintf(name, sizeof(name), "%s: a short signature is refused", kind->name);
    want(CKR_SIGNATURE_LEN_RANGE, verify(&m, public_key, data, sizeof(data), signature, size - 1),
         name);
    (void)snprintf(name, sizeof(name), "%s: destroyed", kind->name);
    want(CKR_OK, p11->C_DestroyObject(session, private_key), name);
    (void)snprintf(name, sizeof(name), "%s: cannot be used after that", kind->name);
    want(CKR_KEY_HANDLE_INVALID, p11->C_SignInit(session, &m, private_key), name);
    want(CKR_OK, p11->C_DestroyObject(session, public_key), "its public key is destroyed");
}

static CK_RV make_aes(CK_ULONG bytes, CK_BBOOL *token, CK_OBJECT_HANDLE *key)
{
    CK_MECHANISM m = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_ATTRIBUTE list[] = { { CKA_TOKEN, token, 1 }, { CKA_VALUE_LEN, &bytes, sizeof(bytes) } };
    return p11->C_GenerateKey(session, &m, list, 2, key);
}

static CK_RV crypt_both(CK_MECHANISM *m,
                        CK_OBJECT_HANDLE key,
                        CK_OBJECT_HANDLE other,
                        CK_BYTE *data,
                        CK_ULONG size,
                        CK_BYTE *sealed,
                        CK_ULONG *sealed_size)
{
    CK_BYTE back[4096];
    CK_ULONG back_size = sizeof(back);
    CK_RV rv = p11->C_EncryptInit(session, m, key);
    rv = rv != CKR_OK ? rv : p11->C_Encrypt(session, data, size, sealed, sealed_size);
    rv = rv != CKR_OK ? rv : p11->C_DecryptInit(session, m, other);
    rv = rv != CKR_OK ? rv : p11->C_Decrypt(session, sealed, *sealed_size, back, &back_size);
    return rv != CKR_OK                                         ? rv
           : back_size == size && memcmp(back, data, size) == 0 ? CKR_OK
                                                                : CKR_DATA_INVALID;
}

static void test_gcm(CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[12] = "twelve byte";
    CK_BYTE aad[4] = "aad";
    CK_GCM_PARAMS p = { iv, sizeof(iv), 96, aad, sizeof(aad), 128 };
    CK_MECHANISM m = { CKM_AES_GCM, &p, sizeof(p) };
    CK_BYTE data[1000] = "plain";
    CK_BYTE sealed[2048];
    CK_BYTE back[2048];
    CK_ULONG size = sizeof(sealed);
    CK_ULONG back_size = sizeof(back);
    want(CKR_OK, crypt_both(&m, key, key, data, sizeof(data), sealed, &size), "AES-GCM round trip");
    report(size == sizeof(data) + 16, "AES-GCM gives a tag of 16 bytes", size);
    sealed[3] ^= 1;
    CK_RV rv = p11->C_DecryptInit(session, &m, key);
    rv = rv != CKR_OK ? rv : p11->C_Decrypt(session, sealed, size, back, &back_size);
    want(CKR_ENCRYPTED_DATA_INVALID, rv, "AES-GCM: a flipped bit gives no plaintext");
    m.ulParameterLen -= sizeof(CK_ULONG);
    want(CKR_MECHANISM_PARAM_INVALID, p11->C_EncryptInit(session, &m, key),
         "AES-GCM: a short parameter is refused unread");
}

static void test_aes(void)
{
    CK_OBJECT_HANDLE key = 0;
    CK_OBJECT_HANDLE small = 0;
    CK_BYTE iv[16] = "sixteen bytes iv";
    CK_MECHANISM cbc = { CKM_AES_CBC, iv, sizeof(iv) };
    CK_MECHANISM pad = { CKM_AES_CBC_PAD, iv, sizeof(iv) };
    CK_BYTE data[64] = "plain";
    CK_BYTE sealed[2048];
    CK_ULONG size = sizeof(sealed);
    want(CKR_OK, make_aes(32, &yes, &key), "AES-256 is made");
    want(CKR_OK, make_aes(16, &no, &small), "AES-128 is made as a session object");
    want(CKR_KEY_SIZE_RANGE, make_aes(17, &no, &small), "AES of 17 bytes is refused");
    test_gcm(key);
    want(CKR_OK, crypt_both(&cbc, key, key, data, sizeof(data), sealed, &size),
         "AES-CBC round trip");
    size = sizeof(sealed);
    want(CKR_OK, crypt_both(&pad, small, small, data, 13, sealed, &size),
         "AES-CBC-PAD round trip under the session key");
    want(CKR_KEY_FUNCTION_NOT_PERMITTED,
         p11->C_SignInit(session, &(CK_MECHANISM){ CKM_ECDSA, NULL, 0 }, key),
         "an AES key does not sign");
    want(CKR_OK, p11->C_DestroyObject(session, key), "AES key destroyed");
}

static void test_oaep_and_pss(void)
{
    CK_OBJECT_HANDLE public_key = 0;
    CK_OBJECT_HANDLE private_key = 0;
    CK_RSA_PKCS_OAEP_PARAMS o = { CKM_SHA256, CKG_MGF1_SHA256, 1, NULL, 0 };
    CK_RSA_PKCS_PSS_PARAMS p = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
    CK_MECHANISM oaep = { CKM_RSA_PKCS_OAEP, &o, sizeof(o) };
    CK_MECHANISM pss = { CKM_SHA256_RSA_PKCS_PSS, &p, sizeof(p) };
    CK_BYTE data[64] = "plain";
    CK_BYTE sealed[1024];
    CK_ULONG size = sizeof(sealed);
    want(CKR_OK, make_pair(&pairs[0], &yes, &public_key, &private_key),
         "RSA pair for OAEP and PSS");
    want(CKR_OK, crypt_both(&oaep, public_key, private_key, data, sizeof(data), sealed, &size),
         "RSA-OAEP round trip");
    size = sizeof(sealed);
    want(CKR_OK, sign(&pss, private_key, data, sizeof(data), sealed, &size), "RSA-PSS signs");
    want(CKR_OK, verify(&pss, public_key, data, sizeof(data), sealed, size), "RSA-PSS verifies");
    want(CKR_MECHANISM_INVALID,
         p11->C_DecryptInit(session, &(CK_MECHANISM){ CKM_RSA_PKCS, NULL, 0 }, private_key),
         "RSA PKCS#1 v1.5 decryption is not offered");
    CK_BYTE value[512];
    CK_ATTRIBUTE secret = { CKA_PRIVATE_EXPONENT, value, sizeof(value) };
    want(CKR_ATTRIBUTE_SENSITIVE, p11->C_GetAttributeValue(session, private_key, &secret, 1),
         "the private exponent stays in the core");
    (void)p11->C_DestroyObject(session, private_key);
    (void)p11->C_DestroyObject(session, public_key);
}

static void test_lengths(void)
{
    CK_OBJECT_HANDLE public_key = 0;
    CK_OBJECT_HANDLE private_key = 0;
    CK_MECHANISM m = { CKM_ECDSA, NULL, 0 };
    CK_BYTE data[32] = { 1 };
    CK_BYTE signature[64];
    CK_ULONG size = 0;
    want(CKR_OK, make_pair(&pairs[3], &no, &public_key, &private_key), "a pair of session objects");
    (void)p11->C_SignInit(session, &m, private_key);
    CK_RV rv = p11->C_Sign(session, data, sizeof(data), NULL, &size);
    report(rv == CKR_OK && size == 64, "a length query is answered and keeps the operation", rv);
    size = 10;
    want(CKR_BUFFER_TOO_SMALL, p11->C_Sign(session, data, sizeof(data), signature, &size),
         "a short buffer is said and keeps the operation");
    size = sizeof(signature);
    want(CKR_OK, p11->C_Sign(session, data, sizeof(data), signature, &size), "then it signs");
    want(CKR_OPERATION_NOT_INITIALIZED, p11->C_Sign(session, data, sizeof(data), signature, &size),
         "and the operation is over");
    want(CKR_OK, p11->C_DestroyObject(session, private_key), "a session object is destroyed");
}

static void test_find(void)
{
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count = 9;
    CK_OBJECT_CLASS odd = 0x80001234UL;
    CK_ATTRIBUTE list[] = { { CKA_CLASS, &odd, sizeof(odd) } };
    CK_RV rv = p11->C_FindObjectsInit(session, list, 1);
    rv = rv != CKR_OK ? rv : p11->C_FindObjects(session, found, 8, &count);
    report(rv == CKR_OK && count == 0,
           "a search for an unknown class finds nothing, without an error", rv);
    (void)p11->C_FindObjectsFinal(session);
}

static void test_fork(void)
{
    const pid_t child = fork();
    if (child == 0) {
        CK_ULONG count = 0;
        const int good =
            p11->C_GetSlotList(CK_TRUE, NULL, &count) == CKR_CRYPTOKI_NOT_INITIALIZED &&
            p11->C_Initialize(NULL) == CKR_OK &&
            p11->C_GetSlotList(CK_TRUE, NULL, &count) == CKR_OK && count == 1 &&
            p11->C_Finalize(NULL) == CKR_OK;
        _exit(good ? 0 : 1);
    }
    int status = 1;
    (void)waitpid(child, &status, 0);
    report(status == 0, "a forked child starts clean", (CK_RV)status);
    CK_SESSION_INFO info;
    want(CKR_OK, p11->C_GetSessionInfo(session, &info), "and the parent goes on");
    CK_BYTE random[16];
    want(CKR_OK, p11->C_GenerateRandom(session, random, sizeof(random)), "with its own connection");
}

static int start(const char *module, const char *path)
{
    CK_SLOT_ID slot = 0;
    CK_ULONG count = 1;
    void *library = dlopen(module, RTLD_NOW);
    CK_C_GetFunctionList get = NULL;
    FILE *f = fopen(path, "r");
    if (library == NULL || f == NULL || fgets(pin, sizeof(pin), f) == NULL) {
        return 1;
    }
    (void)fclose(f);
    pin[strcspn(pin, "\n")] = 0;
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (get == NULL || get(&p11) != CKR_OK || p11->C_Initialize(NULL) != CKR_OK) {
        return 1;
    }
    want(CKR_CRYPTOKI_ALREADY_INITIALIZED, p11->C_Initialize(NULL),
         "a second initialisation is said");
    want(CKR_OK, p11->C_GetSlotList(CK_TRUE, &slot, &count), "one slot");
    want(CKR_OK,
         p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
         "session");
    want(CKR_PIN_INCORRECT, p11->C_Login(session, CKU_USER, wrong, 11), "a wrong PIN");
    CK_BBOOL token = CK_TRUE;
    CK_ATTRIBUTE list[] = { { CKA_TOKEN, &token, 1 } };
    CK_OBJECT_HANDLE key = 0;
    want(CKR_USER_NOT_LOGGED_IN,
         p11->C_GenerateKey(session, &(CK_MECHANISM){ CKM_AES_KEY_GEN, NULL, 0 }, list, 1, &key),
         "no key without a login");
    want(CKR_OK, p11->C_Login(session, CKU_USER, (CK_BYTE *)pin, strlen(pin)), "login");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3 || start(argv[1], argv[2]) != 0) {
        printf("not ok module: start\n");
        return 1;
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        test_pair(&pairs[i]);
    }
    test_aes();
    test_oaep_and_pss();
    test_lengths();
    test_find();
    test_fork();
    want(CKR_OK, p11->C_Logout(session), "logout");
    want(CKR_OK, p11->C_CloseSession(session), "close");
    want(CKR_OK, p11->C_Finalize(NULL), "finalize");
    return failed;
}
