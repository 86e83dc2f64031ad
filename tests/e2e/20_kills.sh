#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each member's daemon is killed with SIGKILL in turn while keys are made: every
# acknowledged key is on all three members, and the digests agree. Then everything
# is restarted: sealed until one act of the Crypto Officer.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
export RINGKEEP_CONF=$DIR/client/ringkeep.conf
t "a cluster of three is up" up

"$BUILD/tests/plain/key_maker" "$RINGKEEP_CONF" demo "$(pin demo)" 24 4 >"$DIR/made" &
maker=$!
killed=0
for m in m1 m2 m3; do
    sleep 5
    pid=$(daemon_pid "$m") && kill -KILL "$pid" && killed=$((killed + 1))
    ( wait_for 20 "$m back" member_is "$m" authorized )
done
wait "$maker"
maker_code=$?
three_kills() { [ "$killed" -eq 3 ]; }
t "three daemons were killed" three_kills
no_error() { [ "$maker_code" -eq 0 ] && ! grep '^error' "$DIR/made"; }
t "no creation saw an error" no_error
many() { [ "$(grep -c '^acked' "$DIR/made")" -gt 100 ]; }
t "more than a hundred keys were acknowledged" many
t "digests agree after the kills" digests_agree
all_there() { # every acknowledged id is in the member's own store, once
    local missing
    admin "$1" --json objects demo | python3 -c 'import json,sys; [print(r["id"]) for r in json.load(sys.stdin)["rows"]]' | sort >"$DIR/have"
    grep '^acked' "$DIR/made" | cut -d' ' -f2 | sort >"$DIR/want"
    [ -z "$(uniq -d "$DIR/have")" ] || { echo "twice:"; uniq -d "$DIR/have"; return 1; }
    missing=$(comm -13 "$DIR/have" "$DIR/want")
    [ -z "$missing" ] || { echo "missing on $1:"; printf '%s\n' "$missing" | head; return 1; }
}
for m in m1 m2 m3; do t "every acknowledged key is on $m" all_there "$m"; done

# A whole restart. The password files are out of reach meanwhile: no daemon and no
# core reads one.
mv "$DIR/secrets" "$DIR/away"
mkdir "$DIR/secrets" && cp "$DIR/away/cores" "$DIR/secrets/cores"
for m in m1 m2 m3; do stop_member "$m"; done
for m in m1 m2 m3; do start_member "$m"; done
sealed_all() { member_is m1 sealed && member_is m2 sealed && member_is m3 sealed; }
t "all three come back sealed" wait_ok 30 "sealed" sealed_all
says_not_authorized() {
    local out
    out=$(client key list demo --pin-file "$DIR/away/demo.pin" 2>&1)
    [ $? -eq 7 ] && echo "$out" | grep -qi "authorize"
}
t "a key operation answers not authorized" says_not_authorized
still() { sleep 5; sealed_all; }
t "they stay sealed" still
t "the Crypto Officer authorizes one" admin m2 cluster authorize --co-pin-file "$DIR/away/co.pin"
serve_all() { member_is m1 authorized && member_is m2 authorized && member_is m3 authorized; }
t "then all three serve" wait_ok 30 "authorized" serve_all
t "keys sign again" client key list demo --pin-file "$DIR/away/demo.pin"
rm -rf "$DIR/secrets" && mv "$DIR/away" "$DIR/secrets"
e2e_finish
