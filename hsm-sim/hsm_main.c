/* SPDX-License-Identifier: Apache-2.0 */
/* ringkeep-hsm, the core: `keeper --workers N [--isolated]` or `worker --index I`.
 * Started by ringkeep-run alone, which gives the descriptors (hsm_keeper.h; of a
 * worker: 3 keeper, 4 ring, 5 and 6 its eventfds). */
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "hsm-sim/hsm_keeper.h"
#include "hsm-sim/sandbox.h"
#include "hsm-sim/worker_loop.h"

#define WORKER_FDS 7
#define WORKER_MEMORY ((size_t)96 * 1024 * 1024)

static struct worker_loop *running; /* for the signal handler */

static void on_stop(int number)
{
    (void)number;
    worker_loop_stop(running);
}

static int refuse_worker(const char *why)
{
    log_error("%s", why);
    return HSM_NO_RESTART;
}

static int run_worker(void)
{
    static const int ring[3] = { 4, 5, 6 };
    const struct sigaction stop = { .sa_handler = on_stop };
    char why[512] = "";
    log_init("worker", LOG_LEVEL_INFO, false);
    if (sandbox_begin(WORKER_FDS) != ERR_OK) {
        return refuse_worker("the sandbox cannot be prepared");
    }
    if (sandbox_lock(WORKER_MEMORY, why, sizeof why) != ERR_OK) {
        return refuse_worker(why);
    }
    enum err e = worker_loop_open(clock_system(), ring, 3, &running);
    if (e != ERR_OK) {
        log_error("the worker does not start: %s", err_text(e));
        return HSM_RESTART;
    }
    if (sigaction(SIGTERM, &stop, NULL) != 0 || sandbox_seal() != ERR_OK) {
        return refuse_worker("the sandbox cannot be sealed");
    }
    log_info("worker ready");
    int code = worker_loop_run(running);
    worker_loop_close(running);
    return code;
}

/* A number from 0 to most; -1: none. */
static int number_from(const char *text, unsigned most)
{
    char *rest = NULL;
    const unsigned long n = text == NULL ? ULONG_MAX : strtoul(text, &rest, 10);
    return n <= most && rest != text && *rest == 0 ? (int)n : -1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    const bool isolated = argc == 5 && strcmp(argv[4], "--isolated") == 0;
    int number = argc > 3 ? number_from(argv[3], LIMIT_WORKERS) : -1;
    if (strcmp(what, "keeper") == 0 && (argc == 4 || isolated) && number > 0 &&
        strcmp(argv[2], "--workers") == 0) {
        return hsm_keeper_run((unsigned)number, isolated);
    }
    if (strcmp(what, "worker") == 0 && argc == 4 && number >= 0 &&
        strcmp(argv[2], "--index") == 0) {
        return run_worker();
    }
    (void)fprintf(stderr, "usage: ringkeep-hsm keeper --workers N [--isolated]\n"
                          "       ringkeep-hsm worker --index I\n");
    return HSM_CONFIG;
}
