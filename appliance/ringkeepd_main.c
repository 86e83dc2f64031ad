/* SPDX-License-Identifier: Apache-2.0 */
/* ringkeepd: one member's daemon. Started by ringkeep-run with the ring descriptors
 * of its workers from 3 on (three per worker). One loop thread for raft, doors and
 * admin in this release; one thread applies.
 *
 * Exit: 0 orderly stop (SIGTERM, SIGINT), 2 configuration or usage, 75 restart me,
 * 78 do not restart me (the sentence before says what to do). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/admin_door.h"
#include "appliance/appliance.h"
#include "appliance/catalogue.h"
#include "appliance/client_door.h"
#include "appliance/core_port.h"
#include "appliance/duties.h"
#include "appliance/logins.h"
#include "appliance/sessions.h"
#include "base/crypt.h"
#include "base/executor_thread.h"
#include "base/log.h"
#include "base/x509.h"

#define EXIT_CONFIG 2
#define EXIT_RESTART 75
#define EXIT_STAY_DOWN 78
#define FIRST_RING_FD 3
#define FDS_PER_WORKER 3u
#define APPLIER_QUEUE 8192u

struct daemon {
    const char *config;
    unsigned workers;
    struct settings settings;
    struct appliance a;
    struct executor_thread *applier;
    uv_signal_t term, interrupt;
    bool stopping;
};

/* -- ends ----------------------------------------------------------------------------- */

/* A local failure is never an outcome: the process ends, the launcher decides. */
static void fatal(void *arg, const char *reason)
{
    (void)arg;
    log_error("this member stops: %s", reason);
    _exit(EXIT_RESTART);
}

static int fail(int code, const char *what, enum err e, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        log_error("%s: %s (%s)", what, text, err_text(e));
    } else {
        log_error("%s: %s", what, err_text(e));
    }
    return code;
}

/* Damage, or a newer format, does not go away by itself. */
static int code_of(enum err e)
{
    return e == ERR_CORRUPT || e == ERR_VERSION ? EXIT_STAY_DOWN : EXIT_RESTART;
}

static void on_stop(uv_signal_t *handle, int number)
{
    struct daemon *d = handle->data;
    if (d->stopping) {
        return;
    }
    d->stopping = true;
    log_info("stopping on signal %d", number);
    client_door_close(d->a.clients);
    admin_door_close(d->a.admins);
    duties_close(d->a.duties);
    cluster_stop(d->a.cluster);
    uv_stop(d->a.loop);
}

/* -- start ------------------------------------------------------------------------------ */

static bool parse_number(const char *text, unsigned *out)
{
    char *end = NULL;
    const unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > LIMIT_WORKERS) {
        return false;
    }
    *out = (unsigned)n;
    return true;
}

static int parse_arguments(int argc, char **argv, struct daemon *d)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--config") == 0) {
            d->config = argv[i + 1];
        } else if (strcmp(argv[i], "--workers") != 0 || !parse_number(argv[i + 1], &d->workers)) {
            d->config = NULL;
            break;
        }
    }
    if (d->config == NULL || d->workers == 0 || argc != 5) {
        log_error("usage: ringkeepd --config FILE --workers N (started by ringkeep-run)");
        return EXIT_CONFIG;
    }
    return 0;
}

static void harden(void)
{
    const struct rlimit none = { 0, 0 };
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(0077);
    (void)setenv("UV_THREADPOOL_SIZE", "16", 1); /* raft's disk writes share it */
}

/* Paths in the file are relative to its folder. */
static int read_settings(struct daemon *d)
{
    char error[512] = "", folder[SETTINGS_PATH];
    const char *slash = strrchr(d->config, '/');
    const enum err e = settings_read(d->config, &d->settings, error, sizeof error);
    if (e != ERR_OK) {
        return fail(EXIT_CONFIG, "configuration", e, error);
    }
    if (slash == NULL) {
        return 0;
    }
    const size_t size = slash == d->config ? 1 : (size_t)(slash - d->config);
    if (size >= sizeof folder) {
        return fail(EXIT_CONFIG, "configuration", ERR_TOO_LARGE, "the path is too long");
    }
    memcpy(folder, d->config, size);
    folder[size] = '\0';
    return chdir(folder) == 0 ? 0 : fail(EXIT_CONFIG, folder, ERR_IO, strerror(errno));
}

static int make_folders(const struct settings *s)
{
    const char *const folders[] = { s->store, s->raft, s->tls };
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (mkdir(folders[i], 0700) != 0 && errno != EEXIST) {
            return fail(EXIT_CONFIG, folders[i], ERR_IO, "the folder cannot be made");
        }
    }
    return 0;
}

static int start_log(const struct settings *s)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    enum log_level level = LOG_LEVEL_INFO;
    for (unsigned i = 0; i < 4; i++) {
        level = strcmp(names[i], s->level) == 0 ? (enum log_level)i : level;
    }
    log_init("ringkeepd", level, s->json);
    return 0;
}

static int open_store(struct daemon *d)
{
    const enum err e = store_open(d->settings.store, &d->a.store);
    if (e == ERR_OK) {
        return 0;
    }
    return fail(code_of(e),
                "store",
                e,
                e == ERR_VERSION   ? "update this member's packages"
                : e == ERR_CORRUPT ? "move store/ and raft/ away and join again under a new invite"
                                   : "cannot be opened");
}

static int make_identity(const struct daemon *d)
{
    char key[SETTINGS_PATH + 64], cert[SETTINGS_PATH + 64];
    settings_tls_path(&d->settings, "member.key", key, sizeof key);
    settings_tls_path(&d->settings, "member.crt", cert, sizeof cert);
    const enum err e = x509_make_identity(key, cert, d->settings.name);
    return e == ERR_OK ? 0 : fail(EXIT_RESTART, "tls/member.key", e, NULL);
}

/* The core's rings: descriptors 3, 4, .. as the launcher laid them. */
static enum err open_core(struct daemon *d)
{
    int fds[LIMIT_WORKERS * FDS_PER_WORKER];
    const unsigned count = d->workers * FDS_PER_WORKER;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = FIRST_RING_FD + (int)i;
    }
    TRY(core_rings_open(d->a.loop, fds, d->workers, &d->a.rings));
    d->a.core = core_rings_core(d->a.rings);
    return core_port_open(d->a.core, &d->a.port);
}

static void on_restart(void *arg)
{
    struct appliance *a = arg;
    log_warn("a core worker was replaced");
    core_port_refresh(a->port, NULL, NULL);
}

static void on_authorized(void *arg)
{
    struct appliance *a = arg;
    core_port_refresh(a->port, NULL, NULL);
}

static void on_core_change(void *arg)
{
    struct appliance *a = arg;
    if (a->duties != NULL) {
        log_info("core state is now %u", (unsigned)core_port_status(a->port)->state);
    }
}

static enum err open_cluster(struct daemon *d)
{
    const struct settings *s = &d->settings;
    const struct cluster_options options = { .loop = d->a.loop,
                                             .clock = d->a.clock,
                                             .random = d->a.random,
                                             .core = core_port_cluster(d->a.port),
                                             .store = d->a.store,
                                             .applier = executor_thread_executor(d->applier),
                                             .raft_dir = s->raft,
                                             .tls_dir = s->tls,
                                             .name = s->name,
                                             .client_address = s->client,
                                             .peer_address = s->peer,
                                             .join_address = s->admin,
                                             .peer_bind = s->bind_peer,
                                             .join_bind = s->bind_admin,
                                             .election_ms = (unsigned)s->election_ms,
                                             .heartbeat_ms = (unsigned)s->heartbeat_ms,
                                             .fatal = fatal,
                                             .on_authorized = on_authorized,
                                             .arg = &d->a };
    return cluster_open(&options, &d->a.cluster);
}

static enum err open_parts(struct daemon *d)
{
    struct appliance *a = &d->a;
    TRY(executor_thread_open(a->loop, APPLIER_QUEUE, &d->applier));
    TRY(open_core(d));
    TRY(catalogue_open((size_t)LIMIT_CATALOGUE, &a->catalogue));
    TRY(sessions_open(a->core, a->random, a->catalogue, &a->sessions));
    TRY(logins_open(&a->logins));
    TRY(open_cluster(d));
    TRY(client_door_open(a, &a->clients));
    TRY(admin_door_open(a, d->settings.socket, &a->admins));
    core_rings_on_restart(a->rings, on_restart, a);
    core_port_on_change(a->port, on_core_change, a);
    return ERR_OK;
}

static int start_cluster(struct daemon *d)
{
    char text[512] = "";
    const enum err e = cluster_start(d->a.cluster, text, sizeof text);
    if (e != ERR_OK) {
        return fail(code_of(e), "cluster", e, text);
    }
    const enum err began = duties_open(&d->a, &d->a.duties);
    return began == ERR_OK ? 0 : fail(EXIT_RESTART, "timers", began, NULL);
}

static int watch_signals(struct daemon *d)
{
    uv_signal_t *const handles[] = { &d->term, &d->interrupt };
    const int numbers[] = { SIGTERM, SIGINT };
    for (unsigned i = 0; i < 2; i++) {
        handles[i]->data = d;
        if (uv_signal_init(d->a.loop, handles[i]) != 0 ||
            uv_signal_start(handles[i], on_stop, numbers[i]) != 0) {
            return fail(EXIT_RESTART, "signals", ERR_IO, NULL);
        }
    }
    return 0;
}

static int start(struct daemon *d, uv_loop_t *loop)
{
    enum err e = crypt_init();
    if (e != ERR_OK) {
        return fail(EXIT_RESTART, "cryptographic library", e, NULL);
    }
    d->a.loop = loop;
    d->a.clock = clock_system();
    d->a.random = random_system();
    d->a.settings = &d->settings;
    if (uv_loop_init(loop) != 0) {
        return fail(EXIT_RESTART, "event loop", ERR_IO, NULL);
    }
    int code = open_store(d);
    code = code != 0 ? code : make_identity(d);
    if (code != 0) {
        return code;
    }
    e = open_parts(d);
    if (e != ERR_OK) {
        return fail(code_of(e), "start", e, NULL);
    }
    code = watch_signals(d);
    return code != 0 ? code : start_cluster(d);
}

int main(int argc, char **argv)
{
    static struct daemon d;
    static uv_loop_t loop;
    harden();
    log_init("ringkeepd", LOG_LEVEL_INFO, false);
    int code = parse_arguments(argc, argv, &d);
    code = code != 0 ? code : read_settings(&d);
    code = code != 0 ? code : start_log(&d.settings);
    code = code != 0 ? code : make_folders(&d.settings);
    code = code != 0 ? code : start(&d, &loop);
    if (code != 0) {
        return code;
    }
    log_info("ringkeepd %s serves member %s", RINGKEEP_VERSION, d.settings.name);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    /* What is left belongs to the process: the store's last commit is done, and the
     * replicated log is crash-safe (replica.h). */
    executor_thread_close(d.applier);
    log_info("stopped");
    return 0;
}
