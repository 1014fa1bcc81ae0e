# SPDX-License-Identifier: Apache-2.0
"""What the guest itself says of a move: the checker's lines on its serial console, stamped by the host's clock as they come."""
import dataclasses
import os
import re
import threading
import time

LINE = re.compile(r"CHK t_ms=(\d+) work=\d+ total=(\d+) bad=(\d+) gap_us=(\d+) sweeps=(\d+) .*cpu0=\d+")
POLL_S = 0.005
# A line may be stamped so much late by the reader and the scheduler without the guest having stood still.
JITTER_S = 0.012
NORMAL_LINES = 3
NORMAL_LIMIT_S = 10
# A guest that works says something ten times a second.
SILENT_S = 20


@dataclasses.dataclass
class GuestSpec:
    """A checker guest: sizes in MiB, `parameters` as tests/guests/README.md has them."""
    memory: int
    working_set: int
    parameters: str
    cpus: int = 1
    accel: str = "kvm"
    sweep_ms: int = 1000

    def append(self):
        return f"mb={self.working_set} vcpus={self.cpus} sweep_ms={self.sweep_ms} {self.parameters}"


@dataclasses.dataclass
class Line:
    time: float  # host, seconds since 1970
    t_ms: int
    total: int
    bad: int
    gap_us: int
    sweeps: int


class GuestError(Exception):
    """The guest did not say what it should."""


class Console:
    """Follows the console's files, one a host, in the order in which they were given; a thread of its own."""

    def __init__(self):
        self.lines = []
        self.fault = None
        self._paths = []
        self._known = set()
        self._file = None
        self._buffer = b""
        self._ends = False
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def follow(self, path):
        self._paths.append(path)

    def close(self):
        self._ends = True
        self._thread.join()
        if self._file:
            self._file.close()

    def _follow(self):
        while not self._ends:
            self._read()
            # The next host's file is read as soon as it has something to say; a line may begin in one file and end in the next.
            if self._paths and self._open(self._paths[0]):
                self._paths.pop(0)
            time.sleep(POLL_S)

    def _open(self, path):
        try:
            its = os.stat(path)
            if its.st_ino in self._known or its.st_size == 0:
                return False
            file = open(path, "rb")
        except OSError:
            return False
        self._read()
        self._known.add(its.st_ino)
        if self._file:
            self._file.close()
        self._file = file
        return True

    def _read(self):
        data = self._file.read() if self._file else b""
        if not data:
            return
        now = time.time()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for text in lines:
            text = text.decode("latin-1")
            match = LINE.search(text)
            if match:
                self.lines.append(Line(now, *(int(number) for number in match.groups())))
            elif "CHK refuse" in text or "CHK fault" in text:
                self.fault = text.strip()

    def wait(self, what, condition, limit_s):
        begun, deadline = time.time(), time.monotonic() + limit_s
        while not (self.lines and condition()):
            if self.fault:
                raise GuestError(f"the guest says: {self.fault}")
            if time.monotonic() > deadline:
                raise GuestError(f"waited {limit_s:.0f} s for {what}")
            if self.lines and time.time() - max(begun, self.lines[-1].time) > SILENT_S:
                raise GuestError(f"the guest has said nothing for {SILENT_S} s")
            time.sleep(0.02)

    def last(self):
        return self.lines[-1]

    def settle(self, spec, seconds=2.5):
        """Waits until the memory is filled and some seconds of normal work have been seen. Returns the Normal."""
        self.wait("the guest to be filled", lambda: True, 60 + spec.working_set / 10)
        begun = time.time()
        self.wait("some seconds of normal work", lambda: self.last().time > begun + seconds, seconds + 10)
        return Normal([line for line in self.lines if line.time >= begun])

    def prove(self, spec):
        """Two more sweeps: every page has then been proved since the call. Returns the bad pages found so far."""
        target = self.last().sweeps + 2
        self.wait("two sweeps of the guest", lambda: self.last().sweeps >= target, 60 + 10 * spec.sweep_ms / 1000 + spec.working_set / 20)
        return self.last().bad

    def drift(self, normal):
        """The guest's work of the last second as a share of what was normal before the move: far from 1, something else took its core."""
        last = self.lines[-11:]
        return (last[-1].total - last[0].total) / max(last[-1].time - last[0].time, 1e-6) / normal.rate if normal.rate else None


class Normal:
    """The guest's normal work per second of the host's clock, and the range and longest gap that were seen while nothing else happened."""

    def __init__(self, lines):
        first, last = lines[0], lines[-1]
        self.rate = (last.total - first.total) / (last.time - first.time)
        rates = sorted((b.total - a.total) / (b.time - a.time) for a, b in zip(lines, lines[1:]) if b.time > a.time)
        self.slow = min(0.95 * self.rate, rates[len(rates) // 10])
        self.fast = max(1.05 * self.rate, rates[-1 - len(rates) // 10])
        self.gap_ms = max(line.gap_us for line in lines[1:]) / 1000


def stood_still_ms(lines, begin, end):
    """The longest time between two looks at the clock; where the guest's clock stands still with it, what the host's clock says."""
    longest = 0
    for before, line in zip(lines, lines[1:]):
        if line.time <= begin or before.time >= end:
            continue
        stopped_s = (line.time - before.time) - (line.t_ms - before.t_ms) / 1000
        longest = max(longest, line.gap_us / 1000 + (stopped_s * 1000 if stopped_s > JITTER_S else 0))
    return longest


def total_at(lines, when):
    for before, line in zip(lines, lines[1:]):
        if before.time <= when <= line.time:
            return before.total + (line.total - before.total) * (when - before.time) / max(line.time - before.time, 1e-6)
    return lines[-1].total if when > lines[-1].time else lines[0].total


def normal_again(lines, normal, resumed):
    """When the work was back to normal after `resumed`, at most some seconds later. A guest that catches up is not there yet."""
    after = [line for line in lines if line.time >= resumed]
    rates = [(b.total - a.total) / max(b.time - a.time, 1e-6) for a, b in zip(after, after[1:])]
    for at in range(len(rates) - NORMAL_LINES + 1):
        if all(normal.slow <= rate <= normal.fast for rate in rates[at:at + NORMAL_LINES]):
            return after[at].time
    return min(after[-1].time if after else resumed, resumed + NORMAL_LIMIT_S)


def wait_for_normal(console, normal, resumed):
    deadline = time.monotonic() + NORMAL_LIMIT_S
    while time.monotonic() < deadline:
        lines = list(console.lines)
        if len([line for line in lines if line.time >= resumed]) > NORMAL_LINES and normal_again(lines, normal, resumed) < lines[-NORMAL_LINES].time + 1e-9:
            return
        time.sleep(0.05)


def view(console, normal, begin, resumed):
    """The move as the guest saw it: work lost in seconds of its normal work, longest gap, and its work per 100 ms around the move."""
    lines = list(console.lines)
    end = normal_again(lines, normal, resumed)
    lost = (end - begin) - (total_at(lines, end) - total_at(lines, begin)) / normal.rate if normal.rate else None
    work = [[round(b.time - begin, 3), round((b.total - a.total) / max(b.time - a.time, 1e-6) / normal.rate, 3)]
            for a, b in zip(lines, lines[1:]) if begin - 2 <= b.time <= end + 2 and normal.rate]
    return {"work_lost_s": lost, "gap_ms": stood_still_ms(lines, begin, end), "normal_gap_ms": normal.gap_ms, "normal_again_s": end - resumed, "work": work}
