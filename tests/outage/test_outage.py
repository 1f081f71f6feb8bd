"""An outage: who should suffer by the catalogue, what was seen, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness.catalog import load_catalog
from harness.catalog.load import project_root
from harness.catalog.model import Service
from harness.cli import run as cli
from harness.outage import judge_outage, plan_outage, run_outage
from harness.outage.model import Answered, OutageVerdict

SERVICES = load_catalog(project_root() / "services").services()
ONE = SERVICES[0]


def service(name: str, *needs: str, without: tuple[str, ...] = ()) -> Service:
    return replace(ONE, name=name, depends_on=(*needs, *without), degrades_without=without)


CHAIN = (
    service("db"),
    service("shop", "db"),
    service("site", "shop"),
    service("blog", without=("shop",)),
    service("away"),
)


def answers(failing: Mapping[str, str], count: int = 40) -> list[Answered]:
    """Of each service `count` before, during and after; the stages (b, d, a) in which it fails."""
    return [
        Answered(each.name, at * 1000 + i, ok=stage not in failing.get(each.name, ""))
        for each in CHAIN
        for at, stage in enumerate("bda")
        for i in range(count)
    ]


def verdict(**failing: str) -> OutageVerdict:
    return judge_outage(plan_outage(CHAIN, "db"), answers(failing), 1000, 2000)


def wrong(found: OutageVerdict) -> dict[str, str]:
    return {c.name: str(c.outcome) for c in found.checks if c.outcome != "pass"}


def test_a_plan_names_all_callers_by_distance_and_one_that_never_calls() -> None:
    found = [(c.service, c.distance, c.suffers) for c in plan_outage(CHAIN, "db")]
    assert found == [
        ("db", 0, True), ("shop", 1, True), ("site", 2, True), ("blog", 2, False),
        ("away", None, False),
    ]  # fmt: skip


def test_every_edge_of_the_catalogue_is_in_a_plan() -> None:
    edges = {(each.name, name) for each in SERVICES for name in each.depends_on}
    planned = {
        (caller.service, name)
        for name in {name for _, name in edges}
        for caller in plan_outage(SERVICES, name)
        if caller.distance == 1
    }
    assert planned == edges
    assert len(edges) > 20


def test_an_outage_that_goes_as_declared_passes_and_says_how_far_it_went() -> None:
    found = verdict(db="d", shop="d", site="d")
    assert (found.outcome, found.exit_code, found.spread) == ("pass", 0, 2)


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ({"blog": "d"}, {"blog": "fail"}),
        ({"away": "d"}, {"away": "fail"}),
        ({"shop": "da"}, {"shop": "fail"}),
        ({"site": "bd"}, {"site": "inconclusive"}),
    ],
)
def test_who_should_not_suffer_or_does_not_recover_is_found(
    failing: dict[str, str], expected: dict[str, str]
) -> None:
    assert wrong(verdict(db="d", **failing)) == expected


def test_a_dependency_that_is_not_felt_is_said_and_is_no_failure() -> None:
    found = verdict(db="d")
    assert found.outcome == "pass"
    assert "it answers" in found.checks[1].statement
    assert found.spread == 0


def test_too_few_answers_are_no_verdict() -> None:
    found = judge_outage(plan_outage(CHAIN, "db"), answers({}, 5), 1000, 2000)
    assert found.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("words", "says"),
    [(["nobody"], "no service 'nobody'"), (["id", "--duration", "1s"], "at least")],
)
def test_a_bad_word_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["outage", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.lab
def test_an_outage_on_the_lab_is_felt_as_declared_and_who_is_not_as_declared_is_found() -> None:
    named = {each.name: each for each in SERVICES}
    services = (
        named["metu"],
        named["dash"],
        named["analizai"],
        replace(named["hub"], depends_on=("metu",), degrades_without=("metu",)),
        replace(named["wallet"], depends_on=()),
    )
    really = dict.fromkeys(("dash", "hub", "wallet"), ("metu",))
    found = run_outage(services, plan_outage(services, "metu"), 2.0, wiring=really)
    assert wrong(found) == {"hub": "fail", "wallet": "fail"}
    assert {c.name for c in found.checks} == {each.name for each in services}
    assert "declared to answer without it" in found.checks[3].statement
