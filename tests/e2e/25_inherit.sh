#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Members stopped whole and started again: one inherits the SMK while others serve; one
# alone stays sealed until the Crypto Officer's act, then signs but writes nothing. A
# core without its master tamper key stays down; with the key elsewhere it serves.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
export RINGKEEP_CONF=$DIR/client/ringkeep.conf
t "a cluster of three is up" up

coproc program { "$BUILD/tests/plain/long_client" "$RINGKEEP_CONF" demo "$(pin demo)" 2>&1; }
# shellcheck disable=SC2154
exec 7<&"${program[0]}" 8>&"${program[1]}"
ready() { local line; read -r -t 60 line <&7 && [ "$line" = ready ]; }
t "a program logs in and makes a key" ready
says() { # says PATTERN: the program's next line
    local line=
    read -r -t 90 line <&7
    echo "it said: $line"
    [[ $line =~ $1 ]]
}
asked() { # asked COMMAND PATTERN
    echo "$1" >&8
    says "$2"
}
t "it signs" asked sign '^ok '

# -- one of three ------------------------------------------------------------------
echo "signs 20" >&8
t "m3 is stopped whole" stop_member m3
gone() { ! member_pid m3 && ! pgrep -f -- "--dir $DIR/m3 "; }
t "nothing of m3 is left" gone
# lost OBSERVER MEMBER..: it shows them as silent, for how long, and claims no state of them.
lost() {
    admin "$1" --json status | python3 -c '
import json, sys
rows = {r["name"]: r for r in json.load(sys.stdin)["rows"]}
for m in sys.argv[1:]:
    print(rows[m])
    silent = rows[m]["contact_ms"] == "never" or rows[m]["contact_ms"] > 2000
    if rows[m]["alive"] != "no" or rows[m]["state"] != "unknown" or not silent:
        sys.exit(1)' "${@:2}"
}
t "m1 shows that it lost m3" wait_ok 15 "m3 lost" lost m1 m3
start_member m3
t "m3 comes back authorized by itself" wait_ok 30 "m3 authorized" member_is m3 authorized
inherited() { grep -q 'inherited the SMK' "$DIR/m3/log/ringkeepd.log"; }
t "its log says that it inherited" inherited
t "the program signed all the while" says '^ok signs .* [0-9]{2,}$'
t "digests agree" digests_agree

# -- one alone ----------------------------------------------------------------------
for m in m1 m2 m3; do t "$m is stopped" stop_member "$m"; done
start_member m3
t "m3 alone comes back sealed" wait_ok 20 "m3 sealed" member_is m3 sealed
still_sealed() { sleep 6 && member_is m3 sealed; }
t "it stays sealed" still_sealed
status_has() { admin "$1" status | tee /dev/stderr | grep -qF -- "$2"; }
t "status says what to do" status_has m3 "cluster authorize"
t "status says that there is no majority" status_has m3 "no majority"
refused_text() { # refused CODE, with words on stderr
    out=$("${@:3}" 2>&1)
    local got=$?
    echo "exit $got: $out"
    [ "$got" -eq "$1" ] && grep -qiE -- "$2" <<<"$out"
}
not_authorized() { refused_text 7 authorize client key list demo --pin-file "$(pin demo)"; }
t "a client is told so, exit 7" not_authorized
t "the program too" asked sign '^error 19 '
wrong_co() { refused_text 4 . admin m3 cluster authorize --co-pin-file "$(pin demo)" && member_is m3 sealed; }
t "a wrong password authorizes nothing" wrong_co
t "the Crypto Officer authorizes m3" admin m3 cluster authorize --co-pin-file "$(pin co)"
t "m3 is authorized" wait_ok 10 "m3 authorized" member_is m3 authorized
t "the program signs at m3 alone" asked sign '^ok '
t "and goes on" asked "signs 5" '^ok signs .* [0-9]{2,}$'
t "a creation there fails and says why" asked create '^error (13|14) '
t "status shows that m1 and m2 do not answer" lost m3 m1 m2
t "and still that there is no majority" status_has m3 "no majority"
t "a login there fails and says why" refused_text 3 'majority|answer|unknown' client key list demo --pin-file "$(pin demo)"
t "it is no leader" refused_text 1 '' member_is m3 leader

for m in m1 m2; do start_member "$m"; done
all_authorized() { member_is m1 authorized && member_is m2 authorized && member_is m3 authorized; }
t "the others come back and inherit from m3" wait_ok 40 "authorized" all_authorized
t "the program writes again" asked create '^ok '
t "digests agree again" digests_agree

# -- the master tamper key -------------------------------------------------------------
mtk_text="the MTK lies beside"
t "status warns of an MTK beside the state" status_has m2 "$mtk_text"
t "m2 is stopped" stop_member m2
mv "$DIR/m2/core/mtk" "$DIR/mtk.aside"
start_member m2
left_down() { grep -qE 'left down.* keeper 78' "$DIR/m2/log/run.log"; }
t "a core without its MTK stays down" wait_ok 20 "left down" left_down
t "its log says why" grep -q 'master tamper key is missing' "$DIR/m2/log/keeper.log"
t "status says that the core does not answer" wait_ok 15 "status" status_has m2 "core does not answer"
no_new_key() { [ ! -e "$DIR/m2/core/mtk" ]; }
t "no new key was made" no_new_key
t "the others serve on" asked create '^ok '
t "m2 is stopped" stop_member m2
mv "$DIR/mtk.aside" "$DIR/m2/core/mtk"
start_member m2
t "with its MTK put back m2 is authorized" wait_ok 30 "m2 authorized" member_is m2 authorized

t "m2 is stopped" stop_member m2
mkdir "$DIR/stick" && chmod 711 "$DIR/stick" && mv "$DIR/m2/core/mtk" "$DIR/stick/mtk"
start_member m2 --mtk "$DIR/stick/mtk"
t "with its MTK on another path m2 is authorized" wait_ok 30 "m2 authorized" member_is m2 authorized
elsewhere() { [ "$(member_field m2 mtk)" = elsewhere ] && ! status_has m2 "$mtk_text"; }
t "status warns no more" elsewhere
own_no_key() { [ ! -e "$DIR/m2/core/mtk" ]; }
t "no key was made beside the state" own_no_key
t "the program is served to the end" asked "signs 3" '^ok signs .* [0-9]{2,}$'
exec 8>&-
t "digests agree at the end" digests_agree
e2e_finish
