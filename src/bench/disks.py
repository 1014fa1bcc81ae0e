# SPDX-License-Identifier: Apache-2.0
"""What a disk in use costs in the switch-over: a Linux guest that writes to one, and the same guest without, moved in turn. It runs under TCG, where Linux
can be run on any machine."""
import json
import os
import subprocess
import time

from compare import Result
from lab import BenchError, Lab

# The lab's QEMU runs as this user and group.
QEMU_USER = 64101
BOOT_S = 120
ASK_S = 60
POLL_S = 0.2
ADDRESS = "198.18.3.10"
WORK = "gw.work=64:20"
DISK_MIB = 64
# What grows while the guest works: whole passes over its memory, records on its disk.
PROGRESS = {"work": "sweeps", "disk": "seq"}


class LinuxVm:
    """A running Linux guest that rewrites 64 MB of its memory at 20 MB/s, and with `has_disk` writes to a disk; goes with its scope."""

    def __init__(self, lab, linux, has_disk):
        self.lab = lab
        self.linux = linux
        self.name = "disk" if has_disk else "bare"
        self.image = f"{lab.folder}/datastore/{self.name}.qcow2" if has_disk else None

    def __enter__(self):
        append = f"console=ttyS0 quiet gw.ip={ADDRESS}/24 {WORK}"
        arguments = ["--memory", "512", "--cpus", "1", "--host", "h1", "--accel", "tcg", "--network", "vmnet",
                     "--kernel", f"{self.linux}/vmlinuz", "--initrd", f"{self.linux}/initrd"]
        if self.image:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.image, f"{2 * DISK_MIB}M"], check=True)
            os.chown(self.image, QEMU_USER, QEMU_USER)
            append += f" gw.disk={DISK_MIB}"
            arguments += ["--disk", f"shared:{self.name}.qcow2"]
        self.lab.ask("vm", "create", self.name, *arguments, "--append", append, "--start")
        # The client may still know the last guest's MAC address for this one's.
        subprocess.run(["ip", "-n", self.lab.netns("client"), "neigh", "flush", "all"], capture_output=True, check=True)
        self.wait("the guest to work", BOOT_S, lambda: self.reports("work", 1))
        if self.image:
            self.wait("the guest to write", ASK_S, lambda: self.reports("disk", 1))
        return self

    def __exit__(self, *_):
        self.lab.ask("vm", "stop", self.name, "--force")
        self.lab.ask("vm", "rm", self.name)
        if self.image:
            os.unlink(self.image)

    def wait(self, what, limit_s, condition):
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                raise BenchError(f"waited {limit_s} s in vain for {what}")
            time.sleep(POLL_S)

    def says(self, page):
        """What the guest reports over its network, or None."""
        out = subprocess.run(["ip", "netns", "exec", self.lab.netns("client"), "curl", "-sf", "-m", "5", f"http://{ADDRESS}/{page}"], capture_output=True, text=True, check=False).stdout
        try:
            return json.loads(out)
        except json.JSONDecodeError:
            return None

    def reports(self, page, at_least):
        said = self.says(page)
        return said is not None and said[PROGRESS[page]] >= at_least

    def bad(self):
        """Pages and records that the guest finds wrong, after it has gone on working for a while."""
        found = 0
        for page in ("work", *(["disk"] if self.image else [])):
            self.wait("the guest to answer", ASK_S, lambda page=page: self.reports(page, 1))
            goal = self.says(page)[PROGRESS[page]] + 2
            self.wait("the guest to go on", ASK_S, lambda page=page, goal=goal: self.reports(page, goal))
            said = self.says(page)
            found += said["bad"] + said.get("errors", 0)
        return found


def move(lab, linux, has_disk):
    mode = "a disk in use" if has_disk else "no disk"
    with LinuxVm(lab, linux, has_disk) as vm:
        _, task = lab.finish(lab.start("vm", "migrate", vm.name, "--to", "h2"))
        error = task.get("error") or {}
        if task.get("state") != "success":
            return {"tool": "Godwit", "mode": mode, "ended": False, "error": f"{error.get('id')}: {error.get('message')}"}
        return {"tool": "Godwit", "mode": mode, "ended": True, "error": None, "total_ms": task["copy_ms"], "task_ms": task["duration_ms"],
                "downtime_ms": task["downtime_ms"], "bytes": task["bytes_on_wire"], "rounds": task["rounds"], "bad": vm.bad()}


def beside_none(context, case):
    result = Result(case)
    with Lab(context.tools, case.link) as lab:
        for _ in range(context.runs):
            result.add("other", move(lab, context.tools.linux, has_disk=False), context.log)
            result.add("Godwit", move(lab, context.tools.linux, has_disk=True), context.log)
    return result.judge(case.bars)
