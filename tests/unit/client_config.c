/* SPDX-License-Identifier: Apache-2.0 */
/* ringkeep.conf and login.state: what is read, what is refused and how it is said. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "client/client_config.h"
#include "client/client_pins.h"
#include "client/ringkeep.h"

static char path[64];

static void write_text(const char *text)
{
    (void)snprintf(path, sizeof(path), "/tmp/client_config.XXXXXX");
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

#define CLUSTER "[cluster]\nid = 00112233445566778899aabbccddeeff\nmember = 127.0.0.1:1792\n"

static enum err read_text(const char *text, struct client_config *out, char error[256])
{
    write_text(text);
    const enum err e = client_config_read(path, out, error, 256);
    (void)unlink(path);
    return e;
}

Test(client_config, reads_all_and_settles_paths_by_the_folder, .timeout = 60)
{
    struct client_config c;
    char error[256];
    cr_assert_eq(read_text("[client]\ncertificate = a.crt\nkey = /k\n" CLUSTER "member = [::1]:2000\n", &c, error), ERR_OK);
    cr_expect_str_eq(c.certificate, "/tmp/a.crt");
    cr_expect_str_eq(c.key, "/k");
    cr_expect_str_eq(c.ca, "/tmp/ca.crt");
    cr_expect_str_eq(c.state, "/tmp/login.state");
    cr_expect_eq(c.member_count, 2);
    cr_expect_eq(c.cluster_id[1], 0x11);
}

struct bad {
    const char *text, *says;
};

Test(client_config, every_mistake_is_said_with_its_file, .timeout = 60)
{
    static const struct bad bad[] = {
        { "[client]\nkeys = a\n" CLUSTER, "keys" },
        { "[cluster]\nid = 0011\nmember = a:1\n", "32 hex digits" },
        { "[cluster]\nmember = a:1\n", "32 hex digits" },
        { "[cluster]\nid = 00112233445566778899aabbccddeeff\n", "member" },
        { CLUSTER "member = nowhere\n", "host:port" },
        { CLUSTER "member = a:123456\n", "host:port" },
        { CLUSTER "member = :1\n", "host:port" },
        { "nonsense\n", ":1:" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct client_config c;
        char error[256] = "";
        cr_expect_eq(read_text(bad[i].text, &c, error), ERR_CONFIG, "%s", bad[i].text);
        cr_expect_not_null(strstr(error, bad[i].says), "%s", error);
        cr_expect_not_null(strstr(error, path), "%s", error);
    }
}

Test(client_config, open_says_what_is_missing, .timeout = 60)
{
    struct ringkeep_client *c = NULL;
    const char *text = NULL;
    cr_expect_eq(ringkeep_open("/nonexistent/ringkeep.conf", &c, &text), ERR_NOTFOUND);
    cr_expect_not_null(strstr(text, "/nonexistent"));
    write_text(CLUSTER);
    cr_expect_eq(ringkeep_open(path, &c, &text), ERR_CONFIG);
    cr_expect_not_null(strstr(text, "client.crt"), "%s", text);
    (void)setenv("HOME", "/nonexistent", 1);
    (void)setenv("RINGKEEP_CONF", path, 1);
    cr_expect_eq(ringkeep_open(NULL, &c, &text), ERR_CONFIG);
    (void)unsetenv("RINGKEEP_CONF");
    (void)unlink(path);
    cr_expect_null(c);
}

Test(client_config, any_error_number_has_a_text, .timeout = 60)
{
    cr_expect_str_eq(ringkeep_error_text(ERR_SEALED), err_text(ERR_SEALED));
    cr_expect_str_eq(ringkeep_error_text(-5), "unknown error");
    cr_expect_str_eq(ringkeep_error_text(100000), "unknown error");
}

/* -- pins ------------------------------------------------------------------------ */

static struct envelope_pinned some_pins(uint64_t lk_version, uint64_t roster_version)
{
    struct envelope_pinned p = { .lk_version = lk_version };
    random_fill(random_system(), p.lk_pub, 32);
    p.identities.roster_version = roster_version;
    p.identities.count = 2;
    p.identities.row[0].member_id[0] = 1;
    p.identities.row[1].member_id[0] = 2;
    memset(p.identities.row[0].id_pub, 7, 32);
    memset(p.identities.row[1].id_pub, 8, 32);
    return p;
}

static void expect_same(const struct envelope_pinned *a, const struct envelope_pinned *b)
{
    uint8_t x[CLIENT_PINS_MAX], y[CLIENT_PINS_MAX];
    const size_t m = client_pins_encode(a, x), n = client_pins_encode(b, y);
    cr_expect_eq(m, n);
    cr_expect_arr_eq(x, y, n);
}

Test(client_pins, survive_the_file_with_its_rights, .timeout = 60)
{
    struct envelope_pinned p = some_pins(5, 6), back;
    struct stat info;
    write_text("");
    (void)unlink(path);
    cr_expect_eq(client_pins_load(path, &back), ERR_NOTFOUND);
    cr_assert_eq(client_pins_save(path, &p), ERR_OK);
    cr_assert_eq(stat(path, &info), 0);
    cr_expect_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(client_pins_load(path, &back), ERR_OK);
    expect_same(&p, &back);
    (void)chmod(path, 0620);
    cr_expect_eq(client_pins_load(path, &back), ERR_REFUSED);
    (void)unlink(path);
}

Test(client_pins, never_go_back, .timeout = 60)
{
    struct envelope_pinned newer = some_pins(5, 6), older = some_pins(4, 6), back;
    write_text("");
    (void)unlink(path);
    cr_assert_eq(client_pins_save(path, &newer), ERR_OK);
    cr_expect_eq(client_pins_save(path, &older), ERR_OK);
    cr_assert_eq(client_pins_load(path, &back), ERR_OK);
    expect_same(&newer, &back);
    older = some_pins(5, 5);
    cr_expect_eq(client_pins_save(path, &older), ERR_OK);
    cr_assert_eq(client_pins_load(path, &back), ERR_OK);
    expect_same(&newer, &back);
    (void)unlink(path);
}

Test(client_pins, damaged_files_are_refused, .timeout = 60)
{
    const struct envelope_pinned p = some_pins(1, 1);
    uint8_t good[CLIENT_PINS_MAX], bad[CLIENT_PINS_MAX + 1];
    struct envelope_pinned out;
    const size_t size = client_pins_encode(&p, good);
    for (size_t n = 0; n < size; n++) {
        cr_expect_eq(client_pins_decode(bytes_of(good, n), &out), ERR_MALFORMED, "%zu", n);
    }
    memcpy(bad, good, size);
    bad[size] = 0;
    cr_expect_eq(client_pins_decode(bytes_of(bad, size + 1), &out), ERR_MALFORMED);
    for (size_t n = 0; n < 8; n++) {
        memcpy(bad, good, size);
        bad[n] ^= 1;
        cr_expect_eq(client_pins_decode(bytes_of(bad, size), &out), ERR_MALFORMED, "%zu", n);
    }
    cr_expect_eq(client_pins_decode(bytes_of(good, size), &out), ERR_OK);
}
