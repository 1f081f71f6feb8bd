"""`harness stats`: the statistics on any data, CSV in and JSON out.

    harness stats compare --baseline A.csv --candidate B.csv
    harness stats changepoints SERIES.csv
    harness stats recovery SERIES.csv --inject T

An analysis that succeeds exits with 0 whatever it finds, so that scripts read the JSON;
`compare --exit-code` exits with 1 on a regression and 3 when it is inconclusive.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from harness.cli.options import RATIO
from harness.errors import DataError, HarnessError

if TYPE_CHECKING:
    from harness.stats.compare import Comparison

SUMMARIES = ("median", "mean", "min", "max", "p90", "p95", "p99")
PRIORITY = ("regression", "inconclusive", "improvement", "trivial", "no-change")
"""Of several metrics, the verdict that stands for all: the first of these that occurs."""

EXIT_CODES = {"regression": 1, "inconclusive": 3}

Runs = dict[str, dict[str, list[float]]]
"""Values by metric and run, in order of appearance."""

LARGEST = 1e150
"""A larger number has no square, and no variance."""

CSV_FILE = click.Path(path_type=Path)


@click.group()
def group() -> None:
    """Compare runs, find change points, time recoveries: CSV in, JSON out."""


@group.command()
@click.option("--baseline", type=CSV_FILE, required=True, help="CSV: run,value or metric,run,value")
@click.option("--candidate", type=CSV_FILE, required=True, help="The same for the other side.")
@click.option(
    "--margin", type=RATIO, default="5%", show_default=True, help="Smallest change of interest."
)
@click.option(
    "--alpha",
    type=RATIO,
    default="0.05",
    show_default=True,
    help="Chance of a false regression; of a false improvement as well.",
)
@click.option("--lower-is-better/--higher-is-better", default=True, show_default=True)
@click.option(
    "--summary",
    type=click.Choice(SUMMARIES),
    default="median",
    show_default=True,
    help="What makes one number of a run's several values.",
)
@click.option("--prior-sd", type=RATIO, help="Run-to-run sd known from elsewhere, e.g. 2%.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 on a regression, 3 if inconclusive.")
@click.option("--json", "as_json", is_flag=True, help="JSON is the default; kept for clarity.")
def compare(
    baseline: Path,
    candidate: Path,
    margin: float,
    alpha: float,
    lower_is_better: bool,  # noqa: FBT001 - a click option
    summary: str,
    prior_sd: float | None,
    exit_code: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> int:
    """Is the candidate worse than the baseline, run by run?

    Several values of a run are one run: the run is the unit of inference. The verdict of each
    metric is read from its interval of confidence 1 - 2 alpha: `regression` (worse beyond
    chance and by the margin or more), `improvement`, `trivial` (beyond chance, below the
    margin), `no-change` (the interval lies within the margin) or `inconclusive`.
    """
    from harness.stats.compare import compare_metric
    from harness.stats.multiplicity import holm

    before, after = read_runs(baseline), read_runs(candidate)
    names = [name for name in before if name in after]
    if not names:
        raise DataError(
            f"{baseline} and {candidate} share no metric: {_few(before)} against {_few(after)}",
            "use the same names in both",
        )
    found = {
        name: compare_metric(
            summarise(before[name], summary),
            summarise(after[name], summary),
            margin,
            alpha,
            lower_is_better=lower_is_better,
            prior_sd=prior_sd,
        )
        for name in names
    }
    known = [name for name in names if found[name].p_value is not None]
    adjusted = dict(zip(known, holm([found[name].p_value or 0.0 for name in known]), strict=True))
    overall = min((c.verdict for c in found.values()), key=PRIORITY.index)
    _print(
        {
            "verdict": overall,
            "alpha": alpha,
            "margin": margin,
            "lower_is_better": lower_is_better,
            "summary": summary,
            "metrics": [
                _metric(name, comparison, adjusted.get(name)) for name, comparison in found.items()
            ],
            "only_in_baseline": [name for name in before if name not in after],
            "only_in_candidate": [name for name in after if name not in before],
        }
    )
    return EXIT_CODES.get(overall, 0) if exit_code else 0


@group.command()
@click.argument("series", type=CSV_FILE)
@click.option(
    "--alpha",
    type=RATIO,
    default="0.05",
    show_default=True,
    help="Chance that an unchanged series shows any change point.",
)
@click.option("--min-effect", type=RATIO, default="0", help="Leave out smaller shifts, e.g. 2%.")
@click.option("--json", "as_json", is_flag=True, help="JSON is the default; kept for clarity.")
def changepoints(series: Path, alpha: float, min_effect: float, as_json: bool) -> None:  # noqa: FBT001
    """Where did the level of a series change? Columns index,value and optionally label.

    `index` and `label` name the first point of the new level; `shift` is relative for positive
    series; `interval` is its 95 % interval.
    """
    from harness.stats.changepoints import change_points

    if not 0 < alpha < 1:
        raise DataError(f"--alpha is {alpha:g}", "give a share strictly between 0 and 1")
    index, values, labels = read_series(series)
    with naming(series):
        points = change_points(values, alpha, min_effect)
    _print(
        [
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
            }
            for point in points
        ]
    )


@group.command()
@click.argument("series", type=CSV_FILE)
@click.option("--inject", type=float, required=True, help="When the fault began, on t's clock.")
@click.option("--heal", type=float, help="When the fault was healed, on t's clock.")
@click.option("--json", "as_json", is_flag=True, help="JSON is the default; kept for clarity.")
def recovery(series: Path, inject: float, heal: float | None, as_json: bool) -> None:  # noqa: FBT001
    """How long until the service was itself again?

    Columns t (seconds) and any of latency, errors, throughput, one row per second; an empty
    cell is unknown. Recovered is the first second in band from which 9 of 10 seconds are, in
    every column. Times in the answer are seconds from the injection.
    """
    from harness.stats.recovery import HIGHER_IS_WORSE
    from harness.stats.recovery import recovery as measure

    for name, time in (("--inject", inject), ("--heal", heal)):
        if time is not None and not math.isfinite(time):
            raise DataError(f"{name} is {time}", "give a time on the clock of column t")
    columns = read_columns(series, ("t",), tuple(HIGHER_IS_WORSE))
    if len(columns) == 1:
        raise DataError(f"{series}: no column to judge", f"add any of {', '.join(HIGHER_IS_WORSE)}")
    with naming(series):
        found = measure(columns.pop("t"), columns, inject, heal)
    _print(
        {
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
    )


class naming:  # noqa: N801 - reads as a statement: with naming(path)
    """Put the file's name before the problem of whatever is raised inside."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, HarnessError):
            raise DataError(f"{self.path}: {error.problem}", error.remedy) from None


def read_runs(path: Path) -> Runs:
    """The values of a `run,value` or `metric,run,value` file.

    Raises DataError, naming file and line, for whatever cannot be read as that.
    """
    header, rows = _table(path, ("run", "value"))
    run, value, metric = header["run"], header["value"], header.get("metric")
    runs: Runs = {}
    for line, row in rows:
        if not row[run].strip():
            _refuse(path, line, "run is empty", "name the run")
        name = "value" if metric is None else row[metric].strip()
        if not name:
            _refuse(path, line, "metric is empty", "name the metric")
        number = _number(path, line, "value", row[value])
        runs.setdefault(name, {}).setdefault(row[run].strip(), []).append(number)
    if not runs:
        raise DataError(f"{path} has a header but no rows", "give one row per value")
    return runs


def summarise(runs: Mapping[str, Sequence[float]], summary: str) -> list[float]:
    """One number per run: its only value, or the summary of its several."""
    import numpy as np

    from harness.stats.quantiles import sample_quantile

    def one(values: Sequence[float]) -> float:
        if len(values) == 1:
            return values[0]
        if summary.startswith("p"):
            return sample_quantile(values, float(summary[1:]) / 100) or 0.0
        if summary == "median":
            return float(np.median(values))
        if summary == "mean":
            return math.fsum(values) / len(values)
        return min(values) if summary == "min" else max(values)

    return [one(values) for values in runs.values()]


def read_series(path: Path) -> tuple[list[Any], list[float], list[str] | None]:
    """Index, value and label of an `index,value[,label]` file, in order of a numeric index.

    An index that is not a number throughout (commits, dates) keeps the order of the file.
    """
    header, rows = _table(path, ("index", "value"))
    label = header.get("label")
    table = [
        (
            row[header["index"]].strip(),
            _number(path, line, "value", row[header["value"]]),
            "" if label is None else row[label].strip(),
        )
        for line, row in rows
    ]
    if not table:
        raise DataError(f"{path} has a header but no rows", "give one row per point")
    index: list[Any] = [_plain_number(text) for text, _, _ in table]
    if any(number is None for number in index):
        index = [text for text, _, _ in table]
        order = list(range(len(index)))
    else:
        order = sorted(range(len(index)), key=index.__getitem__)
    seen: set[Any] = set()
    for name in index:
        if name in seen:
            raise DataError(f"{path}: index {name} comes twice", "give one value per index")
        seen.add(name)
    labels = None if label is None else [table[i][2] for i in order]
    return [index[i] for i in order], [table[i][1] for i in order], labels


def read_columns(
    path: Path, needed: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, list[float]]:
    """Numeric columns by name; an empty cell or `nan` of an optional column is NaN: unknown."""
    header, rows = _table(path, needed)
    names = [name for name in (*needed, *optional) if name in header]
    columns: dict[str, list[float]] = {name: [] for name in names}
    for line, row in rows:
        for name in names:
            text = row[header[name]].strip()
            unknown = name in optional and text.lower() in {"", "nan", "null", "na"}
            columns[name].append(math.nan if unknown else _number(path, line, name, text))
    return columns


def _table(
    path: Path, needed: tuple[str, ...]
) -> tuple[dict[str, int], Iterator[tuple[int, list[str]]]]:
    """The columns' places by lower-case name, and (line, cells) of each row that is not blank."""
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        names = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{path} is not CSV: {error}", "save it as comma-separated text") from None
    if not any(names):
        raise DataError(f"{path} is empty", f"give a header {','.join(needed)} and rows")
    for name in needed:
        if name not in names:
            raise DataError(
                f"{path} has no column {name!r} but {_few(names)}",
                f"give a header with {','.join(needed)}",
            )
    for name in names:
        if name and names.count(name) > 1:
            raise DataError(f"{path} has the column {name!r} twice", "leave one of them out")
    return {name: i for i, name in enumerate(names)}, _rows(path, reader, len(names))


def _rows(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    try:
        for row in reader:
            if not row or not any(cell.strip() for cell in row):
                continue
            if len(row) != width:
                _refuse(path, reader.line_num, f"{len(row)} cells under {width} columns", "mend it")
            yield reader.line_num, row
    except csv.Error as error:
        _refuse(path, reader.line_num, str(error), "save it as comma-separated text")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start})", "save it as UTF-8") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory", "give a CSV file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "give a CSV file that can be read") from None


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        _refuse(path, line, f"{column} {text.strip()[:40]!r} is not a number", "mend the row")
    if not abs(number) <= LARGEST:  # false for NaN, too
        _refuse(path, line, f"{column} is {text.strip()[:40]}", "leave the row out or mend it")
    return number


def _plain_number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _refuse(path: Path, line: int, problem: str, remedy: str) -> NoReturn:
    raise DataError(f"{path}, line {line}: {problem}", remedy)


def _few(names: Any) -> str:
    shown = [name or "(unnamed)" for name in list(names)[:5]]
    return ", ".join(shown)[:200] + (", ..." if len(names) > len(shown) else "")


def _metric(name: str, comparison: Comparison, adjusted: float | None) -> dict[str, Any]:
    fields = dataclasses.asdict(comparison)
    known = fields["low"] is not None
    interval = [fields.pop("low"), fields.pop("high")]
    return {
        "metric": name,
        "verdict": fields.pop("verdict"),
        "shift": fields.pop("shift"),
        "interval": interval if known else None,
        "detectable": fields.pop("detectable"),
        "runs_needed": fields.pop("runs_needed"),
        "p_value": fields.pop("p_value"),
        "p_holm": adjusted,
        **fields,
    }


def _print(document: Any) -> None:
    click.echo(json.dumps(_plain(document), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they are unknown, null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
