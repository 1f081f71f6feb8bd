"""`harness services`: the catalogue."""

from dataclasses import asdict

import click

from harness.catalog import Service, load_catalog, project_root
from harness.cli.output import print_json


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
        from harness.traffic import load_model

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
