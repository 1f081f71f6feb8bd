"""The scalability law against series of known coefficients: no peak where there is none."""

from __future__ import annotations

import numpy as np

from harness.stats.capacity import ScalabilityLaw, fit_scalability

LOADS = np.array([1, 2, 4, 8, 16, 24, 32, 48], np.float64)
SERIES = 200
NOISE = 0.02


def _fits(contention: float, coherency: float) -> list[ScalabilityLaw]:
    random = np.random.default_rng(3)
    exact = 100 * LOADS / (1 + contention * (LOADS - 1) + coherency * LOADS * (LOADS - 1))
    return [
        fit_scalability(LOADS, exact * np.exp(NOISE * random.standard_normal(len(LOADS))))
        for _ in range(SERIES)
    ]


def test_a_service_without_coherency_rarely_gets_a_peak() -> None:
    assert sum(law.peak is not None for law in _fits(0.05, 0.0)) <= 0.05 * SERIES


def test_the_interval_of_a_peak_covers_it() -> None:
    peak = ((1 - 0.05) / 0.001) ** 0.5
    shown = [law for law in _fits(0.05, 0.001) if law.peak is not None]
    covering = sum((law.peak_low or 0) <= peak <= (law.peak_high or 0) for law in shown)
    assert len(shown) >= 0.9 * SERIES
    assert covering >= 0.9 * len(shown)


def test_the_intervals_of_the_coefficients_cover_them() -> None:
    fits = _fits(0.05, 0.001)
    sigma = sum(law.contention_low <= 0.05 <= law.contention_high for law in fits)
    kappa = sum(law.coherency_low <= 0.001 <= law.coherency_high for law in fits)
    assert min(sigma, kappa) >= 0.9 * SERIES
