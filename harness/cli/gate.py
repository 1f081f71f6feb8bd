"""`harness gate SERVICE`: has it become slower than its baseline?"""

from __future__ import annotations

import contextlib
import json
import math
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from harness.catalog import load_catalog, project_root
from harness.catalog.model import Service
from harness.cli.connection_options import connection_options
from harness.cli.gate_programs import PROGRAM_OPTIONS, Programs
from harness.cli.options import (
    BASELINES,
    DURATION,
    RATIO,
    run_options,
    service_or_own,
    was_given,
    with_options,
)
from harness.cli.output import print_json, say
from harness.errors import HarnessError, NoBaseline, UsageError

if TYPE_CHECKING:
    from harness.baseline import BaselineStore
    from harness.gate import GateVerdict, Policy
    from harness.gate.run import GateOptions
    from harness.traffic.model import TrafficModel

CONDITIONS = (
    "machine", "architecture", "kernel", "cores", "harness", "target", "generator", "platform",
    "through", "deployment", "profile", "traffic", "journeys", "replay", "connection",
)  # fmt: skip
"""Fields of Conditions; `machine` stands for the four that belong to the machine."""


class _Gate(click.Command):
    """Not even a misspelt option leaves an earlier gate's reports in place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            lenient = click.Context(
                self, resilient_parsing=True, ignore_unknown_options=True, allow_extra_args=True
            )
            with contextlib.suppress(click.UsageError):
                super().parse_args(lenient, list(given))
            _replace_reports(lenient.params, given, error.format_message())
            raise


def _replace_reports(words: Mapping[str, Any], given: Sequence[str], reason: str) -> None:
    """Put an error where the same command left reports before."""
    from harness.gate.run import GateOptions, unjudged
    from harness.report.gate import REPORTS, clear_gate, write_gate
    from harness.session.options import RunOptions

    service = words.get("service") or next((w for w in given if not w.startswith("-")), "")
    if not service or Path(service).name != service:
        return
    results = words.get("results") or project_root() / "results"
    target = _place(service, results, words.get("output"))
    if any((target / name).exists() for name in REPORTS):
        clear_gate(target)
        write_gate(unjudged(GateOptions(RunOptions(service)), "error", reason), target)


def _place(service: str, results: Path, output: Path | None) -> Path:
    """Where the reports of this service's gate go."""
    return output or results / service / "gate"


@click.command("gate", cls=_Gate, context_settings={"default_map": {"profile": "gate"}})
@click.argument("service", required=False)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@run_options
@connection_options
@click.option(
    "--runs",
    "count",
    type=click.IntRange(1, 100),
    default=3,
    help="Candidate runs (or pairs) to make when none is named.",
)
@click.option(
    "--time-budget",
    "settle_s",
    type=DURATION,
    default="0s",
    help="Make further runs while in doubt, up to this long.",
)
@click.option(
    "--interleave",
    metavar="REF_URL",
    help="Compare --target with this URL in ABBA pairs instead of the baseline.",
)
@with_options(*PROGRAM_OPTIONS)
@click.option("--margin", type=RATIO, default="5%", help="The smallest change that matters.")
@click.option("--alpha", type=RATIO, default="5%", help="One-sided level of the intervals.")
@click.option(
    "--false-alarms",
    type=float,
    default=1.0,
    help="False alarms a month that the team is willing to hear.",
)
@click.option(
    "--gates-per-month", type=float, default=600.0, help="How many gates share that budget."
)
@BASELINES
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where gate.json, gate.xml and gate.md go (default: results/SERVICE/gate).",
)
@click.option(
    "--self-test",
    "self_test_",
    is_flag=True,
    help="Judge the gate itself on the lab: false alarms and power (--runs unchanged runs).",
)
@click.option(
    "--row",
    "rules",
    multiple=True,
    metavar="ENDPOINT:METRIC=WORDS",
    help="Role (critical, gates, shown), tolerance and better direction (lower, higher) of rows,"
    " e.g. 'pay:p95=critical,10%'; ENDPOINT may be total or *, METRIC *. May be repeated.",
)
@click.option(
    "--missing",
    type=click.Choice(["fail", "warn"]),
    default="fail",
    help="What an endpoint does that the baseline has and the candidate has not.",
)
@click.option(
    "--ignore",
    multiple=True,
    type=click.Choice(CONDITIONS),
    help="Compare although this condition differs; the result says so. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
def command(
    service: str | None,
    runs: tuple[str, ...],
    *,
    count: int,
    settle_s: float,
    interleave: str | None,
    margin: float,
    alpha: float,
    false_alarms: float,
    gates_per_month: float,
    baselines: Path | None,
    output: Path | None,
    self_test_: bool,
    rules: tuple[str, ...],
    missing: Literal["fail", "warn"],
    ignore: tuple[str, ...],
    as_json: bool,
    **words: Any,
) -> int:
    """Compare SERVICE with its accepted runs: named RUNs, or new ones made now.

    Exit codes: 0 no regression, 1 regression, 2 usage, 3 in doubt (with what would settle it),
    4 the measurement cannot be trusted, 5 no accepted run to compare with.
    """
    from harness import api
    from harness.baseline import BaselineStore
    from harness.gate.rules import parse_rule
    from harness.gate.run import GateOptions, ignored_fields, unjudged
    from harness.report.gate import clear_gate, write_gate
    from harness.session.options import RunOptions
    from harness.session.own import find_own
    from harness.storage import check_writable

    service = service_or_own(service)
    own = find_own(service)
    root = project_root() if own is None else own.root
    if own is None:
        load_catalog(root / "services").service(service)
    results = words["results"] or root / "results"
    target = _place(service, results, output)
    clear_gate(target)
    try:
        programs = Programs.take(
            words,
            {
                "RUN": bool(runs),
                "--interleave": interleave is not None,
                "--time-budget": settle_s > 0,
                "--self-test": self_test_,
            },
            None if own is None else own.program,
        )
        policy = replace(
            _policy(margin, alpha, false_alarms, gates_per_month),
            rules=tuple(parse_rule(text) for text in rules),
            missing=missing,
        )
        _refuse_both(interleave=interleave is not None, settle=settle_s > 0)
        if runs:
            _refuse_ignored({"count", "settle_s", "interleave"})
    except UsageError as error:
        write_gate(unjudged(GateOptions(RunOptions(service)), "error", str(error)), target)
        raise
    options = GateOptions(
        api.reporting(RunOptions(service, **words)), count, settle_s / 60, interleave, policy,
        ignored_fields(ignore),
    )  # fmt: skip
    store = BaselineStore(baselines or root / "baselines")
    check_writable(target)  # minutes of load should not end in a report that cannot be kept
    if self_test_:
        return _self_test(options, target, say, as_json=as_json)
    return _report(_Asked(options, store, runs, results, programs), target, say, as_json=as_json)


@dataclass(frozen=True)
class _Asked:
    """One gate: options, where accepted runs are, and the runs that were named, if any."""

    options: GateOptions
    store: BaselineStore
    runs: tuple[str, ...]
    results: Path
    programs: Programs | None


def _report(asked: _Asked, target: Path, say: Callable[[str], None], *, as_json: bool) -> int:
    """Reach the verdict and write it; whatever ends the gate, its reports say so."""
    from harness.gate.run import unjudged
    from harness.report.gate import print_gate, write_gate

    try:
        verdict = _verdict(asked, target, say)
    except (Exception, KeyboardInterrupt) as error:
        early = f"the gate ended early: {type(error).__name__}: {error}"
        reason = str(error) if isinstance(error, HarnessError) else early
        write_gate(unjudged(asked.options, "error", reason), target)
        raise
    write_gate(verdict, target)
    if as_json:
        print_json(verdict.as_dict())
    else:
        print_gate(verdict, sys.stdout)
    return verdict.exit_code


def _verdict(asked: _Asked, target: Path, say: Callable[[str], None]) -> GateVerdict:
    from harness import api
    from harness.gate.run import Invalid, gate_interleaved, gate_live, gate_runs, unjudged

    options, store = asked.options, asked.store
    try:
        if asked.runs:
            records = [api.read(name, asked.results) for name in asked.runs]
            return gate_runs(options.run.service, records, store, options.policy, options.ignore)
        if asked.programs is not None:
            return asked.programs.gate(options, target, say)
        if options.interleave is not None:
            return gate_interleaved(options, say)
        return gate_live(options, store, say)
    except Invalid as reason:
        return unjudged(options, "invalid", str(reason))
    except NoBaseline as error:
        advice = f"{error.problem}; make one under these conditions: {_make_command()}"
        if asked.runs:
            advice += f" (or accept runs that exist: {_accept_command(asked)})"
        return unjudged(options, "no-baseline", advice)


def _make_command() -> str:
    """The command that makes the baseline that this gate lacks, with every option it was given."""
    from harness.cli.baseline import make

    context = click.get_current_context()
    taken = {option.name for option in make.params}
    words = ["harness", "baseline", "make", context.params["service"]]
    for option in context.command.params:
        name, value = option.name or "", context.params.get(option.name or "")
        if not (was_given(name) and name in taken and isinstance(option, click.Option)):
            continue
        # Later gates with the same seed would repeat the baseline's arrivals.
        if name in {"count", "seed", "objectives"}:
            continue
        for each in value if isinstance(value, tuple) else (value,):
            words.append(option.opts[0])
            if not option.is_flag:
                words.append(json.dumps(each) if isinstance(each, dict) else f"{each}")
    return shlex.join([*words, "--runs", "10"])


def _accept_command(asked: _Asked) -> str:
    words = ["harness", "baseline", "accept", "RUN...", "--new"]
    if asked.results.name != "results":
        words += ["--results", str(asked.results)]
    return " ".join(words)


def _refuse_both(*, interleave: bool, settle: bool) -> None:
    if interleave and settle:
        raise UsageError(
            "--interleave makes its pairs at once", "leave out --time-budget, use --runs"
        )


def _refuse_ignored(names: Collection[str]) -> None:
    """Raise UsageError for an option of these that was given: no run is made."""
    for option in click.get_current_context().command.params:
        if option.name in names and was_given(option.name):
            raise UsageError(
                f"{option.opts[0]} is for runs that are made, and RUNs are named",
                "leave one of them out",
            )


def _policy(margin: float, alpha: float, false_alarms: float, gates_per_month: float) -> Policy:
    """What the gate decides by; raises UsageError for a level or a budget that cannot be."""
    from harness.gate import Policy

    if not 0 < alpha < 0.5:  # noqa: PLR2004 - a level above a coin's
        raise UsageError(f"--alpha is {alpha:g}", "take a level between 0 and 50 %")
    for name, value in (("false-alarms", false_alarms), ("gates-per-month", gates_per_month)):
        if not 0 < value < math.inf:
            raise UsageError(f"--{name} is {value:g}", "take a number above 0")
    return Policy(margin, alpha, false_alarms, gates_per_month)


def _slowed(service: Service, traffic: TrafficModel) -> tuple[str, Sequence[str]]:
    """(endpoint, paths) of the heaviest request; all routes where only journeys know them."""
    from harness.traffic.endpoints import shown_as

    if not traffic.templates:
        paths = dict.fromkeys(route.path.partition("/{")[0] for route in service.routes)
        return "every route", tuple(paths)
    heaviest = max(traffic.templates, key=lambda each: each.weight)
    return shown_as(traffic)[heaviest.name], (heaviest.path.partition("?")[0].partition("/{")[0],)


def _self_test(
    options: GateOptions, target: Path, say: Callable[[str], None], *, as_json: bool
) -> int:
    """Runs on the lab, and the page that states false alarms and power."""
    from harness.gate.run import Invalid
    from harness.gate.selftest import self_test
    from harness.report.selftest import print_self_test, write_self_test
    from harness.session.place import USUAL_BEHAVIOUR
    from harness.traffic.scenario import load_model

    run = options.run
    if not run.disposable:
        raise UsageError("--self-test slows a service down on purpose", "it is for the lab")
    root = project_root()
    service = load_catalog(root / "services").service(run.service)
    endpoint, paths = _slowed(service, load_model(service, run.scenario, root))
    usual = {**USUAL_BEHAVIOUR.get(run.profile, {}), **run.behaviour}
    try:
        found = self_test(
            replace(run, behaviour=usual), endpoint, paths, options.runs, options.policy, say
        )
    except Invalid as reason:
        click.echo(f"harness: {reason}", err=True)
        return 4
    write_self_test(found, target)
    if as_json:
        print_json(found.as_dict())
    else:
        print_self_test(found, sys.stdout)
        click.echo(f"page    {target / 'self-test.md'}")
    return 0
