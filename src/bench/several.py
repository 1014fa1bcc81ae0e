# SPDX-License-Identifier: Apache-2.0
"""Several moves at once, and one move over two links."""
import concurrent.futures
import contextlib

import memory
import moves
import outage
from compare import Result, with_rate
from figures import MET, NOT_MET, Row
from lab import Lab

MOVES = 4


def four_at_once(context, case):
    result = Result(case)
    options = ["--max-downtime", case.goal_ms, *moves.plain(context.tools)]
    with Lab(context.tools, case.link) as lab:
        for _ in range(context.runs):
            result.add("other", with_rate(moves.run(lab, case.guest, options, mode="one move")), context.log)
            for sample in together(lab, case.guest, options):
                result.add("each", sample, context.log)
            result.add("Godwit", aggregate(result.groups["each"][-MOVES:]), context.log)
    return result.judge(case.bars)


def together(lab, spec, options):
    with contextlib.ExitStack() as stack:
        vms = [stack.enter_context(moves.Vm(lab, spec)) for _ in range(MOVES)]
        normals = [vm.console.settle(spec) for vm in vms]
        memory.warm(MOVES * spec.working_set)
        processes = [vm.begin_move("h2", options) for vm in vms]
        # All prove their memory at the same time.
        with concurrent.futures.ThreadPoolExecutor(MOVES) as pool:
            return list(pool.map(lambda vm, process, normal: vm.end_move(process, normal), vms, processes, normals))


def aggregate(samples):
    failed = [sample for sample in samples if not sample["ended"]]
    if failed:
        return failed[0]
    begin = min(sample["begin"] for sample in samples)
    end = max(sample["begin"] + sample["total_ms"] / 1000 for sample in samples)
    total = sum(sample["bytes"] for sample in samples)
    return {"tool": "Godwit", "mode": f"{MOVES} at once", "ended": True, "error": None, "total_ms": (end - begin) * 1000, "bytes": total,
            "rate_mb_s": total / (end - begin) / 1e6, "bad": sum(sample["bad"] for sample in samples)}


def two_links(context, case):
    result = Result(case)
    options = ["--max-downtime", case.goal_ms, *moves.plain(context.tools)]
    with Lab(context.tools, case.link) as one, Lab(context.tools, case.link, links=2) as two:
        for _ in range(context.runs):
            result.add("other", with_rate(moves.run(one, case.guest, options, mode="one link")), context.log)
            result.add("Godwit", with_rate(moves.run(two, case.guest, options)), context.log)
        sample = outage.cut_once(two, case.guest, options, outage.Cut(at=0.5, seconds=None, link=2))
        result.add("cut", sample, context.log)
    result.judge(case.bars)
    holds = sample["ended"] and sample["bad"] == 0
    ours = f"{sample['total_ms']:.0f} ms, {sample['bad']} bad pages" if sample["ended"] else sample["error"]
    result.rows.append(Row("link 2 goes down at 50 %", ours, "", "goes on over link 1", MET if holds else NOT_MET))
    return result
