# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests/e2e/*.sh: a cluster of their own in a directory of their own, on ports
# of their own, taken down at the end whatever the end is.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${RINGKEEP_TEST_BUILD:-$here/build/dev}
DIR=$(mktemp -d /tmp/ringkeep-e2e.XXXXXX)
BASE=${BASE:-$((10000 + (RANDOM % 200) * 100))} # below the ports that the kernel gives out
export BUILD DIR BASE
# shellcheck source=deploy/lib.sh
. "$here/deploy/lib.sh"
set +e +o pipefail
e2e_failed=0
e2e_end() {
    local code=$?
    "$here/deploy/down.sh" >/dev/null 2>&1
    if [ "$e2e_failed" -ne 0 ] || [ "$code" -ne 0 ]; then
        grep -h -E ' (error|warn) ' "$DIR"/m*/log/*.log 2>/dev/null | tail -n 20
        [ -z "${KEEP:-}" ] || { echo "kept $DIR"; return; }
    fi
    rm -rf "$DIR"
}
trap e2e_end EXIT

# t NAME COMMAND...: one test.
t() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        echo "ok $name"
    else
        printf '%s\n' "$out" | tail -n 15
        echo "not ok $name"
        e2e_failed=1
    fi
}
# skip NAME REASON
skip() { echo "skip $1: $2"; }
# refused CODE COMMAND...: it fails with this exit code and says something.
refused() {
    local code=$1 out got
    shift
    out=$("$@" 2>&1)
    got=$?
    [ "$got" -eq "$code" ] && [ -n "$out" ] && return 0
    echo "exit $got, wanted $code: $out"
    return 1
}
up() { MEMBERS=${MEMBERS:-3} "$here/deploy/up.sh"; }
client() { "$BUILD/ringkeep" --config "$DIR/client/ringkeep.conf" "$@"; }
pin() { printf '%s/secrets/%s.pin' "$DIR" "$1"; }
# Digests of all members, one line each, once equal; fails after 20 s.
digests_agree() {
    local end=$(($(date +%s) + 20)) seen=""
    while [ "$(date +%s)" -lt "$end" ]; do
        seen=$(for m in $(members); do printf '%s %s\n' "$(member_field "$m" applied)" "$(member_field "$m" digest)"; done | sort -u)
        [ "$(printf '%s\n' "$seen" | wc -l)" -eq 1 ] && return 0
        sleep 0.2
    done
    printf '%s\n' "$seen"
    return 1
}
leader() {
    local m
    for m in $(members); do [ "$(member_field "$m" role 2>/dev/null)" = leader ] && { echo "$m"; return 0; }; done
    return 1
}
wait_ok() { ( wait_for "$@" ); }
stop_member() {
    local pid
    pid=$(member_pid "$1") || return 0
    kill -TERM "$pid"
    for _ in $(seq 1 150); do [ -e "/proc/$pid" ] || return 0; sleep 0.1; done
    return 1
}
# start_member m1 [MORE OPTIONS OF ringkeep-run]
start_member() {
    local m=$1
    shift
    setsid "$BUILD/ringkeep-run" --dir "$DIR/$m" --bin "$BIN" --workers 2 "$@" </dev/null >>"$DIR/$m/start.log" 2>&1 &
    disown
}
# A program that nobody here wrote and that loads the module: under ASan the runtime
# must come first, and its own leaks are its own.
foreign() {
    if [[ $BUILD == */asan ]]; then
        LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 "$@"
    else
        "$@"
    fi
}
e2e_finish() { exit "$e2e_failed"; }
