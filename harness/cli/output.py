"""What commands print for machines."""

import click


def say(text: str) -> None:
    """A line about the progress, on stderr."""
    click.echo(text, err=True)


def print_json(document: object) -> None:
    """One JSON document on stdout. It knows no infinity and no NaN: they are unknown, null."""
    from harness.storage import finite_only, json_text

    click.echo(json_text(finite_only(document)), nl=False)
