"""Quantiles of one run and their intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from benchmarks.stats.aids import sectioned_sample_quantile
from harness.errors import DataError
from harness.stats import quantiles
from harness.stats.autocorrelation import memory
from harness.stats.interval import Floats
from harness.stats.quantiles import sample_quantile, sectioned_quantile
from tests.sequential import exceeds


def remembering(shocks: Floats, rho: float) -> Floats:
    """An AR(1) process without its first 200 values."""
    levels = itertools.accumulate(shocks, lambda last, shock: rho * last + shock)
    return np.fromiter(levels, np.float64)[200:]


def run(
    random: np.random.Generator, seconds: int, rho: float, rate: int = 50, level: float = 0.1
) -> Floats:
    """Log-normal latencies, shape (seconds, rate), around a level that remembers."""
    shocks = random.standard_normal(seconds + 200) * np.sqrt(1 - rho**2)
    levels = remembering(shocks, rho)
    latencies: Floats = np.exp(
        level * levels[:, None] + 0.5 * random.standard_normal((seconds, rate))
    )
    return latencies


def histogram(latencies: Floats) -> tuple[Floats, NDArray[np.int64]]:
    edges = np.geomspace(latencies.min() * 0.999, latencies.max() * 1.001, 2000)
    counts = np.stack([np.histogram(second, edges)[0] for second in latencies])
    return np.sqrt(edges[1:] * edges[:-1]), counts


def test_the_quantile_is_the_least_value_of_sufficient_rank() -> None:
    assert sample_quantile([3, 1, 3, 2], 0.5) == 2
    assert sample_quantile([3, 1, 3, 2], 0.99) == 3
    assert sample_quantile([], 0.5) is None


@pytest.mark.parametrize(("seconds", "rho"), [(60, 0.9), (300, 0.9), (60, 0.0)])
@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_the_interval_covers_the_truth_though_latencies_remember(
    seconds: int, rho: float, q: float
) -> None:
    random = np.random.default_rng(seconds + int(100 * q))
    truth = np.exp(special.ndtri(q) * np.hypot(0.1, 0.5))

    def missed() -> bool:
        found = sectioned_sample_quantile(run(random, seconds, rho).ravel(), q)
        assert found.low is not None
        assert found.high is not None
        return not found.low <= truth <= found.high

    assert not exceeds((missed() for _ in range(1000)), 0.05, 0.14)


def test_histograms_and_samples_agree() -> None:
    latencies = run(np.random.default_rng(1), 60, 0.5)
    by_histogram = sectioned_quantile(*histogram(latencies), 0.95)
    by_sample = sectioned_sample_quantile(latencies.ravel(), 0.95)
    assert by_histogram.estimate == pytest.approx(by_sample.estimate, rel=0.01)
    assert by_histogram.high == pytest.approx(by_sample.high, rel=0.1)


def test_memory_makes_batches_fewer_and_intervals_wider() -> None:
    random = np.random.default_rng(4)
    free, bound = (
        [sectioned_quantile(*histogram(run(random, 300, rho, level=0.3)), 0.5) for _ in range(20)]
        for rho in (0.0, 0.9)
    )
    batches = [float(np.median([found.n for found in each])) for each in (free, bound)]
    assert batches[0] > batches[1] == 5
    widths = [
        float(np.median([(found.high or 0) - (found.low or 0) for found in each]))
        for each in (free, bound)
    ]
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize(
    ("counts", "q", "batches"),
    [
        (np.ones((9, 1), dtype=int), 0.5, None),
        (np.ones((60, 1), dtype=int), 0.99, None),
        (np.ones((60, 1), dtype=int), 0.5, 4),
    ],
)
def test_an_interval_that_cannot_be_known_is_refused_with_the_reason(
    counts: NDArray[np.int64], q: float, batches: int | None
) -> None:
    found = sectioned_quantile([1.0], counts, q, batches=batches)
    assert (found.estimate, found.low, found.high) == (1.0, None, None)
    assert found.method.startswith("no interval: ")


def test_seconds_without_requests_are_no_evidence_and_no_obstacle() -> None:
    values, counts = histogram(run(np.random.default_rng(2), 60, 0.0))
    counts[10:15] = 0
    found = sectioned_quantile(values, counts, 0.5)
    assert found.low is not None
    assert found.low < found.estimate < (found.high or 0)


def test_constant_latency_has_an_interval_of_no_width() -> None:
    found = sectioned_quantile([5.0], np.full((60, 1), 100), 0.99)
    assert (found.low, found.estimate, found.high) == (5.0, 5.0, 5.0)


def test_bad_histograms_are_one_clear_line() -> None:
    for values, counts in (
        ([1.0], np.zeros((60, 1))),
        ([2.0, 1.0], np.ones((60, 2))),
        ([1.0], np.ones((60, 2))),
        ([1.0], -np.ones((60, 1))),
    ):
        with pytest.raises(DataError):
            sectioned_quantile(values, counts, 0.5)


def test_the_memory_of_a_known_process_is_found() -> None:
    random = np.random.default_rng(8)
    shocks = random.standard_normal((40, 1200))
    times = [memory(remembering(row, 0.8)).time for row in shocks]
    assert np.median(times) == pytest.approx(9, rel=0.25)
    assert np.median([memory(row).time for row in shocks]) < 1.3


@pytest.mark.parametrize("shape", ["one stall", "late saturation", "cold start"])
def test_no_bound_leaves_the_latencies_that_were_seen(shape: str) -> None:
    latencies = run(np.random.default_rng(9), 30, 0.5)
    slow = {"one stall": slice(14, 16), "late saturation": slice(10, 30), "cold start": slice(3)}
    latencies[slow[shape]] *= 100
    for q in (0.5, 0.95, 0.99):
        found = sectioned_quantile(*histogram(latencies), q)
        assert found.low is not None
        assert found.high is not None
        assert latencies.min() * 0.98 <= found.low <= found.estimate <= found.high
        assert found.high <= latencies.max() * 1.02


@pytest.mark.parametrize(("q", "is_far"), [(0.985, False), (0.99, True), (0.01, True)])
def test_the_larger_half_width_counts_where_few_seconds_reach_the_tail(
    monkeypatch: pytest.MonkeyPatch, q: float, *, is_far: bool
) -> None:
    monkeypatch.setattr(quantiles, "mean_half_width", lambda *_: 0.0)
    found = sectioned_sample_quantile(np.random.default_rng(5).standard_normal(5000), q)
    assert found.low is not None
    assert found.high is not None
    assert (found.high > found.low) is is_far
