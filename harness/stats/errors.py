"""Rates of rare events: exact bounds, and the comparison of two error ratios."""

import math
from dataclasses import dataclass

from scipy import special

from harness.errors import DataError
from harness.stats.interval import Interval, share


@dataclass(frozen=True, slots=True)
class RatioComparison:
    """Two error ratios.

    `difference` is candidate less baseline. `p_worse` is Fisher's exact one-sided p-value. The
    interval of the difference is Newcombe's.
    """

    baseline: Interval
    candidate: Interval
    difference: float
    low: float
    high: float
    p_worse: float
    confidence: float


def binomial_bounds(failed: float, total: float, confidence: float = 0.95) -> Interval:
    """The exact two-sided interval of a ratio (Clopper & Pearson 1934).

    Fractional counts are allowed (counts divided by their dispersion). Raises DataError unless
    0 <= failed <= total and total > 0.
    """
    _check_counts(failed, total)
    tail = (1 - share(confidence, "confidence")) / 2
    low = float(special.betaincinv(failed, total - failed + 1, tail)) if failed > 0 else 0.0
    high = 1.0
    if failed < total:
        high = float(special.betaincinv(failed + 1, total - failed, 1 - tail))
    return Interval(failed / total, low, high, confidence, "Clopper-Pearson", int(total))


def excess_p(failed: int, total: int, allowed: float) -> float:
    """The chance that `failed` or more of `total` requests fail where each does with `allowed`.

    The upper tail of the binomial; 1 where none was sent. Raises DataError as `binomial_bounds`
    does, and when `allowed` is no share.
    """
    if total == 0:
        return 1.0
    _check_counts(failed, total)
    share(allowed, "allowed")
    return float(special.betainc(failed, total - failed + 1, allowed)) if failed > 0 else 1.0


def detectable_share(total: int, allowed: float, level: float, power: float) -> float | None:
    """The least share of failures that `excess_p` puts below `level` in `power` of all samples.

    Of `total` requests each, exact by the binomial; None where no number of failures would do.
    """
    if total == 0:
        return None
    least, most = math.floor(allowed * total) + 1, total
    if least > most or excess_p(most, total, allowed) >= level:
        return None
    while least < most:  # the p-value falls with every failure more
        middle = (least + most) // 2
        if excess_p(middle, total, allowed) < level:
            most = middle
        else:
            least = middle + 1
    return float(special.betaincinv(least, total - least + 1, share(power, "power")))


def compare_ratios(
    baseline_failed: int,
    baseline_total: int,
    candidate_failed: int,
    candidate_total: int,
    confidence: float = 0.95,
) -> RatioComparison:
    """Compare two error ratios of independent requests.

    Fisher's exact test; Newcombe 1998, method 10, for the difference. Errors that come in
    clusters are not independent: compare run by run instead (`compare_metric`). Raises
    DataError as `binomial_bounds` does.
    """
    before = binomial_bounds(baseline_failed, baseline_total, confidence)
    after = binomial_bounds(candidate_failed, candidate_total, confidence)
    gap = after.estimate - before.estimate
    low_a, high_a = wilson(baseline_failed, baseline_total, confidence)
    low_b, high_b = wilson(candidate_failed, candidate_total, confidence)
    p, r = before.estimate, after.estimate
    return RatioComparison(
        baseline=before,
        candidate=after,
        difference=gap,
        low=gap - math.hypot(r - low_b, high_a - p),
        high=gap + math.hypot(high_b - r, p - low_a),
        p_worse=_fisher(baseline_failed, baseline_total, candidate_failed, candidate_total),
        confidence=confidence,
    )


def _check_counts(failed: float, total: float) -> None:
    if not (math.isfinite(total) and total > 0 and 0 <= failed <= total):
        raise DataError(f"{failed} of {total} failed", "give 0 <= failed <= total and total > 0")


def wilson(x: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a ratio (Wilson 1927), within [0, 1]; counts may be fractional."""
    z = float(special.ndtri(1 - (1 - confidence) / 2))
    centre = (x + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(x * (n - x) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def _fisher(x: int, n: int, y: int, m: int) -> float:
    """P(candidate failures >= y) given the margins: the upper hypergeometric tail."""
    from scipy.stats import hypergeom  # noqa: PLC0415 - heavy, and only this test needs it

    return min(1.0, float(hypergeom.sf(y - 1, n + m, x + y, m)))
