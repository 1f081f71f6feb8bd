"""Older names of options, accepted with a warning for one release."""

from collections.abc import Mapping

import click

RENAMED: Mapping[str, Mapping[str, str]] = {
    "capacity": {"--most": "--max-rate"},
    "gate": {"--settle": "--time-budget"},
    "history": {"--most": "--limit"},
    "load": {"--away-from": "--exclude-region"},
    "scale-test": {
        "--away-from": "--exclude-region",
        "--first-ready": "--max-time-to-ready",
        "--holds-again": "--max-recovery-time",
        "--flaps": "--max-flaps",
        "--most-replicas": "--max-replicas",
        "--under": "--max-underprovisioned",
        "--over": "--max-overprovisioned",
        "--scaled-down": "--max-scale-down-time",
    },
}
"""Command -> older name -> today's name."""


def renamed(command: str | None, argument: str) -> str:
    """The argument with today's name of its option; says so on stderr where it was an older one."""
    name, equals, value = argument.partition("=")
    today = RENAMED.get(command or "", {}).get(name)
    if today is None:
        return argument
    click.echo(f"harness: {name} is deprecated; use {today}", err=True)
    return f"{today}{equals}{value}"
