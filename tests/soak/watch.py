# SPDX-License-Identifier: Apache-2.0
"""What must be true: all the time, no guest runs twice; when all is quiet, each is in one place and nothing is left of any move."""
import os
import threading

from cluster import Refused, Stuck, wait_until

LOOK_S = 0.05
ASK_EVERY = 20  # looks
QUIET_S = 45
KINDS_LEFT = {"userfaultfds": "userfaultfd]", "heartbeats": "/memfd:heartbeat"}


class Watcher:
    """A thread that looks at the consoles of all guests on all hosts: who writes runs. A guest that runs once changes its host at most once with each move
    that succeeds; one that runs twice seems to change with each look. And no two hosts may ever claim a guest."""

    def __init__(self, cluster, guests):
        self.cluster = cluster
        self.guests = guests
        self.lock = threading.Lock()
        self.seen = {}
        self.place = {}
        self.changes = {}
        self.conflicts = set()
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()

    def begin_batch(self):
        """Forgets where the guests were: some may have been started elsewhere."""
        with self.lock:
            self.place.clear()
            self.changes = {guest.name: 0 for guest in self.guests}

    def changes_of(self, guest):
        with self.lock:
            return self.changes[guest.name]

    def _run(self):
        try:
            self._keep_looking()
        except Exception as error:  # whatever it is: nothing that follows would be seen
            self.conflicts.add(f"nobody watches any more: {type(error).__name__}: {error}")

    def _keep_looking(self):
        looks = 0
        while not self.ends.wait(LOOK_S):
            self.look()
            looks += 1
            if looks % ASK_EVERY == 0:
                self._ask()

    def _has_grown(self, guest, host):
        try:
            its = os.stat(guest.console(host))
        except OSError:
            return False
        key = (guest.uuid, host)
        now = (its.st_ino, its.st_size)
        before = self.seen.get(key, (0, 0))
        self.seen[key] = now
        return its.st_size > 0 and now != before

    def look(self):
        with self.lock:
            for guest in self.guests:
                self._follow(guest)

    def _follow(self, guest):
        grown = [host for host in self.cluster.hosts if self._has_grown(guest, host)]
        # The one that it was on first: within one look it may have gone to another.
        for host in sorted(grown, key=lambda host: host != self.place.get(guest.name)):
            if self.place.get(guest.name, host) != host:
                self.changes[guest.name] = self.changes.get(guest.name, 0) + 1
            self.place[guest.name] = host

    def _ask(self):
        try:
            vms = self.cluster.vms()
        except (Stuck, Refused):
            return
        for name, vm in vms.items():
            if vm["conflict"]:
                self.conflicts.add(f"{name} is claimed by {' and '.join(vm['conflict'])}")


def left_over(cluster, guests):
    """What should not be there when no guest moves, one text a thing."""
    found = []
    processes = cluster.processes()
    vms = cluster.vms()
    running = {guest.uuid: vms[guest.name]["host"] for guest in guests if vms.get(guest.name, {}).get("state") == "running"}
    for guest in guests:
        vm = vms.get(guest.name)
        if not vm or vm["state"] not in ("running", "off") or vm["move"] or vm["problem"]:
            found.append(f"{guest.name}: {({key: vm[key] for key in ('state', 'host', 'move', 'problem', 'journal')} if vm else 'not known')}")
    for host in cluster.hosts:
        here = [uuid for uuid, its in running.items() if its == host]
        found += [f"{host}: {text}" for text in left_on(cluster, host, [process for process in processes if process.node == host], here)]
        used = sum(guest.spec()["memory_mib"] + vms[guest.name]["overhead_mib"] for guest in guests if guest.uuid in here)
        says = cluster.api.get(f"/v1/hosts/{host}")["facts"]["memory_used_mib"]
        if says != used:
            found.append(f"{host}: {says} MiB of memory in use instead of {used}")
        ports = sum(len(guest.spec().get("nics", [])) for guest in guests if guest.uuid in here)
        if cluster.ports(host) != ports:
            found.append(f"{host}: {cluster.ports(host)} ports of VMs instead of {ports}")
    return found


def left_on(cluster, host, processes, uuids):
    expected = {"godwit-agent": 1, "godwit-door": 1, "godwit-job": 0, "godwit-guard": 0}
    for name, want in expected.items():
        number = sum(process.name == name for process in processes)
        if number != want:
            yield f"{number} processes {name} instead of {want}"
    qemus = sorted(process.vm() for process in processes if process.name == "qemu-system-x86")
    if qemus != sorted(uuids):
        yield f"QEMU runs for {qemus} instead of {sorted(uuids)}"
    links = [link for process in processes for link in process.descriptors()]
    for name, part in KINDS_LEFT.items():
        number = sum(part in link for link in links)
        if number:
            yield f"{number} {name}"
    memories = {link for link in links if link.startswith("/memfd:ram-")}
    if not uuids and memories:
        yield f"guest memory {sorted(memories)}"
    runs = f"{cluster.folder}/hosts/{host}/run/vms"
    for uuid in os.listdir(runs) if os.path.isdir(runs) else []:
        files = [name for name in os.listdir(f"{runs}/{uuid}") if name.endswith(".sock") or name == "process.json"]
        if uuid not in uuids and files:
            yield f"run files {files} of {uuid}"
    for folder, _, names in os.walk(f"{cluster.folder}/hosts/{host}/state"):
        for name in names:
            if ".tmp" in name or "lease" in name:
                yield f"{folder}/{name}"


def wait_quiet(cluster, guests):
    """Nothing is left over within a while, or Stuck with what is."""
    latest = []

    def is_quiet():
        # A file or a folder may go while it is looked at.
        try:
            latest[:] = left_over(cluster, guests)
        except FileNotFoundError:
            return False
        return not latest
    try:
        wait_until("what is left over to go", is_quiet, QUIET_S)
    except Stuck as stuck:
        raise Stuck(f"left over: {'; '.join(latest)}") from stuck


def owners_wrong(cluster, guests):
    """What the journals of all hosts say, asked of every host: each guest has one owner, and runs there only."""
    wrong = []
    for guest in guests:
        said = cluster.api.get(f"/v1/vms/{guest.name}/ownership")
        runs = [host["host"] for host in said["hosts"] if host["has_guest"]]
        if not said["owner"] or said["dispute"] or any(host != said["owner"] for host in runs):
            wrong.append(f"{guest.name}: owner '{said['owner']}', dispute '{said['dispute']}', runs on {runs}")
    return wrong
