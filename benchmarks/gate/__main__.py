"""False alarms, power and advice of the whole gate, through the code that judges releases.

Written to RESULTS.md. Run: python -m benchmarks.gate [gates a cell] (200: about four CPU minutes)
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np
from scipy import special

from benchmarks.gate.made import OWN_SD, SHAPES, made_runs
from benchmarks.run import machine, write
from benchmarks.stats.aids import power
from harness.baseline import TOTAL, AcceptedRun
from harness.gate import GateVerdict, Policy, compare_runs
from harness.stats.interval import t_quantile

SEED = 13
KNOWN = 6
MORE_KNOWN = 10
CANDIDATES = (1, 2, 3, 5)
SD = 0.02
USUAL = Policy()
STRICT_NO_MORE = Policy(gates_per_month=20.0)
"""A budget of one false alarm in twenty gates: level 5 %, so that few gates measure it."""

TITLE = "6h. Statistics: the whole gate, false alarms, power and advice"
INTRODUCTION = """\
`python -m benchmarks.gate`, through the code that judges releases: four endpoints (60, 30, 8 and \
2 % of 10,000 requests) and the total, 24 rows that gate; runs share a deviation of 2 % and have \
their sampling error each; 0.02 % errors; margin 5 %. Lognormal run means have a skewness of 6, \
bimodal ones a second mode 2.5 sd off in 30 % of runs, outliers are 3 % of runs that are 20 to \
160 % (log) slower.
"""


def gate(
    before: list[AcceptedRun], after: list[AcceptedRun], policy: Policy = USUAL
) -> GateVerdict:
    """The verdict of one gate."""
    return compare_runs("made", "made", before, after, "p95", policy)


def word(verdict: GateVerdict) -> str:
    """How it ends: `fail`, `suspected`, `doubt` (open without a suspicion) or `pass`."""
    if verdict.outcome != "inconclusive":
        return verdict.outcome
    return "suspected" if verdict.suspected else "doubt"


def outcomes(
    random: np.random.Generator,
    gates: int,
    shape: str,
    known: int,
    new: int,
    policy: Policy,
    slow: Mapping[str, float] | None = None,
) -> Counter[str]:
    """How gates end."""
    return Counter(
        word(
            gate(
                made_runs(random, known, shape, SD),
                made_runs(random, new, shape, SD, slow),
                policy,
            )
        )
        for _ in range(gates)
    )


def cells(found: Counter[str]) -> str:
    """The shares as a table's cells."""
    total = found.total()
    return " | ".join(f"{found[name] / total:.1%}" for name in ("fail", "suspected", "doubt"))


def least_doubt(known: int, new: int) -> float:
    """The share of unchanged gates whose t-interval of the total's p95 alone passes the margin.

    Nothing is certain at `alpha` in fewer: the scatter of the runs is all there is to go by.
    """
    df = known + new - 2
    error = math.hypot(SD, OWN_SD) * math.sqrt(1 / known + 1 / new)
    seen = np.sqrt(special.gammaincinv(df / 2, (np.arange(400) + 0.5) / 400) * 2 / df)
    reach = math.log1p(USUAL.margin) / error - t_quantile(1 - USUAL.alpha, df) * seen
    return float(special.ndtr(-reach).mean())


def false_alarms(random: np.random.Generator, gates: int) -> None:
    """A/A gates: nothing changed."""
    print(f"Nothing changed, level 5 % (at the default level, 1 in 600, so few gates would say "
          f"little); {gates} gates a cell. The last column is the doubt of the total's p95 alone, "
          "by the t-interval of normal runs: no rule that passes a release 5 % slower in at most "
          "5 % of gates leaves less.\n")  # fmt: skip
    print("| run means | accepted | candidates | claimed (5 % promised) | suspected | other doubt "
          "| least doubt |\n|---|---|---|---|---|---|---|")  # fmt: skip
    sizes = [*((KNOWN, new) for new in CANDIDATES), (MORE_KNOWN, 3), (MORE_KNOWN, 5)]
    for shape in SHAPES:
        for known, new in sizes:
            found = outcomes(random, gates, shape, known, new, STRICT_NO_MORE)
            print(f"| {shape} | {known} | {new} | {cells(found)} "
                  f"| {least_doubt(known, new):.1%} |", flush=True)  # fmt: skip


def detection(random: np.random.Generator, gates: int) -> None:
    """Everything or one endpoint slower: how often it is claimed, beside the primary's t-test."""
    print(f"\nSlower by so much, at the default level; {gates} gates a cell. The optimum is the "
          "t-test of the total's p95 alone at its half of the level; it knows no outliers, and p50 "
          "scatters less than p95.\n")  # fmt: skip
    print("| slower | run means | accepted | candidates | claimed | suspected | other doubt "
          "| t-optimum |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    sd = math.hypot(SD, OWN_SD)
    for slow, what in (({TOTAL: 1.10}, "all, 10 %"), ({TOTAL: 1.20}, "all, 20 %"),
                       ({"pay": 10.0}, "the 2 % endpoint, 10 times")):  # fmt: skip
        for shape in ("normal", "outliers"):
            for known, new in ((KNOWN, 3), (10, 5)):
                found = outcomes(random, gates, shape, known, new, USUAL, slow)
                best = power(math.log(slow.get(TOTAL, 1.0)), sd, known, new, USUAL.level / 2)
                print(f"| {what} | {shape} | {known} | {new} | {cells(found)} "
                      f"| {f'{best:.1%}' if TOTAL in slow else '-'} |", flush=True)  # fmt: skip


def advice(random: np.random.Generator, gates: int) -> None:
    """Gates in doubt, continued as advised: how often that settles them (80 % is promised)."""
    print(f"\nGates in doubt, continued with the runs that they advise; {gates} gates a cell.\n")
    print("| slower | run means | candidates | in doubt | no affordable number | advised, median "
          "| settled |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for slow, what in (
        (None, "nothing"),
        ({TOTAL: 1.03}, "all, 3 %"),
        ({TOTAL: 1.10}, "all, 10 %"),
    ):
        for shape, new in (("normal", 1), ("normal", 3), ("outliers", 3)):
            advised, settled, doubts = [], [], 0
            for _ in range(gates):
                before = made_runs(random, KNOWN, shape, SD)
                after = made_runs(random, new, shape, SD, slow)
                verdict = gate(before, after)
                doubts += verdict.outcome == "inconclusive"
                if verdict.outcome != "inconclusive" or verdict.runs_needed is None:
                    continue
                more, back = verdict.runs_needed, verdict.baseline_runs_needed or 0
                before += made_runs(random, back, shape, SD)
                after += made_runs(random, more, shape, SD, slow)
                advised.append(more + back)
                settled.append(gate(before, after).outcome != "inconclusive")
            share = f"{np.mean(settled or [False]):.0%} of {len(settled)}"
            print(f"| {what} | {shape} | {new} | {doubts / gates:.0%} "
                  f"| {(doubts - len(settled)) / gates:.0%} | {np.median(advised or [0]):.0f} "
                  f"| {share} |", flush=True)  # fmt: skip


def main(gates: int) -> None:
    """Compute, print and write."""
    random = np.random.default_rng(SEED)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print(INTRODUCTION)
        false_alarms(random, gates)
        detection(random, max(gates // 4, 20))
        advice(random, max(gates // 2, 20))
    print(text.getvalue())
    write(TITLE, f"{machine()}\n\n{text.getvalue().strip()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
