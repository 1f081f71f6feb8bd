"""Every kind of service through the search, written to RESULTS.md.

`python -m benchmarks.capacity [--searches 200] [--show] [KIND…]`. Seeds are fixed. A search is
right when its interval covers the truth, named when a finding says what a rate does not, and
silently wrong when it answers, covers nothing and names nothing.
"""

from __future__ import annotations

import argparse
import statistics
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.capacity.servers import ALL, Kind
from benchmarks.capacity.virtual import Virtual
from benchmarks.run import machine, table, write
from harness.capacity import CapacityResult, Search, find_capacity
from harness.cli.capacity import CONFIRMATIONS

TITLE = "11. Capacity: searches against services of known capacity"
SEARCH = Search(max_rate=20_000.0, budget_s=900.0)
START = 500.0
"""About the first rate, requests/s: within a factor of the root of two."""

TRUTH_ERROR = 0.005
"""Relative error of the truths themselves, which come from long simulations."""

SAYS_NOTHING = {"time", "generator", "horizon"}
"""Findings that are not about the service; every answer has the last one."""

NOISE = 0.05
"""Share of steps that the generator's machine spoils."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One search against the truth."""

    answered: bool
    covered: bool
    named: bool
    silently_wrong: bool
    seconds: float
    findings: tuple[str, ...]


def search(name: str, seed: int, confirm_s: float = SEARCH.confirm_s) -> CapacityResult:
    """One search of one kind, the same for the same seed.

    Each seed starts elsewhere, so that no truth lies well or badly on the search's own steps.
    """
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    start = round(START * 2 ** float(random.uniform(-0.5, 0.5)))
    measure = Virtual(ALL[name].make(random), noise=NOISE)
    budget = SEARCH.budget_s + CONFIRMATIONS * max(0.0, confirm_s - SEARCH.confirm_s)
    asked = replace(SEARCH, start=start, confirm_s=confirm_s, budget_s=budget)
    return find_capacity(measure, asked)


def score(kind: Kind, found: CapacityResult) -> Scored:
    """Whether the answer is right, or says why it may not be."""
    truth = kind.truth or 0.0
    below = found.high is None or truth * (1 - TRUTH_ERROR) < found.high
    above = (found.low or 0.0) <= truth * (1 + TRUTH_ERROR)
    covered = kind.truth is not None and above and below
    named = any(f.kind not in SAYS_NOTHING for f in found.findings)
    wrong = found.answered and not covered and not named
    return Scored(
        found.answered, covered, named, wrong, found.seconds,
        tuple(f.kind for f in found.findings),
    )  # fmt: skip


def searches_of(name: str, first: int, count: int, confirm_s: float) -> list[Scored]:
    """So many searches of one kind, with seeds from `first` on."""
    seeds = range(first, first + count)
    return [score(ALL[name], search(name, seed, confirm_s)) for seed in seeds]


def row(name: str, scored: list[Scored]) -> list[str]:
    """The kind's row of the table."""
    kind, searches = ALL[name], len(scored)
    answered = [s for s in scored if s.answered]
    right = sum(s.covered for s in answered)
    fine = sum(s.covered or s.named or not s.answered for s in scored)
    told = sum(s.covered or s.named for s in scored)
    names = Counter(f for s in scored for f in s.findings if f != "horizon")
    return [
        name,
        str(searches),
        "none" if kind.truth is None or np.isinf(kind.truth) else f"{kind.truth:,.0f}",
        "plain" if kind.plain else "special",
        f"{len(answered) / searches:.1%}",
        f"{right / len(answered):.1%}" if answered else "-",
        f"{told / searches:.1%}",
        f"{sum(s.silently_wrong for s in scored) / searches:.1%}",
        f"{fine / searches:.1%}",
        f"{statistics.median(s.seconds for s in scored):.0f} s",
        ", ".join(f"{what} {count}" for what, count in names.most_common(4)),
    ]


HEADER = (
    "service", "searches", "truth/s", "kind", "answered", "of those covering", "covered or named",
    "silently wrong", "right, named or open", "median", "findings",
)  # fmt: skip


def main() -> None:
    """Search, score, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help="default: all")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--confirm", type=float, default=SEARCH.confirm_s, help="seconds")
    parser.add_argument("--show", action="store_true", help="print only, write nothing")
    asked = parser.parse_args()
    names = asked.kinds or list(ALL)
    count = len(names)
    with ProcessPoolExecutor(asked.processes) as pool:
        found = pool.map(
            searches_of, names, [asked.first_seed] * count, [asked.searches] * count,
            [asked.confirm] * count,
        )  # fmt: skip
        rows = []
        for name, scored in zip(names, found, strict=True):
            rows.append(row(name, scored))
            print(" | ".join(rows[-1]), flush=True)
    if not asked.show:
        publish(rows, asked.first_seed, asked.searches)


def publish(rows: list[list[str]], first: int, searches: int) -> None:
    """Write the table to RESULTS.md."""
    note = (
        f"Seeds {first:,} to {first + searches - 1:,}; thresholds were chosen on others. Searches"
        f" from about {START:g}/s (354 to 707, by the seed) with holds of {SEARCH.hold_s:g} s in"
        " virtual time; objectives P95 < 100 ms and errors < 0.1 %;"
        f" {NOISE:.0%} of the steps spoilt by the generator's machine. An interval covers a truth"
        f" that lies within {TRUTH_ERROR:.1%} of it, as truths come from simulations, too."
    )
    write(TITLE, f"{machine()}\n\n{note}\n\n{table(HEADER, rows)}")


if __name__ == "__main__":
    main()
