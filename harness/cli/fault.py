"""`harness fault`: the kinds of faults, their arguments and what they need."""

import json
from dataclasses import asdict

import click


@click.group("fault")
def group() -> None:
    """What can be broken, with which arguments, and what that needs."""


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_(*, as_json: bool) -> None:
    """Every kind of fault, where it can be injected, and what fails."""
    from harness.faults.pages import text_of
    from harness.faults.registry import kinds

    texts = [text_of(kind) for kind in kinds().values()]
    if as_json:
        click.echo(json.dumps([asdict(each) for each in texts], indent=1))
        return
    width = max(len(each.name) for each in texts)
    for each in texts:
        click.echo(f"{each.name:{width}}  {each.where:15}  {each.summary}")


@group.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(name: str, *, as_json: bool) -> None:
    """What NAME takes and needs, on each platform."""
    from harness.faults.pages import text_of
    from harness.faults.registry import kind_of

    text = text_of(kind_of(name))
    if as_json:
        click.echo(json.dumps(asdict(text), indent=1))
        return
    click.echo(f"{name}: {text.summary}\n")
    for platform, missing in text.platforms.items():
        click.echo(f"{platform:11} {'yes' if missing is None else f'no: {missing}'}")
    if text.capability is not None:
        click.echo(f"{'lab needs':11} {text.capability}")
    if text.permissions:
        click.echo(f"permissions {', '.join(text.permissions)}")
    for each in text.arguments:
        default = "" if each.default is None else f" (default {each.default})"
        click.echo(f"\n  {each.name}: {each.value}{default}")
        click.echo(f"      {'; '.join((each.help, *each.notes))}")
