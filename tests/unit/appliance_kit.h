/* SPDX-License-Identifier: Apache-2.0 */
/* A whole member in one thread without raft and without a core: the real doors,
 * dispatch and operations over the real store; cluster.h answered by this file
 * (each command applied at once), struct core by a script. Included by one test
 * program at a time. A failure ends the test. */
#ifndef RINGKEEP_TESTS_APPLIANCE_KIT_H
#define RINGKEEP_TESTS_APPLIANCE_KIT_H

#include <assert.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/admin_door.h"
#include "appliance/appliance.h"
#include "appliance/catalogue.h"
#include "appliance/client_door.h"
#include "appliance/core_port.h"
#include "appliance/logins.h"
#include "appliance/sessions.h"
#include "base/tls.h"
#include "keyring/command.h"
#include "proto/envelope.h"
#include "proto/frame.h"
#include "proto/template.h"
#include "sks/blob.h"
#include "tests/lib/keyring_fixture.h"

#include <admin.pb-c.h>
#include <client.pb-c.h>
#include <command.pb-c.h>

/* -- what is under way: completions, in order -------------------------------------- */

struct kit_job {
    struct kit_job *next;
    void (*run)(struct kit_job *job);
    void *arg;
    /* cluster */
    replica_outcome_cb outcome_cb;
    replica_index_cb index_cb;
    enum err error;
    struct outcome outcome;
    uint64_t index;
    /* core */
    core_reply_cb core_cb;
    unsigned verb;
    uint64_t handle, number;
    struct buf section[CORE_SECTIONS];
    uint8_t request_id[16];
};

struct appliance_kit {
    struct keyring_fixture f;
    uv_loop_t loop;
    struct settings settings;
    struct appliance a;
    struct core core;
    char tls[64];
    struct kit_job *first, **end;
    uint64_t now_ms; /* of the clock */
    struct clock clock;
    /* the core's script */
    unsigned calls[64];
    enum err answer[64]; /* instead of doing the verb, unless ERR_OK */
    uint64_t next_handle;
    uint8_t nonce;
    enum core_state state;
    bool hold_core; /* answers nothing until it is false again */
    /* the cluster's script */
    unsigned proposals;
    enum err propose_error; /* on the way, unless ERR_OK */
    unsigned refusals;      /* so many proposals end with propose_error */
    bool lose_answer;       /* applied, but the answer is propose_error */
    uint64_t lag;           /* waits above this index time out, unless 0 */
    /* the client's end */
    int fd;
    struct tls_context *tls_context;
    struct tls_conn *conn;
    struct buf in;
    uint64_t request;
    struct message_arena *arena;
};

static struct appliance_kit kit_none;
static struct appliance_kit *kit_now = &kit_none; /* one at a time: cluster.h has no seam */
#define KIT_MAYBE __attribute__((unused))

static struct kit_job *kit_push(void (*run)(struct kit_job *job), void *arg)
{
    struct kit_job *job = calloc(1, sizeof *job);
    assert(job != NULL);
    job->run = run;
    job->arg = arg;
    *kit_now->end = job;
    kit_now->end = &job->next;
    return job;
}

static void kit_run_jobs(struct appliance_kit *k)
{
    struct kit_job *list = k->first;
    k->first = NULL;
    k->end = &k->first;
    while (list != NULL) {
        struct kit_job *job = list;
        list = job->next;
        if (job->core_cb != NULL && k->hold_core) {
            job->next = NULL;
            *k->end = job;
            k->end = &job->next;
            continue;
        }
        job->run(job);
        for (unsigned i = 0; i < CORE_SECTIONS; i++) {
            buf_drop(&job->section[i]);
        }
        free(job);
    }
}

/* -- cluster.h --------------------------------------------------------------------------- */

enum err cluster_open(const struct cluster_options *options, struct cluster **out)
{
    (void)options, (void)out;
    return ERR_UNSUPPORTED;
}
enum err cluster_start(struct cluster *c, char *text, size_t text_size)
{
    (void)c, (void)text, (void)text_size;
    return ERR_OK;
}
void cluster_stop(struct cluster *c)
{
    (void)c;
}
bool cluster_is_member(const struct cluster *c)
{
    (void)c;
    return kit_now->f.index > 0;
}
enum err cluster_create(struct cluster *c,
                        const uint8_t member_id[ID_SIZE],
                        const void *cluster_init,
                        cluster_done_cb cb,
                        void *arg)
{
    (void)c, (void)member_id, (void)cluster_init, (void)cb, (void)arg;
    return ERR_UNSUPPORTED;
}
void cluster_self_row(struct cluster *c, const uint8_t member_id[ID_SIZE], void *member_row)
{
    (void)c, (void)member_id, (void)member_row;
}
enum err cluster_join(struct cluster *c,
                      struct bytes request,
                      const uint8_t member_id[ID_SIZE],
                      const char (*addresses)[LIMIT_ADDRESS],
                      unsigned count,
                      cluster_done_cb cb,
                      void *arg)
{
    (void)c, (void)request, (void)member_id, (void)addresses, (void)count, (void)cb, (void)arg;
    return ERR_UNSUPPORTED;
}
void cluster_inherit(struct cluster *c)
{
    (void)c;
}

static void kit_run_outcome(struct kit_job *job)
{
    job->outcome_cb(job->arg, job->error, job->error == ERR_OK ? &job->outcome : NULL);
}

static void kit_run_index(struct kit_job *job)
{
    job->index_cb(job->arg, job->error, job->index);
}

enum err cluster_propose(struct cluster *c,
                         struct bytes command,
                         unsigned timeout_ms,
                         replica_outcome_cb cb,
                         void *arg)
{
    (void)c, (void)timeout_ms;
    struct kit_job *job = kit_push(kit_run_outcome, arg);
    const bool refused = kit_now->refusals > 0;
    job->outcome_cb = cb;
    kit_now->proposals++;
    if (refused) {
        kit_now->refusals--;
        job->error = kit_now->propose_error;
    }
    if (!refused || kit_now->lose_answer) {
        buf_clear(&kit_now->f.command);
        enum err e = buf_append(&kit_now->f.command, command, LIMIT_COMMAND);
        assert(e == ERR_OK);
        e = command_stamp(&kit_now->f.command, kit_now->f.sample.stamp_s);
        assert(e == ERR_OK);
        (void)fixture_apply(&kit_now->f);
        fixture_commit(&kit_now->f);
        job->outcome = kit_now->f.last;
    }
    return ERR_OK;
}

enum err cluster_barrier(struct cluster *c, unsigned timeout_ms, replica_index_cb cb, void *arg)
{
    (void)c, (void)timeout_ms;
    struct kit_job *job = kit_push(kit_run_index, arg);
    job->index_cb = cb;
    job->index = kit_now->f.index;
    return ERR_OK;
}

enum err cluster_wait_visible(struct cluster *c,
                              uint64_t index,
                              unsigned timeout_ms,
                              replica_index_cb cb,
                              void *arg)
{
    (void)c, (void)timeout_ms;
    struct kit_job *job = kit_push(kit_run_index, arg);
    job->index_cb = cb;
    job->index = index;
    job->error = index > kit_now->f.index || (kit_now->lag != 0 && index > kit_now->lag)
                     ? ERR_TIMEOUT
                     : ERR_OK;
    return ERR_OK;
}

unsigned cluster_members(const struct cluster *c, struct cluster_member *out, unsigned capacity)
{
    (void)c;
    assert(capacity >= 1);
    memset(out, 0, sizeof *out);
    sample_id(out->member_id, 'M', 1);
    strcpy(out->name, "m1");
    strcpy(out->client_address, "127.0.0.1:1792");
    out->self = out->leader = true;
    out->vote = REPLICA_VOTER;
    return 1;
}
uint64_t cluster_map_epoch(const struct cluster *c)
{
    (void)c;
    return 7;
}
void cluster_replica_status(const struct cluster *c, struct replica_status *out)
{
    (void)c;
    *out = (struct replica_status){ .role = REPLICA_LEADER,
                                    .leader_ready = true,
                                    .last_index = kit_now->f.index,
                                    .visible_index = kit_now->f.index };
}
void cluster_incarnation(const struct cluster *c, uint8_t out[ID_SIZE])
{
    (void)c;
    sample_id(out, 'I', 1);
}
void cluster_id(const struct cluster *c, uint8_t out[ID_SIZE])
{
    (void)c;
    sample_id(out, 'C', 1);
}
void cluster_member_id(const struct cluster *c, uint8_t out[ID_SIZE])
{
    (void)c;
    sample_id(out, 'M', 1);
}

/* -- struct core ------------------------------------------------------------------------------ */

/* Attributes in clear, filler for the rest: what a daemon may look at is right. */
static void kit_blob(unsigned kind,
                     const uint8_t *object_id,
                     uint64_t generation,
                     struct bytes attributes,
                     struct buf *out)
{
    struct blob_header h = { .kind = (uint8_t)kind, .generation = generation };
    uint8_t *at = NULL;
    sample_id(h.smk_id, 'S', 1);
    sample_id(h.keyring_id, 'K', 1);
    memcpy(h.object_id, object_id, ID_SIZE);
    if (kind == BLOB_SESSION) {
        sample_id(h.bind, 'f', 1);
    }
    if (kind != BLOB_PUBLIC) {
        sample_id(h.kk_id, 'k', 1);
    }
    h.len_a = (uint32_t)attributes.size;
    h.len_k = kind == BLOB_PUBLIC ? 0 : BLOB_K_MIN;
    memset(h.nonce, ++kit_now->nonce, sizeof h.nonce);
    const size_t size = BLOB_OVERHEAD + h.len_a + h.len_k;
    buf_clear(out);
    const enum err e = buf_reserve(out, size, LIMIT_BLOB, &at);
    assert(e == ERR_OK);
    memset(at, 0x5a, size);
    blob_header_write(&h, at);
    if (attributes.size > 0) {
        memcpy(at + BLOB_HEADER, attributes.data, attributes.size);
    }
    out->size = size;
}

static struct bytes kit_attributes(struct bytes blob)
{
    struct blob_header h;
    const enum err e = blob_parse(blob, &h);
    assert(e == ERR_OK);
    return bytes_of(blob.data + BLOB_HEADER, h.len_a);
}

static void kit_list(unsigned class_number, const char *label, struct buf *out)
{
    buf_clear(out);
    enum err e = template_put_u64(out, 0, class_number);
    assert(e == ERR_OK);
    e = template_put(out, 3, bytes_of_text(label));
    assert(e == ERR_OK);
}

struct kit_made {
    struct buf data[CORE_SECTIONS];
    uint64_t number;
};

static void kit_filler(struct buf *out, size_t size, uint8_t value)
{
    uint8_t *at = NULL;
    const enum err e = buf_reserve(out, size, LIMIT_BLOB, &at);
    assert(e == ERR_OK);
    memset(at, value, size);
    out->size += size;
}

/* Blobs: false for another verb. */
static bool kit_make_blob(struct kit_job *job, struct kit_made *m)
{
    BUF_SCOPED list = { 0 };
    const unsigned kind = job->number == BLOB_SESSION ? BLOB_SESSION : BLOB_TOKEN;
    const struct bytes first = buf_bytes(&job->section[0]);
    enum err e = ERR_OK;
    switch (job->verb) {
        case CORE_GENERATE_KEY:
        case CORE_IMPORT:
            kit_list(4, "secret", &list);
            kit_blob(kind, job->section[job->verb == CORE_IMPORT ? 3 : 1].data, 1, buf_bytes(&list), &m->data[0]);
            e = buf_append(&m->data[1], buf_bytes(&list), LIMIT_BLOB);
            break;
        case CORE_GENERATE_PAIR:
            kit_list(2, "public", &list);
            kit_blob(BLOB_PUBLIC, job->section[2].data, 1, buf_bytes(&list), &m->data[0]);
            e = buf_append(&m->data[2], buf_bytes(&list), LIMIT_BLOB);
            assert(e == ERR_OK);
            kit_list(3, "private", &list);
            kit_blob(kind, job->section[3].data, 1, buf_bytes(&list), &m->data[1]);
            e = buf_append(&m->data[3], buf_bytes(&list), LIMIT_BLOB);
            break;
        case CORE_CREATE_PUBLIC:
            kit_blob(BLOB_PUBLIC, job->section[1].data, 1, first, &m->data[0]);
            e = buf_append(&m->data[1], first, LIMIT_BLOB);
            break;
        case CORE_SET_ATTRIBUTES:
            kit_blob(BLOB_TOKEN, first.data + 56, get_u64(first.data + 88) + 1, buf_bytes(&job->section[1]), &m->data[0]);
            e = buf_append(&m->data[1], buf_bytes(&job->section[1]), LIMIT_BLOB);
            break;
        case CORE_ATTRIBUTES: e = buf_append(&m->data[0], kit_attributes(first), LIMIT_BLOB); break;
        default: return false;
    }
    assert(e == ERR_OK);
    return true;
}

static void kit_make_status(struct kit_made *m)
{
    struct core_status s = { .state = kit_now->state, .lk_version = 1 };
    uint8_t status[CORE_STATUS_SIZE];
    sample_id(s.core_id, 'M', 1);
    core_status_encode(&s, status);
    const enum err e = buf_append(&m->data[0], bytes_of(status, sizeof status), LIMIT_BLOB);
    assert(e == ERR_OK);
}

static void kit_make(struct kit_job *job, struct kit_made *m)
{
    if (kit_make_blob(job, m)) {
        return;
    }
    switch (job->verb) {
        case CORE_STATUS: kit_make_status(m); break;
        case CORE_CHALLENGE:
            kit_filler(&m->data[0], 16, 0xc4);
            kit_filler(&m->data[1], 128, 0x1c);
            kit_filler(&m->data[2], 64, 0x1d);
            break;
        case CORE_LOGIN:
            kit_filler(&m->data[0], BLOB_TICKET_SIZE, 0x71);
            kit_filler(&m->data[1], ENVELOPE_LOGIN_REPLY, 0x72);
            break;
        case CORE_PASSWORD:
            sample_record(&m->data[0], 1, 3, 1);
            kit_filler(&m->data[1], ENVELOPE_LOGIN_REPLY, 0x72);
            break;
        case CORE_LOGIN_CORE:
        case CORE_OPEN:
        case CORE_OPEN_PUBLIC: m->number = ++kit_now->next_handle; break;
        case CORE_KEYRING_CREATE: sample_record(&m->data[0], 2, 1, 1); break;
        case CORE_REFRESH: kit_filler(&m->data[0], BLOB_TICKET_SIZE, 0x73); break;
        case CORE_SIGN:
        case CORE_ENCRYPT:
        case CORE_DECRYPT: kit_filler(&m->data[0], 64, 0x51); break;
        case CORE_RANDOM: kit_filler(&m->data[0], job->number, 0xad); break;
        case CORE_BEACON:
        case CORE_LOGIN_KEY: kit_filler(&m->data[0], 128, 0xbe); break;
        default: break;
    }
}

static void kit_run_core(struct kit_job *job)
{
    struct kit_made made = { 0 };
    struct core_reply reply = { 0 };
    assert(job->verb < 64);
    reply.error = kit_now->answer[job->verb];
    if (reply.error == ERR_OK) {
        kit_make(job, &made);
    }
    reply.number = made.number;
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        reply.section[i] = buf_bytes(&made.data[i]);
    }
    job->core_cb(job->arg, reply.error, reply.error == ERR_WORKER_DIED ? NULL : &reply);
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        buf_drop(&made.data[i]);
    }
}

static enum err kit_core_call(void *impl,
                              const struct core_request *request,
                              unsigned timeout_ms,
                              core_reply_cb cb,
                              void *arg)
{
    (void)impl, (void)timeout_ms;
    struct kit_job *job = kit_push(kit_run_core, arg);
    kit_now->calls[request->verb]++;
    job->core_cb = cb;
    job->verb = request->verb;
    job->handle = request->handle;
    job->number = request->number;
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        const enum err e = buf_append(&job->section[i], request->section[i], LIMIT_BLOB);
        assert(e == ERR_OK);
    }
    return ERR_OK;
}

/* -- the member -------------------------------------------------------------------------------- */

static uint64_t kit_mono(void *impl)
{
    return ((struct appliance_kit *)impl)->now_ms * UINT64_C(1000000);
}
static uint64_t kit_wall(void *impl)
{
    return ((struct appliance_kit *)impl)->f.sample.stamp_s;
}

static void kit_spin(struct appliance_kit *k)
{
    for (unsigned i = 0; i < 3; i++) {
        (void)uv_run(&k->loop, UV_RUN_NOWAIT);
        kit_run_jobs(k);
    }
}

static void kit_tls_path(const struct appliance_kit *k, const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", k->tls, name);
}

KIT_MAYBE static void kit_start(struct appliance_kit *k)
{
    memset(k, 0, sizeof *k);
    kit_now = k;
    k->end = &k->first;
    k->fd = -1;
    k->state = CORE_AUTHORIZED;
    k->now_ms = 1000;
    k->clock = (struct clock){ kit_mono, kit_mono, kit_wall, k };
    k->core = (struct core){ kit_core_call, k };
    fixture_keyring(&k->f, 0);
    fixture_commit(&k->f);
    strcpy(k->tls, "/tmp/ringkeep-tls-XXXXXX");
    assert(mkdtemp(k->tls) != NULL);
    strcpy(k->settings.name, "m1");
    strcpy(k->settings.tls, k->tls);
    strcpy(k->settings.client, "127.0.0.1:1792");
    int rc = uv_loop_init(&k->loop);
    assert(rc == 0);
    k->a = (struct appliance){ .loop = &k->loop,
                               .clock = &k->clock,
                               .random = random_system(),
                               .settings = &k->settings,
                               .core = &k->core,
                               .store = k->f.store };
    enum err e = core_port_open(&k->core, &k->a.port);
    assert(e == ERR_OK);
    e = catalogue_open(1 << 20, &k->a.catalogue);
    assert(e == ERR_OK);
    e = sessions_open(&k->core, k->a.random, k->a.catalogue, &k->a.sessions);
    assert(e == ERR_OK);
    e = logins_open(&k->a.logins);
    assert(e == ERR_OK);
    e = client_door_open(&k->a, &k->a.clients);
    assert(e == ERR_OK);
    e = admin_door_open(&k->a, NULL, &k->a.admins);
    assert(e == ERR_OK);
    core_port_refresh(k->a.port, NULL, NULL);
    kit_spin(k);
    assert(core_port_answering(k->a.port));
}

KIT_MAYBE static void kit_disconnect(struct appliance_kit *k)
{
    tls_conn_close(k->conn);
    tls_context_close(k->tls_context);
    k->conn = NULL;
    k->tls_context = NULL;
    if (k->fd >= 0) {
        (void)close(k->fd);
    }
    k->fd = -1;
    buf_drop(&k->in);
    kit_spin(k);
}

KIT_MAYBE static void kit_stop(struct appliance_kit *k)
{
    k->hold_core = false;
    message_drop(&k->arena);
    kit_disconnect(k);
    client_door_close(k->a.clients);
    admin_door_close(k->a.admins);
    for (unsigned i = 0; i < 20; i++) {
        kit_spin(k);
    }
    const int rc = uv_loop_close(&k->loop);
    cr_expect_eq(rc, 0, "handles are left on the loop");
    sessions_close(k->a.sessions);
    catalogue_close(k->a.catalogue);
    logins_close(k->a.logins);
    core_port_close(k->a.port);
    fixture_remove(k->tls);
    fixture_close(&k->f);
}
#define KIT_SCOPED __attribute__((cleanup(kit_stop))) struct appliance_kit

/* -- the client's end ----------------------------------------------------------------------------- */

KIT_MAYBE static void kit_pair(struct appliance_kit *k, struct server *server)
{
    int fds[2];
    const int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    assert(rc == 0);
    (void)fcntl(fds[1], F_SETFL, O_NONBLOCK);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    k->fd = fds[1];
    const enum err e = server_adopt(server, fds[0]);
    assert(e == ERR_OK);
}

/* Sends what is pending, takes what came; false: the other side is gone. */
static bool kit_pump(struct appliance_kit *k)
{
    uint8_t chunk[16384];
    if (k->conn != NULL) {
        const struct bytes out = tls_pending(k->conn);
        if (out.size > 0) {
            const ssize_t n = send(k->fd, out.data, out.size, MSG_NOSIGNAL);
            tls_sent(k->conn, n > 0 ? (size_t)n : 0);
        }
    }
    kit_spin(k);
    const ssize_t n = recv(k->fd, chunk, sizeof chunk, 0);
    if (n == 0) {
        return false;
    }
    if (n > 0 && k->conn != NULL) {
        return tls_feed(k->conn, bytes_of(chunk, (size_t)n)) == ERR_OK;
    }
    if (n > 0) {
        const enum err e = buf_append(&k->in, bytes_of(chunk, (size_t)n), 1 << 22);
        assert(e == ERR_OK);
    }
    return true;
}

static bool kit_read(struct appliance_kit *k)
{
    const bool open = kit_pump(k);
    while (k->conn != NULL) {
        uint8_t clear[16384];
        size_t got = 0;
        bool closed = false;
        if (tls_read(k->conn, clear, sizeof clear, &got, &closed) != ERR_OK || closed) {
            return false;
        }
        if (got == 0) {
            break;
        }
        const enum err e = buf_append(&k->in, bytes_of(clear, got), 1 << 22);
        assert(e == ERR_OK);
    }
    return open;
}

/* Registers this client's key as client `name`, assigned to keyring 1. */
static uint8_t kit_new_spki[32];
static void kit_edit_client(void *message)
{
    Ringkeep__ClientPut *m = message;
    m->spki_hash.data = kit_new_spki;
}
static void kit_edit_assign(void *message)
{
    Ringkeep__Assign *m = message;
    m->spki_hash.data = kit_new_spki;
}
static void kit_apply(struct appliance_kit *k)
{
    const enum err e = fixture_apply(&k->f);
    cr_assert_eq(e, ERR_OK, "apply: %s", err_name(e));
    fixture_commit(&k->f);
}
KIT_MAYBE static void kit_register(struct appliance_kit *k, const char *name)
{
    sample_no_request(&k->f.sample);
    k->f.sample.edit = kit_edit_client;
    sample_client_put(&k->f.command, &k->f.sample, 9, name);
    kit_apply(k);
    k->f.sample.edit = kit_edit_assign;
    sample_assign(&k->f.command, &k->f.sample, 1, 9);
    kit_apply(k);
}

/* A client with a key of its own at the client door; `known`: registered first. */
KIT_MAYBE static void kit_connect(struct appliance_kit *k, bool known)
{
    char key[128], cert[128], server_key[128], server_cert[128];
    struct tls_context *server = NULL;
    BUF_SCOPED spki = { 0 };
    bool done = false;
    kit_tls_path(k, "c.key", key);
    kit_tls_path(k, "c.crt", cert);
    kit_tls_path(k, "s.key", server_key);
    kit_tls_path(k, "s.crt", server_cert);
    enum err e = x509_make_identity(key, cert, "client");
    assert(e == ERR_OK);
    e = x509_make_identity(server_key, server_cert, "m1");
    assert(e == ERR_OK);
    e = x509_key_spki(key, &spki, kit_new_spki);
    assert(e == ERR_OK);
    if (known) {
        kit_register(k, "kit");
    }
    const struct tls_options there = {
        .server = true, .trust = TLS_TRUST_PINNED, .cert_path = server_cert, .key_path = server_key
    };
    const struct tls_options here = { .trust = TLS_TRUST_PINNED, .cert_path = cert, .key_path = key };
    e = tls_context_open(&there, &server);
    assert(e == ERR_OK);
    server_set_tls(client_door_server(k->a.clients), server);
    e = tls_context_open(&here, &k->tls_context);
    assert(e == ERR_OK);
    e = tls_conn_open(k->tls_context, &k->conn);
    assert(e == ERR_OK);
    kit_pair(k, client_door_server(k->a.clients));
    for (unsigned i = 0; i < 20 && !done; i++) {
        e = tls_handshake(k->conn, &done);
        cr_assert_eq(e, ERR_OK, "handshake: %s", tls_reason(k->conn));
        (void)kit_pump(k);
    }
    cr_assert(done);
}

static void kit_send(struct appliance_kit *k, unsigned type, const void *message)
{
    BUF_SCOPED out = { 0 };
    enum err e = message_append(&out, type, ++k->request, message, LIMIT_FRAME_CLIENT);
    assert(e == ERR_OK);
    if (k->conn != NULL) {
        e = tls_write(k->conn, buf_bytes(&out));
        assert(e == ERR_OK);
    } else {
        const ssize_t n = send(k->fd, out.data, out.size, MSG_NOSIGNAL);
        assert(n == (ssize_t)out.size);
    }
}

/* The next frame's message, valid until the next one; NULL: none came, or the end. */
KIT_MAYBE static const void *kit_receive(struct appliance_kit *k, const void *descriptor, unsigned turns)
{
    struct frame frame = { 0 };
    size_t used = 0;
    void *message = NULL;
    for (unsigned i = 0; i < turns; i++) {
        const bool open = kit_read(k);
        enum err e = frame_parse(buf_bytes(&k->in), LIMIT_FRAME_CLIENT, &frame, &used);
        assert(e == ERR_OK);
        if (used > 0) {
            break;
        }
        if (!open) {
            return NULL;
        }
    }
    if (used == 0) {
        return NULL;
    }
    message_drop(&k->arena);
    const enum err e = message_unpack(descriptor, frame.payload, &k->arena, &message);
    assert(e == ERR_OK && (frame.type & FRAME_REPLY) != 0);
    buf_consume(&k->in, used);
    return message;
}

KIT_MAYBE static const Ringkeep__Reply *kit_ask(struct appliance_kit *k, unsigned type, const void *message)
{
    kit_send(k, type, message);
    const Ringkeep__Reply *reply = kit_receive(k, &ringkeep__reply__descriptor, 60);
    cr_assert_not_null(reply, "no reply to %s", frame_name(type));
    return reply;
}

KIT_MAYBE static ProtobufCBinaryData kit_data(const uint8_t *data, size_t size)
{
    ProtobufCBinaryData d = { size, (uint8_t *)(uintptr_t)data };
    return d;
}

#endif
