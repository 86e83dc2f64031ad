/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a command in the log, and what becomes of a log that lies. */
#include <criterion/criterion.h>

#include <raft.h>
#include <raft/uv.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raft-glue/inside.h"
#include "raft-glue/payload.h"
#include "tests/lib/raft_net.h"
#include "tests/lib/raft_sample.h"

TestSuite(raft_payload, .timeout = 60);

Test(raft_payload, has_the_layout_of_the_header)
{
    uint8_t out[40];
    static const uint8_t expected[24] = { 0x2a, 0, 0, 0, 0, 0, 0,   0,   3,  0,
                                          0,    0, 0, 0, 0, 0, 'a', 'b', 'c' };
    memset(out, 0xee, sizeof(out));
    cr_assert_eq(payload_size(3), 24);
    payload_write(out, bytes_of("abc", 3));
    payload_set_index(out, 42);
    cr_assert_arr_eq(out, expected, 24);
    cr_assert_eq(out[24], 0xee);
}

Test(raft_payload, reads_back_every_size)
{
    uint8_t data[64], out[96];
    memset(data, 0x77, sizeof(data));
    for (size_t size = 0; size <= sizeof(data); size++) {
        struct bytes c;
        const size_t total = payload_size(size);
        cr_assert_eq(total % 8, 0);
        payload_write(out, bytes_of(data, size));
        payload_set_index(out, size + 1);
        cr_assert_eq(payload_read(bytes_of(out, total), size + 1, &c), ERR_OK);
        cr_assert(bytes_equal(c, bytes_of(data, size)));
        cr_assert_eq(payload_read(bytes_of(out, total), size + 2, &c), ERR_CORRUPT);
        cr_assert_eq(payload_read(bytes_of(out, total + 8), size + 1, &c), ERR_CORRUPT);
        cr_assert_eq(payload_read(bytes_of(out, total - 8), size + 1, &c), ERR_CORRUPT);
    }
}

Test(raft_payload, refuses_a_claimed_size_that_does_not_fit)
{
    uint8_t out[32] = { 1 };
    struct bytes c;
    put_u32(out + 8, UINT32_MAX);
    cr_assert_eq(payload_read(bytes_of(out, 32), 1, &c), ERR_CORRUPT);
    put_u32(out + 8, 9);
    cr_assert_eq(payload_read(bytes_of(out, 32), 1, &c), ERR_OK);
    out[31] = 1;
    cr_assert_eq(payload_read(bytes_of(out, 32), 1, &c), ERR_CORRUPT);
}

Test(raft_payload, an_entry_with_another_index_ends_the_member, .exit_code = 70)
{
    struct raft_net n;
    uint8_t payload[32];
    void *result = NULL;
    raft_net_open(&n, 1, false);
    struct replica *r = n.nodes[0].replica;
    payload_write(payload, bytes_of("x", 1));
    payload_set_index(payload, raft_last_applied(&r->raft) + 2);
    const struct raft_buffer b = { payload, payload_size(1) };
    (void)r->fsm.apply(&r->fsm, &b, &result);
}

/* A log written by libraft alone, whose entry 2 claims to be `index`. */
struct plain {
    uv_loop_t loop;
    struct raft_uv_transport streams;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    struct raft_apply req;
    bool done;
};

static int no_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    (void)fsm;
    (void)buf;
    *result = NULL;
    return 0;
}

static void on_plain(struct raft_apply *req, int status, void *result)
{
    struct plain *p = req->data;
    (void)result;
    cr_assert_eq(status, 0);
    p->done = true;
}

static void write_plain_log(const char *dir, uint64_t index)
{
    static struct plain p;
    struct raft_configuration c;
    (void)uv_loop_init(&p.loop);
    cr_assert_eq(raft_uv_tcp_init(&p.streams, &p.loop), 0);
    cr_assert_eq(raft_uv_init(&p.io, &p.loop, dir, &p.streams), 0);
    p.fsm = (struct raft_fsm){ .version = 1, .apply = no_apply };
    cr_assert_eq(raft_init(&p.raft, &p.io, &p.fsm, 1, "127.0.0.1:39217"), 0);
    raft_configuration_init(&c);
    cr_assert_eq(raft_configuration_add(&c, 1, "127.0.0.1:39217", RAFT_VOTER), 0);
    cr_assert_eq(raft_bootstrap(&p.raft, &c), 0);
    raft_configuration_close(&c);
    cr_assert_eq(raft_start(&p.raft), 0, "%s", raft_errmsg(&p.raft));
    struct raft_buffer b = { raft_malloc(payload_size(5)), payload_size(5) };
    payload_write(b.base, bytes_of("hello", 5));
    payload_set_index(b.base, index);
    p.req.data = &p;
    cr_assert_eq(raft_apply(&p.raft, &p.req, &b, 1, on_plain), 0);
    while (!p.done) {
        (void)uv_run(&p.loop, UV_RUN_ONCE);
    }
}

static void abort_fatal(void *arg, const char *reason)
{
    (void)arg;
    (void)fprintf(stderr, "fatal: %s\n", reason);
    abort();
}

static enum err listen_none(void *impl, replica_accepted_cb cb, void *arg)
{
    (void)impl;
    (void)cb;
    (void)arg;
    return ERR_OK;
}

static enum err start_on(const char *raft_dir, const char *store_dir, char *text, size_t size)
{
    static uv_loop_t loop;
    static const struct replica_transport transport = { .listen = listen_none };
    struct store *s = NULL;
    struct replica *r = NULL;
    (void)uv_loop_init(&loop);
    cr_assert_eq(store_open(store_dir, &s), ERR_OK);
    const struct replica_options o = { .loop = &loop,
                                       .raft_dir = raft_dir,
                                       .store = s,
                                       .applier = executor_inline(),
                                       .clock = clock_system(),
                                       .transport = &transport,
                                       .raft_id = 1,
                                       .address = "127.0.0.1:39217",
                                       .election_ms = 200,
                                       .heartbeat_ms = 50,
                                       .fatal = abort_fatal };
    cr_assert_eq(replica_open(&o, &r), ERR_OK);
    const enum err e = replica_start(r, text, size);
    store_close(s);
    return e;
}

Test(raft_payload, a_log_with_another_index_does_not_start)
{
    char dir[] = "/tmp/ringkeep-log-XXXXXX", raft_dir[64], store_dir[64], text[256];
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(raft_dir, sizeof(raft_dir), "%s/raft", dir);
    (void)snprintf(store_dir, sizeof(store_dir), "%s/store", dir);
    (void)mkdir(raft_dir, 0700);
    (void)mkdir(store_dir, 0700);
    write_plain_log(raft_dir, 3);
    cr_assert_eq(start_on(raft_dir, store_dir, text, sizeof(text)), ERR_CORRUPT);
    cr_assert_not_null(strstr(text, "entry 2"), "%s", text);
    (void)snprintf(text, sizeof(text), "rm -rf %s", dir);
    cr_assert_eq(system(text), 0);
}

Test(raft_payload, a_log_shorter_than_the_store_does_not_start)
{
    struct raft_net n;
    struct raft_net_answer a;
    char command[512], raft_dir[160], store_dir[160], text[256];
    raft_net_open(&n, 1, false);
    raft_net_create(&n, 1, 10, &a);
    raft_net_create(&n, 2, 10, &a);
    raft_net_settle(&n);
    raft_net_kill(&n, 0);
    (void)snprintf(raft_dir, sizeof(raft_dir), "%s/raft", n.nodes[0].dir);
    (void)snprintf(store_dir, sizeof(store_dir), "%s/store", n.nodes[0].dir);
    /* The first segment, with the configuration alone, stays; the open ones go. */
    (void)snprintf(command, sizeof(command), "cd %s && ls && rm -f open-* && ls", raft_dir);
    cr_assert_eq(system(command), 0);
    const enum err e = start_on(raft_dir, store_dir, text, sizeof(text));
    cr_assert_eq(e, ERR_CORRUPT, "%s: %s", err_name(e), text);
    cr_assert_not_null(strstr(text, "lost entries"), "%s", text);
    raft_net_close(&n);
}
