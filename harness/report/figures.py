"""The figures every form of the report shows, put into words once."""

import math
from dataclasses import dataclass

from harness.catalog.model import TIMES, Objective
from harness.judge.model import (
    Judged,
    ObjectiveResult,
    ResultWord,
    StageResult,
    ValidityCheck,
    Verdict,
)
from harness.platform.connection import describe
from harness.platform.names import traits_of
from harness.record.run import RunRecord
from harness.report.summary import Table
from harness.traffic.endpoints import MOST_ENDPOINTS, shown_as
from harness.traffic.populations import closed_models
from harness.units import counted, format_duration, format_rate, format_ratio

QUANTILES = (0.50, 0.95, 0.99, 0.999)
ALL = "all endpoints"
CLOSED = "closed model: latency from the actual start; no arrival rate is offered"
UNKNOWN = "–"  # noqa: RUF001 - an en dash stands for a figure that nobody knows

WORDS: dict[ResultWord, str] = {
    None: "not judged",
    "pass": "pass",
    "fail": "FAIL",
    "inconclusive": "inconclusive",
    "invalid": "invalid",
}
NO_INTERVAL = "no interval: "


@dataclass(frozen=True, slots=True)
class EndpointFigures:
    """One endpoint in the hold; latencies in seconds, None where nothing was measured."""

    name: str
    offered: int
    completed: int
    failed: int
    unfinished: int
    response: tuple[float | None, ...]
    service_p95: float | None
    lag_p99: float | None


def endpoint_figures(record: RunRecord) -> tuple[EndpointFigures, ...]:
    """Every endpoint, every population where there are several, and all of them together last."""
    return tuple(_figures(record, n) for n in (*record.endpoints, *_populations(record), None))


def _populations(record: RunRecord) -> list[str]:
    """What stands for each population in place of an endpoint, where there are several."""
    traffic = record.plan.traffic
    return [f"{each.population}/*" for each in (traffic, *traffic.others) if traffic.others]


def _figures(record: RunRecord, endpoint: str | None) -> EndpointFigures:
    seconds = record.seconds_of("hold")
    series = record.series("due", endpoint)
    response = record.distribution("response", endpoint=endpoint)
    return EndpointFigures(
        name=ALL if endpoint is None else endpoint,
        offered=int(series.offered[seconds].sum()),
        completed=int(series.completed[seconds].sum()),
        failed=int(series.failed[seconds].sum()),
        unfinished=int(series.unfinished[seconds].sum()),
        response=tuple(response.quantile(q) for q in QUANTILES),
        service_p95=record.distribution("service", endpoint=endpoint).quantile(0.95),
        lag_p99=record.distribution("lag", endpoint=endpoint).quantile(0.99),
    )


def objective(result: ObjectiveResult) -> Judged:
    """An objective as every report shows it."""
    asked = result.objective
    interval = UNKNOWN
    if result.low is not None and result.high is not None:
        interval = f"{value(asked, max(0.0, result.low))} to {value(asked, result.high)}"
    elif (result.method or "").startswith(NO_INTERVAL):
        interval = (result.method or "").removeprefix(NO_INTERVAL)
    scope = f" ({', '.join(asked.endpoints)})" if asked.endpoints else ""
    return Judged(
        name=f"{asked.name}{scope}",
        outcome=result.outcome,
        statement=result.statement,
        wanted=f"{'<' if asked.upper else '≥'} {limit(asked)}",
        measured=value(asked, result.estimate),
        interval=interval,
        group="objectives",
        label=WORDS[result.outcome],
    )


def stage(found: StageResult) -> Judged:
    """A stage, which its own objectives decide."""
    return Judged(found.name, found.outcome, found.statement, group="stages", decides=False)


def check(found: ValidityCheck, *, decides: bool = True) -> Judged:
    """A condition for trusting the measurement."""
    text = f"{found.reason} Measured {found.measured}, limit {found.limit}."
    if found.ok is False and found.remedy:
        text += f" Remedy: {found.remedy}."
    return Judged(
        name=found.name,
        outcome=None if found.ok is None else "pass" if found.ok else found.costs,
        statement=text,
        wanted=found.limit,
        measured=found.measured,
        group="validity",
        decides=decides,
    )


def objectives_table(verdict: Verdict) -> Table:
    """Every objective with its interval."""
    share = f"{verdict.confidence * 100:g} % interval"
    return Table(
        ("objective", "wanted", "measured", share, "verdict"),
        tuple(
            (row.name, row.wanted, row.measured, row.interval, row.label)
            for row in map(objective, verdict.objectives)
        ),
        numbers=("wanted", "measured"),
    )


def stages_table(verdict: Verdict) -> Table:
    """Each stage of a profile that has several."""
    header = ("stage", "from", "offered", "completed", "p50", "p95", "p99", "errors", "verdict")
    rows = tuple(
        (
            stage.name,
            f"{stage.begin:g} s",
            format_rate(stage.offered_rate),
            format_rate(stage.completed_rate),
            *(duration(found) for found in stage.quantiles.values()),
            format_ratio(stage.error_ratio),
            WORDS[stage.outcome],
        )
        for stage in verdict.stages
    )
    return Table(header, rows, numbers=header[1:-1])


def endpoints_table(record: RunRecord) -> Table:
    """Every endpoint in the hold; a narrow terminal shows the columns that matter most."""
    quantiles = tuple(f"p{q * 100:g}" for q in QUANTILES)
    header = (
        "endpoint (hold)", "offered", "completed", "failed", *quantiles, "service p95", "lag p99",
    )  # fmt: skip
    rows = tuple(
        (
            row.name, f"{row.offered:,}", f"{row.completed:,}", f"{row.failed + row.unfinished:,}",
            *map(duration, row.response), duration(row.service_p95), duration(row.lag_p99),
        )
        for row in endpoint_figures(record)
    )  # fmt: skip
    needs = {"completed": 100, "p99.9": 100, "service p95": 110, "lag p99": 80}
    return Table(header, rows, header[1:], needs, folded="Endpoints in the hold")


def many_names(record: RunRecord) -> str | None:
    """That there are more names of endpoints than are told apart; None where there are not."""
    shown = shown_as(record.plan.traffic)
    given = len({*record.endpoints} - {*shown.values()})
    told = []
    if shown.keys() != {*shown.values()}:
        told.append(
            f"{len(shown):,} declared names; those after the first {MOST_ENDPOINTS} are grouped by"
            " template"
        )
    if given > MOST_ENDPOINTS:
        told.append(
            f"{given:,} names; each process groups those after its first {MOST_ENDPOINTS} by"
            " template: give the requests a name="
        )
    return "; ".join(told) or None


def limit(objective: Objective) -> str:
    """The threshold with the digits it was written with."""
    if objective.indicator in {*TIMES, "throughput"}:
        return value(objective, objective.threshold)
    return f"{objective.threshold * 100:.6g} %"


def value(objective: Objective, number: float | None) -> str:
    """A number in the objective's unit."""
    if number is None or math.isnan(number):
        return UNKNOWN
    if objective.indicator in TIMES:
        return format_duration(number)
    if objective.indicator == "throughput":
        return format_rate(number)
    # a share close to 1 needs digits on the side of what is missing
    return f"{number * 100:.4g} %" if number > 0.5 else format_ratio(number)  # noqa: PLR2004


def duration(seconds: float | None) -> str:
    """A latency, or the sign for an unknown one."""
    return UNKNOWN if seconds is None or math.isnan(seconds) else format_duration(seconds)


def conservation(record: RunRecord) -> str:
    """Where every request of the whole run went."""
    series = record.series("due")
    completed, failed = int(series.completed.sum()), int(series.failed.sum())
    unfinished, offered = int(series.unfinished.sum()), int(series.offered.sum())
    sign = "=" if offered == completed + failed + unfinished else "≠"
    return (
        f"{offered:,} offered {sign} {completed:,} completed + {failed:,} failed"
        f" + {unfinished:,} unfinished"
    )


def error_counts(record: RunRecord) -> tuple[tuple[str, int], ...]:
    """(kind, count) over the whole run, the most frequent first; unfinished ones included."""
    series = record.series("due")
    counts = {kind: int(found.sum()) for kind, found in series.errors.items()}
    counts["unfinished"] = int(series.unfinished.sum())
    found = [(kind, count) for kind, count in counts.items() if count]
    return tuple(sorted(found, key=lambda item: (-item[1], item[0])))


def word(verdict: Verdict) -> str:
    """The verdict's word; nothing is judged where nothing was promised."""
    if verdict.objectives or verdict.outcome == "invalid":
        return verdict.outcome
    return "no verdict"


def title(record: RunRecord) -> str:
    """Service, profile and load in one line."""
    profile = record.plan.profile
    if profile.model == "closed":
        load = f"closed loop, {counted(profile.users, 'user')}"
    else:
        rates = [max(s.from_rate, s.to_rate) for s in profile.segments if s.phase == "hold"]
        load = f"{format_rate(max(rates))} offered" if rates and max(rates) > 0 else "replay"
    for other in record.plan.traffic.others:
        load += f" + {other.population} {other.load}"
    hold = format_duration(record.planned_seconds("hold"))
    if math.isfinite(record.ended_early_s):
        hold += f", ended after {format_duration(len(record.seconds_of('hold')))}"
    # A verdict on the lab is one on its reference service, not on the team's code.
    reference = "program" not in record.plan.target.environment
    in_lab = traits_of(record.environment.get("platform")).disposable
    stand_in = " (lab stand-in)" if in_lab and reference else " (lab)" if in_lab else ""
    return f"{record.service.name}{stand_in} · {profile.name} · {load} · hold {hold}"


def closed(record: RunRecord) -> str | None:
    """That the load is a closed model, or which of its populations are; None where none is."""
    plan = record.plan
    found = closed_models(plan.traffic, plan.profile)
    names = f"{', '.join(found)}: " if found and plan.traffic.others else ""
    return f"{names}{CLOSED}" if found else None


def validity_line(verdict: Verdict) -> str:
    """How the checks stand, counted."""
    good = sum(check.ok is True for check in verdict.validity)
    parts = [f"{good} of {len(verdict.validity)} checks hold"]
    broken = [check.name for check in verdict.validity if check.ok is False]
    unknown = [check.name for check in verdict.validity if check.ok is None]
    if broken:
        parts.append(f"broken: {', '.join(broken)}")
    if unknown:
        parts.append(f"unknown: {', '.join(unknown)}")
    return "; ".join(parts)


def environment_rows(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """What the run was made on and with, as (name, text)."""
    rows = [
        ("run", record.id),
        ("state", record.status),
        ("target", f"{record.plan.target.description} ({', '.join(record.plan.target.urls)})"),
        ("connection", describe(record.plan.target)),
        ("scenario", f"{record.plan.traffic.scenario} ({record.plan.traffic.source})"),
        ("arrivals", closed(record) or f"open model, {record.plan.profile.spacing} spacing"),
        *(("dropped", each) for each in record.plan.profile.dropped),
        ("seed", str(record.plan.profile.seed)),
        ("workers", f"{record.plan.workers} x {record.plan.threads} threads"),
    ]
    for key, found in {**record.environment, **record.plan.target.environment}.items():
        rows.append((key.replace("_", " ").removesuffix(" bytes"), _environment(key, found)))
    return tuple(rows)


def _environment(key: str, found: object) -> str:
    if found is None:
        return UNKNOWN
    if key.endswith("_bytes") and isinstance(found, int):
        return f"{found / 2**30:.1f} GiB"
    if isinstance(found, dict):
        return ", ".join(f"{name} {inner}" for name, inner in found.items() if inner is not None)
    if isinstance(found, (list, tuple)):
        return ", ".join(str(inner) for inner in found)
    return str(found)
