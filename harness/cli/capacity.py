"""`harness capacity SERVICE`: the highest rate that meets the objectives."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.connection_options import connection_options
from harness.cli.options import (
    DURATION,
    RATE,
    RATIO,
    deployment_options,
    service_or_own,
    with_options,
)
from harness.cli.output import print_json, say
from harness.errors import UsageError
from harness.units import format_duration, format_rate

if TYPE_CHECKING:
    from harness.capacity import CapacityResult, Progress, Search, Step
    from harness.capacity.compare import EarlierCapacity
    from harness.session.options import RunOptions

LEAST_HOLD_S = 10.0
"""As long as the judgement asks of a hold; a shorter step could decide nothing."""

CONFIRMATIONS = 3
"""Long holds that the usual time budget has room for: one in three rates is not confirmed."""

LEAST_TOLERANCE = 0.02
"""Two percent: below it chance, not the rate, decides a step."""

MOST_REPLICAS = 64

SEARCH_OPTIONS = (
    click.option("--start", type=RATE, default="500", help="The first rate."),
    click.option("--max-rate", type=RATE, help="Never beyond this; tried exactly (default: 100k)."),
    click.option("--hold", "hold_s", type=DURATION, default="10s",
                 help="Of a step, at least; longer where the objectives need more requests."),
    click.option("--confirm", "confirm_s", type=DURATION, default="40s",
                 help="Of the hold that confirms the answer; what comes less often is not seen."),
    click.option("--tolerance", type=RATIO, default="10%",
                 help="Width of the answer."),
    click.option("--time-budget", "budget_s", type=DURATION,
                 help="The search ends within it, with what it knows (default: 15m, more with a"
                 " longer --confirm)."),
    click.option("--per-replica", metavar="N,M,…",
                 help="Search for each number of replicas (the lab) and compare them."),
    click.option("--compare", type=click.Path(path_type=Path, dir_okay=False), multiple=True,
                 metavar="FILE", help="An earlier --json result; repeat for several."),
    click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                 help="Write a picture, .svg or .html."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
)  # fmt: skip


@click.command("capacity")
@click.argument("service", required=False)
@deployment_options
@connection_options
@with_options(*SEARCH_OPTIONS)
def command(
    service: str | None,
    *,
    per_replica: str | None,
    compare: tuple[Path, ...],
    plot: Path | None,
    as_json: bool,
    **words: Any,
) -> int:
    """Search for the highest rate at which SERVICE meets its objectives.

    Exit codes: 0 a capacity was found and confirmed, 3 it was not, and the reason is printed.
    """
    from harness.capacity.compare import read_capacity
    from harness.session.options import RunOptions

    service = service_or_own(service)
    search = _search(words)
    earlier = [read_capacity(path, service) for path in compare]
    options = RunOptions(service, **words)
    if plot is not None:
        from harness.report.capacity_plot import check_plot, write_plot

        check_plot(plot)
    if per_replica is not None:
        _refuse_one_search_only(plot, compare)
        return _for_each(options, search, _replicas(per_replica, options), as_json=as_json)
    result, limit_s = _run(options, search)
    _show(result, earlier, as_json=as_json)
    if plot is not None:
        write_plot(result, limit_s, plot)
    return 0 if result.answered else 3


def _search(words: dict[str, Any]) -> Search:
    """The search that was asked for; takes its words out of `words`. Raises UsageError."""
    from harness.capacity import Search
    from harness.capacity.steps import OVERHEAD_S

    usual = Search()
    max_rate = words.pop("max_rate")
    search = Search(
        start=words.pop("start"),
        max_rate=usual.max_rate if max_rate is None else max_rate,
        hold_s=words.pop("hold_s"),
        confirm_s=words.pop("confirm_s"),
        tolerance=words.pop("tolerance"),
    )
    budget = words.pop("budget_s")
    if budget is None:
        longer = max(0.0, search.confirm_s - usual.confirm_s)
        budget = usual.budget_s + CONFIRMATIONS * longer
    search = replace(search, budget_s=budget)
    if not 0 < search.start <= search.max_rate:
        raise UsageError(
            f"--start is {search.start:g} and --max-rate {search.max_rate:g}",
            "the search climbs from a rate above 0, not beyond the highest",
        )
    for option, seconds in (("--hold", search.hold_s), ("--confirm", search.confirm_s)):
        if seconds < LEAST_HOLD_S:
            raise UsageError(
                f"{option} is {seconds:g} s", f"a step needs {LEAST_HOLD_S:g} s or more"
            )
        if seconds + OVERHEAD_S > search.budget_s:
            raise UsageError(
                f"a step of {option} {seconds:g} s does not fit into --time-budget"
                f" {search.budget_s:g} s",
                f"raise --time-budget or lower {option}",
            )
    if not LEAST_TOLERANCE <= search.tolerance <= 1:
        raise UsageError(
            f"--tolerance is {search.tolerance:g}",
            f"give {LEAST_TOLERANCE:.0%} to 100 %: a narrower answer would be chance",
        )
    return search


def _run(options: RunOptions, search: Search) -> tuple[CapacityResult, float | None]:
    """The result and the latency objective (s) that the picture shows."""
    from harness.api import session
    from harness.capacity import find_capacity
    from harness.capacity.measure import SessionMeasure

    with session(options, say) as ready:
        measure = SessionMeasure(ready)
        result = find_capacity(measure, search, lambda progress: say(_line(progress)))
    return result, next((x.latency_s for x in measure.limits if x.latency_s is not None), None)


def _refuse_one_search_only(plot: Path | None, compare: tuple[Path, ...]) -> None:
    """Raise UsageError for options that show one search."""
    given = [word for word, asked in (("--plot", plot), ("--compare", compare)) if asked]
    if given:
        raise UsageError(
            f"{given[0]} shows one search, --per-replica makes several",
            "leave one out, or search with --replicas",
        )


def _replicas(text: str, options: RunOptions) -> list[int]:
    """The numbers of replicas in `1,2,4`. Raises UsageError."""
    if not options.disposable:
        raise UsageError("--per-replica is for the lab", "scale the service yourself, search each")
    if options.replicas is not None:
        raise UsageError("--per-replica and --replicas exclude each other", "give one of them")
    parts = [part.strip() for part in text.split(",")]
    counts = [int(part) for part in parts if part.isdecimal()]
    if len(counts) != len(parts) or not all(0 < n <= MOST_REPLICAS for n in counts):
        raise UsageError(
            f"--per-replica {text!r}: not numbers from 1 to {MOST_REPLICAS}", "e.g. 1,2,4"
        )
    return sorted(set(counts))


def _for_each(options: RunOptions, search: Search, counts: list[int], *, as_json: bool) -> int:
    found = []
    for count in counts:
        say(_replica_count(count))
        found.append((count, _run(replace(options, replicas=count), search)[0]))
    if as_json:
        parts = [{"replicas": count, **result.as_dict()} for count, result in found]
        print_json({"service": options.service, "per_replica": parts})
    else:
        for count, result in found:
            per_one = "" if result.low is None else f", {result.low / count:,.0f}/s or more each"
            click.echo(f"{_replica_count(count)}: {_between(result)}{per_one}")
            click.echo(f"     limit: {result.limit}")
            click.echo(
                "".join(f"     {f.kind}: {f.statement}\n" for f in result.findings), nl=False
            )
    return 0 if all(result.answered for _, result in found) else 3


def _replica_count(count: int) -> str:
    return f"{count} replica{'s' if count > 1 else ''}"


def _show(result: CapacityResult, earlier: list[EarlierCapacity], *, as_json: bool) -> None:
    from harness.capacity.compare import compare_capacity

    change = compare_capacity(result, earlier)
    if as_json:
        shown = result.as_dict() | ({} if change is None else {"change": asdict(change)})
        print_json(shown)
        return
    click.echo(_summary(result))
    if earlier:
        unknown = "this search has not both ends"
        click.echo(f"compared: {unknown if change is None else change.statement}")


def _line(progress: Progress) -> str:
    left = f"about {progress.left} steps, {format_duration(round(progress.left_s))}"
    if progress.step is None:
        return f"{left} in all"
    return f"{_step(progress.step)}  {left} left"


def _step(step: Step) -> str:
    p95 = "-" if step.p95 is None else format_duration(step.p95)
    bad = "-" if step.worst is None else f"{step.worst:.2f}"
    waited = "  waited for connections" if step.waited else ""
    return (
        f"{format_rate(step.rate):>12}  {step.purpose:<8} {step.outcome:<9} {step.hold_s:>4.0f} s"
        f"  p95 {p95:>8}  bad/limit {bad:>5}{waited}"
    )


def _between(result: CapacityResult) -> str:
    low = None if result.low is None else format_rate(result.low)
    high = None if result.high is None else format_rate(result.high)
    if low is None:
        return "unknown: no rate held, none was seen to miss" if high is None else f"below {high}"
    return f"{low} or more" if high is None else f"{low}, below {high}"


def _summary(result: CapacityResult) -> str:
    sure = "" if result.answered else " (not certain: see below)"
    lines = [f"{result.service}: capacity {_between(result)}{sure}"]
    if result.spike_high is not None:
        low = None if result.spike_low is None else format_rate(result.spike_low)
        before = f"below {format_rate(result.spike_high)}"
        lines.append(f"for a sudden rise: {before if low is None else f'{low}, {before}'}")
    lines.append(f"limit: {result.limit}")
    lines += [f"{finding.kind}: {finding.statement}" for finding in result.findings]
    law = result.law
    if law is None:
        lines.append(f"scalability law: not fitted ({result.law_reason})")
    else:
        lines.append(
            f"scalability law: contention {law.contention:.3g}"
            f" ({law.contention_low:.3g} to {law.contention_high:.3g}), coherency"
            f" {law.coherency:.3g} ({law.coherency_low:.3g} to {law.coherency_high:.3g}),"
            f" R² {law.r_squared:.3f}"
        )
    lines.append(f"{len(result.steps)} steps in {format_duration(round(result.seconds))}")
    return "\n".join(lines)
