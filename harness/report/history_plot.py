"""A service's history as a plot."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.baseline.history import History
from harness.baseline.model import TOTAL
from harness.errors import UsageError
from harness.git import short_commit
from harness.report.history import size, value_text
from harness.storage import make_directory, writing

INK, MUTED, LINE, BLUE, RED = "#16202c", "#5b6775", "#dfe3e8", "#1f62d0", "#c2261d"
MOST_PANELS = 12
FORMATS = ("svg", "png", "pdf")


def write_plot(found: History, path: Path) -> None:
    """One panel per endpoint, primary metric: a point per run, levels between the changes.

    The suffix of `path` names the format; raises UsageError for one that is not known.
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"{path}: no plot format {kind!r}", f"end it in {', '.join(FORMATS)}")
    shown = [name for name in found.endpoints if found.values(name, _metric(found, name))]
    shown = shown[:MOST_PANELS]
    figure = Figure(figsize=(9, 1.2 + 1.7 * max(len(shown), 1)), layout="constrained")
    grid = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for axes, endpoint in zip(grid, shown, strict=False):
        _panel(axes, found, endpoint)
    grid[-1].set_xlabel("runs, oldest first")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(
        f"{found.service} {found.scenario}, {found.conditions.profile.partition(' ')[0]}", color=INK
    )
    make_directory(path.parent)
    with writing(path.parent):
        figure.savefig(path, metadata={"Date": None} if kind == "svg" else None, dpi=120)


def _metric(found: History, endpoint: str) -> str:
    """The primary metric where it exists for the endpoint; throughput is the whole's alone."""
    return "p95" if found.primary == "throughput" and endpoint != TOTAL else found.primary


def _panel(axes: Axes, found: History, endpoint: str) -> None:
    metric = _metric(found, endpoint)
    series = found.values(endpoint, metric)
    ids = [run.id for run in found.runs]
    for known, face in ((True, BLUE), (False, "none")):
        points = [(at, value) for at, value in series if (ids[at] in found.accepted) is known]
        if points:
            label = "accepted" if known else "recorded"
            axes.plot(*zip(*points, strict=True), "o", ms=4, mec=BLUE, mfc=face, label=label)
    changes = [c for c in found.changes if (c.endpoint, c.metric) == (endpoint, metric)]
    _levels(axes, series, [ids.index(change.run) for change in changes])
    doubtful = [c for c in found.suspected if (c.endpoint, c.metric) == (endpoint, metric)]
    for change in (*changes, *doubtful):
        claimed, at = change in changes, ids.index(change.run)
        axes.axvspan(
            ids.index(change.earliest) - 0.5, ids.index(change.latest) - 0.5 + 1e-9,
            color=RED, alpha=0.12, lw=0,
        )  # fmt: skip
        axes.axvline(at - 0.5, color=RED, lw=1, ls="-" if claimed else "--")
        axes.annotate(
            f"{size(change, change.shift)} {short_commit(change.commit)}"
            + ("" if claimed else " suspected"), (at - 0.5, 1),
            xycoords=("data", "axes fraction"), xytext=(4, -10), textcoords="offset points",
            color=RED, fontsize=8,
        )  # fmt: skip
    name = "all endpoints" if endpoint == TOTAL else endpoint
    axes.set_title(f"{metric} of {name}", loc="left", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.margins(y=0.25)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: value_text(metric, value)))
    if endpoint == TOTAL:
        axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))


def _levels(axes: Axes, series: Sequence[tuple[int, float]], steps: Sequence[int]) -> None:
    edges = [float("-inf"), *steps, float("inf")]
    for begin, end in itertools.pairwise(edges):
        part = [(at, value) for at, value in series if begin <= at < end]
        if part:
            mean = sum(value for _, value in part) / len(part)
            axes.hlines(mean, part[0][0] - 0.5, part[-1][0] + 0.5, color=MUTED, lw=1.2)
