/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and TLS keys on disk. Files are replaced whole: written beside,
 * synced, renamed. Key text passes through secrets. No state; any thread. */
#include "base/x509.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/crypt.h"
#include "base/crypt_ossl.h"
#include "base/digest.h"

#define FILE_LIMIT 65536u
#define PATH_SIZE 4096u
/* Pinned by key hash, so the dates say nothing: the last is RFC 5280's "never". */
#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER "99991231235959Z"

static void free_bio(BIO **b)
{
    BIO_free(*b);
}
static void free_cert(X509 **x)
{
    X509_free(*x);
}
static void free_pkey(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
static void free_der(uint8_t **der)
{
    OPENSSL_free(*der);
}
static void close_fd(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}
#define BIO_SCOPED __attribute__((cleanup(free_bio))) BIO
#define CERT_SCOPED __attribute__((cleanup(free_cert))) X509
#define PKEY_SCOPED __attribute__((cleanup(free_pkey))) EVP_PKEY
#define DER_SCOPED __attribute__((cleanup(free_der))) uint8_t
#define FD_SCOPED __attribute__((cleanup(close_fd))) int

static enum err from_ossl(int rc)
{
    return rc == 1 ? ERR_OK : ERR_CRYPTO;
}

/* Never asks a terminal: an encrypted key is an error. */
static int no_password(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

static enum err read_file(const char *path, struct secret *out)
{
    SECRET_SCOPED whole = { 0 };
    FD_SCOPED fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    }
    TRY(secret_alloc(&whole, FILE_LIMIT + 1));
    size_t size = 0;
    while (size < whole.size) {
        const ssize_t n = read(fd, whole.data + size, whole.size - size);
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
        if (n == 0) {
            break;
        }
        size += n > 0 ? (size_t)n : 0;
    }
    if (size > FILE_LIMIT) {
        return ERR_TOO_LARGE;
    }
    whole.size = size;
    *out = secret_take(&whole);
    return ERR_OK;
}

static enum err write_all(int fd, struct bytes data)
{
    while (data.size > 0) {
        const ssize_t n = write(fd, data.data, data.size);
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
        if (n > 0) {
            data = bytes_of(data.data + n, data.size - (size_t)n);
        }
    }
    return fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

/* The rename itself must last: syncs the folder the file lies in. */
static enum err sync_folder(const char *path)
{
    char folder[PATH_SIZE];
    (void)snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)snprintf(folder, sizeof(folder), ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    FD_SCOPED fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? ERR_OK : ERR_IO;
}

static enum err write_beside(const char *beside, struct bytes data, mode_t mode)
{
    (void)unlink(beside); /* of a run that ended half way */
    FD_SCOPED fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 || fchmod(fd, mode) != 0) {
        return ERR_IO;
    }
    return write_all(fd, data);
}

static enum err write_file(const char *path, struct bytes data, mode_t mode)
{
    char beside[PATH_SIZE];
    const int n = snprintf(beside, sizeof(beside), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(beside)) {
        return ERR_TOO_LARGE;
    }
    const enum err e = write_beside(beside, data, mode);
    if (e != ERR_OK || rename(beside, path) != 0) {
        (void)unlink(beside);
        return e != ERR_OK ? e : ERR_IO;
    }
    return sync_folder(path);
}

static enum err write_bio(const char *path, BIO *bio, mode_t mode)
{
    char *data = NULL;
    const long size = BIO_get_mem_data(bio, &data);
    if (size <= 0) {
        return ERR_CRYPTO;
    }
    return write_file(path, bytes_of(data, (size_t)size), mode);
}

static enum err read_key(const char *path, EVP_PKEY **out)
{
    SECRET_SCOPED text = { 0 };
    TRY(read_file(path, &text));
    BIO_SCOPED *bio = BIO_new_mem_buf(text.data, (int)text.size);
    if (bio == NULL) {
        return ERR_NOMEM;
    }
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, no_password, NULL, crypt_ossl_library(), NULL);
    if (key == NULL) {
        return ERR_MALFORMED;
    }
    *out = key;
    return ERR_OK;
}

static enum err make_key(const char *path, EVP_PKEY **out)
{
    PKEY_SCOPED *key = EVP_PKEY_Q_keygen(crypt_ossl_library(), NULL, "EC", "P-256");
    BIO_SCOPED *bio = BIO_new(BIO_s_mem()); /* wiped when freed */
    if (key == NULL || bio == NULL) {
        return ERR_CRYPTO;
    }
    TRY(from_ossl(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, no_password, NULL)));
    TRY(write_bio(path, bio, 0600));
    *out = key;
    key = NULL;
    return ERR_OK;
}

/* All of der, nothing after it. */
static enum err parse_cert(struct bytes der, X509 **out)
{
    const uint8_t *at = der.data;
    CERT_SCOPED *cert = X509_new_ex(crypt_ossl_library(), NULL);
    if (cert == NULL) {
        return ERR_NOMEM;
    }
    if (der.size == 0 || der.size > FILE_LIMIT || d2i_X509(&cert, &at, (long)der.size) == NULL ||
        at != der.data + der.size) {
        return ERR_MALFORMED;
    }
    *out = cert;
    cert = NULL;
    return ERR_OK;
}

static enum err add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    const int rc = extension == NULL ? 0 : X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return from_ossl(rc);
}

static enum err set_serial(X509 *cert)
{
    uint8_t serial[16];
    TRY(crypt_random(serial, sizeof(serial)));
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, 16 bytes */
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    const bool set = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return set ? ERR_OK : ERR_NOMEM;
}

static enum err fill_cert(X509 *cert, EVP_PKEY *key, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    const unsigned char *text = (const unsigned char *)name;
    TRY(from_ossl(X509_set_version(cert, X509_VERSION_3)));
    TRY(set_serial(cert));
    TRY(from_ossl(
        X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, text, -1, -1, 0)));
    TRY(from_ossl(X509_set_issuer_name(cert, subject)));
    TRY(from_ossl(ASN1_TIME_set_string(X509_getm_notBefore(cert), NOT_BEFORE)));
    TRY(from_ossl(ASN1_TIME_set_string(X509_getm_notAfter(cert), NOT_AFTER)));
    TRY(from_ossl(X509_set_pubkey(cert, key)));
    TRY(add_extension(cert, NID_basic_constraints, "critical,CA:FALSE"));
    TRY(add_extension(cert, NID_key_usage, "critical,digitalSignature"));
    return X509_sign(cert, key, crypt_ossl_sha256()) > 0 ? ERR_OK : ERR_CRYPTO;
}

static enum err make_cert(const char *path, EVP_PKEY *key, const char *name)
{
    CERT_SCOPED *cert = X509_new_ex(crypt_ossl_library(), NULL);
    BIO_SCOPED *bio = BIO_new(BIO_s_mem());
    if (cert == NULL || bio == NULL) {
        return ERR_NOMEM;
    }
    TRY(fill_cert(cert, key, name));
    TRY(from_ossl(PEM_write_bio_X509(bio, cert)));
    return write_bio(path, bio, 0644);
}

/* A certificate that is there must be of this key. */
static enum err check_pair(struct bytes der, const EVP_PKEY *key)
{
    CERT_SCOPED *cert = NULL;
    TRY(parse_cert(der, &cert));
    return X509_check_private_key(cert, key) == 1 ? ERR_OK : ERR_CONFIG;
}

void x509_spki_hash(struct bytes spki_der, uint8_t out[X509_SPKI_HASH])
{
    digest_sha256(&spki_der, 1, out);
}

enum err x509_make_identity(const char *key_path, const char *cert_path, const char *name)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    PKEY_SCOPED *key = NULL;
    BUF_SCOPED der = { 0 };
    enum err e = read_key(key_path, &key);
    if (e == ERR_NOTFOUND) {
        TRY(make_key(key_path, &key));
        return make_cert(cert_path, key, name); /* one of an older key is of no use */
    }
    TRY(e);
    e = x509_cert_read(cert_path, &der);
    if (e == ERR_NOTFOUND) {
        return make_cert(cert_path, key, name);
    }
    TRY(e);
    return check_pair(buf_bytes(&der), key);
}

enum err x509_key_spki(const char *key_path, struct buf *spki_der, uint8_t hash[X509_SPKI_HASH])
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    PKEY_SCOPED *key = NULL;
    DER_SCOPED *der = NULL;
    TRY(read_key(key_path, &key));
    const int size = i2d_PUBKEY(key, &der);
    if (size <= 0) {
        return ERR_CRYPTO;
    }
    const struct bytes spki = bytes_of(der, (size_t)size);
    buf_clear(spki_der);
    TRY(buf_append(spki_der, spki, FILE_LIMIT));
    x509_spki_hash(spki, hash);
    return ERR_OK;
}

enum err x509_cert_write(const char *path, struct bytes der)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    CERT_SCOPED *cert = NULL;
    BIO_SCOPED *bio = BIO_new(BIO_s_mem());
    TRY(parse_cert(der, &cert));
    TRY(from_ossl(bio == NULL ? 0 : PEM_write_bio_X509(bio, cert)));
    return write_bio(path, bio, 0644);
}

enum err x509_cert_read(const char *path, struct buf *der)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    SECRET_SCOPED text = { 0 };
    DER_SCOPED *out = NULL;
    TRY(read_file(path, &text));
    BIO_SCOPED *bio = BIO_new_mem_buf(text.data, (int)text.size);
    CERT_SCOPED *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, no_password, NULL);
    if (cert == NULL) {
        return bio == NULL ? ERR_NOMEM : ERR_MALFORMED;
    }
    const int size = i2d_X509(cert, &out);
    if (size <= 0) {
        return ERR_CRYPTO;
    }
    buf_clear(der);
    return buf_append(der, bytes_of(out, (size_t)size), FILE_LIMIT);
}

enum err x509_cert_remaining_s(struct bytes der, uint64_t now_s, int64_t *out)
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    CERT_SCOPED *cert = NULL;
    struct tm end = { 0 };
    assert(now_s <= INT64_MAX / 2);
    TRY(parse_cert(der, &cert));
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) != 1) {
        return ERR_MALFORMED;
    }
    *out = (int64_t)timegm(&end) - (int64_t)now_s;
    return ERR_OK;
}

enum err x509_cert_spki_hash(struct bytes der, uint8_t hash[X509_SPKI_HASH])
{
    TRY(crypt_init());
    CRYPT_ERRORS_SCOPED mark = crypt_ossl_mark();
    CERT_SCOPED *cert = NULL;
    DER_SCOPED *spki = NULL;
    TRY(parse_cert(der, &cert));
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    if (size <= 0) {
        return ERR_CRYPTO;
    }
    x509_spki_hash(bytes_of(spki, (size_t)size), hash);
    return ERR_OK;
}
