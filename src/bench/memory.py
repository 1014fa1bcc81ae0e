# SPDX-License-Identifier: Apache-2.0
"""The memory of the machine. Where it is itself a virtual machine, the host below gives it each page at its first touch, which takes longer than all that a
move does with it, and takes back what was free for some seconds (the guest's kernel reports it). So who is measured gets memory that was touched a moment ago."""
import mmap
import multiprocessing

SPARE_MIB = 128


def available_mib():
    with open("/proc/meminfo", encoding="utf-8") as file:
        return next(int(line.split()[1]) >> 10 for line in file if line.startswith("MemAvailable:"))


def touch(mib):
    mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def warm(mib):
    """Touches so much of what is free, in a process that gives it back."""
    child = multiprocessing.Process(target=touch, args=(mib + SPARE_MIB,))
    child.start()
    child.join()
