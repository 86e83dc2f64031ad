/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's work between fork and exec: descriptors, identity, limits.
 * Only run_main.c uses it. */
#ifndef RINGKEEP_HSM_SIM_RUN_CHILD_H
#define RINGKEEP_HSM_SIM_RUN_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct run_child {
    const char *name;
    int bin_fd, log_fd;
    const int *fds; /* become 3, 4, .. */
    unsigned count;
    bool core; /* may lock memory */
    bool drop; /* to uid, gid */
    uid_t uid;
    gid_t gid;
    char *const *argv;
    char *const *environment;
};
/* Returns the child's pid, or -1. The child never returns. */
pid_t run_child_start(const struct run_child *c);

#endif
