#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input at every door of one member; prints a line a door, exits 1 where a
door did not refuse or close.

doors.py DIR BASE: DIR as made by `make up`, BASE added to the ports of member 1.
"""
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile

DIR, BASE = sys.argv[1], int(sys.argv[2])
CLIENT, PEER, JOIN = 1792 + BASE, 1793 + BASE, 1795 + BASE
TIMEOUT = 12
failed = []


def frame(length, kind=1, flags=0, request=1, payload=b""):
    return struct.pack("<IHHQ", length, kind, flags, request) + payload


BAD = {
    "length 0": frame(0),
    "length 11": frame(11),
    "length 2^31": frame(2**31),
    "length 2^32-1": frame(2**32 - 1),
    "flags set": frame(12, flags=1),
    "unknown type": frame(12, kind=60),
    "a reply as a request": frame(12, kind=0x8001),
    "broken protobuf": frame(16, kind=1, payload=b"\xff\xff\xff\xff"),
    "garbage": os.urandom(512),
}


def closed_or_error(sock):
    """True when the door closes or answers with an error instead of hanging."""
    sock.settimeout(TIMEOUT)
    try:
        data = sock.recv(4096)
    except (ssl.SSLError, ConnectionError):
        return True
    except TimeoutError:
        return False
    return data == b"" or struct.unpack("<H", data[4:6])[0] & 0x8000 != 0


def attempt(name, connect):
    for what, data in BAD.items():
        try:
            with connect() as sock:
                sock.sendall(data)
                good = closed_or_error(sock)
        except (ssl.SSLError, ConnectionError):
            good = True
        except TimeoutError:
            good = False
        print(f"{'ok' if good else 'not ok'} {name}: {what}")
        if not good:
            failed.append((name, what))


def tls(port, cert=None, key=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(cert, key)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), TIMEOUT))


def unix():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(os.path.join(DIR, "m1/ctl/admin.sock"))
    return sock


with tempfile.TemporaryDirectory() as work:
    cert, key = os.path.join(work, "c.pem"), os.path.join(work, "k.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", cert, "-subj", "/CN=stranger", "-days", "2", "-addext", "extendedKeyUsage=clientAuth,serverAuth"],
                   check=True, capture_output=True)
    own = (os.path.join(DIR, "client/client.crt"), os.path.join(DIR, "client/client.key"))
    attempt("client door, registered client", lambda: tls(CLIENT, *own))
    attempt("client door, unknown certificate", lambda: tls(CLIENT, cert, key))
    attempt("client door, no certificate", lambda: tls(CLIENT))
    attempt("client door, no TLS", lambda: socket.create_connection(("127.0.0.1", CLIENT), TIMEOUT))
    attempt("peer door, stranger", lambda: tls(PEER, cert, key))
    attempt("peer door, a client's certificate", lambda: tls(PEER, *own))
    attempt("peer door, no TLS", lambda: socket.create_connection(("127.0.0.1", PEER), TIMEOUT))
    attempt("join door, stranger", lambda: tls(JOIN, cert, key))
    attempt("join door, no TLS", lambda: socket.create_connection(("127.0.0.1", JOIN), TIMEOUT))
    attempt("admin door", unix)
sys.exit(1 if failed else 0)
