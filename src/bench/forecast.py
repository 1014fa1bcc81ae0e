# SPDX-License-Identifier: Apache-2.0
"""What --dry-run said against what the move then took, over all cases of this run; by itself over three guests."""
import statistics

import moves
from compare import Result
from figures import MET, NOT_MET, Row, memory_row, not_available
from lab import Lab

PAIRS = (("duration", "duration_ms", "total_ms"), ("downtime", "downtime_ms", "downtime_ms"))


def over_all_cases(context, case):
    result = Result(case)
    said = [sample for other in context.results for sample in other.groups["Godwit"] if sample.get("forecast") and sample["ended"]]
    if not said:
        for guest, link in case.guests:
            with Lab(context.tools, link) as lab:
                for _ in range(context.runs):
                    result.add("Godwit", moves.run(lab, guest, ["--max-downtime", case.goal_ms], with_forecast=True), context.log)
        said = [sample for sample in result.groups["Godwit"] if sample.get("forecast") and sample["ended"]]
    for name, forecast, actual in PAIRS:
        errors = [abs(sample["forecast"][forecast] - sample[actual]) / sample[actual] for sample in said
                  if sample["forecast"].get(forecast) is not None and sample[actual]]
        bar = "median error <= 25 %"
        if not errors:
            result.rows.append(Row(f"forecast of the {name}", "-", "", bar, not_available("no forecast was given")))
            continue
        middle = statistics.median(errors)
        result.rows.append(Row(f"forecast of the {name}", f"median error {middle:.0%} of {len(errors)} (worst {max(errors):.0%})", "", bar, MET if middle <= 0.25 else NOT_MET))
    if result.groups["Godwit"]:
        result.rows.append(memory_row(result.groups))
    return result
