/* SPDX-License-Identifier: Apache-2.0 */
/* The walls of a core process (threats.md C2, M13): locked memory that is in no
 * dump, an OpenSSL that wipes what it frees and reads no file, a seccomp filter
 * that answers EPERM to all that is not on the list. Main thread, at start only.
 *
 * A build with RINGKEEP_ASAN keeps neither lock nor filter nor the closed dumps:
 * sanitizers map terabytes and open /proc. */
#include "hsm-sim/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/crypt.h"

#ifdef RINGKEEP_ASAN
#define SANITIZED true
#else
#define SANITIZED false
#endif

static bool locked;

/* One allowed call: with no condition, or with one on an argument. */
struct allowed {
    int call;
    bool masked; /* argument `index` & mask == 0 */
    unsigned index;
    uint64_t mask;
};

/* No socket, connect, open, exec, fork, clone, ptrace: everything is open and
 * every thread runs before the filter. */
static const struct allowed calls[] = {
    { SCMP_SYS(read), false, 0, 0 },
    { SCMP_SYS(readv), false, 0, 0 },
    { SCMP_SYS(write), false, 0, 0 },
    { SCMP_SYS(writev), false, 0, 0 },
    { SCMP_SYS(pread64), false, 0, 0 },
    { SCMP_SYS(pwrite64), false, 0, 0 },
    { SCMP_SYS(lseek), false, 0, 0 },
    { SCMP_SYS(ftruncate), false, 0, 0 },
    { SCMP_SYS(fdatasync), false, 0, 0 },
    { SCMP_SYS(fsync), false, 0, 0 },
    { SCMP_SYS(fstat), false, 0, 0 },
    { SCMP_SYS(close), false, 0, 0 },
    { SCMP_SYS(recvmsg), false, 0, 0 },
    { SCMP_SYS(sendmsg), false, 0, 0 },
    { SCMP_SYS(recvfrom), false, 0, 0 },
    { SCMP_SYS(sendto), false, 0, 0 },
    { SCMP_SYS(poll), false, 0, 0 },
    { SCMP_SYS(ppoll), false, 0, 0 },
    { SCMP_SYS(futex), false, 0, 0 },
    { SCMP_SYS(sched_yield), false, 0, 0 },
    { SCMP_SYS(nanosleep), false, 0, 0 },
    { SCMP_SYS(clock_nanosleep), false, 0, 0 },
    { SCMP_SYS(clock_gettime), false, 0, 0 },
    { SCMP_SYS(gettimeofday), false, 0, 0 },
    { SCMP_SYS(time), false, 0, 0 },
    { SCMP_SYS(getrandom), false, 0, 0 },
    { SCMP_SYS(getpid), false, 0, 0 },
    { SCMP_SYS(gettid), false, 0, 0 },
    { SCMP_SYS(rt_sigprocmask), false, 0, 0 },
    { SCMP_SYS(rt_sigreturn), false, 0, 0 },
    { SCMP_SYS(restart_syscall), false, 0, 0 },
    { SCMP_SYS(brk), false, 0, 0 },
    { SCMP_SYS(munmap), false, 0, 0 },
    { SCMP_SYS(mremap), false, 0, 0 },
    { SCMP_SYS(madvise), false, 0, 0 },
    { SCMP_SYS(mmap), true, 2, PROT_EXEC },
    { SCMP_SYS(mprotect), true, 2, PROT_EXEC },
    { SCMP_SYS(exit), false, 0, 0 },
    { SCMP_SYS(exit_group), false, 0, 0 },
};

static void *wiping_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void wiping_free(void *data, const char *file, int line)
{
    (void)file;
    (void)line;
    if (data != NULL) {
        explicit_bzero(data, malloc_usable_size(data));
        free(data);
    }
}

/* realloc of libc would leave the old copy behind. */
static void *wiping_realloc(void *data, size_t size, const char *file, int line)
{
    if (data == NULL) {
        return malloc(size);
    }
    if (size == 0) {
        wiping_free(data, file, line);
        return NULL;
    }
    size_t old = malloc_usable_size(data);
    void *fresh = malloc(size);
    if (fresh == NULL) {
        return NULL;
    }
    memcpy(fresh, data, old < size ? old : size);
    wiping_free(data, file, line);
    return fresh;
}

static void end_dumps(void)
{
    struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
    int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "0", 1) != 1) {
            (void)fprintf(stderr, "core dump filter not set: core dumps are off all the same\n");
        }
        (void)close(fd);
    }
    if (!SANITIZED) {
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

/* Marks every writable mapping that is there now; later ones are kept out of a
 * dump by the filter above. */
static void advise_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        return;
    }
    char line[512];
    while (fgets(line, sizeof line, maps) != NULL) {
        char *rest = NULL;
        uintptr_t from = (uintptr_t)strtoumax(line, &rest, 16);
        if (*rest != '-') {
            continue;
        }
        uintptr_t to = (uintptr_t)strtoumax(rest + 1, &rest, 16);
        if (rest[0] == ' ' && rest[2] == 'w') {
            (void)madvise((void *)from, to - from, MADV_DONTDUMP);
        }
    }
    (void)fclose(maps);
}

enum err sandbox_begin(int first_free_fd)
{
    if (close_range((unsigned)first_free_fd, ~0u, 0) != 0) {
        return ERR_IO;
    }
    end_dumps();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return ERR_CONFIG;
    }
    /* One arena: no reserve of 64 MiB per thread that would count as locked. */
    (void)mallopt(M_ARENA_MAX, 1);
    if (CRYPTO_set_mem_functions(wiping_malloc, wiping_realloc, wiping_free) != 1 ||
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) !=
            1) {
        return ERR_CRYPTO;
    }
    return crypt_init();
}

static bool may_lock_anything(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & (1u << CAP_IPC_LOCK)) != 0;
}

enum err sandbox_lock(size_t need, char *why, size_t why_size)
{
    if (SANITIZED) {
        return ERR_OK;
    }
    struct rlimit limit = { 0, 0 };
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_MEMLOCK, &limit);
        (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    }
    if (limit.rlim_cur < need && !may_lock_anything()) {
        (void)snprintf(why, why_size,
                       "cannot lock memory: %zu MiB needed, RLIMIT_MEMLOCK allows %" PRIu64
                       " KiB; raise it (ulimit -l unlimited, LimitMEMLOCK=infinity, compose: "
                       "ulimits memlock -1) or grant CAP_IPC_LOCK",
                       need >> 20, (uint64_t)limit.rlim_cur >> 10);
        return ERR_CONFIG;
    }
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        (void)snprintf(why, why_size, "cannot lock memory: mlockall: %s", strerror(errno));
        return ERR_CONFIG;
    }
    locked = true;
    return ERR_OK;
}

bool sandbox_locked(void)
{
    return locked;
}

/* What OpenSSL and libc would do at first use and that needs a file or a call
 * which the filter refuses. */
static enum err force_lazy_things(void)
{
    uint8_t scrap[32];
    struct tm utc = { 0 };
    time_t now = time(NULL);
    tzset();
    (void)gmtime_r(&now, &utc);
    (void)strerror(EPERM);
    (void)getpid();
    ERR_clear_error();
    (void)ERR_reason_error_string(ERR_PACK(ERR_LIB_EVP, 0, 1));
    if (RAND_poll() != 1 || RAND_bytes(scrap, sizeof scrap) != 1 ||
        RAND_priv_bytes(scrap, sizeof scrap) != 1 || crypt_random(scrap, sizeof scrap) != ERR_OK) {
        return ERR_CRYPTO;
    }
    bytes_wipe(scrap, sizeof scrap);
    return ERR_OK;
}

static int allow_all(scmp_filter_ctx filter)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof calls / sizeof calls[0]; i++) {
        const struct allowed *a = &calls[i];
        if (a->masked) {
            struct scmp_arg_cmp none = SCMP_CMP(a->index, SCMP_CMP_MASKED_EQ, a->mask, 0);
            rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, a->call, 1, &none);
        } else {
            rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, a->call, 0, NULL);
        }
    }
    /* abort() of this process alone, so that an assert ends it as SIGABRT. */
    struct scmp_arg_cmp self[2] = { SCMP_CMP(0, SCMP_CMP_EQ, (scmp_datum_t)getpid()),
                                    SCMP_CMP(2, SCMP_CMP_EQ, SIGABRT) };
    return rc != 0 ? rc : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2, self);
}

enum err sandbox_seal(void)
{
    TRY(force_lazy_things());
    if (SANITIZED) {
        return ERR_OK;
    }
    advise_mappings();
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) {
        return ERR_NOMEM;
    }
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    rc = rc != 0 ? rc : allow_all(filter);
    rc = rc != 0 ? rc : seccomp_load(filter);
    seccomp_release(filter);
    return rc == 0 ? ERR_OK : ERR_CONFIG;
}
