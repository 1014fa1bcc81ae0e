# SPDX-License-Identifier: Apache-2.0
"""A cable is pulled at the switch in the middle of a copy, and plugged in again."""
import dataclasses
import time
import typing

import moves
from compare import Result
from figures import MET, MIB, NOT_MET, PAGE, Row
from lab import Lab

WAIT_S = 120


@dataclasses.dataclass
class Cut:
    at: float  # share of the guest's memory that was sent
    seconds: typing.Optional[float]  # None: for good
    link: int = 1


def wait_for_share(lab, task, used, share):
    """Until so much was sent. False if the task ended before."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        shown = lab.ask("task", "show", task)
        if shown["state"] not in ("queued", "running"):
            return False
        if shown["phase"] == "copy" and (shown.get("bytes_on_wire") or 0) >= share * used:
            return True
        time.sleep(0.02)
    return False


def cut_once(lab, spec, options, cut):
    used = spec.working_set * MIB
    with moves.Vm(lab, spec) as vm:
        normal = vm.console.settle(spec)
        _, task = lab.finish(vm.begin_move("h2", [*options, "--detach"]))
        was_cut = wait_for_share(lab, task["task"], used, cut.at)
        try:
            if was_cut:
                lab.set_link("h1", False, cut.link)
                if cut.seconds is not None:
                    time.sleep(cut.seconds)
                    lab.set_link("h1", True, cut.link)
            sample = vm.end_move(lab.start("task", "follow", task["task"]), normal, f"cut {cut.seconds or 'for good'} s at {cut.at:.0%}")
        finally:
            lab.set_link("h1", True, cut.link)
    if not was_cut and sample["ended"]:
        sample.update(ended=False, error="the move ended before it could be cut")
    if sample["ended"]:
        dirtied = sum(entry["pages"] for entry in sample["rounds"][1:]) * PAGE
        # Where the task does not count it: what was sent and is neither the memory nor a later round's.
        again = sample["bytes_resent"] if sample.get("bytes_resent") is not None else max(0, sample["bytes"] - used - dirtied)
        sample.update(dirtied_bytes=dirtied, again_bytes=again)
    return sample


def cuts(context, case):
    result = Result(case)
    options = ["--max-downtime", case.goal_ms, *moves.plain(context.tools)]
    with Lab(context.tools, case.link) as lab:
        for cut in case.cuts:
            sample = cut_once(lab, case.guest, options, cut)
            result.add("Godwit", sample, context.log)
            ram = case.guest.memory * MIB
            measure = f"{cut.seconds} s at {cut.at:.0%}"
            if not sample["ended"]:
                result.rows.append(Row(measure, sample["error"], "", "goes on; sent again <= 1 % of RAM + dirtied", NOT_MET))
                continue
            holds = sample["again_bytes"] <= 0.01 * ram + sample["dirtied_bytes"]
            ours = f"sent again {sample['again_bytes'] / 1e6:.1f} MB, dirtied {sample['dirtied_bytes'] / 1e6:.1f} MB"
            result.rows.append(Row(measure, ours, f"1 % is {ram / 1e8:.1f} MB", "goes on; sent again <= 1 % of RAM + dirtied", MET if holds else NOT_MET))
    return result.judge([])
