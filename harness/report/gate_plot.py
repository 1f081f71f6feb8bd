"""Both distributions of a gate side by side, and the shift function between them, as SVG."""

import math
from collections.abc import Sequence

import numpy as np

from harness.baseline.model import TOTAL, AcceptedRun
from harness.errors import DataError
from harness.gate.model import GateVerdict
from harness.record.distribution import Distribution
from harness.report import svg
from harness.report.svg import Axis, Panel, draw, linear, logarithmic, short_duration, standalone
from harness.stats.shift import QUANTILES, QuantileShift, shift_function

SHIFTS = "Shift function: change of each quantile, 95 % intervals, margin shaded"


def render_plot(verdict: GateVerdict, endpoint: str = TOTAL) -> str | None:
    """A self-contained SVG; None where either side kept no histogram of the endpoint."""
    before, after = (_distributions(runs, endpoint) for runs in (verdict.before, verdict.after))
    if not before or not after:
        return None
    place = "all endpoints" if endpoint == TOTAL else endpoint
    values = np.concatenate([part.values for part in (*before, *after)])
    x = logarithmic(short_duration)(float(values.min()), float(values.max()), 10)
    above = Panel(x, 220, "share of requests")
    above.head(math.sqrt(x.low * x.high), f"Response time of {place}", svg.INK)
    for parts, colour, label in ((before, svg.MUTED, "before"), (after, svg.ONE, "after")):
        _curves(above, parts, colour, f"{label}, {len(parts)} runs")
    below = _shifts(_shift(before, after), verdict.policy.margin)
    below.head(len(QUANTILES) / 2 - 0.5, SHIFTS, svg.INK)
    return standalone(draw([above, below], ""))


def _distributions(runs: Sequence[AcceptedRun], endpoint: str) -> list[Distribution]:
    texts = [run.endpoints[endpoint].histogram for run in runs if endpoint in run.endpoints]
    return [Distribution.decode(text) for text in texts if text]


def _curves(panel: Panel, parts: Sequence[Distribution], colour: str, name: str) -> None:
    """Each run thin, all of them together thick."""
    for part in parts:
        panel.line(part.values, np.cumsum(part.counts) / part.count, colour, width=0.4)
    whole = Distribution.merge(parts)
    panel.line(whole.values, np.cumsum(whole.counts) / whole.count, colour, name, width=2)


def _shift(
    before: Sequence[Distribution], after: Sequence[Distribution]
) -> tuple[QuantileShift, ...]:
    a, b = (
        [[part.quantile(q) or np.nan for q in QUANTILES] for part in parts]
        for parts in (before, after)
    )
    try:
        return shift_function(a, b)
    except DataError:
        return ()


def _shifts(shifts: Sequence[QuantileShift], margin: float) -> Panel:
    """The change per quantile with its interval; the margin is the shaded band."""
    last = len(QUANTILES) - 0.5
    x = Axis(-0.5, last, [(at, f"p{q * 100:g}") for at, q in enumerate(QUANTILES)])
    panel = Panel(x, 140, "change", linear("{:+.0%}".format))
    for side in (-margin, margin):
        panel.area([0, last], [side, side], svg.SHADE)
    panel.line([x.low, x.high], [0, 0], svg.MUTED, width=1)
    for at, shift in enumerate(shifts):
        change = shift.change
        sure = change.low is not None and change.high is not None
        colour = svg.BAD if sure and (change.low or 0.0) > margin else svg.ONE
        if change.low is not None and change.high is not None:
            panel.line([at, at], [change.low, change.high], colour, width=2)
        panel.dots([at], [change.estimate], colour)
    return panel
