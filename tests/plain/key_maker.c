/* SPDX-License-Identifier: Apache-2.0 */
/* Makes P-256 keys in a keyring for some seconds from several threads and prints
 * each acknowledged one: "acked HEX". Any error that the library reports is printed
 * as "error N TEXT" and ends that thread.
 *
 * key_maker CONF KEYRING PIN_FILE SECONDS THREADS */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#include "base/bytes.h"
#include "client/ringkeep.h"
#include "proto/template.h"

static struct ringkeep_client *client;
static uint8_t keyring_id[16];
static time_t end;
static pthread_mutex_t print_lock = PTHREAD_MUTEX_INITIALIZER;
static int failures;

static bool on_object(void *arg, const struct ringkeep_object *object)
{
    char hex[33];
    if (object->is_private) {
        (void)snprintf(arg, 33, "%s", hex_from(bytes_of(object->object_id, 16), hex));
    }
    return true;
}

static void *make(void *arg)
{
    static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    BUF_SCOPED public_list = { 0 };
    BUF_SCOPED private_list = { 0 };
    (void)arg;
    if (template_put_bool(&public_list, CKA_TOKEN, true) != ERR_OK ||
        template_put(&public_list, CKA_EC_PARAMS, bytes_of(p256, sizeof(p256))) != ERR_OK ||
        template_put_bool(&private_list, CKA_TOKEN, true) != ERR_OK) {
        return NULL;
    }
    while (time(NULL) < end) {
        char hex[33] = "";
        const int error = ringkeep_generate(client, keyring_id, CKM_EC_KEY_PAIR_GEN,
                                            private_list.data, private_list.size, public_list.data,
                                            public_list.size, true, on_object, hex);
        (void)pthread_mutex_lock(&print_lock);
        if (error == 0) {
            printf("acked %s\n", hex);
        } else {
            printf("error %d %s\n", error, ringkeep_error_text(error));
            failures++;
        }
        (void)fflush(stdout);
        (void)pthread_mutex_unlock(&print_lock);
        if (error != 0) {
            break;
        }
    }
    return NULL;
}

static int find_keyring(const char *label)
{
    struct ringkeep_slot slots[64];
    size_t count = 0;
    int error = ringkeep_slots(client, slots, 64, &count);
    for (size_t i = 0; error == 0 && i < count && i < 64; i++) {
        if (strcmp(slots[i].label, label) == 0) {
            memcpy(keyring_id, slots[i].keyring_id, 16);
            return 0;
        }
    }
    return error == 0 ? 8 : error;
}

static int login(const char *path)
{
    char pin[256] = "";
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(pin, sizeof(pin), f) == NULL) {
        return 1;
    }
    (void)fclose(f);
    pin[strcspn(pin, "\n")] = 0;
    return ringkeep_login(client, keyring_id, RINGKEEP_ROLE_KRCO, pin, strlen(pin));
}

int main(int argc, char **argv)
{
    const char *text = "";
    pthread_t threads[16];
    if (argc != 6) {
        return 2;
    }
    int error = ringkeep_open(argv[1], &client, &text);
    error = error != 0 ? error : find_keyring(argv[2]);
    error = error != 0 ? error : login(argv[3]);
    if (error != 0) {
        printf("error %d %s %s\n", error, ringkeep_error_text(error), text == NULL ? "" : text);
        return 1;
    }
    end = time(NULL) + strtol(argv[4], NULL, 10);
    const long count = strtol(argv[5], NULL, 10) % 17;
    for (long i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, make, NULL) != 0) {
            return 1;
        }
    }
    for (long i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    ringkeep_close(client);
    return failures == 0 ? 0 : 1;
}
