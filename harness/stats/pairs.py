"""Interleaved pairs: A and B run alternately, so that slow drift hits both alike."""

from numpy.typing import ArrayLike

from harness.errors import DataError
from harness.stats.compare import Comparison, check_sides, compare_sides
from harness.stats.interval import finite, same_length
from harness.stats.sides import Pairs
from harness.units import counted

LEAST_PAIRS = 2


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
    level: float | None = None,
    doubt: float | None = None,
) -> Comparison:
    """Student's t on paired log ratios of B to A, shapes (n,) both, positive values in one unit.

    The rest is as in `compare_metric`: gross outliers among five pairs or more are set aside (in
    both `baseline_outliers` and `candidate_outliers`); `sd` is that of a pair, `runs_needed`
    further pairs. Raises DataError below two pairs, for unequal lengths or values <= 0, and as
    `compare_metric` does.
    """
    x, y = finite(a, "a"), finite(b, "b")
    same_length(x, y)
    if len(x) < LEAST_PAIRS:
        raise DataError(counted(len(x), "pair"), "run two pairs or more")
    if min(x.min(), y.min()) <= 0:
        raise DataError("a value is zero or negative", "paired ratios need positive values")
    check_sides(x, y, margin)
    return compare_sides(
        Pairs.of(x, y, margin), alpha, lower_is_better=lower_is_better, level=level, doubt=doubt
    )
