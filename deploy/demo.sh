#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make demo`: on the running cluster, a CA and a server certificate by the openssl
# command line and its PKCS#11 engine; then four `openssl s_server` whose key lies
# in the keyring serve TLS while the leader is killed with SIGKILL and comes back.
# SECONDS_OF_LOAD (30) is the length of the load.
# shellcheck source=deploy/lib.sh
. "$(dirname "$0")/lib.sh"
LOAD=${SECONDS_OF_LOAD:-30}
[ -e "$DIR/client/ringkeep.conf" ] || fail "no cluster in $DIR: run make up first"
for m in $(members); do member_pid "$m" >/dev/null || fail "$m is not running: run make up first"; done

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
export RINGKEEP_CONF=$DIR/client/ringkeep.conf
PIN_FILE=$DIR/secrets/demo.pin
engine=$(find /usr/lib -name pkcs11.so -path '*engines-3*' 2>/dev/null | head -n 1)
[ -n "$engine" ] || fail "the PKCS#11 engine of openssl is missing: apt-get install libengine-pkcs11-openssl"
cat >"$work/openssl.cnf" <<EOF
openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = $engine
MODULE_PATH = $BUILD/libringkeep-pkcs11.so
init = 0
[req]
distinguished_name = dn
x509_extensions = ca
[dn]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:false
subjectAltName = DNS:localhost
extendedKeyUsage = serverAuth
EOF
ssl() { OPENSSL_CONF="$work/openssl.cnf" openssl "$@"; }
uri() { printf 'pkcs11:token=demo;object=%s;type=private;pin-source=file:%s' "$1" "$PIN_FILE"; }
ringkeep() { "$BUILD/ringkeep" --config "$RINGKEEP_CONF" "$@"; }

run_id=$(date +%s)
ca=demo-ca-$run_id server=demo-server-$run_id
say "1. keys $ca and $server in the keyring"
ringkeep key generate demo --type ec:P-256 --label "$ca" --pin-file "$PIN_FILE" >/dev/null
ringkeep key generate demo --type ec:P-256 --label "$server" --pin-file "$PIN_FILE" >/dev/null
say "2. a CA certificate, by openssl req and its PKCS#11 engine"
ssl req -new -x509 -engine pkcs11 -keyform engine -key "$(uri "$ca")" -subj "/CN=$ca" -days 30 -extensions ca -out "$work/ca.pem" 2>"$work/log" || { cat "$work/log" >&2; fail "openssl req"; }
say "3. a server certificate, signed by it"
ssl req -new -engine pkcs11 -keyform engine -key "$(uri "$server")" -subj "/CN=localhost" -out "$work/server.csr" 2>"$work/log" || { cat "$work/log" >&2; fail "openssl req -new"; }
ssl x509 -req -in "$work/server.csr" -engine pkcs11 -CAkeyform engine -CAkey "$(uri "$ca")" -CA "$work/ca.pem" -set_serial "$run_id" -days 30 \
    -extfile "$work/openssl.cnf" -extensions server -out "$work/server.pem" 2>"$work/log" || { cat "$work/log" >&2; fail "openssl x509"; }
say "4. checked with plain openssl, without engine or module"
openssl verify -x509_strict -CAfile "$work/ca.pem" "$work/server.pem" | sed "s|$work/||"

say "5. $LOAD s of TLS handshakes at four openssl s_server; the leader is killed in between"
ports=()
for i in 1 2 3 4; do
    port=$((14433 + i + ${BASE:-0}))
    OPENSSL_CONF="$work/openssl.cnf" openssl s_server -engine pkcs11 -keyform engine -key "$(uri "$server")" -cert "$work/server.pem" \
        -accept "127.0.0.1:$port" -www -quiet -tls1_3 </dev/null >"$work/server$i.log" 2>&1 &
    pids+=($!)
    ports+=("$port")
done
listening() { python3 -c 'import socket,sys; [socket.create_connection(("127.0.0.1", int(p)), 1).close() for p in sys.argv[1:]]' "${ports[@]}"; }
wait_for 20 "the servers to listen" listening
leader() { # the member that says of itself that it leads
    for m in $(members); do
        if [ "$(member_field "$m" role 2>/dev/null)" = leader ]; then
            printf '%s\n' "$m"
            return 0
        fi
    done
    return 1
}
python3 "$repo/deploy/tls_load.py" "$work/ca.pem" "$LOAD" "${ports[@]}" >"$work/result" 2>"$work/errors" &
load=$!
sleep $((LOAD / 3))
victim=$(leader) || fail "no leader"
pid=$(daemon_pid "$victim")
say "   $(date +%T) killing the leader $victim (pid $pid) with SIGKILL"
kill -KILL "$pid"
came_back() { new=$(daemon_pid "$victim") && [ "$new" != "$pid" ] && member_is "$victim" authorized; }
wait_for 30 "$victim to come back" came_back
say "   $(date +%T) $victim is back (pid $(daemon_pid "$victim")); leader is $(leader || echo unknown)"
code=0
wait "$load" || code=$?
cat "$work/errors" >&2
say "   $(cat "$work/result")"
[ "$code" -eq 0 ] || { tail -n 3 "$work"/server*.log >&2; fail "a client saw an error"; }
say "done: no client saw an error"
