"""The 29 services say what is known of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalog import load_catalog
from harness.catalog.load import COMMON, Catalog, read_service
from harness.catalog.model import Objective
from harness.catalog.yaml_documents import read_documents
from harness.errors import CatalogError

ROOT = Path(__file__).resolve().parents[2]
COMPLETE = Path(__file__).parent / "complete" / "memorai.yaml"
"""A file that says everything itself."""

FACTS = """
codai      foundation     3000  3  2    4Gi  app
memorai    foundation     3001  3  2    4Gi  app
logai      foundation     3002  3  2    4Gi  app
id         foundation     4008  1  0.5  1Gi  -
bancai     business       3003  2  1    2Gi  app
wallet     business       3004  2  1    2Gi  app
fabricai   business       3005  2  1    2Gi  app
analizai   business       4003  1  0.5  1Gi  -
marketai   business       4012  1  0.5  1Gi  -
stocai     business       4015  1  0.5  1Gi  -
studiai    user           3006  1  0.5  1Gi  app
sociai     user           3007  1  0.5  1Gi  app
cumparai   user           3008  1  0.5  1Gi  app
ajutai     user           4002  1  0.5  1Gi  -
jucai      user           4009  1  0.5  1Gi  -
x          specialized    3009  2  1    2Gi  app
publicai   specialized    3010  1  0.5  1Gi  app
explorer   specialized    4006  1  0.5  1Gi  -
legalizai  specialized    4011  1  0.5  1Gi  -
admin      infrastructure 4000  1  0.5  1Gi  -
hub        infrastructure 4007  1  0.5  1Gi  -
dash       infrastructure 4004  1  0.5  1Gi  -
docs       infrastructure 4005  1  0.5  1Gi  -
metu       infrastructure 4013  1  0.5  1Gi  -
aide       development    4001  1  0.5  1Gi  -
kodex      development    4010  1  0.5  1Gi  -
mod        development    4014  1  0.5  1Gi  -
templates  development    4016  1  0.5  1Gi  -
tools      development    4017  1  0.5  1Gi  -
"""
ROWS = [tuple(line.split()) for line in FACTS.split("\n") if line]
NAMES = [row[0] for row in ROWS]

IMPLEMENTED = {
    "codai": "ai/chat auth/register user/profile user/preferences workspace/collaboration",
    "memorai": "memory/remember memory/recall memory/context memory/forget stats",
    "logai": "auth/register mfa/{action} user/profile admin/users",
    "bancai": "accounts transactions portfolio market insights dashboard",
    "wallet": "wallet defi analytics",
    "fabricai": "ai-services model-management memory",
    "studiai": "captions certificate sync-lesson",
    "sociai": "social/feed social/communities social/engagement social/analytics",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(ROOT / "services")


def test_the_catalogue_holds_the_29_services_and_no_other(catalog: Catalog) -> None:
    """Names come from the directory, sorted."""
    assert catalog.names() == tuple(sorted(NAMES))
    assert len(NAMES) == 29


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_an_entry_tells_tier_port_replicas_and_size(catalog: Catalog, row: tuple[str, ...]) -> None:
    """Each of the 29 rows agrees with its file."""
    name, tier, port, replicas, cpu, memory, app = row
    service = catalog.service(name)
    assert service.name == name
    assert service.tier == tier
    assert service.port == int(port)
    assert service.replicas == int(replicas)
    assert service.cpu == float(cpu)
    assert service.memory == memory
    assert service.core_app == (app == "app")
    assert service.purpose


def test_eleven_services_are_core_applications_and_no_two_share_a_port(catalog: Catalog) -> None:
    """Twins would deploy on top of each other."""
    services = catalog.services()
    assert sum(service.core_app for service in services) == 11
    assert len({service.port for service in services}) == len(services)


@pytest.mark.parametrize("name", NAMES)
def test_every_service_promises_the_same_four_things(catalog: Catalog, name: str) -> None:
    """P95 < 100 ms, 10,000 requests/s, errors < 0.1 %, availability 99.99 %."""
    promises = [(o.indicator, o.threshold, o.quantile) for o in catalog.service(name).objectives]
    assert promises == [
        ("latency", 0.1, 0.95),
        ("throughput", 10_000.0, None),
        ("error_ratio", 0.001, None),
        ("availability", 0.9999, None),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_availability_is_by_time_slice_and_errors_by_request(name: str) -> None:
    """Both as ratios of requests would contradict each other (0.1 % errors is 99.9 %)."""
    directory = ROOT / "services"
    methods = {
        each["spec"]["indicator"]["metadata"]["name"]: each["spec"]["budgetingMethod"]
        for each in read_documents(directory / f"{name}.yaml", directory / COMMON)
        if each["kind"] == "SLO"
    }
    assert methods["availability"] == "Timeslices"
    assert methods["error_ratio"] == "Occurrences"


@pytest.mark.parametrize("name", NAMES)
def test_every_service_runs_in_three_regions_and_three_environments(
    catalog: Catalog, name: str
) -> None:
    """Only production is production."""
    service = catalog.service(name)
    assert dict(zip(service.regions, service.region_roles, strict=True)) == {
        "us-east-1": "active",
        "eu-west-1": "standby",
        "ap-southeast-1": "cold",
    }
    assert service.regions[0] == "us-east-1"
    places = {each.name: each for each in service.environments}
    assert sorted(places) == ["development", "production", "staging"]
    for place, each in places.items():
        assert each.namespace == f"codai-{place}"
        assert each.base_url == f"http://{name}.codai-{place}.svc.cluster.local:{service.port}"
        assert each.production == (place == "production")


@pytest.mark.parametrize("name", NAMES)
def test_routes_are_the_implemented_ones_or_the_generic_api(catalog: Catalog, name: str) -> None:
    """Collections and items, each with a name of its own."""
    service = catalog.service(name)
    stems = IMPLEMENTED.get(name, f"v1/{name}").split()
    collections = {f"/api/{stem}" for stem in stems}
    routes = {route.path: route for route in service.routes}
    items = {f"{path}/{{id}}" for path in collections if "{" not in path}
    assert set(routes) == collections | items
    assert all(routes[path].methods == ("GET", "POST") for path in collections)
    assert all(routes[path].methods == ("GET", "PUT", "DELETE") for path in items)
    assert len({route.name for route in service.routes} - {""}) == len(routes)


def test_three_services_answer_health_under_api(catalog: Catalog) -> None:
    """The others answer at /health."""
    paths = {service.name: service.health_path for service in catalog.services()}
    assert {n for n, path in paths.items() if path == "/api/health"} == {
        "logai",
        "bancai",
        "fabricai",
    }
    assert set(paths.values()) == {"/health", "/api/health"}


def test_latency_and_errors_have_ceilings_and_the_others_floors() -> None:
    """Which side of the threshold is good."""
    sides = {
        name: Objective(name, name, 1.0).upper
        for name in ("latency", "throughput", "error_ratio", "availability")
    }
    assert sides == {
        "latency": True,
        "throughput": False,
        "error_ratio": True,
        "availability": False,
    }


def test_of_several_objectives_about_one_indicator_the_strictest_counts(catalog: Catalog) -> None:
    strict, lax = (Objective(str(t), "error_ratio", t) for t in (0.002, 0.02))
    service = replace(catalog.service(catalog.names()[0]), objectives=(lax, strict))
    assert service.least("error_ratio", 0.5) == 0.002
    assert service.least("goodput", 0.5) == 0.5


def test_an_environment_called_production_is_production_unsaid(tmp_path: Path) -> None:
    text = COMPLETE.read_text()
    path = tmp_path / "memorai.yaml"
    path.write_text(text.replace("production: true", "production: false"))
    marked = {each.name for each in read_service(path).environments if each.production}
    assert marked == {"production"}


def test_objectives_for_streams_are_written_as_latency_and_availability_are(
    tmp_path: Path,
) -> None:
    """A time with its quantile and limit, goodput with its target."""
    text = COMPLETE.read_text(encoding="utf-8")
    path = tmp_path / "memorai.yaml"
    for name in ("time_to_first_token", "inter_token_latency"):
        path.write_text(text.replace("name: latency", f"name: {name}"), encoding="utf-8")
        (found,) = [o for o in read_service(path).objectives if o.indicator == name]
        assert (found.threshold, found.quantile, found.upper) == (0.1, 0.95, True)
    path.write_text(text.replace("name: availability", "name: goodput"), encoding="utf-8")
    (found,) = [o for o in read_service(path).objectives if o.indicator == "goodput"]
    assert (found.threshold, found.quantile, found.upper) == (0.9999, None, False)


def test_a_file_says_only_what_differs_from_the_common_one(tmp_path: Path) -> None:
    (tmp_path / COMMON).write_text((ROOT / "services" / COMMON).read_text())
    path = tmp_path / "shop.yaml"
    text = (ROOT / "services" / "hub.yaml").read_text().replace("hub", "shop")
    path.write_text(text.replace("  port: ", "  replicas: 7\n  port: "))
    shop = read_service(path)
    assert (shop.replicas, shop.memory, shop.regions[0]) == (7, "1Gi", "us-east-1")
    assert shop.environments[1].base_url == (
        f"http://shop.codai-staging.svc.cluster.local:{shop.port}"
    )
    assert [each.name for each in shop.objectives][:2] == ["P95 response time", "throughput"]


def test_a_file_with_an_objective_of_its_own_has_no_common_one(tmp_path: Path) -> None:
    common = (ROOT / "services" / COMMON).read_text()
    (tmp_path / COMMON).write_text(common)
    own = next(part for part in common.split("---\n") if "latency-p95" in part)
    own = own.replace("{service}", "hub").replace("value: 0.1,", "value: 0.2,")
    path = tmp_path / "hub.yaml"
    path.write_text((ROOT / "services" / "hub.yaml").read_text() + "---\n" + own)
    assert [o.threshold for o in read_service(path).objectives] == [0.2]


def test_what_is_wrong_with_the_common_file_is_said_of_it(tmp_path: Path) -> None:
    common = (ROOT / "services" / COMMON).read_text()
    (tmp_path / COMMON).write_text(common.replace("op: lt,", "op: gt,"))
    path = tmp_path / "hub.yaml"
    path.write_text((ROOT / "services" / "hub.yaml").read_text())
    with pytest.raises(CatalogError, match=f"{COMMON}:.*latency needs op lt"):
        read_service(path)


def test_a_common_file_that_changes_is_read_again(tmp_path: Path) -> None:
    common = (ROOT / "services" / COMMON).read_text()
    (tmp_path / "hub.yaml").write_text((ROOT / "services" / "hub.yaml").read_text())
    for memory in ("2Gi", "30Gi"):
        (tmp_path / COMMON).write_text(common.replace("memory: 1Gi", f"memory: {memory}"))
        assert read_service(tmp_path / "hub.yaml").memory == memory


def test_a_service_whose_file_changes_or_goes_is_read_again(tmp_path: Path) -> None:
    text = (ROOT / "services" / "hub.yaml").read_text()
    (tmp_path / COMMON).write_text((ROOT / "services" / COMMON).read_text())
    path = tmp_path / "hub.yaml"
    for port in (3, 40_000):
        path.write_text(re.sub(r"port: \d+", f"port: {port}", text))
        assert read_service(path).port == port
    path.unlink()
    with pytest.raises(CatalogError, match="cannot be read"):
        read_service(path)


def test_files_of_the_catalogue_repeat_less_than_a_tenth_of_their_lines() -> None:
    """Six lines in a row that stand in another file as well are a repetition."""
    files = {p: p.read_text().splitlines() for p in (ROOT / "services").glob("*.yaml")}
    runs: dict[tuple[str, ...], set[Path]] = {}
    for path, lines in files.items():
        for at in range(len(lines) - 5):
            runs.setdefault(tuple(lines[at : at + 6]), set()).add(path)
    again = sum(
        any(
            len(runs.get(tuple(lines[begin : begin + 6]), ())) > 1
            for begin in range(max(0, at - 5), at + 1)
        )
        for lines in files.values()
        for at in range(len(lines))
    )
    assert again < 0.1 * sum(map(len, files.values()))


def test_a_service_degrades_only_without_what_it_depends_on(tmp_path: Path) -> None:
    path = tmp_path / "memorai.yaml"
    text = COMPLETE.read_text()
    path.write_text(text.replace("  dependsOn: [id]\n", "  degradesWithout: [id]\n"))
    with pytest.raises(CatalogError, match="degradesWithout names 'id', which dependsOn does not"):
        read_service(path)
    path.write_text(
        text.replace("  dependsOn: [id]\n", "  dependsOn: [id]\n  degradesWithout: [id]\n")
    )
    assert read_service(path).degrades_without == ("id",)
