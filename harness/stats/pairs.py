"""Interleaved pairs: A and B run alternately, so that slow drift hits both alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.compare import VerdictWord, classify
from harness.stats.interval import finite, same_length, share, t_quantile, t_upper_tail
from harness.stats.planning import detectable_shift
from harness.units import counted

LEAST_PAIRS = 2


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """B against A over n pairs; `shift`, `low`, `high`, `sd`, `detectable` are relative changes.

    `p_worse` is one-sided against "B is not higher"; `p_equivalent` is the larger of the two
    one-sided tests against the margin: below alpha, A and B are equivalent.
    """

    verdict: VerdictWord
    shift: float
    low: float
    high: float
    confidence: float
    margin: float
    sd: float
    detectable: float
    p_worse: float
    p_equivalent: float
    pairs: int


def abba_order(pairs: int) -> str:
    """The order of runs, `ABBAABBA...`: each pair starts with the side that ended the last one.

    A linear drift cancels over every two pairs. Raises DataError below one pair.
    """
    if pairs < 1:
        raise DataError(f"{pairs} pairs", "give one pair or more")
    return "".join("AB" if pair % 2 == 0 else "BA" for pair in range(pairs))


def compare_pairs(
    a: ArrayLike,
    b: ArrayLike,
    margin: float = 0.05,
    alpha: float = 0.05,
    *,
    lower_is_better: bool = True,
) -> PairedComparison:
    """Student t on paired log ratios, shapes (n,) both, positive values in one unit.

    Equivalence by two one-sided tests (TOST, Schuirmann 1987) at +-margin, on the same 1 - 2
    alpha interval. Raises DataError below two pairs, for unequal lengths or values <= 0.
    """
    x, y = finite(a, "a"), finite(b, "b")
    same_length(x, y)
    share(2 * alpha, "twice alpha")
    if len(x) < LEAST_PAIRS:
        raise DataError(counted(len(x), "pair"), "run two pairs or more")
    if min(x.min(), y.min()) <= 0:
        raise DataError("a value is zero or negative", "paired ratios need positive values")
    d = np.log(y / x)
    sign = 1.0 if lower_is_better else -1.0
    mean, df, limit = float(d.mean()), len(d) - 1, math.log1p(margin)
    error = float(d.std(ddof=1)) / math.sqrt(len(d))
    half = t_quantile(1 - alpha, df) * error
    ends = sorted((sign * (mean - half), sign * (mean + half)))
    return PairedComparison(
        verdict=classify(sign * mean, ends[0], ends[1], limit),
        shift=math.expm1(mean),
        low=math.expm1(mean - half),
        high=math.expm1(mean + half),
        confidence=1 - 2 * alpha,
        margin=margin,
        sd=error * math.sqrt(len(d)),
        detectable=math.expm1(detectable_shift(error, df, alpha, limit)),
        p_worse=_tail(sign * mean, error, df),
        p_equivalent=max(_tail(limit + mean, error, df), _tail(limit - mean, error, df)),
        pairs=len(d),
    )


def _tail(distance: float, error: float, df: int) -> float:
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return t_upper_tail(distance / error, df)
