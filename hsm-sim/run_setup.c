/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher finds and makes before it starts anything. The member's
 * directory is the caller's; core/ is the core's alone, store, raft, tls and log
 * are the daemon's. One thread, once. */
#include "hsm-sim/run_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"

#define EXIT_CONFIG 2

void run_setup_refuse(const char *what, const char *which)
{
    const char *why = errno != 0 ? strerror(errno) : "not usable";
    (void)fprintf(stderr, "ringkeep-run: %s %s: %s\n", what, which, why);
    exit(EXIT_CONFIG);
}

static void make_dir(const struct run_setup *s, const char *path, unsigned who)
{
    if (mkdir(path, 0700) == 0) {
        if (s->isolated && lchown(path, s->uid[who], s->gid[who]) != 0) {
            run_setup_refuse("cannot give away", path);
        }
    } else if (errno != EEXIST) {
        run_setup_refuse("cannot make", path);
    }
}

/* The daemon owns the folder: nothing but a plain file of our own is taken. */
int run_setup_log(const struct run_setup *s, const char *name)
{
    char path[sizeof s->log + 32];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s.log", s->log, name);
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open(path, flags, 0640);
    errno = fd < 0 ? errno : 0;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
        st.st_uid != geteuid()) {
        run_setup_refuse("cannot use the log file", path);
    }
    return fd;
}

static void find_users(struct run_setup *s)
{
    const char *name[2] = { s->user, s->core_user };
    s->isolated = geteuid() == 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct passwd *p = getpwnam(name[i]);
        s->isolated = s->isolated && p != NULL && p->pw_uid != 0;
        s->uid[i] = p != NULL ? p->pw_uid : 0;
        s->gid[i] = p != NULL ? p->pw_gid : 0;
    }
    s->isolated = s->isolated && s->uid[0] != s->uid[1];
}

static void open_binaries(struct run_setup *s)
{
    static const char *const names[2] = { "ringkeepd", "ringkeep-hsm" };
    for (unsigned i = 0; i < 2; i++) {
        char path[sizeof s->binaries + 32];
        (void)snprintf(path, sizeof path, "%s/%s", s->binaries, names[i]);
        s->bin_fd[i] = open(path, O_PATH | O_CLOEXEC);
        if (s->bin_fd[i] < 0) {
            run_setup_refuse("cannot open", path);
        }
    }
}

void run_setup_write_pid(void)
{
    FILE *f = fopen("run.pid", "we");
    if (f == NULL || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f) != 0) {
        run_setup_refuse("cannot write", "run.pid");
    }
}

/* One option of the command line and where its value goes. */
struct target {
    char *text;
    size_t size;
    bool path; /* must exist; made absolute */
};

static void read_arguments(struct run_setup *s, int argc, char **argv)
{
    static const struct option options[] = {
        { "dir", 1, NULL, 0 },       { "bin", 1, NULL, 1 }, { "user", 1, NULL, 2 },
        { "core-user", 1, NULL, 3 }, { "mtk", 1, NULL, 4 }, { "log", 1, NULL, 5 },
        { "workers", 1, NULL, 6 },   { NULL, 0, NULL, 0 },
    };
    char number[16] = "2";
    const size_t variable = strlen("RINGKEEP_MTK=");
    const struct target targets[] = {
        { s->directory, sizeof s->directory, true },
        { s->binaries, sizeof s->binaries, true },
        { s->user, sizeof s->user, false },
        { s->core_user, sizeof s->core_user, false },
        { s->mtk + variable, sizeof s->mtk - variable, true },
        { s->log, sizeof s->log, false },
        { number, sizeof number, false },
    };
    int which = 0;
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (which == '?') {
            errno = EINVAL;
            run_setup_refuse("bad", "option");
        }
        const struct target *t = &targets[which];
        char *real = t->path ? realpath(optarg, NULL) : strdup(optarg);
        if (real == NULL || snprintf(t->text, t->size, "%s", real) >= (int)t->size) {
            run_setup_refuse("cannot use", optarg);
        }
        free(real);
    }
    if (s->mtk[variable] != 0) {
        memcpy(s->mtk, "RINGKEEP_MTK=", variable);
    }
    s->workers = (unsigned)strtoul(number, NULL, 10);
    if (s->directory[0] == 0 || s->binaries[0] == 0 || s->workers < 1 ||
        s->workers > LIMIT_WORKERS || optind != argc) {
        errno = EINVAL;
        run_setup_refuse("usage: ringkeep-run --dir DIR/mN --bin BINDIR [--workers 1..16] "
                         "[--user U] [--core-user U] [--mtk FILE]",
                         "[--log DIR]");
    }
}

/* A log folder given relative to the caller's directory is meant so. */
static void settle_log(struct run_setup *s)
{
    char given[sizeof s->log];
    char here[1024];
    (void)snprintf(given, sizeof given, "%s", s->log);
    if (given[0] == 0) {
        (void)snprintf(s->log, sizeof s->log, "%.4000s/log", s->directory);
    } else if (given[0] != '/' && getcwd(here, sizeof here) != NULL) {
        (void)snprintf(s->log, sizeof s->log, "%s/%.3000s", here, given);
    }
}

/* Goes there; whoever else owned it could put links where we write. */
static void enter_directory(const struct run_setup *s)
{
    struct stat st;
    if (chdir(s->directory) != 0 || stat(".", &st) != 0) {
        run_setup_refuse("cannot use", s->directory);
    }
    if (st.st_uid != geteuid()) {
        errno = EPERM;
        run_setup_refuse("another user owns", s->directory);
    }
    if (chmod(".", 0711) != 0) {
        run_setup_refuse("cannot use", s->directory);
    }
}

void run_setup(struct run_setup *s, int argc, char **argv)
{
    static const char *const folders[] = { "store", "raft", "tls", "ctl", "core" };
    (void)snprintf(s->user, sizeof s->user, "ringkeep");
    (void)snprintf(s->core_user, sizeof s->core_user, "ringkeep-core");
    read_arguments(s, argc, argv);
    settle_log(s);
    find_users(s);
    open_binaries(s);
    (void)umask(022);
    enter_directory(s);
    for (unsigned i = 0; i < 5; i++) {
        make_dir(s, folders[i], i == 4);
    }
    make_dir(s, s->log, 0);
}
