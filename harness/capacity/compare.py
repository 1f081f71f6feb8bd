"""A capacity against earlier ones of the same service, by the statistics of the gate."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.bounded import read_file
from harness.capacity.model import CapacityResult
from harness.errors import UsageError
from harness.stats.compare import VerdictWord, classify, compare_metric
from harness.units import format_rate, format_ratio

MARGIN = 0.1
"""Relative change that matters: the usual width of a capacity's own bracket."""


@dataclass(frozen=True, slots=True)
class EarlierCapacity:
    """The bracket [low, high) requests/s of an earlier search."""

    path: str
    low: float
    high: float

    @property
    def middle(self) -> float:
        """The geometric middle of the bracket."""
        return math.sqrt(self.low * self.high)


@dataclass(frozen=True, slots=True)
class CapacityChange:
    """The relative change with its bounds; `verdict` in the gate's words, lower is worse."""

    verdict: VerdictWord
    change: float
    low: float | None
    high: float | None
    statement: str


def read_capacity(path: Path, service: str) -> EarlierCapacity:
    """The result that `harness capacity --json` printed.

    Raises UsageError naming the file and what is wrong with it.
    """
    try:
        found: object = json.loads(read_file(path, MOST_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a readable file") from None
    except ValueError as error:
        raise UsageError(f"{path}: no JSON ({error})", _REMEDY) from None
    if not isinstance(found, dict) or "low" not in found or "high" not in found:
        raise UsageError(f"{path}: no low and high in it", _REMEDY)
    if found.get("service") != service:
        raise UsageError(f"{path}: it is about {found.get('service')!r}", f"name one of {service}")
    ends = found["low"], found["high"]
    if not all(type(end) in {int, float} and 0 < end < math.inf for end in ends):
        raise UsageError(f"{path}: its capacity has no two ends", "name a search that answered")
    if found.get("answered") is False:
        raise UsageError(f"{path}: its capacity is not certain", "name a search that answered")
    return EarlierCapacity(str(path), float(ends[0]), float(ends[1]))


MOST_BYTES = 16 << 20
"""Of an earlier result; one of some hundred steps has 100 kB."""

_REMEDY = "name what `harness capacity --json` printed"


def compare_capacity(
    result: CapacityResult, earlier: Sequence[EarlierCapacity], margin: float = MARGIN
) -> CapacityChange | None:
    """The change from earlier searches to this one; None when this one has not both ends.

    With one earlier search the brackets themselves are the interval: the change lies between the
    ratio of this low to that high and of this high to that low. With several their scatter is the
    run-to-run scatter, compared as the gate compares runs; the bracket's own width is added.
    """
    if result.low is None or result.high is None or not earlier:
        return None
    middle = math.sqrt(result.low * result.high)
    if len(earlier) == 1:
        shift = math.log(middle / earlier[0].middle)
        low = math.log(result.low / earlier[0].high)
        high = math.log(result.high / earlier[0].low)
    else:
        found = compare_metric([e.middle for e in earlier], [middle], margin, lower_is_better=False)
        half = math.log(result.high / result.low) / 2
        shift = math.log1p(found.shift)
        low = -math.inf if found.low is None else math.log1p(found.low) - half
        high = math.inf if found.high is None else math.log1p(found.high) + half
    verdict = classify(-shift, -high, -low, math.log1p(margin))
    change, lowest, highest = (
        math.expm1(x) if math.isfinite(x) else None for x in (shift, low, high)
    )
    known = lowest is not None and highest is not None
    between = f" ({lowest:+.0%} to {highest:+.0%})" if known else ""
    was = math.exp(sum(math.log(e.middle) for e in earlier) / len(earlier))
    statement = (
        f"{verdict}: capacity {format_rate(middle)} against {format_rate(was)} in"
        f" {len(earlier)} earlier, {math.expm1(shift):+.0%}{between}, margin {format_ratio(margin)}"
    )
    return CapacityChange(verdict, change or 0.0, lowest, highest, statement)
