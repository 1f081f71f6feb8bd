"""The verdict on one metric: candidate runs against baseline runs.

Every verdict is read from one interval [low, high] of confidence 1 - 2 alpha, so each side errs
with probability alpha: on unchanged software `regression` comes up in at most alpha of the
comparisons (nominally 5 %, one-sided), and so does `improvement`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, finite, t_quantile, t_upper_tail
from harness.stats.runs import Difference, Spread, detectable, difference, runs_to_settle

VerdictWord = Literal["regression", "improvement", "no-change", "trivial", "inconclusive"]
Scale = Literal["ratio", "difference"]

PRIOR_DF = 4.0
"""Weight of a bare prior sd: as if it came from five runs. Give the real one where it is known."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the runs say about one metric.

    On the scale `ratio`, `shift`, `low`, `high` and `detectable` are relative changes (0.1 is
    +10 %) and `margin` too; on `difference` they have the metric's unit. A positive shift is a
    higher value, whether that is better or worse. `sd` is the run-to-run standard deviation (of
    the logarithm on `ratio`). `p_value` is one-sided, against "not worse". `detectable` is the
    smallest change for the worse, as a size, seen with 80 % power. `runs_needed` and
    `baseline_runs_needed` are the further runs after which every outcome is settled: 0 when it
    is, None when unknown. None is unknown throughout.
    """

    verdict: VerdictWord
    shift: float
    low: float | None
    high: float | None
    confidence: float
    scale: Scale
    margin: float
    detectable: float | None
    runs_needed: int | None
    baseline_runs_needed: int | None
    p_value: float | None
    sd: float | None
    baseline_runs: int
    candidate_runs: int
    method: str
    reason: str


def classify(estimate: float, low: float | None, high: float | None, margin: float) -> VerdictWord:
    """The verdict from an interval in which positive is worse; all in one unit.

    Regression: low > 0 and estimate >= margin; improvement mirrored; trivial: zero is excluded,
    the estimate is below the margin; no-change: the interval lies within the margin (with a 90 %
    interval, two one-sided tests at 5 %: Schuirmann 1987).
    """
    if low is None or high is None:
        return "inconclusive"
    if low > 0:
        return "regression" if estimate >= margin else "trivial"
    if high < 0:
        return "improvement" if estimate <= -margin else "trivial"
    return "no-change" if -margin <= low and high <= margin else "inconclusive"


def compare_metric(
    baseline: ArrayLike,
    candidate: ArrayLike,
    margin: float = 0.05,
    alpha: float = 0.05,
    *,
    lower_is_better: bool = True,
    prior_sd: float | None = None,
    prior_df: float = PRIOR_DF,
) -> Comparison:
    """Compare one metric's run values, shapes (K,) and (n,), in the metric's unit.

    Positive values are compared by the logarithm of their ratio, so that `margin` 0.05 means
    x 1.05 or / 1.05; as soon as one value is zero or negative, by their difference, and the
    margin is that share of the baseline's mean. `prior_sd` (relative, or in the metric's unit
    on the scale `difference`) with `prior_df` degrees of freedom lends a run-to-run scatter
    where there are few runs; with one run a side and no prior the verdict is capped at
    inconclusive. Raises DataError for an empty side, values that are not finite, a negative
    margin or prior, or alpha outside (0, 0.5).
    """
    a, b = finite(baseline, "baseline"), finite(candidate, "candidate")
    _check(a, b, margin, alpha, prior_sd, prior_df)
    scale: Scale = "ratio" if min(a.min(), b.min()) > 0 else "difference"
    prior = None if prior_sd is None else Spread(prior_sd**2, prior_df)
    limit, found = _measure(scale, a, b, margin, prior)
    worse = found.shift if lower_is_better else -found.shift
    half = 0.0 if found.error is None else t_quantile(1 - alpha, found.df) * found.error
    known = found.error is not None
    low, high = (worse - half, worse + half) if known else (None, None)
    verdict = classify(worse, low, high, limit)
    more = _more_runs(verdict, found, limit, len(a), len(b), alpha)
    back = _relative if scale == "ratio" else float
    return Comparison(
        verdict=verdict,
        shift=back(found.shift),
        low=back(found.shift - half) if known else None,
        high=back(found.shift + half) if known else None,
        confidence=1 - 2 * alpha,
        scale=scale,
        margin=margin if scale == "ratio" else limit,
        detectable=_detectable(found, alpha, scale, lower_is_better=lower_is_better),
        runs_needed=None if more is None else more[0],
        baseline_runs_needed=None if more is None else more[1],
        p_value=_p_value(worse, found),
        sd=None if found.spread is None else found.spread.sd,
        baseline_runs=len(a),
        candidate_runs=len(b),
        method=found.method,
        reason=_reason(verdict, worse, found, limit, more),
    )


def _check(
    a: Floats, b: Floats, margin: float, alpha: float, prior_sd: float | None, prior_df: float
) -> None:
    for name, side in (("baseline", a), ("candidate", b)):
        if not len(side):
            raise DataError(f"the {name} has no runs", "give at least one run on each side")
    if not (math.isfinite(margin) and margin >= 0):
        raise DataError(f"the margin is {margin}", "give a share of 0 or more")
    if not 0 < alpha < 0.5:  # noqa: PLR2004 - a one-sided level
        raise DataError(f"alpha is {alpha}", "give a one-sided level between 0 and 0.5")
    if prior_sd is not None and not (math.isfinite(prior_sd) and prior_sd > 0 and prior_df > 0):
        raise DataError(f"the prior sd is {prior_sd}", "give a positive number")


def _measure(
    scale: Scale, a: Floats, b: Floats, margin: float, prior: Spread | None
) -> tuple[float, Difference]:
    """The margin and the difference in the unit of the arithmetic.

    Values are taken from the first one, so that a constant series has a scatter of exactly 0.
    """
    if scale == "ratio":
        logs_a, logs_b = np.log(a), np.log(b)
        return math.log1p(margin), difference(logs_a - logs_a[0], logs_b - logs_a[0], prior)
    unit = max(float(np.abs(a).max()), float(np.abs(b).max())) or 1.0
    scaled = None if prior is None else Spread(prior.variance / unit / unit, prior.df)
    found = difference(a / unit - a[0] / unit, b / unit - a[0] / unit, scaled)
    spread = found.spread and Spread(found.spread.variance * unit * unit, found.spread.df)
    error = None if found.error is None else found.error * unit
    limit = margin * abs(float((a / unit).mean())) * unit
    return limit, Difference(found.shift * unit, error, found.df, spread, found.method)


def _relative(log_ratio: float) -> float:
    return math.expm1(log_ratio) if log_ratio < 700 else math.inf  # noqa: PLR2004 - exp overflows


def _detectable(
    found: Difference, alpha: float, scale: Scale, *, lower_is_better: bool
) -> float | None:
    if found.error is None:
        return None
    seen = detectable(found.error, found.df, alpha)
    if scale == "difference":
        return seen
    return _relative(seen) if lower_is_better else -math.expm1(-seen)


def _p_value(worse: float, found: Difference) -> float | None:
    if found.error is None:
        return None
    if found.error == 0:
        return 0.0 if worse > 0 else 1.0 if worse < 0 else 0.5
    return t_upper_tail(worse / found.error, found.df)


def _more_runs(
    verdict: VerdictWord, found: Difference, limit: float, k: int, n: int, alpha: float
) -> tuple[int, int] | None:
    """Further runs until the half width is half the margin.

    Then every estimate is settled: the interval excludes zero or lies within the margin.
    """
    if verdict != "inconclusive":
        return 0, 0
    if found.spread is None:
        return None
    return runs_to_settle(found.spread, limit / 2, k, n, alpha)


def _reason(
    verdict: VerdictWord,
    worse: float,
    found: Difference,
    limit: float,
    more: tuple[int, int] | None,
) -> str:
    if found.error is None:
        size = "large" if abs(worse) >= limit else "small"
        return f"{size}, unconfirmed: one run against one cannot tell run-to-run scatter; rerun"
    if verdict == "inconclusive":
        cost = "no number of runs within reason settles it"
        if more is not None:
            back = f" and {more[1]} more baseline runs" if more[1] else ""
            cost = f"{more[0]} more candidate runs{back} settle it"
        return f"the interval holds both no change and more than the margin; {cost}"
    note = "" if found.error > 0 else " (the runs do not vary at all)"
    if "Welch" in found.method:
        note = " (one side scatters more than the other)"
    direction = "worse" if worse > 0 else "better"
    return {
        "regression": "worse beyond chance, by the margin or more",
        "improvement": "better beyond chance, by the margin or more",
        "trivial": f"{direction} beyond chance, by less than the margin",
        "no-change": "the whole interval lies within the margin",
    }[verdict] + note
