/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile daemon: a thread flips bytes in the ring's slots while requests pass
 * through a real ring into the worker (threats.md H3). Whatever the worker accepts
 * must be the right result.
 *
 *     ring_flip [operations] [control]
 *
 * Prints "N operations, 0 accepted wrong"; exits 1 otherwise. `control` decrypts in
 * place in the slot instead, as no core may: it must accept wrong plaintexts, else
 * the flipping proves nothing. */
#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hsm-sim/ring_test.h"
#include "proto/mechanism.h"
#include "tests/lib/worker_kit.h"

#define USUAL_OPERATIONS 200000u
#define CONTROL_OPERATIONS 3000000u
#define DATA 1024u

static struct worker_kit kit;
static struct ring *door, *worker;
static uint8_t *slots;
static atomic_size_t target, reach; /* where the thread flips, and how far */
static atomic_bool stop;
static uint64_t accepted, refused, wrong;

static void must(bool good, const char *what)
{
    if (!good) {
        (void)fprintf(stderr, "ring_flip: %s\n", what);
        exit(2);
    }
}

static void *flip(void *arg)
{
    volatile uint8_t *bytes = slots;
    uint32_t chance = 1;
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t from = atomic_load_explicit(&target, memory_order_relaxed);
        size_t size = atomic_load_explicit(&reach, memory_order_relaxed);
        chance = chance * 1664525u + 1013904223u;
        size_t at = from + (chance >> 8) % size;
        uint8_t bit = (uint8_t)(1u << (chance >> 29));
        bytes[at] ^= bit;
        for (unsigned i = 0; i < (chance >> 4) % 64; i++) {
            __asm__ volatile("" ::: "memory");
        }
        bytes[at] ^= bit;
    }
    return NULL;
}

static void open_ring(void)
{
    int fds[3], mine[3];
    must(ring_create(fds) == ERR_OK, "ring_create");
    for (unsigned i = 0; i < 3; i++) {
        mine[i] = dup(fds[i]);
    }
    must(ring_attach(fds, false, &door) == ERR_OK, "daemon's side");
    must(ring_attach(mine, true, &worker) == ERR_OK, "worker's side");
    ring_worker_start(worker);
    must(ring_worker_changed(door), "the worker is seen");
    size_t size = 0;
    slots = ring_test_slots(door, &size);
}

/* -- through the worker --------------------------------------------------------------- */

struct task {
    struct core_request request;
    struct bytes want;
    uint8_t frame[8192];
    size_t size;
};

static void encode(struct task *t)
{
    t->size = core_request_size(&t->request);
    must(t->size <= LIMIT_RING_SMALL, "fits a small slot");
    core_request_encode(&t->request, t->frame);
}

static void judge(const struct task *t)
{
    if (kit.reply.error != ERR_OK) {
        refused++;
        return;
    }
    accepted++;
    wrong += !bytes_equal(kit.reply.section[0], t->want);
}

static void pass(const struct task *t, struct buf *reply)
{
    static uint8_t private[LIMIT_RING_LARGE];
    struct core_request request;
    uint8_t head[CORE_REPLY_HEAD];
    struct core_reply empty = { 0 };
    unsigned slot = 0, token = 0;
    size_t size = 0;
    must(ring_submit(door, bytes_of(t->frame, t->size), &slot) == ERR_OK, "submit");
    atomic_store_explicit(&target, (size_t)slot * LIMIT_RING_SMALL, memory_order_relaxed);
    must(ring_take(worker, private, &size, &token) == ERR_OK, "take");
    if (core_request_decode(bytes_of(private, size), &request) == ERR_OK) {
        worker_answer(kit.worker, &request, kit.out, sizeof kit.out, &kit.reply);
        judge(t);
    } else {
        refused++;
    }
    core_reply_encode(&empty, head);
    must(ring_reply(worker, token, bytes_of(head, sizeof head)) == ERR_OK, "reply");
    must(ring_complete(door, &slot, reply) == ERR_OK, "complete");
}

static void run(uint64_t operations)
{
    static uint8_t iv[12] = { 1 }, aad[20] = { 2 }, plain[DATA];
    static struct task task[2];
    struct buf blob = { 0 }, list = { 0 }, template = { 0 }, parameter = { 0 }, reply = { 0 };
    const struct mechanism_gcm p = { 128, { iv, sizeof iv }, { aad, sizeof aad } };
    memset(plain, 0x5a, sizeof plain);
    must(template_put_u64(&template, CKA_VALUE_LEN, 32) == ERR_OK, "template");
    must(worker_kit_generate(&kit, CKM_AES_KEY_GEN, &template, &blob, &list) == ERR_OK, "key");
    must(mechanism_gcm_append(&parameter, &p) == ERR_OK, "parameter");
    must(worker_kit_operate(&kit, CORE_ENCRYPT, CKM_AES_GCM, &blob, buf_bytes(&parameter),
                            bytes_of(plain, DATA), bytes_of(NULL, 0)) == ERR_OK,
         "encrypt");
    struct buf cipher = worker_kit_take(&kit, 0);
    worker_kit_request(&kit, CORE_DECRYPT, KIT_USER);
    kit.request.mechanism = CKM_AES_GCM;
    kit.request.section[0] = buf_bytes(&blob);
    kit.request.section[1] = buf_bytes(&parameter);
    kit.request.section[2] = buf_bytes(&cipher);
    task[0].request = kit.request;
    task[0].want = bytes_of(plain, DATA);
    worker_kit_request(&kit, CORE_ATTRIBUTES, KIT_USER);
    kit.request.section[0] = buf_bytes(&blob);
    task[1].request = kit.request;
    task[1].want = buf_bytes(&list);
    for (unsigned i = 0; i < 2; i++) {
        encode(&task[i]);
    }
    for (uint64_t i = 0; i < operations; i++) {
        const struct task *t = &task[i & 1];
        atomic_store_explicit(&reach, t->size, memory_order_relaxed);
        pass(t, &reply);
    }
    struct buf *all[] = { &blob, &list, &template, &parameter, &reply, &cipher };
    for (unsigned i = 0; i < 6; i++) {
        buf_drop(all[i]);
    }
}

/* -- the control: in place ----------------------------------------------------------------- */

static void control(uint64_t operations)
{
    static uint8_t key[32] = { 3 }, iv[12] = { 4 }, plain[DATA], cipher[DATA + 16], out[DATA];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    atomic_store(&reach, DATA);
    must(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
             EVP_EncryptUpdate(ctx, cipher, &n, plain, DATA) == 1 &&
             EVP_EncryptFinal_ex(ctx, cipher + DATA, &n) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, cipher + DATA) == 1,
         "encrypt");
    memcpy(slots, cipher, DATA);
    for (uint64_t i = 0; i < operations && wrong == 0; i++) {
        must(EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
                 EVP_DecryptUpdate(ctx, out, &n, slots, DATA) == 1 &&
                 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, cipher + DATA) == 1,
             "decrypt");
        if (EVP_DecryptFinal_ex(ctx, out + n, &n) == 1) {
            accepted++;
            wrong += memcmp(out, plain, DATA) != 0;
        }
    }
    EVP_CIPHER_CTX_free(ctx);
}

int main(int argc, char **argv)
{
    bool in_place = argc > 2 && strcmp(argv[2], "control") == 0;
    uint64_t operations = argc > 1 ? strtoull(argv[1], NULL, 10) : USUAL_OPERATIONS;
    pthread_t thread;
    worker_kit_open(&kit);
    open_ring();
    atomic_store(&reach, DATA);
    must(pthread_create(&thread, NULL, flip, NULL) == 0, "thread");
    if (in_place) {
        control(operations != 0 ? operations : CONTROL_OPERATIONS);
    } else {
        run(operations);
    }
    atomic_store(&stop, true);
    must(pthread_join(thread, NULL) == 0, "join");
    ring_detach(door);
    ring_detach(worker);
    worker_kit_close(&kit);
    (void)fprintf(stderr, "%llu accepted, %llu refused\n", (unsigned long long)accepted,
                  (unsigned long long)refused);
    printf("%llu operations, %llu accepted wrong\n", (unsigned long long)operations,
           (unsigned long long)wrong);
    return in_place ? wrong == 0 : wrong != 0 || refused == 0 || accepted == 0;
}
