#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make up twice, status, keys, the module under pkcs11-tool, wrong input.
# shellcheck source=tests/lib/e2e.sh
. "$(dirname "$0")/../lib/e2e.sh"
module=$BUILD/libringkeep-pkcs11.so
export RINGKEEP_CONF=$DIR/client/ringkeep.conf

t "make up makes a cluster of three" up
cluster_of() { member_field m1 cluster_id; }
first=$(cluster_of)
t "make up again keeps the cluster" up
same_cluster() { [ -n "$first" ] && [ "$(cluster_of)" = "$first" ]; }
t "it is the same cluster" same_cluster
t "all members agree on one digest" digests_agree
status_says() { admin m1 status | tee /dev/stderr | grep -q "non-strict"; }
t "status says that keyrings are non-strict" status_says

tool() { foreign pkcs11-tool --module "$module" "$@"; }
# pkcs11-tool takes the PIN from a variable of its own; it is not our program.
PIN=$(cat "$(pin demo)")
export PIN
t "the module lists its slots" tool --list-slots
lists_rsa() { tool --list-mechanisms | grep -q RSA-PKCS; }
t "the module lists mechanisms" lists_rsa
id=10
for type in rsa:2048 EC:prime256v1 EC:secp384r1 EC:secp521r1; do
    t "pkcs11-tool makes a key pair of $type" tool --login --pin env:PIN --keypairgen --key-type "$type" --label "k-$type" --id "$id"
    id=$((id + 1))
done
sign_and_verify() { # id mechanism
    head -c 100 /dev/urandom >"$DIR/data"
    tool --login --pin env:PIN --sign --mechanism "$2" --id "$1" --input-file "$DIR/data" --output-file "$DIR/sig" --signature-format openssl &&
        tool --read-object --type pubkey --id "$1" --output-file "$DIR/pub.der" &&
        openssl dgst -sha256 -verify <(openssl pkey -pubin -inform DER -in "$DIR/pub.der") -signature "$DIR/sig" "$DIR/data"
}
t "an RSA signature of the module verifies with openssl" sign_and_verify 10 SHA256-RSA-PKCS
if [[ $BUILD == */asan ]]; then
    skip "an ECDSA signature of the module verifies with openssl" "pkcs11-tool reads memory that it freed when it writes an EC public key, which ends it under ASan"
else
    t "an ECDSA signature of the module verifies with openssl" sign_and_verify 11 ECDSA-SHA256
fi
for type in rsa:2048 rsa:3072 ec:P-256 ec:P-384 ec:P-521 aes:128 aes:256; do
    t "ringkeep key generate $type" client key generate demo --type "$type" --label "cli-$type" --pin-file "$(pin demo)"
done
listed() { client --json key list demo --pin-file "$(pin demo)" | grep -q "cli-aes:256"; }
t "ringkeep key list shows it" listed
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$DIR/x.key" -out "$DIR/x.pem" -subj /CN=x -days 2 2>/dev/null
openssl x509 -in "$DIR/x.pem" -outform DER -out "$DIR/x.der"
openssl pkey -in "$DIR/x.key" -outform DER -out "$DIR/x.key.der"
t "a certificate becomes an object" tool --login --pin env:PIN --write-object "$DIR/x.der" --type cert --label x --id aa
reads_back() { tool --read-object --type cert --label x --output-file "$DIR/back.der" && cmp "$DIR/back.der" "$DIR/x.der"; }
t "it reads back the same, without a login" reads_back
t "a private key is imported" tool --login --pin env:PIN --write-object "$DIR/x.key.der" --type privkey --label imported --id ab
imported_signs() {
    head -c 100 /dev/urandom >"$DIR/data"
    tool --login --pin env:PIN --sign --mechanism ECDSA-SHA256 --id ab --input-file "$DIR/data" --output-file "$DIR/sig" --signature-format openssl &&
        openssl dgst -sha256 -verify <(openssl x509 -in "$DIR/x.pem" -noout -pubkey) -signature "$DIR/sig" "$DIR/data"
}
t "the imported key signs" imported_signs
destroys() { tool --login --pin env:PIN --delete-object --type privkey --id ab && ! tool --login --pin env:PIN --list-objects --type privkey | grep -q imported; }
t "it is destroyed, and gone" destroys

# The function list itself: every key type and mechanism, lengths, fork.
"$BUILD/tests/plain/p11_ops" "$module" "$(pin demo)" || e2e_failed=1

says_authorized() { admin m2 --json cluster inherit | grep -q '"authorized"'; }
t "cluster inherit at an authorized member changes nothing" says_authorized

# wrong input
PIN=wrong-password-x
wrong_pin() { tool --login --pin env:PIN --list-objects 2>&1 | grep -q CKR_PIN_INCORRECT; }
t "a wrong PIN is said to be one" wrong_pin
PIN=$(cat "$(pin demo)")
t "the right one works after it" tool --login --pin env:PIN --list-objects
t "an unknown verb is a usage error" refused 2 admin m1 no such verb
t "an unknown keyring is not found" refused 5 client key list nowhere --pin-file "$(pin demo)"
t "a second init is refused" refused 6 admin m1 init again --so-pin-file "$(pin so-m1)"
t "a keyring with a label that exists is refused" refused 6 admin m1 keyring create demo --co-pin-file "$(pin co)" --password-pin-file "$(pin demo)"
t "a wrong Crypto Officer password is an authentication error" refused 4 admin m1 keyring create other --co-pin-file "$(pin demo)" --password-pin-file "$(pin demo)"
loose() { cp "$(pin co)" "$DIR/loose" && chmod 644 "$DIR/loose" && refused 2 admin m1 cluster authorize --co-pin-file "$DIR/loose"; }
t "a PIN file that others can read is refused" loose
t "all members agree at the end" digests_agree
e2e_finish
