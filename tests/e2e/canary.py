#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks for secrets where they must not be. For tests/e2e/60_canary.sh; as root.

  hold FILE..             holds the secrets of these files in its own memory until
                          stdin ends: what a search must find
  smk PID                 the 32 bytes after the marker in a keeper's memory, hex
  memory NEEDLES PID..    which needles are in the writable memory of a process
  files NEEDLES PATH..    which are in these files and folders
  capture OUT FIRST LAST  TCP on the loopback between these ports, until SIGTERM
  streams NEEDLES FILE    which are in a capture; prints also "ports A B .."

NEEDLES is a JSON object: name to hex bytes. A line "NAME WHERE" for each find."""
import ctypes
import json
import os
import signal
import socket
import struct
import sys

MARKER = b"RINGKEEP-TEST-SMK-" + b"MARKER-0123456"
LARGEST = 1 << 30  # a mapping beyond it is a sanitizer's shadow
STEP = 1 << 24
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 26, 33, 263, 6


def needles(path):
    """Each secret as it is, and as hex text."""
    out = []
    for name, value in json.load(open(path)).items():
        raw = bytes.fromhex(value)
        out += [(name, raw), (name + " (hex)", raw.hex().encode()), (name + " (HEX)", raw.hex().upper().encode())]
    return out


def writable(pid):
    for line in open(f"/proc/{pid}/maps"):
        span, mode, *rest = line.split()
        first, last = (int(x, 16) for x in span.split("-"))
        if mode.startswith("rw") and last - first <= LARGEST:
            yield first, last, rest[-1] if len(rest) > 3 else "anonymous"


def memory(pid, overlap):
    """(where, bytes) of all that the process can write to."""
    read = 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for first, last, name in writable(pid):
            at = first
            while at < last:
                try:
                    mem.seek(at)
                    piece = mem.read(min(STEP, last - at))
                except OSError:
                    break
                if not piece:
                    break
                read += len(piece)
                yield f"{pid} {at:x} {name}", piece
                at += len(piece)
                if at < last and len(piece) > overlap:
                    at -= overlap
    if read < 100000:
        sys.exit(f"only {read} bytes of process {pid} could be read")


def find(wanted, where, data):
    found = False
    for name, value in wanted:
        if value in data:
            print(name, where, flush=True)
            found = True
    return found


def all_files(paths):
    for path in paths:
        if os.path.isfile(path):
            yield path
        for folder, _, names in os.walk(path):
            for name in names:
                yield os.path.join(folder, name)


def do_hold(paths):
    held = [open(p, "rb").read().strip() for p in paths]
    print("ready", flush=True)
    sys.stdin.read()
    return 0 if held else 1


def do_smk(pid):
    for _, data in memory(pid, 256):
        at = data.find(MARKER)
        while at >= 0:
            # struct smk_set: count (1 or 2), then the primary SMK.
            follow = data[at + len(MARKER):at + len(MARKER) + 33]
            if len(follow) == 33 and follow[0] in (1, 2) and any(follow[1:]):
                print(follow[1:].hex())
                return 0
            at = data.find(MARKER, at + 1)
    return 1


def do_memory(needle_path, pids):
    wanted = needles(needle_path)
    longest = max(len(v) for _, v in wanted)
    hits = [find(wanted, where, data) for pid in pids for where, data in memory(pid, longest)]
    return 1 if any(hits) else 0


def do_files(needle_path, paths):
    wanted = needles(needle_path)
    names = list(all_files(paths))
    if not names:
        sys.exit("no file there")
    hits = [find(wanted, name, open(name, "rb").read()) for name in names]
    return 1 if any(hits) else 0


def port_filter(first, last):
    """Classic BPF: IPv4, TCP, either port in the range."""
    code = [(0x28, 0, 0, 12), (0x15, 0, 9, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 7, 6), (0xb1, 0, 0, 14),
            (0x48, 0, 0, 14), (0x35, 0, 1, first), (0x25, 0, 4, last),
            (0x48, 0, 0, 16), (0x35, 0, 1, first), (0x25, 0, 1, last), (0x06, 0, 0, 0), (0x06, 0, 0, 0x40000)]
    return b"".join(struct.pack("HBBI", *c) for c in code), len(code)


def do_capture(out, first, last):
    """Writes each TCP segment with a payload: ports, sequence, hex. Fails where the
    kernel dropped one."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    program, count = port_filter(first, last)
    held = ctypes.create_string_buffer(program)
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", count, ctypes.addressof(held)))
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)
    raw.bind(("lo", 0x0800))
    parent = os.getppid()
    # From then on only what waits already is taken.
    signal.signal(signal.SIGTERM, lambda *_: raw.setblocking(False))
    raw.settimeout(0.5)
    print("ready", flush=True)
    with open(out, "w") as sink:
        while True:
            try:
                packet, sender = raw.recvfrom(1 << 17)
            except BlockingIOError:
                break
            except TimeoutError:
                if raw.gettimeout() == 0 or os.getppid() != parent:
                    break
                continue
            if sender[2] == socket.PACKET_OUTGOING:
                continue  # the loopback shows each packet twice
            ip = packet[14:]
            tcp = ip[(ip[0] & 15) * 4:struct.unpack(">H", ip[2:4])[0] or len(ip)]
            source, target, sequence = struct.unpack(">HHI", tcp[:8])
            payload = tcp[(tcp[12] >> 4) * 4:]
            if payload:
                sink.write(f"{source} {target} {sequence} {payload.hex()}\n")
    dropped = struct.unpack("II", raw.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    print("dropped", dropped, flush=True)
    return 1 if dropped else 0


def streams(path):
    """Payload of each direction of each connection, in the order of its bytes."""
    flows = {}
    for line in open(path):
        source, target, sequence, payload = line.split()
        flows.setdefault((int(source), int(target)), {})[int(sequence)] = bytes.fromhex(payload)
    for ends, pieces in flows.items():
        data, after = bytearray(), None
        for sequence in sorted(pieces):
            piece = pieces[sequence]
            if after is not None and sequence < after:
                piece = piece[after - sequence:]
            data += piece
            after = max(after or 0, sequence + len(pieces[sequence]))
        yield ends, bytes(data)


def do_streams(needle_path, path):
    wanted = needles(needle_path)
    hits, ports = [], set()
    for ends, data in streams(path):
        ports.update(ends)
        hits.append(find(wanted, f"{ends[0]}-{ends[1]}", data))
    print("ports", *sorted(ports))
    return 1 if any(hits) else 0


def main():
    verb, rest = sys.argv[1], sys.argv[2:]
    if verb == "hold":
        return do_hold(rest)
    if verb == "smk":
        return do_smk(int(rest[0]))
    if verb == "memory":
        return do_memory(rest[0], [int(p) for p in rest[1:]])
    if verb == "files":
        return do_files(rest[0], rest[1:])
    if verb == "capture":
        return do_capture(rest[0], int(rest[1]), int(rest[2]))
    return do_streams(rest[0], rest[1])


sys.exit(main())
