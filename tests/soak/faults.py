# SPDX-License-Identifier: Apache-2.0
"""How each kind of fault is struck, and the ledger that says which failures were by design."""
import dataclasses
import os
import select
import signal
import threading
import time

from cluster import send, wait_until
from draws import Fault

# A victim that is there during moves only is waited for.
VICTIM_S = 30
# What a fault did is felt until the manager has asked every host twice more.
FELT_S = 15
NETWORKS = {"migration": ("mig", 8000), "management": ("mgmt", 8443)}


@dataclasses.dataclass
class Struck:
    fault: Fault
    nodes: set
    begin: float
    text: str
    end: float = 0.0  # 0: it lasts

    def touches(self, begin, end, nodes):
        return self.begin <= end and (not self.end or self.end + FELT_S >= begin) and bool(self.nodes & nodes)


class Ledger:
    """What was struck when. Read and written by several threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.struck = []
        self.missed = 0
        self.may_be_dead = set()  # UUIDs of guests of which a QEMU was killed

    def add(self, struck):
        with self.lock:
            self.struck.append(struck)

    def explain(self, begin, end, nodes):
        """The faults that a failure in this time, on these nodes, can come from."""
        with self.lock:
            return [struck.text for struck in self.struck if struck.touches(begin, end, nodes)]

    def note_victims(self, processes):
        with self.lock:
            self.may_be_dead.update(filter(None, (process.vm() for process in processes)))

    def since(self, begin):
        with self.lock:
            return [struck.text for struck in self.struck if struck.begin >= begin]


class Striker:
    def __init__(self, cluster, ledger):
        self.cluster = cluster
        self.ledger = ledger
        self.are_moving = None

    def strike(self, fault, are_moving):
        """Until the fault is over and every host is connected again. False: there was no such victim, for as long as guests move."""
        self.are_moving = are_moving
        how, what = fault.kind.split()
        host = self.cluster.hosts[fault.host]
        if how == "down":
            self._cut(fault, host, NETWORKS[what][0])
        elif how == "reset":
            if not self._reset(fault, host, NETWORKS[what][1]):
                return False
        elif not self._signal(fault, host, how, what):
            return False
        self.cluster.wait_up(time.time())
        return True

    def _begin(self, fault, nodes, text):
        struck = Struck(fault, nodes, time.time(), f"{fault.kind}: {text}")
        self.ledger.add(struck)
        return struck

    def _cut(self, fault, host, network):
        struck = self._begin(fault, {host}, f"{host} for {fault.lasts_s:.1f} s")
        try:
            self.cluster.set_link(host, network, False)
            time.sleep(fault.lasts_s)  # the length of the outage is what was drawn
        finally:
            self.cluster.set_link(host, network, True)
            struck.end = time.time()

    def _reset(self, fault, host, port):
        """The connections of that service at the host, in both directions. Of a migration network there are some only during moves."""
        def reset():
            return self.cluster.run_on(host, "ss", "-KtnH", "state", "established", f"( sport = :{port} or dport = :{port} )").strip()
        deadline = time.monotonic() + VICTIM_S
        begin = time.time()
        while not (gone := reset()) and self.are_moving() and time.monotonic() < deadline:
            time.sleep(0.05)
            begin = time.time()
        if gone:
            self.ledger.add(Struck(fault, {host}, begin, f"{fault.kind}: {len(gone.splitlines())} connections on {host}", time.time()))
        return bool(gone)

    def _victims(self, fault, host, what):
        processes = self.cluster.processes()
        if what == "manager":
            return [process for process in processes if process.name == "godwitd"]
        if what == "host":
            return [process for process in processes if process.node == host]
        if what in ("agent", "door"):
            return [process for process in processes if process.node == host and process.name == f"godwit-{what}"]
        if what in ("job", "guard"):
            found = [process for process in processes if process.name == f"godwit-{what}"]
        else:
            homes = {vm["spec"]["uuid"]: vm["host"] for vm in self.cluster.vms().values()}
            found = [process for process in processes if process.name == "qemu-system-x86" and
                     (homes.get(process.vm()) == process.node) == (what == "guest")]
        return [found[int(fault.pick * len(found))]] if found else []

    def _signal(self, fault, host, how, what):
        deadline = time.monotonic() + VICTIM_S
        while not (victims := self._victims(fault, host, what)) and self.are_moving() and time.monotonic() < deadline:
            time.sleep(0.02)
        # As they were when their numbers were read, or not at all.
        opened = [(process, pidfd) for process in victims if (pidfd := process.open()) is not None]
        if not opened:
            return False
        try:
            processes = [process for process, _ in opened]
            if how == "kill":
                # Also a shell may have become the guest by now.
                self.ledger.note_victims(processes)
            names = ", ".join(map(str, processes))
            nodes = {"manager" if process.node == "mgr" else process.node for process in processes}
            struck = self._begin(fault, nodes, names if how == "kill" else f"{names} for {fault.lasts_s:.1f} s")
            self._send(fault, how, [pidfd for _, pidfd in opened])
            struck.end = time.time()
        finally:
            for _, pidfd in opened:
                os.close(pidfd)
        return True

    def _send(self, fault, how, pidfds):
        if how == "kill":
            for pidfd in pidfds:
                send(pidfd, signal.SIGKILL)
            wait_until("the victims' end", lambda: all(has_ended(pidfd) for pidfd in pidfds), 30)
            return
        try:
            for pidfd in pidfds:
                send(pidfd, signal.SIGSTOP)
            time.sleep(fault.lasts_s)  # the length of the stop is what was drawn
        finally:
            for pidfd in pidfds:
                send(pidfd, signal.SIGCONT)


def has_ended(pidfd):
    """Also when nobody has collected it yet."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))
