# SPDX-License-Identifier: Apache-2.0
"""Medians, spreads, and the bars: what a figure is compared with and whether it holds."""
import statistics

MET, NOT_MET = "met", "NOT MET"
PAGE = 4096
MIB = 1 << 20


def not_available(why):
    return f"n/a: {why}"


def values(samples, member):
    return [sample[member] for sample in samples if sample.get(member) is not None]


def text(number, unit):
    if unit == "s":
        return f"{number:.2f} s"
    if unit in ("ms", "us"):
        return f"{number:.{0 if number >= 100 else 1}f} {unit}"
    if unit == "MB":
        return f"{number / 1e6:.1f} MB"
    return f"{number:.0f} {unit}".strip()


def spread(samples, member, unit):
    """"median (lowest..highest) xN" of those that have the member."""
    numbers = values(samples, member)
    if not numbers:
        return "-"
    middle = text(statistics.median(numbers), unit)
    if len(numbers) == 1:
        return middle
    return f"{middle} ({text(min(numbers), unit).split()[0]}..{text(max(numbers), unit).split()[0]}) x{len(numbers)}"


class Row:
    """One line of the table. `verdict` is exactly MET, NOT_MET or not_available(why)."""

    def __init__(self, measure, ours, other, bar, verdict):
        self.measure = measure
        self.ours = ours
        self.other = other
        self.bar = bar
        self.verdict = verdict

    def as_dict(self):
        return dict(self.__dict__)


class Bar:
    """One bar of a case. `judge(groups)` says (ours, other, holds), or raises Missing with the reason why it cannot be shown."""

    def __init__(self, measure, bar, judge):
        self.measure = measure
        self.bar = bar
        self.judge = judge

    def row(self, groups):
        failed = [sample for sample in groups.get("Godwit", []) if not sample["ended"]]
        if failed:
            return Row(self.measure, f"{len(failed)} of {len(groups['Godwit'])} failed: {failed[0]['error']}", "", self.bar, NOT_MET)
        try:
            ours, other, holds = self.judge(groups)
        except Missing as missing:
            return Row(self.measure, "-", "", self.bar, not_available(missing))
        return Row(self.measure, ours, other, self.bar, MET if holds else NOT_MET)


class Missing(Exception):
    pass


def median(groups, group, member):
    numbers = values(groups.get(group, []), member)
    if not numbers:
        reasons = [sample["error"] for sample in groups.get(group, []) if sample.get("error")]
        raise Missing(reasons[0] if reasons else f"no figure '{member}' from {group}")
    return statistics.median(numbers)


def named(groups, group, member, unit):
    samples = groups[group]
    label = " ".join(word for word in (samples[0]["tool"] if samples[0]["tool"] != "Godwit" else "", samples[0]["mode"]) if word)
    unfinished = [sample["error"] for sample in samples if not sample["ended"]]
    return f"{label or group}: {spread(samples, member, unit)}{' ' + unfinished[0] if unfinished else ''}"


# ---- what a bar can say ----

def at_most(measure, member, limit, unit, of_median=True):
    """Our median (or our worst) is at most so much."""
    def judge(groups):
        median(groups, "Godwit", member)
        numbers = values(groups["Godwit"], member)
        other = named(groups, "other", member, unit) if groups.get("other") else ""
        return spread(groups["Godwit"], member, unit), other, (statistics.median(numbers) if of_median else max(numbers)) <= limit
    return Bar(measure, f"<= {text(limit, unit)}", judge)


def share(measure, member, factor, unit, group="other", of=None):
    """Our median is at most so much of the other's."""
    def judge(groups):
        ours, other = median(groups, "Godwit", member), median(groups, group, member)
        return spread(groups["Godwit"], member, unit), named(groups, group, member, unit), ours <= factor * other
    return Bar(measure, f"<= {factor} x {of or 'QEMU best'}", judge)


def at_least_share(measure, member, factor, unit, of):
    def judge(groups):
        ours, other = median(groups, "Godwit", member), median(groups, "other", member)
        return f"{spread(groups['Godwit'], member, unit)} = {ours / other:.2f}", named(groups, "other", member, unit), ours >= factor * other
    return Bar(measure, f">= {factor} x {of}", judge)


def near(measure, member, extra, unit):
    """Our median is at most the other's and so much more."""
    def judge(groups):
        ours, other = median(groups, "Godwit", member), median(groups, "other", member)
        return spread(groups["Godwit"], member, unit), named(groups, "other", member, unit), ours <= other + extra
    return Bar(measure, f"<= QEMU + {text(extra, unit)}", judge)


def wire_share(factor, spec):
    used = spec.working_set * MIB

    def judge(groups):
        ours = median(groups, "Godwit", "bytes")
        return f"{spread(groups['Godwit'], 'bytes', 'MB')} = {ours / used:.2f}", f"RAM used {used / 1e6:.0f} MB", ours <= factor * used
    return Bar("bytes on the wire", f"<= {factor} x RAM used", judge)


def never_throttled():
    def judge(groups):
        stuns = values(groups["Godwit"], "stun_us")
        if not stuns:
            raise Missing("the task has no stun_us")
        return f"stun {max(stuns)} us at most", "", max(stuns) == 0
    return Bar("SDPS never engages", "no stun", judge)


def converges():
    def judge(groups):
        rounds = [entry for sample in groups["Godwit"] for entry in sample["rounds"] if entry.get("stun_us")]
        if not rounds:
            raise Missing("no round was throttled")
        worse = [entry for entry in rounds if entry["dirty_pages"] >= entry["pages"]]
        return f"{len(rounds) - len(worse)} of {len(rounds)} rounds", "", not worse
    return Bar("dirty rate < send rate in throttled rounds", "every one", judge)


def median_stun(limit_us):
    """From the histogram: the upper end of the class that holds the median."""
    def judge(groups):
        counts = {}
        for sample in groups["Godwit"]:
            for entry in sample.get("stuns") or []:
                counts[entry["up_to_us"]] = counts.get(entry["up_to_us"], 0) + entry["count"]
        total, seen = sum(counts.values()), 0
        if not total:
            raise Missing("no stun was counted")
        for up_to in sorted(counts, key=lambda up_to: up_to or float("inf")):
            seen += counts[up_to]
            if 2 * seen >= total:
                break
        return f"<= {up_to} us of {total}", "", bool(up_to) and up_to <= limit_us
    return Bar("median stun", f"<= {limit_us} us", judge)


def memory_row(groups):
    """Every move was verified by its guest; what a QEMU lost is said, and only our own loss counts. An aggregate's moves are in a group of their own."""
    samples = [sample for name, group in groups.items() for sample in group if sample.get("bad") is not None and not (name == "Godwit" and "each" in groups)]
    ours = [sample["bad"] for sample in samples if sample["tool"] == "Godwit"]
    others = [sample["bad"] for sample in samples if sample["tool"] != "Godwit"]
    if not ours:
        return Row("lost writes", "-", "", "0", not_available("no move ended"))
    other = f"QEMU: {sum(others)} in {len(others)} moves" if others else ""
    return Row("lost writes", f"{sum(ours)} in {len(ours)} moves", other, "0", MET if sum(ours) == 0 else NOT_MET)
