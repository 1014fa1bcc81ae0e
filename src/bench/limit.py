# SPDX-License-Identifier: Apache-2.0
"""The machine's own limit: the raw loop between the two hosts of a lab, every sensible variant once to find the best."""
import json
import subprocess

from lab import BenchError

VARIANTS = (("pread", "populated", 1), ("pread", "populated", 2), ("pread", "populated", 4), ("pread", "pwrite", 1), ("pread", "pwrite", 2),
            ("mapping", "populated", 1), ("mapping", "populated", 2), ("sendfile", "populated", 2))
PIECE_KIB = 256
PORT = 4445
LIMIT_S = 120


def measure(lab, mib, variant):
    """The second of two repetitions: the machine below may have had to find the memory for the first."""
    take, place, connections = variant
    common = [lab.address("h2"), str(PORT), str(mib), str(connections), str(PIECE_KIB)]
    receiver = subprocess.Popen(["ip", "netns", "exec", lab.netns("h2"), lab.tools.raw_loop, "receive", *common, place], stdout=subprocess.PIPE, text=True)
    try:
        if receiver.stdout.readline().strip() != "listening":
            raise BenchError("the raw loop does not listen")
        command = ["ip", "netns", "exec", lab.netns("h1"), lab.tools.raw_loop, "send", *common, take, "2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        if done.returncode:
            raise BenchError(f"raw loop: {done.stderr.strip()}")
        receiver.wait(LIMIT_S)
    finally:
        receiver.kill()
        receiver.wait()
        receiver.stdout.close()
    figures = json.loads(done.stdout.strip().split("\n")[-1])
    return {"tool": "raw loop", "mode": f"{take} > {place}, {connections} connections", "ended": True, "error": None, "variant": variant,
            "total_ms": figures["seconds"] * 1000, "rate_mb_s": figures["bytes"] / figures["seconds"] / 1e6}


def best(samples):
    return max(samples, key=lambda sample: sample["rate_mb_s"])["variant"]
