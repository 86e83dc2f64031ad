#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Words that must not stand in the product's code, with the reason.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
status=0
ban() { # ban REASON PATTERN PATHS...
    local reason=$1 pattern=$2 hits
    shift 2
    if hits=$(git grep -nP -e "$pattern" -- "$@" | grep -vP '^\S+:\d+:\s*(/?\*)'); then
        printf '%s\n' "$hits"
        echo "^ $reason"
        status=1
    fi
}
product=(base proto sks keyring raft-glue cluster hsm-sim appliance client ':!*.md')
ban "unbounded or unsafe string call" '\b(strcpy|strcat|sprintf|vsprintf|strtok|alloca|gets|rand|srand)\s*\(' "${product[@]}"
ban "memcmp leaks time on secrets: secret_equal or bytes_equal" '\bmemcmp\s*\(' sks hsm-sim proto/envelope.c
ban "output belongs to programs: log.h" '(?<![a-z_])(printf|puts|perror)\s*\(' base proto sks keyring raft-glue cluster appliance
ban "no clock or chance in the replicated state" '\b(time|clock_gettime|gettimeofday|RAND_[a-z_]+|getrandom|random_[a-z0-9]+)\s*\(' keyring
ban "time comes from clock.h" '\b(clock_gettime|gettimeofday|uv_now|uv_hrtime)\s*\(' raft-glue cluster appliance
ban "asserts stay on" '-DNDEBUG' Makefile build.mk deploy
ban "nonces are drawn singly, never from a pool" '\bRAND_(bytes|pseudo_bytes)\s*\(' sks
exit $status
