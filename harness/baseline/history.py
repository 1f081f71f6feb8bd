"""The series of a service's runs and where their level changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.baseline.levels import Gap, standing_now
from harness.baseline.measure import conditions_of, measure
from harness.baseline.model import QUANTILES, TOTAL, AcceptedRun, Baseline, Conditions
from harness.errors import HarnessError
from harness.judge import judge
from harness.judge.model import load_verdict
from harness.record import RunRecord, list_runs
from harness.stats.changepoints import FALSE_ALARMS, MIN_SEGMENT, find_changes
from harness.stats.drift import drift
from harness.stats.steps import ChangePoint

SHOWN = ("p50", "p95")
"""Of each endpoint, beside the primary metric: p99 of one run wanders too much to date a change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level that began at `run`; `shift`, `low` and `high` are relative.

    The cause lies between the commits of the run before and of this one; `earliest` and
    `latest` are the runs between which it began with 95 % confidence.
    """

    endpoint: str
    metric: str
    run: str
    commit: str | None
    previous_run: str
    previous_commit: str | None
    earliest: str
    latest: str
    shift: float
    low: float
    high: float
    confidence: float
    relative: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """A drift that began with the series, or at its last change of level, at `run`.

    `slope` is that from one run to the next with its interval `low` to `high`, `total` that
    over all `runs` of them; relative where `relative` is true.
    """

    endpoint: str
    metric: str
    run: str
    since: str
    runs: int
    slope: float
    low: float
    high: float
    total: float
    p_value: float
    relative: bool


@dataclass(frozen=True, slots=True)
class History:
    """All known runs of one service and scenario under one set of conditions, oldest first.

    `accepted` are the ids of those in the baseline. What is `suspected` may be a drift, or
    runs that resemble their neighbours. The chance that an unchanged history shows
    any change of level is `false_alarms`: half of it the primary metric's, half all others'; and
    as much again that it shows a drift. `gaps` tell how the latest accepted level of the primary
    metric stands to the oldest and the best before it.
    """

    service: str
    scenario: str
    primary: str
    conditions: Conditions
    runs: tuple[AcceptedRun, ...]
    accepted: frozenset[str]
    changes: tuple[Change, ...]
    false_alarms: float
    trends: tuple[Trend, ...] = ()
    gaps: tuple[Gap, ...] = ()
    suspected: tuple[Change, ...] = ()

    def values(self, endpoint: str, metric: str) -> tuple[tuple[int, float], ...]:
        """(position of the run, value) where the metric is known."""
        found = ((at, run.values(metric, endpoint)) for at, run in enumerate(self.runs))
        return tuple((at, value) for at, value in found if value is not None)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every endpoint that some run has, all together first."""
        names = {name for run in self.runs for name in run.endpoints}
        return (TOTAL, *sorted(names - {TOTAL}))

    def as_dict(self) -> dict[str, object]:
        """The history as JSON: conditions, one row per run, one per change."""
        body = asdict(self) | {"runs": [self._row(run) for run in self.runs]}
        del body["accepted"]
        return {"levels" if name == "gaps" else name: value for name, value in body.items()}

    def _row(self, run: AcceptedRun) -> Mapping[str, object]:
        values = {
            endpoint: {name: run.values(name, endpoint) for name in (*QUANTILES, "error_ratio")}
            for endpoint in run.endpoints
        }
        shown = ("created", "commit", "service_commit", "label", "outcome", "throughput")
        return {
            "run": run.id,
            **{name: getattr(run, name) for name in shown},
            "accepted": run.id in self.accepted,
            "acceptance": run.acceptance and asdict(run.acceptance),
            "values": values,
        }


def history(
    service: str,
    scenario: str,
    primary: str,
    conditions: Conditions,
    accepted: Sequence[AcceptedRun],
    recorded: Sequence[AcceptedRun] = (),
    false_alarms: float = FALSE_ALARMS,
) -> History:
    """The series of accepted and recorded runs, each once, with the changes of its level.

    Raises DataError when `false_alarms` is not between 0 and 1.
    """
    known = {run.id: run for run in (*recorded, *accepted)}
    runs = tuple(sorted(known.values(), key=lambda run: (run.created, run.id)))
    bare = History(
        service, scenario, primary, conditions, runs, frozenset(run.id for run in accepted), (),
        false_alarms,
    )  # fmt: skip
    others = [
        (endpoint, metric)
        for endpoint in bare.endpoints
        for metric in SHOWN
        if (endpoint, metric) != (TOTAL, primary)
        and len(bare.values(endpoint, metric)) >= 2 * MIN_SEGMENT
    ]
    shares = {(TOTAL, primary): false_alarms / 2}
    shares |= dict.fromkeys(others, false_alarms / 2 / max(len(others), 1))
    changes: list[Change] = []
    suspected: list[Change] = []
    trends: list[Trend] = []
    for (endpoint, metric), share in shares.items():
        series = bare.values(endpoint, metric)
        found = find_changes([value for _, value in series], share)
        places = [runs[at] for at, _ in series]
        steps = [_change(endpoint, metric, places, point) for point in found.claimed]
        changes += steps
        suspected += [_change(endpoint, metric, places, point) for point in found.suspected]
        trends += _trends(bare, endpoint, metric, share, steps[-1].run if steps else None)
    return replace(bare, changes=tuple(changes), trends=tuple(trends), suspected=tuple(suspected))


def histories(
    service: str,
    primary: str,
    baselines: Iterable[Baseline],
    results: Path,
    most: int,
    false_alarms: float = FALSE_ALARMS,
) -> tuple[History, ...]:
    """One history for each scenario and set of conditions, the longest first.

    The latest `most` recorded runs that are complete and valid are read beside the accepted ones.
    """
    series: list[tuple[Baseline, list[AcceptedRun]]] = [(one, []) for one in _joined(baselines)]
    for scenario, where, run in _valid_records(results, service, most):
        for one, runs in series:
            if one.scenario == scenario and not where.differences(one.conditions):
                runs.append(run)
                break
        else:
            series.append((Baseline(service, scenario, where), [run]))
    found = [
        replace(
            history(
                service, one.scenario, primary, one.conditions, one.runs, runs, false_alarms
            ),
            gaps=standing_now(one, primary),
        )
        for one, runs in series
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -len(one.runs)))


def _joined(baselines: Iterable[Baseline]) -> list[Baseline]:
    """Those that nothing known makes incomparable as one: an older file kept fewer conditions."""
    joined: list[Baseline] = []
    for one in baselines:
        for at, other in enumerate(joined):
            if one.scenario == other.scenario and not one.conditions.differences(other.conditions):
                runs, notes = (*other.runs, *one.runs), (*other.notes, *one.notes)
                joined[at] = replace(one, runs=runs, notes=notes)
                break
        else:
            joined.append(one)
    return joined


def _valid_records(
    results: Path, service: str, most: int
) -> Iterator[tuple[str, Conditions, AcceptedRun]]:
    """Scenario, conditions and figures of each record that can be trusted."""
    for summary in list_runs(results, service)[:most]:
        if summary.status != "complete":
            continue
        try:
            record = RunRecord.load(summary.directory)
            verdict = load_verdict(record.directory / "verdict.json") or judge(record)
            if verdict.valid and len(record.seconds_of("hold")):
                entry = replace(measure(record), outcome=verdict.outcome)
                yield record.plan.traffic.scenario, conditions_of(record), entry
        except HarnessError:  # `harness runs` shows what is wrong with it
            continue


def _trends(
    found: History, endpoint: str, metric: str, alarms: float, since: str | None
) -> Iterator[Trend]:
    """The drift since the last change of level, where it is beyond chance."""
    series = found.values(endpoint, metric)
    ids = [found.runs[at].id for at, _ in series]
    first = ids.index(since) if since is not None else 0
    seen = drift([value for _, value in series[first:]], alarms)
    if seen is None or seen.p_value > alarms:
        return
    begin = found.runs[series[first][0]]
    yield Trend(
        endpoint=endpoint,
        metric=metric,
        run=begin.id,
        since=begin.created[:10],
        runs=seen.points,
        slope=seen.slope,
        low=seen.low,
        high=seen.high,
        total=seen.total,
        p_value=seen.p_value,
        relative=seen.scale == "ratio",
    )


def _change(
    endpoint: str, metric: str, places: Sequence[AcceptedRun], point: ChangePoint
) -> Change:
    run, before = places[point.index], places[point.index - 1]
    return Change(
        endpoint=endpoint,
        metric=metric,
        run=run.id,
        commit=run.commit,
        previous_run=before.id,
        previous_commit=before.commit,
        earliest=places[point.earliest].id,
        latest=places[point.latest].id,
        shift=point.shift,
        low=point.low,
        high=point.high,
        confidence=point.confidence,
        relative=point.scale == "ratio",
    )
