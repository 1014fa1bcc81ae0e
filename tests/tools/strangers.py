#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""strangers.py ADDRESS PORT --from A[,A…] --seen CAPTURE [--half-open-from A] [--crowd N] [--rate N]

Who is not wanted at a migration port, all kinds of them at once: a crowd of silent connections first, then so many new ones a second, from these
addresses in turn. CAPTURE is what somebody recorded on the way (any file that holds the packets): preambles with the ticket of a move that is over (the
first in it) and of the one that runs (the last). From --half-open-from come connections that are never completed, if a packet filter throws away what
answers them. Runs until SIGTERM; then says in JSON how many of each kind there were, how many the other side closed, and what it said to them.
"""
import argparse
import collections
import heapq
import json
import os
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time

MAGIC = b"RAMMOVE\x1a"
PREAMBLE_SIZE = 64
CONTROL, DATA = 1, 2
CLEAR, TLS = 0, 1
SLOW_BYTE_S = 0.2
HALF_OPEN_MAX = 500


def preamble(ticket, version=1, role=CONTROL, channel=0, security=TLS):
    return struct.pack("<8sHHI32sH14x", MAGIC, version, role, channel, ticket, security)


def wrong_key_hello():
    """The first message of a TLS 1.3 handshake with a key that is not ours, as openssl makes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.getsockname()[1], "-tls1_3", "-psk", "5a" * 32,
                   "-psk_identity", "ram-move"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            server.settimeout(30)
            connection = server.accept()[0]
            with connection:
                hello = connection.recv(65536)
            client.kill()
    return hello


class Wire:
    """What was recorded so far."""

    def __init__(self, path):
        self.path = path

    def seen(self):
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return []
        found = []
        at = data.find(MAGIC)
        while at >= 0 and at + PREAMBLE_SIZE <= len(data):
            found.append(data[at:at + PREAMBLE_SIZE])
            at = data.find(MAGIC, at + PREAMBLE_SIZE)
        return found


class Stranger:
    def __init__(self, kind, words, slowly=False, answer=b""):
        self.kind = kind
        self.words = words  # what it says when it is connected
        self.slowly = slowly
        self.answer = answer  # what it says when it was answered
        self.connection = None


class Crowd:
    def __init__(self, options):
        self.options = options
        self.target = (options.address, options.port)
        self.addresses = options.source.split(",")
        self.wire = Wire(options.seen)
        self.hello = wrong_key_hello()
        self.selector = selectors.DefaultSelector()
        self.timers = []  # (when, number, stranger)
        self.counts = collections.defaultdict(collections.Counter)
        self.half_open = []
        self.number = 0
        self.recorded = []
        self.recorded_at = 0.0

    # ---- kinds ----
    def recordings(self):
        """(of a move that is over, of the newest), each None if there is none."""
        now = time.monotonic()
        if now - self.recorded_at > 0.5:
            self.recorded, self.recorded_at = self.wire.seen(), now
        if not self.recorded:
            return None, None
        first, last = self.recorded[0], self.recorded[-1]
        return first, (last if last[16:48] != first[16:48] else None)

    def make(self):
        old, live = self.recordings()
        kinds = [
            lambda: Stranger("silent", b""),
            lambda: Stranger("slow", preamble(os.urandom(32)), slowly=True),
            lambda: Stranger("garbage", os.urandom(300)),
            lambda: Stranger("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(64)),
            lambda: Stranger("tls without a preamble", self.hello),
            lambda: Stranger("other version", preamble(os.urandom(32), version=77)),
            lambda: Stranger("guessed ticket", preamble(os.urandom(32)) + self.hello),
        ]
        if old:
            kinds.append(lambda: Stranger("ticket of a move that is over", old + self.hello))
        if live:
            ticket = live[16:48]
            kinds += [
                lambda: Stranger("stolen ticket, silent", live),
                lambda: Stranger("stolen ticket, garbage", live + os.urandom(300)),
                lambda: Stranger("stolen ticket, wrong key", preamble(ticket) + self.hello),
                lambda: Stranger("stolen ticket, wrong key", preamble(ticket, role=DATA) + self.hello),
                lambda: Stranger("stolen ticket, in the clear", preamble(ticket, security=CLEAR), answer=os.urandom(64)),
            ]
        return kinds[self.number % len(kinds)]()

    # ---- connections ----
    def open(self, stranger):
        self.number += 1
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.bind((self.addresses[self.number % len(self.addresses)], 0))
        connection.connect_ex(self.target)
        stranger.connection = connection
        self.counts[stranger.kind]["opened"] += 1
        self.selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, stranger)

    def open_half(self):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.bind((self.options.half_open_from, 0))
        connection.connect_ex(self.target)
        self.counts["half-open"]["opened"] += 1
        self.half_open.append(connection)

    def drop(self, stranger):
        self.counts[stranger.kind]["closed"] += 1
        self.selector.unregister(stranger.connection)
        stranger.connection.close()
        stranger.connection = None

    def say(self, stranger):
        """What there is to say now; the other side may have closed it amid it."""
        part = stranger.words[:1] if stranger.slowly else stranger.words
        stranger.words = stranger.words[len(part):]
        try:
            if part:
                stranger.connection.send(part)
        except OSError:
            self.drop(stranger)
            return
        if stranger.slowly and stranger.words:
            self.number += 1
            heapq.heappush(self.timers, (time.monotonic() + SLOW_BYTE_S, self.number, stranger))

    def hear(self, stranger):
        try:
            data = stranger.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(stranger)
            return
        self.counts[stranger.kind]["heard"] += len(data)
        stranger.words, stranger.answer = stranger.answer, b""
        self.say(stranger)

    def turn(self, wait_s):
        for key, events in self.selector.select(wait_s):
            stranger = key.data
            if events & selectors.EVENT_WRITE:
                self.selector.modify(stranger.connection, selectors.EVENT_READ, stranger)
                self.say(stranger)
            if stranger.connection and events & selectors.EVENT_READ:
                self.hear(stranger)
        while self.timers and self.timers[0][0] <= time.monotonic():
            stranger = heapq.heappop(self.timers)[2]
            if stranger.connection:
                self.say(stranger)

    def run(self, is_over):
        for _ in range(self.options.crowd):
            self.open(Stranger("silent", b""))
        began, done = time.monotonic(), 0
        while not is_over():
            due = int((time.monotonic() - began) * self.options.rate)
            for _ in range(min(due - done, 100)):
                done += 1
                self.open(self.make())
                if self.options.half_open_from and len(self.half_open) < HALF_OPEN_MAX:
                    self.open_half()
            self.turn(0.02)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--from", dest="source", required=True)
    parser.add_argument("--seen", required=True)
    parser.add_argument("--half-open-from")
    parser.add_argument("--crowd", type=int, default=3000)
    parser.add_argument("--rate", type=int, default=200)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 65536), hard))
    over = []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    crowd = Crowd(options)
    crowd.run(lambda: over)
    json.dump(crowd.counts, sys.stdout)
    print()


if __name__ == "__main__":
    main()
