/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: frames both ways, bounds of its buffers, raw bytes, deadlines,
 * and that every link says once that it has ended. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/link.h"
#include "peer.pb-c.h"
#include "tests/lib/cluster_kit.h"

TestSuite(cluster_link, .timeout = 30);

struct side {
    struct link *link;
    struct pair *pair;
    bool ready, closed;
    unsigned frames, drains, closes;
    size_t bytes;
    uint64_t sum;
    enum err error;
    size_t payload;
};

struct pair {
    uv_loop_t loop;
    uv_tcp_t listener;
    struct tls_context *server_tls, *client_tls;
    struct side server, client;
    char dir[64], address[LIMIT_ADDRESS];
    size_t frame_limit, send_limit;
};

static void on_ready(void *arg, struct link *l)
{
    (void)l;
    ((struct side *)arg)->ready = true;
}

static void on_frame(void *arg, struct link *l, const struct frame *f)
{
    struct side *s = arg;
    (void)l;
    s->frames++;
    s->payload = f->payload.size;
}

static void on_data(void *arg, struct link *l, struct bytes data)
{
    struct side *s = arg;
    (void)l;
    s->bytes += data.size;
    for (size_t i = 0; i < data.size; i++) {
        s->sum = s->sum * 31 + data.data[i];
    }
}

static void on_drain(void *arg, struct link *l)
{
    (void)l;
    ((struct side *)arg)->drains++;
}

static void on_closed(void *arg, struct link *l, enum err e, const char *why)
{
    struct side *s = arg;
    (void)l;
    (void)why;
    s->closes++;
    s->closed = true;
    s->error = e;
    s->link = NULL;
}

static const struct link_handlers handlers = { .on_ready = on_ready,
                                               .on_frame = on_frame,
                                               .on_data = on_data,
                                               .on_drain = on_drain,
                                               .on_closed = on_closed };

static struct link_options options_of(struct pair *p, struct side *s, struct tls_context *tls)
{
    return (struct link_options){ .loop = &p->loop,
                                  .tls = tls,
                                  .handlers = &handlers,
                                  .arg = s,
                                  .frame_limit = p->frame_limit,
                                  .send_limit = p->send_limit };
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct pair *p = listener->data;
    const struct link_options o = options_of(p, &p->server, p->server_tls);
    cr_assert_eq(status, 0);
    cr_assert_eq(link_accept(&o, listener, &p->server.link), ERR_OK);
}

static void turn(struct pair *p)
{
    (void)uv_run(&p->loop, UV_RUN_NOWAIT);
}

static bool until(struct pair *p, const bool *flag, unsigned ms)
{
    const uint64_t end = clock_mono_ms(clock_system()) + ms;
    while (!*flag && clock_mono_ms(clock_system()) < end) {
        turn(p);
    }
    return *flag;
}

static void turns(struct pair *p, unsigned ms)
{
    const bool never = false;
    (void)until(p, &never, ms);
}

static void open_pair(struct pair *p, size_t frame_limit, size_t send_limit)
{
    struct sockaddr_storage at;
    char cert[96], key[96];
    memset(p, 0, sizeof *p);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/ringkeep-link-XXXXXX");
    cr_assert_not_null(mkdtemp(p->dir));
    (void)snprintf(cert, sizeof cert, "%s/a.crt", p->dir);
    (void)snprintf(key, sizeof key, "%s/a.key", p->dir);
    cr_assert_eq(x509_make_identity(key, cert, "a"), ERR_OK);
    const struct tls_options server = {
        .server = true, .trust = TLS_TRUST_PINNED, .cert_path = cert, .key_path = key
    };
    const struct tls_options client = { .trust = TLS_TRUST_PINNED,
                                        .cert_path = cert,
                                        .key_path = key };
    cr_assert_eq(tls_context_open(&server, &p->server_tls), ERR_OK);
    cr_assert_eq(tls_context_open(&client, &p->client_tls), ERR_OK);
    p->frame_limit = frame_limit;
    p->send_limit = send_limit;
    (void)uv_loop_init(&p->loop);
    (void)snprintf(p->address, sizeof p->address, "127.0.0.1:%u", cluster_kit_port());
    cr_assert_eq(link_parse_address(p->address, &at), ERR_OK);
    (void)uv_tcp_init(&p->loop, &p->listener);
    p->listener.data = p;
    cr_assert_eq(uv_tcp_bind(&p->listener, (struct sockaddr *)&at, 0), 0);
    cr_assert_eq(uv_listen((uv_stream_t *)&p->listener, 4, on_connection), 0);
    const struct link_options o = options_of(p, &p->client, p->client_tls);
    cr_assert_eq(link_connect(&o, p->address, &p->client.link), ERR_OK);
    cr_assert(until(p, &p->client.ready, 3000) && until(p, &p->server.ready, 3000));
}

static void close_pair(struct pair *p)
{
    char command[96];
    link_close(p->client.link, ERR_OK, "done");
    link_close(p->server.link, ERR_OK, "done");
    uv_close((uv_handle_t *)&p->listener, NULL);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    cr_expect_eq(p->client.closes, 1u);
    cr_expect_eq(p->server.closes, 1u);
    cr_expect_eq(uv_loop_close(&p->loop), 0, "no handle is left");
    tls_context_close(p->server_tls);
    tls_context_close(p->client_tls);
    (void)snprintf(command, sizeof command, "rm -rf %s", p->dir);
    cr_expect_eq(system(command), 0);
}

static enum err send_size(struct link *l, size_t size)
{
    static uint8_t data[LIMIT_FRAME_PEER];
    Ringkeep__PeerPropose m = RINGKEEP__PEER_PROPOSE__INIT;
    m.command.data = data;
    m.command.len = size;
    return link_send(l, FRAME_PEER_PROPOSE, 1, &m);
}

Test(cluster_link, frames_of_all_sizes_arrive_whole)
{
    static struct pair p;
    const size_t sizes[] = { 0, 1, 16383, 16384, 65536, 1000000 };
    open_pair(&p, LIMIT_FRAME_PEER, LIMIT_PEER_SEND_QUEUE);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert_eq(send_size(p.client.link, sizes[i]), ERR_OK);
        cr_assert_eq(send_size(p.server.link, sizes[i]), ERR_OK);
    }
    turns(&p, 500);
    cr_expect_eq(p.client.frames, 6u);
    cr_expect_eq(p.server.frames, 6u);
    cr_expect_gt(p.server.payload, 1000000u);
    cr_expect_eq(send_size(p.client.link, LIMIT_FRAME_PEER), ERR_TOO_LARGE);
    cr_expect(link_is_open(p.client.link), "nothing was sent");
    close_pair(&p);
}

Test(cluster_link, a_frame_over_the_limit_ends_the_link)
{
    static struct pair p;
    open_pair(&p, LIMIT_FRAME_UNAUTHENTICATED, LIMIT_PEER_SEND_QUEUE);
    cr_assert_eq(send_size(p.client.link, LIMIT_FRAME_UNAUTHENTICATED), ERR_OK);
    cr_expect(until(&p, &p.server.closed, 3000));
    cr_expect_eq(p.server.error, ERR_TOO_LARGE);
    cr_expect_eq(p.server.frames, 0u);
    cr_expect(until(&p, &p.client.closed, 3000));
    cr_expect_eq(p.client.error, ERR_UNREACHABLE);
    close_pair(&p);
}

Test(cluster_link, one_that_does_not_read_fills_a_bounded_queue)
{
    static struct pair p;
    unsigned sent = 0;
    open_pair(&p, LIMIT_FRAME_PEER, 2u << 20);
    link_pause(p.server.link);
    while (sent < 10000 && send_size(p.client.link, 65536) == ERR_OK) {
        sent++;
        turn(&p);
    }
    cr_expect_lt(sent, 1000u, "it ended");
    cr_expect_leq(link_queued(p.client.link), (size_t)(2u << 20) + 65536u);
    cr_expect_eq(send_size(p.client.link, 65536), ERR_BUSY);
    cr_expect(link_is_open(p.client.link));
    link_resume(p.server.link);
    turns(&p, 1000);
    cr_expect_eq(p.server.frames, sent, "nothing was lost");
    close_pair(&p);
}

Test(cluster_link, raw_bytes_keep_their_order)
{
    static struct pair p;
    static uint8_t data[200000];
    uint64_t sum = 0;
    open_pair(&p, LIMIT_FRAME_UNAUTHENTICATED, 1u << 20);
    link_set_raw(p.client.link);
    link_set_raw(p.server.link);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7 + i / 255);
        sum = sum * 31 + data[i];
    }
    cr_assert_eq(link_write(p.client.link, bytes_of(data, 100000)), ERR_OK);
    cr_assert_eq(link_write(p.client.link, bytes_of(data + 100000, 100000)), ERR_OK);
    turns(&p, 300);
    cr_expect_eq(p.server.bytes, sizeof data);
    cr_expect_eq(p.server.sum, sum);
    cr_expect_gt(p.client.drains, 0u);
    close_pair(&p);
}

Test(cluster_link, a_deadline_closes_and_an_end_lets_the_last_frame_out)
{
    static struct pair p;
    open_pair(&p, LIMIT_FRAME_PEER, LIMIT_PEER_SEND_QUEUE);
    cr_assert_eq(send_size(p.server.link, 500000), ERR_OK);
    link_end(p.server.link, ERR_REFUSED, "a reason");
    cr_expect_not(link_is_open(p.server.link));
    cr_expect_eq(send_size(p.server.link, 1), ERR_UNREACHABLE);
    cr_expect(until(&p, &p.client.closed, 3000));
    cr_expect_eq(p.client.frames, 1u);
    cr_expect(until(&p, &p.server.closed, 3000));
    cr_expect_eq(p.server.error, ERR_REFUSED);
    close_pair(&p);
    open_pair(&p, LIMIT_FRAME_PEER, LIMIT_PEER_SEND_QUEUE);
    link_set_deadline(p.client.link, 50);
    cr_expect(until(&p, &p.client.closed, 3000));
    cr_expect_eq(p.client.error, ERR_TIMEOUT);
    close_pair(&p);
}

Test(cluster_link, nobody_at_the_address)
{
    static struct pair p;
    struct side other = { 0 };
    char nobody[LIMIT_ADDRESS];
    open_pair(&p, LIMIT_FRAME_PEER, LIMIT_PEER_SEND_QUEUE);
    const struct link_options o = options_of(&p, &other, p.client_tls);
    (void)snprintf(nobody, sizeof nobody, "127.0.0.1:%u", cluster_kit_port());
    cr_assert_eq(link_connect(&o, nobody, &other.link), ERR_OK);
    cr_expect_eq(other.closes, 0u, "not from inside the call");
    cr_expect(until(&p, &other.closed, 3000));
    cr_expect_eq(other.error, ERR_UNREACHABLE);
    cr_expect_eq(link_connect(&o, "nowhere", &other.link), ERR_CONFIG);
    close_pair(&p);
}
