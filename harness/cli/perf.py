"""`harness perf SERVICE`: one run, one verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import EARLY_END_OPTION, PROMETHEUS_OPTION, run_options, with_options
from harness.cli.output import print_json

if TYPE_CHECKING:
    from harness.run import Session


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
    from harness.run import RunOptions, session

    with session(RunOptions(service, **words), progress(quiet=quiet)) as ready:
        return drive(ready, quiet=quiet, as_json=as_json)


def progress(*, quiet: bool) -> Callable[[str], None]:
    """Where lines about the progress go: to stderr, or nowhere."""
    return (lambda text: None) if quiet else lambda text: click.echo(text, err=True)


def drive(ready: Session, *, quiet: bool, as_json: bool) -> int:
    """One run of a session, shown while it goes on and reported; its exit code."""
    from harness.report import LiveDisplay, beside, print_report

    profile = ready.profile()
    if quiet:
        outcome = ready.run(profile)
    else:
        with LiveDisplay(ready.plan(profile), sys.stderr) as live:
            outcome = ready.run(profile, live.update)
    if as_json:
        print_json(outcome.verdict.as_dict() | beside(outcome.record))
    else:
        print_report(outcome.record, outcome.verdict, sys.stdout)
    return outcome.verdict.exit_code
