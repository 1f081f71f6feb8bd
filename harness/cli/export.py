"""`harness export RUN`: a stored run for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.runs import _ROOT


@click.command("export")
@click.argument("run", default="latest")
@_ROOT
def command(run: str, root: Path) -> None:
    """Print a stored RUN as OpenMetrics text, e.g. for a Pushgateway.

    RUN is an id, a unique prefix, a path, `latest` or `SERVICE/latest`.
    """
    from harness.judge.stored import judge_anew, stored_verdict
    from harness.record import RunRecord, find_run
    from harness.report.openmetrics import render_openmetrics

    record = RunRecord.load(find_run(root, run))
    verdict = stored_verdict(record.directory) or judge_anew(record)
    click.echo(render_openmetrics(record, verdict), nl=False)
