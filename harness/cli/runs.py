"""`harness runs`, `show`, `judge` and `export`: what has been recorded."""

import dataclasses
import os
import sys
from pathlib import Path

import click

from harness.catalog import project_root
from harness.cli.output import print_json
from harness.errors import RecordError, UsageError


def _results() -> Path:
    """Where a run keeps its record, from whichever directory of the project it is asked for.

    Outside of any project a URL may have been driven: its record is in `results/` here.
    """
    root, here = project_root(), Path.cwd()
    outside = root not in (here, *here.parents) and "HARNESS_HOME" not in os.environ
    found = here / "results"
    return found if outside and found.is_dir() else root / "results"


_ROOT = click.option(
    "--results",
    "root",
    type=click.Path(path_type=Path),
    default=_results,
    show_default="results/",
    help="Where the runs are kept.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


@click.command()
@click.argument("service", required=False)
@_ROOT
@_JSON
def runs(service: str | None, root: Path, *, as_json: bool) -> None:
    """List the recorded runs, newest first; of one SERVICE if it is named."""
    from harness.record import list_runs
    from harness.report.terminal import print_runs

    found = list_runs(root, service)
    if as_json:
        rows = [dataclasses.asdict(run) for run in found]
        print_json(rows)
    elif found:
        print_runs(found, sys.stdout)
    else:
        of = f" of {service}" if service else ""
        print(f"no run{of} in {root}; `make perf SERVICE=memorai` makes one")


@click.command()
@click.argument("run", default="latest")
@_ROOT
@_JSON
@click.option("--html", is_flag=True, help="Print the path of the HTML report and open it.")
def show(run: str, root: Path, *, as_json: bool, html: bool) -> None:
    """Show a stored RUN: its id, a unique prefix, a path, `latest` or `SERVICE/latest`.

    It repeats the verdict that was reached then; `harness judge RUN` judges the run anew.
    """
    from harness import api
    from harness.judge.stored import stored_verdict
    from harness.report.record import page_of, print_record, record_json

    if html and as_json:
        raise UsageError("--html and --json exclude each other", "name one of them")
    record = api.read(run, root)
    verdict = stored_verdict(record.directory)
    if verdict is None:
        verdict = api.judge(record)
        click.echo(f"{record.id} has no verdict; judged now, not stored", err=True)
    if html:
        page = page_of(record, verdict).resolve()
        print(page)
        if sys.stdout.isatty():
            import webbrowser

            webbrowser.open(page.as_uri())
    elif as_json:
        print_json(record_json(record, verdict))
    else:
        print_record(record, verdict, sys.stdout)


@click.command("judge")
@click.argument("run", default="latest")
@_ROOT
@click.option(
    "--write",
    is_flag=True,
    help="Store the new verdict and reports in the record; the old verdict is kept beside it.",
)
@_JSON
def judge(run: str, root: Path, *, write: bool, as_json: bool) -> int:
    """Judge a stored RUN anew, by the rules of this version of the harness.

    The stored verdict stays what it is unless --write is given. RUN is an id, a unique prefix, a
    path, `latest` or `SERVICE/latest`. `harness show` repeats the stored verdict instead.
    """
    from harness import api
    from harness.judge.stored import keep_verdict, stored_verdict
    from harness.report.record import print_record, record_json, write_record_pages

    record = api.read(run, root)
    try:
        stored = stored_verdict(record.directory)
        before = stored.outcome.upper() if stored is not None else "missing"
    except RecordError:
        before = "unreadable"
    verdict = api.judge(record)
    kept = None
    if write:
        kept = keep_verdict(verdict, record.directory)
        write_record_pages(record, verdict)
    if as_json:
        print_json(record_json(record, verdict))
    else:
        print_record(record, verdict, sys.stdout)
    click.echo(_rejudged(before, kept, stored=write), err=True)
    return verdict.exit_code


def _rejudged(before: str, kept: Path | None, *, stored: bool) -> str:
    if not stored:
        return f"judged anew; the stored verdict ({before}) is unchanged: --write replaces it"
    beside = f"; the one before ({before}) is in {kept}" if kept else ""
    return f"judged anew and stored{beside}"


@click.command("export")
@click.argument("run", default="latest")
@_ROOT
def export(run: str, root: Path) -> None:
    """Print a stored RUN as OpenMetrics text, e.g. for a Pushgateway.

    RUN is an id, a unique prefix, a path, `latest` or `SERVICE/latest`.
    """
    from harness import api
    from harness.report.openmetrics import render_openmetrics

    record = api.read(run, root)
    click.echo(render_openmetrics(record, api.verdict_of(record)), nl=False)
