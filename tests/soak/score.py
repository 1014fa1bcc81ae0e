# SPDX-License-Identifier: Apache-2.0
"""What became of the moves, whether each that failed did so by design, and the report."""
import collections
import os
import re
import statistics
import time

# A host that does not answer in time needs no fault where so many processes wait for each core: that is counted, and is no problem.
BUSY_PER_CORE = 5
SLOW = "host-disconnected"
# Nobody learns from these what happened, as tests/fault/run has it too; unless it was the network that broke, of which there is no more to say.
NETWORK = re.compile(r"^(down|reset) ")
GENERIC = re.compile(r"^(peer-lost|control-peer-lost|qmp-lost|stream-ended|connection-lost|move-failed|no-answer)$")
MEMBERS = ("code", "id", "message")
PLACE = ("phase", "side")


class Outcome:
    """What became of one move, judged when the batch is over and all its faults are known."""

    def __init__(self, move, source, destination):
        self.move = move
        self.nodes = {source, destination, "manager"}
        self.way = f"{move.guest} from {source} to {destination}"
        self.begin = time.time()
        self.end = 0.0
        self.state = ""  # a task's, or refused: there was no task, or forecast: of a dry run
        self.error = None
        self.task = ""
        self.downtime_ms = 0.0
        self.is_busy = False  # the machine, at the end

    def over(self):
        self.end = time.time()
        self.is_busy = os.getloadavg()[0] > BUSY_PER_CORE * os.cpu_count()

    def text(self):
        error = self.error or {}
        said = f": {error.get('id')} ({error.get('phase')}, {error.get('side')}): {error.get('message')}" if error else ""
        return f"{self.way} {self.state}{said} {self.task}".rstrip()


class Score:
    def __init__(self, ledger):
        self.ledger = ledger
        self.begun = time.monotonic()
        self.problems = []
        self.counts = collections.Counter()
        self.errors = collections.Counter()
        self.downtimes = []
        self.calm_downtimes = []
        self.died = 0  # by design
        self.too_slow = 0
        self.lost_writes = 0
        self.doubled = 0
        self.lost_guests = 0

    @property
    def moves(self):
        return self.counts["success"] + self.counts["error"] + self.counts["cancelled"]

    def say(self, text):
        print(f"{time.monotonic() - self.begun:6.0f} s {text}", flush=True)

    def problem(self, text):
        self.problems.append(text)
        self.say(f"PROBLEM: {text}")

    def take(self, outcome):
        """Counts it, and wants a reason for all that is no success."""
        self.counts[outcome.state] += 1
        self.say(f"  {outcome.text()}")
        by_fault = self.ledger.explain(outcome.begin, outcome.end, outcome.nodes)
        if outcome.state == "success":
            self.downtimes.append(outcome.downtime_ms)
            if not by_fault:
                self.calm_downtimes.append(outcome.downtime_ms)
        elif outcome.state == "cancelled":
            if outcome.move.cancel_after_s is None:
                self.problem(f"nobody cancelled {outcome.text()}")
        elif outcome.state in ("error", "refused"):
            self._take_error(outcome, by_fault)

    def _take_error(self, outcome, by_fault):
        error = outcome.error
        self.errors[error["id"]] += 1
        if any(not error.get(member) for member in MEMBERS + (PLACE if outcome.state == "error" else ())):
            self.problem(f"the error is not complete: {error} ({outcome.task})")
        if outcome.state == "error" and GENERIC.match(error["id"]) and not any(map(NETWORK.match, by_fault)):
            self.problem(f"the error does not say what happened: {outcome.text()}; struck: {by_fault}")
        if not by_fault and error["id"] == SLOW and outcome.is_busy:
            self.too_slow += 1
        elif not by_fault:
            self.problem(f"no fault explains {outcome.text()}")

    def lose(self, guest, number, text):
        self.lost_writes += number
        self.problem(f"{guest} lost {number} writes: {text}")

    def double(self, text):
        self.doubled += 1
        self.problem(text)

    def report(self, daemon_lines):
        kinds = collections.Counter(struck.fault.kind for struck in self.ledger.struck)
        counts = self.counts
        print(f"moves {self.moves}: {counts['success']} succeeded, {counts['error']} failed by design, {counts['cancelled']} cancelled; "
              f"besides {counts['refused']} refused, {counts['forecast']} dry runs")
        print(f"errors: {listing(self.errors)}; {self.too_slow} of them without a fault, because the machine was too busy for a host to answer")
        print(f"faults {sum(kinds.values())}: {listing(kinds)}; {self.ledger.missed} found no victim; {self.died} guests died of them and were started again")
        print(f"lost writes {self.lost_writes}, doubled guests {self.doubled}, lost guests {self.lost_guests}")
        print(f"downtime of all: {percentiles(self.downtimes)}; of those without a fault near: {percentiles(self.calm_downtimes)}")
        print("the longest life of each daemon:")
        for line in daemon_lines:
            print(f"  {line}")
        print(f"{len(self.problems)} problems in {time.monotonic() - self.begun:.0f} s")
        for text in self.problems:
            print(f"PROBLEM: {text}")


def listing(counter):
    return ", ".join(f"{name} {number}" for name, number in counter.most_common()) or "none"


def percentiles(numbers):
    if not numbers:
        return "none"
    numbers = sorted(numbers)
    p99 = numbers[min(len(numbers) - 1, int(0.99 * len(numbers)))]
    return f"p50 {statistics.median(numbers):.1f} ms, p99 {p99:.1f} ms, worst {numbers[-1]:.1f} ms, of {len(numbers)}"
