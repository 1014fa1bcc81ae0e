#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""redis-writer.py HOST PORT: writes numbered values to Redis over one connection, one after the other, and reads one of those before back each time.
SIGUSR1: reads all back that was acknowledged, and prints a JSON line: acknowledged (writes), lost (values that were another), gap_ms (the longest
wait for an answer since the last line). Ends with status 1 and the reason at the first lost value, error or broken connection; SIGTERM ends it."""
import json
import random
import signal
import socket
import sys
import time

KEYS = 2000
host, port = sys.argv[1], int(sys.argv[2])
asked = False


def ask(_signal, _frame):
    global asked
    asked = True


class Redis:
    def __init__(self):
        self.socket = socket.create_connection((host, port), timeout=300)
        self.answers = self.socket.makefile("rb")
        self.gap = 0.0

    def send(self, *words):
        self.socket.sendall((f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)).encode())

    def answer(self):
        """A text, or None if there is no value."""
        line = self.answers.readline().decode()
        if not line.endswith("\r\n"):
            sys.exit("the connection broke")
        if line == "$-1\r\n":
            return None
        if line[0] == "$":
            return self.answers.read(int(line[1:]) + 2)[:-2].decode()
        if line[0] not in "+:":
            sys.exit(f"Redis says {line.strip()}")
        return line[1:-2]

    def call(self, *words):
        started = time.monotonic()
        self.send(*words)
        answer = self.answer()
        self.gap = max(self.gap, time.monotonic() - started)
        return answer


def compare(key, found, wanted):
    if found != wanted:
        sys.exit(f"{key} was acknowledged as {wanted} and is {found}")


def main():
    global asked
    redis, written, number = Redis(), {}, 0
    signal.signal(signal.SIGUSR1, ask)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        number += 1
        key = f"key:{number % KEYS}"
        if redis.call("SET", key, f"value:{number}") != "OK":
            sys.exit(f"write {number} was not taken")
        written[key] = f"value:{number}"
        other = random.choice(list(written)) if number % 16 == 0 else key
        compare(other, redis.call("GET", other), written[other])
        if asked:
            asked = False
            gap = redis.gap
            for each in written:
                redis.send("GET", each)
            for each, wanted in written.items():
                compare(each, redis.answer(), wanted)
            print(json.dumps({"acknowledged": number, "lost": 0, "gap_ms": round(gap * 1000)}), flush=True)
            redis.gap = 0.0


main()
