/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher: makes rings and sockets, starts keeper, workers and daemon, each
 * under its own uid with an empty environment and only the descriptors it needs,
 * and starts again what died. Sees no key and no client. One thread; children
 * are ended by the pids kept here alone. Lives in mN, which only it may write. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "hsm-sim/ring.h"
#include "hsm-sim/run_child.h"
#include "hsm-sim/run_setup.h"

#define KEEPER 0u
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 5000u
#define LIFE_MS 30000u
#define CORE_STOP_MS 3000u
#define DAEMON_STOP_MS 15000u
#define MAX_FDS (3u * LIMIT_WORKERS)

enum { EXIT_CONFIG = 2, EXIT_NO_RESTART = 78 };

struct child {
    char name[24];
    pid_t pid; /* 0: not running */
    bool down; /* left down for good */
    bool core; /* keeper or worker */
    uint64_t born_ms, due_ms, backoff_ms;
    int log_fd;
    unsigned stop_ms; /* patience after SIGTERM */
};

static struct {
    struct run_setup setup;
    unsigned count;                                     /* children: keeper, workers, daemon */
    int ring[LIMIT_WORKERS][3], pair[LIMIT_WORKERS][2]; /* keeper's end first */
    struct child child[LIMIT_WORKERS + 2];
    FILE *log_file;
} run;

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static void say(const char *what, const char *who, int number)
{
    (void)fprintf(run.log_file, "%llu %s %s %d\n", (unsigned long long)clock_wall_s(clock_system()),
                  what, who, number);
    (void)fflush(run.log_file);
}

static void make_rings(void)
{
    for (unsigned i = 0; i < run.setup.workers; i++) {
        for (unsigned j = 0; j < 3; j++) {
            if (run.ring[i][j] > 0) {
                (void)close(run.ring[i][j]);
            }
        }
        if (ring_create(run.ring[i]) != ERR_OK) {
            run_setup_refuse("cannot make", "a ring");
        }
    }
}

static void make_pairs(void)
{
    for (unsigned i = 0; i < run.setup.workers; i++) {
        for (unsigned j = 0; j < 2; j++) {
            if (run.pair[i][j] > 0) {
                (void)close(run.pair[i][j]);
            }
        }
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run.pair[i]) != 0) {
            run_setup_refuse("cannot make", "a socket pair");
        }
    }
}

/* -- life ------------------------------------------------------------------- */

/* What this child is given: returns how many descriptors. */
static unsigned choose_fds(unsigned index, int *fds)
{
    unsigned count = 0;
    if (index != KEEPER && run.child[index].core) {
        fds[0] = run.pair[index - 1][1];
        memcpy(&fds[1], run.ring[index - 1], sizeof run.ring[0]);
        return 4;
    }
    for (unsigned i = 0; i < run.setup.workers; i++) {
        unsigned each = index == KEEPER ? 1 : 3;
        memcpy(&fds[count], index == KEEPER ? run.pair[i] : run.ring[i], each * sizeof fds[0]);
        count += each;
    }
    return count;
}

static void start(unsigned index)
{
    struct child *c = &run.child[index];
    int fds[MAX_FDS];
    char number[16], hsm[] = "ringkeep-hsm", keeper[] = "keeper", worker[] = "worker",
                     at[] = "--index";
    char workers[] = "--workers", isolated[] = "--isolated", daemon[] = "ringkeepd",
         config[] = "--config", file[] = "ringkeepd.conf";
    char *const keeper_argv[] = {
        hsm, keeper, workers, number, run.setup.isolated ? isolated : NULL, NULL
    };
    char *const worker_argv[] = { hsm, worker, at, number, NULL };
    char *const daemon_argv[] = { daemon, config, file, workers, number, NULL };
    char *const environment[2] = { index == KEEPER && run.setup.mtk[0] != 0 ? run.setup.mtk : NULL,
                                   NULL };
    const struct run_child child = {
        .name = c->name,
        .bin_fd = run.setup.bin_fd[c->core],
        .log_fd = c->log_fd,
        .fds = fds,
        .count = choose_fds(index, fds),
        .core = c->core,
        .drop = run.setup.isolated,
        .uid = run.setup.uid[c->core],
        .gid = run.setup.gid[c->core],
        .argv = index == KEEPER ? keeper_argv
                : c->core       ? worker_argv
                                : daemon_argv,
        .environment = environment,
    };
    (void)snprintf(number, sizeof number, "%u",
                   index != KEEPER && c->core ? index - 1 : run.setup.workers);
    pid_t pid = run_child_start(&child);
    c->born_ms = now_ms();
    c->pid = pid > 0 ? pid : 0;
    c->due_ms = c->born_ms + BACKOFF_MAX_MS; /* counts only where fork failed */
    say(pid > 0 ? "started" : "cannot fork", c->name, (int)pid);
}

/* Ends one child and waits for it, at most stop_ms before SIGKILL. */
static void end(struct child *c)
{
    if (c->pid == 0) {
        return;
    }
    uint64_t until = now_ms() + c->stop_ms;
    (void)kill(c->pid, SIGTERM);
    while (waitpid(c->pid, NULL, WNOHANG) == 0) {
        if (now_ms() >= until) {
            (void)kill(c->pid, SIGKILL);
            (void)waitpid(c->pid, NULL, 0);
            break;
        }
        (void)usleep(5000);
    }
    say("ended", c->name, (int)c->pid);
    c->pid = 0;
}

static void end_workers(uint64_t due_ms)
{
    for (unsigned i = 1; i <= run.setup.workers; i++) {
        end(&run.child[i]);
        run.child[i].due_ms = due_ms;
    }
}

/* Says whether the whole member shall stop. */
static bool on_exit_of(unsigned index, int status)
{
    struct child *c = &run.child[index];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    bool daemon = index == run.count - 1;
    c->pid = 0;
    say(code < 0 ? "died by signal" : "exited", c->name, code < 0 ? -code : code);
    if (daemon && code == 0) {
        return true;
    }
    c->down = code == EXIT_CONFIG || code == EXIT_NO_RESTART;
    c->backoff_ms =
        now_ms() - c->born_ms >= LIFE_MS || c->backoff_ms == 0 ? BACKOFF_MIN_MS : c->backoff_ms * 2;
    c->backoff_ms = c->backoff_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms;
    c->due_ms = now_ms() + c->backoff_ms;
    if (c->down) {
        say("left down: its log says why; after", c->name, code);
    }
    if (index == KEEPER) {
        end_workers(c->due_ms);
        make_pairs();
    } else if (daemon && !c->down) {
        end_workers(c->due_ms);
        make_rings();
    }
    return false;
}

static bool reap(void)
{
    bool stop = false;
    for (unsigned i = 0; i < run.count; i++) {
        int status = 0;
        if (run.child[i].pid != 0 &&
            waitpid(run.child[i].pid, &status, WNOHANG) == run.child[i].pid) {
            stop = on_exit_of(i, status) || stop;
        }
    }
    return stop;
}

static void start_due(void)
{
    for (unsigned i = 0; i < run.count; i++) {
        const struct child *c = &run.child[i];
        bool worker = c->core && i != KEEPER;
        if (c->pid == 0 && !c->down && c->due_ms <= now_ms() &&
            (!worker || run.child[KEEPER].pid != 0)) {
            start(i);
        }
    }
}

static void live(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        run_setup_refuse("cannot block", "signals");
    }
    int got = 0;
    const struct timespec tick = { 0, 100000000 };
    do {
        start_due();
        got = sigtimedwait(&set, NULL, &tick);
    } while (got != SIGTERM && got != SIGINT && !reap());
    say("stopping, daemon first, by", "signal", got);
    for (unsigned i = run.count; i-- > 0;) {
        end(&run.child[i]);
    }
    (void)unlink("run.pid");
}

int main(int argc, char **argv)
{
    run_setup(&run.setup, argc, argv);
    run.count = run.setup.workers + 2;
    for (unsigned i = 0; i < run.count; i++) {
        struct child *c = &run.child[i];
        c->core = i + 1 < run.count;
        c->stop_ms = c->core ? CORE_STOP_MS : DAEMON_STOP_MS;
        const char *name = i == KEEPER ? "keeper" : "ringkeepd";
        if (c->core && i != KEEPER) {
            (void)snprintf(c->name, sizeof c->name, "worker-%u", i - 1);
        } else {
            (void)snprintf(c->name, sizeof c->name, "%s", name);
        }
        c->log_fd = run_setup_log(&run.setup, c->name);
    }
    run.log_file = fdopen(run_setup_log(&run.setup, "run"), "a");
    make_rings();
    make_pairs();
    run_setup_write_pid();
    say(run.setup.isolated ? "core isolated" : "core NOT isolated: no users of their own",
        "workers", (int)run.setup.workers);
    live();
    return 0;
}
