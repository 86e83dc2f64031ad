#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Function length (70 lines), file length (800), goto, // comments, SPDX line."""
import re
import subprocess
import sys

CAP, FILE_CAP = 70, 800


def problems(path):
    lines = open(path, encoding="utf-8").read().split("\n")
    if "SPDX-License-Identifier" not in "\n".join(lines[:2]):
        yield f"{path}:1: no SPDX line"
    if len(lines) > FILE_CAP:
        yield f"{path}: {len(lines)} lines, {FILE_CAP} at most"
    start = None
    for number, line in enumerate(lines, 1):
        if re.match(r"^\{", line):
            start = number
        elif re.match(r"^\}", line) and start is not None:
            if number - start - 1 > CAP:
                yield f"{path}:{start}: function of {number - start - 1} lines, {CAP} at most"
            start = None
        if re.search(r"\bgoto\b", line) and not line.lstrip().startswith(("*", "/*")):
            yield f"{path}:{number}: goto"
        if re.match(r"^\s*//", line):
            yield f"{path}:{number}: // comment"


files = subprocess.run(["git", "ls-files", "*.c", "*.h", "*.def"], capture_output=True, text=True, check=True).stdout.split()
found = [p for f in files for p in problems(f)]
print("\n".join(found))
sys.exit(1 if found else 0)
