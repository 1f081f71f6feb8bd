"""Coverage of the sectioned interval of one run's quantiles, by Monte Carlo.

Per-second levels follow an AR(1) process; latencies are log-normal around them.
Run: python -m benchmarks.stats.coverage [repeats]
"""

from __future__ import annotations

import math
import sys

import numpy as np
from scipy import signal, special

from benchmarks.stats.aids import sectioned_sample_quantile

SEED = 5
RATE = 50
SECONDS = (60, 300)
NOISE = 0.5


def main(repeats: int) -> None:
    """Print the share of intervals (95 %) that hold the process' own quantile."""
    random = np.random.default_rng(SEED)
    print("| seconds | AR | sd of the level / of a request | p50 | p95 | p99 | refused |")
    print("|---|---|---|---|---|---|---|")
    for seconds in SECONDS:
        for rho, level in ((0.0, 0.1), (0.9, 0.05), (0.9, 0.1), (0.9, 0.2), (0.9, 0.5)):
            cells, refused = [], 0
            hits = dict.fromkeys((0.5, 0.95, 0.99), 0)
            for _ in range(repeats):
                shocks = random.standard_normal(seconds + 100) * math.sqrt(1 - rho**2)
                levels = level * signal.lfilter([1.0], [1.0, -rho], shocks)[100:]
                noise = NOISE * random.standard_normal((seconds, RATE))
                samples = np.exp(levels[:, None] + noise).ravel()
                for q in hits:
                    truth = math.exp(special.ndtri(q) * math.hypot(level, NOISE))
                    found = sectioned_sample_quantile(samples, q)
                    if found.low is None or found.high is None:
                        refused += 1
                    else:
                        hits[q] += found.low <= truth <= found.high
            cells = [f"{hit / repeats:.1%}" for hit in hits.values()]
            print(f"| {seconds} | {rho} | {level} / {NOISE} | {' | '.join(cells)} | {refused} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
