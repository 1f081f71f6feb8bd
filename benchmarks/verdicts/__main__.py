"""How often the judge passes and fails services of known truth: `python -m benchmarks.verdicts`.

Seeds are fixed. 200 runs a cell take about 40 CPU minutes; `--runs 20` shows the picture.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.run import machine, write
from benchmarks.verdicts.cells import Cell, Label, cells, label
from benchmarks.verdicts.worlds import make_record
from harness.judge import judge

TITLE = "6i. Verdicts on services of known truth"

SURE = 0.99
BOUNDARY = 0.05
SLACK_Z = 2.326
"""Standard errors of a cell's own share that are chance: one cell in a hundred exceeds them."""


@dataclass(frozen=True)
class Row:
    """One cell's label and the shares of its verdicts."""

    cell: Cell
    label: Label
    outcomes: dict[str, float]
    runs: int

    @property
    def reached(self) -> bool:
        """Whether the aim of the label is reached, but for chance."""
        passed, failed = self.outcomes.get("pass", 0.0), self.outcomes.get("fail", 0.0)
        few = SLACK_Z * math.sqrt(SURE * (1 - SURE) / self.runs)
        some = SLACK_Z * math.sqrt(BOUNDARY * (1 - BOUNDARY) / self.runs)
        match self.label:
            case "sound":
                return passed >= SURE - few and failed <= 1 - SURE
            case "bad":
                return failed >= SURE - few and passed == 0
            case "boundary":
                return max(passed, failed) <= BOUNDARY + some
            case "too small":
                return True


def measure(cell: Cell, runs: int) -> Row:
    """Judge `runs` records of one cell."""
    records = [make_record(cell.world, seed) for seed in range(runs)]
    found = Counter(judge(record).outcome for record in records)
    outcomes = {str(word): count / runs for word, count in found.items()}
    return Row(cell, label(cell, records), outcomes, runs)


def table(rows: list[Row]) -> str:
    """Markdown: pass / fail / open (inconclusive or invalid) in per cent, by length and rate."""
    lines = [
        "Pass / fail / neither in %. `!`: the aim of the label is missed.", "",
        "| service | arrivals | hold | label | pass | fail | neither | |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        world, got = row.cell.world, row.outcomes
        passed, failed = got.get("pass", 0.0), got.get("fail", 0.0)
        lines.append(
            f"| {row.cell.kind} | {world.rate:,.0f}/s | {world.seconds} s | {row.label} |"
            f" {passed:.1%} | {failed:.1%} | {1 - passed - failed:.1%} |"
            f" {'' if row.reached else '!'} |"
        )
    good = sum(row.reached for row in rows)
    by = Counter(row.label for row in rows)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(by.items()))
    lines += ["", f"{good} of {len(rows)} cells reach their aim ({counted})."]
    return "\n".join(lines)


def _measure(job: tuple[Cell, int]) -> Row:
    return measure(*job)


def main() -> None:
    """Judge every cell, print the table, and write it to RESULTS.md with --write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="runs a cell (default: 200)")
    parser.add_argument("--kind", default="", help="only kinds that contain this text")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md")
    arguments = parser.parse_args()
    jobs = [(cell, arguments.runs) for cell in cells() if arguments.kind in cell.kind]
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(_measure, jobs))
    text = table(rows)
    print(text)
    if arguments.write:
        write(TITLE, f"{machine()}\n\n{text}")


if __name__ == "__main__":
    main()
