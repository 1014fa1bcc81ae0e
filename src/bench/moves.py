# SPDX-License-Identifier: Apache-2.0
"""One move by Godwit, as a sample.

A sample is a dictionary, the same for both tools: tool, mode, ended, error (text, or None), total_ms (both sides ready to the guest running on the destination),
task_ms, downtime_ms, bytes, bad (pages that the guest found wrong), and what the guest saw (guest.view). Godwit's has the task's own members too.
"""
import datetime
import time

import memory
from guest import Console, view, wait_for_normal

TASK_MEMBERS = ("rounds", "ram_bytes", "stun_us", "stuns", "bytes_resent", "resumes", "job_memory_bytes", "encryption", "throughput_mb_s")


class Vm:
    """A running checker guest in a lab, with its console; goes with its scope."""

    count = 0

    def __init__(self, lab, spec, host="h1"):
        Vm.count += 1
        self.lab = lab
        self.spec = spec
        self.host = host
        self.name = f"guest{Vm.count}"
        self.console = Console()

    def __enter__(self):
        spec = self.spec
        self.lab.ask("vm", "create", self.name, "--memory", str(spec.memory), "--cpus", str(spec.cpus), "--host", self.host, "--accel", spec.accel,
                     "--kernel", self.lab.tools.guest, "--append", spec.append(), "--start")
        shown = self.lab.ask("vm", "show", self.name)
        self.uuid = shown.get("uuid") or shown["spec"]["uuid"]
        self.console.follow(self.lab.console(self.host, self.uuid))
        return self

    def __exit__(self, *_):
        self.console.close()
        self.lab.ask("vm", "stop", self.name, "--force")
        self.lab.ask("vm", "rm", self.name)

    def begin_move(self, to, options=()):
        self.console.follow(self.lab.console(to, self.uuid))
        return self.lab.start("vm", "migrate", self.name, "--to", to, *map(str, options))

    def end_move(self, process, normal, mode=""):
        """The sample, after the guest is back to its normal work and has proved its memory."""
        _, task = self.lab.finish(process)
        self.host = task.get("destination", self.host) if task.get("state") == "success" else self.host
        return sample_of(task, self.console, normal, self.spec, mode)


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def sample_of(task, console, normal, spec, mode):
    sample = {"tool": "Godwit", "mode": mode, "ended": task.get("state") == "success", "error": None}
    copies = [phase for phase in task.get("phases", []) if phase["name"] == "copy" and phase.get("start")]
    if not sample["ended"]:
        error = task.get("error") or {}
        sample["error"] = f"{error.get('id') or error.get('code') or task.get('state')}: {error.get('message')}"
        if copies:
            sample.update(view(console, normal, epoch(copies[0]["start"]), time.time()))
        return sample
    begin = epoch(copies[0]["start"])
    switch_over = next((epoch(phase["start"]) for phase in task["phases"] if phase["name"] == "switch-over" and phase.get("start")), None)
    resumed = begin + task["copy_ms"] / 1000
    wait_for_normal(console, normal, resumed)
    sample.update(view(console, normal, begin, resumed))
    sample.update({member: task.get(member) for member in TASK_MEMBERS})
    sample.update(total_ms=task["copy_ms"], task_ms=task["duration_ms"], downtime_ms=task["downtime_ms"], bytes=task["bytes_on_wire"],
                  n_rounds=len(task["rounds"]), task=task.get("task"), begin=begin, switch_over=switch_over, bad=console.prove(spec))
    sample["drift"] = console.drift(normal)
    return sample


def plain(tools):
    """Encryption off, where it can be: QEMU's migration is plain too."""
    return ["--encryption", "disabled"] if "--encryption" in tools.options else []


def forecast(lab, name, options):
    """What --dry-run says, or None where it is not there or refuses."""
    if lab.tools.missing_options(["--dry-run"]):
        return None
    status, document = lab.finish(lab.start("vm", "migrate", name, "--to", "h2", "--dry-run", *map(str, options)))
    return document.get("forecast") if status == 0 else None


def run(lab, spec, options, mode="", with_forecast=False):
    """One fresh guest, one move from h1 to h2."""
    with Vm(lab, spec) as vm:
        normal = vm.console.settle(spec)
        said = forecast(lab, vm.name, options) if with_forecast else None
        memory.warm(spec.working_set)
        sample = vm.end_move(vm.begin_move("h2", options), normal, mode)
        return {**sample, "forecast": said}
