# SPDX-License-Identifier: Apache-2.0
"""The table, the JSON of every run, and the machine that they are from."""
import dataclasses
import os
import platform
import subprocess

HEADINGS = ("case", "measure", "Godwit", "compared with", "bar", "verdict")


def machine(tools):
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) >> 10
    version = subprocess.run([tools.godwit, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return {"kernel": platform.release(), "cores": os.cpu_count(), "memory_mib": memory, "godwit": version, "qemu": sorted(tools.qemu), "load_1min": os.getloadavg()[0]}


def rows(results):
    return [(result.case.name, row.measure, row.ours, row.other, row.bar, row.verdict) for result in results for row in result.rows]


def task_durations(result):
    numbers = [sample["task_ms"] for sample in result.groups.get("Godwit", []) if sample.get("task_ms")]
    if not numbers:
        return []
    numbers.sort()
    return [(result.case.name, "(whole task)", f"{numbers[len(numbers) // 2]:.0f} ms ({numbers[0]:.0f}..{numbers[-1]:.0f})", "", "", "")]


def table(results):
    lines = [HEADINGS]
    for result in results:
        lines += rows([result]) + task_durations(result)
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    notes = [f"{result.case.name}: {note}" for result in results for note in dict.fromkeys(result.notes)]
    return "\n".join([*text, "", *notes]).rstrip() + "\n"


def document(results, tools, seconds):
    return {"machine": machine(tools), "seconds": round(seconds, 1), "cases": [{
        "name": result.case.name, "title": result.case.title, "guest": dataclasses.asdict(result.case.guest), "link": result.case.link or "not shaped",
        "goal_ms": result.case.goal_ms, "notes": result.notes, "rows": [row.as_dict() for row in result.rows], "runs": result.groups} for result in results]}
