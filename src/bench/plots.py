# SPDX-License-Identifier: Apache-2.0
"""One SVG a case: dirty rate, send rate, what is left, and the guest's work per 100 ms, for Godwit and the other side of the case."""
import html

from figures import PAGE

WIDTH, HEIGHT = 900, 170
LEFT, RIGHT, TOP, GAP = 80, 20, 40, 60
COLOURS = {"Godwit": "#1f6fb4", "other": "#c2571a"}
PANELS = (("send rate, MB/s", "send"), ("dirty rate, MB/s", "dirty"), ("left to send, MB", "left"), ("the guest's work, 1 is normal", "work"))


def of_godwit(sample):
    """Curves from the task's rounds: a step a round."""
    send, dirty, left, at = [], [], [[0, (sample["rounds"][0]["pages"] if sample["rounds"] else 0) * PAGE / 1e6]], 0.0
    for entry in sample["rounds"]:
        seconds = max(entry["ms"], 0.1) / 1000
        for when in (at, at + seconds):
            send.append([when, entry["bytes"] / seconds / 1e6])
            dirty.append([when, entry["dirty_pages"] * PAGE / seconds / 1e6])
        at += seconds
        left.append([at, entry["dirty_pages"] * PAGE / 1e6])
    return {"send": send, "dirty": dirty, "left": left, "work": sample.get("work", [])}


def of_qemu(sample):
    series = sample.get("series", [])
    send = [[b[0], (b[1] - a[1]) / max(b[0] - a[0], 1e-3) / 1e6] for a, b in zip(series, series[1:])]
    return {"send": send, "dirty": [[entry[0], entry[3] / 1e6] for entry in series], "left": [[entry[0], entry[2] / 1e6] for entry in series], "work": sample.get("work", [])}


def curves(sample):
    return of_godwit(sample) if sample.get("rounds") else of_qemu(sample)


def middle(samples):
    """The run with the median total, else the first with anything to show."""
    ended = sorted((sample for sample in samples if sample["ended"] and (sample.get("rounds") or sample.get("series"))), key=lambda sample: sample["total_ms"])
    shown = [sample for sample in samples if sample.get("work")]
    return ended[len(ended) // 2] if ended else shown[0] if shown else None


def panel(title, lines, top, span):
    highest = max([point[1] for _, points in lines for point in points] or [1]) or 1
    begin, end = span

    def place(point):
        x = LEFT + (point[0] - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)
        return f"{x:.1f},{top + HEIGHT - max(point[1], 0) / highest * HEIGHT:.1f}"

    out = [f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT}" fill="none" stroke="#999"/>',
           f'<text x="{LEFT}" y="{top - 6}">{html.escape(title)}</text>',
           f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:.4g}</text>', f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>']
    for step in range(5):
        when = begin + (end - begin) * step / 4
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / 4
        out.append(f'<text x="{x:.0f}" y="{top + HEIGHT + 16}" text-anchor="middle">{when:.2f} s</text>')
    for colour, points in lines:
        if points:
            out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(place(point) for point in points)}"/>')
    return out


def svg(title, samples):
    """`samples`: (group, sample) pairs."""
    drawn = [(COLOURS[group], f"{sample['tool']} {sample['mode']}".strip(), curves(sample)) for group, sample in samples]
    height = TOP + 20 + len(PANELS) * (HEIGHT + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>', f'<text x="{LEFT}" y="18" font-size="15">{html.escape(title)}</text>']
    for at, (colour, name, _) in enumerate(drawn):
        out.append(f'<text x="{WIDTH - RIGHT}" y="{16 + 15 * at}" text-anchor="end" fill="{colour}">{html.escape(name)}</text>')
    moves = [point[0] for _, _, shown in drawn for key in ("send", "left") for point in shown[key]] or [1]
    work = [point[0] for _, _, shown in drawn for point in shown["work"]] or [0, 1]
    for at, (text, key) in enumerate(PANELS):
        span = (min(work), max(max(work), min(work) + 0.1)) if key == "work" else (0, max(max(moves), 0.01))
        out += panel(text, [(colour, shown[key]) for colour, _, shown in drawn], TOP + 20 + at * (HEIGHT + GAP), span)
    return "\n".join([*out, "</svg>", ""])


def write(result, path):
    """False if the case has no curve."""
    pairs = [(group, middle(result.groups.get(group) or [])) for group in COLOURS]
    pairs = [(group, sample) for group, sample in pairs if sample]
    if not pairs:
        return False
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg(f"{result.case.name}: {result.case.title}", pairs))
    return True
