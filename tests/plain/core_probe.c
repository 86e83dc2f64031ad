/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for ringkeepd behind ringkeep-run: asks the core of its state and,
 * where it was built with hooks, of its walls; initialises it over the rings with
 * the real cost of scrypt; prints one line per answer to stdout. Then waits for
 * SIGTERM, or ends at once as the file ./exit says. For tests/e2e scripts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "hsm-sim/core_client.h"
#include "proto/envelope.h"

#define HANDSHAKES 6u

struct probe {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t stop;
    struct core_rings *rings;
    const struct core *core;
    struct core_status status;
    unsigned step;
    uint8_t challenge[ID_SIZE];
};

static void next(struct probe *p);

static void on_text(void *arg, enum err e, const struct core_reply *reply)
{
    struct probe *p = arg;
    printf("step %u: %s\n", p->step, err_name(e));
    if (e == ERR_OK && reply->section[0].size > 0) {
        printf("%.*s", (int)reply->section[0].size, (const char *)reply->section[0].data);
    }
    fflush(stdout);
    p->step++;
    next(p);
}

static void on_status(void *arg, enum err e, const struct core_reply *reply)
{
    struct probe *p = arg;
    if (e == ERR_OK && core_status_decode(reply->section[0], &p->status) == ERR_OK) {
        printf("state=%u isolated=%u locked=%u mtk_in_state=%u\n", p->status.state,
               p->status.isolated, p->status.locked, p->status.mtk_in_state);
    }
    fflush(stdout);
    if (e == ERR_BUSY || e == ERR_TIMEOUT) {
        return; /* no worker yet: the timer asks again */
    }
    p->step++;
    next(p);
}

static void on_challenge(void *arg, enum err e, const struct core_reply *reply)
{
    struct probe *p = arg;
    printf("challenge: %s\n", err_name(e));
    if (e == ERR_OK) {
        memcpy(p->challenge, reply->section[0].data, ID_SIZE);
    }
    p->step++;
    next(p);
}

static enum err ask(struct probe *p, const struct core_request *q, core_reply_cb cb)
{
    return core_call(p->core, q, 10000, cb, p);
}

static enum err ask_init(struct probe *p)
{
    struct envelope_context context = { .role = 1 };
    struct envelope_pin pin;
    uint8_t bound[ENVELOPE_PIN_CONTEXT];
    uint8_t envelope[ENVELOPE_PIN];
    struct core_request q = { .verb = CORE_INIT };
    memcpy(context.challenge, p->challenge, ID_SIZE);
    memcpy(context.kr_id, p->status.core_id, ID_SIZE);
    envelope_pin_context(&context, bound);
    TRY(envelope_pin_fill(ENVELOPE_SET, bytes_of(NULL, 0), bytes_of_text("a-password"), NULL,
                          &pin));
    TRY(envelope_pin_seal(p->status.ak_pub, bound, &pin, envelope));
    q.section[0] = bytes_of(p->challenge, ID_SIZE);
    q.section[1] = bytes_of(envelope, sizeof envelope);
    q.section[2] = bytes_of_text("probe");
    return ask(p, &q, on_text);
}

static void next(struct probe *p)
{
    static const struct {
        unsigned verb;
        core_reply_cb cb;
    } steps[HANDSHAKES] = {
        { CORE_STATUS, on_status },       { 60, on_text },     { 61, on_text },
        { CORE_CHALLENGE, on_challenge }, { CORE_INIT, NULL }, { CORE_STATUS, on_status },
    };
    enum err e = ERR_OK;
    if (p->step >= HANDSHAKES) {
        char text[16] = "";
        FILE *f = fopen("exit", "re");
        if (f != NULL && fgets(text, sizeof text, f) != NULL) {
            _exit((int)strtol(text, NULL, 10));
        }
        return;
    }
    if (steps[p->step].cb == NULL) {
        e = ask_init(p);
    } else {
        const struct core_request q = { .verb = steps[p->step].verb };
        e = ask(p, &q, steps[p->step].cb);
    }
    if (e != ERR_OK && e != ERR_BUSY) {
        printf("step %u not asked: %s\n", p->step, err_name(e));
        fflush(stdout);
        p->step++;
        next(p);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct probe *p = timer->data;
    if (p->step == 0) {
        next(p);
    }
}

static void on_stop(uv_signal_t *signal, int number)
{
    (void)signal;
    printf("stopped by %d\n", number);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    static struct probe p;
    int fds[3 * LIMIT_WORKERS];
    const unsigned workers = argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    for (unsigned i = 0; i < 3 * LIMIT_WORKERS; i++) {
        fds[i] = 3 + (int)i;
    }
    if (workers == 0 || workers > LIMIT_WORKERS || crypt_init() != ERR_OK ||
        uv_loop_init(&p.loop) != 0 || core_rings_open(&p.loop, fds, workers, &p.rings) != ERR_OK) {
        (void)fprintf(stderr, "core_probe: cannot open the rings\n");
        return 2;
    }
    p.core = core_rings_core(p.rings);
    p.timer.data = &p;
    if (uv_timer_init(&p.loop, &p.timer) != 0 || uv_timer_start(&p.timer, on_timer, 50, 300) != 0 ||
        uv_signal_init(&p.loop, &p.stop) != 0 || uv_signal_start(&p.stop, on_stop, SIGTERM) != 0) {
        return 2;
    }
    return uv_run(&p.loop, UV_RUN_DEFAULT);
}
