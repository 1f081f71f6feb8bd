"""`harness outage SERVICE`: who suffers when it is down, and whether they should."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from harness.catalog import load_catalog
from harness.cli.options import DURATION
from harness.cli.output import print_json, say
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.outage import Caller

LEAST_S = 2.0


@click.command("outage")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option(
    "--duration",
    "stage_s",
    type=DURATION,
    default="5s",
    help="Of each stage: before, during and after.",
)
@click.option("--plan", is_flag=True, help="Only show who calls whom, and who should suffer.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def command(services: tuple[str, ...], *, stage_s: float, plan: bool, as_json: bool) -> int:
    """Take each SERVICE down in the lab and ask all that call it (default: every one with callers).

    The reference service stands for each of them and calls what its catalogue entry depends on. Who
    is declared to need the service may fail meanwhile; who is declared to answer without it, or
    never calls it, must not; all must recover. The exit code is that of the worst.
    """
    from harness.judge.model import EXIT_CODES, PRIORITY
    from harness.outage import plan_outage, run_outage
    from harness.report.checked import print_checked

    catalog = load_catalog()
    known = catalog.services()
    called = {name for each in known for name in each.depends_on}
    meant = [catalog.service(name).name for name in services] or sorted(called)
    if stage_s < LEAST_S:
        raise UsageError(f"--duration {stage_s:g}s", f"give at least {LEAST_S:g}s")
    plans = {name: plan_outage(known, name) for name in dict.fromkeys(meant)}
    if plan:
        _show(plans, as_json=as_json)
        return 0
    verdicts = []
    for name, callers in plans.items():
        verdict = run_outage(known, callers, stage_s, say)
        verdicts.append(verdict)
        if not as_json:
            title = f"outage of {name} · spread to distance {verdict.spread}"
            print_checked(verdict, sys.stdout, "outage", title, "failed before / during / after")
    if as_json:
        print_json([verdict.as_dict() for verdict in verdicts])
    words = {verdict.outcome for verdict in verdicts}
    return EXIT_CODES[next(word for word in PRIORITY if word in words)]


def _show(
    plans: dict[str, Sequence[Caller]] | dict[str, tuple[Caller, ...]], *, as_json: bool
) -> None:
    if as_json:
        print_json({name: [asdict(each) for each in callers] for name, callers in plans.items()})
        return
    for name, callers in plans.items():
        click.echo(f"outage of {name}")
        for each in callers[1:]:
            how = "cannot answer" if each.suffers else "answers"
            far = "calls nothing of it" if each.distance is None else f"distance {each.distance}"
            click.echo(f"  {each.service:12} {far:20} {how}")
