"""`harness services`: the catalogue."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from harness.catalog.model import TIMES
from harness.cli.output import print_json
from harness.units import format_duration, format_rate, format_ratio

if TYPE_CHECKING:
    from harness.catalog import Objective, Service


@click.command("services")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def command(name: str | None, *, as_json: bool) -> None:
    """List the services of the platform, or show the one of that NAME."""
    from harness.catalog import load_catalog

    catalog = load_catalog()
    if name is not None:
        service = catalog.service(name)
        print_json(asdict(service)) if as_json else click.echo(_sheet(service))
        return
    services = catalog.services()
    if as_json:
        print_json([asdict(service) for service in services])
        return
    click.echo(f"{'service':<11}{'tier':<15}{'app':<5}{'port':<6}{'replicas':<10}purpose")
    for each in services:
        app = "yes" if each.core_app else ""
        click.echo(
            f"{each.name:<11}{each.tier:<15}{app:<5}{each.port:<6}{each.replicas:<10}{each.purpose}"
        )


def _sheet(service: Service) -> str:
    """One service as text, a fact a line."""
    app = ", core application" if service.core_app else ""
    regions = [
        f"{region} ({role})"
        for region, role in zip(service.regions, service.region_roles, strict=True)
    ]
    width = max(len(route.path) for route in service.routes)
    blocks = {
        "objectives": [f"{each.name} {_promise(each)}" for each in service.objectives],
        "regions": regions,
        "environments": [
            f"{each.name:<12} {each.base_url}{'  (production)' if each.production else ''}"
            for each in service.environments
        ],
        "routes": [f"{route.path:<{width}}  {' '.join(route.methods)}" for route in service.routes],
    }
    lines = [
        f"{service.name}: {service.purpose}",
        f"  {'tier':<14}{service.tier}{app}",
        f"  {'port':<14}{service.port}, health at {service.health_path}",
        f"  {'replicas':<14}{service.replicas} of {service.cpu:g} CPU, {service.memory}",
    ]
    for title, rows in blocks.items():
        lines += [f"  {title if i == 0 else '':<14}{row}" for i, row in enumerate(rows)]
    return "\n".join(lines)


def _promise(objective: Objective) -> str:
    """`< 100 ms`, `≥ 10,000/s`."""
    text = {
        **dict.fromkeys(TIMES, format_duration),
        "throughput": format_rate,
        "error_ratio": format_ratio,
        "availability": format_ratio,
        "goodput": format_ratio,
    }[objective.indicator](objective.threshold)
    return f"{'<' if objective.upper else '≥'} {text}"
