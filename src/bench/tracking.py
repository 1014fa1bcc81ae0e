# SPDX-License-Identifier: Apache-2.0
"""What protecting and scanning cost a guest with much memory, and what memory the jobs take. The copy is held back, so that it does not take the guest's
core: what is left of the gaps is the tracking's."""
import threading

import memory
import moves
from compare import Result
from figures import MIB
from guest import stood_still_ms
from lab import Lab

POLL_S = 0.05


class JobMemory:
    """The larger side's own memory while it runs, from outside: anonymous and file pages, without the guest's memory, which is shared."""

    def __init__(self, lab):
        self.lab = lab
        self.most = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _watch(self):
        while not self._ends.wait(POLL_S):
            for host in ("h1", "h2"):
                for pid in self.lab.pids(host, "godwit-job"):
                    self.most = max(self.most, own_memory(pid))


def own_memory(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        return sum(int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssFile"))
    except (OSError, KeyError):
        return 0


def before_the_stop(console, sample):
    """The longest gap while memory was copied and the switch-over had not begun. A line that came after that may hold the stop."""
    lines = list(console.lines)
    stop = sample["switch_over"] or sample["begin"] + (sample["total_ms"] - sample["downtime_ms"]) / 1000
    ends = [line.time for line in lines if sample["begin"] < line.time < stop]
    return stood_still_ms(lines, sample["begin"], ends[-1]) if ends else None


def big_guest(context, case):
    result = Result(case)
    options = ["--max-downtime", case.goal_ms, *moves.plain(context.tools), *case.options]
    with Lab(context.tools, case.link) as lab:
        for _ in range(min(case.runs or context.runs, context.runs)):
            with moves.Vm(lab, case.guest) as vm, JobMemory(lab) as job_memory:
                normal = vm.console.settle(case.guest)
                memory.warm(case.guest.working_set)
                sample = vm.end_move(vm.begin_move("h2", options), normal)
                if sample["ended"]:
                    sample["tracking_gap_ms"] = before_the_stop(vm.console, sample)
                    sample["job_bytes"] = max(job_memory.most, sample.get("job_memory_bytes") or 0)
            result.add("Godwit", sample, context.log)
            result.notes.append(f"longest gap before the move {sample.get('normal_gap_ms', 0):.1f} ms, during the copy {sample.get('tracking_gap_ms') or 0:.1f} ms")
    return result.judge(case.bars)


def job_limit(spec):
    return 64 * MIB + spec.memory * MIB // 8000
