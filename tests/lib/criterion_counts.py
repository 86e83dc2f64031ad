# SPDX-License-Identifier: Apache-2.0
"""Prints "passed failed skipped" of a Criterion JSON report; a missing report is one failure."""
import json
import sys

try:
    report = json.load(open(sys.argv[1], encoding="utf-8"))
    print(report["passed"], report["failed"] + report["errored"], report["skipped"])
except (OSError, ValueError):
    print(0, 1, 0)
