"""Who calls whom, who feels it, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.catalog.dependencies import check_dependencies, felt_by, felt_sentence
from harness.catalog.load import load_catalog, project_root
from harness.catalog.model import Service
from harness.errors import CatalogError

ANY = load_catalog(project_root() / "services").service("hub")


def of(**calls: str) -> list[Service]:
    return [replace(ANY, name=name, depends_on=tuple(to.split())) for name, to in calls.items()]


def test_a_fault_is_felt_by_callers_and_through_them_by_theirs() -> None:
    services = of(a="b", b="c", c="d", d="", e="c")
    assert felt_by(services, "c") == (("b", "e"), ("a",))
    assert felt_sentence(services, "c") == "felt by b, e, which call c, and through them by a"
    assert felt_sentence(services, "a") is None
    services[0] = replace(services[0], degrades_without=("b",))
    found = felt_sentence(services, "c")
    assert found is not None
    assert found.endswith("and through them by a; declared to answer without it: a")


@pytest.mark.parametrize(
    ("services", "says"),
    [
        (of(a="b", b="c", c="a"), "dependsOn goes in a circle: a -> b -> c -> a"),
        (of(a="a"), "dependsOn goes in a circle: a -> a"),
        (of(a="b"), "a: dependsOn 'b' is no service of the catalogue"),
    ],
)
def test_a_circle_or_an_unknown_name_is_one_line(services: list[Service], says: str) -> None:
    with pytest.raises(CatalogError, match=says):
        check_dependencies(services)


def test_the_dependencies_of_the_catalogue_are_sound() -> None:
    services = load_catalog(project_root() / "services").services()
    check_dependencies(services)
    assert "wallet" in felt_by(services, "logai")[0]
