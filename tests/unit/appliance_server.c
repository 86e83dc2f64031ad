/* SPDX-License-Identifier: Apache-2.0 */
/* Frames with bad lengths at both doors, over socketpairs: the sender is let go, the
 * others are served on; bounds of unknown connections, of answers not read, of time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/appliance_kit.h"

#define KIT                                                                                        \
    KIT_SCOPED kit;                                                                                \
    struct appliance_kit *k = &kit;                                                                \
    kit_start(k)

static void send_raw(struct appliance_kit *k, const uint8_t *data, size_t size)
{
    if (k->conn != NULL) {
        const enum err e = tls_write(k->conn, bytes_of(data, size));
        assert(e == ERR_OK);
    } else {
        const ssize_t n = send(k->fd, data, size, MSG_NOSIGNAL);
        assert(n >= 0);
    }
}

static bool is_ended(struct appliance_kit *k)
{
    for (unsigned i = 0; i < 30; i++) {
        if (!kit_read(k)) {
            return true;
        }
    }
    return false;
}

static void head(uint8_t out[FRAME_HEAD], uint32_t length, unsigned type, unsigned flags)
{
    memset(out, 0, FRAME_HEAD);
    put_u32(out, length);
    put_u16(out + 4, (uint16_t)type);
    put_u16(out + 6, (uint16_t)flags);
}

struct bad {
    const char *what;
    uint32_t length;
    unsigned flags;
    bool admin_too;
};
static const struct bad bads[] = {
    { "length 0", 0, 0, true },
    { "shorter than a head", FRAME_HEAD - 5, 0, true },
    { "flags set", FRAME_HEAD - 4, 1, true },
    { "all ones", UINT32_MAX, 0, true },
    { "sign bit", 0x80000000u, 0, true },
    { "one above the bound", LIMIT_FRAME_CLIENT - 3, 0, true },
};
#define BADS (sizeof bads / sizeof bads[0])

Test(server, a_bad_length_at_the_admin_door_ends_that_connection, .timeout = 60)
{
    KIT;
    for (size_t i = 0; i < BADS; i++) {
        uint8_t h[FRAME_HEAD];
        kit_pair(k, admin_door_server(k->a.admins));
        head(h, bads[i].length, FRAME_ADMIN, bads[i].flags);
        send_raw(k, h, sizeof h);
        cr_expect(is_ended(k), "%s", bads[i].what);
        kit_disconnect(k);
    }
    cr_expect_eq(server_connections(admin_door_server(k->a.admins)), 0);
}

Test(server, a_bad_length_at_the_client_door_ends_that_connection, .timeout = 60)
{
    KIT;
    for (size_t i = 0; i < BADS; i++) {
        uint8_t h[FRAME_HEAD];
        kit_connect(k, i == 0);
        head(h, bads[i].length, FRAME_HELLO, bads[i].flags);
        send_raw(k, h, sizeof h);
        cr_expect(is_ended(k), "%s", bads[i].what);
        kit_disconnect(k);
    }
}

Test(server, bytes_that_are_no_tls_end_the_connection, .timeout = 60)
{
    KIT;
    uint8_t junk[512];
    kit_connect(k, true); /* gives the door a certificate */
    kit_disconnect(k);
    memset(junk, 0x41, sizeof junk);
    kit_pair(k, client_door_server(k->a.clients));
    send_raw(k, junk, sizeof junk);
    cr_expect(is_ended(k));
}

Test(server, others_are_served_on, .timeout = 60)
{
    KIT;
    uint8_t h[FRAME_HEAD];
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = PROTOCOL_MAJOR;
    kit_connect(k, true);
    const int fd = k->fd;
    struct tls_conn *conn = k->conn;
    k->conn = NULL;
    kit_pair(k, admin_door_server(k->a.admins));
    head(h, UINT32_MAX, FRAME_ADMIN, 0);
    send_raw(k, h, sizeof h);
    cr_expect(is_ended(k));
    (void)close(k->fd);
    k->fd = fd;
    k->conn = conn;
    cr_expect_eq(kit_ask(k, FRAME_HELLO, &hello)->error, ERR_OK);
}

Test(server, a_frame_may_come_byte_by_byte_and_many_at_once, .timeout = 60)
{
    KIT;
    BUF_SCOPED out = { 0 };
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = PROTOCOL_MAJOR;
    kit_connect(k, true);
    for (unsigned i = 1; i <= 20; i++) {
        cr_assert_eq(message_append(&out, FRAME_HELLO, i, &hello, 4096), ERR_OK);
    }
    const size_t one = out.size / 20;
    for (size_t i = 0; i < one; i++) {
        send_raw(k, out.data + i, 1);
        (void)kit_pump(k);
    }
    const Ringkeep__Reply *reply = kit_receive(k, &ringkeep__reply__descriptor, 30);
    cr_assert_not_null(reply);
    send_raw(k, out.data + one, out.size - one);
    for (unsigned i = 0; i < 19; i++) {
        reply = kit_receive(k, &ringkeep__reply__descriptor, 30);
        cr_assert_not_null(reply, "reply %u", i);
        cr_expect_eq(reply->error, ERR_OK);
    }
}

Test(server, an_unknown_client_may_send_little_and_hears_why_it_is_refused, .timeout = 60)
{
    KIT;
    uint8_t h[FRAME_HEAD];
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = PROTOCOL_MAJOR;
    kit_connect(k, false);
    kit_send(k, FRAME_HELLO, &hello);
    const Ringkeep__Reply *reply = kit_receive(k, &ringkeep__reply__descriptor, 30);
    cr_assert_not_null(reply);
    cr_expect_eq(reply->error, ERR_IDENTITY);
    cr_expect_not_null(reply->text);
    cr_expect(is_ended(k));
    kit_disconnect(k);
    kit_connect(k, false);
    head(h, LIMIT_FRAME_UNAUTHENTICATED, FRAME_SIGN, 0);
    send_raw(k, h, sizeof h);
    cr_expect(is_ended(k), "4 KiB before the client is known");
}

Test(server, a_client_registered_while_it_waits_is_served, .timeout = 60)
{
    KIT;
    Ringkeep__Hello hello = RINGKEEP__HELLO__INIT;
    hello.major = PROTOCOL_MAJOR;
    kit_connect(k, false);
    kit_register(k, "late");
    cr_expect_eq(kit_ask(k, FRAME_HELLO, &hello)->error, ERR_OK);
}

/* The sweep runs on libuv's own timer: real time, once. */
static void sweep(struct appliance_kit *k)
{
    for (unsigned i = 0; i < 40; i++) {
        (void)usleep(20000);
        kit_spin(k);
    }
}

Test(server, a_silent_unknown_connection_has_its_time_and_a_known_one_any, .timeout = 60)
{
    KIT;
    kit_connect(k, true);
    const int known = k->fd;
    struct tls_conn *conn = k->conn;
    k->conn = NULL;
    kit_pair(k, client_door_server(k->a.clients)); /* never begins its handshake */
    kit_spin(k);
    cr_expect_eq(client_door_connections(k->a.clients), 2);
    k->now_ms += LIMIT_HANDSHAKE_MS + 1;
    sweep(k);
    cr_expect_eq(client_door_connections(k->a.clients), 1);
    (void)close(k->fd);
    k->fd = known;
    k->conn = conn;
}

Test(server, one_that_never_reads_its_answers_is_let_go, .timeout = 60)
{
    KIT;
    uint8_t out[FRAME_HEAD + 64];
    Ringkeep__Random random = RINGKEEP__RANDOM__INIT;
    BUF_SCOPED frame = { 0 };
    random.size = 65536;
    kit_connect(k, true);
    cr_assert_eq(message_append(&frame, FRAME_RANDOM, 1, &random, sizeof out), ERR_OK);
    for (unsigned i = 0; i < 400 && client_door_connections(k->a.clients) > 0; i++) {
        send_raw(k, frame.data, frame.size);
        const struct bytes pending = tls_pending(k->conn);
        const ssize_t n = send(k->fd, pending.data, pending.size, MSG_NOSIGNAL);
        tls_sent(k->conn, n > 0 ? (size_t)n : 0);
        kit_spin(k);
    }
    cr_expect_eq(client_door_connections(k->a.clients), 0);
}

Test(server, requests_beyond_the_bound_are_told_busy, .timeout = 60)
{
    KIT;
    Ringkeep__Random random = RINGKEEP__RANDOM__INIT;
    unsigned busy = 0, done = 0;
    random.size = 16;
    kit_connect(k, true);
    k->hold_core = true;
    for (unsigned i = 0; i < LIMIT_REQUESTS_PER_CONNECTION + 5; i++) {
        kit_send(k, FRAME_RANDOM, &random);
    }
    for (unsigned i = 0; i < 10; i++) {
        (void)kit_read(k);
    }
    k->hold_core = false;
    for (unsigned i = 0; i < LIMIT_REQUESTS_PER_CONNECTION + 5; i++) {
        const Ringkeep__Reply *reply = kit_receive(k, &ringkeep__reply__descriptor, 30);
        cr_assert_not_null(reply);
        busy += reply->error == ERR_BUSY ? 1 : 0;
        done += reply->error == ERR_OK ? 1 : 0;
    }
    cr_expect_eq(done, LIMIT_REQUESTS_PER_CONNECTION);
    cr_expect_eq(busy, 5);
}

Test(server, a_request_may_outlive_its_connection, .timeout = 60)
{
    KIT;
    Ringkeep__Random random = RINGKEEP__RANDOM__INIT;
    random.size = 16;
    kit_connect(k, true);
    k->hold_core = true;
    kit_send(k, FRAME_RANDOM, &random);
    (void)kit_read(k);
    cr_expect_eq(k->calls[CORE_RANDOM], 1);
    kit_disconnect(k);
    kit_spin(k);
    cr_expect_eq(client_door_connections(k->a.clients), 1, "held by its request");
    k->hold_core = false;
    kit_spin(k);
    kit_spin(k);
    cr_expect_eq(client_door_connections(k->a.clients), 0);
}

Test(server, the_admin_socket_is_for_its_owner_alone, .timeout = 60)
{
    KIT;
    struct admin_door *door = NULL;
    struct stat st;
    char path[128];
    kit_tls_path(k, "admin.sock", path);
    cr_assert_eq(admin_door_open(&k->a, path, &door), ERR_OK);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 07777u, 0600u);
    admin_door_close(door);
    kit_spin(k);
    cr_expect_eq(access(path, F_OK), -1);
}

/* The second try after a taken port was an assertion that ended the daemon. */
Test(server, a_taken_port_is_tried_again_until_it_is_free, .timeout = 60)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof at;
    uv_loop_t loop;
    struct server *server = NULL;
    char address[LIMIT_ADDRESS];
    const int other = socket(AF_INET, SOCK_STREAM, 0);
    const struct server_options options = { .loop = &loop,
                                            .clock = clock_system(),
                                            .name = "test",
                                            .connections = 1,
                                            .frame_limit = 4096 };
    cr_assert_eq(bind(other, (struct sockaddr *)&at, size), 0);
    cr_assert_eq(listen(other, 1), 0);
    cr_assert_eq(getsockname(other, (struct sockaddr *)&at, &size), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(server_open(&options, &server), ERR_OK);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(server_listen_tcp(server, address), ERR_IO);
        cr_expect_eq(server_listen_tcp(server, address), ERR_BUSY);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    (void)close(other);
    cr_expect_eq(server_listen_tcp(server, address), ERR_OK);
    server_close(server);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    cr_expect_eq(uv_loop_close(&loop), 0);
}
