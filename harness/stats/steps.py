"""What is said of each step: its size, its place and its confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.stats.interval import Floats, t_quantile
from harness.stats.noise import Noise, noise_between, tamed
from harness.stats.segmentation import Indices

LOCATION = 7.69
"""Fall of the fit, in noise variances, within which the place of a step lies (95 %, Yao 1987)."""

SHORT = 60
"""Points up to which steps are weighed by their evidence: more points tell their own memory."""

SHORT_MEMORY = 2.5
"""Times the variance that the long-run variance of a short series is at most for a step's size: it
tells its memory too badly to believe more, which hid clear steps (benchmarks/RESULTS.md, 6c).
Beside a line all of it counts: what is left of the slope is in the levels."""


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A step: `index` is the first point of the new level.

    `shift`, `low`, `high`: relative (0.1 is +10 %) on scale `ratio`, in the series' unit on
    `difference`. `earliest`..`latest` is the 95 % interval of the index. `confidence` is
    1 - the chance that an unchanged series shows a step as strong.
    """

    index: int
    shift: float
    low: float
    high: float
    confidence: float
    earliest: int
    latest: int
    before: float
    after: float
    scale: Literal["ratio", "difference"]


@dataclass(frozen=True, slots=True)
class Fit:
    """The series as it was fitted, the steps found, the noise and the penalty per step.

    `sloped`: the steps are beside a line. `calm`: sizes are told as if neighbours were independent.
    `suspected`: the fit of steps that a line or memory explains as well.
    """

    y: Floats
    steps: Indices
    noise: Noise
    penalty: float
    sloped: bool = False
    calm: bool = False
    suspected: Fit | None = None


def describe(
    x: Floats, y: Floats, fit: Fit, alarms: float, *, logs: bool, ratio: bool
) -> list[ChangePoint]:
    """Sizes on the tamed series itself, confidence and place on the series as it was fitted.

    The step whose interval holds zero by most is taken out, until none is left that does.
    """
    steps = list(fit.steps)
    while steps:
        tame = tamed(y, steps)
        noise = noise_between(tame, steps)
        memory = noise.long_run
        if len(y) <= SHORT and not fit.sloped:
            memory = min(memory, (1 if fit.calm else SHORT_MEMORY) * noise.variance)
        wide = t_quantile(0.975, len(tame) - len(steps) - 1) * math.sqrt(memory)
        sizes = [(gap, wide / math.sqrt(weight)) for gap, weight in gaps(tame, steps)]
        doubt = [half - abs(gap) for gap, half in sizes]  # 95 %
        worst = int(np.argmax(doubt))
        if doubt[worst] < 0:
            scale = _Scale(1.0 if logs else float(np.abs(x).max()), logs, ratio)
            kept = replace(fit, steps=steps)
            return [_point(tame, kept, i, size, scale, alarms) for i, size in enumerate(sizes)]
        del steps[worst]
    return []


@dataclass(frozen=True, slots=True)
class _Scale:
    """How the fitted values become the series' own: its unit, logarithms, relative shifts."""

    unit: float
    logs: bool
    ratio: bool


def gaps(tame: Floats, steps: Indices) -> list[tuple[float, float]]:
    """The difference of the levels at each step, and the points that it is as good as seen by."""
    edges = [0, *steps, len(tame)]
    return [
        (
            float(tame[at:end].mean()) - float(tame[start:at].mean()),
            (at - start) * (end - at) / (end - start),
        )
        for start, at, end in zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
    ]


def _point(
    tame: Floats, fit: Fit, i: int, size: tuple[float, float], scale: _Scale, alarms: float
) -> ChangePoint:
    edges = [0, *fit.steps, len(tame)]
    start, at, end = edges[i : i + 3]
    before, after = float(tame[start:at].mean()), float(tame[at:end].mean())
    gap, half = size
    shifts = [gap, gap - half, gap + half]
    if scale.logs:
        before, after = math.exp(before), math.exp(after)
        shifts = [math.expm1(s) for s in shifts]
    else:
        before, after = before * scale.unit, after * scale.unit
        shifts = [s * scale.unit / (before if scale.ratio else 1.0) for s in shifts]
    piece = fit.y[start:end]
    weight = (at - start) * (end - at) / (end - start)
    gain = float(piece[: at - start].mean() - piece[at - start :].mean()) ** 2 * weight
    chance = alarms * math.exp(min((fit.penalty - gain) / (2 * fit.noise.long_run), 0.0))
    earliest, latest = _location(piece, at - start, fit.noise)
    return ChangePoint(
        index=at,
        shift=shifts[0],
        low=shifts[1],
        high=shifts[2],
        confidence=1 - chance,
        earliest=start + earliest,
        latest=start + latest,
        before=before,
        after=after,
        scale="ratio" if scale.ratio else "difference",
    )


def _location(y: Floats, at: int, noise: Noise) -> tuple[int, int]:
    """Places whose fit is as good but for chance (95 % of the argmax: Yao 1987)."""
    n = len(y)
    left = np.arange(1, n)
    gap = np.cumsum(y)[:-1] - y.sum() * left / n
    gain = gap * gap * n / (left * (n - left))
    near = np.flatnonzero(gain >= gain[at - 1] - LOCATION * noise.long_run) + 1
    return int(min(near[0], at)), int(max(near[-1], at))
