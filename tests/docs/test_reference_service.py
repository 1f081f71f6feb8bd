"""deploy/reference: what is deployed there is the catalogue's memorai."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.catalog import load_catalog
from harness.platform.kubernetes.cluster import IMAGE
from tests.platform.replica import serving

FILE = Path(__file__).parents[2] / "deploy" / "reference" / "memorai.yaml"


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """`Kind/name` -> object."""
    found = yaml.load_all(FILE.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def container(workload: dict[str, Any]) -> dict[str, Any]:
    """Its only one."""
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_it_serves_the_catalogues_routes_where_the_catalogue_says(objects: dict[str, Any]) -> None:
    """The plan in the manifest is one that the service takes."""
    service = load_catalog().service("memorai")
    plan = json.loads(container(objects["Deployment/memorai"])["command"][-1])
    assert plan["routes"] == [route.path for route in service.routes]
    assert (
        plan["listen"][1] == service.port == objects["Service/memorai"]["spec"]["ports"][0]["port"]
    )
    assert plan["health_path"] == service.health_path

    here = ("listen", "database")
    with serving(**{key: value for key, value in plan.items() if key not in here}) as client:
        assert client.get(f"{plan['routes'][0]}/1").json()["service"] == "memorai"


def test_the_harness_finds_its_pods_and_not_the_database(objects: dict[str, Any]) -> None:
    """By the selector of the Service."""
    wanted = objects["Service/memorai"]["spec"]["selector"].items()

    def labels(name: str) -> Any:
        return objects[name]["spec"]["template"]["metadata"]["labels"].items()

    assert wanted <= labels("Deployment/memorai")
    assert not wanted <= labels("StatefulSet/memorai-database")


def test_every_image_is_the_one_that_is_replaced_by_ones_own(objects: dict[str, Any]) -> None:
    images = {
        container(each)["image"]
        for name, each in objects.items()
        if name.startswith(("Deployment", "StatefulSet"))
    }
    assert images == {IMAGE}
