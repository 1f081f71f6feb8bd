"""Accepted runs with known scatter, as a service of two endpoints would leave them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness._engine import Histogram
from harness.baseline import TOTAL, AcceptedRun
from harness.baseline.model import QUANTILES, EndpointFigures

MEDIAN_S = 0.020
SIGMA = 0.4
SHARES = {"recall": 0.6, "remember": 0.38, "rare": 0.02 / 3}
OFFERED = 10_000


def runs(
    count: int,
    *,
    sd: float = 0.01,
    common: float = 0.0,
    slow: Mapping[str, float] | None = None,
    failed: int = 0,
    failing: Mapping[str, float] | None = None,
    requests: int = OFFERED,
    seed: int = 1,
    name: str = "run",
    histograms: bool = False,
) -> list[AcceptedRun]:
    """`count` runs whose quantiles scatter by `sd` (own) and `common` (shared by endpoints).

    `slow` multiplies an endpoint's latencies (`*` all of them); `failing` is the share of an
    endpoint's requests that fail, by name.
    """
    random = np.random.default_rng(seed)
    return [
        _run(
            f"{name}-{at:03}",
            random,
            sd,
            common,
            slow or {},
            failed,
            histograms,
            failing or {},
            requests,
        )
        for at in range(count)
    ]


def _run(
    run_id: str,
    random: np.random.Generator,
    sd: float,
    common: float,
    slow: Mapping[str, float],
    failed: int,
    histograms: bool,  # noqa: FBT001 - one of a test's knobs
    failing: Mapping[str, float],
    requests: int,
) -> AcceptedRun:
    luck = common * random.standard_normal()
    endpoints = {}
    lost = {name: round(requests * SHARES[name] * share) for name, share in failing.items()}
    lost[TOTAL] = sum(lost.values())
    for endpoint, share in {TOTAL: 1.0, **SHARES}.items():
        factor = slow.get(TOTAL, 1.0) * (1.0 if endpoint == TOTAL else slow.get(endpoint, 1.0))
        offered = round(requests * share)
        bad = lost.get(endpoint, 0) + (failed if endpoint in {TOTAL, "recall"} else 0)
        endpoints[endpoint] = EndpointFigures(
            offered=offered,
            completed=offered - bad,
            failed=bad,
            quantiles={
                name: (_quantile(q) * factor * _chance(random, luck, sd), None, None)
                for name, q in QUANTILES.items()
                if bad < offered
            },
            histogram=_histogram(random, factor * np.exp(luck)) if histograms else None,
        )  # fmt: skip
    return AcceptedRun(
        id=run_id,
        created="2026-11-24T00:00:00+00:00",
        commit="0123456789abcdef",
        label=None,
        seed=1,
        hold_s=20.0,
        throughput=OFFERED / 20 * (1 + 0.001 * random.standard_normal()),
        endpoints=endpoints,
    )


def _quantile(q: float) -> float:
    z = {0.5: 0.0, 0.95: 1.6449, 0.99: 2.3263}[q]
    return MEDIAN_S * float(np.exp(SIGMA * z))


def _histogram(random: np.random.Generator, factor: float) -> str:
    histogram = Histogram()
    for value in random.lognormal(np.log(MEDIAN_S * factor), SIGMA, 500):
        histogram.record(int(value * 1e9))
    return histogram.encode()


def _chance(random: np.random.Generator, luck: float, sd: float) -> float:
    return float(np.exp(luck + sd * random.standard_normal()))
