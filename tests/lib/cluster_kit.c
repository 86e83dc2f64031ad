/* SPDX-License-Identifier: Apache-2.0 */
/* Members in a test; see cluster_kit.h. One thread, plus each member's applier.
 * Errors of the test's own making are asserts. */
#include "tests/lib/cluster_kit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/x509.h"
#include "command.pb-c.h"
#include "keyring/command.h"
#include "keyring/query.h"
#include "proto/envelope.h"

#define SO "so-password"
#define PO "po-password"
#define DOMAIN "lusab-babad-lusab-babad"

static const uint8_t zero[32];
static const uint8_t ticket_secret[32] = "thirty-two bytes of a ticket's s";

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

unsigned cluster_kit_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    assert(rc == 0);
    rc = getsockname(fd, (struct sockaddr *)&a, &size);
    assert(rc == 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

/* -- stepping ----------------------------------------------------------------------- */

static void let_m3_go(struct cluster_kit_member *m);

static void poll_core(struct cluster_kit_member *m)
{
    if (m->hold_core) {
        return;
    }
    if (now_ms() - m->polled_ms >= 50) {
        m->polled_ms = now_ms();
        core_port_refresh(m->port, NULL, NULL);
    }
    let_m3_go(m);
    (void)core_local_run(m->core);
}

void cluster_kit_step(struct cluster_kit *k)
{
    for (unsigned i = 0; i < CLUSTER_KIT_MEMBERS; i++) {
        struct cluster_kit_member *m = &k->member[i];
        if (m->up && !m->frozen) {
            poll_core(m);
            (void)uv_run(m->loop, UV_RUN_NOWAIT);
        }
    }
    (void)usleep(300);
}

bool cluster_kit_until(struct cluster_kit *k,
                       cluster_kit_condition condition,
                       void *arg,
                       unsigned ms)
{
    const uint64_t end = now_ms() + ms;
    while (!condition(arg)) {
        if (now_ms() > end) {
            return false;
        }
        cluster_kit_step(k);
    }
    return true;
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

void cluster_kit_run(struct cluster_kit *k, unsigned ms)
{
    (void)cluster_kit_until(k, never, NULL, ms);
}

static bool was_answered(void *arg)
{
    return ((struct cluster_kit_answer *)arg)->calls > 0;
}

/* -- the core -------------------------------------------------------------------------- */

struct asked {
    struct core_reply *out;
    struct buf *memory;
    bool done;
};

static void on_asked(void *arg, enum err e, const struct core_reply *reply)
{
    struct asked *a = arg;
    a->done = true;
    *a->out = (struct core_reply){ .error = e };
    if (reply == NULL) {
        return;
    }
    a->out->number = reply->number;
    uint8_t *at = NULL;
    buf_clear(a->memory);
    enum err room = buf_reserve(a->memory, LIMIT_RING_LARGE, LIMIT_RING_LARGE, &at);
    assert(room == ERR_OK);
    for (unsigned i = 0; i < CORE_SECTIONS; i++) {
        const size_t size = reply->section[i].size;
        if (size > 0) {
            memcpy(at, reply->section[i].data, size);
        }
        a->out->section[i] = bytes_of(at, size);
        at += size;
    }
}

enum err cluster_kit_ask(struct cluster_kit_member *m,
                         unsigned verb,
                         uint64_t handle,
                         uint64_t number,
                         const struct bytes *sections,
                         unsigned count,
                         struct core_reply *out,
                         struct buf *memory)
{
    struct core_request q = { .verb = verb, .handle = handle, .number = number };
    struct asked a = { out, memory, false };
    for (unsigned i = 0; i < count; i++) {
        q.section[i] = sections[i];
    }
    const enum err e = core_call(core_local_core(m->core), &q, 1000, on_asked, &a);
    assert(e == ERR_OK);
    while (!a.done) {
        (void)core_local_run(m->core);
    }
    return out->error;
}

static void read_status(struct cluster_kit_member *m, struct core_status *s)
{
    BUF_SCOPED memory = { 0 };
    struct core_reply r;
    enum err e = cluster_kit_ask(m, CORE_STATUS, 0, 0, NULL, 0, &r, &memory);
    assert(e == ERR_OK);
    e = core_status_decode(r.section[0], s);
    assert(e == ERR_OK);
}

struct sealed_pin {
    uint8_t challenge[16], envelope[593];
};

static void seal_pin(struct cluster_kit_member *m,
                     unsigned verb,
                     unsigned role,
                     const uint8_t *owner,
                     const char *pin,
                     struct sealed_pin *out)
{
    BUF_SCOPED memory = { 0 };
    struct envelope_context context = { .role = (uint8_t)role };
    struct envelope_pin content;
    struct core_status s;
    struct core_reply r;
    uint8_t bound[ENVELOPE_PIN_CONTEXT];
    enum err e = cluster_kit_ask(m, CORE_CHALLENGE, 0, 0, NULL, 0, &r, &memory);
    assert(e == ERR_OK && r.section[0].size == 16);
    memcpy(out->challenge, r.section[0].data, 16);
    read_status(m, &s);
    memcpy(context.cluster_id, s.cluster_id, 16);
    memcpy(context.challenge, out->challenge, 16);
    memcpy(context.kr_id, owner, 16);
    envelope_pin_context(&context, bound);
    const struct bytes text = bytes_of_text(pin), none = bytes_of(NULL, 0);
    e = envelope_pin_fill(verb, verb == 1 ? text : none, verb == 1 ? none : text, ticket_secret,
                          &content);
    assert(e == ERR_OK);
    e = envelope_pin_seal(s.ak_pub, bound, &content, out->envelope);
    assert(e == ERR_OK);
}

static void init_core(struct cluster_kit_member *m)
{
    BUF_SCOPED memory = { 0 };
    struct sealed_pin pin;
    struct core_status s;
    struct core_reply r;
    read_status(m, &s);
    if (s.state != CORE_UNINITIALISED) {
        return;
    }
    seal_pin(m, 3, 1, s.core_id, SO, &pin);
    const struct bytes sections[] = { bytes_of(pin.challenge, 16), bytes_of(pin.envelope, 593),
                                      bytes_of_text("core") };
    const enum err e = cluster_kit_ask(m, CORE_INIT, 0, 0, sections, 3, &r, &memory);
    assert(e == ERR_OK);
}

static enum err login(struct cluster_kit_member *m,
                      unsigned role,
                      const char *text,
                      struct bytes record,
                      uint64_t *handle)
{
    BUF_SCOPED memory = { 0 };
    struct sealed_pin pin;
    struct core_status s;
    struct core_reply r;
    read_status(m, &s);
    seal_pin(m, 1, role, role == 1 ? s.core_id : s.cluster_id, text, &pin);
    const struct bytes sections[] = { bytes_of(pin.challenge, 16), bytes_of(pin.envelope, 593),
                                      record };
    const enum err e = cluster_kit_ask(m, CORE_LOGIN_CORE, 0, role, sections, 3, &r, &memory);
    *handle = r.number;
    return e;
}

/* -- what the cluster asks its core: counted, and looked at --------------------------------- */

static bool invite_is_spent(struct cluster_kit_member *m)
{
    STORE_VIEW_SCOPED *view = NULL;
    Ringkeep__InviteRow *row = NULL;
    if (store_view_open(m->store, &view) != ERR_OK ||
        query_invite(view, m->watch_invite, (void **)&row) != ERR_OK) {
        return false;
    }
    const bool spent = row->spent != 0;
    query_drop(row);
    return spent;
}

static enum err ask_through(void *impl,
                            unsigned verb,
                            uint64_t handle,
                            uint64_t number,
                            const struct bytes *sections,
                            unsigned count,
                            cluster_core_cb cb,
                            void *arg)
{
    struct cluster_kit_member *m = impl;
    m->asked[verb % 64]++;
    if (verb == CORE_CLONE_M3 && !bytes_all_zero(bytes_of(m->watch_invite, ID_SIZE))) {
        /* The outcome comes before the store shows it: time for that. */
        m->m3 = (struct cluster_kit_held){
            .number = number, .until_ms = now_ms() + 300, .cb = cb, .arg = arg
        };
        memcpy(m->m3.record, sections[0].data, sections[0].size);
        m->m3.size = sections[0].size;
        return ERR_OK;
    }
    return m->seam.ask(m->seam.impl, verb, handle, number, sections, count, cb, arg);
}

static bool is_authorized(void *impl)
{
    struct cluster_kit_member *m = impl;
    return m->seam.authorized(m->seam.impl);
}

static void let_m3_go(struct cluster_kit_member *m)
{
    struct cluster_kit_held *h = &m->m3;
    const struct bytes record = bytes_of(h->record, h->size);
    if (h->until_ms == 0 || (!invite_is_spent(m) && now_ms() < h->until_ms)) {
        return;
    }
    m->spent_at_m3 = invite_is_spent(m);
    h->until_ms = 0;
    memset(m->watch_invite, 0, ID_SIZE);
    const enum err e =
        m->seam.ask(m->seam.impl, CORE_CLONE_M3, 0, h->number, &record, 1, h->cb, h->arg);
    assert(e == ERR_OK);
}

/* -- members ----------------------------------------------------------------------------------- */

static void on_fatal(void *arg, const char *reason)
{
    const struct cluster_kit_member *m = arg;
    (void)fprintf(stderr, "member %u: %s\n", m->number, reason);
    abort();
}

static void on_change(void *arg)
{
    ((struct cluster_kit_member *)arg)->changes++;
}

static void on_authorized(void *arg)
{
    ((struct cluster_kit_member *)arg)->authorized++;
}

static uint64_t mono_ns(void *impl)
{
    (void)impl;
    return clock_system()->mono_ns(clock_system()->impl);
}

static uint64_t wall_s(void *impl)
{
    const struct cluster_kit_member *m = impl;
    return (uint64_t)((int64_t)clock_wall_s(clock_system()) + m->skew_s);
}

static void make_dir(const struct cluster_kit_member *m, const char *name, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%s", m->dir, name);
    (void)mkdir(out, 0700);
}

void cluster_kit_open(struct cluster_kit *k)
{
    memset(k, 0, sizeof *k);
    (void)signal(SIGPIPE, SIG_IGN);
    log_init("cluster-kit", getenv("CLUSTER_KIT_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
             false);
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/ringkeep-cluster-XXXXXX");
    char *made = mkdtemp(k->dir);
    assert(made != NULL);
    memset(k->incarnation, 0x49, ID_SIZE);
    k->election_ms = 600;
    k->heartbeat_ms = 100;
    for (unsigned i = 0; i < CLUSTER_KIT_MEMBERS; i++) {
        struct cluster_kit_member *m = &k->member[i];
        m->kit = k;
        m->number = i;
        (void)snprintf(m->dir, sizeof m->dir, "%s/m%u", k->dir, i);
        (void)snprintf(m->name, sizeof m->name, "m%u", i);
        (void)snprintf(m->client, sizeof m->client, "127.0.0.1:%u", cluster_kit_port());
        (void)snprintf(m->peer, sizeof m->peer, "127.0.0.1:%u", cluster_kit_port());
        (void)snprintf(m->join, sizeof m->join, "127.0.0.1:%u", cluster_kit_port());
    }
}

static void open_cluster(struct cluster_kit_member *m, const char *raft, const char *tls)
{
    m->clock = (struct clock){ mono_ns, mono_ns, wall_s, m };
    m->seam = *core_port_cluster(m->port);
    m->fake = (struct cluster_core){ ask_through, is_authorized, m };
    const struct cluster_options o = { .loop = m->loop,
                                       .clock = &m->clock,
                                       .random = random_system(),
                                       .core = &m->fake,
                                       .store = m->store,
                                       .applier = executor_thread_executor(m->applier),
                                       .raft_dir = raft,
                                       .tls_dir = tls,
                                       .name = m->name,
                                       .client_address = m->client,
                                       .peer_address = m->peer,
                                       .join_address = m->join,
                                       .election_ms = m->kit->election_ms,
                                       .heartbeat_ms = m->kit->heartbeat_ms,
                                       .fatal = on_fatal,
                                       .on_change = on_change,
                                       .on_authorized = on_authorized,
                                       .arg = m };
    const enum err e = cluster_open(&o, &m->cluster);
    assert(e == ERR_OK);
}

struct cluster_kit_member *cluster_kit_up(struct cluster_kit *k, unsigned i)
{
    struct cluster_kit_member *m = &k->member[i];
    char store[128], raft[128], tls[128], core[128], text[256] = "";
    assert(!m->up);
    (void)mkdir(m->dir, 0700);
    make_dir(m, "store", store, sizeof store);
    make_dir(m, "raft", raft, sizeof raft);
    make_dir(m, "tls", tls, sizeof tls);
    make_dir(m, "core", core, sizeof core);
    m->loop = calloc(1, sizeof *m->loop);
    assert(m->loop != NULL);
    (void)uv_loop_init(m->loop);
    enum err e = store_open(store, &m->store);
    assert(e == ERR_OK);
    e = executor_thread_open(m->loop, 64, &m->applier);
    assert(e == ERR_OK);
    e = core_local_open(core, &m->core);
    assert(e == ERR_OK);
    e = core_port_open(core_local_core(m->core), &m->port);
    assert(e == ERR_OK);
    m->authorized = m->changes = 0;
    m->frozen = m->hold_core = false;
    init_core(m);
    open_cluster(m, raft, tls);
    m->up = true;
    e = cluster_start(m->cluster, text, sizeof text);
    if (e != ERR_OK) {
        (void)fprintf(stderr, "member %u: %s\n", i, text);
    }
    assert(e == ERR_OK);
    return m;
}

void cluster_kit_down(struct cluster_kit *k, unsigned i)
{
    struct cluster_kit_member *m = &k->member[i];
    if (!m->up) {
        return;
    }
    cluster_stop(m->cluster);
    for (unsigned n = 0; n < 20; n++) {
        (void)core_local_run(m->core);
        (void)uv_run(m->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    m->up = false;
    executor_thread_close(m->applier);
    core_port_close(m->port);
    core_local_close(m->core);
    store_close(m->store);
}

void cluster_kit_close(struct cluster_kit *k)
{
    char command[128];
    for (unsigned i = 0; i < CLUSTER_KIT_MEMBERS; i++) {
        cluster_kit_down(k, i);
    }
    (void)snprintf(command, sizeof command, "rm -rf %s", k->dir);
    const int rc = system(command);
    assert(rc == 0);
}

/* -- acts -----------------------------------------------------------------------------------------
 */

static void on_done(void *arg, enum err e, const char *text)
{
    struct cluster_kit_answer *a = arg;
    a->calls++;
    a->error = e;
    (void)snprintf(a->text, sizeof a->text, "%s", text);
}

static void on_outcome(void *arg, enum err e, const struct outcome *outcome)
{
    struct cluster_kit_answer *a = arg;
    a->calls++;
    a->error = e;
    if (e == ERR_OK) {
        a->outcome = *outcome;
        a->index = outcome->index;
        a->error = outcome->error;
    }
}

static ProtobufCBinaryData binary(struct bytes b)
{
    ProtobufCBinaryData out = { b.size, (uint8_t *)(uintptr_t)b.data };
    return out;
}

static void member_spki(const struct cluster_kit_member *m, uint8_t hash[32])
{
    BUF_SCOPED spki = { 0 };
    char key[128];
    (void)snprintf(key, sizeof key, "%s/tls/member.key", m->dir);
    const enum err e = x509_key_spki(key, &spki, hash);
    assert(e == ERR_OK);
}

/* CLUSTER_CREATE in the core: roster and record in *r. */
static void create_in_core(struct cluster_kit_member *m, struct core_reply *r, struct buf *memory)
{
    struct sealed_pin pin[3];
    struct core_status s;
    uint64_t handle = 0;
    uint8_t spki[32];
    read_status(m, &s);
    enum err e = login(m, 1, SO, bytes_of(NULL, 0), &handle);
    assert(e == ERR_OK);
    seal_pin(m, 3, 3, zero, PO, &pin[0]);
    seal_pin(m, 3, 4, zero, CLUSTER_KIT_CO, &pin[1]);
    seal_pin(m, 3, 0, s.core_id, DOMAIN, &pin[2]);
    member_spki(m, spki);
    const struct bytes sections[] = {
        bytes_of(pin[0].challenge, 16),
        bytes_of(pin[0].envelope, 593),
        bytes_of(pin[1].challenge, 16),
        bytes_of(pin[1].envelope, 593),
        bytes_of(pin[2].challenge, 16),
        bytes_of(pin[2].envelope, 593),
        bytes_of(spki, 32),
        bytes_of_text("cluster"),
    };
    e = cluster_kit_ask(m, CORE_CLUSTER_CREATE, handle, 0, sections, 8, r, memory);
    assert(e == ERR_OK);
}

void cluster_kit_create(struct cluster_kit *k, unsigned i, struct cluster_kit_answer *out)
{
    struct cluster_kit_member *m = &k->member[i];
    BUF_SCOPED memory = { 0 };
    BUF_SCOPED ca_memory = { 0 };
    Ringkeep__ClusterInit init = RINGKEEP__CLUSTER_INIT__INIT;
    Ringkeep__MemberRow row = RINGKEEP__MEMBER_ROW__INIT;
    struct core_reply r, ca;
    struct core_status s;
    const struct bytes label = bytes_of_text("cluster");
    create_in_core(m, &r, &memory);
    enum err e = cluster_kit_ask(m, CORE_CA_CREATE, 0, 0, &label, 1, &ca, &ca_memory);
    assert(e == ERR_OK);
    read_status(m, &s);
    memcpy(k->cluster_id, r.section[0].data, ID_SIZE);
    memcpy(k->domain_id, r.section[1].data, ID_SIZE);
    cluster_self_row(m->cluster, s.core_id, &row);
    init.cluster_id = binary(r.section[0]);
    init.incarnation = binary(bytes_of(k->incarnation, ID_SIZE));
    init.domain_id = binary(r.section[1]);
    init.roster = binary(r.section[2]);
    init.cluster_record = binary(r.section[3]);
    init.member = &row;
    init.ca_blob = binary(ca.section[0]);
    init.ca_cert = binary(ca.section[1]);
    init.label = (char *)(uintptr_t) "cluster";
    memset(out, 0, sizeof *out);
    e = cluster_create(m->cluster, s.core_id, &init, on_done, out);
    if (e != ERR_OK) {
        out->error = e;
        return;
    }
    assert(out->calls == 0);
    (void)cluster_kit_until(k, was_answered, out, 20000);
}

void cluster_kit_must_create(struct cluster_kit *k, unsigned i)
{
    struct cluster_kit_answer a;
    cluster_kit_create(k, i, &a);
    assert(a.calls == 1 && a.error == ERR_OK);
}

static struct bytes record_of(struct cluster_kit_member *m, struct buf *out)
{
    STORE_VIEW_SCOPED *view = NULL;
    Ringkeep__ClusterRow *row = NULL;
    if (store_view_open(m->store, &view) == ERR_OK &&
        query_cluster(view, (void **)&row) == ERR_OK) {
        const enum err e = buf_append(
            out, bytes_of(row->cluster_record.data, row->cluster_record.len), LIMIT_RECORD);
        assert(e == ERR_OK);
        query_drop(row);
    }
    return buf_bytes(out);
}

enum err cluster_kit_authorize(struct cluster_kit *k, unsigned i)
{
    BUF_SCOPED record = { 0 };
    uint64_t handle = 0;
    return login(&k->member[i], 4, CLUSTER_KIT_CO, record_of(&k->member[i], &record), &handle);
}

static void propose(struct cluster_kit *k,
                    unsigned i,
                    unsigned field,
                    const void *verb,
                    bool request_id,
                    unsigned timeout_ms,
                    struct cluster_kit_answer *out)
{
    struct command_origin origin = { .present = request_id };
    struct replica_status s;
    BUF_SCOPED command = { 0 };
    cluster_replica_status(k->member[i].cluster, &s);
    random_fill(random_system(), origin.request_id, ID_SIZE);
    memcpy(origin.incarnation, k->incarnation, ID_SIZE);
    origin.base_index = s.visible_index;
    enum err e = command_build(&command, &origin, field, verb);
    assert(e == ERR_OK);
    memset(out, 0, sizeof *out);
    e = cluster_propose(k->member[i].cluster, buf_bytes(&command), timeout_ms, on_outcome, out);
    assert(out->calls == 0);
    if (e != ERR_OK) {
        out->calls = 1;
        out->error = e;
    }
}

static void show_roster(struct cluster_kit_member *m)
{
    STORE_VIEW_SCOPED *view = NULL;
    BUF_SCOPED memory = { 0 };
    Ringkeep__ClusterRow *row = NULL;
    struct core_reply r;
    enum err e = store_view_open(m->store, &view);
    assert(e == ERR_OK);
    e = query_cluster(view, (void **)&row);
    assert(e == ERR_OK);
    const struct bytes roster = bytes_of(row->roster.data, row->roster.len);
    e = cluster_kit_ask(m, CORE_ROSTER_SEEN, 0, 0, &roster, 1, &r, &memory);
    assert(e == ERR_OK);
    query_drop(row);
}

void cluster_kit_duties(struct cluster_kit *k)
{
    for (unsigned i = 0; i < CLUSTER_KIT_MEMBERS; i++) {
        struct cluster_kit_member *m = &k->member[i];
        BUF_SCOPED memory = { 0 };
        Ringkeep__BeaconPut put = RINGKEEP__BEACON_PUT__INIT;
        struct cluster_kit_answer a;
        struct core_reply r;
        uint8_t member_id[ID_SIZE];
        if (!m->up) {
            continue;
        }
        show_roster(m);
        enum err e = cluster_kit_ask(m, CORE_BEACON, 0, 0, NULL, 0, &r, &memory);
        assert(e == ERR_OK);
        cluster_member_id(m->cluster, member_id);
        put.member_id = binary(bytes_of(member_id, ID_SIZE));
        put.beacon = binary(r.section[0]);
        propose(k, i, RINGKEEP__COMMAND__VERB_BEACON_PUT, &put, true, 5000, &a);
        (void)cluster_kit_until(k, was_answered, &a, 6000);
        assert(a.calls == 1 && a.error == ERR_OK);
    }
}

void cluster_kit_must_invite(struct cluster_kit *k, unsigned i, struct cluster_kit_invite *out)
{
    struct cluster_kit_member *m = &k->member[i];
    BUF_SCOPED memory = { 0 };
    BUF_SCOPED record = { 0 };
    Ringkeep__InvitePut put = RINGKEEP__INVITE_PUT__INIT;
    struct cluster_kit_answer a;
    struct core_reply r;
    uint64_t handle = 0;
    enum err e = login(m, 3, PO, record_of(m, &record), &handle);
    assert(e == ERR_OK);
    e = cluster_kit_ask(m, CORE_INVITE_CREATE, handle, 3600, NULL, 0, &r, &memory);
    assert(e == ERR_OK);
    memcpy(out->id, r.section[0].data, ID_SIZE);
    memcpy(out->secret, r.section[2].data, 32);
    put.invite_id = binary(r.section[0]);
    put.sealed = binary(r.section[1]);
    put.expiry = r.number;
    propose(k, i, RINGKEEP__COMMAND__VERB_INVITE_PUT, &put, true, 5000, &a);
    (void)cluster_kit_until(k, was_answered, &a, 6000);
    assert(a.calls == 1 && a.error == ERR_OK);
    for (unsigned n = 0; n < CLUSTER_KIT_MEMBERS; n++) {
        memcpy(k->member[n].watch_invite, out->id, ID_SIZE);
    }
}

static void begin_join(struct cluster_kit *k,
                       unsigned joiner,
                       const struct cluster_kit_invite *v,
                       const char (*addresses)[LIMIT_ADDRESS],
                       unsigned count,
                       struct cluster_kit_answer *out)
{
    struct cluster_kit_member *m = &k->member[joiner];
    BUF_SCOPED memory = { 0 };
    struct sealed_pin pin;
    struct core_status s;
    struct core_reply r;
    uint8_t token[80], spki[32];
    uint64_t handle = 0;
    read_status(m, &s);
    enum err e = login(m, 1, SO, bytes_of(NULL, 0), &handle);
    assert(e == ERR_OK);
    seal_pin(m, 3, 0, s.core_id, DOMAIN, &pin);
    memcpy(token, k->cluster_id, 16);
    memcpy(token + 16, k->domain_id, 16);
    memcpy(token + 32, v->id, 16);
    memcpy(token + 48, v->secret, 32);
    member_spki(m, spki);
    const struct bytes sections[] = { bytes_of(pin.challenge, 16), bytes_of(pin.envelope, 593),
                                      bytes_of(token, 80), bytes_of(spki, 32) };
    e = cluster_kit_ask(m, CORE_JOIN_BEGIN, handle, 0, sections, 4, &r, &memory);
    assert(e == ERR_OK);
    memset(out, 0, sizeof *out);
    e = cluster_join(m->cluster, r.section[0], s.core_id, addresses, count, on_done, out);
    if (e != ERR_OK) {
        out->error = e;
        return;
    }
    assert(out->calls == 0);
}

void cluster_kit_join(struct cluster_kit *k,
                      unsigned joiner,
                      const struct cluster_kit_invite *v,
                      const char (*addresses)[LIMIT_ADDRESS],
                      unsigned count,
                      struct cluster_kit_answer *out)
{
    begin_join(k, joiner, v, addresses, count, out);
    if (out->error == ERR_OK) {
        (void)cluster_kit_until(k, was_answered, out, 40000);
    }
}

struct cluster_kit_join_under_way {
    struct cluster_kit_answer answer;
};

struct cluster_kit_join_under_way *cluster_kit_join_begin(struct cluster_kit *k,
                                                          unsigned joiner,
                                                          unsigned donor)
{
    static struct cluster_kit_join_under_way j;
    struct cluster_kit_invite v;
    char address[1][LIMIT_ADDRESS];
    cluster_kit_must_invite(k, donor, &v);
    memcpy(address[0], k->member[donor].join, LIMIT_ADDRESS);
    begin_join(k, joiner, &v, (const char(*)[LIMIT_ADDRESS])address, 1, &j.answer);
    assert(j.answer.error == ERR_OK);
    return &j;
}

enum err cluster_kit_join_end(const struct cluster_kit_join_under_way *j)
{
    return j->answer.calls == 1 ? j->answer.error : ERR_WRONG_STATE;
}

void cluster_kit_must_join(struct cluster_kit *k, unsigned joiner, unsigned donor)
{
    struct cluster_kit_invite v;
    struct cluster_kit_answer a;
    char address[1][LIMIT_ADDRESS];
    cluster_kit_must_invite(k, donor, &v);
    memcpy(address[0], k->member[donor].join, LIMIT_ADDRESS);
    cluster_kit_join(k, joiner, &v, (const char(*)[LIMIT_ADDRESS])address, 1, &a);
    if (a.error != ERR_OK) {
        (void)fprintf(stderr, "join of %u: %s (%s)\n", joiner, a.text, err_name(a.error));
    }
    assert(a.calls == 1 && a.error == ERR_OK);
}

void cluster_kit_client_hash(unsigned number, uint8_t out[32])
{
    memset(out, 0x43, 32);
    put_u32(out, number);
}

void cluster_kit_write(struct cluster_kit *k,
                       unsigned i,
                       unsigned number,
                       bool request_id,
                       unsigned timeout_ms,
                       struct cluster_kit_answer *out)
{
    Ringkeep__ClientPut put = RINGKEEP__CLIENT_PUT__INIT;
    uint8_t hash[32];
    char name[32];
    cluster_kit_client_hash(number, hash);
    (void)snprintf(name, sizeof name, "client-%u", number);
    put.spki_hash = binary(bytes_of(hash, 32));
    put.name = name;
    put.cert = binary(bytes_of(hash, 32));
    propose(k, i, RINGKEEP__COMMAND__VERB_CLIENT_PUT, &put, request_id, timeout_ms, out);
}
