/* SPDX-License-Identifier: Apache-2.0 */
/* The fake members: one thread accepts, one thread a connection serves. Errors of
 * the test's own making are asserts. */
#include "tests/lib/fake_cluster.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypt.h"
#include "base/random.h"
#include "base/tls.h"
#include "client.pb-c.h"
#include "client/client_pb.h"
#include "client/client_pins.h"
#include "proto/frame.h"

/* -- certificates ------------------------------------------------------------------- */

const char *fake_cluster_path(struct fake_cluster *c, const char *name)
{
    static _Thread_local char paths[8][128];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, 128, "%s/%s", c->folder, name);
    return path;
}

static FILE *open_file(struct fake_cluster *c, const char *name, const char *end, const char *how)
{
    char file_name[64];
    (void)snprintf(file_name, sizeof(file_name), "%s.%s", name, end);
    FILE *file = fopen(fake_cluster_path(c, file_name), how);
    assert(file != NULL);
    return file;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void issue(struct fake_cluster *c, const char *name, const char *ca, const char *usage)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *ca_key = key;
    X509 *cert = X509_new(), *ca_cert = cert;
    FILE *file = NULL;
    if (ca != NULL) {
        file = open_file(c, ca, "key", "re");
        ca_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        (void)fclose(file);
        file = open_file(c, ca, "crt", "re");
        ca_cert = PEM_read_X509(file, NULL, NULL, NULL);
        (void)fclose(file);
    }
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + (long)strlen(name));
    X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(ca_cert));
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400L);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * 10);
    X509_set_pubkey(cert, key);
    add_extension(cert, ca_cert, NID_basic_constraints, ca == NULL ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (usage != NULL) {
        add_extension(cert, ca_cert, NID_ext_key_usage, usage);
    }
    const int signed_size = X509_sign(cert, ca_key, EVP_sha256());
    assert(signed_size > 0);
    file = open_file(c, name, "key", "we");
    (void)PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    (void)fclose(file);
    file = open_file(c, name, "crt", "we");
    (void)PEM_write_X509(file, cert);
    (void)fclose(file);
    if (ca != NULL) {
        EVP_PKEY_free(ca_key);
        X509_free(ca_cert);
    }
    EVP_PKEY_free(key);
    X509_free(cert);
}

/* -- the core ------------------------------------------------------------------------- */

static size_t identities(struct fake_cluster *c, uint8_t out[ENVELOPE_IDENTITIES_MAX])
{
    struct envelope_identities i = { 0 };
    i.roster_version = c->roster_version;
    i.count = (uint8_t)c->count;
    for (unsigned n = 0; n < c->count; n++) { /* ids ascend by number */
        memcpy(i.row[n].member_id, c->member[n].member_id, ID_SIZE);
        memcpy(i.row[n].id_pub, c->member[n].id_pub, 32);
    }
    return envelope_identities_encode(&i, out);
}

static void statement(struct fake_member *m, uint8_t out[ENVELOPE_LOGIN_KEY])
{
    struct fake_cluster *c = m->cluster;
    const uint64_t now = clock_wall_s(clock_system());
    const enum err e = envelope_login_key_sign(c->lk_pub, c->lk_version, now, m->member_id, c->cluster_id, m->id_private, out);
    assert(e == ERR_OK);
}

struct answer {
    Ringkeep__Reply reply;
    Ringkeep__Map map;
    Ringkeep__MapMember map_member[FAKE_MEMBERS], *map_pointer[FAKE_MEMBERS];
    char name[8];
    Ringkeep__SlotRow slot, *slot_pointer[1];
    char label[16];
    Ringkeep__ObjectInfo object[FAKE_PAGE], *object_pointer[FAKE_PAGE];
    ProtobufCBinaryData blob[2];
    uint8_t challenge[ID_SIZE], l[ENVELOPE_LOGIN_KEY], i[ENVELOPE_IDENTITIES_MAX], login_reply[ENVELOPE_LOGIN_REPLY];
    uint8_t data[70000];
};

static void set(protobuf_c_boolean *has, ProtobufCBinaryData *field, const void *data, size_t size)
{
    *has = 1;
    *field = client_pb_of(data, size);
}

static void on_hello(struct fake_member *m, struct answer *a)
{
    struct fake_cluster *c = m->cluster;
    ringkeep__map__init(&a->map);
    a->map.epoch = c->map_epoch;
    (void)snprintf(a->name, sizeof(a->name), "m");
    for (unsigned n = 0; n < c->in_map; n++) {
        ringkeep__map_member__init(&a->map_member[n]);
        a->map_member[n].member_id = client_pb_of(c->member[n].member_id, ID_SIZE);
        a->map_member[n].name = a->name;
        a->map_member[n].address = c->member[n].address;
        a->map_member[n].authorized = 1;
        a->map_pointer[n] = &a->map_member[n];
    }
    a->map.n_members = c->in_map;
    a->map.members = a->map_pointer;
    a->reply.map = &a->map;
    set(&a->reply.has_cluster_id, &a->reply.cluster_id, c->cluster_id, ID_SIZE);
    set(&a->reply.has_member_id, &a->reply.member_id, m->member_id, ID_SIZE);
}

static void on_challenge(struct fake_member *m, struct answer *a)
{
    random_fill(random_system(), a->challenge, ID_SIZE);
    memset(a->challenge, 0x5c, 4); /* so that LOGIN can tell a challenge of ours */
    statement(m, a->l);
    set(&a->reply.has_challenge, &a->reply.challenge, a->challenge, ID_SIZE);
    set(&a->reply.has_login_key, &a->reply.login_key, a->l, sizeof(a->l));
    set(&a->reply.has_identities, &a->reply.identities, a->i, identities(m->cluster, a->i));
}

static enum err on_login(struct fake_member *m, const Ringkeep__Login *q, bool change, struct answer *a)
{
    struct fake_cluster *c = m->cluster;
    struct envelope_context context = { 0 };
    struct envelope_pin pin = { 0 };
    uint8_t packed[ENVELOPE_PIN_CONTEXT];
    memcpy(context.cluster_id, c->cluster_id, ID_SIZE);
    memcpy(context.challenge, q->challenge.data, ID_SIZE);
    memcpy(context.kr_id, q->keyring_id.data, ID_SIZE);
    memcpy(context.client_spki, c->client_spki, 32);
    context.role = (uint8_t)q->role;
    envelope_pin_context(&context, packed);
    TRY(envelope_pin_open(client_pb_bytes(q->envelope), c->lk_private, packed, &pin));
    if (pin.verb != (change ? ENVELOPE_CHANGE : ENVELOPE_LOGIN)) {
        return ERR_REFUSED;
    }
    if (!bytes_equal(bytes_of(pin.pin, pin.pin_size), bytes_of_text(c->password))) {
        return ERR_PIN_INCORRECT;
    }
    if (change) {
        memcpy(c->password, pin.new_pin, pin.new_pin_size);
        c->password[pin.new_pin_size] = '\0';
    } else {
        random_fill(random_system(), c->ticket, sizeof(c->ticket));
        c->ticket_good = true;
        set(&a->reply.has_ticket, &a->reply.ticket, c->ticket, sizeof(c->ticket));
    }
    c->logins++;
    statement(m, a->l);
    const size_t size = identities(c, a->i);
    TRY(envelope_login_reply_seal(pin.ts, q->request_id.data, a->l, bytes_of(a->i, size), a->login_reply));
    set(&a->reply.has_login_reply, &a->reply.login_reply, a->login_reply, sizeof(a->login_reply));
    return ERR_OK;
}

static enum err on_open(struct fake_cluster *c, const Ringkeep__Open *q, struct answer *a)
{
    if (q->has_ticket) {
        if (!c->ticket_good || !bytes_equal(client_pb_bytes(q->ticket), bytes_of(c->ticket, sizeof(c->ticket)))) {
            return ERR_TICKET_EXPIRED;
        }
    }
    a->reply.has_session = 1;
    a->reply.session = ++c->next_session * 2 + (q->has_ticket ? 1 : 0); /* odd: logged in */
    return ERR_OK;
}

static void put_object(struct answer *a, const struct fake_object *o)
{
    Ringkeep__ObjectInfo *info = &a->object[a->reply.n_objects];
    ringkeep__object_info__init(info);
    info->object_id = client_pb_of(o->object_id, ID_SIZE);
    info->handle = o->handle;
    info->generation = 1;
    info->is_private = o->is_private;
    info->attributes = client_pb_of("\0\0\0\0\x08\0\0\0\x03\0\0\0\0\0\0\0", 16);
    a->object_pointer[a->reply.n_objects++] = info;
    a->reply.objects = a->object_pointer;
}

static void on_find(struct fake_cluster *c, const Ringkeep__Find *q, struct answer *a)
{
    if (q->has_known_index && q->known_index >= c->changed_index) {
        a->reply.has_unchanged = 1;
        a->reply.unchanged = 1;
        return;
    }
    a->reply.has_more = 1;
    for (unsigned i = 0; i < c->object_count; i++) {
        const struct fake_object *o = &c->object[i];
        if (o->handle <= (q->has_after_handle ? q->after_handle : 0) || (o->is_private && q->session % 2 == 0)) {
            continue;
        }
        if (a->reply.n_objects == FAKE_PAGE) {
            a->reply.more = 1;
            return;
        }
        put_object(a, o);
    }
}

/* At most once, as the store would. */
static const uint8_t *note_write(struct fake_cluster *c, const Ringkeep__Write *w, const uint8_t *object_id)
{
    assert(c->request_count < 64 && c->write_count < 64);
    memcpy(c->request_id[c->request_count], w->request_id.data, ID_SIZE);
    c->base_index[c->request_count++] = w->base_index;
    for (unsigned i = 0; i < c->write_count; i++) {
        if (memcmp(c->done_id[i], w->request_id.data, ID_SIZE) == 0) {
            return c->done_object[i];
        }
    }
    memcpy(c->done_id[c->write_count], w->request_id.data, ID_SIZE);
    memcpy(c->done_object[c->write_count++], object_id, ID_SIZE);
    c->changed_index = ++c->index;
    struct fake_object *o = &c->object[c->object_count];
    memcpy(o->object_id, object_id, ID_SIZE);
    o->handle = c->object_count == 0 ? 1 : c->object[c->object_count - 1].handle + 1;
    o->is_private = true;
    c->object_count++;
    return object_id;
}

static enum err on_generate(struct fake_cluster *c, const Ringkeep__Generate *q, struct answer *a)
{
    struct fake_object o = { .is_private = true };
    memcpy(o.object_id, q->object_id.data, ID_SIZE);
    if (q->token) {
        if (q->write == NULL) {
            return ERR_MALFORMED;
        }
        memcpy(o.object_id, note_write(c, q->write, q->object_id.data), ID_SIZE);
        o.handle = 1;
    } else {
        a->blob[0] = client_pb_of("session blob", 12);
        a->reply.blobs = a->blob;
        a->reply.n_blobs = 1;
    }
    memcpy(a->data, o.object_id, ID_SIZE);
    put_object(a, &o);
    a->object[0].object_id.data = a->data;
    return ERR_OK;
}

static enum err on_import(struct fake_cluster *c, const Ringkeep__Import *q, struct answer *a)
{
    struct envelope_context context = { 0 };
    uint8_t packed[ENVELOPE_IMPORT_CONTEXT], k[CRYPT_KEY];
    size_t size = 0;
    memcpy(context.cluster_id, c->cluster_id, ID_SIZE);
    memcpy(context.challenge, q->challenge.data, ID_SIZE);
    memcpy(context.kr_id, c->keyring_id, ID_SIZE);
    memcpy(context.client_spki, c->client_spki, 32);
    envelope_import_context(&context, client_pb_bytes(q->template_), packed);
    TRY(envelope_import_key(q->envelope.data, c->lk_private, packed, k));
    TRY(envelope_import_open(client_pb_bytes(q->envelope), k, packed, a->data, &size));
    if (!bytes_equal(bytes_of(a->data, size), bytes_of_text("key material"))) {
        return ERR_DATA_INVALID;
    }
    struct fake_object o = { .handle = 1, .is_private = true };
    memcpy(a->data + 1000, note_write(c, q->write, q->object_id.data), ID_SIZE);
    put_object(a, &o);
    a->object[0].object_id.data = a->data + 1000;
    return ERR_OK;
}

static void on_slots(struct fake_cluster *c, struct answer *a)
{
    ringkeep__slot_row__init(&a->slot);
    (void)snprintf(a->label, sizeof(a->label), "signing");
    a->slot.slot = 7;
    a->slot.keyring_id = client_pb_of(c->keyring_id, ID_SIZE);
    a->slot.label = a->label;
    a->slot.active = 1;
    a->slot_pointer[0] = &a->slot;
    a->reply.slots = a->slot_pointer;
    a->reply.n_slots = 1;
}

static enum err on_operate(const Ringkeep__Operate *q, unsigned type, struct answer *a)
{
    if (type == FRAME_SIGN && q->session % 2 == 0) {
        return ERR_LOGIN_REQUIRED;
    }
    if (type == FRAME_VERIFY) {
        const struct bytes s = client_pb_bytes(q->signature);
        return s.size == q->data.len + 1 && s.data[0] == 'S' ? ERR_OK : ERR_SIGNATURE_INVALID;
    }
    a->data[0] = 'S';
    memcpy(a->data + 1, q->data.data, q->data.len);
    set(&a->reply.has_data, &a->reply.data, a->data, q->data.len + 1);
    return ERR_OK;
}

static enum err on_random(const Ringkeep__Random *q, struct answer *a)
{
    memset(a->data, 0xa5, q->size);
    set(&a->reply.has_data, &a->reply.data, a->data, q->size);
    return ERR_OK;
}

/* -- requests -------------------------------------------------------------------------- */

static const void *descriptor_of(unsigned type)
{
    switch (type) {
#define FRAME(number, name, message) \
    case number: return number < 64 ? (const void *)&ringkeep__##message##__descriptor : NULL;
#define ringkeep__admin_request__descriptor ringkeep__hello__descriptor
#define ringkeep__peer_hello__descriptor ringkeep__hello__descriptor
#define ringkeep__peer_propose__descriptor ringkeep__hello__descriptor
#define ringkeep__peer_barrier__descriptor ringkeep__hello__descriptor
#define ringkeep__peer_status__descriptor ringkeep__hello__descriptor
#define ringkeep__clone_begin__descriptor ringkeep__hello__descriptor
#define ringkeep__clone_m2__descriptor ringkeep__hello__descriptor
#define ringkeep__clone_m4__descriptor ringkeep__hello__descriptor
#include "proto/frame.def"
#undef FRAME
        default: return NULL;
    }
}

static enum err handle(struct fake_member *m, unsigned type, const void *q, struct answer *a)
{
    struct fake_cluster *c = m->cluster;
    switch (type) {
        case FRAME_HELLO: on_hello(m, a); return ERR_OK;
        case FRAME_SLOTS: on_slots(c, a); return ERR_OK;
        case FRAME_CHALLENGE: on_challenge(m, a); return ERR_OK;
        case FRAME_LOGIN: return on_login(m, q, false, a);
        case FRAME_PASSWORD: return on_login(m, q, true, a);
        case FRAME_OPEN: return on_open(c, q, a);
        case FRAME_FIND: on_find(c, q, a); return ERR_OK;
        case FRAME_SIGN:
        case FRAME_VERIFY:
        case FRAME_ENCRYPT:
        case FRAME_DECRYPT: return on_operate(q, type, a);
        case FRAME_GENERATE: return on_generate(c, q, a);
        case FRAME_IMPORT: return on_import(c, q, a);
        case FRAME_RANDOM: return on_random(q, a);
        case FRAME_REFRESH: set(&a->reply.has_ticket, &a->reply.ticket, c->ticket, sizeof(c->ticket)); return ERR_OK;
        case FRAME_CLOSE: return ERR_OK;
        case FRAME_DESTROY:
            (void)note_write(c, ((const Ringkeep__Destroy *)q)->write, ((const Ringkeep__Destroy *)q)->object_id.data);
            return ERR_OK;
        default: return ERR_UNSUPPORTED;
    }
}

static void do_request(struct fake_member *m, const struct frame *f, const struct fake_script *s, struct buf *out)
{
    struct fake_cluster *c = m->cluster;
    struct answer *a = calloc(1, sizeof(*a));
    MESSAGE_SCOPED *arena = NULL;
    void *q = NULL;
    assert(a != NULL);
    ringkeep__reply__init(&a->reply);
    const void *descriptor = descriptor_of(f->type);
    assert(descriptor != NULL);
    enum err e = message_unpack(descriptor, f->payload, &arena, &q);
    assert(e == ERR_OK);
    const bool only_error = s->fault == FAKE_ERROR;
    e = only_error ? s->error : handle(m, f->type, q, a);
    if (s->fault == FAKE_DO_ERROR) {
        e = s->error;
    }
    a->login_reply[ENVELOPE_LOGIN_REPLY - 1] ^= s->fault == FAKE_TAMPER ? 1 : 0;
    if (e != ERR_OK || s->fault == FAKE_BARE) {
        ringkeep__reply__init(&a->reply);
    }
    a->reply.error = (uint32_t)e;
    a->reply.has_index = 1;
    a->reply.index = c->index;
    a->reply.has_map_epoch = 1;
    a->reply.map_epoch = c->map_epoch;
    set(&a->reply.has_incarnation, &a->reply.incarnation, c->incarnation, ID_SIZE);
    const unsigned type = f->type | FRAME_REPLY;
    const uint64_t id = s->fault == FAKE_WRONG_ID ? f->request + 1 : f->request;
    e = message_append(out, s->fault == FAKE_WRONG_TYPE ? type + 1 : type, id, &a->reply, LIMIT_FRAME_CLIENT);
    assert(e == ERR_OK);
    if (s->fault == FAKE_TWICE) {
        e = message_append(out, type, id, &a->reply, LIMIT_FRAME_CLIENT);
        assert(e == ERR_OK);
    }
    free(a);
}

/* False: end the connection after what is in out. */
static bool answer_request(struct fake_member *m, const struct frame *f, struct buf *out)
{
    struct fake_cluster *c = m->cluster;
    static const uint8_t noise[64] = { 3, 0, 0, 0, 0x55 }, huge[16] = { 0xff, 0xff, 0xff, 0xff };
    uint8_t junk[100];
    (void)pthread_mutex_lock(&c->mutex);
    assert(f->type < FAKE_TYPES);
    m->seen[f->type]++;
    struct fake_script s = m->script[f->type];
    if (s.fault != FAKE_NONE && s.times > 0 && --m->script[f->type].times == 0) {
        m->script[f->type].fault = FAKE_NONE;
    }
    enum err e = ERR_OK;
    if (s.fault == FAKE_GARBAGE) {
        memset(junk, 0x7f, sizeof(junk));
        e = frame_append(out, f->type | FRAME_REPLY, f->request, bytes_of(junk, sizeof(junk)), 4096);
    } else if (s.fault == FAKE_NOISE || s.fault == FAKE_TOO_LONG) {
        e = buf_append(out, s.fault == FAKE_NOISE ? bytes_of(noise, 64) : bytes_of(huge, 16), 4096);
    } else if (s.fault != FAKE_CLOSE && s.fault != FAKE_SILENT) {
        do_request(m, f, &s, out);
    }
    assert(e == ERR_OK);
    (void)pthread_mutex_unlock(&c->mutex);
    if (s.fault == FAKE_SLOW) {
        (void)usleep(300000);
    }
    if (s.fault == FAKE_DO_CLOSE) {
        buf_clear(out);
    }
    if (s.fault == FAKE_TRUNCATED) {
        out->size /= 2;
    }
    return s.fault != FAKE_CLOSE && s.fault != FAKE_DO_CLOSE && s.fault != FAKE_TRUNCATED;
}

/* -- connections -------------------------------------------------------------------------- */

struct served {
    struct fake_member *member;
    int fd;
    unsigned place;
};

static bool flush(struct tls_conn *tls, int fd)
{
    for (struct bytes p = tls_pending(tls); p.size > 0; p = tls_pending(tls)) {
        const ssize_t n = send(fd, p.data, p.size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        tls_sent(tls, (size_t)n);
    }
    return true;
}

static bool serve_frames(struct fake_member *m, struct tls_conn *tls, int fd, struct buf *in)
{
    for (;;) {
        BUF_SCOPED out = { 0 };
        struct frame f = { 0 };
        size_t used = 0;
        if (frame_parse(buf_bytes(in), LIMIT_FRAME_CLIENT, &f, &used) != ERR_OK) {
            return false;
        }
        if (used == 0) {
            return true;
        }
        const bool going = answer_request(m, &f, &out);
        buf_consume(in, used);
        if (tls_write(tls, buf_bytes(&out)) != ERR_OK || !flush(tls, fd) || !going) {
            return false;
        }
    }
}

static bool serve_bytes(struct fake_member *m, struct tls_conn *tls, int fd, struct buf *in, bool *shaken)
{
    uint8_t chunk[16384];
    size_t got = 0;
    bool closed = false;
    const ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
    if (n <= 0 || tls_feed(tls, bytes_of(chunk, (size_t)n)) != ERR_OK) {
        return false;
    }
    if (!*shaken) {
        const enum err e = tls_handshake(tls, shaken);
        (void)flush(tls, fd);
        if (e != ERR_OK || !*shaken) {
            return e == ERR_OK;
        }
    }
    do {
        if (tls_read(tls, chunk, sizeof(chunk), &got, &closed) != ERR_OK || closed) {
            return false;
        }
        const enum err e = buf_append(in, bytes_of(chunk, got), LIMIT_FRAME_CLIENT * 2);
        assert(e == ERR_OK);
    } while (got > 0);
    return serve_frames(m, tls, fd, in);
}

static void *serve(void *arg)
{
    struct served *s = arg;
    struct fake_member *m = s->member;
    BUF_SCOPED in = { 0 };
    struct tls_conn *tls = NULL;
    bool shaken = false;
    const enum err e = tls_conn_open(m->cluster->tls, &tls);
    assert(e == ERR_OK);
    while (serve_bytes(m, tls, s->fd, &in, &shaken)) {
    }
    tls_conn_close(tls);
    (void)pthread_mutex_lock(&m->cluster->mutex);
    m->fds[s->place] = -1;
    (void)close(s->fd);
    m->open--;
    (void)pthread_mutex_unlock(&m->cluster->mutex);
    free(s);
    return NULL;
}

static void begin_serving(struct fake_member *m, int fd)
{
    struct served *s = calloc(1, sizeof(*s));
    pthread_t thread;
    assert(s != NULL);
    s->member = m;
    s->fd = fd;
    (void)pthread_mutex_lock(&m->cluster->mutex);
    while (s->place < 64 && m->fds[s->place] >= 0) {
        s->place++;
    }
    assert(s->place < 64);
    m->fds[s->place] = fd;
    m->connections++;
    m->open++;
    (void)pthread_mutex_unlock(&m->cluster->mutex);
    const int rc = pthread_create(&thread, NULL, serve, s);
    assert(rc == 0);
    (void)pthread_detach(thread);
}

static void *accept_all(void *arg)
{
    struct fake_member *m = arg;
    for (;;) {
        const int fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            return NULL;
        }
        (void)pthread_mutex_lock(&m->cluster->mutex);
        const bool stop = m->stop;
        (void)pthread_mutex_unlock(&m->cluster->mutex);
        if (stop) {
            (void)close(fd);
            return NULL;
        }
        begin_serving(m, fd);
    }
}

/* -- members --------------------------------------------------------------------------------- */

void fake_cluster_start(struct fake_cluster *c, unsigned member)
{
    struct fake_member *m = &c->member[member];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(a);
    const int on = 1;
    if (m->address[0] != '\0') {
        a.sin_port = htons((uint16_t)atoi(strchr(m->address, ':') + 1));
    }
    m->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(m->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int rc = bind(m->listener, (struct sockaddr *)&a, sizeof(a));
    assert(rc == 0);
    rc = listen(m->listener, 64);
    assert(rc == 0);
    (void)getsockname(m->listener, (struct sockaddr *)&a, &size);
    if (m->address[0] == '\0') {
        (void)snprintf(m->address, sizeof(m->address), "127.0.0.1:%u", ntohs(a.sin_port));
    }
    for (unsigned i = 0; i < 64; i++) {
        m->fds[i] = -1;
    }
    m->stop = false;
    m->up = true;
    rc = pthread_create(&m->thread, NULL, accept_all, m);
    assert(rc == 0);
}

void fake_cluster_stop(struct fake_cluster *c, unsigned member)
{
    struct fake_member *m = &c->member[member];
    const struct linger none = { 1, 0 };
    if (!m->up) {
        return;
    }
    (void)pthread_mutex_lock(&c->mutex);
    m->stop = true;
    for (unsigned i = 0; i < 64; i++) {
        if (m->fds[i] >= 0) {
            (void)setsockopt(m->fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
            (void)shutdown(m->fds[i], SHUT_RDWR);
        }
    }
    (void)pthread_mutex_unlock(&c->mutex);
    (void)shutdown(m->listener, SHUT_RDWR); /* wakes accept */
    (void)pthread_join(m->thread, NULL);
    (void)close(m->listener);
    for (unsigned left = 1; left > 0;) {
        (void)pthread_mutex_lock(&c->mutex);
        left = m->open;
        (void)pthread_mutex_unlock(&c->mutex);
        (void)usleep(1000);
    }
    m->up = false;
}

/* -- the whole ---------------------------------------------------------------------------------- */

static void write_config(struct fake_cluster *c, unsigned seeds)
{
    char hex[2 * ID_SIZE + 1];
    FILE *file = fopen(fake_cluster_path(c, "ringkeep.conf"), "we");
    assert(file != NULL);
    (void)fprintf(file, "[client]\ncertificate = client.crt\n[cluster]\nid = %s\n", hex_from(bytes_of(c->cluster_id, ID_SIZE), hex));
    for (unsigned i = 0; i < seeds; i++) {
        (void)fprintf(file, "member = %s\n", c->member[i].address);
    }
    (void)fclose(file);
}

void fake_cluster_pin(struct fake_cluster *c, unsigned members)
{
    struct envelope_pinned pins = { 0 };
    memcpy(pins.lk_pub, c->lk_pub, 32);
    pins.lk_version = c->lk_version;
    pins.identities.roster_version = c->roster_version;
    pins.identities.count = (uint8_t)members;
    for (unsigned n = 0; n < members; n++) {
        memcpy(pins.identities.row[n].member_id, c->member[n].member_id, ID_SIZE);
        memcpy(pins.identities.row[n].id_pub, c->member[n].id_pub, 32);
    }
    (void)unlink(fake_cluster_path(c, "login.state"));
    const enum err e = client_pins_save(fake_cluster_path(c, "login.state"), &pins);
    assert(e == ERR_OK);
}

void fake_cluster_rotate(struct fake_cluster *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    random_fill(random_system(), c->lk_private, 32);
    const enum err e = x25519_public(c->lk_private, c->lk_pub);
    assert(e == ERR_OK);
    c->lk_version++;
    (void)pthread_mutex_unlock(&c->mutex);
}

static void make_member(struct fake_cluster *c, unsigned n)
{
    struct fake_member *m = &c->member[n];
    m->cluster = c;
    m->number = n;
    random_fill(random_system(), m->member_id, ID_SIZE);
    m->member_id[0] = (uint8_t)(n + 1); /* ascending */
    random_fill(random_system(), m->id_private, 32);
    const enum err e = ed25519_public(m->id_private, m->id_pub);
    assert(e == ERR_OK);
    fake_cluster_start(c, n);
}

void fake_cluster_open(struct fake_cluster *c, unsigned count, unsigned seeds)
{
    struct tls_options o = { .server = true, .trust = TLS_TRUST_CA };
    BUF_SCOPED der = { 0 };
    memset(c, 0, sizeof(*c));
    (void)snprintf(c->folder, sizeof(c->folder), "/tmp/fake_cluster.XXXXXX");
    const char *made = mkdtemp(c->folder);
    assert(made != NULL && count <= FAKE_MEMBERS);
    (void)pthread_mutex_init(&c->mutex, NULL);
    enum err e = crypt_init();
    assert(e == ERR_OK);
    issue(c, "ca", NULL, NULL);
    issue(c, "server", "ca", "serverAuth");
    issue(c, "client", "ca", "clientAuth");
    o.cert_path = fake_cluster_path(c, "server.crt");
    o.key_path = fake_cluster_path(c, "server.key");
    o.ca_path = fake_cluster_path(c, "ca.crt");
    e = tls_context_open(&o, &c->tls);
    assert(e == ERR_OK);
    e = x509_cert_read(fake_cluster_path(c, "client.crt"), &der);
    assert(e == ERR_OK);
    e = x509_cert_spki_hash(buf_bytes(&der), c->client_spki);
    assert(e == ERR_OK);
    random_fill(random_system(), c->cluster_id, ID_SIZE);
    random_fill(random_system(), c->incarnation, ID_SIZE);
    random_fill(random_system(), c->keyring_id, ID_SIZE);
    c->lk_version = 1000;
    c->roster_version = c->map_epoch = 3;
    c->index = c->changed_index = 100;
    c->count = c->in_map = count;
    (void)snprintf(c->password, sizeof(c->password), "correct horse");
    fake_cluster_rotate(c);
    for (unsigned n = 0; n < count; n++) {
        make_member(c, n);
    }
    write_config(c, seeds);
    fake_cluster_pin(c, count);
}

void fake_cluster_close(struct fake_cluster *c)
{
    static const char *const names[] = { "ca.key", "ca.crt", "server.key", "server.crt", "client.key", "client.crt", "ringkeep.conf", "login.state" };
    for (unsigned n = 0; n < c->count; n++) {
        fake_cluster_stop(c, n);
    }
    tls_context_close(c->tls);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unlink(fake_cluster_path(c, names[i]));
    }
    (void)rmdir(c->folder);
    (void)pthread_mutex_destroy(&c->mutex);
}

void fake_cluster_script(struct fake_cluster *c, unsigned member, unsigned type, enum fake_fault fault, enum err error, unsigned times)
{
    (void)pthread_mutex_lock(&c->mutex);
    c->member[member].script[type] = (struct fake_script){ fault, error, times };
    (void)pthread_mutex_unlock(&c->mutex);
}

unsigned fake_cluster_seen(struct fake_cluster *c, unsigned member, unsigned type)
{
    (void)pthread_mutex_lock(&c->mutex);
    const unsigned seen = c->member[member].seen[type];
    (void)pthread_mutex_unlock(&c->mutex);
    return seen;
}
