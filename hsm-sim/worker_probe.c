/* SPDX-License-Identifier: Apache-2.0 */
/* Test hook: what this process could do if its code were somebody else's. Only in
 * the build with RINGKEEP_TEST_HOOKS; tests/attacks compares the lines. */
#include "base/bytes.h"

#ifdef RINGKEEP_TEST_HOOKS
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm-sim/worker_state.h"

#define PROBE_REPORT 0u
#define PROBE_ABORT 1u
#define LINE 64u

static int try_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : close(fd);
}

static int try_open(void)
{
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : close(fd);
}

static int try_execve(void)
{
    static char path[] = "/nonexistent"; /* allowed: ENOENT */
    char *argv[] = { path, NULL };
    char *environment[] = { NULL };
    return execve(path, argv, environment);
}

static int try_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0 ? 0 : -1;
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid < 0 ? -1 : (waitpid(pid, NULL, 0) == pid ? 0 : -1);
}

static int try_connect(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    struct sockaddr any;
    memcpy(&any, &to, sizeof any);
    return connect(-1, &any, sizeof any); /* allowed: EBADF */
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
    { "socket", try_socket }, { "open", try_open }, { "execve", try_execve },
    { "ptrace", try_ptrace }, { "fork", try_fork }, { "connect", try_connect },
};

enum err worker_probe(struct worker *w, const struct core_request *r, struct answer *a)
{
    size_t used = 0;
    (void)w;
    if (r->number == PROBE_ABORT) {
        abort();
    }
    if (r->number != PROBE_REPORT) {
        return ERR_USAGE;
    }
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        int error = attempts[i].attempt() == 0 ? 0 : errno;
        const char *name = error == 0 ? "OK" : strerrorname_np(error);
        if (a->left - used < LINE) {
            return ERR_TOO_LARGE;
        }
        used += (size_t)snprintf((char *)a->at + used, LINE, "%s=%s\n", attempts[i].name, name);
    }
    answer_add(a, used);
    return ERR_OK;
}
#endif
