#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One "ok" or "not ok" line a check; what is wrong stands above it.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    echo "skip lint: it asks git which files are the project's, and this is no checkout"
    exit 0
fi
status=0
check() { # check NAME COMMAND...
    local name=$1 log
    shift
    if log=$("$@" 2>&1); then echo "ok lint $name"; else
        printf '%s\n' "$log" | tail -n 60
        echo "not ok lint $name"
        status=1
    fi
}
make -s build/gen/client.pb-c.h build/gen/command.pb-c.h build/gen/admin.pb-c.h build/gen/peer.pb-c.h || exit 1
mapfile -t sources < <(git ls-files '*.c' | grep -v '^tests/')
clang_tidy() {
    # shellcheck disable=SC2016
    printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 6 sh -c 'clang-tidy --quiet "$@" -- -std=gnu11 -D_GNU_SOURCE -I. -isystem build/gen -isystem /usr/include/p11-kit-1 -DRINGKEEP_VERSION="\"0\"" 2>/dev/null' tidy
}
cpp_check() {
    cppcheck --quiet --enable=warning,performance,portability --std=c11 --inline-suppr --error-exitcode=1 -j "$(nproc)" \
        --suppress=missingIncludeSystem --suppress=unknownMacro -D_GNU_SOURCE -I. "${sources[@]}"
}
scripts() { git ls-files '*.sh' .ci/run | xargs shellcheck -x -S warning -e SC1091; }
check includes tests/lint/includes.py
check words tests/lint/words.sh
check functions tests/lint/functions.py
check shell scripts
check cppcheck cpp_check
check clang-tidy clang_tidy
exit $status
