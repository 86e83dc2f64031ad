/* SPDX-License-Identifier: Apache-2.0 */
/* From a template to an object: which attributes may be given, what follows when
 * they are not, and what section A and the flags of K say in the end. No key
 * material here, no chance, no clock.
 *
 * Order: object_begin with the template, then the key's own numbers
 * (object_put_*), then object_info for K (all but the material). A of the object
 * is object.a. */
#ifndef RINGKEEP_HSM_SIM_OBJECT_H
#define RINGKEEP_HSM_SIM_OBJECT_H

#include "sks/seal.h"

enum object_origin { OBJECT_GENERATED = 1, OBJECT_IMPORTED = 2, OBJECT_CREATED = 4 };

struct object {
    unsigned kind; /* enum blob_kind */
    enum object_origin origin;
    uint8_t class;      /* enum seal_class */
    uint16_t type;      /* enum seal_key_type */
    uint64_t mechanism; /* of generation; OBJECT_NO_MECHANISM */
    uint8_t id[ID_SIZE];
    struct bytes template; /* borrowed from the request */
    struct buf a;          /* owned */
    uint32_t usage, usage_given, flags, flags_given;
    uint64_t not_before, not_after;
    uint16_t mech_count;
    uint32_t mech[SEAL_MECHANISMS];
};
#define OBJECT_NO_MECHANISM UINT64_MAX
#define OBJECT_SCOPED __attribute__((cleanup(object_drop))) struct object
void object_drop(struct object *o);

/* kind, origin, class, type, mechanism and template are set by the caller. id: 16
 * bytes, not zero. ERR_TEMPLATE, ERR_ATTRIBUTE, ERR_ATTRIBUTE_READ_ONLY. */
enum err object_begin(struct object *o, struct bytes id) MUST_USE;
enum err object_put_rsa(struct object *o, struct bytes n, struct bytes e) MUST_USE;
/* point: 04||X||Y. */
enum err object_put_ec(struct object *o, unsigned curve, struct bytes point) MUST_USE;
enum err object_put_secret(struct object *o, size_t size) MUST_USE;
/* K without material. bits: of the key, or its curve. */
void object_info(const struct object *o, unsigned bits, struct key_info *out);

/* For kind 4: K's words as A says them, so that one check serves all keys. */
enum err object_info_from_public(struct bytes a, struct key_info *out) MUST_USE;

/* SET_ATTRIBUTES: writes the changes into a copy of A, and into info (NULL for
 * kind 4). Usage and flags only become narrower. */
enum err object_change(struct bytes template, struct buf *a, struct key_info *info) MUST_USE;

/* class, key type, of a template that names them; ERR_TEMPLATE. */
enum err object_class_of(struct bytes template, uint64_t *class) MUST_USE;
enum err object_type_of(struct bytes template, uint64_t *type) MUST_USE;
/* CKA_EC_PARAMS: a named curve by its DER object identifier. ERR_CURVE. */
enum err object_curve_of(struct bytes template, unsigned *curve) MUST_USE;
/* CKA_EC_POINT: the point in a DER OCTET STRING, or alone. */
struct bytes object_point_of(struct bytes value);

#endif
