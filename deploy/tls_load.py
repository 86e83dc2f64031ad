#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS handshakes against servers on loopback, counted and timed.

tls_load.py CA.pem SECONDS PORT...: one client a port, a full handshake and one
request each time. Last line: handshakes=N errors=N longest_gap_ms=N, where the
gap is the longest time in which one client finished no handshake.
"""
import socket
import ssl
import sys
import threading
import time

HANDSHAKE_S = 25


def one(context, port):
    with socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_S) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while tls.recv(65536):
                pass


def load(context, port, end, result):
    last = time.monotonic()
    while time.monotonic() < end:
        try:
            one(context, port)
            result["handshakes"] += 1
        except (OSError, ssl.SSLError) as error:
            result["errors"] += 1
            print(f"port {port}: {error}", file=sys.stderr)
            time.sleep(0.05)
        now = time.monotonic()
        result["gap"] = max(result["gap"], now - last)
        last = now


def main():
    context = ssl.create_default_context(cafile=sys.argv[1])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    seconds, ports = float(sys.argv[2]), [int(p) for p in sys.argv[3:]]
    end = time.monotonic() + seconds
    results = [{"handshakes": 0, "errors": 0, "gap": 0.0} for _ in ports]
    threads = [threading.Thread(target=load, args=(context, p, end, r)) for p, r in zip(ports, results)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        time.sleep(1)
        left = end - time.monotonic()
        if sys.stderr.isatty() and left > 0:
            print(f"\r{int(left):3d} s left, {sum(r['handshakes'] for r in results)} handshakes ", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    total = sum(r["handshakes"] for r in results)
    errors = sum(r["errors"] for r in results)
    gap = max(r["gap"] for r in results)
    print(f"handshakes={total} errors={errors} longest_gap_ms={int(gap * 1000)}")
    return 0 if errors == 0 and total > 0 else 1


sys.exit(main())
