"""`harness perf SERVICE`: one run, one verdict."""

from __future__ import annotations

import sys
from typing import Any

import click

from harness.cli.options import EARLY_END_OPTION, PROMETHEUS_OPTION, run_options, with_options
from harness.cli.output import print_json


@click.command("perf")
@click.argument("service")
@run_options
@with_options(EARLY_END_OPTION, PROMETHEUS_OPTION)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON on stdout.")
@click.option("--quiet", is_flag=True, help="No live display.")
def command(service: str, *, as_json: bool, quiet: bool, **words: Any) -> int:
    """Drive SERVICE, measure it honestly and judge it against its objectives.

    Without --target the embedded lab is started for the run and ended with it.
    """
    from harness.report import LiveDisplay, beside, print_report
    from harness.run import RunOptions, session

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    with session(RunOptions(service, **words), say) as ready:
        profile = ready.profile()
        if quiet:
            outcome = ready.run(profile)
        else:
            with LiveDisplay(ready.plan(profile), sys.stderr) as live:
                outcome = ready.run(profile, live.update)
    if as_json:
        shown = outcome.verdict.as_dict() | beside(outcome.record)
        print_json(shown)
    else:
        print_report(outcome.record, outcome.verdict, sys.stdout)
    return outcome.verdict.exit_code
