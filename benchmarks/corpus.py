"""Generated options, names and files through every command, counted for RESULTS.md.

`python -m benchmarks.corpus [--cases 2000] [--show]`. A case is taken (it reached the service or
ended with a documented code), refused in one line, or a problem, which is printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.run import machine, table, write
from tests.corpus.cases import Case, cases, problem_of
from tests.corpus.project import Project, project

TITLE = "14. Generated input: crashes, and what is wrongly taken or refused"


def count(made: Project, most: int) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """(made as and how it ended) -> cases; problems by what they are about."""
    ends: Counter[tuple[str, str]] = Counter()
    problems: Counter[str] = Counter()

    @settings(
        max_examples=most, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases())
    def each(case: Case) -> None:
        ended = case.run(made)
        problem = problem_of(case, ended)
        ends[case.kind, problem or ("refused" if ended.code == 2 else "taken")] += 1
        if problem is not None:
            problems[f"{problem}: {case.about}"] += 1
            last = ended.said.strip().splitlines()[-1:] or [""]
            what = f"{list(case.words)!r:.300} {case.broken} {case.value!r:.80} {case.seed}"
            print(f"{problem}: {case.kind} {what} -> {ended.code} {last[0]:.300}", flush=True)

    each()
    return ends, problems


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--show", action="store_true", help="print only, write nothing")
    asked = parser.parse_args()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as place, project(Path(place)) as made:
        ends, problems = count(made, asked.cases)
    seconds = time.process_time() - began
    rows = [[kind, end, f"{number:,}"] for (kind, end), number in sorted(ends.items())]
    said = f"{sum(ends.values()):,} cases in {seconds:.0f} s of CPU; {problems.total()} problems."
    print(said, *(f"{n} {what}" for what, n in problems.most_common()), sep="\n")
    if not asked.show:
        write(TITLE, f"{machine()}\n\n{said}\n\n{table(('made as', 'ended', 'cases'), rows)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
