/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs that somebody changed in the store: written into a real LMDB, read back as
 * the daemon reads them, given to a worker. Every one is refused. */
#include <criterion/criterion.h>
#include <p11-kit/pkcs11.h>
#include <string.h>

#include "command.pb-c.h"
#include "proto/frame.h"
#include "tests/lib/keyring_fixture.h"
#include "tests/lib/worker_kit.h"

static struct worker_kit kit;
static struct keyring_fixture store;
static struct buf blob[2], a[2];
static const uint8_t place[2 * ID_SIZE] = { 2, [ID_SIZE] = 7 }; /* keyring || object */
static const struct bytes none;

static void begin(void)
{
    worker_kit_open(&kit);
    fixture_keyring(&store, 0);
    fixture_commit(&store); /* its transaction would keep put() waiting */
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, blob, a);
}

static void end(void)
{
    worker_kit_drop(blob, 2);
    worker_kit_drop(a, 2);
    fixture_close(&store);
    worker_kit_close(&kit);
}
TestSuite(store_blobs, .init = begin, .fini = end, .timeout = 120);

static void put(struct bytes changed)
{
    Ringkeep__ObjectRow row = RINGKEEP__OBJECT_ROW__INIT;
    BUF_SCOPED packed = { 0 };
    struct store_txn *t = NULL;
    /* protobuf-c only reads what it packs. */
    row.blob = (ProtobufCBinaryData){ changed.size, (uint8_t *)(uintptr_t)changed.data };
    row.handle = 1;
    cr_assert_eq(message_pack(&packed, &row, LIMIT_COMMAND), ERR_OK);
    cr_assert_eq(store_begin(store.store, &t), ERR_OK);
    cr_assert_eq(
        store_txn_put(t, STORE_OBJECTS, bytes_of(place, sizeof(place)), buf_bytes(&packed)),
        ERR_OK);
    cr_assert_eq(store_commit(&t), ERR_OK);
}

static enum err use(unsigned verb)
{
    struct bytes value = { 0 };
    struct store_view *view = fixture_view(&store);
    cr_assert_eq(store_get(view, STORE_OBJECTS, bytes_of(place, sizeof(place)), &value), ERR_OK);
    Ringkeep__ObjectRow *row = ringkeep__object_row__unpack(NULL, value.size, value.data);
    cr_assert_not_null(row);
    const struct buf stored = { row->blob.data, row->blob.len, row->blob.len };
    worker_kit_request(&kit, verb, KIT_USER);
    kit.request.mechanism = verb == CORE_SIGN ? CKM_ECDSA_SHA256 : 0;
    kit.request.section[0] = buf_bytes(&stored);
    kit.request.section[2] = verb == CORE_SIGN ? bytes_of_text("x") : none;
    const enum err e = worker_kit_answer(&kit);
    ringkeep__object_row__free_unpacked(row, NULL);
    store_view_close(view);
    return e;
}

Test(store_blobs, an_untouched_blob_works)
{
    put(buf_bytes(&blob[1]));
    cr_expect_eq(use(CORE_SIGN), ERR_OK);
    cr_expect_eq(use(CORE_ATTRIBUTES), ERR_OK);
}

/* Section A is opened by ATTRIBUTES alone, so that is where a flip in it shows; a
 * flip anywhere else shows at the use. */
Test(store_blobs, every_flipped_bit_is_refused)
{
    const size_t a_begin = 128;
    const size_t a_end = a_begin + a[1].size + 16;
    for (size_t bit = 0; bit < blob[1].size * 8; bit++) {
        const bool in_a = bit / 8 >= a_begin && bit / 8 < a_end;
        blob[1].data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        put(buf_bytes(&blob[1]));
        cr_expect_neq(use(in_a ? CORE_ATTRIBUTES : CORE_SIGN), ERR_OK, "bit %zu", bit);
        blob[1].data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

Test(store_blobs, every_truncation_is_refused)
{
    for (size_t size = 0; size < blob[1].size; size++) {
        put(bytes_of(blob[1].data, size));
        cr_expect_neq(use(CORE_SIGN), ERR_OK, "size %zu", size);
        cr_expect_neq(use(CORE_ATTRIBUTES), ERR_OK, "size %zu", size);
    }
}

Test(store_blobs, sections_of_two_seals_are_refused)
{
    struct buf other[2] = { { 0 } }, other_a[2] = { { 0 } };
    worker_kit_ec_pair(&kit, SEAL_CURVE_P256, other, other_a);
    cr_assert_eq(other[1].size, blob[1].size);
    const size_t k_at = 128 + a[1].size + 16;
    memcpy(blob[1].data + 128, other[1].data + 128, k_at - 128);
    put(buf_bytes(&blob[1]));
    cr_expect_neq(use(CORE_ATTRIBUTES), ERR_OK);
    memcpy(other[1].data + k_at, blob[1].data + k_at, blob[1].size - k_at);
    put(buf_bytes(&other[1]));
    cr_expect_neq(use(CORE_SIGN), ERR_OK);
    worker_kit_drop(other, 2);
    worker_kit_drop(other_a, 2);
}

/* The same key material, sealed as another keyring's core would seal it: with its own
 * ids it is not this login's, with this keyring's ids its tags do not fit. */
Test(store_blobs, a_blob_of_another_keyring_is_refused)
{
    static const uint8_t theirs[ID_SIZE] = { 99 };
    const struct seal_ring ours = kit.ring;
    const struct key_info info = { .class = SEAL_CLASS_SECRET,
                                   .type = SEAL_KEY_AES,
                                   .bits = 256,
                                   .material = bytes_of("0123456789abcdef0123456789abcdef", 32) };
    memcpy(kit.ring.owner_id, theirs, ID_SIZE);
    struct buf foreign = worker_kit_seal(&kit, &info);
    kit.ring = ours;
    put(buf_bytes(&foreign));
    cr_expect_neq(use(CORE_ATTRIBUTES), ERR_OK);
    memcpy(foreign.data + 24, ours.owner_id, ID_SIZE);
    put(buf_bytes(&foreign));
    cr_expect_neq(use(CORE_ATTRIBUTES), ERR_OK);
    worker_kit_drop(&foreign, 1);
}
