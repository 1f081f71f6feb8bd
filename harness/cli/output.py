"""What commands print for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping

import click


def say(text: str) -> None:
    """A line about the progress, on stderr."""
    click.echo(text, err=True)


def print_json(document: object) -> None:
    """One JSON document on stdout. It knows no infinity and no NaN: they are unknown, null."""
    from harness.storage import json_text

    click.echo(json_text(_finite(document)), nl=False)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
