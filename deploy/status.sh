#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make status`: members, roles, indexes, digests, what to do next.
# shellcheck source=deploy/lib.sh
. "$(dirname "$0")/lib.sh"
[ -n "$(members)" ] || { say "no cluster in $DIR: run make up"; exit 0; }
for m in $(members); do
    if member_pid "$m" >/dev/null; then
        admin "$m" status && exit 0
    else
        say "$m is not running: run make up"
    fi
done
exit 1
