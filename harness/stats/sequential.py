"""Monitoring that may be looked at after every second: anytime-valid tests for a live abort."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, finite, same_length, share

MULTIPLES = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
"""Alternatives that the mixture spreads its bets over, as multiples of the allowed ratio."""


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


def _alarm(log_evidence: Floats, alpha: float) -> Alarm:
    threshold = 1 / alpha
    hits = np.flatnonzero(log_evidence >= math.log(threshold))
    last = float(log_evidence[-1]) if len(log_evidence) else 0.0
    value = math.exp(min(last, 700.0))
    return Alarm(value, threshold, int(hits[0]) if hits.size else None)
