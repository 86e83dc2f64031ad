/* SPDX-License-Identifier: Apache-2.0 */
/* Strangers and broken peers at the two doors: each is closed, the others are
 * served on; refused joins say why and spend nothing (decision 0004). */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/link.h"
#include "peer.pb-c.h"
#include "tests/lib/cluster_kit.h"

TestSuite(cluster_doors, .timeout = 90);

/* -- a visitor: our own link code, on its own loop, with any key ------------------------ */

struct visitor {
    struct cluster_kit *kit;
    uv_loop_t loop;
    struct tls_context *tls;
    struct link *link;
    bool ready, closed;
    unsigned frames, type;
    uint32_t error; /* of the last reply */
    char text[128];
};

static void on_ready(void *arg, struct link *l)
{
    (void)l;
    ((struct visitor *)arg)->ready = true;
}

static void on_frame(void *arg, struct link *l, const struct frame *f)
{
    struct visitor *v = arg;
    MESSAGE_SCOPED *arena = NULL;
    void *message = NULL;
    (void)l;
    v->frames++;
    v->type = f->type;
    if ((f->type & FRAME_REPLY) != 0 &&
        message_unpack(&ringkeep__peer_reply__descriptor, f->payload, &arena, &message) == ERR_OK) {
        const Ringkeep__PeerReply *r = message;
        v->error = r->error;
        (void)snprintf(v->text, sizeof v->text, "%s", r->text != NULL ? r->text : "");
    }
}

static void on_closed(void *arg, struct link *l, enum err e, const char *why)
{
    struct visitor *v = arg;
    (void)l;
    (void)e;
    (void)why;
    v->closed = true;
    v->link = NULL;
}

static const struct link_handlers handlers = { .on_ready = on_ready,
                                               .on_frame = on_frame,
                                               .on_closed = on_closed };

static void step(struct visitor *v)
{
    (void)uv_run(&v->loop, UV_RUN_NOWAIT);
    cluster_kit_step(v->kit);
}

static bool wait_for(struct visitor *v, const bool *flag, unsigned ms)
{
    const uint64_t end = clock_mono_ms(clock_system()) + ms;
    while (!*flag && clock_mono_ms(clock_system()) < end) {
        step(v);
    }
    return *flag;
}

static bool wait_frames(struct visitor *v, unsigned frames, unsigned ms)
{
    const uint64_t end = clock_mono_ms(clock_system()) + ms;
    while (v->frames < frames && clock_mono_ms(clock_system()) < end) {
        step(v);
    }
    return v->frames >= frames;
}

/* dir: folder with member.key and member.crt; NULL: no certificate. */
static void visit(struct visitor *v, struct cluster_kit *k, const char *dir, const char *address)
{
    char cert[160], key[160];
    memset(v, 0, sizeof *v);
    v->kit = k;
    (void)uv_loop_init(&v->loop);
    (void)snprintf(cert, sizeof cert, "%s/member.crt", dir != NULL ? dir : "");
    (void)snprintf(key, sizeof key, "%s/member.key", dir != NULL ? dir : "");
    const struct tls_options o = { .trust = TLS_TRUST_NONE,
                                   .cert_path = dir != NULL ? cert : NULL,
                                   .key_path = dir != NULL ? key : NULL };
    cr_assert_eq(tls_context_open(&o, &v->tls), ERR_OK);
    const struct link_options link = { .loop = &v->loop,
                                       .tls = v->tls,
                                       .handlers = &handlers,
                                       .arg = v,
                                       .frame_limit = 65536,
                                       .send_limit = 1u << 20 };
    cr_assert_eq(link_connect(&link, address, &v->link), ERR_OK);
}

static void leave(struct visitor *v)
{
    link_close(v->link, ERR_OK, "done");
    (void)wait_for(v, &v->closed, 2000);
    tls_context_close(v->tls);
    (void)uv_loop_close(&v->loop);
}

static void stranger_key(struct cluster_kit *k, char *dir, size_t size)
{
    char cert[160], key[160];
    (void)snprintf(dir, size, "%s/stranger", k->dir);
    (void)mkdir(dir, 0700);
    (void)snprintf(cert, sizeof cert, "%s/member.crt", dir);
    (void)snprintf(key, sizeof key, "%s/member.key", dir);
    cr_assert_eq(x509_make_identity(key, cert, "stranger"), ERR_OK);
}

static void tls_dir(const struct cluster_kit_member *m, char *dir, size_t size)
{
    (void)snprintf(dir, size, "%s/tls", m->dir);
}

static bool answered(void *arg)
{
    return ((struct cluster_kit_answer *)arg)->calls > 0;
}

static void must_serve_on(struct cluster_kit *k, unsigned number)
{
    struct cluster_kit_answer a;
    cluster_kit_write(k, 0, number, true, 10000, &a);
    cr_assert(cluster_kit_until(k, answered, &a, 11000));
    cr_assert_eq(a.error, ERR_OK);
}

static void one(struct cluster_kit *k)
{
    cluster_kit_open(k);
    cluster_kit_up(k, 0);
    cluster_kit_must_create(k, 0);
}

/* The second member is gone, its key is the test's. */
static void two(struct cluster_kit *k)
{
    one(k);
    cluster_kit_up(k, 1);
    cluster_kit_must_join(k, 1, 0);
    cluster_kit_down(k, 1);
}

static void hello_of(struct cluster_kit *k, unsigned i, Ringkeep__PeerHello *h)
{
    static uint8_t member_id[ID_SIZE], zero[ID_SIZE];
    struct cluster_member member[LIMIT_MEMBERS];
    const unsigned n = cluster_members(k->member[0].cluster, member, LIMIT_MEMBERS);
    ringkeep__peer_hello__init(h);
    h->major = PROTOCOL_MAJOR;
    h->cluster_id.data = k->cluster_id;
    h->incarnation.data = k->incarnation;
    h->member_id.data = member_id;
    h->data_uuid.data = zero;
    h->cluster_id.len = h->incarnation.len = h->member_id.len = h->data_uuid.len = ID_SIZE;
    h->wall_s = clock_wall_s(clock_system());
    for (unsigned at = 0; at < n; at++) {
        if (strcmp(member[at].name, k->member[i].name) == 0) {
            memcpy(member_id, member[at].member_id, ID_SIZE);
            h->raft_id = member[at].raft_id;
        }
    }
}

/* -- the peer door -------------------------------------------------------------------------- */

Test(cluster_doors, a_stranger_at_the_peer_door_is_closed)
{
    static struct cluster_kit k;
    struct visitor v;
    char dir[128];
    one(&k);
    visit(&v, &k, NULL, k.member[0].peer);
    cr_expect(wait_for(&v, &v.closed, 3000), "no certificate");
    cr_expect_eq(v.frames, 0u);
    leave(&v);
    stranger_key(&k, dir, sizeof dir);
    visit(&v, &k, dir, k.member[0].peer);
    cr_expect(wait_for(&v, &v.closed, 3000), "a key that is no member's");
    cr_expect_eq(v.frames, 0u);
    leave(&v);
    must_serve_on(&k, 1);
    cluster_kit_close(&k);
}

static int dial_plain(const char *address)
{
    struct sockaddr_storage to;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(link_parse_address(address, &to), ERR_OK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(struct sockaddr_in)), 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static bool ends(struct cluster_kit *k, int fd, unsigned ms)
{
    const uint64_t until = clock_mono_ms(clock_system()) + ms;
    char buf[4096];
    while (clock_mono_ms(clock_system()) < until) {
        const ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return true;
        }
        cluster_kit_step(k);
    }
    return false;
}

Test(cluster_doors, noise_and_silence_end)
{
    static struct cluster_kit k;
    const char noise[] = "GET / HTTP/1.1\r\nHost: ringkeep\r\n\r\n";
    one(&k);
    const char *doors[] = { k.member[0].peer, k.member[0].join };
    for (unsigned i = 0; i < 2; i++) {
        const int fd = dial_plain(doors[i]);
        cr_assert_eq(send(fd, noise, sizeof noise - 1, MSG_NOSIGNAL), (ssize_t)(sizeof noise - 1));
        cr_expect(ends(&k, fd, 3000), "noise at %s", doors[i]);
        (void)close(fd);
    }
    const int silent = dial_plain(k.member[0].peer), silent_join = dial_plain(k.member[0].join);
    cr_expect(ends(&k, silent, LIMIT_HANDSHAKE_MS + 2000));
    cr_expect(ends(&k, silent_join, 2000));
    (void)close(silent);
    (void)close(silent_join);
    must_serve_on(&k, 1);
    cluster_kit_close(&k);
}

static void refused_hello(struct cluster_kit *k, const Ringkeep__PeerHello *h, enum err expected)
{
    struct visitor v;
    char dir[128];
    tls_dir(&k->member[1], dir, sizeof dir);
    visit(&v, k, dir, k->member[0].peer);
    cr_assert(wait_for(&v, &v.ready, 3000));
    cr_assert_eq(link_send(v.link, FRAME_PEER_HELLO, 1, h), ERR_OK);
    cr_expect(wait_frames(&v, 1, 3000));
    cr_expect_eq(v.error, (uint32_t)expected, "%s: %s", err_name(err_from_wire(v.error)), v.text);
    cr_expect_gt(strlen(v.text), 5u);
    cr_expect(wait_for(&v, &v.closed, 3000));
    leave(&v);
}

Test(cluster_doors, a_hello_must_fit_its_key)
{
    static struct cluster_kit k;
    static uint8_t other[ID_SIZE] = { 1 };
    Ringkeep__PeerHello h, own;
    two(&k);
    hello_of(&k, 0, &h); /* member 0's name under member 1's key */
    refused_hello(&k, &h, ERR_IDENTITY);
    hello_of(&k, 1, &own);
    h = own;
    h.raft_id++;
    refused_hello(&k, &h, ERR_IDENTITY);
    h = own;
    h.cluster_id.data = other;
    refused_hello(&k, &h, ERR_IDENTITY);
    h = own;
    h.incarnation.data = other;
    refused_hello(&k, &h, ERR_INCARNATION);
    h = own; /* its data uuid is zero: another directory under the same key */
    refused_hello(&k, &h, ERR_IDENTITY);
    h = own;
    h.major++;
    refused_hello(&k, &h, ERR_UNSUPPORTED);
    must_serve_on(&k, 1);
    cluster_kit_close(&k);
}

static void put_head(uint8_t *at, uint32_t length, unsigned type)
{
    memset(at, 0, FRAME_HEAD);
    put_u32(at, length);
    put_u16(at + 4, (uint16_t)type);
}

Test(cluster_doors, broken_frames_end_their_connection_only)
{
    static struct cluster_kit k;
    struct visitor v;
    uint8_t head[FRAME_HEAD];
    char dir[128], own[128];
    const struct {
        uint32_t length;
        unsigned type;
    } cases[] = {
        { UINT32_MAX, FRAME_PEER_HELLO },
        { LIMIT_FRAME_UNAUTHENTICATED + 1, FRAME_CLONE_BEGIN },
        { 3, FRAME_CLONE_BEGIN },
        { 12, FRAME_PEER_PROPOSE },
        { 12, 0 },
        { 12, 65535 },
    };
    two(&k);
    tls_dir(&k.member[1], own, sizeof own);
    stranger_key(&k, dir, sizeof dir);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned door = 0; door < 2; door++) {
            visit(&v, &k, door == 0 ? own : dir, door == 0 ? k.member[0].peer : k.member[0].join);
            cr_assert(wait_for(&v, &v.ready, 3000));
            put_head(head, cases[i].length, cases[i].type);
            cr_assert_eq(link_write(v.link, bytes_of(head, sizeof head)), ERR_OK);
            cr_expect(wait_for(&v, &v.closed, 3000), "case %u, door %u", i, door);
            leave(&v);
        }
    }
    must_serve_on(&k, 1);
    cluster_kit_close(&k);
}

/* -- the join door ----------------------------------------------------------------------------- */

Test(cluster_doors, the_join_door_takes_few_at_a_time)
{
    static struct cluster_kit k;
    static struct visitor v[LIMIT_JOIN_CONNECTIONS + 1];
    one(&k);
    for (unsigned i = 0; i < LIMIT_JOIN_CONNECTIONS; i++) {
        visit(&v[i], &k, NULL, k.member[0].join);
        cr_assert(wait_for(&v[i], &v[i].ready, 3000));
    }
    struct visitor *last = &v[LIMIT_JOIN_CONNECTIONS];
    visit(last, &k, NULL, k.member[0].join);
    cr_expect(wait_for(last, &last->closed, 3000));
    cr_expect_not(last->ready);
    for (unsigned i = 0; i <= LIMIT_JOIN_CONNECTIONS; i++) {
        leave(&v[i]);
    }
    cluster_kit_run(&k, 200);
    cluster_kit_up(&k, 1);
    cluster_kit_must_join(&k, 1, 0);
    cluster_kit_close(&k);
}

Test(cluster_doors, a_message_out_of_turn_is_refused)
{
    static struct cluster_kit k;
    struct visitor v;
    Ringkeep__CloneM2 m2 = RINGKEEP__CLONE_M2__INIT;
    Ringkeep__CloneBegin begin = RINGKEEP__CLONE_BEGIN__INIT;
    uint8_t some[145] = { 7 };
    one(&k);
    visit(&v, &k, NULL, k.member[0].join);
    cr_assert(wait_for(&v, &v.ready, 3000));
    m2.message.data = some;
    m2.message.len = 32;
    cr_assert_eq(link_send(v.link, FRAME_CLONE_M4, 1, &m2), ERR_OK);
    cr_expect(wait_frames(&v, 1, 3000));
    cr_expect_eq(v.error, (uint32_t)ERR_WRONG_STATE);
    cr_assert_eq(link_send(v.link, FRAME_CLONE_M2, 2, &m2), ERR_OK);
    cr_expect(wait_frames(&v, 2, 3000));
    cr_expect_eq(v.error, (uint32_t)ERR_WRONG_STATE);
    begin.purpose = 1;
    begin.request.data = some;
    begin.request.len = sizeof some;
    cr_assert_eq(link_send(v.link, FRAME_CLONE_BEGIN, 3, &begin), ERR_OK);
    cr_expect(wait_frames(&v, 3, 3000));
    cr_expect_eq(v.error, (uint32_t)ERR_MALFORMED, "no description of the joiner");
    begin.purpose = 2;
    cr_assert_eq(link_send(v.link, FRAME_CLONE_BEGIN, 4, &begin), ERR_OK);
    cr_expect(wait_frames(&v, 4, 3000));
    cr_expect_neq(v.error, (uint32_t)ERR_OK, "inheritance at the join door");
    leave(&v);
    cr_expect_eq(k.member[0].asked[CORE_CLONE_M1], 0u, "the core was not asked");
    cluster_kit_close(&k);
}

static enum err join_at(struct cluster_kit *k,
                        unsigned joiner,
                        const struct cluster_kit_invite *v,
                        const char *first,
                        const char *second)
{
    struct cluster_kit_answer a;
    char address[2][LIMIT_ADDRESS];
    (void)snprintf(address[0], LIMIT_ADDRESS, "%s", first);
    (void)snprintf(address[1], LIMIT_ADDRESS, "%s", second != NULL ? second : "");
    cluster_kit_join(k, joiner, v, (const char(*)[LIMIT_ADDRESS])address, second != NULL ? 2 : 1,
                     &a);
    cr_expect_eq(a.calls, 1u);
    cr_expect_gt(strlen(a.text), 5u);
    return a.error;
}

Test(cluster_doors, a_wrong_clock_is_refused_and_spends_nothing)
{
    static struct cluster_kit k;
    struct cluster_kit_invite v;
    one(&k);
    cluster_kit_up(&k, 1);
    cluster_kit_must_invite(&k, 0, &v);
    k.member[1].skew_s = 60;
    cr_expect_eq(join_at(&k, 1, &v, k.member[0].join, NULL), ERR_CLOCK);
    cr_expect_not(cluster_is_member(k.member[1].cluster));
    k.member[1].skew_s = -60;
    cr_expect_eq(join_at(&k, 1, &v, k.member[0].join, NULL), ERR_CLOCK);
    k.member[1].skew_s = 0;
    cr_expect_eq(join_at(&k, 1, &v, k.member[0].join, NULL), ERR_OK, "the same invite");
    cr_expect(cluster_is_member(k.member[1].cluster));
    cluster_kit_close(&k);
}

Test(cluster_doors, an_invite_serves_once)
{
    static struct cluster_kit k;
    struct cluster_kit_invite v, unknown;
    one(&k);
    cluster_kit_up(&k, 1);
    cluster_kit_up(&k, 2);
    cluster_kit_must_invite(&k, 0, &v);
    unknown = v;
    unknown.id[0] ^= 1;
    cr_expect_eq(join_at(&k, 2, &unknown, k.member[0].join, NULL), ERR_TOKEN);
    cr_expect_eq(join_at(&k, 1, &v, k.member[0].join, NULL), ERR_OK);
    cr_expect_eq(join_at(&k, 2, &v, k.member[0].join, NULL), ERR_TOKEN);
    cr_expect_eq(k.member[0].asked[CORE_CLONE_M3], 1u);
    cluster_kit_close(&k);
}

Test(cluster_doors, other_addresses_are_tried)
{
    static struct cluster_kit k;
    struct cluster_kit_invite v;
    char nobody[LIMIT_ADDRESS];
    one(&k);
    cluster_kit_up(&k, 1);
    cluster_kit_up(&k, 2);
    (void)snprintf(nobody, sizeof nobody, "127.0.0.1:%u", cluster_kit_port());
    cluster_kit_must_invite(&k, 0, &v);
    cr_expect_eq(join_at(&k, 1, &v, nobody, NULL), ERR_UNREACHABLE);
    cr_expect_eq(join_at(&k, 1, &v, nobody, k.member[0].join), ERR_OK);
    cluster_kit_must_invite(&k, 0, &v);
    /* a member that belongs to no cluster sends the joiner on */
    cluster_kit_up(&k, 3);
    cr_expect_eq(join_at(&k, 2, &v, k.member[3].join, k.member[0].join), ERR_OK);
    cluster_kit_close(&k);
}

Test(cluster_doors, names_and_states_are_checked_before_the_invite_is_spent)
{
    static struct cluster_kit k;
    struct cluster_kit_invite v;
    struct cluster_kit_answer a;
    one(&k);
    (void)snprintf(k.member[1].name, sizeof k.member[1].name, "m0");
    cluster_kit_up(&k, 1);
    cluster_kit_must_invite(&k, 0, &v);
    cr_expect_eq(join_at(&k, 1, &v, k.member[0].join, NULL), ERR_EXISTS, "a name that is taken");
    char self[1][LIMIT_ADDRESS];
    (void)snprintf(self[0], LIMIT_ADDRESS, "%s", k.member[0].join);
    a = (struct cluster_kit_answer){ 0 };
    cr_expect_eq(cluster_join(k.member[0].cluster, bytes_of(v.secret, 32), v.id,
                              (const char(*)[LIMIT_ADDRESS])self, 1, NULL, NULL),
                 ERR_WRONG_STATE, "a member");
    cr_expect_eq(a.calls, 0u);
    cluster_kit_close(&k);
}

struct counted {
    unsigned calls;
    enum err error;
};

static void on_any(void *arg, enum err e, uint64_t index)
{
    struct counted *c = arg;
    (void)index;
    c->calls++;
    c->error = e;
}

static void on_join(void *arg, enum err e, const char *text)
{
    (void)text;
    on_any(arg, e, 0);
}

Test(cluster_doors, a_stop_ends_everything_that_waits)
{
    static struct cluster_kit k;
    struct counted barrier = { 0 }, visible = { 0 }, join = { 0 };
    struct cluster_kit_answer write;
    uint8_t request[145] = { 1 };
    char nobody[1][LIMIT_ADDRESS] = { "127.0.0.1:1" };
    one(&k);
    cluster_kit_up(&k, 1);
    cr_assert_eq(cluster_join(k.member[1].cluster, bytes_of(request, sizeof request), request,
                              (const char(*)[LIMIT_ADDRESS])nobody, 1, on_join, &join),
                 ERR_OK);
    cr_assert_eq(cluster_wait_visible(k.member[0].cluster, 1000000, 60000, on_any, &visible),
                 ERR_OK);
    cr_assert_eq(cluster_barrier(k.member[0].cluster, 60000, on_any, &barrier), ERR_OK);
    cluster_kit_write(&k, 0, 5, true, 60000, &write);
    cluster_kit_down(&k, 0);
    cluster_kit_down(&k, 1);
    cr_expect_eq(join.calls, 1u);
    cr_expect_eq(visible.calls, 1u);
    cr_expect_eq(visible.error, ERR_CANCELLED);
    cr_expect_eq(barrier.calls, 1u);
    cr_expect_eq(write.calls, 1u);
    cluster_kit_close(&k);
}

Test(cluster_doors, addresses_are_numbers)
{
    struct sockaddr_storage a;
    cr_expect_eq(link_parse_address("127.0.0.1:1793", &a), ERR_OK);
    cr_expect_eq(link_parse_address("[::1]:1793", &a), ERR_OK);
    const char *bad[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:17x",
        "host:1",
        "[]:1",
        "[::1:1",
        "[:1",
        "]:1",
        ":1793",
        "1111111111111111111111111111111111111111111111111111111111111111111111:1"
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(link_parse_address(bad[i], &a), ERR_CONFIG, "%s", bad[i]);
    }
}
