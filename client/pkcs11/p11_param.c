/* SPDX-License-Identifier: Apache-2.0 */
/* Mechanism parameters of callers to the wire layouts of proto/mechanism.h.
 * ulParameterLen is looked at before any field is read: JDK 17 passes a GCM
 * struct without ulIvBits first. */
#include "client/pkcs11/p11.h"

#include <string.h>

#include "proto/mechanism.h"

static CK_RV encode_none(const CK_MECHANISM *m, struct buf *out)
{
    (void)out;
    return m->ulParameterLen == 0 || m->pParameter == NULL ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV encode_pss(const CK_MECHANISM *m, struct buf *out)
{
    CK_RSA_PKCS_PSS_PARAMS p;
    if (m->pParameter == NULL || m->ulParameterLen != sizeof(p)) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    memcpy(&p, m->pParameter, sizeof(p));
    const struct mechanism_pss wire = { p.hashAlg, p.mgf, p.sLen };
    return rv_from_err((int)mechanism_pss_append(out, &wire));
}

static CK_RV encode_oaep(const CK_MECHANISM *m, struct buf *out)
{
    CK_RSA_PKCS_OAEP_PARAMS p;
    if (m->pParameter == NULL || m->ulParameterLen != sizeof(p)) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    memcpy(&p, m->pParameter, sizeof(p));
    if ((p.pSourceData == NULL && p.ulSourceDataLen > 0) || p.ulSourceDataLen > 512) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    const struct mechanism_oaep wire = { p.hashAlg, p.mgf,
                                         bytes_of(p.pSourceData, p.ulSourceDataLen) };
    return rv_from_err((int)mechanism_oaep_append(out, &wire));
}

static CK_RV encode_iv(const CK_MECHANISM *m, struct buf *out)
{
    if (m->pParameter == NULL || m->ulParameterLen != 16) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    return rv_from_err((int)buf_append(out, bytes_of(m->pParameter, 16), 16));
}

static CK_RV encode_gcm(const CK_MECHANISM *m, struct buf *out)
{
    CK_GCM_PARAMS p;
    if (m->pParameter == NULL || m->ulParameterLen != sizeof(p)) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    memcpy(&p, m->pParameter, sizeof(p));
    if (p.pIv == NULL || p.ulIvLen == 0 || p.ulIvLen > 256 || (p.pAAD == NULL && p.ulAADLen > 0) ||
        p.ulAADLen > 512 || p.ulTagBits > 128 || p.ulTagBits % 8 != 0) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    const struct mechanism_gcm wire = { (uint32_t)p.ulTagBits, bytes_of(p.pIv, p.ulIvLen),
                                        bytes_of(p.pAAD, p.ulAADLen) };
    return rv_from_err((int)mechanism_gcm_append(out, &wire));
}

static const struct {
    CK_MECHANISM_TYPE type;
    CK_RV (*encode)(const CK_MECHANISM *m, struct buf *out);
} table[] = {
    { CKM_RSA_PKCS_PSS, encode_pss },
    { CKM_SHA224_RSA_PKCS_PSS, encode_pss },
    { CKM_SHA256_RSA_PKCS_PSS, encode_pss },
    { CKM_SHA384_RSA_PKCS_PSS, encode_pss },
    { CKM_SHA512_RSA_PKCS_PSS, encode_pss },
    { CKM_RSA_PKCS_OAEP, encode_oaep },
    { CKM_AES_CBC, encode_iv },
    { CKM_AES_CBC_PAD, encode_iv },
    { CKM_AES_GCM, encode_gcm },
};

CK_RV p11_param_encode(const CK_MECHANISM *m, struct buf *out)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].type == m->mechanism) {
            return table[i].encode(m, out);
        }
    }
    return encode_none(m, out);
}
