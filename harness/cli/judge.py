"""`harness judge RUN`: a stored run judged anew, by the rules of this version."""

import sys
from pathlib import Path

import click

from harness.cli.output import print_json
from harness.cli.runs import _JSON, _ROOT
from harness.errors import RecordError


@click.command("judge")
@click.argument("run", default="latest")
@_ROOT
@click.option(
    "--write",
    is_flag=True,
    help="Store the new verdict and reports in the record; the old verdict is kept beside it.",
)
@_JSON
def command(run: str, root: Path, *, write: bool, as_json: bool) -> int:
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
    click.echo(_said(before, kept, stored=write), err=True)
    return verdict.exit_code


def _said(before: str, kept: Path | None, *, stored: bool) -> str:
    if not stored:
        return f"judged anew; the stored verdict ({before}) is unchanged: --write replaces it"
    beside = f"; the one before ({before}) is in {kept}" if kept else ""
    return f"judged anew and stored{beside}"
