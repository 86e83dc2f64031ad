/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads on one client while members die and come back: no error but those
 * that a login by another thread explains. Made for MODE=tsan; prints one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ringkeep_internal.h"
#include "tests/lib/fake_cluster.h"

#define THREADS 8u
#define ROUNDS 150u

static struct fake_cluster f;
static struct ringkeep_client *c;

static bool on_object(void *arg, const struct ringkeep_object *o)
{
    *(uint64_t *)arg += o->attributes_size;
    return true;
}

static int sign(void)
{
    static const uint8_t id[16] = { 1 };
    const struct ringkeep_key key = { id, NULL, 0 };
    char out[64];
    size_t size = sizeof(out);
    return ringkeep_operate(c, f.keyring_id, RINGKEEP_SIGN, &key, 1, NULL, 0, "data", 4, NULL, 0, out, &size);
}

static int login(void)
{
    return ringkeep_login(c, f.keyring_id, RINGKEEP_ROLE_KRCO, "correct horse", 13);
}

static void *work(void *arg)
{
    const unsigned number = *(const unsigned *)arg;
    uintptr_t failures = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t bytes = 0;
        uint8_t random[8];
        int e = ERR_OK;
        switch ((number + i) % 8) {
            case 0: e = ringkeep_find(c, f.keyring_id, on_object, &bytes); break;
            case 1: e = ringkeep_random(c, random, sizeof(random)); break;
            case 2: e = number == 2 ? login() : sign(); break;
            default: e = sign(); break;
        }
        /* The fake cluster knows one ticket: a login voids that of the others. */
        failures += e == ERR_OK || e == ERR_LOGIN_REQUIRED ? 0 : 1;
        if (e != ERR_OK && e != ERR_LOGIN_REQUIRED) {
            (void)fprintf(stderr, "thread %u round %u: %s\n", number, i, ringkeep_error_text(e));
        }
    }
    return (void *)failures;
}

int main(void)
{
    pthread_t thread[THREADS];
    unsigned number[THREADS];
    uintptr_t failures = 0;
    const char *text = "";
    fake_cluster_open(&f, 3, 2);
    if (ringkeep_open(fake_cluster_path(&f, "ringkeep.conf"), &c, &text) != ERR_OK || login() != ERR_OK) {
        (void)fprintf(stderr, "%s\n", text);
        return 1;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        number[i] = i;
        (void)pthread_create(&thread[i], NULL, work, &number[i]);
    }
    for (unsigned i = 0; i < 6; i++) {
        (void)usleep(20000);
        fake_cluster_stop(&f, i % 3);
        (void)usleep(20000);
        fake_cluster_start(&f, i % 3);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *result = NULL;
        (void)pthread_join(thread[i], &result);
        failures += (uintptr_t)result;
    }
    ringkeep_close(c);
    fake_cluster_close(&f);
    (void)printf("%s client threads: %u failures\n", failures == 0 ? "ok" : "not ok", (unsigned)failures);
    return failures == 0 ? 0 : 1;
}
