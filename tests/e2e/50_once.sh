#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reply of a creation cut off, before or after its commit, then the same creation
# at another member and after the leader's death: one key each, the same everywhere.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
export RINGKEEP_CONF=$DIR/client/ringkeep.conf
wanted=150
t "a cluster of three is up" up
second_client() {
    admin m1 client register other --out "$DIR/other" --po-pin-file "$(pin po)" &&
        admin m1 keyring assign demo other --po-pin-file "$(pin po)"
}
t "another client of the same keyring" second_client
ids() { admin "$1" --json objects demo | python3 -c 'import json,sys; [print(r["id"]) for r in json.load(sys.stdin)["rows"]]' | sort; }
empty() { [ -z "$(ids m1)" ]; }
t "the keyring is empty" empty

address() { printf '127.0.0.1:%s' $((1792 + BASE + 10 * (${1#m} - 1))); }
coproc once { "$BUILD/tests/plain/raw_once" "$RINGKEEP_CONF" "$DIR/other/ringkeep.conf" demo "$(pin demo)" "$wanted" \
    "$(address m1)" "$(address m2)" "$(address m3)" 2>&1; }
# shellcheck disable=SC2154
exec 7<&"${once[0]}" 8>&"${once[1]}"
# shellcheck disable=SC2154
program=$once_PID
: >"$DIR/want"
killed=no ended=no before=0
while read -r line <&7; do
    case $line in
        kill)
            before=$(ids m2 | wc -l)
            victim=$(leader) && pid=$(daemon_pid "$victim") && kill -KILL "$pid" && killed=yes
            address "$victim" >&8
            echo >&8
            ;;
        "id "*) printf '%s\n' "${line#id }" | tr ' ' '\n' >>"$DIR/want" ;;
        "not ok "*) echo "$line" && e2e_failed=1 ;;
        *) echo "$line" ;;
    esac
done
wait "$program" 2>/dev/null && ended=yes
is() { [ "$1" = "$2" ]; }
t "the leader was killed" is "$killed" yes
# The last third was sent once and cut off: there are both kinds in it.
both_kinds() { echo "$before objects" && [ "$before" -gt $((2 * wanted * 2 / 3)) ] && [ "$before" -lt $((2 * wanted)) ]; }
t "of those cut off and not yet retried some were committed and some not" both_kinds
t "the retries went to their end" is "$ended" yes
sort -o "$DIR/want" "$DIR/want"
t "more than a hundred request ids" is "$(wc -l <"$DIR/want")" $((2 * wanted))
t "digests agree" digests_agree
each_once() {
    ids "$1" >"$DIR/have.$1"
    diff "$DIR/want" "$DIR/have.$1"
}
for m in $(members); do t "$m holds each object once and no other" each_once "$m"; done
e2e_finish
