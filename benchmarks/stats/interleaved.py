"""The gate on interleaved pairs against known truth: false alarms, power, what the pilot says.

Run: python -m benchmarks.stats.interleaved [GATES]
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.baseline import TOTAL, AcceptedRun
from harness.baseline.model import QUANTILES, EndpointFigures
from harness.gate import Policy, compare_interleaved
from harness.gate.noise import PILOT_RUNS, noise_of, visible_shift

SEED = 19
SD = 0.02
BUDGET = 0.05
"""The gate's own of 1 in 600 would take a hundred thousand gates to tell from twice as many."""

PAIRS = (3, 5, 10, 20)
ENDPOINTS = ("a", "b", "c")

Floats = NDArray[np.floating[Any]]
Scatter = Callable[[np.random.Generator, int], Floats]


def _bimodal(random: np.random.Generator, n: int) -> Floats:
    """Two modes, as two kinds of placement give."""
    found: Floats = np.where(random.random(n) < 0.3, 1.5, -0.65) + 0.2 * random.standard_normal(n)
    return found


def _outliers(random: np.random.Generator, n: int) -> Floats:
    """One run in ten is eight times as far off, to the slow side."""
    found: Floats = random.standard_normal(n)
    return np.where(random.random(n) < 0.1, np.abs(found) * 8, found)


SCATTERS: dict[str, Scatter] = {
    "normal": lambda random, n: random.standard_normal(n),
    "lognormal": lambda random, n: (np.exp(random.standard_normal(n)) - 1.65) / 2.16,
    "bimodal": _bimodal,
    "outliers": _outliers,
}


def pairs(
    random: np.random.Generator, scatter: Scatter, count: int, shift: float, drift: float = 0.0
) -> tuple[list[AcceptedRun], list[AcceptedRun]]:
    """`count` runs a side in ABBA order; half of the scatter is shared by a run's endpoints.

    `drift` is what the machine gains from one run to the next, in units of the scatter.
    """
    sides: tuple[list[AcceptedRun], list[AcceptedRun]] = ([], [])
    for pair in range(count):
        for place, side in enumerate((0, 1) if pair % 2 == 0 else (1, 0)):
            luck = float(scatter(random, 1)[0]) + drift * (2 * pair + place)
            own = scatter(random, len(ENDPOINTS) + 1)
            logs = SD * (luck + own) / math.sqrt(2) + side * math.log1p(shift)
            sides[side].append(_run(pair, logs))
    return sides


def _run(at: int, logs: Floats) -> AcceptedRun:
    endpoints = {
        name: EndpointFigures(
            offered=2000,
            completed=2000,
            failed=0,
            quantiles={q: (0.02 * float(np.exp(log)), None, None) for q in QUANTILES},
            histogram=None,
        )
        for name, log in zip((TOTAL, *ENDPOINTS), logs, strict=True)
    }
    return AcceptedRun(
        f"run-{at:03}", "2026-01-01T00:00:00", None, None, at, 20.0, 500.0, endpoints
    )


def outcomes(
    random: np.random.Generator,
    scatter: Scatter,
    count: int,
    shift: float,
    gates: int,
    drift: float = 0.0,
    policy: Policy | None = None,
) -> Counter[str]:
    """What so many gates end with."""
    made = (pairs(random, scatter, count, shift, drift) for _ in range(gates))
    return Counter(
        compare_interleaved("s", "s", *sides, policy=policy).outcome for sides in made
    )  # fmt: skip


def levels(random: np.random.Generator, gates: int) -> None:
    """Gates on equal sides: the claim alone, without a margin, and the gate as it is."""
    bare = Policy(margin=1e-6, false_alarms_per_month=1.0, gates_per_month=1 / BUDGET)
    print(
        f"Equal sides, {1 + len(ENDPOINTS)} endpoints x 3 quantiles: gates that fail with any "
        f"margin and a budget of {BUDGET:.0%} false alarms, {gates} each / gates in doubt at the "
        f"usual margin and budget, {gates // 3} each.\n"
    )
    print("| pairs | " + " | ".join((*SCATTERS, "normal, drift .5 sd a run")) + " |")
    print("|---|" + "---|" * (len(SCATTERS) + 1))
    worlds = [(scatter, 0.0) for scatter in SCATTERS.values()] + [(SCATTERS["normal"], 0.5)]
    for count in PAIRS:
        cells = []
        for scatter, drift in worlds:
            claimed = outcomes(random, scatter, count, 0.0, gates, drift, bare)["fail"] / gates
            usual = outcomes(random, scatter, count, 0.0, gates // 3, drift)
            cells.append(f"{claimed:.1%} / {usual['inconclusive'] / (gates // 3):.0%}")
        print(f"| {count} | " + " | ".join(cells) + " |")


def power(random: np.random.Generator, gates: int) -> None:
    """Gates on a slower side."""
    print(f"\nSlower sides, scatter of a run {SD:.0%}, usual budget: gates that fail / in doubt.\n")
    print("| pairs | shift | " + " | ".join(SCATTERS) + " |\n|---|---|" + "---|" * len(SCATTERS))
    for count in PAIRS:
        for shift in (0.05, 0.1, 0.3):
            cells = [
                outcomes(random, scatter, count, shift, gates) for scatter in SCATTERS.values()
            ]
            shown = (f"{c['fail'] / gates:.0%} / {c['inconclusive'] / gates:.0%}" for c in cells)
            print(f"| {count} | {shift:+.0%} | " + " | ".join(shown) + " |")


def pilot(random: np.random.Generator, times: int) -> None:
    """How well seven short runs foretell what the pairs will see."""
    policy = Policy()
    truth = visible_shift(SD * math.sqrt(2), 10, policy)
    foretold = []
    for _ in range(times):
        runs = pairs(random, SCATTERS["normal"], (PILOT_RUNS + 1) // 2, 0.0)
        ordered = [run for pair in zip(*runs, strict=True) for run in pair][:PILOT_RUNS]
        sd = noise_of(ordered, "p95").sd
        foretold.append(visible_shift(sd or 0.0, 10, policy))
    low, high = np.quantile(foretold, [0.1, 0.9])
    print(
        f"\nThe pilot ({PILOT_RUNS} runs, the first not counted): what 10 pairs show is "
        f"{truth:.1%}; foretold {np.median(foretold):.1%}, in 80 % of cases "
        f"{low:.1%} to {high:.1%}."
    )


def main(gates: int) -> None:
    """Print the tables."""
    random = np.random.default_rng(SEED)
    levels(random, gates)
    power(random, gates // 5)
    pilot(random, gates)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gates", nargs="?", type=int, default=200)
    main(parser.parse_args().gates)
