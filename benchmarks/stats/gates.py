"""The whole gate over 40 services x 10 endpoints x 20 runs: how long it takes.

Run: python benchmarks/stats/gates.py
"""

from __future__ import annotations

import time

import numpy as np

from harness.baseline import TOTAL, AcceptedRun
from harness.baseline.model import QUANTILES, EndpointFigures
from harness.gate import compare_runs

SEED = 8
SERVICES, ENDPOINTS, BASELINE, CANDIDATES = 40, 10, 17, 3


def run(random: np.random.Generator, at: int) -> AcceptedRun:
    """A run of a service with ten endpoints; 3 % run-to-run scatter."""
    endpoints = {}
    for name in (TOTAL, *(f"endpoint {i}" for i in range(ENDPOINTS))):
        luck = float(np.exp(0.03 * random.standard_normal()))
        endpoints[name] = EndpointFigures(
            offered=10_000,
            completed=10_000,
            failed=0,
            quantiles={
                metric: (0.02 * luck * (1 + 3 * q), None, None) for metric, q in QUANTILES.items()
            },
            histogram=None,
        )
    return AcceptedRun(f"run-{at}", "2026-01-01T00:00:00", None, None, at, 60.0, 500.0, endpoints)


def main() -> None:
    """Print the time of all gates together."""
    random = np.random.default_rng(SEED)
    runs = [[run(random, at) for at in range(BASELINE + CANDIDATES)] for _ in range(SERVICES)]
    begin = time.perf_counter()
    for number, each in enumerate(runs):
        compare_runs(f"s{number}", "s", each[:BASELINE], each[BASELINE:])
    spent = time.perf_counter() - begin
    print(
        f"{SERVICES} services x {ENDPOINTS} endpoints x {BASELINE + CANDIDATES} runs "
        f"({BASELINE} accepted, {CANDIDATES} new): {spent:.2f} s."
    )


if __name__ == "__main__":
    main()
