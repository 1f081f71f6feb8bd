"""Objectives as people type them."""

from __future__ import annotations

import pytest

from harness.catalog.model import Objective
from harness.catalog.short_form import check_endpoints, parse_objective, with_objectives
from harness.errors import UsageError
from tests.record.synthetic import OBJECTIVES, service


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("p95 < 100ms", Objective("p95", "latency", 0.1, 0.95)),
        ("p99.9<2s", Objective("p99.9", "latency", 2.0, 0.999)),
        ("errors < 0.1%", Objective("errors", "error_ratio", 0.001)),
        ("errors < 0.1 %", Objective("errors", "error_ratio", 0.001)),
        ("throughput >= 10k/s", Objective("throughput", "throughput", 10_000.0)),
        ("availability >= 99.9%", Objective("availability", "availability", 0.999)),
        ("ttft p95 < 300ms", Objective("ttft p95", "time_to_first_token", 0.3, 0.95)),
        ("chat: itl p99 < 50ms",
         Objective("itl p99", "inter_token_latency", 0.05, 0.99, ("chat",))),
        ("goodput >= 95%", Objective("goodput", "goodput", 0.95)),
        ("recall: p99 < 50ms", Objective("p99", "latency", 0.05, 0.99, ("recall",))),
        ("GET *, stats: errors < 1%",
         Objective("errors", "error_ratio", 0.01, endpoints=("GET *", "stats"))),
    ],
)  # fmt: skip
def test_a_short_form_is_an_objective(text: str, objective: Objective) -> None:
    found = parse_objective(text)
    assert found.threshold == pytest.approx(objective.threshold)
    assert found.quantile == pytest.approx(objective.quantile)
    assert (found.indicator, found.endpoints) == (objective.indicator, objective.endpoints)


@pytest.mark.parametrize(
    "text",
    ["", "p95", "p95 < ", "p95 > 100ms", "p0 < 1s", "p100 < 1s", "errors < 0%", "errors < 200%",
     "errors >= 1%", "throughput < 5", "p95 < 0s", "p95 < nan", "speed < 1", "p95 < 100 parsecs",
     "availability < 99%", "goodput < 95%", "ttft < 1s", "ttft p95 > 1s", "itl errors < 1%"],
)  # fmt: skip
def test_what_is_no_objective_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|not a"):
        parse_objective(text)


def test_an_objective_replaces_the_one_about_the_same_thing_only() -> None:
    fast = Objective("mine", "latency", 0.05, 0.95)
    recall = Objective("recall", "latency", 0.05, 0.95, ("recall",))
    found = with_objectives(service(), (fast, recall)).objectives
    assert OBJECTIVES[0] not in found
    assert {o.name for o in found} == {"throughput", "errors", "availability", "mine", "recall"}


def test_an_endpoint_that_the_scenario_lacks_is_named_with_a_near_one() -> None:
    wrong = (Objective("x", "latency", 0.05, 0.95, ("recal",)),)
    with pytest.raises(UsageError, match=r"no endpoint 'recal'.*did you mean recall"):
        check_endpoints(wrong, ["recall", "stats"])
    check_endpoints((Objective("x", "latency", 0.05, 0.95, ("rec*",)),), ["recall"])
