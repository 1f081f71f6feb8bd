"""The verdict on one metric: candidate runs against baseline runs.

Every verdict is read from one interval [low, high] of confidence 1 - 2 alpha, so each side errs
with probability alpha: on unchanged software `regression` comes up in at most alpha of the
comparisons (nominally 5 %, one-sided), and so does `improvement`. Several metrics are decided
together by `decide` (Holm).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.interval import Floats, finite, t_quantile, t_upper_tail
from harness.stats.multiplicity import holm
from harness.stats.outliers import outlier_chance, runs_beyond_outliers
from harness.stats.planning import AFFORDABLE_RUNS, Question, detectable_shift, runs_to_settle
from harness.stats.runs import Difference, Spread
from harness.stats.sides import Scale, Sides

UNIT = 1000.0
"""Between s, ms, us and ns, or between B, kB and MB."""

MOST_UNITS = 4
"""Times UNIT from bytes to TB; what is further apart differs by more than a unit."""

UNIT_ROOM = 1.5
"""Times a power of UNIT that the ratio of two sides may be off to look like two units: releases
that change nothing else, or that are slower as well."""

VerdictWord = Literal["regression", "improvement", "no-change", "trivial", "inconclusive"]
PRIOR_DF = 4.0
"""Weight of a bare prior sd: as if it came from five runs. Give the real one where it is known."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the runs say about one metric.

    On the scale `ratio`, `shift`, `low`, `high` and `detectable` are relative changes (0.1 is
    +10 %) and `margin` too; on `difference` they have the metric's unit. A positive shift is a
    higher value, whether that is better or worse. `sd` is the run-to-run standard deviation (of
    the logarithm on `ratio`). `p_value` is one-sided, against "not worse". `level` is the
    one-sided level at which a regression is claimed; `detectable` is the smallest change for the
    worse, as a size, that is so claimed with 80 % power. `runs_needed` and
    `baseline_runs_needed` are the further runs that settle the verdict in 80 % of cases: 0 when
    it is settled, None when unknown.

    `baseline_outliers` and `candidate_outliers` are the positions of runs that were set aside (the
    numbers of runs count them). `outlier_chance` is the chance that all candidate runs are such
    runs: where a regression must not be claimed by mistake, `p_claim` takes it for a bound.
    `not_worse`: the whole interval lies below the margin for the worse (or as many margins as
    were asked for), whatever the verdict.
    `warnings` are sentences on the order of the runs. None is unknown throughout.
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
    level: float
    lower_is_better: bool = True
    not_worse: bool = False
    baseline_outliers: tuple[int, ...] = ()
    candidate_outliers: tuple[int, ...] = ()
    outlier_chance: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def p_claim(self) -> float | None:
        """The p-value of a claim: no less than the chance that outliers alone make it."""
        return None if self.p_value is None else max(self.p_value, self.outlier_chance)

    @property
    def p_bounded(self) -> float | None:
        """The same, where the baseline has shown that there are outliers."""
        return self.p_claim if self.baseline_outliers else self.p_value


def classify(estimate: float, low: float | None, high: float | None, margin: float) -> VerdictWord:
    """The verdict from an interval in which positive is worse; all in one unit.

    Regression: low > 0 and estimate >= margin; improvement mirrored; trivial: zero is excluded
    and the whole interval lies within the margin; no-change: it lies within the margin and holds
    zero (with a 90 % interval, two one-sided tests at 5 %: Schuirmann 1987). All else is open.
    """
    if low is None or high is None:
        return "inconclusive"
    if low > 0 and estimate >= margin:
        return "regression"
    if high < 0 and estimate <= -margin:
        return "improvement"
    if low < -margin or high > margin:
        return "inconclusive"
    return "trivial" if low > 0 or high < 0 else "no-change"


def compare_metric(
    baseline: ArrayLike,
    candidate: ArrayLike,
    margin: float = 0.05,
    alpha: float = 0.05,
    *,
    lower_is_better: bool = True,
    prior_sd: float | None = None,
    prior_df: float = PRIOR_DF,
    level: float | None = None,
    doubt: float | None = None,
) -> Comparison:
    """Compare one metric's run values, shapes (K,) and (n,), in the metric's unit, in time's order.

    Positive values are compared by the logarithm of their ratio, so that `margin` 0.05 means
    x 1.05 or / 1.05; as soon as one value is zero or negative, by their difference, and the
    margin is that share of the baseline's mean. `prior_sd` (relative, or in the metric's unit
    on the scale `difference`) with `prior_df` degrees of freedom lends a run-to-run scatter
    where there are few runs, unless three runs or more are all equal; with one run a side and no
    prior the verdict is capped at inconclusive. `level` (alpha or less, alpha when None) is where
    the caller claims a regression: `detectable` and `runs_needed` are for that. With `doubt`, a
    multiple of the margin, `runs_needed` asks for a claim or for an interval below so much, not
    for a verdict.

    Gross outliers of five runs or more are set aside; where the baseline has some, the p-value
    is bounded by the chance that all candidate runs are outliers. The scatter is never taken for
    less than the rounding of the values makes. Raises DataError for an empty side, values that
    are not finite, a negative margin or prior, alpha outside (0, 0.5), or a level outside
    (0, alpha].
    """
    a, b = finite(baseline, "baseline"), finite(candidate, "candidate")
    check_sides(a, b, margin)
    prior = _prior(prior_sd, prior_df)
    return compare_sides(
        Sides.of(a, b, margin),
        alpha,
        lower_is_better=lower_is_better,
        prior=prior,
        level=level,
        doubt=doubt,
    )


def compare_sides(
    sides: Sides,
    alpha: float,
    *,
    lower_is_better: bool,
    prior: Spread | None = None,
    level: float | None = None,
    doubt: float | None = None,
) -> Comparison:
    """What the runs of both sides, or of pairs, say; see `compare_metric`."""
    question = _question(sides, alpha, level, doubt)
    asked = sides.difference(prior), question, sides
    verdict = _judge(*asked, lower_is_better=lower_is_better, plan=True)
    seen = _detectable(asked[0], question, sides.scale, lower_is_better=lower_is_better)
    bare = _comparison(*asked, verdict, lower_is_better=lower_is_better)
    return replace(bare, detectable=seen, warnings=sides.warnings())


def _question(sides: Sides, alpha: float, level: float | None, doubt: float | None) -> Question:
    if not 0 < alpha < 0.5:  # noqa: PLR2004 - a one-sided level
        raise DataError(f"alpha is {alpha}", "give a one-sided level between 0 and 0.5")
    level = alpha if level is None else level
    if not 0 < level <= alpha:
        raise DataError(f"the level is {level}", f"give one above 0, at most alpha ({alpha:g})")
    limit = sides.limit
    if doubt is not None:
        many = doubt * (math.expm1(limit) if sides.scale == "ratio" else limit)
        doubt = math.log1p(many) if sides.scale == "ratio" else many
    return Question(limit, alpha, level, doubt)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the runs say, with positive for worse, in the unit of the arithmetic."""

    word: VerdictWord
    worse: float
    half: float | None
    p_value: float | None
    chance: float
    more: tuple[int, int] | None
    reason: str
    other_unit: bool = False


def _judge(
    found: Difference, question: Question, sides: Sides, *, lower_is_better: bool, plan: bool
) -> _Verdict:
    worse = found.shift if lower_is_better else -found.shift
    named, k, n = len(sides.odd_before), sides.baseline_runs, sides.candidate_runs
    chance = outlier_chance(named, k, n)
    p_value = _p_value(worse, found)
    bounded = max(p_value, chance) if named and p_value is not None else p_value
    half = None if found.error is None else t_quantile(1 - question.alpha, found.df) * found.error
    low, high = (None, None) if half is None else (worse - half, worse + half)
    word = classify(worse, low, high, question.margin)
    odd = bool(named) and chance > question.alpha and word in {"regression", "improvement"}
    if odd:
        word = "inconclusive"
    factor = other_unit(found.shift) if sides.scale == "ratio" else None
    if factor is not None and word == "improvement":
        reason = f"about {factor:,.0f} times better: are both sides in the same unit?"
        return _Verdict("inconclusive", worse, half, p_value, chance, None, reason, other_unit=True)
    claimed = word != "regression" or (bounded is not None and bounded <= question.level)
    more: tuple[int, int] | None = (0, 0)
    if odd:
        more = max(runs_beyond_outliers(named, k, question.alpha) - n, 1), 0
    elif (word == "inconclusive" and not question.is_closed(worse, half)) or not claimed:
        more = None
        if plan and found.spread is not None and found.spread.variance > 0:
            more = runs_to_settle(worse, found.spread, sides.known, n, question)
    advice = "" if more == (0, 0) else price(more, sides.noun)
    reason = _reason(word, worse, found, question.margin, advice)
    if odd:
        reason = _odd_reason(named, k, n)
    elif factor is not None:
        reason += f" (about {factor:,.0f} times: are both sides in the same unit?)"
    return _Verdict(word, worse, half, p_value, chance, more, reason)


def _comparison(
    found: Difference,
    question: Question,
    sides: Sides,
    verdict: _Verdict,
    *,
    lower_is_better: bool,
) -> Comparison:
    half = verdict.half
    back = _relative if sides.scale == "ratio" else float
    more = (None, None) if verdict.more is None else verdict.more
    margin = _relative(question.margin) if sides.scale == "ratio" else question.margin
    return Comparison(
        verdict=verdict.word,
        shift=back(found.shift),
        low=None if half is None else back(found.shift - half),
        high=None if half is None else back(found.shift + half),
        confidence=1 - 2 * question.alpha,
        scale=sides.scale,
        margin=margin,
        detectable=None,
        runs_needed=more[0],
        baseline_runs_needed=more[1],
        p_value=verdict.p_value,
        sd=None if found.spread is None else found.spread.sd,
        baseline_runs=sides.baseline_runs,
        candidate_runs=sides.candidate_runs,
        method=found.method,
        reason=verdict.reason,
        level=question.level,
        lower_is_better=lower_is_better,
        not_worse=question.is_tolerable(verdict.worse, half) and not verdict.other_unit,
        baseline_outliers=sides.odd_before,
        candidate_outliers=sides.odd_after,
        outlier_chance=verdict.chance,
    )


def other_unit(shift: float) -> float | None:
    """1,000, a million and so on where the logarithm of a ratio is as large as between two units.

    A service that became so many times faster is rarer than a baseline kept in other units.
    """
    steps = round(abs(shift) / math.log(UNIT))
    near = abs(abs(shift) - steps * math.log(UNIT)) <= math.log(UNIT_ROOM)
    return UNIT**steps if near and 0 < steps <= MOST_UNITS else None


def decide(found: Mapping[str, Comparison], alpha: float = 0.05) -> dict[str, Comparison]:
    """The verdicts on several metrics of the same runs together, by name.

    What is worse (or better) beyond chance when looked at alone is `inconclusive` unless Holm's
    adjusted p-value of all metrics is at most alpha as well: of unchanged software at most alpha
    of such sets hold any `regression`. Equivalence needs no correction (all of it must hold).
    """
    known = [name for name, one in found.items() if one.p_value is not None]
    worse = _adjusted(known, [found[name].p_bounded or 0.0 for name in known])
    better = _adjusted(known, [1 - (found[name].p_value or 0.0) for name in known])
    decided = dict(found)
    for name in known:
        side = {"regression": worse, "improvement": better}.get(found[name].verdict)
        if side is None or side[name] <= alpha:
            continue
        decided[name] = replace(
            found[name],
            verdict="inconclusive",
            reason=(
                f"{found[name].verdict} when looked at alone, but one of {len(known)} metrics "
                f"shows as much by chance (Holm p = {side[name]:.2g}); make more runs"
            ),
        )
    return decided


def _adjusted(names: list[str], p_values: list[float]) -> dict[str, float]:
    return dict(zip(names, map(float, holm(p_values)), strict=True))


def check_sides(a: Floats, b: Floats, margin: float) -> None:
    """Raise DataError for a side without runs, or a margin that cannot be."""
    for name, side in (("baseline", a), ("candidate", b)):
        if not len(side):
            raise DataError(f"the {name} has no runs", "give at least one run on each side")
    if not (math.isfinite(margin) and margin >= 0):
        raise DataError(f"the margin is {margin}", "give a share of 0 or more")


def _prior(sd: float | None, df: float) -> Spread | None:
    if sd is None:
        return None
    if not (math.isfinite(sd) and min(sd, df) > 0):
        raise DataError(f"the prior sd is {sd}", "give a positive number")
    return Spread(sd**2, df)


def _relative(log_ratio: float) -> float:
    return math.expm1(log_ratio) if log_ratio < 700 else math.inf  # noqa: PLR2004 - exp overflows


def _detectable(
    found: Difference, question: Question, scale: Scale, *, lower_is_better: bool
) -> float | None:
    if found.error is None:
        return None
    seen = detectable_shift(found.error, found.df, question.level, question.margin)
    if scale == "difference":
        return seen
    return _relative(seen) if lower_is_better else -math.expm1(-seen)


def _p_value(worse: float, found: Difference) -> float | None:
    if found.error is None:
        return None
    if found.error == 0:
        return 0.0 if worse > 0 else 1.0 if worse < 0 else 0.5
    return t_upper_tail(worse / found.error, found.df)


def _odd_reason(named: int, k: int, n: int) -> str:
    runs = f"all {n} candidate runs" if n > 1 else "the only candidate run"
    return (
        f"{named} of {k} baseline runs {'is' if named == 1 else 'are'} set aside as outliers, and "
        f"{runs} may be one more; make more runs"
    )


def _reason(
    verdict: VerdictWord,
    worse: float,
    found: Difference,
    limit: float,
    advice: str,
) -> str:
    if found.error is None:
        size = "large" if worse and abs(worse) >= limit else "small"
        return f"{size}, unconfirmed: one run against one cannot tell run-to-run scatter; rerun"
    if verdict == "inconclusive" and not advice:
        return "perhaps better by the margin or more, surely not so much worse"
    if verdict == "inconclusive":
        return f"the interval holds both changes below the margin and above it; {advice}"
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


def price(more: tuple[int, int] | None, noun: str = "candidate run") -> str:
    """The advice in words: further (candidate, baseline) runs, or that they are too many."""
    if more is None:
        return "no number of runs within reason settles it"
    runs = f"{more[0]} more {noun}{'s' if more[0] != 1 else ''}"
    if more[1]:
        runs += f" and {more[1]} more baseline run{'s' if more[1] != 1 else ''}"
    if max(more) > AFFORDABLE_RUNS:
        return (
            f"it would take {runs}, which is not affordable: widen the margin, or quieten the runs"
        )
    return f"{runs} will probably settle it (80 %)"
