#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""godwit bench: Godwit's moves beside QEMU's own migration and the machine's own limit, on the same guests and links. `godwit bench` starts it."""
import argparse
import json
import os
import signal
import sys
import time

import cases
import compare
import memory
import plots
import report
from figures import MET, NOT_MET, Row, not_available
from guest import GuestError
from lab import BenchError, Tools
from qemu import QmpError

HERE = os.path.dirname(os.path.realpath(__file__))
SPARE_MIB = 1024
NO_KVM = "/dev/kvm cannot be used"


class Context:
    """What every case needs: tools, number of pairs, the results so far, a place for what is said meanwhile."""

    def __init__(self, tools, runs):
        self.tools = tools
        self.runs = runs
        self.results = []
        self.has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
        self.begun = time.monotonic()

    def log(self, text):
        print(f"{time.monotonic() - self.begun:6.0f} s {text}", file=sys.stderr, flush=True)

    def lacks(self, case):
        """Why the machine cannot show this case, or None."""
        available = memory.available_mib()
        # Source and destination both hold it.
        needed = 2 * case.guest.working_set + SPARE_MIB
        if available < needed:
            return f"{available} MiB of memory are free, {needed} are needed"
        if case.modes and not self.tools.qemu:
            return "no QEMU to compare with"
        if case.is_linux and not self.tools.linux:
            return "no Linux guest was given (--linux)"
        return None


def arguments():
    parser = argparse.ArgumentParser(prog="godwit bench", description=__doc__, add_help=True)
    parser.add_argument("--list", action="store_true", help="the cases, and nothing is run")
    parser.add_argument("--case", default="", help="these only, separated by commas")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs a case (5)")
    parser.add_argument("--qemu", default="qemu-system-x86_64", help="the QEMU to compare with (qemu-system-x86_64)")
    parser.add_argument("--qemu10", help="a QEMU 10 to compare with too")
    parser.add_argument("--qemu10-data", help="its folder of firmware")
    parser.add_argument("--linux", help="the folder of the Linux guest that 'make guests' builds")
    parser.add_argument("--output", help="folder for results.json, table.txt and the plots (none is written)")
    parser.add_argument("--json", action="store_true", help="the results as a document on stdout")
    parser.add_argument("--godwit", default=os.path.join(HERE, "../../../bin/godwit"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.runs < 1:
        parser.error("--runs must be at least 1")
    try:
        chosen = cases.find([name for name in given.case.split(",") if name])
    except KeyError as error:
        parser.error(f"no case {error}; --list lists them")
    return given, chosen


def listing(as_json):
    found = [{"name": case.name, "title": case.title, "bars": [f"{bar.measure} {bar.bar}" for bar in case.bars]} for case in cases.CASES]
    if as_json:
        print(json.dumps({"cases": found}, indent=2))
        return
    for case in found:
        print(f"{case['name']:<18} {case['title']}")
        for bar in case["bars"]:
            print(f"{'':<18}   {bar}")


def run_case(context, case):
    """A case that breaks is a row that says so; the others go on."""
    if case.guest.accel == "kvm" and not context.has_kvm:
        return run_without_kvm(context, case)
    context.log(f"{case.name}: {case.title}")
    result = compare.missing(context, case)
    if result:
        return result
    try:
        return case.run(context, case)
    except (BenchError, GuestError, QmpError) as error:
        # What cannot be cleaned up because of an interruption does not hide it.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        result = compare.Result(case)
        result.rows = [Row(case.name, str(error), "", "the case runs", NOT_MET)]
        return result


def run_without_kvm(context, case):
    """The same on guests under TCG, both ours and QEMU's. Of a bar that is about KVM that is only the closest figure."""
    result = run_case(context, cases.under_tcg(case))
    result.notes.insert(0, f"under TCG: {NO_KVM}")
    for row in result.rows if case.about_kvm else []:
        if row.verdict in (MET, NOT_MET):
            row.verdict = not_available(f"{NO_KVM}; under TCG {row.verdict}")
    return result


def write(context, results, folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
        json.dump(report.document(results, context.tools, time.monotonic() - context.begun), file, indent=1)
    with open(os.path.join(folder, "table.txt"), "w", encoding="utf-8") as file:
        file.write(report.table(results))
    for result in results:
        plots.write(result, os.path.join(folder, f"{result.case.name}.svg"))


def main():
    given, chosen = arguments()
    if given.list:
        listing(given.json)
        return 0
    if os.geteuid() != 0:
        print("godwit bench: makes labs and must be run as root", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tools = Tools(os.path.realpath(given.godwit), os.path.join(HERE, "checker.elf"), os.path.join(HERE, "godwit-raw-loop"),
                  given.linux and os.path.realpath(given.linux))
    try:
        tools.add_qemu(given.qemu)
        if given.qemu10:
            tools.add_qemu(os.path.realpath(given.qemu10), given.qemu10_data)
        context = Context(tools, given.runs)
        for case in chosen:
            context.results.append(run_case(context, case))
            if given.output:
                write(context, context.results, given.output)
    except KeyboardInterrupt:
        print("godwit bench: interrupted", file=sys.stderr)
        return 1
    finally:
        tools.close()
    if given.json:
        print(json.dumps(report.document(context.results, tools, time.monotonic() - context.begun)))
    else:
        print(report.table(context.results), end="")
    return 1 if any(row.verdict == NOT_MET for result in context.results for row in result.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
