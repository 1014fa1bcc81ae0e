# SPDX-License-Identifier: Apache-2.0
"""The machine's own limit: godwit-raw-loop between the two hosts of a lab, every sensible variant once to find the best."""
import json
import subprocess

from lab import BenchError

TAKES = ("read", "map", "sendfile")
PLACES = ("map", "write")
CONNECTIONS = (1, 2, 4)


def measure(lab, mib, variant):
    take, place, connections = variant
    command = [lab.tools.raw_loop, f"/run/netns/{lab.netns('h1')}", f"/run/netns/{lab.netns('h2')}", lab.address("h2"), str(mib), str(connections), take, place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise BenchError(f"raw loop: {done.stderr.strip()}")
    figures = json.loads(done.stdout)
    return {"tool": "raw loop", "mode": f"{take} > {place}, {connections} connections", "ended": True, "error": None, "variant": variant,
            "total_ms": figures["seconds"] * 1000, "rate_mb_s": figures["mb_s"]}


def all_variants(lab, mib):
    return [measure(lab, mib, (take, place, connections)) for take in TAKES for place in PLACES for connections in CONNECTIONS]


def best(samples):
    return max(samples, key=lambda sample: sample["rate_mb_s"])["variant"]
