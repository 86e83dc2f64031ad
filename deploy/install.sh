#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing of deploy/packages.txt for the given purposes, and says
# what it installs. Usage: install.sh build run test lint
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
missing=()
for purpose in "$@"; do
    while read -r kind package; do
        [ "$kind" = "$purpose" ] || continue
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
    done < <(grep -v '^#' "$here/packages.txt")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "installing with apt: ${missing[*]}"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "error: not root and no sudo here; run as root: apt-get install ${missing[*]}" >&2; exit 1; }
    sudo=sudo
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "error: apt could not install the packages above; check the network and /etc/apt/sources.list" >&2
    exit 1
fi
