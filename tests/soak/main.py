#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""main.py N SEED: moves guests of the lab between its hosts while processes are killed and networks cut, until N moves are made. tests/soak/run starts it."""
import collections
import concurrent.futures
import itertools
import os
import signal
import sys
import threading
import time

import daemons
import guests as guests_of
import watch
from cluster import Cluster, Refused, Stuck, wait_until
from draws import Move, Plan
from faults import Ledger, Striker
from score import Outcome, Score

HOSTS = ["h1", "h2", "h3"]
HOME_EVERY = 4  # batches
# Of guests. In the last one no daemon is ended: who looks for a leak needs a life that is long enough.
GENERATIONS = 3
TASK_S = 240
FINAL = ("success", "error", "cancelled")
# Of the life of a connection that nobody uses (IDLE_S in http/client.c), and some.
IDLE_S = 65


class Soak:
    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.watcher = None
        self.guests = [guests_of.Checker(cluster, f"check{number}", HOSTS[number - 1], number) for number in (1, 2, 3)]
        self.guests.append(guests_of.Linux(cluster, "web", "h1", os.environ["SOAK_DISK"]))
        self.by_name = {guest.name: guest for guest in self.guests}
        self.plan = Plan(seed, list(self.by_name), len(HOSTS))
        self.ledger = Ledger()
        self.score = Score(self.ledger)
        self.striker = Striker(cluster, self.ledger)
        self.daemons = daemons.Daemons(cluster)
        self.keys = itertools.count(1)

    # ---- one move ----

    def where(self, guest):
        """The host of a guest that can be moved; empty: it is off. Waits until the manager knows."""
        def known():
            vm = guest.show()
            if not vm or vm["move"]:
                return None
            return {"running": (vm["host"],), "off": ("",)}.get(vm["state"])
        return wait_until(f"the manager to know where {guest.name} is", known)[0]

    def make(self, move, note_begin=lambda: None):
        """The move from its request to its end. Returns its Outcome; None: the guest is off."""
        guest = self.by_name[move.guest]
        self.cluster.wait_up()
        source = self.where(guest)
        if not source:
            return None
        destination = [host for host in HOSTS if host != source][move.hop]
        outcome = Outcome(move, source, destination)
        body = {"vm": guest.name, "destination": destination, "options": move.options}
        note_begin()
        try:
            if move.is_dry_run:
                self.cluster.api.call("POST", "/v1/forecasts", body)
                outcome.state = "forecast"
            else:
                body["client_key"] = f"move-{next(self.keys)}"
                outcome.task = self.cluster.api.call("POST", "/v1/migrations", body)["task"]
        except Refused as refused:
            outcome.state, outcome.error = "refused", refused.error
        if outcome.task:
            self._follow(outcome)
        outcome.over()
        return outcome

    def _follow(self, outcome):
        task = outcome.task
        if outcome.move.cancel_after_s is not None:
            time.sleep(outcome.move.cancel_after_s)  # the moment is what was drawn
            try:
                self.cluster.api.call("POST", f"/v1/tasks/{task}/cancel")
            except Refused as refused:
                if refused.id not in ("too-late-to-cancel", "task-is-over"):
                    self.score.problem(f"task {task} cannot be cancelled: {refused}")

        def over():
            document = self.cluster.api.get(f"/v1/tasks/{task}")
            return document if document["state"] in FINAL else None
        document = wait_until(f"task {task} to end", over, TASK_S)
        outcome.state, outcome.error, outcome.downtime_ms = document["state"], document["error"], document["downtime_ms"]
        guest = self.by_name[outcome.move.guest]
        expected = document["destination"] if outcome.state == "success" else document["source"]
        place = self.where(guest)
        if place and place != expected:
            self.score.problem(f"{outcome.text()}, and it runs on {place}")

    # ---- a batch ----

    def batch(self, batch):
        begin = time.time()
        self.watcher.begin_batch()
        started, outcomes, stuck = [], [], []

        def work(moves):
            try:
                for move in moves:
                    outcome = self.make(move, lambda: started.append(True))
                    if not outcome:
                        break
                    outcomes.append(outcome)
            except Exception as error:  # whatever it is, the others' thread must hear of it
                stuck.append(f"{moves[0].guest}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=work, args=(moves,), daemon=True) for moves in batch.moves.values()]
        for thread in threads:
            thread.start()

        def are_moving():
            return any(thread.is_alive() for thread in threads)
        for fault in batch.faults:
            while len(started) < fault.after_moves and are_moving():
                time.sleep(0.02)
            time.sleep(fault.delay_s)  # the moment is what was drawn
            if not self.striker.strike(fault, are_moving):
                self.ledger.missed += 1
        for thread in threads:
            thread.join()
        for text in self.ledger.since(begin):
            self.score.say(f"  {text}")
        for text in stuck:
            self.score.problem(text)
        for outcome in outcomes:
            self.score.take(outcome)
        self.cluster.wait_up(time.time())
        self.settle(outcomes)

    def settle(self, outcomes):
        """All is quiet, each guest is where it should be and whole, and those that died by design live again."""
        moved = collections.Counter(outcome.move.guest for outcome in outcomes if outcome.state == "success")
        watch.wait_quiet(self.cluster, self.guests)
        for text in watch.owners_wrong(self.cluster, self.guests):
            self.score.double(text)
        for text in sorted(self.watcher.conflicts):
            self.score.double(text)
        self.watcher.conflicts.clear()
        for guest in self.guests:
            changes = self.watcher.changes_of(guest)
            if changes > moved[guest.name]:
                self.score.double(f"{guest.name} moved {moved[guest.name]} times, and who writes its console changed {changes} times")
            if guest.show()["state"] == "off":
                self.revive(guest)
        self.ledger.may_be_dead.clear()
        self.count_losses()

    def count_losses(self):
        for guest in self.guests:
            bad, text = guest.lost_writes()
            if bad > guest.counted:
                self.score.lose(guest.name, bad - guest.counted, text)
                guest.counted = bad

    def revive(self, guest):
        if guest.uuid not in self.ledger.may_be_dead:
            self.score.lost_guests += 1
            self.score.problem(f"{guest.name} is off, and no QEMU of it was killed")
        self.score.died += 1
        bad = guest.note_death()
        if bad > guest.counted:
            self.score.lose(guest.name, bad - guest.counted, "before its QEMU was killed")
        guest.start()

    def go_home(self):
        """Moves without a fault, so that all is as it was when the soak began."""
        self.watcher.begin_batch()
        moves = []
        for guest in self.guests:
            source = self.where(guest)
            if source != guest.home:
                moves.append(Move(guest.name, [host for host in HOSTS if host != source].index(guest.home), {}))
        with concurrent.futures.ThreadPoolExecutor(len(self.guests)) as pool:
            outcomes = list(pool.map(self.make, moves))
        for outcome in outcomes:
            self.score.take(outcome)
        self.settle(outcomes)
        if any(guest.show()["host"] != guest.home for guest in self.guests):
            self.score.problem("not every guest is at home")
        self.daemons.sample(self.score.moves, True)

    def prove(self):
        guests_of.prove(self.guests)
        self.count_losses()

    # ---- the whole ----

    def new_guests(self, generation):
        """Others in place of those before; each starts on the host whose QEMU is the oldest, which all can follow."""
        def renew(guest):
            if generation:
                guest.remove()
            guest.take(generation * (len(self.guests) - 1) + self.guests.index(guest))
            guest.create(HOSTS[0])
        with concurrent.futures.ThreadPoolExecutor(len(self.guests)) as pool:
            list(pool.map(renew, self.guests))
        self.go_home()

    def run(self, n_moves):
        with watch.Watcher(self.cluster, self.guests) as self.watcher:
            self.new_guests(0)
            self._batches(n_moves)
            self.go_home()
            self.prove()
            self.wait_idle()
        for guest in self.guests:
            guest.remove()
        damage = self.by_name["web"].damage()
        if damage:
            self.score.lose("web", 1, damage)

    def _batches(self, n_moves):
        generation = n_batches = 0
        is_mild = False
        while self.score.moves < n_moves:
            n_batches += 1
            batch = self.plan.batch(is_mild)
            self.score.say(f"batch {n_batches}: {sum(map(len, batch.moves.values()))} moves, {len(batch.faults)} faults{' that end no daemon' if is_mild else ''}; "
                     f"{self.score.moves} moves so far")
            self.batch(batch)
            self.daemons.sample(self.score.moves, False)
            if n_batches % HOME_EVERY == 0:
                self.go_home()
                self.prove()
            if generation + 1 < GENERATIONS and self.plan.drawn >= (generation + 1) * n_moves / GENERATIONS:
                generation += 1
                self.go_home()
                self.prove()
                self.new_guests(generation)
                # From here on it is looked for leaks.
                is_mild = generation + 1 == GENERATIONS
                if is_mild:
                    self.wait_idle()

    def wait_idle(self):
        """Connections that nobody uses are closed after a minute: a sample after that says which sockets stay."""
        self.score.say("waits for idle connections to be closed")
        time.sleep(IDLE_S)  # the length of their life is what is waited for
        self.daemons.sample(self.score.moves, True, is_idle=True)


class Interrupted(Exception):
    """Who ends the soak wants to see how far it came."""


def interrupt(*_):
    raise Interrupted("interrupted before all moves were made")


def main():
    n_moves, seed = int(sys.argv[1]), sys.argv[2]
    soak = Soak(Cluster(os.environ["SOAK_LAB_NAME"], os.environ["GODWIT_LAB_DIR"], HOSTS), seed)
    print(f"seed {seed}: make soak N={n_moves} SEED={seed}", flush=True)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        soak.run(n_moves)
    except (Stuck, Refused, Interrupted) as error:
        soak.score.problem(str(error))
    lines, wrong = soak.daemons.judge()
    for text in wrong:
        soak.score.problem(text)
    soak.score.report(lines)
    return 1 if soak.score.problems else 0


sys.exit(main())
