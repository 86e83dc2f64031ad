#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make down`: ends exactly the launchers that `make up` started here (each ends its
# own daemon, workers and keeper); the data stays.
# shellcheck source=deploy/lib.sh
. "$(dirname "$0")/lib.sh"
pids=()
for m in $(members); do
    if pid=$(member_pid "$m"); then
        say "stopping $m"
        kill -TERM "$pid"
        pids+=("$pid")
    fi
done
for pid in "${pids[@]}"; do
    for _ in $(seq 1 200); do
        [ -e "/proc/$pid" ] || break
        sleep 0.1
    done
    [ ! -e "/proc/$pid" ] || kill -KILL "$pid" 2>/dev/null || true
done
[ ${#pids[@]} -gt 0 ] || say "nothing of $DIR is running"
