"""False alarms and power of the whole gate, through the code that judges releases.

Run: python -m benchmarks.gate [gates a cell]
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np

from benchmarks.gate.made import OWN_SD, SHAPES, made_runs
from harness.baseline import TOTAL
from harness.gate import Policy, compare_runs
from harness.stats.runs import power

SEED = 13
CANDIDATES = (1, 2, 3, 5)
SD = 0.02
USUAL = Policy()
STRICT_NO_MORE = Policy(gates_per_month=20.0)
"""A budget of one false alarm in twenty gates: level 5 %, so that few gates measure it."""


def outcomes(
    random: np.random.Generator,
    gates: int,
    shape: str,
    known: int,
    new: int,
    policy: Policy,
    slow: Mapping[str, float] | None = None,
) -> Counter[str]:
    """How gates end: `fail`, `suspected`, `doubt` (open without a suspicion) or `pass`."""
    found: Counter[str] = Counter()
    for _ in range(gates):
        verdict = compare_runs(
            "made", "made", made_runs(random, known, shape, SD),
            made_runs(random, new, shape, SD, slow), "p95", policy,
        )  # fmt: skip
        word: str = verdict.outcome
        if word == "inconclusive":
            word = "suspected" if verdict.suspected else "doubt"
        found[word] += 1
    return found


def cells(found: Counter[str]) -> str:
    """The shares as a table's cells."""
    total = found.total()
    return " | ".join(f"{found[name] / total:.2%}" for name in ("fail", "suspected", "doubt"))


def false_alarms(random: np.random.Generator, gates: int) -> None:
    """A/A gates: nothing changed."""
    print("| run means | accepted | candidates | level | claimed | suspected | other doubt |")
    print("|---|---|---|---|---|---|---|")
    for policy in (USUAL, STRICT_NO_MORE):
        for shape in SHAPES:
            for known in (6, 10):
                for new in CANDIDATES:
                    found = outcomes(random, gates, shape, known, new, policy)
                    print(f"| {shape} | {known} | {new} | {policy.level:.2%} | {cells(found)} |",
                          flush=True)  # fmt: skip


def detection(random: np.random.Generator, gates: int) -> None:
    """Everything slower: how often it is claimed, beside the t-test of the primary alone."""
    print("\n| slower | run means | accepted | candidates | claimed | suspected | other doubt "
          "| t-test of p95 at the same level |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    sd = math.hypot(SD, OWN_SD)
    for slow, what in (({TOTAL: 1.10}, "10 %"), ({TOTAL: 1.20}, "20 %"),
                       ({"pay": 10.0}, "pay, 10 times")):  # fmt: skip
        for shape in SHAPES:
            for known, new in ((6, 1), (6, 3), (10, 3), (10, 5), (20, 5)):
                found = outcomes(random, gates, shape, known, new, USUAL, slow)
                best = power(math.log(slow.get(TOTAL, 1.0)), sd, known, new, USUAL.level / 2)
                print(f"| {what} | {shape} | {known} | {new} | {cells(found)} "
                      f"| {f'{best:.1%}' if TOTAL in slow else '-'} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    rng = np.random.default_rng(SEED)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    false_alarms(rng, count)
    detection(rng, max(count // 5, 20))
