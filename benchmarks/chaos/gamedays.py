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
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    options = parser.parse_args()
    records = options.directory / SERVICE
    while len(list(whole_days(records))) < options.days:
        words = ["harness", "gameday", "--results", str(options.directory)]
        code = subprocess.run([sys.executable, "-m", *words], check=False).returncode
        if code not in VERDICTS:
            return code
        write_sections(records)
    held = [day["outcome"] for day in whole_days(records)]
    return int(sum(outcome != "pass" for outcome in held) > len(held) / 20)


if __name__ == "__main__":
    sys.exit(main())
