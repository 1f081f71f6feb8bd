"""`harness scenarios`: the traffic models and the load profiles that can be named."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import click

from harness.catalog import project_root
from harness.cli.output import print_json
from harness.units import format_duration, format_rate

if TYPE_CHECKING:
    from pathlib import Path


@click.command("scenarios")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def command(*, as_json: bool) -> None:
    """List the scenarios (what is sent) and the load profiles (when)."""
    from harness.traffic import NAMED, scenario_names

    root = project_root()
    sent = {n: _summary(root / "scenarios" / f"{n}.py", n) for n in scenario_names(root)}
    if as_json:
        profiles = {
            name: {"rate": rate, "hold_s": hold, "spacing": spacing, "asks": question}
            for name, (_, rate, hold, spacing, question) in NAMED.items()
        }
        print_json({"scenarios": sent, "profiles": profiles})
        return
    click.echo("scenarios: what is sent; a service takes its own, or crud")
    for name, summary in sent.items():
        click.echo(f"  {name:<12}{summary}")
    click.echo("\nprofiles: when; --rate and --duration override")
    for name, (_, rate, hold, _, question) in NAMED.items():
        usual = f"{format_rate(rate)} for {format_duration(hold)}"
        click.echo(f"  {name:<12}{usual:<22}{question}")
    click.echo(f"  {'replay:FILE':<12}{'the instants in FILE':<22}a trace, to the nanosecond")


def _summary(path: Path, name: str) -> str:
    """The first line of a scenario's docstring, without running its code."""
    try:
        text = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError) as error:
        return f"(cannot be read: {getattr(error, 'msg', error)})"
    first = (text or "(says nothing of itself)").splitlines()[0]
    return first.removeprefix(f"{name}: ")
