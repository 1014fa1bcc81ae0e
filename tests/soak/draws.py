# SPDX-License-Identifier: Apache-2.0
"""What the seed decides: which moves with which options, which faults, and when. Nothing here looks at the lab, so the same seed draws the same."""
import dataclasses
import random
import typing

OPTIONS = {
    "bandwidth_mb_s": [None, None, None, 10, 20, 40],
    "max_downtime_ms": [50, 100, 300, 1000],
    "encryption": [None, "disabled", "opportunistic", "required"],
    "compression": [None, "auto", "off", "lz4", "zstd"],
    "delta": [None, "on", "off"],
    "dirty_source": [None, None, "async", "sync"],
    "verify": [None, None, None, True],
    "channels": [None, None, 1, 2, 4],
    "priority": [None, None, None, "high"],
    "resume_limit_s": [None, None, 20],
}
DRY_RUN_SHARE = 0.08
CANCEL_SHARE = 0.08

# Kind: its weight. "kill" is SIGKILL, "stop" SIGSTOP and after some time SIGCONT. A shell is the QEMU that waits for a guest at a destination; a
# host is all programs of it at once, so that its guests die; reset: all connections of a network are reset at a host.
MILD = {
    "kill job": 10, "kill guard": 4, "kill shell": 6,
    "stop manager": 4, "stop agent": 6, "stop door": 3, "stop job": 8, "stop guard": 3, "stop shell": 4,
    "down migration": 12, "down management": 8, "reset migration": 8, "reset management": 4,
}
# These end a daemon, or a guest, which is the same for the figures of its daemon: what they were before is no measure of what they are.
HARD = {"kill manager": 6, "kill agent": 10, "kill door": 6, "kill guest": 3, "kill host": 3}


@dataclasses.dataclass
class Move:
    guest: str
    hop: int  # to which of the hosts that the guest is not on
    options: dict
    cancel_after_s: typing.Optional[float] = None
    is_dry_run: bool = False


@dataclasses.dataclass
class Fault:
    kind: str
    host: int  # which, where the kind is one of a host's
    pick: float  # which of several victims, 0 to 1
    after_moves: int  # when so many moves of the batch have begun, and then
    delay_s: float
    lasts_s: float


@dataclasses.dataclass
class Batch:
    moves: dict  # guest: its moves, one after the other; different guests move at the same time
    faults: list


def draw_move(dice, guest):
    options = {name: value for name, values in OPTIONS.items() if (value := dice.choice(values)) is not None}
    move = Move(guest, dice.randrange(2), options)
    luck = dice.random()
    if luck < DRY_RUN_SHARE:
        move.is_dry_run = True
    elif luck < DRY_RUN_SHARE + CANCEL_SHARE:
        move.cancel_after_s = dice.uniform(0, 2.5)
    return move


def draw_fault(dice, kinds, n_hosts, n_moves):
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    lasts_s = dice.uniform(0.2, 3) if kind.startswith("stop") else dice.uniform(0.5, 5)
    return Fault(kind, dice.randrange(n_hosts), dice.random(), dice.randrange(1, n_moves + 1), dice.uniform(0, 2), lasts_s)


class Plan:
    def __init__(self, seed, guests, n_hosts):
        self.dice = random.Random(seed)
        self.guests = guests
        self.n_hosts = n_hosts
        self.drawn = 0  # moves

    def batch(self, is_mild):
        """The next one. In a mild one no daemon is ended: who looks for a leak needs a life that is long enough."""
        dice = self.dice
        moves = {guest: [draw_move(dice, guest) for _ in range(dice.randint(2, 4))] for guest in self.guests}
        n_moves = sum(map(len, moves.values()))
        self.drawn += n_moves
        kinds = MILD if is_mild else {**MILD, **HARD}
        faults = [draw_fault(dice, kinds, self.n_hosts, n_moves) for _ in range(dice.randint(2, 5))]
        return Batch(moves, sorted(faults, key=lambda fault: fault.after_moves))
