"""The scenarios that come with the project fit the catalogue and the engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from harness._engine import schedule
from harness.catalog import Service, load_catalog
from harness.report.services import render_services
from harness.traffic import Request
from harness.traffic.build import to_engine
from harness.traffic.model import TrafficModel
from harness.traffic.profiles import NAMED, resolve_profile
from harness.traffic.scenario import scenario_names

ROOT = Path(__file__).resolve().parents[2]
CATALOG = load_catalog(ROOT / "services")
OWN = CATALOG.names()

# One child for all, which imports no Locust, as `python -m harness.traffic describe` does not.
DESCRIBE_ALL = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
from harness.catalog import load_catalog
from harness.traffic.declared import stand_in_for_locust
from harness.traffic.scenario import describe
stand_in_for_locust()
for name in load_catalog(Path("services")).names():
    os.environ["HARNESS_SERVICE"] = name
    own = Path(f"scenarios/{name}.py")
    for path in {own, Path("scenarios/crud.py")}:
        if path.is_file():
            print(json.dumps(asdict(describe(path))))
"""


@pytest.fixture(scope="module")
def models() -> dict[tuple[str, str], TrafficModel]:
    """(service, scenario) -> model, for each service's own scenario and the generic one."""
    child = subprocess.run(
        [sys.executable, "-c", DESCRIBE_ALL], capture_output=True, text=True, cwd=ROOT, check=True
    )
    reader = TypeAdapter(TrafficModel)
    found = [reader.validate_json(line) for line in child.stdout.splitlines()]
    return {(model.service, model.scenario): model for model in found}


def fits(request: Request, service: Service) -> bool:
    """Whether a template is a route of the service, with a method that it has."""
    path = request.path.partition("?")[0]
    return any(
        request.method in route.methods
        and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route.path)), path)
        for route in service.routes
    )


def test_every_service_has_a_scenario_of_its_own_and_crud_serves_all(
    models: dict[tuple[str, str], TrafficModel],
) -> None:
    """So that every one of the 29 can be driven."""
    assert scenario_names(ROOT) == tuple(sorted((*OWN, "across", "chat", "crud")))
    assert set(models) == {(name, "crud") for name in CATALOG.names()} | {(n, n) for n in OWN}


def test_every_template_is_a_route_of_its_service(
    models: dict[tuple[str, str], TrafficModel],
) -> None:
    """A 404 would be the scenario's fault, not the service's."""
    for (name, scenario), model in models.items():
        service = CATALOG.service(name)
        for request in model.requests:
            assert fits(request, service), f"{scenario} of {name}: {request.method} {request.path}"


def test_every_template_checks_its_status_and_sends_one_of_many_keys(
    models: dict[tuple[str, str], TrafficModel],
) -> None:
    """100 requests a minute and key: 10,000/s need more than 6,000 of them."""
    for model in models.values():
        for request in model.requests:
            allowed = [check["in"] for check in request.checks if check["kind"] == "status"]
            usual = [[201 if request.method == "POST" else 200]]
            assert allowed == ([] if request.stream else usual), request.name
            assert dict(request.headers)["x-api-key"] == "load-{key}"
        assert model.feeds["key"]["high"] - model.feeds["key"]["low"] > 10_000 * 60 / 100


def test_every_template_looks_into_the_answer(
    models: dict[tuple[str, str], TrafficModel],
) -> None:
    """A status alone would let an empty answer pass; a delete's is enough."""
    for model in models.values():
        for request in model.requests:
            pointers = [check for check in request.checks if check["kind"] == "json"]
            looked = pointers or request.method == "DELETE" or request.stream
            assert looked, f"{model.scenario}: {request.name}"


def test_reads_hit_what_is_seeded_and_deletes_never_do(
    models: dict[tuple[str, str], TrafficModel],
) -> None:
    """The reference service holds the ids 1 to 1000; a healthy one gives no 404."""
    for model in models.values():
        for request in model.requests:
            variables = re.findall(r"/\{(\w+)\}$", request.path)
            for feed in (model.feeds[name] for name in variables):
                if request.method == "DELETE":
                    assert (feed["kind"], feed["start"]) == ("sequence", 100_000)
                else:
                    assert feed["kind"] == "zipf"
                    assert feed["n"] <= 1000


def test_ids_that_are_written_are_unique(models: dict[tuple[str, str], TrafficModel]) -> None:
    """A client-supplied id comes from a feed that never repeats."""
    for model in models.values():
        for request in model.requests:
            body = (request.body or "").replace("{{", "{").replace("}}", "}")
            given = json.loads(body).get("id") if request.method == "POST" else None
            if given is not None:
                assert model.feeds[given.strip("{}")]["kind"] in {"uuid", "sequence"}


def test_every_model_is_accepted_by_the_engine(
    models: dict[tuple[str, str], TrafficModel],
) -> None:
    """Under the profile of the release question."""
    for model in models.values():
        plan = to_engine(model, resolve_profile("perf", rate=100)) | {"targets": ["http://h"]}
        assert len(schedule(json.dumps(plan), 1000)) == 1000


def test_logai_walks_a_journey(models: dict[tuple[str, str], TrafficModel]) -> None:
    """Log in, then act; seldom, since Python walks it."""
    model = models["logai", "logai"]
    (walk,) = model.journeys
    assert (walk.name, walk.method) == ("log in, then act", "login_then_act")
    assert walk.weight / sum(request.weight for request in model.requests) < 0.01
    others = Counter(bool(each.journeys) for key, each in models.items() if key[0] != "logai")
    assert others == {False: len(models) - 2}


def test_every_service_has_two_profiles_that_exist() -> None:
    for service in CATALOG.services():
        assert len(service.profiles) >= 2, service.name
        assert set(service.profiles) <= NAMED.keys(), service.name


@pytest.mark.parametrize("name", ["bancai", "stocai", "wallet", "x"])
def test_what_must_not_be_lost_is_read_back(
    models: dict[tuple[str, str], TrafficModel], name: str
) -> None:
    audit = models[name, name].audit
    assert audit is not None
    written = next(each for each in models[name, name].requests if each.name == audit.write)
    assert written.method == "POST"
    assert audit.read == f"{written.path}/{{id}}"


def test_the_page_of_the_services_is_theirs(models: dict[tuple[str, str], TrafficModel]) -> None:
    pairs = [(each, models[each.name, each.name]) for each in CATALOG.services()]
    assert (ROOT / "docs" / "services.md").read_text() == render_services(pairs)


def test_less_than_a_tenth_of_the_lines_of_all_scenarios_stand_twice() -> None:
    """Of three lines in a row, as detectors of copies count; imports are no copies."""
    rows: list[tuple[str, int, str]] = []
    for name in OWN:
        text = (ROOT / "scenarios" / f"{name}.py").read_text()
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        kept = (line for line in lines if not line.startswith(("from ", "import ")))
        rows += [(name, number, line) for number, line in enumerate(kept)]
    threes: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(rows) - 2):
        if rows[at][0] == rows[at + 2][0]:
            threes.setdefault(tuple(row[2] for row in rows[at : at + 3]), []).append(at)
    copies = {at + i for places in threes.values() for at in places[1:] for i in range(3)}
    assert len(copies) / len(rows) < 0.1
