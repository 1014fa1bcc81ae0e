#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can check: dependency law, sizes, names, licence lines, format."""
import os
import re
import subprocess
import sys

from calls import call_at

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAX_FILE_LINES = 800
MAX_FUNCTION_LINES = 80
MAX_PARAMETERS = 5
ERR_ARGS_MAX = 8  # src/base/err.h

# Folder -> folders whose headers it may include (its own always). ARCHITECTURE.md holds the same table with the reasons.
LAW = {
    "base": set(),
    "ctl": {"base"},
    "wire": {"base"},
    "engine": {"base", "wire"},
    "trace": {"base", "ctl"},
    "model": {"base"},
    "qemu": {"base", "model"},
    "job": {"base", "ctl", "wire", "engine"},
    "door": {"base", "ctl", "wire"},
    "http": {"base", "model"},
    "store": {"base", "model"},
    "agent": {"base", "ctl", "model", "qemu", "http"},
    "manager": {"base", "model", "http", "store"},
    "doctor": {"base", "model", "qemu", "http", "agent", "manager"},
    "cli": {"base", "model", "http", "doctor"},
    "bench": set(),
}
# Library headers that only some folders may see.
LIBRARIES = {
    r"glib|gio/|json-glib": {"model", "qemu", "http", "store", "agent", "manager", "doctor", "cli"},
    r"libsoup": {"http"},
    r"sqlite3": {"store"},
    r"gnutls": {"http", "job", "engine"},
    r"netlink": {"agent"},
    r"seccomp": {"job", "door"},
    r"systemd": {"agent", "manager"},
    r"cap-ng": {"job", "door", "agent"},
}

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True,
                         text=True, check=True).stdout
    return [path for path in out.split("\n") if path and os.path.exists(os.path.join(ROOT, path))]


def check_law(path, lines):
    parts = path.split("/")
    if parts[0] != "src":
        return
    folder = parts[1]
    if folder not in LAW:
        problem(path, 1, f"folder src/{folder} is not in the dependency law")
        return
    for number, line in enumerate(lines, 1):
        own = re.match(r'#include "([a-z]+)/', line)
        if own and own.group(1) != folder and own.group(1) not in LAW[folder]:
            problem(path, number, f"{folder}/ may not include {own.group(1)}/")
        system = re.match(r"#include <([^>]+)>", line)
        if system:
            for pattern, allowed in LIBRARIES.items():
                if re.match(pattern, system.group(1)) and folder not in allowed:
                    problem(path, number, f"{folder}/ may not use <{system.group(1)}>")
        if re.match(r'#include "\.\./', line):
            problem(path, number, "include by folder name, not by ../")


def check_sizes(path, lines):
    if len(lines) > MAX_FILE_LINES:
        problem(path, 1, f"{len(lines)} lines, more than {MAX_FILE_LINES}")
    if not path.endswith(".c"):
        return
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            if number - start - 1 > MAX_FUNCTION_LINES:
                problem(path, start, f"a function of {number - start - 1} lines, more than {MAX_FUNCTION_LINES}")
            start = None


def check_text(path, lines):
    first = "\n".join(lines[:3])
    if "SPDX-License-Identifier: Apache-2.0" not in first:
        problem(path, 1, "no SPDX licence line at the top")
    for number, line in enumerate(lines, 1):
        if path != "tests/lint/lint.py" and re.search(r"\b(TODO|FIXME|XXX|HACK)\b|#if 0\b", line):
            problem(path, number, "unfinished work or dead code")
        if path != "tests/lint/lint.py" and re.search(r"deb\.debian\.org|registry\.npmjs|/work/main", line):
            problem(path, number, "a registry host or a machine path")
        if line.rstrip() != line:
            problem(path, number, "white space at the end of the line")


def check_names(path, text):
    if not path.endswith((".c", ".h")):
        return
    for match in re.finditer(r"^(?:static )?(?:const )?[a-z_][\w ]*[ \*]+(godwit\w*)\s*\(", text, re.M):
        problem(path, text[: match.start()].count("\n") + 1, f"the product's name in the symbol {match.group(1)}")
    for match in re.finditer(r"^typedef struct", text, re.M):
        problem(path, text[: match.start()].count("\n") + 1, "a typedef of a struct")
    if path.startswith("src/"):
        for match in re.finditer(r"json_object_get_\w+_member_with_default", text):
            problem(path, text[: match.start()].count("\n") + 1, f"{match.group()} complains of foreign types: model_int, model_text and the like do not")
    if path.startswith("src/") and not path.endswith("main.c") and not path.startswith("src/agent/launch"):
        for match in re.finditer(r"[^_\w.]exit\s*\(", text):
            problem(path, text[: match.start()].count("\n") + 1, "exit() outside main.c")
    for match in re.finditer(r"^[a-z][\w \*]*?\b(\w+)\(([^;{}()]*(?:\([^()]*\)[^;{}()]*)*)\)\n\{", text, re.M):
        parameters = re.sub(r"\([^()]*\)", "", match.group(2))
        # The error value and a callback's `user` come with every signature of their kind.
        counted = [word for word in parameters.split(",") if not re.search(r"struct err \*err$|void \*user$|\.\.\.$", word.strip())]
        if len(counted) > MAX_PARAMETERS:
            problem(path, text[: match.start()].count("\n") + 1, f"{match.group(1)} has too many parameters")


def check_arguments(path, text):
    """What the message of an error speaks of is in its arguments: a translation has no more than these and the id."""
    if not re.match(r"src/(manager|agent|model|http|qemu)/.*\.c$", path):
        return
    sites = [match.end() for match in re.finditer(r"\berr_(?:set|sys)(?=\()", text)]
    for number, start in enumerate(sites):
        parts, end = call_at(text, start)
        # A plural's letter, or a colon before what may be empty, is none.
        n_values = len([value for value in parts[4:] if not re.search(r'\? ""|: ""', value)])
        until = min([sites[number + 1] if number + 1 < len(sites) else len(text), text.find("\n}\n", end)])
        rest = text[end:until]
        # move_source.c's name() gives VM and host.
        n_given = len(re.findall(r"\berr_arg\(", rest)) + 2 * len(re.findall(r"(?<!_)\bname\(", rest))
        if n_given < min(n_values, ERR_ARGS_MAX):
            problem(path, text[:start].count("\n") + 1, f"the error {parts[2]} has {n_values} values and {n_given} arguments")


def check_format(paths):
    result = subprocess.run(["clang-format-14", "--dry-run", "--Werror", *paths], cwd=ROOT, capture_output=True, text=True)
    for line in result.stderr.split("\n"):
        if "error:" in line:
            problems.append(line)
    if result.returncode and "error:" not in result.stderr:
        problems.append(f"clang-format failed: {result.stderr.strip()}")


def main():
    sources = tracked("*.c", "*.h")
    others = tracked("*.sh", "*.py", "*.S", "*.pml", "*.sql", "*meson.build", "Makefile", "scripts/*", "packaging/*", ".ci/run", "tests/run-all")
    for path in sources + others:
        if path.endswith((".txt", ".md")):
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        lines = text.split("\n")
        check_text(path, lines[:-1] if lines[-1] == "" else lines)
        if path.startswith("tests/e2e/") and not os.access(os.path.join(ROOT, path), os.X_OK):
            problem(path, 1, "the suite runs it as a program: chmod +x")
        if path in sources:
            check_law(path, lines)
            check_sizes(path, lines)
            check_names(path, text)
            check_arguments(path, text)
    if sources:
        check_format(sources)
    for text in problems:
        print(text)
    print(f"lint: {len(sources) + len(others)} files, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
