"""Monitoring that may be looked at after every second: anytime-valid tests for a live abort."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, Interval, finite, same_length, share

MULTIPLES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
"""Alternatives that the mixture spreads its bets over, as multiples of the allowed ratio."""

TUNED_FOR = 60
"""Seconds after which the confidence sequence is at its tightest."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """The state of a monitor: `evidence` is an e-value, alarm when it ever reached 1 / alpha.

    `at` is the index of the first alarm, None while there is none.
    """

    evidence: float
    threshold: float
    at: int | None

    @property
    def raised(self) -> bool:
        """Whether the monitor has ever alarmed."""
        return self.at is not None


def error_ratio_monitor(
    failed: ArrayLike, total: ArrayLike, allowed: float, alpha: float = 0.01
) -> Alarm:
    """Test "the error ratio is at most `allowed`" after every slice, shapes (slices,) both.

    A mixture of sequential probability ratios (Wald 1945, Robbins 1970) over fixed alternatives
    above `allowed`: by Ville's inequality the chance of ever alarming when the hypothesis holds
    is at most alpha, however often one looks, for independent requests. Raises DataError for
    counts that cannot be.
    """
    bad, all_ = finite(failed, "failed"), finite(total, "total")
    same_length(bad, all_)
    share(allowed, "allowed")
    share(alpha, "alpha")
    if np.any(bad < 0) or np.any(bad > all_):
        raise DataError("more failures than requests", "give 0 <= failed <= total")
    x, n = np.cumsum(bad), np.cumsum(all_)
    p = np.array([m * allowed for m in MULTIPLES if m * allowed < 1] + [(1 + allowed) / 2])
    logs = x[:, None] * np.log(p / allowed) + (n - x)[:, None] * np.log1p(
        (allowed - p) / (1 - allowed)
    )
    evidence = np.logaddexp.reduce(logs, axis=1) - math.log(len(p))
    return _alarm(evidence, alpha)


def mean_sequence(
    values: ArrayLike, confidence: float = 0.95, tuned_for: int = TUNED_FOR
) -> list[Interval]:
    """A confidence sequence of the mean after each value from the second, shape (n - 1).

    Holds at all times together, asymptotically: normal mixture with the running variance
    (Waudby-Smith et al. 2021, "Time-uniform central limit theory"). Values are independent or
    batch means long enough to be nearly so.
    """
    x = finite(values, "values")
    alpha = 1 - share(confidence, "confidence")
    rho2 = _best_rho2(alpha, max(tuned_for, 2))
    n = np.arange(1, len(x) + 1)
    mean = np.cumsum(x) / n
    # Centred before squaring: large means must not swallow small variances.
    centred = x - x[0] if len(x) else x
    var = np.maximum(np.cumsum(centred**2) / n - (np.cumsum(centred) / n) ** 2, 0) * n
    sd = np.sqrt(var / np.maximum(n - 1, 1))
    half = sd * np.sqrt(2 * (n * rho2 + 1) / (n**2 * rho2) * np.log(np.sqrt(n * rho2 + 1) / alpha))
    return [
        Interval(m, m - h, m + h, confidence, "asymptotic confidence sequence", k)
        for k, (m, h) in enumerate(zip(map(float, mean[1:]), map(float, half[1:]), strict=True), 2)
    ]


def mean_monitor(
    values: ArrayLike, limit: float, alpha: float = 0.01, tuned_for: int = TUNED_FOR
) -> Alarm:
    """Alarm when the mean is shown to exceed `limit`, looked at after every value.

    `evidence` is how far the lower bound stands above the limit, in the values' unit; the
    threshold is 0.
    """
    bounds = mean_sequence(values, 1 - 2 * alpha, tuned_for)
    gaps = [interval.low - limit for interval in bounds if interval.low is not None]
    first = next((i + 1 for i, gap in enumerate(gaps) if gap > 0), None)
    return Alarm(gaps[-1] if gaps else -math.inf, 0.0, first)


def _best_rho2(alpha: float, n: int) -> float:
    """The mixture's variance that is tightest after n values (ibid., equation 79, approximate)."""
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / n


def _alarm(log_evidence: Floats, alpha: float) -> Alarm:
    threshold = 1 / alpha
    hits = np.flatnonzero(log_evidence >= math.log(threshold))
    last = float(log_evidence[-1]) if len(log_evidence) else 0.0
    value = math.exp(min(last, 700.0))
    return Alarm(value, threshold, int(hits[0]) if hits.size else None)
