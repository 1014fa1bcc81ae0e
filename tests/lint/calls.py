# SPDX-License-Identifier: Apache-2.0
"""Calls in C, as the lints read them."""


def call_at(text, start):
    """The arguments of the call whose name ends before `start`, split at their commas, and where it ends."""
    depth, quoted, parts, at = 0, False, [""], start
    while True:
        letter = text[at]
        if quoted:
            if letter == "\\":
                parts[-1] += letter
                at += 1
                letter = text[at]
            elif letter == '"':
                quoted = False
        elif letter == '"':
            quoted = True
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if not depth:
                return [part.strip() for part in parts], at
        if letter == "," and depth == 1 and not quoted:
            parts.append("")
        else:
            parts[-1] += text[at]
        at += 1
