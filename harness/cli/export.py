"""`harness export RUN`: a stored run for other tools."""

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
    from harness import api
    from harness.report.openmetrics import render_openmetrics

    record = api.read(run, root)
    click.echo(render_openmetrics(record, api.verdict_of(record)), nl=False)
