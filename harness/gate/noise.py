"""What a machine's noise lets interleaved pairs see, from a minute of runs before them."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.baseline import TOTAL, AcceptedRun
from harness.gate.model import OVERHEAD_S, Policy
from harness.stats.interval import Floats, t_quantile

PILOT_S = 5.0
"""Seconds of each run: long enough for some thousand requests, short enough for six of them."""

PILOT_RUNS = 7
"""The first warms the program up and is not counted."""

POWER = 0.8
MOST_PAIRS = 1000
GRID = 400
"""Quantiles of the scatter that power is averaged over: good to 0.001, where scipy's
noncentral t fails at few degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Scatter of the log ratio of two runs of `PILOT_S` seconds that follow one another.

    None where the metric was zero or missing in one of them.
    """

    metric: str
    sd: float | None

    def span(self, hold_s: float) -> tuple[float, float] | None:
        """The least and the largest scatter of a pair of runs of `hold_s` seconds.

        Noise that forgets shrinks with the root of the length; noise that lasts for longer than
        a run, as that of a shared machine does, not at all. Six runs cannot tell which it is.
        """
        if self.sd is None:
            return None
        ends = sorted((self.sd, self.sd * math.sqrt(PILOT_S / hold_s)))
        return ends[0], ends[1]

    def sentences(self, pairs: int, hold_s: float, policy: Policy) -> tuple[str, ...]:
        """What the pairs will see, and what it takes where that is not the margin."""
        span = self.span(hold_s)
        if span is None:
            return (f"the machine's noise is unknown: {self.metric} was 0 or not measured",)
        least, most = (visible_shift(sd, pairs, policy) for sd in span)
        seen = (
            f"{self.metric} of a pair of runs scatters by {span[0]:.1%} to {span[1]:.1%}: "
            f"{pairs} pairs show a change of {least:.1%} to {most:.1%} (80 % power)"
        )
        if most <= policy.margin:
            return (seen,)
        margin = f"{policy.margin * 100:g} %"
        certain = "is" if least > policy.margin else "may be"
        wanted = pairs_needed(span[1], policy)
        if wanted is None:
            advice = f"no affordable number of pairs shows {margin}: use a quieter machine"
        else:
            minutes = 2 * wanted * (hold_s + OVERHEAD_S) / 60
            advice = f"--runs {wanted} would show it, in about {minutes:.0f} min"
        return (
            seen,
            f"warning: a change of {margin} {certain} invisible on this machine; {advice}",
        )


def noise_of(runs: Sequence[AcceptedRun], primary: str) -> Noise:
    """The noise of pilot runs, in the order they were made.

    From successive differences (von Neumann 1941), so that slow drift, which pairs cancel, does
    not count.
    """
    values = [run.values(primary, TOTAL) for run in runs[1:]]
    known = [value for value in values if value is not None and value > 0]
    if len(known) < len(values) or len(known) < 2:  # noqa: PLR2004 - one difference
        return Noise(primary, None)
    steps = np.diff(np.log(known))
    return Noise(primary, float(np.sqrt(np.mean(steps**2))))


def visible_shift(sd: float, pairs: int, policy: Policy) -> float:
    """The relative change that a paired t-test claims with 80 % power; `sd` is that of a pair.

    At the level at which the primary metric is claimed. The margin is not in it: a change of
    exactly the margin is estimated below it half of the time, however quiet the machine is.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - heavy, and only this needs it

    critical = t_quantile(1 - policy.level / 2, pairs - 1)
    # Below the root of the quantile the test is hardly ever passed, at twice of it always.
    reach = critical * float(_chi(POWER, pairs - 1))
    distance = float(brentq(lambda d: _power(d, critical, pairs) - POWER, reach / 2, reach + 3))
    return math.expm1(distance * sd / math.sqrt(pairs))


def pairs_needed(sd: float, policy: Policy) -> int | None:
    """The fewest pairs that show a change of the margin; None above 1000."""
    counts = range(2, MOST_PAIRS + 1)
    if policy.margin <= 0 or visible_shift(sd, counts[-1], policy) > policy.margin:
        return None
    # More pairs show less, so the first that shows the margin is found by halving.
    at = bisect.bisect_left(
        counts, -policy.margin, key=lambda count: -visible_shift(sd, count, policy)
    )
    return counts[at]


def _power(distance: float, critical: float, pairs: int) -> float:
    """The chance that T, of this noncentrality, exceeds `critical`, over the scatter's chi."""
    df = pairs - 1
    quantiles = np.divide(np.arange(GRID) + 0.5, GRID, dtype=np.float64)
    return float(special.ndtr(distance - critical * _chi(quantiles, df)).mean())


def _chi(quantiles: float | Floats, df: int) -> Floats:
    """Of an estimated to the true standard deviation."""
    return np.sqrt(special.gammaincinv(df / 2, quantiles) * 2 / df)
