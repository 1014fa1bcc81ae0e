# SPDX-License-Identifier: Apache-2.0
"""The lab that tests/soak/run has brought up: the manager's API as a script calls it, and the processes of each host as root sees them."""
import datetime
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time

AWAY_PAUSE_S = 0.2
# Longer than any fault lasts.
PATIENCE_S = 90
POLL_S = 0.2

PROGRAMS = ("godwit-agent", "godwit-door", "godwit-job", "godwit-guard", "qemu-system-x86")


class Refused(Exception):
    """The manager answered with an error, which is the document of docs/api.md."""

    def __init__(self, error):
        super().__init__(f"{error.get('id')}: {error.get('message')}")
        self.error = error
        self.id = error.get("id", "")


class Stuck(Exception):
    """Something that must come did not."""


def wait_until(what, condition, limit_s=PATIENCE_S):
    """The condition's first true value."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Stuck(f"waited {limit_s} s for {what}")
        time.sleep(POLL_S)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("manager", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """The manager over its unix socket. A manager that is away is asked again: every call here may be made twice."""

    def __init__(self, folder):
        self.socket = f"{folder}/manager/godwitd.sock"
        with open(f"{folder}/cli.conf", encoding="utf-8") as file:
            self.token = re.search(r"^token=(\S+)", file.read(), re.M).group(1)

    def _once(self, method, path, body, timeout):
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def call(self, method, path, body=None, timeout=150):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                status, document = self._once(method, path, body, timeout)
                break
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as away:
                if time.monotonic() > deadline:
                    raise Stuck(f"the manager does not answer {method} {path}: {away}") from away
                time.sleep(AWAY_PAUSE_S)
        if status >= 400:
            raise Refused(document["error"])
        return document

    def get(self, path):
        return self.call("GET", path, timeout=30)


class Process:
    """One that was seen in a namespace; signals reach it and none that got its number later."""

    def __init__(self, node, pid, name):
        self.node = node
        self.pid = pid
        self.name = name

    def __str__(self):
        return f"{self.name} ({self.pid}) on {self.node}"

    def read(self, what):
        try:
            with open(f"/proc/{self.pid}/{what}", "rb") as file:
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def started(self):
        """Since the boot, in ticks: with the number it names one process. Empty when it is gone."""
        fields = self.read("stat").rsplit(")", 1)[-1].split()
        return fields[19] if len(fields) > 19 else ""

    def vm(self):
        """The UUID of the VM that this QEMU is for."""
        words = self.read("cmdline").split("\0")
        return words[words.index("-uuid") + 1] if "-uuid" in words else ""

    def descriptors(self):
        """What each leads to."""
        links = []
        try:
            for number in os.listdir(f"/proc/{self.pid}/fd"):
                try:
                    links.append(os.readlink(f"/proc/{self.pid}/fd/{number}"))
                except FileNotFoundError:
                    continue
        except OSError:
            return []
        return links

    def open(self):
        """A pidfd, or None when it is gone or another has its number."""
        before = self.started()
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return None
        if before and self.started() == before and self.read("comm").strip() == self.name:
            return pidfd
        os.close(pidfd)
        return None


def send(pidfd, number):
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


class Cluster:
    def __init__(self, name, folder, hosts):
        self.name = name
        self.folder = folder
        self.hosts = hosts
        self.api = Api(folder)
        self.namespaces = {os.stat(f"/run/netns/{name}-{node}").st_ino: node for node in [*hosts, "mgr"]}

    def netns(self, node):
        return f"{self.name}-{node}"

    def processes(self):
        """All of the lab's programs on the hosts, and the manager."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                node = self.namespaces.get(os.stat(f"/proc/{entry}/ns/net").st_ino)
            except OSError:
                continue
            if not node:
                continue
            process = Process(node, int(entry), "")
            process.name = process.read("comm").strip()
            if process.name in PROGRAMS or process.name == "godwitd":
                found.append(process)
        return sorted(found, key=lambda process: (process.node, process.name, process.pid))

    def run_on(self, node, *command):
        done = subprocess.run(["ip", "netns", "exec", self.netns(node), *command], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else ""

    def set_link(self, host, network, is_up):
        """Pulls the host's cable at the switch, or plugs it in."""
        subprocess.run(["ip", "-n", self.netns("sw"), "link", "set", f"{host}-{network}", "up" if is_up else "down"], check=True)

    def ports(self, host):
        """How many ports of VMs the host has."""
        out = subprocess.run(["ip", "-n", self.netns(host), "-br", "link"], capture_output=True, text=True, check=True).stdout
        return sum(line.startswith("vm") for line in out.split("\n"))

    def vms(self):
        return {vm["spec"]["name"]: vm for vm in self.api.get("/v1/vms")["vms"]}

    def are_up(self, since=0.0):
        """The manager has spoken to every host since then, and each runs its agent and its door."""
        hosts = self.api.get("/v1/hosts")["hosts"]
        if any(host["state"] != "connected" or when(host["last_seen"]) <= since for host in hosts):
            return False
        running = {(process.node, process.name) for process in self.processes()}
        return all((host["name"], name) in running for host in hosts for name in ("godwit-agent", "godwit-door"))

    def wait_up(self, since=0.0):
        wait_until("all hosts to be connected", lambda: self.are_up(since))


def when(text):
    """Seconds since 1970 of an RFC 3339 time."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0
