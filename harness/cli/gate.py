"""`harness gate SERVICE`: has it become slower than its baseline?"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.gate_programs import PROGRAM_OPTIONS, Programs
from harness.cli.options import DURATION, RATIO, run_options, with_options

if TYPE_CHECKING:
    from harness.gate import Policy
    from harness.gate.run import GateOptions


@click.command("gate", context_settings={"default_map": {"profile": "gate"}})
@click.argument("service")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@run_options
@click.option(
    "--runs",
    "count",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Candidate runs (or pairs) to make when none is named.",
)
@click.option(
    "--settle",
    "settle_s",
    type=DURATION,
    default="0s",
    show_default=True,
    help="Make further runs while in doubt, up to this long.",
)
@click.option(
    "--interleave",
    metavar="REF_URL",
    help="Compare --target with this URL in ABBA pairs instead of the baseline.",
)
@with_options(*PROGRAM_OPTIONS)
@click.option(
    "--margin",
    type=RATIO,
    default="5%",
    show_default=True,
    help="The smallest change that matters.",
)
@click.option(
    "--alpha", type=RATIO, default="5%", show_default=True, help="One-sided level of the intervals."
)
@click.option(
    "--false-alarms",
    type=float,
    default=1.0,
    show_default=True,
    help="False alarms a month that the team is willing to hear.",
)
@click.option(
    "--gates-per-month",
    type=float,
    default=600.0,
    show_default=True,
    help="How many gates share that budget.",
)
@click.option(
    "--baselines",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where baselines are kept (default: baselines/).",
)
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
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
def command(
    service: str,
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
    as_json: bool,
    **words: Any,
) -> int:
    """Compare SERVICE with its accepted runs: named RUNs, or new ones made now.

    Exit codes: 0 no regression, 1 regression, 3 in doubt (with what would settle it), 4 the
    machine could not measure.
    """
    from harness.baseline import BaselineStore
    from harness.catalog import load_catalog, project_root
    from harness.errors import UsageError
    from harness.gate.run import (
        GateOptions,
        Invalid,
        gate_interleaved,
        gate_live,
        gate_runs,
        invalid_verdict,
    )
    from harness.record import RunRecord, check_writable, find_run
    from harness.report.gate import print_gate, write_gate
    from harness.run import RunOptions

    policy = _policy(margin, alpha, false_alarms, gates_per_month)
    programs = Programs.take(
        words,
        {
            "RUN": bool(runs),
            "--interleave": interleave is not None,
            "--settle": settle_s > 0,
            "--self-test": self_test_,
        },
    )
    if runs and (interleave is not None or settle_s > 0):
        raise UsageError(
            "--interleave and --settle make runs, and RUNs are named", "leave one of them out"
        )

    def say(text: str) -> None:
        click.echo(text, err=True)

    root = project_root()
    load_catalog(root / "services").service(service)
    results = words["results"] or root / "results"
    options = GateOptions(RunOptions(service, **words), count, settle_s / 60, interleave, policy)
    store = BaselineStore(baselines or root / "baselines")
    target = output or results / service / "gate"
    if not runs:  # minutes of load should not end in a report that cannot be kept
        check_writable(target)
    if self_test_:
        return _self_test(options, target, say, as_json=as_json)
    try:
        if runs:
            records = [RunRecord.load(find_run(results, name)) for name in runs]
            verdict = gate_runs(service, records, store, policy)
        elif programs is not None:
            verdict = programs.gate(options, target, say)
        elif interleave is not None:
            verdict = gate_interleaved(options, say)
        else:
            verdict = gate_live(options, store, say)
    except Invalid as reason:
        verdict = invalid_verdict(options, str(reason))
    write_gate(verdict, target)
    if as_json:
        click.echo(json.dumps(verdict.as_dict(), indent=1))
    else:
        print_gate(verdict, sys.stdout)
    return verdict.exit_code


def _policy(margin: float, alpha: float, false_alarms: float, gates_per_month: float) -> Policy:
    """What the gate decides by; raises UsageError for a level or a budget that cannot be."""
    from harness.errors import UsageError
    from harness.gate import Policy

    if not 0 < alpha < 0.5:  # noqa: PLR2004 - a level above a coin's
        raise UsageError(f"--alpha is {alpha:g}", "take a level between 0 and 50 %")
    for name, value in (("false-alarms", false_alarms), ("gates-per-month", gates_per_month)):
        if not 0 < value < math.inf:
            raise UsageError(f"--{name} is {value:g}", "take a number above 0")
    return Policy(margin, alpha, false_alarms, gates_per_month)


def _self_test(
    options: GateOptions, target: Path, say: Callable[[str], None], *, as_json: bool
) -> int:
    """Runs on the lab, and the page that states false alarms and power."""
    from harness.catalog import load_catalog, project_root
    from harness.errors import UsageError
    from harness.gate.run import Invalid
    from harness.gate.selftest import self_test
    from harness.report.selftest import print_self_test, write_self_test
    from harness.run import USUAL_BEHAVIOUR
    from harness.traffic import load_model

    run = options.run
    if run.platform != "lab" or run.target or run.environment:
        raise UsageError("--self-test slows a service down on purpose", "it is for the lab")
    root = project_root()
    service = load_catalog(root / "services").service(run.service)
    heaviest = max(load_model(service, run.scenario, root).requests, key=lambda each: each.weight)
    path = heaviest.path.partition("?")[0].partition("/{")[0]
    usual = {**USUAL_BEHAVIOUR.get(run.profile, {}), **run.behaviour}
    try:
        found = self_test(
            replace(run, behaviour=usual), heaviest.name, path, options.runs, options.policy, say
        )
    except Invalid as reason:
        click.echo(f"harness: {reason}", err=True)
        return 4
    write_self_test(found, target)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    else:
        print_self_test(found, sys.stdout)
        click.echo(f"page    {target / 'self-test.md'}")
    return 0
