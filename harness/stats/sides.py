"""The runs of both sides in the unit of the arithmetic, outliers set aside."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, Self

import numpy as np

from harness.stats.interval import Floats, median
from harness.stats.order import order_of_runs
from harness.stats.outliers import outliers, without
from harness.stats.runs import Difference, Spread, difference

Scale = Literal["ratio", "difference"]

ROUNDED = math.sqrt(1 / 12)
"""The standard deviation that rounding alone makes, in steps of the last digit (Sheppard)."""

STEPS_APART = 3.0
"""Steps of the last digit that an outlier lies off at least."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Baseline and candidate runs.

    Values are taken from the first one, so that a constant series has a scatter of exactly 0.
    `unit` turns the arithmetic's unit into the metric's; `rounding` is the least standard
    deviation and `limit` the margin, in the result's unit. `noun` is what one more of is called.
    """

    scale: Scale
    before: Floats
    after: Floats
    unit: float
    limit: float
    rounding: float
    odd_before: tuple[int, ...]
    odd_after: tuple[int, ...]
    noun: str = "candidate run"

    @classmethod
    def of(cls, a: Floats, b: Floats, margin: float) -> Self:
        """From the run values as they were measured."""
        step = _last_digit(a, b)
        if min(a.min(), b.min()) > 0:
            first = math.log(a[0])
            x: Floats = np.subtract(np.log(a), first)
            y: Floats = np.subtract(np.log(b), first)
            limit = math.log1p(margin)
            rounding = step / median(a)
            far = max(limit, STEPS_APART * rounding)
            return cls("ratio", x, y, 1.0, limit, rounding, outliers(x, far), outliers(y, far))
        unit = max(float(np.abs(a).max()), float(np.abs(b).max())) or 1.0
        limit = margin * abs(float((a / unit).mean())) * unit
        return cls("difference", a / unit - a[0] / unit, b / unit - a[0] / unit, unit, limit,
                   step, (), ())  # fmt: skip

    @property
    def baseline_runs(self) -> int:
        """Those set aside included."""
        return len(self.before)

    @property
    def candidate_runs(self) -> int:
        """Those set aside included."""
        return len(self.after)

    @property
    def known(self) -> float:
        """How many baseline runs the candidate's are weighed against."""
        return float(self.baseline_runs)

    def difference(self, prior: Spread | None) -> Difference:
        """Student's t on the runs that are left, in the result's unit.

        Runs that are all equal have shown their scatter: none is lent to them.
        """
        a, b = without(self.before, self.odd_before), without(self.after, self.odd_after)
        equal = len(a) + len(b) > 2 and np.ptp(np.concatenate([a, b])) == 0  # noqa: PLR2004 - 1 df
        scaled = None if prior is None else Spread(prior.variance / self.unit**2, prior.df)
        scaled = None if equal else scaled
        found = difference(a, b, scaled)
        shift = found.shift * self.unit
        if found.error is None or found.spread is None:
            return replace(found, shift=shift)
        least = ROUNDED * self.rounding
        error = max(found.error * self.unit, least * math.sqrt(1 / len(a) + 1 / len(b)))
        spread = Spread(max(found.spread.variance * self.unit**2, least**2), found.spread.df)
        return Difference(shift, error, found.df, spread, found.method)

    def warnings(self) -> tuple[str, ...]:
        """What the order of the runs of each side shows."""
        sides = (("baseline runs", self.before, self.odd_before),
                 ("candidate runs", self.after, self.odd_after))  # fmt: skip
        found = (order_of_runs(without(x, odd), name).warning for name, x, odd in sides)
        return tuple(warning for warning in found if warning is not None)


def _last_digit(a: Floats, b: Floats) -> float:
    """The step in which the values were written, 1 at most; 0 where all are equal."""
    values = np.unique(np.concatenate([a, b]))
    if len(values) == 1:
        return 0.0
    return float(10.0 ** -max(map(_decimals, values.tolist())))


def _decimals(value: float) -> int:
    """Digits after the point of a value as it was written."""
    text = repr(value)
    if "e" in text:
        return max(0, -int(Decimal(text).normalize().as_tuple().exponent))
    part = text.partition(".")[2]
    return 0 if part == "0" else len(part)


@dataclass(frozen=True, slots=True)
class Pairs(Sides):
    """Runs made alternately: `after` has the log ratio of each pair, `before` nothing but zeros."""

    noun: str = "pair"

    @classmethod
    def of(cls, a: Floats, b: Floats, margin: float) -> Self:
        """From positive run values, pair by pair."""
        ratios: Floats = np.log(b / a)
        limit, rounding = math.log1p(margin), _last_digit(a, b) / median(a)
        odd = outliers(ratios, max(limit, STEPS_APART * rounding))
        return cls("ratio", np.zeros_like(ratios), ratios, 1.0, limit, rounding, odd, odd)

    @property
    def known(self) -> float:
        """A pair is its own baseline: there is no other whose scatter would count."""
        return math.inf

    def difference(self, prior: Spread | None) -> Difference:
        """Student's t on the pairs that are left."""
        if prior is not None:
            raise AssertionError  # pairs have a scatter of their own
        left = without(self.after, self.odd_after)
        df = len(left) - 1
        variance = max(float(left.var(ddof=1)), 2 * (ROUNDED * self.rounding) ** 2)
        error = math.sqrt(variance / len(left))
        return Difference(float(left.mean()), error, df, Spread(variance, df), "paired Student t")

    def warnings(self) -> tuple[str, ...]:
        """None: what drifts hits both sides of a pair."""
        return ()
