# SPDX-License-Identifier: Apache-2.0
"""A lab of two hosts for one case, driven by the command line as an operator would, and the programs that a benchmark needs."""
import json
import os
import shutil
import signal
import subprocess
import tempfile


class BenchError(Exception):
    """A step failed that has nothing to do with what is measured; the text says which and why."""


class Tools:
    """Where the programs are. `godwit` is the installed command; `qemu` maps a version to (program, folder of firmware or None); `linux` is the folder
    of a Linux guest, or None."""

    def __init__(self, godwit, guest, raw_loop, linux=None):
        self.godwit = godwit
        self.guest = guest
        self.raw_loop = raw_loop
        self.linux = linux
        self.qemu = {}
        self.folders = []
        self.options = self._migrate_options()

    def _migrate_options(self):
        out = subprocess.run([self.godwit, "vm", "migrate", "--help"], capture_output=True, text=True, check=False).stdout
        return {word.split("=")[0] for line in out.split("\n") for word in line.split() if word.startswith("--")}

    def missing_options(self, options):
        return [word for word in options if word.startswith("--") and word not in self.options]

    def add_qemu(self, program, data=None):
        """Firmware is copied to where QEMU's user can read it. Returns the major version."""
        out = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        version = out.split("version ")[1].split()[0]
        if data:
            folder = tempfile.mkdtemp(prefix="godwit-bench-qemu-", dir="/run")
            self.folders.append(folder)
            data = shutil.copytree(data, os.path.join(folder, "data"))
            os.chmod(folder, 0o755)
        self.qemu[".".join(version.split(".")[:2])] = (program, data)
        return version

    def close(self):
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


class Lab:
    """`with Lab(tools, rate="1gbit", links=1) as lab:` hosts h1 and h2; goes with everything in it. `rate` None: not shaped."""

    count = 0

    def __init__(self, tools, rate=None, links=1):
        Lab.count += 1
        self.tools = tools
        self.name = f"gb{os.getpid()}{chr(ord('a') + Lab.count % 26)}"
        self.folder = f"/run/{self.name}"
        self.arguments = [*(["--link-rate", rate] if rate else []), *(["--links", str(links)] if links > 1 else [])]
        self.environment = dict(os.environ, GODWIT_LAB_DIR=self.folder, GODWIT_CONFIG=f"{self.folder}/cli.conf")
        for name in ("GODWIT_SERVER", "GODWIT_TOKEN"):
            self.environment.pop(name, None)

    def __enter__(self):
        self._run(["lab", "up", "--name", self.name, *self.arguments], 120)
        return self

    def __exit__(self, *_):
        self._run(["lab", "down", "--name", self.name], 120)

    def _run(self, arguments, timeout):
        done = subprocess.run([self.tools.godwit, *arguments], env=self.environment, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise BenchError(f"godwit {' '.join(arguments[:3])}: {done.stderr.strip() or done.stdout.strip()}")

    def start(self, *arguments):
        """A command in the background, its document to be read by `finish`."""
        return subprocess.Popen([self.tools.godwit, *arguments, "--json"], env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)

    @staticmethod
    def finish(process, timeout=300):
        try:
            out = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            out = process.communicate()[0]
        try:
            return process.returncode, json.loads(out)
        except json.JSONDecodeError as error:
            raise BenchError(f"no document from {' '.join(process.args[1:4])}: {out[:200]}") from error

    def ask(self, *arguments, timeout=300):
        """The document of a command that must succeed."""
        status, document = self.finish(self.start(*arguments), timeout)
        if status:
            error = document.get("error") or {}
            raise BenchError(f"godwit {' '.join(arguments[:3])}: {error.get('id')}: {error.get('message')}")
        return document

    def netns(self, node):
        return f"{self.name}-{node}"

    @staticmethod
    def address(host):
        return f"198.18.2.1{host[1:]}"

    def console(self, host, uuid):
        return f"{self.folder}/hosts/{host}/run/vms/{uuid}/console.log"

    def pids(self, host, program):
        out = subprocess.run(["ip", "netns", "pids", self.netns(host)], capture_output=True, text=True, check=False).stdout
        found = []
        for pid in out.split():
            try:
                with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                    if file.read().strip() == program:
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def set_link(self, host, is_up, link=1):
        """Pulls the cable at the switch, or plugs it in."""
        port = f"{host}-mig" + ("" if link == 1 else str(link))
        subprocess.run(["ip", "-n", self.netns("sw"), "link", "set", port, "up" if is_up else "down"], check=True)
