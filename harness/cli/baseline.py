"""`harness baseline`: which runs a release is compared with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.catalog import project_root
from harness.cli.connection_options import connection_options
from harness.cli.options import BASELINES, run_options
from harness.cli.output import print_json, say
from harness.errors import BaselineError, UsageError
from harness.units import counted, one_line

if TYPE_CHECKING:
    from harness.baseline import AcceptedRun, Baseline, BaselineStore
    from harness.baseline.model import Acceptance
    from harness.record import RunRecord

EVEN_FAILED = click.option(
    "--even-failed",
    is_flag=True,
    help="Accept runs that failed their objectives or were inconclusive as well.",
)


@click.group("baseline")
def group() -> None:
    """The runs that releases are compared with."""


@group.command(context_settings={"default_map": {"profile": "gate"}})
@click.argument("service")
@run_options
@connection_options
@BASELINES
@click.option(
    "--runs",
    "count",
    type=click.IntRange(1, 100),
    default=10,
    help="Valid runs to make; each on a deployment of its own.",
)
@EVEN_FAILED
@click.option("--label", help="A name for these runs, e.g. the release.")
def make(
    service: str,
    *,
    baselines: Path | None,
    count: int,
    even_failed: bool,
    label: str | None,
    **words: Any,
) -> int:
    """Make runs of SERVICE with the gate's profile and accept them.

    It ends at the first run that does not meet the service's objectives. Exit code 4 when the
    machine cannot measure; what was accepted before stays accepted.
    """
    from harness.api import reporting
    from harness.gate.run import Invalid, find_baseline, fresh_seeds, make_run
    from harness.session.options import RunOptions

    options = reporting(RunOptions(service, **words))
    store = _store(baselines)
    store.all(service)  # a damaged file is reported before any load is made
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
        kept = store.accept(
            [record], new=True, even_failed=even_failed, label=label, acceptance=_acceptance()
        )
    if kept is not None:
        click.echo(f"{kept.service} {kept.scenario}: {counted(len(kept.runs), 'accepted run')}")
    return 0


@group.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@BASELINES
@click.option("--results", type=click.Path(path_type=Path), help="Where records are kept.")
@click.option("--new", is_flag=True, help="Start a baseline for conditions that have none yet.")
@EVEN_FAILED
@click.option("--label", help="A name for these runs, e.g. the release.")
@click.option("--yes", is_flag=True, help="Accept runs of a work tree with changes unasked.")
def accept(
    runs: tuple[str, ...],
    *,
    baselines: Path | None,
    results: Path | None,
    new: bool,
    even_failed: bool,
    label: str | None,
    yes: bool,
) -> None:
    """Add runs to the baseline of their conditions.

    Invalid runs are refused, and so are those that did not pass unless --even-failed is given.
    """
    from harness import api

    root = results or project_root() / "results"
    records = [api.read(name, root) for name in runs]
    _ask_about_changes(records, yes=yes)
    kept = _store(baselines).accept(
        records, new=new, even_failed=even_failed, label=label, acceptance=_acceptance()
    )
    click.echo(f"{kept.service} {kept.scenario}: {counted(len(kept.runs), 'accepted run')}")


@group.command("list")
@click.argument("service", required=False)
@BASELINES
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(service: str | None, *, baselines: Path | None, as_json: bool) -> None:
    """List the baselines there are."""
    found, damaged = _store(baselines).scan(service)
    if as_json:
        print_json([_short(one) for one in found])
    elif not found and not damaged:
        click.echo("no baselines; make runs and accept them: harness baseline accept latest")
    else:
        for one in found:
            name = f"{one.service:<12} {one.scenario:<12}"
            click.echo(f"{name} {len(one.runs):>3} runs  {_where(one)}")
    _report(damaged)


@group.command()
@click.argument("service")
@BASELINES
def show(service: str, *, baselines: Path | None) -> None:
    """Show the accepted runs of SERVICE: figures, commits, who accepted them."""
    found, damaged = _store(baselines).scan(service)
    if not found and not damaged:
        raise BaselineError(f"{service} has no baseline", "harness baseline list names them")
    for one in found:
        click.echo(f"{one.service} {one.scenario}: {_where(one)}")
        for run in one.runs:
            click.echo(f"  {one_line(_line(run))}")
        for note in one.notes:
            left = f" ({note['had']} to {note['left']} runs)" if "had" in note else ""
            click.echo(f"  note: {one_line(str(note.get('reason', '')))}{left}")
    _report(damaged)


@group.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--base",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The common ancestor of both: a run that one side took out since then stays out.",
)
def merge(files: tuple[Path, ...], *, base: Path | None) -> None:
    """Merge baseline FILES: THEIRS into OURS, or the two sides that git has of one FILE.

    One FILE is a path that git could not merge, or one with runs listed more than once. As a git
    merge driver: harness baseline merge --base %O %A %B
    """
    from harness.baseline.merge import merge_files, repair_file

    if len(files) > 2 or (base is not None and len(files) != 2):  # noqa: PLR2004 - two sides
        raise UsageError(f"{len(files)} files to merge", "name OURS and THEIRS, or one FILE")
    merged = repair_file(files[0]) if len(files) == 1 else merge_files(files[0], files[1], base)
    for one in merged:
        click.echo(f"{one.service} {one.scenario}: {len(one.runs)} runs  {_where(one)}")


@group.command()
@click.argument("service")
@click.argument("run")
@BASELINES
@click.option("--reason", required=True, help="Why; it is kept in the file.")
def drop(service: str, run: str, *, baselines: Path | None, reason: str) -> None:
    """Take one RUN out of the baseline of SERVICE."""
    kept = _store(baselines).drop(service, run, reason)
    click.echo(f"{kept.service} {kept.scenario}: {counted(len(kept.runs), 'accepted run')} left")


@group.command()
@click.argument("service")
@BASELINES
@click.option("--keep", type=click.IntRange(min=1), default=20)
def prune(service: str, *, baselines: Path | None, keep: int) -> None:
    """Keep only the latest runs of each baseline of SERVICE."""
    store = _store(baselines)
    for one in _all(store, service):
        kept = store.prune(one, keep)
        click.echo(f"{kept.service} {kept.scenario}: {counted(len(kept.runs), 'accepted run')}")


@group.command()
@click.argument("service")
@click.argument("run")
@BASELINES
@click.option("--reason", required=True, help="Why; it is kept in the file.")
def cut(service: str, run: str, *, baselines: Path | None, reason: str) -> None:
    """Begin the baseline of SERVICE anew at RUN, where `harness history` shows a change."""
    kept = _store(baselines).cut(service, run, reason)
    click.echo(f"{kept.service} {kept.scenario}: {counted(len(kept.runs), 'accepted run')} left")


def _store(directory: Path | None) -> BaselineStore:
    from harness.baseline import BaselineStore

    return BaselineStore(directory or project_root() / "baselines")


def _all(store: BaselineStore, service: str) -> tuple[Baseline, ...]:
    found = store.all(service)
    if not found:
        raise BaselineError(f"{service} has no baseline", "harness baseline list names them")
    return found


def _report(damaged: Sequence[BaselineError]) -> None:
    """Say what is wrong with files that could not be read, after the others were shown."""
    for problem in damaged[:-1]:
        click.echo(f"harness: {problem}", err=True)
    if damaged:
        raise damaged[-1]


def _acceptance() -> Acceptance:
    from harness.baseline.model import Acceptance
    from harness.git import user_name

    return Acceptance(user_name(project_root()), datetime.now(UTC).isoformat(timespec="seconds"))


def _ask_about_changes(records: Sequence[RunRecord], *, yes: bool) -> None:
    """Ask, where somebody can answer, before runs of an uncommitted state are accepted."""
    from harness.baseline.measure import commit_of

    changed = [record.id for record in records if (commit_of(record) or "").endswith("-dirty")]
    if not changed or yes:
        return
    text = f"{', '.join(changed)}: made with uncommitted changes, which no commit names"
    if sys.stdin.isatty():
        click.confirm(f"{text}; accept?", abort=True, err=True)
    else:
        click.echo(f"harness: warning: {text}", err=True)


def _line(run: AcceptedRun) -> str:
    from harness.baseline import TOTAL
    from harness.git import short_commit

    quantiles = run.endpoints[TOTAL].quantiles
    cells = "  ".join(f"{name} {q[0] * 1e3:.3f} ms" for name, q in quantiles.items())
    parts = [run.id, f"{short_commit(run.commit):<16}", cells, f"{run.throughput:,.0f}/s"]
    if run.service_commit:
        parts.append(f"service {short_commit(run.service_commit)}")
    if run.label:
        parts.append(run.label)
    if run.outcome not in {None, "pass"}:
        parts.append(f"accepted although {run.outcome}")
    if run.acceptance:
        parts.append(f"by {run.acceptance.by}, {run.acceptance.at[:10]}")
    return " | ".join(parts)


def _short(one: Baseline) -> dict[str, object]:
    return {
        "service": one.service,
        "scenario": one.scenario,
        "conditions": asdict(one.conditions),
        "runs": [run.id for run in one.runs],
    }


def _where(one: Baseline) -> str:
    kept = one.conditions
    return one_line(f"{kept.platform}, {kept.machine}, {kept.profile.partition(' ')[0]}")
