#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the core's processes may do, and what the daemon's user may do to them.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
if [[ $BUILD == */asan ]]; then
    skip "the core's sandbox" "a sanitizer build has no seccomp and locks no memory"
else
    probe=$(mktemp -d /tmp/ringkeep-probe.XXXXXX)
    "$BUILD/tests/plain/core_walls" "$BUILD/ringkeep-hsm-hooks" "$probe" || e2e_failed=1
    rm -rf "$probe"
fi

export MEMBERS=1
t "a cluster of one is up" up
run=$(member_pid m1)
keeper=$(pgrep -P "$run" -f 'ringkeep-hsm keeper')
worker=$(pgrep -P "$run" -f 'ringkeep-hsm worker' | head -n 1)
daemon=$(daemon_pid m1)
empty_environment() { [ "$(tr -d '\0' <"/proc/$1/environ" | wc -c)" -eq 0 ]; }
for pid in "$keeper" "$worker" "$daemon"; do t "environment of $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-24) is empty" empty_environment "$pid"; done
gains_no_rights() { grep -qx 'NoNewPrivs:[[:space:]]*1' "/proc/$1/status"; }
for pid in "$keeper" "$worker" "$daemon"; do t "no set-uid program lifts $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-24)" gains_no_rights "$pid"; done
if [ "$(id -u)" -ne 0 ]; then
    skip "the core has a user of its own" "needs root"
    skip "the daemon's user cannot reach the core" "needs root"
    e2e_finish
fi
owner() { stat -c %U "/proc/$1/environ"; }
uid_of() { awk '/^Uid:/ {print $2}' "/proc/$1/status"; }
apart() { [ "$(uid_of "$keeper")" = "$(id -u ringkeep-core)" ] && [ "$(uid_of "$worker")" = "$(id -u ringkeep-core)" ] && [ "$(uid_of "$daemon")" = "$(id -u ringkeep)" ]; }
t "keeper and worker run as ringkeep-core, the daemon as ringkeep" apart
# The kernel gives the files of /proc/PID to root where the process must not be dumped.
not_dumpable() { [ "$(owner "$1")" = root ]; }
if [[ $BUILD == */asan ]]; then
    skip "core and daemon are not dumpable" "LeakSanitizer must read the process"
else
    for pid in "$keeper" "$worker" "$daemon"; do t "pid of $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-24) is not dumpable" not_dumpable "$pid"; done
fi
no_core_limit() { grep -E '^Max core file size +0 +0' "/proc/$1/limits"; }
for pid in "$keeper" "$worker"; do t "no core dump of pid of $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-20)" no_core_limit "$pid"; done

as_daemon() { setpriv --reuid ringkeep --regid ringkeep --clear-groups --no-new-privs "$@"; }
denied() { ! as_daemon "$@" 2>"$DIR/denied" && grep -qiE 'not permitted|permission denied|cannot open|denied' "$DIR/denied"; }
cd "$DIR/m1" || exit 1
t "the daemon's user can run at all" as_daemon true
t "it cannot signal the keeper" denied python3 -c "import os; os.kill($keeper, 0)"
t "it cannot signal a worker" denied python3 -c "import os; os.kill($worker, 0)"
ptrace() { denied python3 -c "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, $1, None, None) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))"; }
t "it cannot trace the keeper" ptrace "$keeper"
t "it cannot trace a worker" ptrace "$worker"
t "it cannot read the keeper's memory" denied head -c 1 "/proc/$keeper/mem"
t "it cannot list the core's files" denied ls core
t "it cannot open the core's state" denied cat core/state.0
twin() { [ -s core/state.0 ] || [ -s core/state.1 ]; }
t "root sees that the state is there" twin
cannot_start() { denied "$BUILD/ringkeep-hsm" keeper --workers 1; as_daemon "$BUILD/ringkeep-hsm" keeper --workers 1 >/dev/null 2>&1; [ $? -ne 0 ]; }
t "it cannot start a keeper on that state" cannot_start

# Whoever owns the member's directory could put links where root writes.
foreign() { mkdir "$DIR/foreign" && chown ringkeep "$DIR/foreign" && refused 2 timeout 5 "$BUILD/ringkeep-run" --dir "$DIR/foreign" --bin "$BUILD" && [ ! -e "$DIR/foreign/core" ]; }
t "root does not run a member in another user's directory" foreign

# A worker's death costs its operation, not the authorization.
kill -KILL "$worker"
t "after a worker's death the member is still authorized" member_is m1 authorized
t "and serves" client key list demo --pin-file "$(pin demo)"
e2e_finish
