"""False alarms of unchanged software and power of the run-level comparison, by Monte Carlo.

Run: python -m benchmarks.stats.runs [repeats]
"""

from __future__ import annotations

import math
import sys

import numpy as np
from scipy import signal

from benchmarks.stats.aids import power
from harness.stats.compare import compare_metric
from harness.stats.interval import Floats

SEED = 4
SECONDS, RATE = 60, 20


def medians(
    random: np.random.Generator, shape: str, sd: float, rho: float, runs: int, shift: float = 1.0
) -> Floats:
    """The median latency of each run: latencies that remember, under a run-to-run effect."""
    shocks = random.standard_normal((runs, SECONDS + 100)) * math.sqrt(1 - rho**2)
    level = 0.05 * signal.lfilter([1.0], [1.0, -rho], shocks, axis=1)[:, 100:, None]
    z = 0.4 * random.standard_normal((runs, SECONDS, RATE))
    if shape == "bimodal":
        z = z / 2 + math.log(3) * (random.random(z.shape) < 0.3)
    run = sd * random.standard_normal((runs, 1, 1))
    result: Floats = shift * np.median(np.exp(level + z + run).reshape(runs, -1), axis=1)
    return result


def false_alarms(random: np.random.Generator, repeats: int) -> None:
    """Share of A/A comparisons that end in a regression (margin 0), n = 1 and n = K."""
    print("| latencies | run sd | AR | K | false alarms, n = 1 | false alarms, n = K |")
    print("|---|---|---|---|---|---|")
    pooled = []
    for shape in ("lognormal", "bimodal"):
        for sd in (0.01, 0.03, 0.07):
            for rho in (0.0, 0.9):
                pool = medians(random, shape, sd, rho, 4000)
                for k in (3, 5, 10, 20):
                    rates = []
                    for n in (1, k):
                        draws = random.choice(pool, (repeats, k + n))
                        alarms = [
                            compare_metric(x[:k], x[k:], 0.0).verdict == "regression" for x in draws
                        ]
                        rates.append(float(np.mean(alarms)))
                    pooled.append(rates)
                    print(f"| {shape} | {sd:.0%} | {rho} | {k} | {rates[0]:.1%} | {rates[1]:.1%} |")
    low, high = np.min(pooled), np.max(pooled)
    print(f"\nAll: mean {np.mean(pooled):.2%}, least {low:.1%}, most {high:.1%}.\n")


def detection(random: np.random.Generator, repeats: int) -> None:
    """Share of true slowdowns whose interval excludes zero, beside the optimum."""
    print("| shift | run sd | K | n | found | optimum (t, equal variances) | ratio |")
    print("|---|---|---|---|---|---|---|")
    for shift, sd, k, n in (
        (0.05, 0.02, 5, 5), (0.05, 0.03, 10, 3), (0.05, 0.03, 10, 10), (0.10, 0.05, 5, 5),
        (0.10, 0.05, 10, 1), (0.20, 0.07, 3, 3), (0.20, 0.07, 5, 1),
    ):  # fmt: skip
        runs = np.exp(sd * random.standard_normal((repeats, k + n)))
        runs[:, k:] *= 1 + shift
        found = np.mean([(compare_metric(x[:k], x[k:], 0.0).low or 0) > 0 for x in runs])
        best = power(math.log1p(shift), sd, k, n)
        print(
            f"| {shift:.0%} | {sd:.0%} | {k} | {n} "
            f"| {found:.1%} | {best:.1%} | {found / best:.2f} |"
        )


if __name__ == "__main__":
    rng = np.random.default_rng(SEED)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    false_alarms(rng, count)
    detection(rng, count)
