#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Launcher, keeper and workers as processes, without a cluster: core_probe stands in
# for ringkeepd. Who runs as whom, what the sandbox lets through, who is started
# again when, what a missing or foreign master tamper key does.
set -uo pipefail
build=${RINGKEEP_TEST_BUILD:-$PWD/build/dev}
asan=no
[[ $build == *asan* ]] && asan=yes
work=$(mktemp -d /tmp/ringkeep-core.XXXXXX)
chmod 755 "$work"
launcher=
cleanup() {
    [ -z "$launcher" ] || { kill -TERM "$launcher" 2>/dev/null; wait "$launcher" 2>/dev/null; }
    rm -rf -- "$work"
}
trap cleanup EXIT

mkdir -p "$work/bin"
cp "$build/tests/plain/core_probe" "$work/bin/ringkeepd"
cp "$build/ringkeep-hsm-hooks" "$work/bin/ringkeep-hsm"
user=ringkeep core_user=ringkeep-core
if ! getent passwd "$user" >/dev/null || ! getent passwd "$core_user" >/dev/null; then
    user=games core_user=daemon
fi

check() { # name command..
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else echo "not ok $name"; fi
}

m=
fresh() { # member directory, empty
    m=$work/$1
    mkdir -p "$m"
    : >"$m/ringkeepd.conf"
}
start() { # launcher's further options
    "$build/ringkeep-run" --dir "$m" --bin "$work/bin" --workers 2 --user "$user" --core-user "$core_user" "$@" \
        2>"$work/launcher.err" &
    launcher=$!
}
stop() {
    kill -TERM "$launcher" 2>/dev/null
    wait "$launcher"
    launcher=
}
# Waits until a log has this many lines that fit.
until_seen() { # file pattern [count]
    local i seen
    for ((i = 0; i < 300; i++)); do
        seen=$(grep -cE -- "$2" "$m/log/$1" 2>/dev/null)
        [ "${seen:-0}" -ge "${3:-1}" ] && return 0
        sleep 0.1
    done
    return 1
}
# A child that was just forked still has its parent's name.
pid_of() {
    local i
    for ((i = 0; i < 50; i++)); do
        pgrep -P "$launcher" -f "$1" | head -n 1 | grep . && return 0
        sleep 0.1
    done
}
says() { grep -qE -- "$2" "$m/log/$1"; }
never() { ! "$@"; }
same() { [ "$1" = "$2" ]; }
differ() { [ "$1" != "$2" ]; }
gone() { # pid
    local i
    for ((i = 0; i < 50; i++)); do
        [ -e "/proc/$1" ] || return 0
        sleep 0.1
    done
    return 1
}
leaves_with() { # exit code of the launcher's own start
    wait "$launcher"
    local code=$?
    launcher=
    [ "$code" -eq "$1" ]
}

# -- the usual life --------------------------------------------------------------
fresh m1
start
check core_answers_through_the_ring until_seen ringkeepd.log '^state=1 '
check scrypt_of_full_cost_works_behind_the_filter says ringkeepd.log '^step 4: OK'
check openssl_draws_behind_the_filter says ringkeepd.log '^random=OK'
check the_environment_is_empty says ringkeepd.log '^environment=EMPTY'
if [ "$asan" = no ]; then
    for call in socket open openat execve fork thread ptrace kill mmap_exec mprotect_exec memfd connect; do
        check "the_core_may_not_$call" never grep -E "^$call=" <(grep -vE '=EPERM$' "$m/log/ringkeepd.log")
    done
    check memory_is_locked says ringkeepd.log 'locked=1'
fi
keeper=$(pid_of 'ringkeep-hsm keeper') daemon=$(pid_of 'ringkeepd ') worker=$(pid_of 'worker --index 0')
if [ "$(id -u)" -eq 0 ]; then
    check core_and_daemon_have_their_own_uids same \
        "$(stat -c %U "/proc/$daemon") $(awk '/^Uid:/ {print $2}' "/proc/$keeper/status")" \
        "$user $(id -u "$core_user")"
    check the_state_is_the_cores_alone same "$(stat -c '%U %a' "$m/core" "$m/core/mtk" "$m/core/state.0" | sort -u | tr '\n' ' ')" \
        "$core_user 600 $core_user 700 "
    as_daemon() { setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@" 2>/dev/null; }
    check the_daemons_user_cannot_read_the_state never as_daemon cat "$m/core/mtk"
    check the_daemons_user_cannot_signal_the_core never as_daemon kill -0 "$keeper"
else
    echo "skip uids: not root"
fi
check the_keeper_has_no_network_descriptor never grep -q inet <(ls -l "/proc/$keeper/fd" 2>/dev/null)
check the_status_warns_of_an_mtk_beside_the_state says ringkeepd.log 'mtk_in_state=1'

# -- deaths ----------------------------------------------------------------------
kill -KILL "$worker"
check a_dead_worker_comes_back until_seen run.log 'started worker-0' 2
check the_keeper_lives_on same "$keeper" "$(pid_of 'ringkeep-hsm keeper')"
kill -KILL "$daemon"
check a_dead_daemon_comes_back until_seen run.log 'started ringkeepd' 2
check with_workers_on_new_rings until_seen run.log 'started worker-1' 2
check the_keeper_lives_on_again same "$keeper" "$(pid_of 'ringkeep-hsm keeper')"
kill -KILL "$keeper"
check a_dead_keeper_comes_back until_seen run.log 'started keeper' 2
check with_new_workers until_seen run.log 'started worker-1' 3
check the_daemon_lives_on same 2 "$(grep -c 'started ringkeepd' "$m/log/run.log")"
second=$(pid_of 'ringkeep-hsm keeper') second_daemon=$(pid_of 'ringkeepd ')
stop
check sigterm_ends_daemon_then_core same "$(grep -E '^[0-9]+ ended' "$m/log/run.log" | tail -n 4 | cut -d' ' -f3 | tr '\n' ' ')" \
    "ringkeepd worker-1 worker-0 keeper "
check nothing_is_left gone "$second"
check no_pid_file_is_left never test -e "$m/run.pid"
[ -n "$second_daemon" ] && check the_daemon_is_gone gone "$second_daemon"

# The launcher killed: the others must not live on without it.
: >"$m/log/ringkeepd.log"
start
until_seen ringkeepd.log '^state=1 '
keeper=$(pid_of 'ringkeep-hsm keeper') daemon=$(pid_of 'ringkeepd ') worker=$(pid_of 'worker --index 1')
kill -KILL "$launcher"
wait "$launcher" 2>/dev/null
launcher=
for pid in "$keeper" "$daemon" "$worker"; do check "nobody_outlives_the_launcher" gone "$pid"; done

# -- exit codes of the daemon ----------------------------------------------------
echo 78 >"$m/exit"
start
check exit_78_is_left_down until_seen run.log 'left down.*ringkeepd 78'
check the_core_stays_for_the_next_start test -n "$(pid_of 'ringkeep-hsm keeper')"
stop
echo 0 >"$m/exit"
start
check exit_0_of_the_daemon_stops_all leaves_with 0
rm -f "$m/exit"

# -- the master tamper key -------------------------------------------------------
mv "$m/core/mtk" "$work/mtk.aside"
start
check a_missing_mtk_is_refused until_seen run.log 'left down.*keeper 78'
check in_words says keeper.log 'master tamper key is missing'
check the_state_is_untouched test -s "$m/core/state.0"
check no_new_key_is_made never test -e "$m/core/mtk"
stop
head -c 32 /dev/urandom >"$m/core/mtk"
chown --reference="$m/core/state.0" "$m/core/mtk" && chmod 600 "$m/core/mtk"
start
check a_foreign_mtk_is_refused until_seen keeper.log 'does not open'
stop
head -c 31 /dev/urandom >"$m/core/mtk"
start
check a_short_mtk_is_refused until_seen keeper.log '32 bytes are needed'
stop
cp "$work/mtk.aside" "$work/elsewhere.key"
chown "$core_user" "$work/elsewhere.key" 2>/dev/null
chmod 600 "$work/elsewhere.key"
rm -f "$m/core/mtk"
: >"$m/log/ringkeepd.log"
start --mtk "$work/elsewhere.key"
check an_mtk_elsewhere_serves until_seen ringkeepd.log '^state=1 .*mtk_in_state=0'
stop
start --mtk "$work/absent.key"
check an_mtk_that_is_not_there_stops_the_launcher leaves_with 2

# -- memory that cannot be locked --------------------------------------------------
if [ "$asan" = no ] && [ "$(id -u)" -eq 0 ]; then
    fresh m2
    mkdir -p "$m/core" "$m/log"
    chown games "$m/core"
    (cd "$m" && ulimit -l 64 && setpriv --reuid games --clear-groups "$work/bin/ringkeep-hsm" keeper --workers 1 \
        3</dev/null 2>"$work/lock.err")
    check memory_that_cannot_be_locked_is_refused same $? 78
    check with_what_to_do grep -q 'ulimit -l unlimited' "$work/lock.err"
fi
