"""Whole game days of a sound lab, one after another, and how many of them pass.

`python -m benchmarks.chaos.gamedays --days 20` goes on where it was stopped: the records stand in
`results/proof-gamedays`, and RESULTS.md is written anew after each day.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.chaos.figures import whole_days, write_sections

DIRECTORY = Path("results/proof-gamedays")
SERVICE = "memorai"
VERDICTS = (0, 1, 3, 4)
"""Exit codes of a game day that was held to its end; others say that it was not."""


def main() -> int:
    """Hold the game days that are missing; 0 when all but one in twenty have passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=20, help="how many there shall be (default 20)")
    parser.add_argument("--beside", type=int, default=1, help="how many at a time, a lab for each")
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    options = parser.parse_args()
    records = options.directory / SERVICE
    while (missing := options.days - len(list(whole_days(records)))) > 0:
        codes = hold(min(missing, max(options.beside, 1)), options.directory)
        write_sections(records, f" {options.beside} were held at a time." * (options.beside > 1))
        if not_held := [code for code in codes if code not in VERDICTS]:
            return not_held[0]
    outcomes = [day["outcome"] for day in whole_days(records)]
    return int(sum(outcome != "pass" for outcome in outcomes) > len(outcomes) / 20)


def hold(count: int, directory: Path) -> list[int]:
    """Hold so many game days at once; their exit codes. Ctrl-C ends and heals all of them."""
    words = [sys.executable, "-m", "harness", "gameday", "--results", str(directory)]
    days = [subprocess.Popen(words) for _ in range(count)]
    try:
        return [day.wait() for day in days]
    except KeyboardInterrupt:
        return [day.wait() for day in days]


if __name__ == "__main__":
    sys.exit(main())
