#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md against the sources and tests/troubleshooting: no error that a move or a check can end with is missing, each has a cause and a
cure, each row of the symptoms has its test in that folder, each test its row, and both say the same."""
import glob
import os
import re
import subprocess
import sys

from calls import call_at

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = "docs/troubleshooting.md"
TESTS = "tests/troubleshooting"
# Rows of the table of vSphere's symptoms.
VSPHERE_ROWS = range(1, 37)
# They say that something went wrong, and not what.
GENERIC = {"internal", "timeout", "move-failed", "peer-lost", "connection-lost", "stream-ended"}
# Sources whose errors never reach a move, a dry run or a check: other commands, start and end of a daemon, certificates, the operator's settlement.
ELSEWHERE = """
    cli/* bench/* doctor/* trace/* store/*
    agent/adopt.c agent/boot.c agent/cgroup.c agent/config.c agent/console.c agent/enroll.c agent/facts.c agent/identity.c agent/local.c agent/local_call.c agent/main.c agent/orphan.c
    agent/renew.c agent/routes_settle.c agent/settle.c agent/shutdown.c agent/space.c agent/vm_balloon.c agent/vm_disks.c agent/disk_image.c agent/disk_plug.c
    http/access.c http/answer.c http/ca.c http/cert.c http/dispatch.c http/listen.c http/server.c
    manager/auth.c manager/backup.c manager/config.c manager/main.c manager/orphans.c manager/pools.c manager/routes_admin.c manager/routes_adopt.c
    manager/routes_console.c manager/routes_disks.c manager/routes_enroll.c manager/routes_hosts.c manager/routes_vms.c manager/settle.c manager/task_json.c
    model/pool.c model/ownership.c
"""
# Functions that take the id as an argument, and which argument that is.
SETTERS = {"err_set": 2, "err_sys": 2, "get_link": 2, "halt_ioctl_error": 1, "stream_failed": 2, "move_refuse_job": 2,
           "fields_refuse": 0, "refuse_twice": 0}

problems = []


def problem(text):
    problems.append(text)


def ids_of_sources():
    """All ids, and those that a move or a check can end with."""
    every, reaching = set(), {}
    elsewhere = {path for pattern in ELSEWHERE.split() for path in glob.glob(os.path.join(ROOT, "src", pattern))}
    for pattern in ELSEWHERE.split():
        if not glob.glob(os.path.join(ROOT, "src", pattern)):
            problem(f"tests/lint/catalogue.py: no file is called src/{pattern}")
    for path in sorted(glob.glob(os.path.join(ROOT, "src", "*", "*.c"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        found = set()
        for call in re.finditer(r"\b(" + "|".join(SETTERS) + r")\(", text):
            given, _ = call_at(text, call.end() - 1)
            number = SETTERS[call.group(1)]
            if len(given) > number:
                found |= set(re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"', given[number]))
        # A table of ids, of which one is chosen.
        found |= set(re.findall(r'\[\w+\]\s*=\s*\{"([a-z]+(?:-[a-z]+)+)",', text))
        every |= found
        if path not in elsewhere:
            for one in found:
                reaching.setdefault(one, os.path.relpath(path, ROOT))
    return every, reaching


def tables(text):
    """The tables of the page, by the heading before each: lists of rows, each a list of cells."""
    found, heading = {}, ""
    for line in text.split("\n"):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and not re.match(r"\|[-|: ]+\|$", line):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {name: rows[1:] for name, rows in found.items()}


def ids_in(cell):
    return re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", cell)


def numbers_in(cell):
    """Of the list of symptoms; what follows KB is an article's name."""
    return {int(number) for number in re.findall(r"\d+", cell.split("KB")[0])}


def check_ids(found, every, reaching):
    listed = []
    for name in ("All errors", "A wrong request", "The machine", "Damaged data and broken rules"):
        rows = found.get(name, [])
        if not rows:
            problem(f"{PAGE}: there is no table '{name}'")
        for row in rows:
            if len(row) != 3 or not all(row):
                problem(f"{PAGE}: {row[0]}: not id, cause and cure")
            if not ids_in(row[0]):
                problem(f"{PAGE}: {row[0]}: no id")
            listed += ids_in(row[0])
        first = [ids_in(row[0])[0] for row in rows if ids_in(row[0])]
        if first != sorted(first):
            wrong = next(two for one, two in zip(first, first[1:]) if one > two)
            problem(f"{PAGE}: {name}: {wrong} is not in its alphabetical place")
    for one in sorted(set(listed)):
        if listed.count(one) > 1:
            problem(f"{PAGE}: {one} is there {listed.count(one)} times")
        if one not in every:
            problem(f"{PAGE}: no source says {one}")
    for one in sorted(set(reaching) - set(listed)):
        problem(f"{PAGE}: {one} is missing, with which a move or a check can end ({reaching[one]})")
    return set(listed)


def ids_of_doctor():
    """Of the lines of `godwit doctor`, and of what keeps it from its work."""
    found = set()
    for path in glob.glob(os.path.join(ROOT, "src/doctor/*.c")):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        found |= set(re.findall(r'\{"([a-z-]+)", "[^"]+", [A-Z_]+, check_', text) + re.findall(r'err_(?:set|sys)\([^"]*"([a-z-]+)"', text))
    return found


def said_by(path):
    """The ids that a row's test expects; nothing where it expects a move that succeeds."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    lists = re.findall(r"^(?:finds|examined)=\((.*?)\)", text, re.M | re.S)
    ends = re.search(r"^ends='?([^'|\n]+)", text, re.M)
    found = set(re.findall(r"'\w+\|([a-z-]+)[|']", " ".join(lists)))
    if ends and ends.group(1) != "moved":
        found.add(ends.group(1))
    return found


def check_symptoms(rows, listed):
    tests, numbers = set(), set()
    for row in rows:
        if len(row) != 7 or not all(row):
            problem(f"{PAGE}: the symptom '{row[0]}' has not seven cells that say something")
            continue
        numbers |= numbers_in(row[0])
        said, test = set(ids_in(row[2])), re.fullmatch(rf"`({TESTS}/[0-9k][^`]*\.sh)`", row[6])
        if said & GENERIC:
            problem(f"{PAGE}: the symptom '{row[0]}' ends in {', '.join(sorted(said & GENERIC))}")
        for one in sorted(said - listed):
            problem(f"{PAGE}: the symptom '{row[0]}' names {one}, which is neither among all errors nor the doctor's")
        if not test:
            problem(f"{PAGE}: the symptom '{row[0]}' has no test in {TESTS}, but {row[6]}")
            continue
        path = test.group(1)
        tests.add(path)
        if not os.path.exists(os.path.join(ROOT, path)):
            problem(f"{PAGE}: there is no {path}")
        elif said_by(path) - said:
            problem(f"{PAGE}: {path} expects {', '.join(sorted(said_by(path) - said))}, its row says {', '.join(sorted(said)) or 'nothing'}")
    return tests, numbers


def check_folder(tests):
    for path in sorted(glob.glob(os.path.join(ROOT, TESTS, "[0-9k]*.sh"))):
        name = os.path.relpath(path, ROOT)
        if name not in tests:
            problem(f"{PAGE}: no row names {name}")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if not re.search(r"^inject\(\)", text, re.M) or not re.search(r"^(finds|ends|examined)=", text, re.M):
            problem(f"{name}: no trouble, or nothing that is expected of it")


def check_scripts():
    scripts = glob.glob(os.path.join(ROOT, TESTS, "*"))
    result = subprocess.run(["bash", "-n", *scripts], capture_output=True, text=True)
    if result.returncode:
        problem(result.stderr.strip())


def main():
    with open(os.path.join(ROOT, PAGE), encoding="utf-8") as file:
        found = tables(file.read())
    every, reaching = ids_of_sources()
    listed = check_ids(found, every, reaching)
    tests, numbers = check_symptoms(found.get("Symptoms", []), listed | ids_of_doctor())
    for row in found.get("What cannot happen here", []):
        numbers |= numbers_in(row[0])
        if len(row) != 3 or not all(row):
            problem(f"{PAGE}: '{row[0]}' has no reason")
    for number in VSPHERE_ROWS:
        if number not in numbers:
            problem(f"{PAGE}: the symptom {number} is in no table")
    check_folder(tests)
    check_scripts()
    for text in problems:
        print(text)
    print(f"catalogue: {len(listed)} ids, {len(tests)} tests, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
