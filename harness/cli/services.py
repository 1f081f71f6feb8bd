"""`harness services` and `harness scenarios`: the catalogue, traffic models and load profiles."""

from __future__ import annotations

import ast
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from harness.catalog import Service, load_catalog, project_root
from harness.cli.output import print_json
from harness.units import format_duration, format_rate

if TYPE_CHECKING:
    from pathlib import Path


@click.command("services")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.option("--markdown", is_flag=True, help="Print the page docs/services.md.")
def command(name: str | None, *, as_json: bool, markdown: bool) -> None:
    """List the services of the platform, or show the one of that NAME."""
    from harness.catalog.dependencies import check_dependencies

    catalog = load_catalog()
    if name is not None:
        service = catalog.service(name)
        print_json(asdict(service)) if as_json else click.echo(_sheet(service))
        return
    services = catalog.services()
    check_dependencies(services)
    if markdown:
        from harness.report.services import render_services
        from harness.traffic.scenario import load_model

        root = project_root()
        pairs = ((each, load_model(each, None, root)) for each in services)
        click.echo(render_services(pairs), nl=False)
        return
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
    from harness.report.services import promise

    app = ", core application" if service.core_app else ""
    regions = [
        f"{region} ({role})"
        for region, role in zip(service.regions, service.region_roles, strict=True)
    ]
    width = max(len(route.path) for route in service.routes)
    blocks = {
        "depends on": [", ".join(service.depends_on)] if service.depends_on else [],
        "profiles": [", ".join(service.profiles)] if service.profiles else [],
        "objectives": [f"{each.name} {promise(each)}" for each in service.objectives],
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


@click.command("scenarios")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
def scenarios(*, as_json: bool) -> None:
    """List the scenarios (what is sent) and the load profiles (when)."""
    from harness.traffic.profiles import NAMED
    from harness.traffic.scenario import scenario_names

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
