/* SPDX-License-Identifier: Apache-2.0 */
/* A program that logged in once and goes on: makes a P-256 key, prints "ready", then
 * does what each line of stdin says and answers with one line.
 *   sign            "ok sign" or "error NUMBER TEXT: MORE"
 *   signs SECONDS   the same after signing all the time: "ok signs COUNT"
 *   create          makes another key
 * long_client CONF KEYRING PIN_FILE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#include "base/bytes.h"
#include "base/err.h"
#include "client/ringkeep_internal.h"
#include "proto/template.h"

static struct ringkeep_client *client;
static uint8_t keyring_id[16], key_id[16];

static bool on_object(void *arg, const struct ringkeep_object *object)
{
    if (object->is_private) {
        memcpy(arg, object->object_id, 16);
    }
    return true;
}

static int create(uint8_t out[16])
{
    static const uint8_t p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    BUF_SCOPED public_list = { 0 };
    BUF_SCOPED private_list = { 0 };
    TRY(template_put_bool(&public_list, CKA_TOKEN, true));
    TRY(template_put(&public_list, CKA_EC_PARAMS, bytes_of(p256, sizeof p256)));
    TRY(template_put_bool(&private_list, CKA_TOKEN, true));
    return ringkeep_generate(client, keyring_id, CKM_EC_KEY_PAIR_GEN, private_list.data, private_list.size,
                             public_list.data, public_list.size, true, on_object, out);
}

static int sign(void)
{
    static const uint8_t hash[32] = { 1, 2, 3 };
    const struct ringkeep_key key = { .object_id = key_id };
    uint8_t signature[256];
    size_t size = sizeof signature;
    const int error = ringkeep_operate(client, keyring_id, RINGKEEP_SIGN, &key, CKM_ECDSA, NULL, 0, hash,
                                       sizeof hash, NULL, 0, signature, &size);
    return error == ERR_OK && size != 64 ? ERR_DATA_LENGTH : error;
}

static int sign_for(long seconds, unsigned *count)
{
    const time_t end = time(NULL) + seconds;
    int error = ERR_OK;
    while (error == ERR_OK && time(NULL) < end) {
        error = sign();
        (*count)++;
    }
    return error;
}

static int find_keyring(const char *label)
{
    struct ringkeep_slot slots[64];
    size_t count = 0;
    const int error = ringkeep_slots(client, slots, 64, &count);
    for (size_t i = 0; error == ERR_OK && i < count && i < 64; i++) {
        if (strcmp(slots[i].label, label) == 0) {
            memcpy(keyring_id, slots[i].keyring_id, 16);
            return ERR_OK;
        }
    }
    return error == ERR_OK ? ERR_NOTFOUND : error;
}

static int login(const char *path)
{
    char pin[256] = "";
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(pin, sizeof pin, f) == NULL) {
        return ERR_IO;
    }
    (void)fclose(f);
    pin[strcspn(pin, "\n")] = 0;
    return ringkeep_login(client, keyring_id, RINGKEEP_ROLE_KRCO, pin, strlen(pin));
}

static void answer(const char *line)
{
    unsigned count = 1;
    uint8_t made[16];
    int error = ERR_USAGE;
    if (strncmp(line, "signs ", 6) == 0) {
        count = 0;
        error = sign_for(strtol(line + 6, NULL, 10), &count);
    } else if (strcmp(line, "sign") == 0) {
        error = sign();
    } else if (strcmp(line, "create") == 0) {
        error = create(made);
    }
    if (error == ERR_OK) {
        printf("ok %s %u\n", line, count);
    } else {
        printf("error %d %s: %s\n", error, ringkeep_error_text(error), ringkeep_last_text());
    }
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[64];
    const char *text = "";
    if (argc != 4) {
        return 2;
    }
    int error = ringkeep_open(argv[1], &client, &text);
    error = error != ERR_OK ? error : find_keyring(argv[2]);
    error = error != ERR_OK ? error : login(argv[3]);
    error = error != ERR_OK ? error : create(key_id);
    printf("%s\n", error == ERR_OK ? "ready" : ringkeep_error_text(error));
    (void)fflush(stdout);
    while (error == ERR_OK && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        answer(line);
    }
    ringkeep_close(client);
    return error == ERR_OK ? 0 : 1;
}
