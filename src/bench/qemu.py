# SPDX-License-Identifier: Apache-2.0
"""QEMU's own migration over the same link, driven over QMP as a competent operator would."""
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time

import memory
from guest import Console, GuestError, view, wait_for_normal
from lab import BenchError

PORT = 4444
BOUND_S = 60
UNLIMITED = 1 << 40


class Mode:
    """One way to use QEMU's migration: `versions` None: every QEMU that is there."""

    def __init__(self, name, capabilities=(), versions=None, **parameters):
        self.name = name
        self.capabilities = capabilities
        self.versions = versions
        self.parameters = {key.replace("_", "-"): value for key, value in parameters.items()}


PLAIN = Mode("pre-copy")
MULTIFD_2 = Mode("multifd 2", ("multifd",), multifd_channels=2)
MULTIFD_4 = Mode("multifd 4", ("multifd",), multifd_channels=4)
CONVERGE = Mode("auto-converge", ("auto-converge",))
# Steeper than the defaults (20, 10), as one sets it who knows that the guest is hot.
CONVERGE_FAST = Mode("auto-converge 50+20, multifd 2", ("auto-converge", "multifd"), multifd_channels=2, cpu_throttle_initial=50, cpu_throttle_increment=20)
ZSTD_2 = Mode("multifd 2 zstd", ("multifd",), multifd_channels=2, multifd_compression="zstd")
ZSTD_4 = Mode("multifd 4 zstd", ("multifd",), multifd_channels=4, multifd_compression="zstd")


class QmpError(Exception):
    pass


class Qmp:
    def __init__(self, path):
        deadline = time.monotonic() + 20
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError as error:
                self.socket.close()
                if time.monotonic() > deadline:
                    raise BenchError(f"QEMU does not open {path}") from error
                time.sleep(0.02)
        self.buffer = b""
        self.events = []
        self._message(20)
        self.call("qmp_capabilities")

    def close(self):
        self.socket.close()

    def _message(self, limit_s):
        """The next message, or None if none comes in time."""
        deadline = time.monotonic() + limit_s
        while b"\n" not in self.buffer:
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise QmpError("QEMU has ended")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        if "event" in message:
            self.events.append(message["event"])
        return message

    def call(self, command, **arguments):
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            message = self._message(30)
            if message is None:
                raise QmpError(f"{command}: no answer for 30 s")
            if "error" in message:
                raise QmpError(f"{command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def saw(self, event, limit_s):
        """True once the event has come; waits at most so long."""
        deadline = time.monotonic() + limit_s
        while event not in self.events:
            if self._message(max(0, deadline - time.monotonic())) is None:
                return event in self.events
        return True


class Pair:
    """Source and destination QEMU of one migration, the source running its guest."""

    def __init__(self, lab, version, spec):
        self.lab = lab
        self.program, self.data = lab.tools.qemu[version]
        self.spec = spec
        self.folder = tempfile.mkdtemp(prefix="godwit-bench-")
        self.processes = []
        self.qmps = []
        self.console = Console()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.console.close()
        for qmp in self.qmps:
            qmp.close()
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)

    def start(self, name, host, *extra):
        spec = self.spec
        log, control = f"{self.folder}/{name}.log", f"{self.folder}/{name}.qmp"
        command = ["ip", "netns", "exec", self.lab.netns(host), self.program, "-nodefaults", "-no-user-config", "-vga", "none", "-display", "none",
                   "-accel", "tcg,thread=multi" if spec.accel == "tcg" else spec.accel, "-cpu", "qemu64", "-smp", str(spec.cpus), "-m", f"{spec.memory}M",
                   "-object", f"memory-backend-memfd,id=ram,size={spec.memory}M,share=on", "-machine", "q35,memory-backend=ram,usb=off,dump-guest-core=off",
                   "-kernel", self.lab.tools.guest, "-append", spec.append(), "-chardev", f"file,id=console,path={log}", "-serial", "chardev:console",
                   "-qmp", f"unix:{control},server=on,wait=off", *(["-L", self.data] if self.data else []), *extra]
        with open(f"{self.folder}/{name}.err", "wb") as errors:
            self.processes.append(subprocess.Popen(command, stderr=errors, stdout=errors))
        self.console.follow(log)
        qmp = Qmp(control)
        self.qmps.append(qmp)
        return qmp


def prepare(qmp, mode, goal_ms):
    qmp.call("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in ("events", *mode.capabilities)])
    qmp.call("migrate-set-parameters", **{"max-bandwidth": UNLIMITED, "downtime-limit": goal_ms, **mode.parameters})


def follow(source, destination, begin):
    """Until the guest runs on the destination, the migration failed or the bound is over. Returns (series, seconds until RESUME or None)."""
    series = []
    while time.time() - begin < BOUND_S:
        if destination.saw("RESUME", 0.1):
            return series, time.time() - begin
        status = source.call("query-migrate")
        ram = status.get("ram", {})
        series.append([round(time.time() - begin, 3), ram.get("transferred", 0), ram.get("remaining", 0), ram.get("dirty-pages-rate", 0) * ram.get("page-size", 4096)])
        if status["status"] == "failed":
            return series, None
    return series, None


def run(lab, spec, version, mode, goal_ms):
    """One migration in a sample of the same form as Godwit's: see moves.py."""
    sample = {"tool": f"QEMU {version}", "mode": mode.name, "ended": False, "error": None}
    with Pair(lab, version, spec) as pair:
        source = pair.start("source", "h1")
        normal = pair.console.settle(spec)
        destination = pair.start("destination", "h2", "-incoming", "defer")
        try:
            for qmp in (source, destination):
                prepare(qmp, mode, goal_ms)
        except QmpError as error:
            return {**sample, "error": f"n/a: {error}"}
        memory.warm(spec.working_set)
        uri = f"tcp:{lab.address('h2')}:{PORT}"
        destination.call("migrate-incoming", uri=uri)
        begin = time.time()
        try:
            source.call("migrate", uri=uri)
            series, seconds = follow(source, destination, begin)
            sample["series"] = series
            if seconds is None:
                failed = source.call("query-migrate")["status"] == "failed"
                return {**sample, "error": "failed" if failed else f"never ended (>{BOUND_S} s)", **view(pair.console, normal, begin, time.time())}
            while (status := source.call("query-migrate"))["status"] not in ("completed", "failed"):
                time.sleep(0.01)
        except QmpError as error:
            return {**sample, "error": f"failed: {error}"}
        wait_for_normal(pair.console, normal, begin + seconds)
        sample.update(view(pair.console, normal, begin, begin + seconds))
        try:
            bad = pair.console.prove(spec)
        except GuestError as error:
            return {**sample, "error": f"moved, but {error}"}
        ram = status.get("ram", {})
        sample.update(ended=True, total_ms=seconds * 1000, task_ms=seconds * 1000, downtime_ms=status.get("downtime"), bytes=ram.get("transferred"),
                      n_rounds=ram.get("dirty-sync-count"), bad=bad)
        sample["drift"] = pair.console.drift(normal)
        return sample
