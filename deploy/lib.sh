# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What up.sh, down.sh, status.sh and demo.sh share. Reads DIR, BUILD, BIN.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DIR=${DIR:-run}
BUILD=${BUILD:-build/dev}
case $DIR in /*) ;; *) DIR=$repo/$DIR ;; esac
case $BUILD in /*) ;; *) BUILD=$repo/$BUILD ;; esac
BIN=${BIN:-$BUILD} # where the launcher finds daemon and core
export DIR BUILD BIN

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The administrator's command line at one member: admin m1 VERB ...
admin() {
    local member=$1
    shift
    (cd "$DIR" && "$BUILD/ringkeep" --socket "$member/ctl/admin.sock" --pins "$DIR/secrets/cores" "$@")
}

# Members of this directory, in order: m1 m2 ...
members() {
    find "$DIR" -maxdepth 1 -type d -name 'm[0-9]*' -printf '%f\n' 2>/dev/null | sort -V
}

# The launcher's pid where it runs, by its pid file and its command name.
member_pid() {
    local pid
    pid=$(cat "$DIR/$1/run.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = ringkeep-run ] || return 1
    # A pid file of another day may name another directory's launcher.
    tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "--dir $DIR/$1 " || return 1
    printf '%s\n' "$pid"
}

# The member's daemon: the launcher's child of that name.
daemon_pid() {
    local run
    run=$(member_pid "$1") || return 1
    pgrep -P "$run" -x ringkeepd
}

# wait_for SECONDS WHAT COMMAND...: tries every 0.2 s, says what it waits for.
wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$(($(date +%s) + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$end" ] || {
            grep -h ' error ' "$DIR"/m*/log/*.log 2>/dev/null | tail -n 3 >&2
            fail "timed out after ${seconds} s: $what; look into $DIR/m*/log/"
        }
        sleep 0.2
    done
}

# member_field m1 NAME: of `status --json`, or of the member's own row in it.
member_field() {
    admin "$1" --json status | python3 -c '
import json, sys
status = json.load(sys.stdin)
own = [r for r in status.get("rows", []) if r["name"] == status["name"]]
print((own[0] if own else {}).get(sys.argv[1], status.get(sys.argv[1], "")))' "$2"
}
member_is() { [ "$(member_field "$1" state 2>/dev/null)" = "$2" ]; }
