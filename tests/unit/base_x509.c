/* SPDX-License-Identifier: Apache-2.0 */
/* Identities and certificates on disk. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/x509.h"

static char folder[] = "/tmp/base_x509.XXXXXX";
static char key_path[64], cert_path[64], other_path[64];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(key_path, sizeof(key_path), "%s/a.key", folder);
    (void)snprintf(cert_path, sizeof(cert_path), "%s/a.crt", folder);
    (void)snprintf(other_path, sizeof(other_path), "%s/b", folder);
}

static void remove_folder(void)
{
    (void)unlink(key_path);
    (void)unlink(cert_path);
    (void)unlink(other_path);
    cr_expect_eq(rmdir(folder), 0, "nothing is left beside the files");
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

TestSuite(x509, .init = make_folder, .fini = remove_folder, .timeout = 20);

Test(x509, an_identity_has_one_key_hash_in_key_and_certificate, .timeout = 20)
{
    struct stat status;
    uint8_t by_key[X509_SPKI_HASH], by_cert[X509_SPKI_HASH], by_der[X509_SPKI_HASH];
    BUF_SCOPED spki = { 0 };
    BUF_SCOPED der = { 0 };
    int64_t left = 0;
    cr_assert_eq(x509_make_identity(key_path, cert_path, "member-1"), ERR_OK);
    cr_assert_eq(stat(key_path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0600);
    cr_assert_eq(x509_key_spki(key_path, &spki, by_key), ERR_OK);
    cr_expect_eq(spki.size, 91, "P-256");
    x509_spki_hash(buf_bytes(&spki), by_der);
    cr_assert_eq(x509_cert_read(cert_path, &der), ERR_OK);
    cr_assert_eq(x509_cert_spki_hash(buf_bytes(&der), by_cert), ERR_OK);
    cr_expect_eq(memcmp(by_key, by_cert, X509_SPKI_HASH), 0);
    cr_expect_eq(memcmp(by_key, by_der, X509_SPKI_HASH), 0);
    cr_assert_eq(x509_cert_remaining_s(buf_bytes(&der), (uint64_t)time(NULL), &left), ERR_OK);
    cr_expect_gt(left, 1000LL * 365 * 86400);
    cr_assert_eq(x509_cert_remaining_s(buf_bytes(&der), 253402300800u, &left), ERR_OK);
    cr_expect_eq(left, -1);
}

Test(x509, an_identity_that_is_there_is_kept, .timeout = 20)
{
    uint8_t first[X509_SPKI_HASH], second[X509_SPKI_HASH];
    BUF_SCOPED spki = { 0 };
    BUF_SCOPED before = { 0 };
    BUF_SCOPED after = { 0 };
    cr_assert_eq(x509_make_identity(key_path, cert_path, "m"), ERR_OK);
    cr_assert_eq(x509_key_spki(key_path, &spki, first), ERR_OK);
    cr_assert_eq(x509_cert_read(cert_path, &before), ERR_OK);
    cr_assert_eq(x509_make_identity(key_path, cert_path, "m"), ERR_OK);
    cr_assert_eq(x509_key_spki(key_path, &spki, second), ERR_OK);
    cr_assert_eq(x509_cert_read(cert_path, &after), ERR_OK);
    cr_expect_eq(memcmp(first, second, X509_SPKI_HASH), 0);
    cr_expect(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    cr_assert_eq(unlink(cert_path), 0);
    cr_assert_eq(x509_make_identity(key_path, cert_path, "m"), ERR_OK);
    cr_assert_eq(x509_cert_read(cert_path, &after), ERR_OK);
    cr_assert_eq(x509_cert_spki_hash(buf_bytes(&after), second), ERR_OK);
    cr_expect_eq(memcmp(first, second, X509_SPKI_HASH), 0,
                 "a lost certificate is made of the same key");
}

Test(x509, a_certificate_of_another_key_is_a_bad_configuration, .timeout = 20)
{
    cr_assert_eq(x509_make_identity(other_path, cert_path, "m"), ERR_OK);
    cr_assert_eq(x509_make_identity(key_path, cert_path, "m"), ERR_OK);
    cr_expect_eq(x509_make_identity(other_path, cert_path, "m"), ERR_CONFIG);
}

Test(x509, certificates_go_to_disk_and_back, .timeout = 20)
{
    BUF_SCOPED der = { 0 };
    BUF_SCOPED again = { 0 };
    uint8_t hash[X509_SPKI_HASH];
    cr_assert_eq(x509_make_identity(key_path, cert_path, "m"), ERR_OK);
    cr_assert_eq(x509_cert_read(cert_path, &der), ERR_OK);
    cr_assert_eq(x509_cert_write(other_path, buf_bytes(&der)), ERR_OK);
    cr_assert_eq(x509_cert_read(other_path, &again), ERR_OK);
    cr_expect(bytes_equal(buf_bytes(&der), buf_bytes(&again)));
    cr_assert_eq(buf_append(&der, bytes_of("", 1), 65536), ERR_OK);
    cr_expect_eq(x509_cert_write(other_path, buf_bytes(&der)), ERR_MALFORMED, "a byte too many");
    der.size -= 2;
    cr_expect_eq(x509_cert_spki_hash(buf_bytes(&der), hash), ERR_MALFORMED, "a byte too few");
    cr_expect_eq(x509_cert_spki_hash(bytes_of(NULL, 0), hash), ERR_MALFORMED);
}

Test(x509, bad_files_are_told_apart, .timeout = 20)
{
    BUF_SCOPED out = { 0 };
    uint8_t hash[X509_SPKI_HASH];
    cr_expect_eq(x509_cert_read(cert_path, &out), ERR_NOTFOUND);
    cr_expect_eq(x509_key_spki(key_path, &out, hash), ERR_NOTFOUND);
    write_text(cert_path, "no PEM at all\n");
    write_text(key_path, "");
    cr_expect_eq(x509_cert_read(cert_path, &out), ERR_MALFORMED);
    cr_expect_eq(x509_key_spki(key_path, &out, hash), ERR_MALFORMED);
    cr_expect_eq(x509_make_identity(key_path, cert_path, "m"), ERR_MALFORMED, "never replaced");
    cr_expect_eq(x509_make_identity("/nowhere/k", "/nowhere/c", "m"), ERR_IO);
}
