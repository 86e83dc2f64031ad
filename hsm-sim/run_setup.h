/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's command line, users, folders, programs and log files: all that
 * is found once, before the first child. Refuses with a sentence and exit 2.
 * Only run_main.c uses it. */
#ifndef RINGKEEP_HSM_SIM_RUN_SETUP_H
#define RINGKEEP_HSM_SIM_RUN_SETUP_H

#include <stdbool.h>
#include <sys/types.h>

struct run_setup {
    unsigned workers;
    char directory[4096], log[4096], binaries[4096], user[64], core_user[64];
    char mtk[4096 + 16]; /* "RINGKEEP_MTK=path" or "" */
    bool isolated;       /* root, and both users exist */
    uid_t uid[2];        /* of daemon, core */
    gid_t gid[2];
    int bin_fd[2]; /* O_PATH: service users need no way to the binaries */
};
/* Reads the arguments, changes to the member's directory and makes its folders. */
void run_setup(struct run_setup *s, int argc, char **argv);
/* Opens a log file in s->log for appending. */
int run_setup_log(const struct run_setup *s, const char *name);
void run_setup_write_pid(void);
__attribute__((noreturn)) void run_setup_refuse(const char *what, const char *which);

#endif
