# SPDX-License-Identifier: Apache-2.0
"""Memory and descriptors of the daemons, and whether they grow with the moves. A series is one life of one process: who is started again begins anew."""
import dataclasses
import statistics

DAEMONS = ("godwitd", "godwit-agent", "godwit-door")
# Before so many moves of a life all caches and pools fill: TLS sessions, arenas of the allocator, pages of the database. (A manager and three hosts, 360 moves by three at
# a time: 10.7 MB at first, 17.9 after 60, 18.2 in the end.)
WARM_UP_MOVES = 60
# A life in which fewer moves were measured says nothing of growth.
JUDGED_MOVES = 50
# A task's document with its timeline is some 15 KiB: who kept one for each move would grow by 1.5 MiB in 100 moves, and so would who lost 100 bytes in each
# of the 150 calls of a move.
GROWTH_KIB = 1024


@dataclasses.dataclass
class Sample:
    moves: int  # that had been made
    anonymous_kib: int  # memory that is the process' own and no file's; guest RAM is none of it
    rss_kib: int
    sockets: int
    others: int  # descriptors that are no sockets
    is_home: bool  # every guest is where it was when the soak began
    is_idle: bool  # and no connection is open any more that was only kept for the next call

    @property
    def descriptors(self):
        return self.sockets + self.others


def figure(text, name):
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name + ":")), 0)


def measure(process, moves, is_home, is_idle):
    links = process.descriptors()
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(moves, figure(process.read("smaps_rollup"), "Anonymous"), figure(process.read("status"), "VmRSS"), sockets, len(links) - sockets, is_home, is_idle)


def slope(points):
    """Of y by x: the median over all pairs (Theil-Sen), which a single outlier does not move."""
    slopes = [(y2 - y1) / (x2 - x1) for at, (x1, y1) in enumerate(points) for x2, y2 in points[at + 1:] if x2 != x1]
    return statistics.median(slopes) if slopes else 0.0


class Series:
    def __init__(self, name):
        self.name = name
        self.samples = []

    def span(self):
        return self.samples[-1].moves - self.samples[0].moves

    def _warm(self):
        begin = self.samples[0].moves + WARM_UP_MOVES
        return [sample for sample in self.samples if sample.moves >= begin]

    def growth_kib(self):
        """In 100 moves, after the warm-up. None: it did not live through enough of them."""
        warm = self._warm()
        if len(warm) < 4 or warm[-1].moves - warm[0].moves < JUDGED_MOVES:
            return None
        return 100 * slope([(sample.moves, sample.anonymous_kib) for sample in warm])

    def problems(self):
        """Descriptors are compared where the guests are at the same places, for the guests have some too; sockets only where idle ones were closed."""
        found = []
        growth = self.growth_kib()
        if growth is not None and growth > GROWTH_KIB:
            found.append(f"{self.name}: its memory grows by {growth:.0f} KiB in 100 moves, more than {GROWTH_KIB}")
        home = [sample.others for sample in self.samples if sample.is_home]
        if home and home[-1] > home[0]:
            found.append(f"{self.name}: {home[-1]} descriptors besides sockets, {home[0]} in the same state before")
        idle = [sample.sockets for sample in self.samples if sample.is_idle]
        if idle and idle[-1] > idle[0]:
            found.append(f"{self.name}: {idle[-1]} sockets, {idle[0]} in the same state before")
        return found

    def line(self):
        first, last = self.samples[0], self.samples[-1]
        growth = self.growth_kib()
        says = "too few moves to judge" if growth is None else f"{growth:+.0f} KiB in 100 moves"
        return (f"{self.name:<28} {self.span():4d} moves  RSS {first.rss_kib:6d} .. {last.rss_kib:6d} KiB  own {first.anonymous_kib:6d} .. {last.anonymous_kib:6d} KiB"
                f" ({says})  descriptors {first.descriptors:3d} .. {last.descriptors:3d}")


class Daemons:
    def __init__(self, cluster):
        self.cluster = cluster
        self.series = {}

    def sample(self, moves, is_home, is_idle=False):
        """Of all that run. To be called when nothing else goes on."""
        for process in self.cluster.processes():
            started = process.started()
            if process.name in DAEMONS and started:
                key = (process.node, process.name, process.pid, started)
                series = self.series.setdefault(key, Series(f"{process.name} {process.node} {process.pid}"))
                series.samples.append(measure(process, moves, is_home, is_idle))

    def judge(self):
        """(lines of the report, what is wrong): the longest life of each daemon, and what was seen of any."""
        longest = {}
        for (node, name, *_), series in self.series.items():
            best = longest.get((node, name))
            if not best or series.span() > best.span():
                longest[node, name] = series
        return [longest[key].line() for key in sorted(longest)], [text for series in self.series.values() for text in series.problems()]
