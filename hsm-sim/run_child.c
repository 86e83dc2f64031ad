/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a child of the launcher before it is another program: it gets
 * its descriptors and no others, its uid and never more rights (the daemon's too:
 * a set-uid program is no way out), the right to lock memory, the wish to die with
 * the launcher. Runs between fork and exec in a single-threaded process.
 */
#include "hsm-sim/run_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"

#define FDS_MAX (3u * LIMIT_WORKERS)
#define FD_PARK 256 /* where descriptors wait while they are sorted */
#define EXIT_CONFIG 2

/* Keeps CAP_IPC_LOCK over the change of uid and into the next program. */
static bool hand_on_lock(void)
{
    const uint32_t lock = 1u << CAP_IPC_LOCK;
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { lock, lock, lock }, { 0, 0, 0 } };
    return syscall(SYS_capset, &head, data) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_IPC_LOCK, 0, 0) == 0;
}

/* Lifts the limit on locked memory or, where that is not allowed, hands on the
 * one capability that stands for it. */
static bool take_identity(const struct run_child *c)
{
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    bool lifted = c->core && setrlimit(RLIMIT_MEMLOCK, &all) == 0;
    if (!c->drop) {
        return true;
    }
    bool hand_on = c->core && !lifted && prctl(PR_CAPBSET_READ, CAP_IPC_LOCK, 0, 0, 0) == 1 &&
                   prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0;
    if (setgroups(0, NULL) != 0 || setgid(c->gid) != 0 || setuid(c->uid) != 0) {
        return false;
    }
    if (hand_on && !hand_on_lock()) {
        return false;
    }
    return setuid(0) != 0 && seteuid(0) != 0;
}

/* fds become 3, 4, ..; everything above is closed at exec. */
static bool sort_fds(const struct run_child *c, int *bin_fd)
{
    int parked[FDS_MAX];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    *bin_fd = fcntl(c->bin_fd, F_DUPFD_CLOEXEC, FD_PARK);
    int log = fcntl(c->log_fd, F_DUPFD_CLOEXEC, FD_PARK);
    for (unsigned i = 0; i < c->count; i++) {
        parked[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, FD_PARK);
        if (parked[i] < 0) {
            return false;
        }
    }
    if (*bin_fd < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) {
        return false;
    }
    for (unsigned i = 0; i < c->count; i++) {
        if (dup2(parked[i], 3 + (int)i) < 0) {
            return false;
        }
    }
    return close_range(3 + c->count, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
}

__attribute__((noreturn)) static void become(const struct run_child *c, pid_t parent)
{
    int bin_fd = -1;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)umask(077);
    (void)setsid();
    /* The parent's death signal is forgotten at a change of uid, hence last. */
    if (sort_fds(c, &bin_fd) && take_identity(c) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) == 0 && getppid() == parent &&
        sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
        (void)execveat(bin_fd, "", c->argv, c->environment, AT_EMPTY_PATH);
    }
    (void)dprintf(2, "ringkeep-run: cannot start %s: %s\n", c->name, strerror(errno));
    _exit(EXIT_CONFIG);
}

pid_t run_child_start(const struct run_child *c)
{
    pid_t parent = getpid();
    pid_t pid = c->count <= FDS_MAX ? fork() : -1;
    if (pid == 0) {
        become(c, parent);
    }
    return pid;
}
