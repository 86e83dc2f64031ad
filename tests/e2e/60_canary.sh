#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Secrets are never where they must not be. Under load and while a member joins: each
# password, the SMK and an imported key's bytes are in no daemon's, launcher's or
# worker's memory, in no log, store or raft file, and not on the wire. The same search
# finds each of them where it is.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
if [ "$(id -u)" -ne 0 ]; then
    skip "secrets are never where they must not be" "needs root"
    e2e_finish
fi
canary=$(dirname "$0")/canary.py
export RINGKEEP_CONF=$DIR/client/ringkeep.conf
# The core with its hooks marks the SMK in its memory.
BIN=$DIR/bin
mkdir "$BIN" && cp "$BUILD/ringkeepd" "$BIN/" && cp "$BUILD/ringkeep-hsm-hooks" "$BIN/ringkeep-hsm"
MEMBERS=2 t "a cluster of two is up" up

new_secret() { (umask 077 && head -c 15 /dev/urandom | base64 | tr -d '\n' | tr '+/' 'ab' >"$(pin "$1")"); }
join_m3() {
    mkdir -p "$DIR/m3" && sed -e 's/= m2/= m3/' -e "s/:$((1802 + BASE))/:$((1812 + BASE))/" -e "s/:$((1803 + BASE))/:$((1813 + BASE))/" \
        -e "s/:$((1805 + BASE))/:$((1815 + BASE))/" "$DIR/m2/ringkeepd.conf" >"$DIR/m3/ringkeepd.conf"
    new_secret so-m3
    start_member m3
    wait_ok 20 "door of m3" admin m3 --json status || return 1
    admin m3 init m3 --so-pin-file "$(pin so-m3)" || return 1
    admin m1 --json member invite --po-pin-file "$(pin po)" | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])' >"$DIR/token"
    admin m3 member join "$(cat "$DIR/token")" --so-pin-file "$(pin so-m3)" --domain-pin-file "$(pin domain)" || return 1
    rm "$DIR/token"
    wait_ok 30 "m3 authorized" member_is m3 authorized
}

# -- what is looked for ----------------------------------------------------------
openssl ecparam -name prime256v1 -genkey -noout -out "$DIR/x.key" && openssl pkey -in "$DIR/x.key" -outform DER -out "$DIR/x.der"
# Its PIN is in no environment but its own.
tool() { PIN=$(cat "$(pin demo)") foreign pkcs11-tool --module "$BUILD/libringkeep-pkcs11.so" --login --pin env:PIN "$@"; }
head -c 32 /dev/urandom >"$DIR/data"
use() { tool --sign --mechanism ECDSA --id ab --input-file "$DIR/data" --output-file "$DIR/sig"; }
keeper_of() { pgrep -P "$(member_pid "$1")" -f 'ringkeep-hsm keeper'; }
workers_of() { pgrep -P "$(member_pid "$1")" -f 'ringkeep-hsm worker'; }
list_needles() {
    local smk
    smk=$("$canary" smk "$(keeper_of m1)") || return 1
    python3 - "$smk" "$DIR/x.key" "$DIR"/secrets/*.pin >"$1" <<'END'
import json, os, re, subprocess, sys
text = subprocess.run(["openssl", "pkey", "-in", sys.argv[2], "-noout", "-text"], capture_output=True, text=True).stdout
private = re.search(r"priv:\s*((?:[0-9a-f]{2}[:\s]*)+)pub:", text).group(1)
out = {"smk": sys.argv[1], "imported key": "".join(re.findall("[0-9a-f]{2}", private))[-64:]}
for path in sys.argv[3:]:
    out[os.path.basename(path)] = open(path, "rb").read().strip().hex()
print(json.dumps(out))
END
}

load=25 # seconds: longer than the join and the searches take
[[ $BUILD == */asan ]] && load=90

# -- load, a capture, a member that joins -------------------------------------------
"$canary" capture "$DIR/capture" $((1792 + BASE)) $((1815 + BASE)) >"$DIR/capture.ready" &
capture=$!
wait_ok 10 "the capture" grep -q ready "$DIR/capture.ready"
"$BUILD/tests/plain/key_maker" "$RINGKEEP_CONF" demo "$(pin demo)" "$load" 2 >"$DIR/made" &
maker=$!
t "a key is imported" tool --write-object "$DIR/x.der" --type privkey --label imported --id ab
t "it signs" use
t "a member joins" join_m3
needles=$DIR/needles
t "the SMK is found in a keeper, after its marker" list_needles "$needles"
many_needles() { [ "$(python3 -c 'import json,sys; print(len(json.load(open(sys.argv[1]))))' "$needles")" -ge 9 ]; }
t "there are as many secrets as there should be" many_needles
same_smk() { [ "$("$canary" smk "$(keeper_of "$1")")" = "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["smk"])' "$needles")" ]; }
for m in m2 m3; do t "$m holds the same SMK" same_smk "$m"; done
t "the imported key signs while others are made" use

# -- the search finds what is there --------------------------------------------------
python3 -c 'import json,sys; sys.stdout.buffer.write(bytes.fromhex(json.load(open(sys.argv[1]))["imported key"]))' "$needles" >"$DIR/planted"
mkfifo "$DIR/hold"
"$canary" hold "$DIR/planted" "$DIR"/secrets/*.pin <"$DIR/hold" >"$DIR/hold.ready" &
holder=$!
exec 9>"$DIR/hold"
wait_ok 10 "the holder" grep -q ready "$DIR/hold.ready"
finds_in() { # names of needles that must be found
    local out name missing=0
    out=$("$canary" memory "$needles" "$1")
    shift
    for name in "$@"; do grep -qF -- "$name " <<<"$out" || { echo "$name was not found"; missing=1; }; done
    return $missing
}
names() { python3 -c 'import json,sys; print("\n".join(n for n in json.load(open(sys.argv[1])) if n != "smk"))' "$needles"; }
mapfile -t planted < <(names)
t "planted passwords and key are found in a process of the test" finds_in "$holder" "${planted[@]}"
t "the SMK is found in each keeper by the same search" finds_in "$(keeper_of m2)" smk
exec 9>&-
wait "$holder"
finds_file() { "$canary" files "$needles" "$DIR/planted" | grep -q '^imported key '; }
t "a planted key is found in a file" finds_file

# -- and nothing elsewhere -------------------------------------------------------------
alive() { kill -0 "$maker" 2>/dev/null; }
t "keys are still being made" alive
for m in $(members); do
    t "no secret in the daemon of $m" "$canary" memory "$needles" "$(daemon_pid "$m")"
    t "no secret in the launcher of $m" "$canary" memory "$needles" "$(member_pid "$m")"
done
wait "$maker"
made=$?
served() { [ "$made" -eq 0 ] && [ "$(grep -c '^acked' "$DIR/made")" -gt 50 ]; }
t "creations went on without an error" served
for m in $(members); do
    mapfile -t workers < <(workers_of "$m")
    t "no secret left in the workers of $m" "$canary" memory "$needles" "${workers[@]}"
    t "no secret in the raft log, store, log and TLS files of $m" "$canary" files "$needles" "$DIR/$m/raft" "$DIR/$m/store" "$DIR/$m/log" "$DIR/$m/tls"
    t "no secret in clear in the core's files of $m" "$canary" files "$needles" "$DIR/$m/core"
done
python3 - "$needles" >"$DIR/passwords" <<'END'
import json, sys
print(json.dumps({n: v for n, v in json.load(open(sys.argv[1])).items() if n != "smk"}))
END
for m in $(members); do t "no password and no key is left in the keeper of $m" "$canary" memory "$DIR/passwords" "$(keeper_of "$m")"; done

# -- the wire --------------------------------------------------------------------------
# Its twin: a secret sent in clear to a peer door is in the capture.
say_in_clear() { python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
s.sendall(b"in clear: " + open(sys.argv[2], "rb").read())
s.close()' $((1793 + BASE)) "$DIR/planted"; }
is_zero() { [ "$1" -eq 0 ]; }
kill -TERM "$capture"
wait "$capture"
t "the capture lost nothing" is_zero $?
on_wire() { "$canary" streams "$needles" "$DIR/capture" >"$DIR/found"; }
t "no secret on the wire while a member joined" on_wire
went_by() { for port in "$@"; do grep -q "^ports .*\b$port\b" "$DIR/found" || { echo "nothing of port $port"; return 1; }; done; }
t "the capture has client and peer doors" went_by $((1792 + BASE)) $((1793 + BASE)) $((1803 + BASE)) $((1813 + BASE))
by_join_door() { went_by $((1795 + BASE)) || went_by $((1805 + BASE)); }
t "and the join door of one member" by_join_door
"$canary" capture "$DIR/capture" $((1792 + BASE)) $((1815 + BASE)) >"$DIR/capture.ready" &
capture=$!
wait_ok 10 "the capture" grep -q ready "$DIR/capture.ready"
say_in_clear
kill -TERM "$capture"
wait "$capture"
seen_in_clear() { "$canary" streams "$needles" "$DIR/capture" | grep -q '^imported key '; }
t "the same capture finds what is sent in clear" seen_in_clear
e2e_finish
