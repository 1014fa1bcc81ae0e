# SPDX-License-Identifier: Apache-2.0
"""The guests that move, and how each proves that it lost nothing."""
import dataclasses
import json
import os
import re
import subprocess

from cluster import Stuck, wait_until

LINE = re.compile(r"CHK t_ms=\d+ work=\d+ total=(\d+) bad=(\d+) gap_us=\d+ sweeps=(\d+) .*cpu0=\d+")
TAIL_BYTES = 16384
START_S = 180
PROOF_S = 180
LINUX_ADDRESS = "198.18.3.10"


@dataclasses.dataclass
class Kind:
    """A checker guest: memory in MiB, parameters as tests/guests/README.md has them."""
    memory: int
    cpus: int
    parameters: str


# Few and many vCPUs, whole pages and words, hardly and as fast as it can, with and without interrupts, contents that can be packed and not.
KINDS = [
    Kind(96, 1, "mb=24 rate=2 mode=page"),
    Kind(96, 2, "mb=48 rate=8 mode=word"),
    Kind(96, 4, "mb=32 rate=4 mode=page fill=text"),
    Kind(96, 1, "mb=32 rate=0 mode=word"),
    Kind(128, 2, "mb=24 rate=20 mode=page spread=3"),
    Kind(96, 4, "mb=48 rate=6 mode=word"),
    Kind(96, 1, "mb=24 rate=10 mode=page intr=0"),
    Kind(96, 2, "mb=32 rate=3 mode=page fill=text"),
    Kind(96, 4, "mb=24 rate=30 mode=word"),
]


class Guest:
    """What both kinds have in common. A life is from start to end; its figures never go back."""

    def __init__(self, cluster, name, home):
        self.cluster = cluster
        self.name = name
        self.home = home
        self.uuid = ""
        self.made = 0
        self.counted = 0  # lost writes of this life that were reported
        self.life_begins = (0, 0)  # file and place in it where its console's text of this life begins

    def spec(self):
        raise NotImplementedError

    def show(self):
        """As the manager knows it; None: it does not."""
        return self.cluster.vms().get(self.name)

    def create(self, host):
        self.made += 1
        body = {"host": host, "spec": dict(self.spec(), name=self.name), "client_key": f"{self.name}-{self.made}"}
        self.uuid = self.cluster.api.call("POST", "/v1/vms", body)["spec"]["uuid"]
        self.start()

    def start(self):
        try:
            its = os.stat(self.console(self.show()["host"]))
            self.life_begins = (its.st_ino, its.st_size)
        except OSError:
            self.life_begins = (0, 0)
        self.counted = 0
        self.cluster.api.call("POST", f"/v1/vms/{self.name}/start")
        self.begin_life()

    def remove(self):
        self.cluster.api.call("POST", f"/v1/vms/{self.name}/stop", {"force": True})
        self.cluster.api.call("DELETE", f"/v1/vms/{self.name}")

    def console(self, host):
        return f"{self.cluster.folder}/hosts/{host}/run/vms/{self.uuid}/console.log"

    def console_text(self):
        """The end of what it said in this life on its present host."""
        shown = self.show()
        try:
            with open(self.console(shown["host"] if shown else self.home), "rb") as file:
                its = os.fstat(file.fileno())
                begin = self.life_begins[1] if its.st_ino == self.life_begins[0] else 0
                file.seek(max(begin, its.st_size - TAIL_BYTES))
                return file.read().decode("latin-1")
        except OSError:
            return ""

    def begin_life(self):
        """Waits until it works."""
        raise NotImplementedError

    def proof_begins(self):
        """The state from which on `is_proved` wants more. None: it says nothing yet."""
        raise NotImplementedError

    def is_proved(self, since):
        """All of its memory was proved since then."""
        raise NotImplementedError

    def lost_writes(self):
        """How many it has found in this life, and what it says of them."""
        raise NotImplementedError

    def note_death(self):
        """Its QEMU was killed. Returns how many lost writes it had found by then, as far as it could say."""
        raise NotImplementedError


class Checker(Guest):
    def __init__(self, cluster, name, home, seed):
        super().__init__(cluster, name, home)
        self.seed = seed
        self.kind = KINDS[0]
        self.accel = "tcg"
        self.total = 0

    def take(self, number):
        """Which of the kinds it is from its next `create` on."""
        self.kind = KINDS[number % len(KINDS)]
        self.accel = "kvm" if number % 2 and os.path.exists("/dev/kvm") else "tcg"

    def spec(self):
        return {"memory_mib": self.kind.memory, "cpus": self.kind.cpus, "accel": self.accel, "kernel": os.environ["SOAK_CHECKER"],
                "append": f"vcpus={self.kind.cpus} sweep_ms=2000 seed={self.seed} {self.kind.parameters}"}

    def figures(self):
        """(total, bad, sweeps) of its newest line, or None."""
        text = self.console_text()
        lines = LINE.findall(text)
        if "CHK fault" in text or "CHK refuse" in text:
            raise Stuck(f"{self.name} says: {text.strip().splitlines()[-1]}")
        return tuple(map(int, lines[-1])) if lines else None

    def begin_life(self):
        self.total = 0
        wait_until(f"{self.name} to be filled and to report", self.figures, START_S)

    def proof_begins(self):
        figures = self.figures()
        return figures and figures[2]

    def is_proved(self, since):
        figures = self.figures()
        return figures and figures[2] >= since + 2

    def lost_writes(self):
        total, bad, _ = wait_until(f"a report of {self.name}", self.figures)
        if total < self.total:
            return max(bad, 1), f"its counter went back from {self.total} to {total}"
        self.total = total
        return bad, "\n".join(line for line in self.console_text().splitlines() if line.startswith("CHK bad"))

    def note_death(self):
        figures = self.figures()
        return figures[1] if figures else 0


class Linux(Guest):
    def __init__(self, cluster, name, home, disk):
        super().__init__(cluster, name, home)
        self.disk = disk
        self.cpus = 1
        self.has_died = False

    def take(self, number):
        self.cpus = 1 + number % 2

    def spec(self):
        folder = os.environ["SOAK_LINUX"]
        return {"memory_mib": 256, "cpus": self.cpus, "accel": "tcg", "kernel": f"{folder}/vmlinuz", "initrd": f"{folder}/initrd",
                "append": f"console=ttyS0 quiet gw.ip={LINUX_ADDRESS}/24 gw.work=32:4 gw.disk=16",
                "disks": [{"path": self.disk, "format": "qcow2"}], "nics": [{"network": "vmnet"}]}

    def ask(self, what):
        """A document that the guest serves to the client in the lab, or None."""
        out = self.cluster.run_on("client", "curl", "-sf", "-m", "5", f"http://{LINUX_ADDRESS}/{what}")
        try:
            return json.loads(out)
        except json.JSONDecodeError:
            return None

    def begin_life(self):
        wait_until(f"{self.name} to be ready", lambda: self.ask("work") and self.ask("disk"), START_S)

    def proof_begins(self):
        work, disk = self.ask("work"), self.ask("disk")
        return work and disk and (work["sweeps"], disk["seq"])

    def is_proved(self, since):
        now = self.proof_begins()
        return now and now[0] >= since[0] + 2 and now[1] > since[1]

    def lost_writes(self):
        work = wait_until(f"{self.name} to say what its memory is like", lambda: self.ask("work"))
        disk = wait_until(f"{self.name} to say what its disk is like", lambda: self.ask("disk"))
        return work["bad"] + disk["bad"] + disk["errors"], f"memory {work}, disk {disk}"

    def note_death(self):
        self.has_died = True
        return 0

    def damage(self):
        """What qemu-img says of the image once the guest is off; empty: nothing. A QEMU that was killed may leave clusters that nobody uses."""
        done = subprocess.run(["qemu-img", "check", "-q", self.disk], capture_output=True, text=True, check=False)
        is_good = done.returncode == 0 or (done.returncode == 3 and self.has_died)
        return "" if is_good else f"qemu-img check says {done.returncode}: {(done.stdout + done.stderr).strip()}"


def prove(guests):
    """All at the same time: each proves the whole of its memory once more. What it finds stays in its count of lost writes."""
    begun = {guest: wait_until(f"a report of {guest.name}", guest.proof_begins) for guest in guests}
    for guest, since in begun.items():
        wait_until(f"{guest.name} to prove its memory", lambda guest=guest, since=since: guest.is_proved(since), PROOF_S)
