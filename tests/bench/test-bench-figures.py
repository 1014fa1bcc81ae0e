#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark makes of a guest's lines and of samples, with figures that are known beforehand. Needs no guest and no lab."""
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../src/bench"))

import cases  # noqa: E402
import compare  # noqa: E402
import figures  # noqa: E402
import guest  # noqa: E402
import plots  # noqa: E402


def lines(*steps, rate=1000.0):
    """A guest's lines: (host seconds since the last one, guest's seconds, share of its normal work, longest gap in us)."""
    when, t_ms, total, made = 100.0, 0, 0.0, []
    for host_s, guest_s, share, gap_us in steps:
        when, t_ms, total = when + host_s, t_ms + guest_s * 1000, total + host_s * rate * share
        made.append(guest.Line(when, round(t_ms), round(total), 0, gap_us, 0))
    return made


class Fixed:
    """A console whose lines are all there."""

    def __init__(self, made):
        self.lines = made


NORMAL_STEP = (0.1, 0.1, 1.0, 2000)


class GuestView(unittest.TestCase):
    def test_work_lost_is_the_time_that_the_missing_work_would_have_taken(self):
        before, after = [NORMAL_STEP] * 20, [NORMAL_STEP] * 20
        normal = guest.Normal(lines(*before))
        made = lines(*before, *[(0.1, 0.1, 0.5, 2000)] * 10, *after)
        begin = made[19].time
        seen = guest.view(Fixed(made), normal, begin, begin + 1.0)
        self.assertAlmostEqual(seen["work_lost_s"], 0.5, places=2)
        self.assertAlmostEqual(seen["gap_ms"], 2, places=2)

    def test_work_that_stays_slow_after_the_move_is_lost_too(self):
        before = [NORMAL_STEP] * 20
        normal = guest.Normal(lines(*before))
        made = lines(*before, *[NORMAL_STEP] * 2, *[(0.1, 0.1, 0.0, 2000)] * 10, *[NORMAL_STEP] * 20)
        begin = made[19].time
        self.assertAlmostEqual(guest.view(Fixed(made), normal, begin, begin + 0.2)["work_lost_s"], 1.0, places=2)

    def test_work_that_the_guest_catches_up_with_is_not_lost(self):
        before = [NORMAL_STEP] * 20
        normal = guest.Normal(lines(*before))
        made = lines(*before, *[(0.1, 0.1, 0.5, 2000)] * 4, *[(0.1, 0.1, 1.5, 2000)] * 2, *[NORMAL_STEP] * 20)
        begin = made[19].time
        self.assertAlmostEqual(guest.view(Fixed(made), normal, begin, begin + 0.4)["work_lost_s"], 0.1, places=2)

    def test_a_move_that_nobody_noticed_lost_nothing(self):
        made = lines(*[NORMAL_STEP] * 60)
        normal = guest.Normal(made[:20])
        begin = made[19].time
        self.assertAlmostEqual(guest.view(Fixed(made), normal, begin, begin + 1.0)["work_lost_s"], 0, places=3)

    def test_a_stop_shows_whether_the_guests_clock_goes_on_or_not(self):
        goes_on = lines(*[NORMAL_STEP] * 5, (0.15, 0.15, 1.0, 50000), *[NORMAL_STEP] * 5)
        stands = lines(*[NORMAL_STEP] * 5, (0.15, 0.10, 1.0, 2000), *[NORMAL_STEP] * 5)
        self.assertAlmostEqual(guest.stood_still_ms(goes_on, 100, 102), 50, places=1)
        self.assertAlmostEqual(guest.stood_still_ms(stands, 100, 102), 52, places=1)

    def test_a_line_that_begins_on_one_host_and_ends_on_the_other_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
            console = guest.Console()
            try:
                for path, text in ((first, "CHK t_ms=100 work=5 total=5 bad=0 gap_us=7 sweeps=1 ticks=50 cpu0=5\nCHK t_ms=200 work=5 tot"),
                                   (second, "al=10 bad=0 gap_us=8 sweeps=2 ticks=99 cpu0=10\n")):
                    console.follow(path)
                    with open(path, "w", encoding="utf-8") as file:
                        file.write(text)
                    console.wait("a line", lambda count=2 if path == second else 1: len(console.lines) == count, 10)
                self.assertEqual([(line.t_ms, line.total, line.gap_us, line.sweeps) for line in console.lines], [(100, 5, 7, 1), (200, 10, 8, 2)])
            finally:
                console.close()


def sample(tool="Godwit", **members):
    return {"tool": tool, "mode": "", "ended": True, "error": None, "bad": 0, **members}


class Bars(unittest.TestCase):
    def test_the_verdict_is_one_of_three_words(self):
        bar = figures.share("total", "total_ms", 0.5, "ms")
        theirs = [sample("QEMU", total_ms=1000), sample("QEMU", total_ms=1200), sample("QEMU", total_ms=800)]
        self.assertEqual(bar.row({"Godwit": [sample(total_ms=500)], "other": theirs}).verdict, "met")
        self.assertEqual(bar.row({"Godwit": [sample(total_ms=501)], "other": theirs}).verdict, "NOT MET")
        self.assertEqual(bar.row({"Godwit": [sample(total_ms=500)], "other": [dict(sample("QEMU"), ended=False, error="no QEMU")]}).verdict, "n/a: no QEMU")

    def test_one_failed_move_of_ours_is_never_met(self):
        bar = figures.at_most("downtime", "downtime_ms", 15, "ms")
        failed = dict(sample(), ended=False, error="peer-lost: x")
        row = bar.row({"Godwit": [sample(downtime_ms=1), failed]})
        self.assertEqual(row.verdict, "NOT MET")
        self.assertIn("peer-lost", row.ours)

    def test_our_lost_writes_count_and_those_of_qemu_are_said(self):
        self.assertEqual(figures.memory_row({"Godwit": [sample()], "other": [sample("QEMU 7.2", bad=3)]}).verdict, "met")
        self.assertIn("3", figures.memory_row({"Godwit": [sample()], "other": [sample("QEMU 7.2", bad=3)]}).other)
        self.assertEqual(figures.memory_row({"Godwit": [sample()], "other": [sample(bad=1)]}).verdict, "NOT MET")

    def test_the_median_stun_comes_from_the_histogram(self):
        stuns = [{"up_to_us": 50, "count": 4}, {"up_to_us": 100, "count": 2}, {"up_to_us": 5000, "count": 5}]
        self.assertEqual(figures.median_stun(100).row({"Godwit": [sample(stuns=stuns)]}).verdict, "met")
        stuns[2]["count"] = 7
        self.assertEqual(figures.median_stun(100).row({"Godwit": [sample(stuns=stuns)]}).verdict, "NOT MET")

    def test_a_throttled_round_in_which_more_was_dirtied_than_sent_does_not_converge(self):
        rounds = [{"pages": 100, "dirty_pages": 200, "stun_us": 0}, {"pages": 200, "dirty_pages": 199, "stun_us": 5}]
        self.assertEqual(figures.converges().row({"Godwit": [sample(rounds=rounds)]}).verdict, "met")
        rounds[0]["stun_us"] = 1
        self.assertEqual(figures.converges().row({"Godwit": [sample(rounds=rounds)]}).verdict, "NOT MET")


class Cases(unittest.TestCase):
    def test_every_case_is_found_by_its_name_and_fits_its_guest(self):
        self.assertEqual(len({case.name for case in cases.CASES}), len(cases.CASES))
        self.assertEqual([case.name for case in cases.find(["hot-1", "idle-1g"])], ["idle-1g", "hot-1"])
        self.assertRaises(KeyError, cases.find, ["no-such-case"])

    def test_a_plot_is_drawn_of_rounds_and_of_qemus_series(self):
        result = compare.Result(cases.find(["busy-100"])[0])
        rounds = [{"n": 0, "pages": 65536, "bytes": 268435456, "ms": 300, "dirty_pages": 9000, "stun_us": 0}]
        result.groups["Godwit"] = [sample(rounds=rounds, total_ms=310, work=[[-0.1, 1.0], [0.0, 0.9]])]
        result.groups["other"] = [sample("QEMU 7.2", series=[[0.1, 1000, 500, 0], [0.2, 2000, 0, 50]], total_ms=900, work=[[0.1, 0.5]])]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "plot.svg")
            self.assertTrue(plots.write(result, path))
            drawn = xml.etree.ElementTree.parse(path).findall("{http://www.w3.org/2000/svg}polyline")
            self.assertEqual(len(drawn), 8)


if __name__ == "__main__":
    unittest.main()
