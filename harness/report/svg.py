"""Charts as SVG: plot areas above one another over one x axis, in the colours of a page's theme.

They are drawn here because importing a plotting library takes more CPU time than all of a report.
Lengths are points of the drawing, which scales with the page.
"""

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from harness.record.distribution import Floats
from harness.units import format_duration, one_line

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"
ONE, TWO, THREE = "var(--series-1)", "var(--series-2)", "var(--series-3)"
BAD, SHADE = "var(--bad)", "var(--shade)"

COLOURS = {
    "--ink": "#1a1a1a", "--muted": "#666666", "--line": "#d0d0d0", "--series-1": "#1f77b4",
    "--series-2": "#2ca02c", "--series-3": "#9467bd", "--bad": "#c62828", "--shade": "#e8eef7",
}  # fmt: skip
"""Those of a page that is light, where there is no style sheet."""

LEFT, PLOT, RIGHT, BOTTOM, ROW = 62.0, 588.0, 10.0, 34.0, 14.0
"""Beside, across and below a plot area; a row of text above it."""

LONGEST_NAME, LONGEST_ROW = 60, 110
"""Letters of a name in the legend, and of a row of names."""

DOTS = {
    "●": "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0z",
    "x": "M-2.5-2.5L2.5 2.5M-2.5 2.5L2.5-2.5",
    "■": "M-2.2-2.2h4.4v4.4h-4.4z",
    "▲": "M0-2.8L2.8 2.2h-5.6z",
}

Numbers = npt.ArrayLike
Places = Callable[[Numbers], Floats]
"""Values of an axis -> points from the left or from the top of the plot area."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The values from `low` to `high`, evenly spaced once bent, and the labels of some of them."""

    low: float
    high: float
    labels: Sequence[tuple[float, str]]
    bend: Callable[[Floats], Floats] = np.positive

    def shares(self, values: Numbers) -> Floats:
        """How far along the axis each value is, from 0 to 1."""
        at: Floats = np.maximum(np.asarray(values, np.float64), self.low)  # no logarithm of 0
        low, high = self.bend(np.array([self.low, self.high], np.float64))
        shares: Floats = (self.bend(at) - low) / (high - low)
        return shares


MakeAxis = Callable[[float, float, int], Axis]
"""(least and greatest value, most labels) -> an axis that shows them."""


def linear(text: Callable[[float], str] = "{:,.10g}".format, *, integers: bool = False) -> MakeAxis:
    """From 0, with labels 1, 2 or 5 times a power of ten apart."""

    def make(low: float, high: float, most: int) -> Axis:
        low, high = min(low, 0.0), high if high > max(low, 0.0) else 1.0
        power = 10.0 ** math.floor(math.log10((high - low) / most))
        step = next(m * power for m in (1, 2, 5, 10) if m * power * most >= (high - low) * 0.999)
        step = max(step, 1.0) if integers else step
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return Axis(low, high, [(n * step, text(n * step)) for n in range(first, last + 1)])

    return make


def logarithmic(text: Callable[[float], str]) -> MakeAxis:
    """With labels at 1, 2 and 5 of each power of ten, or at as many powers as there is room for."""

    def make(low: float, high: float, most: int) -> Axis:
        high = high * 1.1 if high > 0 else 1.0
        low = low / 1.1 if low > 0 else high / 1000
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [m * 10.0**power for power in powers for m in (1, 2, 5)]
        if sum(low <= value <= high for value in values) < 2:  # noqa: PLR2004 - fewer are no scale
            low = max(value for value in values if value <= low)
            high = min(value for value in values if value >= high)
        inside = [value for value in values if low <= value <= high]
        if len(inside) > most:
            inside = [10.0**power for power in powers if low <= 10.0**power <= high]
            inside = inside[:: -(-len(inside) // most)]
        return Axis(low, high, [(value, text(value)) for value in inside], np.log10)

    return make


def logarithmic_from_zero(unit: float) -> MakeAxis:
    """Nearly even below `unit`, nearly logarithmic above."""

    def make(low: float, high: float, most: int) -> Axis:
        high = max(high, unit) * 1.1
        powers = range(math.floor(math.log10(unit)), math.floor(math.log10(high)) + 1)
        values = [0.0, *(10.0**power for power in powers[:: -(-len(powers) // most)])]
        return Axis(0.0, high, [(v, f"{v:g}") for v in values], lambda v: np.arcsinh(v / unit))

    return make


def short_duration(seconds: float) -> str:
    """A duration as a label: `2 ms`, not `2.00 ms`."""
    number, _, unit = format_duration(seconds).partition(" ")
    return f"{float(number):g} {unit}" if number.replace(".", "").isdigit() else f"{number} {unit}"


latency = logarithmic(short_duration)


@dataclass(slots=True)
class Panel:
    """A plot area. Its `y` axis is made from everything that is drawn within its `x` axis."""

    x: Axis
    height: float
    label: str = ""
    y: MakeAxis = field(default_factory=linear)
    _under: list[Callable[[Places, Places], str]] = field(default_factory=list)
    _over: list[Callable[[Places, Places], str]] = field(default_factory=list)
    _seen: list[Floats] = field(default_factory=list)
    _names: list[tuple[str, str, str]] = field(default_factory=list)
    _heads: list[tuple[float, str, str]] = field(default_factory=list)

    def line(
        self, x: Numbers, y: Numbers, colour: str, name: str = "",
        held: Literal["", "before", "around"] = "", dash: str = "", width: float = 1.5,
    ) -> None:  # fmt: skip
        """A line with gaps where y is not finite; or each y is held before or around its x."""
        points = self._points(x, y, held)
        style = f'fill="none" stroke="{colour}" stroke-width="{width}"'
        style += f' stroke-dasharray="{dash}"' if dash else ""
        self._over.append(lambda px, py: f'<path {style} d="{_path(px, py, *points)}"/>')
        self._name("- -" if dash else "—", colour, name)

    def limit(self, y: float, name: str = "") -> None:
        """A dashed line across."""
        self.line([self.x.low, self.x.high], [y, y], BAD, name, dash="4 3")

    def area(self, x: Numbers, y: Numbers, colour: str) -> None:
        """Everything between 0 and y, which is held around each x."""
        at, values = self._points(x, y, "around")
        at, values = at[[0, *range(len(at)), -1]], np.pad(values, 1)
        style = f'fill="{colour}" stroke="none"'
        self._over.append(lambda px, py: f'<path {style} d="{_path(px, py, at, values)}"/>')

    def dots(self, x: Numbers, y: Numbers, colour: str, name: str = "", shape: str = "●") -> None:
        """One of DOTS at each point."""
        points = self._points(x, y)
        style = f'fill="{colour}" stroke="{colour}" stroke-width="1" d="{DOTS[shape]}"'
        self._over.append(
            lambda px, py: "".join(
                f'<path {style} transform="translate({a:.1f} {b:.1f})"/>'
                for a, b in zip(px(points[0]), py(points[1]), strict=True)
            )
        )
        self._name(shape, colour, name)

    def band(self, begin: float, end: float, colour: str = SHADE) -> None:
        """The height of the plot area from `begin` to `end`; a thin line where they are one."""
        limits = np.clip([begin, end], self.x.low, self.x.high)

        def drawn(px: Places, _: Places) -> str:
            left, right = px(limits)
            size = f'width="{max(right - left, 0.8):.1f}" height="{self.height}"'
            return f'<rect fill="{colour}" x="{left:.1f}" {size}/>'

        self._under.append(drawn)

    def note(self, x: float, y: float, text: str, *, before: bool = False) -> None:
        """Text before or after a point."""
        aside, anchor = (-8, "end") if before else (8, "start")
        self._over.append(
            lambda px, py: _text(float(px(x)) + aside, float(py(y)) + 3, text, INK, anchor)
        )

    def head(self, x: float, text: str, colour: str) -> None:
        """Text above the plot area."""
        self._heads.append((x, text, colour))

    def _points(self, x: Numbers, y: Numbers, held: str = "") -> tuple[Floats, Floats]:
        at, values = np.asarray(x, np.float64), np.asarray(y, np.float64)
        inside = (at >= self.x.low) & (at <= self.x.high)
        at, values = at[inside], values[inside]
        self._seen.append(values[np.isfinite(values)])
        if held == "before":
            return np.repeat(at, 2)[:-1], np.repeat(values, 2)[1:]
        if held == "around":
            half = (at[1] - at[0]) / 2 if len(at) > 1 else 0.5
            edges = np.stack([at - half, at + half], axis=1).ravel()
            return np.clip(edges, self.x.low, self.x.high), np.repeat(values, 2)
        return at, values

    def _name(self, sign: str, colour: str, name: str) -> None:
        if name:
            self._names.append((sign, colour, one_line(name, LONGEST_NAME)))

    def draw(self, top: float, *, labels: bool) -> tuple[str, float]:
        """The plot area with what is above it, and where it ends below `top`."""
        rows = _rows(self._names)
        top += ROW * (len(rows) + bool(self._heads)) + 12
        seen = np.concatenate([*self._seen, np.empty(0)])
        low, high = (float(seen.min()), float(seen.max())) if len(seen) else (1.0, 1.0)
        y = self.y(low, high + 0.05 * abs(high), max(int(self.height // 17), 2))

        def px(values: Numbers) -> Floats:
            return np.multiply(self.x.shares(values), PLOT, dtype=np.float64)

        def py(values: Numbers) -> Floats:
            return np.multiply(1 - y.shares(values), self.height, dtype=np.float64)

        parts = [
            *(mark(px, py) for mark in self._under),
            _frame(self, y, px, py, labels=labels),
            *(mark(px, py) for mark in self._over),
            *(_text(float(px(x)), -5, text, colour, "middle") for x, text, colour in self._heads),
            *_legend(rows, -ROW * bool(self._heads) - 6),
        ]
        end = top + self.height + BOTTOM * labels
        return f'<g transform="translate({LEFT} {top})">{"".join(parts)}</g>', end


def draw(panels: Sequence[Panel], below: str) -> Markup:
    """The panels above one another, those of one axis with its labels below the last of them."""
    parts, top = [], 0.0
    for panel, after in zip(panels, [*panels[1:], None], strict=True):
        part, top = panel.draw(top, labels=after is None or after.x is not panel.x)
        parts.append(part)
    width = LEFT + PLOT + RIGHT
    title = _text(LEFT + PLOT / 2, top - 4, below, MUTED, "middle", 10)
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {top:g}"'
        ' font-family="sans-serif" stroke-linejoin="round"'
        f' stroke-linecap="round">{"".join(parts)}{title}</svg>'
    )


def standalone(chart: Markup) -> str:
    """The same with colours of its own, for a place without the pages' style sheet."""
    svg = str(chart)
    for name, colour in COLOURS.items():
        svg = svg.replace(f"var({name})", colour)
    return svg.replace("<svg ", '<svg style="background: #fff" ', 1)


def _frame(panel: Panel, y: Axis, px: Places, py: Places, *, labels: bool) -> str:
    """Grid and labels."""
    height = panel.height
    columns = [(float(px(value)), text) for value, text in panel.x.labels]
    rows = [(float(py(value)), text) for value, text in y.labels]
    grid = "".join(f"M{at:.1f} 0V{height}" for at, _ in columns)
    grid += "".join(f"M0 {at:.1f}H{PLOT}" for at, _ in rows)
    parts = [
        f'<path stroke="{LINE}" stroke-width="0.6" d="{grid}"/>',
        f'<path fill="none" stroke="{LINE}" stroke-width="0.9" d="M0 0V{height}H{PLOT}"/>',
        *(_text(-5, at + 3.5, text, MUTED, "end", 10) for at, text in rows),
    ]
    if labels:
        parts += [_text(at, height + 14, text, MUTED, "middle", 10) for at, text in columns]
    if panel.label:
        name = _text(0, 0, panel.label, MUTED, "middle", 10)
        parts.append(f'<g transform="translate(-52 {height / 2}) rotate(-90)">{name}</g>')
    return "".join(parts)


def _rows(names: Sequence[tuple[str, str, str]]) -> list[list[tuple[str, str, str]]]:
    """The legend's entries in rows that are not too long."""
    rows: list[list[tuple[str, str, str]]] = []
    for entry in names:
        if not rows or sum(len(name) + 5 for *_, name in (*rows[-1], entry)) > LONGEST_ROW:
            rows.append([])
        rows[-1].append(entry)
    return rows


def _legend(rows: Sequence[Sequence[tuple[str, str, str]]], bottom: float) -> Iterator[str]:
    for number, row in enumerate(reversed(rows)):
        spans = "\u2003".join(
            f'<tspan fill="{colour}" font-weight="bold">{sign}</tspan>\u2002{_clean(name)}'
            for sign, colour, name in row
        )
        place = f'x="{PLOT}" y="{bottom - ROW * number:g}"'
        yield f'<text {place} fill="{INK}" text-anchor="end" font-size="9.5">{spans}</text>'


def _text(x: float, y: float, text: str, colour: str, anchor: str, size: float = 8.5) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}" font-size="{size}">{_clean(text)}</text>'


def _clean(text: str) -> str:
    """Names are from anywhere."""
    return html.escape(one_line(text))


def _path(px: Places, py: Places, x: Floats, y: Floats) -> str:
    """Points that fall together are one; a point between two gaps is a dot."""
    known = np.isfinite(y)
    broken = np.append(True, ~known[:-1])[known]
    places = np.round(np.stack([px(x[known]), py(y[known])], axis=1), 1)
    new = broken | np.append(True, (np.diff(places, axis=0) != 0).any(axis=1))
    return "".join(
        f"M{a:g} {b:g}h0" if begins else f"L{a:g} {b:g}"
        for (a, b), begins in zip(places[new].tolist(), broken[new].tolist(), strict=True)
    )
