"""What the simulations ask beside the harness's own statistics."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from harness.errors import DataError
from harness.stats.compare import Comparison, _comparison, _judge, _question, check_sides
from harness.stats.interval import MANY, Floats, Interval, finite, share, t_quantile
from harness.stats.quantiles import _rank, _section, sample_quantile
from harness.stats.runs import POWER
from harness.stats.sides import Sides

SLOTS = 100
"""Slots that raw samples are binned into to see their memory; finer ones show steps, not memory."""


def power(effect: float, sd: float, baseline: int, candidate: int, alpha: float = 0.05) -> float:
    """The chance that a true shift of `effect` is detected by the one-sided test at `alpha`.

    `effect` and `sd` share a unit; non-central t. Raises DataError when nothing is left to
    estimate the spread from, or sd is not positive.
    """
    df = _freedom(baseline, candidate)
    if not sd > 0:
        raise DataError(f"sd is {sd}", "give a positive run-to-run sd")
    centre = effect / (sd * math.sqrt(1 / baseline + 1 / candidate))
    critical = t_quantile(1 - share(alpha, "alpha"), df)
    return float(1 - special.nctdtr(df, centre, critical))


def detectable_in_sd(
    baseline: int, candidate: int, alpha: float = 0.05, wanted: float = POWER
) -> float:
    """The smallest detectable shift in run-to-run standard deviations, were these known."""
    df = _freedom(baseline, candidate)
    critical = t_quantile(1 - share(alpha, "alpha"), df)
    centre = float(special.nctdtrinc(min(df, MANY), 1 - share(wanted, "power"), critical))
    return centre * math.sqrt(1 / baseline + 1 / candidate)


def _freedom(baseline: int, candidate: int) -> int:
    if baseline < 1 or candidate < 1 or baseline + candidate < 3:
        raise DataError(
            f"{baseline} runs against {candidate}", "the spread needs two runs on one side at least"
        )
    return baseline + candidate - 2


def quick_compare(
    baseline: ArrayLike, candidate: ArrayLike, margin: float = 0.05, alpha: float = 0.05
) -> Comparison:
    """`compare_metric` without `detectable`, `runs_needed` and warnings, in a tenth of the time."""
    a, b = finite(baseline, "baseline"), finite(candidate, "candidate")
    check_sides(a, b, margin)
    sides = Sides.of(a, b, margin)
    asked = sides.difference(None), _question(sides, alpha, None, None), sides
    verdict = _judge(*asked, lower_is_better=True, plan=False)
    return _comparison(*asked, verdict, lower_is_better=True)


def sectioned_sample_quantile(
    samples: ArrayLike, q: float, confidence: float = 0.95, batches: int | None = None
) -> Interval:
    """The quantile of raw samples in order of time, shape (n,), with its interval.

    As `sectioned_quantile`, with up to 100 equal slots of samples in the place of seconds.
    """
    x = finite(samples, "samples")
    whole = sample_quantile(x, q)
    if whole is None:
        raise DataError("there are no samples", "a run without requests has no quantile")
    edges = np.linspace(0, len(x), min(SLOTS, len(x)) + 1).astype(int)
    totals = np.diff(edges).astype(float)

    def influence(level: float) -> Floats:
        at = np.quantile(x, level, method="inverted_cdf")
        below = np.add.reduceat((x <= at).astype(float), edges[:-1])
        centred: Floats = below - below.sum() / len(x) * totals
        return centred

    def value(rank_share: float) -> float:
        rank = _rank(rank_share, len(x)) - 1
        return float(np.partition(x, rank)[rank])

    return _section(whole, totals, influence, value, q, confidence, batches)
