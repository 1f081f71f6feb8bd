"""`harness baseline`: which runs a release is compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import run_options

if TYPE_CHECKING:
    from harness.baseline import Baseline, BaselineStore

STORE = click.option(
    "--baselines",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where baselines are kept (default: baselines/).",
)


@click.group("baseline")
def group() -> None:
    """The runs that releases are compared with: make, accept, list, show, drop, prune, cut."""


@group.command(context_settings={"default_map": {"profile": "gate"}})
@click.argument("service")
@run_options
@STORE
@click.option(
    "--runs",
    "count",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Valid runs to make; each on a deployment of its own.",
)
@click.option("--label", help="A name for these runs, e.g. the release.")
def make(
    service: str, *, baselines: Path | None, count: int, label: str | None, **words: Any
) -> int:
    """Make runs of SERVICE with the gate's profile and accept them.

    Exit code 4 when the machine cannot measure; what was valid before stays accepted.
    """
    from harness.errors import BaselineError
    from harness.gate.run import Invalid, find_baseline, fresh_seeds, make_run
    from harness.run import RunOptions

    def say(text: str) -> None:
        click.echo(text, err=True)

    options = RunOptions(service, **words)
    store = _store(baselines)
    store.all(service)  # a damaged file is told before any load is made
    try:
        kept = find_baseline(options, store)[0]
    except BaselineError:
        kept = None
    seeds = fresh_seeds(options, kept)
    for _ in range(count):
        try:
            record = make_run(options, next(seeds), say)
        except Invalid as reason:
            click.echo(f"harness: {reason}", err=True)
            return 4
        kept = store.accept([record], new=True, label=label)
    if kept is not None:
        click.echo(f"{kept.service} {kept.scenario}: {len(kept.runs)} accepted runs")
    return 0


@group.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@STORE
@click.option("--results", type=click.Path(path_type=Path), help="Where records are kept.")
@click.option("--new", is_flag=True, help="Start a baseline for conditions that have none yet.")
@click.option("--label", help="A name for these runs, e.g. the release.")
def accept(
    runs: tuple[str, ...],
    *,
    baselines: Path | None,
    results: Path | None,
    new: bool,
    label: str | None,
) -> None:
    """Add runs to the baseline of their conditions; invalid runs are refused."""
    from harness.catalog import project_root
    from harness.record import RunRecord, find_run

    root = results or project_root() / "results"
    records = [RunRecord.load(find_run(root, name)) for name in runs]
    kept = _store(baselines).accept(records, new=new, label=label)
    click.echo(f"{kept.service} {kept.scenario}: {len(kept.runs)} accepted runs")


@group.command("list")
@click.argument("service", required=False)
@STORE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(service: str | None, *, baselines: Path | None, as_json: bool) -> None:
    """List the baselines there are."""
    found = _store(baselines).all(service)
    if as_json:
        click.echo(json.dumps([_short(one) for one in found], indent=1))
        return
    if not found:
        click.echo("no baselines; make runs and accept them: harness baseline accept latest")
    for one in found:
        click.echo(f"{one.service:<12} {one.scenario:<12} {len(one.runs):>3} runs  {_where(one)}")


@group.command()
@click.argument("service")
@STORE
def show(service: str, *, baselines: Path | None) -> None:
    """Show the accepted runs of SERVICE, quantiles in milliseconds."""
    from harness.baseline import TOTAL

    for one in _all(_store(baselines), service):
        click.echo(f"{one.service} {one.scenario}: {_where(one)}")
        for run in one.runs:
            quantiles = run.endpoints[TOTAL].quantiles
            cells = "  ".join(f"{name} {q[0] * 1e3:.3f}" for name, q in quantiles.items())
            commit = (run.commit or "-")[:12]
            click.echo(f"  {run.id}  {commit:<12}  {cells}  {run.throughput:,.0f}/s")
        for note in one.notes:
            click.echo(f"  note: {note['reason']} ({note['had']} to {note['left']} runs)")


@group.command()
@click.argument("service")
@click.argument("run")
@STORE
@click.option("--reason", required=True, help="Why; it is kept in the file.")
def drop(service: str, run: str, *, baselines: Path | None, reason: str) -> None:
    """Take one RUN out of the baseline of SERVICE."""
    kept = _store(baselines).drop(service, run, reason)
    click.echo(f"{kept.service} {kept.scenario}: {len(kept.runs)} accepted runs left")


@group.command()
@click.argument("service")
@STORE
@click.option("--keep", type=click.IntRange(min=1), default=20, show_default=True)
def prune(service: str, *, baselines: Path | None, keep: int) -> None:
    """Keep only the latest runs of each baseline of SERVICE."""
    store = _store(baselines)
    for one in _all(store, service):
        kept = store.prune(one, keep) if len(one.runs) > keep else one
        click.echo(f"{kept.service} {kept.scenario}: {len(kept.runs)} accepted runs")


@group.command()
@click.argument("service")
@click.argument("run")
@STORE
@click.option("--reason", required=True, help="Why; it is kept in the file.")
def cut(service: str, run: str, *, baselines: Path | None, reason: str) -> None:
    """Begin the baseline of SERVICE anew at RUN, where `harness history` shows a change."""
    kept = _store(baselines).cut(service, run, reason)
    click.echo(f"{kept.service} {kept.scenario}: {len(kept.runs)} accepted runs left")


def _store(directory: Path | None) -> BaselineStore:
    from harness.baseline import BaselineStore
    from harness.catalog import project_root

    return BaselineStore(directory or project_root() / "baselines")


def _all(store: BaselineStore, service: str) -> tuple[Baseline, ...]:
    from harness.errors import BaselineError

    found = store.all(service)
    if not found:
        raise BaselineError(f"{service} has no baseline", "harness baseline list names them")
    return found


def _short(one: Baseline) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "service": one.service,
        "scenario": one.scenario,
        "conditions": asdict(one.conditions),
        "runs": [run.id for run in one.runs],
    }


def _where(one: Baseline) -> str:
    kept = one.conditions
    return f"{kept.platform}, {kept.machine}, {kept.profile.split()[0]}"
