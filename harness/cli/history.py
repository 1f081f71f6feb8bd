"""`harness history SERVICE`: how its figures went, and where they changed."""

import sys
from pathlib import Path

import click

from harness.catalog import load_catalog, project_root
from harness.cli.options import BASELINES, RATIO
from harness.cli.output import print_json
from harness.errors import BaselineError


@click.command("history")
@click.argument("service")
@click.option("--scenario", help="Only this scenario.")
@BASELINES
@click.option("--results", type=click.Path(path_type=Path), help="Where records are kept.")
@click.option(
    "--limit",
    "most",
    type=click.IntRange(0, 10_000),
    default=200,
    help="Recorded runs to read beside the accepted ones, newest first.",
)
@click.option(
    "--false-alarms",
    type=RATIO,
    default="5%",
    help="Chance that an unchanged history shows any change.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the trend plot goes, .svg, .png or .pdf (default: results/SERVICE/history.svg).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(
    service: str,
    *,
    scenario: str | None,
    baselines: Path | None,
    results: Path | None,
    most: int,
    false_alarms: float,
    plot: Path | None,
    as_json: bool,
) -> int:
    """Show accepted and recorded runs of SERVICE as a series: changes of level, drift, levels.

    Runs of different machines, profiles or mixes are series of their own; the longest is plotted.
    """
    from harness.baseline import BaselineStore
    from harness.baseline.history import histories
    from harness.report.history import print_history

    root = project_root()
    primary = load_catalog(root / "services").service(service).primary
    results = results or root / "results"
    store = BaselineStore(baselines or root / "baselines")
    kept, damaged = store.scan(service)
    found = histories(service, primary, kept, results, most, false_alarms)
    found = tuple(one for one in found if scenario in {None, one.scenario})
    if not found and damaged:
        raise damaged[0]
    for problem in damaged:
        click.echo(f"harness: warning: {problem}", err=True)
    if not found:
        raise BaselineError(
            f"{service} has no accepted and no valid recorded run",
            f"make some: harness baseline make {service}",
        )
    from harness.report.history_plot import write_plot  # heavy, and most errors are found by now

    path = plot or results / service / "history.svg"
    write_plot(found[0], path)
    if as_json:
        print_json([one.as_dict() for one in found])
        return 0
    for one in found:
        print_history(one, sys.stdout)
    click.echo(f"plot: {path}")
    return 0
