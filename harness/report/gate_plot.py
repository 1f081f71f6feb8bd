"""Both distributions of a gate side by side, and the shift function between them, as SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from harness.baseline.model import TOTAL, AcceptedRun
from harness.errors import DataError
from harness.gate.model import GateVerdict
from harness.record.distribution import Distribution
from harness.report.history import BLUE, INK, LINE, MUTED, RED
from harness.stats.shift import QUANTILES, QuantileShift, shift_function
from harness.units import format_duration


def render_plot(verdict: GateVerdict, endpoint: str = TOTAL) -> str | None:
    """A self-contained SVG; None where either side kept no histogram of the endpoint."""
    before, after = (_distributions(runs, endpoint) for runs in (verdict.before, verdict.after))
    if not before or not after:
        return None
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    for parts, colour, label in ((before, MUTED, "before"), (after, BLUE, "after")):
        _curves(above, parts, colour, f"{label}, {len(parts)} runs")
    _style(above, f"Response time of {'all endpoints' if endpoint == TOTAL else endpoint}")
    above.set_xscale("log")
    above.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_duration(value)))
    above.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    above.set_ylabel("share of requests", color=MUTED, fontsize=9)
    above.legend(frameon=False, fontsize=9, loc="lower right")
    _shifts(below, _shift(before, after), verdict.policy.margin)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _distributions(runs: Sequence[AcceptedRun], endpoint: str) -> list[Distribution]:
    texts = [run.endpoints[endpoint].histogram for run in runs if endpoint in run.endpoints]
    return [Distribution.decode(text) for text in texts if text]


def _curves(axes: Axes, parts: Sequence[Distribution], colour: str, label: str) -> None:
    """Each run thin, all of them together thick."""
    for part in parts:
        axes.plot(part.values, np.cumsum(part.counts) / part.count, color=colour, lw=0.6, alpha=0.5)
    whole = Distribution.merge(parts)
    axes.plot(whole.values, np.cumsum(whole.counts) / whole.count, color=colour, lw=2, label=label)


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


def _shifts(axes: Axes, shifts: Sequence[QuantileShift], margin: float) -> None:
    """The change per quantile with its interval; the margin is the shaded band."""
    axes.axhspan(-margin, margin, color=LINE, alpha=0.6, lw=0)
    axes.axhline(0, color=MUTED, lw=1)
    for at, shift in enumerate(shifts):
        change = shift.change
        sure = change.low is not None and change.high is not None
        worse = sure and (change.low or 0.0) > margin
        colour = RED if worse else BLUE
        if change.low is not None and change.high is not None:
            axes.plot([at, at], [change.low, change.high], color=colour, lw=2)
        axes.plot(at, change.estimate, "o", color=colour, ms=5)
    axes.set_xticks(range(len(QUANTILES)), [f"p{q * 100:g}" for q in QUANTILES])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.0%}"))
    _style(axes, "Shift function: change of each quantile, 95 % intervals, margin shaded")


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8)
