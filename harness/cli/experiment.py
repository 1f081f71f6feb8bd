"""`harness experiment`: the experiments, their plans, and one run of one of them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalog import project_root
from harness.cli.options import (
    GIVEN,
    GUARD_OPTIONS,
    PLACE_OPTIONS,
    PRODUCTION,
    PROMETHEUS_OPTION,
    RATE,
    RESULTS,
    SHARE,
    F,
    service_or_own,
    with_options,
)
from harness.cli.options import parameters as parameters_of
from harness.cli.output import print_json, say
from harness.errors import HarnessError, UsageError
from harness.platform.names import traits_of
from harness.units import format_ratio, one_line

if TYPE_CHECKING:
    from harness.chaos.model import Experiment, ExperimentPlan, Hit
    from harness.events import ExperimentEvent
    from harness.messages import LoadMessage
    from harness.session.options import RunOptions


@click.group("experiment")
def group() -> None:
    """Break one thing under load, prove it, undo it, judge it."""


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_(*, as_json: bool) -> int:
    """Every experiment in experiments/ and what it breaks.

    A file that is none is told on standard error; the exit code is 2 then.
    """
    from harness.chaos.experiment import experiment_names, load_experiment

    root = project_root()
    found = []
    code = 0
    for name in experiment_names(root):
        try:
            found.append(load_experiment(name, root))
        except HarnessError as problem:
            click.echo(f"harness: {problem}", err=True)
            code = problem.exit_code
    if as_json:
        rows = [{"name": e.name, "title": e.title, "teaches": e.teaches} for e in found]
        print_json(rows)
        return code
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        faults = ", ".join(fault.kind for fault in each.faults)
        click.echo(f"{each.name:{width}}  {each.title} ({faults})")
    return code


_SET = click.option(
    "--set",
    "parameters",
    multiple=True,
    callback=parameters_of,
    metavar="NAME=VALUE",
    help="A parameter of the experiment's configuration; may be given again.",
)
_WHERE = (
    click.option(
        "--service", type=GIVEN, help="Which service (default: your own program, else memorai)."
    ),
    *PLACE_OPTIONS,
    click.option("--seed", type=int, help="Seed of the load and of what is drawn."),
    click.option("--rate", type=RATE, help="Arrival rate of the load instead of the experiment's."),
    PRODUCTION,
    click.option(
        "--mutant",
        "mutants",
        multiple=True,
        help="Break the lab in a known way, to judge the harness; may be given again.",
    ),
    RESULTS,
    SHARE,
)


def where_options(command: F) -> F:
    """Where an experiment runs, as keyword arguments of `run_options_of`."""
    return with_options(*_WHERE)(command)


def run_options_of(
    service: str | None, platform: str, mutants: tuple[str, ...] = (), **words: Any
) -> RunOptions:
    """The options of a run from the words of the command line."""
    from harness.session.options import RunOptions

    service = service_or_own(service, "memorai")

    if mutants and not traits_of(platform).disposable:
        raise UsageError("--mutant is for the lab", "leave it out")
    return RunOptions(
        service, platform=platform, lab={"mutants": mutants} if mutants else {}, **words
    )


@group.command("show")
@click.argument("name")
@_SET
def show(name: str, parameters: Mapping[str, object]) -> None:
    """What an experiment teaches, what it does and what it expects."""
    from harness.chaos.experiment import load_experiment
    from harness.redact import redact

    found = load_experiment(name, project_root(), parameters)
    click.echo(f"{found.name}: {found.title}\n")
    click.echo(_wrapped(found.teaches))
    click.echo(_wrapped(f"Stands for: {found.incident}"))
    for fault in found.faults:
        words = " ".join(f"{key}={value}" for key, value in fault.arguments.items())
        click.echo(f"fault       {fault.kind} {words}".rstrip())
    stages = found.timeline
    click.echo(
        f"timeline    {stages.before_s:g} s before, {stages.during_s:g} s during, "
        f"{stages.after_s:g} s after"
    )
    click.echo(f"load        {found.load.rate:g}/s through {found.load.through}")
    wanted = {
        key: getattr(found.expect, key)
        for key in found.expect.__slots__
        if getattr(found.expect, key) is not None and getattr(found.expect, key) is not False
    }
    click.echo(f"expects     {', '.join(f'{key} {value}' for key, value in wanted.items())}")
    settings = found.document.get("configuration") or {}
    if settings:
        shown = ", ".join(f"{key}={value}" for key, value in redact(settings).items())
        click.echo(f"parameters  {shown}")


@group.command("new")
@click.argument("name")
@click.option("--fault", required=True, help="The kind of fault: `harness fault list`.")
@click.option(
    "--set",
    "arguments",
    multiple=True,
    callback=parameters_of,
    metavar="NAME=VALUE",
    help="An argument of the fault (region, count, share, …); may be given again.",
)
@click.option("--hold", default=10.0, help="How long it holds, in seconds.")
def new(name: str, fault: str, arguments: Mapping[str, object], hold: float) -> None:
    """Write experiments/NAME.yaml with one fault, to be edited."""
    from harness.chaos.new import new_experiment

    path = new_experiment(name, project_root(), fault, arguments, hold)
    click.echo(f"wrote {path}; next: harness experiment plan {name}")


@group.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
def lint(paths: tuple[Path, ...]) -> int:
    """Check every experiment in PATHS (files or folders; default: experiments/), for CI.

    Each is read as it is on every platform. A line for each file; exit code 2 if one has a fault.
    """
    from harness.chaos.experiment import SUFFIXES, load_experiment

    root = project_root()
    code = 0
    for given in paths or (root / "experiments",):
        inside = sorted(each for each in given.glob("*") if each.suffix in SUFFIXES)
        if not inside and not given.is_file():
            raise UsageError(f"{given} holds no experiment", f"name files of {', '.join(SUFFIXES)}")
        for path in inside or [given]:
            try:
                for platform in load_experiment(str(path), root).platforms:
                    load_experiment(str(path), root, platform=platform)
            except HarnessError as problem:
                code = problem.exit_code
                click.echo(str(problem))
            else:
                click.echo(f"{path}: sound")
    return code


@group.command("plan")
@click.argument("name")
@_SET
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(name: str, parameters: Mapping[str, object], *, as_json: bool, **words: Any) -> int:
    """Resolve NAME against what runs and print exactly what it would hit; nothing is touched.

    Exit code 0 when it may run, 1 when the service fails as it is, 2 when it is refused, 3 when
    this platform cannot carry it out.
    """
    from harness.chaos.experiment import at_rate, load_experiment
    from harness.chaos.plan import plan_experiment
    from harness.chaos.session import session_for

    experiment = load_experiment(name, project_root(), parameters, words["platform"])
    experiment = at_rate(experiment, words["rate"])
    with session_for(experiment, run_options_of(**words), say) as ready:
        found = plan_experiment(experiment, ready.service, ready.platform)
    if as_json:
        print_json(asdict(found))
    else:
        print_plan(experiment, found)
    return 3 if found.missing else 2 if found.refusals else 1 if found.weaknesses else 0


@group.command("run")
@click.argument("name")
@_SET
@where_options
@PROMETHEUS_OPTION
@with_options(*GUARD_OPTIONS)
@click.option("--yes", is_flag=True, help="Do not ask before a platform other than the lab is hit.")
@click.option(
    "--load",
    "loaded",
    type=GIVEN,
    metavar="SERVICE",
    help="Run an ordinary Chaos Toolkit file under the load of SERVICE, and judge that too.",
)
@click.option(
    "--dry",
    type=click.Choice(("activities", "actions", "probes", "pause")),
    help="What Chaos Toolkit leaves out; a dry run proves nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
def run(
    name: str,
    parameters: Mapping[str, object],
    *,
    yes: bool,
    as_json: bool,
    loaded: str | None,
    dry: str | None,
    **words: Any,
) -> int:
    """Run NAME under load and judge it; Ctrl-C heals.

    A Chaos Toolkit file that knows nothing of the harness is run as it is, without load.
    """
    from harness.chaos.experiment import at_rate, load_experiment
    from harness.chaos.plan import check, plan_experiment
    from harness.chaos.run import ExperimentRun
    from harness.chaos.session import experiment_session
    from harness.judge.experiment import judge_experiment, write_experiment
    from harness.report.gameday_files import write_experiment_reports
    from harness.report.record import print_record
    from harness.report.run import beside

    experiment = load_experiment(name, project_root(), parameters, words["platform"])
    experiment = at_rate(experiment, words["rate"])
    if dry is not None:
        experiment = replace(experiment, document={**experiment.document, "dry": dry})
    plain = experiment.ordinary and loaded is None
    if loaded is not None or plain:
        words["service"] = loaded or words["service"] or "none"  # whatever lab is up, or damaged
    options = run_options_of(**words)
    if plain:
        return _run_plain(experiment, options, as_json=as_json)
    with experiment_session(experiment, options, say) as ready:
        found = plan_experiment(experiment, ready.service, ready.platform)
        check(found)
        if not as_json:
            print_plan(experiment, found)
        confirm(found.service, found.platform, "break it", yes=yes)
        progress = Progress(experiment)
        record = ExperimentRun(ready, experiment, progress.hear).run(found)
        verdict = judge_experiment(record)
        write_experiment(verdict, record.directory)
        write_experiment_reports(record, verdict)
    if as_json:
        print_json(verdict.as_dict() | beside(record))
    else:
        print_record(record, verdict, sys.stdout)
    return verdict.exit_code


def _run_plain(experiment: Experiment, options: RunOptions, *, as_json: bool) -> int:
    from harness.chaos.alert import check_alert, guard_of
    from harness.chaos.plain import run_plain

    check_alert(experiment, options)
    results = options.results or project_root() / "results"

    def hear(message: Mapping[str, object]) -> None:
        if message["type"] == "activity" and message.get("what") == "end":
            click.echo(f"{message.get('status')}: {message.get('name')}", err=True)

    verdict, directory = run_plain(
        experiment, results, hear, guard_of(experiment, options), _cluster_of(options)
    )
    if as_json:
        shown = verdict.as_dict() | {"record": str(directory)}
        print_json(shown)
        return verdict.exit_code
    click.echo(f"{verdict.outcome.upper()}  {experiment.name}: {one_line(experiment.title)}")
    for reason in verdict.reasons:
        click.echo(f" - {one_line(reason)}")
    click.echo(f"record  {directory}")
    return verdict.exit_code


def _cluster_of(options: RunOptions) -> Mapping[str, str]:
    """The way to the cluster that was named, for actions of chaostoolkit-kubernetes."""
    if not traits_of(options.platform).in_cluster:
        return {}
    from harness.platform.kubernetes.access import tool_environment

    return tool_environment(options.context, options.kubeconfig)


def confirm(service: str, platform: str, purpose: str, *, yes: bool) -> None:
    """Ask for the service's name before anything but the lab is broken.

    Raises UsageError when the answer is another word, or nobody is there to be asked.
    """
    from harness import guard

    if not (traits_of(platform).disposable or yes):
        unasked = UsageError(f"{platform} would be hit and nobody can be asked", "add --yes")
        guard.confirm(service, f"type {service} to {purpose} on {platform}", unasked)


def print_plan(experiment: Experiment, plan: ExperimentPlan) -> None:
    """Targets, share, cost and timeline, as lines on standard error's sister."""
    click.echo(f"{experiment.name}: {experiment.title}")
    for hit in plan.hits:
        click.echo(f"  {hit_sentence(hit, plan)}")
    limit = format_ratio(experiment.blast_radius.share)
    share = format_ratio(plan.share)
    click.echo(f"  {share} of the ready replicas of {plan.service}; limit {limit}")
    if plan.budget_cost is not None:
        cost = format_ratio(plan.budget_cost)
        click.echo(f"  may cost up to {cost} of the 30-day error budget")
    for note in plan.notes:
        click.echo(f"  {note}")
    for step in plan.timeline:
        click.echo(f"  {step.at_s:6.1f} s  {step.what}")
    for text in plan.missing:
        click.echo(f"  not applicable here: {text}")
    for text in plan.weaknesses:
        click.echo(f"  fails as it is: {text}")
    for text in plan.refusals:
        click.echo(f"  refused: {text}")


def hit_sentence(hit: Hit, plan: ExperimentPlan) -> str:
    """What a fault would hit: which replicas, of how many, where, and what drew them."""
    names, given = ", ".join(hit.targets), hit.fault.arguments
    if not hit.targets or not set(hit.targets) <= set(plan.ready):
        return f"{hit.fault.kind} hits {names or 'nothing'}"
    where = f" in {given['region']}" if given.get("region") else ""
    drawn = given.get("count") is not None or given.get("percent") is not None
    seed = f", chosen by seed {given.get('seed', 1)}" if drawn else ""
    among = f"{len(hit.targets)} of {len(plan.ready)} replicas of {plan.service}"
    return f"{hit.fault.kind} hits {among}{where}{seed}: {names}"


class Progress:
    """One line for each thing that happens, on standard error."""

    EVERY_S = 5

    def __init__(self, experiment: Experiment) -> None:
        self._name = experiment.name
        self._ticks = 0
        self._failed = 0

    def hear(self, message: LoadMessage | ExperimentEvent) -> None:
        """Take one message of a run."""
        if message["type"] == "chaos":
            what = message["what"]
            detail = message.get("detail") or message.get("kind") or ""
            if what in {"injected", "inject_failed", "healed", "abort"}:
                self._line(message.get("t"), f"{what.replace('_', ' ')} {detail}")
            elif what == "halt":
                self._line(message.get("t"), str(detail))
        elif message["type"] == "health" and message["now"] in {"failed", "healthy"}:
            self._line(message.get("t"), f"{message['id']} {message['now']}")
        elif message["type"] == "tick":
            self._ticks += 1
            if self._ticks % self.EVERY_S == 0:
                failed, self._failed = message["failed"] - self._failed, message["failed"]
                self._line(self._ticks, f"{failed:,} failed, {message['in_flight']:,} under way")

    def _line(self, at: float | None, text: str) -> None:
        click.echo(f"{at or 0:6.1f} s  {text}", err=True)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 96) + "\n"
