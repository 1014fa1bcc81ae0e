# SPDX-License-Identifier: Apache-2.0
"""The cases and their bars, as data. All guests run under KVM but those whose case says TCG; 1 vCPU unless said. Where there is no KVM, under_tcg() makes
the nearest thing of each."""
import dataclasses
import typing

import compare
import disks
import figures
import forecast
import outage
import qemu
import several
import tracking
from figures import at_least_share, at_most, near, share
from guest import GuestSpec
from outage import Cut

DENSE = (qemu.PLAIN, qemu.MULTIFD_2, qemu.MULTIFD_4)
HOT = (qemu.CONVERGE, qemu.CONVERGE_FAST)
GBIT = "1gbit"
IDLE = "mode=read rate=1"
TCG_SLOWNESS = 8


@dataclasses.dataclass
class Case:
    name: str
    title: str
    run: typing.Callable  # (context, case) -> compare.Result
    guest: GuestSpec
    bars: list
    link: typing.Optional[str] = None  # None: not shaped
    goal_ms: int = 100
    modes: tuple = ()  # of QEMU, to find its best
    options: tuple = ()  # of ours
    needs: tuple = ()  # options without which the case cannot be shown
    beside: typing.Optional[GuestSpec] = None  # a second guest, moved by us in each pair
    also: tuple = ()  # (mode of QEMU, group) measured whether it is the best or not
    variants: tuple = ()  # against_itself: ours, (name, options of the other way)
    cuts: tuple = ()
    guests: tuple = ()
    about_kvm: bool = False  # without it, what is measured is only the closest figure
    is_linux: bool = False  # `guest` is what a Linux guest looks like
    runs: int = 0  # fewer than the others', where a run takes more than 30 s


def work_lost(factor, of="QEMU best"):
    return share("work lost", "work_lost_s", factor, "s", of=of)


def idle(memory):
    return GuestSpec(memory, 256, IDLE)


def hot(name, title, guest, limit_ms, modes, about_kvm=False):
    return Case(name, title, compare.against_qemu, guest, link=GBIT, goal_ms=50, modes=modes, about_kvm=about_kvm, bars=[
        at_most("total", "total_ms", limit_ms, "ms"), at_most("downtime", "downtime_ms", 60, "ms"), at_most("longest gap", "gap_ms", 80, "ms"),
        figures.converges(), figures.median_stun(100), work_lost(0.25, "auto-converge")])


FULL = GuestSpec(1024, 1000, IDLE)
TEXT = GuestSpec(1024, 800, IDLE + " fill=text")
READER = GuestSpec(1024, 256, "mode=read rate=0")
SMALL_HOT = GuestSpec(1024, 64, "rate=0")
BUSY = GuestSpec(1024, 256, "rate=100")
WORDS = GuestSpec(1024, 256, "rate=0 mode=word")
HOT_1 = GuestSpec(1024, 256, "rate=0")
DENSE_6G = GuestSpec(6144, 6080, "rate=20", sweep_ms=12000)
SPARSE_16G = GuestSpec(16384, 960, "rate=20 spread=16", sweep_ms=3000)
FOUR = GuestSpec(512, 480, IDLE)
LINUX = GuestSpec(512, 64, "Linux", accel="tcg")
CUT = GuestSpec(1024, 800, "rate=1")

CASES = [
    Case("idle-1g", "idle, 1 GiB, 256 MB used", compare.against_qemu, idle(1024), modes=DENSE, bars=[share("total", "total_ms", 0.5, "ms")]),
    Case("idle-4g", "idle, 4 GiB, 256 MB used", compare.against_qemu, idle(4096), modes=DENSE, beside=idle(1024), bars=[
        share("total", "total_ms", 0.5, "ms"), share("holes cost nothing", "total_ms", 1.3, "ms", group="beside", of="1 GiB")]),
    Case("full-1g", "1 GiB of incompressible data, idle", compare.against_limit, FULL, bars=[at_least_share("throughput", "rate_mb_s", 0.8, "MB/s", "raw loop")]),
    Case("full-1g-encrypted", "the same, encrypted", compare.against_itself, FULL, needs=("--encryption",),
         variants=(["--encryption", "required"], ("plain", ["--encryption", "disabled"])), bars=[at_least_share("throughput", "rate_mb_s", 0.5, "MB/s", "plain")]),
    Case("busy-100", "256 MB dirtied at 100 MB/s", compare.against_qemu, BUSY, modes=DENSE, bars=[
        share("total", "total_ms", 0.5, "ms"), at_most("downtime", "downtime_ms", 15, "ms"), near("downtime beside QEMU's", "downtime_ms", 5, "ms"), work_lost(0.35)]),
    hot("hot-1", "256 MB rewritten at random, 1 Gbit/s", HOT_1, 8000, (qemu.PLAIN, *HOT)),
    hot("hot-2-kvm", "the same, 2 vCPUs", GuestSpec(1024, 256, "rate=0 intr=1", cpus=2), 10000, HOT, about_kvm=True),
    hot("hot-4-tcg", "the same, 4 vCPUs, TCG", GuestSpec(1024, 256, "rate=0", cpus=4, accel="tcg"), 10000, HOT),
    Case("delta", "256 MB, 8 bytes changed per page at random, 1 Gbit/s", compare.against_itself, WORDS, link=GBIT, goal_ms=50, needs=("--delta",),
         variants=(["--delta", "on"], ("without delta", ["--delta", "off"])), bars=[share("total", "total_ms", 0.6, "ms", of="without delta")]),
    Case("text-1gbit", "800 MB of text-like data, 1 Gbit/s", compare.against_qemu, TEXT, link=GBIT, modes=DENSE,
         also=((qemu.Mode(qemu.ZSTD_2.name, qemu.ZSTD_2.capabilities, ("10",), multifd_channels=2, multifd_compression="zstd"), "zstd"),), bars=[
             figures.wire_share(0.4, TEXT), share("total", "total_ms", 0.5, "ms"), share("total beside zstd", "total_ms", 1.0, "ms", group="zstd", of="QEMU 10 multifd zstd")]),
    Case("text-unshaped", "the same, unshaped link", compare.against_itself, TEXT, needs=("--compression",),
         variants=(["--compression", "auto"], ("without compression", ["--compression", "off"])), bars=[share("total", "total_ms", 1.1, "ms", of="without compression")]),
    Case("readonly", "256 MB read as fast as it can, unshaped link", compare.against_qemu, READER, modes=DENSE, bars=[figures.never_throttled(), work_lost(0.35)]),
    Case("readonly-1gbit", "the same, 1 Gbit/s", compare.against_qemu, READER, link=GBIT, modes=DENSE, bars=[figures.never_throttled(), work_lost(0.35)]),
    Case("small-hot", "64 MB rewritten at random, unshaped link", compare.against_qemu, SMALL_HOT, modes=(*DENSE, qemu.CONVERGE), bars=[
        figures.never_throttled(), work_lost(0.35)]),
    Case("dense-6g", "protect and scan on 6 GiB dense, copied at 400 MB/s", tracking.big_guest, DENSE_6G, options=("--bandwidth", "400"), about_kvm=True, runs=3, bars=[
        at_most("longest gap while it is copied", "tracking_gap_ms", 5, "ms"), at_most("job memory", "job_bytes", tracking.job_limit(DENSE_6G), "MB", of_median=False)]),
    Case("sparse-16g", "the same on 16 GiB, every 16th page used", tracking.big_guest, SPARSE_16G, options=("--bandwidth", "400"), about_kvm=True, bars=[
        at_most("longest gap while it is copied", "tracking_gap_ms", 5, "ms"), at_most("job memory", "job_bytes", tracking.job_limit(SPARSE_16G), "MB", of_median=False)]),
    Case("four-moves", "four of 512 MiB at once", several.four_at_once, FOUR, bars=[at_least_share("throughput of all", "rate_mb_s", 0.9, "MB/s", "one move")]),
    # Unshaped, one move takes all cores of a small machine, and the start of the others' QEMUs takes them too.
    Case("four-moves-1gbit", "the same, 1 Gbit/s", several.four_at_once, FOUR, link=GBIT, bars=[
        at_least_share("throughput of all", "rate_mb_s", 0.9, "MB/s", "one move")]),
    Case("two-links", "two links of 500 Mbit/s", several.two_links, GuestSpec(512, 480, IDLE), link="500mbit", bars=[
        at_least_share("throughput", "rate_mb_s", 1.8, "MB/s", "one link")]),
    Case("link-cut", "the link is cut, 1 Gbit/s", outage.cuts, CUT, link=GBIT, bars=[], cuts=tuple(Cut(at, seconds) for seconds in (1, 10, 30) for at in (0.3, 0.6, 0.9))),
    Case("disk", "a Linux guest that writes to a disk, TCG", disks.beside_none, LINUX, is_linux=True, bars=[
        share("downtime", "downtime_ms", 1.5, "ms", of="no disk")]),
    Case("forecast", "--dry-run beside what the moves took", forecast.over_all_cases, BUSY, bars=[], needs=("--dry-run",),
         guests=((idle(1024), None), (BUSY, None), (HOT_1, GBIT))),
]


def without_kvm(guest):
    """Proving its memory takes a guest so much longer; as often as under KVM, it would never be idle."""
    return dataclasses.replace(guest, accel="tcg", sweep_ms=TCG_SLOWNESS * guest.sweep_ms)


def under_tcg(case):
    return dataclasses.replace(case, guest=without_kvm(case.guest), beside=case.beside and without_kvm(case.beside),
                               guests=tuple((without_kvm(guest), link) for guest, link in case.guests))


def find(names):
    """The cases of these names in their order here; raises KeyError with the first name that is none."""
    for name in names:
        if name not in {case.name for case in CASES}:
            raise KeyError(name)
    return [case for case in CASES if case.name in names] if names else CASES
