#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which folder may include which: the table of docs/ARCHITECTURE.md, checked."""
import re
import subprocess
import sys

ALLOWED = {
    "base": {"base"},
    "proto": {"proto", "base"},
    "sks": {"sks", "base", "proto"},
    "keyring": {"keyring", "base", "proto", "sks/blob.h"},
    "raft-glue": {"raft-glue", "base", "proto", "keyring"},
    "cluster": {"cluster", "base", "proto", "keyring", "raft-glue"},
    "hsm-sim": {"hsm-sim", "base", "proto", "sks"},
    "client": {"client", "base", "proto", "appliance/admin.def"},
    "appliance": {"appliance", "base", "proto", "sks", "keyring", "raft-glue", "cluster",
                  "hsm-sim/core_client.h", "hsm-sim/core_wire.h"},
}
# Header -> the only places (folders or files without ending) that may include it.
ONLY = {
    "lmdb.h": ("keyring/",),
    "raft.h": ("raft-glue/",),
    "raft/uv.h": ("raft-glue/",),
    "openssl/": ("base/tls", "base/x509", "base/digest", "base/crypt", "hsm-sim/"),
    "seccomp.h": ("hsm-sim/sandbox",),
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def problems(path):
    folder = path.split("/")[0]
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, name = match.groups()
        if path.endswith(".h") and name.endswith(".pb-c.h"):
            yield f"{path}:{number}: {name} in a header"
        for header, places in ONLY.items():
            if name == header or (header.endswith("/") and name.startswith(header)):
                if not path.startswith(places):
                    yield f"{path}:{number}: <{name}> only in {', '.join(places)}"
        if kind == '"' and "/" in name and folder in ALLOWED:
            target = name.split("/")[0]
            if target not in ALLOWED[folder] and name not in ALLOWED[folder]:
                yield f"{path}:{number}: {folder}/ may not include {name}"


files = subprocess.run(["git", "ls-files", "*.c", "*.h"], capture_output=True, text=True, check=True).stdout.split()
found = [p for f in files if not f.startswith("tests/") for p in problems(f)]
print("\n".join(found))
sys.exit(1 if found else 0)
