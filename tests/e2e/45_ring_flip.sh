#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A thread flips bytes in the ring while requests run: never an accepted wrong result
# in 10^7 operations (a tenth of a million under sanitizers). Its control decrypts in
# place, as no core may, and must accept wrong results, else the test proves nothing.
set -uo pipefail
build=${RINGKEEP_TEST_BUILD:-$PWD/build/dev}
operations=10000000
[[ $build == *asan* ]] && operations=100000
status=0
if "$build/tests/plain/ring_flip" "$operations"; then echo "ok no wrong result accepted in $operations operations"; else
    echo "not ok a wrong result was accepted"
    status=1
fi
if [[ $build == *asan* ]]; then
    echo "skip the control of the flipping thread: under sanitizers it takes minutes"
elif "$build/tests/plain/ring_flip" 3000000 control; then echo "ok the control accepts wrong results"; else
    echo "not ok the control accepts wrong results"
    status=1
fi
exit $status
