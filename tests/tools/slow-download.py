#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slow-download.py HOST PATH BYTES_PER_S FILE: one HTTP download over one TCP connection, no faster than asked; SIGUSR1: the rest as fast as it comes.
Status 0 when all has come. FILE grows as it comes."""
import http.client
import signal
import sys
import time

host, path, rate, name = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
PIECE = 8192
hurry = False


def be_quick(_signal, _frame):
    global hurry
    hurry = True


signal.signal(signal.SIGUSR1, be_quick)
connection = http.client.HTTPConnection(host, timeout=300)
connection.request("GET", path)
answer = connection.getresponse()
if answer.status != 200:
    sys.exit(f"{path}: {answer.status} {answer.reason}")
with open(name, "wb", buffering=0) as file:
    started, got = time.monotonic(), 0
    while piece := answer.read(PIECE):
        file.write(piece)
        got += len(piece)
        while not hurry and (ahead := started + got / rate - time.monotonic()) > 0:
            time.sleep(min(ahead, 0.1))
# read() is content with less than was announced.
if got != int(answer.headers["Content-Length"]):
    sys.exit(f"{path}: {got} of {answer.headers['Content-Length']} bytes came")
