"""`harness reap`: undo what a killed harness left, and prove that nothing remains."""

from __future__ import annotations

import json

import click


@click.command("reap")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="NAME",
    help="Where to look for what is left (default: lab); may be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(platforms: tuple[str, ...], *, as_json: bool) -> int:
    """Undo the faults of runs that are gone, then look for anything that is left of any fault.

    Whatever they hit is undone where it was hit; --platform only says where to look afterwards.
    Exit code 0 when nothing remains, 1 when something does. Faults of runs that are still alive
    are theirs to undo and are not touched.
    """
    from harness.chaos.undo import reap
    from harness.platform import make_platform

    found = reap([make_platform(name) for name in dict.fromkeys(platforms or ("lab",))])
    if as_json:
        body = {
            "clean": found.clean,
            "undone": [
                {"fault_id": e.entry.fault_id, "kind": e.entry.heal.kind, "problem": e.problem}
                for e in found.undone
            ],
            "leftovers": list(found.leftovers),
            "unreadable": list(found.unreadable),
        }
        click.echo(json.dumps(body, indent=1))
        return 0 if found.clean else 1
    for each in found.undone:
        word = "undone" if each.problem is None else f"NOT undone: {each.problem}"
        click.echo(f"{each.entry.fault_id}: {word}")
    for left in (*found.leftovers, *found.unreadable):
        click.echo(f"remains: {left}")
    if found.clean:
        click.echo("nothing of any fault remains")
    return 0 if found.clean else 1
