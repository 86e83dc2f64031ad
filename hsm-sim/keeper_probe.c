/* SPDX-License-Identifier: Apache-2.0 */
/* Test hook: what the keeper could do if its code were somebody else's, one line
 * each. Only in the build with RINGKEEP_TEST_HOOKS; tests/attacks reads the lines. */
#include "base/bytes.h"

#ifdef RINGKEEP_TEST_HOOKS
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hsm-sim/keeper_inner.h"

#define PROBE_ABORT 1u
#define LINE 48u
#define PAGE 4096u

KEEPER_HANDLER(keeper_probe);

static int try_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int try_open(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_openat(void)
{
    return openat(AT_FDCWD, "core/mtk", O_RDONLY | O_CLOEXEC);
}

static int try_execve(void)
{
    static char path[] = "/nonexistent";
    char *argv[] = { path, NULL };
    return execve(path, argv, argv + 1);
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

static void *nothing(void *arg)
{
    return arg;
}

static int try_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return errno == 0 ? 0 : -1;
}

static int try_ptrace(void)
{
    return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_kill(void)
{
    return kill(getppid(), 0);
}

static int try_mmap_exec(void)
{
    void *at = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : 0;
}

static int try_mprotect_exec(void)
{
    void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? -1 : mprotect(at, PAGE, PROT_READ | PROT_EXEC);
}

static int try_memfd(void)
{
    return memfd_create("probe", MFD_CLOEXEC);
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
    { "socket", try_socket },       { "open", try_open },
    { "openat", try_openat },       { "execve", try_execve },
    { "fork", try_fork },           { "thread", try_thread },
    { "ptrace", try_ptrace },       { "kill", try_kill },
    { "mmap_exec", try_mmap_exec }, { "mprotect_exec", try_mprotect_exec },
    { "memfd", try_memfd },
};

enum err keeper_probe(struct keeper_call *call, struct keeper_out *out)
{
    char text[LINE * (sizeof attempts / sizeof attempts[0] + 2)];
    size_t used = 0;
    uint8_t random[64];
    if (call->request->number == PROBE_ABORT) {
        abort();
    }
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        const char *name = attempts[i].attempt() < 0 ? strerrorname_np(errno) : "OK";
        used += (size_t)snprintf(text + used, LINE, "%s=%s\n", attempts[i].name, name);
    }
    /* These must go on working behind the filter. */
    const bool drawn = crypt_random(random, sizeof random) == ERR_OK;
    used += (size_t)snprintf(text + used, LINE, "random=%s\n", drawn ? "OK" : "FAILED");
    const bool environment = environ == NULL || environ[0] == NULL;
    used += (size_t)snprintf(text + used, LINE, "environment=%s\n", environment ? "EMPTY" : "SET");
    keeper_out_put(out, text, used);
    return ERR_OK;
}
#endif
