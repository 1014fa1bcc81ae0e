# SPDX-License-Identifier: Apache-2.0
"""The case whose other side is QEMU's migration, another way to use Godwit, or the machine's limit: alternating runs, then the bars."""
import limit
import moves
import qemu
from figures import memory_row, not_available, Row
from lab import Lab

SLOW_MS = 30000
SLOW_RUNS = 3
DRIFT = 0.15


class Result:
    """What a case found: samples by group ("Godwit" is ours, "other" what it is compared with, "trials" what found the best), rows, notes."""

    def __init__(self, case):
        self.case = case
        self.groups = {"Godwit": []}
        self.rows = []
        self.notes = []

    def add(self, group, sample, log):
        self.groups.setdefault(group, []).append(sample)
        log(f"  {group}: {say(sample)}")

    def judge(self, bars):
        drifts = [sample["drift"] for group in self.groups.values() for sample in group if sample.get("drift") is not None]
        strayed = [drift for drift in drifts if not 1 - DRIFT < drift < 1 + DRIFT]
        if strayed:
            self.notes.append(f"not quiet: in {len(strayed)} of {len(drifts)} runs the guest's normal work was another after the move than before "
                              f"({min(drifts):.2f}..{max(drifts):.2f} of it); so much is its lost work off")
        self.rows += [bar.row(self.groups) for bar in bars]
        self.rows.append(memory_row(self.groups))
        return self


def say(sample):
    figures = [f"{sample['tool']} {sample['mode']}".strip()]
    if sample["error"]:
        figures.append(sample["error"])
    for member, name, unit, factor in (("total_ms", "total", "ms", 1), ("downtime_ms", "downtime", "ms", 1), ("gap_ms", "gap", "ms", 1),
                                       ("work_lost_s", "work lost", "ms", 1000), ("rate_mb_s", "rate", "MB/s", 1), ("bytes", "sent", "MB", 1e-6), ("bad", "bad", "", 1)):
        if sample.get(member) is not None:
            figures.append(f"{name} {sample[member] * factor:.0f} {unit}".strip())
    return ", ".join(figures)


def missing(context, case):
    """The rows of a case that cannot run here, or None."""
    lacking = context.tools.missing_options(case.needs)
    why = f"option {lacking[0]} is not there" if lacking else context.lacks(case)
    if not why:
        return None
    result = Result(case)
    result.rows = [Row(bar.measure, "-", "", bar.bar, not_available(why)) for bar in case.bars] or [Row(case.name, "-", "", "", not_available(why))]
    return result


def modes_of(context, case):
    """(version, mode) of every QEMU that is there."""
    return [(version, mode) for version in sorted(context.tools.qemu, key=float) for mode in case.modes
            if mode.versions is None or version.split(".")[0] in mode.versions]


def find_best(context, case, lab, result):
    for version, mode in modes_of(context, case):
        result.add("trials", {**qemu.run(lab, case.guest, version, mode, case.goal_ms), "version": version, "key": mode.name}, context.log)
    ended = [sample for sample in result.groups["trials"] if sample["ended"]]
    tried = ended or [sample for sample in result.groups["trials"] if not (sample["error"] or "").startswith("n/a")]
    best = min(tried, key=lambda sample: sample["total_ms"] if sample["ended"] else sample["work_lost_s"])
    return best, next(mode for version, mode in modes_of(context, case) if (version, mode.name) == (best["version"], best["key"]))


def runs_for(context, result, best):
    if best["ended"] and best["total_ms"] < SLOW_MS:
        return context.runs
    result.notes.append(f"{SLOW_RUNS} pairs at most: a run of QEMU takes more than {SLOW_MS // 1000} s")
    return min(SLOW_RUNS, context.runs)


def against_qemu(context, case):
    result = Result(case)
    options = ["--max-downtime", case.goal_ms, *moves.plain(context.tools), *case.options]
    with Lab(context.tools, case.link) as lab:
        best, mode = find_best(context, case, lab, result)
        # A mode that never ends is not run again and again: what it lost within the bound stands for it.
        result.groups["other"] = [] if best["ended"] else [best]
        for _ in range(runs_for(context, result, best)):
            if best["ended"]:
                result.add("other", qemu.run(lab, case.guest, best["version"], mode, case.goal_ms), context.log)
            result.add("Godwit", moves.run(lab, case.guest, options, with_forecast=True), context.log)
            if case.beside:
                result.add("beside", moves.run(lab, case.beside, options), context.log)
        for mode_named, group in case.also:
            version = next((version for version in context.tools.qemu if version.startswith(mode_named.versions[0])), None)
            if version is None:
                result.groups[group] = [{"tool": "QEMU", "mode": mode_named.name, "ended": False, "error": f"QEMU {mode_named.versions[0]} is not there"}]
            for _ in range(context.runs if version else 0):
                result.add(group, qemu.run(lab, case.guest, version, mode_named, case.goal_ms), context.log)
                if result.groups[group][-1]["error"]:
                    break
    return result.judge(case.bars)


def against_itself(context, case):
    """`variants`: (options of ours, name and options of the other way), alternating."""
    result = Result(case)
    ours, (name, others) = case.variants
    common = ["--max-downtime", case.goal_ms, *case.options]
    with Lab(context.tools, case.link) as lab:
        for _ in range(context.runs):
            result.add("other", with_rate(moves.run(lab, case.guest, [*common, *others], mode=name)), context.log)
            result.add("Godwit", with_rate(moves.run(lab, case.guest, [*common, *ours])), context.log)
    return result.judge(case.bars)


def against_limit(context, case):
    result = Result(case)
    options = ["--max-downtime", case.goal_ms, *moves.plain(context.tools), *case.options]
    with Lab(context.tools, case.link) as lab:
        for variant in limit.VARIANTS:
            result.add("trials", limit.measure(lab, case.guest.working_set, variant), context.log)
        best = limit.best(result.groups["trials"])
        # The loop's figure is that of memory that the machine has had before; so is ours.
        result.add("warm-up", moves.run(lab, case.guest, options), context.log)
        for _ in range(context.runs):
            result.add("other", limit.measure(lab, case.guest.working_set, best), context.log)
            result.add("Godwit", with_rate(moves.run(lab, case.guest, options)), context.log)
    return result.judge(case.bars)


def with_rate(sample):
    if sample["ended"]:
        sample["rate_mb_s"] = sample["bytes"] / sample["total_ms"] / 1000
    return sample
