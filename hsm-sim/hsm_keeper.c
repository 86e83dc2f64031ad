/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's process: reads the MTK, opens the state slots, seals the sandbox
 * and serves its workers' frames until it is told to stop. Says in words on
 * stderr why it will not start. One thread besides the scrypt threads. */
#include "hsm-sim/hsm_keeper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crypt.h"
#include "base/limits.h"
#include "base/log.h"
#include "hsm-sim/keeper.h"
#include "hsm-sim/keeper_scrypt.h"
#include "hsm-sim/sandbox.h"
#include "hsm-sim/worker_loop.h"

#define FIRST_FD 3
#define TICK_MS 5000
/* Two scrypts of 2^17 and what the keeper itself comes to hold. */
#define MEMORY ((size_t)384 * 1024 * 1024)
#define HEAD WORKER_LOOP_FRAME_HEAD

static int say(int code, const char *what, const char *which)
{
    log_error("%s%s%s", what, which[0] != 0 ? ": " : "", which);
    return code;
}

/* -- files ------------------------------------------------------------------ */

struct files {
    int state_fd[2];
    struct secret mtk;
    bool in_state;
};

static int open_state(struct files *f)
{
    static const char *const names[2] = { "core/state.0", "core/state.1" };
    for (unsigned i = 0; i < 2; i++) {
        f->state_fd[i] = open(names[i], O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (f->state_fd[i] < 0) {
            return say(HSM_NO_RESTART, strerror(errno), names[i]);
        }
    }
    if (flock(f->state_fd[0], LOCK_EX | LOCK_NB) != 0) {
        return say(HSM_RESTART, "another keeper runs on this state", names[0]);
    }
    return HSM_STOP;
}

static bool state_exists(const struct files *f)
{
    struct stat st[2];
    return fstat(f->state_fd[0], &st[0]) != 0 || fstat(f->state_fd[1], &st[1]) != 0 ||
           st[0].st_size > 0 || st[1].st_size > 0;
}

static enum err write_key(int fd, const struct secret *mtk)
{
    if (write(fd, mtk->data, mtk->size) != (ssize_t)mtk->size || fsync(fd) != 0) {
        return ERR_IO;
    }
    return ERR_OK;
}

/* The name must outlive a crash as the state does. */
static void sync_core_dir(void)
{
    int fd = open("core", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

static int make_key(struct files *f, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return say(HSM_NO_RESTART, strerror(errno), path);
    }
    enum err e = crypt_random(f->mtk.data, f->mtk.size);
    e = e == ERR_OK ? write_key(fd, &f->mtk) : e;
    (void)close(fd);
    if (e != ERR_OK) {
        (void)unlink(path);
        return say(HSM_NO_RESTART, "the master tamper key could not be written", path);
    }
    sync_core_dir();
    return HSM_STOP;
}

static int read_key(struct files *f, int fd, const char *path)
{
    struct stat st;
    uint8_t more = 0;
    ssize_t got = read(fd, f->mtk.data, f->mtk.size);
    const bool whole = got == (ssize_t)f->mtk.size && read(fd, &more, 1) == 0;
    if (!whole || bytes_all_zero(secret_bytes(&f->mtk))) {
        return say(HSM_NO_RESTART, "not a master tamper key: 32 bytes are needed", path);
    }
    if (fstat(fd, &st) == 0 && (st.st_mode & 077) != 0) {
        log_warn("the master tamper key can be read by others: chmod 600 %s", path);
    }
    return HSM_STOP;
}

/* MTK of $RINGKEEP_MTK; else one in the core's own directory, which STATUS shows
 * as a warning. A state without its key is never written over. */
static int open_key(struct files *f)
{
    const char *path = getenv("RINGKEEP_MTK");
    f->in_state = path == NULL || path[0] == 0;
    path = f->in_state ? "core/mtk" : path;
    if (secret_alloc(&f->mtk, CRYPT_KEY) != ERR_OK) {
        return say(HSM_RESTART, "out of memory", "");
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0) {
        int code = read_key(f, fd, path);
        (void)close(fd);
        return code;
    }
    if (errno != ENOENT) {
        return say(HSM_NO_RESTART, strerror(errno), path);
    }
    if (state_exists(f)) {
        return say(HSM_NO_RESTART,
                   "the master tamper key is missing and the core has a state: bring the key back; "
                   "to give the core up, move core/state.0 and core/state.1 away",
                   path);
    }
    return make_key(f, path);
}

/* -- the loop --------------------------------------------------------------- */

struct loop {
    struct keeper *keeper;
    struct keeper_scrypt *scrypt;
    unsigned workers, open_sockets;
    struct pollfd poll[LIMIT_WORKERS + 2]; /* sockets, scrypt, signals */
    uint8_t frame[LIMIT_KEEPER_FRAME + 1];
};

/* Where an answer goes. */
struct answer_to {
    int fd;
    uint8_t head[HEAD];
};

static void send_reply(const struct answer_to *to, const struct core_reply *reply)
{
    uint8_t frame[LIMIT_KEEPER_FRAME];
    const size_t size = HEAD + core_reply_size(reply);
    assert(size <= sizeof frame);
    memcpy(frame, to->head, HEAD);
    core_reply_encode(reply, frame + HEAD);
    if (send(to->fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) {
        log_warn("an answer to a worker was lost: %s", strerror(errno));
    }
    bytes_wipe(frame, size);
}

static void on_reply(void *arg, const struct core_reply *reply)
{
    struct answer_to *to = arg;
    send_reply(to, reply);
    free(to);
}

/* One frame of a worker. A broken one is answered as such: the keeper outlives
 * whatever a worker says. */
static void serve(struct loop *l, int fd, size_t size)
{
    struct core_request request;
    struct answer_to now = { .fd = fd };
    if (size < HEAD) {
        log_warn("a worker's frame of %zu bytes was dropped", size);
        return;
    }
    memcpy(now.head, l->frame, HEAD);
    const uint32_t flags = get_u32(l->frame + 8);
    enum err e =
        size > LIMIT_KEEPER_FRAME || (flags & ~WORKER_LOOP_INTERNAL) != 0 ? ERR_PROTOCOL : ERR_OK;
    if (e == ERR_OK) {
        e = core_request_decode(bytes_of(l->frame + HEAD, size - HEAD), &request);
    }
    struct answer_to *to = e == ERR_OK ? malloc(sizeof *to) : NULL;
    if (to == NULL) {
        struct core_reply refusal = { .error = e != ERR_OK ? e : ERR_NOMEM };
        send_reply(&now, &refusal);
        return;
    }
    *to = now;
    keeper_answer(l->keeper, &request, (flags & WORKER_LOOP_INTERNAL) != 0, on_reply, to);
}

static void on_socket(struct loop *l, struct pollfd *p)
{
    ssize_t n = recv(p->fd, l->frame, sizeof l->frame, MSG_DONTWAIT);
    if (n > 0) {
        serve(l, p->fd, (size_t)n);
        bytes_wipe(l->frame, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        p->fd = -1;
        l->open_sockets--;
    }
}

static int run_loop(struct loop *l)
{
    struct pollfd *scrypt = &l->poll[l->workers];
    struct pollfd *signals = &l->poll[l->workers + 1];
    while (l->open_sockets > 0 && !keeper_broken(l->keeper)) {
        if (poll(l->poll, l->workers + 2, TICK_MS) < 0 && errno != EINTR) {
            return say(HSM_RESTART, "poll", strerror(errno));
        }
        if ((signals->revents & POLLIN) != 0) {
            break;
        }
        if ((scrypt->revents & POLLIN) != 0) {
            keeper_scrypt_run(l->scrypt);
        }
        for (unsigned i = 0; i < l->workers; i++) {
            if (l->poll[i].fd >= 0 && l->poll[i].revents != 0) {
                on_socket(l, &l->poll[i]);
            }
        }
        keeper_tick(l->keeper);
    }
    return keeper_broken(l->keeper) ? HSM_RESTART : HSM_STOP;
}

static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -1;
    }
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_loop(struct loop *l, unsigned workers)
{
    int signals = open_signals();
    if (signals < 0 || keeper_scrypt_open(&l->scrypt) != ERR_OK) {
        return say(HSM_RESTART, "cannot start threads", strerror(errno));
    }
    l->workers = workers;
    l->open_sockets = workers;
    for (unsigned i = 0; i < workers; i++) {
        l->poll[i] = (struct pollfd){ .fd = FIRST_FD + (int)i, .events = POLLIN };
    }
    l->poll[workers] = (struct pollfd){ .fd = keeper_scrypt_fd(l->scrypt), .events = POLLIN };
    l->poll[workers + 1] = (struct pollfd){ .fd = signals, .events = POLLIN };
    return HSM_STOP;
}

/* -- start ------------------------------------------------------------------ */

static int open_keeper(struct loop *l, struct files *f, bool isolated)
{
    struct keeper_options options = {
        .state_fd = { f->state_fd[0], f->state_fd[1] },
        .mtk = secret_take(&f->mtk),
        .mtk_in_state = f->in_state,
        .isolated = isolated,
        .locked = sandbox_locked(),
        .clock = clock_system(),
        .scrypt = keeper_scrypt_executor(l->scrypt),
    };
    enum err e = keeper_open(&options, &l->keeper);
    if (e == ERR_CORRUPT) {
        return say(HSM_NO_RESTART,
                   "the core's state does not open: it is damaged, or the master tamper key is not "
                   "its own",
                   "");
    }
    return e == ERR_OK ? HSM_STOP : say(HSM_RESTART, "the core does not start", err_text(e));
}

static int start(struct loop *l, struct files *f, unsigned workers, bool isolated)
{
    char why[512] = "";
    if (sandbox_begin(FIRST_FD + (int)workers) != ERR_OK) {
        return say(HSM_NO_RESTART, "the sandbox cannot be prepared", "");
    }
    if (sandbox_lock(MEMORY, why, sizeof why) != ERR_OK) {
        return say(HSM_NO_RESTART, why, "");
    }
    int code = open_state(f);
    code = code == HSM_STOP ? open_key(f) : code;
    code = code == HSM_STOP ? open_loop(l, workers) : code;
    code = code == HSM_STOP ? open_keeper(l, f, isolated) : code;
    if (code == HSM_STOP && sandbox_seal() != ERR_OK) {
        code = say(HSM_NO_RESTART, "the sandbox cannot be sealed", "");
    }
    return code;
}

int hsm_keeper_run(unsigned workers, bool isolated)
{
    static struct loop loop;
    struct files files = { .state_fd = { -1, -1 } };
    log_init("keeper", LOG_LEVEL_INFO, false);
    int code = start(&loop, &files, workers, isolated);
    if (code == HSM_STOP) {
        log_info("keeper ready: %u workers, memory %s, uid %s", workers,
                 sandbox_locked() ? "locked" : "not locked",
                 isolated ? "its own" : "shared with the daemon");
        if (files.in_state) {
            log_warn("the master tamper key lies beside the state: a stolen disk has both");
        }
        code = run_loop(&loop);
    }
    secret_drop(&files.mtk);
    keeper_scrypt_close(loop.scrypt);
    keeper_close(loop.keeper);
    return code;
}
