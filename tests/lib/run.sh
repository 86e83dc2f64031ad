#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and runs every test of MODE (dev, asan) and counts them. Last line:
# N passed, N failed, N skipped. ONLY=pattern runs the programs and scripts whose
# name fits the pattern.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
MODE=${MODE:-dev}
BUILD=build/$MODE
ONLY=${ONLY:-}
out=$BUILD/test-results
mkdir -p "$out"
rm -rf "${out:?}"/*
passed=0 failed=0 skipped=0
export RINGKEEP_TEST_BUILD=$PWD/$BUILD
# LeakSanitizer's report does not change Criterion's exit code: a report file does.
export ASAN_OPTIONS="log_path=$PWD/$out/san:detect_leaks=1:abort_on_error=0"
export LSAN_OPTIONS="suppressions=$PWD/tests/lib/lsan.supp:print_suppressions=0"
export UBSAN_OPTIONS="print_stacktrace=1"

echo "building the tests ($MODE)"
if ! make -s -j"$(nproc)" MODE="$MODE" tests-build >"$out/build.log" 2>&1; then
    tail -n 40 "$out/build.log"
    echo "error: the build failed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi

wanted() { [ -z "$ONLY" ] || [[ $1 == *$ONLY* ]]; }

account() { # name passed failed skipped log
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
    printf '%-34s %4d passed %3d failed %3d skipped\n' "$1" "$2" "$3" "$4"
    [ "$3" -eq 0 ] || { echo "--- $5"; grep -vE '^ok ' "$5" | tail -n 40; echo "---"; }
}

# A sanitizer's report is a failure of the program that made it.
reports() { # log
    compgen -G "$out/san*" >/dev/null || return 1
    cat "$out"/san* >>"$1"
    rm -f "$out"/san*
}

# A Criterion program: counts from its JSON, since its summary hides skips.
unit() {
    local name=$1 json=$out/$1.json log=$out/$1.log p f s code
    timeout -k 10 600 "$BUILD/tests/unit/$name" --json="$json" >"$log" 2>&1
    code=$?
    read -r p f s < <(python3 tests/lib/criterion_counts.py "$json")
    [ "$code" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    reports "$log" && f=$((f + 1))
    account "$name" "$p" "$f" "$s" "$log"
}

# A script or plain program: lines "ok NAME", "not ok NAME", "skip NAME: reason".
lines() {
    local name=$1 seconds=$2 log=$out/$1.log p f s code
    shift 2
    timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null
    code=$?
    p=$(grep -c '^ok ' "$log")
    f=$(grep -c '^not ok ' "$log")
    s=$(grep -c '^skip ' "$log")
    grep '^skip ' "$log"
    if [ "$code" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
    if [ $((p + f + s)) -eq 0 ]; then f=1; fi
    reports "$log" && f=$((f + 1))
    account "$name" "$p" "$f" "$s" "$log"
}

for source in tests/unit/*.c; do
    name=$(basename "$source" .c)
    wanted "$name" && unit "$name"
done
# Plain programs that are tests of their own say so with a .run file: seconds and arguments.
for run in tests/plain/*.run; do
    [ -e "$run" ] || continue
    name=$(basename "$run" .run)
    read -r seconds arguments <"$run"
    # shellcheck disable=SC2086
    wanted "$name" && lines "$name" "$seconds" "$BUILD/tests/plain/$name" $arguments
done
for script in tests/e2e/*.sh; do
    [ -e "$script" ] || continue
    name=$(basename "$script" .sh)
    wanted "$name" && lines "$name" 900 "$script"
done
if [ "$MODE" = dev ]; then
    wanted lint && lines lint 900 tests/lint/lint.sh
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
