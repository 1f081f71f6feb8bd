"""`harness capacity SERVICE`: the highest rate that meets the objectives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import DURATION, RATE, RATIO, deployment_options

if TYPE_CHECKING:
    from harness.capacity import CapacityResult, Step

LEAST_HOLD_S = 5.0
"""Below five seconds a step's p95 says more about its start than about its rate."""


@click.command("capacity")
@click.argument("service")
@deployment_options
@click.option("--start", type=RATE, default="500", show_default=True, help="The first rate.")
@click.option("--most", type=RATE, default="100k", show_default=True, help="Never beyond this.")
@click.option("--hold", "hold_s", type=DURATION, default="10s", show_default=True, help="Per step.")
@click.option(
    "--tolerance", type=RATIO, default="10%", show_default=True, help="Width of the answer."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    service: str,
    start: float,
    most: float,
    hold_s: float,
    tolerance: float,
    *,
    as_json: bool,
    **words: Any,
) -> int:
    """Search for the highest rate at which SERVICE meets its objectives.

    Exit codes: 0 a capacity was found, 3 the search could not bracket it.
    """
    from harness.capacity import Search, find_capacity
    from harness.errors import UsageError
    from harness.run import RunOptions, session

    if not 0 < start <= most:
        raise UsageError(
            f"--start is {start:g} and --most {most:g}", "the search climbs from a rate above 0"
        )
    if hold_s < LEAST_HOLD_S:
        raise UsageError(f"--hold is {hold_s:g} s", f"a step needs {LEAST_HOLD_S:g} s or more")

    def say(text: str) -> None:
        click.echo(text, err=True)

    with session(RunOptions(service, **words), say) as ready:
        search = Search(start, most, hold_s, tolerance)
        result = find_capacity(ready, search, lambda step: say(_line(step)))
    click.echo(json.dumps(result.as_dict(), indent=1) if as_json else _summary(result))
    return 0 if result.low is not None and result.high is not None else 3


def _line(step: Step) -> str:
    from harness.units import format_duration, format_rate, format_ratio

    p95 = "-" if step.p95 is None else format_duration(step.p95)
    errors = "-" if step.error_ratio is None else format_ratio(step.error_ratio)
    cpu = "-" if step.cpu is None else f"{step.cpu:.0%}"
    return (
        f"{format_rate(step.rate):>12}  {step.outcome:<9}  completed "
        f"{format_rate(step.completed_rate):>10}  p95 {p95:>8}  errors {errors:>7}  cpu {cpu:>4}"
    )


def _between(low: str | None, high: str | None) -> str:
    if low is None:
        return "unknown: no rate held, none was seen to miss" if high is None else f"below {high}"
    return f"{low} or more" if high is None else f"{low}, below {high}"


def _summary(result: CapacityResult) -> str:
    from harness.units import format_rate

    low = None if result.low is None else format_rate(result.low)
    high = None if result.high is None else format_rate(result.high)
    lines = [
        f"{result.service}: capacity {_between(low, high)}",
        f"limit: {result.limit}",
    ]
    if result.law is None:
        lines.append(f"scalability law: not fitted ({result.law_reason})")
    else:
        law = result.law
        lines.append(
            f"scalability law: contention {law.contention:.3g}, coherency {law.coherency:.3g}, "
            f"R² {law.r_squared:.3f}"
        )
    return "\n".join(lines)
