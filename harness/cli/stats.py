"""`harness stats`: the statistics on any data, CSV in, a table or JSON out.

    harness stats compare --baseline A.csv --candidate B.csv
    harness stats changepoints SERIES.csv
    harness stats recovery SERIES.csv --inject T

An analysis that succeeds exits with 0 whatever it finds, so that scripts read `--json`;
`compare --exit-code` exits with 1 on a regression and 3 when it is inconclusive. A metric of the
baseline that the candidate lacks makes `compare` exit with 3 in any case.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.csv_files import few, naming, read_columns, read_runs, read_series, summarise
from harness.cli.options import RATIO
from harness.cli.output import print_json
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.stats.compare import Comparison
    from harness.stats.recovery import Recovery

SUMMARIES = ("median", "mean", "min", "max", "p90", "p95", "p99")
PRIORITY = ("regression", "inconclusive", "improvement", "trivial", "no-change")
"""Of several metrics, the verdict that stands for all: the first of these that occurs."""

HIGHER_WORDS = frozenset(
    {"throughput", "rps", "qps", "tps", "ops", "availability", "success", "successes",
     "goodput", "bandwidth", "hit", "hits", "iops", "mbps", "gbps", "uptime", "completed"}
)  # fmt: skip
"""Words of a metric's name that tell that higher is better, as do `/s` and `per second`."""

LOWER_WORDS = (
    "error", "fail", "timeout", "drop", "lost", "loss", "miss", "retr", "reject", "refus", "abort",
    "latency", "duration",
)  # fmt: skip
"""How words begin that tell, before any other, that lower is better."""

EXIT_CODES = {"regression": 1, "inconclusive": 3}

Values = Mapping[str, Sequence[float]]
"""The values of one metric by run."""

CSV_FILE = click.Path(path_type=Path)


@click.group()
def group() -> None:
    """Compare runs, find change points, time recoveries: CSV in, a table or JSON out."""


@group.command()
@click.option("--baseline", type=CSV_FILE, required=True, help="CSV: run,value or metric,run,value")
@click.option("--candidate", type=CSV_FILE, required=True, help="The same for the other side.")
@click.option("--margin", type=RATIO, default="5%", help="Smallest change of interest.")
@click.option(
    "--alpha",
    type=RATIO,
    default="0.05",
    help="Chance of a false regression; of a false improvement as well.",
)
@click.option(
    "--lower-is-better/--higher-is-better",
    default=None,
    help="Of metrics whose name does not tell.  [default: lower; throughput and the like: higher]",
)
@click.option("--higher", multiple=True, metavar="METRIC", help="Higher is better; repeatable.")
@click.option("--lower", multiple=True, metavar="METRIC", help="Lower is better; repeatable.")
@click.option(
    "--summary",
    type=click.Choice(SUMMARIES),
    default="median",
    help="What makes one number of a run's several values.",
)
@click.option("--prior-sd", type=RATIO, help="Run-to-run sd known from elsewhere, e.g. 2%.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 on a regression, 3 if inconclusive.")
@click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of a table.")
def compare(
    baseline: Path,
    candidate: Path,
    margin: float,
    alpha: float,
    lower_is_better: bool | None,  # noqa: FBT001 - a click option
    higher: tuple[str, ...],
    lower: tuple[str, ...],
    summary: str,
    prior_sd: float | None,
    exit_code: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Is the candidate worse than the baseline, run by run?

    Several values of a run are one run: the run is the unit of inference. The verdict of each
    metric is read from its interval of confidence 1 - 2 alpha: `regression` (worse beyond
    chance and by the margin or more), `improvement`, `trivial` (beyond chance, and the whole
    interval within the margin), `no-change` (the interval lies within the margin) or
    `inconclusive`. Several metrics are decided together (Holm).
    """
    from harness.stats.compare import compare_metric, decide
    from harness.stats.multiplicity import holm

    before, after = read_runs(baseline), read_runs(candidate)
    names = [name for name in before if name in after]
    if not names:
        raise DataError(
            f"{baseline} and {candidate} share no metric: {few(before)} against {few(after)}",
            "use the same names in both",
        )
    _known_metrics((*higher, *lower), names)
    alone = {
        name: compare_metric(
            summarise(before[name], summary),
            summarise(after[name], summary),
            margin,
            alpha,
            lower_is_better=_lower(name, lower_is_better, higher, lower),
            prior_sd=prior_sd,
            level=alpha / len(names),
        )
        for name in names
    }
    found = {
        name: _with_zeros_named(one, before[name], after[name])
        for name, one in decide(alone, alpha).items()
    }
    known = [name for name in names if found[name].p_value is not None]
    adjusted = dict(zip(known, holm([found[name].p_value or 0.0 for name in known]), strict=True))
    overall = min((c.verdict for c in found.values()), key=PRIORITY.index)
    missing = [name for name in before if name not in after]
    if missing and overall != "regression":
        overall = "inconclusive"
    document = {
        "verdict": overall,
        "alpha": alpha,
        "margin": margin,
        "summary": summary,
        "metrics": [_metric(name, one, adjusted.get(name)) for name, one in found.items()],
        "only_in_baseline": missing,
        "only_in_candidate": [name for name in after if name not in before],
    }
    if as_json:
        print_json(document)
    else:
        _show_comparison(document, found)
    asked = EXIT_CODES.get(overall, 0) if exit_code else 0
    return max(asked, EXIT_CODES["inconclusive"]) if missing and asked != 1 else asked


def _with_zeros_named(one: Comparison, before: Values, after: Values) -> Comparison:
    """A metric that falls to 0, in every run or in one beside usual ones, may not be measured."""
    a, b = ([v for run in side.values() for v in run] for side in (before, after))
    others = [value for value in b if value]
    if len(others) == len(b) or not all(a) or (others and 2 * min(others) < min(a)):
        return one
    zeros = f"{len(b) - len(others)} of {len(b)}" if others else "every"
    text = f"{zeros} candidate value is 0 and no baseline value is: make sure that it was measured"
    return dataclasses.replace(one, warnings=(*one.warnings, text))


def _known_metrics(given: Sequence[str], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise DataError(f"no metric {name!r} in both files", f"give one of {few(names)}")


def _lower(
    name: str,
    default: bool | None,  # noqa: FBT001 - as the option
    higher: Sequence[str],
    lower: Sequence[str],
) -> bool:
    """Whether lower values of the metric are better: as asked, else by its name."""
    if name in higher or name in lower:
        return name in lower
    if default is not None:
        return default
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
    if any(word.startswith(LOWER_WORDS) for word in words):
        return True
    rate = "/s" in name.lower() or ("per" in words and words[-1].startswith("s"))
    return not (rate or HIGHER_WORDS & set(words))


def _show_comparison(document: Mapping[str, object], found: Mapping[str, Comparison]) -> None:
    confidence = 100 * next(iter(found.values())).confidence
    rows = [("metric", "better", "verdict", "shift", f"{confidence:.0f} % interval", "margin",
             "detectable", "runs")]  # fmt: skip
    for name, one in found.items():
        span = "unknown"
        if one.low is not None and one.high is not None:
            span = f"{_size(one.low, one.scale)} to {_size(one.high, one.scale)}"
        seen = "unknown" if one.detectable is None else _size(one.detectable, one.scale).lstrip("+")
        rows.append(
            (name, "lower" if one.lower_is_better else "higher", one.verdict,
             _size(one.shift, one.scale), span, _size(one.margin, one.scale).lstrip("+"), seen,
             f"{one.candidate_runs} against {one.baseline_runs}")
        )  # fmt: skip
    click.echo(f"verdict  {document['verdict']}\n")
    _show(rows)
    click.echo("")
    for name, one in found.items():
        click.echo(f"{name}: {one.reason}.")
        for side, odd in (
            ("baseline", one.baseline_outliers),
            ("candidate", one.candidate_outliers),
        ):
            if odd:
                runs = ", ".join(str(at + 1) for at in odd)
                click.echo(
                    f"{name}: {side} run {runs} (in order of the file) set aside as outlier."
                )
        for warning in one.warnings:
            click.echo(f"{name}: {warning}.")
    for side in ("baseline", "candidate"):
        if only := document[f"only_in_{side}"]:
            click.echo(f"Only in the {side}: {few(only)}. Gone, new or renamed: not compared.")


def _size(value: float, scale: str) -> str:
    """A relative change in percent, else a number in the metric's unit."""
    return f"{100 * value:+.3g} %" if scale == "ratio" else f"{value:+.4g}"


def _show(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


@group.command()
@click.argument("series", type=CSV_FILE)
@click.option(
    "--alpha",
    type=RATIO,
    default="0.05",
    help="Chance that an unchanged series shows any change point.",
)
@click.option("--min-effect", type=RATIO, default="0", help="Leave out smaller shifts, e.g. 2%.")
@click.option("--suspected", is_flag=True, help="List suspected ones in JSON as well.")
@click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of a table.")
def changepoints(
    series: Path,
    alpha: float,
    min_effect: float,
    suspected: bool,  # noqa: FBT001 - a click option
    as_json: bool,  # noqa: FBT001
) -> None:
    """Where did the level of a series change? Columns index,value and optionally label.

    `index` and `label` name the first point of the new level; `shift` is relative for positive
    series; `interval` is its 95 % interval. A change whose `grade` is suspected is beyond chance
    too, but a drift, or points that resemble their neighbours, explain it as well.
    """
    from harness.stats.changepoints import MIN_SEGMENT, find_changes
    from harness.stats.drift import drift

    if not 0 < alpha < 1:
        raise DataError(f"--alpha is {alpha:g}", "give a share strictly between 0 and 1")
    index, values, labels = read_series(series)
    with naming(series):
        found = find_changes(values, alpha, min_effect)
    listed = found.suspected if suspected or not as_json else ()
    points = sorted((*found.claimed, *listed), key=lambda point: point.index)
    document: list[dict[str, object]] = [
        {
            "index": index[point.index],
            "position": point.index,
            "shift": point.shift,
            "interval": [point.low, point.high],
            "confidence": point.confidence,
            "label": labels[point.index] if labels else None,
            "index_interval": [index[point.earliest], index[point.latest]],
            "before": point.before,
            "after": point.after,
            "scale": point.scale,
            "grade": "change" if point in found.claimed else "suspected",
        }
        for point in points
    ]
    if as_json:
        print_json(document)
        return
    slope = drift(values, alpha)
    if slope is not None and slope.p_value <= alpha and not found.claimed:
        size = f"{_size(slope.low, slope.scale)} to {_size(slope.high, slope.scale)}"
        click.echo(
            f"Drifts by {_size(slope.slope, slope.scale)} a point (95 % interval {size}), "
            f"{_size(slope.total, slope.scale)} over {slope.points} points."
        )
    if len(values) < 2 * MIN_SEGMENT:
        click.echo(f"{len(values)} points are too few: a change takes {MIN_SEGMENT} on each side.")
        return
    if not document:
        click.echo(f"No change of level beyond chance in {len(values)} points.")
        return
    rows = [("index", "label", "shift", "95 % interval", "before", "after", "began between",
             "grade")]  # fmt: skip
    rows += [
        (str(one["index"]), str(one["label"] or "-"), _size(point.shift, point.scale),
         f"{_size(point.low, point.scale)} to {_size(point.high, point.scale)}",
         f"{point.before:.4g}", f"{point.after:.4g}",
         f"{index[point.earliest]} and {index[point.latest]}", str(one["grade"]))
        for one, point in zip(document, points, strict=True)
    ]  # fmt: skip
    _show(rows)


@group.command()
@click.argument("series", type=CSV_FILE)
@click.option("--inject", type=float, required=True, help="When the fault began, on t's clock.")
@click.option("--heal", type=float, help="When the fault was healed, on t's clock.")
@click.option(
    "--errors-allowed", type=RATIO, default="0", help="Error ratio in band, e.g. 0.1%; see offered."
)
@click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of a table.")
def recovery(
    series: Path,
    inject: float,
    heal: float | None,
    errors_allowed: float,
    as_json: bool,  # noqa: FBT001
) -> None:
    """How long until the service was itself again?

    Columns t (seconds) and any of latency, errors, throughput, one row per second; an empty
    cell is unknown. With a column offered (requests due) errors and throughput are counts.
    Recovered is the first second in band from which 9 of 10 seconds are, in
    every column. Times in the answer are seconds from the injection.
    """
    from harness.stats.recovery import HIGHER_IS_WORSE, OFFERED
    from harness.stats.recovery import recovery as measure

    for name, time in (("--inject", inject), ("--heal", heal)):
        if time is not None and not math.isfinite(time):
            raise DataError(f"{name} is {time}", "give a time on the clock of column t")
    columns = read_columns(series, ("t",), (*HIGHER_IS_WORSE, OFFERED))
    if not set(columns) & set(HIGHER_IS_WORSE):
        raise DataError(f"{series}: no column to judge", f"add any of {', '.join(HIGHER_IS_WORSE)}")
    with naming(series):
        found = measure(
            columns.pop("t"),
            columns,
            inject,
            heal,
            offered=columns.pop(OFFERED, None),
            errors_allowed=errors_allowed,
        )
    document = {
        "inject": inject,
        "heal": heal,
        "first_impact": found.impact,
        "detection": found.detection,
        "recovery": {
            "estimate": found.recovery,
            "low": found.low,
            "high": found.high,
            "censored": found.censored,
            "after_heal": found.after_heal,
        },
        "relapse": found.relapse,
        "bad_seconds": found.bad_seconds,
        "bands": [dataclasses.asdict(band) for band in found.bands],
        "reason": found.reason,
    }
    if as_json:
        print_json(document)
    else:
        _show_recovery(found)


def _show_recovery(found: Recovery) -> None:
    def seconds(value: float | None) -> str:
        return "not seen" if value is None else f"{value:g} s"

    span = "" if found.recovery is None else f" ({found.low:g} to {found.high:g} s)"
    if found.censored:
        span = f", no sooner than {seconds(found.low)}"
    _show(
        [
            ("first impact", f"{seconds(found.impact)} after the injection"),
            ("detection", seconds(found.detection)),
            ("recovery", f"{seconds(found.recovery)}{span}"),
            ("after the heal", seconds(found.after_heal)),
            ("relapse", seconds(found.relapse)),
            ("bad seconds", str(found.bad_seconds)),
            *((f"{b.metric} in band", f"to {b.limit:.4g}, typical {b.typical:.4g}")
              for b in found.bands),
        ]
    )  # fmt: skip
    click.echo(f"\n{found.reason[0].upper()}{found.reason[1:]}.")


def _metric(name: str, comparison: Comparison, adjusted: float | None) -> dict[str, object]:
    fields = dataclasses.asdict(comparison)
    known = fields["low"] is not None
    interval = [fields.pop("low"), fields.pop("high")]
    return {
        "metric": name,
        "verdict": fields.pop("verdict"),
        "better": "lower" if fields.pop("lower_is_better") else "higher",
        "shift": fields.pop("shift"),
        "interval": interval if known else None,
        "detectable": fields.pop("detectable"),
        "runs_needed": fields.pop("runs_needed"),
        "p_value": fields.pop("p_value"),
        "p_holm": adjusted,
        **fields,
    }
