/* SPDX-License-Identifier: Apache-2.0 */
/* The `ringkeep` command. */
#include <sys/prctl.h>
#include <sys/resource.h>

#include "client/shell/shell.h"

int main(int argc, char **argv)
{
    const struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none); /* passwords pass through here */
#ifndef RINGKEEP_ASAN /* its leak check traces the process */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    return shell_main(argc, argv, stdout, stderr);
}
