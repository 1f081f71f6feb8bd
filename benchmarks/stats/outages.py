"""Recovery times with false dips of 3 seconds inside the outage, by Monte Carlo.

Run: python benchmarks/stats/outages.py [repeats]
"""

from __future__ import annotations

import math
import sys

import numpy as np

from harness.stats.recovery import recovery

SEED = 7
INJECT, BEGIN, TOTAL = 60, 62, 240


def main(repeats: int) -> None:
    """Print the error of the recovery time against the truth."""
    random = np.random.default_rng(SEED)
    print(
        "| noise of latency | metrics | median error | early by > 1 s | late by > 1 s | censored |"
    )
    print("|---|---|---|---|---|---|")
    for sd in (0.02, 0.05, 0.15, 0.30):
        for metrics in (("latency",), ("latency", "errors", "throughput")):
            errors = []
            for _ in range(repeats):
                length = int(random.integers(12, 90))
                t = np.arange(TOTAL, dtype=float)
                down = (t >= BEGIN) & (t < BEGIN + length)
                dip = BEGIN + int(random.integers(1, length - 3))
                down &= ~((t >= dip) & (t < dip + 3))
                series = {
                    "latency": np.where(down, 0.5, 0.1)
                    * np.exp(sd * random.standard_normal(TOTAL)),
                    "errors": np.where(down, random.poisson(30, TOTAL), 0).astype(float),
                    "throughput": np.where(down, 60, 100) + 3 * random.standard_normal(TOTAL),
                }
                found = recovery(t, {name: series[name] for name in metrics}, INJECT)
                truth = BEGIN - INJECT + length
                errors.append(math.nan if found.recovery is None else found.recovery - truth)
            e = np.array(errors)
            known = e[~np.isnan(e)]
            print(
                f"| {sd:.0%} | {', '.join(metrics)} | {np.median(np.abs(known)):.0f} s "
                f"| {(known < -1).mean():.2%} | {(known > 1).mean():.2%} "
                f"| {np.isnan(e).mean():.2%} |"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
