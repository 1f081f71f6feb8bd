"""A number with its interval, and what every module shares: checks of input, the median."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.errors import DataError

Floats = NDArray[np.float64]

MANY = 1e6
"""Degrees of freedom from which Student's t is taken as normal (and infinity is not a number)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a two-sided interval; a bound that cannot be known is None.

    `n` is the number of independent pieces it rests on (batches, runs, steps).
    """

    estimate: float
    low: float | None
    high: float | None
    confidence: float
    method: str
    n: int


def median(y: Floats) -> float:
    """As numpy's, of finite numbers, in a quarter of its time where they are few."""
    half = len(y) // 2
    if len(y) % 2:
        return float(np.partition(y, half)[half])
    low, high = np.partition(y, [half - 1, half])[half - 1 : half + 1]
    return float((low + high) / 2)


def finite(values: ArrayLike, name: str) -> Floats:
    """A one-dimensional float array.

    Raises DataError when it has another shape or a value is not a finite number.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} has {array.ndim} dimensions", "give one number per run or second")
    known = np.isfinite(array)
    if not known.all():
        bad = int(known.argmin())
        raise DataError(
            f"{name}[{bad}] is {array[bad]}, not a finite number", "leave it out or mend it"
        )
    return array


def share(value: float, name: str) -> float:
    """The value, which must lie strictly between 0 and 1; raises DataError otherwise."""
    if not 0 < value < 1:
        raise DataError(f"{name} is {value}", "give a share strictly between 0 and 1")
    return value


def t_quantile(probability: float, df: float) -> float:
    """The quantile of Student's t; infinite degrees of freedom give the normal one."""
    return float(special.stdtrit(min(df, MANY), probability))


def t_upper_tail(t: float, df: float) -> float:
    """P(T >= t) of Student's t."""
    return float(special.stdtr(min(df, MANY), -t))


def same_length(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> None:
    """Raise DataError unless both have as many values."""
    if len(first) != len(second):
        raise DataError(f"{len(first)} values stand against {len(second)}", "give as many of each")
