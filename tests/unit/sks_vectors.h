/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers for the tests of sks/ and proto/envelope: the JSON file, hex
 * into one arena, verdict names. Every Criterion test is a process of its own,
 * so the arena is never given back. */
#ifndef RINGKEEP_TESTS_UNIT_SKS_VECTORS_H
#define RINGKEEP_TESTS_UNIT_SKS_VECTORS_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crypt.h"
#include "base/digest.h"

#define VECTOR_ARENA (32u * 1024u * 1024u)

static inline json_t *vector_root(void)
{
    static json_t *root;
    if (root == NULL) {
        const char *path = getenv("RINGKEEP_VECTORS");
        json_error_t why;
        cr_assert_eq(crypt_init(), ERR_OK);
        root = json_load_file(path != NULL ? path : "tests/vectors/suite1-vectors.json", 0, &why);
        cr_assert_not_null(root, "%s", why.text);
    }
    return root;
}

/* A top-level section; it must be there. */
static inline json_t *vector_section(const char *name)
{
    json_t *s = json_object_get(vector_root(), name);
    cr_assert_not_null(s, "%s", name);
    return s;
}

static inline uint8_t *vector_room(size_t size)
{
    static uint8_t arena[VECTOR_ARENA];
    static size_t used;
    cr_assert(size <= VECTOR_ARENA - used);
    uint8_t *at = arena + used;
    used += size;
    return at;
}

static inline struct bytes vector_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    cr_assert_not_null(text, "%s", key);
    return bytes_of(text, strlen(text));
}

static inline struct bytes vector_unhex(const char *text)
{
    const size_t size = strlen(text) / 2;
    uint8_t *at = vector_room(size + 1);
    cr_assert_eq(hex_to(text, at, size), ERR_OK);
    return bytes_of(at, size);
}

static inline struct bytes vector_hex(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    cr_assert_not_null(text, "%s", key);
    return vector_unhex(text);
}

/* Hex of exactly that size. */
static inline const uint8_t *vector_fixed(json_t *object, const char *key, size_t size)
{
    const struct bytes b = vector_hex(object, key);
    cr_assert_eq(b.size, size, "%s", key);
    return b.data;
}

/* From the section "keys". */
static inline const uint8_t *vector_key(const char *name)
{
    return vector_hex(vector_section("keys"), name).data;
}

static inline uint64_t vector_number(json_t *object, const char *key)
{
    json_t *n = json_object_get(object, key);
    cr_assert(json_is_integer(n), "%s", key);
    return (uint64_t)json_integer_value(n);
}

static inline uint64_t vector_number_or(json_t *object, const char *key, uint64_t otherwise)
{
    return json_object_get(object, key) == NULL ? otherwise : vector_number(object, key);
}

static inline bool vector_bool(json_t *object, const char *key)
{
    json_t *b = json_object_get(object, key);
    cr_assert(json_is_boolean(b), "%s", key);
    return json_is_true(b);
}

static inline const char *vector_name(json_t *object)
{
    const char *text = json_string_value(json_object_get(object, "name"));
    return text == NULL ? "(no name)" : text;
}

static inline enum err vector_verdict(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    cr_assert_not_null(text, "%s", key);
    for (unsigned e = 0; e < ERR_COUNT; e++) {
        if (strcmp(err_name((enum err)e), text) == 0) {
            return (enum err)e;
        }
    }
    cr_assert_fail("no verdict %s", text);
    return ERR_COUNT;
}

static inline bool vector_same(struct bytes a, const void *data, size_t size)
{
    return bytes_equal(a, bytes_of(data, size));
}

#define EXPECT_VERDICT(object, got)                                                                \
    cr_expect_eq((got), vector_verdict((object), "verdict"), "%s: %s", vector_name(object),        \
                 err_name(got))

#endif
