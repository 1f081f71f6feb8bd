"""Edits the judging code, one edit at a time, and runs the tests that run what is edited.

`python -m benchmarks.mutants` halves and doubles every threshold of judge, stats and gate, and
tries a seeded sample of other edits: comparisons, boolean operators, conditions, arithmetic,
numbers and results. A survivor that benchmarks/mutants/explained.py does not explain is printed,
and the exit code is 1 when there is one. Only the fast tests that run in this process count.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.mutants import edits, trials
from benchmarks.mutants.edits import Edit
from benchmarks.mutants.explained import reason
from benchmarks.run import machine, table, write

SEED = 20_261_129
SAMPLE = 300
PACKAGES = ("harness/judge", "harness/stats", "harness/gate")
TESTS = ("tests/judge", "tests/stats", "tests/gate", "tests/scaling", "tests/report",
         "tests/capacity", "tests/chaos", "tests/gameday")  # fmt: skip
TITLE = "6j. Edits of the judging code that no test notices"


def sources(paths: Iterable[Path]) -> list[Path]:
    """The Python files of files and directories."""
    found = [sorted(path.rglob("*.py")) if path.is_dir() else [path] for path in paths]
    return [file for files in found for file in files]


def chosen(
    files: Sequence[Path], sample: int, *, thresholds: bool, only: str, skip: int = 0
) -> list[Edit]:
    """The edits to try: the thresholds, then the sample.

    The sample is in the order of hashes, so that changes elsewhere in the code leave an edit in it.
    """
    first = [edit for file in files for edit in edits.thresholds(file)] if thresholds else []
    rest = [edit for file in files for edit in edits.others(file)]
    rest.sort(key=lambda edit: hashlib.sha256(f"{SEED} {edit.key}".encode()).digest())
    return [edit for edit in first + rest[skip : skip + sample] if re.search(only, edit.key)]


def reasons(survivors: Sequence[Edit]) -> list[tuple[Edit, str | None]]:
    """Each with why no test can notice it; None where that is not known."""
    return [(edit, reason(edit.key)) for edit in survivors]


def report(tried: Sequence[Edit], survivors: Sequence[Edit], possible: int) -> str:
    """The section of RESULTS.md."""
    explained = reasons(survivors)
    rows = []
    for kind in dict.fromkeys(edit.kind for edit in tried):
        mine = [why for edit, why in explained if edit.kind == kind]
        count = sum(edit.kind == kind for edit in tried)
        known = sum(why is not None for why in mine)
        rows.append([kind, f"{count}", f"{count - len(mine)}", f"{known}", f"{len(mine) - known}"])
    rows.append(["all", *(f"{sum(int(row[n]) for row in rows)}" for n in range(1, 5))])
    header = ["edit", "tried", "noticed by a test", "changes nothing, or a cost only", "neither"]
    why = [[f"`{edit.key}`", text or "not known"] for edit, text in explained]
    said = (
        "`python -m benchmarks.mutants --write` (`make proofs ARGS=mutants`): every threshold of"
        " `judge`, `stats` and `gate` halved and doubled, and a seeded sample of the"
        f" {possible:,} other edits. Each meets the fast tests that run the edited line."
    )
    parts = [machine(), said, table(header, rows), "What no test noticed:"]
    return "\n\n".join([*parts, table(["edit", "reason"], why)])


def main(words: Sequence[str] | None = None) -> int:
    """Edit, run, and print what survived."""
    options = _parser().parse_args(words)
    files = sources(options.files or [Path(name) for name in PACKAGES])
    wanted = chosen(
        files, options.sample, thresholds=not options.no_thresholds, only=options.only,
        skip=options.skip,
    )  # fmt: skip
    tried: list[Edit] = []
    survivors: list[Edit] = []

    def tell(edit: Edit, *, noticed: bool) -> None:
        tried.append(edit)
        if not noticed:
            survivors.append(edit)
            known = "explained: " if reason(edit.key) else ""
            print(f"{known}{edit.lines.start}: {edit.key}", flush=True)

    def work(all_trials: trials.Trials) -> None:
        found = all_trials.line_map(options.map)
        if found.failed:
            print(f"left out, they fail without an edit: {', '.join(sorted(found.failed))}")
        until = time.monotonic() + options.minutes * 60
        with_tests = [(edit, found.of(edit, options.budget)) for edit in wanted]
        all_trials.noticed(with_tests, options.jobs, tell, until, options.budget)

    trials.with_tests(options.tests, work)
    print(f"{len(tried) - len(survivors)} of {len(tried)} edits were noticed", end="")
    print(f"; {len(wanted) - len(tried)} were not tried" if len(tried) < len(wanted) else "")
    if options.write:
        possible = sum(1 for file in files for _ in edits.others(file))
        write(TITLE, report(tried, survivors, possible))
    return 1 if any(why is None for _, why in reasons(survivors)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="sources to edit (default: all three)")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="tests that may notice")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="other edits to try")
    parser.add_argument("--skip", type=int, default=0, help="those of the sample's order to pass")
    parser.add_argument("--no-thresholds", action="store_true", help="only the sample")
    parser.add_argument("--only", default="", help="edits whose text this pattern finds")
    parser.add_argument("--jobs", type=int, default=2, help="edits at a time")
    parser.add_argument("--budget", type=float, default=60.0, help="CPU seconds of tests an edit")
    parser.add_argument("--minutes", type=float, default=120.0, help="begin none after that")
    parser.add_argument("--map", type=Path, help="keep the map of tests by line in this file")
    parser.add_argument("--write", action="store_true", help="write the section of RESULTS.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
