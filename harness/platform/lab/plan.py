"""Turns the places of a lab into the command lines that its supervisor keeps running."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from harness.catalog.model import Service
from harness.platform.lab import edge
from harness.platform.lab.messages import Probe, StartRow, UnitPlan
from harness.platform.lab.mutants import NO_FAILOVER, REPLICATION_STOPPED
from harness.platform.lab.options import LabOptions
from harness.platform.lab.topology import GLOBAL, Place


def units(
    places: Sequence[Place],
    services: Sequence[Service],
    options: LabOptions,
    runtime: Path,
    cpus: Sequence[int],
) -> list[UnitPlan]:
    """One entry per process: id, argv, plan (its last argument), probes, cores and stage.

    A program of the user's has `start` (`own.Start`) in place of argv and plan.

    A stage starts when the one before it is ready. `startup` is the probe until then, `probe`
    the one from then on.
    """
    by_name = {service.name: service for service in services}
    databases = {place.region: place for place in places if place.kind == "database"}
    found: list[UnitPlan] = []
    for place in places:
        plan, start = None, None
        startup: Probe = (place.host, place.port, options.ready_path)
        probe = startup
        stage = 0
        if place.kind == "database":
            argv, plan = _python("database"), _database(place, databases, options)
            startup = probe = (place.host, place.port, None)
        elif place.kind == "replica" and options.program is not None:
            argv = []
            start = options.program.replica(place.id, place.region, place.port, cpus)
        elif place.kind == "replica":
            service = by_name[place.service or ""]
            argv = _python("service")
            plan = _replica(place, service, databases[place.region], options)
        else:
            argv = _edge(place, places, runtime, options)
            probe = (place.host, place.admin or 0, "/ready")
            stage = 2 if place.region == GLOBAL else 1
        found.append(
            {
                "id": place.id,
                "kind": place.kind,
                "argv": argv,
                "plan": plan,
                "start": None if start is None else cast("StartRow", asdict(start)),
                "startup": startup,
                "probe": probe,
                "cpus": list(cpus),
                "stage": stage,
            }
        )
    return found


def _database(place: Place, databases: dict[str, Place], options: LabOptions) -> dict[str, object]:
    peers = {each.region: [each.host, each.port] for each in databases.values() if each != place}
    return {
        "region": place.region,
        "stopped": REPLICATION_STOPPED in options.mutants,
        "delay_s": options.replication_delay_s,
        "listen": [place.host, place.port],
        "peers": peers,
    }


def _replica(
    place: Place, service: Service, database: Place, options: LabOptions
) -> dict[str, object]:
    return {
        "service": service.name,
        "id": place.id,
        "region": place.region,
        "replication": options.replication,
        "routes": [route.path for route in service.routes],
        "behaviour": options.behaviour.document(),
        "health_path": service.health_path,
        "listen": [place.host, place.port],
        "database": [database.host, database.port],
        "bind": place.host,
    }


def _edge(place: Place, places: Sequence[Place], runtime: Path, options: LabOptions) -> list[str]:
    """Write an edge's configuration; returns the command that runs it."""
    mine = [each for each in places if each.service == place.service]
    if place.region == GLOBAL:
        groups = [[e] for e in mine if e.kind == "edge" and e.region != GLOBAL]
        groups = groups[:1] if NO_FAILOVER in options.mutants else groups
    else:
        groups = [[e for e in mine if (e.kind, e.region) == ("replica", place.region)]]
    log = runtime / "logs" / f"{place.id}.access.log"
    ready = None if options.program is None else options.program.ready
    config = edge.configuration(place, groups, log, options.mutants, ready)
    path = runtime / f"{place.id}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return edge.command(path)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", f"harness.platform.lab.{module}"]
