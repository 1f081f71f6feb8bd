"""`harness perf SERVICE`: one run, one verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.catalog.model import Indicator, Objective
from harness.cli.connection_options import connection_options
from harness.cli.options import (
    DURATION,
    EARLY_END_OPTION,
    PROMETHEUS_OPTION,
    RATIO,
    run_options,
    with_options,
)
from harness.cli.output import print_json, say
from harness.errors import NoAnswer, UsageError

if TYPE_CHECKING:
    from harness.session.run import Outcome, Session

INVALID = 4

CONTRARY = {
    "rate": ("users", "think_s", "spawn_rate", "stages"),
    "users": ("rate", "spacing", "stages"),
    "stages": ("rate", "duration_s", "users", "think_s", "spawn_rate"),
}
"""Options and those that cannot stand beside them."""

ARRIVALS = ("rate", "duration_s", "spacing", "users", "think_s", "spawn_rate", "stages")
"""What a profile with its own instants says itself."""


SHORT: Mapping[str, tuple[str, Indicator, float | None]] = {
    "p95": ("p95", "latency", 0.95),
    "errors": ("errors", "error_ratio", None),
    "ttft_p95": ("ttft p95", "time_to_first_token", 0.95),
    "itl_p95": ("itl p95", "inter_token_latency", 0.95),
    "goodput": ("goodput", "goodput", None),
}
"""Option -> the name, the indicator and the quantile of the objective that it is short for."""


class _Command(click.Command):
    """Takes what no option says from harness.yaml and HARNESS_<NAME>."""

    def make_context(self, *words: Any, **more: Any) -> click.Context:
        from harness.project import find_project, usual_options

        more.setdefault("default_map", usual_options(find_project()))
        return super().make_context(*words, **more)


@click.command("perf", cls=_Command)
@click.argument("service", required=False, metavar="[SERVICE|URL]")
@run_options
@connection_options
@with_options(EARLY_END_OPTION, PROMETHEUS_OPTION)
@click.option("--p95", type=DURATION, help='Short for --objective "p95 < DURATION".')
@click.option("--errors", type=RATIO, help='Short for --objective "errors < SHARE".')
@click.option("--ttft-p95", type=DURATION, help='Short for --objective "ttft p95 < DURATION".')
@click.option("--itl-p95", type=DURATION, help='Short for --objective "itl p95 < DURATION".')
@click.option("--goodput", type=RATIO, help='Short for --objective "goodput >= SHARE".')
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No live display.")
@click.pass_context
def command(
    ctx: click.Context, /, service: str | None, *, as_json: bool, quiet: bool, **words: Any
) -> int:
    """Drive SERVICE, measure it honestly and judge it against its objectives.

    Without --target the embedded lab is started for the run and ended with it. A URL needs no
    catalogue: GET of it, 10 requests/s for 10 s unless told otherwise; without objectives the
    figures stand without a verdict. Without either, the URL of harness.yaml is driven.
    """
    from harness.api import RunOptions, session
    from harness.session.own import find_own

    own = None if service else find_own()
    service = service or (own.service.name if own else _project_url())
    words["objectives"] = (*words["objectives"], *_short_objectives(words))
    _prefer_the_command_line(ctx, words)
    by_url = "://" in service
    if by_url or (own or find_own(service)):
        _use_usual(ctx, words)
    try:
        with session(RunOptions(service, **words), progress(quiet=quiet)) as ready:
            return drive(ready, quiet=quiet, as_json=as_json)
    except NoAnswer as problem:
        if not by_url:
            raise
        click.echo(f"harness: {problem}", err=True)
        return INVALID


def progress(*, quiet: bool) -> Callable[[str], None]:
    """Where lines about the progress go: to stderr, or nowhere."""
    return (lambda text: None) if quiet else say


def drive(ready: Session, *, quiet: bool, as_json: bool) -> int:
    """One run of a session, shown while it goes on and reported; its exit code."""
    from harness.report.live import LiveDisplay
    from harness.report.run import beside, print_report
    from harness.traffic.replay import fitted

    profile = ready.profile()
    for each in fitted(profile, ready.traffic).dropped:
        click.echo(f"harness: dropped {each}", err=True)
    if quiet:
        outcome = ready.run(profile)
    else:
        with LiveDisplay(ready.plan(profile), sys.stderr) as live:
            outcome = ready.run(profile, live.update)
    if as_json:
        print_json(outcome.verdict.as_dict() | beside(outcome.record))
    else:
        print_report(outcome.record, outcome.verdict, sys.stdout)
    return _exit_code(outcome)


def _project_url() -> str:
    from harness.project import find_project

    project = find_project()
    if project is None:
        raise UsageError(
            "neither a service nor a URL was named, and there is no harness.yaml",
            "name one, or write a project with `harness init URL`",
        )
    return project.url


def _short_objectives(words: dict[str, Any]) -> Sequence[object]:
    """The objectives that have options of their own, which are taken out of `words`."""
    found = []
    for option, (name, indicator, quantile) in SHORT.items():
        value = words.pop(option)
        if value is None:
            continue
        word = f"--{option.replace('_', '-')} is {value:g}"
        if quantile is not None and value <= 0:
            raise UsageError(word, "give a duration above 0, e.g. 100ms")
        usual = "0.1%" if indicator == "error_ratio" else "95%"
        if quantile is None and not 0 < value < 1:
            raise UsageError(word, f"give a share between 0 and 1, e.g. {usual}")
        found.append(Objective(name, indicator, value, quantile))
    return found


def _use_usual(ctx: click.Context, words: dict[str, Any]) -> None:
    """Of a URL nothing is known: little load, for a short time, unless more was asked for."""
    from harness.project import USUAL_DURATION_S, USUAL_PROFILE, USUAL_RATE

    if ctx.get_parameter_source("profile") is ParameterSource.DEFAULT:
        words["profile"] = USUAL_PROFILE
    words["usual"] = (USUAL_RATE, USUAL_DURATION_S)


def _prefer_the_command_line(ctx: click.Context, words: dict[str, Any]) -> None:
    """What was written there takes the place of what harness.yaml says to the contrary."""
    from harness.traffic.profiles import OWN_ARRIVALS

    own = words["profile"].startswith(OWN_ARRIVALS)
    contrary = CONTRARY | ({"profile": ARRIVALS} if own else {})
    for word, others in contrary.items():
        if ctx.get_parameter_source(word) is ParameterSource.COMMANDLINE:
            for other in others:
                if ctx.get_parameter_source(other) is ParameterSource.DEFAULT_MAP:
                    words[other] = None


def _exit_code(outcome: Outcome) -> int:
    """The verdict's; without objectives 0, or that of an invalid run where nothing answered."""
    verdict = outcome.verdict
    if verdict.objectives:
        return verdict.exit_code
    answered = any(row.get("statuses") for row in outcome.record.slices)
    return 0 if answered and verdict.outcome != "invalid" else INVALID
