"""A search as a picture: P95, share beyond the limit and concurrency over the rate."""

import html
import os
from pathlib import Path

from harness.capacity.model import CapacityResult, Step
from harness.errors import UsageError
from harness.report.svg import (
    BAD,
    MUTED,
    ONE,
    TWO,
    Panel,
    draw,
    latency,
    logarithmic,
    logarithmic_from_zero,
    standalone,
)  # fmt: skip
from harness.units import format_rate

MARKS = {"held": ("●", ONE), "missed": ("x", BAD), "unknown": ("■", MUTED), "warming": ("▲", TWO)}


def write_plot(result: CapacityResult, limit_s: float | None, path: Path) -> None:
    """Write `path` as SVG or HTML, by its name; `limit_s` is the latency objective, if any.

    Raises UsageError for another suffix or a place that cannot be written.
    """
    check_plot(path)
    svg = capacity_chart(result, limit_s)
    title = html.escape(f"{result.service}: capacity")
    if path.suffix == ".html":
        text = f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>\n{svg}\n"
    else:
        text = svg
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that can be written") from None


def check_plot(path: Path) -> None:
    """Raise UsageError for a path that `write_plot` could not write: a search takes minutes."""
    if path.suffix not in {".svg", ".html"}:
        raise UsageError(f"{path}: a plot is .svg or .html", "name it so")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: its directory cannot be written", "name another")


def capacity_chart(result: CapacityResult, limit_s: float | None) -> str:
    """The picture as SVG with colours of its own."""
    steps = [step for step in result.steps if step.outcome in MARKS]
    rates = [step.rate for step in steps] or [1.0]
    x = logarithmic(format_rate)(min(rates), max(rates), 10)
    panels = [
        Panel(x, 140, "P95", latency),
        Panel(x, 140, "bad share / limit", logarithmic_from_zero(0.01)),
        Panel(x, 140, "concurrency", logarithmic_from_zero(1.0)),
    ]
    _points(panels[0], steps, [step.p95 for step in steps], named=True)
    _points(panels[1], steps, [step.worst for step in steps])
    _points(panels[2], steps, [step.concurrency for step in steps])
    if limit_s is not None:
        panels[0].limit(limit_s)
    panels[1].limit(1.0)
    if result.low is not None and result.high is not None:
        for panel in panels:
            panel.band(result.low, result.high)
    return standalone(draw(panels, "arrival rate"))


def _points(
    panel: Panel, steps: list[Step], values: list[float | None], *, named: bool = False
) -> None:
    for outcome, (shape, colour) in MARKS.items():
        known = [
            (step.rate, value)
            for step, value in zip(steps, values, strict=True)
            if step.outcome == outcome and value is not None
        ]
        seen = any(step.outcome == outcome for step in steps)
        if known or (named and seen):  # in the legend even where no P95 is known
            x, y = zip(*known, strict=True) if known else ((), ())
            panel.dots(x, y, colour, outcome if named else "", shape)
