/* SPDX-License-Identifier: Apache-2.0 */
/* What a new key may do and is called. Usage follows the type: RSA and EC keys
 * sign, RSA keys also decrypt, AES keys encrypt. */
#include "client/shell/key_template.h"

#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#include "client/shell/parts.h"
#include "proto/template.h"

struct curve {
    const char *name;
    uint8_t oid[10];
    size_t size;
};
static const struct curve curves[] = {
    { "P-256", { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 10 },
    { "P-384", { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 }, 7 },
    { "P-521", { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 }, 7 },
};

static enum err put_names(struct shell *s, struct buf *list)
{
    uint8_t id[64];
    if (s->options.label != NULL) {
        TRY(template_put(list, CKA_LABEL, bytes_of_text(s->options.label)));
    }
    if (s->options.id != NULL) {
        const size_t size = strlen(s->options.id) / 2;
        if (size == 0 || size > sizeof(id) || hex_to(s->options.id, id, size) != ERR_OK) {
            return shell_say(s, ERR_USAGE, "--id takes 2 to 128 hex digits");
        }
        TRY(template_put(list, CKA_ID, bytes_of(id, size)));
    }
    return ERR_OK;
}

static enum err put_head(struct shell *s, struct buf *list, uint64_t class, uint64_t type)
{
    TRY(template_put_u64(list, CKA_CLASS, class));
    TRY(template_put_u64(list, CKA_KEY_TYPE, type));
    TRY(template_put_bool(list, CKA_TOKEN, true));
    TRY(template_put_bool(list, CKA_PRIVATE, class != CKO_PUBLIC_KEY));
    if (class != CKO_PUBLIC_KEY) {
        TRY(template_put_bool(list, CKA_SENSITIVE, true));
        TRY(template_put_bool(list, CKA_EXTRACTABLE, false));
    }
    return put_names(s, list);
}

static enum err make_rsa(struct shell *s, unsigned long bits, uint64_t *mechanism, struct buf *own, struct buf *pub)
{
    static const uint8_t exponent[] = { 1, 0, 1 };
    *mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN;
    TRY(put_head(s, own, CKO_PRIVATE_KEY, CKK_RSA));
    TRY(template_put_bool(own, CKA_SIGN, true));
    TRY(template_put_bool(own, CKA_DECRYPT, true));
    TRY(put_head(s, pub, CKO_PUBLIC_KEY, CKK_RSA));
    TRY(template_put_bool(pub, CKA_VERIFY, true));
    TRY(template_put_bool(pub, CKA_ENCRYPT, true));
    TRY(template_put_u64(pub, CKA_MODULUS_BITS, bits));
    return template_put(pub, CKA_PUBLIC_EXPONENT, bytes_of(exponent, sizeof(exponent)));
}

static const struct curve *find_curve(const char *name)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curves[i].name, name) == 0) {
            return &curves[i];
        }
    }
    return NULL;
}

static enum err make_ec(struct shell *s, const char *name, uint64_t *mechanism, struct buf *own, struct buf *pub)
{
    const struct curve *curve = find_curve(name);
    *mechanism = CKM_EC_KEY_PAIR_GEN;
    if (curve == NULL) {
        return shell_say(s, ERR_USAGE, "--type ec: takes P-256, P-384 or P-521");
    }
    TRY(put_head(s, own, CKO_PRIVATE_KEY, CKK_EC));
    TRY(template_put_bool(own, CKA_SIGN, true));
    TRY(put_head(s, pub, CKO_PUBLIC_KEY, CKK_EC));
    TRY(template_put_bool(pub, CKA_VERIFY, true));
    return template_put(pub, CKA_EC_PARAMS, bytes_of(curve->oid, curve->size));
}

static enum err make_aes(struct shell *s, unsigned long bits, uint64_t *mechanism, struct buf *own)
{
    *mechanism = CKM_AES_KEY_GEN;
    TRY(put_head(s, own, CKO_SECRET_KEY, CKK_AES));
    TRY(template_put_bool(own, CKA_ENCRYPT, true));
    TRY(template_put_bool(own, CKA_DECRYPT, true));
    return template_put_u64(own, CKA_VALUE_LEN, bits / 8);
}

static unsigned long number_of(const char *text)
{
    char *end = NULL;
    const unsigned long n = strtoul(text, &end, 10);
    return *text == '\0' || *end != '\0' || n > 65536 ? 0 : n;
}

enum err key_template_make(struct shell *s, uint64_t *mechanism, struct buf *own, struct buf *public_part)
{
    const char *type = s->options.type == NULL ? "ec:P-256" : s->options.type;
    if (strncmp(type, "ec:", 3) == 0) {
        return make_ec(s, type + 3, mechanism, own, public_part);
    }
    const bool rsa = strncmp(type, "rsa:", 4) == 0, aes = strncmp(type, "aes:", 4) == 0;
    const unsigned long bits = rsa || aes ? number_of(type + 4) : 0;
    if (bits == 0 || bits % 8 != 0) {
        return shell_say(s, ERR_USAGE, "--type takes rsa:BITS, ec:P-256|P-384|P-521 or aes:BITS");
    }
    return rsa ? make_rsa(s, bits, mechanism, own, public_part) : make_aes(s, bits, mechanism, own);
}
