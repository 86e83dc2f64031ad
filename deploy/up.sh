#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make up`: a cluster of MEMBERS members on loopback with a client and a keyring
# `demo`. Run again it starts what is down and authorizes; it never makes anew.
# shellcheck source=deploy/lib.sh
. "$(dirname "$0")/lib.sh"
MEMBERS=${MEMBERS:-3}
BASE=${BASE:-0} # added to every port, so that two clusters can stand side by side
[[ $MEMBERS =~ ^[1-9]$ ]] || fail "MEMBERS is a number from 1 to 9, not '$MEMBERS'"

if [ "$(id -u)" -eq 0 ]; then
    for user in ringkeep ringkeep-core; do
        id "$user" >/dev/null 2>&1 || { say "adding the system user $user"; useradd --system --no-create-home --shell /usr/sbin/nologin "$user"; }
    done
else
    limit=$(ulimit -l)
    if [ "$limit" != unlimited ] && [ "$limit" -lt 450000 ]; then
        fail "the core locks its memory, and RLIMIT_MEMLOCK allows $limit KiB of the 450000 it wants here: run 'sudo make up', or give this user 'memlock unlimited' in /etc/security/limits.conf"
    fi
    say "not root: daemon and core share your uid, so the core is not isolated from the daemon"
fi

write_config() { # write_config m1 1
    local offset=$((10 * ($2 - 1) + BASE))
    mkdir -p "$DIR/$1"
    [ -f "$DIR/$1/ringkeepd.conf" ] || cat >"$DIR/$1/ringkeepd.conf" <<EOF
[member]
name = $1
client = 127.0.0.1:$((1792 + offset))
peer = 127.0.0.1:$((1793 + offset))
admin = 127.0.0.1:$((1795 + offset))
[paths]
socket = ctl/admin.sock
EOF
}

start_member() {
    member_pid "$1" >/dev/null && return 0
    rm -f "$DIR/$1/run.pid"
    setsid "$BUILD/ringkeep-run" --dir "$DIR/$1" --bin "$BIN" --workers "${WORKERS:-2}" </dev/null >>"$DIR/$1/start.log" 2>&1 &
    disown
}

new_pin() { # random, 0600: a stated development convenience
    [ -s "$DIR/secrets/$1" ] || (umask 077 && head -c 15 /dev/urandom | base64 | tr -d '\n' | tr '+/' 'ab' >"$DIR/secrets/$1")
}
pin() { printf '%s/secrets/%s.pin' "$DIR" "$1"; }

init_core() { # a run that was cut off may have done it
    [ "$(member_field "$1" state)" != uninitialised ] || admin "$1" init "$1" --so-pin-file "$(pin "so-$1")" >/dev/null
}

make_cluster() {
    say "making the cluster with m1"
    init_core m1
    admin m1 cluster create demo-cluster --so-pin-file "$(pin so-m1)" --po-pin-file "$(pin po)" --co-pin-file "$(pin co)" \
        --domain-out "$(pin domain)" >/dev/null
    wait_for 20 "m1 to be authorized" member_is m1 authorized
}

join_member() {
    say "joining $1"
    init_core "$1"
    (umask 077; admin m1 --json member invite --po-pin-file "$(pin po)" | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])' >"$DIR/secrets/token.$1")
    admin "$1" member join "$(cat "$DIR/secrets/token.$1")" --so-pin-file "$(pin "so-$1")" --domain-pin-file "$(pin domain)" >/dev/null
    rm -f "$DIR/secrets/token.$1"
    wait_for 30 "$1 to be authorized" member_is "$1" authorized
}

keyring() { "$BUILD/ringkeep" --config "$DIR/client/ringkeep.conf" "$@"; }
has_slot() { keyring slots 2>/dev/null | grep -qw demo; }

# Each step is left out where an earlier run has done it.
make_client() {
    if [ ! -e "$DIR/client/ringkeep.conf" ]; then
        say "registering a client and making the keyring demo"
        admin m1 client register demo-client --out "$DIR/client" --po-pin-file "$(pin po)" >/dev/null
    fi
    [ ! -e "$DIR/made" ] || return 0
    new_pin demo-first.pin
    admin m1 keyring list | grep -qw demo || admin m1 keyring create demo --co-pin-file "$(pin co)" --password-pin-file "$(pin demo-first)" >/dev/null
    has_slot || admin m1 keyring assign demo demo-client --po-pin-file "$(pin po)" >/dev/null
    wait_for 10 "the client to see the keyring" has_slot
    # The first password opens no key: the owner of the keyring changes it first.
    keyring keyring passwd demo --pin-file "$(pin demo-first)" --new-pin-file "$(pin demo)" >/dev/null
    rm -f "$(pin demo-first)"
    touch "$DIR/made"
}

mkdir -p "$DIR/secrets"
chmod 0711 "$DIR" && chmod 0700 "$DIR/secrets"
for secret in po co demo; do new_pin "$secret.pin"; done
# A cluster once made keeps its size.
have=$(members | wc -l)
[ "$have" -gt 0 ] && [ -e "$DIR/made" ] && [ "$have" -ne "$MEMBERS" ] && say "this cluster has $have members; MEMBERS=$MEMBERS changes nothing" && MEMBERS=$have
for i in $(seq 1 "$MEMBERS"); do
    new_pin "so-m$i.pin"
    write_config "m$i" "$i"
    start_member "m$i"
done
for i in $(seq 1 "$MEMBERS"); do
    wait_for 20 "the admin door of m$i" admin "m$i" --json status
done
state=$(member_field m1 state)
case $state in uninitialised | initialised) make_cluster ;; esac
for i in $(seq 2 "$MEMBERS"); do
    state=$(member_field "m$i" state)
    case $state in uninitialised | initialised) join_member "m$i" ;; esac
done
if ! member_is m1 authorized; then
    any=0
    for m in $(members); do member_is "$m" authorized && any=1; done
    [ "$any" = 1 ] || { say "authorizing m1 with the Crypto Officer's password"; admin m1 cluster authorize --co-pin-file "$(pin co)" >/dev/null; }
fi
for m in $(members); do wait_for 30 "$m to be authorized" member_is "$m" authorized; done
make_client
cat <<EOF

A cluster of $(members | wc -l) members is up with the keyring 'demo'.
  module         $BUILD/libringkeep-pkcs11.so
  configuration  export RINGKEEP_CONF=$DIR/client/ringkeep.conf
  PIN file       $DIR/secrets/demo.pin
  try            pkcs11-tool --module $BUILD/libringkeep-pkcs11.so --list-slots
  next           make demo · make status · make down
The PIN files under $DIR/secrets are a convenience for development; a real cluster has none.
EOF
