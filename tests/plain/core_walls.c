/* SPDX-License-Identifier: Apache-2.0 */
/* The core's own processes under the sandbox, driven over a real ring without a
 * daemon: what they may not do, what a broken frame and an aborted operation cost.
 *
 * core_walls RINGKEEP_HSM_WITH_HOOKS EMPTY_DIR */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm-sim/core_wire.h"
#include "hsm-sim/ring.h"

#define PATIENCE_MS 3000
#define VERB_PROBE 60u
#define VERB_PROBE_KEEPER 61u

static int failed;
static const char *binary;
static int ring_fds[3], pair[2];
static struct ring *ring;

static void report(bool good, const char *name)
{
    printf("%s core: %s\n", good ? "ok" : "not ok", name);
    (void)fflush(stdout);
    failed |= good ? 0 : 1;
}

/* Runs the binary with these descriptors as 3, 4, .. and an empty environment. */
static pid_t start(const char *const argv[], const int *fds, unsigned count)
{
    const pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    int parked[4];
    for (unsigned i = 0; i < count; i++) {
        parked[i] = fcntl(fds[i], F_DUPFD, 100);
    }
    for (unsigned i = 0; i < count; i++) {
        (void)dup2(parked[i], 3 + (int)i);
        (void)close(parked[i]);
    }
    char *none[] = { NULL };
    char *arguments[6] = { NULL };
    for (unsigned i = 0; i < 5 && argv[i] != NULL; i++) {
        arguments[i] = strdup(argv[i]);
    }
    (void)execve(binary, arguments, none);
    _exit(127);
}

static pid_t start_keeper(void)
{
    const char *const argv[] = { "ringkeep-hsm", "keeper", "--workers", "1", NULL };
    return start(argv, &pair[0], 1);
}

static pid_t start_worker(void)
{
    const char *const argv[] = { "ringkeep-hsm", "worker", "--index", "0", NULL };
    const int fds[4] = { pair[1], ring_fds[0], ring_fds[1], ring_fds[2] };
    return start(argv, fds, 4);
}

/* Sends raw bytes and waits for the reply. */
static enum err exchange(struct bytes request, struct buf *reply)
{
    unsigned slot = 0;
    unsigned got = 0;
    enum err e = ring_submit(ring, request, &slot);
    for (int waited = 0; e == ERR_OK && waited < PATIENCE_MS; waited += 20) {
        struct pollfd p = { ring_event_fd(ring), POLLIN, 0 };
        (void)poll(&p, 1, 20);
        ring_clear_event(ring);
        if (ring_complete(ring, &got, reply) == ERR_OK) {
            return ERR_OK;
        }
    }
    return e == ERR_OK ? ERR_TIMEOUT : e;
}

static enum err ask(const struct core_request *request, struct buf *reply, struct core_reply *out)
{
    uint8_t bytes[4096];
    const size_t size = core_request_size(request);
    core_request_encode(request, bytes);
    TRY(exchange(bytes_of(bytes, size), reply));
    return core_reply_decode(buf_bytes(reply), out);
}

static void check_probe(unsigned verb, const char *who)
{
    static const char *const tried[] = { "socket", "open", "execve", "ptrace", "fork" };
    BUF_SCOPED reply = { 0 };
    struct core_reply out = { 0 };
    char name[128];
    char text[2048] = "";
    const struct core_request request = { .verb = verb };
    const enum err e = ask(&request, &reply, &out);
    if (e == ERR_OK && out.error == ERR_OK) {
        (void)snprintf(text, sizeof(text), "\n%.*s\n", (int)out.section[0].size,
                       (const char *)out.section[0].data);
    }
    for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "\n%s=EPERM\n", tried[i]);
        (void)snprintf(name, sizeof(name), "the %s's %s fails", who, tried[i]);
        report(strstr(text, line) != NULL, name);
    }
}

static long status_number(pid_t pid, const char *field)
{
    char path[64];
    char line[256];
    long number = -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            number = strtol(line + strlen(field), NULL, 10);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return number;
}

static void check_process(pid_t pid, const char *who)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "the %s runs under a seccomp filter", who);
    report(status_number(pid, "Seccomp:\t") == 2, name);
    (void)snprintf(name, sizeof(name), "the %s's memory is locked", who);
    report(status_number(pid, "VmLck:\t") > 1000, name);
    (void)snprintf(name, sizeof(name), "the %s can gain no privileges", who);
    report(status_number(pid, "NoNewPrivs:\t") == 1, name);
}

static bool status_works(void)
{
    BUF_SCOPED reply = { 0 };
    struct core_reply out = { 0 };
    const struct core_request request = { .verb = CORE_STATUS };
    return ask(&request, &reply, &out) == ERR_OK && out.error == ERR_OK;
}

static int exit_of(pid_t pid)
{
    int status = 0;
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
        }
        (void)poll(NULL, 0, 20);
    }
    return -1;
}

static bool alive(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

/* A client's fault: too large a section. The daemon's: a head that lies. */
static pid_t check_frames(pid_t worker)
{
    BUF_SCOPED reply = { 0 };
    struct core_reply out = { 0 };
    static uint8_t large[LIMIT_LABEL + 1];
    const struct core_request request = { .verb = CORE_CA_CREATE,
                                          .section = { { large, sizeof(large) } } };
    const enum err e = ask(&request, &reply, &out);
    report(e == ERR_OK && out.error != ERR_OK && alive(worker),
           "a section over its bound is an error reply");
    uint8_t broken[CORE_REQUEST_HEAD] = { 0xff, 0xff };
    report(exchange(bytes_of(broken, sizeof(broken)), &reply) != ERR_OK,
           "a broken frame gets no reply");
    report(exit_of(worker) == 75, "a broken frame ends the worker with 75");
    return start_worker();
}

static bool ring_is_sealed(void)
{
    return ftruncate(ring_fds[0], 0) != 0 && errno == EPERM && ftruncate(ring_fds[0], 1 << 30) != 0;
}

int main(int argc, char **argv)
{
    if (argc != 3 || chdir(argv[2]) != 0 || mkdir("core", 0700) != 0) {
        (void)fprintf(stderr, "usage: core_walls BINARY EMPTY_DIR\n");
        return 2;
    }
    binary = argv[1];
    if (ring_create(ring_fds) != ERR_OK ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return 1;
    }
    const int mine[3] = { dup(ring_fds[0]), dup(ring_fds[1]), dup(ring_fds[2]) };
    if (ring_attach(mine, false, &ring) != ERR_OK) {
        return 1;
    }
    const pid_t keeper = start_keeper();
    pid_t worker = start_worker();
    (void)poll(NULL, 0, 500);
    (void)ring_worker_changed(ring);
    report(status_works(), "keeper and worker answer");
    report(ring_is_sealed(), "the ring's memory can be neither shrunk nor grown");
    check_process(keeper, "keeper");
    check_process(worker, "worker");
    check_probe(VERB_PROBE, "worker");
    check_probe(VERB_PROBE_KEEPER, "keeper");
    worker = check_frames(worker);
    (void)poll(NULL, 0, 500);
    report(ring_worker_changed(ring) && status_works(),
           "a new worker serves on the same ring and keeper");
    BUF_SCOPED reply = { 0 };
    struct core_reply out = { 0 };
    const struct core_request abort_it = { .verb = VERB_PROBE, .number = 1 };
    report(ask(&abort_it, &reply, &out) == ERR_TIMEOUT || exit_of(worker) >= 256,
           "an operation that aborts its worker gets no reply");
    worker = start_worker();
    (void)poll(NULL, 0, 500);
    (void)ring_worker_changed(ring);
    report(alive(keeper) && status_works(), "the keeper outlives it");
    (void)kill(worker, SIGKILL);
    (void)kill(keeper, SIGKILL);
    return failed;
}
