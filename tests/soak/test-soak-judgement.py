#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the soak draws, and what it makes of figures that are known beforehand. Needs no guest and no lab."""
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import daemons  # noqa: E402
import draws  # noqa: E402
import faults  # noqa: E402
import watch  # noqa: E402

GUESTS = ["one", "two", "three"]


def drawn(seed, n=200):
    plan = draws.Plan(seed, GUESTS, 3)
    return [plan.batch(is_mild=False) for _ in range(n)]


class Draws(unittest.TestCase):
    def test_the_same_seed_draws_the_same_and_another_seed_another(self):
        self.assertEqual(drawn("1"), drawn("1"))
        self.assertNotEqual(drawn("1"), drawn("2"))

    def test_every_kind_of_fault_and_every_value_of_an_option_comes(self):
        batches = drawn("1")
        self.assertEqual({fault.kind for batch in batches for fault in batch.faults}, {*draws.MILD, *draws.HARD})
        moves = [move for batch in batches for moves in batch.moves.values() for move in moves]
        for name, values in draws.OPTIONS.items():
            self.assertEqual({move.options.get(name) for move in moves}, set(values))
        self.assertTrue(any(move.is_dry_run for move in moves) and any(move.cancel_after_s is not None for move in moves))

    def test_a_mild_batch_ends_no_daemon(self):
        plan = draws.Plan("1", GUESTS, 3)
        kinds = {fault.kind for _ in range(200) for fault in plan.batch(is_mild=True).faults}
        self.assertEqual(kinds, set(draws.MILD))


def life(*samples):
    """A daemon's life: (moves, KiB, sockets, other descriptors, is it home and idle)."""
    series = daemons.Series("daemon")
    series.samples = [daemons.Sample(moves, kib, kib, sockets, others, is_quiet, is_quiet) for moves, kib, sockets, others, is_quiet in samples]
    return series


class Leaks(unittest.TestCase):
    def test_memory_that_grows_with_the_moves_is_found(self):
        series = life(*[(moves, 5000 + 20 * moves, 5, 20, False) for moves in range(0, 200, 8)])
        self.assertAlmostEqual(series.growth_kib(), 2000)
        self.assertEqual(len(series.problems()), 1)

    def test_memory_that_fills_its_caches_or_jumps_once_is_flat(self):
        series = life(*[(moves, min(8000, 5000 + 200 * moves) + (900 if moves == 80 else 0), 5, 20, False) for moves in range(0, 200, 8)])
        self.assertAlmostEqual(series.growth_kib(), 0)
        self.assertEqual(series.problems(), [])

    def test_a_life_with_few_moves_is_not_judged(self):
        self.assertIsNone(life(*[(moves, 5000 + 100 * moves, 5, 20, False) for moves in range(0, 60, 8)]).growth_kib())

    def test_a_descriptor_that_stays_is_found_where_the_guests_are_the_same(self):
        self.assertEqual(life((0, 1, 5, 20, True), (8, 1, 5, 24, False), (16, 1, 5, 20, True)).problems(), [])
        self.assertEqual(len(life((0, 1, 5, 20, True), (16, 1, 5, 21, True)).problems()), 1)
        self.assertEqual(len(life((0, 1, 5, 20, True), (16, 1, 6, 20, True)).problems()), 1)


class Guest:
    """A fake: consoles that the test writes."""

    def __init__(self, folder):
        self.name = self.uuid = "guest"
        self.folder = folder

    def console(self, host):
        return os.path.join(self.folder, host)

    def write(self, host):
        with open(self.console(host), "a", encoding="utf-8") as file:
            file.write("line\n")


class Hosts:
    hosts = ["h1", "h2"]


class Doubles(unittest.TestCase):
    def changes(self, *looks):
        """How often the writer changed; each look finds what these hosts wrote before it."""
        with tempfile.TemporaryDirectory() as folder:
            guest = Guest(folder)
            watcher = watch.Watcher(Hosts, [guest])
            watcher.begin_batch()
            for hosts in looks:
                for host in hosts:
                    guest.write(host)
                watcher.look()
            return watcher.changes_of(guest)

    def test_a_guest_that_moves_changes_its_host_once(self):
        self.assertEqual(self.changes(["h1"], ["h1"], [], ["h2"], ["h2"]), 1)
        self.assertEqual(self.changes(["h1"], ["h1", "h2"], ["h2"]), 1)
        self.assertEqual(self.changes(["h2"], ["h1", "h2"], ["h1"], ["h2"]), 2)

    def test_a_guest_that_runs_twice_changes_with_every_look(self):
        self.assertEqual(self.changes(["h1"], ["h1", "h2"], ["h1", "h2"], ["h1", "h2"]), 3)


class Explanations(unittest.TestCase):
    def test_a_fault_explains_what_failed_while_it_was_felt_on_its_host(self):
        ledger = faults.Ledger()
        ledger.add(faults.Struck(None, {"h1"}, 100.0, "fault", 102.0))
        self.assertTrue(ledger.explain(90, 101, {"h1", "h2", "manager"}))
        self.assertTrue(ledger.explain(103, 110, {"h1", "h2", "manager"}))
        self.assertFalse(ledger.explain(90, 99, {"h1", "h2", "manager"}))
        self.assertFalse(ledger.explain(90, 101, {"h2", "h3", "manager"}))
        self.assertFalse(ledger.explain(102 + faults.FELT_S + 1, 200, {"h1", "h2", "manager"}))


unittest.main()
