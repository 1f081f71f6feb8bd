"""`harness fleet`: every service of the catalogue, one after the other, one scorecard."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.catalog import load_catalog, project_root
from harness.cli.options import (
    CLUSTER_OPTIONS,
    DURATION,
    DURATION_OPTION,
    PROFILE,
    RATE_OPTION,
    REPLICAS,
    RESULTS,
    with_options,
)
from harness.cli.output import print_json, say
from harness.errors import UsageError
from harness.platform.names import traits_of

if TYPE_CHECKING:
    from harness.fleet import FleetOptions

LAB_RATE = 300.0
"""Requests/s that two cores carry for any service of the lab, its generator included."""

LAB_HOLD_S = 30.0
"""Long enough that what begins to be slow after 20 s misses the objective."""


@click.command("fleet")
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--tier", "tiers", multiple=True, help="Only this tier; may be given again.")
@click.option("--core-apps", is_flag=True, help="Only the core applications.")
@click.option(
    "--budget",
    "budget_s",
    type=DURATION,
    default="70s",
    help="The most that one service may take, its deployment included.",
)
@with_options(PROFILE, RATE_OPTION, DURATION_OPTION)
@click.option("--capacity", is_flag=True, help="Search for the capacity too, within the budget.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the order (default: today's, another each day)."
)
@click.option(
    "--platform", type=click.Choice(["lab", "kubernetes"]), default="lab",
    help="Where the services run.",
)  # fmt: skip
@with_options(REPLICAS, *CLUSTER_OPTIONS, RESULTS)
@click.option("--resume", is_flag=True, help="Go on with the newest fleet that is not done.")
@click.option("--json", "as_json", is_flag=True, help="Print the scorecard as JSON on stdout.")
def command(
    services: tuple[str, ...],
    *,
    tiers: tuple[str, ...],
    core_apps: bool,
    seed: int | None,
    results: Path | None,
    resume: bool,
    as_json: bool,
    **words: object,
) -> int:
    """Drive SERVICEs (default: all 29) one after the other and judge each by its objectives.

    In the lab at 300/s for 30 s, on a cluster at each service's own objective, unless told
    otherwise. The exit code is that of the worst verdict. What was interrupted goes on with
    --resume.
    """
    from harness.fleet import run_fleet
    from harness.fleet.model import chosen, seed_of
    from harness.report.fleet import print_fleet

    root = project_root()
    catalog = load_catalog(root / "services")
    if resume and (services or tiers or core_apps or seed is not None):
        raise UsageError("--resume goes on with what was asked before", "give it alone")
    for name in services:
        catalog.service(name)
    meant = chosen(catalog.services(), services, tiers, core_apps=core_apps)
    today: date = datetime.now(UTC).date()
    drawn = seed_of(today) if seed is None else seed
    options = _options(drawn, results, words, meant[0].name)
    kept = results or root / "results"
    fleet = run_fleet(meant, options, kept, say, resume=resume)
    if as_json:
        print_json(fleet.as_dict())
    else:
        print_fleet(fleet, sys.stdout)
    return fleet.exit_code


def _options(seed: int, results: Path | None, words: dict[str, Any], service: str) -> FleetOptions:
    """What each service is driven with, as words of `harness perf`."""
    from harness.fleet import FleetOptions
    from harness.session.options import RunOptions, make_profile

    given = dict(words)
    budget_s, capacity = float(str(given.pop("budget_s"))), given.pop("capacity")
    if budget_s <= 0:
        raise UsageError("--budget is 0", "give what one service may take, e.g. 70s")
    source = click.get_current_context().get_parameter_source("profile")
    if traits_of(given["platform"]).disposable:
        if any(given[name] is not None for name in ("namespace", "context", "kubeconfig", "pods")):
            raise UsageError(
                "--namespace, --context, --kubeconfig and --pods are of a cluster",
                "add --platform kubernetes",
            )
        if source is ParameterSource.DEFAULT:
            given["profile"] = "gate"
            usual = {"rate": LAB_RATE, "duration_s": LAB_HOLD_S}
            given |= {name: value for name, value in usual.items() if given[name] is None}
    load = {name: given[name] for name in ("profile", "rate", "duration_s")}
    make_profile(RunOptions(service, **load))  # a load that cannot be is refused once, not 29 times
    said: list[str] = []
    for name, value in {**given, "results": results}.items():
        if value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            said += [f"--{name.removesuffix('_s').replace('_', '-')}", text]
    return FleetOptions((), tuple(said), budget_s, seed, capacity=bool(capacity))
