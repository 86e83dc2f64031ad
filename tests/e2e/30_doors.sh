#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Strangers and broken frames at every door; the cluster serves on meanwhile and
# afterwards, and each refusal is in the security log.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
export RINGKEEP_CONF=$DIR/client/ringkeep.conf
t "a cluster of three is up" up
before=$(daemon_pid m1)
"$BUILD/tests/plain/key_maker" "$RINGKEEP_CONF" demo "$(pin demo)" 15 2 >"$DIR/made" &
maker=$!
python3 "$(dirname "$0")/doors.py" "$DIR" "$BASE"
doors=$?
[ "$doors" -eq 0 ] || e2e_failed=1
wait "$maker"
served=$?
others_served() { [ "$served" -eq 0 ] && [ "$(grep -c '^acked' "$DIR/made")" -gt 20 ]; }
t "others were served meanwhile" others_served
same_daemon() { [ "$(daemon_pid m1)" = "$before" ]; }
t "the daemon is the same process" same_daemon
logged() { grep -q security "$DIR/m1/log/ringkeepd.log"; }
t "refusals are in the security log" logged
not_in_log() { ! grep -rqF -f <(cat "$DIR"/secrets/*.pin) "$DIR"/m*/log "$DIR"/m*/store "$DIR"/m*/raft; }
t "no password is in a log, the store or raft's log" not_in_log
e2e_finish
