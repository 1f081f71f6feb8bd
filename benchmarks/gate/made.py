"""Runs of a service whose run-to-run scatter is known, as records would leave them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.baseline import TOTAL, AcceptedRun
from harness.baseline.model import QUANTILES, EndpointFigures

SHAPES = ("normal", "lognormal", "bimodal", "outliers")
SHARES = {"read": 0.6, "write": 0.3, "search": 0.08, "pay": 0.02}
REQUESTS = 10_000
HOLD_S = 20.0
ERRORS = 0.0002
OUTLIERS = 0.03
QUANTILE_SD = {"p50": 0.5, "p95": 1.0, "p99": 2.5}
"""Of an endpoint with all the requests, in units of p95's own standard deviation."""

OWN_SD = 0.01
"""Standard deviation of p95 that 10,000 requests leave."""


def luck(random: np.random.Generator, shape: str, sd: float) -> float:
    """One run's own deviation, of standard deviation `sd`; outliers come on top of it."""
    z = float(random.standard_normal())
    match shape:
        case "lognormal":  # skewness 6.2
            return sd * float((np.exp(z) - np.exp(0.5)) / 2.1612)
        case "bimodal":  # three in ten runs are slower by two and a half times the rest's scatter
            return sd * float((z + 2.5 * (random.random() < 0.3) - 0.75) / 1.521)
        case "outliers":
            return sd * z + float((random.random() < OUTLIERS) * random.uniform(0.2, 1.6))
    return sd * z


def made_run(
    random: np.random.Generator,
    name: str,
    shape: str,
    sd: float,
    slow: Mapping[str, float] | None = None,
    errors: float = ERRORS,
) -> AcceptedRun:
    """A run whose endpoints share one deviation of `shape` and have their sampling error each.

    `slow` multiplies an endpoint's latencies (`*`: all of them).
    """
    common = luck(random, shape, sd)
    slow = slow or {}
    endpoints = {}
    for endpoint, share in {TOTAL: 1.0, **SHARES}.items():
        offered = int(random.poisson(REQUESTS * share))
        factor = slow.get(TOTAL, 1.0) * (1.0 if endpoint == TOTAL else slow.get(endpoint, 1.0))
        failed = int(random.binomial(offered, errors))
        quantiles = {}
        for at, (metric, own) in enumerate(QUANTILE_SD.items()):
            noise = OWN_SD * own / np.sqrt(share) * random.standard_normal()
            value = 0.02 * (1 + at) * factor * np.exp(common + noise)
            quantiles[metric] = (float(value), None, None)
        endpoints[endpoint] = EndpointFigures(offered, offered - failed, failed, quantiles, None)
    completed = endpoints[TOTAL].completed
    return AcceptedRun(
        name, "2026-01-01T00:00:00", None, None, 1, HOLD_S, completed / HOLD_S, endpoints
    )


def made_runs(
    random: np.random.Generator,
    count: int,
    shape: str,
    sd: float = 0.02,
    slow: Mapping[str, float] | None = None,
) -> list[AcceptedRun]:
    """`count` such runs."""
    if set(QUANTILE_SD) != set(QUANTILES):
        raise AssertionError
    return [made_run(random, f"run-{at:03}", shape, sd, slow) for at in range(count)]
